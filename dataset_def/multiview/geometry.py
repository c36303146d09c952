"""Points in space from their pixels in several calibrated cameras, robust to cameras that saw something else.

Also the distance of two views to the epipolar line, in pixels, and the small turns of the cameras that make the
keypoints of all views agree: centres and intrinsics stay as calibrated, so the world's origin, axes and scale stay too.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, hstack, identity, kron, vstack
from scipy.spatial.transform import Rotation

from utils.camera import Camera, to_camera

REFINEMENTS = 3
"""Rounds of division by depth, after which the linear solution minimises pixels; more change less than 0.01 mm."""


class Triangulated(NamedTuple):
    """Points, and what every camera has to say about them."""

    points_world_m: Float[np.ndarray, "N 3"]
    """NaN where fewer than two cameras agree."""
    error_px: Float[np.ndarray, "V N"]
    """Distance from the camera's keypoint to the projected point; NaN where the camera has no keypoint."""
    is_used: Bool[np.ndarray, "V N"]
    """Whether the camera took part."""


def projection_matrices(cameras: list[Camera]) -> Float[np.ndarray, "V 3 4"]:
    """Build K [R | -R C] of every camera.

    Raises:
        ValueError: a camera is distorted; undistort its pixels first.
    """
    if any(camera.is_distorted for camera in cameras):
        raise ValueError("triangulation needs undistorted cameras and pixels")
    return np.stack(
        [c.K @ np.column_stack([c.R_cam_from_world, -c.R_cam_from_world @ c.centre_world_m]) for c in cameras]
    )


def points_nearest_to_rays(
    P: Float[np.ndarray, "V 3 4"],
    points_px: Float[np.ndarray, "V N 2"],
    weights: Float[np.ndarray, "V N"],
    refinements: int = REFINEMENTS,
) -> Float[np.ndarray, "N 3"]:
    """Find the points that minimise the weighted squared distance in pixels.

    Source: Hartley and Zisserman, Multiple View Geometry, section 12.2, with the reweighting of section 12.2's
    iterative form (Hartley and Sturm 1997): every equation is divided by the point's depth in that camera.
    """
    rows = points_px[..., None] * P[:, None, 2:] - P[:, None, :2]
    scale = np.sqrt(weights)
    for _ in range(1 + refinements):
        A = (rows * scale[..., None, None]).transpose(1, 0, 2, 3).reshape(points_px.shape[1], 2 * len(P), 4)
        X = np.linalg.svd(A)[2][:, -1]
        X = X / np.where(np.abs(X[:, 3:]) < 1e-12, 1e-12, X[:, 3:])
        depth = np.abs(X @ P[:, 2].T).T
        scale = np.sqrt(weights) / np.maximum(depth, 1e-6)
    return X[:, :3]


def distances_px(
    cameras: list[Camera], points_world_m: Float[np.ndarray, "N 3"], points_px: Float[np.ndarray, "V N 2"]
) -> Float[np.ndarray, "V N"]:
    """Measure how far projected points are from given pixels; infinite behind a camera."""
    errors = []
    for camera, pixels in zip(cameras, points_px, strict=True):
        points_cam_m = to_camera(camera, points_world_m)
        is_in_front = points_cam_m[:, 2] > 1e-6
        safe_cam_m = np.where(is_in_front[:, None], points_cam_m, [0.0, 0.0, 1.0])
        projected_px = safe_cam_m[:, :2] / safe_cam_m[:, 2:] * camera.focal_px + camera.centre_px
        errors.append(np.where(is_in_front, np.linalg.norm(projected_px - pixels, axis=-1), np.inf))
    return np.stack(errors)


def triangulate(
    cameras: list[Camera],
    points_px: Float[np.ndarray, "V N 2"],
    confidence: Float[np.ndarray, "V N"],
    outlier_px: float,
) -> Triangulated:
    """Triangulate points from the cameras that agree on them.

    Every pair of cameras proposes a point; the proposal with the least confidence-weighted truncated squared error
    over all cameras wins; the cameras within `outlier_px` of it then give the point together.

    Args:
        confidence: zero where a camera has no keypoint; its pixels are then ignored.
        outlier_px: the truncation.
    """
    P, is_seen = projection_matrices(cameras), confidence > 0
    pixels = np.where(is_seen[..., None], points_px, 0.0)
    best_cost = np.full(points_px.shape[1], np.inf)
    is_used = np.zeros(is_seen.shape, dtype=bool)
    for pair in combinations(range(len(cameras)), 2):
        rows = list(pair)
        proposal_world_m = points_nearest_to_rays(P[rows], pixels[rows], np.where(is_seen[rows], 1.0, 1e-9), 0)
        error_px = distances_px(cameras, proposal_world_m, pixels)
        cost = (confidence * np.minimum(error_px, outlier_px) ** 2).sum(axis=0)
        is_better = (cost < best_cost) & is_seen[rows].all(axis=0) & (error_px[rows] < outlier_px).all(axis=0)
        best_cost = np.where(is_better, cost, best_cost)
        is_used = np.where(is_better, (error_px < outlier_px) & is_seen, is_used)
    points_world_m = points_nearest_to_rays(P, pixels, np.where(is_used, confidence, 0.0) + 1e-12)
    points_world_m[is_used.sum(axis=0) < 2] = np.nan
    error_px = np.where(is_seen, distances_px(cameras, np.nan_to_num(points_world_m), pixels), np.nan)
    error_px[:, np.isnan(points_world_m[:, 0])] = np.nan
    return Triangulated(points_world_m, error_px, is_used)


