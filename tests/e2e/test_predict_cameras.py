"""Several calibrated cameras to one body in the world: from given keypoints, from given masks, from both."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from config import Paths
from dataset_def.calibration.files import write_calibration
from dataset_def.h36m_files import folder_name, load_meta, meta_path
from dataset_def.motions import read_motions
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.people_in_clips import CamerasConfig, import_settings, in_step
from models.masks_fit import MasksFitSteps
from sample import predict
from sample.bodies_in_cameras import smooth_motion
from sample.predict import PredictConfig
from sample.predict_cameras import Task
from tests.helpers.drawn_people import drawn_people
from tests.helpers.own_clips import write_recording
from tests.helpers.small_recording import small_recording
from utils.image import read_mask, write_image
from utils.skeleton import H36M_17

SEQUENCE = (1, 2, 1)


class Clips:
    """Three cameras' clips of a drawn person, with keypoints and masks."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, drawn_people(root / "data")
        self.cameras = write_recording(self.paths, SEQUENCE, root / "clips", (1, 2, 3))
        for number, name in enumerate(self.cameras, start=1):
            folder = root / "masks" / name
            folder.mkdir(parents=True)
            for path in sorted((self.paths.masks_location / folder_name(*SEQUENCE, number)).iterdir()):
                (folder / path.name).write_bytes(path.read_bytes())
        [self.calibration] = write_calibration("pose2sim", root, self.cameras)

    @property
    def joints_world_m(self) -> np.ndarray:
        return load_meta(meta_path(self.paths, (*SEQUENCE, 1))).joints_world_m

    def config(self, out: Path, keypoints: bool = True, **cameras) -> PredictConfig:
        given = {"keypoints": self.root / "clips" / "pose", "skeleton": "body_25b"} if keypoints else {}
        settings = CamerasConfig(calibration=(self.calibration,), frames_per_second=5.0, processes=1, smooth_hz=0.0,
                                 outlier_px=8.0, **cameras)  # fmt: skip
        return PredictConfig(input=str(self.root / "clips" / "videos"), cameras=settings, out=out, device="cpu",
                             motion_files=("glb", "amass"), video_px=96, paths=Paths(runs_location=out.parent),
                             detector_location=self.root / "no_networks", **given)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    torch.set_num_threads(1)
    return Clips(tmp_path_factory.mktemp("clips"))


def joints_of(out: Path) -> tuple[dict, np.ndarray]:
    told = json.loads((out / "joints.json").read_text())
    return told, np.array([[frame["joints_m"][name] for name in H36M_17] for frame in told["frames"]])


@pytest.mark.parametrize(("evidence", "most_mm"), [("keypoints", 70), ("masks", 70), ("both", 60)])
def test_cameras_give_one_body_in_the_world(clips, tmp_path, capsys, evidence, most_mm):
    masks = {} if evidence == "keypoints" else {"masks": clips.root / "masks"}
    config = clips.config(tmp_path / "out", evidence != "masks", evidence=evidence, **masks)
    out = predict.main(config)
    told, joints_m = joints_of(out)
    off_mm = 1000 * np.linalg.norm(joints_m - clips.joints_world_m, axis=-1)
    assert off_mm.mean() < most_mm, f"{off_mm.mean():.0f} mm, expected below {most_mm}"
    assert told["frame"].startswith("world") and told["unit"] == "metres"
    expected = {"keypoints": "cameras + unpaired poses + given 2D keypoints",
                "masks": "cameras + masks + unpaired poses",
                "both": "cameras + masks + unpaired poses + given 2D keypoints"}  # fmt: skip
    assert told["tier"] == expected[evidence] and "body:" in told["licence"]
    [stored] = read_motions(out / "body.npz")
    assert stored.is_z_up and stored.frames_per_second == 5.0 and stored.tier == told["tier"]
    [moving] = read_motions(out / "motion_amass.npz")
    np.testing.assert_allclose(moving.translation_m, stored.translation_m, atol=1e-4)
    found = json.loads((out / "cameras.json").read_text())
    assert found["cameras"] == list(clips.cameras) and all(
        (out / f"overlay_{name}.mp4").stat().st_size > 500 for name in clips.cameras
    )
    assert evidence == "keypoints" or min(found["overlap"]) > 0.6
    assert ("keypoints: given" in told["licence"]) == (evidence != "masks")
    what = {"both": "keypoints and masks"}.get(evidence, evidence)
    assert told["unchecked"].startswith(f"whether {what} lie on somebody in the pictures was not checked")
    assert found["unchecked"] == told["unchecked"] == str(np.load(out / "body.npz")["unchecked"])
    assert told["unchecked"] in capsys.readouterr().out
    seen = [frame["seen_by_cameras"] for frame in told["frames"]]
    if evidence == "masks":
        assert set(seen[0].values()) == {None}
    else:
        assert seen[0]["left_knee"] in (2, 3) and told["seen_by_cameras"].startswith("by how many cameras")
    headers = json.loads((out / "about.json").read_text())["files"]
    assert headers[f"overlay_{next(iter(clips.cameras))}.mp4"]["licence"] == told["licence"]


