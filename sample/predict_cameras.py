"""Bodies before several calibrated cameras, in the recording's world: what predict.py does with --calibration.

    python sample/predict.py clips/ --calibration Calib.toml
    python sample/predict.py clips/ --calibration Calib.toml --evidence masks --cut-out segmentation

Everything is read as dataset_def/import_multiview.py reads it.  Keypoints of all views are triangulated, those that do
not agree left out; masks are read by the teacher, keypoints by the lifter; the reading that meets the keypoints better
is fitted to both.  Nothing is trained.

Reads   videos or folders of pictures, their calibration; perhaps keypoints, masks, pictures of the background; the
        committed teacher and lifter; the keypoints extra
Writes  <out>/: joints.json and body.npz in the world's frame, motion.glb, motion.bvh and what --motion-files asks for,
        overlay_<camera>.mp4, cameras.json with what was found about the recording; one such folder per person if
        several are asked for
"""

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from tqdm import tqdm

from config import ASSETS, Paths, ranged, setting
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_SMPL_data import SeenMask, mask_problem, mesh_views
from dataset_def.masks_data import level_camera
from dataset_def.multiview.check_calibration import (
    consistency,
    consistency_problems,
    raise_or_warn,
    rig_problems,
)
from dataset_def.multiview.custom_recording import Span, cameras_of, common_rate, custom_recording, named_videos
from dataset_def.multiview.custom_recording import people_of as keypoints_of_clips
from dataset_def.multiview.evidence import evidence_problems, looked_at, looks_at_masks, looks_of, not_judged
from dataset_def.multiview.geometry import refine_rotations
from dataset_def.multiview.import_custom import custom_config, judged, people_table, silhouettes
from dataset_def.multiview.offsets import found_offsets
from dataset_def.multiview.people_in_views import (
    LEAST_CONFIDENCE,
    SURE_CONFIDENCE,
    PersonInViews,
    ViewMask,
    Views,
    crop_of_mask,
    detected_people,
    followed,
    given_masks,
    given_people,
    ideal_frames,
    person_in_views,
    sightings_of,
    targets_world_m,
    view_mask,
    with_detected_masks,
    without_keypoints,
)
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from dataset_def.multiview.report import write_json
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import label_recording, write_video
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, KEYPOINTS_REMEDY, BlazePose, is_available
from dataset_def.video import probe
from models.body_surface import coarse_body, coarse_faces, pelvis_m
from models.kinematics import along_the_tree, relative_to_parent
from models.masks_fit import MasksFit, MasksFitLoss, MasksFitSteps, MasksObservations, shape_frames
from models.smpl import Body, load_body
from models.SMPL_from_keypoints import KeypointsOfBody, Lifter, boxed, load_lifter
from models.SMPL_from_masks import BodyDrawer, EstimatedBodies, Teacher, load_teacher, teacher_reads
from utils.artifacts import atomic_folder, file_hash
from utils.camera import Camera, resized, to_camera
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
from utils.image import read_mask
from utils.person_box import mask_fault
from utils.processes import for_each
from utils.seen import BY_CAMERAS, BY_MASKS, SURE, SeenJoints, seen_joints
from utils.tiers import Reads
from utils.views import MeshViews, placed_in_views

Evidence = Literal["both", "keypoints", "masks"]
AT_ONCE = 40
"""Instants that are read and fitted together; a frame that went wrong learns from its neighbours among them."""
SHAPE_FRAMES = 24
"""Instants, spread over all, that decide a person's shape and clothes."""
SIDE_PX = 64
"""Of the crops that keypoints are compared in, where there is no teacher; only their scale matters."""
SIDE_M = 2.6
REFINED_HELPS = 0.7
"""Cameras are turned, where the user leaves it open, if keypoints then lie nearer than this share of before."""


