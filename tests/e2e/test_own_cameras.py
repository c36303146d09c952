"""A recording by 2, 3 or 4 cameras of one's own: exported, imported, checked, trained on; bad ones leave no trace."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import (
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    Loop,
    MeshConfig,
    MeshHeadConfig,
    MeshLoss,
    Optim,
    Paths,
    PoseConfig,
    PoseHeadConfig,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.calibration.files import write_calibration
from dataset_def.export_calibration import subject_cameras
from dataset_def.h36m_files import folder_name, load_meta, meta_path
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.multiview import import_custom as import_custom_module
from dataset_def.multiview.evidence import Looks
from dataset_def.multiview.import_custom import import_custom
from dataset_def.multiview.people_in_views import SeenSomebody, view_mask
from dataset_def.multiview.settings import ImportMultiviewConfig
from models.pose_from_latent import load_pose
from sample import test_SMPL as mesh_test
from sample import train_3d_pose_from_enc, train_enc_dec, train_SMPL_from_enc
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from tests.helpers.own_clips import write_keypoints, write_video
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_keypoints
from utils.camera import Camera
from utils.image import read_image
from utils.skeleton import H36M_17

FRAMES = 12
ACTION = 14
SUBJECTS = Subjects(train=(20,), labelled=(20,), test=(21,), held_out=((ACTION, 2),))
LOOP = Loop(workers=0, log_every=2, validate_every=2, checkpoint_every=2)


class Clips:
    """A tiny person's pictures, masks, keypoints and cameras, as a user has them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = write_tiny_h36m(root / "tiny", subjects=(1,), actions=(ACTION,), frames=FRAMES, ending="png")
        self.cameras = subject_cameras(self.paths, 1)
        for number, (name, camera) in enumerate(self.cameras.items(), start=1):
            folder = folder_name(1, ACTION, 1, number)
            for source, to in ((self.paths.h36m_location, "clips"), (self.paths.masks_location, "masks")):
                (root / to / name).mkdir(parents=True)
                for path in sorted((source / folder).glob("*.png")):
                    (root / to / name / path.name).write_bytes(path.read_bytes())
            write_keypoints(root / "pose" / f"{name}_json", camera, self.joints_world_m)
            self.write_video(name)

    @property
    def joints_world_m(self) -> np.ndarray:
        return load_meta(meta_path(self.paths, (1, ACTION, 1, 1))).joints_world_m

    def write_video(self, name: str, frames: int = FRAMES) -> Path:
        images = sorted((self.root / "clips" / name).iterdir())[:frames]
        return write_video(self.root / f"{frames}" / f"{name}.mp4", images)

    def config(self, to: Path, names: list[str], kind: str = "opencv", source: str = "clips", **changes):
        """Settings for some of the cameras; one picture a second, since the tiny person leaps."""
        calibration = write_calibration(kind, to.parent / f"calibration_{kind}", self.cameras)
        ending = "" if source == "clips" else ".mp4"
        videos = tuple(str(self.root / source / f"{name}{ending}") for name in names)
        settings = ImportMultiviewConfig(
            videos=videos, calibration=tuple(calibration), to=to, frames_per_second=1.0, sequence_frames=4,
            test_frames=4, smooth_hz=0.0, processes=1,
        )  # fmt: skip
        return replace(settings, **changes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    torch.set_num_threads(1)
    return Clips(tmp_path_factory.mktemp("clips"))


def train_both_stages(paths: Paths) -> None:
    """A few steps of stages 1 and 2."""
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    stage_1 = EncDecConfig(
        name="own", device="cpu", paths=paths, subjects=SUBJECTS, groups=2, crop=Crop(size_px=32),
        encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
        optim=Optim(steps=4, warmup_steps=0, bf16=False), loop=LOOP,
    )  # fmt: skip
    train_enc_dec.main(stage_1)
    encoder = paths.runs_location / "enc_dec" / "own" / "checkpoint_best.pt"
    train_3d_pose_from_enc.main(
        PoseConfig(encoder=encoder, name="own", device="cpu", paths=paths, subjects=SUBJECTS, batch=4, loop=LOOP,
                   head=PoseHeadConfig(hidden=16, dropout=0.0), optim=Optim(steps=4, warmup_steps=0, bf16=False))
    )  # fmt: skip
    pose = load_pose(paths.runs_location / "pose" / "own" / "checkpoint_best.pt", torch.device("cpu"))
    assert pose.reads.tier == "pixels + cameras + masks + pretrained 2D keypoints", "which the joints came from"
    train_and_test_bodies(paths, encoder)


def train_and_test_bodies(paths: Paths, encoder: Path) -> None:
    """Two steps of stage 4, and its test in as many views as there are."""
    train_SMPL_from_enc.main(
        MeshConfig(encoder=encoder, prior=None, name="own", device="cpu", paths=paths, subjects=SUBJECTS, mask_px=32,
                   silhouettes_of=(20,), head=MeshHeadConfig(hidden=16), loss=MeshLoss(prior=0.0), batch=4,
                   silhouette_batch=2, optim=Optim(steps=2, warmup_steps=0, bf16=False), loop=LOOP)
    )  # fmt: skip
    checkpoint = paths.runs_location / "mesh" / "own" / "checkpoint_best.pt"
    found = mesh_test.main(MeshTestConfig(checkpoint=checkpoint, device="cpu", paths=paths, subjects=(21,), examples=2))
    assert 0 <= found["overall"]["iou_other_views_percent"]["mean"] <= 100 and found["truth"] == "none"


@pytest.mark.parametrize(
    ("num_cameras", "kind", "videos"),
    [(2, "pose2sim", str(FRAMES)), (3, "easymocap", "clips"), (4, "qualisys", str(FRAMES))],
)
def test_any_number_of_cameras_is_imported_and_trains_the_stages_on_images(clips, tmp_path, num_cameras, kind, videos):
    names = list(clips.cameras)[:num_cameras]
    keypoints = {"keypoints": clips.root / "pose", "skeleton": "body_25b", "masks": clips.root / "masks"}
    paths = import_custom(clips.config(tmp_path / "mine", names, kind, videos, **keypoints))
    report = json.loads((tmp_path / "mine" / "about" / "s_20_act_14" / "report.json").read_text())
    assert report["cameras"] == names
    assert len(report["agreement"]["epipolar_px"]) == num_cameras * (num_cameras - 1) // 2
    assert max(report["agreement"]["epipolar_px"].values()) < 0.01
    kept = load_keypoints(tmp_path / "mine" / "keypoints" / "s_20_act_14.npz")
    assert len(kept.frames) == FRAMES * num_cameras and kept.confidence[:, H36M_17.index("left_wrist")].min() == 1
    for number, name in enumerate(names, start=1):
        meta = load_meta(meta_path(paths, (20, ACTION, 1, number)))
        for field in Camera._fields[:6]:
            np.testing.assert_allclose(getattr(meta.camera, field), getattr(clips.cameras[name], field), atol=1e-6)
        stem = folder_name(20, ACTION, 1, number)
        image = read_image(paths.h36m_location / stem / f"{stem}_000002.jpg").astype(int)
        true = read_image(sorted((clips.root / "clips" / name).iterdir())[1]).astype(int)
        assert np.abs(image - true).mean() < (6 if videos != "clips" else 3)
    shared = [row for row, joint in enumerate(H36M_17) if joint not in ("spine", "thorax")]
    apart_mm = 1000 * np.linalg.norm(meta.joints_world_m[:, shared] - clips.joints_world_m[:4, shared], axis=-1)
    assert apart_mm.max() < 0.1, f"{apart_mm.max():.3f} mm, expected below 0.1 mm"
    train_both_stages(replace(paths, runs_location=tmp_path / "runs"))


@pytest.mark.parametrize("kind", ["opencv", "opencv_json", "h36m"])
def test_masks_alone_give_a_recording_without_labels(clips, tmp_path, kind):
    config = clips.config(tmp_path / "mine", list(clips.cameras)[1:], kind, masks=clips.root / "masks")
    paths = import_custom(config)
    assert np.isnan(load_meta(meta_path(paths, (20, ACTION, 1, 1))).joints_world_m).all()
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, processes=1, centre="masks"))
    assert (tmp_path / "mine" / "about" / "s_20_act_14" / "rig.png").stat().st_size > 5000


