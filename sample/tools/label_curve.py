"""Compare stage 2 with its baselines, with all labels and with few, over several seeds.

    python sample/tools/label_curve.py --encoders runs/enc_dec/demo/checkpoint_best.pt --seeds 0 1 2
    python sample/tools/label_curve.py --encoders models/assets/open_weights.pt --references-only

Reads   checkpoints of stage 1, the index, the crops; test subjects through sample/test_pose.py only
Writes  runs/pose/label_curve_*/ (one run per cell, kept: stop and start again at will),
        tests/benchmarks/results/label_curve.{json,md}, label_curve_references.json
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from config import (
    ROOT,
    Device,
    ImageAugmentation,
    Loop,
    Optim,
    Paths,
    PoseConfig,
    PoseHeadConfig,
    Subjects,
    ranged,
    setting,
)
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData, labels_world_m
from models.encoder_decoder import load_encoder
from sample import test_pose, train_3d_pose_from_enc
from sample.test_pose import TestPoseConfig
from sample.tools.experiment import (
    Cell,
    Column,
    Row,
    Tested,
    difference_and_percent,
    fingerprint,
    run_cells,
    summarise,
    table_lines,
    tier_of_row,
    train_once,
    write_markdown,
    written_row,
)
from utils.artifacts import file_hash, load_checkpoint, load_metrics, load_predictions, must_exist, save_result
from utils.metrics import pose_errors
from utils.reference_poses import REFERENCES, reference_poses
from utils.report.summaries import written_interval
from utils.settings import start, to_plain
from utils.tiers import NOT_RECORDED, Reads


@dataclass(frozen=True)
@ranged()
class LabelCurveConfig:
    """sample/tools/label_curve.py: stage 2 beside its baselines, with all labels and with few, over several seeds."""

    encoders: tuple[Path, ...]
    """checkpoint_best.pt of stage 1; with several, seed k takes the k-th (and begins again after the last)."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    sequences: tuple[int, ...] = (0, 3)
    """One column each: labelled training sequences per subject, 0 for all."""
    seeds: tuple[int, ...] = (0, 1)
    frozen_steps: int = setting(500, low=1)
    """Steps of the head on a frozen encoder, random or stage 1's."""
    finetune_steps: int = setting(500, low=1)
    """Steps of stage 1's encoder and the head end to end."""
    scratch_steps: int = setting(1200, low=1)
    """Most steps of the supervised baseline; enough when its held-out error no longer falls at the end."""
    patience: int = setting(0, low=0)
    """Validations without a better held-out error after which the supervised baseline stops; 0 trains all steps."""
    scratch_schedule: Literal["constant", "cosine"] = "cosine"
    """Of the supervised baseline; constant lets patience alone decide when it ends."""
    lr: float = 1e-3
    head: PoseHeadConfig = field(default_factory=PoseHeadConfig)
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    """The same for every row."""
    batch: int = setting(32, low=2)  # batch norm needs two
    loop: Loop = field(default_factory=lambda: Loop(validate_every=200))
    """Its seed is replaced by each of `seeds`; resume and overwrite are decided cell by cell."""
    every: int = setting(4, low=1)
    """Test on every n-th frame."""
    output: Path = ROOT / "tests" / "benchmarks" / "results" / "label_curve.json"
    """The numbers; a markdown table of the same name lies beside it, and <name>_references.json: the rows that need no
    image."""
    references_only: bool = False
    """Measure the rows that need no image, put them beside the trained rows that `output` holds, and train nothing."""

    def __post_init__(self) -> None:
        if not self.encoders or not self.seeds or not self.sequences:
            raise ValueError("encoders, seeds and sequences need at least one value each")


COMMAND = "python sample/tools/label_curve.py"
COLUMNS = {key: Column(key) for key in ("n_mpjpe_17_mm", "p_mpjpe_17_mm", "yaw_error_degrees")}
"""The measures of each number of labels."""
MEAN_POSE = "mean pose"

Columns = Mapping[str, Mapping[str, Row]]
"""Number of labels, row -> intervals by measure."""
Compared = Mapping[str, Mapping[str, Mapping[str, Row]]]
"""Number of labels, pair of rows, measure -> difference and percent, each an interval."""


def read_cell(run: Path) -> Tested:
    """Measure the stored predictions of a run, and the mean of its training labels on the same frames."""
    _, stored = load_predictions(run / "predictions.npz", COMMAND)
    true, R = (torch.from_numpy(stored[name]) for name in ("true_root_m", "R_crop_from_world"))
    mean_pose = torch.from_numpy(stored["mean_pose_root_m"]).expand_as(true)
    found, of_mean = (
        as_arrays(pose_errors(pose, true, R)) for pose in (torch.from_numpy(stored["predicted_root_m"]), mean_pose)
    )
    frames, told = stored["frames"], load_metrics(run / "metrics.json", COMMAND)
    tier, of_labels = told.get("tier", NOT_RECORDED), told.get("tier_of", {}).get("mean_pose", NOT_RECORDED)
    return Tested(found, frames, int(stored["step"]), more={MEAN_POSE: Tested(of_mean, frames, tier=of_labels)},
                  tier=tier)  # fmt: skip


