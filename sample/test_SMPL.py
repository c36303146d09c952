"""Measure stage 4 on subjects it has not seen: joints, vertices where they are known, and silhouettes in all views.

    python sample/test_SMPL.py --checkpoint runs/mesh/demo/checkpoint_best.pt

Reads   checkpoint_best.pt (sample/train_SMPL_from_enc.py), the test subjects' images and masks; bodies from
        paths.truth_location (embedded data, or the fits of sample/fit_SMPL.py) where there are any
Writes  predictions.npz, metrics.json beside the checkpoint or in --out (metrics_masks.json, ... for another centre)
Next    sample/make_figures.py --mesh runs/mesh/<name>
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch.utils.data import default_collate
from tqdm import tqdm

from config import Crop, Device, Paths, ranged, setting
from dataset_def.ground_truth_bodies import bodies_of_frames
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice, FrameTable, index_path
from dataset_def.h36m_pose_data import PoseData
from dataset_def.h36m_SMPL_data import MeshData, tested_data
from dataset_def.mesh_batches import check_measured_joints
from models.GAN import load_prior_for
from models.mesh_evaluation import MeshMeasure, TestedBodies, mean_body, mesh_examples, run_over
from models.SMPL_from_latent import BodyEstimate, StoredMesh, load_body_of, load_mesh
from utils.artifacts import save_metrics, save_predictions, skeleton_arrays
from utils.batches import in_order, to_device
from utils.engine import choose_device
from utils.image import to_picture
from utils.metrics import spread_over_bins
from utils.report.frames import best_and_worst
from utils.report.summaries import RULES, Circumstances, all_summaries, circumstances, report
from utils.settings import next_command, start
from utils.tiers import NOTHING, Reads


@dataclass(frozen=True)
@ranged()
class TestMeshConfig:
    """sample/test_SMPL.py: bodies of unseen subjects, in numbers."""

    checkpoint: Path
    """checkpoint_best.pt of stage 4."""
    out: Path | None = None
    """Folder for predictions.npz and metrics.json; without it, the checkpoint's."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    """truth_location may hold the embedded data's truth or the fits of sample/fit_SMPL.py; without either, joints and
    silhouettes alone are measured."""
    subjects: tuple[int, ...] = (9, 11)
    every: int = setting(1, low=1)
    """Use every n-th frame."""
    centre: Literal["", "pelvis", "masks", "box"] = ""
    """What the crops are centred on; empty for what the encoder was trained with.  Another choice than the encoder's
    writes predictions_<centre>.npz and metrics_<centre>.json beside the plain ones."""
    prior: Path | None = None
    """checkpoint_best.pt of stage 3; bodies are then scored by it, too."""
    mask_px: int = setting(0, low=0, high=1024)
    """Side of the masks that silhouettes are compared with; 0 for that of the encoder's crops."""
    batch: int = setting(16, low=1)
    examples: int = setting(8, low=1)
    """Frames whose meshes and masks are stored for the figures, spread over the facing directions."""


STAGES = ("enc_dec", "pose", "gan")
"""Stages before this one, by the folders of their runs."""
MEAN_BODY_IS = "mean of the labelled subjects' training frames: rotations in crop axes as matrices, shape numbers"


def labelled_here(table: FrameTable, stage_4: StoredMesh) -> tuple[int, ...]:
    """Give the labelled subjects whom the data set has; a network may have been trained on more than it holds."""
    present = set(table.frames[:, 0].tolist())
    return tuple(subject for subject in stage_4.mesh_config.subjects.labelled if subject in present)


def labelled_mean(config: TestMeshConfig, stage_4: StoredMesh, crop: Crop, who: tuple[int, ...]) -> BodyEstimate | None:
    """Average the true bodies of the labelled training frames; None where no true body is known, or nobody labelled."""
    if not who:
        return None
    frames = FrameChoice(who, "train", stage_4.mesh_config.subjects.held_out)
    data = PoseData(config.paths, frames, CropSettings(crop, or_frames=True))
    bodies = bodies_of_frames(config.paths.truth_location, data.table.frames[data.rows],
                              config.paths.models_smpl_location)  # fmt: skip
    if bodies is None:
        return None
    return mean_body(bodies.rotations_world, bodies.betas, data.turns_from_world())


