"""The silhouette benchmark as markdown tables, and its targets with what was measured."""

from typing import Any

from tests.benchmarks.silhouette_methods import OURS, SOFTRAS, TORCH

Rows = list[dict[str, Any]]
PAGE_SOFTRAS_MS, PAGE_OURS_MS = 341.0, 12.0
"""Forward + backward of 32 masks at 128 px on the 2 cores of the machine for which the target was written: the culled
formula of SoftRas, and the time that the scan lines must not exceed."""


def cell(times: Rows, **wanted: Any) -> dict[str, Any] | None:
    """Find the row of a method, number of vertices, masks, size and threads."""
    found = [row for row in times if all(row[key] == value for key, value in wanted.items())]
    return found[0] if found else None


def targets(times: Rows, gradients: Rows) -> dict[str, Any]:
    """Compute what the targets ask for, at 32 masks of 128 px of the body itself; empty where this was not measured."""
    ours = [row for row in gradients if row["method"] == OURS]
    reached: dict[str, Any] = {
        "least_cosine_of_a_mesh": min(row["cosine"] for row in ours),
        "least_cosine_of_a_view": min(min(row["cosine_of_views"]) for row in ours),
        "magnitudes_of_meshes": [row["magnitude"] for row in ours],
    }
    for threads in sorted({row["threads"] for row in times}):
        where = {"masks": 32, "size_px": 128, "threads": threads}
        rows = [cell(times, method=name, **where) for name in (OURS, TORCH, SOFTRAS)]
        if None not in rows:
            for measure in ("cpu_ms", "wall_ms"):
                own, torch_path, softras = (row["forward_backward"][measure] for row in rows if row)
                reached[f"{threads} threads, {measure}"] = {
                    "ours": own,
                    "times_faster_than_softras": softras / own,
                    "times_faster_than_torch": torch_path / own,
                    "allowed_ms": PAGE_OURS_MS * softras / PAGE_SOFTRAS_MS,
                }
    return reached


def _milliseconds(row: dict[str, Any] | None, measure: str) -> str:
    if row is None:
        return ""
    return " / ".join(f"{row[name][measure]:#.3g}".rstrip(".") for name in ("forward", "forward_backward"))


def time_lines(times: Rows, threads: int, measure: str) -> list[str]:
    """Write one table: a line per method, a column per number of vertices, masks and size."""
    columns = sorted({(row["vertices"], row["size_px"], row["masks"]) for row in times})
    own = min(vertices for vertices, _, _ in columns)
    titles = [
        f"{masks} masks, {size} px" + ("" if vertices == own else f", {vertices:,} vertices")
        for vertices, size, masks in columns
    ]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    for name in dict.fromkeys(row["method"] for row in times):
        rows = [
            cell(times, method=name, vertices=v, size_px=size, masks=masks, threads=threads)
            for v, size, masks in columns
        ]
        lines.append(f"| {name} | " + " | ".join(_milliseconds(row, measure) for row in rows) + " |")
    return lines


def gradient_lines(gradients: Rows) -> list[str]:
    """Write the table of cosines and magnitudes, a line per method."""
    meshes = sorted({row["vertices"] for row in gradients})
    titles = [
        f"{title}, {count:,} vertices" for count in meshes for title in ("cosine", "worst view", "magnitude", "IoU")
    ]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    for name in dict.fromkeys(row["method"] for row in gradients):
        found = [row for count in meshes for row in gradients if (row["method"], row["vertices"]) == (name, count)]
        cells = [
            f"{value:.{digits}f}"
            for row in found
            for value, digits in ((row["cosine"], 4), (min(row["cosine_of_views"]), 4), (row["magnitude"], 3),
                                  (row["iou"], 3))
        ]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def markdown(times: Rows, gradients: Rows, reached: dict[str, Any], protocol: str) -> str:
    """Write everything as the README may include it."""
    all_threads = sorted({row["threads"] for row in times})
    parts = ["Gradient against brute force:", "\n".join(gradient_lines(gradients))]
    for threads in all_threads:
        kinds = {"cpu_ms": "processor time"} if threads == 1 else {"wall_ms": "wall clock"}
        for measure, title in kinds.items():
            parts += [
                f"Milliseconds, forward / forward + backward, {threads} thread{'s' * (threads > 1)}, {title}:",
                "\n".join(time_lines(times, threads, measure)),
            ]
    for name, found in reached.items():
        if isinstance(found, dict):
            parts.append(
                f"32 masks, 128 px, {name.replace('_ms', '')}: ours {found['ours']:.1f} ms, "
                f"{found['times_faster_than_softras']:.0f} times faster than SoftRas' formula (wanted: 25), "
                f"{found['times_faster_than_torch']:.1f} times faster than PyTorch (wanted: 4)."
            )
    return "\n\n".join([*parts, protocol]) + "\n"
