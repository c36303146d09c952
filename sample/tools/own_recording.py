"""From clips and a calibration to a network of one's own: bodies, pseudo-labels, trained stages, a report.

    python sample/tools/own_recording.py clips/ --calibration Calib.toml
    make own CLIPS=clips/ CALIBRATION=Calib.toml

Nothing else is given: no keypoints, no masks, no labels.  Every step is one of the project's own scripts, with short
settings; a step whose product is there is skipped, so that a run that was broken off goes on where it stood.

Reads   synchronised clips, one per camera, and their calibration; the keypoints extra, the committed teacher and lifter
Writes  runs/predict/<name>: bodies in the recording's world over all clips; <to>: the recording in our layout, with the
        detector's keypoints and masks; runs/fit/<name>: pseudo-labels; runs/{enc_dec,pose,mesh}/<name>: the stages;
        runs/predict/<name>_one_view: what the last stage makes of one clip; runs/own/<name>/{report.md, times.json}
Next    sample/predict.py photo.jpg --tier pixels --checkpoint runs/mesh/<name>/checkpoint_best.pt
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Float, Float32, Int, UInt8

from config import PRESETS, ROOT, Loop, Optim, Paths, PreprocessConfig, Subjects, ranged, setting
from dataset_def import h36m_preprocess
from dataset_def.h36m_files import FrameKey, load_camera, mask_path, meta_path
from dataset_def.import_multiview import import_custom
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.import_custom import custom_config
from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.people_in_clips import CamerasConfig, people_found
from dataset_def.multiview.people_in_views import PersonInViews, ViewMask, detected_people
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from dataset_def.multiview.report import write_json
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import letterbox, undistorted_px
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS
from dataset_def.photos.keypoints import OTHER_NAMES
from dataset_def.video import images_in, probe
from models.smpl import load_body
from sample import (
    fit_SMPL,
    predict,
    report,
    test_pose,
    test_SMPL,
    train_3d_pose_from_enc,
    train_enc_dec,
    train_SMPL_from_enc,
)
from sample.fit_SMPL import FitConfig
from sample.predict import PredictConfig
from sample.report import ReportConfig
from sample.test_pose import TestPoseConfig
from sample.test_SMPL import TestMeshConfig
from utils.artifacts import atomic_folder, load_metrics
from utils.camera import Camera, distort, project, to_camera
from utils.engine import check_name
from utils.image import PERSON_ABOVE, read_mask, write_image
from utils.settings import short, start
from utils.skeleton import KEYPOINTS_25

SUBJECT, ACTION = 20, 14
HELD_SHARE = 0.25
"""Of the recording, at its end, that no training sees."""
MOST_FRAMES = 15
"""Frames of a sequence; the last one of those that are trained on chooses the best checkpoint."""
GRID_PX = 8
"""A lens is smooth: it is computed at every so many pixels, and in between by lines."""


@dataclass(frozen=True)
@ranged()
class OwnRecordingConfig:
    """sample/tools/own_recording.py: from clips and a calibration to bodies and a network of one's own."""

    clips: tyro.conf.Positional[Path]
    """Folder with a video, or a folder of pictures, per camera."""
    calibration: tuple[Path, ...]
    """Any calibration that dataset_def/import_multiview.py reads."""
    name: str = "own"
    """Of the runs."""
    to: Path = ROOT / "data" / "own"
    """Folder for the recording in our layout."""
    calibration_unit: Literal["", "m", "cm", "mm"] = ""
    """Of the lengths in the calibration; needed where neither the format nor the file tells (OpenCV's)."""
    up: Literal["z", "-z", "y", "-y", "x", "-x"] = "z"
    """The axis of the calibration's world that points up."""
    offsets: tuple[str, ...] = ()
    """Cameras that started earlier, as NAME=FRAMES: so many frames at the beginning of a clip come before frame 0.
    Where they are not known, sample/predict.py CLIPS --calibration FILE --find-offsets finds them and prints them."""
    every: int = setting(1, low=1)
    """Take every n-th frame."""
    frames_per_second: float = setting(0.0, low=0)
    """Of the clips; 0 takes what they say themselves.  Folders of pictures say nothing."""
    video_size: Literal["exact", "scaled", "letterboxed"] = "exact"
    """How clips may differ in size from their calibration: not at all, scaled evenly, or shrunk between black bars."""
    detector: Literal["full", "heavy"] = "full"
    """heavy is slower (its network is four times as large), and takes left for right more rarely."""
    detector_location: Path = KEYPOINT_NETWORKS
    """Folder with the keypoints extra's networks."""
    steps_1: int = setting(1200, low=1)
    """Of stage 1, points taught by masks."""
    steps_2: int = setting(1200, low=1)
    """Of stage 2, joints in the image, taught by the bodies."""
    steps_4: int = setting(600, low=1)
    """Of stage 4, bodies, from stage 2 on."""
    unpaired_steps: int = setting(800, low=0)
    """Steps on poses without pictures, before stage 4's own."""
    threads: int = setting(0, low=0)
    """PyTorch threads; 0 leaves PyTorch's own choice."""
    processes: int = setting(0, low=0)
    """Processes that read clips and look for people; 0 takes one per core."""
    paths: Paths = field(default_factory=Paths)
    """runs_location and models_smpl_location are looked at."""


