"""Bodies from keypoints: the lifter is trained, resumed, exported; predict takes its tier, and says so everywhere."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from config import ASSETS, KeypointsConfig, KeypointsNetwork, Loop, Optim, Paths, PoseSources
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, KEYPOINTS_REMEDY, is_available
from models.keypoints_fit import KeypointsFitConfig
from models.kinematics import along_the_tree, upright_rotations
from models.smpl import load_body
from models.SMPL_from_keypoints import ON_BODY, KeypointsOfBody, load_lifter
from sample import predict, train_SMPL_from_keypoints
from sample.predict import KeypointPredictor, PredictConfig
from sample.tools import export_weights
from sample.tools.export_weights import ExportConfig
from utils.artifacts import file_hash, load_checkpoint
from utils.history import load_history
from utils.image import read_image
from utils.skeleton import KEYPOINTS_25

LOOP = Loop(workers=0, log_every=2, validate_every=3, checkpoint_every=2)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> KeypointsConfig:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("lifter")
    return KeypointsConfig(
        name="whole", device="cpu", paths=Paths(runs_location=root / "runs"), batch=8, loop=LOOP, held_out_bodies=8,
        bank=PoseSources(sequences=4, frames=6, cache_location=root / "poses", processes=1),
        network=KeypointsNetwork(hidden=32, blocks=1, looks=1),
        optim=Optim(steps=6, bf16=False, schedule="constant", warmup_steps=0, gradient_clip=1.0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(config):
    train_SMPL_from_keypoints.main(config)
    return config.paths.runs_location / "lifter" / "whole"


def test_a_training_leaves_its_history_and_a_lifter_that_can_be_opened(trained, config):
    records = load_history(trained / "history.jsonl")
    assert {"points", "rotations", "betas", "seen", "held_out_points_mm"} <= records[-1].keys()
    lifter = load_lifter(trained / "checkpoint_best.pt", config.paths.models_smpl_location)
    assert lifter.reads.tier == "unpaired poses" and not lifter.network.training


def test_a_resumed_training_is_the_same_training(trained, config):
    half = replace(config, name="half", optim=replace(config.optim, steps=4))
    train_SMPL_from_keypoints.main(half)
    train_SMPL_from_keypoints.main(replace(config, name="half", loop=replace(LOOP, resume=True)))
    one, other = (
        load_checkpoint(trained.with_name(name) / "checkpoint_last.pt", "lifter")["states"]["model"]
        for name in ("whole", "half")
    )
    assert all(torch.equal(one[key], other[key]) for key in one if torch.is_tensor(one[key]))


def test_exported_weights_are_small_and_still_a_lifter(trained, config, tmp_path):
    export_weights.main(ExportConfig(trained / "checkpoint_best.pt", output=tmp_path / "open_lifter.pt"))
    told = json.loads((tmp_path / "open_lifter.json").read_text())
    assert told["tier"] == "unpaired poses" and told["lifter"]["steps"] > 0
    lifter = load_lifter(tmp_path / "open_lifter.pt", config.paths.models_smpl_location)
    assert sum(p.numel() for p in lifter.network.parameters()) == told["parameters"]


def test_the_committed_lifter_is_there_and_within_its_size():
    assert (ASSETS / "open_lifter.pt").stat().st_size < 2_100_000
    told = json.loads((ASSETS / "open_lifter.json").read_text())
    assert told["tier"] == "unpaired poses" and "CMU" in told["description"]


def standing_px() -> np.ndarray:
    """Keypoints of somebody who stands before the camera, arms hanging."""
    body = KeypointsOfBody(load_body(Paths().models_smpl_location))
    points_m = body(along_the_tree(upright_rotations()[None]), torch.zeros(1, 10))[1][0].numpy()
    points_m += np.array([0.3, 0.1, 4.0])
    return points_m[:, :2] / points_m[:, 2:] * 733 + np.array([320, 240])


def coco_file(path, points_px: np.ndarray, frames: int = 1):
    rows = np.column_stack([points_px[:17] - 0.5, np.full(17, 2.0)]).ravel().tolist()
    people = [{"image_id": number, "category_id": 1, "keypoints": rows, "score": 1.0} for number in range(frames)]
    path.write_text(json.dumps(people))
    return path


@pytest.fixture
def ask(tmp_path):
    def config(source, **kind) -> PredictConfig:
        kind = {"out": tmp_path / "out", "view_px": 64, "video_px": 96} | kind
        return PredictConfig(input=str(source), device="cpu", **kind)

    return config


def test_given_keypoints_become_a_body_that_stands_on_them(ask, tmp_path, capsys):
    Image.new("RGB", (640, 480)).save(tmp_path / "photo.png")
    file = coco_file(tmp_path / "kp.json", standing_px())
    out = predict.main(ask(tmp_path / "photo.png", keypoints=file, focal_px=733.0))
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("tier: unpaired poses + given 2D keypoints; nothing else is read")
    assert "open_lifter.pt" in said[1] and any("keypoints of another program" in line for line in said)
    written = json.loads((out / "joints.json").read_text())
    joints = {name: np.array(place) for name, place in written["frames"][0]["joints_m"].items()}
    for name in ("left_knee", "right_ankle", "left_wrist", "right_shoulder"):
        seen = joints[name][:2] / joints[name][2] * 733 + (320, 240)
        assert np.linalg.norm(seen - standing_px()[KEYPOINTS_25.index(name)]) < 14, name  # 310 px tall
    assert joints["nose"][2] < joints["pelvis"][2] + 0.1 and joints["left_hip"][0] > joints["right_hip"][0]
    assert 3.2 < joints["pelvis"][2] < 4.8


def test_every_output_says_its_tier_and_the_weights(ask, tmp_path):
    Image.new("RGB", (640, 480)).save(tmp_path / "photo.png")
    out = predict.main(ask(tmp_path / "photo.png", keypoints=coco_file(tmp_path / "kp.json", standing_px())))
    digest = file_hash(ASSETS / "open_lifter.pt")
    assert digest in (out / "joints.json").read_text()
    assert str(np.load(out / "body.npz")["weights_sha256"]) == digest
    assert str(np.load(out / "body.npz")["tier"]) == "unpaired poses + given 2D keypoints"
    assert "keypoints: given, under the terms of" in str(np.load(out / "body.npz")["licence"])
    headers = json.loads((out / "about.json").read_text())["files"]
    assert headers["*_overlay.jpg"]["weights_sha256"] == digest and set(headers) == {"*_overlay.jpg", "*_views.jpg"}
    for ending in ("obj", "ply", "glb"):
        content = (out / f"photo.{ending}").read_bytes()
        assert digest.encode() in content and b"unpaired poses + given 2D keypoints" in content, ending


def test_what_the_picture_does_not_show_is_guessed_and_marked(ask, tmp_path, capsys):
    Image.new("RGB", (640, 480), (40, 90, 40)).save(tmp_path / "photo.png")
    rows = np.column_stack([standing_px()[:17] - 0.5, np.full(17, 2.0)])
    overlays = {}
    for name, hidden in (("whole", ()), ("half", ("knee", "ankle"))):
        taken = rows.copy()
        taken[[row for row, point in enumerate(KEYPOINTS_25[:17]) if point.endswith(hidden or "-")], 2] = 0
        people = [{"image_id": 0, "category_id": 1, "keypoints": taken.ravel().tolist(), "score": 1.0}]
        (tmp_path / "kp.json").write_text(json.dumps(people))
        out = predict.main(ask(tmp_path / "photo.png", keypoints=tmp_path / "kp.json", overwrite=True, focal_px=733.0))
        told = json.loads((out / "joints.json").read_text())
        seen = told["frames"][0]["seen"]
        assert told["seen"].startswith("0 to 1") and seen["left_wrist"] == 1 and seen["pelvis"] == 1
        assert {name for name, value in seen.items() if value < 0.5} == {
            f"{side}_{point}" for side in ("left", "right") for point in hidden}  # fmt: skip
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("guessed")]
        assert len(said) == len(hidden) // 2 and all("left knee, left ankle" in line for line in said)
        overlays[name] = read_image(out / "photo_overlay.jpg").astype(int)
    shin = standing_px()[[KEYPOINTS_25.index(f"left_{point}") for point in ("knee", "ankle")]].mean(axis=0)
    x, y = shin.round().astype(int)
    there = {name: image[y, x] for name, image in overlays.items()}
    assert there["whole"][0] - there["whole"][2] > 30, "skin"
    assert np.ptp(there["half"]) < 60 and abs(there["half"] - (40, 90, 40)).max() < 60, "the picture is seen through it"


def test_pictures_of_a_folder_that_show_nobody_are_named(ask, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "kp").mkdir()
    for name in ("field", "man", "street"):
        Image.new("RGB", (640, 480)).save(tmp_path / "photos" / f"{name}.png")
        points = np.column_stack([standing_px()[:17] - 0.5, np.full(17, 0.9)]).ravel().tolist()
        people = [{"pose_keypoints_2d": points}] if name == "man" else []
        (tmp_path / "kp" / f"{name}.json").write_text(json.dumps({"people": people}))
    predict.main(ask(tmp_path / "photos", keypoints=tmp_path / "kp", meshes=()))
    assert "no person was found in field, street, of which nothing is written" in capsys.readouterr().out
    assert predict.told_names([str(number) for number in range(7)]) == "0, 1, 2, 3, 4 and 2 more"


def test_a_video_with_keypoints_is_one_person_and_its_motion_is_steady(ask, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (640, 480))
    rng = np.random.default_rng(0)
    (tmp_path / "kp").mkdir()
    for number in range(10):
        writer.write(np.zeros((480, 640, 3), np.uint8))
        points = standing_px() + np.array([3 * number, 0]) + rng.normal(0, 3, (25, 2))
        points = np.column_stack([points[:17] - 0.5, np.full(17, 0.9)]).ravel().tolist()
        people = [] if number == 5 else [{"pose_keypoints_2d": points}]
        (tmp_path / "kp" / f"v_{number:03d}.json").write_text(json.dumps({"people": people}))
    writer.release()
    jerk = []
    for smooth in (False, True):
        out = predict.main(ask(tmp_path / "v.mp4", keypoints=tmp_path / "kp", smooth=smooth, overwrite=True))
        stored = np.load(out / "body.npz")
        assert len(stored["trans"]) == 9 and (out / "motion.glb").is_file()
        jerk.append(np.abs(np.diff(stored["trans"][:, 2], n=2)).mean())
    assert jerk[1] < 0.3 * jerk[0], jerk
    assert np.ptp(stored["betas"], axis=0).max() < 1e-6


def test_bad_keypoints_end_in_one_sentence_and_leave_nothing(ask, tmp_path):
    Image.new("RGB", (640, 480)).save(tmp_path / "photo.png")
    few = np.zeros((25, 2))
    (tmp_path / "text.json").write_text("hello")
    nobody = tmp_path / "nobody.json"
    nobody.write_text(json.dumps({"people": []}))
    for settings, words in (
        ({"keypoints": tmp_path / "none.json"}, "do not exist"),
        ({"keypoints": tmp_path / "text.json"}, "no keypoint file"),
        ({"keypoints": nobody}, "no person was found in"),
        ({"keypoints": coco_file(tmp_path / "two.json", few, frames=2)}, "2 frames"),
        ({"tier": "keypoints", "detector_location": tmp_path}, r'pip install -e "\.\[keypoints\]"'),
        ({"keypoints": nobody, "lifter": ASSETS / "open_teacher.pt"}, "'lifter' is needed"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            predict.main(ask(tmp_path / "photo.png", **settings))
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()
    with pytest.raises(ValueError, match="tier is pixels, which reads no keypoints"):
        ask("x.png", tier="pixels", keypoints=nobody)
    with pytest.raises(ValueError, match="mask chooses nobody among given keypoints"):
        ask("x.png", mask=nobody, keypoints=nobody)


@pytest.mark.parametrize("meant", [{"detector": "heavy"}, {"lifter": ASSETS / "mine.pt"}])
def test_who_asks_for_keypoints_gets_no_pixels_where_the_extra_is_missing(ask, tmp_path, meant):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    remedy = "person.py --heavy" if "detector" in meant else "person.py"
    with pytest.raises(ValueError, match=rf"the keypoints extra is not installed.*{remedy}$"):
        predict.main(ask(tmp_path / "photo.png", box=(10, 5, 30, 50), detector_location=tmp_path, **meant))


def test_a_detector_that_is_opened_later_is_told_too(tmp_path, monkeypatch):
    class Detector:
        kind, files = "full", (tmp_path / "detector", tmp_path / "landmarks")

    Detector.files[1].write_bytes(b"network")
    monkeypatch.setattr(predict, "BlazePose", Detector)
    predictor = KeypointPredictor()
    assert "BlazePose" not in predictor.about.licence
    assert predictor._detector() is predictor._detector()
    told = f"BlazePose full of MediaPipe (Apache-2.0), sha256 {file_hash(tmp_path / 'landmarks')}"
    assert predictor.about.licence.count(told) == 1
    assert KeypointPredictor(networks=Detector()).about == predictor.about


def test_without_the_extra_pixels_are_read_and_the_better_tier_is_named(ask, tmp_path, capsys):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    predict.main(ask(tmp_path / "photo.png", box=(10, 5, 30, 50), detector_location=tmp_path, meshes=()))
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("tier: pixels + ") and KEYPOINTS_REMEDY in first
    assert "pixels" in str(np.load(tmp_path / "out" / "body.npz")["tier"])


def test_every_part_of_a_keypoint_is_known_on_the_body():
    assert {name.rpartition("_")[2] for name in KEYPOINTS_25} == set(ON_BODY)


def test_a_real_man_is_found_and_stands_on_his_feet(ask, tmp_path, capsys):
    if not is_available(KEYPOINT_NETWORKS):
        pytest.skip(f"the keypoints extra is not here: {KEYPOINTS_REMEDY}")
    man = read_image(ASSETS.parents[1] / "images" / "predict_photo.png")[:330, :297]
    Image.fromarray(man).save(tmp_path / "man.png")
    out = predict.main(ask(tmp_path / "man.png"))
    assert "BlazePose full" in capsys.readouterr().out.splitlines()[0]
    assert "BlazePose full of MediaPipe (Apache-2.0), sha256" in str(np.load(out / "body.npz")["licence"])
    joints = json.loads((out / "joints.json").read_text())["frames"][0]["joints_m"]
    assert joints["left_ankle"][1] > joints["left_knee"][1] > joints["pelvis"][1] > joints["nose"][1]
    person = KeypointPredictor(fit=KeypointsFitConfig())(man)
    assert np.allclose(person.joint_cam_m("nose"), joints["nose"], atol=1e-3)
