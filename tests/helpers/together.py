"""Trains stages on a tiny data set, alone or under torchrun, so that both can be compared.

python -m tests.helpers.together FOLDER NAME STAGE...    trains stages on FOLDER's data into FOLDER/runs/*/NAME_STAGE;
                                                         NAME:2 ends after two steps, and a run that is there goes on
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from config import ImageAugmentation, MeshLoss, Optim, Paths, PoseHeadConfig, UnpairedPoses
from tests.helpers.every_stage import LOOP, settings_of, train_one
from utils.history import load_history

CHANGES = ImageAugmentation(
    roll_rad=0.3, shift_m=0.1, colour=0.5, permute_channels=True, scale=0.15, mirror=0.5, background=0.7,
    saturation=1.0, photo=0.5, occluders=0.7, border=0.3, end=0.5,
)  # fmt: skip
OPTIM = Optim(steps=3, lr=1e-3, warmup_steps=0, schedule="constant", bf16=False)
BEFORE = ("enc_dec", "gan")
"""Stages that others build on; trained alone, under the name tiny."""
FOLDER_OF = {"points": "enc_dec", "pose_maps": "pose", "mesh_maps": "mesh"}
"""Where runs lie that are not named like their stage."""


def paths_in(folder: Path) -> Paths:
    """Say where the data set lies that every_stage.write_data wrote, and the runs."""
    names = ("frames", "masks", "backgrounds", "index", "truth")
    h36m, masks, backgrounds, index, truth = (folder / name for name in names)
    return Paths(h36m_location=h36m, masks_location=masks, backgrounds_location=backgrounds, index_location=index,
                 truth_location=truth, runs_location=folder / "runs")  # fmt: skip


def batches_of(stage: str, paths: Paths) -> dict[str, Any]:
    """Give batches that four processes share evenly, and settings with everything that is drawn or averaged."""
    maps = {"encoder": paths.runs_location / "enc_dec" / "tiny_points" / "checkpoint_best.pt", "mode": "finetune"}
    by_stage: dict[str, dict[str, Any]] = {
        "enc_dec": {"groups": 4, "augment": ImageAugmentation(colour=0.5, permute_channels=True)},
        "points": {"groups": 4, "augment": replace(CHANGES, background=0.0)},
        "pose": {"batch": 8, "head": PoseHeadConfig(hidden=32, dropout=0.3)},
        "pose_maps": maps | {"batch": 8, "augment": CHANGES, "head": PoseHeadConfig()},
        "gan": {"batch": 32},
        "mesh": {"batch": 8, "silhouette_batch": 4, "loss": MeshLoss(balance=True)},
        "mesh_maps": maps | {"batch": 8, "silhouette_batch": 4, "augment": CHANGES, "in_memory": True,
                             "loss": MeshLoss(balance=True), "unpaired": UnpairedPoses(steps=0)},
        "masks": {"batch": 8, "parts": 4},
        "lifter": {"batch": 8, "parts": 4},
    }  # fmt: skip
    return by_stage[stage]


def train_together(stage: str, paths: Paths, name: str, steps: int = OPTIM.steps) -> None:
    """Train a stage with as many processes as there are, or go on with it."""
    kind = "pose" if stage == "pose_maps" else "mesh" if stage == "mesh_maps" else stage
    main_of_stage, config = settings_of(kind, paths, replace(LOOP, pictures=0, auto_resume=True))
    main: Callable[[Any], float] = main_of_stage
    main(replace(config, name=f"{name}_{stage}", optim=replace(OPTIM, steps=steps), **batches_of(stage, paths)))


def prepare(paths: Paths) -> None:
    """Train what other stages build on."""
    for stage in BEFORE:
        train_one(stage, paths, resume=False, pictures=0)
    train_together("points", paths, "tiny")


def losses_of(paths: Paths, name: str, stage: str) -> list[dict[str, float]]:
    """Read what a training logged."""
    records = load_history(paths.runs_location / FOLDER_OF.get(stage, stage) / f"{name}_{stage}" / "history.jsonl")
    return [{key: value for key, value in record.items() if key not in ("elapsed_s",)} for record in records]


def largest_difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> tuple[float, str]:
    """Give the largest relative difference of two histories, and where it is."""
    assert all(a.keys() <= b.keys() for a, b in zip(one, other, strict=True))  # a run that ended early validated more
    found = [
        (abs(a[key] - b[key]) / max(1e-3, abs(a[key])), f"{key} of step {a['step']}")
        for a, b in zip(one, other, strict=True) for key in a
    ]  # fmt: skip
    return max(found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    where, (called, _, until) = paths_in(Path(sys.argv[1])), sys.argv[2].partition(":")
    for each in sys.argv[3:]:
        if each == "before":
            prepare(where)
        else:
            train_together(each, where, called, int(until or OPTIM.steps))
