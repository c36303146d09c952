"""Joint angles for OpenSim: as its description says, and as OpenSim itself reads them."""

import importlib.util
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tests.helpers.moving_body import bent_stick, lively, lively_rig, open_body, stick_motion, turn
from tests.helpers.opensim_reads import moved_joints_m, rotations_by_kinematics
from utils.export.about import About
from utils.export.marker_files import write_trc
from utils.export.markers import marker_places_m
from utils.export.motion import body_markers, markers_of
from utils.export.opensim import BodyMarker, coordinate_names, write_mot, write_osim
from utils.export.rig import motion_of, posed_joints, rig_of
from utils.skeleton import SMPL_24

HEADER = About("pixels", "w", "b", "free").header("y up", "metres, degrees")
needs_opensim = pytest.mark.skipif(
    importlib.util.find_spec("opensim") is None, reason="opensim is not installed: pip install opensim"
)


def read_mot(path) -> tuple[dict[str, str], list[str], np.ndarray]:
    """Read header, names and rows, as OpenSim's documentation describes the format."""
    lines = path.read_text().splitlines()
    end = lines.index("endheader")
    header = dict(line.split("=", 1) for line in lines[1:end])
    rows = np.array([[float(word) for word in line.split("\t")] for line in lines[end + 2 :]])
    assert rows.shape == (int(header["nRows"]), int(header["nColumns"]))
    return header, lines[end + 1].split("\t"), rows


def test_a_stick_with_a_right_angle_is_written_as_by_hand(tmp_path):
    motion = stick_motion({}, {0: turn("y", 30), 1: turn("z", 90), 2: turn("x", -45)}, pelvis_m=(1, 2, 3))
    write_mot(tmp_path / "a.mot", bent_stick(), motion, HEADER)
    header, names, rows = read_mot(tmp_path / "a.mot")
    assert header["inDegrees"] == "yes" and header["tier"] == "pixels" and header["frame"] == "y up"
    assert names == ["time", "a_tx", "a_ty", "a_tz", "a_z", "a_x", "a_y", "b_z", "b_x", "b_y", "c_z", "c_x", "c_y"]
    np.testing.assert_allclose(rows, [[0, 1, 2, 3] + [0] * 9, [0.1, 1, 2, 3, 0, 0, 30, 90, 0, 0, 0, -45, 0]], atol=1e-5)


def test_the_model_has_a_body_and_a_joint_per_joint_and_the_markers(tmp_path):
    write_osim(tmp_path / "a.osim", bent_stick(), [BodyMarker("LKNE", 1, np.array([0.1, 0, 0]))], HEADER)
    model = ElementTree.parse(tmp_path / "a.osim").getroot().find("Model")
    assert [one.get("name") for one in model.iter("Body")] == ["a", "b", "c"]
    parents = [one.text for one in model.iter("socket_parent")]
    assert parents == ["/ground", "/bodyset/a", "/bodyset/a", "/bodyset/b", "/bodyset/b", "/bodyset/c"]
    moves, turns = coordinate_names(bent_stick())[:3], coordinate_names(bent_stick())[3:]
    assert [one.get("name") for one in model.iter("Coordinate")] == [*turns[:3], *moves, *turns[3:]]
    assert model.find("MarkerSet/objects/Marker/location").text == "0.1 0 0"
    assert "masses are placeholders" in model.find("credits").text and "tier: pixels" in model.find("credits").text


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The open body's model, its motion of 9 frames and its markers, in a folder where OpenSim may leave its log."""
    monkeypatch.chdir(tmp_path)
    rig, motion, *_ = lively_rig(9)
    markers = markers_of(open_body())
    write_osim(tmp_path / "motion.osim", rig, body_markers(rig, markers), HEADER)
    write_mot(tmp_path / "motion.mot", rig, motion, HEADER)
    return tmp_path, rig, motion


@needs_opensim
def test_opensim_moves_the_joints_of_its_model_as_ours_move(files):
    import opensim

    folder, rig, motion = files
    model = opensim.Model(str(folder / "motion.osim"))
    assert (model.getBodySet().getSize(), model.getMarkerSet().getSize()) == (24, 68)
    table = opensim.TimeSeriesTable(str(folder / "motion.mot"))
    np.testing.assert_allclose(table.getIndependentColumn(), np.arange(9) / 25, atol=1e-6)
    theirs_m = moved_joints_m(folder / "motion.osim", folder / "motion.mot", (0, 4, 8))
    error_mm = 1000 * np.linalg.norm(theirs_m - posed_joints(rig, motion)[1][[0, 4, 8]], axis=-1).max()
    assert error_mm < 0.01, f"{error_mm:.4f} mm"


@needs_opensim
def test_opensims_inverse_kinematics_finds_our_angles_from_our_markers(tmp_path, monkeypatch):
    """From the .trc and the model alone; the skin slides a little over the rigid bodies that OpenSim has."""
    monkeypatch.chdir(tmp_path)
    rotations, betas, places_m = lively(5, largest_rad=0.4)
    rig, markers = rig_of(open_body(), torch.from_numpy(betas)), markers_of(open_body())
    motion = motion_of(rig, rotations, places_m, 25.0)
    write_osim(tmp_path / "motion.osim", rig, body_markers(rig, markers), HEADER)
    write_trc(tmp_path / "motion.trc", markers.names, [marker_places_m(rig, motion, markers)], 5, 25.0)
    found = rotations_by_kinematics(tmp_path / "motion.osim", tmp_path / "motion.trc", tmp_path / "found.mot", 4 / 25)
    between = np.swapaxes(found, -1, -2) @ motion.rotations
    off_deg = np.degrees(Rotation.from_matrix(between.reshape(-1, 3, 3)).magnitude()).reshape(5, 24)
    for name in ("left_knee", "right_elbow", "left_hip"):  # collar and shoulder share one turn, which no marker parts
        worst_deg = off_deg[:, SMPL_24.index(name)].max()
        assert worst_deg < 9, f"{name}: {worst_deg:.1f} degrees"
