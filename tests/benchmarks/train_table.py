"""The benchmark of trainings as markdown tables."""

from typing import Any


def shares(value: float, target: float, is_most: bool) -> str:
    """Write a share, and whether it is what was wanted."""
    is_met = value <= target if is_most else value >= target
    return f"{100 * value:.1f} %" + ("" if is_met else " (missed)")


def row_lines(rows: dict[str, dict[str, Any]], targets: dict[str, float]) -> list[str]:
    """Write a line for every contender."""
    lines = [
        "| stage and preset, data | images/s | step ms | processor ms | waiting for data | GFLOP a step | GFLOP/s | "
        "of the peak | by processor time | memory MB | parameters |",
        "|---" * 11 + "|",
    ]
    for name, row in rows.items():
        cells = [
            name, f"{row['images_per_s']:.1f}", f"{row['step_ms']:.0f}", f"{row['cpu_ms']:.0f}",
            shares(row["waiting_share"], targets["waiting_share"], True), f"{row['gflop']:.2f}",
            f"{row['gflops_per_s']:.0f} of {row['peak_gflops_per_s']:.0f}",
            shares(row["share_of_peak"], targets["share_of_peak"], False),
            f"{100 * row['share_of_peak_by_processor_time']:.1f} %", f"{row['memory_mb']:.0f}",
            f"{row['parameters_millions']:.1f} M",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ratio_lines(ratios: dict[str, Any], targets: dict[str, float]) -> list[str]:
    """Say how many times as fast as the two presets our stage 1 is."""
    lines = []
    for name, found in ratios.items():
        target = name.removesuffix("_from_memory")
        kept = "pack" if name == target else "memory"
        low, high = min(found["rounds"]), max(found["rounds"])
        lines.append(
            f"Stage 1 (demo, {kept}) takes {found['median']:.1f} times the images per second of preset "
            f"{target.removeprefix('times_')} (rounds {low:.1f} to {high:.1f}; by processor time "
            f"{found['by_processor_time']:.1f}; wanted: {targets[target]:.0f})."
        )
    return lines


def profile_lines(profiles: dict[str, list[dict[str, Any]]], most: int = 8) -> list[str]:
    """Write the operations that take most of a step."""
    lines = []
    for name, operations in profiles.items():
        each = [f"{one['operation']} {100 * one['share']:.0f} % ({one['calls_per_step']:.0f} calls)"
                for one in operations[:most]]  # fmt: skip
        lines.append(f"* {name}: {', '.join(each)}")
    return lines


def cost_lines(costs: dict[str, dict[str, Any]]) -> list[str]:
    """Write what grows with what."""
    lines = ["| cost against | sizes | processor ms | slope |", "|---|---|---|---|"]
    for name, cost in costs.items():
        sizes = " / ".join(f"{size:,}" for size in cost["size"])
        times = " / ".join(f"{value:.3g}" for value in cost["ms"])
        lines.append(f"| {name} | {sizes} | {times} | {cost['slope']:.2f} |")
    return lines


def markdown(result: dict[str, Any], protocol: str) -> str:
    """Write everything: what matters first."""
    parts = ["\n".join(row_lines(result["rows"], result["targets"]))]
    if result["ratios"]:
        parts.append("\n".join(ratio_lines(result["ratios"], result["targets"])))
    if result["profiles"]:
        parts += ["Where a step's processor time goes (share of it, each operation without those that it calls):",
                  "\n".join(profile_lines(result["profiles"]))]  # fmt: skip
    if result["costs"]:
        parts += ["A slope of 1 is a cost in proportion to the size:", "\n".join(cost_lines(result["costs"]))]
    load = " and ".join(f"{value:.1f}" for value in result["load_average"])
    parts.append(f"{protocol} Load average before and after: {load}.")
    return "\n\n".join(parts) + "\n"
