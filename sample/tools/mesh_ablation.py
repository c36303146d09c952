"""Show what each loss of stage 4 brings, and what is amiss with the thesis' recipe, by trainings over several seeds.

    python sample/tools/mesh_ablation.py --encoder models/assets/open_weights.pt \
        --prior runs/gan/demo/checkpoint_best.pt
    python sample/tools/mesh_ablation.py --study thesis --encoder runs/enc_dec/demo/checkpoint_best.pt \
        --prior models/assets/open_prior.pt --thesis-prior runs/gan/seed/checkpoint_best.pt

losses: rows leave terms out.  thesis: preset seed, and the same with one thing changed; its prior is trained with
`sample/train_GAN.py --preset seed`.

Reads   checkpoints of stage 1 and of the prior, the index, the crops; test subjects through sample/test_SMPL.py only
Writes  runs/mesh/ablation_*/ (one run per cell, kept: stop and start again at will),
        tests/benchmarks/results/mesh_ablation.{json,md}, or thesis_changes.{json,md}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from config import (
    ROOT,
    Device,
    ImageAugmentation,
    Loop,
    MeshConfig,
    MeshHeadConfig,
    MeshLoss,
    Optim,
    Paths,
    Subjects,
    ranged,
    seed,
    setting,
)
from sample import test_SMPL, train_SMPL_from_enc
from sample.test_SMPL import TestMeshConfig
from sample.tools.experiment import (
    Cell,
    Column,
    Row,
    Tested,
    difference,
    fingerprint,
    run_cells,
    summarise,
    table_lines,
    tier_of_row,
    train_once,
    values_of,
    write_markdown,
    written_row,
)
from utils.artifacts import file_hash, load_metrics, load_predictions, save_result
from utils.metrics import FRONT_DEGREES
from utils.report.summaries import BACKWARDS_DEGREES
from utils.settings import start, to_plain
from utils.tiers import NOT_RECORDED


@dataclass(frozen=True)
@ranged()
class MeshAblationConfig:
    """sample/tools/mesh_ablation.py: what losses and recipes of stage 4 bring on unseen people, over several seeds."""

    encoder: Path
    """checkpoint_best.pt of stage 1 or 2, the same for all rows, such as models/assets/open_weights.pt."""
    prior: Path | None = None
    """checkpoint_best.pt of stage 3; without it, the rows with L_gan and the prior's score are left out, and the
    thesis' row does without L_gan."""
    thesis_prior: Path | None = None
    """checkpoint_best.pt of stage 3 by preset seed, which sees the root; for study thesis."""
    study: Literal["losses", "thesis"] = "losses"
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    silhouettes_of: tuple[int, ...] = (1, 5, 6, 7, 8)
    """Of all rows but the thesis', which has the labelled subjects."""
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = setting(500, low=1)
    """Of each training; the checkpoint of the last one is tested."""
    lr: float = 1e-3
    head: MeshHeadConfig = field(default_factory=MeshHeadConfig)
    """Of all rows but the thesis'."""
    loss: MeshLoss = field(default_factory=MeshLoss)
    """Of the row with all terms; other rows leave terms out."""
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    """The same for every row."""
    batch: int = setting(24, low=2)  # batch norm needs two
    silhouette_batch: int = setting(8, low=1)
    loop: Loop = field(default_factory=lambda: Loop(threads=1))
    """Its seed is replaced by each of `seeds`; it validates once, at the end; resume and overwrite
    are decided cell by cell."""
    every: int = setting(8, low=1)
    """Test on every n-th frame."""
    output: Path | None = None
    """The numbers; none: tests/benchmarks/results/mesh_ablation.json, or thesis_changes.json.  A markdown table of the
    same name lies beside it."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("seeds needs at least one value")
        if not (self.loss.pose and self.loss.uses_masks):
            raise ValueError(
                "loss.pose and the terms of masks must have weights: the rows are made by leaving out terms"
            )
        if self.study == "thesis" and (self.prior is None or self.thesis_prior is None):
            raise ValueError("study thesis compares a prior that sees the root with one that does not; give "
                             "--thesis-prior (sample/train_GAN.py --preset seed) and --prior")  # fmt: skip
        if self.prior is not None and not self.loss.prior:
            raise ValueError("prior is given, but loss.prior is 0, so L_gan would do nothing; set --loss.prior 0.12")


COMMAND = "python sample/tools/mesh_ablation.py"
MEAN_BODY = "mean body"
COLUMNS = {
    "mpjpe_17_mm": Column("mpjpe_17_mm"),
    "p_mpjpe_17_mm": Column("p_mpjpe_17_mm"),
    "vertex_mm": Column("vertex_mm"),
    "pa_vertex_mm": Column("pa_vertex_mm"),
    "iou_all_views_percent": Column("iou_all_views_percent"),
    "prior_score": Column("prior_score"),
    "away_pa_vertex_mm": Column("pa_vertex_mm", only_away=True),
    "away_yaw_median_degrees": Column("yaw_error_degrees", "median", True, "median_degrees"),
    "away_beyond_90_degrees_percent": Column("backwards_percent", "mean", True, "beyond_90_degrees_percent"),
}


def read_cell(folder: Path) -> Tested:
    """Read the errors that sample/test_SMPL.py stored."""
    provenance, stored = load_predictions(folder / "predictions.npz", COMMAND)
    told = load_metrics(folder / "metrics.json", COMMAND)
    names = {column.measure for column in COLUMNS.values()} & stored.keys()
    errors = {name: stored[name].astype(float) for name in names}
    errors["backwards_percent"] = 100.0 * (errors["yaw_error_degrees"] > BACKWARDS_DEGREES)
    is_away = np.abs(np.rad2deg(stored["facing_rad"])) >= 180 - FRONT_DEGREES
    more = {"metrics": told["metrics"], "prior_hash": provenance["input_hashes"].get("prior", ""),
            "tier_of": told.get("tier_of", {})}  # fmt: skip
    return Tested(errors, stored["frames"], int(stored["step"]), is_away, more, told.get("tier", NOT_RECORDED))


def known_columns(table: Mapping[str, Sequence[Tested]]) -> dict[str, Column]:
    """List the columns that all rows can fill."""
    cells = [cell for seeds in table.values() for cell in seeds]
    return {key: column for key, column in COLUMNS.items()
            if all(column.measure in cell.errors for cell in cells) and values_of(cells, column)[1].size}  # fmt: skip


def mean_body_row(cell: Tested, columns: Mapping[str, Column]) -> Row:
    """Take the errors of the mean body, which needs no training, from a tested run; empty if it has none."""
    found = cell.more["metrics"].get("mean_body", {})
    away = found.get("yaw", {}).get("away", {})
    known = found.get("overall", {}) | {f"away_{key}": value for key, value in away.items()}
    known["away_yaw_median_degrees"] = away.get("median_degrees")
    return {key: known[key] for key in columns if isinstance(known.get(key), dict)}


def protocol(config: MeshAblationConfig, cell: Tested) -> str:
    """Say how the numbers came about."""
    labelled, test, seen = (", ".join(f"S{number}" for number in who) for who in (
        config.subjects.labelled, config.subjects.test, config.silhouettes_of))  # fmt: skip
    rows = (f"Weights: {weights_of(config)}; rows leave terms out; preset `seed` has its own head (tanh on axis-angle) "
            "and weights, but the prior, optimiser and augmentation of the others.") if config.study == "losses" else (
            "Rows change one thing in the head, the losses and the prior of preset `seed`; optimiser and augmentation "
            "are ours.")  # fmt: skip
    score = "" if config.prior is None else (
        "The prior's score is that of the discriminator that L_gan trains against, mean over its parts. ")  # fmt: skip
    return (
        f"{len(config.seeds)} seeds of {config.steps} steps, {config.batch} labelled images of {labelled} and "
        f"{config.silhouette_batch} images of {seen} a step (the same images in every row, but preset `seed` sees "
        f"{labelled} alone), cropped and bodies placed as the encoder was trained; one frozen encoder, the same "
        f"augmentation; the last step is tested. {rows} Tested on {test}, whose images no training read: "
        f"{len(cell.frames)} images (one frame in {config.every}, all "
        f"cameras), of which {np.count_nonzero(cell.is_away)} face away (within {FRONT_DEGREES}° of showing the back), "
        f"about the pelvis, 17 joints. {score}Brackets: 95 % bootstrap over sequences and seeds (not over encoders, "
        "which are one); "
        "differences: paired over the same sequences. The mean body averages the labelled training frames."
    )


def weights_of(config: MeshAblationConfig) -> str:
    """List the weights of the terms."""
    prior = ("prior",) if config.prior is not None else ()
    names = ("pose", "soft_iou", "mesh_to_mask", "mask_to_mesh", *prior, "betas")
    return ", ".join(f"{name} {getattr(config.loss, name):g}" for name in names)


def write_table(config: MeshAblationConfig, table: Mapping[str, Sequence[Tested]], baseline: str) -> str:
    """Write the json and the markdown table beside it; return the latter."""
    columns, first = known_columns(table), table[baseline][0]
    rows = {name: summarise(seeds, columns) for name, seeds in table.items()}
    rows |= {MEAN_BODY: mean} if (mean := mean_body_row(first, columns)) else {}
    gains = {f"{name} minus {baseline}": difference(seeds, table[baseline], columns)
             for name, seeds in table.items() if name != baseline}  # fmt: skip
    protocol_text = protocol(config, first)
    steps = {name: [cell.step for cell in seeds] for name, seeds in table.items()}
    tiers = {MEAN_BODY: first.more["tier_of"].get("mean_body", NOT_RECORDED)}
    tiers |= {name: tier_of_row(seeds) for name, seeds in table.items()}
    save_result(output_of(config), protocol_text, rows=rows, differences=gains,
                tiers={name: tiers[name] for name in rows}, steps_of_tested_checkpoint=steps)  # fmt: skip
    headings = [column.heading for column in columns.values()]
    written = {name: [tiers[name], *written_row(row, columns)] for name, row in rows.items()}
    differences = {name: written_row(row, columns) for name, row in gains.items()}
    told = f"Paired differences from {baseline}, negative is better except where more is better:"
    return write_markdown(output_of(config), [*table_lines(written, ["reads", *headings]), "", told, "",
                                          *table_lines(differences, headings), "", protocol_text])  # fmt: skip


Recipe = Literal[
    "pose", "verts", "gan", "all", "seed", "columns", "hips", "balanced", "standing", "no_root", "everybody", "changed"
]
ROWS: dict[Recipe, str] = {
    "pose": "L_pose alone",
    "verts": "L_pose + L_verts",
    "gan": "L_pose + L_gan",
    "all": "L_pose + L_verts + L_gan",
    "seed": "head and weights of preset `seed`",
}
THESIS_ROWS: dict[Recipe, str] = {
    "seed": "preset `seed`",
    "columns": "two columns of each rotation, no tanh",
    "hips": "hips compared",
    "balanced": "losses balanced by their gradients",
    "standing": "zeros make a standing person",
    "no_root": "a prior that does not see the root",
    "everybody": "masks of everybody",
    "changed": "all six changes",
}
"""Preset seed, and what is changed in it, one at a time."""
NEEDS_PRIOR: tuple[Recipe, ...] = ("gan", "all")
WITH_PRIOR: tuple[Recipe, ...] = (*NEEDS_PRIOR, "seed")
"""Rows that use a prior where one is given."""
MASK_TERMS = {"soft_iou": 0.0, "mesh_to_mask": 0.0, "mask_to_mesh": 0.0}


def loss_of(recipe: Recipe, loss: MeshLoss) -> MeshLoss:
    """Leave out the terms that a row does without."""
    without_prior = loss if recipe in NEEDS_PRIOR else replace(loss, prior=0.0)
    return without_prior if recipe in ("verts", "all") else replace(without_prior, **MASK_TERMS)


def mesh_config(cell: Cell[Recipe], config: MeshAblationConfig) -> MeshConfig:
    """Give the settings of a cell's training; they differ in the losses, and for preset seed in the head too."""
    settings = MeshConfig(
        encoder=config.encoder, prior=config.prior if cell.recipe in WITH_PRIOR else None, device=config.device,
        paths=config.paths, subjects=config.subjects, silhouettes_of=config.silhouettes_of, head=config.head,
        loss=loss_of(cell.recipe, config.loss), augment=config.augment, batch=config.batch,
        silhouette_batch=config.silhouette_batch, optim=Optim(steps=config.steps, lr=config.lr), validate_frames=10,
        loop=replace(config.loop, seed=cell.seed, validate_every=config.steps, checkpoint_every=config.steps),
    )  # fmt: skip
    if config.study == "thesis":
        settings = thesis_config(cell.recipe, settings, config)
    elif cell.recipe == "seed":
        its = seed().mesh
        loss = replace(its.loss, prior_sees_root=False, prior=its.loss.prior if config.prior is not None else 0.0)
        settings = replace(settings, head=replace(config.head, kind=its.head.kind), loss=loss,
                           silhouettes_of=config.subjects.labelled)  # fmt: skip
    return replace(settings, name=f"ablation_{cell.recipe}_seed{cell.seed}_{name_of(settings)}")