class Place(NamedTuple):
    """Where everything of a recording lies."""

    config: OwnRecordingConfig
    paths: Paths

    def run(self, stage: str) -> Path:
        """Give the folder of a stage's run."""
        return self.paths.runs_location / stage / self.config.name

    @property
    def detected(self) -> Path:
        """Where the detector's keypoints and masks lie."""
        return self.config.to / "detected"

    @property
    def subjects(self) -> Subjects:
        """Say who is trained on and tested: the same person, early and late."""
        folders = self.paths.h36m_location.glob(f"s_{SUBJECT:02d}_act_{ACTION:02d}_subact_*_ca_01")
        last = max(int(folder.name.split("_")[5]) for folder in folders)
        held_out = ((ACTION, last),) if last > 1 else ()
        return Subjects(train=(SUBJECT,), labelled=(), test=(SUBJECT + 1,), held_out=held_out)

    def best(self, stage: str) -> Path:
        """Give the best checkpoint of a stage."""
        return self.run(stage) / "checkpoint_best.pt"


def import_settings(config: OwnRecordingConfig) -> ImportMultiviewConfig:
    """Give what the import's readers need."""
    return ImportMultiviewConfig(
        videos=(str(config.clips),), calibration=config.calibration, calibration_unit=config.calibration_unit,
        up=config.up, offsets=config.offsets, every=config.every, frames_per_second=config.frames_per_second,
        video_size=config.video_size, to=config.to, processes=config.processes, subject=SUBJECT, action=ACTION,
    )  # fmt: skip


def predict_bodies(place: Place) -> None:
    """Predict bodies in the world, and draw them over all clips."""
    config = place.config
    cameras = CamerasConfig(
        calibration=config.calibration, calibration_unit=config.calibration_unit, up=config.up, offsets=config.offsets,
        every=config.every, frames_per_second=config.frames_per_second, video_size=config.video_size,
        processes=config.processes,
    )  # fmt: skip
    predict.main(PredictConfig(
        input=str(config.clips), cameras=cameras, out=place.run("predict"), overwrite=True, detector=config.detector,
        detector_location=config.detector_location, paths=config.paths,
    ))  # fmt: skip


def detect(place: Place) -> None:
    """Find the person in all views, and write keypoints and masks as another program would."""
    config, settings = place.config, import_settings(place.config)
    recording = custom_recording(settings)
    views = detected_people(recording, config.detector_location, config.detector, config.processes)
    recording, person, numbers = people_found(recording, views, custom_config(settings, recording), 1, None)
    with atomic_folder(place.detected) as (partial,):
        for row, view in enumerate(recording.views):
            write_view(partial, row, view, person, recording)
        write_json(partial / "cameras.json", {"turned": "turned_rad" in numbers} | numbers)


