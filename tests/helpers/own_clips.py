"""A recording as people have it, made from a data set in our layout: a clip and 2D keypoints per camera."""

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from config import Paths
from dataset_def.h36m_files import folder_name, load_camera, load_meta, meta_path
from dataset_def.multiview.keypoint_files import BODY_25B, HEAD_OVER_EARS
from utils.camera import Camera, project, to_camera
from utils.image import read_image
from utils.skeleton import H36M_17

DETECTED = [(BODY_25B.index(joint), row) for row, joint in enumerate(H36M_17) if joint in BODY_25B]
"""(keypoint, joint): spine and thorax are no keypoints, and ears, eyes and feet no joints."""
NECK = HEAD_OVER_EARS["neck"] / HEAD_OVER_EARS["head_top"]
"""From the middle of the shoulders to the top of the head."""


def write_keypoints(
    folder: Path, camera: Camera, joints_world_m: np.ndarray, noise_px: float = 0.0, seed: int = 0
) -> None:
    """Write one OpenPose file per frame, whose pixels count from the middle of the first one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for frame, joints_m in enumerate(joints_world_m):
        seen, pixels = np.zeros((25, 3)), project(camera, to_camera(camera, joints_m)) - 0.5
        pixels = pixels + rng.normal(0, noise_px, pixels.shape) if noise_px else pixels
        for there, here in DETECTED:
            seen[there] = *pixels[here], 1.0
        shoulders_px = pixels[[H36M_17.index(f"{side}_shoulder") for side in ("left", "right")]].mean(axis=0)
        head_px = pixels[H36M_17.index("head_top")]
        seen[BODY_25B.index("neck")] = *(shoulders_px + NECK * (head_px - shoulders_px)), 1.0
        content = {"people": [{"pose_keypoints_2d": seen.ravel().tolist()}]}
        (folder / f"{frame:04d}.json").write_text(json.dumps(content))


def write_video(path: Path, images: Iterable[Path], frames_per_second: float = 10.0) -> Path:
    """Write pictures as a video that loses some detail."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [read_image(image)[..., ::-1] for image in images]
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame))
    writer.release()
    return path


def pictures(location: Path, key: tuple[int, int, int, int], ending: str = "*g") -> list[Path]:
    """List the frames or masks of a folder."""
    return sorted((location / folder_name(*key)).glob(f"*.{ending}"))


def write_recording(
    paths: Paths, sequence: tuple[int, int, int], to: Path, cameras: Iterable[int] = (1, 2, 3, 4), noise_px: float = 0.0
) -> dict[str, Camera]:
    """Write videos/cam01.mp4 and pose/cam01_json of some cameras of a sequence; gives the cameras."""
    found = {}
    for number in cameras:
        name, key = f"cam{number:02d}", (*sequence, number)
        found[name] = load_camera(meta_path(paths, key))
        write_video(to / "videos" / f"{name}.mp4", pictures(paths.h36m_location, key))
        joints_m = load_meta(meta_path(paths, key)).joints_world_m
        write_keypoints(to / "pose" / f"{name}_json", found[name], joints_m, noise_px, seed=number)
    return found
