"""Pictures of bodies: over the image and from other sides, silhouettes against masks, error by facing direction."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from utils.draw_mesh import plain, render_mesh
from utils.figures.common import LABEL_SIZE, LEFT, MIDDLE, RIGHT, image_grid, with_caption
from utils.image import PERSON_ABOVE
from utils.report.measures import headings, of_all_joints

BODY_PICTURE_PX = 256
BODY_RGB = (0.62, 0.74, 0.88)
BOTH, ONLY_PREDICTED, ONLY_TRUE = (190, 200, 190), (209, 73, 91), (31, 111, 181)
"""RGB of pixels in both silhouettes, in the predicted one alone, and in the mask alone."""
NO_FRAME = (235, 235, 235)


class MeshExamples(NamedTuple):
    """Frames of a tested run, as predictions.npz holds them."""

    image: UInt8[np.ndarray, "E S S 3"]
    vertices_crop_m: Float[np.ndarray, "E N 3"]
    """Vertices in the axes of the crop's camera."""
    faces: Int[np.ndarray, "F 3"]
    focal_per_side: Float[np.ndarray, "E"]
    """Focal length of the crop over its side."""
    mask: UInt8[np.ndarray, "E V M M"]
    coverage: UInt8[np.ndarray, "E V M M"]
    exists: Bool[np.ndarray, "E V"]
    own_view: Int[np.ndarray, "E"]
    frames: Int[np.ndarray, "E 5"]


def read_mesh_examples(stored: Mapping[str, np.ndarray]) -> MeshExamples:
    """Take the examples out of stored predictions."""
    own = {name: stored[f"example_{name}"] for name in MeshExamples._fields if name not in ("faces", "frames")}
    return MeshExamples(**own, faces=stored["faces"], frames=stored["frames"][stored["example_row"]])


def turned_about_middle(vertices_crop_m: Float[np.ndarray, "N 3"], degrees: float) -> Float[np.ndarray, "N 3"]:
    """Turn a mesh about the vertical of the picture through its middle; 90 degrees shows the camera its left side.

    The left side of the picture, that is: whatever the camera saw at its left comes to the front.
    """
    middle = (vertices_crop_m.min(axis=0) + vertices_crop_m.max(axis=0)) / 2
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    R = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    return (vertices_crop_m - middle) @ R.T + middle


def mesh_pictures(examples: MeshExamples, degrees: float | None) -> UInt8[np.ndarray, "E H W 3"]:
    """Draw every mesh over its image (degrees None), or turned before white."""
    rendered = []
    for image, vertices_m, focal in zip(examples.image, examples.vertices_crop_m, examples.focal_per_side, strict=True):
        half = BODY_PICTURE_PX / 2
        K = np.array([[focal * BODY_PICTURE_PX, 0, half], [0, focal * BODY_PICTURE_PX, half], [0, 0, 1.0]])
        shown_m = vertices_m.astype(np.float64)
        if degrees is None:
            background = cv2.resize(image, (BODY_PICTURE_PX, BODY_PICTURE_PX), interpolation=cv2.INTER_CUBIC)
        else:
            shown_m, background = turned_about_middle(shown_m, degrees), plain(BODY_PICTURE_PX, BODY_PICTURE_PX)
        colours = np.tile(np.array(BODY_RGB), (len(shown_m), 1))
        rendered.append(render_mesh(shown_m, examples.faces, colours, K, background))
    return np.stack(rendered)


def body_grid(examples: MeshExamples, others: Mapping[str, MeshExamples], caption: str) -> Figure:
    """Draw input, mesh over the image, from the side and from behind; and the same frames by other runs.

    Raises:
        ValueError: another run has other frames.
    """
    columns = {"input": enlarged(examples.image), "mesh": mesh_pictures(examples, None)}
    columns |= {"from the side": mesh_pictures(examples, 90), "from behind": mesh_pictures(examples, 180)}
    for name, other in others.items():
        if not np.array_equal(other.frames, examples.frames):
            raise ValueError(f"run {name} was tested on other example frames; test both with the same --subjects, "
                             "--every, --centre and --examples")  # fmt: skip
        columns |= {f"{name}: mesh": mesh_pictures(other, None), f"{name}: side": mesh_pictures(other, 90)}
    return image_grid(columns, caption, inch=1.3)


