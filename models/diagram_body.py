"""The person in the diagrams: the embedded body in a fixed pose, dressed by the joints its vertices belong to."""

import math
from pathlib import Path

import numpy as np
import roma
import torch

from models.smpl import Body, load_body
from utils.figures.diagrams import Person
from utils.skeleton import SMPL_24

STEP_DEGREES = {
    "left_hip": (-32, 0, 4), "left_knee": (34, 0, 0), "right_hip": (14, 0, -4), "right_knee": (22, 0, 0),
    "left_shoulder": (0, 0, -66), "left_elbow": (0, -62, 0), "right_shoulder": (0, 0, -38),
    "right_elbow": (0, 0, -48), "spine2": (4, 8, 0), "head": (-4, -14, 0),
}  # fmt: skip
"""Axis-angle of a person who steps forward and waves, from the T-pose; the joints not named stay."""
BROKEN_DEGREES = {
    "left_hip": (60, 0, 50), "left_knee": (-75, 0, 0), "right_hip": (-50, 40, 0), "right_knee": (-60, 0, 30),
    "left_shoulder": (0, 70, 40), "left_elbow": (0, 90, 30), "right_elbow": (60, -80, 0), "spine1": (-30, 40, 20),
    "spine3": (-20, 30, 0), "head": (50, 70, 0),
}  # fmt: skip
"""Of a pose that no person can take."""
SHIRT, TROUSERS, SHOES, SKIN, HAIR = (
    (0.18, 0.45, 0.71), (0.24, 0.26, 0.32), (0.86, 0.86, 0.84), (0.87, 0.69, 0.58), (0.32, 0.22, 0.16),
)  # fmt: skip
HAIRLINE_M = 0.115
"""Height above the head's joint from which hair grows."""


def posed(body: Body, degrees: dict[str, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Pose the mean body and turn it towards a camera; give vertices and Human3.6M's joints about the pelvis."""
    theta = torch.zeros(1, len(SMPL_24), 3)
    for joint, axis_angle in degrees.items():
        theta[0, SMPL_24.index(joint)] = torch.tensor(axis_angle) * math.pi / 180
    out = body(roma.rotvec_to_rotmat(theta), torch.zeros(1, 0), torch.zeros(1, 3))
    joints_m = body.h36m_joints_m(out.vertices_m)
    to_camera = torch.tensor([1.0, -1.0, -1.0])
    vertices_m, joints_m = ((points - joints_m[:, :1])[0] * to_camera for points in (out.vertices_m, joints_m))
    return vertices_m.double().numpy(), joints_m.double().numpy()


def colours(body: Body) -> np.ndarray:
    """Give every vertex the colour of what is worn there."""
    by_joint = {"hip": TROUSERS, "knee": TROUSERS, "ankle": SHOES, "foot": SHOES, "pelvis": TROUSERS, "neck": SKIN,
                "head": SKIN, "elbow": SKIN, "wrist": SKIN, "hand": SKIN}  # fmt: skip
    palette = np.array([by_joint.get(name.split("_")[-1], SHIRT) for name in SMPL_24])
    worn = palette[body.weights.argmax(dim=1).numpy()]
    head_y_m = float(body.rest_template_joints_m[SMPL_24.index("head"), 1])
    y_m, z_m = body.template_m[:, 1].numpy(), body.template_m[:, 2].numpy()
    grows = (y_m > head_y_m + HAIRLINE_M) | ((y_m > head_y_m + 0.02) & (z_m < z_m[y_m > head_y_m].mean()))
    worn[grows] = HAIR
    return worn


def diagram_person(location: Path) -> Person:
    """Pose and dress the person of the diagrams."""
    body = load_body(location)
    vertices_m, joints_m = posed(body, STEP_DEGREES)
    return Person(vertices_m, joints_m, posed(body, BROKEN_DEGREES)[0], body.faces.numpy(), colours(body))
