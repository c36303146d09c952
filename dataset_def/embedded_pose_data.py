"""Stage 2's samples from stored latents: the encoder has run already (sample/save_embeddings.py)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import Paths
from dataset_def.h36m_index import FrameTable, Part, index_path, load_table, select_rows, spread_sequences
from utils.artifacts import Embeddings, load_embeddings
from utils.skeleton import H36M_17


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
