"""Figures of tested runs, from what a run's folder holds; one function per stage.

Of a prior: generated bodies, real poses beside corrupted ones, and the table of AUC.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from utils.artifacts import NOT_DRAWN, load_metrics, load_predictions, must_exist, skeleton_among
from utils.draw_mesh import FAR_M, SKIN, plain, render_mesh
from utils.figures.bodies import MEAN_BODY, body_grid, facing_polar, read_mesh_examples, silhouette_grid
from utils.figures.common import (
    LABEL_SIZE,
    LEFT,
    RIGHT,
    image_rows,
    loss_curves,
    show_image,
    skeleton_grid,
    table_figure,
    turntable_grid,
    with_caption,
)
from utils.figures.masks import damage_figure, fits_figure, overlays_figure
from utils.figures.training import points_in_views
from utils.history import load_history
from utils.report.measures import headings, joint_counts, of_all_joints
from utils.tiers import NOT_RECORDED

YAW_RAD = 0.45
"""Bodies are seen a little from their left."""
POSE_PICTURE_PX = 150
SIDE_M = 2.0
MIDDLE_M = 0.1
"""The picture's middle lies so far below the pelvis."""
ROW_COLOURS = (LEFT, RIGHT, "#2f9e63")
ROW_TITLES = {
    "generated": "generated",
    "real": "real",
    "shuffled": "joints shuffled",
    "mirrored_limb": "limb not mirrored",
    "outside_limits": "outside limits",
    "interpenetrating": "limb inside",
    "over_twisted": "over-twisted",
    "mean": "mean",
}