@dataclass(frozen=True)
@ranged()
class CamerasConfig:
    """Of several calibrated cameras: how their recording is read, and what bodies are read from."""

    calibration: tuple[Path, ...] = ()
    """Makes the input a folder of synchronised clips, one per camera: any calibration that
    dataset_def/import_multiview.py reads, in whose world the bodies are then given."""
    evidence: Evidence = "both"
    """What bodies are fitted to: keypoints and masks, or one of them."""
    calibration_unit: Literal["", "m", "cm", "mm"] = ""
    """Of the lengths in the calibration; needed where neither the format nor the file tells (OpenCV's)."""
    up: Literal["z", "-z", "y", "-y", "x", "-x"] = "z"
    """The axis of the calibration's world that points up."""
    offsets: tuple[str, ...] = ()
    """Cameras that started earlier, as NAME=FRAMES: so many frames at the beginning of a clip come before frame 0."""
    find_offsets: bool = False
    """The clips are not synchronised: find by how many frames they are apart from how a person's keypoints move, and
    refuse where that does not tell."""
    most_offset: int = setting(120, low=1)
    """Frames that are tried either way."""
    every: int = setting(1, low=1)
    """Take every n-th frame."""
    frames_per_second: float = setting(0.0, low=0)
    """Of the clips; 0 takes what they say themselves.  Folders of pictures say nothing."""
    video_size: Literal["exact", "scaled", "letterboxed"] = "exact"
    """How clips may differ in size from their calibration: not at all, scaled evenly, or shrunk between black bars."""
    masks: Path | None = None
    """Person masks: a folder per camera with a picture per frame, the person above 128."""
    cut_out: Literal["auto", "detector", "movement", "segmentation"] = "auto"
    """Where masks come from if none are given: the keypoints extra's detector, which gives one with every person; what
    differs from the picture of the background, or from the median over time; or the network of the segmentation extra.
    auto: the detector where it is installed, else movement."""
    backgrounds: Path | None = None
    """Pictures of the background without people, one per camera and named as it, for movement."""
    keypoint_names: Path | None = None
    """For tables whose keypoints are not known by their names: a file with lines `name in the table,left_wrist`."""
    person: int = setting(1, low=0)
    """Whose body: 1 is whom most cameras see in most frames, 2 the next, 0 everybody in at least half of the frames."""
    accept_calibration: bool = False
    """Go on although the calibration does not fit what the cameras see."""
    accept_evidence: bool = False
    """Go on although given keypoints, or masks, lie on nobody whom the detector sees."""
    largest_error: float = setting(0.06, low=0.001, high=10)
    """A calibration fits if keypoints lie this near to where the other cameras see them: median distance over the
    height of the person in the picture."""
    refine_cameras: bool | None = None
    """Turn the cameras by the small angles that the keypoints ask for; their places stay.  If not given, they are
    turned where that brings the keypoints much nearer, and it is told."""
    outlier_px: float = setting(0.0, low=0)
    """Keypoints farther than this from where the other cameras see the joint do not count; 0 takes the 48th part of
    the picture's longer side."""
    smooth_hz: float = setting(6.0, low=0)
    """Movements faster than this are taken for noise; 0 leaves them."""
    teacher: Path = ASSETS / "open_teacher.pt"
    """checkpoint_best.pt of sample/train_SMPL_from_masks.py, trained with --cameras any."""
    processes: int = setting(0, low=0)
    """Processes that look for people in the clips; 0 takes one per core."""

    def __post_init__(self) -> None:
        if self.masks is not None and self.cut_out != "auto":
            raise ValueError(f"masks are given, and cut_out {self.cut_out} would make them anew; leave one away")
        if self.find_offsets and self.offsets:
            raise ValueError("offsets are given, and find_offsets would find them anew; leave one away")
        if self.evidence == "keypoints" and (self.masks is not None or self.cut_out != "auto"):
            raise ValueError("evidence is keypoints, which reads no masks; leave masks and cut_out away, or take both")


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


def import_settings(task: Task) -> ImportMultiviewConfig:
    """Give the settings with which the import's own readers read the recording."""
    config = task.cameras
    return ImportMultiviewConfig(
        videos=(task.clips,), calibration=config.calibration, calibration_unit=config.calibration_unit, up=config.up,
        offsets=config.offsets, frames=(0, task.frames) if task.frames else None, every=config.every,
        frames_per_second=config.frames_per_second, video_size=config.video_size, keypoints=task.keypoints,
        skeleton=task.skeleton, keypoint_names=config.keypoint_names,  # type: ignore[arg-type]
        accept_calibration=config.accept_calibration, largest_error=config.largest_error,
        outlier_px=config.outlier_px, to=task.out, smooth_hz=config.smooth_hz, masks=config.masks,
        backgrounds=config.backgrounds, processes=config.processes,
        cut_out="segmentation" if config.cut_out == "segmentation" else "auto",
    )  # fmt: skip


