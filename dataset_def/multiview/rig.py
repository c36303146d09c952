"""What the cameras alone tell about a calibration: how far apart, which way up, whether they look at the same place."""

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from dataset_def.multiview.calibration import METRES
from utils.camera import Camera, to_camera, to_rays, to_world

LEAST_SPAN_M, MOST_SPAN_M = 0.1, 100.0
"""Cameras around a person; the farthest two of them."""
USUAL_SPAN_M = (0.5, 40.0)
SAME_PLACE = 1e-3
"""Cameras nearer than this part of the span are at the same place."""
MIDDLE = (0.2, 0.8)
"""Where a principal point lies, over the size of the picture."""
FOCAL = (0.25, 15.0)
"""Focal length over the larger side of the picture."""
DEPTHS_M = np.geomspace(0.3, 30.0, 12)
UPRIGHT = 0.3
AXES = {"x": (1, 0, 0), "-x": (-1, 0, 0), "y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1), "-z": (0, 0, -1)}


def span_m(cameras: list[Camera]) -> float:
    """Measure how far the farthest two cameras are apart."""
    return max(float(np.linalg.norm(a.centre_world_m - b.centre_world_m)) for a, b in combinations(cameras, 2))


def size_complaint(cameras: list[Camera]) -> str | None:
    """Say if the cameras are too near or too far for a person between them."""
    span = span_m(cameras)
    if LEAST_SPAN_M <= span <= MOST_SPAN_M:
        return None
    factors = {"m": 1.0, "mm": METRES["mm"], "times 1000": 1000.0}
    usual = [name for name, factor in factors.items() if USUAL_SPAN_M[0] <= span * factor <= USUAL_SPAN_M[1]]
    seems = {"mm": "millimetres read as metres: give --calibration-unit mm",
             "times 1000": "metres read as millimetres: give --calibration-unit m"}  # fmt: skip
    hint = f"; the lengths seem to be {seems[usual[0]]}" if usual else "; check its lengths and --calibration-unit"
    far = f"{span / 1000:.3g} km" if span >= 1000 else f"{span:.3g} m" if span >= 1 else f"{span * 1000:.3g} mm"
    return f"the farthest two cameras are {far} apart{hint}"


def same_place_complaints(names: list[str], cameras: list[Camera]) -> list[str]:
    """Name pairs of cameras at the same place."""
    least_m = SAME_PLACE * span_m(cameras)
    apart = zip(combinations(names, 2), combinations(cameras, 2), strict=True)
    near = [pair for pair, (a, b) in apart if np.linalg.norm(a.centre_world_m - b.centre_world_m) < least_m]
    return [f"{a} and {b} are at the same place; was one's calibration copied to the other?" for a, b in near]


def lens_complaints(names: list[str], cameras: list[Camera]) -> list[str]:
    """Name cameras whose intrinsics cannot belong to their pictures."""
    found = []
    for name, camera in zip(names, cameras, strict=True):
        size = np.array([camera.width_px, camera.height_px])
        middle, focal = camera.centre_px / size, camera.focal_px / size.max()
        if (middle < MIDDLE[0]).any() or (middle > MIDDLE[1]).any():
            found.append(
                f"{name}'s principal point ({camera.centre_px[0]:.0f}, {camera.centre_px[1]:.0f}) is far from "
                f"the middle of its {size[0]} x {size[1]} picture; was it calibrated at another size, or turned?"
            )
        if (focal < FOCAL[0]).any() or (focal > FOCAL[1]).any():
            found.append(f"{name}'s focal length is {camera.focal_px[0]:.4g} pixels for a picture of {size.max()}; it "
                         "must be in pixels, not in mm or of another size of picture")  # fmt: skip
    return found


def up_complaint(cameras: list[Camera]) -> str | None:
    """Say if the pictures are upright about another axis than z."""
    upward = -np.mean([camera.R_cam_from_world[1] for camera in cameras], axis=0)
    best = max(AXES, key=lambda name: float(upward @ AXES[name]))
    if upward[2] >= UPRIGHT or upward @ AXES[best] < 2 * UPRIGHT:
        return None
    return f"up in the pictures is the world's {best} axis instead of z; if the world's axes are so, give --up {best}"


def grid_world_m(camera: Camera) -> Float[np.ndarray, "N 3"]:
    """Spread points through what a camera sees."""
    x, y = np.meshgrid(np.linspace(0.05, 0.95, 7) * camera.width_px, np.linspace(0.05, 0.95, 7) * camera.height_px)
    rays = to_rays(camera._replace(k=np.zeros(3), p=np.zeros(2)), np.stack([x, y], axis=-1).reshape(-1, 2))
    return to_world(camera, (rays[None] * DEPTHS_M[:, None, None]).reshape(-1, 3))


def is_seen(camera: Camera, points_world_m: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, "N"]:
    """Mark the points in a camera's picture, not nearer or farther than people are."""
    points = to_camera(camera, points_world_m)
    ahead = (points[:, 2] > DEPTHS_M[0]) & (points[:, 2] < DEPTHS_M[-1])
    px = points[:, :2] / np.where(ahead, points[:, 2], 1.0)[:, None] * camera.focal_px + camera.centre_px
    return ahead & (px >= 0).all(axis=1) & (px <= [camera.width_px, camera.height_px]).all(axis=1)


def shares_view(cameras: list[Camera]) -> Bool[np.ndarray, "V V"]:
    """Mark the pairs of cameras that can see the same thing."""
    grids = [grid_world_m(camera) for camera in cameras]
    return np.array([[bool(is_seen(seeing, grid).any()) for grid in grids] for seeing in cameras])


def inverted(camera: Camera) -> Camera:
    """Read a camera's transform the other way round: from the camera to the world."""
    R = camera.R_cam_from_world
    return camera._replace(R_cam_from_world=R.T, centre_world_m=-R @ camera.centre_world_m)


def overlap_complaint(names: list[str], cameras: list[Camera]) -> str | None:
    """Say if a camera sees nothing that another one sees."""
    shared = shares_view(cameras) & ~np.eye(len(cameras), dtype=bool)
    lonely = [name for name, row in zip(names, shared, strict=True) if not row.any()]
    if not lonely:
        return None
    others = shares_view([inverted(camera) for camera in cameras])
    hint = "; its transforms seem to lead from the camera to the world: invert them" if others.all() else ""
    return f"{', '.join(lonely)} sees nothing that another camera sees{hint}"


def rig_complaints(names: list[str], cameras: list[Camera]) -> list[str]:
    """List what is wrong with the cameras of a recording; sizes first, since the rest depends on them."""
    size = size_complaint(cameras)
    if size is not None:
        return [size]
    rest = [up_complaint(cameras), overlap_complaint(names, cameras)]
    found = lens_complaints(names, cameras) + same_place_complaints(names, cameras)
    return found + [complaint for complaint in rest if complaint is not None]
