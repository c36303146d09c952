"""The README's picture of the method: the four stages with their losses, drawn from what trained networks give."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from utils.figures.common import bone_colour
from utils.figures.diagrams import GREY, INK, PALE, STAGE, arrow, badge, canvas, draw_box, picture, say
from utils.skeleton import H36M_17, H36M_17_PARENTS

WIDTH = 536.0
"""Of the picture, in points; all places below are points from the top left."""
FROZEN = "#8a98a8"
ICON, SMALL, BOX = 58.0, 41.0, 56.0
"""Sides of pictures and of the small ones, width of a network's box."""
TITLE, CAPTION, FILES = 30.0, 17.0, 17.0
"""Heights of a stage's heading, of the captions under a line of pictures, and of the line with script and file."""
INPUT, ENCODER, FOUND, HEAD = 14.0, 90.0, 164.0, 240.0
"""Left edges of what the stages have in common."""


class Shown(NamedTuple):
    """One instant of the embedded data, and what the committed networks make of its first camera's image."""

    image: UInt8[np.ndarray, "V S S 3"]
    """Crops of all cameras; the first is the input, the second the view to be drawn."""
    mask: UInt8[np.ndarray, "V M M"]
    other_instant: UInt8[np.ndarray, "S S 3"]
    background: UInt8[np.ndarray, "S S 3"]
    """Of the second camera."""
    drawn: UInt8[np.ndarray, "s s 3"]
    points_m: Float[np.ndarray, "P 3"]
    """In the axes of the first camera's crop."""
    points_there_m: Float[np.ndarray, "P 3"]
    """The same, turned into the axes of the second's."""
    joints_root_m: Float[np.ndarray, "17 3"]
    true_joints_root_m: Float[np.ndarray, "17 3"]
    body: UInt8[np.ndarray, "S S 3"]
    """The predicted body over the image."""
    body_joints_root_m: Float[np.ndarray, "17 3"]
    silhouette: UInt8[np.ndarray, "V M M"]
    real: UInt8[np.ndarray, "B B 3"]
    generated: UInt8[np.ndarray, "B B 3"]
    perturbed: UInt8[np.ndarray, "B B 3"]
    side_m: float
    """Side of the crops."""


class Stage(NamedTuple):
    """What is written about a stage."""

    number: int
    title: str
    reads: str
    script: str
    output: str
    """File that the next stage reads."""
    height: float


STAGES = (
    Stage(1, "Novel views", "images of calibrated cameras, masks",
          "sample/train_enc_dec.py", "runs/enc_dec/<name>/checkpoint_best.pt", 210),
    Stage(2, "3D pose", "images and 3D joints of subject 1",
          "sample/train_3d_pose_from_enc.py", "runs/pose/<name>/checkpoint_best.pt", 124),
    Stage(3, "Prior", "poses and shapes, no images",
          "sample/train_GAN.py", "runs/gan/<name>/checkpoint_best.pt", 124),
    Stage(4, "Body", "images, masks; 3D joints of subject 1",
          "sample/train_SMPL_from_enc.py", "runs/mesh/<name>/checkpoint_best.pt", 234),
)  # fmt: skip
WHY = """Nothing but R says how the person
stands before camera 2: the picture
comes out right only where the points
lie on the body, in 3D.  So geometry is
learned without 3D joints.  (Colour of
a point: its distance from camera 1.)"""
GAP, LEGEND = 7.0, 22.0


def network(axes: Axes, name: str, x: float, y: float, colour: str, width: float = BOX) -> None:
    """Draw a network that is trained in its stage's colour, or frozen in grey; y is its middle."""
    draw_box(axes, x, y - 16, width, 32, colour)
    say(axes, x + width / 2, y, name, 7.8, "white", bold=True)


def formula(axes: Axes, name: str, x: float, y: float, width: float = BOX) -> None:
    """Draw a step that has nothing to learn."""
    draw_box(axes, x, y - 16, width, 32, "white", INK, line=0.9)
    say(axes, x + width / 2, y, name, 7.8)


def loss(axes: Axes, name: str, x: float, y: float) -> None:
    """Draw a loss."""
    draw_box(axes, x - 13, y - 8, 26, 16, INK, radius=8)
    say(axes, x, y, f"$L_{{{name}}}$", 8.6, "white")


