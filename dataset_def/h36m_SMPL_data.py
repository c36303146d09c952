"""Stage 4's samples: one crop, and the masks of the same instant in all cameras; joints of labelled subjects only.

What bodies are fitted to: the joints of a sequence's frames, and the masks of all cameras, cut from the frames.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import starmap
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from config import Crop, Paths
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import CropReader, CropSettings, FramePictures
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_index import (
    FrameChoice,
    FrameTable,
    every_nth,
    load_table,
    select_frames,
    select_rows,
    spread_sequences,
    with_known_centre,
)
from dataset_def.h36m_pose_data import PoseSample, joints_root_m
from utils.camera import Camera
from utils.image import PERSON_ABOVE, to_unit_rgb
from utils.skeleton import H36M_17
from utils.views import MeshViews

MOST_COVERED = 0.8
"""A person covers less of a crop than this; an inverted mask covers more."""
MOST_BORDER = 0.6
"""Share of a crop's border that a person may cover."""
MASKS_CHECKED = 400
"""Masks that are checked before a training starts, where they must be read from files one by one."""


class MeshSample(NamedTuple):
    """One crop, its pose where that may be known, and all masks of its instant."""

    image: Float[Tensor, "*batch 3 H W"]
    """RGB in [0, 1]."""
    joints_root_m: Float[Tensor, "*batch 17 3"]
    """True pose, pelvis at the origin, axes of the crop camera; zero where it is not labelled."""
    is_labelled: Bool[Tensor, "*batch"]
    R_crop_from_world: Float[Tensor, "*batch 3 3"]
    views: MeshViews
    frames: Int[Tensor, "*batch 5"]
    """Subject, action, sub-action, camera, frame."""


class LabelledAndSeen(NamedTuple):
    """A batch of stage 4: images with joints, then images with masks."""

    labelled: PoseSample
    seen: MeshSample

    @property
    def image(self) -> Float[Tensor, "B 3 H W"]:
        """All images, those with masks last."""
        return torch.cat([self.labelled.image, self.seen.image])

    @property
    def joints_root_m(self) -> Float[Tensor, "B 17 3"]:
        """The joints of all rows, zero where they are not labelled."""
        return torch.cat([self.labelled.joints_root_m, self.seen.joints_root_m])

    @property
    def confidence(self) -> Float[Tensor, "B"]:
        """How far the joints of each row are trusted: 1 for labels, less for pseudo-labels, 0 without joints."""
        return torch.cat([self.labelled.confidence, self.seen.is_labelled.float()])

    @property
    def frames(self) -> Int[Tensor, "B 5"]:
        """The frames of all rows."""
        return torch.cat([self.labelled.frames, self.seen.frames])


def side_by_side(labelled: DataLoader[PoseSample], seen: DataLoader[MeshSample]) -> Iterator[LabelledAndSeen]:
    """Read two kinds of batches, one of each at a time."""
    return starmap(LabelledAndSeen, zip(labelled, seen, strict=False))


def mask_problem(mask: UInt8[np.ndarray, "S S"]) -> str | None:
    """Say what is wrong with the mask of a crop; None if it may show a person."""
    person = mask > PERSON_ABOVE
    if not person.any():
        return "is empty"
    border = np.concatenate([person[0], person[-1], person[:, 0], person[:, -1]])
    if person.mean() > MOST_COVERED or border.mean() > MOST_BORDER:
        return f"covers {person.mean():.0%} of the crop and {border.mean():.0%} of its border: it seems inverted"
    return None


def distance_to_mask_px(mask: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Measure how far each pixel is from the nearest pixel of the person; 0 on the person.

    Where nobody is seen, the diagonal of the crop: finite, and farther than any pixel can be from another.
    """
    mesh_to_mask = mask <= PERSON_ABOVE
    if mesh_to_mask.all():  # SciPy would measure to a row above the picture
        return np.full(mask.shape, np.hypot(*mask.shape), np.float32)
    # Not OpenCV's precise transform: it gives one of two answers for the same mask, by where the array lies in
    # memory, and a training could then not be repeated.  SciPy's takes about twice as long, 0.07 ms at 64 pixels.
    return distance_transform_edt(mesh_to_mask).astype(np.float32)


class SeenMask(NamedTuple):
    """The mask in one view of an instant, and the crop that it fills."""

    mask: UInt8[np.ndarray, "S S"]
    camera: Camera
    target_world_m: Float[np.ndarray, "3"]
    """The point on the crop camera's axis."""
    is_usable: bool = True


def mesh_views(seen: list[SeenMask], num_views: int, side_m: float) -> MeshViews:
    """Put the views of one instant together, padded with copies of the first one that do not exist.

    Args:
        num_views: the most that any instant has.
        side_m: of the crops, at the distance of their targets.
    """
    padding = num_views - len(seen)

    def stacked(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values + values[:1] * padding).astype(np.float32))

    return MeshViews(
        mask=stacked([one.mask for one in seen]) * (1 / 255),
        distance_to_mask_m=stacked([distance_to_mask_px(one.mask) * (side_m / len(one.mask)) for one in seen]),
        exists=torch.tensor([one.is_usable for one in seen] + [False] * padding),
        R_crop_from_world=stacked([one.camera.R_cam_from_world for one in seen]),
        centre_world_m=stacked([one.camera.centre_world_m for one in seen]),
        focal_px=stacked([one.camera.focal_px[0] for one in seen]),
        target_world_m=stacked([one.target_world_m for one in seen]),
    )