def write_view(
    folder: Path, row: int, view: RecordedView, person: PersonInViews, recording: MultiviewRecording
) -> None:
    """Write keypoints (OpenPose's form) and masks of one camera, of every frame of its clip."""
    info = probe(view.videos)
    stems = ([path.stem for path in images_in(view.videos)] if view.videos.is_dir()
             else [f"{frame:06d}" for frame in range(info.num_frames)])  # fmt: skip
    at = {view.first + recording.every * instant: instant for instant in range(recording.num_instants)}
    keypoints, masks = folder / "keypoints" / view.name, folder / "masks" / view.name
    keypoints.mkdir(parents=True)
    masks.mkdir(parents=True)
    where = seen_in_clip(view.camera, info.width_px, info.height_px)
    for frame, stem in enumerate(stems):
        instant = at.get(frame)
        seen_px = np.zeros((len(BODY_25B), 3)) if instant is None else in_clip(
            view.camera, person.keypoints_px[instant, row]
        )  # fmt: skip
        people = [{"pose_keypoints_2d": np.round(seen_px, 3).ravel().tolist()}] if seen_px[:, 2].any() else []
        (keypoints / f"{stem}.json").write_text(json.dumps({"people": people}))
        mask = None if instant is None else person.masks[instant][row]
        cv2.imwrite(str(masks / f"{stem}.png"), mask_in_clip(mask, where))


def in_clip(camera: Camera, seen_px: Float[np.ndarray, "25 3"]) -> Float[np.ndarray, "25 3"]:
    """Take the ideal camera's keypoints to the lens' own picture, named and counted as OpenPose does."""
    xy = (seen_px[:, :2] - camera.centre_px) / camera.focal_px
    bent_px = distort(camera, xy) * camera.focal_px + camera.centre_px - 0.5
    named = np.zeros((len(BODY_25B), 3))
    ours = {theirs: own for own, theirs in OTHER_NAMES.items()}
    for row, name in enumerate(BODY_25B):
        own = ours.get(name, name)
        if own in KEYPOINTS_25 and seen_px[KEYPOINTS_25.index(own), 2] > 0:
            at = KEYPOINTS_25.index(own)
            named[row] = *bent_px[at], seen_px[at, 2]
    return named


