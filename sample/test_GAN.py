"""Test stage 3: does the prior tell real poses from corrupted ones?  No corruption was seen in training.

    python sample/test_GAN.py --checkpoint runs/gan/demo/checkpoint_best.pt --cmu /data/cmu

Reads   checkpoint_best.pt (sample/train_GAN.py); held-out motions of the generator; CMU's files where --cmu names them
Writes  predictions.npz, metrics.json: AUC per corruption, with 95 % bootstrap intervals over sequences
Next    sample/make_figures.py --gan runs/gan/<name>
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from config import GanConfig, PoseSources, TestGanConfig
from dataset_def.poses.corruptions import CORRUPTIONS
from dataset_def.poses.sources import PoseTable, cmu_source, find_sources, read_source
from dataset_def.smpl_params_data import held_out_recordings
from models.GAN import StoredGan, load_gan
from models.prior_measure import Judged, examples, invented_poses, judge
from models.smpl import load_body
from utils.artifacts import save_metrics, save_predictions
from utils.bootstrap import auc_intervals
from utils.engine import choose_device
from utils.settings import start


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


MEASURES = ("plausibility", "minus_l_gan")
INVENTED = 512


def corrupted(real: RealPoses, seed: int) -> dict[str, Float[np.ndarray, "N 23 3 3"]]:
    """Spoil real poses in every way of the test."""
    ways = enumerate(CORRUPTIONS.items())
    return {name: spoil(real.rotations, np.random.default_rng([seed, number])) for number, (name, spoil) in ways}


def measure(judged: dict[str, Judged], sequence: Int[np.ndarray, "N"]) -> dict[str, Any]:
    """Give the AUC per corruption and their mean, for every way to sum up scores."""
    found = {}
    for name in MEASURES:
        values = {kind: getattr(one, name) for kind, one in judged.items()}
        found[name] = {k: i._asdict() for k, i in auc_intervals(values.pop("real"), values, sequence).items()}
    return found


def table_of(metrics: dict[str, Any]) -> str:
    """Lay out the AUC of plausibility."""
    lines = [f"{'AUC':<18}" + "".join(f"{name:>26}" for name in metrics)]
    for kind in (*CORRUPTIONS, "mean"):
        cells = [one["auc"]["plausibility"][kind] for one in metrics.values()]
        lines.append(f"{kind:<18}" + "".join(f"{c['mean']:>12.3f} ({c['low']:.3f}-{c['high']:.3f})" for c in cells))
    return "\n".join(lines)


def spread_share(stored: StoredGan, real: RealPoses, seed: int) -> float:
    """Compare the spread of the generator's rotations with that of real ones; a collapsed generator has none."""
    assert stored.invent is not None
    invented = invented_poses(stored.invent, stored.config.network.latent, INVENTED, seed)
    return float(invented.std(axis=0).mean() / real.rotations.std(axis=0).mean())


def main(config: TestGanConfig) -> dict[str, Any]:
    """Score real and corrupted poses, write and print the AUC; return the metrics."""
    device = choose_device(config.device)
    stored = load_gan(config.checkpoint, config.paths.models_smpl_location)
    stored.critic.to(device)
    metrics: dict[str, Any] = {}
    frames, arrays = [], {}
    for number, (name, real) in enumerate(real_sets(config, stored.config).items()):
        poses = {"real": real.rotations, **corrupted(real, config.seed)}
        judged = {kind: judge(stored.critic, rotations) for kind, rotations in poses.items()}
        metrics[name] = {"num_poses": len(real.sequence), "num_sequences": len(set(real.sequence.tolist())),
                         "auc": measure(judged, real.sequence)}  # fmt: skip
        rows = np.arange(len(real.sequence))
        frames.append(np.stack([0 * rows + number, real.sequence, 0 * rows, 0 * rows, rows], axis=1).astype(np.int32))
        arrays |= {f"{name}_{kind}_plausibility": one.plausibility for kind, one in judged.items()}
        arrays |= {f"{name}_{kind}_scores": one.scores.astype(np.float16) for kind, one in judged.items()}
        if stored.invent is not None:
            metrics[name]["invented_spread_share"] = spread_share(stored, real, config.seed)
    body = load_body(config.paths.models_smpl_location)
    arrays |= examples(stored, body, poses, judged, config.examples, config.seed)
    out, split = config.out or config.checkpoint.parent, f"poses unseen in training: {', '.join(metrics)}"
    about = (split, np.concatenate(frames), {"prior": config.checkpoint, "body": config.paths.models_smpl_location})
    save_predictions(out / "predictions.npz", *about, step=np.array(stored.step), **arrays)
    save_metrics(out / "metrics.json", *about, metrics)
    print(table_of(metrics))
    return metrics


if __name__ == "__main__":
    start(main, TestGanConfig)
