"""Stage 2's samples: one crop and its 17 joints.

Stage 2's samples from stored latents: the encoder has run already (sample/save_embeddings.py).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import Crop, Paths
from dataset_def.h36m_crops import CropReader, random_shift
from dataset_def.h36m_index import (
    FrameTable,
    Part,
    every_nth,
    index_path,
    load_table,
    select_rows,
    spread_sequences,
    with_known_centre,
)
from utils.artifacts import Embeddings, load_embeddings
from utils.camera import Camera
from utils.image import to_unit_rgb
from utils.skeleton import H36M_17


class PoseSample(NamedTuple):
    """One crop and its pose."""

    image: Float[Tensor, "*batch 3 H W"]
    """RGB in [0, 1]."""
    joints_root_m: Float[Tensor, "*batch 17 3"]
    """True pose, pelvis at the origin, axes of the crop camera."""
    R_crop_from_world: Float[Tensor, "*batch 3 3"]
    frames: Int[Tensor, "*batch 5"]
    """Subject, action, sub-action, camera, frame."""


class PoseData(Dataset[PoseSample]):
    """One item per frame, in the order of the index; a sample depends on (seed, epoch, index) only."""

    def __init__(
        self,
        paths: Paths,
        crop: Crop,
        subjects: tuple[int, ...],
        part: Part,
        held_out: tuple[tuple[int, int], ...],
        sequences: int = 0,
        roll_rad: float = 0.0,
        seed: int = 0,
        every: int = 1,
        shift_m: float = 0.0,
    ):
        self.table = load_table(paths)
        self.reader = CropReader(paths, self.table, crop, roll_rad, shift_m)
        self.roll_rad, self.shift_m, self.seed = roll_rad, shift_m, seed
        rows = spread_sequences(self.table, select_rows(self.table, subjects, part, held_out), sequences)
        rows = every_nth(self.table, rows, every)
        self._check_labels(rows)
        self.rows = with_known_centre(rows, self.reader.targets_m, crop.centre)

    def _check_labels(self, rows: np.ndarray) -> None:
        """Stop if a frame has no 3D label."""
        has_label = np.isfinite(self.table.joints_world_m[self.table.row_instant[rows]]).all((1, 2))
        if not has_label.all():
            first = self.table.key(rows[~has_label][0])
            raise ValueError(
                f"{int((~has_label).sum())} of {len(rows)} frames have no 3D labels (first: {first.stem}); this stage "
                "needs them: choose labelled subjects"
            )

    def _joints_root_m(self, row: int, to: Camera) -> Float[Tensor, "17 3"]:
        """Turn the joints of a frame into the axes of a crop camera, about the pelvis."""
        joints_world_m = self.table.joints_world_m[self.table.row_instant[row]]
        joints_root_m = (joints_world_m - joints_world_m[H36M_17.index("pelvis")]) @ to.R_cam_from_world.T
        return torch.from_numpy(joints_root_m.astype(np.float32))

    def turns_from_world(self) -> Float[Tensor, "N 3 3"]:
        """Give R_crop_from_world of all items, in their order and without in-plane rotation."""
        return torch.from_numpy(
            np.stack([self.reader.camera(row).R_cam_from_world for row in self.rows.tolist()]).astype(np.float32)
        )

    def labels_root_m(self) -> Float[Tensor, "N 17 3"]:
        """Give all true poses, in the order of the items and without in-plane rotation."""
        return torch.stack([self._joints_root_m(row, self.reader.camera(row)) for row in self.rows.tolist()])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, int]) -> PoseSample:
        epoch, index = place
        rng = np.random.default_rng([self.seed, epoch, index])
        row = int(self.rows[index])
        to = self.reader.camera(row, rng.uniform(-self.roll_rad, self.roll_rad), random_shift(rng, self.shift_m))
        return PoseSample(
            image=to_unit_rgb(self.reader.image(row, to)),
            joints_root_m=self._joints_root_m(row, to),
            R_crop_from_world=torch.from_numpy(to.R_cam_from_world.astype(np.float32)),
            frames=torch.from_numpy(self.table.frames[row].astype(np.int64)),
        )


def labels_world_m(
    table: FrameTable, subjects: tuple[int, ...], held_out: tuple[tuple[int, int], ...], sequences: int
) -> Float[Tensor, "L 17 3"]:
    """Give the poses that stage 2 learns from, one per instant."""
    rows = spread_sequences(table, select_rows(table, subjects, "train", held_out), sequences)
    return torch.from_numpy(table.joints_world_m[np.unique(table.row_instant[rows])].astype(np.float32))


class EmbeddedSample(NamedTuple):
    """The latent of one image and its pose."""

    points_crop: Float[Tensor, "*batch P 3"]
    joints_root_m: Float[Tensor, "*batch 17 3"]
    """True pose, pelvis at the origin, axes of the crop camera that the latent was read through."""


def rows_in_table(table: FrameTable, embeddings: Embeddings) -> Int[np.ndarray, "N"]:
    """Find the table's row of every latent; both hold frames of the same index."""
    both = np.concatenate([table.frames, embeddings.frames])
    number = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return number[len(table.frames) :]


def first_copies(rows: Int[np.ndarray, "N"]) -> Int[np.ndarray, "n"]:
    """Find the first latent of every frame, which is that of the plain image."""
    return np.sort(np.unique(rows, return_index=True)[1])


class EmbeddedPoseData(Dataset[EmbeddedSample]):
    """One item per latent of the labelled subjects; held-out items are plain images only."""

    def __init__(
        self,
        paths: Paths,
        embeddings_path: Path,
        encoder_path: Path,
        subjects: tuple[int, ...],
        part: Part,
        held_out: tuple[tuple[int, int], ...],
        sequences: int = 0,
    ):
        table = load_table(paths)
        embeddings = load_embeddings(embeddings_path, encoder_path, index_path(paths))
        chosen = spread_sequences(table, select_rows(table, subjects, part, held_out), sequences)
        rows = rows_in_table(table, embeddings)
        candidates = first_copies(rows) if part == "held_out" else np.arange(len(rows))
        items = candidates[np.isin(rows[candidates], chosen)]
        if len(items) == 0:
            raise ValueError(f"{embeddings_path} holds no latent of subjects {list(subjects)}; store them with: "
                             "python sample/save_embeddings.py --subjects ...")  # fmt: skip
        joints_world_m = table.joints_world_m[table.row_instant[rows[items]]]
        joints_world_m = joints_world_m - joints_world_m[:, [H36M_17.index("pelvis")]]
        joints_root_m = np.einsum("nij,nkj->nki", embeddings.R_crop_from_world[items], joints_world_m)
        if not np.isfinite(joints_root_m).all():
            raise ValueError(f"some frames of subjects {list(subjects)} have no 3D labels; choose labelled subjects")
        self.points_crop = torch.from_numpy(embeddings.points[items])
        self.joints_root_m = torch.from_numpy(joints_root_m.astype(np.float32))

    def labels_root_m(self) -> Float[Tensor, "N 17 3"]:
        """Give all true poses, in the order of the items."""
        return self.joints_root_m

    def __len__(self) -> int:
        return len(self.joints_root_m)

    def __getitem__(self, place: tuple[int, int]) -> EmbeddedSample:
        return EmbeddedSample(self.points_crop[place[1]], self.joints_root_m[place[1]])
