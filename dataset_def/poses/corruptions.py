"""Ways to corrupt a real pose, for the test of a prior: each changes the poses of N frames and takes a generator.

No training may use them as negatives.  The body's axes at theta = 0: x to the left, y up, z forward; angles below are
those of the left side, and the right side's are their mirror images.
"""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dataset_def.synthetic.motion.limbs import REST_JOINTS_M, SIDES, overlap_m, place_joints, unit
from utils.body_file import BodyFile, has_smpl_joints
from utils.skeleton import JOINTS_23, SMPL_24, SMPL_24_PARENTS, mirrored

Poses = Float[np.ndarray, "N P 3 3"]
Corruption = Callable[[Poses, np.random.Generator], Poses]

LIMBS: dict[str, tuple[str, ...]] = {"arm": ("collar", "shoulder", "elbow", "wrist", "hand"),
                                     "leg": ("hip", "knee", "ankle", "foot")}  # fmt: skip
BENT_CHAINS: dict[str, tuple[str, ...]] = {"spine": ("spine1", "spine2", "spine3"), "throat": ("neck", "head")}
"""Parts of the trunk whose joints share an angle evenly."""

LIMITS: tuple[tuple[str, tuple[int, int, int], float], ...] = (
    ("knee", (-1, 0, 0), 10), ("elbow", (0, 1, 0), 10), ("hip", (-1, 0, 0), 120), ("hip", (1, 0, 0), 30),
    ("hip", (0, 0, 1), 45), ("ankle", (-1, 0, 0), 20), ("ankle", (1, 0, 0), 50), ("shoulder", (0, 1, 0), 45),
    ("wrist", (0, 0, -1), 80), ("wrist", (0, 0, 1), 70), ("spine", (1, 0, 0), 80), ("spine", (-1, 0, 0), 30),
    ("spine", (0, 0, 1), 35), ("throat", (1, 0, 0), 60), ("throat", (-1, 0, 0), 70), ("throat", (0, 0, 1), 45),
)  # fmt: skip
"""Joint, the axis about which the left one turns, and how far it can, in degrees.
Source: the rounded normal ranges of the American Academy of Orthopaedic Surgeons, Joint Motion, 1965; the larger of
the values in use where they differ."""

TWISTS: tuple[tuple[str, str, float], ...] = (
    ("hip", "knee", 45), ("knee", "ankle", 30), ("shoulder", "elbow", 90), ("elbow", "wrist", 90),
    ("spine1", "spine2", 20), ("spine2", "spine3", 20), ("spine3", "neck", 20), ("neck", "head", 50),
)  # fmt: skip
"""Joint, the joint at the end of its bone, and how far the joint can turn about that bone, in degrees."""
BEYOND_DEGREES = (20.0, 60.0)
TWIST_BEYOND_DEGREES = (30.0, 90.0)
DEEPER_M = 0.08
"""By how much more than before a limb has to lie in the body."""
TRIES = 20
AIMS: dict[str, tuple[str, str, tuple[str, str]]] = {
    "arm into trunk": ("shoulder", "wrist", ("pelvis", "neck")), "arm into head": ("shoulder", "wrist", ("neck", "head")),  # noqa: E501
    "leg into leg": ("hip", "ankle", ("{other}_knee", "{other}_ankle")),
}  # fmt: skip
"""The joint that turns, the end of the limb, and between which joints it is aimed."""


def row(joint: str) -> int:
    """Look up a joint among the 23 without the root."""
    return JOINTS_23.index(joint)


