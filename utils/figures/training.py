"""Pictures that a training leaves at its validations: small grids, drawn without matplotlib, in milliseconds."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from utils.draw_mesh import SKIN, plain, render_mesh
from utils.optional import later
from utils.skeleton import H36M, Skeleton

cv2 = later("cv2")

CELL_PX, TITLE_PX = 160, 18
SIDE_COLOURS = {"left": (31, 111, 181), "right": (209, 73, 91), "": (85, 85, 85)}
TRUE_COLOUR, POINT_COLOUR = (190, 190, 190), (255, 214, 10)
FAR_M = 5.0
"""Distance of the camera before bodies; crops of people 4 to 7 metres away show no difference."""
Cells = UInt8[np.ndarray, "N H W 3"]


def enlarged(images: UInt8[np.ndarray, "N S S 3"]) -> Cells:
    """Bring square pictures to the size of a cell."""
    return np.stack([cv2.resize(one, (CELL_PX, CELL_PX), interpolation=cv2.INTER_LINEAR) for one in images])


def grid_picture(columns: Mapping[str, Cells]) -> UInt8[np.ndarray, "height width 3"]:
    """Put columns of cells side by side, a title above each and a row per example."""
    drawn = []
    for title, cells in columns.items():
        head = np.full((TITLE_PX, CELL_PX, 3), 255, np.uint8)
        cv2.putText(head, title, (4, TITLE_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
        drawn.append(np.concatenate([head, *cells]))
    return np.concatenate(drawn, axis=1)


def in_cell(places_m: Float[np.ndarray, "n 2"], side_m: float) -> Int[np.ndarray, "n 2"]:
    """Say where points of the crop lie in a cell, in sixteenths of a pixel, which OpenCV draws at."""
    return np.round(16 * ((places_m / side_m + 0.5) * CELL_PX - 0.5)).astype(int)


def points_over(
    images: UInt8[np.ndarray, "N S S 3"], points_crop_m: Float[np.ndarray, "N P 3"], side_m: float
) -> Cells:
    """Draw the latent points over the images that they were read from, as the decoder places them."""
    cells = enlarged(images)
    for cell, points_m in zip(cells, points_crop_m, strict=True):
        for place in in_cell(points_m[:, :2], side_m).tolist():
            cv2.circle(cell, place, 28, POINT_COLOUR, cv2.FILLED, cv2.LINE_AA, shift=4)
    return cells


def points_picture(
    images: UInt8[np.ndarray, "N V S S 3"], points_crop_m: Float[np.ndarray, "N V P 3"], side_m: float
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the points that every view of some instants finds, a colour for each pair of mirror partners.

    The left one of a pair is a disc, the right one a ring.
    """
    return grid_picture({f"view {view + 1}": paired_points_over(images[:, view], points_crop_m[:, view], side_m)
                         for view in range(images.shape[1])})  # fmt: skip


def paired_points_over(
    images: UInt8[np.ndarray, "N S S 3"], points_crop_m: Float[np.ndarray, "N P 3"], side_m: float
) -> Cells:
    """Draw points k and k + P/2 in the same colour, as a disc and as a ring."""
    cells, half = enlarged(images), points_crop_m.shape[1] // 2
    hues = np.arange(half) * 180 // max(1, half)
    hsv = np.stack([hues, np.full(half, 255), np.full(half, 255)], axis=-1)[None].astype(np.uint8)
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].tolist()
    for cell, points_m in zip(cells, points_crop_m, strict=True):
        for number, place in enumerate(in_cell(points_m[:, :2], side_m).tolist()):
            thickness = cv2.FILLED if number < half else 1
            cv2.circle(cell, place, 40, colours[number % half], thickness, cv2.LINE_AA, shift=4)
    return cells


POINTS_IN_VIEWS = (("image", "points", "grid_input", "points_crop_m"),
                   ("another view", "points, turned", "grid_target", "points_target_m"))  # fmt: skip
"""Titles without and with points, and the names that sample/test_enc_dec.py stores pictures and points under."""


def points_in_views(stored: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Cells]:
    """Show images and another camera's, beside each the points that were found in the first, turned for the second.

    Args:
        stored: predictions.npz of sample/test_enc_dec.py; where a file of an earlier version, or of an encoder without
            heat maps, has no such points, they are left out.
    """
    drawn: dict[str, Cells] = {}
    for bare, over, image, points in POINTS_IN_VIEWS:
        if points in stored:
            drawn[bare] = enlarged(stored[image])
            drawn[over] = paired_points_over(stored[image], stored[points], float(stored["crop_side_m"]))
    return drawn


