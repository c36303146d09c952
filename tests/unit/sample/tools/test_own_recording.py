"""The road of one's own recording: what the detector sees goes back into the clips' pixels; done steps are skipped."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from config import Loop, Paths
from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.people_in_views import view_mask
from dataset_def.multiview.undistort import letterbox, undistorted_px
from sample.tools.own_recording import (
    OwnRecordingConfig,
    Place,
    Step,
    covered,
    in_clip,
    loop_of,
    mask_in_clip,
    seen_in_clip,
    walk,
)
from tests.helpers.tiny_h36m import looking_camera
from utils.camera import distort
from utils.skeleton import KEYPOINTS_25

BENT = looking_camera(1, 300, 200, k=(-0.18, 0.04, 0.0), p=(0.002, -0.001))._replace(distortion="opencv")


def test_keypoints_in_a_clip_are_those_that_the_import_takes_back():
    seen = np.column_stack([np.linspace(40, 260, 25), np.linspace(30, 170, 25), np.full(25, 0.7)])
    seen[KEYPOINTS_25.index("left_knee"), 2] = 0
    named = in_clip(BENT, seen)
    back_px = undistorted_px(BENT, named[:, :2] + 0.5)
    for name in ("nose", "right_wrist", "left_heel"):
        here = KEYPOINTS_25.index(name)
        assert back_px[BODY_25B.index(name)] == pytest.approx(seen[here, :2], abs=1e-3)
    toe = BODY_25B.index("right_big_toe")
    assert back_px[toe] == pytest.approx(seen[KEYPOINTS_25.index("right_toe"), :2], abs=1e-3) and named[toe, 2] == 0.7
    assert not named[BODY_25B.index("left_knee")].any() and not named[BODY_25B.index("neck")].any()


@pytest.mark.parametrize("size", [(300, 200), (280, 200)], ids=["as calibrated", "between bars"])
def test_a_mask_lies_in_its_clip_where_the_lens_shows_it(size):
    ideal_px = np.array([215.0, 60.0])
    mask = np.zeros((200, 300), np.uint8)
    cv2.circle(mask, (214 * 16 + 8, 59 * 16 + 8), 12 * 16, 255, -1, cv2.LINE_AA, 4)
    cut = mask_in_clip(view_mask(mask), seen_in_clip(BENT, *size))
    box = letterbox(BENT, *size)
    bent_px = distort(BENT, (ideal_px - BENT.centre_px) / BENT.focal_px) * BENT.focal_px + BENT.centre_px
    y, x = np.nonzero(cut)
    assert cut.shape == size[::-1]
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx(bent_px * box.scale + [box.left_px, box.top_px], abs=0.5)
    assert not mask_in_clip(None, seen_in_clip(BENT, *size)).any()


def place_of(root: Path) -> Place:
    config = OwnRecordingConfig(clips=root / "clips", calibration=(root / "c.toml",), to=root / "data",
                                paths=Paths(runs_location=root / "runs"))  # fmt: skip
    return Place(config, replace(Paths.under(root / "data"), runs_location=root / "runs"))


def test_steps_that_are_done_are_skipped_and_one_that_fails_is_taken_again(tmp_path, capsys):
    place, taken, broken = place_of(tmp_path), [], [True]

    def first(there: Place) -> None:
        taken.append("first")
        (tmp_path / "product").touch()

    def second(there: Place) -> None:
        taken.append("second")
        if broken:
            raise ValueError("the disk is full")
        (tmp_path / "folder").mkdir()

    steps = (Step("one", first, lambda there: tmp_path / "product"),
             Step("two", second, lambda there: tmp_path / "folder" / "trained"))  # fmt: skip
    with pytest.raises(ValueError, match="full"):
        walk(place, steps)
    broken.clear()
    took = walk(place, steps)
    assert taken == ["first", "second", "second"] and set(took) == {"one", "two"}
    assert (tmp_path / "folder" / "trained").is_file() and "1 of 2, one: done before" in capsys.readouterr().out
    assert json.loads((place.run("own") / "times.json").read_text()) == took
    walk(place, steps)
    assert len(taken) == 3


def test_a_training_that_was_broken_off_goes_on(tmp_path):
    place = place_of(tmp_path)
    begun = loop_of(Loop(), place.run("pose"), 90, 1)
    assert begun.overwrite and not begun.resume and begun.validate_every == 30
    place.run("pose").mkdir(parents=True)
    (place.run("pose") / "checkpoint_last.pt").touch()
    again = loop_of(Loop(), place.run("pose"), 90, 1)
    assert again.resume and not again.overwrite


def test_a_body_covers_what_its_triangles_cover():
    camera = looking_camera(1, 200, 200)
    corners_cam_m = np.array([[-0.5, -0.5, 4.0], [0.5, -0.5, 4], [0.5, 0.5, 4], [-0.5, 0.5, 4]])
    mask = covered(corners_cam_m, np.array([[0, 1, 2], [0, 2, 3]]), camera)
    side_px = camera.focal_px[0] / 4
    assert (mask > 0).sum() == pytest.approx((side_px + 1) ** 2, rel=0.05), "the edges' pixels are covered"
    y, x = np.nonzero(mask)
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx(camera.centre_px, abs=0.6)
