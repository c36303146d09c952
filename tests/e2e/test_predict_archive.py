"""A folder of pictures or clips that processes share gives what one process gives, and goes on where it was."""

import json
import os
import shutil
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sample import predict
from sample.predict import PredictConfig
from tests.helpers.children import done_by_two_ranks
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.image import read_image

PICTURES = [f"photo_{number}" for number in range(6)]
SIZE = (96, 128)


def picture(number: int) -> np.ndarray:
    """A red bar that stands farther to the right in each picture."""
    rgb = np.random.default_rng(number).integers(60, 120, (*SIZE, 3)).astype(np.uint8)
    rgb[20:80, 10 + 8 * number : 30 + 8 * number] = (220, 40, 40)
    return rgb


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with pictures, one with clips, and weights that nobody has trained."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("archive")
    write_untrained_mesh(root / "mesh.pt")
    for name in ("pictures", "clips"):
        (root / name).mkdir()
    for number, name in enumerate(PICTURES):
        Image.fromarray(picture(number)).save(root / "pictures" / f"{name}.png")
    for name in ("one", "two"):
        writer = cv2.VideoWriter(str(root / "clips" / f"{name}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, SIZE[::-1])
        for number in range(3):
            writer.write(picture(number)[..., ::-1])
        writer.release()
    return root


@pytest.fixture
def config(place) -> PredictConfig:
    return PredictConfig(
        input=str(place / "pictures"), out=place / "alone", checkpoint=place / "mesh.pt", tier="pixels", device="cpu",
        box=(10, 10, 80, 80), batch=1, meshes=("ply",), view_px=32, video_px=48, motion_files=("bvh",),
        segmentation=place / "none.tflite", detector_location=place / "none",
    )  # fmt: skip


@pytest.fixture
def as_rank(monkeypatch):
    def told(number: int, count: int) -> None:
        for name, value in (("RANK", number), ("WORLD_SIZE", count), ("LOCAL_RANK", 0)):
            monkeypatch.setenv(name, str(value))

    monkeypatch.setattr(predict, "PART_BATCHES", 2)
    return told


def predict_as_rank(number: int, config: PredictConfig, noted: Path, start: Barrier) -> None:
    """Predict as one of two processes that torchrun would start, and note who predicted what."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": str(number)}
    torch.set_num_threads(1)
    predict.PART_BATCHES = 2
    write_frames, is_first = predict.write_frames, [True]

    def noting(*arguments: Any) -> predict.Noticed:
        if is_first.pop():
            start.wait(300)  # until the other one has something, too
        is_first.append(False)
        told = write_frames(*arguments)
        for name in told.read or [Path(arguments[0].source).stem]:
            (noted / f"{name}_by_{number}").touch(exist_ok=False)
        return told

    predict.write_frames = noting
    predict.main(config)


def equal_folders(one: Path, other: Path, more: set[str] = frozenset()) -> None:
    """Compare two folders of predictions: equal on one kind of processor, close on others."""
    names = {str(path.relative_to(one)) for path in one.rglob("*")}
    assert {str(path.relative_to(other)) for path in other.rglob("*")} - more == names
    for name in names:
        if name.endswith("joints.json"):
            told, expected = (json.loads((folder / name).read_text()) for folder in (other, one))
            assert [frame["source"] for frame in told["frames"]] == [frame["source"] for frame in expected["frames"]]
            joints = [
                np.array([[*frame["joints_m"].values()] for frame in each["frames"]]) for each in (told, expected)
            ]
            np.testing.assert_allclose(*joints, atol=1e-4)
        elif name.endswith("body.npz"):
            with np.load(one / name) as expected, np.load(other / name) as found:
                assert expected.files == found.files
                for key in ("rotations_cam", "betas", "trans"):
                    np.testing.assert_allclose(found[key], expected[key], atol=1e-4)
        elif name.endswith(".jpg"):
            difference = read_image(one / name).astype(int) - read_image(other / name)
            assert np.abs(difference).mean() < 1
        elif name.endswith("about.json"):
            assert (one / name).read_text() == (other / name).read_text()


def test_two_processes_predict_each_picture_once_and_what_one_predicts(place, config, as_rank, tmp_path, capfd):
    predict.main(config)
    shared = replace(config, out=place / "shared")
    by = done_by_two_ranks(predict_as_rank, shared, tmp_path)
    assert [name for name, _ in by] == PICTURES and {number for _, number in by} == {"0", "1"}
    assert "6 frames" in capfd.readouterr().out
    equal_folders(place / "alone", place / "shared", {"archive.json"})
    as_rank(2, 3)
    before = {path: path.stat().st_mtime_ns for path in (place / "shared").iterdir()}
    predict.main(shared)
    assert "all is there" in capfd.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (place / "shared").iterdir()}


def test_what_a_process_that_died_had_begun_is_predicted_by_the_next_command(config, place, as_rank, monkeypatch):
    if not (place / "alone").exists():
        predict.main(config)
    as_rank(0, 1)
    broken, put_together = replace(config, out=place / "broken"), predict.write_whole
    monkeypatch.setattr(predict, "write_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict.main(broken)
    assert not (place / "broken" / "joints.json").exists()
    parts = sorted((place / "broken" / "parts").iterdir())
    assert [path.name for path in parts] == ["part_000000", "part_000001", "part_000002"]
    times = [(path / "rows.npz").stat().st_mtime_ns for path in parts]
    shutil.rmtree(parts[1])
    seen: list[int] = []

    def noting(bodies: Any, *others: Any) -> None:
        seen[:] = [(path / "rows.npz").stat().st_mtime_ns for path in parts]
        put_together(bodies, *others)

    monkeypatch.setattr(predict, "write_whole", noting)
    predict.main(broken)
    assert [one == other for one, other in zip(seen, times, strict=True)] == [True, False, True]
    equal_folders(place / "alone", place / "broken", {"archive.json"})


def test_a_folder_of_clips_gives_a_folder_of_each_as_when_it_is_given_alone(config, place, as_rank, tmp_path):
    clips = replace(config, input=str(place / "clips"), out=place / "of_clips")
    by = done_by_two_ranks(predict_as_rank, clips, tmp_path)
    assert by == [("one", "0"), ("two", "1")]
    predict.main(replace(clips, out=place / "one_process"))
    alone = replace(config, input=str(place / "clips" / "two.mp4"), out=place / "two_alone")
    predict.main(alone)
    for folder in ("of_clips", "one_process"):
        equal_folders(place / "two_alone", place / folder / "two")
        told = json.loads((place / folder / "clips.json").read_text())["clips"]
        assert told == {name: {"file": f"{name}.mp4", "shows_somebody": True} for name in ("one", "two")}
    shutil.rmtree(place / "of_clips" / "one")
    kept = (place / "of_clips" / "two" / "joints.json").stat().st_mtime_ns
    as_rank(0, 2)
    predict.main(clips)
    assert (place / "of_clips" / "one" / "joints.json").is_file()
    assert (place / "of_clips" / "two" / "joints.json").stat().st_mtime_ns == kept


def test_a_clip_without_anybody_is_told_and_does_not_stop_the_others(config, place, as_rank, monkeypatch, capsys):
    def nobody(source: str, *others: Any) -> None:
        if source.endswith("one.mp4"):
            raise predict.NobodyFoundError("no person was found")
        write_whole(source, *others)

    write_whole = predict.write_whole
    monkeypatch.setattr(predict, "write_whole", nobody)
    out = predict.main(replace(config, input=str(place / "clips"), out=place / "nobody"))
    assert "1 clips show nobody (first: one)" in capsys.readouterr().out
    assert [path.name for path in (out / "one").iterdir()] == ["nobody.txt"] and (out / "two" / "body.npz").is_file()


def test_pictures_that_are_gone_are_left_out_and_told_and_new_ones_refused(config, place, as_rank, tmp_path, capsys):
    shutil.copytree(place / "pictures", tmp_path / "pictures")
    (tmp_path / "pictures" / "photo_2.png").write_bytes(b"no picture")
    as_rank(0, 1)
    archive = replace(config, input=str(tmp_path / "pictures"), out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"photo_2\.png"):
        predict.main(archive)
    (tmp_path / "pictures" / "photo_2.png").unlink()
    Image.fromarray(picture(7)).save(tmp_path / "pictures" / "new.png")
    with pytest.raises(ValueError, match=r"1 files came to .*pictures since .*out was begun \(first: new\.png\); put"):
        predict.main(archive)
    (tmp_path / "pictures" / "new.png").unlink()
    predict.main(archive)
    assert "1 pictures that were there when this began are gone, and are left out (first: photo_2)" in (
        capsys.readouterr().out
    )
    assert len(json.loads((tmp_path / "out" / "joints.json").read_text())["frames"]) == 5
    with pytest.raises(
        ValueError, match=r"was begun with batch 1, and this run has batch 2; use the same settings, or"
    ):
        predict.main(replace(archive, batch=2))


def test_what_cannot_be_shared_is_refused_in_one_sentence(config, place, as_rank, tmp_path):
    as_rank(0, 2)
    (tmp_path / "both").mkdir()
    for path in ("pictures/photo_1.png", "clips/one.mp4"):
        shutil.copy(place / path, tmp_path / "both")
    (tmp_path / "there").mkdir()
    usual = {name: getattr(PredictConfig, name) for name in ("checkpoint", "segmentation")}
    of_keypoints = usual | {"tier": "keypoints", "keypoints": tmp_path}
    for changes, told in (
        ({"input": str(place / "clips/one.mp4")}, "is no folder, and processes share the files of one"),
        ({"input": str(tmp_path / "both")}, "holds 1 pictures and 1 videos; give a folder that holds one kind"),
        ({"input": str(tmp_path)}, "holds neither pictures nor videos"),
        ({"overwrite": True}, "overwrite would delete what other processes write"),
        (of_keypoints, "keypoints belong to the frames of one input"),
        ({"out": tmp_path / "there"}, "there is there already, and not as an archive; give another --out"),
    ):
        with pytest.raises((ValueError, FileExistsError), match=told):
            predict.main(replace(config, **({"out": tmp_path / "refused"} | changes)))
    assert not (tmp_path / "refused").exists()
