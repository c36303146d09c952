"""The way from masks to bodies for a body that is no human: a four-legged one of 30 joints, with no code for its kind.

    python tests/benchmarks/any_skeleton.py

Makes the body and a data set of it (S1 gives the cameras' places, S9 is tested), trains a teacher of few steps, fits
bodies to the masks of S9's sequences, which nothing was trained on, and compares them with the best constant pose: the
median of the true ones, at the true heading of each.  A second run goes on where the first one stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from config import (
    ROOT,
    Damage,
    Loop,
    MasksConfig,
    MasksNetwork,
    Optim,
    Paths,
    PoseVariation,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_preprocess
from dataset_def.synthetic import make_moving_body, make_quadruped
from dataset_def.synthetic.make_moving_body import MovingBodyConfig
from dataset_def.synthetic.make_quadruped import QuadrupedConfig
from models.masks_fit import MasksFitSteps
from sample import fit_SMPL, test_SMPL_from_masks, train_SMPL_from_masks
from sample.fit_SMPL import FitConfig
from utils.artifacts import atomic_write, load_metrics, save_result

TRAINED, TESTED = 1, 9
BARE = PoseVariation(cloth_m=0.0, cloth_of_part_m=0.0)


@dataclass(frozen=True)
class Settings:
    """How much is done, and where it lies."""

    folder: Path = ROOT / "data" / "animal"
    """Keeps body, data set and runs."""
    name: str = "animal"
    """Of the runs."""
    steps: int = 300
    """Of the teacher."""
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "any_skeleton.json"


def make_data(settings: Settings) -> Paths:
    """Make the body and its data set, as far as they are not there."""
    body = settings.folder / "body.npz"
    if not body.is_file():
        make_quadruped.main(QuadrupedConfig(body))
    paths = Paths.under(settings.folder / "quad")
    paths = replace(paths, models_smpl_location=body, runs_location=settings.folder / "runs")
    make_moving_body.main(MovingBodyConfig(paths, frames=10, subjects=(TRAINED, TESTED), actions=(2, 3, 4)))
    h36m_preprocess.main(PreprocessConfig(paths, pack=False))
    return paths


def train(settings: Settings, paths: Paths, subjects: Subjects) -> Path:
    """Train the teacher; give its checkpoint."""
    path = paths.runs_location / "masks" / settings.name / "checkpoint_best.pt"
    if not path.is_file():
        train_SMPL_from_masks.main(MasksConfig(
            name=settings.name, device="cpu", paths=paths, subjects=subjects, side_m=1.6, poses=BARE, batch=24,
            network=MasksNetwork(width=24, features=64, hidden=256), damage=Damage(share=0.2), held_out_bodies=48,
            optim=Optim(steps=settings.steps, lr=2e-3, warmup_steps=20, bf16=False),
            loop=Loop(workers=0, threads=1, log_every=10, validate_every=100, checkpoint_every=50, pictures=2),
        ))  # fmt: skip
    return path


def line_of(row: dict[str, Any]) -> dict[str, Any]:
    """Take what is reported of a row: each measure with its interval."""
    counts = {name: row[name] for name in ("num_frames", "num_sequences")}
    return counts | {name: {"mean": row[name], "low": row[f"{name}_interval"][0], "high": row[f"{name}_interval"][1]}
                     for name in ("joints_mm", "vertices_mm", "yaw_error_degrees")}  # fmt: skip


def markdown(rows: dict[str, Any], fit: dict[str, Any]) -> str:
    """Write the result for readers."""
    lines = ["| | joints, mm | vertices, mm | heading, degrees |", "|---|---|---|---|"]
    for name, row in rows.items():
        measured = [one for one in row.values() if isinstance(one, dict)]
        told = [f"{one['mean']:.1f} [{one['low']:.1f}, {one['high']:.1f}]" for one in measured]
        lines.append(f"| {name} | {' | '.join(told)} |")
    lines.append(f"| median pose at the true heading | {fit['median_pose_joints_mm']:.1f} | | |")
    return "\n".join([
        *lines, "", f"Fits over the median pose: {fit['error_over_median_pose']:.2f}. Fits cover their masks to "
        f"{fit['overlap_percent']:.0f} %; {fit['num_frames']} instants of {fit['num_sequences']} sequences, about the "
        "root.", "",
    ])  # fmt: skip


def main(settings: Settings) -> None:
    """Go the whole way and write what it reaches."""
    paths, subjects = make_data(settings), Subjects(train=(TRAINED,), labelled=(TRAINED,), test=(TESTED,))
    teacher = train(settings, paths, subjects)
    fit_SMPL.main(FitConfig(
        name=settings.name, teacher=teacher, device="cpu", paths=paths, people=subjects, subjects=(TESTED,), every=1,
        steps=MasksFitSteps(usual_cloth_m=0.0), processes=1,
    ))  # fmt: skip
    folder = paths.runs_location / "fit" / settings.name
    found = test_SMPL_from_masks.main(test_SMPL_from_masks.TestMasksConfig(folder, paths))
    rows = {name: line_of(found[name]) for name in ("teacher", "fit")}
    tier = load_metrics(folder / "metrics.json", "python tests/benchmarks/any_skeleton.py")["tier"]
    protocol = (f"a four-legged body of 30 joints; teacher of {settings.steps} steps on drawn silhouettes; fits to "
                f"the masks of S{TESTED} in 4 cameras, every instant; about the root, no alignment; the median pose is "
                "that of the same instants, at the true heading of each")  # fmt: skip
    told = {name: found["fit"][name] for name in ("median_pose_joints_mm", "overlap_percent")}
    told["error_over_mean_pose"] = found["fit"]["error_over_median_pose"]  # the mean pose is the median of joints
    save_result(settings.result, protocol, rows=rows, tiers=dict.fromkeys(rows, tier), **told)
    with atomic_write(settings.result.with_suffix(".md")) as partial:
        partial.write_text(markdown(rows, found["fit"]))
    print(markdown(rows, found["fit"]))


if __name__ == "__main__":
    main(tyro.cli(Settings))