def as_arrays(errors: Mapping[str, Float[torch.Tensor, "N"]]) -> dict[str, Float[np.ndarray, "N"]]:
    """Take errors out of their tensors."""
    return {name: values.double().numpy() for name, values in errors.items()}


def markdown(columns: Columns, compared: Compared, tiers: Mapping[str, str], protocol_text: str) -> list[str]:
    """Write the table, the paired comparisons below it, and the protocol."""
    titles = [f"{labels}: {column.heading}" for labels in columns for column in COLUMNS.values()]
    rows = {row: [tiers.get(row, NOT_RECORDED),
                  *(text for found in columns.values() for text in written_row(found[row], COLUMNS))]
            for row in next(iter(columns.values()))}  # fmt: skip
    gains = {pair: [written_gain(found[pair][key], column) for found in compared.values()
                    for key, column in COLUMNS.items()] for pair in next(iter(compared.values()))}  # fmt: skip
    told = "Paired differences, negative is better for the first:"
    return [*table_lines(rows, ["reads", *titles]), "", told, "", *table_lines(gains, titles), "", protocol_text]


def written_gain(gain: Mapping[str, Mapping[str, float]], column: Column) -> str:
    """Write a difference and its percentage of the baseline."""
    return f"{written_interval(gain['difference'], column.decimals)}, {written_interval(gain['percent'])} %"


def column_title(sequences: int) -> str:
    """Name a column by its labels."""
    return f"{sequences} sequences" if sequences else "all labels"


def protocol(config: LabelCurveConfig, num_frames: int) -> str:
    """Say how the numbers came about."""
    labelled, test = (", ".join(f"S{n}" for n in names) for names in (config.subjects.labelled, config.subjects.test))
    held_out = len(config.subjects.held_out)
    ended = (
        f"ended after {config.patience} validations, every {config.loop.validate_every} steps, without a better error"
        if config.patience
        else "all of them; the checkpoint is the best on the held-out sequences"
    )
    every = "all frames" if config.every == 1 else f"one frame in {config.every}"
    return (
        f"Trained on labels of {labelled}: all sequences but {held_out}, or the number of sequences named; the "
        f"{held_out} held-out ones choose the checkpoint in every cell. Tested on {test}: {num_frames} images ({every} "
        f"and cameras of the index), 17 joints with the pelvis at the origin, crop as stage 1 was trained. "
        f"{len(config.seeds)} seeds, {len(config.encoders)} stage-1 encoder(s). The same augmentation and batch in "
        f"all cells; random and frozen {config.frozen_steps} steps, fine-tuned {config.finetune_steps}, from scratch "
        f"at most {config.scratch_steps} ({config.scratch_schedule} step size; {ended}). Brackets: 95 % bootstrap over "
        "sequences and seeds of stage 2, which do not cover the variation of stage 1 where it was trained once; "
        "differences: paired over the same sequences."
    )


def write_references(config: LabelCurveConfig, columns: Columns, num_frames: int) -> Path:
    """Write the json of the rows that need no image; return its path."""
    path = config.output.with_name(f"{config.output.stem}_references.json")
    labelled, test = (", ".join(f"S{n}" for n in names) for names in (config.subjects.labelled, config.subjects.test))
    protocol_text = (
        f"Rows that need no image, {num_frames} images of {test}: the median of {labelled}'s labels, turned to one "
        "heading first; the nearest label is chosen by N-MPJPE. An oracle is told the true heading or the true pose."
    )
    tier = Reads(joints=frozenset(config.subjects.labelled)).tier
    tiers = {row: tier for row in next(iter(columns.values()))}
    save_result(path, protocol_text, columns=columns, tiers=tiers, num_frames=num_frames)
    return path


def write_both(output: Path, references: Path) -> str:
    """Write the markdown table beside a json of trained rows, the rows that need no image first; return it.

    Raises:
        ValueError: the two files are not about the same labels and frames.
    """
    must_exist(output, COMMAND)
    trained, untrained = (json.loads(path.read_text()) for path in (output, references))
    if list(trained["columns"]) != list(untrained["columns"]) or not _same_frames(trained, untrained["num_frames"]):
        raise ValueError(f"{output} and {references} have other columns or frames; measure both with the same "
                         f"settings: {COMMAND}")  # fmt: skip
    columns = {title: untrained["columns"][title] | rows for title, rows in trained["columns"].items()}
    protocol_text = f"{trained['protocol']} {untrained['protocol']}"
    tiers = trained.get("tiers", {}) | untrained.get("tiers", {})
    return write_markdown(output, markdown(columns, trained["comparisons"], tiers, protocol_text))