def skeleton_cells(
    predicted_root_m: Float[np.ndarray, "N J 3"], true_root_m: Float[np.ndarray, "N J 3"], side_m: float,
    axes: tuple[int, int] = (0, 1), skeleton: Skeleton = H36M,
) -> Cells:  # fmt: skip
    """Draw the predicted pose, left blue and right red, over the true one in grey.

    Args:
        axes: of the crop camera that point to the right and down: (0, 1) as it sees the person, (2, 1) from its right.
    """
    sides = skeleton.sides()
    cells = np.full((len(predicted_root_m), CELL_PX, CELL_PX, 3), 255, np.uint8)
    for cell, predicted_m, true_m in zip(cells, predicted_root_m, true_root_m, strict=True):
        for joints_m, is_true in ((true_m, True), (predicted_m, False)):
            places = in_cell(joints_m[:, list(axes)], side_m).tolist()
            for joint, parent in skeleton.bones():
                colour = TRUE_COLOUR if is_true else SIDE_COLOURS[sides[joint]]
                cv2.line(cell, places[parent], places[joint], colour, 3 if is_true else 2, cv2.LINE_AA, 4)
    return cells


def body_cells(
    vertices_root_m: Float[np.ndarray, "N V 3"],
    faces: Int[np.ndarray, "F 3"],
    side_m: float,
    behind: Cells | None = None,
) -> Cells:
    """Draw bodies about their pelvis as the crop's camera sees them, over pictures or on white."""
    focal_px = CELL_PX * FAR_M / side_m
    K = np.array([[focal_px, 0, CELL_PX / 2], [0, focal_px, CELL_PX / 2], [0, 0, 1.0]])
    below = [plain(CELL_PX, CELL_PX)] * len(vertices_root_m) if behind is None else behind
    return np.stack([
        render_mesh(vertices_m.astype(np.float64) + np.array([0, 0, FAR_M]), faces,
                    np.broadcast_to(SKIN, vertices_m.shape), K, picture)
        for vertices_m, picture in zip(vertices_root_m, below, strict=True)
    ])  # fmt: skip


def novel_views_picture(
    image: UInt8[np.ndarray, "N S S 3"], points_crop_m: Float[np.ndarray, "N P 3"],
    predicted: UInt8[np.ndarray, "N S S 3"], target: UInt8[np.ndarray, "N S S 3"], side_m: float,
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Draw stage 1: images, their points, the view of another camera as predicted and as it is."""
    return grid_picture({"image": enlarged(image), "latent points": points_over(image, points_crop_m, side_m),
                         "predicted view": enlarged(predicted), "true view": enlarged(target)})  # fmt: skip


def poses_picture(
    image: UInt8[np.ndarray, "N S S 3"] | None, predicted_root_m: Float[np.ndarray, "N J 3"],
    true_root_m: Float[np.ndarray, "N J 3"], side_m: float, skeleton: Skeleton = H36M,
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Draw stage 2: images, where there are any, and predicted over true skeletons from two sides."""
    first = {} if image is None else {"image": enlarged(image)}
    both = (predicted_root_m, true_root_m, side_m)
    return grid_picture(first | {"pose (grey: true)": skeleton_cells(*both, skeleton=skeleton),
                                 "from the right": skeleton_cells(*both, (2, 1), skeleton)})  # fmt: skip


def prior_picture(
    generated_m: Float[np.ndarray, "N V 3"], real_m: Float[np.ndarray, "N V 3"], faces: Int[np.ndarray, "F 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw stage 3: generated beside real bodies; y up, facing +z."""
    to_camera = np.array([1.0, -1, -1])
    return grid_picture({name: body_cells(vertices_m * to_camera, faces, 2.3)
                         for name, vertices_m in (("generated", generated_m), ("real", real_m))})  # fmt: skip


def bodies_picture(
    image: UInt8[np.ndarray, "N S S 3"], vertices_root_m: Float[np.ndarray, "N V 3"], faces: Int[np.ndarray, "F 3"],
    side_m: float,
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Draw stage 4: images, the predicted bodies over them, and seen from the right."""
    from_right = vertices_root_m @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    return grid_picture({"image": enlarged(image), "body": body_cells(vertices_root_m, faces, side_m, enlarged(image)),
                         "from the right": body_cells(from_right, faces, side_m)})  # fmt: skip