def compared(axes: Axes, name: str, left: float, right: float, y: float) -> None:
    """Draw a loss between two pictures."""
    middle = (left + right) / 2
    arrow(axes, (left + 2, y), (middle - 14, y))
    arrow(axes, (right - 2, y), (middle + 14, y))
    loss(axes, name, middle, y)


def under(axes: Axes, x: float, y: float, words: str, width: float = ICON) -> None:
    """Write a caption under a picture whose top is at y."""
    say(axes, x + width / 2, y + ICON + 8, words, 7.2, GREY)


def frame(axes: Axes, x: float, y: float, side: float = ICON) -> None:
    """Draw an empty picture."""
    axes.add_patch(Rectangle((x, y), side, side, facecolor="white", edgecolor="#b9bec5", linewidth=0.8, zorder=1))


def draw_points(axes: Axes, points_m: np.ndarray, depth_m: np.ndarray, side_m: float, x: float, y: float) -> None:
    """Draw the latent points where they project; colours tell how far each is from the FIRST camera."""
    places = np.clip(points_m[:, :2] / side_m + 0.5, 0.01, 0.99) * ICON + (x, y)
    order = np.argsort(-points_m[:, 2])
    low, high = np.quantile(depth_m, [0.05, 0.95])
    axes.scatter(places[order, 0], places[order, 1], s=3.4, c=depth_m[order], cmap="plasma_r", vmin=low, vmax=high,
                 linewidths=0.25, edgecolors="white", zorder=4)  # fmt: skip


def draw_joints(
    axes: Axes, joints_m: np.ndarray, side_m: float, x: float, y: float, line: str = "-", width: float = 1.7
) -> None:
    """Draw a skeleton as the camera sees it, left blue and right red."""
    places = np.clip(joints_m[:, :2] / side_m + 0.5, 0, 1) * ICON + (x, y)
    for joint, parent in enumerate(H36M_17_PARENTS):
        if parent >= 0:
            axes.plot(*places[[parent, joint]].T, line, color=bone_colour(H36M_17[joint]), linewidth=width,
                      solid_capstyle="round", zorder=4)  # fmt: skip


def faded(image: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "S S 3"]:
    """Make a picture pale and grey, so that what is drawn over it stands out."""
    grey = image.mean(axis=2, keepdims=True)
    return np.repeat(np.round(0.55 * grey + 0.45 * 255), 3, axis=2).astype(np.uint8)


def heading(axes: Axes, stage: Stage, y: float) -> None:
    """Write number, title and what is read above a stage, and its files below."""
    draw_box(axes, 4, y, WIDTH - 8, stage.height, PALE, radius=9)
    badge(axes, 19, y + 15, stage.number, 190, 10.5)
    say(axes, 34, y + 15.2, stage.title, 11.5, across="left", bold=True)
    say(axes, WIDTH - 14, y + 15.2, f"reads {stage.reads}", 8.4, STAGE[stage.number], "right")
    say(axes, 14, y + stage.height - 11, f"{stage.script}  →  {stage.output}", 7.2, across="left", mono=True)


def encoded(axes: Axes, shown: Shown, y: float, is_trained: bool) -> None:
    """Draw the way from the image to the points, which three stages begin with."""
    middle = y + ICON / 2
    picture(axes, shown.image[0], INPUT, y, ICON)
    under(axes, INPUT, y, "one image")
    arrow(axes, (INPUT + ICON + 2, middle), (ENCODER - 2, middle))
    network(axes, "encoder" if is_trained else "encoder,\nfrozen", ENCODER, middle, STAGE[1] if is_trained else FROZEN)
    arrow(axes, (ENCODER + BOX + 2, middle), (FOUND - 2, middle))
    picture(axes, faded(shown.image[0]), FOUND, y, ICON)
    draw_points(axes, shown.points_m, shown.points_m[:, 2], shown.side_m, FOUND, y)
    under(axes, FOUND, y, f"{len(shown.points_m)} points, 3D")


