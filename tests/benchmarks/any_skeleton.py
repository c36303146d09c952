"""All stages for a body that is no human: a four-legged one of 30 joints, with no code for its kind.

    python tests/benchmarks/any_skeleton.py

Makes the body and a data set of it (S1 gives the cameras' places, S9 is tested), trains a teacher of few steps, fits
bodies to the masks of S9's sequences, which nothing was trained on, and compares them with the best constant pose: the
median of the true ones, at the true heading of each.  Then a data set of other animals trains what reads one image:
points that masks teach (stage 1), joints (stage 2) and bodies (stage 4), all measured on the same sequences of S9.  A
second run goes on where the first one stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from config import (
    ROOT,
    Crop,
    Damage,
    Loop,
    MasksConfig,
    MasksNetwork,
    Optim,
    Paths,
    PoseVariation,
    PreprocessConfig,
    Subjects,
    UnpairedPoses,
    UntrainedEncoder,
    demo,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData
from dataset_def.synthetic import make_moving_body, make_quadruped
from dataset_def.synthetic.make_moving_body import MovingBodyConfig
from dataset_def.synthetic.make_quadruped import QuadrupedConfig
from models.encoder_decoder import load_encoder
from models.masks_fit import MasksFitSteps
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_body_of, load_mesh, rooted_body
from sample import (
    fit_SMPL,
    test_pose,
    test_SMPL,
    test_SMPL_from_masks,
    train_3d_pose_from_enc,
    train_enc_dec,
    train_SMPL_from_enc,
    train_SMPL_from_masks,
)
from sample.fit_SMPL import FitConfig
from sample.test_pose import TestPoseConfig
from sample.test_SMPL import TestMeshConfig
from sample.tools import probe_points
from sample.tools.probe_points import ProbeConfig
from utils.artifacts import atomic_write, load_metrics, load_predictions, save_result, skeleton_among
from utils.figures.training import body_cells, enlarged, grid_picture, paired_points_over, skeleton_cells
from utils.image import to_pictures, write_image
from utils.metrics import mpjpe_mm
from utils.reference_poses import reference_poses
from utils.settings import start

TRAINED, TESTED, ACTIONS = 1, 9, (2, 3, 4)
WIDTH = 24
"""Of the encoders, to be quick."""
SHOWN_EVERY = 2
"""Every n-th example of the fits is drawn."""
MANY, PACKED_M, CROP = (1, 5, 6, 7), 2.4, Crop(side_m=1.6)
OTHERS = Subjects(train=MANY, labelled=MANY, test=(TESTED,), held_out=((4, 1), (8, 1)))
COMMAND = "python tests/benchmarks/any_skeleton.py"
STAGE_1 = ("points taught by masks, without a label; a linear map of them, fitted to labels of the animals that they "
           "were trained on, reads the joints of S9 off one image")  # fmt: skip
STAGE_2 = "joints of S9 read off one image by heat maps trained on the labels of other animals; about the root"
STAGE_4 = "bodies of S9 read off one image, behind stage 2's joints, trained on the labels and masks of other animals"
SEEN = "the same on sequences that no training saw, of the four animals that it did"
WITHOUT_IMAGE = ("mean_pose", "constant_pose", "constant_pose_true_heading")
"""Poses of the training labels: their mean; their median, facing the camera; the same, told the true heading."""
POSE_MEASURES = ("mpjpe_30_mm", "n_mpjpe_30_mm", "p_mpjpe_30_mm", "yaw_error_degrees")
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
    steps_1: int = 500
    """Of stage 1, whose points masks teach."""
    steps_2: int = 2500
    """Of stage 2."""
    steps_4: int = 700
    """Of stage 4, behind stage 2."""
    picture: Path = ROOT / "images" / "four_legged.jpg"
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "any_skeleton.json"


def make_many(settings: Settings, paths: Paths) -> Paths:
    """Make the data set of what reads one image: other animals in other rooms, and S9 as it is in the first one."""
    there = replace(Paths.under(settings.folder / "many"), models_smpl_location=paths.models_smpl_location,
                    runs_location=paths.runs_location)  # fmt: skip
    for subjects, actions in ((MANY, tuple(range(2, 10))), ((TESTED,), ACTIONS)):
        make_moving_body.main(MovingBodyConfig(there, frames=10, subjects=subjects, actions=actions, processes=1))
    h36m_preprocess.main(PreprocessConfig(there, pack_side_m=PACKED_M, processes=1))
    h36m_get_background.main(BackgroundConfig(there, processes=1))
    return there


def make_more(settings: Settings, many: Paths) -> Paths:
    """Make sequences that nothing is trained on, of the animals that are."""
    more = replace(Paths.under(settings.folder / "more"), models_smpl_location=many.models_smpl_location,
                   runs_location=many.runs_location)  # fmt: skip
    make_moving_body.main(MovingBodyConfig(more, frames=10, subjects=MANY, actions=(10, 11), processes=1))
    h36m_preprocess.main(PreprocessConfig(more, pack_side_m=PACKED_M, processes=1))
    return more


def make_data(settings: Settings) -> Paths:
    """Make the body and its data set, as far as they are not there."""
    body = settings.folder / "body.npz"
    if not body.is_file():
        make_quadruped.main(QuadrupedConfig(body))
    paths = Paths.under(settings.folder / "quad")
    paths = replace(paths, models_smpl_location=body, runs_location=settings.folder / "runs")
    make_moving_body.main(MovingBodyConfig(paths, frames=10, subjects=(TRAINED, TESTED), actions=ACTIONS))
    h36m_preprocess.main(PreprocessConfig(paths, pack=False))
    return paths


def loop_of(run: Path, validate_every: int) -> Loop:
    """Go on with a run where it stopped."""
    return Loop(workers=0, threads=1, log_every=10, validate_every=validate_every, checkpoint_every=50, pictures=3,
                resume=(run / "checkpoint_last.pt").is_file())  # fmt: skip


def train(settings: Settings, paths: Paths, subjects: Subjects) -> Path:
    """Train the teacher; give its checkpoint."""
    run = paths.runs_location / "masks" / settings.name
    train_SMPL_from_masks.main(MasksConfig(
        name=settings.name, device="cpu", paths=paths, subjects=subjects, side_m=1.6, poses=BARE, batch=24,
        network=MasksNetwork(width=24, features=64, hidden=256), damage=Damage(share=0.2), held_out_bodies=48,
        optim=Optim(steps=settings.steps, lr=2e-3, warmup_steps=20, bf16=False), loop=loop_of(run, 100),
    ))  # fmt: skip
    return run / "checkpoint_best.pt"


def optim_of(steps: int) -> Optim:
    """Train heat maps as the preset does, in 16 bits."""
    return Optim(steps=steps, lr=2e-3, weight_decay=0.02, warmup_steps=60, gradient_clip=5.0, bf16=True)


def train_points(settings: Settings, many: Paths) -> Path:
    """Train stage 1: points that masks teach; give its checkpoint."""
    run = many.runs_location / "enc_dec" / settings.name
    preset = demo().enc_dec
    train_enc_dec.main(replace(
        preset, name=settings.name, device="cpu", paths=many, subjects=OTHERS, crop=CROP, groups=6,
        encoder=replace(preset.encoder, width=WIDTH),
        teaching=replace(preset.teaching, walks_from_m=0.12), augment=replace(preset.augment, shift_m=0.12),
        optim=optim_of(settings.steps_1), loop=loop_of(run, 150),
    ))  # fmt: skip
    return run / "checkpoint_best.pt"


def train_joints(settings: Settings, many: Paths) -> Path:
    """Train stage 2: heat maps of the joints; give its checkpoint."""
    run = many.runs_location / "pose" / settings.name
    preset = demo().pose
    train_3d_pose_from_enc.main(replace(
        preset, encoder=None, mode="scratch", name=settings.name, device="cpu", paths=many, subjects=OTHERS, batch=24,
        untrained=UntrainedEncoder(CROP, replace(preset.untrained.encoder, width=WIDTH)),
        augment=replace(preset.augment, shift_m=0.12), optim=optim_of(settings.steps_2), loop=loop_of(run, 250),
    ))  # fmt: skip
    return run / "checkpoint_best.pt"


def train_bodies(settings: Settings, many: Paths, joints: Path) -> Path:
    """Train stage 4 from stage 2 on, with labels and masks, without fits and prior; give its checkpoint."""
    run = many.runs_location / "mesh" / settings.name
    preset = demo().mesh
    train_SMPL_from_enc.main(replace(
        preset, encoder=joints, name=settings.name, device="cpu", paths=many, subjects=OTHERS, silhouettes_of=MANY,
        prior=None, loss=replace(preset.loss, prior=0.0), augment=replace(preset.augment, shift_m=0.12),
        unpaired=UnpairedPoses(steps=500, poses=BARE), batch=16, silhouette_batch=4,
        optim=optim_of(settings.steps_4), loop=loop_of(run, 200),
    ))  # fmt: skip
    return run / "checkpoint_best.pt"


@torch.no_grad()
def picture(many: Paths, points: Path, joints: Path, bodies: Path, fits: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Draw what each stage finds in pictures of unseen sequences, and the fits to masks, of the same instants."""
    stored = load_predictions(fits / "predictions.npz", COMMAND)[1]
    shown = stored["example_row"][: len(stored["example_overlay"])][::SHOWN_EVERY]
    data = PoseData(many, FrameChoice((TESTED,)), CropSettings(CROP))
    keys = data.table.frames[data.rows]
    wanted = [(*frame[[0, 1, 2]].tolist(), 1, int(frame[4])) for frame in stored["frames"][shown]]
    samples = [data[0, int(np.flatnonzero((keys == key).all(axis=1))[0])] for key in wanted]
    image = torch.stack([one.image for one in samples])
    stage_4, cpu = load_mesh(bodies, torch.device("cpu")), torch.device("cpu")
    body = load_body_of(stage_4, bodies, many)
    surface_m = rooted_body(body, stage_4.network(image)).vertices_root_m
    surface_m = surface_m - surface_m.mean(dim=1, keepdim=True)
    seen, pictures = to_pictures(image), enlarged(to_pictures(image))
    true_m = torch.stack([one.joints_root_m for one in samples]).numpy()
    poses_m = load_pose(joints, cpu).network(image).numpy()
    middle_m = true_m.mean(axis=1, keepdims=True)
    return grid_picture({
        "image": pictures,
        "points (stage 1)": paired_points_over(seen, load_encoder(points).network.eval().encode_points(image).numpy(),
                                               CROP.side_m),
        "joints (stage 2)": skeleton_cells(poses_m - middle_m, true_m - middle_m, CROP.side_m,
                                           skeleton=data.table.skeleton),
        "body (stage 4)": body_cells(surface_m.numpy(), body.faces.numpy(), CROP.side_m, pictures),
        "fitted to masks": enlarged(stored["example_overlay"][::SHOWN_EVERY, 0]),
    })  # fmt: skip