def rotation_about(axes: Float[np.ndarray, "*n 3"], angle_rad: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3 3"]:
    """Rotate about unit axes."""
    return Rotation.from_rotvec(axes * angle_rad[..., None]).as_matrix()


def shuffled(rotations: Poses, rng: np.random.Generator) -> Poses:
    """Take every joint from a frame of its own, any of the given ones."""
    joints = rotations.shape[1]
    frames = np.stack([rng.permutation(len(rotations)) for _ in range(joints)], axis=1)
    return rotations[frames, np.arange(joints)]


def mirrored_limb(rotations: Poses, rng: np.random.Generator) -> Poses:
    """Put the other side's rotations on one limb, an arm or a leg, without mirroring them."""
    corrupted, other = rotations.copy(), [JOINTS_23.index(SMPL_24[at]) for at in mirrored(SMPL_24)[1:]]
    for frame in range(len(rotations)):
        side, limb = SIDES[rng.integers(2)], ("arm", "leg")[rng.integers(2)]
        rows = [row(f"{side}_{joint}") for joint in LIMBS[limb]]
        corrupted[frame, rows] = rotations[frame, [other[at] for at in rows]]
    return corrupted


def outside_limits(rotations: Poses, rng: np.random.Generator) -> Poses:
    """Bend one joint, or the whole spine or neck, 20 to 60 degrees further than a person can."""
    corrupted = rotations.copy()
    for frame in range(len(rotations)):
        joint, axis, limit = LIMITS[rng.integers(len(LIMITS))]
        is_left, angle = bool(rng.integers(2)), np.radians(limit + rng.uniform(*BEYOND_DEGREES))
        signed_axis = np.array(axis, float) * ((1, 1, 1) if is_left else (1, -1, -1))
        joints = BENT_CHAINS.get(joint, (f"{SIDES[0] if is_left else SIDES[1]}_{joint}",))
        corrupted[frame, [row(name) for name in joints]] = rotation_about(signed_axis, np.array(angle / len(joints)))
    return corrupted


def over_twisted(rotations: Poses, rng: np.random.Generator) -> Poses:
    """Turn one joint about its own bone 30 to 90 degrees further than a person can; the bone's direction stays.

    Source: swing-twist decomposition, the twist of a quaternion is its part along the axis; test_pose_corruptions.py.
    """
    corrupted = rotations.copy()
    for frame in range(len(rotations)):
        joint, end, limit = TWISTS[rng.integers(len(TWISTS))]
        side = SIDES[rng.integers(2)]
        joint, end = (name if name in SMPL_24 else f"{side}_{name}" for name in (joint, end))
        bone = REST_JOINTS_M[SMPL_24.index(end)] - REST_JOINTS_M[SMPL_24.index(joint)]
        axis = bone / np.linalg.norm(bone)
        x, y, z, w = Rotation.from_matrix(rotations[frame, row(joint)]).as_quat()
        twist_rad = 2 * np.arctan2(axis @ (x, y, z), w)
        target_rad = rng.choice([-1, 1]) * np.radians(limit + rng.uniform(*TWIST_BEYOND_DEGREES))
        corrupted[frame, row(joint)] = rotations[frame, row(joint)] @ rotation_about(
            axis, np.array(target_rad - twist_rad)
        )
    return corrupted


def placed_joints(rotations: Float[np.ndarray, "*n 23 3 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Give positions and orientations of the 24 joints of an average body, the root at rest."""
    root = np.broadcast_to(np.eye(3), (*rotations.shape[:-3], 1, 3, 3))
    return place_joints(np.concatenate([root, rotations], -3).astype(np.float64), np.zeros(3), REST_JOINTS_M)


def shortest_turns(here: Float[np.ndarray, "N 3"], there: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3 3"]:
    """Turn directions into others, without twist.  Source: Rodrigues' formula; test_pose_corruptions.py."""
    a, b = unit(here), unit(there)
    axis = np.cross(a, b)
    return rotation_about(unit(axis), np.arctan2(np.linalg.norm(axis, axis=-1), (a * b).sum(-1)))


def aimed(poses: Poses, limb: str, side: str, rng: np.random.Generator) -> Poses:
    """Turn a shoulder or a hip by the shortest way until wrist or ankle points at something inside the body.

    The targets are points between pelvis, neck and head, or between the other leg's knee and ankle.
    """
    other = SIDES[1 - SIDES.index(side)]
    first, last, ends = AIMS[limb]
    joints_m, orientations = placed_joints(poses)
    start = SMPL_24.index(f"{side}_{first}")
    near_m, far_m = (joints_m[:, SMPL_24.index(name.format(other=other))] for name in ends)
    target_m = near_m + rng.uniform(0.15, 0.85, (len(poses), 1)) * (far_m - near_m)
    turns = shortest_turns(joints_m[:, SMPL_24.index(f"{side}_{last}")] - joints_m[:, start],
                           target_m - joints_m[:, start])  # fmt: skip
    above = orientations[:, SMPL_24_PARENTS[start]]
    changed = poses.copy()
    changed[:, start - 1] = above.swapaxes(-1, -2) @ turns @ above @ poses[:, start - 1]
    return changed


def interpenetrating(rotations: Poses, rng: np.random.Generator) -> Poses:
    """Turn one shoulder or hip until the limb passes through trunk, head or the other leg; all else stays.

    A limb and a point are chosen anew until one is deep enough; after some tries the deepest is taken.
    """
    before_m, corrupted = overlap_m(*placed_joints(rotations)), rotations.copy()
    deepest_m = np.full(len(rotations), -np.inf)
    for _ in range(TRIES):
        chosen = rng.integers(len(AIMS) * len(SIDES), size=len(rotations))
        for number, (limb, side) in enumerate(itertools.product(AIMS, SIDES)):
            rows = np.flatnonzero((deepest_m < DEEPER_M) & (chosen == number))
            tried = aimed(rotations[rows], limb, side, rng)
            deeper_m = overlap_m(*placed_joints(tried)) - before_m[rows]
            better = deeper_m > deepest_m[rows]
            corrupted[rows[better]], deepest_m[rows[better]] = tried[better], deeper_m[better]
    return corrupted


CORRUPTIONS: dict[str, Corruption] = {
    "shuffled": shuffled, "mirrored_limb": mirrored_limb, "outside_limits": outside_limits,
    "interpenetrating": interpenetrating, "over_twisted": over_twisted,
}  # fmt: skip


def outside_ranges(
    rotations: Float[np.ndarray, "N P 3 3"], ranges_rad: Float[np.ndarray, "J 3 2"], rng: np.random.Generator
) -> Float[np.ndarray, "N P 3 3"]:
    """Turn one joint of a body of any skeleton 20 to 60 degrees further than its file says it can.

    Args:
        ranges_rad: as the file has them, with the root; joints that do not turn about an axis stay so.
    """
    able = np.argwhere(np.ptp(ranges_rad[1:], axis=2) > 0)
    corrupted = rotations.copy()
    for frame in range(len(rotations)):
        joint, axis = able[rng.integers(len(able))]
        angles = Rotation.from_matrix(rotations[frame, joint]).as_euler("XYZ")
        end = rng.integers(2)
        beyond = np.radians(rng.uniform(*BEYOND_DEGREES)) * (1 if end else -1)
        angles[axis] = ranges_rad[joint + 1, axis, end] + beyond
        corrupted[frame, joint] = Rotation.from_euler("XYZ", angles).as_matrix()
    return corrupted


def corruptions_of(file: BodyFile) -> Mapping[str, Corruption]:
    """Give the ways to corrupt poses of a body: those of people, or what its file tells of any other."""
    if has_smpl_joints(tuple(file.parents.tolist()), file.names):
        return CORRUPTIONS
    ranges_rad = file.ranges_rad
    if ranges_rad is None:
        return {"shuffled": shuffled}
    return {
        "shuffled": shuffled,
        "outside_limits": lambda rotations, rng: outside_ranges(rotations, ranges_rad, rng),
    }
