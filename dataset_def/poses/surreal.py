"""SURREAL's *_info.mat: poses and shapes of short clips."""

from pathlib import Path

import numpy as np
import scipy.io

from dataset_def.h36m_files import DAMAGED
from dataset_def.poses.recording import Recording, check_betas, check_theta, spread_rows

BAD_SEQUENCES = ("18", "19", "143_21")
"""Their shapes are known to be wrong; 18 and 19 are all sequences of that person.  Source: FORMATS.md, section 3."""


def is_bad(sequence: str) -> bool:
    """Tell whether a sequence is one of those."""
    return any(sequence == bad or sequence.startswith(f"{bad}_") for bad in BAD_SEQUENCES)


def find_surreal(folder: Path) -> tuple[list[Path], int]:
    """List the clips below a folder, and count those left out because they are known to be bad.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.rglob("*_info.mat"))
    good = [path for path in files if not is_bad(path.parent.name)]
    if not good:
        raise FileNotFoundError(f"{folder} holds no *_info.mat of SURREAL; give the folder that holds train, val, test")
    return good, len(files) - len(good)


def read_surreal(path: Path, most_frames: int) -> Recording:
    """Read a clip.  Files of one frame may have lost the last axis; the shape is constant in a clip.

    Raises:
        ValueError: damaged, or without pose and shape.
    """
    try:
        content = scipy.io.loadmat(path, variable_names=["pose", "shape"])
        pose, shape = content["pose"], content["shape"]
    except (*DAMAGED, KeyError) as error:
        raise ValueError(f"{path} is no readable clip of SURREAL ({error}); delete it or fetch it again") from error
    one_frame = pose.size == 72 and shape.size == 10
    theta = check_theta(path, (pose.reshape(72, 1) if one_frame else np.atleast_2d(pose)).T)
    betas = check_betas(path, shape.reshape(10, -1)[:, 0] if shape.size and shape.size % 10 == 0 else shape)
    return Recording(path.parent.name, theta[spread_rows(len(theta), most_frames)], betas)
