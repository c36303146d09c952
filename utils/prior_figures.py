"""Pictures of a prior: bodies that the generator invents, real poses beside corrupted ones, and the table of AUC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from utils.body_views import FAR_M, SKIN
from utils.draw_mesh import render_mesh
from utils.figures import LABEL_SIZE, LEFT, RIGHT, show_image, with_caption

YAW_RAD = 0.45
"""Bodies are seen a little from their left."""
PICTURE_PX = 150
SIDE_M = 2.0
MIDDLE_M = 0.1
"""The picture's middle lies so far below the pelvis."""
COLOURS = (LEFT, RIGHT, "#2f9e63")
TITLES = {"invented": "invented", "real": "real", "shuffled": "joints shuffled", "mirrored_limb": "limb not mirrored",
          "outside_limits": "outside limits", "interpenetrating": "limb inside", "over_twisted": "over-twisted",
          "mean": "mean"}  # fmt: skip


def front_view(vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> UInt8[np.ndarray, "S S 3"]:
    """Draw a body on white from the front.

    Args:
        vertices_m: about the pelvis, y up, the body facing +z.
    """
    turned_m = vertices_m.astype(np.float64) @ Rotation.from_euler("y", -YAW_RAD).as_matrix().T
    seen_m = turned_m * (1, -1, -1) + (0, -MIDDLE_M, FAR_M)
    focal_px = PICTURE_PX * FAR_M / SIDE_M
    K = np.array([[focal_px, 0, PICTURE_PX / 2], [0, focal_px, PICTURE_PX / 2], [0, 0, 1.0]])
    return render_mesh(seen_m, faces.astype(np.int64), K, PICTURE_PX, PICTURE_PX, np.broadcast_to(SKIN, seen_m.shape))


def prior_bodies(stored: Mapping[str, Shaped[np.ndarray, "..."]], caption: str) -> Figure:
    """Draw invented, real and corrupted bodies, a row each, with their plausibility above; a column is one pose.

    Args:
        stored: predictions.npz of sample/test_GAN.py.
    """
    rows = [kind for kind in TITLES if f"vertices_{kind}_m" in stored]
    count = len(stored["example_row"])
    figure = Figure(figsize=(1.05 * count + 0.4, 1.2 * len(rows) + 0.6), dpi=160, layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, kind in zip(grid, rows, strict=True):
        for column, axes in enumerate(line):
            picture = front_view(stored[f"vertices_{kind}_m"][column], stored["faces"])
            show_image(axes, picture, f"{stored[f'plausibility_{kind}'][column]:.2f}")
        line[0].set_ylabel(TITLES[kind], fontsize=LABEL_SIZE)
    return with_caption(figure, caption)


def auc_bars(metrics: Mapping[str, Any], caption: str) -> Figure:
    """Draw the AUC per corruption with its interval, a colour per set of real poses; chance is 0.5.

    Args:
        metrics: of metrics.json of sample/test_GAN.py.
    """
    kinds = [kind for kind in TITLES if kind in next(iter(metrics.values()))["auc"]["plausibility"]]
    figure = Figure(figsize=(5.6, 0.42 * len(kinds) + 1.1), dpi=160, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(metrics)
    for number, (name, found) in enumerate(metrics.items()):
        cells = [found["auc"]["plausibility"][kind] for kind in kinds]
        mean = np.array([cell["mean"] for cell in cells])
        ends = np.abs(np.array([[cell["low"], cell["high"]] for cell in cells]).T - mean)
        places = np.arange(len(kinds)) + (number - (len(metrics) - 1) / 2) * width
        label = f"{name}: {found['num_poses']} poses of {found['num_sequences']} unseen sequences"
        axes.barh(places, mean, width, xerr=ends, color=COLOURS[number % 3], label=label, error_kw={"linewidth": 0.8})
        for place, value in zip(places, mean, strict=True):
            axes.text(0.505, place, f"{value:.2f}", va="center", fontsize=6, color="white")
    axes.set_yticks(range(len(kinds)), [TITLES[kind] for kind in kinds], fontsize=LABEL_SIZE)
    axes.invert_yaxis()
    axes.set_xlim(0.5, 1.0)
    axes.set_xlabel("AUC, real above corrupted", fontsize=LABEL_SIZE)
    axes.tick_params(axis="x", labelsize=6)
    figure.legend(loc="outside upper center", fontsize=6, frameon=False)
    return with_caption(figure, caption)
