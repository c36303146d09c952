"""Turns cameras by the small angles that make the keypoints of all views agree.

Centres and intrinsics stay as calibrated, so the world's origin, axes and scale stay too.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, hstack, identity, kron, vstack
from scipy.spatial.transform import Rotation

from utils.camera import Camera

ANGLE_RAD = 0.01
"""How far a calibration may be off; larger turns are held back."""
KEYPOINT_PX = 5.0
"""Accuracy of a confident keypoint; residuals beyond it count linearly."""


def turned(camera: Camera, turn_rad: Float[np.ndarray, "3"]) -> Camera:
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
            moved = turned(camera, turn * ANGLE_RAD)
            points_cam_m = (points_world_m - moved.centre_world_m) @ moved.R_cam_from_world.T
            rows.append(points_cam_m[:, :2] / points_cam_m[:, 2:] * moved.focal_px + moved.centre_px - seen_px)
        return np.concatenate([(np.stack(rows) * weights).ravel(), unknowns[: 3 * V]])

    first = np.concatenate([np.zeros(3 * V), first_world_m[known].ravel()])
    pattern = sparsity(V, len(known))
    solved = least_squares(residuals, first, jac_sparsity=pattern, loss="soft_l1", max_nfev=30)
    return [turned(c, t * ANGLE_RAD) for c, t in zip(cameras, solved.x[: 3 * V].reshape(V, 3), strict=True)]