class Tools(NamedTuple):
    """The networks and the body."""

    body: Body
    """Whole."""
    coarse: Body
    lifter: Lifter | None
    """None where no keypoints are read."""
    teacher: Teacher | None
    """None where no masks are read."""
    fit: MasksFit

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        return self.teacher.size_px if self.teacher is not None else SIDE_PX

    @property
    def side_m(self) -> float:
        """What the crops show."""
        return self.teacher.side_m if self.teacher is not None else SIDE_M


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


def views_of(
    person: PersonInViews, rows: Int[np.ndarray, "n"], targets_m: Float[np.ndarray, "T 3"], tools: Tools
) -> MasksObservations:
    """Cut masks and keypoints of some instants about what the crops look at."""
    parts, keypoints, sure = [], [], []
    for row in rows.tolist():
        to = [level_camera(camera, targets_m[row], tools.size_px, tools.side_m) for camera in person.cameras]
        seen = [_seen_mask(person, row, view, to[view], targets_m[row], tools) for view in range(len(to))]
        parts.append(mesh_views(seen, len(seen), None))
        found_px = [in_crop(person.keypoints_px[row, view, :, :2], camera, to[view])
                    for view, camera in enumerate(person.cameras)]  # fmt: skip
        keypoints.append(np.stack(found_px))
        weight = np.where(person.is_used[row], person.keypoints_px[row, ..., 2], 0.0)
        sure.append(weight * np.isfinite(keypoints[-1]).all(axis=-1))
    views = MeshViews(*(torch.stack(column) for column in zip(*parts, strict=True)))
    views = views._replace(mask=views.mask * views.exists[..., None, None])
    frames = len(rows)
    nothing = views.mask.new_zeros(frames, 17)
    return MasksObservations(
        views, nothing[..., None].expand(-1, -1, 3), nothing, nothing[:, :3],
        torch.from_numpy(np.nan_to_num(np.stack(keypoints)).astype(np.float32)),
        torch.from_numpy(np.stack(sure).astype(np.float32)) * (tools.lifter is not None),
    )  # fmt: skip


def _seen_mask(person: PersonInViews, row: int, view: int, to: Camera, target_m: np.ndarray, tools: Tools) -> SeenMask:
    mask = person.masks[row][view] if tools.teacher is not None else None
    empty = np.zeros((tools.size_px, tools.size_px), np.uint8)
    cut = empty if mask is None else crop_of_mask(mask, person.cameras[view], to)
    return SeenMask(cut, to, target_m, mask is not None and mask_problem(cut) is None)


NEAREST_RAY = 0.1
"""Depth over length of a ray that a crop's camera still sees before it."""


def in_crop(points_px: Float[np.ndarray, "K 2"], camera: Camera, to: Camera) -> Float[np.ndarray, "K 2"]:
    """Take pixels of an ideal camera to those of a crop's; NaN for what lies beside or behind it."""
    rays = np.column_stack([(points_px - camera.centre_px) / camera.focal_px, np.ones(len(points_px))])
    rays = rays @ camera.R_cam_from_world @ to.R_cam_from_world.T
    depth = rays[:, 2:] / np.linalg.norm(rays, axis=1, keepdims=True)
    return (
        np.where(depth > NEAREST_RAY, rays[:, :2] / np.where(depth > NEAREST_RAY, rays[:, 2:], 1.0), np.nan)
        * (to.focal_px)
        + to.centre_px
    )