def chosen_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Take what is reported of one image's reading: each measure with its interval."""
    return {name: summary[name] for name in POSE_MEASURES}


def over_the_median_pose(run: Path) -> float:
    """Divide the error of what a test stored by that of the median of its true poses, at the true heading of each."""
    stored = load_predictions(run / "predictions.npz", COMMAND)[1]
    predicted_m, true_m, R = (torch.from_numpy(stored[name]).float() for name in
                              ("predicted_root_m", "true_root_m", "R_crop_from_world"))  # fmt: skip
    skeleton = skeleton_among(stored)
    median_m = reference_poses(true_m @ R, true_m, R, skeleton)["constant_pose_true_heading"]
    return float(mpjpe_mm(predicted_m, true_m).mean() / mpjpe_mm(median_m, true_m).mean())


def from_one_image(settings: Settings, paths: Paths) -> dict[str, Any]:
    """Train and test what reads one image; give what the result keeps of each stage."""
    many = make_many(settings, paths)
    more = make_more(settings, many)
    joints = train_joints(settings, many)
    test_pose.main(TestPoseConfig(joints, paths=many, subjects=(TESTED,), device="cpu"))
    tested = load_metrics(joints.parent / "metrics.json", COMMAND)
    seen = joints.parent / "seen_animals"
    of_seen = test_pose.main(TestPoseConfig(joints, seen, paths=more, subjects=MANY, device="cpu"))
    bodies = train_bodies(settings, many, joints)
    points = train_points(settings, many)
    probed = probe_points.main(ProbeConfig(points, paths=many, subjects=OTHERS, sequences=(0,), every=1, device="cpu"))
    fits = paths.runs_location / "fit" / settings.name
    write_image(settings.picture, picture(many, points, joints, bodies, fits), quality=88)
    test_SMPL.main(TestMeshConfig(bodies, paths=many, subjects=(TESTED,), device="cpu"))
    measured = load_metrics(bodies.parent / "metrics.json", COMMAND)
    of_seen_4 = test_SMPL.main(TestMeshConfig(bodies, bodies.parent / "seen_animals", paths=more, subjects=MANY,
                                              device="cpu"))  # fmt: skip
    overall = measured["metrics"]["overall"]
    return {
        "stage_1": {"protocol": STAGE_1, "tier": load_encoder(points).reads.tier, "steps": settings.steps_1,
                    **chosen_of(next(iter(probed.values())))},
        "without_image_mm": {name: tested["metrics"][name]["mpjpe_30_mm"]["mean"] for name in WITHOUT_IMAGE},
        "stage_2": {"protocol": STAGE_2, "tier": tested["tier"], "steps": settings.steps_2,
                    **chosen_of(tested["metrics"]["overall"]),
                    "error_over_mean_pose": over_the_median_pose(joints.parent)},
        "stage_2_seen_animals": {"protocol": SEEN, **chosen_of(of_seen["overall"]),
                                 "error_over_mean_pose": over_the_median_pose(seen)},
        "stage_4": {"protocol": STAGE_4, "tier": measured["tier"], "steps": settings.steps_4, **chosen_of(overall),
                    **{name: overall[name] for name in ("vertex_mm", "iou_all_views_percent")},
                    "error_over_mean_pose": over_the_median_pose(bodies.parent)},
        "stage_4_seen_animals": {"protocol": SEEN, **chosen_of(of_seen_4["overall"]),
                                 "error_over_mean_pose": over_the_median_pose(bodies.parent / "seen_animals")},
    }  # fmt: skip