def enlarged(images: UInt8[np.ndarray, "E S S 3"]) -> UInt8[np.ndarray, "E H W 3"]:
    """Resize images to the size of the drawings."""
    return np.stack([cv2.resize(i, (BODY_PICTURE_PX, BODY_PICTURE_PX), interpolation=cv2.INTER_CUBIC) for i in images])


def silhouette_overlay(
    coverage: UInt8[np.ndarray, "*n H W"], mask: UInt8[np.ndarray, "*n H W"]
) -> UInt8[np.ndarray, "*n H W 3"]:
    """Colour where two silhouettes agree and where only one of them is."""
    rendered, true = coverage > PERSON_ABOVE, mask > PERSON_ABOVE
    picture = np.full((*mask.shape, 3), 255, np.uint8)
    for chosen, colour in ((rendered & true, BOTH), (rendered & ~true, ONLY_PREDICTED), (~rendered & true, ONLY_TRUE)):
        picture[chosen] = colour
    return picture


def silhouette_grid(examples: MeshExamples, caption: str) -> Figure:
    """Draw the input and, for all views with the input's own first, predicted and true silhouettes."""
    pictures = silhouette_overlay(examples.coverage, examples.mask)
    pictures[~examples.exists] = NO_FRAME
    views = pictures.shape[1]
    order = (examples.own_view[:, None] + np.arange(views)) % views
    sorted_views = np.take_along_axis(pictures, order[:, :, None, None, None], axis=1)
    columns = {"input": examples.image}
    columns |= {"its own view" if view == 0 else f"other view {view}": sorted_views[:, view] for view in range(views)}
    figure = image_grid(columns, caption, inch=1.3)
    names = {"both": BOTH, "predicted only": ONLY_PREDICTED, "mask only": ONLY_TRUE}
    names |= {} if examples.exists.all() else {"no frame": NO_FRAME}
    key = [Patch(color=np.array(colour) / 255, label=name) for name, colour in names.items()]  # type: ignore[arg-type]
    figure.legend(handles=key, loc="outside upper center", ncol=4, fontsize=LABEL_SIZE, frameon=False)
    return figure


POLAR = ("mpjpe_17_mm", "p_mpjpe_17_mm", "yaw_error_degrees")
FACING_LABELS = ("camera", "45°", "left", "135°", "away", "135°", "right", "45°")
"""People are turned so far to their own left or right from facing the camera."""
LINES = (LEFT, RIGHT, "#2f9e63")
MEAN_BODY = "mean body"
"""The predictor that is no network; it is drawn in grey."""


def facing_polar(by_facing: Mapping[str, Mapping[str, Any]], caption: str) -> Figure:
    """Draw errors over the direction that people face, seen from above, with the camera below.

    Args:
        by_facing: per predictor, what metrics.json holds under `by_facing`.
    """
    known = {key for table in by_facing.values() for line in table.values() for key in line}
    columns = headings(of_all_joints(POLAR, known))
    figure = Figure(figsize=(3.3 * len(columns), 4.1), dpi=160, layout="constrained")
    grid: Sequence[Any] = figure.subplots(1, len(columns), subplot_kw={"projection": "polar"})
    for axes, (title, measure) in zip(grid, columns.items(), strict=True):
        colours = dict(zip([name for name in by_facing if name != MEAN_BODY], LINES, strict=False)) | {
            MEAN_BODY: MIDDLE
        }
        for name, table in by_facing.items():
            colour = colours[name]
            degrees = sorted(int(key) for key, line in table.items() if measure in line)
            angle = np.deg2rad([*degrees, degrees[0] + 360])
            cells = [table[str(one)][measure] for one in [*degrees, degrees[0]]]
            axes.plot(angle, [cell["mean"] for cell in cells], color=colour, linewidth=1.4, marker=".", label=name)
            axes.fill_between(angle, [c["low"] for c in cells], [c["high"] for c in cells], color=colour, alpha=0.15)
        axes.set_theta_zero_location("S")
        axes.set_rlim(0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_rlabel_position(22.5)
        axes.set_thetagrids(range(0, 360, 45), FACING_LABELS)
        axes.tick_params(labelsize=6.5)
        for label in axes.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6})
        axes.set_title(title, fontsize=LABEL_SIZE + 1)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncol=len(labels), fontsize=LABEL_SIZE, frameon=False)
    return with_caption(figure, caption)