@torch.no_grad()
def lifted(
    person: PersonInViews, rows: Int[np.ndarray, "n"], targets_m: Float[np.ndarray, "T 3"], tools: Tools
) -> EstimatedBodies:
    """Read bodies off the keypoints of every view by itself, and average them in the world."""
    assert tools.lifter is not None
    network, V = tools.lifter.network, len(person.cameras)
    seen_px = person.keypoints_px[rows]
    sure = np.where(person.is_used[rows], seen_px[..., 2], 0.0)
    focal, centre = (np.stack([getattr(one, name) for one in person.cameras]) for name in ("focal_px", "centre_px"))
    rays = torch.from_numpy((seen_px[..., :2] - centre[:, None]) / focal[:, None]).float().flatten(0, 1)
    confidence = torch.from_numpy(sure).float().flatten(0, 1)
    known = (confidence > 0).sum(dim=1) >= LEAST_KEYPOINTS
    there = boxed(rays[known], confidence[known])
    found = network(there)[-1]
    R = torch.from_numpy(np.stack([one.R_cam_from_world for one in person.cameras])).float()
    from_box = (R.mT.repeat(len(rows), 1, 1)[known] @ there.R_box_from_cam.mT)[:, None]
    weight = torch.zeros(len(rows) * V)
    weight[known] = confidence[known].mean(dim=1)
    totals = torch.zeros(len(rows) * V, *found.totals.shape[1:])
    totals[known] = from_box @ found.totals
    betas = torch.zeros(len(rows) * V, found.betas.shape[1])
    betas[known] = found.betas
    share = weight.unflatten(0, (len(rows), V))
    share = share / share.sum(dim=1, keepdim=True).clamp_min(1e-6)
    mean = roma.special_procrustes(torch.einsum("tv,tvjab->tjab", share, totals.unflatten(0, (len(rows), V))))
    mean_betas = torch.einsum("tv,tvn->tn", share, betas.unflatten(0, (len(rows), V)))
    return where_keypoints_are(mean, mean_betas, person.points_world_m[rows] - targets_m[rows, None], tools)


LEAST_KEYPOINTS = 6
"""Views that show fewer tell no body."""


def where_keypoints_are(
    totals: Float[Tensor, "T J 3 3"], betas: Float[Tensor, "T n"], points_m: Float[np.ndarray, "T 25 3"], tools: Tools
) -> EstimatedBodies:
    """Put bodies where their keypoints are in space, by the median over the keypoints; in the middle without any."""
    assert tools.lifter is not None
    own_m = tools.lifter.network.body(totals, betas)[1]
    apart_m = torch.from_numpy(points_m).float() - own_m
    root_m = apart_m.nanmedian(dim=1).values.nan_to_num(0.0)
    rotations = relative_to_parent(totals)
    vertices_m, joints_m = tools.coarse(rotations, betas, torch.zeros_like(root_m))
    pelvis = pelvis_m(tools.coarse, vertices_m, joints_m)[:, 0] - joints_m[:, 0]
    return EstimatedBodies(rotations, betas, root_m + pelvis)


