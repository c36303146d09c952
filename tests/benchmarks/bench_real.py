"""One man before four real cameras, one picture at a time and all together: what each tier makes of a real person.

    pip install -e ".[keypoints]"
    python dataset_def/photos/person.py --heavy
    python tests/benchmarks/bench_real.py
    python tests/benchmarks/bench_real.py --only cameras      (the other rows stay as they are stored)

Reads   the recording inside the wheel pose2sim 0.7.0 (pip fetches it once), whose 2D keypoints, of another detector,
        are triangulated after the cameras are refined: the truth, to 3 to 4 cm.  No other script looks at these
        pictures to choose anything.
Writes  tests/benchmarks/results/real_pictures.json, and its table beside it as .md
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from config import ASSETS, ROOT, Paths
from dataset_def.import_multiview import place_session_person
from dataset_def.multiview import pose2sim_session as session_files
from dataset_def.multiview.keypoint_files import BODY_25B, h36m_from_body_25b, with_head
from dataset_def.multiview.people_in_clips import CamerasConfig, people_found
from dataset_def.multiview.people_in_views import detected_people
from dataset_def.multiview.recording import MultiviewRecording, as_ideal_camera
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.photos.blazepose import BLAZEPOSE, KEYPOINT_NETWORKS, BlazePose
from dataset_def.photos.crop import photo_crop
from dataset_def.photos.keypoints import OTHER_NAMES, keypoints_of
from dataset_def.photos.pictures import Picture
from dataset_def.video import video_frames
from models.keypoints_fit import KeypointsFitConfig
from sample.bodies_in_cameras import fitted_bodies
from sample.predict import KeypointPredictor, PeopleInFrames, Person, Predictor, SeenKeypoints
from sample.predict_cameras import Task, about_of, tools_of
from tests.benchmarks.bodies_on_recording import LIMBS, about_hips
from utils.artifacts import atomic_write, file_hash, save_result
from utils.camera import Camera, project, to_camera
from utils.metrics import heading_rad, n_mpjpe_mm, pa_mpjpe_mm
from utils.person_box import Box
from utils.settings import start
from utils.skeleton import H36M_17
from utils.tiers import Reads

BEYOND_JOINTS = 0.12
"""The box that every tier is given lies by so much of its longer side around the true joints."""
PCK = 0.1


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    instants: int = 13
    """Spread over the recording; each is seen by four cameras."""
    wheel: Path | None = None
    """pose2sim-0.7.0-py3-none-any.whl; without it, pip fetches it."""
    downloads: Path = ROOT / "data" / "downloads"
    detectors: tuple[str, ...] = ("full", "heavy")
    detector_location: Path = KEYPOINT_NETWORKS
    lifter: Path = ASSETS / "open_lifter.pt"
    checkpoint: Path = ASSETS / "open_body_photos.pt"
    only: Literal["", "one_picture", "cameras"] = ""
    """Measure these rows alone, and keep the others of the stored result."""
    fit: KeypointsFitConfig = field(default_factory=KeypointsFitConfig)
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "real_pictures.json"


class Shown(NamedTuple):
    """One picture, and where the man's joints are in the axes of its camera."""

    picture: Picture
    camera: Camera
    """Ideal, at the origin and unrotated."""
    R_cam_from_world: Float[np.ndarray, "3 3"]
    true_cam_m: Float[np.ndarray, "17 3"]
    box: Box


class Answer(NamedTuple):
    """What a tier says about a picture: the 17 joints in the camera's axes, and where they are seen."""

    joints_cam_m: Float[np.ndarray, "17 3"]
    joints_px: Float[np.ndarray, "17 2"] | None
    """None for a tier that places no joints in the picture."""


def box_around(points_px: Float[np.ndarray, "n 2"]) -> Box:
    """Put a box around joints, as a user would around a person."""
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    more = BEYOND_JOINTS * (high - low).max()
    return Box(*(low - more).tolist(), *(high - low + 2 * more).tolist())


def session(settings: Settings) -> MultiviewRecording:
    """Open the recording."""
    wheel = session_files.fetched_wheel(settings.wheel, settings.downloads)
    return session_files.load_recording(session_files.unpack(wheel, settings.downloads / "pose2sim"))


class Truth(NamedTuple):
    """The recording with its cameras turned, and the joints that its own keypoints give."""

    recording: MultiviewRecording
    joints_world_m: Float[np.ndarray, "T 17 3"]


def truth_of(settings: Settings) -> Truth:
    """Turn the cameras by the small angles that the recording's keypoints ask for, and triangulate these."""
    config = session_files.with_defaults(ImportMultiviewConfig())
    recording, labels, _ = place_session_person(config, session(settings))
    return Truth(recording, labels.joints_world_m)


