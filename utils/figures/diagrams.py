"""Diagrams for the README: the four stages, and the files between them.  White ground, letters that a phone shows.

Their small pictures show one person as a photo, as points, as a skeleton, as a surface.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from utils.draw_mesh import render_mesh
from utils.figures.common import bone_colour
from utils.skeleton import H36M_17, H36M_17_PARENTS

ICON_PX = 320
ICON_DISTANCE_M = 4.2
SEEN_M = 2.15
"""Height of the scene that an icon shows at the person's distance."""
PLAIN_RGB = (0.62, 0.74, 0.88)
NUM_POINTS = 200


class IconBody(NamedTuple):
    """A posed body about its pelvis; x right, y down, z away from the camera, which it faces."""

    vertices_m: Float[np.ndarray, "V 3"]
    joints_m: Float[np.ndarray, "17 3"]
    broken_m: Float[np.ndarray, "V 3"]
    """Vertices of the same body in a pose that no person can take."""
    faces: Int[np.ndarray, "F 3"]
    colours: Float[np.ndarray, "V 3"]


def turned_about_pelvis(points_m: Float[np.ndarray, "N 3"], degrees: float) -> Float[np.ndarray, "N 3"]:
    """Turn points about the vertical through the pelvis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points_m @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def in_frame(points_m: Float[np.ndarray, "N 3"], vertices_m: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "N 3"]:
    """Move points so that the body stands in the middle of an icon, before its camera."""
    middle_y_m = (vertices_m[:, 1].min() + vertices_m[:, 1].max()) / 2
    return points_m + np.array([0, -middle_y_m, ICON_DISTANCE_M])


def camera_matrix() -> Float[np.ndarray, "3 3"]:
    """Give K of an icon's camera."""
    focal_px = ICON_PX * ICON_DISTANCE_M / SEEN_M
    return np.array([[focal_px, 0, ICON_PX / 2], [0, focal_px, ICON_PX / 2], [0, 0, 1]])


def on_icon(points_m: Float[np.ndarray, "N 3"], vertices_m: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "N 2"]:
    """Project points to an icon, as shares of its side from the top left."""
    placed_m = in_frame(points_m, vertices_m)
    K = camera_matrix()
    return (placed_m[:, :2] / placed_m[:, 2:] * K[0, 0] + K[:2, 2]) / ICON_PX