def seen_in_clip(camera: Camera, width_px: int, height_px: int) -> Float32[np.ndarray, "H W 2"]:
    """Say which pixel of the ideal camera each pixel of a clip shows, both counted from the corner."""
    box = letterbox(camera, width_px, height_px)
    across, down = (np.linspace(0, length, max(2, length // GRID_PX) + 1) for length in (width_px, height_px))
    x, y = np.meshgrid(across, down)
    calibrated_px = (np.stack([x, y], axis=-1) - [box.left_px, box.top_px]) / box.scale
    ideal_px = undistorted_px(camera, calibrated_px.reshape(-1, 2)).reshape(*x.shape, 2).astype(np.float32)
    at_x = ((np.arange(width_px) + 0.5) / width_px * (len(across) - 1)).astype(np.float32)
    at_y = ((np.arange(height_px) + 0.5) / height_px * (len(down) - 1)).astype(np.float32)
    grid = np.meshgrid(at_x, at_y)
    return cv2.remap(ideal_px, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def mask_in_clip(mask: ViewMask | None, where: Float32[np.ndarray, "H W 2"]) -> UInt8[np.ndarray, "H W"]:
    """Show a mask as the clip would show it; black where nobody is seen."""
    if mask is None:
        return np.zeros(where.shape[:2], np.uint8)
    from_picture = np.linalg.inv(np.vstack([mask.picture_from_mask, [0, 0, 1]]))[:2].astype(np.float32)
    at = where @ from_picture[:, :2].T + from_picture[:, 2] - np.float32(0.5)
    cut = cv2.remap(mask.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.where(cut > 127, 255, 0).astype(np.uint8)


def import_recording(place: Place) -> None:
    """Bring clips, keypoints and masks into our layout, and make the index."""
    told = json.loads((place.detected / "cameras.json").read_text())
    settings = import_settings(place.config)
    instants = custom_recording(settings).num_instants
    test = max(2, round(HELD_SHARE * instants))
    import_custom(replace(
        settings, keypoints=place.detected / "keypoints", masks=place.detected / "masks", skeleton="body_25b",
        test_frames=test, sequence_frames=max(2, min(MOST_FRAMES, (instants - test) // 3)),
        refine_cameras=told["turned"],
    ))  # fmt: skip


def fill_masks(place: Place) -> None:
    """Give views that lost the person for a moment the silhouette of the body that the others see, and tell which."""
    with np.load(place.run("predict") / "body.npz", allow_pickle=False) as stored:
        bodies = {name: stored[name] for name in ("rotations_world", "betas", "trans", "frame_numbers")}
    body = load_body(place.paths.models_smpl_location)
    at = {int(number): row for row, number in enumerate(bodies["frame_numbers"])}
    filled, instant = [], 0
    for subject, subaction, num_frames in sequences_of(place):
        for frame in range(1, num_frames + 1):
            for number in cameras_of(place, subject, subaction):
                key = FrameKey(subject, ACTION, subaction, number, frame)
                path = mask_path(place.paths, key)
                if instant in at and not (read_mask(path) > PERSON_ABOVE).any():
                    camera = load_camera(meta_path(place.paths, key[:4]))
                    parts = (torch.from_numpy(bodies[name][at[instant]][None]).float()
                             for name in ("rotations_world", "betas", "trans"))  # fmt: skip
                    vertices_m = body(*parts).vertices_m[0].double().numpy()
                    write_image(path, covered(to_camera(camera, vertices_m), body.faces.numpy(), camera))
                    filled.append(path.name)
            instant += 1
    write_json(filled_path(place), {"silhouettes_of_bodies": filled})


def filled_path(place: Place) -> Path:
    """Say where it is noted which masks are of bodies."""
    return place.config.to / "about" / f"s_{SUBJECT:02d}_act_{ACTION:02d}" / "filled_masks.json"


def covered(
    vertices_cam_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera
) -> UInt8[np.ndarray, "H W"]:
    """Draw what a body covers in an ideal camera's picture, triangle by triangle."""
    mask = np.zeros((camera.height_px, camera.width_px), np.uint8)
    corners_px = np.round(project(camera, vertices_cam_m) - 0.5).astype(np.int32)[faces]
    for corners in corners_px:
        cv2.fillConvexPoly(mask, corners, 255)
    return mask


def sequences_of(place: Place) -> list[tuple[int, int, int]]:
    """List subject, sub-action and number of frames of what the recording was cut into, in the order of time."""
    folders = place.paths.h36m_location.glob(f"s_*_act_{ACTION:02d}_subact_*_ca_01")
    found = [(int(folder.name.split("_")[1]), int(folder.name.split("_")[5]), len(list(folder.glob("*.jpg"))))
             for folder in folders]  # fmt: skip
    return sorted(found)


def cameras_of(place: Place, subject: int, subaction: int) -> list[int]:
    """List the numbers of the cameras of a sequence."""
    folders = place.paths.h36m_location.glob(f"s_{subject:02d}_act_{ACTION:02d}_subact_{subaction:02d}_ca_*")
    return sorted(int(folder.name.split("_")[7]) for folder in folders)


def index(place: Place) -> None:
    """Make the index and pack the crops."""
    h36m_preprocess.main(PreprocessConfig(paths=place.paths, processes=place.config.processes))


def fit(place: Place) -> None:
    """Fit bodies to masks and keypoints: the pseudo-labels."""
    fit_SMPL.main(FitConfig(
        name=place.config.name, paths=place.paths, people=place.subjects, subjects=(SUBJECT, SUBJECT + 1), every=1,
        keypoints=(place.config.to / "keypoints" / f"s_{SUBJECT:02d}_act_{ACTION:02d}.npz",),
        processes=place.config.processes,
    ))  # fmt: skip


def loop_of(loop: Loop, run: Path, steps: int, threads: int) -> Loop:
    """Begin a run, or go on with one."""
    every = max(1, min(loop.validate_every, steps // 3))
    is_begun = (run / "checkpoint_last.pt").is_file()
    return replace(loop, validate_every=every, checkpoint_every=every, threads=threads, workers=0, resume=is_begun,
                   overwrite=not is_begun)  # fmt: skip


def shortened(optim: Optim, steps: int) -> Optim:
    """Train for so many steps."""
    return replace(optim, steps=steps, warmup_steps=min(optim.warmup_steps, steps // 10))


def train_points(place: Place) -> None:
    """Stage 1: points taught by masks; where the person faces, the keypoints in space tell, for not everybody walks."""
    config, preset = place.config, PRESETS["demo"]().enc_dec
    train_enc_dec.main(replace(
        preset, name=config.name, paths=place.paths, subjects=replace(place.subjects, labelled=(SUBJECT,)),
        teaching=replace(preset.teaching, heading="labels", labelled_sequences=0),
        optim=shortened(preset.optim, config.steps_1),
        loop=loop_of(preset.loop, place.run("enc_dec"), config.steps_1, config.threads),
    ))  # fmt: skip


def train_joints(place: Place) -> None:
    """Stage 2: joints in the image, taught by the bodies."""
    config, preset = place.config, PRESETS["demo"]().pose
    train_3d_pose_from_enc.main(replace(
        preset, name=config.name, paths=place.paths, subjects=place.subjects, encoder=place.best("enc_dec"),
        pseudo_labels=place.run("fit") / "pseudo_labels.npz", optim=shortened(preset.optim, config.steps_2),
        loop=loop_of(preset.loop, place.run("pose"), config.steps_2, config.threads),
    ))  # fmt: skip


def train_bodies(place: Place) -> None:
    """Stage 4: bodies, from stage 2 on; the keypoints in space, beside the bodies, choose the best checkpoint."""
    config, preset = place.config, PRESETS["demo"]().mesh
    train_SMPL_from_enc.main(replace(
        preset, name=config.name, paths=place.paths, subjects=replace(place.subjects, labelled=(SUBJECT,)),
        encoder=place.best("pose"),
        silhouettes_of=(SUBJECT,), labelled_bodies=place.run("fit") / "pseudo_labels.npz",
        unpaired=replace(preset.unpaired, steps=config.unpaired_steps),
        optim=shortened(preset.optim, config.steps_4),
        loop=loop_of(preset.loop, place.run("mesh"), config.steps_4, config.threads),
    ))  # fmt: skip


def measure(place: Place) -> None:
    """Test stages 2 and 4 on the end of the recording, and make their pages."""
    test = (SUBJECT + 1,)
    test_pose.main(TestPoseConfig(checkpoint=place.best("pose"), paths=place.paths, subjects=test))
    test_SMPL.main(TestMeshConfig(checkpoint=place.best("mesh"), paths=place.paths, subjects=test))
    for stage in ("pose", "mesh"):
        report.main(ReportConfig(runs=(place.run(stage),), paths=place.paths))


def predict_one_view(place: Place) -> None:
    """Let the network of the last stage read one clip alone."""
    config = place.config
    clip = next(iter(custom_recording(import_settings(config)).views)).videos
    predict.main(PredictConfig(
        input=str(clip), tier="pixels", checkpoint=place.best("mesh"), out=one_view(place), overwrite=True,
        detector_location=config.detector_location, find="keypoints", paths=config.paths,
    ))  # fmt: skip


def one_view(place: Place) -> Path:
    """Say where the prediction of one view lies."""
    return place.run("predict").with_name(f"{place.config.name}_one_view")


class Step(NamedTuple):
    """One step of the road, and how it is known to be done."""

    what: str
    do: Callable[[Place], None]
    product: Callable[[Place], Path]


def trained(stage: str) -> Callable[[Place], Path]:
    """Name the file that says that a training came to its end."""
    return lambda place: place.run(stage) / "trained"


STEPS = (
    Step("bodies in the world", predict_bodies, lambda place: place.run("predict") / "cameras.json"),
    Step("keypoints and masks", detect, lambda place: place.detected / "cameras.json"),
    Step("the recording in our layout", import_recording,
         lambda place: place.config.to / "about" / f"s_{SUBJECT:02d}_act_{ACTION:02d}" / "report.json"),
    Step("masks that the detector lost", fill_masks, filled_path),
    Step("index and crops", index, lambda place: place.paths.index_location / "indexed"),
    Step("pseudo-labels", fit, lambda place: place.run("fit") / "pseudo_labels.npz"),
    Step("stage 1: points taught by masks", train_points, trained("enc_dec")),
    Step("stage 2: joints taught by the bodies", train_joints, trained("pose")),
    Step("stage 4: bodies from one view", train_bodies, trained("mesh")),
    Step("tests and pages", measure, lambda place: place.run("mesh") / "report.html"),
    Step("one clip alone", predict_one_view, lambda place: one_view(place) / "joints.json"),
)  # fmt: skip
MARKED = ("indexed", "trained")
"""Products that only say that a step came to its end."""


def walk(place: Place, steps: tuple[Step, ...] = STEPS) -> dict[str, float]:
    """Take all steps that are not done yet; give the seconds that each took, in this run or in one before."""
    times_path = place.run("own") / "times.json"
    took: dict[str, float] = json.loads(times_path.read_text()) if times_path.is_file() else {}
    for number, step in enumerate(steps, start=1):
        product = step.product(place)
        if product.exists():
            print(f"{number} of {len(steps)}, {step.what}: done before ({short(product)})")
            continue
        print(f"{number} of {len(steps)}, {step.what}")
        started_s = time.monotonic()
        step.do(place)
        if product.name in MARKED:
            product.touch()
        took[step.what] = round(time.monotonic() - started_s, 1)
        times_path.parent.mkdir(parents=True, exist_ok=True)
        write_json(times_path, took)
    return took


def numbers_of(place: Place) -> dict[str, Any]:
    """Gather what was measured on the end of the recording."""
    found: dict[str, Any] = {}
    for stage, script in (("pose", "sample/test_pose.py"), ("mesh", "sample/test_SMPL.py")):
        path = place.run(stage) / "metrics.json"
        if path.is_file():
            metrics = load_metrics(path, script)["metrics"]
            found[stage] = metrics.get("overall", metrics)
    return found


def write_report(place: Place, took: dict[str, float]) -> Path:
    """Write what was done, how long it took, and where everything lies."""
    told = json.loads((place.run("predict") / "cameras.json").read_text())
    lines = [
        f"# {place.config.name}", "", f"{len(told['cameras'])} cameras: {', '.join(told['cameras'])}.", "",
        "| step | seconds |", "|---|---|", *(f"| {what} | {seconds:.0f} |" for what, seconds in took.items()),
        f"| all | {sum(took.values()):.0f} |", "",
        f"Median distance of the keypoints from where all cameras see them, pixels: {told.get('median_error_px')}; "
        f"with the cameras turned: {told.get('median_error_refined_px', 'not needed')}; share of their masks that the "
        f"bodies cover, by camera: {told['overlap']}.", "",
        "Measured on the last quarter of the recording, which no training saw (the same person), against what its "
        "keypoints give in space:", "", "```", json.dumps(numbers_of(place), indent=1), "```", "",
        *(f"* {what}: `{short(path)}`" for what, path in (
            ("bodies over all clips", place.run("predict")), ("pseudo-labels", place.run("fit")),
            ("page of stage 2", place.run("pose") / "report.html"),
            ("page of stage 4", place.run("mesh") / "report.html"),
            ("network for one view", place.best("mesh")), ("what it makes of one clip", one_view(place)))),
    ]  # fmt: skip
    path = place.run("own") / "report.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def main(config: OwnRecordingConfig) -> Path:
    """Walk the whole road, and return the report."""
    check_name(config.name)
    runs = {"runs_location": config.paths.runs_location, "models_smpl_location": config.paths.models_smpl_location}
    place = Place(config, replace(Paths.under(config.to), **runs))
    took = walk(place)
    path = write_report(place, took)
    print(path.read_text())
    print(f"next: python sample/predict.py photo.jpg --tier pixels --checkpoint {short(place.best('mesh'))}")
    return path


if __name__ == "__main__":
    start(main, OwnRecordingConfig)
