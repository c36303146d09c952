"""Measure fitted bodies: against the truth where it is known, and everywhere by how far they cover their masks.

    python sample/test_SMPL_from_masks.py --fits runs/fit/demo

Reads   what sample/fit_SMPL.py made, the truth of the embedded data, masks and pictures of some frames
Writes  predictions.npz, metrics.json and figures/*.png beside the fits
Next    sample/make_figures.py --fits runs/fit/demo;
        sample/train_3d_pose_from_enc.py --pseudo-labels runs/fit/demo/pseudo_labels.npz
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from config import Paths, ranged, setting
from dataset_def.crop import cut
from dataset_def.ground_truth_bodies import bodies_of_frames
from dataset_def.h36m_files import load_image
from dataset_def.h36m_index import FrameTable, index_path
from dataset_def.masks_data import Instant, MaskReader, instants_of, level_camera
from models.body_surface import coarse_body, coarse_faces, pelvis_m
from models.masks_fit import SAMPLES, MasksFit, MasksFitLoss, MasksFitSteps, Person
from models.smpl import Body, load_body
from models.SMPL_from_masks import covered, heading_rad
from sample.fit_SMPL import (
    COMMAND,
    FitConfig,
    confidence_of,
    joined_overlap,
    load_part,
    masks_reader,
    reads_of,
    teacher_of,
)
from utils.artifacts import atomic_write, must_exist, save_metrics, save_predictions
from utils.bootstrap import mean_interval
from utils.camera import to_camera
from utils.draw_mesh import overlay
from utils.figures.runs import fits_figures
from utils.metrics import MM_PER_M, distances_mm, pa_mpjpe_mm, vertex_error_mm
from utils.reference_poses import headings_world_rad, turned_by_headings
from utils.report.summaries import save_rows
from utils.settings import config_from_dict, next_command, start

TURNED_DEGREES = 90
CHUNK = 100
PICTURE_PX = 192
"""Side of the pictures that bodies are drawn over."""


@dataclass(frozen=True)
@ranged()
class TestMasksConfig:
    """sample/test_SMPL_from_masks.py: bodies read from masks, in numbers."""

    fits: Path
    """runs/fit/<name>."""
    paths: Paths = field(default_factory=Paths)
    worst: int = setting(8, low=1)
    """Frames that are drawn: those with the largest error, over all; without a truth, with the least overlap."""
    examples: int = setting(3, low=1)
    """Frames, spread over all, whose pictures are shown with the body over them."""
    result: Path | None = None
    """A .json that also gets the numbers, with protocol and hardware."""


class Bodies(NamedTuple):
    """Bodies of some frames in the world."""

    rotations_world: Float[Tensor, "N J 3 3"]
    betas: Float[Tensor, "N n"]


class Truth(NamedTuple):
    """What is known of the frames."""

    joints_world_m: Float[Tensor, "N E 3"]
    root_world_m: Float[Tensor, "N 1 3"]
    """What bodies are compared about: Human3.6M's pelvis of people, else the root."""
    heading_rad: Float[Tensor, "N"]
    bodies: Bodies | None


def rotations_of(theta: np.ndarray) -> Float[Tensor, "N J 3 3"]:
    """Turn axis-angle numbers into rotation matrices."""
    return roma.rotvec_to_rotmat(torch.from_numpy(theta).float().unflatten(1, (-1, 3)))


@torch.no_grad()
def about_pelvis(
    body: Body, bodies: Bodies
) -> tuple[Float[Tensor, "N V 3"], Float[Tensor, "N E 3"], Float[Tensor, "N 1 3"]]:  # fmt: skip
    """Give surface and evaluated joints about the pelvis, and where the pelvis is of bodies that are not moved."""
    zero = bodies.betas.new_zeros(len(bodies.betas), 3)
    vertices_m, joints_m = body(bodies.rotations_world, bodies.betas, zero)
    root_m = pelvis_m(body, vertices_m, joints_m)
    return vertices_m - root_m, body.evaluated_joints_m(vertices_m, joints_m) - root_m, root_m


def headings_rad(body: Body, joints_m: Float[Tensor, "N E 3"], bodies: Bodies | None) -> Float[Tensor, "N"]:
    """Say where bodies face: by their joints where these are Human3.6M's, else by how the root is turned."""
    if body.has_h36m_joints:
        return headings_world_rad(joints_m)
    assert bodies is not None
    return heading_rad(bodies.rotations_world)