def thesis_config(recipe: Recipe, settings: MeshConfig, config: MeshAblationConfig) -> MeshConfig:
    """Give the thesis' settings with one of them changed, or with all."""

    def is_changed(name: Recipe) -> bool:
        return recipe in (name, "changed")

    its = seed().mesh
    head = replace(config.head, kind="parent" if is_changed("columns") else its.head.kind,
                   base="standing" if is_changed("standing") else "rest")  # fmt: skip
    loss = replace(its.loss, hips=is_changed("hips"), balance=is_changed("balanced"),
                   prior_sees_root=not is_changed("no_root"))  # fmt: skip
    who = config.silhouettes_of if is_changed("everybody") else config.subjects.labelled
    prior = config.prior if is_changed("no_root") else config.thesis_prior
    return replace(settings, head=head, loss=loss, silhouettes_of=who, prior=prior)


def name_of(settings: MeshConfig | TestMeshConfig) -> str:
    """Name everything a result depends on, so that a finished cell is never taken for another."""
    plain = to_plain(settings)
    files = {name: plain.pop(name, None) for name in ("encoder", "prior")}
    files |= {"index": settings.paths.index_location / "index.npz", "body": settings.paths.models_smpl_location}
    for free in ("name", "paths", "device", "checkpoint", "out"):
        plain.pop(free, None)
    if isinstance(settings, MeshConfig):
        plain["loop"] = settings.loop.seed
    hashes = {name: file_hash(Path(path)) for name, path in files.items() if path is not None}
    return fingerprint(plain, hashes)


