"""Checks what people hold before it is converted: Human3.6M, crops with a labels.h5, body files, motions.

Motions are the collections of poses for the prior: SURREAL, AMASS, CMU.
"""

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from config import ASSETS, Paths
from dataset_def.acclaim import read_amc, read_asf
from dataset_def.checks.layout import PROBLEMS, CheckLine, no_folder, not_given, sentence
from dataset_def.h36m_files import DAMAGED
from dataset_def.labels_h5.label_file import read_labels
from dataset_def.official.files import archives, find_recordings
from dataset_def.official.ground_truth import count_poses, open_masks
from dataset_def.official.metadata import read_metadata
from dataset_def.official.settings import ConvertConfig
from dataset_def.poses.readers import (
    find_amass,
    find_cmu,
    find_surreal,
    read_amass,
    read_cmu,
    read_surreal,
    rest_joints_m,
)
from dataset_def.video import open_video
from utils.body_file import BodyFile, read_body_file, read_h36m_regressor
from utils.image import read_image
from utils.settings import short

OPEN_BODY = ASSETS / "open_body.npz"
EVERY_RECORDING = 7 * 15 * 2 * 4
MOST_REASONS = 6
"""Lines about what is missing: subjects without a folder come first."""


def check_official(official: Path | None, metadata: Path | None) -> list[CheckLine]:
    """Describe the official download, and open the first recording."""
    what = "official Human3.6M"
    if official is None:
        return [not_given(what, "--official", "all stages run on the embedded data")]
    if not official.is_dir():
        return [no_folder(what, official, "give the folder that holds S1, S5, ...")]
    config = ConvertConfig(official=official, masks=False)
    try:
        found = find_recordings(config, read_metadata(metadata or official / "metadata.xml"))
        first = found.recordings[0]
        with open_video(first.video) as video:
            opened = f"{first.video.name}: {video.header_frames} frames {video.width_px} x {video.height_px}, "
        opened += f"{count_poses(first.poses)} poses"
        masked = [recording for recording in found.recordings if recording.masks]
        if masked and masked[0].masks:
            with open_masks(masked[0].masks) as masks:
                opened += f"; {masked[0].masks.name}: {masks.num_masks} masks"
    except PROBLEMS as error:
        return [CheckLine("bad", what, sentence(error), "its conversion", is_asked=True)]
    command = f"python dataset_def/convert_h36m.py --official {official}"
    command += "" if metadata is None else f" --metadata {metadata}"
    counted = f"{len(found.recordings)} of {EVERY_RECORDING} views with video and poses, {len(masked)} with masks"
    lines = [CheckLine("ok", what, f"{counted}; {opened}", remedy=command + ("" if masked else " --no-masks"))]
    reasons = Counter(found.missing.values()).most_common()
    for why, count in reasons[:MOST_REASONS]:
        lines.append(CheckLine("note", f"{what}, missing", f"{count} views: {why}", "these views"))
    if rest := sum(count for _, count in reasons[MOST_REASONS:]):
        lines.append(
            CheckLine("note", f"{what}, missing", f"{rest} views more; the conversion's report.json names all")
        )
    for packed in archives(official)[:3]:
        lines.append(CheckLine("note", f"{what}, packed", packed.name, remedy=f"tar -xzf {packed} -C {official}"))
    return lines


def check_crops(crops: Path | None) -> list[CheckLine]:
    """Describe crops with a labels.h5."""
    what = "crops with labels.h5"
    if crops is None:
        return [not_given(what, "--crops", "it is another form of Human3.6M")]
    if not crops.is_dir():
        return [no_folder(what, crops, "give the folder that holds labels.h5")]
    try:
        first = next(crops.glob("seq_*/cam_*/img_crop_*.png"), None)
        if first is None:
            raise FileNotFoundError(f"{crops} holds no seq_000/cam_00/img_crop_000000.png")
        size_px = read_image(first).shape[1]
        labels = read_labels(crops / "labels.h5", size_px)
    except PROBLEMS as error:
        return [CheckLine("bad", what, sentence(error), "its conversion", is_asked=True)]
    found = f"{len(labels.keys)} crops of {size_px} px, subjects {sorted(set(labels.keys[:, 0].tolist()))}, joints "
    command = f"python dataset_def/convert_labels_h5.py --crops {crops}"
    return [CheckLine("ok", what, found + labels.joints_were, remedy=command)]


