"""Stage 1's samples: four views of one person, two cameras at each of two instants.

No joint is read but, where crops are centred on the pelvis (crop.centre), the true pelvis of every subject.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import Pairing, Paths
from dataset_def.h36m_crops import CropReader, CropSettings, random_shift
from dataset_def.h36m_index import FrameChoice, load_table, select_frames, subjects_of, with_known_centre
from utils.image import to_unit_rgb
from utils.tiers import NOTHING, Reads
from utils.views import FlatViews, flat_views

VIEWS_PER_INSTANT = 2


class ViewGroup(NamedTuple):
    """Four crops: rows 0 and 1 are two cameras at one instant, rows 2 and 3 two cameras at another."""

    image: Float[Tensor, "*batch V 3 H W"]
    """RGB in [0, 1]."""
    background: Float[Tensor, "*batch V 3 H W"]
    """What the camera sees without the person."""
    mask: Float[Tensor, "*batch V 1 H W"]
    """1 where the person is; 1 everywhere if the data set has no masks."""
    R_crop_from_world: Float[Tensor, "*batch V 3 3"]
    target_view: Int[Tensor, "*batch V"]
    """For each row, the row whose image is predicted from its pose: itself or the other camera at the same instant."""
    appearance_view: Int[Tensor, "*batch V"]
    """For each row, the row whose appearance is used."""
    frames: Int[Tensor, "*batch V 5"]
    """Subject, action, sub-action, camera, frame."""

    def paired(self) -> FlatViews:
        """Flatten a batch of groups, every image beside its target."""
        return flat_views(
            self.image, self.background, self.mask, self.R_crop_from_world, self.target_view, self.appearance_view
        )


def choose_targets(same_view: float, rng: np.random.Generator) -> Int[np.ndarray, "4"]:
    """Keep or swap the two views of each instant."""
    swapped = rng.random(2) >= same_view
    return np.array([0, 1, 2, 3]) ^ np.repeat(swapped, VIEWS_PER_INSTANT).astype(int)


def choose_appearances(appearance_from: str, rng: np.random.Generator) -> Int[np.ndarray, "4"]:
    """Take the appearance from a row of the other instant, each row once; or from the row itself."""
    if appearance_from == "same_image":
        return np.arange(4)
    return np.concatenate([2 + rng.permutation(2), rng.permutation(2)])


class EncoderData(Dataset[ViewGroup]):
    """One item per instant; a sample depends on (seed, epoch, index) only."""

    def __init__(self, paths: Paths, frames: FrameChoice, crops: CropSettings, pairing: Pairing) -> None:
        self.table = load_table(paths)
        self.reader = CropReader(paths, self.table, crops)
        self.pairing, self.crops = pairing, crops
        rows = with_known_centre(select_frames(self.table, frames), self.reader.targets_m, crops.crop.centre)
        self.reader.read_backgrounds(rows)
        self._group_by_instant(rows)
        self._find_partners()

    def _group_by_instant(self, rows: np.ndarray) -> None:
        """List the instants that at least two cameras see, and the rows of each."""
        _, counts = np.unique(self.table.row_instant[rows], return_counts=True)
        by_instant = np.split(rows[np.argsort(self.table.row_instant[rows], kind="stable")], np.cumsum(counts)[:-1])
        seen_twice = np.flatnonzero(counts >= VIEWS_PER_INSTANT)
        if len(seen_twice) == 0:
            raise ValueError("no instant is seen by two cameras; stage 1 needs at least two")
        self.rows = [by_instant[number] for number in seen_twice]
        firsts = np.array([rows_here[0] for rows_here in self.rows])
        _, self.sequence = np.unique(self.table.frames[firsts][:, :3], axis=0, return_inverse=True)
        self.action = self.table.frames[firsts][:, 1]
        _, self.subject = np.unique(self.table.frames[firsts][:, 0], return_inverse=True)

    def _find_partners(self) -> None:
        """Check that every instant has another one to take the appearance from."""
        self.in_sequence = [np.flatnonzero(self.sequence == number) for number in range(self.sequence.max() + 1)]
        self.in_subject = [np.flatnonzero(self.subject == number) for number in range(self.subject.max() + 1)]
        if self.pairing.appearance_from == "other_action":
            unpaired = [here for here in self.in_subject if len(np.unique(self.action[here])) < 2]
        else:
            unpaired = [here for here in self.in_sequence if len(here) < 2]
        if unpaired:
            first = self.table.key(self.rows[unpaired[0][0]][0])
            raise ValueError(f"pairing.appearance_from {self.pairing.appearance_from!r} finds no other instant for "
                             f"{first.stem}; use another choice, or data with more frames or actions")  # fmt: skip

    @property
    def has_masks(self) -> bool:
        """Whether the masks are the data's own, not all ones."""
        return self.table.has_masks

    def reads(self, uses_masks: bool) -> Reads:
        """Say whose data the samples are made from.

        Args:
            uses_masks: whether their masks count for anything.
        """
        rows = np.concatenate(self.rows)
        masks = Reads(masks=subjects_of(self.table, rows)) if uses_masks and self.has_masks else NOTHING
        return self.reader.reads(rows) | masks

    def __len__(self) -> int:
        return len(self.rows)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the first frame of an item's instant."""
        return self.table.key(self.rows[place[1]][0]).stem

    def _other_instant(self, index: int, rng: np.random.Generator) -> int:
        """Choose the instant that is shown beside this one."""
        if self.pairing.appearance_from == "other_action":
            everything = self.in_subject[self.subject[index]]
            candidates = everything[self.action[everything] != self.action[index]]
        else:
            everything = self.in_sequence[self.sequence[index]]
            candidates = everything[everything != index]
        return int(rng.choice(candidates))

    def __getitem__(self, place: tuple[int, int]) -> ViewGroup:
        epoch, index = place
        rng = np.random.default_rng([self.crops.seed, epoch, index])
        instants = (index, self._other_instant(index, rng))
        pairs = [rng.choice(self.rows[instant], VIEWS_PER_INSTANT, replace=False) for instant in instants]
        rows = np.concatenate(pairs).tolist()
        rolls_rad = rng.uniform(-self.crops.roll_rad, self.crops.roll_rad, len(rows)).tolist()
        shifts = np.repeat([0, 1], VIEWS_PER_INSTANT)
        moved_m = [random_shift(rng, self.crops.shift_m) for _ in instants]
        crops = [self.reader.read(row, roll_rad, moved_m[which])
                 for row, roll_rad, which in zip(rows, rolls_rad, shifts, strict=True)]  # fmt: skip
        masks = np.stack([crop.mask for crop in crops])[:, None].astype(np.float32) * np.float32(1 / 255)
        rotations = np.stack([crop.camera.R_cam_from_world for crop in crops]).astype(np.float32)
        return ViewGroup(
            image=torch.stack([to_unit_rgb(crop.image) for crop in crops]),
            background=torch.stack([to_unit_rgb(crop.background) for crop in crops]),
            mask=torch.from_numpy(masks),
            R_crop_from_world=torch.from_numpy(rotations),
            target_view=torch.from_numpy(choose_targets(self.pairing.same_view, rng)),
            appearance_view=torch.from_numpy(choose_appearances(self.pairing.appearance_from, rng)),
            frames=torch.from_numpy(self.table.frames[rows].astype(np.int64)),
        )
