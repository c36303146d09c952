"""Stage 4's samples: one crop, and the masks of the same instant in all cameras; joints of labelled subjects only."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from config import Crop, Paths
from dataset_def.h36m_crops import CropReader, CropSettings
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_index import (
    FrameChoice,
    load_table,
    rows_by_instant,
    select_frames,
    subjects_of,
    with_known_centre,
)
from dataset_def.h36m_pose_data import joints_root_m
from utils.camera import Camera
from utils.image import PERSON_ABOVE, to_unit_rgb
from utils.optional import is_installed, later
from utils.tiers import NOTHING, Reads
from utils.views import MeshViews

ndimage = later("scipy.ndimage")

MOST_COVERED = 0.8
"""A person covers less of a crop than this; an inverted mask covers more."""
MOST_BORDER = 0.6
"""Share of a crop's border that a person may cover."""
MASKS_CHECKED = 400
"""Masks that are checked before a training starts, where they must be read from files one by one."""


class MeshSample(NamedTuple):
    """One crop, its pose where that may be known, and all masks of its instant."""

    image: Float[Tensor, "*batch 3 H W"]
    """RGB in [0, 1]; in mode embeddings the stored points (P, 3) instead."""
    joints_root_m: Float[Tensor, "*batch J 3"]
    """True pose, pelvis at the origin, axes of the crop camera; zero where it is not labelled."""
    is_labelled: Bool[Tensor, "*batch"]
    R_crop_from_world: Float[Tensor, "*batch 3 3"]
    views: MeshViews
    frames: Int[Tensor, "*batch 5"]
    """Subject, action, sub-action, camera, frame."""


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
    if is_installed("scipy"):
        return ndimage.distance_transform_edt(mesh_to_mask).astype(np.float32)
    return distance_without_scipy_px(mesh_to_mask)


def distance_without_scipy_px(mesh_to_mask: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Measure how far each true pixel is from the nearest false one; the same numbers, in some 2 ms at 64 pixels.

    Source: squared distances along columns first, then their least sum along rows; Felzenszwalb and Huttenlocher,
    Distance Transforms of Sampled Functions, 2012, by trying all places instead of their envelope.
    """
    height, width = mesh_to_mask.shape
    far = float(height**2 + width**2)
    down, across = (np.square(np.subtract.outer(np.arange(n), np.arange(n))).astype(float) for n in (height, width))
    within = (down[:, :, None] + np.where(mesh_to_mask, far, 0.0)).min(axis=1)
    return np.sqrt((within[:, None] + across).min(axis=2)).astype(np.float32)


class SeenMask(NamedTuple):
    """The mask in one view of an instant, and the crop that it fills."""

    mask: UInt8[np.ndarray, "S S"]
    camera: Camera
    target_world_m: Float[np.ndarray, "3"]
    """The point on the crop camera's axis."""
    is_usable: bool = True


def mesh_views(seen: list[SeenMask], num_views: int, side_m: float | None) -> MeshViews:
    """Put the views of one instant together, padded with copies of the first one that do not exist.

    Args:
        num_views: the most that any instant has.
        side_m: of the crops, at the distance of their targets; None leaves the distances to the masks zero.
    """
    padding = num_views - len(seen)

    def stacked(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values + values[:1] * padding).astype(np.float32))

    mask = stacked([one.mask for one in seen]) * (1 / 255)
    return MeshViews(
        mask=mask,
        distance_to_mask_m=mask.new_zeros(()).expand_as(mask)
        if side_m is None
        else stacked([distance_to_mask_px(one.mask) * (side_m / len(one.mask)) for one in seen]),
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
        for_masks = CropSettings(replace(crops.crop, size_px=mask_px), or_frames=crops.or_frames)
        self.mask_reader = CropReader(paths, self.table, for_masks)
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
        self.instant_rows = rows_by_instant(self.table, self.rows)
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

    def labels_world_m(self, row: int) -> Float[np.ndarray, "J 3"] | None:
        """Give the joints of a frame; None where there are none, or the subject's may not be known."""
        joints_world_m = self.table.joints_world_m[self.table.row_instant[row]]
        is_known = self.table.key(row).subject in self.labelled and np.isfinite(joints_world_m).all()
        return joints_world_m if is_known else None

    def reads(self, uses_masks: bool) -> Reads:
        """Say whose data the samples are made from.

        Args:
            uses_masks: whether their masks count for anything.
        """
        who = subjects_of(self.table, self.rows)
        masks = Reads(masks=who) if uses_masks else NOTHING
        labels = self.reader.traced(Reads(joints=who & frozenset(self.labelled)))
        return self.reader.reads(self.rows) | labels | masks

    def __len__(self) -> int:
        return len(self.rows)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the frame of an item."""
        return self.table.key(self.rows[place[1]]).stem

    def __getitem__(self, place: tuple[int, int]) -> MeshSample:
        epoch, index = place
        row = int(self.rows[index])
        crop = self.reader.read(row, *self.crops.roll_and_shift(np.random.default_rng([self.crops.seed, epoch, index])))
        return self.sample(row, to_unit_rgb(crop.image), crop.camera.R_cam_from_world)

    def sample(self, row: int, image: Tensor, R_crop_from_world: Float[np.ndarray, "3 3"]) -> MeshSample:
        """Put together what is known of a frame.

        Args:
            image: the crop, or what an encoder has read of it.
            R_crop_from_world: of the camera that it was read through.
        """
        joints_world_m = self.labels_world_m(row)
        labels_m = np.zeros((len(self.table.skeleton.names), 3))
        if joints_world_m is not None:
            labels_m = joints_root_m(joints_world_m, R_crop_from_world)
        return MeshSample(
            image=image,
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
    crops = CropSettings(crop, or_frames=True)
    data = MeshData(paths, FrameChoice(subjects, every=every), crops, mask_px, labelled=subjects)
    labelled = np.isfinite(data.table.joints_world_m[data.table.row_instant[data.rows]]).all((1, 2))
    if not labelled.all():
        first = data.table.key(int(data.rows[~labelled][0])).stem
        raise ValueError(f"{int((~labelled).sum())} of {len(labelled)} frames have no 3D labels (first: {first}); "
                         "choose other --subjects")  # fmt: skip
    return data
