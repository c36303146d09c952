"""Looks at the collections of poses for the prior: SURREAL, AMASS, CMU."""

import os
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.io

from dataset_def.acclaim import clip_files, read_amc, read_asf
from dataset_def.checks.line import Line, no_folder, not_given, sentence
from dataset_def.h36m_files import DAMAGED

FAULTS = (*DAMAGED, FileNotFoundError, zipfile.BadZipFile, EOFError)
MAX_FILES = 100_000
"""Files that are counted; more are as good."""
PRIOR = "the prior learns from the embedded generator"


def files_below(folder: Path, ending: str) -> Iterator[Path]:
    """List files by their ending, at any depth, in no order."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(ending):
                yield Path(place) / name


def counted(files: list[Path]) -> str:
    """Say how many there are."""
    return f"more than {MAX_FILES}" if len(files) == MAX_FILES else str(len(files))


def check_surreal(folder: Path | None) -> list[Line]:
    """Describe SURREAL, and open one of its files."""
    if folder is None:
        return [not_given("SURREAL", "--surreal", PRIOR)]
    if not folder.is_dir():
        return [no_folder("SURREAL", folder, "give the folder that holds train, val and test")]
    files = list(islice(files_below(folder, "_info.mat"), MAX_FILES))
    try:
        if not files:
            raise FileNotFoundError(f"{folder} holds no *_info.mat")
        content = scipy.io.loadmat(files[0], variable_names=["pose", "shape"])
        shapes = {name: content[name].shape[:1] for name in ("pose", "shape")}
        if shapes != {"pose": (72,), "shape": (10,)}:
            raise ValueError(f"{files[0]}: pose and shape begin with {shapes}, expected 72 and 10")
    except FAULTS as error:
        return [Line("bad", "SURREAL", sentence(error), "poses from SURREAL", is_asked=True)]
    return [Line("ok", "SURREAL", f"{counted(files)} clips; {files[0].name} opens")]


def check_amass(folder: Path | None) -> list[Line]:
    """Describe AMASS, and open files until one holds poses."""
    if folder is None:
        return [not_given("AMASS", "--amass", PRIOR)]
    if not folder.is_dir():
        return [no_folder("AMASS", folder, "give the folder of .npz files")]
    files = list(islice(files_below(folder, ".npz"), MAX_FILES))
    motions = [path for path in files if path.name not in ("shape.npz", "neutral_stagei.npz")]
    try:
        if not motions:
            raise FileNotFoundError(f"{folder} holds no .npz file of a motion")
        with np.load(motions[0], allow_pickle=False) as content:
            if "poses" not in content or content["poses"].ndim != 2 or content["poses"].shape[1] < 66:
                raise ValueError(f"{motions[0]} holds no poses of 66 or more numbers per frame (it has "
                                 f"{', '.join(content.files)})")  # fmt: skip
            frames = len(content["poses"])
    except FAULTS as error:
        return [Line("bad", "AMASS", sentence(error), "poses from AMASS", is_asked=True)]
    return [Line("ok", "AMASS", f"{counted(motions)} motions; {motions[0].name} has {frames} frames")]


def check_cmu(folder: Path | None) -> list[Line]:
    """Describe a folder of CMU's motions, and read one of them."""
    if folder is None:
        return [not_given("CMU motion capture", "--cmu", PRIOR)]
    if not folder.is_dir():
        return [no_folder("CMU motion capture", folder, "give the folder of .asf and .amc files")]
    try:
        clips = clip_files(folder)
        motion, skeleton = clips[0]
        frames = len(read_amc(motion, read_asf(skeleton)).root_m)
    except FAULTS as error:
        return [Line("bad", "CMU motion capture", sentence(error), "motions from CMU", is_asked=True)]
    return [Line("ok", "CMU motion capture", f"{len(clips)} motions; {motion.name} has {frames} frames")]