def _same_frames(trained: Mapping[str, Any], num_frames: int) -> bool:
    """Compare the numbers of tested images; files written before it was stored tell it in their protocol only."""
    return trained.get("num_frames", num_frames) == num_frames and f"{num_frames} images" in trained["protocol"]


Recipe = Literal["random", "scratch", "frozen", "finetune"]
ROWS: dict[Recipe, str] = {
    "random": "random encoder, frozen",
    "scratch": "supervised from scratch",
    "frozen": "stage 1, frozen",
    "finetune": "stage 1, fine-tuned",
}
COMPARED_ROWS = [
    (ROWS[ours], baseline)
    for ours in ("frozen", "finetune")
    for baseline in (MEAN_POSE, ROWS["random"], ROWS["scratch"])
]


def pose_config(cell: Cell[Recipe], config: LabelCurveConfig) -> PoseConfig:
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
    key = name_of(settings, config)
    return replace(settings, name=f"label_curve_{cell.recipe}_{cell.sequences or 'all'}_seed{cell.seed}_{key}")


def name_of(settings: PoseConfig, config: LabelCurveConfig) -> str:
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
    return fingerprint(plain, starts_from, file_hash(settings.paths.index_location / "index.npz"))


def run_cell(cell: Cell[Recipe], config: LabelCurveConfig) -> Tested:
    """Train and test what is not yet trained and tested, and read the result."""
    settings = pose_config(cell, config)
    folder = config.paths.runs_location / "pose" / settings.name
    if not (folder / "metrics.json").exists():
        train_once(train_3d_pose_from_enc.main, settings, folder, folder / "metrics.json")
        checkpoint = folder / "checkpoint_best.pt"
        test_pose.main(TestPoseConfig(checkpoint=checkpoint, device=config.device, paths=config.paths,
                                      subjects=config.subjects.test, every=config.every))  # fmt: skip
    return read_cell(folder)


def measure_references(config: LabelCurveConfig) -> Path:
    """Measure the poses that need no image, by each column's labels and on the table's frames; return the json's path.

    What the crops are centred on, and with it what "facing the camera" means, is as stage 1 was trained.
    """
    crop = load_encoder(config.encoders[0]).config.crop
    test = PoseData(config.paths, FrameChoice(config.subjects.test, every=config.every), CropSettings(crop))
    true_root_m, R, frames = test.labels_root_m(), test.turns_from_world(), test.table.frames[test.rows]
    columns = {}
    for count in config.sequences:
        labels = labels_world_m(test.table, config.subjects.labelled, config.subjects.held_out, count)
        columns[column_title(count)] = {
            REFERENCES[name]: summarise([Tested(as_arrays(pose_errors(pose, true_root_m, R)), frames)], COLUMNS)
            for name, pose in reference_poses(labels, true_root_m, R).items()
        }
    return write_references(config, columns, len(test.rows))


def main(config: LabelCurveConfig) -> Path:
    """Fill the table, write and print it; return the json's path."""
    references = measure_references(config)
    if config.references_only:
        print(write_both(config.output, references))
        return config.output
    cells = [Cell(recipe, seed, count) for seed in config.seeds for count in config.sequences for recipe in ROWS]
    remedy = f"their metrics.json under {config.paths.runs_location / 'pose'}"
    results = run_cells("label_curve", cells, lambda cell: run_cell(cell, config), remedy)
    columns, compared, tiers = {}, {}, {}
    for count in config.sequences:
        table = {MEAN_POSE: [results[Cell("frozen", seed, count)].more[MEAN_POSE] for seed in config.seeds]}
        table |= {title: [results[Cell(row, seed, count)] for seed in config.seeds] for row, title in ROWS.items()}
        columns[column_title(count)] = {row: summarise(seeds, COLUMNS) for row, seeds in table.items()}
        tiers |= {row: tier_of_row(seeds) for row, seeds in table.items()}
        compared[column_title(count)] = {
            f"{ours} minus {baseline}": difference_and_percent(table[ours], table[baseline], COLUMNS)
            for ours, baseline in COMPARED_ROWS
        }
    num_frames = len(results[cells[0]].frames)
    steps = {pose_config(cell, config).name: result.step for cell, result in results.items()}
    save_result(config.output, protocol(config, num_frames), columns=columns, comparisons=compared, tiers=tiers,
                num_frames=num_frames, steps_of_tested_checkpoint=steps)  # fmt: skip
    print(write_both(config.output, references))
    return config.output


if __name__ == "__main__":
    start(main, LabelCurveConfig)