def pictures(settings: Settings, truth: Truth) -> list[Shown]:
    """Cut the instants out of the videos, with the true joints in each camera."""
    recording = truth.recording
    instants = np.linspace(0, recording.num_instants - 1, settings.instants).round().astype(int).tolist()
    found = []
    for view in recording.views:
        seen_by = pinhole(view.camera)
        camera = seen_by._replace(R_cam_from_world=np.eye(3), centre_world_m=np.zeros(3))
        for instant, frame in enumerate(islice(video_frames(view.videos), recording.num_instants)):
            if instant not in instants:
                continue
            true_m = to_camera(seen_by, truth.joints_world_m[instant])
            picture = Picture(f"{view.name}_{instant:03d}", as_ideal_camera(frame, view.camera))
            box = box_around(project(camera, true_m))
            found.append(Shown(picture, camera, seen_by.R_cam_from_world, true_m, box))
    return found


def by_pixels(settings: Settings) -> Callable[[Shown], Answer]:
    """Read a picture with this project's own network."""
    predictor = Predictor(settings.checkpoint, "cpu")

    def answer(one: Shown) -> Answer:
        crop = photo_crop(one.picture, one.box, predictor.stored.config.crop, float(one.camera.focal_px[0]), 1.7)
        [person] = PeopleInFrames(predictor)([crop._replace(camera=one.camera)])
        return of_person(person, one.camera)

    return answer


def of_person(person: Person, camera: Camera) -> Answer:
    """Give a body's joints."""
    return Answer(person.joints_cam_m, project(camera, person.joints_cam_m))


def by_blazepose(networks: BlazePose) -> Callable[[Shown], Answer | None]:
    """Take the detector's own guess in space, and its points in the picture."""

    def ours(points: Float[np.ndarray, "33 d"]) -> Float[np.ndarray, "17 d"]:
        named = np.full((1, len(BODY_25B), points.shape[1]), np.nan)
        others = {theirs: own for own, theirs in OTHER_NAMES.items()}
        for row, name in enumerate(BODY_25B):
            if others.get(name, name) in BLAZEPOSE:
                named[0, row] = points[BLAZEPOSE.index(others.get(name, name))]
        return h36m_from_body_25b(with_head(named))[0]

    def answer(one: Shown) -> Answer | None:
        seen = networks.person_in(one.picture.rgb, one.box)
        return None if seen is None else Answer(ours(seen.points_m), ours(seen.points_px))

    return answer


def by_keypoints(settings: Settings, networks: BlazePose, fitted: bool) -> Callable[[Shown], Answer | None]:
    """Read a picture's keypoints with the lifter, and fit the body or not."""
    predictor = KeypointPredictor(settings.lifter, networks, settings.fit)

    def answer(one: Shown) -> Answer | None:
        seen = networks.person_in(one.picture.rgb, one.box)
        person = None if seen is None else keypoints_of(seen.points_px, seen.confidence, BLAZEPOSE, True)
        if person is None:
            return None
        there = [SeenKeypoints(one.picture, person.box, one.camera, person)]
        lifted = predictor.lifted(there) if fitted else predictor.lift(there)[0]
        return of_person(predictor.persons(lifted, there)[0], one.camera)

    return answer


def measured(tier: str, answer: Callable[[Shown], Answer | None], shown: list[Shown], reads: Reads) -> dict[str, Any]:
    """Measure a tier on all pictures; a picture without an answer is counted, and left out of the distances."""
    answer(shown[0])  # files are read and kernels are made
    found, spent_s = [], time.process_time()
    for one in tqdm(shown, desc=tier, disable=None):
        found.append(answer(one))
    spent_s = time.process_time() - spent_s
    there = [(one, said) for one, said in zip(shown, found, strict=True) if said is not None]
    true_m, said_m = (torch.from_numpy(np.stack(rows)).float() for rows in (
        [one.true_cam_m for one, _ in there], [said.joints_cam_m for _, said in there]))  # fmt: skip
    limbs = [torch.from_numpy(about_hips(points_m.numpy())) for points_m in (said_m, true_m)]
    R = torch.from_numpy(np.stack([one.R_cam_from_world for one, _ in there])).float()
    yaw = heading_rad(said_m, R) - heading_rad(true_m, R)
    yaw = torch.rad2deg(torch.atan2(yaw.sin(), yaw.cos()).abs())
    rows = [H36M_17.index(name) for name in LIMBS]
    off = [np.linalg.norm(said.joints_px - project(one.camera, one.true_cam_m), axis=-1)[rows]
           / max(one.box.width_px, one.box.height_px) for one, said in there if said.joints_px is not None]  # fmt: skip
    row = {
        "tier": tier, "reads": reads.tier, "num_pictures": len(shown), "num_without_answer": len(shown) - len(there),
        "n_mpjpe_mm": n_mpjpe_mm(*limbs).mean().item(), "p_mpjpe_mm": pa_mpjpe_mm(*limbs).mean().item(),
        "n_mpjpe_17_mm": n_mpjpe_mm(said_m, true_m).mean().item(),
        "p_mpjpe_17_mm": pa_mpjpe_mm(said_m, true_m).mean().item(),
        "yaw_median_deg": yaw.median().item(), "yaw_mean_deg": yaw.mean().item(),
        "beyond_90_percent": 100 * (yaw > 90).float().mean().item(),
        "pck_10_percent": 100 * float(np.mean(np.array(off) < PCK)) if off else None,
        "ms_per_picture": 1000 * spent_s / len(shown),
    }  # fmt: skip
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}