def front_view(vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> UInt8[np.ndarray, "S S 3"]:
    """Draw a body on white from the front.

    Args:
        vertices_m: about the pelvis, y up, the body facing +z.
    """
    turned_m = vertices_m.astype(np.float64) @ Rotation.from_euler("y", -YAW_RAD).as_matrix().T
    seen_m = turned_m * (1, -1, -1) + (0, -MIDDLE_M, FAR_M)
    focal_px = POSE_PICTURE_PX * FAR_M / SIDE_M
    K = np.array([[focal_px, 0, POSE_PICTURE_PX / 2], [0, focal_px, POSE_PICTURE_PX / 2], [0, 0, 1.0]])
    colours, background = np.broadcast_to(SKIN, seen_m.shape), plain(POSE_PICTURE_PX, POSE_PICTURE_PX)
    return render_mesh(seen_m, faces.astype(np.int64), colours, K, background)


def prior_bodies(stored: Mapping[str, Shaped[np.ndarray, "..."]], caption: str) -> Figure:
    """Draw generated, real and corrupted bodies, a row each, with their plausibility above; a column is one pose.

    Args:
        stored: predictions.npz of sample/test_GAN.py.
    """
    rows = [kind for kind in ROW_TITLES if f"vertices_{kind}_m" in stored]
    count = len(stored["example_row"])
    figure = Figure(figsize=(1.05 * count + 0.4, 1.2 * len(rows) + 0.6), dpi=160, layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, kind in zip(grid, rows, strict=True):
        for column, axes in enumerate(line):
            picture = front_view(stored[f"vertices_{kind}_m"][column], stored["faces"])
            show_image(axes, picture, f"{stored[f'plausibility_{kind}'][column]:.2f}")
        line[0].set_ylabel(ROW_TITLES[kind], fontsize=LABEL_SIZE)
    return with_caption(figure, caption)


CHANCE = 0.5
"""AUC of a score that tells nothing; bars begin there."""


def auc_bars(metrics: Mapping[str, Any], caption: str) -> Figure:
    """Draw the AUC per corruption with its interval, a colour per set of real poses; chance is 0.5.

    Args:
        metrics: of metrics.json of sample/test_GAN.py.
    """
    kinds = [kind for kind in ROW_TITLES if kind in next(iter(metrics.values()))["auc"]["plausibility"]]
    figure = Figure(figsize=(5.6, 0.42 * len(kinds) + 1.1), dpi=160, layout="constrained")
    axes = figure.subplots()
    width, lowest = 0.8 / len(metrics), CHANCE
    for number, (name, found) in enumerate(metrics.items()):
        cells = [found["auc"]["plausibility"][kind] for kind in kinds]
        mean = np.array([cell["mean"] for cell in cells])
        ends = np.abs(np.array([[cell["low"], cell["high"]] for cell in cells]).T - mean)
        places = np.arange(len(kinds)) + (number - (len(metrics) - 1) / 2) * width
        label = f"{name}: {found['num_poses']} poses of {found['num_sequences']} unseen sequences"
        axes.barh(
            places, mean - CHANCE, width, left=CHANCE, xerr=ends, color=ROW_COLOURS[number % 3], label=label,
            error_kw={"linewidth": 0.8},
        )  # fmt: skip
        for place, value in zip(places, mean, strict=True):
            at, side = (CHANCE - 0.005, "right") if value < CHANCE else (CHANCE + 0.005, "left")
            axes.text(at, place, f"{value:.2f}", va="center", ha=side, fontsize=6, color="white")
        lowest = min(lowest, float((mean - ends[0]).min()))
    axes.set_yticks(range(len(kinds)), [ROW_TITLES[kind] for kind in kinds], fontsize=LABEL_SIZE)
    axes.invert_yaxis()
    axes.axvline(CHANCE, color="black", linewidth=0.8)
    axes.set_xlim(lowest, 1.0)
    axes.set_xlabel("AUC, real above corrupted", fontsize=LABEL_SIZE)
    axes.tick_params(axis="x", labelsize=6)
    figure.legend(loc="outside upper center", fontsize=6, frameon=False)
    return with_caption(figure, caption)


ACTION_COLUMNS = ("mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "yaw_error_degrees")
POLAR_IS = ("Error by where people face, seen from above (turned to their own left or right from facing the camera), "
            "in eight bins.\nBands: 95 % bootstrap over sequences.")  # fmt: skip


def history_figure(run: Path, data: str) -> dict[str, Figure]:
    """Draw what the run logged while training; nothing if it comes without a log."""
    history = run / "history.jsonl"
    if not history.exists():
        return {}
    name = f"{run.parent.name}/{run.name}"
    return {f"{run.parent.name}_loss": loss_curves(load_history(history), f"{data}; run {name}")}


def enc_dec_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw the points, and of a decoder that was trained novel views, a turntable and swapped appearance."""
    provenance, stored = load_predictions(run / "predictions.npz", "python sample/test_enc_dec.py")
    caption = f"{data}; {provenance['split']}; step {stored['step']}"
    over: dict[str, Figure] = {}
    if shown := points_in_views(stored):
        turned = "; below, turned to another camera" if len(shown) > 2 else ""
        over = {
            "points": image_rows(shown, f"The points found in one image, partners in one colour{turned}.\n{caption}")
        }
    if NOT_DRAWN in stored:
        return over
    grid = {name: stored[f"grid_{name}"] for name in ("input", "target", "predicted")}
    swap = {
        "pose from": stored["swap_pose"],
        "appearance from": stored["swap_appearance"],
        "predicted": stored["swapped"],
    }
    return over | {
        "novel_views": image_rows(grid, f"Novel views of one image, in its own appearance.\n{caption}"),
        "turntable": turntable_grid(
            stored["turntable_input"][:4], stored["turntable"][:4], f"One image, turned.\n{caption}"
        ),
        "swapped_appearance": image_rows(swap, f"The pose of one, the appearance of another.\n{caption}"),
    }


def pose_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw example skeletons and the table per action."""
    command = "python sample/test_pose.py"
    provenance, stored = load_predictions(run / "predictions.npz", command)
    metrics = load_metrics(run / "metrics.json", command)["metrics"]
    caption = f"{data}; {provenance['split']}; step {stored['step']}"
    rows = stored["example_row"]
    skeletons = skeleton_grid(
        stored["predicted_root_m"][rows], stored["true_root_m"][rows], stored["example_image"], caption,
        skeleton_among(stored),
    )  # fmt: skip
    return {"skeletons": skeletons, "per_action": action_figure(metrics, run, caption)}


MOVED = "Bodies are moved across the picture until the middle of their outline is the mask's.\n"
"""Where crops are centred on masks or boxes, no network tells where a body stands."""


def mesh_figures(run: Path, other: Path | None, data: str) -> dict[str, Figure]:
    """Draw bodies, silhouettes and the error by facing direction; bodies and errors of another run beside them."""
    command, runs = "python sample/test_SMPL.py", {one.name: one for one in (run, other) if one is not None}
    found = {name: load_predictions(one / "predictions.npz", command) for name, one in runs.items()}
    metrics = {name: load_metrics(one / "metrics.json", command)["metrics"] for name, one in runs.items()}
    caption = f"{data}; {found[run.name][0]['split']}; step {found[run.name][1]['step']}"
    own, *others = (read_mesh_examples(arrays) for _, arrays in found.values())
    is_moved = any(str(arrays.get("placed_by", "")) == "mask" for _, arrays in found.values())
    facing = {name: table["by_facing"] for name, table in metrics.items()}
    if "mean_body" in metrics[run.name]:
        facing[MEAN_BODY] = metrics[run.name]["mean_body"]["by_facing"]
    return {
        "bodies": body_grid(own, dict(zip([*runs][1:], others, strict=True)), MOVED * is_moved + caption),
        "silhouettes": silhouette_grid(own, caption),
        "facing": facing_polar(facing, f"{POLAR_IS}\n{caption}"),
    }


def gan_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw generated, real and corrupted bodies with their plausibility, and the AUC per corruption."""
    command = "python sample/test_GAN.py"
    provenance, stored = load_predictions(run / "predictions.npz", command)
    metrics = load_metrics(run / "metrics.json", command)["metrics"]
    caption = f"{data}; {provenance['split']}; step {stored['step']}"
    above = "Above each body: its plausibility, higher is more real.  No corruption was seen in training."
    bands = "Lines: 95 % bootstrap over sequences; 0.5 is chance."
    return {
        "prior_bodies": prior_bodies(stored, f"{above}\n{caption}"),
        "prior_auc": auc_bars(metrics, f"{bands}\n{caption}"),
    }


def action_figure(metrics: dict[str, Any], run: Path, caption: str) -> Figure:
    """Draw the errors per action, and over all frames in the last row."""
    rows = metrics["per_action"] | {"all": metrics["overall"]}
    overall = metrics["overall"]
    columns = headings(key for key in of_all_joints(ACTION_COLUMNS, overall) if key in overall)
    cells = [[line[key] for key in columns.values()] for line in rows.values()]
    if not all(isinstance(cell, dict) for line in cells for cell in line):
        raise ValueError(f"{run}/metrics.json, of an earlier version, lacks intervals; run sample/test_pose.py again")
    low, mean, high = (np.array([[cell[key] for cell in line] for line in cells]) for key in ("low", "mean", "high"))
    caption = (
        f"{joint_counts(overall)[0]} joints; ± half the width of a 95 % bootstrap interval over sequences.\n{caption}"
    )
    return table_figure(list(rows), list(columns), mean, caption, (high - low) / 2)


def masks_figures(run: Path) -> dict[str, Figure]:
    """Draw a teacher's error under each kind of damage."""
    path = run / "damage.json"
    must_exist(path, "python sample/train_SMPL_from_masks.py")
    points_mm, name = json.loads(path.read_text())["points_mm"], f"{run.parent.name}/{run.name}"
    return {"damage": damage_figure(points_mm, f"Bodies drawn in poses held out; run {name}")}


def fits_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw fitted bodies over the pictures of all cameras, and those that are farthest off over their masks."""
    command = "python sample/test_SMPL_from_masks.py"
    provenance, stored = load_predictions(run / "predictions.npz", command)
    if "example_overlay" not in stored:
        raise ValueError(f"{run}/predictions.npz is of an earlier version and has no pictures; run {command} again")
    reads = load_metrics(run / "metrics.json", command).get("tier", NOT_RECORDED)
    caption = f"{data}; {provenance['split']}".removeprefix("; ") + f".  Reads {reads}."
    which = "with the largest error" if "fit_joints_mm" in stored else "that cover their masks least"
    mask, start, fit, exists = (stored[f"worst_{name}"] for name in ("mask", "start", "fit", "exists"))
    return {
        "fits": overlays_figure(stored["example_overlay"], f"Bodies fitted to masks.\n{caption}"),
        "fits_worst": fits_figure(mask, start, fit, exists, f"The frames {which} of all.\n{caption}"),
    }
