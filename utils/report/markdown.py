"""Tables of the READMEs: what a kept file of results says, as markdown."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.artifacts import load_metrics, must_exist
from utils.reference_poses import REFERENCES
from utils.report.measures import headings
from utils.report.summaries import PRINTED, YAW, written_ratios
from utils.tiers import NOT_RECORDED, NOTHING, reads_from

NOVEL_VIEWS = headings(("l1_in_box", "psnr_db_in_box", "ssim_in_box", "psnr_db_image"))
PROBE = headings(("n_mpjpe_17_mm", "p_mpjpe_17_mm", "wrist_mm", "yaw_error_degrees"))
POSE = headings(("mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "pck150_17_percent", "yaw_error_degrees"))
POSE_ROWS = {
    "overall": "predicted", **REFERENCES, "mean_pose": "mean of the training labels, a stick",
}  # fmt: skip
MESH_COLUMNS = headings(key for key in PRINTED if not key.startswith("n_"))
OWN = ("overall", "predicted", "predicted, appearance of the input")
"""Keys, among the metrics, of rows that the tested network itself makes."""
BODIES = {"predicted": "predicted", "mean_body": "mean body", "mean_shape": "mean shape", "true_body": "true body"}
REPORT = ("cameras", "median_error_as_calibrated_px", "median_error_refined_px", "turned_rad", "used_share")
FOLDED_LETTERS = 300
"""Letters of a paragraph that is folded."""

Rows = Mapping[str, Mapping[str, Any]]
"""The intervals of every measure, by row of a table."""


def written_mean(found: Mapping[str, float]) -> str:
    """Write a mean with its interval, all with as many decimals as the mean needs."""
    decimals = 1 if abs(found["mean"]) >= 10 else 2 if abs(found["mean"]) >= 1 else 3
    low, mean, high = (f"{found[key]:.{decimals}f}" for key in ("low", "mean", "high"))
    return f"{mean} [{low}, {high}]"


def markdown_table(rows: Rows, columns: Mapping[str, str], tiers: Mapping[str, str] | None = None) -> str:
    """Write means with their intervals as a markdown table; a dash where a row lacks a measure.

    Args:
        tiers: what rows were made from, by their name; a column of its own where given.
    """
    known = {title: key for title, key in columns.items() if any(key in row for row in rows.values())}
    titles = [*known] if tiers is None else ["reads", *known]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    for name, row in rows.items():
        cells = [] if tiers is None else [tiers.get(name, "–")]
        cells += [written_mean(row[key]) if key in row else "–" for key in known.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tiers_of(stored: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Say what the rows of a kept test were made from: the network's, and those beside it.

    Args:
        names: the rows' names by their keys among the metrics; the network's own key is not listed in `tier_of`.
    """
    beside, own = stored.get("tier_of", {}), stored.get("tier", NOT_RECORDED)
    return {name: own if key in OWN else beside[key] for key, name in names.items() if key in OWN or key in beside}


