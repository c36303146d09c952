"""Bodies that move, for the tests of exports."""

from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from config import Paths
from models.smpl import Body, load_body
from utils.export.rig import Rig, RigMotion, motion_of, rig_of

FACING_THE_CAMERA = np.diag([1.0, -1.0, -1.0])


@cache
def open_body() -> Body:
    return load_body(Paths().models_smpl_location, torch.float64)


def bent_stick() -> Rig:
    """Three bones upwards, 1 m and 0.5 m long, and a tube of one square per joint around them."""
    joints_m = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1.5, 0]])
    ring = np.array([[0.1, 0, 0], [0, 0, -0.1], [-0.1, 0, 0], [0, 0, 0.1]])
    faces = np.array([[0, 1, 5], [0, 5, 4], [4, 5, 9], [4, 9, 8]])
    vertices_m = (joints_m[:, None] + ring).reshape(-1, 3)
    return Rig(vertices_m, faces, joints_m, np.repeat(np.eye(3), 4, axis=0), (-1, 0, 1), ("a", "b", "c"), False)


def turn(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def stick_motion(*frames: dict[int, np.ndarray], pelvis_m=(0.0, 0, 0), frames_per_second=10.0) -> RigMotion:
    """One dictionary per frame: which joints of the stick are turned."""
    rotations = np.tile(np.eye(3), (len(frames), 3, 1, 1))
    for row, turned in enumerate(frames):
        for joint, R in turned.items():
            rotations[row, joint] = R
    return RigMotion(rotations, np.tile(pelvis_m, (len(frames), 1)).astype(float), frames_per_second)


def lively(num_frames: int, seed: int = 0, largest_rad: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rotations, betas, translation) in the camera's frame: all joints swing, some metres before the camera."""
    rng = np.random.default_rng(seed)
    phase, size = rng.uniform(0, 6, (24, 3)), rng.uniform(0.1, largest_rad, (24, 3))
    size[:, 2] *= 0.6
    time = np.arange(num_frames)[:, None, None] * 0.25
    rotations = Rotation.from_rotvec((size * np.sin(time + phase)).reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    rotations[:, 0] = FACING_THE_CAMERA @ Rotation.from_rotvec([0, 0.5, 0]).as_matrix() @ rotations[:, 0]
    walk = np.stack([0.3 * np.sin(time[:, 0, 0]), 0.1 * np.cos(time[:, 0, 0]), 5 + 0.1 * time[:, 0, 0]], axis=1)
    return rotations, rng.normal(size=10), walk


def lively_rig(num_frames: int, seed: int = 0) -> tuple[Rig, RigMotion, np.ndarray, np.ndarray]:
    """A rig, its motion, and what the body model says of it: vertices and joints in the camera's frame."""
    body = open_body()
    rotations, betas, translation_m = lively(num_frames, seed)
    rig = rig_of(body, torch.from_numpy(betas))
    shapes = torch.from_numpy(betas).expand(num_frames, -1)
    out = body(torch.from_numpy(rotations), shapes, torch.from_numpy(translation_m))
    motion = motion_of(rig, rotations, translation_m, 25.0)
    return rig, motion, out.vertices_m.numpy(), out.joints_m.numpy()