def errors_of(
    body: Body, found: Bodies, truth: Truth
) -> tuple[dict[str, Float[np.ndarray, "N"]], Float[np.ndarray, "N E"]]:
    """Measure every frame: joints, vertices where true bodies are known, heading; and every joint by itself, in mm."""
    parts: list[dict[str, Tensor]] = []
    by_joint: list[Tensor] = []
    for first in range(0, len(found.betas), CHUNK):
        rows = slice(first, first + CHUNK)
        some = Bodies(*(value[rows] for value in found))
        vertices_m, joints_m, _ = about_pelvis(body, some)
        true_m = truth.joints_world_m[rows] - truth.root_world_m[rows]
        turned = headings_rad(body, joints_m, some) - truth.heading_rad[rows]
        by_joint.append(distances_mm(joints_m, true_m))
        here = {
            "joints_mm": by_joint[-1].mean(dim=1),
            "joints_aligned_mm": pa_mpjpe_mm(joints_m, true_m),
            "yaw_error_degrees": torch.atan2(turned.sin(), turned.cos()).abs().rad2deg(),
        }
        if truth.bodies is not None:
            true_vertices_m, _, _ = about_pelvis(body, Bodies(*(value[rows] for value in truth.bodies)))
            here["vertices_mm"] = vertex_error_mm(vertices_m, true_vertices_m)
        parts.append(here)
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}, torch.cat(by_joint).numpy()


def summary_of(errors: dict[str, np.ndarray], frames: Int[np.ndarray, "N 4"]) -> dict[str, Any]:
    """Average over frames, with an interval over subjects where there are four, else over sequences."""
    subjects = np.unique(frames[:, 0])
    units = np.zeros((len(frames), 5), np.int64)
    units[:, : 1 if len(subjects) >= 4 else 3] = frames[:, : 1 if len(subjects) >= 4 else 3]
    table: dict[str, Any] = {"num_frames": len(frames), "num_sequences": len(np.unique(frames[:, :3], axis=0)),
                             "over": "subjects" if len(subjects) >= 4 else "sequences"}  # fmt: skip
    for name, values in errors.items():
        table[name] = float(values.mean())
        table[f"{name}_interval"] = list(mean_interval(values, units)[1:])
    table["beyond_90_percent"] = float(100 * (errors["yaw_error_degrees"] > TURNED_DEGREES).mean())
    return table


def rows_of_frames(table: FrameTable, frames: Int[np.ndarray, "N 4"]) -> Int[np.ndarray, "N"]:
    """Find a row of the index for every frame."""
    first = {tuple(key): row for row, key in reversed(list(enumerate(table.frames[:, [0, 1, 2, 4]].tolist())))}
    return np.array([first[tuple(key)] for key in frames.tolist()])


def read_truth(
    config: TestMasksConfig, table: FrameTable, frames: Int[np.ndarray, "N 4"], body: Body
) -> Truth | None:  # fmt: skip
    """Look up true joints and bodies; None where some frame has no true joints.

    Bodies with other joints than Human3.6M's, which no data set labels, are measured by those of their true bodies.
    """
    rows = rows_of_frames(table, frames)
    joints_m = torch.from_numpy(table.joints_world_m[table.row_instant[rows]].astype(np.float32))
    is_labelled = bool(joints_m.isfinite().all())
    if not is_labelled and body.has_h36m_joints:
        return None
    bodies = bodies_of_frames(config.paths.truth_location, table.frames[rows], config.paths.models_smpl_location)
    known = None if bodies is None else Bodies(bodies.rotations_world, bodies.betas)
    if body.has_h36m_joints:
        return Truth(joints_m, joints_m[:, :1], headings_world_rad(joints_m - joints_m[:, :1]), known)
    if bodies is None or known is None or not bodies.translation_m.isfinite().all():
        return None
    _, evaluated_m, root_m = about_pelvis(body, known)
    root_world_m = root_m + bodies.translation_m[:, None]
    return Truth(evaluated_m + root_world_m, root_world_m, heading_rad(known.rotations_world), known)


def median_pose_mm(truth: Truth) -> Float[np.ndarray, "N"]:
    """Measure what the best constant pose would reach: the median of the true ones, at the true heading of each."""
    root_m = truth.joints_world_m - truth.root_world_m
    median = turned_by_headings(root_m, -truth.heading_rad).median(dim=0).values.expand_as(root_m)
    return MM_PER_M * (turned_by_headings(median, truth.heading_rad) - root_m).norm(dim=-1).mean(dim=1).numpy()


class Fits(NamedTuple):
    """What was fitted, frame by frame."""

    frames: Int[np.ndarray, "N 4"]
    bodies: Bodies
    start: Bodies
    """What the fits began with."""
    cloth_m: Float[Tensor, "N J"]
    joints_world_m: Float[Tensor, "N E 3"]
    translation_m: Float[Tensor, "N 3"]
    overlap: Float[np.ndarray, "N V"]
    confidence: Float[np.ndarray, "N"]


