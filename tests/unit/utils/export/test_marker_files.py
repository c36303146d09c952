"""Marker files, read back by small readers that follow the formats' public descriptions, by ezc3d and by OpenSim."""

import importlib.util
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.export import marker_files
from utils.export.about import About
from utils.export.marker_files import write_c3d, write_trc

NAMES = ("LKnee", "LASI", "C7")
PLACES_M = np.array([[[0.1, 1.2, -0.3], [0.2, 0.9, -0.1], [0, 1.5, -0.2]],
                     [[0.11, 1.21, -0.31], [0.21, 0.91, -0.11], [0.01, 1.51, -0.21]]])  # fmt: skip
HEADER = About("pixels", "w" * 64, "b" * 64, "free").header("z up", "millimetres")


def needs(package: str, extra: str):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed: {extra}")


def read_trc(path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """Read settings, names, times and places, as OpenSim's documentation describes the format."""
    lines = path.read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    settings = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    heads = lines[3].split("\t")
    assert heads[:2] == ["Frame#", "Time"]
    names = [name for name in heads[2:] if name]
    axes = lines[4].split("\t")[2:]
    assert axes == [f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"]
    assert lines[5].strip() == ""
    rows = np.array([[float(word) for word in line.split("\t")] for line in lines[6:]])
    assert rows[:, 0].tolist() == list(range(1, len(rows) + 1))
    return settings, names, rows[:, 1], rows[:, 2:].reshape(len(rows), -1, 3)


def test_a_trc_is_what_its_description_says(tmp_path):
    write_trc(tmp_path / "a.trc", NAMES, [PLACES_M[:1], PLACES_M[1:]], 2, 50.0)
    settings, names, times_s, places_m = read_trc(tmp_path / "a.trc")
    assert settings == {"DataRate": "50", "CameraRate": "50", "NumFrames": "2", "NumMarkers": "3", "Units": "m",
                        "OrigDataRate": "50", "OrigDataStartFrame": "1", "OrigNumFrames": "2"}  # fmt: skip
    assert tuple(names) == NAMES and times_s.tolist() == [0.0, 0.02]
    np.testing.assert_allclose(places_m, PLACES_M, atol=1e-5)


class HalfWritten:
    """A stand-in for ezc3d on a disk that is full."""

    def __init__(self):
        self.parts = {"data": {}, "parameters": {"POINT": {"UNITS": {}, "RATE": {}, "LABELS": {}}}}

    def __getitem__(self, name):
        return self.parts[name]

    def add_parameter(self, *_):
        pass

    def write(self, path):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")


def test_a_c3d_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ezc3d", SimpleNamespace(c3d=HalfWritten))
    monkeypatch.setattr(marker_files, "needs_ezc3d", lambda: None)
    with pytest.raises(OSError, match="no space left"):
        write_c3d(tmp_path / "a.c3d", NAMES, PLACES_M, 50.0, HEADER)
    assert not list(tmp_path.iterdir())


def read_c3d(path) -> tuple[dict[str, list], float, np.ndarray]:
    """Read text parameters, the rate and the points (T, N, 4), as the C3D user guide describes the format."""
    content = path.read_bytes()
    assert content[1] == 0x50
    points, _, first, last = struct.unpack_from("<HHHH", content, 2)
    scale, start, _, rate = struct.unpack_from("<fHHf", content, 12)
    assert scale < 0, "points are floats"
    at = 512 * (content[0] - 1) + 4
    groups, texts = {}, {}
    while True:
        length, group = struct.unpack_from("<bb", content, at)
        if length == 0:
            break
        length = abs(length)
        name = content[at + 2 : at + 2 + length].decode()
        (onwards,) = struct.unpack_from("<h", content, at + 2 + length)
        if group < 0:
            groups[-group] = name
        else:
            body = at + 4 + length
            kind, num_dimensions = struct.unpack_from("<bB", content, body)
            sizes = list(content[body + 2 : body + 2 + num_dimensions])
            if kind == -1:
                width, count = [*sizes, 1, 1][:2]
                data = content[body + 2 + num_dimensions :]
                texts[group, name] = [data[k * width : (k + 1) * width].decode().rstrip() for k in range(count)]
        if onwards == 0:
            break
        at += 2 + length + onwards
    named = {f"{groups[group]}:{name}": values for (group, name), values in texts.items()}
    numbers = np.frombuffer(content, "<f4", (last - first + 1) * points * 4, 512 * (start - 1))
    return named, rate, numbers.reshape(-1, points, 4)


@needs("ezc3d", marker_files.C3D_REMEDY)
def test_a_c3d_is_what_its_description_says_with_z_up_and_millimetres(tmp_path):
    write_c3d(tmp_path / "a.c3d", NAMES, PLACES_M, 50.0, HEADER)
    texts, rate, points = read_c3d(tmp_path / "a.c3d")
    assert rate == 50.0 and texts["POINT:LABELS"] == list(NAMES) and texts["POINT:UNITS"] == ["mm"]
    assert texts["POINT:Y_SCREEN"] == ["+Z"] and texts["ABOUT:TIER"] == ["pixels"]
    assert texts["ABOUT:WEIGHTS_SHA256"] == ["w" * 64] and texts["ABOUT:FRAME"] == ["z up"]
    # by hand: y up (0.1, 1.2, -0.3) m is z up (100, 300, 1200) mm
    np.testing.assert_allclose(points[0, 0, :3], [100, 300, 1200], atol=1e-3)
    np.testing.assert_allclose(points[1, 2, :3], [10, 210, 1510], atol=1e-3)
    assert (points[..., 3] >= 0).all(), "a residual below zero would mean that a point was not seen"


@needs("ezc3d", marker_files.C3D_REMEDY)
def test_ezc3d_reads_the_same_points(tmp_path):
    import ezc3d

    write_c3d(tmp_path / "a.c3d", NAMES, PLACES_M, 29.97, HEADER | {"licence": "free" * 150})
    found = ezc3d.c3d(str(tmp_path / "a.c3d"))
    point = found["parameters"]["POINT"]
    assert point["LABELS"]["value"] == list(NAMES) and point["UNITS"]["value"] == ["mm"]
    assert "".join(found["parameters"]["ABOUT"]["LICENCE"]["value"]) == "free" * 150
    assert point["RATE"]["value"][0] == pytest.approx(29.97, abs=1e-5)
    read_m = np.einsum("ant->tna", found["data"]["points"][:3])[..., [0, 2, 1]] * [0.001, 0.001, -0.001]
    assert 1000 * np.abs(read_m - PLACES_M).max() < 0.001


@needs("opensim", "pip install opensim")
def test_opensim_reads_the_same_markers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # OpenSim leaves a log where it is loaded
    import opensim

    write_trc(tmp_path / "a.trc", NAMES, [PLACES_M[:1], PLACES_M[1:]], 2, 50.0)
    found = opensim.MarkerData(str(tmp_path / "a.trc"))
    assert (found.getNumMarkers(), found.getNumFrames(), found.getDataRate()) == (3, 2, 50.0)
    assert found.getUnits().getLabel() == "meters"
    table = opensim.TimeSeriesTableVec3(str(tmp_path / "a.trc"))
    assert tuple(table.getColumnLabels()) == NAMES and list(table.getIndependentColumn()) == [0.0, 0.02]
    read_m = np.array([[table.getRowAtIndex(t)[n].to_numpy() for n in range(3)] for t in range(2)])
    assert 1000 * np.abs(read_m - PLACES_M).max() < 0.01


def test_without_ezc3d_a_c3d_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(marker_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"ezc3d, which is not installed; install it with: pip install -e \"\.\[c3d\]\""
    ):
        write_c3d(tmp_path / "a.c3d", NAMES, PLACES_M, 50.0, HEADER)
    assert list(tmp_path.iterdir()) == []