def line_of(row: dict[str, Any]) -> dict[str, Any]:
    """Take what is reported of a row: each measure with its interval."""
    counts = {name: row[name] for name in ("num_frames", "num_sequences")}
    return counts | {name: {"mean": row[name], "low": row[f"{name}_interval"][0], "high": row[f"{name}_interval"][1]}
                     for name in ("joints_mm", "vertices_mm", "yaw_error_degrees")}  # fmt: skip


def one_image_table(told: dict[str, Any]) -> list[str]:
    """Write what reads one image, a line per stage."""
    keys = {"MPJPE, mm": "mpjpe_30_mm", "N-MPJPE, mm": "n_mpjpe_30_mm", "P-MPJPE, mm": "p_mpjpe_30_mm",
            "heading, degrees": "yaw_error_degrees"}  # fmt: skip
    lines = [f"| from one image | {' | '.join(keys)} | over the median pose |", "|---" * (len(keys) + 2) + "|"]
    for name in ("stage_1", "stage_2", "stage_4", "stage_2_seen_animals", "stage_4_seen_animals"):
        row = told[name]
        cells = [f"{row[key]['mean']:.1f} [{row[key]['low']:.1f}, {row[key]['high']:.1f}]" for key in keys.values()]
        over = f"{row['error_over_mean_pose']:.2f}" if "error_over_mean_pose" in row else ""
        lines.append(f"| {name.replace('_', ' ').replace(' seen', ', seen')} | {' | '.join(cells)} | {over} |")
    plain = told["without_image_mm"]
    return [*lines, f"| median of the training labels, facing the camera | {plain['constant_pose']:.1f} | | | | |",
            f"| the same at the true heading | {plain['constant_pose_true_heading']:.1f} | | | | |"]  # fmt: skip


