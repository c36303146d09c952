"""Test stage 3: does the prior tell real poses from corrupted ones?  No corruption was seen in training.

    python sample/test_GAN.py --checkpoint runs/gan/demo/checkpoint_best.pt --cmu /data/cmu

Reads   checkpoint_best.pt (sample/train_GAN.py); held-out motions of the generator; CMU's files where --cmu names them
Writes  predictions.npz, metrics.json: AUC per corruption, with 95 % bootstrap intervals over sequences
Next    sample/make_figures.py --gan runs/gan/<name>
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.spatial.transform import Rotation

from config import ASSETS, ROOT, Device, GanConfig, Paths, PoseSources, Subjects, ranged, setting
from dataset_def.poses.corruptions import CORRUPTIONS, corruptions_of
from dataset_def.poses.sources import PoseTable, cmu_source, read_source
from dataset_def.smpl_params_data import held_out_recordings, open_tables
from models.encoder_decoder import load_encoder
from models.GAN import AnyDiscriminator, Generator, StoredGan, load_gan, prior_reads
from models.kinematics import with_root
from models.pose_from_latent import load_pose
from models.pose_from_maps import PoseFromMaps
from models.smpl import Body, load_body
from utils.artifacts import save_metrics, save_predictions
from utils.body_file import BodyFile, read_body_file
from utils.bootstrap import auc_intervals
from utils.checkpoint_checks import check_predictions
from utils.engine import choose_device
from utils.settings import chosen_subjects, named, next_command, start
from utils.tiers import Reads


@dataclass(frozen=True)
@ranged()
class TestGanConfig:
    """sample/test_GAN.py: how well a prior tells real poses from corrupted ones."""

    checkpoint: Path
    """checkpoint_best.pt of stage 3."""
    out: Path | None = None
    """Folder for predictions.npz and metrics.json; without it, the checkpoint's."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    cmu: Path | None = None
    """CMU motion capture, a folder of .asf and .amc files whose poses are the real ones; those that the prior was
    trained on are left out."""
    cmu_subjects: tuple[str, ...] = ()
    """Beginnings of the names of the .amc files that are read; all if not given."""
    most_frames: int = setting(60, low=2)
    """Frames that are kept of a recorded sequence, evenly spread."""
    examples: int = setting(8, low=2)
    """Bodies in each row of the figures."""
    cache_location: Path = ROOT / "data" / "poses"
    """Files are read once; what was read lies here."""
    processes: int = setting(0, low=0)
    seed: int = setting(0, low=0)


class RealPoses(NamedTuple):
    """Poses that the prior has not seen."""

    rotations: Float[np.ndarray, "N P 3 3"]
    sequence: Int[np.ndarray, "N"]


def chosen(table: PoseTable, names: set[str]) -> RealPoses:
    """Take the frames of some sequences."""
    rows = np.flatnonzero(np.isin(np.array(table.names)[table.recording], sorted(names)))
    matrices = Rotation.from_rotvec(table.theta[rows].astype(np.float64).reshape(-1, 3)).as_matrix()
    return RealPoses(matrices.reshape(len(rows), -1, 3, 3)[:, 1:], table.recording[rows])


def unseen_cmu(config: TestGanConfig, trained: PoseSources) -> RealPoses:
    """Read CMU's files without those of the training."""
    assert config.cmu is not None
    source = cmu_source(config.cmu, config.cmu_subjects, config.most_frames, config.paths.models_smpl_location)
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
        generator_only = replace(trained.data, surreal=None, amass=None, cmu=None, cmu_subjects=(),
                                 cache_location=config.cache_location, processes=config.processes)  # fmt: skip
        [table] = open_tables(generator_only, config.paths.models_smpl_location)
        held_out = held_out_recordings(table, trained.data.held_out, trained.data.seed)
        found["generator"] = chosen(table, set(np.array(table.names)[held_out].tolist()))
    if config.cmu is not None:
        found["cmu"] = unseen_cmu(config, trained.data)
    if not found:
        raise ValueError("there are no real poses to test on; give --cmu FOLDER")
    return found


POSES_AT_ONCE = 512