def jerk_m_per_s3(joints_m: Float[np.ndarray, "T J 3"], rate: float) -> float:
    """Measure how a motion shakes: the median over joints and instants of the third difference."""
    return float(np.median(np.linalg.norm(np.diff(joints_m, 3, axis=0), axis=-1)) * rate**3)


def measured_together(
    tier: str, said_world_m: Float[np.ndarray, "T 17 3"], truth: Truth, reads: str, spent_s: float
) -> dict[str, Any]:
    """Measure bodies in the recording's world at all its instants."""
    true_m, rate = truth.joints_world_m, truth.recording.frames_per_second
    limbs = [about_hips(joints_m) for joints_m in (said_world_m, true_m)]
    off_m = limbs[0] - limbs[1]
    about_usual_m = off_m - np.median(off_m, axis=0)
    said, true = (torch.from_numpy(joints_m).float() for joints_m in (said_world_m, true_m))
    upright = torch.eye(3).expand(len(true), 3, 3)
    yaw = heading_rad(said, upright) - heading_rad(true, upright)
    yaw = torch.rad2deg(torch.atan2(yaw.sin(), yaw.cos()).abs())
    rows, near = [H36M_17.index(name) for name in LIMBS], []
    for camera in (pinhole(one) for one in truth.recording.cameras):
        said_px, true_px = (project(camera, to_camera(camera, joints_m)) for joints_m in (said_world_m, true_m))
        for one, other in zip(said_px, true_px, strict=True):
            box = box_around(other)
            near.append(np.linalg.norm(one - other, axis=-1)[rows] < PCK * max(box.width_px, box.height_px))
    count = len(near)
    row = {
        "tier": tier, "reads": reads, "num_pictures": count, "num_without_answer": 0,
        "n_mpjpe_mm": n_mpjpe_mm(*(torch.from_numpy(one).float() for one in limbs)).mean().item(),
        "p_mpjpe_mm": pa_mpjpe_mm(*(torch.from_numpy(one).float() for one in limbs)).mean().item(),
        "n_mpjpe_17_mm": n_mpjpe_mm(said, true).mean().item(), "p_mpjpe_17_mm": pa_mpjpe_mm(said, true).mean().item(),
        "yaw_median_deg": yaw.median().item(), "yaw_mean_deg": yaw.mean().item(),
        "beyond_90_percent": 100 * (yaw > 90).float().mean().item(), "pck_10_percent": 100 * float(np.mean(near)),
        "ms_per_picture": 1000 * spent_s / count,
        "joints_median_mm": 1000 * float(np.median(np.linalg.norm(off_m, axis=-1))),
        "joints_median_without_offsets_mm": 1000 * float(np.median(np.linalg.norm(about_usual_m, axis=-1))),
        "jerk_m_per_s3": jerk_m_per_s3(limbs[0], rate), "true_jerk_m_per_s3": jerk_m_per_s3(limbs[1], rate),
    }  # fmt: skip
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}


def cameras_rows(settings: Settings, truth: Truth) -> list[dict[str, Any]]:
    """Predict bodies from all cameras together, as predict.py --calibration does, from each kind of evidence."""
    started_s, recording = time.process_time(), truth.recording
    views = detected_people(recording, settings.detector_location, "full", 1)
    config = ImportMultiviewConfig(outlier_px=session_files.OUTLIER_PX)
    recording, person, _ = people_found(recording, views, config, 1, False)
    found_s, rows = time.process_time() - started_s, []
    for evidence in ("masks", "keypoints", "both"):
        cameras = CamerasConfig(calibration=(Path("in the wheel"),), evidence=evidence)
        task = Task("in the wheel", cameras, settings.result, lifter=settings.lifter,
                    detector_location=settings.detector_location)  # fmt: skip
        started_s, tools = time.process_time(), tools_of(task)
        bodies = fitted_bodies(person, recording.frames_per_second, tools, cameras.smooth_hz)
        spent_s = found_s + time.process_time() - started_s
        rows.append(
            measured_together(f"cameras_{evidence}", bodies.joints_world_m, truth, about_of(task, tools).tier, spent_s)
        )
    return rows


