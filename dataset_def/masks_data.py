"""The masks of all calibrated views of an instant, cut about what the crops look at, upright: what the teacher reads.

No joint is read but, where the crop's centre is the pelvis, the pelvis itself.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from config import Paths
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import COARSER_BY, PackedCrops, load_metadata, pack_folder, pictures_of
from dataset_def.h36m_files import mask_path, told_by_keypoints
from dataset_def.h36m_index import Centre, FrameTable, every_nth, load_table, rows_by_instant, targets_world_m
from dataset_def.h36m_SMPL_data import SeenMask, mask_problem, mesh_views
from utils.artifacts import COMMANDS, load_keypoints
from utils.camera import Camera, to_rays
from utils.tiers import Reads
from utils.views import MeshViews, mask_middles_px

NEAREST_RAY = 0.1
"""Depth over length of a ray that a crop's camera still sees before it."""


class Instant(NamedTuple):
    """The frames of all cameras at one moment."""

    subject: int
    action: int
    subaction: int
    frame: int
    rows: Int[np.ndarray, "v"]
    """Of the table, one per camera."""

    @property
    def sequence(self) -> tuple[int, int, int]:
        """Name the sequence."""
        return self[:3]


class BadView(NamedTuple):
    """A mask that shows no person."""

    path: str
    fault: str
    instant: tuple[int, int, int, int]
    """Subject, action, sub-action, frame."""


def level_camera(camera: Camera, target_world_m: Float[np.ndarray, "3"], size_px: int, side_m: float) -> Camera:
    """Make the virtual camera of a crop, rolled so that the world's up is up in it."""
    plain = crop_camera(camera, target_world_m, size_px, side_m).R_cam_from_world
    right_z, down_z = plain[0, 2], plain[1, 2]
    roll_rad = float(np.arctan2(-right_z, -down_z)) if np.hypot(right_z, down_z) > 1e-3 else 0.0
    return crop_camera(camera, target_world_m, size_px, side_m, roll_rad)


def instants_of(table: FrameTable, rows: Int[np.ndarray, "n"], cameras: tuple[int, ...] = ()) -> list[Instant]:
    """Group rows by their instant, in order.

    Args:
        cameras: numbers of the cameras that are used; all if empty.
    Raises:
        ValueError: some instant is seen by one camera only.
    """
    if cameras:
        absent = sorted(set(cameras) - set(np.unique(table.frames[rows, 3]).tolist()))
        if absent:
            raise ValueError(f"the index has no frames of cameras {absent}, only of "
                             f"{np.unique(table.frames[rows, 3]).tolist()}; change the cameras setting")  # fmt: skip
        rows = rows[np.isin(table.frames[rows, 3], cameras)]
    found = []
    for own in rows_by_instant(table, rows).values():
        subject, action, subaction, frame = table.frames[own[0], [0, 1, 2, 4]].tolist()
        found.append(Instant(subject, action, subaction, frame, own))
    alone = [one for one in found if len(one.rows) < 2]
    if alone:
        name = table.key(int(alone[0].rows[0])).stem
        raise ValueError(f"{len(alone)} of {len(found)} instants are seen by one camera only (first: {name}); a body "
                         "from masks needs two calibrated views or more of each instant")  # fmt: skip
    return found


