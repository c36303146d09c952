"""From a few controls (pelvis, ankles, hands) to the rotations of the body's 24 joints.

Two frames: the floor's (y up, metres, floor at y = 0) and the body's own (x left, y up, z forward; theta = 0 is the
T-pose).  Every function takes any number of leading axes.  A subject's style (one habit per number) bends the controls,
and capsules around bones tell whether limbs pass through the body.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from utils.optional import later
from utils.skeleton import SMPL_24, SMPL_24_PARENTS

transform = later("scipy.spatial.transform")

SIDES = ("left", "right")
SPINE = ("spine1", "spine2", "spine3")
ARM = ("collar", "shoulder", "elbow", "wrist")

REST_JOINTS_M = np.array(
    [
        [0.00, 0.93, 0.00], [0.085, 0.85, 0.00], [-0.085, 0.85, 0.00], [0.00, 1.04, -0.01], [0.10, 0.47, 0.01],
        [-0.10, 0.47, 0.01], [0.00, 1.16, 0.00], [0.09, 0.08, -0.03], [-0.09, 0.08, -0.03], [0.00, 1.22, 0.01],
        [0.11, 0.02, 0.09], [-0.11, 0.02, 0.09], [0.00, 1.43, -0.02], [0.07, 1.36, -0.01], [-0.07, 1.36, -0.01],
        [0.00, 1.52, 0.02], [0.18, 1.38, -0.02], [-0.18, 1.38, -0.02], [0.44, 1.37, -0.03], [-0.44, 1.37, -0.03],
        [0.69, 1.37, -0.03], [-0.69, 1.37, -0.03], [0.77, 1.37, -0.04], [-0.77, 1.37, -0.04],
    ]
)  # fmt: skip
"""A person of average build; used where no body is at hand."""


def joint(name: str) -> int:
    """Look up the row of a joint of the body."""
    return SMPL_24.index(name)


class Controls(NamedTuple):
    """What a pose is made of; legs are solved from the ankles, so that feet stay where they are put."""

    pelvis_floor_m: Float[np.ndarray, "*n 3"]
    R_floor_from_pelvis: Float[np.ndarray, "*n 3 3"]
    trunk_rad: Float[np.ndarray, "*n 3"]
    """Bend forward, twist to the left, lean to the right; spread over the three spine joints."""
    head_rad: Float[np.ndarray, "*n 3"]
    """Bend, turn and tilt that neck and head share."""
    arms: Float[np.ndarray, "*n 2 4 3 3"]
    """Left, right; collar, shoulder, elbow, wrist; each relative to its parent."""
    ankles_floor_m: Float[np.ndarray, "*n 2 3"]
    knees_to: Float[np.ndarray, "*n 2 3"]
    """Direction in the floor's frame towards which each knee points."""
    R_floor_from_feet: Float[np.ndarray, "*n 2 3 3"]
    ankle_limit_rad: Float[np.ndarray, "*n 2"]
    """Largest turn of the ankle: large for a planted foot, small for a relaxed one."""