class Judged(NamedTuple):
    """Scores of poses, of average shape; open ones, not cut off at one."""

    scores: Float[np.ndarray, "N K"]
    plausibility: Float[np.ndarray, "N"]
    """One number per pose, the discriminator's soft minimum over joints."""
    minus_l_gan: Float[np.ndarray, "N"]
    """Minus the mean squared distance of the scores from one, which is what stage 4 lowers."""


@torch.no_grad()
def judge(discriminator: AnyDiscriminator, rotations: Float[np.ndarray, "N P 3 3"]) -> Judged:
    """Score poses on bodies of average shape."""
    device = next(discriminator.parameters()).device
    found = []
    for first in range(0, len(rotations), POSES_AT_ONCE):
        part = torch.from_numpy(rotations[first : first + POSES_AT_ONCE].astype(np.float32)).to(device)
        shapes = part.new_zeros(len(part), discriminator.provenance["num_betas"])
        scores = discriminator.open_scores(part, shapes)
        l_gan = (1 - discriminator.scores(part, shapes)).square().mean(dim=1)
        found.append((scores, discriminator.plausibility(scores), -l_gan))
    return Judged(*(torch.cat(values).double().cpu().numpy() for values in zip(*found, strict=True)))


@torch.no_grad()
def generated_poses(generate: Generator, latent: int, count: int, seed: int) -> Float[np.ndarray, "N P 3 3"]:
    """Let the generator make poses."""
    noise = torch.randn(count, latent, generator=torch.Generator().manual_seed(seed))
    return generate(noise.to(next(generate.parameters()).device)).rotations[:, 1:].cpu().numpy()


@torch.no_grad()
def upright_vertices_m(body: Body, rotations: Float[np.ndarray, "N P 3 3"]) -> Float[np.ndarray, "N V 3"]:
    """Give bodies of average shape in these poses, the pelvis at the origin, y up, facing +z."""
    posed = with_root(torch.from_numpy(rotations.astype(np.float32)))
    out = body(posed, torch.zeros(len(posed), 1), torch.zeros(len(posed), 3))
    return (out.vertices_m - out.joints_m[:, :1]).numpy()


