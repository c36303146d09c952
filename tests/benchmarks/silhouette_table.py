"""The silhouette benchmark as markdown tables, and its targets with what was measured."""

from typing import Any

import numpy as np

from tests.benchmarks.silhouette_methods import OURS, SOFTRAS, TORCH

Rows = list[dict[str, Any]]
PAGE_SOFTRAS_MS, PAGE_OURS_MS = 341.0, 12.0
"""Forward + backward of 32 masks at 128 px on the 2 cores of the machine for which the target was written: the culled
formula of SoftRas, and the time that the scan lines must not exceed."""


def cell(times: Rows, **target: Any) -> dict[str, Any] | None:
    """Find the row of a method, number of vertices, masks, size and threads."""
    found = [row for row in times if all(row[key] == value for key, value in target.items())]
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
    values = [row[name][measure] for name in ("forward", "forward_backward")]
    return " / ".join(f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".") for value in values)


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


def share_of_core(times: Rows) -> float:
    """Tell how much of one core the run got in the middle case: 1 on a machine without other work."""
    whole = [row["forward_backward"] for row in times if row["threads"] == 1]
    return float(np.median([found["cpu_ms"] / found["wall_median_ms"] for found in whole]))


def markdown(times: Rows, gradients: Rows, reached: dict[str, Any], protocol: str) -> str:
    """Write everything as the README may include it: what matters first, all cells folded."""
    parts = ["Gradient against brute force:", "\n".join(gradient_lines(gradients))]
    found = reached.get("1 threads, cpu_ms")
    if found:
        parts.append(
            f"Forward + backward of 32 masks at 128 px, one thread, processor time: ours {found['ours']:.1f} ms, "
            f"{found['times_faster_than_softras']:.0f} times faster than the culled formula of SoftRas (wanted: 25) "
            f"and {found['times_faster_than_torch']:.1f} times faster than PyTorch (wanted: 4); allowed by the "
            f"target, which is {PAGE_OURS_MS:.0f} ms where that formula takes {PAGE_SOFTRAS_MS:.0f}: "
            f"{found['allowed_ms']:.1f} ms."
        )
    parts.append("<details><summary>All times</summary>")
    for threads in sorted({row["threads"] for row in times}):
        measure, title = (
            ("cpu_ms", "1 thread, processor time") if threads == 1 else ("wall_ms", f"{threads} threads, wall")
        )
        parts += [
            f"Milliseconds, forward / forward + backward, {title}:",
            "\n".join(time_lines(times, threads, measure)),
        ]
    share = share_of_core(times)
    if share < 0.8:
        parts.append(
            f"Other work kept this machine busy: one thread got {100 * share:.0f} % of a core in the middle case. Wall "
            "clock then says little, least for PyTorch, whose threads wait for each other; compare processor times."
        )
    return "\n\n".join([*parts, protocol, "</details>"]) + "\n"