class MaskReader:
    """Cuts the masks of instants out of packed crops, or out of the masks' files where none are packed."""

    def __init__(self, paths: Paths, centre: Centre, size_px: int, side_m: float) -> None:
        self.paths, self.centre, self.size_px, self.side_m = paths, centre, size_px, side_m
        self.table: FrameTable = load_table(paths)
        if not self.table.has_masks:
            raise ValueError(f"the index was made without masks, which bodies are read from; put them into "
                             f"{paths.masks_location} and run: {COMMANDS['index']}")  # fmt: skip
        self.targets_m = targets_world_m(self.table, centre)
        metadata = load_metadata(pack_folder(paths, centre))
        self.packed = None
        if metadata is not None and metadata.side_m >= side_m:
            is_fine = metadata.size_px / metadata.side_m >= size_px / side_m / COARSER_BY
            self.packed = PackedCrops(paths, centre, self.table, metadata) if is_fine else None
        self.bad: list[BadView] = []
        """Views that were left out so far."""

    def reads_centres(self, subjects: Collection[int]) -> Reads:
        """Say what is read of people where only what their crops look at is asked for."""
        who = frozenset(subjects)
        found = Reads(cameras=who, root=who) if self.centre == "pelvis" else Reads(cameras=who, masks=who)
        return found.triangulated(told_by_keypoints(self.paths, who))

    def reads(self, subjects: Collection[int]) -> Reads:
        """Say what is read of people with their masks."""
        return self.reads_centres(subjects) | Reads(masks=frozenset(subjects))

    def known(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
        """Keep the rows whose crop has a centre."""
        return rows[np.isfinite(self.targets_m[rows]).all(1)]

    def choose(self, rows: Int[np.ndarray, "n"], every: int, cameras: tuple[int, ...] = ()) -> list[Instant]:
        """List every n-th instant of some rows whose crops have a centre.

        Raises:
            ValueError: there are none.
        """
        kept = self.known(every_nth(self.table, rows, every))
        if len(kept) == 0:
            what = "labelled pelvis" if self.centre == "pelvis" else "centre of its masks"
            raise ValueError(f"none of {len(rows)} frames has a {what} for its crop; choose another centre "
                             "(masks needs no label), or other subjects")  # fmt: skip
        return instants_of(self.table, kept, cameras)

    def read(self, instants: list[Instant], most_views: int = 0) -> MeshViews:
        """Read the views of some instants, padded to the most that any of them has (or to `most_views`).

        A view without a usable mask does not exist, and is noted in `bad`.
        """
        width = max([most_views, *(len(one.rows) for one in instants)])
        return MeshViews(*(torch.stack(parts) for parts in zip(*(self._views(one, width) for one in instants),
                                                               strict=True)))  # fmt: skip

    def off_target_m(self, instants: list[Instant], width: int) -> Float[np.ndarray, "T V"]:
        """Measure how far the middle of every mask is from the crop's centre, at that depth; NaN without a mask."""
        views = self.read(instants, width)
        off_m = torch.hypot(*mask_middles_px(views.mask)) * (self.side_m / self.size_px)
        return off_m.masked_fill(~views.exists, torch.nan).numpy()

    def _views(self, instant: Instant, width: int) -> MeshViews:
        rows = instant.rows.tolist()
        cameras = [level_camera(self.table.camera(row), self.targets_m[row], self.size_px, self.side_m) for row in rows]
        masks = [pictures_of(self.paths, self.table, row, self.packed, self.targets_m[row]).mask(camera)
                 for row, camera in zip(rows, cameras, strict=True)]  # fmt: skip
        faults = [mask_problem(mask) for mask in masks]
        self.bad += [BadView(str(mask_path(self.paths, self.table.key(row))), fault, instant[:4])
                     for row, fault in zip(rows, faults, strict=True) if fault is not None]  # fmt: skip
        seen = [SeenMask(mask, camera, self.targets_m[row], fault is None)
                for row, camera, mask, fault in zip(rows, cameras, masks, faults, strict=True)]  # fmt: skip
        views = mesh_views(seen, width, None)
        return views._replace(mask=views.mask * views.exists[:, None, None])


class KeypointReader:
    """Gives 2D keypoints in the crops that masks are cut into.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged, or none of them has a frame of the data set.
    """

    def __init__(self, files: tuple[Path, ...], table: FrameTable) -> None:
        self.table = table
        parts = [load_keypoints(path) for path in files]
        self.keypoints_px = np.concatenate([part.keypoints_px for part in parts])
        self.confidence = np.concatenate([part.confidence for part in parts])
        places = {
            tuple(key): place for place, key in enumerate(np.concatenate([part.frames for part in parts]).tolist())
        }
        self.place = np.array([places.get(tuple(key), -1) for key in table.frames.tolist()])
        if (self.place < 0).all():
            who = sorted({key[0] for key in places})
            raise ValueError(f"{', '.join(map(str, files))} has keypoints of no frame of this data set, only of "
                             f"subjects {who}; give those that belong to it")  # fmt: skip

    def read(
        self, instants: list[Instant], views: MeshViews
    ) -> tuple[Float[Tensor, "T V 17 2"], Float[Tensor, "T V 17"]]:
        """Place the keypoints of some instants in their crops; what is not known has no confidence."""
        size = views.mask.shape[-1]
        found_px = np.zeros((*views.exists.shape, 17, 2), np.float32)
        confidence = np.zeros(found_px.shape[:-1], np.float32)
        for number, one in enumerate(instants):
            for view, row in enumerate(one.rows.tolist()):
                if self.place[row] < 0 or not views.exists[number, view]:
                    continue
                camera, place = self.table.camera(row), self.place[row]
                rays_world = to_rays(camera, self.keypoints_px[place].astype(float)) @ camera.R_cam_from_world
                rays_crop = rays_world @ views.R_crop_from_world[number, view].double().numpy().T
                is_before = rays_crop[:, 2] > NEAREST_RAY
                x_y = rays_crop[:, :2] / np.where(is_before, rays_crop[:, 2], 1)[:, None]
                found_px[number, view] = x_y * float(views.focal_px[number, view]) + size / 2
                confidence[number, view] = self.confidence[place] * is_before
        return torch.from_numpy(found_px), torch.from_numpy(confidence)


def camera_offsets(reader: MaskReader, instants: list[Instant]) -> tuple[Float[Tensor, "N V 3"], Tensor]:
    """Give where the cameras stand about what the crops look at, and which there are: the arrangements to learn."""
    width = max(len(one.rows) for one in instants)
    offsets = np.zeros((len(instants), width, 3), np.float32)
    exists = np.zeros((len(instants), width), bool)
    for place, one in enumerate(instants):
        for view, row in enumerate(one.rows.tolist()):
            offsets[place, view] = reader.table.camera(row).centre_world_m - reader.targets_m[row]
            exists[place, view] = True
        offsets[place, len(one.rows) :] = offsets[place, 0]
    return torch.from_numpy(offsets), torch.from_numpy(exists)