def novel_views(axes: Axes, shown: Shown, y: float) -> None:
    """Draw stage 1: encode, turn, draw, compare."""
    top, below, colour, there, drawn = y + TITLE, y + TITLE + ICON + CAPTION + 8, STAGE[1], 290.0, 362.0
    encoded(axes, shown, top, is_trained=True)
    middle = top + ICON / 2
    arrow(axes, (FOUND + ICON + 2, middle), (there - 2, middle))
    say(axes, (FOUND + ICON + there) / 2, middle - 9, "turned by $R$", 7.8)
    say(axes, (FOUND + ICON + there) / 2, middle + 10, "from camera 1\nto camera 2", 7.2, GREY)
    frame(axes, there, top)
    draw_points(axes, shown.points_there_m, shown.points_m[:, 2], shown.side_m, there, top)
    under(axes, there, top, "the same points")
    say(axes, 362, middle, WHY, 7.4, across="left")
    middle = below + ICON / 2
    picture(axes, shown.other_instant, INPUT, below, ICON)
    under(axes, INPUT, below, "another instant")
    arrow(axes, (INPUT + ICON + 2, middle), (ENCODER - 2, middle))
    network(axes, "appearance\nencoder", ENCODER, middle, colour)
    say(axes, (ENCODER + BOX + FOUND) / 2, middle, "+", 11, GREY)
    picture(axes, shown.background, FOUND, below, ICON)
    under(axes, FOUND, below, "background, camera 2")
    arrow(axes, (FOUND + ICON + 2, middle), (there, middle))
    arrow(axes, (there + ICON / 2, top + ICON + 14), (there + ICON / 2, middle - 17))
    network(axes, "decoder", there + 1, middle, colour)
    arrow(axes, (there + BOX + 3, middle), (drawn - 2, middle))
    picture(axes, shown.drawn, drawn, below, ICON)
    under(axes, drawn, below, "rendered")
    compared(axes, "img", drawn + ICON, 462, middle)
    picture(axes, shown.image[1], 462, below, ICON)
    under(axes, 462, below, "camera 2")


def pose(axes: Axes, shown: Shown, y: float) -> None:
    """Draw stage 2: read the joints off the points."""
    top, middle, found, true = y + TITLE, y + TITLE + ICON / 2, 314.0, 416.0
    encoded(axes, shown, top, is_trained=False)
    arrow(axes, (FOUND + ICON + 2, middle), (HEAD - 2, middle))
    network(axes, "pose\nhead", HEAD, middle, STAGE[2])
    arrow(axes, (HEAD + BOX + 2, middle), (found - 2, middle))
    for x, joints_m, words in (
        (found, shown.joints_root_m, "17 joints, 3D"),
        (true, shown.true_joints_root_m, "true joints"),
    ):
        frame(axes, x, top)
        draw_joints(axes, joints_m, shown.side_m, x, top)
        under(axes, x, top, words)
    compared(axes, "pose", found + ICON, true, middle)
    say(axes, true + ICON + 6, middle, "labels of\none person", 7.6, across="left")


def prior(axes: Axes, shown: Shown, y: float) -> None:
    """Draw stage 3: tell real bodies from generated and perturbed ones."""
    top, middle = y + TITLE, y + TITLE + ICON / 2
    say(axes, 21, middle, "noise", 7.8)
    arrow(axes, (33, middle), (44, middle))
    network(axes, "generator", 46, middle, STAGE[3])
    arrow(axes, (46 + BOX + 1, middle), (114, middle))
    places = (116.0, 182.0, 248.0)
    for x, image, words in zip(places, (shown.generated, shown.real, shown.perturbed),
                               ("generated", "real", "perturbed"), strict=True):  # fmt: skip
        picture(axes, image, x, top, ICON)
        under(axes, x, top, words)
    axes.add_patch(FancyBboxPatch((112, top - 3), 198, ICON + 18, "round,pad=0,rounding_size=4", facecolor="none",
                                  edgecolor=GREY, linewidth=0.8, linestyle=(0, (3, 2))))  # fmt: skip
    arrow(axes, (311, middle), (326, middle))
    network(axes, "discriminator", 328, middle, STAGE[3], 68)
    arrow(axes, (398, middle), (409, middle))
    loss(axes, "D", 424, middle)
    say(axes, 441, middle, "Which of them is real?\nThe discriminator is\nkept, for stage 4.", 7.4, across="left")


