"""The settings of dataset_def/convert_h36m.py, which the steps of a conversion share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config import ROOT, Paths, ranged, setting


@dataclass(frozen=True)
@ranged()
class ConvertConfig:
    """dataset_def/convert_h36m.py: the official Human3.6M download, in the layout that the other scripts read."""

    official: Path
    """Folder of the unpacked download: S1, S5, ... with Videos, Poses_D3_Positions and MySegmentsMat in each."""
    metadata: Path | None = None
    """metadata.xml of the download's program code; without it, the one in the folder `official`."""
    paths: Paths = field(default_factory=lambda: Paths.under(ROOT / "data" / "h36m"))
    report_location: Path = ROOT / "data" / "h36m" / "about"
    """Folder that gets report.json, and a note for every folder that was written."""
    subjects: tuple[int, ...] = (1, 5, 6, 7, 8, 9, 11)
    actions: tuple[int, ...] = tuple(range(2, 17))
    subactions: tuple[int, ...] = (1, 2)
    cameras: tuple[int, ...] = (1, 2, 3, 4)
    every: int = setting(5, low=1)
    """Write every n-th frame (frames 1, 6, 11, ... for 5); give the same number to dataset_def/h36m_preprocess.py."""
    size_px: int = 0
    """Width of the written frames, with height, masks and calibration in proportion; 0 keeps the video's."""
    image: Literal["jpg", "png"] = "jpg"
    quality: int = setting(95, low=1, high=100)
    """Of .jpg frames."""
    masks: bool = True
    """Convert the person masks; a folder without masks is then left out, since later scripts want masks of all frames
    or of none."""
    missing_frames: int = setting(0, low=0)
    """Frames that a video or its masks may lack at the end of a sequence; more count as damage."""
    keep_free_gb: float = setting(2.0, low=0)
    """Space on the disk that must remain, in units of 10^9 bytes."""
    processes: int = setting(0, low=0)
    """Worker processes; 0 takes one per core."""

    def __post_init__(self) -> None:
        if self.size_px and not 32 <= self.size_px <= 4000:
            raise ValueError(f"size_px is {self.size_px}; use 32 to 4000, or 0 to keep the size of the videos")
        if not set(self.cameras) <= {1, 2, 3, 4}:
            raise ValueError(f"cameras is {self.cameras}; Human3.6M has the cameras 1, 2, 3 and 4")
        if not (self.subjects and self.actions and self.subactions and self.cameras):
            raise ValueError("subjects, actions, subactions and cameras need at least one value each")
