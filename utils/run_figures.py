"""Pictures of tested runs: what a run's folder holds, drawn; one function per stage."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from utils.artifacts import load_metrics, load_predictions
from utils.figures import image_rows, loss_curves, skeleton_grid, table_figure, turntable_grid
from utils.history import load_history
from utils.mesh_figures import MEAN_BODY, body_grid, facing_polar, mesh_examples, silhouette_grid
from utils.prior_figures import auc_bars, prior_bodies

COLUMNS = {"MPJPE mm": "mpjpe_17_mm", "N-MPJPE mm": "n_mpjpe_17_mm", "P-MPJPE mm": "p_mpjpe_17_mm",
           "yaw °": "yaw_error_degrees"}  # fmt: skip
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
    """Draw novel views, a turntable and swapped appearance."""
    origin, stored = load_predictions(run / "predictions.npz", "python sample/test_enc_dec.py")
    about = f"{data}; {origin['split']}; step {stored['step']}"
    grid = {name: stored[f"grid_{name}"] for name in ("input", "target", "predicted")}
    swap = {"pose from": stored["swap_pose"], "appearance from": stored["swap_appearance"], "drawn": stored["swapped"]}
    return {
        "novel_views": image_rows(grid, f"Novel views of one image, in its own looks.\n{about}"),
        "turntable": turntable_grid(
            stored["turntable_input"][:4], stored["turntable"][:4], f"One image, turned.\n{about}"
        ),
        "swapped_appearance": image_rows(swap, f"The pose of one, the looks of another.\n{about}"),
    }


def pose_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw example skeletons and the table per action."""
    command = "python sample/test_pose.py"
    origin, stored = load_predictions(run / "predictions.npz", command)
    metrics = load_metrics(run / "metrics.json", command)["metrics"]
    about = f"{data}; {origin['split']}; step {stored['step']}"
    rows = stored["example_row"]
    skeletons = skeleton_grid(
        stored["predicted_root_m"][rows], stored["true_root_m"][rows], stored["example_image"], about
    )
    return {"skeletons": skeletons, "per_action": action_figure(metrics, run, about)}


def mesh_figures(run: Path, other: Path | None, data: str) -> dict[str, Figure]:
    """Draw bodies, silhouettes and the error by facing direction; bodies and errors of another run beside them."""
    command, runs = "python sample/test_SMPL.py", {one.name: one for one in (run, other) if one is not None}
    found = {name: load_predictions(one / "predictions.npz", command) for name, one in runs.items()}
    metrics = {name: load_metrics(one / "metrics.json", command)["metrics"] for name, one in runs.items()}
    about = f"{data}; {found[run.name][0]['split']}; step {found[run.name][1]['step']}"
    own, *others = (mesh_examples(arrays) for _, arrays in found.values())
    facing = {name: table["by_facing"] for name, table in metrics.items()}
    if "mean_body" in metrics[run.name]:
        facing[MEAN_BODY] = metrics[run.name]["mean_body"]["by_facing"]
    return {
        "bodies": body_grid(own, dict(zip([*runs][1:], others, strict=True)), about),
        "silhouettes": silhouette_grid(own, about),
        "facing": facing_polar(facing, f"{POLAR_IS}\n{about}"),
    }


def gan_figures(run: Path, data: str) -> dict[str, Figure]:
    """Draw invented, real and corrupted bodies with their plausibility, and the AUC per corruption."""
    command = "python sample/test_GAN.py"
    origin, stored = load_predictions(run / "predictions.npz", command)
    metrics = load_metrics(run / "metrics.json", command)["metrics"]
    about = f"{data}; {origin['split']}; step {stored['step']}"
    above = "Above each body: its plausibility, higher is more real.  No corruption was seen in training."
    bands = "Lines: 95 % bootstrap over sequences; 0.5 is chance."
    return {
        "prior_bodies": prior_bodies(stored, f"{above}\n{about}"),
        "prior_auc": auc_bars(metrics, f"{bands}\n{about}"),
    }


def action_figure(metrics: dict[str, Any], run: Path, about: str) -> Figure:
    """Draw the errors per action, and over all frames in the last row."""
    rows = metrics["per_action"] | {"all": metrics["overall"]}
    cells = [[line[key] for key in COLUMNS.values()] for line in rows.values()]
    if not all(isinstance(cell, dict) for line in cells for cell in line):
        raise ValueError(f"{run}/metrics.json, of an earlier version, lacks intervals; run sample/test_pose.py again")
    low, mean, high = (np.array([[cell[key] for cell in line] for line in cells]) for key in ("low", "mean", "high"))
    caption = f"17 joints; ± half the width of a 95 % bootstrap interval over sequences.\n{about}"
    return table_figure(list(rows), list(COLUMNS), mean, caption, (high - low) / 2)
