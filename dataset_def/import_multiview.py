"""Turn the real four-camera recording of the package pose2sim into the layout of Human3.6M.

    python dataset_def/import_multiview.py                       (pip fetches the wheel, 24 MB)
    python dataset_def/import_multiview.py --wheel pose2sim-0.7.0-py3-none-any.whl

Reads   the wheel: videos, calibration and 2D keypoints of a man who walks on a beam, 100 frames
Writes  <h36m_location>/s_20_act_14_subact_0n_ca_0m, 15 frames each, and s_21_... for the last 25 frames (the same man),
        masks, backgrounds, <about_location>/{report.json, reprojection.png}; what exists is kept
Next    dataset_def/h36m_preprocess.py with the same paths; not h36m_get_background.py: the man hardly moves, and a
        median over time would keep him in the room
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from config import ImportMultiviewConfig, start
from dataset_def.multiview import pose2sim_session as session_files
from dataset_def.multiview.labels import Labels, label, median_errors_px, refined, track
from dataset_def.multiview.reprojection_figure import take_figure
from dataset_def.multiview.rooms_and_masks import mask_jobs, num_filled_px, room_jobs, write_mask, write_room
from dataset_def.multiview.take import Take
from dataset_def.multiview.write_layout import cut_into_sequences, write_video
from utils.artifacts import file_hash, whole_file
from utils.camera import Camera
from utils.processes import for_each

SETTINGS = ("subject", "sequence_frames", "test_frames", "refine_cameras", "outlier_px", "smooth_hz")
"""Settings that change what is written."""


def claim(config: ImportMultiviewConfig, wheel: Path) -> None:
    """Note the settings in the output folder, and refuse a folder that was begun with others."""
    mine = {name: getattr(config, name) for name in SETTINGS} | {"wheel": file_hash(wheel)}
    path = config.about_location / "settings.json"
    theirs = json.loads(path.read_text()) if path.exists() else mine
    differing = sorted(name for name in mine if mine[name] != theirs.get(name))
    if differing:
        raise ValueError(
            f"{path.parent} belongs to an import with other settings ({', '.join(differing)}); delete "
            f"{path.parent.parent}, or give other places with --paths... and --about-location"
        )
    write_json(path, mine)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a json file whole."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def place_person(config: ImportMultiviewConfig, session: Path) -> tuple[list[Camera], Labels, dict[str, Any]]:
    """Find the man in all views and place his joints, with the cameras as calibrated and, if wanted, as refined."""
    cameras = session_files.load_cameras(session)
    people = [session_files.load_people(session, view) for view in range(len(cameras))]
    man = track(cameras, people, config.outlier_px)
    filter_settings = (config.outlier_px, session_files.FRAMES_PER_SECOND, config.smooth_hz)
    labels = label(cameras, man, *filter_settings)
    numbers: dict[str, Any] = {"median_error_as_calibrated_px": median_errors_px(cameras, labels)}
    if config.refine_cameras:
        before, cameras = cameras, refined(cameras, man)
        labels = label(cameras, man, *filter_settings)
        numbers["median_error_refined_px"] = median_errors_px(cameras, labels)
        numbers["turned_rad"] = [turn_between_rad(a, b) for a, b in zip(before, cameras, strict=True)]
    numbers["used_share"] = labels.track.is_used.mean(axis=(0, 2)).round(3).tolist()
    numbers["interpolated_keypoints"] = labels.num_filled
    return cameras, labels, numbers


def turn_between_rad(before: Camera, after: Camera) -> float:
    """Measure the angle between two orientations of a camera."""
    cosine = (np.trace(before.R_cam_from_world.T @ after.R_cam_from_world) - 1) / 2
    return round(float(np.arccos(np.clip(cosine, -1, 1))), 5)


def make_take(config: ImportMultiviewConfig, session: Path, labels: Labels) -> Take:
    """Cut the recording into sequences; videos and keypoints may differ by some frames at the end."""
    videos = [session_files.video_path(session, view) for view in range(len(session_files.CAMERAS))]
    num_frames = min(len(labels.points_world_m), *(session_files.num_video_frames(video) for video in videos))
    first_test = num_frames - config.test_frames
    if first_test < 2:
        raise ValueError(f"test_frames is {config.test_frames}, but the recording has {num_frames} frames; use fewer")
    parts = [(config.subject, range(first_test)), (config.subject + 1, range(first_test, num_frames))]
    sequences = [
        cut_into_sequences(subject, session_files.ACTION, frames, config.sequence_frames)
        for subject, frames in parts
        if len(frames)
    ]
    return Take(labels, tuple(chain(*sequences)), tuple(videos))


def main(config: ImportMultiviewConfig) -> None:
    """Import the recording; parts that exist are kept."""
    wheel = session_files.fetched_wheel(config.wheel, config.downloads_location)
    claim(config, wheel)
    report = config.about_location / "report.json"
    if report.exists():
        print(f"{report} exists: there is nothing to do")
        return
    session = session_files.unpack(wheel, config.downloads_location / "pose2sim")
    cameras, labels, numbers = place_person(config, session)
    take = make_take(config, session, labels)
    for_each(write_video, take.video_jobs(cameras, config.paths.h36m_location), config.processes, "frames")
    for_each(write_room, room_jobs(config, cameras, take, session), config.processes, "rooms")
    for_each(write_mask, mask_jobs(config, cameras, take), config.processes, "masks")

    numbers["background_px"] = num_filled_px(config, len(cameras))
    with whole_file(config.about_location / "reprojection.png") as partial:
        take_figure(config.paths, cameras, take).savefig(partial, format="png")
    write_json(report, {"cameras": list(session_files.CAMERAS)} | numbers)
    print(report.read_text())


if __name__ == "__main__":
    start(main, ImportMultiviewConfig)
