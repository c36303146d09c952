"""Turn crops with a labels.h5 (the authors' preprocessing of Human3.6M) into the layout that all other scripts read.

    python dataset_def/convert_labels_h5.py --crops /data/H36M-MultiView-train
    python dataset_def/convert_labels_h5.py --crops /data/H36M-MultiView-test
        --report-location data/labels_h5/about_test

Reads   labels.h5; seq_000/cam_00/{img_crop,bg_crop}_000000.png of every row
Writes  <h36m_location>/s_01_act_<seq>_subact_01_ca_<cam>/..., <backgrounds_location>/*.npy,
        <report_location>/report.json; a second run goes on where the first one stopped
Needs   pip install h5py
Next    dataset_def/h36m_preprocess.py with the same paths; not h36m_get_background.py

Kept: what the crops show, the exact direction of every crop and joint, and the poses.  Every crop is laid into one
fixed picture per subject and camera.  Not in the files, so not kept: which action a sequence shows (its number becomes
the action, so name --subjects.held-out anew), person masks (give --centre pelvis to the index, --crop.centre pelvis and
--loss.opacity 0 to stage 1), the original frames, and where cameras and people stood.  Their places are found from the
crops' directions and from --side-m, which scales them.
"""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from config import ROOT, Paths, ranged, setting
from dataset_def.h36m_files import background_path, folder_name
from dataset_def.h36m_writer import is_full, lock_data_set, not_writable, write_meta
from dataset_def.labels_h5.label_file import LabelsH5, read_labels
from dataset_def.labels_h5.place_people import (
    BaseView,
    Instants,
    Places,
    background_of,
    base_camera,
    crop_camera_of,
    frame_of,
    instants_of,
    picture_path,
    place_cameras_and_people,
    read_crop,
)
from utils.artifacts import atomic_folder, atomic_write, file_hash, load_background, save_background
from utils.camera import Camera
from utils.image import read_image, write_image
from utils.processes import for_each
from utils.settings import DATA_PLACES, flags, start


@dataclass(frozen=True)
@ranged()
class ConvertLabelsConfig:
    """dataset_def/convert_labels_h5.py: crops with a labels.h5, in the layout that the other scripts read."""

    crops: Path
    """Folder with labels.h5 and seq_000/cam_00/img_crop_000000.png, ..."""
    paths: Paths = field(default_factory=lambda: Paths.under(ROOT / "data" / "labels_h5"))
    report_location: Path = ROOT / "data" / "labels_h5" / "about"
    """Folder for report.json: what the arrays were found to hold, and the original numbers of sequences and frames."""
    side_m: float = setting(2.0, low=0.5, high=20)
    """Metres that a crop's side spans at the person's distance; the file does not tell it, and all distances (but no
    joint and no direction) scale with it."""
    centre: Literal["auto", "pelvis", "box"] = "auto"
    """What the crops are centred on: the pelvis, the middle of the projected joints, or whichever lets the lines of
    sight of several cameras meet better."""
    detail: float = setting(1.25, low=0.5, high=4)
    """Pixels of the written frames per pixel of the crops; more keeps more detail and takes more space."""
    image: Literal["jpg", "png"] = "jpg"
    processes: int = setting(0, low=0)


SETTINGS = ("side_m", "centre", "detail", "image")
"""Settings that change what is written."""


class Job(NamedTuple):
    """One folder to be written."""

    view: BaseView
    to: Camera
    sequence: int
    rows: np.ndarray
    """Rows of labels.h5, in the order of the frames."""
    joints_world_m: np.ndarray

    @property
    def folder(self) -> str:
        """Name of the folder."""
        return folder_name(self.view.subject, self.sequence, 1, self.view.camera)


def first_size_px(config: ConvertLabelsConfig) -> int:
    """Read the side of the crops off the first one."""
    first = next(iter(sorted(config.crops.glob("seq_*/cam_*/img_crop_*.png"))[:1]), None)
    if first is None:
        raise FileNotFoundError(f"{config.crops} holds no seq_000/cam_00/img_crop_000000.png; give the folder with "
                                "labels.h5 with --crops")  # fmt: skip
    return read_image(first).shape[1]


