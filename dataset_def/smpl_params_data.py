"""Stage 3's samples: pose and shape parameters of SURREAL, AMASS, CMU or the embedded motion generator."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import PoseSources
from dataset_def.poses.any_skeleton import free_motion
from dataset_def.poses.sources import PoseTable, find_sources, read_source
from utils.artifacts import PseudoLabels
from utils.body_file import NUM_BETAS, BodyFile, check_smpl_joints, has_smpl_joints, read_body_file
from utils.optional import later
from utils.tiers import Reads

transform = later("scipy.spatial.transform")

SMPL_VERTICES, SMPL_FACES = 6890, 13776
PosePart = Literal["train", "held_out"]


class ParameterSample(NamedTuple):
    """One body's numbers."""

    theta: Float[Tensor, "*batch axis_angles"]
    """Axis-angle, the root first, in the source's own frame."""
    betas: Float[Tensor, "*batch n"]


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
            betas = np.random.default_rng([self.seed, epoch, index]).standard_normal(self.betas.shape[1], np.float32)
        return ParameterSample(torch.from_numpy(self.theta[index].astype(np.float32)), torch.from_numpy(betas))


def moves_by_itself(config: PoseSources, file: BodyFile) -> bool:
    """Tell whether poses come from the ranges of a body's joints: it has others than SMPL's, and no recording."""
    recorded = config.surreal or config.amass or config.cmu
    return recorded is None and not has_smpl_joints(tuple(file.parents.tolist()), file.names)


FREE_FRAMES_PER_SECOND = 2.5
"""Of motions of any body: neighbours differ, and poses are not drawn twice."""


def free_rotations(config: PoseSources, file: BodyFile, number: int) -> Float[np.ndarray, "T J 3 3"]:
    """Draw one motion of a body of any skeleton."""
    rng = np.random.default_rng([config.seed, number, 505])
    return free_motion(file, rng, config.frames, FREE_FRAMES_PER_SECOND).rotations


def free_table(config: PoseSources, file: BodyFile) -> PoseTable:
    """Draw poses of a body of any skeleton as a source of its own; no shape is told."""
    drawn = [free_rotations(config, file, number) for number in range(config.sequences)]
    theta = (
        transform.Rotation.from_matrix(np.concatenate(drawn).reshape(-1, 3, 3))
        .as_rotvec()
        .reshape(-1, 3 * len(file.parents))
    )
    unknown = np.full((len(drawn), min(NUM_BETAS, file.shapedirs.shape[2])), np.nan, np.float32)
    recording = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn]).astype(np.int32)
    names = [f"motion {number}" for number in range(len(drawn))]
    return PoseTable("generator", names, theta.astype(np.float16), recording, unknown, 0)


def open_tables(config: PoseSources, body_location: Path) -> list[PoseTable]:
    """Read every source, from its cache where there is one; bodies with other joints than SMPL's move by themselves.

    Raises:
        ValueError: recordings of people are asked for, and the body has another skeleton.
    """
    file = read_body_file(body_location)
    if moves_by_itself(config, file):
        return [free_table(config, file)]
    check_smpl_joints(body_location, file, "poses of people (of the generator, SURREAL, AMASS or CMU)")
    sources = find_sources(config, body_location)
    return [read_source(source, config.cache_location, config.processes) for source in sources]


def describe_poses(tables: list[PoseTable], with_shapes: bool) -> str:
    """Say what was read."""
    parts = [f"{len(set(table.names))} sequences, {len(table.theta)} frames of {table.source}"
             + (f" ({table.num_skipped} files known to be bad or without motion skipped)" if table.num_skipped else "")
             for table in tables]  # fmt: skip
    return "poses: " + "; ".join(parts) + ("" if with_shapes else "; shapes are sampled, standard normal")


CLEARLY_UP = 0.5
"""Length of the mean of all bodies' long axes from which on it tells which axis of a source is up."""


class PoseBank(NamedTuple):
    """Poses and shapes that belong to nobody in the pictures."""

    rotations: Float[Tensor, "N J 3 3"]
    """The root first, in a world with z up; then each joint relative to its parent."""
    betas: Float[Tensor, "N n"]
    """NaN where a shape is to be drawn."""
    about: str
    """What was read, in words."""
    reads: Reads