def off_keypoints_m(bodies: EstimatedBodies, seen: MasksObservations, tools: Tools) -> Float[Tensor, "T"]:
    """Measure how far bodies are from the keypoints, mean over all; zero without any."""
    assert tools.lifter is not None
    rotations, betas, pelvis_world_m = bodies
    vertices_m, joints_m = tools.coarse(rotations, betas, torch.zeros_like(pelvis_world_m))
    totals = along_the_tree(rotations, tools.body.parents)
    points_m = tools.lifter.network.body(totals, betas)[1] + joints_m[:, :1]
    placed_m = points_m - pelvis_m(tools.coarse, vertices_m, joints_m) + pelvis_world_m[:, None]
    views = seen.views
    seen_px = placed_in_views(placed_m, views._replace(exists=torch.zeros_like(views.exists)), "pelvis")[..., :2]
    m_per_px = (views.target_world_m - views.centre_world_m).norm(dim=-1) / views.focal_px
    off_m = (seen_px - seen.keypoints_px).norm(dim=-1) * m_per_px[..., None]
    weight = seen.keypoints_confidence
    return (off_m * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp_min(1e-6)


@torch.no_grad()
def begun(
    person: PersonInViews, rows: Int[np.ndarray, "n"], targets_m: Float[np.ndarray, "T 3"], seen: MasksObservations,
    tools: Tools,
) -> EstimatedBodies:  # fmt: skip
    """Read bodies off what there is; of two readings, take the one that is nearer to the keypoints."""
    by_masks = None
    if tools.teacher is not None:
        two = seen.views.exists.sum(dim=1) >= 2
        views = seen.views._replace(exists=seen.views.exists | ~two[:, None])  # a view at least, to read anything
        by_masks = tools.teacher.network.estimate(views, BodyDrawer(tools.coarse))[0]
    if tools.lifter is None:
        assert by_masks is not None
        return by_masks
    by_keypoints = lifted(person, rows, targets_m, tools)
    if by_masks is None:
        return by_keypoints
    is_other = off_keypoints_m(by_masks, seen, tools) < off_keypoints_m(by_keypoints, seen, tools)
    is_other &= two
    return EstimatedBodies(*(torch.where(is_other.view(-1, *[1] * (one.ndim - 1)), one, other)
                             for one, other in zip(by_masks, by_keypoints, strict=True)))  # fmt: skip


class WorldBodies(NamedTuple):
    """The bodies of one person in the recording's world, z up, in metres."""

    instants: Int[np.ndarray, "T"]
    rotations_world: Float[np.ndarray, "T 24 3 3"]
    betas: Float[np.ndarray, "n"]
    translation_world_m: Float[np.ndarray, "T 3"]
    """As the body model takes it."""
    joints_world_m: Float[np.ndarray, "T 17 3"]
    root_world_m: Float[np.ndarray, "T 3"]
    overlap: Float[np.ndarray, "T V"]
    """With the masks, before smoothing; NaN without."""
    seen_by: Float[np.ndarray, "T 17"]
    """How many cameras' keypoints place each joint; NaN where bodies are read from masks alone."""


def fitted_bodies(person: PersonInViews, rate: float, tools: Tools, smooth_hz: float) -> WorldBodies:
    """Read and fit a person's bodies at all instants at which something tells where they are.

    Raises:
        ValueError: there is no such instant.
    """
    targets_m = targets_world_m(person)
    rows = np.flatnonzero(np.isfinite(targets_m).all(axis=1))
    if not len(rows):
        raise ValueError("at no instant do two cameras agree on where the person is; check the calibration")
    chosen = rows[shape_frames(len(rows), SHAPE_FRAMES).numpy()]
    seen = views_of(person, chosen, targets_m, tools)
    somebody = tools.fit.person(begun(person, chosen, targets_m, seen, tools), seen)
    found, at_once = [], -(-len(rows) // -(-len(rows) // AT_ONCE))
    for first in tqdm(range(0, len(rows), at_once), desc="fit", disable=None):
        some = rows[first : first + at_once]
        seen = views_of(person, some, targets_m, tools)
        guess = begun(person, some, targets_m, seen, tools)
        found.append(tools.fit.fit_in_time(guess, seen, somebody))
    rotations, pelvis, overlap = (torch.cat(column) for column in zip(*found, strict=True))
    pelvis_world_m = pelvis.double().numpy() + targets_m[rows]
    rotations_world, pelvis_world_m = smooth_motion(rotations.double().numpy(), pelvis_world_m, rows, rate, smooth_hz)
    seen_by = seen_by_cameras(person, rows) if tools.lifter is not None else np.full((len(rows), 17), np.nan)
    placed = placed_bodies(rotations_world, somebody.betas, pelvis_world_m, tools.body)
    return WorldBodies(rows, rotations_world, somebody.betas.double().numpy(), *placed, overlap.numpy(), seen_by)


def seen_by_cameras(person: PersonInViews, rows: Int[np.ndarray, "T"]) -> Float[np.ndarray, "T 17"]:
    """Count the cameras whose keypoints place each joint."""
    counts = person.is_used[rows] & (person.keypoints_px[rows, ..., 2] > 0)
    return (seen_joints(counts.astype(float)) >= SURE).sum(axis=1).astype(float)


@torch.no_grad()
def placed_bodies(
    rotations: Float[np.ndarray, "T 24 3 3"], betas: Float[Tensor, "n"], pelvis_world_m: Float[np.ndarray, "T 3"],
    body: Body,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Place whole bodies with their pelvis where it was found: translations, joints, roots."""
    translation, joints, roots = [], [], []
    for first in range(0, len(rotations), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        turned = torch.from_numpy(rotations[some]).float()
        vertices_m, joints_m = body(turned, betas.expand(len(turned), -1), torch.zeros(len(turned), 3))
        move_m = pelvis_world_m[some] - pelvis_m(body, vertices_m, joints_m)[:, 0].double().numpy()
        translation.append(move_m)
        joints.append(body.h36m_joints_m(vertices_m).double().numpy() + move_m[:, None])
        roots.append(joints_m[:, 0].double().numpy() + move_m)
    return np.concatenate(translation), np.concatenate(joints), np.concatenate(roots)


def smooth_motion(
    rotations: Float[np.ndarray, "T J 3 3"], places_m: Float[np.ndarray, "T 3"], instants: Int[np.ndarray, "T"],
    rate: float, cutoff_hz: float,
) -> tuple[Float[np.ndarray, "T J 3 3"], Float[np.ndarray, "T 3"]]:  # fmt: skip
    """Filter a motion as joints are filtered by the import, with no delay, and not across gaps.

    Source: rotations by the mean of matrices, projected to the nearest rotation (chordal mean); the filter as
    dataset_def.multiview.joints.smoothed.
    """
    if cutoff_hz == 0:
        return rotations, places_m
    sigma_frames = np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz) * rate
    starts = np.flatnonzero(np.diff(instants, prepend=instants[0] - 2) != 1)
    turned, moved = rotations.copy(), places_m.copy()
    for first, end in zip(starts, [*starts[1:], len(instants)], strict=True):
        part = slice(first, end)
        turned[part] = gaussian_filter1d(rotations[part], sigma_frames, axis=0, mode="nearest")
        moved[part] = gaussian_filter1d(places_m[part], sigma_frames, axis=0, mode="nearest")
    return roma.special_procrustes(torch.from_numpy(turned)).numpy(), moved


def masks_alone(task: Task) -> bool:
    """Tell whether bodies are read from masks that no detector of people takes part in."""
    config = task.cameras
    is_there = is_available(task.detector_location, task.detector)
    return config.evidence == "masks" and (config.masks is not None or config.cut_out in ("movement", "segmentation")
                                           or (config.cut_out == "auto" and not is_there))  # fmt: skip


def people_of(task: Task) -> tuple[MultiviewRecording, list[PersonInViews], dict[str, Any]]:
    """Read the recording through the import's readers, and gather what all views see of those who are asked for.

    Returns:
        numbers for cameras.json, too; `unchecked` says what was not compared with the pictures.
    Raises:
        FileNotFoundError, ValueError: something is missing or does not fit, in words.
    """
    settings, config = import_settings(task), task.cameras
    if config.find_offsets:
        settings = in_step(task, settings)
    recording = custom_recording(settings)
    settings = custom_config(settings, recording)
    raise_or_warn(rig_problems(recording.names, recording.cameras), settings.accept_calibration)
    if masks_alone(task):
        cameras = [pinhole(camera) for camera in recording.cameras]
        person = without_keypoints(cameras, masks_of(task, recording, settings))
        return recording, [person], {"unchecked": check_evidence(task, recording, person, None)}
    views, detected = views_and_detected(task, recording)
    first = config.person or 1
    recording, person, numbers = people_found(recording, views, settings, first, config.refine_cameras)
    if has_own_masks(task):
        person = person._replace(masks=masks_of(task, recording, settings))
    is_own = task.keypoints is not None or has_own_masks(task)
    numbers["unchecked"] = check_evidence(task, recording, person, detected) if is_own else ""
    people = [person]
    often = [number for number, one in enumerate(numbers["people"], start=1)
             if number != first and one["frames"] >= SEEN_SHARE * recording.num_instants]  # fmt: skip
    if config.person == 0:
        people += [people_found(recording, views, settings, number, False)[1] for number in often]
    elif often:
        print(f"{len(often)} more people are seen by two cameras or more in most frames; --person chooses another "
              "(cameras.json lists them), --person 0 takes all")  # fmt: skip
    return recording, people, numbers


def in_step(task: Task, settings: ImportMultiviewConfig) -> ImportMultiviewConfig:
    """Find by how many frames clips are apart, and settle which of them are read.

    Raises:
        ValueError: what the person does does not tell it.
    """
    videos = {name: probe(path) for name, path in named_videos(settings.videos).items()}
    cameras = cameras_of(settings, videos)
    lengths = [one.num_frames for one in videos.values()]
    clips = tuple(RecordedView(name, camera, one.path)
                  for (name, one), camera in zip(videos.items(), cameras, strict=True))  # fmt: skip
    rate = common_rate(videos, settings)
    whole = MultiviewRecording(clips, max(lengths), 1, rate, None, settings.video_size)
    if task.keypoints is not None:
        every_frame = replace(settings, every=1)
        whole = whole._replace(people=keypoints_of_clips(every_frame, videos, Span((0,) * len(clips), max(lengths))))
        views = given_people(whole)
    else:
        views = detected_people(whole, task.detector_location, task.detector, task.cameras.processes)
    ideal = [pinhole(camera) for camera in cameras]
    found = found_offsets(list(videos), ideal, views, task.cameras.most_offset)
    offsets = tuple(f"{name}={frames}" for name, frames in zip(videos, found.frames.tolist(), strict=True))
    print(f"offsets found: {', '.join(offsets)} ({found.told})")
    common = min(length - frames for length, frames in zip(lengths, found.frames.tolist(), strict=True))
    return replace(settings, offsets=offsets, frames=(0, min(task.frames or common, common)))


def has_own_masks(task: Task) -> bool:
    """Tell whether masks come from elsewhere than from the detector."""
    config = task.cameras
    return config.evidence != "keypoints" and (
        config.masks is not None or config.cut_out in ("movement", "segmentation")
    )


def views_and_detected(task: Task, recording: MultiviewRecording) -> tuple[Views, Views | None]:
    """Gather everybody in all views: those whose keypoints are given, or whom the detector finds; and the latter.

    Raises:
        ValueError: nothing gives keypoints or masks.
    """
    is_there = is_available(task.detector_location, task.detector)
    wants_masks = task.cameras.evidence != "keypoints" and not has_own_masks(task)
    if recording.people is not None and not (wants_masks and is_there):
        if wants_masks:
            raise ValueError(f"evidence {task.cameras.evidence} needs masks: give --masks or --cut-out movement, take "
                             f"--evidence keypoints, or install the keypoints extra ({KEYPOINTS_REMEDY})")  # fmt: skip
        return given_people(recording), None
    detected = detected_people(recording, task.detector_location, task.detector, task.cameras.processes)
    if recording.people is None:
        return detected, detected
    return with_detected_masks(given_people(recording), detected), detected


def check_evidence(task: Task, recording: MultiviewRecording, person: PersonInViews, detected: Views | None) -> str:
    """Compare evidence that was given, or cut out of what moves, with whom the detector sees in the pictures.

    Without the detector keypoints are compared with the masks, which lie on one person, or apart.

    Returns:
        what was not compared with the pictures, in words; empty if all was.
    Raises:
        ValueError: it lies on nobody.
    """
    uses_keypoints = task.keypoints is not None and not masks_alone(task)
    kinds = ["keypoints"] * uses_keypoints + ["masks"] * (has_own_masks(task) or masks_alone(task))
    if detected is None and not is_available(task.detector_location, task.detector):
        agree = ""
        if len(kinds) == 2:
            there = recording.names, person, looks_at_masks(person), "keypoints"
            apart = evidence_problems(*there, "the masks")
            judged_evidence(task, apart)
            agree = "" if apart or not_judged(*there) else "; they lie on each other, as of the same moments"
        unchecked = f"whether {' and '.join(kinds)} lie on somebody in the pictures was not checked{agree}"
        print(f"{unchecked}; the keypoints extra checks it ({KEYPOINTS_REMEDY})")
        return unchecked
    looks = looks_of(detected) if detected is not None else looked_at(
        recording, task.detector_location, task.detector, task.cameras.processes
    )  # fmt: skip
    judged_evidence(task, [one for what in kinds for one in evidence_problems(recording.names, person, looks, what)])
    unknown = sorted({name for what in kinds for name in not_judged(recording.names, person, looks, what)})
    if not unknown:
        return ""
    unchecked = f"whether {' and '.join(kinds)} of {', '.join(unknown)} lie on somebody is not known"
    print(f"warning: {unchecked}, as the detector sees nobody there")
    return unchecked


def judged_evidence(task: Task, problems: list[str]) -> None:
    """Refuse evidence that lies on nobody, or warn where it is accepted.

    Raises:
        ValueError: with the cameras, and what may be the cause.
    """
    if problems and not task.cameras.accept_evidence:
        raise ValueError(f"{'; '.join(problems)}: the evidence may be of another recording, camera or moment, or of "
                         "something else that moves; --accept-evidence goes on all the same")  # fmt: skip
    if problems:
        print(f"warning: {'; '.join(problems)}")


SEEN_SHARE = 0.5
"""Of the instants, from which on somebody is one of the recording's people."""


def cut_out_masks(
    config: ImportMultiviewConfig, recording: MultiviewRecording, folder: Path
) -> list[list[ViewMask | None]]:
    """Cut out what moves, or what the segmentation network finds, and check the calibration on it.

    Args:
        folder: empty; pictures and masks are written into it on the way.
    Returns:
        by instant, then by camera; None where the person is not seen.
    Raises:
        ValueError: nobody is found by two cameras that agree; the sentence says what to give.
    """
    there = replace(config, paths=Paths.under(folder), report_location=folder / "about", keypoints=None)
    (folder / "about").mkdir(parents=True)
    length = max(2, recording.num_instants)
    labelled = label_recording(recording._replace(people=None), None, config.subject, config.action, length, 0)
    for_each(write_video, labelled.video_jobs(there.paths.h36m_location), config.processes, "frames")
    _, sightings = silhouettes(there, labelled)
    judged(there, recording, sightings)
    found: list[list[ViewMask | None]] = []
    for sequence, frame, _ in labelled.instants():
        keys = [sequence.key(number, frame) for number in range(1, len(recording.views) + 1)]
        masks = [read_mask(mask_path(there.paths, key)) for key in keys]
        found.append([None if mask_fault(mask) else view_mask(mask) for mask in masks])
    return found


def masks_of(task: Task, recording: MultiviewRecording, settings: ImportMultiviewConfig) -> list[list[ViewMask | None]]:
    """Read the given masks, or cut them out."""
    if task.cameras.masks is not None:
        return given_masks(recording)
    with TemporaryDirectory() as folder:
        return cut_out_masks(settings, recording, Path(folder) / "recording")


def people_found(recording: MultiviewRecording, views: Views, settings: ImportMultiviewConfig, number: int,
                 refine: bool | None) -> tuple[MultiviewRecording, PersonInViews, dict[str, Any]]:  # fmt: skip
    """Follow one person through all views, check the calibration on them, and turn the cameras where that helps.

    Raises:
        ValueError: no two cameras agree on somebody, or the calibration does not fit.
    """
    cameras = [pinhole(camera) for camera in recording.cameras]
    everybody = followed(cameras, views, settings.outlier_px, recording.frames_per_second)
    if number > len(everybody):
        raise ValueError(f"person {number} is not there: two cameras agree on {len(everybody)} people (to --outlier-px "
                         f"{settings.outlier_px:g}); check the calibration, or choose another --person")  # fmt: skip
    person = person_in_views(cameras, views, everybody, number - 1, settings.outlier_px)
    sightings = sightings_of(person, recording.every)
    found = consistency(cameras, sightings)
    raise_or_warn(consistency_problems(recording.names, cameras, sightings, found, settings.largest_error),
                  settings.accept_calibration)  # fmt: skip
    numbers: dict[str, Any] = {"people": people_table(everybody), "median_error_px": rounded(person.errors_px())}
    if refine is not False:
        turned = turned_by(person)
        again = person_in_views(turned, views, everybody, number - 1, settings.outlier_px)
        is_better = np.nanmean(again.errors_px()) < REFINED_HELPS * np.nanmean(person.errors_px())
        if refine or is_better:
            numbers["median_error_refined_px"] = rounded(again.errors_px())
            numbers["turned_rad"] = [round(turn_rad(a, b), 5) for a, b in zip(cameras, turned, strict=True)]
            recording = recording.with_cameras([
                one._replace(R_cam_from_world=other.R_cam_from_world)
                for one, other in zip(recording.cameras, turned, strict=True)
            ])  # fmt: skip
            person = again
    numbers["used_share"] = rounded(person.is_used.sum(axis=(0, 2)) / (
        person.keypoints_px[..., 2] >= LEAST_CONFIDENCE).sum(axis=(0, 2)).clip(1))  # fmt: skip
    numbers["sides_exchanged"] = person.is_exchanged.sum(axis=0).tolist()
    return recording, person, numbers


def rounded(values: Float[np.ndarray, "V"]) -> list[float | None]:
    """Write numbers of cameras; None for a camera that does not see the person."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


def turn_rad(before: Camera, after: Camera) -> float:
    """Measure the angle between two orientations of a camera."""
    cosine = (np.trace(before.R_cam_from_world.T @ after.R_cam_from_world) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1, 1)))


def turned_by(person: PersonInViews) -> list[Camera]:
    """Turn cameras so that a person's keypoints agree."""
    V = len(person.cameras)
    flat = np.moveaxis(person.keypoints_px, 1, 0).reshape(V, -1, 3)
    sure = np.where(flat[..., 2] >= SURE_CONFIDENCE, flat[..., 2], 0.0)
    return refine_rotations(person.cameras, flat[..., :2], sure, person.points_world_m.reshape(-1, 3))


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
    if task.out.exists() and not task.overwrite:
        raise FileExistsError(f"{task.out} is there already; give another --out, or --overwrite")
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