def jobs_of(
    config: ConvertLabelsConfig, labels: LabelsH5, size_px: int, instants: Instants, places: Places
) -> list[Job]:
    """List the folders of one subject."""
    jobs = []
    for column, camera in enumerate(instants.cameras):
        view = BaseView(instants.subject, camera, instants.rows[:, column], places.centres_world_m[column])
        to = base_camera(labels, view, size_px, config.detail)
        for sequence in np.unique(instants.keys[:, 0]):
            chosen = instants.keys[:, 0] == sequence
            joints_m = places.joints_world_m[chosen]
            jobs.append(Job(view, to, int(sequence), instants.rows[chosen, column], joints_m))
    return jobs


def write_backgrounds(config: ConvertLabelsConfig, labels: LabelsH5, size_px: int, job: Job) -> None:
    """Write the background of one subject and camera, unless it is there."""
    path = background_path(config.paths, job.view.subject, job.view.camera)
    if not path.exists():
        save_background(path, background_of(config.crops, labels, job.view, size_px, job.to))


def write_sequence(config: ConvertLabelsConfig, labels: LabelsH5, size_px: int, job: Job) -> None:
    """Write one folder, unless it is there; frames are numbered anew from 1."""
    place_of = config.paths.h36m_location / job.folder
    if place_of.is_dir():
        return
    background = load_background(background_path(config.paths, job.view.subject, job.view.camera))
    try:
        with atomic_folder(place_of) as (folder,):
            for frame, row in enumerate(job.rows.tolist(), start=1):
                crop = read_crop(picture_path(config.crops, labels, row, "img_crop"), size_px)
                camera = crop_camera_of(labels, row, size_px, job.view.centre_world_m)
                path = folder / f"{job.folder}_{frame:06d}.{config.image}"
                write_image(path, frame_of(crop, camera, job.to, background))
            write_meta(folder / "h36m_meta.mat", job.to, job.joints_world_m)
    except OSError as error:
        if is_full(error):
            raise not_writable(job.folder, error) from error
        raise


def subject_metadata(instants: Instants, places: Places, labels: LabelsH5) -> dict[str, Any]:
    """Say what was found out about one subject."""
    return {
        "cameras": list(instants.cameras),
        "instants": len(instants.rows),
        "instants_that_not_all_cameras_saw": instants.num_incomplete,
        "crops_are_centred_on": places.looks_at,
        "miss_m": round(places.miss_m, 4),
        "camera_centres_world_m": places.centres_world_m.round(3).tolist(),
        "frames": {
            str(sequence): instants.keys[instants.keys[:, 0] == sequence, 1].tolist()
            for sequence in np.unique(instants.keys[:, 0])
        },
    }


def main(config: ConvertLabelsConfig) -> None:
    """Convert everything that is not there yet."""
    size_px = first_size_px(config)
    labels = read_labels(config.crops / "labels.h5", size_px)
    metadata: dict[str, Any] = {
        "joints": labels.joints_were,
        "crop_px": size_px,
        "side_m": config.side_m,
        "subjects": {},
    }
    jobs: list[Job] = []
    for subject in np.unique(labels.keys[:, 0]).tolist():
        instants = instants_of(labels, subject)
        places = place_cameras_and_people(labels, instants, config.side_m, config.centre)
        jobs += jobs_of(config, labels, size_px, instants, places)
        metadata["subjects"][str(subject)] = subject_metadata(instants, places, labels)
    source = {"labels": file_hash(labels.path)} | {name: getattr(config, name) for name in SETTINGS}
    lock_data_set(config.paths.h36m_location, source)
    views = list({(job.view.subject, job.view.camera): job for job in jobs}.values())
    for_each(partial(write_backgrounds, config, labels, size_px), views, config.processes, "backgrounds")
    for_each(partial(write_sequence, config, labels, size_px), jobs, config.processes, "sequences")
    with atomic_write(config.report_location / "report.json") as path:
        path.write_text(json.dumps(metadata, indent=1) + "\n")
    for subject, found in metadata["subjects"].items():
        print(f"S{subject}: {found['instants']} instants, cameras {found['cameras']}; crops centred on the "
              f"{found['crops_are_centred_on']}, lines of sight miss it by {found['miss_m']} m")  # fmt: skip
    print(f"joints in labels.h5: {labels.joints_were}; next: python dataset_def/h36m_preprocess.py --centre pelvis"
          + flags(config.paths, *DATA_PLACES))  # fmt: skip


if __name__ == "__main__":
    start(main, ConvertLabelsConfig)
