"""Reads the files of a source once, into one compact file."""

import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int32

from config import PoseSources
from dataset_def.poses.readers import (
    VERSION,
    PoseRecording,
    Source,
    find_amass,
    find_cmu,
    find_surreal,
    generate_recording,
    read_amass,
    read_cmu,
    read_surreal,
    rest_joints_m,
)
from utils.artifacts import load_arrays, save_arrays
from utils.body_file import NUM_BETAS
from utils.processes import for_each

POSE_FORMAT = 2
"""Raised when the same files would be read to other numbers."""


AMASS_VERSION = 2
"""Raised when the same files of AMASS would be read to other numbers."""


class PoseTable(NamedTuple):
    """All kept frames of a source."""

    source: str
    names: list[str]
    """Names of the Q recordings; several may belong to one sequence."""
    theta: Float16[np.ndarray, "N axis_angles"]
    """Half precision: 0.1 degrees at worst."""
    recording: Int32[np.ndarray, "N"]
    """Which recording a frame belongs to."""
    betas: Float32[np.ndarray, "Q n"]
    """NaN where the source tells no shape."""
    num_skipped: int


def stamp(files: list[Path], *settings: object) -> str:
    """Make a key of names, sizes and times of change, and of settings; reading all content would take hours."""
    told = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((POSE_FORMAT, told, settings)).encode()).hexdigest()[:16]


def _surreal(item: tuple[str, ...], most_frames: int) -> PoseRecording:
    return read_surreal(Path(item[0]), most_frames)


def _amass(item: tuple[str, ...], root: Path, most_frames: int) -> PoseRecording:
    return read_amass(Path(item[0]), root, most_frames)


def _cmu(item: tuple[str, ...], rest_m: Float64[np.ndarray, "24 3"], most_frames: int) -> PoseRecording:
    return read_cmu(Path(item[0]), Path(item[1]), rest_m, most_frames)


def _generated(item: tuple[str, ...], frames: int, seed: int) -> PoseRecording:
    return generate_recording(int(item[0]), frames, seed)


def cmu_source(folder: Path, beginnings: tuple[str, ...], most_frames: int, body_location: Path) -> Source:
    """Find CMU's files, which are put on the limbs of one body."""
    pairs = find_cmu(folder, beginnings)
    rest_m = rest_joints_m(body_location)
    key = stamp([path for pair in pairs for path in pair], most_frames, rest_m.round(6).tolist())
    items = tuple((str(motion), str(skeleton)) for motion, skeleton in pairs)
    return Source("cmu", key, items, partial(_cmu, rest_m=rest_m, most_frames=most_frames), 0)


def find_sources(config: PoseSources, body_location: Path) -> list[Source]:
    """Find the files of every source that the settings name.

    Args:
        body_location: the body that recordings of other skeletons are put on.
    """
    most, found = config.most_frames, []
    if config.generator:
        items = tuple((str(number),) for number in range(config.sequences))
        read = partial(_generated, frames=config.frames, seed=config.seed)
        key = stamp([], "generator", VERSION, config.sequences, config.frames, config.seed)
        found.append(Source("generator", key, items, read, 0))
    if config.surreal is not None:
        files, skipped = find_surreal(config.surreal)
        items = tuple((str(path),) for path in files)
        found.append(Source("surreal", stamp(files, most), items, partial(_surreal, most_frames=most), skipped))
    if config.amass is not None:
        files, skipped = find_amass(config.amass)
        items, read_one = tuple((str(path),) for path in files), partial(_amass, root=config.amass, most_frames=most)
        found.append(Source("amass", stamp(files, most, AMASS_VERSION), items, read_one, skipped))
    if config.cmu is not None:
        found.append(cmu_source(config.cmu, config.cmu_subjects, most, body_location))
    return found


def read_source(source: Source, location: Path, processes: int) -> PoseTable:
    """Read a source from its cache, or all of its files once, which makes the cache.

    Raises:
        ValueError: a file is damaged, by name.
    """
    path = location / f"{source.name}_{source.key}.npz"
    if not path.is_file():
        recordings = for_each(source.read, source.items, processes, f"read {source.name}")
        none = np.full(NUM_BETAS, np.nan, np.float32)
        lengths = [len(one.theta) for one in recordings]
        save_arrays(
            path, "poses",
            names=np.array([one.name for one in recordings]),
            theta=np.concatenate([one.theta for one in recordings]).astype(np.float16),
            recording=np.repeat(np.arange(len(recordings)), lengths).astype(np.int32),
            betas=np.stack([none if one.betas is None else one.betas for one in recordings]),
        )  # fmt: skip
    stored = load_arrays(path, "poses", "python sample/train_GAN.py")
    return PoseTable(source.name, stored["names"].tolist(), stored["theta"], stored["recording"], stored["betas"],
                     source.num_skipped)  # fmt: skip
