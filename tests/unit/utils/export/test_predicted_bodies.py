"""What is kept of the frames of a video, and how much memory that takes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
import pytest

from config import ROOT
from tests.helpers.moving_body import lively, open_body
from utils.export import rig as rig_module
from utils.export.about import About
from utils.export.prediction import FrameBody, PredictedBodies, write_motion, write_tables

FORMATS = ("glb", "bvh", "amass", "trc")
FILES = ("joints.json", "body.npz", "motion.glb", "motion.bvh", "motion_amass.npz", "motion.trc", "about.json")
ABOUT = About("pixels", "weights", "abc", "free")


def frame_bodies(num_frames: int, num_poses: int = 40):
    """Frames of a body that swings, as they come."""
    rotations, betas, places_m = lively(num_poses)
    joints_m = np.random.default_rng(0).normal(size=(17, 3))
    for number in range(num_frames):
        R, place_m, name = rotations[number % num_poses], places_m[number % num_poses], f"frame_{number + 1:06d}"
        rest = (place_m, place_m + 0.1, joints_m + place_m, np.full(17, np.nan))
        yield FrameBody(name, number, R.copy(), betas.copy(), *rest)


def write_frames(folder: Path, num_frames: int, formats=FORMATS) -> None:
    """Do all that predict.py does with the bodies of a video, but for the network and the drawing."""
    with TemporaryFile(dir=folder) as rows:
        bodies = PredictedBodies(rows)
        for body in frame_bodies(num_frames):
            bodies.add(body)
        write_tables(folder, bodies, ABOUT, 25.0)
        write_motion(folder, bodies, open_body(), ABOUT, 25.0, formats)


def peak_bytes() -> int:
    """Read how much memory this program has held at most, that of NumPy and PyTorch included (Linux only)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def print_growth(fewer: int, more: int) -> None:
    """Print by how many bytes per frame the peak grows when there are more frames."""
    peaks = []
    for num_frames in (fewer, more):
        with TemporaryDirectory() as folder:
            write_frames(Path(folder), num_frames, ("glb", "bvh", "trc"))
        peaks.append(peak_bytes())
    print((peaks[1] - peaks[0]) / (more - fewer))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read as Linux tells it")
def test_two_hours_of_video_take_less_than_half_a_gigabyte():
    code = "from tests.unit.utils.export.test_predicted_bodies import print_growth; print_growth(600, 4600)"
    settings = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed arrays go back to the system at once
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=settings, capture_output=True, text=True, check=True
    )
    two_hours_mb = float(printed.stdout) * 2 * 3600 * 25 / 1e6
    assert 0 < two_hours_mb < 500, f"{two_hours_mb:.0f} MB"


def test_frames_come_back_as_they_were_kept_also_when_more_follow(monkeypatch):
    monkeypatch.setattr(rig_module, "BLOCK_FRAMES", 3)
    kept = list(frame_bodies(8))
    with TemporaryFile() as rows:
        bodies = PredictedBodies(rows)
        for count in range(9):
            assert len(bodies) == count and bodies.names == [body.name for body in kept[:count]]
            assert bodies.numbers == list(range(count))
            for name in FrameBody._fields[2:]:
                column = bodies.column(name)
                assert column.shape == (count, *getattr(kept[0], name).shape)
                tolerance = 1e-7 if name == "rotations_cam" else 0
                for row, body in zip(column, kept, strict=False):
                    np.testing.assert_allclose(row, getattr(body, name), rtol=0, atol=tolerance)
            if count < 8:
                bodies.add(kept[count])


def test_the_size_of_blocks_changes_no_byte_of_any_file(tmp_path, monkeypatch):
    for size in (1000, 7):
        monkeypatch.setattr(rig_module, "BLOCK_FRAMES", size)
        (tmp_path / str(size)).mkdir()
        write_frames(tmp_path / str(size), 50)
    for name in FILES:
        assert (tmp_path / "1000" / name).read_bytes() == (tmp_path / "7" / name).read_bytes(), name


def test_frames_without_a_person_leave_a_gap_in_the_times(tmp_path):
    with TemporaryFile(dir=tmp_path) as rows:
        bodies = PredictedBodies(rows)
        for number, body in zip((2, 3, 8), frame_bodies(3), strict=True):
            bodies.add(body._replace(number=number))
        write_tables(tmp_path, bodies, ABOUT, 25.0)
    told = json.loads((tmp_path / "joints.json").read_text())["frames"]
    assert [frame["time_s"] for frame in told] == [0.08, 0.12, 0.32] and bodies.num_left_out == 4