def fold(title: str, text: str) -> str:
    """Hide text under a line that opens it."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def turned_text(bodies: Mapping[str, Mapping[str, Any]]) -> str:
    """Write how far bodies are turned, for all people and for those who face the camera or away from it."""
    rows = {f"{name}, {who}": line for name, found in bodies.items() for who, line in found.get("yaw", {}).items()}
    return markdown_table(rows, headings(YAW))


def mesh_text(found: Mapping[str, Any], tiers: Mapping[str, str]) -> str:
    """Write the errors of bodies: overall, by direction, and how much worse people are who face away."""
    bodies = {title: found if key == "predicted" else found[key] for key, title in BODIES.items()
              if key == "predicted" or key in found}  # fmt: skip
    parts = [markdown_table({name: one["overall"] for name, one in bodies.items()}, MESH_COLUMNS, tiers)]
    groups = {f"facing {degrees}°": row for degrees, row in found["by_facing"].items()}
    groups |= found["front_side_away"] | found["by_posture"]
    if found["away_over_front"]:
        ratios = ", ".join(written_ratios(found["away_over_front"]))
        parts.append(f"Error of people who face away over that of people who face the camera: {ratios}.")
    parts.append(fold("How far bodies are turned", turned_text(bodies)))
    rules = found["rules"]
    protocol = (
        f"Facing: {rules['facing']}. Front: {rules['front']}; away: {rules['away']}. Sitting: {rules['sitting']}."
    )
    parts.append(fold("By facing direction and posture", f"{markdown_table(groups, MESH_COLUMNS)}\n\n{protocol}"))
    return "\n\n".join(parts)


def views_text(found: Mapping[str, Any], tiers: Mapping[str, str]) -> str:
    """Write the table of novel views, and that of joints that a linear map reads off the points, if there are any."""
    rows = {name: row for name, row in found.items() if isinstance(row, dict)}
    drawn = {name: row for name, row in rows.items() if NOVEL_VIEWS.values() & row.keys()}
    text, probes = markdown_table(drawn, NOVEL_VIEWS, tiers), {n: row for n, row in rows.items() if n not in drawn}
    if not probes:
        return text
    return f"{text}\n\nJoints, read off the points by one matrix:\n\n{markdown_table(probes, PROBE, tiers)}"


def prior_text(found: Mapping[str, Any]) -> str:
    """Write how well a prior tells real poses from corrupted ones, a column per source of real poses."""
    kinds = list(next(iter(found.values()))["auc"]["plausibility"])
    rows = {kind.replace("_", " "): {name: one["auc"]["plausibility"][kind] for name, one in found.items()}
            for kind in kinds}  # fmt: skip
    if all("minus_l_gan" in one["auc"] for one in found.values()):
        rows["mean, by L_gan itself"] = {name: one["auc"]["minus_l_gan"]["mean"] for name, one in found.items()}
    titles = {
        f"{name}, {one['num_poses']} poses, {one['num_sequences']} sequences": name for name, one in found.items()
    }
    caption = "AUC: 1 where every real pose scores higher than every corrupted one, 0.5 for a guess"
    return f"{markdown_table(rows, titles)}\n\n{caption}; none of the corruptions was seen in training."


def metrics_block(path: Path) -> str:
    """Write one test's tables with their protocol and provenance."""
    stored = load_metrics(path, "python sample/tools/make_readme.py --metrics ...")
    found = stored["metrics"]
    if all(isinstance(one, dict) and "auc" in one for one in found.values()):
        text = f"{prior_text(found)} The prior reads {stored.get('tier', NOT_RECORDED)}."
    elif "by_facing" in found:
        text = mesh_text(found, tiers_of(stored, BODIES))
    elif "predicted" in found:
        text = views_text(found, tiers_of(stored, {name: name for name in found}))
    else:
        rows = {title: found[key] for key, title in POSE_ROWS.items() if key in found}
        text = markdown_table(rows, POSE, tiers_of(stored, POSE_ROWS))
    at_test = reads_from(stored.get("reads_at_test", {})).tier
    caption = [stored["split"], "" if at_test == NOTHING.tier else f"the test reads {at_test}"]
    caption += [f"{stored['num_frames']:,} images" if "step" in found else ""]
    caption += [f"step {found['step']}" if "step" in found else "", f"true bodies: {found.get('truth', '')}"]
    told = "; ".join(part for part in caption if part and not part.endswith(": "))
    return f"{text}\n\n{told}. Brackets: 95 % bootstrap over sequences. `{path.name}`."


def load_report(path: Path) -> dict[str, Any]:
    """Read the report of an imported recording."""
    must_exist(path, "python dataset_def/import_multiview.py")
    report = json.loads(path.read_text())
    missing = [key for key in REPORT if key not in report]
    if missing:
        raise ValueError(f"{path} is no report of dataset_def/import_multiview.py: it lacks {', '.join(missing)}")
    return report


def report_block(path: Path) -> str:
    """Write how well the triangulated joints reproject in each camera, before and after the refinement."""
    report = load_report(path)
    lines = ["| camera | median error as calibrated, px | refined, px | turned by, ° | used, % |", "|---" * 5 + "|"]
    for camera, before_px, after_px, turned_rad, share in zip(*(report[key] for key in REPORT), strict=True):
        cells = (camera, f"{before_px:.1f}", f"{after_px:.1f}", f"{math.degrees(turned_rad):.2f}", f"{100 * share:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nReprojection of joints triangulated from the 2D keypoints. `{path.name}`."


def budget_block(path: Path) -> str:
    """Write what a long training asks of a GPU."""
    found = json.loads(path.read_text())
    kept_gb = found["kept_for_backward_gb"] + found["weights_gradients_adam_gb"]
    size = f"{found['parameters_millions']:.1f} million parameters, {found['images_per_step']} images"
    work = f"{found['teraflop_per_step']:.2f} TFLOP per step, about {kept_gb:.1f} GB"
    time = f"{found['hours_at_assumed_speed']:.1f} hours at {found['assumed_tflops']:.0f} TFLOP/s"
    return f"{found['protocol']}: {size} and {work}; {time}. `{path.name}`."


def shortened(text: str) -> str:
    """Fold every table but the first of a markdown text, each under the line before it, and a long last paragraph.

    A text that folds parts of itself stays as it is.
    """
    if "<details>" in text:
        return text.strip()
    parts: list[str] = []
    for part in text.strip().split("\n\n"):
        is_table = part.startswith("|")
        if is_table and any("|---" in one for one in parts) and not parts[-1].startswith("<details>"):
            parts.append(fold(parts.pop().rstrip(":"), part))
        else:
            parts.append(part)
    if len(parts) > 1 and len(parts[-1]) > FOLDED_LETTERS and not parts[-1].startswith(("<", "|")):
        parts.append(fold("Protocol", parts.pop()))
    return "\n\n".join(parts)


def block(path: Path) -> str:
    """Write what a kept file says, as a README shows it."""
    if path.suffix == ".md":
        return shortened(path.read_text())
    if path.stem.endswith("_budget"):
        return budget_block(path)
    return report_block(path) if path.stem.endswith("_import") else metrics_block(path)