def check_body_file(paths: Paths) -> list[CheckLine]:
    """Describe the body file and its 17-joint regressor."""
    path, usual = paths.models_smpl_location, Paths()
    is_asked = path != usual.models_smpl_location
    try:
        body = read_body_file(path)
    except PROBLEMS as error:
        return [
            CheckLine(
                "bad",
                "body model",
                sentence(error),
                "prior, mesh and embedded data",
                "python models/open_body/build.py",
                is_asked,
            )
        ]
    vertices, _, directions = body.shapedirs.shape
    found = f"{short(path)}: {vertices} vertices, {len(body.parents)} joints, {directions} shape directions"
    return [CheckLine("ok", "body model", found), _regressor(paths, body)]


def _regressor(paths: Paths, body: BodyFile) -> CheckLine:
    """Tell where the 17 joints come from."""
    what, path = "17-joint regressor", paths.h36m_regressor_location
    if path is None:
        if body.J_regressor_h36m is not None:
            return CheckLine("ok", what, "in the body file")
        return CheckLine(
            "note",
            what,
            "the body file has none",
            "joint losses and metrics of meshes",
            "give J_regressor_h36m_correct.npy with --paths.h36m-regressor-location",
        )
    try:
        read_h36m_regressor(path, len(body.v_template))
    except PROBLEMS as error:
        return CheckLine("bad", what, sentence(error), "joint losses and metrics of meshes", is_asked=True)
    return CheckLine("ok", what, short(path))


MOTION_FAULTS = (*DAMAGED, FileNotFoundError, zipfile.BadZipFile, EOFError)
MOST_OPENED = 40
"""Files of a collection that are read, spread evenly."""
FEW_FRAMES, ALL_FRAMES = 8, 10_000_000
PRIOR = "the prior learns from the embedded generator"


def some(items: list[Any]) -> list[Any]:
    """Choose at most so many as are opened, spread evenly."""
    return [items[row] for row in np.unique(np.linspace(0, len(items) - 1, min(MOST_OPENED, len(items))).astype(int))]


def check_surreal(folder: Path | None) -> list[CheckLine]:
    """Describe SURREAL, and read some of its files as training does."""
    if folder is None:
        return [not_given("SURREAL", "--surreal", PRIOR)]
    if not folder.is_dir():
        return [no_folder("SURREAL", folder, "give the folder that holds train, val and test")]
    try:
        files, _ = find_surreal(folder)
        for path in some(files):
            read_surreal(path, FEW_FRAMES)
    except MOTION_FAULTS as error:
        return [CheckLine("bad", "SURREAL", sentence(error), "poses from SURREAL", is_asked=True)]
    return [CheckLine("ok", "SURREAL", f"{len(files)} clips; {files[0].name} opens")]


def check_amass(folder: Path | None) -> list[CheckLine]:
    """Describe AMASS, and read some of its files as training does."""
    if folder is None:
        return [not_given("AMASS", "--amass", PRIOR)]
    if not folder.is_dir():
        return [no_folder("AMASS", folder, "give the folder of .npz files")]
    try:
        motions, _ = find_amass(folder)
        for path in some(motions):
            read_amass(path, folder, FEW_FRAMES)
        frames = len(read_amass(motions[0], folder, ALL_FRAMES).theta)
    except MOTION_FAULTS as error:
        return [CheckLine("bad", "AMASS", sentence(error), "poses from AMASS", is_asked=True)]
    return [CheckLine("ok", "AMASS", f"{len(motions)} motions; {motions[0].name} has {frames} frames")]


def check_cmu(folder: Path | None, body: Path = OPEN_BODY) -> list[CheckLine]:
    """Describe a folder of CMU's motions, and read some of them as training does."""
    if folder is None:
        return [not_given("CMU motion capture", "--cmu", PRIOR)]
    if not folder.is_dir():
        return [no_folder("CMU motion capture", folder, "give the folder of .asf and .amc files")]
    try:
        clips = find_cmu(folder, ())
        rest_m = rest_joints_m(body)
        for motion, skeleton in some(clips):
            read_cmu(motion, skeleton, rest_m, FEW_FRAMES)
        motion, skeleton = clips[0]
        frames = len(read_amc(motion, read_asf(skeleton)).root_m)
    except MOTION_FAULTS as error:
        return [CheckLine("bad", "CMU motion capture", sentence(error), "motions from CMU", is_asked=True)]
    return [CheckLine("ok", "CMU motion capture", f"{len(clips)} motions; {motion.name} has {frames} frames")]
