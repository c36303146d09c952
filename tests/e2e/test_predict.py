"""Pictures of any kind become files of bodies; wrong ones leave nothing behind."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from config import Paths
from models.keypoints_fit import KeypointsFitConfig
from sample import predict
from sample.predict import PredictConfig
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.settings import start


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_untrained_mesh(tmp_path_factory.mktemp("mesh") / "mesh.pt")


@pytest.fixture
def ask(checkpoint, tmp_path):
    def config(source, **kind) -> PredictConfig:
        absent = {"segmentation": tmp_path / "none.tflite", "detector_location": tmp_path / "none"}
        kind = {"out": tmp_path / "out", "view_px": 64, "video_px": 96} | absent | kind
        return PredictConfig(input=str(source), checkpoint=checkpoint, device="cpu", **kind)

    return config


def walker(number: int, size=(240, 320)) -> np.ndarray:
    """A red bar that walks to the right before a textured wall."""
    rgb = np.random.default_rng(1).integers(60, 120, (*size, 3)).astype(np.uint8)
    rgb[60:200, 30 + 12 * number : 70 + 12 * number] = (220, 40, 40)
    return rgb


@pytest.fixture
def video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "walk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (320, 240))
    for number in range(14):
        writer.write(walker(number)[..., ::-1])
    writer.release()
    return tmp_path / "walk.mp4"


def test_a_photo_becomes_an_overlay_views_meshes_joints_and_parameters(ask, tmp_path, capsys):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    out = predict.main(ask(tmp_path / "photo.jpg", box=(66, 60, 40, 140)))
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            "about.json",
            "body.npz",
            "joints.json",
            "photo.glb",
            "photo.obj",
            "photo.ply",
            "photo_overlay.jpg",
            "photo_views.jpg",
        ]
    )
    said = capsys.readouterr().out
    assert "mesh.pt" in said and "the given box" in said and "unknown, taken as 1.146 times" in said
    joints = json.loads((out / "joints.json").read_text())
    pelvis = np.array(joints["frames"][0]["joints_m"]["pelvis"])
    at_px = pelvis[:2] / pelvis[2] * 320 * 1.146 + (160, 120)
    assert abs(at_px[0] - 86) < 15 and 90 < at_px[1] < 170, at_px  # within the box, near its middle
    surface = trimesh.load(out / "photo.glb", force="mesh")
    assert 6900 < len(surface.vertices) < 7100
    assert surface.bounds[1][2] < 0  # before the camera: z points back at it
    assert np.asarray(Image.open(out / "photo_overlay.jpg")).shape == (240, 320, 3)


def test_from_python_a_picture_and_a_box_give_what_the_script_writes(ask, checkpoint, tmp_path):
    Image.fromarray(walker(3)).save(tmp_path / "photo.png")
    out = predict.main(ask(tmp_path / "photo.png", box=(66, 60, 40, 140), focal_px=300, meshes=("ply",)))
    predictor = predict.Predictor(checkpoint, device="cpu")
    person = predictor(walker(3), box=(66, 60, 40, 140), focal_px=300)
    written = json.loads((out / "joints.json").read_text())["frames"][0]["joints_m"]
    for name, place_m in written.items():
        assert person.joint_cam_m(name) == pytest.approx(np.array(place_m), abs=1e-4)
    surface = trimesh.load(out / "photo.ply", process=False)
    assert np.asarray(surface.faces).tolist() == predictor.faces.tolist()
    here = person.vertices_cam_m * (1, -1, -1)  # files have y up
    assert np.abs(np.asarray(surface.vertices) - here).max() < 1e-4 * np.abs(here).max()
    assert person.rotations_cam.shape == (24, 3, 3) and person.betas.shape == (10,)


def test_from_python_wrong_input_ends_in_one_sentence(checkpoint):
    predictor = predict.Predictor(checkpoint, device="cpu")
    for picture, box, words in (
        (walker(3) / 255, (66, 60, 40, 140), r"is float64 of shape \(240, 320, 3\); give uint8"),
        (walker(3)[..., 0], (66, 60, 40, 140), r"uint8 of shape \(240, 320\); give"),
        (walker(3), (400, 60, 40, 140), "box 400 60 40 140"),
        (walker(3), (66, 60, 4, 140), "smaller than 8 pixels"),
    ):
        with pytest.raises(ValueError, match=words):
            predictor(picture, box)
    with pytest.raises(ValueError, match="no joint 'left_arm'; there are pelvis,"):
        predictor(walker(3), (66, 60, 40, 140)).joint_cam_m("left_arm")


def test_the_overlay_fills_the_box(ask, tmp_path):
    Image.fromarray(np.zeros((240, 320, 3), np.uint8)).save(tmp_path / "black.png")
    out = predict.main(ask(tmp_path / "black.png", box=(200, 30, 60, 180), meshes=()))
    drawn = np.asarray(Image.open(out / "black_overlay.jpg")).astype(int)
    is_skin = (drawn[..., 0] > 60) & (drawn[..., 2] > 0.25 * drawn[..., 0])  # the box's own lines have little blue
    rows, columns = np.nonzero(is_skin)
    assert abs(rows.min() - 30) < 4 and abs(rows.max() - 210) < 4
    assert abs((columns.min() + columns.max()) / 2 - 230) < 4


def test_a_video_becomes_an_overlay_video_a_moving_skeleton_and_bvh_of_all_frames(ask, video):
    out = predict.main(ask(video, meshes=("obj",), batch=4))
    names = {path.name for path in out.iterdir()}
    assert {"overlay.mp4", "motion.glb", "motion.bvh", "joints.json", "body.npz", "frame_000014.obj"} <= names
    assert not any(name.endswith(".jpg") for name in names)
    joints = json.loads((out / "joints.json").read_text())
    assert len(joints["frames"]) == 14 and joints["tier"].startswith("pixels + cameras")
    assert len(joints["weights_sha256"]) == len(joints["body_sha256"]) == 64 and "CC0" in joints["licence"]
    assert json.loads((out / "about.json").read_text())["files"].keys() == {
        "motion.glb", "motion.bvh", "overlay.mp4"}  # fmt: skip
    assert "Frames: 14\nFrame Time: 0.05" in (out / "motion.bvh").read_text()
    capture = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 14
    places_m = np.load(out / "body.npz")["trans"]
    assert (np.diff(places_m[3:, 0]) > 0).all()  # the walker goes to the right


def test_a_video_leaves_as_amasss_motion_and_markers_where_asked(ask, video):
    out = predict.main(ask(video, meshes=(), frames=4, motion_files=("amass", "trc", "mot")))
    names = {path.name for path in out.iterdir()}
    assert names == {"overlay.mp4", "joints.json", "body.npz", "about.json", "motion_amass.npz", "motion.trc",
                     "motion.mot", "motion.osim"}  # fmt: skip
    with np.load(out / "motion_amass.npz") as motion, np.load(out / "body.npz") as body:
        assert motion["poses"].shape == (4, 156) and float(motion["mocap_frame_rate"]) == 20.0
        # camera (x, y down, z forward) is (x, z, -y) with z up
        moved_m = np.diff(body["trans"][:, [0, 2, 1]] * [1, 1, -1], axis=0)
        np.testing.assert_allclose(np.diff(motion["trans"], axis=0), moved_m, atol=2e-3)


def test_batches_of_another_size_give_the_same_filtered_motion(ask, video, tmp_path):
    first = predict.main(ask(video, batch=3, frames=8))
    second = predict.main(ask(video, batch=8, frames=8, out=tmp_path / "other"))
    for name in ("rotations_cam", "trans", "betas"):
        one, other = np.load(first / "body.npz")[name], np.load(second / "body.npz")[name]
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_filtered_bodies_lag_behind(ask, video, tmp_path):
    smooth, rough = predict.main(ask(video)), predict.main(ask(video, smooth=False, out=tmp_path / "gradient_penalty"))
    places_m = [np.load(out / "body.npz")["trans"][:, 0] for out in (smooth, rough)]
    assert places_m[0][0] == pytest.approx(places_m[1][0], abs=1e-3)
    assert (places_m[0][3:] < places_m[1][3:] - 1e-3).all()


def test_a_folder_takes_one_mask_per_picture(ask, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for number in (1, 2):
        Image.fromarray(walker(number)).save(tmp_path / "photos" / f"p{number}.jpg")
        mask = (walker(number)[..., 0] > 200).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"p{number}.png")
    out = predict.main(ask(tmp_path / "photos", mask=tmp_path / "masks", meshes=("ply",)))
    assert {"p1_overlay.jpg", "p2_overlay.jpg", "p1.ply", "p2.ply"} <= {path.name for path in out.iterdir()}


def still_video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "still.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (320, 240))
    for _ in range(6):
        writer.write(walker(3)[..., ::-1])
    writer.release()
    return tmp_path / "still.mp4"


def test_wrong_input_ends_in_one_sentence_and_leaves_nothing(ask, tmp_path):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    (tmp_path / "empty.mp4").write_bytes(b"")
    wrong = [
        (ask(tmp_path / "photo.jpg"), "give --box X Y WIDTH HEIGHT or --mask, or install the segmentation extra"),
        (ask(tmp_path / "photo.jpg", box=(400, 10, 50, 90)), "lies outside of photo"),
        (ask(tmp_path / "empty.mp4"), "not a video"),
        (ask(still_video(tmp_path)), "nothing of a person's size moves"),
        (ask(tmp_path / "photo.jpg", mask=tmp_path / "no.png"), "does not exist"),
    ]
    for config, words in wrong:
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            predict.main(config)
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def other_body(path, num_vertices=6990):
    """The embedded body without its last vertices."""
    with np.load(Paths().models_smpl_location) as stored:
        arrays = dict(stored)
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        arrays[name] = arrays[name][:num_vertices]
    for name in ("J_regressor", "J_regressor_h36m"):
        kept = arrays[name][:, :num_vertices]
        arrays[name] = kept / kept.sum(axis=1, keepdims=True)
    arrays["f"] = arrays["f"][(arrays["f"] < num_vertices).all(axis=1)]
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("picture", "options", "words"),
    [
        ("nobody.png", [], "nothing tells where the person is in"),
        ("nobody.png", ["--box", "900", "10", "50", "90"], "lies outside of nobody (400 x 300 pixels)"),
        ("nobody.png", ["--box", "1", "1", "nan", "90"], "is not finite"),
        ("zero.jpg", [], "(0 bytes) is no image"),
        ("text.jpg", [], "(5 bytes) is no image"),
        ("cut.mp4", [], "is not a video that OpenCV can read"),
        ("huge.png", [], "has 100 megapixels; shrink it to at most 60"),
        ("empty", [], "holds no image"),
        ("nobody.png", ["--checkpoint", "none.pt"], "none.pt does not exist; make it with"),
        ("nobody.png", ["--checkpoint", "models/assets/open_weights.pt"], "holds 'pose', but 'mesh' is needed"),
        ("nobody.png", ["--paths.models-smpl-location", "body.npz"], "has 6990 vertices, but"),
    ],
)
def test_the_command_line_answers_bad_input_with_one_sentence_and_leaves_nothing(
    checkpoint, video, tmp_path, monkeypatch, capsys, picture, options, words
):
    Image.new("L", (400, 300), 120).save(tmp_path / "nobody.png")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:900])
    (tmp_path / "empty").mkdir()
    if "body.npz" in options:
        other_body(tmp_path / "body.npz")
    options = [str(tmp_path / one) if (tmp_path / one).exists() else one for one in options]
    named = [] if "--checkpoint" in options else ["--checkpoint", str(checkpoint)]
    absent = ["--segmentation", str(tmp_path / "none.tflite"), "--detector-location", str(tmp_path / "none")]
    rest = ["--out", str(tmp_path / "new" / "out"), *absent, "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["predict.py", str(tmp_path / picture), *named, *rest, *options])
    with pytest.raises(SystemExit) as ended:
        start(predict.main, PredictConfig)
    said = [line for line in capsys.readouterr().err.splitlines() if "it/s" not in line and "frame" not in line]
    assert ended.value.code == 2 and len(said) == 2 and said[0].startswith("error: ") and words in said[0], said
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_kept_unless_it_may_be_replaced(ask, tmp_path):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="--overwrite"):
        predict.main(ask(tmp_path / "photo.jpg", box=(66, 60, 40, 140)))
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    may = ask(tmp_path / "photo.jpg", box=(66, 60, 40, 140), overwrite=True, meshes=())
    with pytest.raises(
        FileExistsError, match=r"holds other files .* \(there is no joints.json or .*\), so it is not del"
    ):
        predict.main(may)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    (tmp_path / "out" / "joints.json").touch()
    predict.main(may)
    assert not (tmp_path / "out" / "mine.txt").exists()
    (tmp_path / "out" / "photo.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes())
    with pytest.raises(FileExistsError, match=r"photo.jpg is read, and lies in .*out, which would be deleted"):
        predict.main(replace(may, input=str(tmp_path / "out" / "photo.jpg")))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match=r"file is a file, which no folder replaces"):
        predict.main(replace(may, out=tmp_path / "file"))


def test_what_is_predicted_is_named_after_the_input_wherever_it_is_given_from(tmp_path, monkeypatch):
    (tmp_path / "photos" / "june").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos" / "june")
    given = (".", "..", "../..", "walk.mp4", "../walk.v2.mp4", "0", "/")
    assert [predict.name_of(one) for one in given] == [
        "june", "photos", tmp_path.name, "walk", "walk.v2", "0", "pictures"]  # fmt: skip


def test_settings_that_contradict_each_other_are_refused():
    for settings, words in (
        ({"box": (1, 2, 30, 40), "mask": "m.png"}, "give one of them"),
        ({"focal_px": 1.2}, "give it in pixels"),
        ({"person_m": 17.0}, "person_m is 17"),
    ):
        with pytest.raises(ValueError, match=words):
            PredictConfig(input="x.jpg", paths=Paths(), **settings)


def written(path, frames) -> str:
    """A video of given frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return str(path)


