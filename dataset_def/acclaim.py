"""Read Acclaim motion capture (.asf, .amc, as from mocap.cs.cmu.edu) and map it onto the body's 24 joints.

Both frames have y up.  The skeleton's rest pose is a T-pose facing +z with spread legs; a bone's orientation is
relative to that pose.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.frame_files import is_hidden
from utils.optional import later
from utils.skeleton import SMPL_24, SMPL_24_PARENTS

transform = later("scipy.spatial.transform")

METRES_PER_INCH = 0.0254
ORDER = ("rx", "ry", "rz")

BONE_OF_JOINT: dict[str, str] = {
    "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "lowerneck",
    "head": "head",
    **{f"{side}_{joint}": f"{side[0]}{bone}" for side in ("left", "right") for joint, bone in (
        ("hip", "femur"), ("knee", "tibia"), ("ankle", "foot"), ("foot", "toes"), ("collar", "clavicle"),
        ("shoulder", "humerus"), ("elbow", "radius"), ("wrist", "hand"), ("hand", "hand"))},
}  # fmt: skip
"""Which bone turns with which joint of the body."""

BONE_TARGETS: dict[str, str] = {
    f"{side}_{joint}": f"{side}_{child}"
    for side in ("left", "right")
    for joint, child in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
"""Joints whose bone must point where the recorded bone points, with the joint at the bone's end."""

ARMS: dict[str, str] = {
    f"{side}_{joint}": side for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist", "hand")
}  # fmt: skip
"""Joints of the arms, which the two rest poses may turn about the arm differently, and their side."""
HINGE = np.array([0.0, 1.0, 0.0])
"""Axis that the body's elbows bend about at rest."""

FEET: dict[str, str] = {f"{side}_{part}": f"{side}_knee" for side in ("left", "right") for part in ("ankle", "foot")}
"""Joints whose bones stand on the shank at rest, which the recording spreads and the T-pose does not."""


class Bone(NamedTuple):
    """One bone of a skeleton at rest."""

    parent: str
    direction: Float[np.ndarray, "3"]
    length_m: float
    R_rest_from_bone: Float[np.ndarray, "3 3"]
    """Axes that the bone's angles turn about."""
    channels: tuple[str, ...]


class Skeleton(NamedTuple):
    """A person's skeleton; bones come after their parents, and the root is no bone."""

    bones: dict[str, Bone]
    root_channels: tuple[str, ...]
    metres_per_unit: float
    radians_per_unit: float


class Clip(NamedTuple):
    """A recorded motion."""

    root_m: Float[np.ndarray, "T 3"]
    rotations: dict[str, Float[np.ndarray, "T 3 3"]]
    """Rotation of every bone and of `root`, about the bone's own axes."""


class PlacedBones(NamedTuple):
    """Where the bones are."""

    turned: dict[str, Float[np.ndarray, "T 3 3"]]
    """Orientation of every bone relative to its rest."""
    ends_m: dict[str, Float[np.ndarray, "T 3"]]
    """Far end of every bone; `root` is the root itself."""


def clip_files(folder: Path) -> list[tuple[Path, Path]]:
    """List the motions of a folder, at any depth, each with its skeleton beside it.

    The skeleton is the one whose name the motion's begins with (`01_02.amc` belongs to `01.asf`, `HDM_bd_01-01_01.amc`
    to `HDM_bd.asf`), or the only one of the folder.

    Raises:
        FileNotFoundError: no folder, no motions, or a motion without skeleton.
    """
    inside = sorted(path for path in folder.rglob("*")
                    if path.suffix.lower() in (".amc", ".asf") and not is_hidden(path))  # fmt: skip
    motions = [path for path in inside if path.suffix.lower() == ".amc"]
    skeletons: dict[Path, list[Path]] = {}
    for path in inside:
        if path.suffix.lower() == ".asf":
            skeletons.setdefault(path.parent, []).append(path)
    if not motions:
        raise FileNotFoundError(f"{folder} holds no .amc files; give a folder with .asf and .amc files side by side")
    return [(motion, _skeleton_of(motion, skeletons.get(motion.parent, []))) for motion in motions]


def _skeleton_of(motion: Path, beside: list[Path]) -> Path:
    """Find the skeleton of a motion among those of its folder."""
    name = motion.stem.lower()
    fitting = [path for path in beside if name == path.stem.lower() or name.startswith(f"{path.stem.lower()}_")]
    if fitting or len(beside) == 1:
        return max(fitting or beside, key=lambda path: len(path.stem))
    raise FileNotFoundError(
        f"{motion.name} needs the skeleton {motion.parent / motion.stem.split('_')[0]}.asf; copy it there"
    )


