"""What every source of poses gives, sequences of axis-angle numbers with or without a shape, and a reader for each.

AMASS's .npz (the hands apart), CMU's .asf / .amc put on the body's joints, SURREAL's *_info.mat, and the embedded
motion generator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.acclaim import BONE_OF_JOINT, clip_files, place_bones, read_amc, read_asf, to_body
from dataset_def.frame_files import is_hidden
from dataset_def.synthetic.motion.generate import PLANS, generate_motion
from dataset_def.synthetic.motion.limbs import subject_style
from utils.body_file import NUM_BETAS, check_smpl_joints, dense, read_body_file
from utils.file_kinds import kind_of
from utils.mat_arrays import read_mat
from utils.optional import later
from utils.safe_arrays import Archive

transform = later("scipy.spatial.transform")


class PoseRecording(NamedTuple):
    """One sequence; frames that are kept only."""

    name: str
    """Name of the sequence; parts of one sequence (clips) share it and are never split between training and
    held-out data."""
    theta: Float[np.ndarray, "T 72"]
    """Axis-angle, the root first, in the source's own frame."""
    betas: Float[np.ndarray, "10"] | None = None
    """SMPL's shape numbers."""


class Source(NamedTuple):
    """A kind of files, found and read."""

    name: str
    key: str
    """Changes when the content or a setting does."""
    items: tuple[tuple[str, ...], ...]
    """What `read` is called with: paths as text, or the number of a generated motion."""
    read: Callable[[tuple[str, ...]], PoseRecording]
    num_skipped: int
    """Files that are known to be bad or hold no motion."""


def spread_rows(count: int, most: int) -> np.ndarray:
    """Choose at most so many of the frames, evenly spread; all if there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def check_theta(path: Path, theta: np.ndarray) -> Float[np.ndarray, "T 72"]:
    """Refuse poses that are of another shape, empty or not finite."""
    if theta.ndim != 2 or theta.shape[1] != 72 or len(theta) == 0 or not np.isfinite(theta).all():
        raise ValueError(f"{path} holds poses of shape {theta.shape}, or such that are not finite; (frames, 72) is "
                         "needed: delete it or fetch it again")  # fmt: skip
    return theta.astype(np.float32)


def check_betas(path: Path, betas: np.ndarray) -> Float[np.ndarray, "10"]:
    """Refuse shapes of fewer numbers, or such that are not finite."""
    flat = np.asarray(betas, np.float32).reshape(-1)[:NUM_BETAS]
    if len(flat) != NUM_BETAS or not np.isfinite(flat).all():
        raise ValueError(f"{path} holds {len(flat)} shape numbers, or such that are not finite; {NUM_BETAS} are "
                         "needed: delete it or fetch it again")  # fmt: skip
    return flat


NO_MOTION = ("shape.npz", "neutral_stagei.npz", "male_stagei.npz", "female_stagei.npz")
"""Files beside the motions."""


def find_amass(folder: Path) -> tuple[list[Path], int]:
    """List the motions below a folder, and count the files that hold none.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".npz" and not is_hidden(path))
    motions = [path for path in files if path.name not in NO_MOTION]
    if not motions:
        raise FileNotFoundError(f"{folder} holds no .npz of AMASS; give the folder of its collections")
    return motions, len(files) - len(motions)


SPLIT_POSES = ("root_orient", "pose_body")
"""Under which newer files of AMASS have the root's 3 and the body's 63 numbers, beside or instead of `poses`."""
SMPLX_NUMBERS = 165
"""Numbers of a pose of SMPL-X, whose shapes are no shapes of SMPL."""


def _amass_poses(path: Path, content: Archive) -> Float[np.ndarray, "T n"]:
    """Take the poses, whole or in parts.

    Raises:
        ValueError: there are none.
    """
    if "poses" in content:
        poses = np.asarray(content["poses"], np.float64)
    elif all(name in content for name in SPLIT_POSES):
        poses = np.concatenate([np.asarray(content[name], np.float64) for name in SPLIT_POSES], axis=-1)
    else:
        raise ValueError(f"{path} holds no poses of 66 or more numbers per frame (it has {', '.join(content.files)}); "
                         "a motion of AMASS has poses, or root_orient and pose_body")  # fmt: skip
    if poses.ndim != 2 or poses.shape[1] < 66:
        raise ValueError(f"{path} holds no poses of 66 or more numbers per frame but such of shape {poses.shape}; a "
                         "motion of AMASS has 156 numbers per frame: delete it or fetch it again")  # fmt: skip
    return poses


def _amass_betas(path: Path, content: Archive, num_numbers: int) -> Float[np.ndarray, "10"] | None:
    """Take SMPL's shape numbers; None where the file has none, or those of SMPL-X."""
    model = str(content["surface_model_type"]) if "surface_model_type" in content else ""
    if "betas" not in content or model.startswith("smplx") or num_numbers == SMPLX_NUMBERS:
        return None
    return check_betas(path, content["betas"])


