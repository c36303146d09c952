"""The skeletons of people, Human3.6M's 17 joints and SMPL's 24, and what is known of the joints of any data set.

Joints are named, never numbered.  A body brings its own (utils/body_file.py), and so does a data set
(dataset_def/data_set_file.py).
"""

from typing import Any, NamedTuple

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


OTHER_SIDE = {"left": "right", "right": "left"}


def mirrored(skeleton: tuple[str, ...]) -> list[int]:
    """Give, for every joint, the row of its counterpart on the other side of the body."""
    other = ["_".join(OTHER_SIDE.get(word, word) for word in name.split("_")) for name in skeleton]
    return [skeleton.index(name) for name in other]


Pairs = tuple[tuple[str, str], ...]


class Skeleton(NamedTuple):
    """The joints of a data set's poses, the root first, and what belongs to what."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Row of the joint that each hangs from; -1 for the root."""
    mirror_pairs: Pairs | None
    """(left, right) joints that change places in a mirror; nothing where that is not known."""
    heading_pairs: Pairs
    """(left, right) joints whose differences, averaged, point to the left of somebody who faces ahead."""

    def counterparts(self, share: float = 1.0) -> list[int]:
        """Give, for every joint, the row of its counterpart on the other side of the body.

        Args:
            share: of images that are mirrored; where none is, nobody needs to know the sides, and every joint may be
                its own.
        Raises:
            ValueError: the sides are not known.
        """
        if self.mirror_pairs is None and share == 0:
            return list(range(len(self.names)))
        if self.mirror_pairs is None:
            raise ValueError("the data set does not tell which joints are mirror partners; list mirror_pairs in its "
                             "data_set.json, [] where there are none, or switch mirror images off")  # fmt: skip
        other = {name: partner for pair in self.mirror_pairs for name, partner in (pair, pair[::-1])}
        return [self.names.index(other.get(name, name)) for name in self.names]

    def heading_rows(self) -> tuple[list[int], list[int]]:
        """Give the rows of the left and of the right joints that tell the heading.

        Raises:
            ValueError: nothing tells the heading.
        """
        if not self.heading_pairs:
            raise ValueError("the data set does not tell which joints its heading is read off; list heading_pairs, "
                             "such as left and right shoulder, in its data_set.json")  # fmt: skip
        left, right = zip(*self.heading_pairs, strict=True)
        return joint_rows(left, self.names), joint_rows(right, self.names)

    def sides(self) -> list[str]:
        """Say on which side each joint is: left, right, or empty for the middle."""
        side = {name: word for pair in self.mirror_pairs or () for name, word in zip(pair, OTHER_SIDE, strict=True)}
        return [side.get(name, "") for name in self.names]

    def bones(self) -> list[tuple[int, int]]:
        """Give (joint, parent) of every joint but the root."""
        return [(joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0]

    def plain(self) -> dict[str, Any]:
        """Give the joints as plain types, for files."""
        return {name: _lists(value) for name, value in self._asdict().items()}

    @property
    def is_h36m(self) -> bool:
        """Whether the joints are Human3.6M's 17, which some measures of people are about."""
        return self.names == H36M_17


def _lists(value: object) -> object:
    return [_lists(one) for one in value] if isinstance(value, tuple) else value


def skeleton_from(plain: dict[str, Any]) -> Skeleton:
    """Take joints back from plain types."""
    pairs = {name: None if plain[name] is None else tuple((left, right) for left, right in plain[name])
             for name in ("mirror_pairs", "heading_pairs")}  # fmt: skip
    return Skeleton(tuple(plain["names"]), tuple(plain["parents"]), pairs["mirror_pairs"], pairs["heading_pairs"] or ())


def pairs_by_name(names: tuple[str, ...]) -> Pairs:
    """Pair the joints whose names differ in the words left and right alone.

    Raises:
        ValueError: a name has no partner.
    """
    other = {name: "_".join(OTHER_SIDE.get(word, word) for word in name.split("_")) for name in names}
    alone = [name for name, partner in other.items() if partner not in names]
    if alone:
        raise ValueError(f"{alone[0]} has no partner {other[alone[0]]}")
    return tuple((name, other[name]) for name in names if "left" in name.split("_"))


def limbs_from_the_middle(names: tuple[str, ...], parents: tuple[int, ...], mirror_pairs: Pairs) -> Pairs:
    """Choose the pairs that hang from the middle of the body, as hips and shoulders do: they tell where it faces."""
    sided = {name for pair in mirror_pairs for name in pair}
    above = {name: names[parent] for name, parent in zip(names, parents, strict=True) if parent >= 0}
    return tuple(pair for pair in mirror_pairs if not any(above.get(name, name) in sided for name in pair))


H36M = Skeleton(
    H36M_17, H36M_17_PARENTS, pairs_by_name(H36M_17), (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))
)
"""What data sets have that bring no joints of their own."""
