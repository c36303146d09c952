"""Bodies of a person before several calibrated cameras: read off keypoints and masks of all views, fitted, placed.

For sample/predict_cameras.py.  Masks are read by the teacher, keypoints by the lifter; the reading that meets the
keypoints better is fitted to both, some instants at a time, and the motion is smoothed.  Nothing is trained.
"""

from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from tqdm import tqdm

from dataset_def.h36m_SMPL_data import SeenMask, mask_problem, mesh_views
from dataset_def.masks_data import level_camera
from dataset_def.multiview.people_in_views import PersonInViews, crop_of_mask, targets_world_m
from models.body_surface import pelvis_m
from models.kinematics import along_the_tree, relative_to_parent
from models.masks_fit import MasksFit, MasksObservations, shape_frames
from models.smpl import Body
from models.SMPL_from_keypoints import Lifter, boxed
from models.SMPL_from_masks import BodyDrawer, EstimatedBodies, Teacher
from utils.camera import Camera
from utils.seen import SURE, seen_joints
from utils.views import MeshViews, placed_in_views

AT_ONCE = 40
"""Instants that are read and fitted together; a frame that went wrong learns from its neighbours among them."""
SHAPE_FRAMES = 24
"""Instants, spread over all, that decide a person's shape and clothes."""
SIDE_PX = 64
"""Of the crops that keypoints are compared in, where there is no teacher; only their scale matters."""
SIDE_M = 2.6


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
