"""Stage 3's samples: pose and shape parameters of SURREAL, AMASS, CMU or the embedded motion generator."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import PoseSources
from dataset_def.poses.sources import PoseTable, find_sources, read_source
from utils.body_file import NUM_BETAS, read_body_file

SMPL_VERTICES, SMPL_FACES = 6890, 13776
PosePart = Literal["train", "held_out"]


class ParameterSample(NamedTuple):
    """One body's numbers."""

    theta: Float[Tensor, "*batch 72"]
    """Axis-angle, the root first, in the source's own frame."""
    betas: Float[Tensor, "*batch 10"]


def is_smpl(body_location: Path) -> bool:
    """Tell whether a body file has SMPL's mesh; only there do the shapes of SURREAL and AMASS mean anything."""
    file = read_body_file(body_location)
    return len(file.v_template) == SMPL_VERTICES and len(file.faces) == SMPL_FACES


def held_out_recordings(table: PoseTable, share: float, seed: int) -> Bool[np.ndarray, "Q"]:
    """Choose whole sequences; at least one is held out and at least one trained on.

    Raises:
        ValueError: the source has one sequence only.
    """
    names = np.unique(table.names)
    if len(names) < 2:
        raise ValueError(f"the source {table.source} has {len(names)} sequence; it needs 2, one to train and one to "
                         "hold out")  # fmt: skip
    order = np.random.default_rng([seed, 404]).permutation(len(names))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return np.isin(table.names, names[order[:count]])


class ParameterData(Dataset[ParameterSample]):
    """One item per kept frame; a shape that is not known is sampled from the standard normal distribution."""

    def __init__(self, tables: list[PoseTable], part: PosePart, config: PoseSources, with_shapes: bool):
        self.seed = config.seed
        theta, betas, sequence, count = [], [], [], 0
        for table in tables:
            chosen = held_out_recordings(table, config.held_out, config.seed)[table.recording]
            rows = np.flatnonzero(chosen == (part == "held_out"))
            theta.append(table.theta[rows])
            shapes = table.betas[table.recording[rows]]
            betas.append(shapes if with_shapes else np.full_like(shapes, np.nan))
            numbers = np.unique(table.names, return_inverse=True)[1].reshape(-1)
            sequence.append(count + numbers[table.recording[rows]])
            count += int(numbers.max()) + 1
        self.theta, self.betas = np.concatenate(theta), np.concatenate(betas)
        self.sequence: Int[np.ndarray, "N"] = np.concatenate(sequence)
        """Which sequence an item belongs to; of all sources together."""

    def __len__(self) -> int:
        return len(self.theta)

    def __getitem__(self, place: tuple[int, int]) -> ParameterSample:
        epoch, index = place
        betas = self.betas[index]
        if np.isnan(betas[0]):
            betas = np.random.default_rng([self.seed, epoch, index]).standard_normal(NUM_BETAS, np.float32)
        return ParameterSample(torch.from_numpy(self.theta[index].astype(np.float32)), torch.from_numpy(betas))


def open_tables(config: PoseSources, body_location: Path) -> list[PoseTable]:
    """Read every source, from its cache where there is one."""
    sources = find_sources(config, body_location)
    return [read_source(source, config.cache_location, config.processes) for source in sources]


def describe_poses(tables: list[PoseTable], with_shapes: bool) -> str:
    """Say what was read."""
    parts = [f"{len(set(table.names))} sequences, {len(table.theta)} frames of {table.source}"
             + (f" ({table.num_skipped} files known to be bad or without motion skipped)" if table.num_skipped else "")
             for table in tables]  # fmt: skip
    return "poses: " + "; ".join(parts) + ("" if with_shapes else "; shapes are sampled, standard normal")
