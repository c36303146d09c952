"""Compare recipes of stage 2 by the labels that they read: the same network, the same steps, the same people.

    python sample/tools/label_curve.py --stage-1 STAGE_1.pt --fits FITS.npz --subjects.validation 111 112 113 114
    python sample/tools/label_curve.py ... --recipes ours supervised --labels 1 3     (a part of it, beside another)
    python sample/tools/label_curve.py ... --only-finished        (the table of what there is; trains nothing)

STAGE_1 is a runs/enc_dec/<name>/checkpoint_best.pt, FITS a runs/fit/<name>/pseudo_labels.npz.  A cell is one training,
by recipe, labels and seed, in a folder of its own that is named after everything it depends on; a finished one is not
trained again, and one that was broken off goes on.  Recipes: RECIPES.

Reads   checkpoints of stage 1, bodies fitted to masks, the index, the crops
Writes  runs/pose/label_curve_*/, tests/benchmarks/results/label_curve.{json,md,csv}, images/label_curve.png
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from config import (
    PRESETS,
    ROOT,
    Device,
    ImageAugmentation,
    Loop,
    Paths,
    PoseConfig,
    Subjects,
    UntrainedEncoder,
    ranged,
    setting,
)
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice, index_path
from dataset_def.h36m_pose_data import PoseData, frames_of, labels_world_m
from models.encoder_decoder import (
    StoredEncoder,
    build_encoder_decoder,
    calibrate_batchnorm,
    load_encoder,
)
from sample import test_pose, train_3d_pose_from_enc
from sample.test_pose import TestPoseConfig
from sample.tools.experiment import fingerprint, table_lines, train_once, write_markdown
from sample.tools.probe_points import PRIORS, fit_to_labels, read_joints, read_points
from utils.artifacts import (
    atomic_write,
    file_hash,
    load_metrics,
    load_predictions,
    save_metrics,
    save_predictions,
    save_result,
)
from utils.bootstrap import compare, mean_interval
from utils.engine import choose_device
from utils.figures.benchmarks import label_curve_figure
from utils.history import load_history
from utils.metrics import pose_errors
from utils.reference_poses import headings_world_rad, reference_poses, turned_by_headings, without_heading
from utils.report.summaries import written_interval
from utils.settings import start, to_plain
from utils.tiers import NOTHING, Reads

Recipe = Literal[
    "supervised", "ours", "stage_1_finetuned", "stage_1_frozen", "ours_without_stage_1", "oracle", "rhodin", "seed",
    "imagenet", "random",
]  # fmt: skip
Labels = Literal["none", "1", "3", "10", "S1", "all"]

RECIPES: dict[str, str] = {
    "constant_any_heading": "constant pose, always facing the camera",
    "constant_predicted_heading": "constant pose at the heading that a trained network reads",
    "constant": "constant pose at the true heading (oracle)",
    "retrieval": "nearest label at the true heading (oracle)",
    "random": "one matrix on the points of the same network, untrained",
    "seed": "stage 1 of preset seed, frozen, its head",
    "rhodin": "stage 1 of preset rhodin, frozen, its head",
    "imagenet": "the same heat maps on an ImageNet network, on the labels alone",
    "supervised": "the same network on the labels alone",
    "stage_1_frozen": "one matrix on stage 1's points",
    "stage_1_finetuned": "stage 1, all layers trained on",
    "ours_without_stage_1": "labels and bodies fitted to masks, without stage 1",
    "ours": "stage 1, all layers trained on labels and bodies fitted to masks",
    "oracle": "the same with true labels of everybody",
}
"""Rows, and what they are."""
PROBED: tuple[Recipe, ...] = ("random", "stage_1_frozen")
OTHER_ENCODERS: tuple[Recipe, ...] = ("rhodin", "seed")
WITH_FITS: tuple[Recipe, ...] = ("ours", "ours_without_stage_1")
LOOK = "held_out_n_mpjpe_mm"
"""What a training says of the validation people."""
COMMAND = "python sample/tools/label_curve.py"
NUM_SEQUENCES: dict[Labels, int] = {"none": 0, "1": 1, "3": 3, "10": 10, "S1": 0, "all": 0}
MEASURES = {"n_mpjpe_mm": "n_mpjpe_17_mm", "p_mpjpe_mm": "p_mpjpe_17_mm", "wrist_mm": "wrist_mm",
            "yaw_mean_deg": "yaw_error_degrees"}  # fmt: skip
IMAGENET_LR_FACTOR = 0.25
"""Smaller steps for layers that know much already.  They stay in float32: their depthwise convolutions take a processor
longer in bfloat16 (900 ms instead of 560 for 48 images at 64 px, forward and backward)."""
FALLING_SHARE = 2 / 3
"""A run whose best look at the validation people comes later than this share of it was still getting better."""


@dataclass(frozen=True)
@ranged()
class LabelCurveConfig:
    """sample/tools/label_curve.py: recipes of stage 2 by the labels that they read, over several seeds."""

    stage_1: tuple[Path, ...]
    """checkpoint_best.pt of stage 1; with several, seed k takes the k-th (and begins again after the last)."""
    fits: Path | None = None
    """pseudo_labels.npz of sample/fit_SMPL.py, for the recipes that read bodies fitted to masks."""
    rhodin: tuple[Path, ...] = ()
    """checkpoint_best.pt of stage 1 by preset rhodin; the row is left out without."""
    thesis: tuple[Path, ...] = ()
    """The same by preset seed."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    """validation chooses the checkpoint, and a matrix's prior, of every row alike; nobody's labels are read for it."""
    labels: tuple[Labels, ...] = ("none", "1", "3", "10", "S1", "all")
    """Columns: sequences of subjects.labelled, S1 for all of these people's, all for everybody's (the oracle)."""
    recipes: tuple[Recipe, ...] = (
        "supervised", "ours", "stage_1_finetuned", "stage_1_frozen", "ours_without_stage_1", "oracle", "rhodin",
        "seed", "imagenet", "random",
    )  # fmt: skip
    seeds: tuple[int, ...] = (0, 1)
    """Seed 0 takes sequences that are evenly spread over the actions, each other one draws its own."""
    steps: int = setting(4000, low=1)
    """Most steps of a training that changes the encoder."""
    head_steps: int = setting(1000, low=1)
    """Steps of a head behind an encoder of presets rhodin and seed."""
    looks: int = setting(12, low=1)
    """Looks at the validation people, spread over a training."""
    patience: int = setting(4, low=0)
    """Looks without a better one after which a training ends; 0 trains all steps."""
    lr: float = setting(2e-3, low=1e-9)
    batch: int = setting(48, low=2)  # batch norm needs two
    augment: ImageAugmentation = field(
        default_factory=lambda: replace(PRESETS["demo"]().pose.augment, scale=0.2, shift_m=0.2)
    )
    """The same for every row that is trained; rhodin and seed have their own."""
    prior_images: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    """What a matrix's prior may be worth (sample/tools/probe_points.py); the validation people choose."""
    bf16: bool = True
    threads: int = setting(1, low=0)
    every: int = setting(1, low=1)
    """Test on every n-th frame."""
    equal_seconds: float = setting(300.0, low=0.001)
    """Rows of that budget: what the validation people say after so long a training."""
    only_finished: bool = False
    """Train nothing; write the table of the cells that are there."""
    output: Path = ROOT / "tests" / "benchmarks" / "results" / "label_curve.json"
    """The numbers; a markdown table and a csv of the same name lie beside it."""
    figure: Path = ROOT / "images" / "label_curve.png"

    def __post_init__(self) -> None:
        if not self.stage_1 or not self.seeds or not self.labels or not self.recipes:
            raise ValueError("stage_1, seeds, labels and recipes need at least one value each")
        if not self.subjects.validation:
            raise ValueError("subjects.validation is empty, so that labels of the training people would choose the "
                             "checkpoints; name people whom neither training nor test reads")  # fmt: skip
        fitted = [recipe for recipe in self.recipes if recipe in WITH_FITS]
        if fitted and self.fits is None:
            raise ValueError(f"recipes {fitted} read bodies fitted to masks, and fits is not given; give the file that "
                             "sample/fit_SMPL.py writes, or leave them out of --recipes")  # fmt: skip