TITLES = {
    "pixels": "this project's own network", "blazepose": "BlazePose's own 3D", "keypoints_lifter_only": "lifter",
    "keypoints": "lifter and fit", "cameras_masks": "four cameras, the detector's masks alone",
    "cameras_keypoints": "four cameras, keypoints", "cameras_both": "four cameras, both",
}  # fmt: skip


def table_of(stored: dict[str, Any]) -> str:
    """Write the rows as a table of a page."""
    lines = ["| | reads | N-MPJPE mm | P-MPJPE mm | N / P, 17 joints | yaw, median ° | beyond 90° % | PCK@10 % | "
             "joints, median mm | ms |",
             "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in stored["rows"]:
        tier = row["tier"].removesuffix("_heavy")
        has_one = tier == "pixels" or tier.startswith("cameras")
        title = TITLES[tier] + ("" if has_one else ", heavy" if row["tier"] != tier else ", full")
        lines.append(
            f"| {title} | {row['reads']} | {row['n_mpjpe_mm']:.1f} | {row['p_mpjpe_mm']:.1f} | "
            f"{row['n_mpjpe_17_mm']:.1f} / {row['p_mpjpe_17_mm']:.1f} | {row['yaw_median_deg']:.1f} | "
            f"{row['beyond_90_percent']:.1f} | {row['pck_10_percent']:.1f} | {row.get('joints_median_mm', '')} | "
            f"{row['ms_per_picture']:.0f} |"
        )
    return "\n".join([*lines, "", f"<sub>{stored['protocol']}.</sub>", ""])


def write_table(result: Path) -> None:
    """Write the table of a result beside it."""
    with atomic_write(result.with_suffix(".md")) as partial:
        partial.write_text(table_of(json.loads(result.read_text())))


def one_picture_rows(settings: Settings, truth: Truth) -> list[dict[str, Any]]:
    """Measure the tiers that see one picture at a time."""
    shown = pictures(settings, truth)
    pixels = Predictor(settings.checkpoint, "cpu").stored.reads
    rows = [measured("pixels", by_pixels(settings), shown, pixels)]
    lifter = KeypointPredictor(settings.lifter, paths=Paths()).lifter.reads
    detected = Reads(keypoints=frozenset({0}))
    for kind in settings.detectors:
        networks = BlazePose(settings.detector_location, kind)
        more = "" if kind == "full" else f"_{kind}"
        rows.append(measured(f"blazepose{more}", by_blazepose(networks), shown, detected))
        for name, fitted in (("keypoints_lifter_only", False), ("keypoints", True)):
            rows.append(measured(name + more, by_keypoints(settings, networks, fitted), shown, lifter | detected))
    return rows


def main(settings: Settings) -> list[dict[str, Any]]:
    """Measure all tiers, write and print."""
    torch.set_num_threads(1)
    before = json.loads(settings.result.read_text()) if settings.only else {"rows": [], "hashes": {}}
    hashes = before["hashes"] | {"lifter": file_hash(settings.lifter), "teacher": file_hash(CamerasConfig.teacher)}
    if settings.only != "cameras":
        hashes["checkpoint"] = file_hash(settings.checkpoint)
        hashes |= {kind: file_hash(BlazePose(settings.detector_location, kind).files[1])
                   for kind in settings.detectors}  # fmt: skip
    truth, rows = truth_of(settings), []
    parts = {"one_picture": one_picture_rows, "cameras": cameras_rows}
    for part, rows_of in parts.items():
        kept = [row for row in before["rows"] if row["tier"].startswith("cameras") == (part == "cameras")]
        rows += rows_of(settings, truth) if settings.only in ("", part) else kept
    protocol = (
        f"pose2sim 0.7.0, the man on the beam, {settings.instants} instants spread over the recording x four cameras, "
        "one picture at a time, its camera's calibration known, the box of the person given to every tier.  Joints of "
        "another detector's keypoints, triangulated after the cameras are turned by the small angles that they ask "
        "for, are the truth, to 3 to 4 cm.  Distances: 12 limb joints about the middle of the hips, after the best "
        "scale (N) or similarity (P), and the same of all 17 joints about the pelvis; yaw: heading about the vertical; "
        "PCK: limb joints in the picture within a tenth of the box's longer side.  ms: processor time of one thread, "
        "finding the person's points in the box included.  Four cameras: all instants, BlazePose full, the same turned "
        "cameras, as predict.py --calibration; joints, median: distance of the 12 limb joints about the middle of the "
        "hips without any alignment (joints_median_without_offsets_mm: after each joint's constant offset is taken "
        "out)"
    )
    save_result(settings.result, protocol, hashes=hashes, rows=rows)
    write_table(settings.result)
    print(settings.result.with_suffix(".md").read_text())
    return rows


if __name__ == "__main__":
    start(main, Settings)