class MeshData(Dataset[MeshSample]):
    """One item per frame, in the order of the index; a sample depends on (seed, epoch, index) only.

    The masks are those of plain crops, without roll or shift, `mask_px` wide.

    Args:
        labelled: subjects whose joints may be known.
    """

    def __init__(
        self, paths: Paths, frames: FrameChoice, crops: CropSettings, mask_px: int, labelled: tuple[int, ...]
    ) -> None:
        self.paths, self.table, self.crops, self.labelled = paths, load_table(paths), crops, labelled
        self._check_masks_exist()
        self.reader = CropReader(paths, self.table, crops)
        self.mask_reader = CropReader(paths, self.table, CropSettings(replace(crops.crop, size_px=mask_px)))
        rows = select_frames(self.table, frames)
        self.rows = with_known_centre(rows, self.reader.targets_m, crops.crop.centre)
        self._group_views()
        self._check_some_masks()

    def _check_masks_exist(self) -> None:
        if not self.table.has_masks:
            raise ValueError(f"the index was made without masks, which silhouettes are compared with; put them into "
                             f"{self.paths.masks_location} and make the index again")  # fmt: skip

    def _group_views(self) -> None:
        """List the rows of all cameras for every instant."""
        order = self.rows[np.argsort(self.table.row_instant[self.rows], kind="stable")]
        instants, firsts = np.unique(self.table.row_instant[order], return_index=True)
        self.instant_rows = dict(zip(instants.tolist(), np.split(order, firsts[1:]), strict=True))
        self.num_views = max(len(rows) for rows in self.instant_rows.values())

    def _check_some_masks(self) -> None:
        """Check masks now, so that a bad one stops a script before it writes anything: all packed ones, or some."""
        few = self.rows if self.reader.packed else self.rows[:: max(1, len(self.rows) // MASKS_CHECKED)]
        for row in few.tolist():
            packed = self.reader.packed
            self._refuse(row, self.mask_reader.read(row).mask if packed is None else packed.mask(row))

    def _refuse(self, row: int, mask: UInt8[np.ndarray, "S S"]) -> None:
        """Stop at a mask that shows no person, or all but the person."""
        problem = mask_problem(mask)
        if problem is not None:
            path = mask_path(self.paths, self.table.key(row))
            raise ValueError(
                f"{path} {problem}; a mask is white on the person, black elsewhere.  Mend or remove the "
                "frame and make the index again"
            )

    def _seen(self, row: int) -> SeenMask:
        """Cut and check the mask of one frame."""
        crop = self.mask_reader.read(row)
        seen = SeenMask(crop.mask, crop.camera, self.mask_reader.targets_m[row])
        self._refuse(row, seen.mask)
        return seen

    def views(self, row: int) -> MeshViews:
        """Give all views of a frame's instant, padded to the most that any instant has."""
        rows = self.instant_rows[int(self.table.row_instant[row])].tolist()
        return mesh_views([self._seen(other) for other in rows], self.num_views, self.crops.crop.side_m)

    def _labels_world_m(self, row: int) -> Float[np.ndarray, "17 3"] | None:
        """Give the joints of a frame; None where there are none, or the subject's may not be known."""
        joints_world_m = self.table.joints_world_m[self.table.row_instant[row]]
        is_known = self.table.key(row).subject in self.labelled and np.isfinite(joints_world_m).all()
        return joints_world_m if is_known else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, int]) -> MeshSample:
        epoch, index = place
        row = int(self.rows[index])
        crop = self.reader.read(row, *self.crops.roll_and_shift(np.random.default_rng([self.crops.seed, epoch, index])))
        R_crop_from_world = crop.camera.R_cam_from_world
        joints_world_m = self._labels_world_m(row)
        labels_m = np.zeros((17, 3)) if joints_world_m is None else joints_root_m(joints_world_m, R_crop_from_world)
        return MeshSample(
            image=to_unit_rgb(crop.image),
            joints_root_m=torch.from_numpy(labels_m.astype(np.float32)),
            is_labelled=torch.tensor(joints_world_m is not None),
            R_crop_from_world=torch.from_numpy(R_crop_from_world.astype(np.float32)),
            views=self.views(row),
            frames=torch.from_numpy(self.table.frames[row].astype(np.int64)),
        )


