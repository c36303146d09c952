"""Reads and writes calibrations: which format a file has, and its reader and writer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from dataset_def.calibration.camera_values import Calibration
from dataset_def.calibration.easymocap import read_easymocap, write_easymocap
from dataset_def.calibration.h36m import read_h36m, write_h36m
from dataset_def.calibration.opencv import read_opencv, write_opencv
from dataset_def.calibration.pose2sim import read_pose2sim, write_pose2sim
from dataset_def.calibration.qualisys import read_qualisys, write_qualisys
from utils.camera import Camera

Format = Literal["opencv", "opencv_json", "pose2sim", "qualisys", "easymocap", "h36m"]
KNOWN_FORMATS = "Pose2Sim's .toml, Qualisys' .qca.txt, EasyMocap's intri.yml, OpenCV's .yml or .json, Human3.6M's .mat"


def _listed(paths: Sequence[Path]) -> list[Path]:
    """Check that the files are there, and put EasyMocap's second file or its folder to the first."""
    found: list[Path] = []
    for path in paths:
        pair = [path / "intri.yml", path / "extri.yml"] if path.is_dir() else [path]
        if path.name in ("intri.yml", "extri.yml"):
            pair = [path.with_name("intri.yml"), path.with_name("extri.yml")]
        found += [one for one in pair if one not in found]
    for path in found:
        if not path.is_file():
            raise FileNotFoundError(f"calibration file {path} does not exist; give it with --calibration")
        if path.stat().st_size == 0:
            raise ValueError(f"calibration file {path} is empty (0 bytes); copy it again")
    return found


def read_calibration(paths: Sequence[Path]) -> Calibration:
    """Read all cameras of the files of one calibration; the format follows from their names.

    Raises:
        FileNotFoundError, ValueError: no file, a format without a reader, or a file without what its format promises.
    """
    files = _listed(paths)
    names = [path.name.lower() for path in files]
    if len(files) == 1 and names[0].endswith(".qca.txt"):
        found = read_qualisys(files[0])
    elif len(files) == 1 and names[0].endswith(".toml"):
        found = read_pose2sim(files[0])
    elif set(names) == {"intri.yml", "extri.yml"}:
        found = read_easymocap(*(path for name in ("intri.yml", "extri.yml") for path in files if path.name == name))
    elif files and all(name.endswith(".mat") for name in names):
        found = read_h36m(files)
    elif files and all(name.endswith((".yml", ".yaml", ".json")) for name in names):
        found = read_opencv(files)
    else:
        raise ValueError(
            f"calibration {', '.join(map(str, paths)) or '(none)'}: there is no reader for this; use {KNOWN_FORMATS}"
        )
    if len(found.cameras) < 2:
        raise ValueError(f"{found.where} has {len(found.cameras)} cameras; several views need at least 2")
    return found


def write_calibration(kind: Format, folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write cameras by name in one of the formats, and give the files."""
    if kind == "opencv_json":
        return write_opencv(folder, cameras, "json")
    writers = {"opencv": write_opencv, "pose2sim": write_pose2sim, "qualisys": write_qualisys,
               "easymocap": write_easymocap, "h36m": write_h36m}  # fmt: skip
    return writers[kind](folder, cameras)
