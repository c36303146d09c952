"""Write a motion for other programs: rigs, AMASS's .npz, markers.

    python sample/tools/export_motion.py runs/predict/video/body.npz --formats amass glb trc
    python sample/tools/export_motion.py runs/fit/demo/pseudo_labels.npz --frames-per-second 50 --sequence 5 2 1
    python sample/tools/export_motion.py runs/predict/video/body.npz --formats amass --to-body /data/SMPL_NEUTRAL.pkl

Reads   body.npz (sample/predict.py), pseudo_labels.npz or truth/*.npz (sample/fit_SMPL.py), bodies of the embedded
        data, a motion of AMASS's form; the body file that its shape numbers belong to
Writes  <out>/: motion_amass.npz, motion.glb, motion.bvh, motion.fbx, motion.trc, motion.c3d, motion.mot with
        motion.osim, as asked for, and about.json, which says frame, unit, tier, weights, body and licence of each; a
        folder for each of several sequences
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import tyro
from jaxtyping import Float

from config import Paths, ranged, setting
from dataset_def.motions import StoredMotion, read_motions
from models.other_body import Moved, distance_between, for_other_body
from models.smpl import Body, load_body
from utils.artifacts import atomic_folder, check_out, file_hash
from utils.export.about import NOT_TOLD, About, licence_of
from utils.export.bvh import CENTIMETRES
from utils.export.motion import (
    OF_CAMERA,
    OF_RECORDING,
    BodyMotion,
    Gender,
    MotionFormat,
    MovingBody,
    body_motion,
    check_formats,
    check_skeleton,
    on_the_ground,
    write_motion_files,
)
from utils.export.rig import Y_UP_FROM_CAM, Y_UP_FROM_Z_UP
from utils.settings import short, start

SMPL_VERTICES = 6890


@dataclass(frozen=True)
@ranged()
class ExportMotionConfig:
    """sample/tools/export_motion.py: a motion as files of other programs."""

    motion: tyro.conf.Positional[Path]
    """body.npz of predict.py, pseudo_labels.npz or truth/*.npz of fit_SMPL.py, or a motion of AMASS's form."""
    formats: tuple[MotionFormat, ...] = ("amass", "glb", "bvh", "trc")
    """amass: .npz, z up; glb, fbx: skeleton, skin, motion (fbx: extra [fbx]); bvh: skeleton; trc, c3d: named markers
    (c3d: extra [c3d]); mot: angles for OpenSim, with a model of the body's skeleton."""
    out: Path | None = None
    """Folder for what is written; without it, runs/motion/<name of the motion>."""
    overwrite: bool = False
    """Replace the folder if it is there."""
    sequence: tuple[int, int, int] | None = None
    """Of fits: subject, action, sub-action; without it, all."""
    frames_per_second: float = setting(0.0, low=0, high=10_000)
    """Of the recording; 0 takes what the file tells, which those of fits do not."""
    gender: Gender | None = None
    """Which body file the shape numbers belong to, for AMASS's readers; without it as the motion's file tells, but for
    --to-body, whose shape numbers are others; else neutral."""
    ground: bool = False
    """Move the motion up or down, so that its lowest point is at height zero."""
    bvh_unit: Literal["centimetres", "metres"] = "centimetres"
    """Of .bvh, which cannot tell its unit."""
    to_body: Path | None = None
    """Say the motion with the parameters of this body file, such as SMPL_NEUTRAL.pkl, or the embedded one for motions
    of SMPL's; what it costs is printed."""
    paths: Paths = field(default_factory=Paths)
    """models_smpl_location: the body file that the motion's shape numbers belong to."""


def chosen(stored: list[StoredMotion], config: ExportMotionConfig) -> list[StoredMotion]:
    """Take the sequence that is asked for, or all.

    Raises:
        ValueError: the file has no such sequence.
    """
    if config.sequence is None:
        return stored
    name = "s_{:02d}_act_{:02d}_subact_{:02d}".format(*config.sequence)
    found = [one for one in stored if one.name == name]
    if not found:
        raise ValueError(f"{config.motion} has no {name}; it has {', '.join(one.name for one in stored)}")
    return found


def rate_of(stored: StoredMotion, config: ExportMotionConfig) -> float:
    """Say how many bodies there are per second.

    Raises:
        ValueError: nobody tells.
    """
    recorded = config.frames_per_second or stored.frames_per_second
    if not recorded:
        raise ValueError(f"{config.motion} does not tell how many frames there were per second; give "
                         "--frames-per-second of the recording, such as 50 for Human3.6M")  # fmt: skip
    return recorded / stored.every


def check_body(stored: StoredMotion, location: Path, config: ExportMotionConfig) -> None:
    """Refuse a motion whose shape numbers or joints belong to another body file; tell what is taken where none is told.

    Raises:
        ValueError: naming both.
    """
    found = file_hash(location)
    if not stored.body_sha256:
        print(f"{config.motion} does not tell which body file its shape numbers belong to; {short(location)} is taken, "
              "--paths.models-smpl-location gives another")  # fmt: skip
    if stored.body_sha256 and stored.body_sha256 != found:
        raise ValueError(f"{config.motion} belongs to another body file (hash {stored.body_sha256[:8]}) than "
                         f"{location} (hash {found[:8]}); give --paths.models-smpl-location the file it was made "
                         "with")  # fmt: skip


def moved_by(stored: StoredMotion, body: Body) -> Moved:
    """Give one shape to all frames, the mean, and leave the root joint of each where it is."""
    betas = stored.betas.astype(np.float64).mean(axis=0)
    if stored.rotations.shape[1] != len(body.parents):
        raise ValueError(f"{stored.name} has {stored.rotations.shape[1]} joints, its body file {len(body.parents)}; "
                         "give --paths.models-smpl-location the file it was made with")  # fmt: skip
    if len(betas) > body.num_betas:
        raise ValueError(f"{stored.name} has {len(betas)} shape numbers, but its body file has {body.num_betas}; give "
                         "--paths.models-smpl-location the file it was made with")  # fmt: skip
    with torch.no_grad():
        shapes = torch.from_numpy(np.concatenate([stored.betas, betas[None]])).to(body.template_m)
        roots_m = body.rest_joints_m(shapes)[:, 0].double().numpy()
    return Moved(stored.rotations, betas, stored.translation_m + roots_m[:-1] - roots_m[-1])


def to_other_body(moved: Moved, body: Body, other: Body, path: Path) -> Moved:
    """Say a motion with the parameters of another body, and tell how far the two are apart."""
    there = for_other_body(body, moved, other)
    apart = distance_between(body, moved, other, there)
    print(f"for {short(path)}: joints of the same name are {apart.joints_mm:.1f} mm apart (the worst "
          f"{apart.worst_joint_mm:.1f} mm), the surfaces {apart.surface_mm:.1f} mm (95 % of them below "
          f"{apart.surface_95_mm:.1f} mm)")  # fmt: skip
    return there


def moving_body(stored: StoredMotion, config: ExportMotionConfig) -> BodyMotion:
    """Put a stored motion on its body, or on the one that is asked for."""
    location = config.paths.models_smpl_location
    check_body(stored, location, config)
    body = load_body(location, torch.float64)
    shown = body if config.to_body is None else load_body(config.to_body, torch.float64)
    check_skeleton(config.formats, shown)
    moved, licence = moved_by(stored, body), stored.licence or licence_of(location)
    if config.to_body is not None:
        moved, body = to_other_body(moved, body, shown, config.to_body), shown
        location, licence = config.to_body, f"{licence_of(config.to_body)}; motion: {licence}"
    roots_m = moved.translation_m + root_of(body, moved.betas)
    R_y_up, world = (Y_UP_FROM_Z_UP, OF_RECORDING) if stored.is_z_up else (Y_UP_FROM_CAM, OF_CAMERA)
    taken = MovingBody(moved.rotations, moved.betas, roots_m, rate_of(stored, config), R_y_up)
    about = About(stored.tier or NOT_TOLD, stored.weights_sha256, file_hash(location), licence, gaps=stored.gaps)
    moving = body_motion(body, taken, world, about, gender_of(stored, config), config.formats)
    return on_the_ground(moving) if config.ground else moving


def gender_of(stored: StoredMotion, config: ExportMotionConfig) -> Gender:
    """Say which body file the shape numbers belong to; neutral where nobody tells.

    Raises:
        ValueError: the file tells another word.
    """
    told = config.gender or ("" if config.to_body else stored.gender) or "neutral"
    for gender in get_args(Gender):
        if told == gender:
            return gender
    raise ValueError(f"{config.motion} tells the gender {told!r}; give --gender neutral, female or male")


def root_of(body: Body, betas: Float[np.ndarray, "n"]) -> Float[np.ndarray, "3"]:
    """Give the root joint of a shape at rest."""
    with torch.no_grad():
        return body.rest_joints_m(torch.from_numpy(betas)[None].to(body.template_m))[0, 0].double().numpy()


def say_whose_shape(moving: BodyMotion, config: ExportMotionConfig) -> None:
    """Warn where AMASS's readers would put shape numbers of another body on SMPL's."""
    if "amass" in config.formats and len(moving.rig.vertices_m) != SMPL_VERTICES:
        print("the shape numbers and rotations in motion_amass.npz belong to this body, not to SMPL's; for programs "
              "that show SMPL add --to-body SMPL_NEUTRAL.pkl")  # fmt: skip


def main(config: ExportMotionConfig) -> Path:
    """Write the files, and return the folder."""
    check_formats(config.formats)
    stored = chosen(read_motions(config.motion), config)
    out = config.out or config.paths.runs_location / "motion" / stored[0].name
    check_out(out, config.overwrite, ("about.json", "*/about.json"), (config.motion,))
    units = CENTIMETRES if config.bvh_unit == "centimetres" else 1.0
    with atomic_folder(out) as (partial,):
        for one in stored:
            moving = moving_body(one, config)
            folder = partial / one.name if len(stored) > 1 else partial
            write_motion_files(folder, moving, config.formats, units)
        say_whose_shape(moving, config)
    frames = sum(len(one.rotations) for one in stored)
    print(f"{frames} frames of {len(stored)} motion{'s' * (len(stored) > 1)}: {out}")
    return out


if __name__ == "__main__":
    start(main, ExportMotionConfig)
