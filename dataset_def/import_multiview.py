"""Turn a recording by calibrated cameras into the layout of Human3.6M.

    python dataset_def/import_multiview.py                       (the recording of pose2sim; pip fetches 24 MB)
    python dataset_def/import_multiview.py --wheel pose2sim-0.7.0-py3-none-any.whl
    python dataset_def/import_multiview.py --videos clips/ --calibration Calib.toml --to data/mine

Reads   own: two or more synchronised videos or image folders with their calibration, perhaps 2D keypoints or masks;
        pose2sim's: the wheel with videos, calibration and 2D keypoints of a man who walks on a beam
Writes  <frames>/s_20_act_14_subact_0n_ca_0m, 15 frames each, and s_21_... for the last 25 frames (the same person),
        masks, backgrounds, keypoints/s_20_act_14.npz where there are any (sample/fit_SMPL.py takes them), and about the
        import report.json, reprojection.png, rig.png.  Custom recordings are checked
        first, and nothing is left of one that is refused; of pose2sim's, what exists is kept
Next    dataset_def/h36m_preprocess.py with the same paths; h36m_get_background.py keeps the backgrounds made here
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from config import Paths
from dataset_def.multiview import pose2sim_session as session_files
from dataset_def.multiview.backgrounds import background_jobs, mask_jobs, num_filled_px, write_background, write_mask
from dataset_def.multiview.import_custom import import_custom, recording_name, silhouettes
from dataset_def.multiview.joints import PlacedJoints, label, median_errors_px, refined, track
from dataset_def.multiview.recording import MultiviewRecording
from dataset_def.multiview.report import rig_and_reprojection, write_json, write_keypoints
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.write_layout import label_recording, write_video
from utils.artifacts import file_hash, lock_settings
from utils.camera import Camera
from utils.processes import for_each
from utils.settings import DATA_PLACES, next_command, start

SETTINGS = ("subject", "sequence_frames", "test_frames", "refine_cameras", "outlier_px", "smooth_hz")
"""Settings that change what is written."""


def lock_import(config: ImportMultiviewConfig, wheel: Path) -> None:
    """Note the settings in the output folder, and refuse a folder that was begun with others."""
    settings = {name: getattr(config, name) for name in SETTINGS} | {"wheel": file_hash(wheel)}
    if not config.cuts_by_keypoints:
        settings["cut_out"] = config.cut_out
    folder = config.report_location
    remedy = f"delete {folder.parent}, or give other places with --paths... and --report-location"
    lock_settings(folder / "settings.json", settings, remedy)


def place_session_person(
    config: ImportMultiviewConfig, recording: MultiviewRecording
) -> tuple[MultiviewRecording, PlacedJoints, dict[str, Any]]:
    """Find the man in all views and place his joints, with the cameras as calibrated or as refined."""
    assert recording.people is not None
    filter_settings = (config.outlier_px, recording.frames_per_second, config.smooth_hz)
    man, _ = track(recording.cameras, recording.people, *filter_settings[:2])
    labels = label(recording.cameras, man, *filter_settings)
    numbers: dict[str, Any] = {"median_error_as_calibrated_px": median_errors_px(recording.cameras, labels)}
    if config.refine_cameras:
        before, recording = recording.cameras, recording.with_cameras(refined(recording.cameras, man))
        labels = label(recording.cameras, man, *filter_settings)
        numbers["median_error_refined_px"] = median_errors_px(recording.cameras, labels)
        numbers["turned_rad"] = [turn_between_rad(a, b) for a, b in zip(before, recording.cameras, strict=True)]
    numbers["used_share"] = labels.track.is_used.mean(axis=(0, 2)).round(3).tolist()
    numbers["interpolated_keypoints"] = labels.num_filled
    return recording, labels, numbers


def turn_between_rad(before: Camera, after: Camera) -> float:
    """Measure the angle between two orientations of a camera."""
    cosine = (np.trace(before.R_cam_from_world.T @ after.R_cam_from_world) - 1) / 2
    return round(float(np.arccos(np.clip(cosine, -1, 1))), 5)


def import_pose2sim(config: ImportMultiviewConfig) -> Paths:
    """Import the recording of pose2sim; parts that exist are kept."""
    wheel = session_files.fetched_wheel(config.wheel, config.downloads_location)
    config = session_files.with_defaults(config)
    lock_import(config, wheel)
    report = config.report_location / "report.json"
    if report.exists():
        print(f"{report} exists: there is nothing to do")
        return config.paths
    recording = session_files.load_recording(session_files.unpack(wheel, config.downloads_location / "pose2sim"))
    recording, labels, numbers = place_session_person(config, recording)
    labelled = label_recording(
        recording, labels, config.subject, config.action, config.sequence_frames, config.test_frames
    )
    for_each(write_video, labelled.video_jobs(config.paths.h36m_location), config.processes, "frames")
    if not config.cuts_by_keypoints:
        silhouettes(config, labelled)
    for_each(write_background, background_jobs(config, labelled), config.processes, "backgrounds")
    if config.cuts_by_keypoints:
        for_each(write_mask, mask_jobs(config, labelled), config.processes, "masks")
    numbers["background_px"] = num_filled_px(config, len(recording.views))
    rig_and_reprojection(config, labelled)
    write_keypoints(config.report_location.parent / "keypoints", recording_name(config), labelled)
    write_json(report, {"cameras": recording.names} | numbers)
    print(report.read_text())
    return config.paths


def places(paths: Paths) -> dict[str, Path]:
    """Name where the parts of a data set lie."""
    return {name: getattr(paths, name) for name in DATA_PLACES}


def main(config: ImportMultiviewConfig) -> None:
    """Import a recording, and say how to go on."""
    if not config.videos:
        paths = import_pose2sim(config)
        print(next_command("dataset_def/h36m_preprocess.py", replace(Paths(), **places(paths))))
        return
    paths = import_custom(config)
    report = paths.h36m_location.parent / "about" / recording_name(config) / "report.json"
    print(report.read_text())
    found = json.loads(report.read_text())
    missing = found.get("joints_never_placed", [])
    if missing:
        print(f"no two cameras see {', '.join(missing)} of this person together: the frames have no whole pose, and "
              "serve stage 1 and silhouettes, not stage 2")  # fmt: skip
    if found.get("unchecked"):
        print(found["unchecked"])
    others = len(found.get("people", [])) - 1
    if others > 0:
        print(f"{others} more people were seen in some frames (\"people\" in the report, --person chooses another); "
              "look whether the pictures show the right one")  # fmt: skip
    print(f"{report.parent}/rig.png and reprojection.png show how the calibration fits")
    print(next_command("dataset_def/h36m_preprocess.py", replace(Paths(), **places(paths))))


if __name__ == "__main__":
    start(main, ImportMultiviewConfig)
