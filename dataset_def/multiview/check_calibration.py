"""Whether what the cameras see agrees with their calibration: errors per pair and per camera, and what may be wrong.

The points may be a person's keypoints, or the centres of their masks, which are the same point only roughly.  What the
cameras alone tell is checked first: how far apart, which way up, whether they see the same place.  What does not fit is
refused in words, or accepted with a warning.
"""

import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dataset_def.calibration.camera_values import METRES
from dataset_def.multiview.geometry import distances_px, epipolar_px, points_nearest_to_rays, projection_matrices
from utils.camera import Camera, to_camera, to_rays, to_world

ACCEPT = "--accept-calibration imports it all the same"


def raise_or_warn(problems: Sequence[str], is_accepted: bool) -> None:
    """Stop if there are problems, unless the user accepts the calibration.

    Raises:
        ValueError: all problems in one sentence.
    """
    if not problems:
        return
    text = "; ".join(problems)
    if not is_accepted:
        raise ValueError(f"the calibration does not fit: {text} ({ACCEPT})")
    warnings.warn(f"the calibration is accepted although {text}", stacklevel=2)


LEAST_SPAN_M, MOST_SPAN_M = 0.1, 100.0
"""Cameras around a person; the farthest two of them."""
USUAL_SPAN_M = (0.5, 40.0)
SAME_PLACE = 1e-3
"""Cameras nearer than this part of the span are at the same place."""
PRINCIPAL_POINT_RANGE = (0.2, 0.8)
"""Where a principal point lies, over the size of the picture."""
FOCAL = (0.25, 15.0)
"""Focal length over the larger side of the picture."""
DEPTHS_M = np.geomspace(0.3, 30.0, 12)
LEAST_UPRIGHT = 0.3
WORLD_AXES = {"x": (1, 0, 0), "-x": (-1, 0, 0), "y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1), "-z": (0, 0, -1)}


def span_m(cameras: list[Camera]) -> float:
    """Measure how far the farthest two cameras are apart."""
    return max(float(np.linalg.norm(a.centre_world_m - b.centre_world_m)) for a, b in combinations(cameras, 2))


def size_problem(cameras: list[Camera]) -> str | None:
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


def same_place_problems(names: list[str], cameras: list[Camera]) -> list[str]:
    """Name pairs of cameras at the same place."""
    least_m = SAME_PLACE * span_m(cameras)
    apart = zip(combinations(names, 2), combinations(cameras, 2), strict=True)
    near = [pair for pair, (a, b) in apart if np.linalg.norm(a.centre_world_m - b.centre_world_m) < least_m]
    return [f"{a} and {b} are at the same place; was one's calibration copied to the other?" for a, b in near]


def lens_problems(names: list[str], cameras: list[Camera]) -> list[str]:
    """Name cameras whose intrinsics cannot belong to their pictures."""
    found = []
    for name, camera in zip(names, cameras, strict=True):
        size = np.array([camera.width_px, camera.height_px])
        middle, focal = camera.centre_px / size, camera.focal_px / size.max()
        if (middle < PRINCIPAL_POINT_RANGE[0]).any() or (middle > PRINCIPAL_POINT_RANGE[1]).any():
            found.append(
                f"{name}'s principal point ({camera.centre_px[0]:.0f}, {camera.centre_px[1]:.0f}) is far from "
                f"the middle of its {size[0]} x {size[1]} picture; was it calibrated at another size, or turned?"
            )
        if (focal < FOCAL[0]).any() or (focal > FOCAL[1]).any():
            found.append(f"{name}'s focal length is {camera.focal_px[0]:.4g} pixels for a picture of {size.max()}; it "
                         "must be in pixels, not in mm or of another size of picture")  # fmt: skip
    return found


def up_problem(cameras: list[Camera]) -> str | None:
    """Say if the pictures are upright about another axis than z."""
    upward = -np.mean([camera.R_cam_from_world[1] for camera in cameras], axis=0)
    best = max(WORLD_AXES, key=lambda name: float(upward @ WORLD_AXES[name]))
    if upward[2] >= LEAST_UPRIGHT or upward @ WORLD_AXES[best] < 2 * LEAST_UPRIGHT:
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


def overlap_problem(names: list[str], cameras: list[Camera]) -> str | None:
    """Say if a camera sees nothing that another one sees."""
    shared = shares_view(cameras) & ~np.eye(len(cameras), dtype=bool)
    unpaired = [name for name, row in zip(names, shared, strict=True) if not row.any()]
    if not unpaired:
        return None
    others = shares_view([inverted(camera) for camera in cameras])
    hint = "; its transforms seem to lead from the camera to the world: invert them" if others.all() else ""
    return f"{', '.join(unpaired)} sees nothing that another camera sees{hint}"


def rig_problems(names: list[str], cameras: list[Camera]) -> list[str]:
    """List what is wrong with the cameras of a recording; sizes first, since the rest depends on them."""
    size = size_problem(cameras)
    if size is not None:
        return [size]
    rest = [up_problem(cameras), overlap_problem(names, cameras)]
    found = lens_problems(names, cameras) + same_place_problems(names, cameras)
    return found + [problem for problem in rest if problem is not None]


LEAST_POINTS = 8
"""Pairs of cameras that share fewer sightings are not judged."""
MOST_INSTANTS = 200
MOST_DELAY = 10
DELAY_SHARE = 4
"""A camera may be late by so many instants, and by this part of all, to explain bad consistency."""
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
LEAST_STATURE_M, MOST_STATURE_M = 0.6, 2.6
STATURE_PERCENTILE = 75
"""A person's height is judged by this percentile of the extents over time, because people sit and bend."""


class Sightings(NamedTuple):
    """What undistorted cameras see of one person."""

    points_px: Float[np.ndarray, "T V K 2"]
    """NaN where not seen."""
    extent_px: Float[np.ndarray, "T V"]
    """Longer side of the person's box; NaN where not seen."""
    what: str
    """keypoints or mask centres."""
    every: int = 1
    """Frames of a video from one instant to the next."""
    other_cause: str = ""
    """What may be wrong instead of the calibration, as the end of a sentence."""


class Consistency(NamedTuple):
    """How well views agree: medians over time, NaN where two cameras share too little."""

    epipolar_px: Float[np.ndarray, "V V"]
    reprojection_px: Float[np.ndarray, "V"]
    extent_px: Float[np.ndarray, "V"]
    """Median size of the person in the picture."""
    stature_m: float

    @property
    def relative(self) -> Float[np.ndarray, "V V"]:
        """Epipolar error over the size of the person."""
        return self.epipolar_px / ((self.extent_px[:, None] + self.extent_px[None]) / 2)

    @property
    def relative_reprojection(self) -> Float[np.ndarray, "V"]:
        """Reprojection error over the size of the person."""
        return self.reprojection_px / self.extent_px


def thinned(sightings: Sightings) -> Sightings:
    """Keep a bounded number of instants, spread evenly."""
    count = len(sightings.points_px)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_INSTANTS)).astype(int))
    return sightings._replace(points_px=sightings.points_px[rows], extent_px=sightings.extent_px[rows])