def panned(number: int) -> np.ndarray:
    """What a camera sees that turns to the right along a wall."""
    wall = cv2.resize(np.random.default_rng(2).integers(0, 255, (40, 120, 3)).astype(np.uint8), (720, 240))
    return wall[:, 20 * number : 20 * number + 320]


def test_what_moves_before_a_camera_that_pans_is_no_person(ask, tmp_path):
    source = written(tmp_path / "pan.mp4", [panned(number) for number in range(16)])
    for find in ("auto", "movement"):
        with pytest.raises(ValueError, match=r"the camera of .*pan\.mp4 moves, .*; give --box"):
            predict.main(ask(source, find=find))
    out = predict.main(ask(source, box=(100, 40, 60, 150)))
    assert (out / "overlay.mp4").is_file()


def test_a_box_that_fills_the_picture_is_warned_of(ask, tmp_path, capsys):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    predict.main(ask(tmp_path / "photo.jpg", box=(2, 2, 316, 236), meshes=()))
    assert "warning: in 1 of 1 frames the person's box fills the picture" in capsys.readouterr().out
    predict.main(ask(tmp_path / "photo.jpg", box=(66, 60, 40, 140), meshes=(), overwrite=True))
    assert "warning" not in capsys.readouterr().out


def test_a_box_at_the_edge_is_warned_of_as_this_tier_puts_whole_people_into_it(ask, tmp_path, capsys):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    predict.main(ask(tmp_path / "photo.jpg", box=(66, 100, 40, 140), meshes=()))
    assert "warning: in 1 of 1 frames the box reaches the picture's edge; this tier" in capsys.readouterr().out


