"""Measure bodies read from masks where the truth is known: the teacher's own reading, and the fits that it began.

    python sample/test_SMPL_from_masks.py --fits runs/fit/demo

Reads   what sample/fit_SMPL_from_masks.py made, the truth of the embedded data, the masks of the worst frames
Writes  predictions.npz, metrics.json and figures/*.png beside the fits
Next    sample/train_3d_pose_from_enc.py --pseudo-labels runs/fit/demo/pseudo_labels.npz
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from config import Paths, ranged, setting
from dataset_def.ground_truth_bodies import bodies_of_frames
from dataset_def.h36m_index import index_path, load_table
from dataset_def.masks_data import MaskReader, instants_of
from models.body_surface import coarse_body, coarse_faces, pelvis_m
from models.masks_fit import MasksFit, MasksFitLoss, MasksFitSteps, Person
from models.smpl import Body, load_body
from models.SMPL_from_masks import load_teacher
from sample.fit_SMPL_from_masks import FittedPart, confidence_of, load_part
from utils.artifacts import save_metrics, save_predictions
from utils.bootstrap import mean_interval
from utils.figures.masks import fits_figure
from utils.metrics import mpjpe_mm, pa_mpjpe_mm, yaw_error_degrees
from utils.settings import start
from utils.skeleton import H36M_17

TURNED_DEGREES = 90
CHUNK = 100


@dataclass(frozen=True)
@ranged()
class TestMasksConfig:
    """sample/test_SMPL_from_masks.py: bodies read from masks, in numbers."""

    fits: Path
    """runs/fit/<name>."""
    paths: Paths = field(default_factory=Paths)
    worst: int = setting(8, low=1)
    """Frames that are drawn: those with the largest error, over all."""


class Bodies(NamedTuple):
    """Bodies of some frames in the world."""

    rotations_world: Float[Tensor, "N J 3 3"]
    betas: Float[Tensor, "N n"]


class Truth(NamedTuple):
    """What is known of the frames."""

    joints_world_m: Float[Tensor, "N 17 3"]
    bodies: Bodies | None


def rotations_of(theta: np.ndarray) -> Float[Tensor, "N J 3 3"]:
    """Turn axis-angle numbers into rotation matrices."""
    return roma.rotvec_to_rotmat(torch.from_numpy(theta).float().unflatten(1, (-1, 3)))


@torch.no_grad()
def about_pelvis(body: Body, bodies: Bodies) -> tuple[Float[Tensor, "N V 3"], Float[Tensor, "N 17 3"]]:
    """Give surface and joints about the pelvis."""
    zero = bodies.betas.new_zeros(len(bodies.betas), 3)
    vertices_m, joints_m = body(bodies.rotations_world, bodies.betas, zero)
    root_m = pelvis_m(body, vertices_m, joints_m)
    return vertices_m - root_m, body.h36m_joints_m(vertices_m) - root_m


def errors_of(body: Body, found: Bodies, truth: Truth) -> dict[str, Float[np.ndarray, "N"]]:
    """Measure every frame: joints, vertices where true bodies are known, heading."""
    parts: list[dict[str, Tensor]] = []
    for first in range(0, len(found.betas), CHUNK):
        rows = slice(first, first + CHUNK)
        vertices_m, joints_m = about_pelvis(body, Bodies(*(value[rows] for value in found)))
        true_m = truth.joints_world_m[rows] - truth.joints_world_m[rows, :1]
        upright = torch.eye(3).expand(len(true_m), 3, 3)
        here = {
            "joints_mm": mpjpe_mm(joints_m, true_m),
            "joints_aligned_mm": pa_mpjpe_mm(joints_m, true_m),
            "yaw_error_degrees": yaw_error_degrees(joints_m, true_m, upright),
        }
        if truth.bodies is not None:
            true_vertices_m, _ = about_pelvis(body, Bodies(*(value[rows] for value in truth.bodies)))
            here["vertices_mm"] = 1000 * (vertices_m - true_vertices_m).norm(dim=-1).mean(dim=1)
        parts.append(here)
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


def by_joint_mm(body: Body, found: Bodies, truth: Truth) -> dict[str, float]:
    """Average the error of every joint."""
    apart = []
    for first in range(0, len(found.betas), CHUNK):
        rows = slice(first, first + CHUNK)
        _, joints_m = about_pelvis(body, Bodies(*(value[rows] for value in found)))
        apart.append((joints_m - truth.joints_world_m[rows] + truth.joints_world_m[rows, :1]).norm(dim=-1))
    return dict(zip(H36M_17, (1000 * torch.cat(apart).mean(dim=0)).tolist(), strict=True))


def summary_of(errors: dict[str, np.ndarray], frames: Int[np.ndarray, "N 4"]) -> dict[str, Any]:
    """Average over frames, with an interval over subjects where there are four, else over sequences."""
    subjects = np.unique(frames[:, 0])
    units = np.zeros((len(frames), 5), np.int64)
    units[:, : 1 if len(subjects) >= 4 else 3] = frames[:, : 1 if len(subjects) >= 4 else 3]
    table: dict[str, Any] = {"num_frames": len(frames), "over": "subjects" if len(subjects) >= 4 else "sequences"}
    for name, values in errors.items():
        table[name] = float(values.mean())
        table[f"{name}_interval"] = list(mean_interval(values, units)[1:])
    table["beyond_90_percent"] = float(100 * (errors["yaw_error_degrees"] > TURNED_DEGREES).mean())
    return table


def read_truth(config: TestMasksConfig, frames: Int[np.ndarray, "N 4"]) -> tuple[Truth, Int[np.ndarray, "N"]]:
    """Look up true joints and bodies, and a row of the index for every frame.

    Raises:
        ValueError: some frame has no true joints.
    """
    table = load_table(config.paths)
    first = {tuple(key): row for row, key in reversed(list(enumerate(table.frames[:, [0, 1, 2, 4]].tolist())))}
    rows = np.array([first[tuple(key)] for key in frames.tolist()])
    joints_m = torch.from_numpy(table.joints_world_m[table.row_instant[rows]].astype(np.float32))
    if not joints_m.isfinite().all():
        raise ValueError(f"{config.fits}: some fitted frames have no true joints to compare with; fit other --subjects")
    location = config.paths.models_smpl_location
    bodies = bodies_of_frames(config.paths.truth_location, table.frames[rows], location)
    known = None if bodies is None else Bodies(bodies.rotations_world, bodies.betas)
    return Truth(joints_m, known), rows


def joined(parts: list[FittedPart], name: str) -> np.ndarray:
    """Put one array of all parts together."""
    return np.concatenate([getattr(part, name) for part in parts])


def drawn_again(
    config: TestMasksConfig, parts: list[FittedPart], chosen: Int[np.ndarray, "E"]
) -> dict[str, Float[np.ndarray, "E V S S"] | Bool[np.ndarray, "E V"]]:
    """Give the masks of some frames, and the silhouettes of their fits and of the teacher's reading."""
    settings = json.loads((config.fits / "config.json").read_text())
    teacher = load_teacher(Path(settings["teacher"]), config.paths.models_smpl_location)
    reader = MaskReader(config.paths, teacher.centre, teacher.size_px, teacher.side_m)
    frames = joined(parts, "frames")
    is_there = (reader.table.frames[:, None, [0, 1, 2, 4]] == frames[chosen][None]).all(2).any(1)
    instants = {one[:4]: one for one in instants_of(reader.table, np.flatnonzero(is_there), tuple(settings["cameras"]))}
    views = reader.read([instants[tuple(frames[row].tolist())] for row in chosen])
    body = load_body(config.paths.models_smpl_location, h36m_regressor=config.paths.h36m_regressor_location)
    coarse = coarse_body(body, coarse_faces(config.paths.models_smpl_location))
    fit = MasksFit(coarse, MasksFitLoss(), MasksFitSteps(), False)
    sizes = [len(part.frames) for part in parts]
    betas, cloth = (np.repeat(np.stack([getattr(part, name) for part in parts]), sizes, axis=0)
                    for name in ("betas", "cloth_m"))  # fmt: skip
    joints_m = torch.from_numpy(joined(parts, "joints_world_m")[chosen])
    found = {"mask": views.mask.numpy(), "exists": views.exists.numpy()}
    for name, theta in (("fit", "theta"), ("teacher", "guess_theta")):
        drawn = []
        for place, row in enumerate(chosen.tolist()):
            person = Person(torch.from_numpy(betas[row]), torch.from_numpy(cloth[row]))
            own = type(views)(*(value[place : place + 1] for value in views))
            pelvis = joints_m[place : place + 1, 0] - own.target_world_m[:, 0]
            rotations = rotations_of(joined(parts, theta)[row : row + 1])
            with torch.no_grad():
                drawn.append(fit.coverage(fit.surface(rotations, person, pelvis)[0], own)[0].numpy())
        found[name] = np.stack(drawn)
    return found