def median(values: Float[np.ndarray, "*n"], least: int = 1) -> float:
    """Take the median of the values that are there; NaN if they are too few."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= least else np.nan


def consistency(cameras: list[Camera], sightings: Sightings) -> Consistency:
    """Measure how well undistorted cameras agree on a person."""
    V = len(cameras)
    points_px = np.moveaxis(sightings.points_px, 1, 0).reshape(V, -1, 2)
    pairs_px = np.full((V, V), np.nan)
    for i, j in combinations(range(V), 2):
        error_px = epipolar_px(cameras[i], cameras[j], points_px[i], points_px[j])
        pairs_px[i, j] = pairs_px[j, i] = median(error_px, LEAST_POINTS)
    is_seen = np.isfinite(points_px[..., 0])
    twice = is_seen.sum(axis=0) >= 2
    seen, shown = is_seen[:, twice], np.where(is_seen[:, twice, None], points_px[:, twice], 0.0)
    points_m = points_nearest_to_rays(projection_matrices(cameras), shown, seen + 1e-12)
    errors_px = np.where(seen, distances_px(cameras, points_m, shown), np.nan)
    extent_px = np.array([median(sightings.extent_px[:, view]) for view in range(V)])
    statures = [
        median(extent / camera.focal_px.mean() * depth_m)
        for camera, extent, depth_m in zip(
            cameras, *_extents_and_depths(cameras, sightings, points_m, twice), strict=True
        )
    ]
    return Consistency(pairs_px, np.array([median(row) for row in errors_px]), extent_px, median(np.array(statures)))


def _extents_and_depths(
    cameras: list[Camera], sightings: Sightings, points_m: Float[np.ndarray, "N 3"], placed: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give per camera the larger extents of the person, and how far away he is then."""
    T, _, K, _ = sightings.points_px.shape
    filled = np.full((T * K, 3), np.nan)
    filled[placed] = points_m
    middles_m = np.array([[median(axis) for axis in points.T] for points in filled.reshape(T, K, 3)])
    extents, depths = [], []
    for view, camera in enumerate(cameras):
        extent, depth_m = sightings.extent_px[:, view], to_camera(camera, middles_m)[:, 2]
        known = np.isfinite(extent) & np.isfinite(depth_m)
        limit = np.percentile(extent[known], STATURE_PERCENTILE) if known.any() else np.inf
        extents.append(extent[known & (extent >= limit)])
        depths.append(depth_m[known & (extent >= limit)])
    return extents, depths


def delayed(sightings: Sightings, view: int, by: int) -> Sightings:
    """Suppose that one camera's pictures are some instants late."""
    points_px, extent_px = sightings.points_px.copy(), sightings.extent_px.copy()
    for values, moved in ((points_px, sightings.points_px), (extent_px, sightings.extent_px)):
        values[:, view] = np.nan
        if by > 0:
            values[:-by, view] = moved[by:, view]
        else:
            values[-by:, view] = moved[:by, view]
    return sightings._replace(points_px=points_px, extent_px=extent_px)


