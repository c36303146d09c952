"""The settings of dataset_def/import_multiview.py, which the steps of an import share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config import ROOT, Paths, ranged, setting


@dataclass(frozen=True)
@ranged()
class ImportMultiviewConfig:
    """dataset_def/import_multiview.py: a recording by calibrated cameras, in Human3.6M's layout.

    Without --videos it is the recording inside the package pose2sim 0.7.0, in data/real.
    """

    videos: tuple[str, ...] = ()
    """Custom recording: one synchronised video or folder of images per camera, as NAME=PATH or PATH (the camera is then
    named as the file), or one folder that holds them."""
    calibration: tuple[Path, ...] = ()
    """Of a custom recording: the .toml of Pose2Sim, anipose, FreeMoCap or Caliscope, Qualisys' .qca.txt, EasyMocap's
    intri.yml, OpenCV's .yml or .json with K, dist, R (or rvec) and T (or tvec) per camera
    (dataset_def/calibration/opencv.py lists all keys), CMU Panoptic's .json, COLMAP's cameras.txt and images.txt,
    nerfstudio's transforms.json, or one Human3.6M-like .mat per camera."""
    calibration_unit: Literal["", "m", "cm", "mm"] = ""
    """Of the lengths in the calibration; needed where neither the format nor the file tells (OpenCV's)."""
    up: Literal["z", "-z", "y", "-y", "x", "-x"] = "z"
    """The axis of the calibration's world that points up."""
    offsets: tuple[str, ...] = ()
    """Cameras that started earlier, as NAME=FRAMES: so many frames at the beginning of a video come before frame 0."""
    frames: tuple[int, int] | None = None
    """First frame and end (not included) of the part that is imported, after the offsets; all if not given."""
    every: int = setting(1, low=1)
    """Keep every n-th frame."""
    frames_per_second: float = setting(0.0, low=0)
    """Of the videos; 0 takes what they say themselves.  Folders of images say nothing."""
    video_size: Literal["exact", "scaled", "letterboxed"] = "exact"
    """How videos may differ in size from their calibration: not at all, scaled evenly, or shrunk between black bars."""
    keypoints: Path | None = None
    """2D keypoints, which become the 3D labels: per camera a folder with a .json per frame (OpenPose, COCO, MMPose,
    AlphaPose), or one file of all frames (.json of the latter, tables of DeepLabCut, Lightning Pose, SLEAP)."""
    skeleton: Literal["", "body_25", "body_25b", "coco_17", "coco_18", "halpe_26", "halpe_136", "coco_wholebody",
                      "mpi_15", "mpii_16"] = ""  # fmt: skip
    """Of the keypoints; needed where their number does not tell (body_25 and body_25b both have 25)."""
    keypoint_names: Path | None = None
    """For tables whose keypoints are not known by their names: a file with lines `name in the table,left_wrist`."""
    person: int = setting(1, low=1)
    """Who is imported when several people are seen: 1 is whom most cameras see in most frames with the least
    triangulation error, 2 the next, and so on (report.json lists them)."""
    masks: Path | None = None
    """Person masks of a custom recording: a folder per camera with a picture per frame, the person above 128.  Without
    them they are cut out by the program itself."""
    cut_out: Literal["auto", "keypoints", "movement", "segmentation"] = "auto"
    """What masks are cut out by where none are given: keypoints where there are any; what differs from the picture of
    the background, or from the median over time; or, where no picture shows the background, the network of the
    segmentation extra (pip install -e .[video], python dataset_def/photos/person.py), for people who hardly move.
    auto: keypoints, and movement without them."""
    backgrounds: Path | None = None
    """Pictures of the background without people, one per camera and named as it; without them, a median over time."""
    accept_calibration: bool = False
    """Import although the calibration does not fit what the cameras see."""
    accept_keypoints: bool = False
    """Import although the keypoints lie on nobody whom the detector of the keypoints extra sees (only looked at where
    that is installed)."""
    largest_error: float = setting(0.06, low=0.001, high=10)
    """A calibration fits if keypoints (or mask centres) lie this near to where the other cameras see them: median
    distance over the height of the person in the picture."""
    to: Path | None = None
    """Folder that a custom recording goes to: frames, masks, backgrounds, index and about in it.  Several recordings
    may share it if they differ in subject or action."""
    paths: Paths = field(default_factory=lambda: Paths.under(ROOT / "data" / "real"))
    """Of the recording of pose2sim; custom recordings have --to."""
    report_location: Path = ROOT / "data" / "real" / "about"
    """Folder that gets the report, the reprojection figure, and what the import needs while it runs."""
    wheel: Path | None = None
    """pose2sim-0.7.0-py3-none-any.whl, which holds the recording; without it, pip fetches it into
    downloads_location."""
    downloads_location: Path = ROOT / "data" / "downloads"
    subject: int = setting(20, low=12)
    """The recording's number (Human3.6M has 1 to 11); its last part gets the next one (see test_frames)."""
    action: int = 14
    """Number of the action, 2 to 16 as in Human3.6M (14 is Walking)."""
    sequence_frames: int = setting(15, low=2)
    """The recording is cut into sequences of so many frames (sub-actions 1, 2, ...), so that some can be held out."""
    test_frames: int = setting(25, low=0)
    """So many frames at the end become a subject of their own, which the test scripts can read: the same man, later."""
    refine_cameras: bool | None = None
    """Turn the cameras by the small angles that the keypoints ask for; their places stay as calibrated.  If not given,
    pose2sim's are turned and those of custom recordings are not."""
    outlier_px: float = setting(0.0, low=0)
    """Keypoints farther than this from where the other cameras see the joint do not count; 0 takes the 48th part of
    the picture's longer side (40 for 1920)."""
    smooth_hz: float = setting(6.0, low=0)
    """Movements of the joints faster than this are taken for noise; 0 leaves them."""
    processes: int = setting(0, low=0)

    @property
    def cuts_by_keypoints(self) -> bool:
        """Tell whether a recording with keypoints gets its masks from them."""
        return self.masks is None and self.cut_out in ("auto", "keypoints")

    def __post_init__(self) -> None:
        if self.masks is not None and self.cut_out != "auto":
            raise ValueError(f"masks are given, and cut_out {self.cut_out} would make them anew; leave one away")
        if self.cut_out == "keypoints" and self.videos and self.keypoints is None:
            raise ValueError("cut_out is keypoints, but there are none; give --keypoints FOLDER, or another --cut-out")
        own = {
            "calibration": self.calibration,
            "to": self.to,
            "keypoints": self.keypoints,
            "masks": self.masks,
            "backgrounds": self.backgrounds,
            "offsets": self.offsets,
            "frames": self.frames,
        }
        if self.videos and not (self.calibration and self.to):
            raise ValueError("videos need --calibration FILE ... and --to FOLDER beside them")
        if not self.videos and any(own.values()):
            first = next(name for name, value in own.items() if value)
            raise ValueError(f"{first} belongs to a custom recording; give its videos too (--videos ...)")