def sections(path: Path) -> dict[str, list[list[str]]]:
    """Split an .asf file into its sections of lines of words."""
    found: dict[str, list[list[str]]] = {}
    words: list[list[str]] = []
    for line in path.read_text(errors="replace").splitlines():
        parts = line.split("#")[0].split()
        if parts and parts[0].startswith(":"):
            words = found.setdefault(parts[0][1:].lower(), [])
            parts = parts[1:]
        if parts:
            words.append(parts)
    return found


def about_axes(angles: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """Turn about x, then y, then z, all fixed.  Source: the Acclaim format, `axis XYZ`."""
    flat = np.asarray(angles, np.float64).reshape(-1, 3)
    return transform.Rotation.from_euler("xyz", flat).as_matrix().reshape(*np.shape(angles)[:-1], 3, 3)


def read_bone(lines: list[list[str]], parents: dict[str, str], metres: float, radians: float) -> tuple[str, Bone]:
    """Read one `begin ... end` block."""
    fields = {words[0]: words[1:] for words in lines}
    if fields["axis"][3:] not in ([], ["XYZ"]):
        raise ValueError(f"bone {fields['name'][0]} has axis order {fields['axis'][3:]}; only XYZ is known")
    direction = np.array(fields["direction"], np.float64)
    axes = about_axes(np.array(fields["axis"][:3], np.float64) * radians)
    channels = tuple(name.lower() for name in fields.get("dof", []))
    name = fields["name"][0]
    length_m = float(fields["length"][0]) * metres
    return name, Bone(parents[name], direction / np.linalg.norm(direction), length_m, axes, channels)


def read_asf(path: Path) -> Skeleton:
    """Read a skeleton.

    Raises:
        ValueError: not an .asf file, damaged, or with an axis order other than XYZ.
    """
    found = sections(path)
    try:
        units = {words[0]: words[1] for words in found["units"]}
        metres = METRES_PER_INCH / float(units["length"])
        radians = np.pi / 180 if units["angle"].startswith("deg") else 1.0
        parents = {child: words[0] for words in found["hierarchy"] for child in words[1:]}
        blocks: list[list[list[str]]] = []
        for words in found["bonedata"]:
            if words[0] == "begin":
                blocks.append([])
            elif words[0] != "end":
                blocks[-1].append(words)
        bones = dict(read_bone(block, parents, metres, radians) for block in blocks)
        order = next(words[1:] for words in found["root"] if words[0] == "order")
        ordered = {name: bones[name] for name in parents if name in bones}
    except (KeyError, IndexError, StopIteration, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is no Acclaim skeleton that can be read ({error!r}); copy it again") from error
    _check_root(path, found["root"])
    return Skeleton(ordered, tuple(name.lower() for name in order), metres, radians)


def _check_root(path: Path, lines: list[list[str]]) -> None:
    """Refuse a root whose axes are not the world's, which would turn every pose.

    Raises:
        ValueError: another order of axes than XYZ, or an orientation.
    """
    for words in lines:
        if words[0].lower() == "axis" and "".join(words[1:]).upper() != "XYZ":
            raise ValueError(f"{path}: the root turns about axes in the order {' '.join(words[1:])}; only XYZ is known")
        if words[0].lower() == "orientation" and any(float(word) for word in words[1:]):
            raise ValueError(f"{path}: the root has the orientation {' '.join(words[1:])}, which is not undone here; "
                             "write the motion with 0 0 0")  # fmt: skip


ANGLE_UNITS = {":radians": 1.0, ":degrees": np.pi / 180, ":deg": np.pi / 180, ":rad": 1.0}
"""What the head of an .amc file says about its angles; it goes before what the skeleton says."""


def angle_unit(path: Path) -> float | None:
    """Read in which unit a motion's own head says its angles are, in radians; None if it says nothing."""
    for line in path.read_text(errors="replace").splitlines():
        word = line.strip().lower()
        if word in ANGLE_UNITS:
            return ANGLE_UNITS[word]
        if word and word[0] not in "#:":
            return None
    return None


def read_values(path: Path) -> dict[str, list[list[float]]]:
    """Collect the numbers of every bone over the frames of an .amc file."""
    values: dict[str, list[list[float]]] = {}
    for line in path.read_text(errors="replace").splitlines():
        parts = line.split()
        if len(parts) > 1 and parts[0][0] not in "#:":
            values.setdefault(parts[0], []).append([float(word) for word in parts[1:]])
    return values


def read_amc(path: Path, skeleton: Skeleton) -> Clip:
    """Read a motion of this skeleton.

    Raises:
        ValueError: damaged, or of another skeleton.
    """
    try:
        values = {name: np.array(rows) for name, rows in read_values(path).items()}
        told = angle_unit(path)
        radians = skeleton.radians_per_unit if told is None else told
        root = dict(zip(skeleton.root_channels, values["root"].T, strict=True))
        root_m = np.stack([root[f"t{axis}"] for axis in "xyz"], -1) * skeleton.metres_per_unit
        rotations = {"root": about_axes(np.stack([root[name] for name in ORDER], -1) * radians)}
        for name, bone in skeleton.bones.items():
            angles = np.zeros((len(root_m), 3))
            if bone.channels:
                angles[:, [ORDER.index(channel) for channel in bone.channels]] = values[name]
            rotations[name] = about_axes(angles * radians)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} cannot be read with its skeleton ({error}); copy both again") from error
    return Clip(root_m, rotations)


def place_bones(skeleton: Skeleton, clip: Clip) -> PlacedBones:
    """Walk down the skeleton.  Source: the Acclaim format: orientation = parent's, then C L C^-1 with C = `axis`."""
    turned, ends_m = {"root": clip.rotations["root"]}, {"root": clip.root_m}
    for name, bone in skeleton.bones.items():
        C = bone.R_rest_from_bone
        turned[name] = turned[bone.parent] @ (C @ clip.rotations[name] @ C.T)
        ends_m[name] = ends_m[bone.parent] + bone.length_m * turned[name] @ bone.direction
    return PlacedBones(turned, ends_m)


def shortest_turn(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Turn one direction into another, without twist.  Source: Rodrigues' formula; test_acclaim.py."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(a, b)
    angle = np.arctan2(np.linalg.norm(axis), a @ b)
    return transform.Rotation.from_rotvec(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle).as_matrix()


def arm_turn(skeleton: Skeleton, side: str) -> Float[np.ndarray, "3 3"]:
    """Turn the resting arm about itself so that the elbow's hinge stands as the body's does.

    The identity where the elbow has more than one axis, so that no hinge tells how the arm lies.
    Source: own derivation, test_acclaim.py.
    """
    elbow = skeleton.bones[BONE_OF_JOINT[f"{side}_elbow"]]
    if elbow.channels not in (("rx",), ("ry",), ("rz",)):
        return np.eye(3)
    axis = elbow.R_rest_from_bone[:, ORDER.index(elbow.channels[0])]
    along = elbow.direction
    here, there = (vector - along * (along @ vector) for vector in (axis, HINGE))
    there = there if here @ there >= 0 else -there
    return shortest_turn(there, here)


def to_body(
    skeleton: Skeleton, placed: PlacedBones, rest_joints_m: Float[np.ndarray, "24 3"]
) -> Float[np.ndarray, "T 24 3 3"]:
    """Give the rotations of the body's joints, the root's in the recording's frame (y up).

    Upper and lower arms and legs point where the recorded ones point, and elbows bend about the body's own axis;
    trunk, head and hands turn as much from the T-pose as the recorded ones do from their rest, feet as much from the
    shank.

    Args:
        rest_joints_m: the body's joints at theta = 0.
    """
    turned = {}
    for joint, bone in BONE_OF_JOINT.items():
        about_arm = arm_turn(skeleton, ARMS[joint]) if joint in ARMS else np.eye(3)
        turned[joint] = placed.turned[bone] @ about_arm
        limb = FEET.get(joint, joint)
        if limb in BONE_TARGETS:
            rest_m = rest_joints_m[SMPL_24.index(BONE_TARGETS[limb])] - rest_joints_m[SMPL_24.index(limb)]
            recorded = about_arm.T @ skeleton.bones[BONE_OF_JOINT[limb]].direction
            turned[joint] = turned[joint] @ shortest_turn(rest_m, recorded)
    rotations = [turned[SMPL_24[0]]]
    for joint, parent in zip(SMPL_24[1:], SMPL_24_PARENTS[1:], strict=True):
        rotations.append(turned[SMPL_24[parent]].swapaxes(-1, -2) @ turned[joint])
    return np.stack(rotations, axis=1)


def leg_length_m(skeleton: Skeleton) -> float:
    """Length of thigh and shank."""
    return skeleton.bones["lfemur"].length_m + skeleton.bones["ltibia"].length_m