def test_keypoints_that_lie_beside_the_masks_are_refused_without_a_detector(clips, tmp_path):
    apart = tmp_path / "masks"
    for path in (clips.root / "masks").rglob("*.png"):
        (apart / path.parent.name).mkdir(parents=True, exist_ok=True)
        mask = read_mask(path)
        write_image(apart / path.parent.name / path.name, np.roll(mask, mask.shape[1] // 3, axis=1))
    with pytest.raises(ValueError, match=r"% of camera .*'s keypoints lie on the masks"):
        predict.main(clips.config(tmp_path / "out", evidence="both", masks=apart))
    assert not (tmp_path / "out").exists()


def test_settings_of_one_camera_and_of_several_are_told_apart(clips, tmp_path):
    with pytest.raises(ValueError, match="evidence is for several cameras; give their --calibration"):
        PredictConfig(input="photo.jpg", cameras=CamerasConfig(evidence="masks"))
    with pytest.raises(ValueError, match="focal_px is for pictures of one camera"):
        PredictConfig(input="clips", cameras=CamerasConfig(calibration=(clips.calibration,)), focal_px=900.0)
    with pytest.raises(ValueError, match="view_px is for pictures of one camera"):
        PredictConfig(input="clips", cameras=CamerasConfig(calibration=(clips.calibration,)), view_px=100)
    with pytest.raises(ValueError, match="cameras_fit is for several cameras"):
        PredictConfig(input="photo.jpg", cameras_fit=MasksFitSteps(1))
    with pytest.raises(ValueError, match="evidence is keypoints, which reads no masks"):
        CamerasConfig(evidence="keypoints", masks=clips.root / "masks")


def test_a_motion_is_smoothed_without_delay_and_not_across_gaps():
    instants = np.array([0, 1, 2, 3, 4, 20, 21, 22])
    places_m = np.stack([np.where(instants < 10, 0.0, 5.0), 0.1 * instants, 0 * instants], axis=1)
    still = np.tile(np.eye(3), (len(instants), 24, 1, 1))
    turned, moved_m = smooth_motion(still, places_m, instants, 10.0, 2.0)
    np.testing.assert_allclose(turned, still, atol=1e-9)
    assert moved_m[:, 0].tolist() == [0] * 5 + [5] * 3, "a jump in a gap stays one"
    assert moved_m[2, 1] == pytest.approx(0.2), "in the middle of an even movement nothing changes"


def test_clips_that_are_out_of_step_are_read_in_step(tmp_path, capsys):
    recording, late = small_recording(tmp_path, frames=40), 4
    for name in recording.cameras:
        (tmp_path / "keypoints" / name).mkdir(parents=True)
        for frame, seen in enumerate(recording.keypoints_px(name)[late if name == "cam2" else 0 :], start=1):
            people = [{"pose_keypoints_2d": seen.ravel().tolist()}]
            (tmp_path / "keypoints" / name / f"{frame:06d}.json").write_text(json.dumps({"people": people}))
    for number in range(40 - late + 1, 41):
        (tmp_path / "images" / "cam2" / f"{number:06d}.png").unlink()
    cameras = CamerasConfig(calibration=tuple(write_calibration("opencv", tmp_path / "c", recording.cameras)),
                            calibration_unit="m", find_offsets=True, most_offset=10, frames_per_second=5.0)  # fmt: skip
    task = Task(str(tmp_path / "images"), cameras, tmp_path / "out", tmp_path / "keypoints", "body_25b")
    settings = in_step(task, import_settings(task))
    assert "cam1=4, cam2=0, cam3=4, cam4=4" in capsys.readouterr().out
    read = custom_recording(settings)
    assert [view.first for view in read.views] == [4, 0, 4, 4] and read.num_instants == 36
    with pytest.raises(ValueError, match="offsets are given, and find_offsets"):
        CamerasConfig(find_offsets=True, offsets=("cam1=4",))