def fundamental(first: Camera, second: Camera) -> Float[np.ndarray, "3 3"]:
    """Give F with p_second^T F p_first = 0 for pixels of one point; undistorted cameras.

    Source: Hartley and Zisserman, Multiple View Geometry, section 9.2 (F = K'^-T [t]_x R K^-1).
    """
    R = second.R_cam_from_world @ first.R_cam_from_world.T
    x, y, z = second.R_cam_from_world @ (first.centre_world_m - second.centre_world_m)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.linalg.inv(second.K).T @ cross @ R @ np.linalg.inv(first.K)


def to_line_px(
    F: Float[np.ndarray, "3 3"], from_px: Float[np.ndarray, "*n 2"], to_px: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n"]:
    """Measure the distance of pixels from the lines on which the other view says that they lie."""
    lines = np.concatenate([from_px, np.ones_like(from_px[..., :1])], axis=-1) @ F.T
    offset = (lines[..., :2] * to_px).sum(axis=-1) + lines[..., 2]
    return np.abs(offset) / np.maximum(np.linalg.norm(lines[..., :2], axis=-1), 1e-12)


def epipolar_px(
    first: Camera, second: Camera, first_px: Float[np.ndarray, "*n 2"], second_px: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n"]:
    """Average the distances in the two pictures; NaN where a pixel is NaN.  Two cameras at one place always agree."""
    F = fundamental(first, second)
    return (to_line_px(F, first_px, second_px) + to_line_px(F.T, second_px, first_px)) / 2


ANGLE_RAD = 0.01
"""How far a calibration may be off; larger turns are held back."""
KEYPOINT_PX = 5.0
"""Accuracy of a confident keypoint; residuals beyond it count linearly."""


def turned_camera(camera: Camera, turn_rad: Float[np.ndarray, "3"]) -> Camera:
    """Turn a camera about its own axes."""
    return camera._replace(R_cam_from_world=Rotation.from_rotvec(turn_rad).as_matrix() @ camera.R_cam_from_world)


def sparsity(num_cameras: int, num_points: int) -> csr_matrix:
    """Mark which residual depends on which unknown: camera-major pixels, then one row per angle."""
    of_cameras = kron(identity(num_cameras), np.ones((2 * num_points, 3)))
    of_points = kron(np.ones((num_cameras, 1)), kron(identity(num_points), np.ones((2, 3))))
    prior = hstack([identity(3 * num_cameras), csr_matrix((3 * num_cameras, 3 * num_points))])
    return csr_matrix(vstack([hstack([of_cameras, of_points]), prior]))


def refine_rotations(
    cameras: list[Camera],
    points_px: Float[np.ndarray, "V N 2"],
    confidence: Float[np.ndarray, "V N"],
    first_world_m: Float[np.ndarray, "N 3"],
    most_points: int = 1500,
) -> list[Camera]:
    """Bundle-adjust rotations and points on keypoints of one person; a robust loss bears wrong keypoints.

    Source: Triggs et al., Bundle Adjustment: A Modern Synthesis, 1999, with rotations only.
    """
    known = np.flatnonzero(np.isfinite(first_world_m[:, 0]))
    known = np.random.default_rng(0).permutation(known)[:most_points]
    weights = np.sqrt(confidence[:, known])[..., None] / KEYPOINT_PX
    pixels, V = np.where(weights > 0, points_px[:, known], 0.0), len(cameras)

    def residuals(unknowns: Float[np.ndarray, "U"]) -> Float[np.ndarray, "M"]:
        points_world_m = unknowns[3 * V :].reshape(-1, 3)
        rows = []
        for camera, turn, seen_px in zip(cameras, unknowns[: 3 * V].reshape(V, 3), pixels, strict=True):
            moved = turned_camera(camera, turn * ANGLE_RAD)
            points_cam_m = (points_world_m - moved.centre_world_m) @ moved.R_cam_from_world.T
            rows.append(points_cam_m[:, :2] / points_cam_m[:, 2:] * moved.focal_px + moved.centre_px - seen_px)
        return np.concatenate([(np.stack(rows) * weights).ravel(), unknowns[: 3 * V]])

    first = np.concatenate([np.zeros(3 * V), first_world_m[known].ravel()])
    pattern = sparsity(V, len(known))
    solved = least_squares(residuals, first, jac_sparsity=pattern, loss="soft_l1", max_nfev=30)
    return [turned_camera(c, t * ANGLE_RAD) for c, t in zip(cameras, solved.x[: 3 * V].reshape(V, 3), strict=True)]
