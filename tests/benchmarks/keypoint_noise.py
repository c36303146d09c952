"""Where BlazePose's points lie on the body, and how far it errs: what the lifter's training draws.

    pip install -e ".[keypoints]"
    python dataset_def/photos/person.py
    python tests/benchmarks/keypoint_noise.py

Reads   rendered people of the embedded data, whose bodies are known (training subjects only)
Writes  tests/benchmarks/results/keypoint_noise.json; ON_BODY in models/SMPL_from_keypoints.py and KeypointNoise in
        config.py hold its numbers, rounded
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from config import ROOT, Paths
from dataset_def.ground_truth_bodies import bodies_of_frames
from dataset_def.h36m_files import load_image
from dataset_def.h36m_index import load_table
from dataset_def.photos.blazepose import BLAZEPOSE, KEYPOINT_NETWORKS, BlazePose
from models.kinematics import along_the_tree
from models.smpl import load_body
from models.SMPL_from_keypoints import ON_BODY
from utils.artifacts import save_result
from utils.camera import project, to_camera
from utils.person_box import Box
from utils.settings import start
from utils.skeleton import SMPL_24

EVERY_VERTEX = 7
"""The box of a person is put around every n-th vertex."""
ROUNDS = 30
NEAR = 0.05
"""Half boxes from which on a point counts little in where a keypoint lies."""
IN_SIGHT = 0.5


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    pictures: int = 500
    subjects: tuple[int, ...] = (1, 5, 6, 7, 8)
    kind: str = "full"
    seed: int = 0
    detector_location: Path = KEYPOINT_NETWORKS
    paths: Paths = field(default_factory=Paths)
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "keypoint_noise.json"


class Found(NamedTuple):
    """Bodies in their cameras' axes, and what the detector says; one row per picture in which it finds the person."""

    joints_cam_m: Float[np.ndarray, "N 24 3"]
    totals_cam: Float[np.ndarray, "N 24 3 3"]
    points: Float[np.ndarray, "N 33 2"]
    """At depth one."""
    confidence: Float[np.ndarray, "N 33"]
    half: Float[np.ndarray, "N"]
    """Half the longer side of the person's box, at depth one."""
    num_pictures: int


def found_in_pictures(settings: Settings) -> Found:
    """Let the detector look at people whose bodies are known."""
    table, location = load_table(settings.paths), settings.paths.models_smpl_location
    rows = np.flatnonzero(np.isin(table.frames[:, 0], settings.subjects))
    rows = np.random.default_rng(settings.seed).permutation(rows)[: settings.pictures]
    bodies = bodies_of_frames(settings.paths.truth_location, table.frames[rows], location)
    if bodies is None:
        raise ValueError(f"{settings.paths.truth_location} has no bodies; make the embedded data again")
    with torch.no_grad():
        out = load_body(location)(bodies.rotations_world, bodies.betas, bodies.translation_m)
    totals = along_the_tree(bodies.rotations_world).double().numpy()
    networks, found = BlazePose(settings.detector_location, settings.kind), []
    for number, row in enumerate(tqdm(rows, desc="pictures", disable=None)):
        camera = table.camera(row)
        surface_px = project(camera, to_camera(camera, out.vertices_m[number, ::EVERY_VERTEX].double().numpy()))
        low, high = surface_px.min(axis=0), surface_px.max(axis=0)
        seen = networks.person_in(load_image(settings.paths, table.key(row), camera), Box(*low, *(high - low)))
        if seen is not None:
            joints_m = to_camera(camera, out.joints_m[number].double().numpy())
            points = (seen.points_px - camera.centre_px) / camera.focal_px
            half = (high - low).max() / 2 / camera.focal_px.mean()
            found.append((joints_m, camera.R_cam_from_world @ totals[number], points, seen.confidence, half))
    return Found(*(np.stack(column) for column in zip(*found, strict=True)), len(rows))