def prior_examples(
    stored: StoredGan,
    body: Body,
    poses: dict[str, Float[np.ndarray, "N P 3 3"]],
    judged: dict[str, Judged],
    count: int,
    seed: int,
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Collect bodies to draw: real ones, the same ones corrupted, the generator's, with what is said of them."""
    rows = np.linspace(0, len(poses["real"]) - 1, count).round().astype(int)
    found = {"faces": body.faces.numpy().astype(np.int32), "example_row": rows}
    shown = {kind: (rotations[rows], judged[kind].plausibility[rows]) for kind, rotations in poses.items()}
    if stored.generate is not None:
        generated = generated_poses(stored.generate, stored.config.network.latent, count, seed)
        shown["generated"] = generated, judge(stored.discriminator, generated).plausibility
    for kind, (rotations, plausibility) in shown.items():
        found[f"vertices_{kind}_m"] = upright_vertices_m(body, rotations).astype(np.float16)
        found[f"plausibility_{kind}"] = plausibility
    return found


SCORE_SUMS = ("plausibility", "minus_l_gan")
NUM_GENERATED = 512


def corrupted(real: RealPoses, seed: int, file: BodyFile) -> dict[str, Float[np.ndarray, "N P 3 3"]]:
    """Corrupt real poses in every way of the test that the body has."""
    ways = enumerate(corruptions_of(file).items())
    return {name: corrupt(real.rotations, np.random.default_rng([seed, number])) for number, (name, corrupt) in ways}


def measure_prior(judged: dict[str, Judged], sequence: Int[np.ndarray, "N"]) -> dict[str, Any]:
    """Give the AUC per corruption and their mean, for every way to sum up scores."""
    found = {}
    for name in SCORE_SUMS:
        values = {kind: getattr(one, name) for kind, one in judged.items()}
        found[name] = {k: i._asdict() for k, i in auc_intervals(values.pop("real"), values, sequence).items()}
    return found


def auc_table(metrics: dict[str, Any]) -> str:
    """Lay out the AUC of plausibility."""
    lines = [f"{'AUC':<18}" + "".join(f"{name:>26}" for name in metrics)]
    known = next(iter(metrics.values()))["auc"]["plausibility"]
    for kind in (one for one in (*CORRUPTIONS, "mean") if one in known):
        cells = [one["auc"]["plausibility"][kind] for one in metrics.values()]
        lines.append(f"{kind:<18}" + "".join(f"{c['mean']:>12.3f} ({c['low']:.3f}-{c['high']:.3f})" for c in cells))
    return "\n".join(lines)


def std_share(stored: StoredGan, real: RealPoses, seed: int) -> float:
    """Divide the standard deviation of generated rotations by that of real ones; a collapsed generator has none."""
    assert stored.generate is not None
    generated = generated_poses(stored.generate, stored.config.network.latent, NUM_GENERATED, seed)
    return float(generated.std(axis=0).mean() / real.rotations.std(axis=0).mean())


def next_stage(prior: Path, paths: Paths) -> str:
    """Write the command of stage 4 with this prior: on from the runs of the same name, else from committed heat maps.

    Where stage 2 of that name has heat maps, stage 4 goes on from them; else it begins behind stage 1.
    """
    pose, enc_dec = (paths.runs_location / stage / prior.parent.name / "checkpoint_best.pt"
                     for stage in ("pose", "enc_dec"))  # fmt: skip
    encoder, subjects, finds_points = ASSETS / "open_pose.pt", Subjects(), True
    stage_2 = load_pose(pose, torch.device("cpu")) if pose.is_file() else None
    if stage_2 is not None and isinstance(stage_2.network.head, PoseFromMaps):
        encoder, subjects = pose, stage_2.config.subjects
    elif enc_dec.is_file():
        stage_1 = load_encoder(enc_dec).config
        encoder, subjects, finds_points = enc_dec, stage_1.subjects, stage_1.encoder.has_maps
    seen = subjects.train if subjects.train != Subjects().train else None
    return next_command("sample/train_SMPL_from_enc.py", paths, encoder=encoder, prior=prior, silhouettes_of=seen,
                        **named(prior.parent, finds_points), **chosen_subjects(subjects))  # fmt: skip


def main(config: TestGanConfig) -> dict[str, Any]:
    """Score real and corrupted poses, write and print the AUC; return the metrics."""
    device = choose_device(config.device)
    stored = load_gan(config.checkpoint, config.paths.models_smpl_location)
    stored.discriminator.to(device)
    metrics: dict[str, Any] = {}
    frames, arrays = [], {}
    file = read_body_file(config.paths.models_smpl_location)
    for number, (name, real) in enumerate(real_sets(config, stored.config).items()):
        poses = {"real": real.rotations, **corrupted(real, config.seed, file)}
        judged = {kind: judge(stored.discriminator, rotations) for kind, rotations in poses.items()}
        check_predictions(
            config.checkpoint, **{f"scores of {kind} poses": one.minus_l_gan for kind, one in judged.items()}
        )
        metrics[name] = {
            "num_poses": len(real.sequence),
            "num_sequences": len(set(real.sequence.tolist())),
            "auc": measure_prior(judged, real.sequence),
        }
        rows = np.arange(len(real.sequence))
        frames.append(np.stack([0 * rows + number, real.sequence, 0 * rows, 0 * rows, rows], axis=1).astype(np.int32))
        arrays |= {f"{name}_{kind}_plausibility": one.plausibility for kind, one in judged.items()}
        arrays |= {f"{name}_{kind}_scores": one.scores.astype(np.float16) for kind, one in judged.items()}
        if stored.generate is not None:
            metrics[name]["generated_std_share"] = std_share(stored, real, config.seed)
    body = load_body(config.paths.models_smpl_location)
    arrays |= prior_examples(stored, body, poses, judged, config.examples, config.seed)
    out, split = config.out or config.checkpoint.parent, f"poses unseen in training: {', '.join(metrics)}"
    measured_on = (
        split,
        np.concatenate(frames),
        {"prior": config.checkpoint, "body": config.paths.models_smpl_location},
    )
    save_predictions(out / "predictions.npz", *measured_on, step=np.array(stored.step), **arrays)
    reads = prior_reads(config.checkpoint)
    save_metrics(out / "metrics.json", *measured_on, metrics, reads=reads, at_test=Reads(poses=frozenset(metrics)))
    print(f"the prior reads {reads.tier} ({', '.join(sorted(reads.poses))})\n{auc_table(metrics)}")
    print(next_stage(config.checkpoint, config.paths))
    return metrics


if __name__ == "__main__":
    start(main, TestGanConfig)
