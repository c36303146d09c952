"""Real poses that a prior was not trained on: motions that its training held out, and recordings."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from config import GanConfig, PoseSources, TestGanConfig
from dataset_def.poses.cache import PoseTable, cmu_source, find_sources, read_source
from dataset_def.smpl_params_data import held_out_recordings


class RealPoses(NamedTuple):
    """Poses that the prior has not seen."""

    rotations: Float[np.ndarray, "N 23 3 3"]
    sequence: Int[np.ndarray, "N"]


def chosen(table: PoseTable, names: set[str]) -> RealPoses:
    """Take the frames of some sequences."""
    rows = np.flatnonzero(np.isin(np.array(table.names)[table.recording], sorted(names)))
    matrices = Rotation.from_rotvec(table.theta[rows].astype(np.float64).reshape(-1, 3)).as_matrix()
    return RealPoses(matrices.reshape(-1, 24, 3, 3)[:, 1:], table.recording[rows])


def unseen_cmu(config: TestGanConfig, trained: PoseSources) -> RealPoses:
    """Read CMU's files without those of the training."""
    assert config.cmu is not None
    source = cmu_source(config.cmu, config.cmu_subjects, config.most_frames)
    table = read_source(source, config.cache_location, config.processes)
    used = () if trained.cmu is None else (trained.cmu_subjects or ("",))
    names = {name for name in table.names if not f"{name}.amc".startswith(used or ("/",))}
    if not names:
        raise ValueError(f"the prior was trained on all files that {config.cmu} offers; choose others")
    return chosen(table, names)


def real_sets(config: TestGanConfig, trained: GanConfig) -> dict[str, RealPoses]:
    """Collect real poses: motions that the training held out, and CMU's."""
    found = {}
    if trained.data.generator:
        [source] = find_sources(replace(trained.data, surreal=None, amass=None, cmu=None, cmu_subjects=()))
        table = read_source(source, config.cache_location, config.processes)
        held_out = held_out_recordings(table, trained.data.held_out, trained.data.seed)
        found["generator"] = chosen(table, set(np.array(table.names)[held_out].tolist()))
    if config.cmu is not None:
        found["cmu"] = unseen_cmu(config, trained.data)
    if not found:
        raise ValueError("there are no real poses to test on; give --cmu FOLDER")
    return found
