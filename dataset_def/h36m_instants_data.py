"""Stage 1's samples where masks teach: several views of an instant as wide crops, and what is known of the heading.

No joint is read but those of few labelled sequences, where these tell the heading, and, where crops are centred on the
pelvis (crop.centre), the true pelvis of every subject.
"""

from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import Crop, Paths, PointsTeaching
from dataset_def.augmentation import WideCrops
from dataset_def.h36m_crops import CropReader, CropSettings
from dataset_def.h36m_index import (
    FrameChoice,
    load_table,
    rows_by_instant,
    select_frames,
    subjects_of,
    with_known_centre,
)
from dataset_def.h36m_pose_data import wide_crop
from utils.tiers import NOTHING, Reads


class InstantViews(NamedTuple):
    """V calibrated views of one instant."""

    wide: WideCrops
    """With V as the first axis; without joints."""
    R_wide_from_world: Float[Tensor, "*batch V 3 3"]
    forward_world: Float[Tensor, "*batch 2"]
    """Horizontal, where the person faces, if that is known."""
    is_known: Float[Tensor, "*batch"]
    instant: Int[Tensor, "*batch"]
    """Its place among the items."""


def evenly(rows: Int[np.ndarray, "n"], count: int) -> Int[np.ndarray, "m"]:
    """Choose at most so many of some rows, spread evenly over them from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


class InstantData(Dataset[InstantViews]):
    """One item per instant, some replaced by one of known heading; a sample depends on (seed, epoch, index) only."""

    def __init__(self, paths: Paths, frames: FrameChoice, crop: Crop, teaching: PointsTeaching, seed: int) -> None:
        self.table, self.seed, self.views, self.held_out = load_table(paths), seed, teaching.views, frames.held_out
        self.walkers, self.known = teaching.known_share, np.zeros(0, int)
        if not self.table.has_masks:
            raise ValueError(f"{paths.masks_location} has no masks, which teach the points; make them and the index "
                             "anew, or set --teaching.by views")  # fmt: skip
        self.wide = wide_crop(paths, crop)
        self.reader = CropReader(paths, self.table, CropSettings(self.wide))
        rows = with_known_centre(select_frames(self.table, frames), self.reader.targets_m, crop.centre)
        grouped = rows_by_instant(self.table, rows)
        seen = {instant: own for instant, own in grouped.items() if len(own) >= self.views}
        if not seen:
            most = max(len(own) for own in grouped.values())
            raise ValueError(f"no instant is seen by {self.views} cameras, at most by {most}; lower --teaching.views")
        self.instants = np.array(list(seen))
        self.rows = [seen[instant] for instant in self.instants.tolist()]
        self.room_rows = rows if teaching.rooms and frames.part == "train" else rows[:0]
        self.reader.read_backgrounds(self.room_rows)
        self.forward_world, self.is_known = torch.zeros(len(self.rows), 2), torch.zeros(len(self.rows))
        self.reads_of_headings = NOTHING

    def reads(self) -> Reads:
        """Say whose data the samples are made from."""
        rows = np.concatenate(self.rows)
        masks = Reads(masks=subjects_of(self.table, rows))
        return self.reader.reads(rows) | masks | self.reader.traced(self.reads_of_headings)

    def movements(self) -> tuple[Int[np.ndarray, "N"], Float[Tensor, "N 3"], Float[Tensor, "N-1"]]:
        """Give the masks' centres of all instants in the order of time, and whether neighbours are of one sequence.

        Returns:
            The place of each among the instants, the centres, and 1 where the next one is of the same sequence.
        """
        frames = self.frames()
        order = np.lexsort((frames[:, 4], frames[:, 2], frames[:, 1], frames[:, 0]))
        follows = (frames[order][1:, :3] == frames[order][:-1, :3]).all(1)
        centres_m = self.table.masks_world_m[self.instants[order]]
        return order, torch.from_numpy(centres_m.astype(np.float32)), torch.from_numpy(follows.astype(np.float32))

    def labelled_joints_m(self, subjects: tuple[int, ...], sequences: int) -> Float[Tensor, "N J 3"]:
        """Give the joints of the instants of few sequences, NaN for all others; no other joint is read."""
        chosen = select_frames(self.table, FrameChoice(subjects, "train", self.held_out, sequences))
        is_labelled = np.isin(self.instants, self.table.row_instant[chosen])
        self.reads_of_headings = Reads(joints=frozenset(subjects))
        joints_m = np.full((len(self.rows), len(self.table.skeleton.names), 3), np.nan, np.float32)
        joints_m[is_labelled] = self.table.joints_world_m[self.instants[is_labelled]]
        return torch.from_numpy(joints_m)

    def tell_headings(self, forward_world: Float[Tensor, "N 2"], is_known: Float[Tensor, "N"]) -> None:
        """Take the headings of the instants; those with one are shown in the place of others, most often at first."""
        self.forward_world, self.is_known = forward_world, is_known
        self.known = np.flatnonzero(is_known.numpy())

    def frames(self) -> Int[np.ndarray, "N 5"]:
        """Name the instants: subject, action, sub-action, camera and frame of one view of each."""
        return self.table.frames[[rows[0] for rows in self.rows]]

    def each_once(self) -> "InstantData":
        """Give the same instants, of which none takes another's place."""
        same = copy(self)
        same.known = np.zeros(0, int)
        return same

    def spread(self, count: int) -> list[int]:
        """Choose at most so many items spread over all, each instant once, up to a third of them of known heading."""
        known, others = (np.flatnonzero(self.is_known.numpy() == value) for value in (1, 0))
        some_known = evenly(known, max(1, count // 3))
        some_others = evenly(others, count - len(some_known))
        return np.sort(np.concatenate([some_known, some_others])).tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the first frame of the instant that an item shows."""
        return self.table.key(self.rows[self._shown(*place)[0]][0]).stem

    def shown(self, place: tuple[int, int]) -> int:
        """Say which instant an item shows."""
        return self._shown(*place)[0]

    def _shown(self, epoch: int, index: int) -> tuple[int, np.random.Generator]:
        """Choose the instant that an item shows, and give the generator of what else is drawn for it."""
        rng = np.random.default_rng([self.seed, epoch, index])
        if len(self.known) and rng.random() < self.walkers[min(epoch, len(self.walkers) - 1)]:
            return int(rng.choice(self.known)), rng
        return index, rng

    def __getitem__(self, place: tuple[int, int]) -> InstantViews:
        index, rng = self._shown(*place)
        rows = np.sort(rng.permutation(self.rows[index])[: self.views])
        parts = [self._wide_view(int(row), rng) for row in rows]
        return InstantViews(
            wide=WideCrops(*(torch.stack(values) for values in zip(*(part for part, _ in parts), strict=True))),
            R_wide_from_world=torch.stack([R for _, R in parts]),
            forward_world=self.forward_world[index],
            is_known=self.is_known[index],
            instant=torch.tensor(index),
        )

    def _wide_view(self, row: int, rng: np.random.Generator) -> tuple[WideCrops, Float[Tensor, "3 3"]]:
        """Cut one view and somebody's empty room."""
        crop = self.reader.read(row)
        image = crop.image
        room = np.zeros_like(image)
        if len(self.room_rows):
            room = self.reader.read(int(rng.choice(self.room_rows))).background
        R = torch.from_numpy(crop.camera.R_cam_from_world.astype(np.float32))
        distance_m = np.linalg.norm(self.reader.targets_m[row] - crop.camera.centre_world_m)
        wide = WideCrops(
            image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            mask=torch.from_numpy(np.ascontiguousarray(crop.mask)),
            room=torch.from_numpy(np.ascontiguousarray(room.transpose(2, 0, 1))),
            joints_m=torch.zeros(0, 3),
            distance_m=torch.tensor(distance_m, dtype=torch.float32),
            side_m=torch.tensor(self.wide.side_m),
            confidence=torch.tensor(1.0),
        )
        return wide, R