def read_fits(folder: Path) -> Fits:
    """Read the parts that a fit wrote.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted((folder / "parts").glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no fits (parts/*.npz); make them with: {COMMAND}")
    parts = [load_part(path) for path in files]
    sizes = [len(part.frames) for part in parts]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def of_person(name: str) -> Tensor:
        return torch.from_numpy(np.repeat(np.stack([getattr(part, name) for part in parts]), sizes, axis=0))

    overlap = joined_overlap(parts)
    return Fits(
        joined("frames"), Bodies(rotations_of(joined("theta")), of_person("betas")),
        Bodies(rotations_of(joined("guess_theta")), torch.from_numpy(joined("guess_betas"))), of_person("cloth_m"),
        torch.from_numpy(joined("joints_world_m")), torch.from_numpy(joined("translation_m")), overlap,
        confidence_of(overlap, joined("apart_rad")),
    )  # fmt: skip


def views_of(config: TestMasksConfig, reader: MaskReader, fits: Fits, chosen: Int[np.ndarray, "E"]) -> list[Instant]:
    """Find the views of some frames that the fit saw."""
    cameras = tuple(fit_settings(config.fits).cameras)
    is_there = (reader.table.frames[:, None, [0, 1, 2, 4]] == fits.frames[chosen][None]).all(2).any(1)
    instants = {one[:4]: one for one in instants_of(reader.table, np.flatnonzero(is_there), cameras)}
    return [instants[tuple(fits.frames[row].tolist())] for row in chosen.tolist()]


def fit_settings(folder: Path) -> FitConfig:
    """Read the settings of a fit."""
    must_exist(folder / "config.json", COMMAND)
    return config_from_dict(FitConfig, json.loads((folder / "config.json").read_text()))


def drawn_again(
    config: TestMasksConfig, reader: MaskReader, body: Body, fits: Fits, chosen: Int[np.ndarray, "E"]
) -> dict[str, Float[np.ndarray, "E V S S"] | Bool[np.ndarray, "E V"]]:
    """Give the masks of some frames, and the silhouettes of their fits and of what these began with."""
    views = reader.read(views_of(config, reader, fits, chosen))
    coarse = coarse_body(body, coarse_faces(config.paths.models_smpl_location))
    fit = MasksFit(coarse, MasksFitLoss(), MasksFitSteps(), False)
    root_m = about_pelvis(body, Bodies(*(value[chosen] for value in fits.bodies)))[2][:, 0]
    pelvis_m = root_m + fits.translation_m[chosen] - views.target_world_m[:, 0]
    found = {"mask": views.mask.numpy(), "exists": views.exists.numpy()}
    for name, bodies in (("fit", fits.bodies), ("start", fits.start)):
        drawn = []
        for place, row in enumerate(chosen.tolist()):
            person = Person(fits.bodies.betas[row], fits.cloth_m[row])
            own = type(views)(*(value[place : place + 1] for value in views))
            with torch.no_grad():
                surface_m = fit.surface(bodies.rotations_world[row : row + 1], person, pelvis_m[place : place + 1])[0]
                drawn.append(covered(surface_m, own, fit.topology, SAMPLES)[0].numpy())
        found[name] = np.stack(drawn)
    return found


@torch.no_grad()
def over_pictures(
    config: TestMasksConfig, reader: MaskReader, body: Body, fits: Fits, chosen: Int[np.ndarray, "E"]
) -> UInt8[np.ndarray, "E V S S 3"]:
    """Draw the bodies of some frames over the pictures of all cameras; views that there are not stay grey."""
    instants = views_of(config, reader, fits, chosen)
    pictures = np.full(
        (len(instants), max(len(one.rows) for one in instants), PICTURE_PX, PICTURE_PX, 3), 128, np.uint8
    )
    for place, (one, frame) in enumerate(zip(instants, chosen.tolist(), strict=True)):
        own = Bodies(*(value[frame : frame + 1] for value in fits.bodies))
        vertices_world_m = body(*own, fits.translation_m[frame : frame + 1]).vertices_m[0].double().numpy()
        for view, row in enumerate(one.rows.tolist()):
            source = reader.table.camera(row)
            camera = level_camera(source, reader.targets_m[row], PICTURE_PX, reader.side_m)
            picture = cut(load_image(config.paths, reader.table.key(row), source), source, camera)
            seen_m = to_camera(camera, vertices_world_m)
            pictures[place, view] = overlay(picture, seen_m, body.faces.numpy(), camera.K)
    return pictures


def rows_of(body: Body, fits: Fits, truth: Truth | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Average everything that is known of the fits; give the table, and the values of every frame."""
    values = {"fit_overlap_percent": 100 * np.nanmean(fits.overlap, axis=1), "confidence": fits.confidence}
    plain = {"overlap_percent": float(values["fit_overlap_percent"].mean())}
    if truth is None:
        return {"fit": {"num_frames": len(fits.frames), **plain}}, values
    of_fit, by_joint_mm = errors_of(body, fits.bodies, truth)
    errors = {"teacher": errors_of(body, fits.start, truth)[0], "fit": of_fit}
    of_fit["world_joints_mm"] = MM_PER_M * (fits.joints_world_m - truth.joints_world_m).norm(dim=-1).mean(dim=1).numpy()
    rows = {name: summary_of(some, fits.frames) for name, some in errors.items()}
    by_joint = dict(zip(body.evaluated_names, by_joint_mm.mean(axis=0).tolist(), strict=True))
    median_mm = float(median_pose_mm(truth).mean())
    rows["fit"] |= plain | {"by_joint_mm": by_joint, "median_pose_joints_mm": median_mm,
                            "error_over_median_pose": rows["fit"]["joints_mm"] / median_mm}  # fmt: skip
    order = np.argsort(-fits.confidence)
    rows["fit"]["joints_mm_of_the_most_confident"] = {
        f"{share:.0%}": float(errors["fit"]["joints_mm"][order[: max(1, int(share * len(order)))]].mean())
        for share in (0.25, 0.5, 0.75, 0.9)}  # fmt: skip
    return rows, values | {f"{kind}_{name}": some for kind, one in errors.items() for name, some in one.items()}


