"""Bodies before several calibrated cameras, in the recording's world: what predict.py does with --calibration.

    python sample/predict.py clips/ --calibration Calib.toml
    python sample/predict.py clips/ --calibration Calib.toml --evidence masks --cut-out segmentation

Everything is read as dataset_def/import_multiview.py reads it (dataset_def/multiview/people_in_clips.py).  Keypoints of
all views are triangulated, those that do not agree left out; masks are read by the teacher, keypoints by the lifter;
the reading that meets the keypoints better is fitted to both (sample/bodies_in_cameras.py).  Nothing is trained.

Reads   videos or folders of pictures, their calibration; perhaps keypoints, masks, pictures of the background; the
        committed teacher and lifter; the keypoints extra
Writes  <out>/: joints.json and body.npz in the world's frame, motion.glb, motion.bvh and what --motion-files asks for,
        overlay_<camera>.mp4, cameras.json with what was found about the recording; one such folder per person if
        several are asked for
"""

from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from config import ASSETS, Paths
from dataset_def.multiview.people_in_clips import CamerasConfig, has_own_masks, masks_alone, people_of, rounded
from dataset_def.multiview.people_in_views import ideal_frames
from dataset_def.multiview.recording import MultiviewRecording
from dataset_def.multiview.report import write_json
from dataset_def.multiview.undistort import pinhole
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, BlazePose
from models.body_surface import coarse_body, coarse_faces
from models.masks_fit import MasksFit, MasksFitLoss, MasksFitSteps
from models.smpl import Body, load_body
from models.SMPL_from_keypoints import KeypointsOfBody, load_lifter
from models.SMPL_from_masks import load_teacher, teacher_reads
from sample.bodies_in_cameras import Tools, WorldBodies, fitted_bodies
from utils.artifacts import atomic_folder, check_out, file_hash
from utils.camera import resized, to_camera
from utils.draw_mesh import overlay
from utils.export.about import GIVEN_KEYPOINTS, About, licence_of, licence_of_detector
from utils.export.motion import (
    OF_RECORDING,
    MotionFormat,
    MovingBody,
    body_motion,
    bridged,
    check_formats,
    told_gaps,
    write_motion_files,
)
from utils.export.prediction import OverlayVideo
from utils.export.rig import Y_UP_FROM_Z_UP
from utils.export.tables import WORLD_FRAME, write_body_parameters, write_joints_json
from utils.seen import BY_CAMERAS, BY_MASKS, SeenJoints
from utils.tiers import Reads

WRITTEN = ("joints.json", "cameras.json")
"""Files of which every folder that is predicted has one."""


class Task(NamedTuple):
    """One prediction."""

    clips: str
    cameras: CamerasConfig
    out: Path
    keypoints: Path | None = None
    skeleton: str = ""
    frames: int = 0
    lifter: Path = ASSETS / "open_lifter.pt"
    detector: str = "full"
    detector_location: Path = KEYPOINT_NETWORKS
    motion_files: tuple[MotionFormat, ...] = ("glb", "bvh")
    video_px: int = 540
    overwrite: bool = False
    steps: MasksFitSteps = MasksFitSteps()
    loss: MasksFitLoss = MasksFitLoss()
    paths: Paths = Paths()


def tools_of(task: Task) -> Tools:
    """Load what the evidence asks for.

    Raises:
        FileNotFoundError, ValueError: weights are missing, or belong to another body.
    """
    location, config = task.paths.models_smpl_location, task.cameras
    body = load_body(location, h36m_regressor=task.paths.h36m_regressor_location)
    coarse = coarse_body(body, coarse_faces(location))
    lifter = load_lifter(task.lifter, location) if config.evidence != "masks" else None
    teacher = load_teacher(config.teacher, location) if config.evidence != "keypoints" else None
    loss = replace(task.loss, soft_iou=0.0) if teacher is None else task.loss
    landmarks = KeypointsOfBody(body) if lifter is not None else None
    fit = MasksFit(coarse, loss, task.steps, False, None, landmarks)
    return Tools(body, coarse, lifter, teacher, fit)


def about_of(task: Task, tools: Tools) -> About:
    """Say where bodies come from, and under which terms."""
    who, location = frozenset({0}), task.paths.models_smpl_location
    reads = [Reads(cameras=who)]
    weights, said, files = [], [], []
    if tools.lifter is not None:
        reads.append(tools.lifter.reads)
        weights.append(tools.lifter.hash)
        files.append(task.lifter)
    if tools.teacher is not None:
        reads += [teacher_reads(task.cameras.teacher), Reads(masks=who)]
        weights.append(file_hash(task.cameras.teacher))
        files.append(task.cameras.teacher)
    if task.keypoints is not None and not masks_alone(task):
        reads.append(Reads(given=who))
        said.append(GIVEN_KEYPOINTS)
    uses_detector = task.keypoints is None or (tools.teacher is not None and not has_own_masks(task))
    if uses_detector and not masks_alone(task):
        reads.append(Reads(keypoints=who))
        networks = BlazePose(task.detector_location, task.detector)
        what = "keypoints and masks" if task.keypoints is None else "masks"
        said.append(licence_of_detector(what, networks.kind, file_hash(networks.files[1])))
    licence = "; ".join([licence_of(location, *files), *said])
    return About(reduce(or_, reads).tier, " ".join(weights), file_hash(location), licence)


