"""Trains every stage on a tiny data set, as often as it is started; a killed stage goes on where it stood.

python -m tests.helpers.every_stage FOLDER        trains all stages on its data, into `./runs`
python -m tests.helpers.every_stage FOLDER kill   the same, each killed in the middle of its third step and resumed
python -m tests.helpers.every_stage FOLDER plain  the same, without pictures at the validations
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from config import (
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    GanNetworkConfig,
    ImageAugmentation,
    ImageLoss,
    KeypointsConfig,
    KeypointsNetwork,
    Loop,
    MasksConfig,
    MasksNetwork,
    MeshConfig,
    MeshHeadConfig,
    Optim,
    Paths,
    PointsTeaching,
    PoseConfig,
    PoseHeadConfig,
    PoseSources,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from sample import (
    train_3d_pose_from_enc,
    train_enc_dec,
    train_GAN,
    train_SMPL_from_enc,
    train_SMPL_from_keypoints,
    train_SMPL_from_masks,
)
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.engine import Run

KILLED_AT = 3
"""The step in whose middle a run is killed; its last checkpoint is that of the step before."""
SUBJECTS = Subjects(train=(1, 5), labelled=(1,), test=(9,), held_out=((4, 1),))
LOOP = Loop(workers=0, threads=1, log_every=1, validate_every=4, checkpoint_every=2)
OPTIM = Optim(steps=6, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False)


def write_data(folder: Path) -> Paths:
    """Write the data set that all trainings read."""
    paths = write_tiny_h36m(folder, subjects=(1, 5), actions=(2, 3, 4), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=96, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    return paths


def settings_of(stage: str, paths: Paths, loop: Loop) -> tuple[Callable[[Any], float], Any]:
    """Give a stage's script and tiny settings; it reads what the stages before it left in the same folder of runs."""
    runs = paths.runs_location
    encoder, prior = (runs / name / "tiny" / "checkpoint_best.pt" for name in ("enc_dec", "gan"))
    common = {"name": "tiny", "device": "cpu", "paths": paths, "optim": OPTIM, "loop": loop}
    of_data = common | {"subjects": SUBJECTS}
    bank = PoseSources(sequences=4, frames=6, held_out=0.4, cache_location=runs / "cache", processes=1)
    if stage == "enc_dec":
        encoders = EncoderConfig(width=8, points=12, appearance=8)
        return train_enc_dec.main, EncDecConfig(
            groups=2, crop=Crop(size_px=32), encoder=encoders, decoder=DecoderConfig(width=8), **of_data
        )
    if stage == "points":
        return train_enc_dec.main, EncDecConfig(
            groups=2, crop=Crop(size_px=32), decoder=DecoderConfig(width=8), loss=ImageLoss(features=0.0),
            encoder=EncoderConfig(kind="heatmaps", width=8, points=12, appearance=8),
            teaching=PointsTeaching(by="masks", heading_at=(0.5,), believed_from=0.0),
            augment=ImageAugmentation(roll_rad=0.3, shift_m=0.1, colour=0.5, scale=0.15, mirror=0.5), **of_data,
        )  # fmt: skip
    if stage == "pose":
        return train_3d_pose_from_enc.main, PoseConfig(
            encoder=encoder, batch=4, head=PoseHeadConfig(hidden=32, dropout=0.1), **of_data
        )
    if stage == "gan":
        network = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)
        return train_GAN.main, GanConfig(data=bank, network=network, batch=8, **common)
    if stage == "masks":
        network = MasksNetwork(size_px=32, width=8, features=12, hidden=32)
        return train_SMPL_from_masks.main, MasksConfig(
            batch=6, held_out_bodies=4, bank=bank, network=network, **of_data
        )
    if stage == "lifter":
        network = KeypointsNetwork(hidden=32, blocks=1, looks=1)
        return train_SMPL_from_keypoints.main, KeypointsConfig(
            batch=8, held_out_bodies=8, bank=bank, network=network, **common
        )
    return train_SMPL_from_enc.main, MeshConfig(
        encoder=encoder, prior=prior, batch=4, silhouettes_of=(1, 5), silhouette_batch=2, mask_px=64,
        head=MeshHeadConfig(hidden=32, dropout=0.1), **of_data,
    )  # fmt: skip


def train_one(stage: str, paths: Paths, resume: bool, pictures: int = 2) -> None:
    """Train one stage on what the stages before it left in the same folder of runs."""
    main_of_stage, config = settings_of(stage, paths, replace(LOOP, resume=resume, pictures=pictures))
    main_of_stage(config)


STAGES = ("enc_dec", "pose", "gan", "mesh")
TEACHERS = ("masks", "lifter", "points")
"""What is trained beside the four stages; `points` is stage 1 where masks teach it, and needs a folder of its own."""


def folder_of(stage: str) -> str:
    """Name the folder that a stage's runs lie in, and the stage that its checkpoints say."""
    return "enc_dec" if stage == "points" else stage


def differing(one: Any, other: Any, place: str = "") -> list[str]:
    """Name the places where two nested states are not equal bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differing(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list | tuple) and type(one) is type(other) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for at, pair in pairs for found in differing(*pair, f"{place}/{at}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    return [] if type(one) is type(other) and one == other else [place]


def train_until_killed(stage: str, paths: Paths) -> None:
    """Train, and end this process as `kill -9` does."""
    log = Run.log

    def log_or_die(run: Run, **scalars: torch.Tensor | float) -> None:
        if run.step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        log(run, **scalars)

    Run.log = log_or_die
    train_one(stage, paths, resume=False)


def main(folder: Path, is_killed: bool, pictures: int) -> None:
    """Train all stages; a killed one in a process of its own."""
    torch.set_num_threads(1)
    kept = [np.ones(size, np.uint8) for size in range(1, os.getpid() % 4096)]  # so that no two starts lie alike
    names = ("frames", "masks", "backgrounds", "index", "truth")
    h36m, masks, backgrounds, index, truth = (folder / name for name in names)
    paths = Paths(h36m_location=h36m, masks_location=masks, backgrounds_location=backgrounds, index_location=index,
                  truth_location=truth, runs_location=Path("runs"))  # fmt: skip
    for stage in STAGES:
        if is_killed:
            child = multiprocessing.get_context("fork").Process(target=train_until_killed, args=(stage, paths))
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL, f"{stage} ended by itself: {child.exitcode}"
        train_one(stage, paths, is_killed, pictures)
    del kept


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["kill"], 0 if sys.argv[2:] == ["plain"] else 2)