def save_table(config: TestMasksConfig, row: dict[str, Any], split: str, tier: str) -> None:
    """Write the numbers of the fits as a result file."""
    assert config.result is not None
    settings = fit_settings(config.fits)
    begins = "a teacher" if settings.start == "teacher" else "known joints"
    protocol = (f"bodies fitted to masks, beginning with {begins}; {split}, one in {settings.every}; "
                f"{settings.steps.steps} steps; about the pelvis, no alignment but where a name says "
                "so; true bodies lack the clothes that masks show")  # fmt: skip
    line = {"num_frames": row["num_frames"], "num_sequences": row["num_sequences"]}
    for name in (name for name in row if f"{name}_interval" in row):
        low, high = row[f"{name}_interval"]
        line[name] = {"mean": row[name], "low": low, "high": high}
    save_rows(config.result, protocol, {"fit": line}, {"fit": tier})


def main(config: TestMasksConfig) -> dict[str, Any]:
    """Measure, write and print; return the metrics."""
    fits, settings = read_fits(config.fits), fit_settings(config.fits)
    body = load_body(config.paths.models_smpl_location, h36m_regressor=config.paths.h36m_regressor_location)
    there = replace(settings, paths=config.paths)
    reader = masks_reader(there, teacher_of(there))
    truth = read_truth(config, reader.table, fits.frames, body)
    rows, values = rows_of(body, fits, truth)
    split = f"{', '.join(f'S{one}' for one in np.unique(fits.frames[:, 0]))}; {len(fits.frames)} instants"
    inputs = {"index": index_path(config.paths), "body": config.paths.models_smpl_location}
    told = np.zeros((len(fits.frames), 5), np.int32)
    told[:, [0, 1, 2, 4]] = fits.frames
    reads = reads_of(settings, reader, np.unique(fits.frames[:, 0]).tolist())
    save_metrics(config.fits / "metrics.json", split, told, inputs, rows, reads=reads, at_test=reads)
    worst = np.argsort(values["fit_overlap_percent"] if truth is None else -values["fit_joints_mm"])[: config.worst]
    shown = np.linspace(0, len(fits.frames) - 1, min(config.examples, len(fits.frames))).round().astype(int)
    drawn = drawn_again(config, reader, body, fits, worst)
    pictures = over_pictures(config, reader, body, fits, shown)
    save_predictions(config.fits / "predictions.npz", split, told, inputs, worst_row=worst, example_row=shown,
                     example_overlay=pictures, overlap=fits.overlap, **values,
                     **{f"worst_{name}": np.asarray(value) for name, value in drawn.items()})  # fmt: skip
    for name, figure in fits_figures(config.fits, "").items():
        with atomic_write(config.fits / "figures" / f"{name}.png") as partial:
            figure.savefig(partial, format="png")
    if config.result is not None:
        save_table(config, rows["fit"], split, reads.tier)
    print(said_of(rows, split, reads.tier))
    print(next_command("sample/make_figures.py", config.paths, fits=config.fits))
    return rows


def said_of(rows: dict[str, Any], split: str, reads: str) -> str:
    """Write what was measured, a line per kind of body."""
    lines = [f"fits read {reads}; {split}; they cover their masks to {rows['fit']['overlap_percent']:.0f} % (overlap)"]
    for name, row in rows.items():
        if "joints_mm" in row:
            vertices = f", vertices {row['vertices_mm']:.1f}" if "vertices_mm" in row else ""
            lines.append(f"{name}: joints {row['joints_mm']:.1f} mm{vertices}, turned beyond {TURNED_DEGREES} degrees "
                         f"{row['beyond_90_percent']:.1f} %")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    start(main, TestMasksConfig)