def upright_turn(source: str, root: Float[Tensor, "N 3 3"]) -> Float[Tensor, "3 3"]:
    """Find the turn that makes a source's world z-up: its up is the axis along which bodies stand on average.

    Raises:
        ValueError: they stand along no axis.
    """
    mean = root[:, :, 1].mean(dim=0)
    axis = int(mean.abs().argmax())
    if mean[axis].abs() < CLEARLY_UP:
        raise ValueError(f"the bodies of {source} stand along no axis of its world (mean {mean.tolist()}), so its up "
                         "is not known; leave it out, or give more of its files")  # fmt: skip
    up = torch.zeros(3)
    up[axis] = mean[axis].sign()
    z = torch.tensor([0.0, 0.0, 1.0])
    if torch.equal(up, -z):
        return torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    across = torch.linalg.cross(up, z)
    return roma.rotvec_to_rotmat(across * (np.pi / 2 if across.any() else 0.0))


def bank_of_fits(labels: PseudoLabels, held_out: tuple[tuple[int, int], ...], part: PosePart) -> PoseBank:
    """Take the poses of bodies that were fitted, such as those of labelled people; shapes are drawn.

    Args:
        held_out: (action, sub-action) of the sequences that are kept back.
    """
    is_held_out = np.zeros(len(labels.frames), bool)
    for sequence in held_out:
        is_held_out |= (labels.frames[:, 1:3] == sequence).all(1)
    chosen = is_held_out == (part == "held_out")
    if not chosen.any():
        raise ValueError(f"the fitted bodies have no frame in part {part!r}; the held-out sequences are "
                         f"{list(held_out)} (setting subjects.held_out)")  # fmt: skip
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(labels.theta[chosen]).unflatten(1, (-1, 3)))
    people = sorted(set(labels.frames[chosen, 0].tolist()))
    about = f"{len(rotations):,} poses fitted to subjects {people}"
    return PoseBank(rotations, torch.full((len(rotations), labels.betas.shape[1]), torch.nan), about, labels.reads)


def bank_of_free_motions(config: PoseSources, file: BodyFile, part: PosePart) -> PoseBank:
    """Draw poses of a body of any skeleton: as many motions as the settings name, some of them held out."""
    held_out = max(1, round(config.held_out * config.sequences))
    numbers = range(held_out) if part == "held_out" else range(held_out, max(config.sequences, held_out + 1))
    found = [free_rotations(config, file, number) for number in numbers]
    rotations = torch.from_numpy(np.concatenate(found).astype(np.float32))
    betas = torch.full((len(rotations), file.shapedirs.shape[2]), torch.nan)
    about = f"{len(rotations):,} poses of {len(found)} motions within the ranges of the body's joints"
    return PoseBank(rotations, betas, about, Reads(poses=frozenset({"generator"})))


def open_bank(config: PoseSources, body_location: Path, part: PosePart) -> PoseBank:
    """Read a part of all sources that the settings name; bodies with other joints than SMPL's move by themselves."""
    file = read_body_file(body_location)
    if moves_by_itself(config, file):
        return bank_of_free_motions(config, file, part)
    rotations, betas, about = [], [], []
    tables, with_shapes = open_tables(config, body_location), is_smpl(body_location)
    for table in tables:
        data = ParameterData([table], part, config, with_shapes)
        theta = torch.from_numpy(data.theta.astype(np.float32))
        turned = roma.rotvec_to_rotmat(theta.unflatten(1, (-1, 3)))
        turned[:, 0] = upright_turn(table.source, turned[:, 0]) @ turned[:, 0]
        rotations.append(turned)
        betas.append(torch.from_numpy(data.betas))
        about.append(f"{len(turned):,} poses of {len(set(data.sequence.tolist()))} sequences of {table.source}")
    reads = Reads(poses=frozenset(table.source for table in tables))
    return PoseBank(torch.cat(rotations), torch.cat(betas), "; ".join(about), reads)