def read_amass(path: Path, root: Path, most_frames: int) -> PoseRecording:
    """Read a motion; SMPL's last two joints, the hands, stay at rest (AMASS has fingers instead).

    Args:
        root: names are relative to it.
    Raises:
        ValueError: damaged, or without poses of 66 numbers and more.
    """
    try:
        content = Archive(path)
        poses = _amass_poses(path, content)
        betas = _amass_betas(path, content, poses.shape[1])
    except ValueError as error:
        if str(path) in str(error):
            raise
        kind = kind_of(path)
        what = f"it is {kind}" if kind and "npz" not in kind else str(error)
        raise ValueError(f"{path} is no readable motion of AMASS ({what}); delete it or fetch it again") from error
    kept = poses[spread_rows(len(poses), most_frames)]
    theta = np.concatenate([kept[:, :66], np.zeros((len(kept), 6))], axis=1)
    return PoseRecording(str(path.relative_to(root).with_suffix("")), check_theta(path, theta), betas)


def find_cmu(folder: Path, beginnings: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """List the motions whose names begin so, each with its skeleton; all if no beginnings are given.

    Raises:
        FileNotFoundError: there are none.
    """
    pairs = [pair for pair in clip_files(folder) if not beginnings or pair[0].name.startswith(beginnings)]
    if not pairs:
        raise FileNotFoundError(f"{folder} holds no .amc file that begins with {' or '.join(beginnings)}")
    return pairs


def rest_joints_m(body_location: Path) -> Float[np.ndarray, "24 3"]:
    """Give the joints of a body at rest, which limbs are aligned from."""
    file = read_body_file(body_location)
    check_smpl_joints(body_location, file, "motions of CMU")
    return np.asarray(dense(file.J_regressor) @ file.v_template)


def read_cmu(motion: Path, skeleton: Path, rest_m: Float[np.ndarray, "24 3"], most_frames: int) -> PoseRecording:
    """Read a motion and give the body the same bones' directions.

    Args:
        rest_m: the joints of the body at rest, whose limbs are turned to where the recorded ones point.
    Raises:
        ValueError: damaged, or of another skeleton.
    """
    bones = read_asf(skeleton)
    missing = sorted(set(BONE_OF_JOINT.values()) - {"root", *bones.bones})
    if missing:
        raise ValueError(f"{skeleton} has no bones {', '.join(missing)}; only skeletons with CMU's names of bones can "
                         "be put on the body")  # fmt: skip
    clip = read_amc(motion, bones)
    rows = spread_rows(len(clip.root_m), most_frames)
    clip = clip._replace(root_m=clip.root_m[rows], rotations={name: R[rows] for name, R in clip.rotations.items()})
    rotations = to_body(bones, place_bones(bones, clip), rest_m)
    theta = transform.Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(len(rows), 72)
    return PoseRecording(motion.stem, check_theta(motion, np.asarray(theta)))


GENERATED_FRAMES_PER_SECOND = 2.5
FIRST_SUBJECT = 1000
"""Habits of people that the embedded images do not show."""
VERSION = 1
"""Raised when the same numbers would give other motions."""


def generate_recording(number: int, frames: int, seed: int) -> PoseRecording:
    """Generate motion number `number`: actions take turns, and every motion has a person of its own."""
    action = sorted(PLANS)[number % len(PLANS)]
    style = subject_style(FIRST_SUBJECT + number // len(PLANS), seed)
    rng = np.random.default_rng([seed, number, 303])
    rotations = generate_motion(action, rng, frames, GENERATED_FRAMES_PER_SECOND, style).rotations
    theta = transform.Rotation.from_matrix(rotations.reshape(-1, 3, 3).astype(np.float64)).as_rotvec()
    return PoseRecording(f"{number:05d}", theta.reshape(frames, 72).astype(np.float32))


BAD_SEQUENCES = ("18", "19", "143_21")
"""Their shapes are known to be wrong; 18 and 19 are all sequences of that person.  Source: FORMATS.md, section 3."""


def is_bad(sequence: str) -> bool:
    """Tell whether a sequence is one of those."""
    return any(sequence == bad or sequence.startswith(f"{bad}_") for bad in BAD_SEQUENCES)


def find_surreal(folder: Path) -> tuple[list[Path], int]:
    """List the clips below a folder, and count those left out because they are known to be bad.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.rglob("*_info.mat"))
    good = [path for path in files if not is_bad(path.parent.name)]
    if not good:
        raise FileNotFoundError(f"{folder} holds no *_info.mat of SURREAL; give the folder that holds train, val, test")
    return good, len(files) - len(good)


def read_surreal(path: Path, most_frames: int) -> PoseRecording:
    """Read a clip.  Files of one frame may have lost the last axis; the shape is constant in a clip.

    Raises:
        ValueError: damaged, or without pose and shape.
    """
    try:
        content = read_mat(path, ("pose", "shape"))
        pose, shape = content["pose"], content["shape"]
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(f"{path} is no readable clip of SURREAL ({error}); delete it or fetch it again") from error
    one_frame = pose.size == 72 and shape.size == 10
    theta = check_theta(path, (pose.reshape(72, 1) if one_frame else np.atleast_2d(pose)).T)
    betas = check_betas(path, shape.reshape(10, -1)[:, 0] if shape.size and shape.size % 10 == 0 else shape)
    return PoseRecording(path.parent.name, theta[spread_rows(len(theta), most_frames)], betas)