def surface(
    vertices_m: Float[np.ndarray, "V 3"],
    person: IconBody,
    colours: Float[np.ndarray, "V 3"] | None = None,
    background: UInt8[np.ndarray, "H W 3"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a body, in one colour before white unless told otherwise."""
    paint = np.tile(np.array(PLAIN_RGB), (len(vertices_m), 1)) if colours is None else colours
    behind = np.full((ICON_PX, ICON_PX, 3), 255, np.uint8) if background is None else background
    return render_mesh(in_frame(vertices_m, vertices_m), person.faces, camera_matrix(), ICON_PX, ICON_PX, paint,
                       behind, samples=3)  # fmt: skip


def room(wall: tuple[int, int, int], window: float) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a wall with a window, and a red carpet."""
    picture = np.empty((ICON_PX, ICON_PX, 3), np.uint8)
    picture[:] = wall
    left, horizon = int(window * ICON_PX), int(0.68 * ICON_PX)
    picture[int(0.1 * ICON_PX) : int(0.42 * ICON_PX), left : left + int(0.27 * ICON_PX)] = (168, 196, 220)
    picture[int(0.25 * ICON_PX) : int(0.265 * ICON_PX), left : left + int(0.27 * ICON_PX)] = (245, 245, 245)
    fade = np.linspace(1.0, 0.8, ICON_PX - horizon)[:, None, None]
    picture[horizon:] = np.round(np.array([170, 74, 58]) * fade).astype(np.uint8)
    picture[horizon - 4 : horizon] = (245, 243, 238)
    return picture


def photo(person: IconBody, degrees: float) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the dressed person in a room, seen by a camera that stands elsewhere in it."""
    wall, window = ((219, 214, 203), 0.62) if degrees < 90 else ((203, 211, 205), 0.1)
    return surface(turned_about_pelvis(person.vertices_m, degrees), person, person.colours, room(wall, window))


def cloud(person: IconBody, degrees: float) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P"]]:
    """Scatter points over the body; give their places on the icon and how near they are, 0 to 1."""
    chosen = np.random.default_rng(3).choice(len(person.vertices_m), NUM_POINTS, replace=False)
    vertices_m = turned_about_pelvis(person.vertices_m, degrees)
    depth_m = vertices_m[chosen, 2]
    return on_icon(vertices_m[chosen], vertices_m), (depth_m.max() - depth_m) / np.ptp(depth_m)


DIAGRAM_WIDTH = 400.0
"""Width of a diagram, in points."""
INK, GREY, PALE = "#222222", "#666666", "#f3f4f6"
STAGE = {1: "#1f6fb5", 2: "#c77700", 3: "#6d4fa3", 4: "#b8324a"}
"""Colours of the stages."""
FROZEN = "#8a98a8"
ICON, ICON_Y, ROW, BOX_WIDTH = 58.0, 27.0, 126.0, 66.0
"""Side of an icon, its place in a row, the height of a row, and the width of a network's box, in points."""
COLUMN_X = {"input": 12.0, "encoder": 121.0, "latent": 171.0, "head": 279.5, "output": 330.0}
"""Left edges of icons, middles of networks."""


class Stage(NamedTuple):
    """What the diagram writes about a stage."""

    number: int
    title: str
    needs: str
    captions: dict[str, str]
    """Under what stands in the columns."""
    head: str
    script: str
    output: str
    """File that the next stage reads."""


STAGE_ROWS = (
    Stage(1, "Novel views", "several cameras, no labels",
          {"input": "one image", "latent": "200 points, turned", "head": "+ appearance, background",
           "output": "another camera"}, "decoder", "sample/train_enc_dec.py", "runs/enc_dec/<name>/checkpoint_best.pt"),
    Stage(2, "3D pose", "3D joints of one person",
          {"input": "one image", "latent": "200 points", "output": "17 joints"},
          "pose head", "sample/train_3d_pose_from_enc.py", "runs/pose/<name>/checkpoint_best.pt"),
    Stage(3, "Prior", "poses, no pictures",
          {"input": "captured pose", "latent": "made-up pose", "output": ""},
          "discriminator", "sample/train_GAN.py", "runs/gan/<name>/checkpoint_best.pt"),
    Stage(4, "Body", "masks of all cameras, joints of one person",
          {"input": "one image", "latent": "200 points", "head": "judged by the prior", "output": "pose and shape"},
          "body head", "sample/train_SMPL_from_enc.py", "runs/mesh/<name>/checkpoint_best.pt"),
)  # fmt: skip


def canvas(height: float) -> tuple[Figure, Axes]:
    """Open an empty page measured in points from the top left."""
    figure = Figure(figsize=(DIAGRAM_WIDTH / 72, height / 72), dpi=200, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, DIAGRAM_WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return figure, axes


def draw_box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    face: str,
    edge: str = "none",
    radius: float = 6.0,
    line: float = 1.0,
) -> None:
    """Draw a box with round corners."""
    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch((x, y), width, height, shape, facecolor=face, edgecolor=edge, linewidth=line))


def say(axes: Axes, x: float, y: float, words: str, size: float, colour: str = INK, across: str = "center",
        bold: bool = False, mono: bool = False) -> None:  # fmt: skip
    """Write words whose middle is at y."""
    axes.text(x, y, words, fontsize=size, color=colour, ha=across, va="center", weight="bold" if bold else "normal",
              family="monospace" if mono else "sans-serif", zorder=4)  # fmt: skip


def badge(axes: Axes, x: float, y: float, number: int, area: float, size: float) -> None:
    """Write the number of a stage on a disc of its colour."""
    axes.scatter([x], [y], s=area, color=STAGE[number], zorder=3)
    say(axes, x, y + 0.2, str(number), size, "white", bold=True)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow."""
    look = {
        "arrowstyle": "-|>,head_length=0.35,head_width=0.2",
        "color": GREY,
        "linewidth": 1.3,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def picture(axes: Axes, image: UInt8[np.ndarray, "H W 3"], x: float, y: float, side: float = ICON) -> None:
    """Place a picture with its frame."""
    axes.imshow(image, extent=(x, x + side, y + side, y), interpolation="antialiased", zorder=2)
    axes.add_patch(Rectangle((x, y), side, side, facecolor="none", edgecolor="#b9bec5", linewidth=0.8, zorder=3))


def draw_points(axes: Axes, person: IconBody, degrees: float, x: float, y: float) -> None:
    """Draw the latent points, darker where they are nearer."""
    draw_box(axes, x, y, ICON, ICON, "white", "#b9bec5", radius=1.5, line=0.8)
    places, nearness = cloud(person, degrees)
    order = np.argsort(nearness)
    axes.scatter(x + ICON * places[order, 0], y + ICON * places[order, 1], s=1.6, c=0.25 + 0.75 * nearness[order],
                 cmap="Blues", vmin=0, vmax=1, linewidths=0, zorder=3)  # fmt: skip


def draw_icon_joints(axes: Axes, person: IconBody, degrees: float, x: float, y: float) -> None:
    """Draw the skeleton, left blue and right red."""
    draw_box(axes, x, y, ICON, ICON, "white", "#b9bec5", radius=1.5, line=0.8)
    places = on_icon(
        turned_about_pelvis(person.joints_m, degrees), turned_about_pelvis(person.vertices_m, degrees)
    ) * ICON + (x, y)
    for joint, parent in enumerate(H36M_17_PARENTS):
        if parent >= 0:
            axes.plot(*places[[parent, joint]].T, color=bone_colour(H36M_17[joint]), linewidth=1.8,
                      solid_capstyle="round", zorder=3)  # fmt: skip


def network(axes: Axes, name: str, x: float, y: float, colour: str) -> None:
    """Draw a network as a box that is filled with its stage's colour."""
    height = 28.0
    draw_box(axes, x - BOX_WIDTH / 2, y - height / 2, BOX_WIDTH, height, colour)
    say(axes, x, y, name, 8.6 if len(name) < 13 else 7.8, "white", bold=True)


def heading(axes: Axes, stage: Stage, y: float) -> None:
    """Write number, title and needs of a stage above its row, and captions and files below."""
    draw_box(axes, 4, y, DIAGRAM_WIDTH - 8, ROW - 8, PALE, radius=9)
    badge(axes, 19, y + 14, stage.number, 190, 10.5)
    say(axes, 34, y + 14.2, stage.title, 11.5, across="left", bold=True)
    say(axes, DIAGRAM_WIDTH - 12, y + 14.2, f"needs: {stage.needs}", 8.4, STAGE[stage.number], "right")
    for column, caption in stage.captions.items():
        half = 0 if column in ("encoder", "head") else ICON / 2
        say(axes, COLUMN_X[column] + half, y + ICON_Y + ICON + 7, caption, 7.2, GREY)
    say(axes, 12, y + ROW - 16, f"{stage.script}  →  {stage.output}", 7.2, across="left", mono=True)


def chain(axes: Axes, stage: Stage, person: IconBody, y: float) -> None:
    """Draw the way from a picture through the encoder and the latent to a stage's head and its output."""
    top, middle = y + ICON_Y, y + ICON_Y + ICON / 2
    x, colour = COLUMN_X, STAGE[stage.number]
    picture(axes, photo(person, 28), x["input"], top)
    is_trained = stage.number == 1
    network(
        axes, "encoder" if is_trained else "encoder,\nfrozen", x["encoder"], middle, colour if is_trained else FROZEN
    )
    draw_points(axes, person, 28, x["latent"], top)
    network(axes, stage.head, x["head"], middle, colour)
    half = BOX_WIDTH / 2
    for left, box_middle, right in (("input", x["encoder"], "latent"), ("latent", x["head"], "output")):
        arrow(axes, (x[left] + ICON + 2, middle), (box_middle - half - 1, middle))
        arrow(axes, (box_middle + half + 1, middle), (x[right] - 2, middle))


def draw_prior(axes: Axes, stage: Stage, person: IconBody, y: float) -> None:
    """Draw the prior: people's poses and made-up ones before a network that tells them apart."""
    top, middle, x = y + ICON_Y, y + ICON_Y + ICON / 2, COLUMN_X
    picture(axes, surface(turned_about_pelvis(person.vertices_m, 28), person), x["input"], top)
    picture(axes, surface(turned_about_pelvis(person.broken_m, 28), person), x["latent"], top)
    say(axes, x["encoder"], middle, "or", 10, GREY)
    network(axes, stage.head, x["head"], middle, STAGE[stage.number])
    arrow(axes, (x["latent"] + ICON + 2, middle), (x["head"] - BOX_WIDTH / 2 - 1, middle))
    arrow(axes, (x["head"] + BOX_WIDTH / 2 + 1, middle), (x["output"] - 2, middle))
    say(axes, x["output"] + ICON / 2, middle, "captured\nor made\nup?", 9.5, STAGE[3], bold=True)


def stages_figure(person: IconBody) -> Figure:
    """Draw the four stages, one row each, with what they need and the files that they write."""
    figure, axes = canvas(ROW * len(STAGE_ROWS) + 4)
    for row, stage in enumerate(STAGE_ROWS):
        y = 4 + ROW * row
        heading(axes, stage, y)
        (draw_prior if stage.number == 3 else chain)(axes, stage, person, y)
        top, x = y + ICON_Y, COLUMN_X["output"]
        if stage.number == 1:
            picture(axes, photo(person, 150), x, top)
        elif stage.number == 2:
            draw_icon_joints(axes, person, 28, x, top)
        elif stage.number == 4:
            picture(axes, surface(turned_about_pelvis(person.vertices_m, 28), person), x, top)
    return figure


class Entry(NamedTuple):
    """A line of the tree of files."""

    depth: int
    name: str
    about: str
    stages: tuple[int, ...] = ()
    """Who reads it."""


DATA_FILES = (
    Entry(0, "data/synthetic/", "or yours (--paths...)"),
    Entry(1, "frames/s_01_act_02_subact_01_ca_01/", "subject, action, take, camera"),
    Entry(2, "..._000001.jpg", "pictures", (1, 2, 4)),
    Entry(2, "h36m_meta.mat", "camera, 3D joints (NaN: none)", (1, 2, 4)),
    Entry(1, "masks/<the same names>.png", "person above 128", (1, 4)),
    Entry(1, "index/", "list of frames, packed crops", (1, 2, 4)),
    Entry(1, "backgrounds/s_01_ca_01.npy", "the background without people", (1,)),
    Entry(1, "truth/", "true bodies, for tests only"),
)
RUN_FILES = (
    Entry(0, "runs/enc_dec/<name>/", "stage 1", ()),
    Entry(1, "checkpoint_best.pt", "encoder, decoder", (2, 4)),
    Entry(1, "embeddings.pkl", "latents (optional)", (2,)),
    Entry(0, "runs/pose/<name>/", "stage 2", ()),
    Entry(1, "checkpoint_best.pt", "encoder, pose head"),
    Entry(0, "runs/gan/<name>/", "stage 3", ()),
    Entry(1, "checkpoint_best.pt", "discriminator", (4,)),
    Entry(0, "runs/mesh/<name>/", "stage 4", ()),
    Entry(1, "checkpoint_best.pt", "encoder, body head"),
)
EVERY_RUN = (
    Entry(0, "in every run", ""),
    Entry(1, "config.json, history.jsonl", "settings, log"),
    Entry(1, "predictions.npz, metrics.json", "of sample/test_*.py"),
    Entry(1, "report.html", "of sample/report.py"),
)
LINE = 15.5


def tree(axes: Axes, entries: Sequence[Entry], y: float) -> float:
    """Draw a tree of files in a box; give where the next one begins."""
    draw_box(axes, 4, y, DIAGRAM_WIDTH - 8, LINE * len(entries) + 12, PALE, radius=9)
    for row, entry in enumerate(entries):
        middle = y + 14 + LINE * row
        say(axes, 14 + 14 * entry.depth, middle, entry.name, 8.2, across="left", bold=entry.depth == 0, mono=True)
        say(axes, DIAGRAM_WIDTH - 62, middle, entry.about, 7.8, GREY, "right")
        for place, number in enumerate(entry.stages):
            badge(axes, DIAGRAM_WIDTH - 50 + 16 * place, middle, number, 95, 7.4)
    return y + LINE * len(entries) + 20


def layout_figure() -> Figure:
    """Draw which files lie where, and which stages read them."""
    trees = (DATA_FILES, RUN_FILES, EVERY_RUN)
    figure, axes = canvas(sum(LINE * len(one) + 20 for one in trees) + 20)
    say(axes, DIAGRAM_WIDTH - 10, 10, "read by stage", 7.8, GREY, "right")
    y = 18.0
    for one in trees:
        y = tree(axes, one, y)
    return figure