def body(axes: Axes, shown: Shown, y: float) -> None:
    """Draw stage 4: a body from the points, and the three things it is compared with."""
    top, middle, model, mesh = y + TITLE, y + TITLE + ICON / 2, 326.0, 404.0
    encoded(axes, shown, top, is_trained=False)
    arrow(axes, (FOUND + ICON + 2, middle), (HEAD - 2, middle))
    network(axes, "body\nhead", HEAD, middle, STAGE[4])
    arrow(axes, (HEAD + BOX + 2, middle), (model - 2, middle))
    say(axes, (HEAD + BOX + model) / 2 - 1, middle - 8, r"$\theta, \beta$", 8.6)
    formula(axes, "body\nmodel", model, middle)
    arrow(axes, (model + BOX + 2, middle), (mesh - 2, middle))
    picture(axes, shown.body, mesh, top, ICON)
    under(axes, mesh, top, "body")
    say(axes, 470, middle, "pose and\nshape", 7.8, GREY, "left")
    bus, below = top + ICON + 16, top + ICON + 30
    ends = (43.0, 326.0, 434.0)
    axes.plot([ends[0], ends[-1]], [bus, bus], color=GREY, linewidth=1.3, solid_capstyle="round")
    for x in ends:
        arrow(axes, (x, bus), (x, below if x == ends[1] else below + SMALL / 2 - 17))
    for x, words in zip(ends, ("vertices", "joints", r"$\theta, \beta$"), strict=True):
        say(axes, x + 4, bus + 8, words, 7.2, GREY, "left")
    silhouettes(axes, shown, below)
    frame(axes, 297, below + 1)
    draw_joints(axes, shown.body_joints_root_m, shown.side_m, 297, below + 1)
    draw_joints(axes, shown.true_joints_root_m, shown.side_m, 297, below + 1, ":", 1.1)
    under(axes, 297, below + 1, "joints, dotted: label")
    loss(axes, "pose", 372, below + 1 + ICON / 2)
    arrow(axes, (297 + ICON + 1, below + 1 + ICON / 2), (358, below + 1 + ICON / 2))
    network(axes, "discriminator,\nfrozen", 400, below + SMALL / 2, FROZEN, 68)
    arrow(axes, (470, below + SMALL / 2), (484, below + SMALL / 2))
    loss(axes, "gan", 499, below + SMALL / 2)
    say(axes, 456, below + SMALL / 2 + 26, "could a person do this?", 7.2, GREY)


def silhouettes(axes: Axes, shown: Shown, y: float) -> None:
    """Draw the body's outlines in all cameras above the masks that they are compared with."""
    formula(axes, "rasteriser", INPUT, y + SMALL / 2, 58)
    arrow(axes, (INPUT + 60, y + SMALL / 2), (86, y + SMALL / 2))
    for row, images in enumerate((shown.silhouette, shown.mask)):
        for column, image in enumerate(images[:4]):
            picture(axes, np.repeat(255 - image[..., None] // 4 * 3, 3, axis=2), 88 + 43 * column,
                    y + 44 * row, SMALL)  # fmt: skip
    say(axes, 82, y + 44 + SMALL / 2, "masks of\nall cameras", 7.2, GREY, "right")
    say(axes, 173, y + 44 + SMALL + 8, "above: the body as all cameras see it", 7.2, GREY)
    loss(axes, "verts", 276, y + SMALL + 1.5)
    for place in (y + SMALL / 2, y + 44 + SMALL / 2):
        axes.plot([259, 276], [place, place], color=GREY, linewidth=1.3)
    arrow(axes, (276, y + SMALL / 2), (276, y + SMALL - 7))
    arrow(axes, (276, y + 44 + SMALL / 2), (276, y + SMALL + 10))


def legend(axes: Axes, y: float) -> None:
    """Explain colours."""
    for x in (14, 23, 32):  # the other stages' colours: what is coloured is trained, in whichever stage
        draw_box(axes, x, y - 5, 16, 10, STAGE[(x - 14) // 9 + 1], "none", 4, 0.9)
    for x, face, words in ((41, STAGE[4], "trained in this stage"), (150, FROZEN, "frozen"),
                           (205, "white", "formula, gradients pass"), (326, INK, "loss")):  # fmt: skip
        draw_box(axes, x, y - 5, 16, 10, face, INK if face == "white" else "none", 4, 0.9)
        say(axes, x + 21, y, words, 7.6, GREY, "left")
    say(axes, WIDTH - 14, y, "pictures: synthetic data, trained networks", 7.2, GREY, "right")


def stages_figure(shown: Shown) -> Figure:
    """Draw the four stages, one block each."""
    figure, axes = canvas(sum(stage.height + GAP for stage in STAGES) + LEGEND, WIDTH)
    draw: Sequence = (novel_views, pose, prior, body)
    y = 4.0
    for stage, one in zip(STAGES, draw, strict=True):
        heading(axes, stage, y)
        one(axes, shown, y)
        y += stage.height + GAP
    legend(axes, y + LEGEND / 2 - 4)
    return figure
