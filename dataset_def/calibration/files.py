"""Reads and writes calibrations: which format a file has, and its reader and writer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from dataset_def.calibration.camera_values import Calibration, read_tree
from dataset_def.calibration.colmap import is_nerfstudio, read_colmap, read_nerfstudio, write_colmap, write_nerfstudio
from dataset_def.calibration.easymocap import read_easymocap, write_easymocap
from dataset_def.calibration.h36m import read_h36m, write_h36m
from dataset_def.calibration.opencv import read_opencv, write_opencv, write_panoptic
from dataset_def.calibration.pose2sim import read_pose2sim, write_anipose, write_caliscope, write_pose2sim
from dataset_def.calibration.qualisys import read_qualisys, write_qualisys
from utils.camera import Camera

Format = Literal["opencv", "opencv_json", "pose2sim", "qualisys", "easymocap", "h36m", "anipose", "caliscope",
                 "panoptic", "colmap", "nerfstudio"]  # fmt: skip
KNOWN_FORMATS = (
    "the .toml of Pose2Sim, anipose, FreeMoCap or Caliscope, Qualisys' .qca.txt, EasyMocap's intri.yml, OpenCV's .yml "
    "or .json, CMU Panoptic's .json, COLMAP's cameras.txt and images.txt, nerfstudio's transforms.json, Human3.6M's "
    ".mat"
)
PAIRS = (("intri.yml", "extri.yml"), ("cameras.txt", "images.txt"))
"""Formats of two files: EasyMocap's and COLMAP's."""


def _listed(paths: Sequence[Path]) -> list[Path]:
    """Check that the files are there, and put the second file of a pair, or both of a folder, to what is given."""
    found: list[Path] = []
    for path in paths:
        names = next((pair for pair in PAIRS if path.name in pair), ())
        if path.is_dir():
            names = next((pair for pair in PAIRS if (path / pair[0]).is_file()), PAIRS[0])
        folder = path if path.is_dir() else path.parent
        belonging = [folder / name for name in names] or [path]
        found += [one for one in belonging if one not in found]
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
    elif set(names) == {"cameras.txt", "images.txt"}:
        found = read_colmap(*sorted(files, key=lambda path: path.name))
    elif len(files) == 1 and names[0].endswith(".json") and is_nerfstudio(read_tree(files[0])):
        found = read_nerfstudio(files[0])
    elif files and all(name.endswith(".mat") for name in names):
        found = read_h36m(files)
    elif files and all(name.endswith((".yml", ".yaml", ".json")) for name in names):
        found = read_opencv(files)
    elif any(name.endswith(".bin") for name in names):
        raise ValueError(f"{files[0]} is COLMAP's binary model; write it as text: colmap model_converter --input_path "
                         ". --output_path . --output_type TXT")  # fmt: skip
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
               "easymocap": write_easymocap, "h36m": write_h36m, "anipose": write_anipose,
               "caliscope": write_caliscope, "panoptic": write_panoptic, "colmap": write_colmap,
               "nerfstudio": write_nerfstudio}  # fmt: skip
    return writers[kind](folder, cameras)