class LabelledCell(NamedTuple):
    """One training and its test."""

    recipe: Recipe
    labels: Labels
    seed: int


class Measured(NamedTuple):
    """What a cell got wrong, and how it was trained."""

    errors: Mapping[str, Float[np.ndarray, "N"]]
    of_four_views: Mapping[str, Float[np.ndarray, "N"]]
    """Of the mean of all views' answers."""
    predicted_world_m: Float[Tensor, "N J 3"]
    frames: Int[np.ndarray, "N 5"]
    tier: str
    step: int
    """At which the tested checkpoint was written; 0 for a matrix."""
    seconds: float
    """Of the training, looks included."""
    is_falling: bool
    """Whether the validation people still said better and better at its end."""
    at_equal_seconds_mm: float
    """N-MPJPE of the validation people after that time; NaN without a training that long."""


def is_filled(recipe: Recipe, labels: Labels, config: LabelCurveConfig) -> bool:
    """Say whether a row has such a column."""
    given = {"rhodin": bool(config.rhodin), "seed": bool(config.thesis)}.get(recipe, True)
    wanted = {"none": recipe in WITH_FITS, "all": recipe == "oracle"}.get(labels, recipe != "oracle")
    return given and wanted


def cells_of(config: LabelCurveConfig) -> list[LabelledCell]:
    """List the cells, those of the first seed first, rows in the order of the setting."""
    return [LabelledCell(recipe, labels, seed) for seed in config.seeds for recipe in config.recipes
            for labels in config.labels if is_filled(recipe, labels, config)]  # fmt: skip