def main(config: TestMasksConfig) -> dict[str, Any]:
    """Measure, write and print; return the metrics."""
    files = sorted((config.fits / "parts").glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{config.fits} holds no fits (parts/*.npz); make them with: python "
                                "sample/fit_SMPL_from_masks.py")  # fmt: skip
    parts = [load_part(path) for path in files]
    frames = joined(parts, "frames")
    body = load_body(config.paths.models_smpl_location, h36m_regressor=config.paths.h36m_regressor_location)
    truth, _ = read_truth(config, frames)
    betas = np.repeat(np.stack([part.betas for part in parts]), [len(part.frames) for part in parts], axis=0)
    fitted = Bodies(rotations_of(joined(parts, "theta")), torch.from_numpy(betas))
    guessed = Bodies(rotations_of(joined(parts, "guess_theta")), torch.from_numpy(joined(parts, "guess_betas")))
    errors = {"teacher": errors_of(body, guessed, truth), "fit": errors_of(body, fitted, truth)}
    world_mm = (torch.from_numpy(joined(parts, "joints_world_m")) - truth.joints_world_m).norm(dim=-1).mean(dim=1)
    errors["fit"]["world_joints_mm"] = 1000 * world_mm.numpy()
    overlap = joined(parts, "overlap")
    confidence = confidence_of(overlap, joined(parts, "apart_rad"))
    rows = {name: summary_of(values, frames) for name, values in errors.items()}
    rows["fit"]["by_joint_mm"] = by_joint_mm(body, fitted, truth)
    order = np.argsort(-confidence)
    rows["fit"]["joints_mm_of_the_most_confident"] = {
        f"{share:.0%}": float(errors["fit"]["joints_mm"][order[: max(1, int(share * len(order)))]].mean())
        for share in (0.25, 0.5, 0.75, 0.9)}  # fmt: skip
    split = f"{', '.join(f'S{one}' for one in np.unique(frames[:, 0]))}; {len(frames)} instants"
    inputs = {"index": index_path(config.paths), "body": config.paths.models_smpl_location}
    told = np.zeros((len(frames), 5), np.int32)
    told[:, [0, 1, 2, 4]] = frames
    save_metrics(config.fits / "metrics.json", split, told, inputs, rows)
    worst = np.argsort(-errors["fit"]["joints_mm"])[: config.worst]
    pictures = drawn_again(config, parts, worst)
    save_predictions(config.fits / "predictions.npz", split, told, inputs, confidence=confidence, worst_row=worst,
                     **{f"{kind}_{name}": values for kind, one in errors.items() for name, values in one.items()},
                     **{f"worst_{name}": np.asarray(value) for name, value in pictures.items()})  # fmt: skip
    caption = f"{split}; the frames with the largest error of all, {errors['fit']['joints_mm'][worst].min():.0f} mm up"
    (config.fits / "figures").mkdir(exist_ok=True)
    fits_figure(pictures["mask"], pictures["teacher"], pictures["fit"], pictures["exists"], caption).savefig(
        config.fits / "figures" / "worst.png")  # fmt: skip
    for name, row in rows.items():
        vertices = f", vertices {row['vertices_mm']:.1f}" if "vertices_mm" in row else ""
        print(f"{name}: joints {row['joints_mm']:.1f} mm{vertices}, turned beyond {TURNED_DEGREES} degrees "
              f"{row['beyond_90_percent']:.1f} % ({split})")  # fmt: skip
    return rows


if __name__ == "__main__":
    start(main, TestMasksConfig)