class Sided(NamedTuple):
    """One keypoint of both sides, the right one mirrored onto the left."""

    beside_m: Float[np.ndarray, "M 3"]
    axes: Float[np.ndarray, "M 3 3"]
    point: Float[np.ndarray, "M 2"]
    confidence: Float[np.ndarray, "M"]
    half: Float[np.ndarray, "M"]


def both_sides(found: Found, part: str) -> Sided:
    """Gather a keypoint."""
    joint, frame, _ = ON_BODY[part]
    columns = []
    for side, sign in (("", 1),) if part == "nose" else (("left_", 1), ("right_", -1)):
        own = [SMPL_24.index(f"{side}{name}" if f"{side}{name}" in SMPL_24 else name) for name in (joint, frame)]
        row = BLAZEPOSE.index(f"{side}{part}")
        axes = found.totals_cam[:, own[1]] @ np.diag([sign, 1.0, 1.0])
        columns.append(
            (found.joints_cam_m[:, own[0]], axes, found.points[:, row], found.confidence[:, row], found.half)
        )
    return Sided(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def errors(
    here: Sided, offset_m: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "M 2"], Float[np.ndarray, "M 2 3"]]:
    """Give how far points are from where an offset would put them, in half boxes, and its derivative by the offset."""
    x, y, z = (here.beside_m + here.axes @ offset_m).T
    zero = np.zeros_like(z)
    derivative = np.stack([np.stack([1 / z, zero, -x / z**2], -1), np.stack([zero, 1 / z, -y / z**2], -1)], axis=1)
    off = here.point - np.stack([x / z, y / z], axis=-1)
    return off / here.half[:, None], derivative @ here.axes / here.half[:, None, None]


def offset_of(here: Sided, is_middle: bool) -> Float[np.ndarray, "3"]:
    """Find where a keypoint lies beside its joint, by least squares over points in sight; far ones weigh less."""
    offset_m = np.zeros(3)
    for _ in range(ROUNDS):
        off, slope = errors(here, offset_m)
        weight = (here.confidence > IN_SIGHT) / (1 + (np.linalg.norm(off, axis=1) / NEAR) ** 2)
        left = np.einsum("nij,nik,n->jk", slope, slope, weight) + 1e-6 * np.eye(3)
        offset_m = offset_m + np.linalg.solve(left, np.einsum("nij,ni,n->j", slope, off, weight))
        offset_m[0] *= not is_middle
    return offset_m


def measured(here: Sided, part: str) -> dict[str, Any]:
    """Measure one keypoint."""
    offset_m = offset_of(here, part == "nose")
    apart, is_seen = np.linalg.norm(errors(here, offset_m)[0], axis=1), here.confidence > IN_SIGHT
    quantiles = {"median": 0.5, "three_quarters": 0.75, "nine_tenths": 0.9, "most": 0.97}
    of = {"seen": apart[is_seen], "hidden": apart[~is_seen]}
    return {
        "offset_m": offset_m.round(3).tolist(),
        "hidden_share": round(float((~is_seen).mean()), 3),
        **{f"{kind}_error_half_boxes": {name: round(float(np.quantile(some, at)), 3) for name, at in quantiles.items()}
           for kind, some in of.items() if len(some) >= 5},
    }  # fmt: skip


def main(settings: Settings) -> dict[str, Any]:
    """Measure all keypoints, write and print."""
    found = found_in_pictures(settings)
    keypoints = {part: measured(both_sides(found, part), part) for part in ON_BODY}
    protocol = (
        f"BlazePose {settings.kind} on {found.num_pictures} pictures of 256 pixels of the embedded data's training "
        f"people, boxes of the true bodies given; {len(found.half)} people found.  Errors over half the longer side of "
        "the box; hidden: called less likely in sight than not"
    )
    save_result(settings.result, protocol, keypoints=keypoints)
    for part, row in keypoints.items():
        print(part, row)
    return keypoints


if __name__ == "__main__":
    start(main, Settings)
