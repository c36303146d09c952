"""AMASS's .npz: motions of many collections, the hands apart."""

import zipfile
from pathlib import Path

import numpy as np

from dataset_def.h36m_files import DAMAGED
from dataset_def.poses.recording import Recording, check_betas, check_theta, spread_rows

NO_MOTION = ("shape.npz", "neutral_stagei.npz", "male_stagei.npz", "female_stagei.npz")
"""Files beside the motions."""


def find_amass(folder: Path) -> tuple[list[Path], int]:
    """List the motions below a folder, and count the files that hold none.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.rglob("*.npz"))
    motions = [path for path in files if path.name not in NO_MOTION]
    if not motions:
        raise FileNotFoundError(f"{folder} holds no .npz of AMASS; give the folder of its collections")
    return motions, len(files) - len(motions)


def read_amass(path: Path, root: Path, most_frames: int) -> Recording:
    """Read a motion; SMPL's last two joints, the hands, stay at rest (AMASS has fingers instead).

    Args:
        root: names are relative to it.
    Raises:
        ValueError: damaged, or without poses of 66 numbers and more.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            poses, betas = np.asarray(content["poses"], np.float64), content["betas"]
    except (*DAMAGED, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no readable motion of AMASS ({error}); delete it or fetch it again") from error
    if poses.ndim != 2 or poses.shape[1] < 66:
        raise ValueError(f"{path} holds poses of shape {poses.shape}; a motion of AMASS has 156 numbers per frame: "
                         "delete it or fetch it again")  # fmt: skip
    kept = poses[spread_rows(len(poses), most_frames)]
    theta = np.concatenate([kept[:, :66], np.zeros((len(kept), 6))], axis=1)
    return Recording(str(path.relative_to(root).with_suffix("")), check_theta(path, theta), check_betas(path, betas))
