"""What a data set tells of itself beside its frames: data_set.json in the folder of the frames, if it is there.

    {"joints": ["pelvis", "left_hip", "right_hip", ...], "parents": [null, "pelvis", "pelvis", ...],
     "mirror_pairs": [["left_hip", "right_hip"], ...], "heading_pairs": [["left_hip", "right_hip"]],
     "world_up": [0, 0, 1], "people": "our laboratory, 2024"}

Every key may be left out.  `joints` and `parents`: the joints of pose3d_world, the root first; Human3.6M's 17 where
there are none.  `mirror_pairs`: left and right; paired by their names where there are none.  `heading_pairs`: the pairs
whose differences point to the left of somebody who faces ahead; those that hang from the middle, as hips and shoulders
do, where there are none.  `world_up`: which way is up in the world of cameras and joints; z where it is not said.  The
index turns the world so that z is up; bodies and poses that are made from it stand in that world.  `people`: a name for
those whom the subjects' numbers stand for, the same in all data sets that share them; a test says by it whether a
network was trained on somebody.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from config import Paths
from utils.artifacts import atomic_write
from utils.skeleton import H36M, Pairs, Skeleton, limbs_from_the_middle, pairs_by_name

FILE = "data_set.json"
DRAWN_SETTINGS = "synthetic_settings.json"
"""Beside drawn frames, and beside the bodies in them: how they were drawn."""
JOINTS = ("joints", "parents")
KEYS = (*JOINTS, "mirror_pairs", "heading_pairs", "world_up", "people")
Z_UP = (0.0, 0.0, 1.0)


class DataSetFacts(NamedTuple):
    """What holds for all frames of a data set."""

    skeleton: Skeleton = H36M
    up_world: tuple[float, float, float] = Z_UP
    """Unit vector, in the world of h36m_meta.mat."""
    people: str = ""
    """Whom the subjects' numbers stand for; empty where it is not told."""

    def R_index_from_world(self) -> Float[np.ndarray, "3 3"]:
        """Give the shortest turn from the world of h36m_meta.mat to one with z up.

        Source: Rodrigues' formula between two unit vectors; own derivation, test_data_set_file.py.
        """
        up = np.array(self.up_world)
        if up[2] < -1 + 1e-9:
            return np.diag([1.0, -1.0, -1.0])
        x, y, z = np.cross(up, Z_UP)
        across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.eye(3) + across + across @ across / (1 + up[2])


def facts_path(paths: Paths) -> Path:
    """Say where a data set tells of itself."""
    return paths.h36m_location / FILE


def read_facts(paths: Paths) -> DataSetFacts:
    """Read what a data set tells of itself; Human3.6M's joints and z up where it tells nothing.

    Raises:
        ValueError: the file is damaged, or what it says does not fit together; with the place.
    """
    path = facts_path(paths)
    return facts_from(path.read_bytes(), path) if path.is_file() else DataSetFacts()