def test_offsets_bring_videos_into_step_and_a_missing_one_is_noticed(clips, tmp_path):
    late = tmp_path / "late" / "cam01"
    late.mkdir(parents=True)
    images = sorted((clips.root / "clips" / "cam01").iterdir())
    keypoints = sorted((clips.root / "pose" / "cam01_json").iterdir())
    pose = tmp_path / "pose"
    for name in clips.cameras:
        (pose / name).mkdir(parents=True)
        shifted = [keypoints[0]] * 2 if name == "cam01" else []
        for row, path in enumerate([*shifted, *sorted((clips.root / "pose" / f"{name}_json").iterdir())]):
            (pose / name / f"{row:04d}.json").write_bytes(path.read_bytes())
    for row, path in enumerate([images[0], images[0], *images]):
        (late / f"{row:04d}.png").write_bytes(path.read_bytes())
    names = list(clips.cameras)
    config = clips.config(tmp_path / "mine", names, keypoints=pose, skeleton="body_25b", frames=(0, FRAMES))
    config = replace(config, videos=(str(late), *config.videos[1:]))
    with pytest.raises(ValueError, match=r"cam01 seems out of step: \+2 to its --offsets"):
        import_custom(config)
    assert not (tmp_path / "mine").exists()
    import_custom(replace(config, offsets=("cam01=2",)))
    assert json.loads((tmp_path / "mine/about/s_20_act_14/report.json").read_text())["first_frames"] == [2, 0, 0, 0]


