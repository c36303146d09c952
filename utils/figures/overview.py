"""The first picture of the results' page: what becomes of one image, stage by stage, in rows of people."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from utils.draw_mesh import render_mesh
from utils.figures.bodies import BODY_RGB, turned_about_middle
from utils.figures.common import bone_colour, with_caption
from utils.figures.diagrams import STAGE
from utils.skeleton import H36M, Skeleton

SIDE_PX = 288
OVERVIEW_DISTANCE_M = 5.0
"""At which bodies are drawn; pictures of crops show no difference between 4 and 7 metres."""
TURNS = (2, 4)
"""Columns of the turntable that are shown: a quarter and a half of a circle."""


class Overview(NamedTuple):
    """The results of all stages on the same frames."""

    image: UInt8[np.ndarray, "R S S 3"]
    turntable: UInt8[np.ndarray, "R K S S 3"]
    joints_root_m: Float[np.ndarray, "R J 3"]
    """Joints in the axes of the crop's camera, as the vertices."""
    vertices_root_m: Float[np.ndarray, "R V 3"]
    faces: Int[np.ndarray, "F 3"]
    skeleton: Skeleton = H36M


def rows_of(frames: Int[np.ndarray, "N 5"], requested: Int[np.ndarray, "R 5"]) -> list[int]:
    """Find the row of every requested frame; -1 where there is none."""
    where = {tuple(frame): row for row, frame in enumerate(frames.tolist())}
    return [where.get(tuple(frame), -1) for frame in requested.tolist()]


def large(image: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Enlarge a crop smoothly."""
    return cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)


def drawn_body(
    vertices_root_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], side_m: float,
    background: UInt8[np.ndarray, "H W 3"],
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Draw a body as the crop's camera sees it, with the pelvis in the middle."""
    focal_px = SIDE_PX * OVERVIEW_DISTANCE_M / side_m
    K = np.array([[focal_px, 0, SIDE_PX / 2], [0, focal_px, SIDE_PX / 2], [0, 0, 1.0]])
    colours = np.tile(np.array(BODY_RGB), (len(vertices_root_m), 1))
    placed_m = vertices_root_m.astype(np.float64) + np.array([0, 0, OVERVIEW_DISTANCE_M])
    return render_mesh(placed_m, faces, colours, K, background)


def draw_joints(axes: Axes, joints_root_m: Float[np.ndarray, "J 3"], side_m: float, skeleton: Skeleton) -> None:
    """Draw a skeleton as the camera sees it, left blue and right red."""
    sides = skeleton.sides()
    for joint, parent in skeleton.bones():
        ends = joints_root_m[[parent, joint], :2]
        axes.plot(*ends.T, color=bone_colour(sides[joint]), linewidth=2.4, solid_capstyle="round")
    axes.set_xlim(-side_m / 2, side_m / 2)
    axes.set_ylim(side_m / 2, -side_m / 2)
    axes.set_aspect("equal")


def overview_figure(found: Overview, side_m: float, caption: str) -> Figure:
    """Draw per person the image, itself seen from other sides, its joints and its body.

    Args:
        side_m: of the crops.
    """
    titles = {"one image": 0, "from the side": 1, "from behind": 1, "3D joints": 2, "body": 4, "its side": 4}
    count, columns = len(found.image), 4 + len(TURNS)
    figure = Figure(figsize=(1.25 * columns, 1.25 * count + 0.45), dpi=160, facecolor="white",
                    layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0))  # fmt: skip
    grid = figure.subplots(count, columns, squeeze=False)
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    for row, line in enumerate(grid):
        vertices_m, image = found.vertices_root_m[row], large(found.image[row])
        sides = [large(found.turntable[row, turn]) for turn in TURNS]
        over = drawn_body(vertices_m, found.faces, side_m, image)
        beside = drawn_body(turned_about_middle(vertices_m, 90), found.faces, side_m, white)
        for axes, picture in zip(line, [image, *sides, None, over, beside], strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            if picture is None:
                draw_joints(axes, found.joints_root_m[row], side_m, found.skeleton)
            else:
                axes.imshow(picture)
            for edge in axes.spines.values():
                edge.set_color("#b9bec5")
    for (title, stage), axes in zip(titles.items(), grid[0], strict=True):
        axes.set_title(title, fontsize=10.5, color=STAGE.get(stage, "#222222"), weight="bold", pad=4)
    return with_caption(figure, caption)