def test_a_person_of_few_pixels_is_warned_of(ask, tmp_path, capsys):
    Image.fromarray(walker(3)).save(tmp_path / "photo.jpg")
    predict.main(ask(tmp_path / "photo.jpg", box=(66, 60, 20, 60), meshes=()))
    assert "warning: in 1 of 1 frames the person is smaller than 64 pixels" in capsys.readouterr().out


@pytest.mark.parametrize(("tier", "name", "value"), [
    ("pixels", "detector", "heavy"), ("pixels", "lifter", Path("mine.pt")),
    ("pixels", "fit", KeypointsFitConfig(steps=1)),
    ("keypoints", "find", "movement"), ("keypoints", "checkpoint", Path("mine.pt")),
    ("keypoints", "segmentation", Path("mine.tflite")), ("keypoints", "smooth_speed", 0.1),
    ("keypoints", "smooth_least_hz", 0.1), ("keypoints", "person_m", 1.2),
])  # fmt: skip
def test_what_belongs_to_the_other_tier_is_refused(tier, name, value):
    with pytest.raises(ValueError, match=f"{name} belongs to tier .* would change nothing in tier {tier}"):
        predict.PredictConfig("photo.jpg", tier=tier, **{name: value})
    chosen = {"keypoints": Path("kp.json")} if tier == "keypoints" else {"checkpoint": Path("mine.pt")}
    auto = predict.PredictConfig("photo.jpg", **({} if name in ("checkpoint", "detector") else chosen), **{name: value})
    if name not in ("checkpoint", "detector"):  # these choose the other tier
        with pytest.raises(ValueError, match=f"{name} belongs to tier"):
            predict.open_predictor(auto)


def test_what_tells_of_keypoints_is_refused_where_it_tells_nothing():
    with pytest.raises(ValueError, match="skeleton is coco_17, which says whose joints given keypoints are"):
        predict.PredictConfig("photo.jpg", skeleton="coco_17")
    with pytest.raises(ValueError, match="keypoints are given, and detector would find others"):
        predict.PredictConfig("photo.jpg", keypoints=Path("kp.json"), detector="heavy")


def test_smoothing_begins_anew_where_the_box_jumps(ask, tmp_path):
    (tmp_path / "masks").mkdir()
    frames = [walker(number // 6 * 15) for number in range(12)]
    for number, frame in enumerate(frames, start=1):
        mask = (frame[..., 0] > 200).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"frame_{number:06d}.png")
    out = predict.main(ask(written(tmp_path / "jump.mp4", frames), mask=tmp_path / "masks"))
    across_m = np.load(out / "body.npz")["trans"][:, 0]
    assert np.ptp(across_m[:6]) < 0.05 and np.ptp(across_m[6:]) < 0.05 and across_m[6] - across_m[5] > 0.5
