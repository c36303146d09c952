"""Looks at what people hold of Human3.6M before it is converted: the official download, or crops with a labels.h5."""

from collections import Counter
from pathlib import Path

from config import ConvertConfig
from dataset_def.checks.line import Line, no_folder, not_given, sentence
from dataset_def.h36m_files import DAMAGED
from dataset_def.labels_h5.label_file import read_labels
from dataset_def.official.cdf_poses import count_poses
from dataset_def.official.download_files import archives, find_recordings
from dataset_def.official.mask_files import open_masks
from dataset_def.official.metadata_xml import read_metadata
from dataset_def.official.video_reader import open_video
from utils.image import read_image

FAULTS = (*DAMAGED, FileNotFoundError)
EVERY_RECORDING = 7 * 15 * 2 * 4
MOST_REASONS = 6
"""Lines about what is missing: subjects without a folder come first."""


def check_official(official: Path | None, metadata: Path | None) -> list[Line]:
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
    except FAULTS as error:
        return [Line("bad", what, sentence(error), "its conversion", is_asked=True)]
    command = f"python dataset_def/convert_h36m.py --official {official}"
    command += "" if metadata is None else f" --metadata {metadata}"
    counted = f"{len(found.recordings)} of {EVERY_RECORDING} views with video and poses, {len(masked)} with masks"
    lines = [Line("ok", what, f"{counted}; {opened}", remedy=command + ("" if masked else " --no-masks"))]
    reasons = Counter(found.missing.values()).most_common()
    for why, count in reasons[:MOST_REASONS]:
        lines.append(Line("note", f"{what}, missing", f"{count} views: {why}", "these views"))
    if rest := sum(count for _, count in reasons[MOST_REASONS:]):
        lines.append(Line("note", f"{what}, missing", f"{rest} views more; the conversion's report.json names all"))
    for packed in archives(official)[:3]:
        lines.append(Line("note", f"{what}, packed", packed.name, remedy=f"tar -xzf {packed} -C {official}"))
    return lines


def check_crops(crops: Path | None) -> list[Line]:
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
    except FAULTS as error:
        return [Line("bad", what, sentence(error), "its conversion", is_asked=True)]
    found = f"{len(labels.keys)} crops of {size_px} px, subjects {sorted(set(labels.keys[:, 0].tolist()))}, joints "
    command = f"python dataset_def/convert_labels_h5.py --crops {crops}"
    return [Line("ok", what, found + labels.joints_were, remedy=command)]