def tested_data(paths: Paths, crop: Crop, mask_px: int, subjects: tuple[int, ...], every: int) -> MeshData:
    """Open the frames of test subjects, whose true joints are known.

    Raises:
        ValueError: some frames have no labels.
    """
    data = MeshData(paths, FrameChoice(subjects, every=every), CropSettings(crop), mask_px, labelled=subjects)
    labelled = np.isfinite(data.table.joints_world_m[data.table.row_instant[data.rows]]).all((1, 2))
    if not labelled.all():
        first = data.table.key(int(data.rows[~labelled][0])).stem
        raise ValueError(f"{int((~labelled).sum())} of {len(labelled)} frames have no 3D labels (first: {first}); "
                         "choose other --subjects")  # fmt: skip
    return data


class SequenceFrames(NamedTuple):
    """The frames of one sequence that are to be fitted."""

    subject: int
    action: int
    subaction: int
    frames: Int[np.ndarray, "T"]
    """Their numbers, in order; the first of a sequence is 1."""
    rows: list[Int[np.ndarray, "V"]]
    """Rows of the table that show each of them."""
    num_frames: int
    """Length of the whole sequence, as far as the index goes."""

    @property
    def name(self) -> str:
        """Name without the camera."""
        return f"s_{self.subject:02d}_act_{self.action:02d}_subact_{self.subaction:02d}"


class Observations(NamedTuple):
    """Joints and masks of some frames; views are padded to the most that any frame has."""

    joints_world_m: Float[Tensor, "T 17 3"]
    views: MeshViews
    """Crops centred on the true pelvis; a view without a usable mask does not exist."""


def fit_sequences(paths: Paths, subjects: tuple[int, ...], every: int, sequences: int) -> list[SequenceFrames]:
    """List the sequences of some subjects with the frames that have 3D labels.

    Raises:
        ValueError: there are no masks, or no labels.
    """
    table = load_table(paths)
    if not table.has_masks:
        raise ValueError(f"the index was made without masks, which bodies are fitted to; put them into "
                         f"{paths.masks_location} and make the index again")  # fmt: skip
    rows = spread_sequences(table, select_rows(table, subjects, "all", ()), sequences)
    last = {tuple(key): int(table.frames[(table.frames[:, :3] == key).all(1), 4].max())
            for key in np.unique(table.frames[rows, :3], axis=0)}  # fmt: skip
    rows = every_nth(table, rows, every)
    rows = rows[np.isfinite(table.joints_world_m[table.row_instant[rows]]).all((1, 2))]
    if len(rows) == 0:
        raise ValueError(f"no frame of subjects {list(subjects)} has 3D labels, which bodies are fitted to")
    found = []
    for key in np.unique(table.frames[rows, :3], axis=0):
        own = rows[(table.frames[rows, :3] == key).all(1)]
        numbers = np.unique(table.frames[own, 4])
        by_frame = [own[table.frames[own, 4] == number] for number in numbers]
        subject, action, subaction = key.tolist()
        found.append(SequenceFrames(subject, action, subaction, numbers, by_frame, last[tuple(key)]))
    return found


def batches_of(sequence: SequenceFrames, size: int) -> list[Int[np.ndarray, "t"]]:
    """Share the places of a sequence's frames out, each batch spread over all of it."""
    count = -(-len(sequence.frames) // size)
    return [np.arange(first, len(sequence.frames), count) for first in range(count)]


class ObservationReader:
    """Reads the joints and masks of frames."""

    def __init__(self, paths: Paths, mask_px: int, side_m: float) -> None:
        self.paths, self.mask_px, self.side_m = paths, mask_px, side_m
        self.table: FrameTable = load_table(paths)

    def read(self, rows_of_frames: list[Int[np.ndarray, "V"]]) -> Observations:
        """Cut the masks of some frames.

        Raises:
            FileNotFoundError, ValueError: a mask is missing or damaged, or none of them shows a person.
        """
        num_views = max(len(rows) for rows in rows_of_frames)
        frames = [mesh_views([self._seen(row) for row in rows], num_views, self.side_m) for rows in rows_of_frames]
        views = MeshViews(*(torch.stack(column) for column in zip(*frames, strict=True)))
        if not views.exists.any():
            row = rows_of_frames[0][0]
            problem = mask_problem(self._seen(row).mask)
            path = mask_path(self.paths, self.table.key(row))
            raise ValueError(
                f"{path} {problem}, and no mask read with it is any better; a mask is "
                "white on the person and black elsewhere"
            )
        joints_world_m = np.stack(
            [self.table.joints_world_m[self.table.row_instant[rows[0]]] for rows in rows_of_frames]
        )
        return Observations(torch.from_numpy(joints_world_m.astype(np.float32)), views)

    def _seen(self, row: int) -> SeenMask:
        """Cut the mask of a frame, about the true pelvis; one that shows no person is not used."""
        pelvis_world_m = self.table.joints_world_m[self.table.row_instant[row], H36M_17.index("pelvis")]
        source = self.table.camera(row)
        camera = crop_camera(source, pelvis_world_m, self.mask_px, self.side_m)
        mask = FramePictures(self.paths, self.table.key(row), source).mask(camera)
        return SeenMask(mask, camera, pelvis_world_m, mask_problem(mask) is None)
