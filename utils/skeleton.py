"""The two skeletons of people: Human3.6M's 17 joints and SMPL's 24; other bodies bring their own (utils/body_file.py).

Joints are named, never numbered.
"""

H36M_17: tuple[str, ...] = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
    "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""Source: the Human3.6M release, 17 of its 32 joints."""

H36M_17_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)

H36M_17_FROM_32: tuple[int, ...] = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Rows of the original 32 joints that make up the 17."""

KEYPOINTS_25: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "left_heel", "right_heel", "left_toe", "right_toe", "left_index", "right_index", "left_pinky",
    "right_pinky",
)  # fmt: skip
"""Points that detectors find in pictures: COCO's 17, heel, big toe, and the knuckles of index and little finger."""

JOINTS_16: tuple[str, ...] = tuple(name for name in H36M_17 if name != "pelvis")
"""The 17 without the pelvis, whose error is zero once poses are centred on it."""

JOINTS_14: tuple[str, ...] = tuple(name for name in H36M_17 if name not in ("pelvis", "spine", "nose"))

SMPL_24: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
"""Source: Loper et al., SMPL, 2015; the order of the published files."""

JOINTS_23: tuple[str, ...] = SMPL_24[1:]
"""The 24 without the root, whose rotation says how a body stands in the world, not what its pose is."""

SMPL_24_PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)


def default_names(parents: tuple[int, ...]) -> tuple[str, ...]:
    """Name the joints of a body whose file does not: as SMPL does where the tree is SMPL's, else by their numbers."""
    if parents == SMPL_24_PARENTS:
        return SMPL_24
    return tuple(f"joint_{number}" for number in range(len(parents)))


def joint_rows(names: tuple[str, ...], skeleton: tuple[str, ...] = H36M_17) -> list[int]:
    """Look up the rows of joints by name."""
    return [skeleton.index(name) for name in names]


def mirrored(skeleton: tuple[str, ...]) -> list[int]:
    """Give, for every joint, the row of its counterpart on the other side of the body."""
    swap = {"left": "right", "right": "left"}
    other = ["_".join(swap.get(word, word) for word in name.split("_")) for name in skeleton]
    return [skeleton.index(name) for name in other]