def encoder_path(cell: LabelledCell, config: LabelCurveConfig) -> Path:
    """Name the checkpoint of stage 1 that a cell starts from, or whose network it has."""
    paths = {"rhodin": config.rhodin, "seed": config.thesis}.get(cell.recipe, config.stage_1)
    return paths[config.seeds.index(cell.seed) % len(paths)]


def people_of(cell: LabelledCell, config: LabelCurveConfig) -> Subjects:
    """Say whose labels a cell reads."""
    who = config.subjects
    labelled = {"none": (), "all": who.train}.get(cell.labels, who.labelled)
    return replace(who, labelled=labelled)


def pose_config(cell: LabelledCell, config: LabelCurveConfig) -> PoseConfig:
    """Give the settings of a cell's training."""
    path, is_other = encoder_path(cell, config), cell.recipe in OTHER_ENCODERS
    usual = PRESETS[cell.recipe if is_other else "demo"]().pose
    stage_1 = load_encoder(path).config
    starts_anew = cell.recipe in ("supervised", "ours_without_stage_1", "imagenet", "random")
    steps = config.head_steps if is_other else config.steps
    looks = max(1, steps // config.looks)
    settings = replace(
        usual, encoder=None if starts_anew else path, mode="scratch" if starts_anew else "finetune",
        device=config.device, paths=config.paths, subjects=people_of(cell, config), batch=config.batch,
        sequences=NUM_SEQUENCES[cell.labels], sequences_seed=cell.seed, patience=config.patience,
        pseudo_labels=config.fits if cell.recipe in WITH_FITS else None,
        loop=Loop(seed=cell.seed, validate_every=looks, checkpoint_every=looks, pictures=0, workers=0,
                  threads=config.threads),
    )  # fmt: skip
    if is_other:
        settings = replace(settings, mode="frozen", optim=replace(usual.optim, steps=steps))
    else:
        is_pretrained, encoder = cell.recipe == "imagenet", stage_1.encoder
        if is_pretrained:
            encoder = replace(encoder, kind="heatmaps_imagenet")
        optim = replace(usual.optim, steps=steps, lr=config.lr * (IMAGENET_LR_FACTOR if is_pretrained else 1.0),
                        bf16=config.bf16 and not is_pretrained, warmup_steps=min(100, steps // 10))  # fmt: skip
        settings = replace(settings, optim=optim, augment=config.augment, in_memory=config.augment.needs_margin,
                           untrained=UntrainedEncoder(stage_1.crop, encoder))  # fmt: skip
    name = name_of(settings, config, cell.recipe in PROBED)
    return replace(settings, name=f"label_curve_{cell.recipe}_{cell.labels}_seed{cell.seed}_{name}")


def name_of(settings: PoseConfig, config: LabelCurveConfig, is_probed: bool) -> str:
    """Name everything a cell's result depends on, so that a finished cell is never taken for another."""
    plain = to_plain(settings)
    for free in ("name", "paths", "device", "encoder", "pseudo_labels", "loop", "in_memory"):
        del plain[free]
    loop = {"seed": settings.loop.seed, "validate_every": settings.loop.validate_every}
    files = [file_hash(path) for path in (settings.encoder, settings.pseudo_labels) if path is not None]
    index, matrix = file_hash(index_path(config.paths)), [PRIORS, config.prior_images]
    return fingerprint(plain, loop, files, index, config.every, matrix if is_probed else None)


def run_cell(cell: LabelledCell, config: LabelCurveConfig) -> Measured | None:
    """Train and test what is not yet trained and tested, and read the result; None where nothing may be trained."""
    settings = pose_config(cell, config)
    folder = config.paths.runs_location / "pose" / settings.name
    if not (folder / "metrics.json").exists():
        if config.only_finished:
            return None
        if cell.recipe in PROBED:
            probe(cell, config, folder)
        else:
            train_once(train_3d_pose_from_enc.main, settings, folder, folder / "metrics.json")
            tested = TestPoseConfig(folder / "checkpoint_best.pt", device=config.device, paths=config.paths)
            test_pose.main(replace(tested, subjects=config.subjects.test, every=config.every))
    return read_cell(folder, config.equal_seconds, trained=cell.recipe not in PROBED)


def probe(cell: LabelledCell, config: LabelCurveConfig, folder: Path) -> None:
    """Read joints off an encoder's points by one matrix, and keep what it says of the test people."""
    who, path = people_of(cell, config), encoder_path(cell, config)
    stored = load_encoder(path)
    crops = CropSettings(stored.config.crop)
    count = NUM_SEQUENCES[cell.labels]
    labelled = PoseData(config.paths, frames_of(who, "train", count, cell.seed), crops)
    chosen_by = PoseData(config.paths, frames_of(who, "held_out", count, cell.seed), crops)
    if cell.recipe == "random":
        stored = untrained(stored, labelled, cell.seed)
    network = stored.network.to(choose_device(config.device)).eval()
    tested = PoseData(config.paths, FrameChoice(who.test, every=config.every), crops)
    choosing, test = (read_points(network, data, config.batch) for data in (chosen_by, tested))
    found = fit_to_labels(network, labelled, config.prior_images, choosing, config.batch)
    inputs = {"checkpoint": path, "index": index_path(config.paths)}
    folder.mkdir(parents=True, exist_ok=True)
    split = f"one matrix, its prior ({found.prior}) worth {found.prior_images:g} images"
    save_predictions(
        folder / "predictions.npz", split, test.frames, inputs, true_root_m=test.joints_m.numpy(),
        predicted_root_m=read_joints(found.weights, test.points_m).numpy(),
        R_crop_from_world=test.R_crop_from_world.numpy(), step=np.array(0),
    )  # fmt: skip
    told = {"prior_images": found.prior_images, "prior": found.prior}
    save_metrics(folder / "metrics.json", split, test.frames, inputs, told,
                 reads=stored.reads | found.labels_read, at_test=tested.reads())  # fmt: skip


def untrained(stored: StoredEncoder, labelled: PoseData, seed: int) -> StoredEncoder:
    """Build the same encoder from random weights, with statistics of real images."""
    torch.manual_seed(seed)
    network = build_encoder_decoder(stored.config)
    calibrate_batchnorm(network, labelled.some_images(256))
    return stored._replace(network=network, reads=NOTHING)


def read_cell(folder: Path, equal_seconds: float, trained: bool) -> Measured:
    """Measure the stored predictions of a cell, one view and the mean of all."""
    _, stored = load_predictions(folder / "predictions.npz", COMMAND)
    predicted, true, R = (
        torch.from_numpy(stored[name]) for name in ("predicted_root_m", "true_root_m", "R_crop_from_world")
    )
    frames, world_m = stored["frames"], predicted @ R
    told = load_metrics(folder / "metrics.json", COMMAND)
    history = load_history(folder / "history.jsonl") if trained else []
    looks = [(line["elapsed_s"], line["step"], line[LOOK]) for line in history if LOOK in line]
    best_step = min(looks, key=lambda look: look[2])[1] if looks else 0
    in_time = [error for seconds, _, error in looks if seconds <= equal_seconds]
    has_ended = bool(looks) and looks[-1][0] <= equal_seconds
    return Measured(
        as_arrays(pose_errors(predicted, true, R)),
        as_arrays(pose_errors(mean_of_views(world_m, frames) @ R.mT, true, R)),
        world_m, frames, told["tier"], int(stored["step"]), looks[-1][0] if looks else 0.0,
        bool(looks) and best_step > FALLING_SHARE * looks[-1][1],
        min(in_time) if in_time or has_ended else float("nan"),
    )  # fmt: skip


def mean_of_views(pose_world_m: Float[Tensor, "N J 3"], frames: Int[np.ndarray, "N 5"]) -> Float[Tensor, "N J 3"]:
    """Average the poses that all views of an instant say, in world axes."""
    instant = torch.from_numpy(np.unique(frames[:, [0, 1, 2, 4]], axis=0, return_inverse=True)[1].reshape(-1))
    total = torch.zeros(int(instant.max()) + 1, *pose_world_m.shape[1:]).index_add_(0, instant, pose_world_m)
    return (total / instant.bincount()[:, None, None])[instant]


def as_arrays(errors: Mapping[str, Float[Tensor, "N"]]) -> dict[str, Float[np.ndarray, "N"]]:
    """Take errors out of their tensors."""
    return {name: values.double().numpy() for name, values in errors.items()}


Row = dict[str, Any]
Errors = Sequence[Mapping[str, Float[np.ndarray, "N"]]]


def numbers(errors: Errors, frames: Int[np.ndarray, "N 5"], alone: tuple[int, ...]) -> Row:
    """Average a row over seeds and frames, over all test people and over some of them alone."""
    found: Row = {}
    for name, measure in MEASURES.items():
        values = np.stack([one[measure] for one in errors])
        known = np.isfinite(values).all(axis=0)
        within = mean_interval(values[:, known], frames[known])
        found[name] = round(within.mean, 2)
        if name == "n_mpjpe_mm":
            found["n_mpjpe_mm_interval"] = [round(within.low, 2), round(within.high, 2)]
        if alone and name in ("n_mpjpe_mm", "p_mpjpe_mm"):
            is_theirs = known & np.isin(frames[:, 0], alone)
            found[f"{name}_{'_'.join(f'S{one}' for one in alone)}"] = round(float(values[:, is_theirs].mean()), 2)
    return found


def rows_of_cells(results: Mapping[LabelledCell, Measured], alone: tuple[int, ...]) -> list[Row]:
    """Make the table's rows of everything that was trained: one view, four views, and equal seconds."""
    rows = []
    for recipe, labels in dict.fromkeys((cell.recipe, cell.labels) for cell in results):
        seeds = {cell.seed: one for cell, one in results.items() if (cell.recipe, cell.labels) == (recipe, labels)}
        cells = list(seeds.values())
        about = {"recipe": recipe, "labels": labels}
        told = {"budget": "plateau", "seeds": list(seeds), "reads": " / ".join(sorted({one.tier for one in cells}))}
        trained = {"steps": [one.step for one in cells], "seconds": [round(one.seconds) for one in cells],
                   "still_falling": any(one.is_falling for one in cells)}  # fmt: skip
        for views in (1, 4):
            errors = [one.errors if views == 1 else one.of_four_views for one in cells]
            rows.append(about | {"views": views} | told | numbers(errors, cells[0].frames, alone) | trained)
        early = [one.at_equal_seconds_mm for one in cells]
        if np.isfinite(early).all():
            rows.append(about | {"views": 1} | told | {"budget": "equal_seconds", "people": "validation",
                        "n_mpjpe_mm": round(float(np.mean(early)), 2)})  # fmt: skip
    return rows


def rows_without_image(
    config: LabelCurveConfig, results: Mapping[LabelledCell, Measured], alone: tuple[int, ...]
) -> list[Row]:
    """Measure poses that need no image, by each column's labels, and one at the heading that a network reads."""
    who = config.subjects
    crop = CropSettings(load_encoder(config.stage_1[0]).config.crop)
    test = PoseData(config.paths, FrameChoice(who.test, every=config.every), crop)
    true_root_m, R, frames = test.labels_root_m(), test.turns_from_world(), test.table.frames[test.rows]
    names = {"constant_any_heading": "constant_pose", "constant": "constant_pose_true_heading",
             "retrieval": "nearest_label_true_heading"}  # fmt: skip
    rows = []
    for labels in (one for one in config.labels if one not in ("none", "all")):
        found: dict[str, list[Any]] = {name: [] for name in (*names, "constant_predicted_heading")}
        for seed in config.seeds if NUM_SEQUENCES[labels] else config.seeds[:1]:
            given = labels_world_m(test.table, who.labelled, who.held_out, NUM_SEQUENCES[labels], seed)
            poses = reference_poses(given, true_root_m, R, test.table.skeleton)
            for name, key in names.items():
                found[name].append(as_arrays(pose_errors(poses[key], true_root_m, R)))
            network = next((results[cell] for recipe in ("ours", "stage_1_finetuned")
                            if (cell := LabelledCell(recipe, labels, seed)) in results), None)  # fmt: skip
            if network is not None:
                at_heading = constant_at(given, network.predicted_world_m) @ R.mT
                found["constant_predicted_heading"].append(as_arrays(pose_errors(at_heading, true_root_m, R)))
        for name, errors in found.items():
            if errors:
                reads = Reads(joints=frozenset(who.labelled)).tier
                reads += " + a network's heading" * (name == "constant_predicted_heading")
                rows.append({"recipe": name, "labels": labels, "views": 1, "budget": "plateau",
                             "seeds": list(config.seeds[: len(errors)]), "reads": reads,
                             **numbers(errors, frames, alone)})  # fmt: skip
    return rows


def constant_at(labels_m: Float[Tensor, "L J 3"], found_world_m: Float[Tensor, "N J 3"]) -> Float[Tensor, "N J 3"]:
    """Turn the median label to the headings of found poses."""
    median = without_heading(without_heading(labels_m).median(dim=0).values[None])
    return turned_by_headings(median.expand_as(found_world_m), headings_world_rad(found_world_m))


WANTED: tuple[tuple[Recipe, Labels, Recipe, Labels, float | None], ...] = (
    ("ours", "none", "ours", "S1", 1.05), ("ours", "1", "supervised", "1", 0.45),
    ("ours", "3", "supervised", "3", 0.50), ("ours", "10", "supervised", "10", None),
    ("ours", "S1", "supervised", "S1", 0.70), ("ours", "S1", "rhodin", "S1", 0.55),
    ("stage_1_frozen", "1", "supervised", "1", None), ("stage_1_frozen", "3", "supervised", "3", None),
    ("stage_1_frozen", "10", "supervised", "10", None), ("stage_1_frozen", "S1", "supervised", "S1", None),
    ("stage_1_finetuned", "1", "supervised", "1", None), ("stage_1_finetuned", "3", "supervised", "3", None),
    ("stage_1_finetuned", "10", "supervised", "10", None), ("stage_1_finetuned", "S1", "supervised", "S1", None),
    ("ours", "none", "ours_without_stage_1", "none", None), ("ours", "S1", "ours_without_stage_1", "S1", None),
    ("ours", "S1", "seed", "S1", None), ("ours", "S1", "imagenet", "S1", None), ("ours", "S1", "oracle", "all", None),
)  # fmt: skip
"""Ratios that are told, N-MPJPE of the first over that of the second, and the most that is wanted."""


def ratios(results: Mapping[LabelledCell, Measured], seeds: tuple[int, ...]) -> list[Row]:
    """Divide rows by others, paired over sequences and seeds that both have."""
    found = []
    for recipe, labels, other, other_labels, most in WANTED:
        both = [seed for seed in seeds if LabelledCell(recipe, labels, seed) in results
                and LabelledCell(other, other_labels, seed) in results]  # fmt: skip
        if not both:
            continue
        mine, others = (
            np.stack([results[LabelledCell(*key, seed)].errors["n_mpjpe_17_mm"] for seed in both])
            for key in ((recipe, labels), (other, other_labels))
        )
        percent = compare(mine, others, results[LabelledCell(recipe, labels, both[0])].frames).percent
        found.append({"recipe": recipe, "labels": labels, "over_recipe": other, "over_labels": other_labels,
                      "n_mpjpe_ratio": round(1 + percent.mean / 100, 3), "seeds": both,
                      "interval": [round(1 + percent.low / 100, 3), round(1 + percent.high / 100, 3)],
                      "at_most": most})  # fmt: skip
    return found


def markdown(rows: Sequence[Row], divided: Sequence[Row], protocol: str) -> list[str]:
    """Write N and P by recipe and labels, the ratios below, and the protocol."""
    one_view = [row for row in rows if row["budget"] == "plateau" and row["views"] == 1]
    columns = list(dict.fromkeys(sorted((row["labels"] for row in one_view), key=list(NUM_SEQUENCES).index)))
    table = {}
    for recipe in (name for name in RECIPES if any(row["recipe"] == name for row in one_view)):
        by_labels = {row["labels"]: row for row in one_view if row["recipe"] == recipe}
        reads = " / ".join(dict.fromkeys(row["reads"] for row in by_labels.values()))
        table[f"`{recipe}`: {RECIPES[recipe]}"] = [reads, *(written(by_labels.get(one)) for one in columns)]
    titles = {"none": "no labels", "1": "1 sequence", "S1": "all of S1", "all": "everybody's"}
    lines = table_lines(table, ["reads", *(titles.get(one, f"{one} sequences") for one in columns)])
    told = {f"{one['recipe']}, {one['labels']} / {one['over_recipe']}, {one['over_labels']}": [
        f"{one['n_mpjpe_ratio']:.2f} [{one['interval'][0]:.2f}, {one['interval'][1]:.2f}]",
        "" if one["at_most"] is None else f"{one['at_most']:.2f}",
    ] for one in divided}  # fmt: skip
    return [*lines, "", "N-MPJPE over N-MPJPE, paired over sequences:", "",
            *table_lines(told, ["ratio", "wanted at most"]), "", protocol]  # fmt: skip


def written(row: Row | None) -> str:
    """Write N with its interval and P; a star where the training still got better."""
    if row is None:
        return "–"
    low, high = row["n_mpjpe_mm_interval"]
    n_mm = written_interval({"mean": row["n_mpjpe_mm"], "low": low, "high": high}, 1)
    return f"{n_mm} / {row['p_mpjpe_mm']:.1f}{'*' * row.get('still_falling', False)}"


def protocol_of(config: LabelCurveConfig, num_frames: int, results: Mapping[LabelledCell, Measured]) -> str:
    """Say how the numbers came about."""
    who, stage_1 = config.subjects, load_encoder(config.stage_1[0]).config
    labelled, test, choosing, train = (", ".join(f"S{one}" for one in some)
                                       for some in (who.labelled, who.test, who.validation, who.train))  # fmt: skip
    seeds = sorted({cell.seed for cell in results})
    return (
        f"N-MPJPE [95 % bootstrap over sequences and seeds] / P-MPJPE in mm; tested on {test}: {num_frames} images, 17 "
        f"joints about the pelvis, one view unless said, no mirrored image, crop centred on {stage_1.crop.centre}, "
        f"{stage_1.crop.size_px} px; seeds {', '.join(map(str, seeds))}. Labels: of {labelled}, never of the "
        f"{len(who.held_out)} held-out sequences; people behind stage 1, rooms and fits: {train}. Every training that "
        f"changes the encoder: at most {config.steps} steps of {config.batch} images, cosine step size, ended after "
        f"{config.patience} of {config.looks} looks at {choosing} without a better one; they choose checkpoint and "
        "prior in every row alike, and are in no training or test. *: the best look came in the last third, so that it "
        f"was still getting better. Rows of equal_seconds (json): validation people after {config.equal_seconds:g} s."
        + "".join(f" {told}" for told in told_of_other_encoders(config, results))
    )


def told_of_other_encoders(config: LabelCurveConfig, results: Mapping[LabelledCell, Measured]) -> list[str]:
    """Say how long encoders of presets rhodin and seed were trained, which decides what they are worth."""
    told = []
    for recipe in (one for one in OTHER_ENCODERS if any(cell.recipe == one for cell in results)):
        stored = load_encoder(encoder_path(LabelledCell(recipe, "S1", config.seeds[0]), config))
        paper = PRESETS[recipe]().enc_dec.optim.steps
        told.append(f"Stage 1 of {recipe}: {stored.step} steps of {4 * stored.config.groups} images (the preset: "
                    f"{paper}), crop centred on {stored.config.crop.centre}, {stored.config.crop.size_px} px; its head "
                    f"behind it, frozen: {config.head_steps} steps.")  # fmt: skip
    return told


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as a table for other programs."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)


def main(config: LabelCurveConfig) -> Path:
    """Fill the cells, write and print the table; return the json's path.

    Raises:
        ValueError: no cell is there and none may be trained.
    """
    filled = {cell: run_cell(cell, config) for cell in tqdm(cells_of(config), desc="label_curve", disable=None)}
    results = {cell: found for cell, found in filled.items() if found is not None}
    if not results:
        raise ValueError(f"no cell is finished under {config.paths.runs_location / 'pose'}; leave out --only-finished")
    alone = (9, 11) if set(config.subjects.test) > {9, 11} else ()
    rows = rows_without_image(config, results, alone) + rows_of_cells(results, alone)
    divided, num_frames = ratios(results, config.seeds), len(next(iter(results.values())).frames)
    protocol = protocol_of(config, num_frames, results)
    save_result(config.output, protocol, rows=rows, ratios=divided)
    write_csv(config.output.with_suffix(".csv"), rows)
    with atomic_write(config.figure) as partial:
        label_curve_figure(rows).savefig(partial, format="png")
    print(write_markdown(config.output, markdown(rows, divided, protocol)))
    return config.output


if __name__ == "__main__":
    start(main, LabelCurveConfig)
