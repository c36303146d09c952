"""Predictions, fits and AMASS's motions leave for other programs; wrong input leaves nothing behind."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from config import ROOT, Paths
from dataset_def.synthetic import make_quadruped
from dataset_def.synthetic.make_quadruped import QuadrupedConfig
from models.smpl import rotations_from_theta
from sample.tools import export_motion
from sample.tools.export_motion import ExportMotionConfig
from tests.helpers.foreign_body import write_foreign_body
from tests.helpers.moving_body import lively, open_body
from tests.unit.dataset_def.test_motions import amass_like, pseudo_labels
from utils.artifacts import file_hash, save_pseudo_labels
from utils.export import motion as motion_module
from utils.export.about import About
from utils.export.tables import write_body_parameters
from utils.settings import start

ABOUT = About("pixels + masks", "w" * 64, file_hash(Paths().models_smpl_location), "free")


@pytest.fixture
def predicted(tmp_path):
    """A prediction of a video, and the joints that the body model gives for it."""
    rotations, betas, places_m = lively(5)
    write_body_parameters(tmp_path / "walk" / "body.npz", rotations, np.tile(betas, (5, 1)), places_m, ABOUT, 25.0)
    return tmp_path / "walk" / "body.npz"


def ask(path, tmp_path, **kind) -> ExportMotionConfig:
    return ExportMotionConfig(path, **({"out": tmp_path / "out"} | kind))


def test_a_prediction_becomes_the_files_that_are_asked_for_each_with_its_header(predicted, tmp_path, capsys):
    out = export_motion.main(ask(predicted, tmp_path))
    names = {"motion_amass.npz", "motion.glb", "motion.bvh", "motion.trc"}
    assert {path.name for path in out.iterdir()} == names | {"about.json"}
    told = json.loads((out / "about.json").read_text())["files"]
    assert told.keys() == names
    for name, header in told.items():
        assert header["tier"] == "pixels + masks" and header["weights_sha256"] == "w" * 64, name
        assert header["licence"] == "free" and "up" in header["frame"] and header["made_by"], name
    assert told["motion.bvh"]["unit"] == "centimetres, degrees" and told["motion.trc"]["unit"] == "metres"
    assert (
        "z up" in told["motion_amass.npz"]["frame"] and "belong to this body, not to SMPL's" in capsys.readouterr().out
    )


def test_a_motion_of_amass_goes_out_and_comes_back_the_same(tmp_path):
    _, betas, places_m = lively(4)
    amass_like(tmp_path / "walk.npz", betas=betas, trans=places_m, mocap_framerate=np.array(60.0))
    first = export_motion.main(ask(tmp_path / "walk.npz", tmp_path, formats=("amass",)))
    with np.load(first / "motion_amass.npz") as read, np.load(tmp_path / "walk.npz") as given:
        np.testing.assert_allclose(read["poses"][:, :66], given["poses"][:, :66], atol=1e-9)
        np.testing.assert_allclose(read["trans"], given["trans"], atol=1e-6)
        assert read["gender"].item() == "female" and float(read["mocap_frame_rate"]) == 60.0
        assert not read["poses"][:, 66:].any()


def test_the_gender_of_another_body_is_not_that_of_the_motions_file(tmp_path):
    amass_like(tmp_path / "walk.npz", gender=np.array("female"))
    write_foreign_body(tmp_path / "other.npz")
    asked = ask(tmp_path / "walk.npz", tmp_path, formats=("amass",), to_body=tmp_path / "other.npz")
    for gender, told in ((None, "neutral"), ("male", "male")):
        out = export_motion.main(replace(asked, gender=gender, overwrite=True))
        with np.load(out / "motion_amass.npz") as read:
            assert read["gender"].item() == told


def test_it_is_told_which_body_file_is_taken_where_the_motion_names_none(predicted, tmp_path, capsys):
    export_motion.main(ask(predicted, tmp_path, formats=("bvh",)))
    assert "does not tell which body file" not in capsys.readouterr().out
    amass_like(tmp_path / "walk.npz")
    export_motion.main(ask(tmp_path / "walk.npz", tmp_path, formats=("bvh",), out=tmp_path / "other"))
    assert "open_body.npz is taken, --paths.models-smpl-location gives another" in capsys.readouterr().out


def test_a_prediction_that_became_amass_is_read_again_in_the_world_with_z_up(predicted, tmp_path):
    first = export_motion.main(ask(predicted, tmp_path, formats=("amass", "trc")))
    second = export_motion.main(ask(first / "motion_amass.npz", tmp_path, formats=("trc",), out=tmp_path / "again"))
    tables = [np.loadtxt(folder / "motion.trc", skiprows=6) for folder in (first, second)]
    assert np.abs(tables[0] - tables[1]).max() < 2e-5, "the same world with y up, to the last digit of the file"


def test_all_sequences_of_fits_get_a_folder_and_one_can_be_chosen(tmp_path):
    labels = pseudo_labels([(5, 2, 1, 1), (5, 2, 1, 4), (6, 3, 2, 2), (6, 3, 2, 3)])
    labels = labels._replace(body_hash=ABOUT.body_sha256)
    save_pseudo_labels(tmp_path / "pseudo_labels.npz", labels, (9,))
    fits = tmp_path / "pseudo_labels.npz"
    out = export_motion.main(ask(fits, tmp_path, formats=("bvh",), frames_per_second=60))
    assert sorted(path.name for path in out.iterdir()) == ["s_05_act_02_subact_01", "s_06_act_03_subact_02"]
    assert "Frame Time: 0.050000000" in (out / "s_05_act_02_subact_01" / "motion.bvh").read_text(), "every third of 60"
    one = export_motion.main(
        ask(fits, tmp_path, formats=("bvh",), frames_per_second=60, sequence=(6, 3, 2), out=tmp_path / "one")
    )
    assert {path.name for path in one.iterdir()} == {"motion.bvh", "about.json"}


def test_on_the_ground_nothing_lies_below_zero(predicted, tmp_path):
    out = export_motion.main(ask(predicted, tmp_path, formats=("amass",), ground=True))
    with np.load(out / "motion_amass.npz") as read:
        assert "moved by" in str(read["frame"])
        theta = np.concatenate([read["poses"][:, :66], read["smpl_hands"]], axis=1)
        trans, betas = read["trans"], read["betas"]
    shapes = torch.from_numpy(betas).expand(len(theta), -1)
    surface_m = open_body()(rotations_from_theta(torch.from_numpy(theta)), shapes, torch.from_numpy(trans)).vertices_m
    assert abs(float(surface_m[..., 2].min())) < 1e-4


def test_another_bodys_parameters_and_back_keep_the_joints(predicted, tmp_path, capsys):
    write_foreign_body(tmp_path / "other.npz")
    there = export_motion.main(ask(predicted, tmp_path, formats=("amass", "trc"), to_body=tmp_path / "other.npz"))
    said = capsys.readouterr().out
    assert "joints of the same name are" in said and "mm apart" in said
    with np.load(there / "motion_amass.npz") as read:
        assert str(read["body_sha256"]) == file_hash(tmp_path / "other.npz")
        assert "not stated in its file" in str(read["licence"]) and "motion: free" in str(read["licence"])
    own = Paths().models_smpl_location
    back = export_motion.main(
        ask(there / "motion_amass.npz", tmp_path, formats=("trc",), to_body=own, out=tmp_path / "back",
            paths=Paths(models_smpl_location=tmp_path / "other.npz"))
    )  # fmt: skip
    begun = export_motion.main(ask(predicted, tmp_path, formats=("trc",), out=tmp_path / "begun"))
    places = [
        np.loadtxt(folder / "motion.trc", skiprows=6)[:, 2:].reshape(5, -1, 3)[:, :24] for folder in (begun, back)
    ]
    apart_mm = 1000 * np.linalg.norm(places[0] - places[1], axis=-1)
    assert apart_mm.mean() < 5, f"{apart_mm.mean():.1f} mm"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["none.npz"], "none.npz does not exist; give body.npz"),
        (["photo.npz"], "does not tell how many frames there were per second; give --frames-per-second"),
        (["walk/body.npz", "--sequence", "5", "2", "1"], "has no s_05_act_02_subact_01; it has walk"),
        (["walk/body.npz", "--to-body", "none.pkl"], "there is no body model at none.pkl"),
        (["walk/body.npz", "--paths.models-smpl-location", "other.npz"], "belongs to another body file"),
        (["walk/body.npz", "--formats", "c3d"], "ezc3d, which is not installed"),
        (["walk/body.npz", "--formats", "fbx"], "bpy, which is not installed"),
        (["odd.npz"], "tells the gender 'unknown'; give --gender"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(predicted, tmp_path, monkeypatch, capsys, options, words):
    rotations, betas, places_m = lively(2)
    write_body_parameters(tmp_path / "photo.npz", rotations, np.tile(betas, (2, 1)), places_m, ABOUT)
    amass_like(tmp_path / "odd.npz", gender=np.array("unknown"))
    if "other.npz" in options:
        write_foreign_body(tmp_path / "other.npz")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    options = [str(tmp_path / one) if (tmp_path / one).exists() else one for one in options]
    monkeypatch.setattr("sys.argv", ["export_motion.py", *options, "--out", str(tmp_path / "new" / "out")])
    with pytest.raises(SystemExit) as ended:
        start(export_motion.main, ExportMotionConfig)
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(said) == 2 and said[0].startswith("error: ") and words in said[0], said
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_kept_and_one_that_fails_half_way_is_not_begun(predicted, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_motion.main(ask(predicted, tmp_path))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(motion_module, "write_bvh", full)
    with pytest.raises(OSError, match="No space left"):
        export_motion.main(ask(predicted, tmp_path, out=tmp_path / "other"))
    assert {path.name for path in tmp_path.iterdir()} == {"walk", "out"}


def test_the_tool_says_what_it_does_where_users_look():
    assert "sample/tools/export_motion.py" in (ROOT / "sample" / "README.md").read_text()


def test_a_body_of_another_skeleton_leaves_in_the_formats_that_take_any_and_is_refused_by_the_others(tmp_path):
    body = make_quadruped.main(QuadrupedConfig(tmp_path / "animal.npz"))
    theta, betas = np.zeros((3, 90), np.float32), np.zeros(5, np.float32)
    np.savez(tmp_path / "walk.npz", theta=theta, betas=betas, translation_m=np.zeros((3, 3), np.float32))
    there = replace(Paths(), models_smpl_location=body)
    config = ExportMotionConfig(tmp_path / "walk.npz", out=tmp_path / "out", frames_per_second=10, paths=there)
    for form in ("amass", "trc", "mot"):
        with pytest.raises(ValueError, match=rf"30 joints that are not SMPL's 24, which {form} files are about"):
            export_motion.main(replace(config, formats=(form,)))
    out = export_motion.main(replace(config, formats=("bvh", "glb")))
    assert "ROOT pelvis" in (out / "motion.bvh").read_text() and (out / "motion.glb").stat().st_size > 10_000