def unit(vector: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Scale vectors to length one."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def about(axis: str, angle_rad: Float[np.ndarray, "*n"] | float) -> Float[np.ndarray, "*n 3 3"]:
    """Rotate about a coordinate axis."""
    angle = np.asarray(angle_rad, dtype=np.float64)
    vectors = angle.reshape(-1, 1) * np.eye(3)["xyz".index(axis)]
    return transform.Rotation.from_rotvec(vectors).as_matrix().reshape(*angle.shape, 3, 3)


def bend(angles_rad: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """Compose twist, bend and lean of a trunk segment."""
    flat = np.asarray(angles_rad, dtype=np.float64).reshape(-1, 3)
    matrices = transform.Rotation.from_euler("YXZ", flat[:, [1, 0, 2]]).as_matrix()
    return matrices.reshape(*np.shape(angles_rad)[:-1], 3, 3)


def basis(along: Float[np.ndarray, "*n 3"], hint: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """Build a right-handed frame from a bone's direction and the side on which its hinge opens."""
    first = unit(along)
    third = unit(hint - first * (first * hint).sum(-1, keepdims=True))
    return np.stack([first, np.cross(third, first), third], axis=-1)


def two_bones(
    reach_m: Float[np.ndarray, "*n 3"], pole: Float[np.ndarray, "*n 3"], lengths_m: tuple[float, float], opens: float
) -> tuple[Float[np.ndarray, "*n 3 3"], Float[np.ndarray, "*n 3 3"]]:
    """Bend a limb of two bones so that its end lies at `reach_m` from its root.

    Args:
        pole: side to which the middle joint moves.
        opens: +1 when the hinge's front is on the pole's side (knee), -1 when it is opposite (elbow).
    Returns:
        The frames (see `basis`) of the first and the second bone.  A target out of reach is approached.
    Source: law of cosines; own derivation, test_motion.py.
    """
    first_m, second_m = lengths_m
    toward = unit(reach_m)
    whole_m = first_m + second_m
    distance_m = np.clip(np.linalg.norm(reach_m, axis=-1, keepdims=True), 0.27 * whole_m, 0.998 * whole_m)
    aside = unit(pole - toward * (toward * pole).sum(-1, keepdims=True))
    cosine = (first_m**2 + distance_m**2 - second_m**2) / (2 * first_m * distance_m)
    cosine = np.clip(cosine, -1.0, 1.0)
    first = toward * cosine + aside * np.sqrt(1 - cosine**2)
    second = unit(toward * distance_m - first * first_m)
    frame = basis(first, aside * opens)
    hinge = frame[..., 1]
    return frame, np.stack([second, hinge, np.cross(second, hinge)], axis=-1)


def rest_bone(rest_joints_m: Float[np.ndarray, "24 3"], parent: str, child: str) -> Float[np.ndarray, "3"]:
    """Vector of a bone at theta = 0."""
    return rest_joints_m[joint(child)] - rest_joints_m[joint(parent)]


def arm_length_m(rest_joints_m: Float[np.ndarray, "24 3"], side: str) -> float:
    """Length of the stretched arm from shoulder to wrist."""
    upper, lower = (
        rest_bone(rest_joints_m, f"{side}_{a}", f"{side}_{b}") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
    )
    return float(np.linalg.norm(upper) + np.linalg.norm(lower))


def _rest_basis(rest_joints_m: np.ndarray, parent: str, child: str) -> Float[np.ndarray, "3 3"]:
    return basis(rest_bone(rest_joints_m, parent, child), np.array([0.0, 0.0, 1.0]))


def arm_to(
    wrist_chest_m: Float[np.ndarray, "*n 3"],
    pole: Float[np.ndarray, "*n 3"],
    side: str,
    rest_joints_m: Float[np.ndarray, "24 3"],
    twist_rad: float = 0.0,
    wrist_rad: tuple[float, float] = (0.0, 0.0),
) -> Float[np.ndarray, "*n 4 3 3"]:
    """Put a wrist at a point of the chest (coordinates of the T-pose) and give collar, shoulder, elbow, wrist.

    Args:
        pole: side of the chest's frame to which the elbow goes.
        twist_rad: pronation, shared by elbow and wrist.
        wrist_rad: bend and sideways lean of the hand.
    """
    sign = 1.0 if side == "left" else -1.0
    names = [f"{side}_{part}" for part in ARM]
    collar_m, shoulder_m = rest_joints_m[joint(names[0])], rest_joints_m[joint(names[1])]
    upper_m = rest_bone(rest_joints_m, names[1], names[2])
    lower_m = rest_bone(rest_joints_m, names[2], names[3])
    rise = np.clip(unit(wrist_chest_m - shoulder_m)[..., 1], -0.35, 1.0)
    forward = np.clip(unit(wrist_chest_m - shoulder_m)[..., 2], -0.5, 1.0)
    collar = about("z", sign * 0.45 * rise) @ about("y", -sign * 0.2 * forward)
    shoulder_chest_m = collar_m + (collar @ (shoulder_m - collar_m)[:, None])[..., 0]
    lengths_m = (float(np.linalg.norm(upper_m)), float(np.linalg.norm(lower_m)))
    upper, lower = two_bones(wrist_chest_m - shoulder_chest_m, pole, lengths_m, opens=-1.0)
    R_upper = upper @ _rest_basis(rest_joints_m, names[1], names[2]).T
    R_lower = lower @ _rest_basis(rest_joints_m, names[2], names[3]).T
    half = transform.Rotation.from_rotvec(unit(lower_m) * twist_rad * sign / 2).as_matrix()
    hand = half @ about("y", -sign * wrist_rad[0]) @ about("z", sign * wrist_rad[1])
    elbow = R_upper.swapaxes(-1, -2) @ R_lower @ half
    return np.stack([collar, collar.swapaxes(-1, -2) @ R_upper, elbow, np.broadcast_to(hand, elbow.shape)], axis=-3)


def solve_leg(controls: Controls, side: str, rest_joints_m: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "*n 3 3 3"]:
    """Give the rotations of hip, knee and ankle that put the foot where the controls say."""
    row = SIDES.index(side)
    hip, knee, ankle = (f"{side}_{part}" for part in ("hip", "knee", "ankle"))
    R_pelvis = controls.R_floor_from_pelvis
    hip_floor_m = controls.pelvis_floor_m + (R_pelvis @ rest_bone(rest_joints_m, "pelvis", hip)[:, None])[..., 0]
    thigh_m, shank_m = rest_bone(rest_joints_m, hip, knee), rest_bone(rest_joints_m, knee, ankle)
    lengths_m = (float(np.linalg.norm(thigh_m)), float(np.linalg.norm(shank_m)))
    reach_m = controls.ankles_floor_m[..., row, :] - hip_floor_m
    upper, lower = two_bones(reach_m, controls.knees_to[..., row, :], lengths_m, opens=1.0)
    R_thigh = upper @ _rest_basis(rest_joints_m, hip, knee).T
    R_shank = lower @ _rest_basis(rest_joints_m, knee, ankle).T
    foot = R_shank.swapaxes(-1, -2) @ controls.R_floor_from_feet[..., row, :, :]
    return np.stack(
        [
            R_pelvis.swapaxes(-1, -2) @ R_thigh,
            R_thigh.swapaxes(-1, -2) @ R_shank,
            limited(foot, controls.ankle_limit_rad[..., row]),
        ],
        axis=-3,
    )


def limited(matrices: Float[np.ndarray, "*n 3 3"], largest_rad: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3 3"]:
    """Shorten rotations that turn further than a joint can."""
    vectors = transform.Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    angles = np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors = vectors * np.minimum(1.0, np.reshape(largest_rad, (-1, 1)) / np.maximum(angles, 1e-9))
    return transform.Rotation.from_rotvec(vectors).as_matrix().reshape(matrices.shape)


def solve_pose(controls: Controls, rest_joints_m: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "*n 24 3 3"]:
    """Give the 24 joint rotations of a pose, the root's in the frame of the floor."""
    shape = controls.pelvis_floor_m.shape[:-1]
    rotations = np.broadcast_to(np.eye(3), (*shape, 24, 3, 3)).copy()
    rotations[..., 0, :, :] = controls.R_floor_from_pelvis
    for name in SPINE:
        rotations[..., joint(name), :, :] = bend(controls.trunk_rad / len(SPINE))
    for name in ("neck", "head"):
        rotations[..., joint(name), :, :] = bend(controls.head_rad / 2)
    for row, side in enumerate(SIDES):
        leg = solve_leg(controls, side, rest_joints_m)
        for column, part in enumerate(("hip", "knee", "ankle")):
            rotations[..., joint(f"{side}_{part}"), :, :] = leg[..., column, :, :]
        for column, part in enumerate(ARM):
            rotations[..., joint(f"{side}_{part}"), :, :] = controls.arms[..., row, column, :, :]
    return rotations


def place_joints(
    rotations: Float[np.ndarray, "*n 24 3 3"],
    pelvis_m: Float[np.ndarray, "*#n 3"],
    rest_joints_m: Float[np.ndarray, "24 3"],
) -> tuple[Float[np.ndarray, "*n 24 3"], Float[np.ndarray, "*n 24 3 3"]]:
    """Walk down the skeleton: positions and orientations of the joints in the root's frame of reference."""
    orientations = np.empty_like(rotations)
    positions = np.empty((*rotations.shape[:-3], 24, 3))
    orientations[..., 0, :, :], positions[..., 0, :] = rotations[..., 0, :, :], pelvis_m
    for child, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        above = orientations[..., parent, :, :]
        offset_m = rest_joints_m[child] - rest_joints_m[parent]
        orientations[..., child, :, :] = above @ rotations[..., child, :, :]
        positions[..., child, :] = positions[..., parent, :] + above @ offset_m
    return positions, orientations


CAPSULES: tuple[tuple[str, str, float, float], ...] = (
    ("left_hip", "left_collar", 0.10, 0.02), ("right_hip", "right_collar", 0.10, -0.02),
    ("neck", "head", 0.06, 0.0), ("head", "head", 0.10, 0.0), ("left_hip", "left_knee", 0.065, 0.0),
    ("right_hip", "right_knee", 0.065, 0.0), ("left_knee", "left_ankle", 0.05, 0.0),
    ("right_knee", "right_ankle", 0.05, 0.0), ("left_elbow", "left_wrist", 0.035, 0.0),
    ("right_elbow", "right_wrist", 0.035, 0.0), ("left_wrist", "left_hand", 0.01, 0.0),
    ("right_wrist", "right_hand", 0.01, 0.0),
)  # fmt: skip
"""Ends, radius (a little less than flesh: hands may rest on the body) and shift to the left, metres."""

TORSO, NECK, HEAD = (0, 1), 2, 3
THIGHS, SHANKS, FOREARMS, HANDS = (4, 5), (6, 7), (8, 9), (10, 11)
LIMB_PAIRS: tuple[tuple[int, int], ...] = (
    *((arm, body) for arm in FOREARMS + HANDS for body in (*TORSO, NECK, HEAD, *THIGHS)),
    (FOREARMS[0], FOREARMS[1]),
    (HANDS[0], FOREARMS[1]),
    (HANDS[1], FOREARMS[0]),
    (SHANKS[0], SHANKS[1]),
    (SHANKS[0], THIGHS[1]),
    (SHANKS[1], THIGHS[0]),
)
HEAD_LIFT_M = np.array([0.0, 0.08, 0.02])
"""Vector from the head's joint to the middle of the skull."""
HAND_STRETCH = 1.3
"""Finger tips over the hand's joint, counted from the wrist."""


def segment_distance_m(
    a0: Float[np.ndarray, "*n 3"],
    a1: Float[np.ndarray, "*n 3"],
    b0: Float[np.ndarray, "*n 3"],
    b1: Float[np.ndarray, "*n 3"],
) -> Float[np.ndarray, "*n"]:
    """Measure the distance between two segments.

    Source: closest points of the lines, clamped to the first segment and then to the second, and once more back
    (Ericson, Real-Time Collision Detection, section 5.1.9); test_motion.py.
    """
    along_a, along_b, between = a1 - a0, b1 - b0, a0 - b0
    aa, bb = (along_a**2).sum(-1) + 1e-9, (along_b**2).sum(-1) + 1e-9
    ab, ar, br = (along_a * along_b).sum(-1), (along_a * between).sum(-1), (along_b * between).sum(-1)
    s = np.clip((ab * br - ar * bb) / np.maximum(aa * bb - ab**2, 1e-9), 0.0, 1.0)
    t = np.clip((ab * s + br) / bb, 0.0, 1.0)
    s = np.clip((ab * t - ar) / aa, 0.0, 1.0)
    return np.linalg.norm(between + s[..., None] * along_a - t[..., None] * along_b, axis=-1)


def overlap_m(
    joints_m: Float[np.ndarray, "*n 24 3"], turned: Float[np.ndarray, "*n 24 3 3"]
) -> Float[np.ndarray, "*n"]:
    """Give the sum of the depths to which capsules overlap."""
    starts, ends = [], []
    for start, end, _, shift_m in CAPSULES:
        aside = turned[..., 0, :, 0] * shift_m
        starts.append(joints_m[..., joint(start), :] + aside)
        ends.append(joints_m[..., joint(end), :] + aside)
    skull_m = joints_m[..., joint("head"), :] + turned[..., joint("head"), :, :] @ HEAD_LIFT_M
    starts[HEAD] = ends[HEAD] = skull_m
    for row in HANDS:
        ends[row] = starts[row] + HAND_STRETCH * (ends[row] - starts[row])
    start_m, end_m = np.stack(starts, -2), np.stack(ends, -2)
    radii_m = np.array([capsule[2] for capsule in CAPSULES])
    first, second = (list(rows) for rows in zip(*LIMB_PAIRS, strict=True))
    distance_m = segment_distance_m(
        start_m[..., first, :], end_m[..., first, :], start_m[..., second, :], end_m[..., second, :]
    )
    return np.asarray(np.maximum(radii_m[first] + radii_m[second] - distance_m, 0.0).sum(-1))


class Style(NamedTuple):
    """The habits of one subject."""

    tempo: float
    """Speed over the average."""
    liveliness: float
    """Size of movements over the average."""
    stance_m: float
    """Distance of each ankle from the middle when standing."""
    stoop_rad: float
    """Bend of the trunk when standing."""
    toes_out_rad: float
    """Turn of the feet to the outside."""
    elbows_out: float
    """How far elbows and hands stay off the body, over the average."""
    stride_m: float
    """Length of a step."""
    right_handed: float
    """Probability that the right hand acts."""
    rest_joints_m: Float[np.ndarray, "24 3"]
    """Joints of the subject's body at theta = 0."""


def subject_style(subject: int, seed: int) -> Style:
    """Draw the habits of a subject; the same subject and seed give the same habits."""
    rng = np.random.default_rng([seed, subject, 101])
    return Style(
        tempo=rng.uniform(0.8, 1.25),
        liveliness=rng.uniform(0.85, 1.2),
        stance_m=rng.uniform(0.09, 0.15),
        stoop_rad=rng.uniform(-0.05, 0.15),
        toes_out_rad=rng.uniform(0.02, 0.35),
        elbows_out=rng.uniform(0.85, 1.25),
        stride_m=rng.uniform(0.55, 0.72),
        right_handed=rng.choice([0.15, 0.85], p=[0.2, 0.8]),
        rest_joints_m=REST_JOINTS_M,
    )
