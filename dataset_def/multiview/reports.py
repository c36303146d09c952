"""What an import says about itself: numbers in a file, the rig and the reprojection as pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from config import ImportMultiviewConfig
from dataset_def.h36m_files import mask_path
from dataset_def.mask_centres import mask_shape, triangulated
from dataset_def.multiview.reprojection_figure import take_figure
from dataset_def.multiview.rig_figure import rig_figure
from dataset_def.multiview.take import Take
from dataset_def.multiview.video_frames import pinhole
from utils.artifacts import whole_file
from utils.image import read_mask
from utils.skeleton import H36M_17

MOST_PLACES = 200


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a json file whole."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def path_world_m(config: ImportMultiviewConfig, take: Take) -> Float[np.ndarray, "T 3"]:
    """Follow the person's pelvis, or without joints the middle of the masks; NaN where neither is known."""
    if take.labels is not None:
        return take.joints_world_m[:, H36M_17.index("pelvis")]
    cameras = [pinhole(camera) for camera in take.recording.cameras]
    instants = list(take.instants())
    places = []
    for sequence, frame, _ in instants[:: -(-len(instants) // MOST_PLACES)]:
        paths = [mask_path(config.paths, sequence.key(number, frame)) for number in range(1, len(cameras) + 1)]
        centres_px = np.array([mask_shape(read_mask(path)).centroid_px for path in paths])
        places.append(triangulated(cameras, centres_px))
    return np.array(places)


def rig_and_reprojection(config: ImportMultiviewConfig, take: Take) -> None:
    """Draw the two pictures into the place of the settings."""
    recording = take.recording
    pose_m = None if take.labels is None else take.joints_world_m[recording.num_instants // 2]
    caption = (
        f"{len(recording.views)} cameras with what they see (thick: the picture's upper edge), the path (grey) "
        "and one pose; world axes in metres, z up"
    )
    rig = rig_figure(recording.names, recording.cameras, path_world_m(config, take), pose_m, caption)
    for name, figure in (("rig", rig), ("reprojection", take_figure(config.paths, take))):
        with whole_file(config.about_location / f"{name}.png") as partial:
            figure.savefig(partial, format="png")
