"""From a motion to a body in the room: shape, floor contact, and a place where every camera sees all of it."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from dataset_def.synthetic.motion.generate import Motion
from dataset_def.synthetic.scene.cameras import AREA_MIDDLE_WORLD_M
from models.smpl import Body
from utils.camera import Camera, project, to_camera
from utils.optional import later
from utils.skeleton import H36M_17

transform = later("scipy.spatial.transform")

IMAGE_MARGIN = 0.025
"""Share of the image that stays free on each side."""
EVERY_NTH_VERTEX = 7
"""Vertices looked at when the frame is checked; the margin covers the others, clothes and hair."""


class Performance(NamedTuple):
    """A sequence as it happens in the room."""

    vertices_world_m: Float[np.ndarray, "T V 3"]
    joints_world_m: Float[np.ndarray, "T J 3"]
    """Those that the body is measured by, Human3.6M's 17 of people; NaN where a file with SMPL's joints does not tell
    them."""
    theta: Float[np.ndarray, "T axis_angles"]
    """The root in the world."""
    betas: Float[np.ndarray, "n"]
    translation_m: Float[np.ndarray, "T 3"]
    """Translation of the body layer's convention: SMPL's root turns about its rest position."""
    body_joints_world_m: Float[np.ndarray, "T K 3"]
    """The joints that the body turns about."""


def is_in_frame(cameras: tuple[Camera, ...], points_world_m: Float[np.ndarray, "*n 3"]) -> bool:
    """Tell whether every camera sees every point, with a margin."""
    for camera in cameras:
        points_img_px = project(camera, to_camera(camera, points_world_m))
        size_px = np.array([camera.width_px, camera.height_px])
        if (points_img_px < IMAGE_MARGIN * size_px).any() or (points_img_px > (1 - IMAGE_MARGIN) * size_px).any():
            return False
    return True


def places_m(
    vertices_m: Float[np.ndarray, "T V 3"], motion: Motion, cameras: tuple[Camera, ...]
) -> Float[np.ndarray, "T 3"]:
    """Find where to put bodies whose pelvis is at the origin: on the floor, and inside all four images.

    A path that leaves an image is drawn in towards the middle of the capture area.
    Raises:
        ValueError: some camera cannot see the body even in the middle.
    """
    height_m = motion.lift_m - vertices_m[..., 2].min(-1)
    seen_m = vertices_m[:, ::EVERY_NTH_VERTEX]
    for share in (1.0, 0.9, 0.8, 0.65, 0.5, 0.25, 0.0):
        shift_m = np.concatenate([share * motion.pelvis_world_m[:, :2], height_m[:, None]], -1) + AREA_MIDDLE_WORLD_M
        if is_in_frame(cameras, seen_m + shift_m[:, None]):
            return shift_m
    raise ValueError("a body in the middle of the capture area is cut off by a camera; its pose or shape is too large")


def perform(motion: Motion, body: Body, betas: Float[np.ndarray, "n"], cameras: tuple[Camera, ...]) -> Performance:
    """Put a body of this shape through a motion."""
    num_frames = len(motion.rotations)
    shape = torch.as_tensor(betas, dtype=body.template_m.dtype)[None]
    rest_pelvis_m = body.rest_joints_m(shape)[0, 0].double().numpy()
    rotations = torch.as_tensor(np.asarray(motion.rotations), dtype=body.template_m.dtype)
    with torch.no_grad():
        out = body(
            rotations, shape.expand(num_frames, -1), -torch.as_tensor(rest_pelvis_m).to(shape).expand(num_frames, 3)
        )
        joints_m = np.full((num_frames, len(H36M_17), 3), np.nan)
        if body.has_h36m_joints or not body.has_smpl_joints:
            joints_m = body.evaluated_joints_m(out.vertices_m, out.joints_m).double().numpy()
    vertices_m = out.vertices_m.double().numpy()
    shift_m = places_m(vertices_m, motion, cameras)
    theta = transform.Rotation.from_matrix(np.asarray(motion.rotations, np.float64).reshape(-1, 3, 3)).as_rotvec()
    return Performance(
        vertices_world_m=vertices_m + shift_m[:, None],
        joints_world_m=joints_m + shift_m[:, None],
        theta=theta.reshape(num_frames, -1),
        betas=np.asarray(betas, np.float64),
        translation_m=shift_m - rest_pelvis_m,
        body_joints_world_m=out.joints_m.double().numpy() + shift_m[:, None],
    )