def output_of(config: MeshAblationConfig) -> Path:
    """Say where the numbers go."""
    name = {"losses": "mesh_ablation", "thesis": "thesis_changes"}[config.study]
    return config.output or ROOT / "tests" / "benchmarks" / "results" / f"{name}.json"


def run_cell(cell: Cell[Recipe], config: MeshAblationConfig) -> Tested:
    """Train and test what is not yet trained and tested, and read the result."""
    settings = mesh_config(cell, config)
    folder = config.paths.runs_location / "mesh" / settings.name
    checkpoint = folder / "checkpoint_best.pt"
    train_once(train_SMPL_from_enc.main, settings, folder, checkpoint)
    test = TestMeshConfig(checkpoint=checkpoint, device=config.device, paths=config.paths, every=config.every,
                          subjects=config.subjects.test, prior=config.prior, examples=1)  # fmt: skip
    tested = folder / f"test_{name_of(test)}"
    if not (tested / "metrics.json").exists():
        test_SMPL.main(replace(test, out=tested))
    return read_cell(tested)


def main(config: MeshAblationConfig) -> Path:
    """Fill the table, write and print it; return the json's path."""
    rows = {recipe: title for recipe, title in ROWS.items() if config.prior is not None or recipe not in NEEDS_PRIOR}
    rows = THESIS_ROWS if config.study == "thesis" else rows
    cells = [Cell(recipe, number) for number in config.seeds for recipe in rows]
    remedy = f"the folders test_* of {config.paths.runs_location / 'mesh'}/ablation_*"
    results = run_cells("mesh_ablation", cells, lambda cell: run_cell(cell, config), remedy)
    if len({result.more["prior_hash"] for result in results.values()}) > 1:
        raise ValueError(f"{config.prior} changed while the table was filled; start again (what does not depend on it "
                         "is kept)")  # fmt: skip
    table = {title: [results[Cell(recipe, number)] for number in config.seeds] for recipe, title in rows.items()}
    print(write_table(config, table, next(iter(rows.values()))))
    return output_of(config)


if __name__ == "__main__":
    start(main, MeshAblationConfig)
