"""Pictures of bodies read from masks: masks and bodies drawn over each other in all views."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from utils.figures.bodies import BOTH, NO_FRAME, ONLY_PREDICTED, ONLY_TRUE, silhouette_overlay
from utils.figures.common import LABEL_SIZE, MIDDLE, image_grid, with_caption
from utils.figures.training import enlarged, grid_picture

KEY = {"both": BOTH, "body only": ONLY_PREDICTED, "mask only": ONLY_TRUE, "no mask": NO_FRAME}


def bytes_of(coverage: Float[np.ndarray, "*n S S"]) -> UInt8[np.ndarray, "*n S S"]:
    """Turn shares into grey levels."""
    return (np.clip(coverage, 0, 1) * 255).round().astype(np.uint8)


def with_key(figure: Figure) -> Figure:
    """Explain the colours above a figure."""
    key = [Patch(color=np.array(colour) / 255, label=name) for name, colour in KEY.items()]  # type: ignore[arg-type]
    figure.legend(handles=key, loc="outside upper center", ncol=4, fontsize=LABEL_SIZE, frameon=False)
    return figure


def fits_figure(
    mask: Float[np.ndarray, "E V S S"],
    start: Float[np.ndarray, "E V S S"],
    fit: Float[np.ndarray, "E V S S"],
    exists: Bool[np.ndarray, "E V"],
    caption: str,
) -> Figure:
    """Draw one row per instant: in all views first what the fit began with, over the masks, then the fit."""
    columns: dict[str, UInt8[np.ndarray, "E S S 3"]] = {}
    for name, drawn in (("start", start), ("fit", fit)):
        pictures = silhouette_overlay(bytes_of(drawn), bytes_of(mask))
        pictures[~exists] = NO_FRAME
        columns |= {f"{name}, view {view + 1}": pictures[:, view] for view in range(pictures.shape[1])}
    return with_key(image_grid(columns, caption, inch=0.9))


def overlays_figure(overlays: UInt8[np.ndarray, "E V S S 3"], caption: str) -> Figure:
    """Draw one row per instant: the body over the pictures of all cameras."""
    columns = {f"camera {view + 1}": overlays[:, view] for view in range(overlays.shape[1])}
    return image_grid(columns, caption, inch=1.5)


def masks_picture(
    mask: Float[np.ndarray, "E V S S"], drawn: Float[np.ndarray, "E V S S"], exists: Bool[np.ndarray, "E V"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw one row per body: the masks that the teacher sees, and the body that it reads, over them."""
    seen = np.repeat(255 - bytes_of(mask)[..., None], 3, axis=-1)
    read = silhouette_overlay(bytes_of(drawn), bytes_of(mask))
    columns: dict[str, UInt8[np.ndarray, "E H W 3"]] = {}
    for name, pictures in (("masks", seen), ("body", read)):
        pictures[~exists] = NO_FRAME
        columns |= {f"{name}, view {view + 1}": enlarged(pictures[:, view]) for view in range(pictures.shape[1])}
    return grid_picture(columns)


def damage_figure(error_mm: Mapping[str, float], caption: str) -> Figure:
    """Draw the error under each kind of damage as bars."""
    figure = Figure(figsize=(5.0, 0.32 * len(error_mm) + 0.9), dpi=160, layout="constrained")
    axes = figure.subplots()
    names = list(error_mm)[::-1]
    bars = axes.barh(names, [error_mm[name] for name in names], color=MIDDLE)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=LABEL_SIZE)
    axes.set_xlabel("mean distance of joints and surface, mm", fontsize=LABEL_SIZE)
    axes.tick_params(labelsize=LABEL_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    return with_caption(figure, caption)
