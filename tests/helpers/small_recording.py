"""A recording of a few small pictures by four cameras, whose keypoints and joints are known exactly."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset_def.calibration.files import write_calibration
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.import_custom import custom_config, place_person
from dataset_def.multiview.keypoint_files import BODY_25B, h36m_from_body_25b
from dataset_def.multiview.settings import ImportMultiviewConfig
from tests.helpers.tiny_h36m import looking_camera
from utils.camera import Camera, project, to_camera
from utils.image import write_image

FRAMES = 12
NAMES = ("cam1", "cam2", "cam3", "cam4")
HEIGHTS_M = {"nose": 1.65, "neck": 1.5, "head_top": 1.8, "eye": 1.68, "ear": 1.66, "shoulder": 1.45, "elbow": 1.15,
             "wrist": 0.9, "hip": 0.95, "knee": 0.5, "ankle": 0.1, "big_toe": 0.02, "small_toe": 0.02,
             "heel": 0.02}  # fmt: skip
ACROSS_M = {"shoulder": 0.2, "elbow": 0.3, "wrist": 0.35, "hip": 0.1, "knee": 0.15, "ankle": 0.2, "big_toe": 0.2,
            "small_toe": 0.25, "heel": 0.2, "eye": 0.03, "ear": 0.07}  # fmt: skip


def walking_m(frames: int = FRAMES) -> np.ndarray:
    """25 keypoints (T, 25, 3) of a stick man who walks and turns, so that a frame is never like its neighbour."""
    points = np.zeros((frames, 25, 3))
    for time in range(frames):
        turn = 0.15 * time
        for row, name in enumerate(BODY_25B):
            side, _, part = name.partition("_")
            sign = {"left": 1, "right": -1}.get(side, 0)
            part = part if sign else name
            across, ahead = sign * ACROSS_M.get(part, 0.0), 0.15 if part.endswith("toe") else 0.0
            points[time, row] = [0.05 * time + ahead * np.cos(turn) - across * np.sin(turn),
                                 ahead * np.sin(turn) + across * np.cos(turn), HEIGHTS_M[part]]  # fmt: skip
    return points


@dataclass
class SmallRecording:
    """Where it lies, and what is true."""

    root: Path
    cameras: dict[str, Camera]
    points_m: np.ndarray
    """(T, 25, 3), world."""

    @property
    def joints_m(self) -> np.ndarray:
        """The 17 joints."""
        return h36m_from_body_25b(self.points_m)

    def keypoints_px(self, name: str) -> np.ndarray:
        """x, y, confidence (T, 25, 3) as a detector writes them: pixels are counted by their centres."""
        pixels = project(self.cameras[name], to_camera(self.cameras[name], self.points_m)) - 0.5
        return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 0.9)], axis=-1)

    def config(self, **changes: Any) -> ImportMultiviewConfig:
        """Settings for an import of all cameras."""
        folder = self.root / "calibration"
        calibration = changes.pop("calibration", None) or tuple(write_calibration("opencv", folder, self.cameras))
        usual = ImportMultiviewConfig(videos=(str(self.root / "images"),), calibration=calibration, processes=1,
                                      keypoints=self.root / "keypoints", to=self.root / "to", frames_per_second=5.0,
                                      smooth_hz=0.0, test_frames=0)  # fmt: skip
        return replace(usual, **changes)

    def error_mm(self, **changes: Any) -> float:
        """Import the joints (and write nothing): the largest distance from the truth."""
        config = self.config(**changes)
        recording = custom_recording(config)
        _, labels, _ = place_person(custom_config(config, recording), recording)
        true_m = self.joints_m[:: config.every]
        assert labels.joints_world_m.shape == true_m.shape
        return float(1e3 * np.linalg.norm(labels.joints_world_m - true_m, axis=-1).max())


def small_recording(root: Path, size_px: int = 96, frames: int = FRAMES, **lens: Any) -> SmallRecording:
    """Write its pictures, numbered from 1: images/cam1/000001.png."""
    cameras = {name: looking_camera(number, size_px, size_px)._replace(distortion="opencv", **lens)
               for number, name in enumerate(NAMES, start=1)}  # fmt: skip
    recording = SmallRecording(root, cameras, walking_m(frames))
    for number, name in enumerate(NAMES):
        for frame in range(frames):
            picture = np.full((size_px, size_px, 3), 40 + 10 * number + frame, np.uint8)
            write_image(root / "images" / name / f"{frame + 1:06d}.png", picture)
    return recording
