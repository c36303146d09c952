from collections import Counter

import numpy as np
import pytest
import torch

from dataset_def.synthetic import make_quadruped
from dataset_def.synthetic.make_quadruped import NAMES, QuadrupedConfig
from models.body_surface import limbs, opposite_joints
from models.smpl import load_body
from utils.body_file import read_body_file


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_quadruped.main(QuadrupedConfig(tmp_path_factory.mktemp("animal") / "body.npz"))


def parts_of(file) -> list[np.ndarray]:
    per_part = len(file.v_template) // len(NAMES)
    part = file.faces[:, 0] // per_part
    assert (file.faces // per_part == part[:, None]).all(), "a face belongs to two parts"
    return [file.faces[part == number] for number in range(len(NAMES))]


def test_it_is_a_small_file_of_thirty_named_joints(path):
    file = read_body_file(path)
    assert path.stat().st_size < 1_000_000
    assert file.names == NAMES and len(NAMES) == 30 and file.shapedirs.shape[2] == 5
    assert file.posedirs.shape[2] == 0 and file.weights.min() >= 0


def test_every_part_is_closed_and_its_faces_look_outward(path):
    file = read_body_file(path)
    for name, faces in zip(NAMES, parts_of(file), strict=True):
        edges = Counter((int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1), strict=True))
        assert set(edges.values()) == {1}, f"{name} has an edge twice in one direction"
        assert all((b, a) in edges for a, b in edges), f"{name} is open"
        corners = file.v_template[faces].astype(float)
        volume_m3 = np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        assert volume_m3 > 1e-6, f"{name} looks inward"


def test_it_stands_on_its_feet_in_metres_and_faces_z(path):
    body = load_body(path)
    places = dict(zip(body.names, body.rest_template_joints_m, strict=True))
    low, high = body.template_m.min(dim=0).values, body.template_m.max(dim=0).values
    assert 0.8 < (high - low)[1] < 1.0 and 1.1 < (high - low)[2] < 1.5
    assert places["head"][2] > places["spine3"][2] > places["pelvis"][2] > places["tail1"][2]
    assert max(places[f"{side}_{foot}"][1] for side in ("left", "right") for foot in ("hind_foot", "fore_foot")) < -0.4
    assert places["left_hip"][0] > 0.05


def test_its_sides_mirror_each_other_and_its_limbs_are_found(path):
    body = load_body(path)
    other = opposite_joints(body.rest_template_joints_m)
    for row, name in enumerate(body.names):
        expected = name.replace("left_", "right_") if "left_" in name else name.replace("right_", "left_")
        assert body.names[int(other[row])] == expected
    ends = {body.names[chain[-1]]: len(chain) for chain in limbs(body.parents)}
    assert ends["left_hind_foot"] == ends["right_fore_foot"] == ends["tail4"] == 4 and len(ends) == 8
    mirrored_m = body.template_m * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.cdist(mirrored_m.double(), body.template_m.double()).min(dim=1).values.max() < 1e-5


def test_joints_follow_the_shape(path):
    body, file = load_body(path), read_body_file(path)
    betas = torch.tensor([[2.0, -1, 1, 1.5, -1], [0.0, 0, 0, 0, 0]])
    surface_m, joints_m = body.shaped_vertices_m(betas), body.rest_joints_m(betas)
    read_m = torch.from_numpy(np.asarray(file.J_regressor, np.float32)) @ surface_m
    torch.testing.assert_close(read_m, joints_m, atol=1e-5, rtol=0)
    legs = joints_m[:, body.names.index("left_hip"), 1] - joints_m[:, body.names.index("left_hind_foot"), 1]
    assert legs[0] > 1.15 * legs[1]


def test_ranges_and_walk_are_those_of_both_sides(path):
    file = read_body_file(path)
    left, right = (NAMES.index(f"{side}_hip") for side in ("left", "right"))
    np.testing.assert_allclose(file.ranges_rad[left, 2], -file.ranges_rad[right, 2, ::-1], atol=1e-6)
    half = len(file.cycle_rad) // 2
    np.testing.assert_allclose(np.roll(file.cycle_rad[:, left, 0], half), file.cycle_rad[:, right, 0], atol=1e-6)
    assert np.ptp(file.cycle_rad[:, left, 0]) > 0.5


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"out is .*body.pkl"):
        QuadrupedConfig(tmp_path / "body.pkl")