def misreadings(names: list[str], cameras: list[Camera]) -> Iterator[tuple[str, list[Camera]]]:
    """List calibrations that may have been meant instead, with a sentence each."""
    yield ("its transforms seem to lead from the camera to the world: invert them",
           [inverted(camera) for camera in cameras])  # fmt: skip
    yield ("its rotations seem to be transposed",
           [camera._replace(R_cam_from_world=camera.R_cam_from_world.T) for camera in cameras])  # fmt: skip
    yield ("its T seem to be the cameras' centres instead of translations",
           [c._replace(centre_world_m=-c.R_cam_from_world @ c.centre_world_m) for c in cameras])  # fmt: skip
    yield (
        "its cameras seem to look along -z with y up (OpenGL's axes); turn them to OpenCV's",
        [c._replace(R_cam_from_world=OPENCV_FROM_OPENGL @ c.R_cam_from_world) for c in cameras],
    )
    for i, j in combinations(range(len(cameras)), 2):
        swapped = list(cameras)
        swapped[i], swapped[j] = cameras[j], cameras[i]
        yield f"{names[i]} and {names[j]} seem to be swapped", swapped


def misfit(found: Consistency) -> float:
    """Say in one number how badly views agree: the worst pair or camera, relative to the person."""
    values = [*found.relative[np.triu_indices(len(found.extent_px), 1)], *found.relative_reprojection]
    known = [value for value in values if not np.isnan(value)]
    return max(known, default=0.0)


def explanation(names: list[str], cameras: list[Camera], sightings: Sightings, largest: float) -> str:
    """Find what would make the views agree, and say it; empty if nothing does."""
    few = thinned(sightings)
    now = misfit(consistency(cameras, few))
    tried = [(misfit(consistency(others, few)), text) for text, others in misreadings(names, cameras)]
    most = min(MOST_DELAY, len(sightings.points_px) // DELAY_SHARE)
    for view, name in enumerate(names):
        for by in (step for step in range(-most, most + 1) if step):
            late = thinned(delayed(sightings, view, by))
            frames = f"{by * sightings.every:+d}"
            tried.append((misfit(consistency(cameras, late)), f"{name} seems out of step: {frames} to its --offsets"))
    best, text = min(tried)
    return f"; {text}" if best < largest and best < now / 2 else _odd_one(names, consistency(cameras, few), largest)


def _odd_one(names: list[str], found: Consistency, largest: float) -> str:
    """Name the one camera without which all others agree."""
    for view, name in enumerate(names):
        others = [other for other in range(len(names)) if other != view]
        pairs = found.relative[np.ix_(others, others)]
        if len(others) > 1 and np.nanmax(pairs, initial=0.0) < largest:
            return f"; only {name} disagrees: it may have been moved, or its calibration belongs to another camera"
    return ""


def consistency_problems(
    names: list[str], cameras: list[Camera], sightings: Sightings, found: Consistency, largest: float
) -> list[str]:
    """List in words what the person's sightings hold against a calibration of undistorted cameras."""
    if misfit(found) > largest:
        relative = found.relative
        pairs = [(relative[i, j], i, j) for i, j in combinations(range(len(names)), 2) if relative[i, j] > largest]
        listed = [
            f"{names[i]}-{names[j]} {found.epipolar_px[i, j]:.0f} px" for _, i, j in sorted(pairs, reverse=True)[:4]
        ]
        behind = np.isinf(found.reprojection_px).any()
        errors = f"epipolar error of {', '.join(listed)}" if listed else (
            "he would be behind a camera" if behind else f"reprojection error {np.nanmax(found.reprojection_px):.0f} px"
        )  # fmt: skip
        size_px = float(np.nanmedian(found.extent_px))
        why = explanation(names, cameras, sightings, largest) + sightings.other_cause
        return [f"the cameras do not agree on the person ({sightings.what}: {errors}, of a person of {size_px:.0f} px; "
                f"at most {largest:g} of that is allowed){why}"]  # fmt: skip
    if not np.isnan(found.stature_m) and not LEAST_STATURE_M <= found.stature_m <= MOST_STATURE_M:
        return [
            f"the person would be {found.stature_m:.3g} m tall; the calibration's lengths are in another unit or scale"
        ]
    return []


def consistency_table(names: list[str], found: Consistency) -> dict[str, object]:
    """Give the numbers of a report; what could not be measured is left out."""
    pairs = {f"{names[i]} {names[j]}": round(float(found.epipolar_px[i, j]), 2)
             for i, j in combinations(range(len(names)), 2) if not np.isnan(found.epipolar_px[i, j])}  # fmt: skip
    views = {name: round(float(error), 2) for name, error in zip(names, found.reprojection_px, strict=True)
             if np.isfinite(error)}  # fmt: skip
    sizes = {
        name: round(float(size), 1) for name, size in zip(names, found.extent_px, strict=True) if np.isfinite(size)
    }
    numbers = {"epipolar_px": pairs, "reprojection_px": views, "person_px": sizes}
    return numbers | ({"stature_m": round(found.stature_m, 3)} if np.isfinite(found.stature_m) else {})