def bad_recordings(clips: Clips, folder: Path, to: Path) -> dict[str, tuple[ImportMultiviewConfig, str]]:
    """Recordings that cannot be imported, and words of the sentence that says why."""
    names = list(clips.cameras)
    good = clips.config(to, names, masks=clips.root / "masks")
    swapped = dict(zip(names, [clips.cameras[name] for name in (names[0], names[2], names[1], names[3])], strict=True))
    turned = {
        name: camera._replace(
            R_cam_from_world=camera.R_cam_from_world.T, centre_world_m=-camera.R_cam_from_world @ camera.centre_world_m
        )
        for name, camera in clips.cameras.items()
    }
    wider = {name: camera._replace(width_px=camera.width_px * 2) for name, camera in clips.cameras.items()}
    empty, short = folder / "cam02.mp4", clips.write_video("cam03", FRAMES - 4)
    empty.write_bytes(b"")
    videos = clips.config(to, names, source=str(FRAMES)).videos

    def calibrated(label: str, cameras: dict[str, Camera]) -> ImportMultiviewConfig:
        return replace(good, calibration=tuple(write_calibration("opencv", folder / label, cameras)))

    return {
        "swapped": (calibrated("swapped", swapped), "cam02 and cam03 seem to be swapped"),
        "inverted": (calibrated("inverted", turned), "invert them"),
        "metres as millimetres": (replace(good, calibration_unit="mm"), r"apart; .* --calibration-unit m"),
        "no camera": (calibrated("three", dict(list(clips.cameras.items())[:3])), "has no camera cam04"),
        "size": (calibrated("wide", wider), "but its calibration is for 256 x"),
        "0 bytes": (replace(good, videos=(videos[0], str(empty))), r"is empty \(0 bytes\)"),
        "lengths": (replace(good, masks=None, videos=(*videos[:2], str(short))), "equally long"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "which", ["swapped", "inverted", "metres as millimetres", "no camera", "size", "0 bytes", "lengths"]
)
def test_a_bad_recording_gets_one_sentence_and_leaves_nothing(clips, tmp_path, which):
    config, words = bad_recordings(clips, tmp_path, tmp_path / "mine")[which]
    with pytest.raises(ValueError, match=words) as refused:
        import_custom(config)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "mine").exists()


def test_a_bad_calibration_can_be_accepted_with_a_warning(clips, tmp_path):
    config, _ = bad_recordings(clips, tmp_path, tmp_path / "mine")["swapped"]
    with pytest.warns(UserWarning, match="is accepted although"):
        import_custom(replace(config, accept_calibration=True))
    assert (Paths.under(tmp_path / "mine").h36m_location / "s_20_act_14_subact_01_ca_01" / "h36m_meta.mat").is_file()


def test_the_same_recording_twice_is_refused_and_the_first_stays(clips, tmp_path):
    config = clips.config(tmp_path / "mine", list(clips.cameras)[:2], masks=clips.root / "masks")
    import_custom(config)
    before = sorted(path for path in (tmp_path / "mine").rglob("*"))
    with pytest.raises(ValueError, match="already; delete it"):
        import_custom(config)
    assert sorted(path for path in (tmp_path / "mine").rglob("*")) == before


def test_swapped_cameras_are_found_by_keypoints_of_which_only_some_agree(clips, tmp_path):
    """Only detections that agree are followed, and those would agree with any calibration."""
    names, cameras = list(clips.cameras)[:3], dict(clips.cameras)
    cameras["cam02"], cameras["cam03"] = cameras["cam03"], cameras["cam02"]
    keypoints = {"keypoints": clips.root / "pose", "skeleton": "body_25b", "masks": clips.root / "masks"}
    calibration = tuple(write_calibration("pose2sim", tmp_path / "swapped", cameras))
    config = clips.config(tmp_path / "mine", names, calibration=calibration, outlier_px=12.0, **keypoints)
    with pytest.raises(ValueError, match="cam02 and cam03 seem to be swapped"):
        import_custom(config)
    assert not (tmp_path / "mine").exists()


def test_one_video_under_two_names_is_not_a_recording(clips, tmp_path):
    names = list(clips.cameras)[1:3]
    same = tuple(f"{name}={clips.root / 'clips' / names[0]}" for name in names)
    with pytest.raises(ValueError, match=r"do not agree on the person|two cameras together in"):
        import_custom(clips.config(tmp_path / "mine", names, videos=same))


def test_keypoints_on_nobody_are_refused_where_a_detector_can_tell(clips, tmp_path, monkeypatch):
    nobody = [SeenSomebody(np.zeros((25, 3)), view_mask(np.full((8, 8), 255, np.uint8), np.eye(3)[:2]))]  # in a corner
    chosen = tuple(range(FRAMES))
    monkeypatch.setattr(import_custom_module, "is_available", lambda *_: True)
    monkeypatch.setattr(import_custom_module, "looked_at", lambda recording, *_: Looks(
        chosen, [[nobody] * FRAMES for _ in recording.views]))  # fmt: skip
    keypoints = {"keypoints": clips.root / "pose", "skeleton": "body_25b", "masks": clips.root / "masks"}
    config = clips.config(tmp_path / "mine", list(clips.cameras)[:2], **keypoints)
    with pytest.raises(ValueError, match="0% of camera cam01's keypoints lie on somebody whom the detector sees"):
        import_custom(config)
    assert not (tmp_path / "mine").exists()
    with pytest.warns(UserWarning, match="the keypoints are accepted although 0% of camera cam01's"):
        import_custom(replace(config, accept_keypoints=True))