def facts_from(text: bytes | str, path: Path) -> DataSetFacts:
    """Read the text of such a file.

    Args:
        path: of the file that holds it, for the sentence.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no json ({error}); correct it, or see dataset_def/README.md") from error
    wrong = sorted(set(told) - set(KEYS)) if isinstance(told, dict) else ["no table of keys"]
    if wrong:
        raise ValueError(f"{path} holds {', '.join(map(repr, wrong))}; it may hold {', '.join(KEYS)}")
    people = told.get("people", "")
    if not isinstance(people, str):
        raise ValueError(f"people of {path} is {people!r}; give a name in quotes")
    return DataSetFacts(_skeleton(told, path), _up(told.get("world_up", list(Z_UP)), path), people)


def skeleton_text(skeleton: Skeleton) -> str:
    """Write a skeleton as `facts_from` reads it."""
    told: dict[str, Any] = {
        "joints": skeleton.names,
        "parents": [None if parent < 0 else skeleton.names[parent] for parent in skeleton.parents],
        "heading_pairs": skeleton.heading_pairs,
    }
    return json.dumps(told | ({} if skeleton.mirror_pairs is None else {"mirror_pairs": skeleton.mirror_pairs}))


def write_facts(paths: Paths, skeleton: Skeleton) -> None:
    """Write the joints of a data set into its folder of frames; a file that is there stays as it is."""
    path = facts_path(paths)
    if not path.is_file():
        with atomic_write(path) as partial:
            partial.write_text(skeleton_text(skeleton) + "\n")


def _skeleton(told: dict[str, Any], path: Path) -> Skeleton:
    """Take the joints, and find the pairs that are not told."""
    missing = [key for key in JOINTS if key not in told]
    names, parents = (H36M.names, H36M.parents) if missing else _tree(told, path)
    if len(missing) == 1:
        raise ValueError(f"{path} has {JOINTS[1 - JOINTS.index(missing[0])]} but no {missing[0]}; give both or neither")
    try:
        by_name = pairs_by_name(names) or None
    except ValueError as error:
        if "mirror_pairs" not in told:
            raise ValueError(f"{path}: {error}; list mirror_pairs") from error
        by_name = None
    mirror_pairs = _pairs(told, "mirror_pairs", names, path) if "mirror_pairs" in told else by_name
    heading_pairs = limbs_from_the_middle(names, parents, mirror_pairs or ())
    if "heading_pairs" in told:
        heading_pairs = _pairs(told, "heading_pairs", names, path)
    return Skeleton(names, parents, mirror_pairs, heading_pairs)


def _tree(told: dict[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Take names and parents of joints.

    Raises:
        ValueError: a name is empty or there twice, or the parents are not a tree with its root first.
    """
    names, above = told["joints"], told["parents"]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"joints of {path} must be a list of names")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice or len(names) < 2:
        raise ValueError(f"joints of {path} name {twice or names} {'twice' if twice else 'alone'}; give two joints at "
                         "least, each a name of its own")  # fmt: skip
    if not isinstance(above, list) or len(above) != len(names):
        raise ValueError(f"parents of {path} must be a list with an entry for each of the {len(names)} joints")
    unknown = [name for name in above if name is not None and name not in names]
    if unknown or above[0] is not None or None in above[1:]:
        raise ValueError(f"parents of {path} must be null for the first joint, which is the root, and the name of a "
                         f"joint for every other; unknown: {unknown}")  # fmt: skip
    parents = tuple(-1 if name is None else names.index(name) for name in above)
    reached = set(range(len(names)))
    for _ in names:  # as many steps up as there are joints end at the root, but for those in a circle
        reached = {parents[row] for row in reached if parents[row] >= 0}
    if reached:
        raise ValueError(f"parents of {path} go in a circle at {names[min(reached)]}")
    return tuple(names), parents


def _pairs(told: dict[str, Any], key: str, names: tuple[str, ...], path: Path) -> Pairs:
    """Take pairs of joints.

    Raises:
        ValueError: they are no pairs, or a joint is unknown or in two of them.
    """
    pairs = told[key]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError(f'{key} of {path} must be a list of pairs such as ["left_hip", "right_hip"]')
    members = Counter(name for pair in pairs for name in pair)
    wrong = sorted(str(name) for name, count in members.items() if name not in names or count > 1)
    if wrong:
        raise ValueError(
            f"{key} of {path} has {', '.join(wrong)}, which is no joint of the data set, or is there twice"
        )
    return tuple((left, right) for left, right in pairs)


def _up(told: object, path: Path) -> tuple[float, float, float]:
    """Take the direction that is up.

    Raises:
        ValueError: it is no direction.
    """
    if not isinstance(told, list) or len(told) != 3 or not all(isinstance(one, int | float) for one in told):
        raise ValueError(f"world_up of {path} is {told!r}; give three numbers, such as [0, -1, 0] where y points down")
    up = np.array(told, float)
    length = float(np.linalg.norm(up))
    if not 0 < length < np.inf:
        raise ValueError(f"world_up of {path} is {told!r}, which points nowhere; give a direction")
    x, y, z = (up / length).tolist()
    return x, y, z