def write_person(
    folder: Path, found: WorldBodies, recording: MultiviewRecording, tools: Tools, about: About, task: Task
) -> None:
    """Write joints, parameters, motions, and the body over all views."""
    rate = recording.frames_per_second
    numbers = found.instants.tolist()
    names = [f"instant_{number + 1:06d}" for number in numbers]
    write_joints_json(folder / "joints.json", found.joints_world_m, frame=WORLD_FRAME, frames_per_second=rate,
                      sources=names, numbers=numbers, about=about,
                      seen=SeenJoints(found.seen_by, "seen_by_cameras",
                                      BY_MASKS if tools.lifter is None else BY_CAMERAS))  # fmt: skip
    betas = np.tile(found.betas, (len(numbers), 1))
    write_body_parameters(folder / "body.npz", found.rotations_world, betas, found.translation_world_m, about, rate,
                          WORLD_FRAME, numbers)  # fmt: skip
    turned, roots_m = bridged(numbers, found.rotations_world, found.root_world_m)
    moving = MovingBody(turned, found.betas, roots_m, rate, Y_UP_FROM_Z_UP)
    of_motion = about._replace(gaps=told_gaps(numbers))
    motion = body_motion(tools.body, moving, OF_RECORDING, of_motion, "neutral", task.motion_files)
    others = {f"overlay_{view.name}.mp4": about.of_pictures() for view in recording.views}
    write_motion_files(folder, motion, task.motion_files, others=others)
    for row in range(len(recording.views)):
        draw_over(folder, row, found, recording, tools.body, task.video_px)


@torch.no_grad()
def draw_over(
    folder: Path, row: int, found: WorldBodies, recording: MultiviewRecording, body: Body, height_px: int
) -> None:
    """Draw the body over one camera's pictures, as a video."""
    view = recording.views[row]
    seen_by = pinhole(view.camera)
    height_px = min(height_px, seen_by.height_px) // 2 * 2
    width_px = round(seen_by.width_px * height_px / seen_by.height_px) // 2 * 2
    small = resized(seen_by, width_px, height_px)
    video = OverlayVideo(folder / f"overlay_{view.name}.mp4", recording.frames_per_second, height_px)
    place = {int(instant): number for number, instant in enumerate(found.instants)}
    betas, faces = torch.from_numpy(found.betas).float()[None], body.faces.numpy()
    every = enumerate(ideal_frames(view, recording.every, recording.num_instants))
    for instant, rgb in tqdm(every, total=recording.num_instants, desc=view.name, disable=None):
        picture = cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        if instant in place:
            here = place[instant]
            turned, at = (torch.from_numpy(values[here : here + 1]).float()
                          for values in (found.rotations_world, found.translation_world_m))  # fmt: skip
            vertices_m = to_camera(small, body(turned, betas, at).vertices_m[0].double().numpy())
            picture = overlay(picture, vertices_m, faces, small.K) if (vertices_m[:, 2] > 0.1).all() else picture
        video.add(picture)
    video.close()


def main(task: Task) -> Path:
    """Predict, write, and return the folder."""
    check_formats(task.motion_files)
    given = task.cameras
    check_out(task.out, task.overwrite, WRITTEN, (
        Path(task.clips), *given.calibration, task.keypoints, given.keypoint_names, given.masks, given.backgrounds,
        given.teacher, task.lifter))  # fmt: skip
    tools = tools_of(task)
    about = about_of(task, tools)
    print(f"tier: {about.tier}; several calibrated cameras, bodies in the world's frame")
    recording, people, numbers = people_of(task)
    about = about._replace(unchecked=numbers["unchecked"])
    found = [fitted_bodies(one, recording.frames_per_second, tools, task.cameras.smooth_hz) for one in people]
    with atomic_folder(task.out) as (partial,):
        for number, bodies in enumerate(found, start=1):
            folder = partial / f"person_{number}" if len(found) > 1 else partial
            folder.mkdir(exist_ok=True)
            write_person(folder, bodies, recording, tools, about, task)
            print(f"{len(bodies.instants)} of {recording.num_instants} instants{told_overlap(bodies)}")
        overlap = [] if np.isnan(found[0].overlap).all() else rounded(np.nanmean(found[0].overlap, axis=0))
        told = {"cameras": recording.names, "evidence": task.cameras.evidence, "overlap": overlap}
        write_json(partial / "cameras.json", told | numbers)
    print(task.out)
    return task.out


def told_overlap(bodies: WorldBodies) -> str:
    """Say how well bodies cover their masks."""
    known = bodies.overlap[np.isfinite(bodies.overlap)]
    return f"; the body covers its masks to {known.mean():.0%}" if len(known) else ""
