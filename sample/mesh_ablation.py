"""Show what each loss of stage 4 brings: trainings that leave terms out, and the predecessor's, over several seeds.

    python sample/mesh_ablation.py --encoder models/assets/open_weights.pt --prior runs/gan/demo/checkpoint_best.pt

Reads   checkpoints of stage 1 and of the prior, the index, the crops; test subjects through sample/test_SMPL.py only
Writes  runs/mesh/ablation_*/ (one run per cell, kept: stop and start again at will),
        tests/benchmarks/results/mesh_ablation.{json,md}
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from config import MeshAblationConfig, MeshConfig, MeshLoss, Optim, TestMeshConfig, seed
from sample import test_SMPL, train_SMPL_from_enc
from utils import mesh_table
from utils.artifacts import file_hash
from utils.mesh_table import MeshCell
from utils.settings import start, to_plain

Recipe = Literal["pose", "verts", "gan", "all", "seed"]
ROWS: dict[Recipe, str] = {
    "pose": "L_pose alone",
    "verts": "L_pose + L_verts",
    "gan": "L_pose + L_gan",
    "all": "L_pose + L_verts + L_gan",
    "seed": "head and weights of preset `seed`",
}
NEEDS_PRIOR: tuple[Recipe, ...] = ("gan", "all")
MASK_TERMS = {"overlap": 0.0, "outside": 0.0, "reach": 0.0}


class Cell(NamedTuple):
    """One training run of the comparison."""

    recipe: Recipe
    seed: int


def loss_of(recipe: Recipe, loss: MeshLoss) -> MeshLoss:
    """Leave out the terms that a row does without."""
    without_prior = loss if recipe in NEEDS_PRIOR else replace(loss, prior=0.0)
    return without_prior if recipe in ("verts", "all") else replace(without_prior, **MASK_TERMS)


def mesh_config(cell: Cell, config: MeshAblationConfig) -> MeshConfig:
    """Give the settings of a cell's training; they differ in the losses, and for preset seed in the head too."""
    settings = MeshConfig(
        encoder=config.encoder, prior=config.prior if cell.recipe in NEEDS_PRIOR else None, device=config.device,
        paths=config.paths, subjects=config.subjects, silhouettes_of=config.silhouettes_of, head=config.head,
        loss=loss_of(cell.recipe, config.loss), augment=config.augment, batch=config.batch,
        silhouette_batch=config.silhouette_batch, optim=Optim(steps=config.steps, lr=config.lr), validate_frames=10,
        loop=replace(config.loop, seed=cell.seed, validate_every=config.steps, checkpoint_every=config.steps),
    )  # fmt: skip
    if cell.recipe == "seed":
        its = seed().mesh
        settings = replace(settings, head=replace(config.head, kind=its.head.kind), loss=its.loss,
                           silhouettes_of=config.subjects.labelled)  # fmt: skip
    return replace(settings, name=f"ablation_{cell.recipe}_seed{cell.seed}_{fingerprint(settings)}")


def fingerprint(settings: MeshConfig | TestMeshConfig) -> str:
    """Name everything a result depends on, so that a finished cell is never taken for another."""
    plain = to_plain(settings)
    files = {name: plain.pop(name, None) for name in ("encoder", "prior")}
    files |= {"index": settings.paths.index_location / "index.npz", "body": settings.paths.models_smpl_location}
    for free in ("name", "paths", "device", "checkpoint", "out"):
        plain.pop(free, None)
    if isinstance(settings, MeshConfig):
        plain["loop"] = settings.loop.seed
    hashes = {name: file_hash(Path(path)) for name, path in files.items() if path is not None}
    return hashlib.sha256(json.dumps([plain, hashes], sort_keys=True).encode()).hexdigest()[:8]


def run_cell(cell: Cell, config: MeshAblationConfig) -> MeshCell:
    """Train and test what is not yet trained and tested, and read the result."""
    settings = mesh_config(cell, config)
    folder = config.paths.runs_location / "mesh" / settings.name
    checkpoint = folder / "checkpoint_best.pt"
    if not checkpoint.exists():
        train_SMPL_from_enc.main(replace(settings, loop=replace(settings.loop, overwrite=folder.exists())))
    test = TestMeshConfig(checkpoint=checkpoint, device=config.device, paths=config.paths, every=config.every,
                          subjects=config.subjects.test, prior=config.prior, examples=1)  # fmt: skip
    tested = folder / f"test_{fingerprint(test)}"
    if not (tested / "metrics.json").exists():
        test_SMPL.main(replace(test, out=tested))
    return mesh_table.read_cell(tested)


def main(config: MeshAblationConfig) -> Path:
    """Fill the table, write and print it; return the json's path."""
    rows = {recipe: title for recipe, title in ROWS.items() if config.prior is not None or recipe not in NEEDS_PRIOR}
    cells = [Cell(recipe, number) for number in config.seeds for recipe in rows]
    results = {cell: run_cell(cell, config) for cell in tqdm(cells, desc="mesh_ablation", disable=None)}
    frames = results[cells[0]].frames
    if not all(np.array_equal(result.frames, frames) for result in results.values()):
        raise ValueError("the cells were tested on different frames; delete the folders test_* of "
                         f"{config.paths.runs_location / 'mesh'}/ablation_* and start again")  # fmt: skip
    if len({result.prior_hash for result in results.values()}) > 1:
        raise ValueError(f"{config.prior} changed while the table was filled; start again (what does not depend on it "
                         "is kept)")  # fmt: skip
    table = {title: [results[Cell(recipe, number)] for number in config.seeds] for recipe, title in rows.items()}
    print(mesh_table.write_table(config, table, ROWS["pose"]))
    return config.output


if __name__ == "__main__":
    start(main, MeshAblationConfig)
