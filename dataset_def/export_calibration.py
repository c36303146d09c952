"""Write the cameras of a data set as a calibration file of other programs.

    python dataset_def/export_calibration.py --folder data/calibration --kind pose2sim

Reads   h36m_meta.mat of one subject's folders (the embedded data by default)
Writes  <folder>/Calib.toml, Calib.qca.txt, intri.yml and extri.yml, cameras.yml, cameras.json, cam01.mat ...,
        anipose's calibration.toml (mm), Caliscope's camera_array.toml, CMU Panoptic's calibration.json (cm), COLMAP's
        cameras.txt and images.txt, or nerfstudio's transforms.json
Next    the other program, or dataset_def/import_multiview.py --calibration
"""

from dataclasses import dataclass, field
from pathlib import Path

from config import Paths
from dataset_def.calibration.files import Format, write_calibration
from dataset_def.h36m_files import find_folders, load_camera, meta_path
from utils.camera import Camera
from utils.settings import start


@dataclass(frozen=True)
class ExportCalibrationConfig:
    """dataset_def/export_calibration.py: the cameras of a data set, as a file of other programs."""

    folder: Path
    """Gets the file or files."""
    kind: Format = "pose2sim"
    """The format; the file names follow from it."""
    paths: Paths = field(default_factory=Paths)
    subject: int = 1


def subject_cameras(paths: Paths, subject: int) -> dict[str, Camera]:
    """Read the cameras of a subject's first sequence, named cam01, cam02, ...

    Raises:
        ValueError: the data set does not have the subject.
    """
    keys = [key for key in find_folders(paths) if key[0] == subject]
    if not keys:
        raise ValueError(f"{paths.h36m_location} has no subject {subject}; choose another --subject")
    first = [key for key in keys if key[:3] == keys[0][:3]]
    return {f"cam{key[3]:02d}": load_camera(meta_path(paths, key)) for key in first}


def main(config: ExportCalibrationConfig) -> None:
    """Write the file or files, and print their paths."""
    cameras = subject_cameras(config.paths, config.subject)
    config.folder.mkdir(parents=True, exist_ok=True)
    for path in write_calibration(config.kind, config.folder, cameras):
        print(path)


if __name__ == "__main__":
    start(main, ExportCalibrationConfig)
