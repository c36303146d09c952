"""Trains every stage on a tiny data set, as often as it is started; a killed stage goes on where it stood.

python -m tests.helpers.every_stage FOLDER        trains all stages on its data, into `./runs`
python -m tests.helpers.every_stage FOLDER kill   the same, each killed in the middle of its third step and resumed
python -m tests.helpers.every_stage FOLDER plain  the same, without pictures at the validations
"""

import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from config import (
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    GanNetworkConfig,
    Loop,
    MeshConfig,
    MeshHeadConfig,
    Optim,
    Paths,
    PoseConfig,
    PoseHeadConfig,
    PoseSources,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from sample import train_3d_pose_from_enc, train_enc_dec, train_GAN, train_SMPL_from_enc
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


def train_one(stage: str, paths: Paths, resume: bool, pictures: int = 2) -> None:
    """Train one stage on what the stages before it left in the same folder of runs."""
    loop, runs = replace(LOOP, resume=resume, pictures=pictures), paths.runs_location
    encoder, prior = (runs / name / "tiny" / "checkpoint_best.pt" for name in ("enc_dec", "gan"))
    if stage == "enc_dec":
        train_enc_dec.main(EncDecConfig(
            name="tiny", device="cpu", paths=paths, subjects=SUBJECTS, groups=2, crop=Crop(size_px=32),
            encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8), optim=OPTIM,
            loop=loop,
        ))  # fmt: skip
    elif stage == "pose":
        train_3d_pose_from_enc.main(PoseConfig(
            encoder=encoder, name="tiny", device="cpu", paths=paths, subjects=SUBJECTS, batch=4, optim=OPTIM, loop=loop,
            head=PoseHeadConfig(hidden=32, dropout=0.1),
        ))  # fmt: skip
    elif stage == "gan":
        data = PoseSources(sequences=4, frames=6, held_out=0.4, cache_location=runs / "cache", processes=1)
        network = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)
        train_GAN.main(GanConfig(name="tiny", device="cpu", paths=paths, data=data, network=network, batch=8,
                                 optim=OPTIM, loop=loop))  # fmt: skip
    else:
        train_SMPL_from_enc.main(MeshConfig(
            encoder=encoder, prior=prior, name="tiny", device="cpu", paths=paths, subjects=SUBJECTS, batch=4,
            silhouettes_of=(1, 5), silhouette_batch=2, mask_px=64, optim=OPTIM, loop=loop,
            head=MeshHeadConfig(hidden=32, dropout=0.1),
        ))  # fmt: skip


STAGES = ("enc_dec", "pose", "gan", "mesh")


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