def extremes(data: MeshData, errors_mm: np.ndarray, frames: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Take the images of the best and the worst frames, for the page of the run."""
    rows = np.concatenate(best_and_worst(errors_mm, frames, count))
    return {"extreme_row": rows, "extreme_image": np.stack([to_picture(data[0, row].image) for row in rows.tolist()])}


class TestedFrames(NamedTuple):
    """All test frames, and what was found in them."""

    frames: Int[np.ndarray, "N 5"]
    truth_source: str
    bodies: TestedBodies
    which: Circumstances
    pictures: dict[str, np.ndarray]
    reads: Reads
    """What the test gives to the network."""
    mean_of: tuple[int, ...]
    """Labelled subjects whose bodies the mean body is taken of."""


def write(config: TestMeshConfig, stage_4: StoredMesh, crop: Crop, tested: TestedFrames) -> dict[str, Any]:
    """Write both files and print the tables; return the metrics."""
    frames, truth_source, found, which, pictures, at_test, mean_of = tested
    is_same = crop.centre == stage_4.config.crop.centre
    folder, suffix = config.out or config.checkpoint.parent, "" if is_same else f"_{crop.centre}"
    every = "all frames" if config.every == 1 else f"one frame in {config.every}"
    split = f"{', '.join(f'S{one}' for one in config.subjects)}; {every} and cameras; crop centred on {crop.centre}"
    shown = {name: all_summaries(errors, frames, which) for name, errors in found.errors.items()}
    metrics = {
        "step": stage_4.step, "head": stage_4.mesh_config.head.kind, "crop_centre": crop.centre,
        "labelled_subjects": list(stage_4.mesh_config.subjects.labelled), "mean_body_is": MEAN_BODY_IS,
        "mean_body_of": list(mean_of),
        "truth": truth_source, "rules": RULES, **shown["predicted"],
        **{name.replace(" ", "_"): summaries for name, summaries in shown.items() if name != "predicted"},
    }  # fmt: skip
    inputs = {"checkpoint": config.checkpoint, "index": index_path(config.paths)}
    if config.prior is not None:
        inputs["prior"] = config.prior
    save_predictions(
        folder / f"predictions{suffix}.npz", split, frames, inputs, step=np.array(stage_4.step),
        body_hash=np.array(stage_4.body_hash), **found.errors["predicted"],
        rotations_crop=found.rotations_crop.numpy(), betas=found.betas.numpy(),
        predicted_root_m=found.joints_root_m.numpy(), true_root_m=found.true_joints_root_m.numpy(),
        R_crop_from_world=found.R_crop_from_world.numpy(), facing_rad=which.facing_rad,
        **({} if which.is_sitting is None else {"is_sitting": which.is_sitting}), **pictures,
    )  # fmt: skip
    others = {"mean_body": stage_4.reads.labels_alone, "mean_shape": NOTHING}
    save_metrics(folder / f"metrics{suffix}.json", split, frames, inputs, metrics, reads=stage_4.reads, at_test=at_test,
                 others=others)  # fmt: skip
    print(f"{split}: {len(frames)} frames; predicted reads {stage_4.reads.tier}\n{report(shown, 'predicted')}")
    return metrics


def next_after(config: TestMeshConfig) -> str:
    """Write the command that draws what was tested; figures are of the network's own crops, which it may ask for."""
    mesh = config.out or config.checkpoint.parent
    if not (mesh / "predictions.npz").is_file():
        given = {name: getattr(config, name) for name in ("checkpoint", "out", "subjects", "every", "prior", "mask_px")
                 if getattr(config, name) != vars(TestMeshConfig).get(name)}  # fmt: skip
        return next_command("sample/test_SMPL.py", config.paths, **given)
    before = {stage: config.paths.runs_location / stage / config.checkpoint.parent.name for stage in STAGES}
    before = {stage: run for stage, run in before.items() if (run / "predictions.npz").is_file()}
    return next_command("sample/make_figures.py", config.paths, **before, mesh=mesh)


def main(config: TestMeshConfig) -> dict[str, Any]:
    """Predict, measure, write and print; return the metrics."""
    device, location = choose_device(config.device), config.paths.models_smpl_location
    stage_4 = load_mesh(config.checkpoint, device)
    body = load_body_of(stage_4, config.checkpoint, config.paths).to(device)
    prior = load_prior_for(config.prior, location).to(device) if config.prior is not None else None
    crop = replace(stage_4.config.crop, centre=config.centre or stage_4.config.crop.centre)
    data = tested_data(config.paths, crop, config.mask_px or crop.size_px, config.subjects, config.every)
    check_measured_joints(config.paths, data.table.skeleton)
    frames = data.table.frames[data.rows].astype(np.int32)
    mean_of = labelled_here(data.table, stage_4)
    truth = bodies_of_frames(config.paths.truth_location, frames, location)
    mean = labelled_mean(config, stage_4, crop, mean_of)
    skeleton = data.table.skeleton
    measure = MeshMeasure(body, crop.centre, prior, skeleton=skeleton)
    found = run_over(tqdm(in_order(data, config.batch), "test_SMPL", disable=None), stage_4, measure,
                     None if truth is None else (truth.rotations_world, truth.betas),
                     None if mean is None else to_device(mean, device))  # fmt: skip
    which = circumstances(found.true_joints_root_m, found.R_crop_from_world, skeleton)
    chosen = spread_over_bins(torch.from_numpy(which.bin), config.examples)
    sample = to_device(default_collate([data[0, row] for row in chosen]), device)
    pictures = mesh_examples(sample, stage_4, measure) | {"example_row": np.array(chosen)}
    mpjpe_mm = found.errors["predicted"][f"mpjpe_{len(skeleton.names)}_mm"]
    pictures |= extremes(data, mpjpe_mm, frames, config.examples) | skeleton_arrays(skeleton)
    truth_source = "none" if truth is None else truth.source
    tested = TestedFrames(frames, truth_source, found, which, pictures, data.reader.reads(data.rows), mean_of)
    metrics = write(config, stage_4, crop, tested)
    print(next_after(config))
    return metrics


if __name__ == "__main__":
    start(main, TestMeshConfig)
