"""Compare stage 2 with its baselines, with all labels and with few, over several seeds.

    python sample/label_curve.py --encoders runs/enc_dec/demo/checkpoint_best.pt --seeds 0 1 2
    python sample/label_curve.py --encoders models/assets/open_weights.pt --references-only

Reads   checkpoints of stage 1, the index, the crops; test subjects through sample/test_pose.py only
Writes  runs/pose/label_curve_*/ (one run per cell, kept: stop and start again at will),
        tests/benchmarks/results/label_curve.{json,md}, label_curve_references.json
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from config import LabelCurveConfig, Optim, PoseConfig, TestPoseConfig
from dataset_def.h36m_pose_data import PoseData, labels_world_m
from models.encoder_decoder import load_encoder
from sample import test_pose, train_3d_pose_from_enc
from utils import label_table
from utils.artifacts import file_hash, load_checkpoint
from utils.label_table import MEAN_POSE, CellResult
from utils.metrics import pose_errors
from utils.reference_poses import reference_poses
from utils.settings import start, to_plain

Recipe = Literal["random", "scratch", "frozen", "finetune"]
ROWS: dict[Recipe, str] = {
    "random": "random encoder, frozen",
    "scratch": "supervised from scratch",
    "frozen": "stage 1, frozen",
    "finetune": "stage 1, fine-tuned",
}
PAIRS = [
    (ROWS[ours], baseline)
    for ours in ("frozen", "finetune")
    for baseline in (MEAN_POSE, ROWS["random"], ROWS["scratch"])
]  # fmt: skip


class Cell(NamedTuple):
    """One training run of the comparison."""

    recipe: Recipe
    sequences: int
    seed: int


def pose_config(cell: Cell, config: LabelCurveConfig) -> PoseConfig:
    """Give the settings of a cell's training."""
    encoder = config.encoders[config.seeds.index(cell.seed) % len(config.encoders)]
    is_scratch = cell.recipe == "scratch"
    steps = {"scratch": config.scratch_steps, "finetune": config.finetune_steps}.get(cell.recipe, config.frozen_steps)
    settings = PoseConfig(
        encoder=encoder, mode=cell.recipe, device=config.device, paths=config.paths, subjects=config.subjects,
        sequences=cell.sequences, head=config.head, augment=config.augment, batch=config.batch,
        optim=Optim(steps=steps, lr=config.lr, schedule=config.scratch_schedule if is_scratch else "cosine"),
        loop=replace(config.loop, seed=cell.seed), patience=config.patience if is_scratch else 0,
    )  # fmt: skip
    made_from = fingerprint(settings, config)
    return replace(settings, name=f"label_curve_{cell.recipe}_{cell.sequences or 'all'}_seed{cell.seed}_{made_from}")


def fingerprint(settings: PoseConfig, config: LabelCurveConfig) -> str:
    """Name everything a cell's result depends on, so that a finished cell is never taken for another."""
    plain = to_plain(settings)
    for free in ("name", "paths", "device", "encoder"):
        del plain[free]
    plain |= {"test_every": config.every, "test_subjects": list(config.subjects.test)}
    plain["loop"] = {"seed": settings.loop.seed, "validate_every": settings.loop.validate_every}
    starts_from: object = file_hash(settings.encoder)
    if settings.mode in ("random", "scratch"):
        stage_1 = load_checkpoint(settings.encoder, "enc_dec")["config"]
        starts_from = {name: stage_1[name] for name in ("crop", "encoder", "decoder", "normalise")}
    content = json.dumps([plain, starts_from, file_hash(settings.paths.index_location / "index.npz")], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def run_cell(cell: Cell, config: LabelCurveConfig) -> CellResult:
    """Train and test what is not yet trained and tested, and read the result."""
    settings = pose_config(cell, config)
    folder = config.paths.runs_location / "pose" / settings.name
    if not (folder / "metrics.json").exists():
        has_begun = (folder / "checkpoint_last.pt").exists()
        loop = replace(settings.loop, resume=has_begun, overwrite=folder.exists() and not has_begun)
        train_3d_pose_from_enc.main(replace(settings, loop=loop))
        checkpoint = folder / "checkpoint_best.pt"
        test_pose.main(TestPoseConfig(checkpoint=checkpoint, device=config.device, paths=config.paths,
                                      subjects=config.subjects.test, every=config.every))  # fmt: skip
    return label_table.read_cell(folder)


def measure_references(config: LabelCurveConfig) -> Path:
    """Measure the poses that need no image, by each column's labels and on the table's frames; return the json's path.

    What the crops are centred on, and with it what "facing the camera" means, is as stage 1 was trained.
    """
    crop = load_encoder(config.encoders[0]).config.crop
    test = PoseData(config.paths, crop, config.subjects.test, "all", held_out=(), every=config.every)
    true_root_m, R = test.labels_root_m(), test.turns_from_world()
    columns = {}
    for count in config.sequences:
        labels = labels_world_m(test.table, config.subjects.labelled, config.subjects.held_out, count)
        errors = {
            label_table.REFERENCES[name]: [label_table.as_arrays(pose_errors(pose, true_root_m, R))]
            for name, pose in reference_poses(labels, true_root_m, R).items()
        }
        columns[label_table.column_title(count)] = label_table.summaries(errors, test.table.frames[test.rows])
    return label_table.write_references(config, columns, len(test.rows))


def main(config: LabelCurveConfig) -> Path:
    """Fill the table, write and print it; return the json's path."""
    references = measure_references(config)
    if config.references_only:
        print(label_table.write_markdown(config.output, references))
        return config.output
    cells = [Cell(recipe, count, seed) for seed in config.seeds for count in config.sequences for recipe in ROWS]
    results = {cell: run_cell(cell, config) for cell in tqdm(cells, desc="label_curve", disable=None)}
    frames = results[cells[0]].frames
    if not all(np.array_equal(result.frames, frames) for result in results.values()):
        raise ValueError("the cells were tested on different frames; delete their metrics.json under "
                         f"{config.paths.runs_location / 'pose'} and start again")  # fmt: skip
    columns, compared = {}, {}
    for count in config.sequences:
        column = {MEAN_POSE: [results[Cell("frozen", count, seed)].mean_pose_errors for seed in config.seeds]}
        column |= {ROWS[r]: [results[Cell(r, count, seed)].errors for seed in config.seeds] for r in ROWS}
        columns[label_table.column_title(count)] = label_table.summaries(column, frames)
        compared[label_table.column_title(count)] = label_table.comparisons(column, frames, PAIRS)
    best_steps = {pose_config(cell, config).name: result.step for cell, result in results.items()}
    label_table.write_table(config, columns, compared, len(frames), best_steps)
    print(label_table.write_markdown(config.output, references))
    return config.output


if __name__ == "__main__":
    start(main, LabelCurveConfig)