def markdown(rows: dict[str, Any], fit: dict[str, Any], of_images: dict[str, Any]) -> str:
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
        "root.", "", *one_image_table(of_images), "", "S9's sequences again, in each of 4 cameras; 30 joints about the "
        "root. Stage 1 is a linear map of points that no label taught.", "",
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
    tier = load_metrics(folder / "metrics.json", COMMAND)["tier"]
    protocol = (f"a four-legged body of 30 joints; teacher of {settings.steps} steps on drawn silhouettes; fits to "
                f"the masks of S{TESTED} in 4 cameras, every instant; about the root, no alignment; the median pose is "
                "that of the same instants, at the true heading of each")  # fmt: skip
    told = {name: found["fit"][name] for name in ("median_pose_joints_mm", "overlap_percent")}
    told |= from_one_image(settings, paths)
    told["error_over_mean_pose"] = found["fit"]["error_over_median_pose"]  # the mean pose is the median of joints
    save_result(settings.result, protocol, rows=rows, tiers=dict.fromkeys(rows, tier), **told)
    with atomic_write(settings.result.with_suffix(".md")) as partial:
        partial.write_text(markdown(rows, found["fit"], told))
    print(markdown(rows, found["fit"], told))


if __name__ == "__main__":
    start(main, Settings)
