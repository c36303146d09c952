from collections import Counter

import numpy as np
import pytest
import torch

from config import Paths
from models.open_body.decimate import decimate
from models.open_body.joints import joint_shares
from models.smpl import load_body, rotations_from_theta
from utils.body_file import read_body_file
from utils.skeleton import H36M_17, H36M_17_PARENTS, SMPL_24, SMPL_24_PARENTS, joint_rows, mirrored

PATH = Paths().models_smpl_location
FILE = read_body_file(PATH)
TEMPLATE_M = FILE.v_template.astype(float)
FLIP = np.array([-1, 1, 1])


def mirror_vertices() -> np.ndarray:
    from scipy.spatial import cKDTree

    distance_m, mirror = cKDTree(TEMPLATE_M).query(TEMPLATE_M * FLIP)
    assert distance_m.max() < 1e-6, f"{1000 * distance_m.max():.4f} mm from symmetric"
    return mirror


def volume_m3(vertices_m: np.ndarray) -> float:
    corners = vertices_m[FILE.faces]
    return float(np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def times_inside(point_m: np.ndarray, vertices_m: np.ndarray) -> float:
    """Winding number; Van Oosterom and Strackee, 1983."""
    a, b, c = (vertices_m[FILE.faces] - point_m).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    dots = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(np.arctan2((a * np.cross(b, c)).sum(1), dots).sum() / (2 * np.pi))


def random_betas(count: int) -> torch.Tensor:
    return torch.randn(count, 10, generator=torch.Generator().manual_seed(0))


def test_the_file_is_small_and_in_smpl_format():
    assert PATH.stat().st_size < 4e6
    assert 6500 < len(TEMPLATE_M) < 7500
    assert FILE.shapedirs.shape[2] == 10 and FILE.posedirs.shape[2] == 207
    assert tuple(FILE.parents) == SMPL_24_PARENTS


def test_every_edge_has_two_faces_in_opposite_directions_and_there_is_one_piece():
    edges = np.concatenate([FILE.faces[:, [0, 1]], FILE.faces[:, [1, 2]], FILE.faces[:, [2, 0]]])
    count = Counter(map(tuple, edges.tolist()))
    assert max(count.values()) == 1
    assert all((b, a) in count for a, b in count)
    assert len(np.unique(FILE.faces)) == len(TEMPLATE_M)
    assert len(TEMPLATE_M) - len(edges) // 2 + len(FILE.faces) == 2  # a sphere's Euler number: one piece, no handle


def test_no_face_is_degenerate():
    corners = TEMPLATE_M[FILE.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert areas.min() > 1e-9


def test_faces_turn_outwards():
    assert 0.05 < volume_m3(TEMPLATE_M) < 0.09


def test_left_and_right_are_mirror_images():
    mirror = mirror_vertices()
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    joints, points = mirrored(SMPL_24), mirrored(H36M_17)
    np.testing.assert_allclose(FILE.shapedirs[mirror] * FLIP[:, None], FILE.shapedirs, atol=1e-6)
    np.testing.assert_allclose(FILE.weights[mirror][:, joints], FILE.weights, atol=1e-6)
    np.testing.assert_allclose(FILE.J_regressor[joints][:, mirror], FILE.J_regressor, atol=1e-6)
    np.testing.assert_allclose(FILE.J_regressor_h36m[points][:, mirror], FILE.J_regressor_h36m, atol=1e-6)
    faces = {frozenset(face) for face in FILE.faces.tolist()}
    assert faces == {frozenset(face) for face in mirror[FILE.faces].tolist()}


def test_the_t_pose_stands_upright_faces_forward_and_has_its_left_towards_plus_x():
    rest_m = dict(zip(SMPL_24, FILE.J_regressor @ TEMPLATE_M, strict=True))
    assert rest_m["head"][1] > rest_m["pelvis"][1] > rest_m["left_ankle"][1]
    assert rest_m["left_wrist"][0] > 0.5 and rest_m["right_wrist"][0] < -0.5
    arm = [rest_m[f"left_{joint}"][1] for joint in ("shoulder", "elbow", "wrist")]
    assert max(arm) - min(arm) < 0.01, "arms are level"
    toes_forward_m = rest_m["left_foot"][2] - rest_m["left_ankle"][2]
    assert 0.08 < toes_forward_m < 0.2
    assert np.linalg.norm(rest_m["pelvis"]) > 0.1


def test_the_mean_adult_is_about_170_cm_tall():
    assert 1.65 < np.ptp(TEMPLATE_M[:, 1]) < 1.75
    assert 1.55 < np.ptp(TEMPLATE_M[:, 0]) < 1.85


def test_every_joint_lies_inside_the_body_for_many_shapes():
    body = load_body(PATH)
    vertices_m = body.shaped_vertices_m(random_betas(6))
    joints_m = torch.cat([body.rest_joints_m(random_betas(6)), body.h36m_joints_m(vertices_m)], dim=1)
    names = SMPL_24 + H36M_17
    for surface_m, skeleton_m in zip(vertices_m.double().numpy(), joints_m.double().numpy(), strict=True):
        for name, joint_m in zip(names, skeleton_m, strict=True):
            if name != "head_top":  # on the skin
                assert times_inside(joint_m, surface_m) == pytest.approx(1, abs=0.01), name


def test_regressors_take_few_vertices_with_shares_that_sum_to_one():
    for regressor in (FILE.J_regressor, FILE.J_regressor_h36m):
        assert regressor.min() >= 0
        np.testing.assert_allclose(regressor.sum(axis=1), 1, atol=1e-6)
        assert (regressor > 0).sum(axis=1).max() <= 40


def test_weights_are_shares():
    assert FILE.weights.min() >= 0
    np.testing.assert_allclose(FILE.weights.sum(axis=1), 1, atol=1e-6)
    assert (FILE.weights.max(axis=0) > 0.4).all(), "every joint moves something"


def test_shape_directions_are_orthogonal_and_ordered():
    flat = FILE.shapedirs.reshape(-1, 10).astype(float)
    product = flat.T @ flat
    scale = np.sqrt(np.outer(np.diag(product), np.diag(product)))
    assert np.abs(product / scale - np.eye(10)).max() < 1e-3
    assert (np.diff(np.diag(product)) < 0).all()


def test_ten_directions_carry_999_of_1000_parts_of_the_variance():
    with np.load(PATH) as stored:
        assert stored["variance_share"] > 0.999


def test_normal_betas_give_adults():
    vertices_m = load_body(PATH).shaped_vertices_m(random_betas(300)).double().numpy()
    stature_m = np.ptp(vertices_m[..., 1], axis=1)
    assert 1.66 < stature_m.mean() < 1.74
    assert 0.06 < stature_m.std() < 0.11
    assert stature_m.min() > 1.35 and stature_m.max() < 2.1
    mass_kg = np.array([1000 * volume_m3(person) for person in vertices_m[:100]])
    assert mass_kg.min() > 35 and mass_kg.max() < 130


def test_h36m_joints_follow_the_skeleton_in_any_pose():
    body = load_body(PATH)
    generator = torch.Generator().manual_seed(1)
    theta = 0.35 * torch.randn(40, 72, generator=generator)
    output = body(rotations_from_theta(theta), random_betas(40), torch.zeros(40, 3))
    same = [name for name in H36M_17 if name in SMPL_24 and name != "pelvis"]
    h36m_m = body.h36m_joints_m(output.vertices_m)[:, joint_rows(tuple(same))]
    distance_m = (h36m_m - output.joints_m[:, joint_rows(tuple(same), SMPL_24)]).norm(dim=-1)
    assert distance_m.mean() < 0.01, f"{1000 * distance_m.mean():.1f} mm, expected below 10 mm"


def test_h36m_bones_have_human_lengths():
    """Beside Human3.6M's own subjects: thigh 0.44, shank 0.45, upper arm 0.28, forearm 0.25, hip to pelvis 0.13 m."""
    points_m = FILE.J_regressor_h36m @ TEMPLATE_M
    length_m = {
        name: np.linalg.norm(points_m[row] - points_m[H36M_17_PARENTS[row]]) for row, name in enumerate(H36M_17) if row
    }
    limits = {
        "left_hip": (0.08, 0.15), "left_knee": (0.36, 0.47), "left_ankle": (0.36, 0.47), "spine": (0.2, 0.3),
        "thorax": (0.2, 0.3), "nose": (0.09, 0.18), "head_top": (0.1, 0.2), "left_shoulder": (0.12, 0.21),
        "left_elbow": (0.23, 0.31), "left_wrist": (0.21, 0.28),
    }  # fmt: skip
    for name, (shortest, longest) in limits.items():
        assert shortest < length_m[name] < longest, f"{name}: {length_m[name]:.3f} m"


# ------------------------------------------------------------------------------------------------------------ builder


def icosphere():
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(sphere.vertices), np.asarray(sphere.faces)


def test_decimating_a_sphere_keeps_it_closed_and_round():
    vertices, faces = icosphere()
    fewer = decimate(vertices, faces, np.zeros(len(vertices), bool), 200)
    edges = Counter(
        tuple(sorted(edge)) for face in fewer.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)
    )
    assert len(np.unique(fewer)) == 200 and set(edges.values()) == {2}
    centres = vertices[fewer].mean(axis=1)
    assert np.linalg.norm(centres, axis=1).min() > 0.96


def test_decimating_a_thin_ring_does_not_pinch_it():
    import trimesh

    ring = trimesh.creation.torus(1.0, 0.01, major_sections=20, minor_sections=3)
    fewer = decimate(np.asarray(ring.vertices), np.asarray(ring.faces), np.zeros(len(ring.vertices), bool), 20)
    edges = Counter(
        tuple(sorted(edge)) for face in fewer.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)
    )
    assert set(edges.values()) == {2}
    assert len(np.unique(fewer)) - len(edges) + len(fewer) == 0


def test_decimating_a_cube_of_many_flat_triangles_keeps_its_volume_and_area():
    import trimesh

    cube = trimesh.creation.box().subdivide().subdivide().subdivide()
    vertices = np.asarray(cube.vertices)
    fewer = vertices[decimate(vertices, np.asarray(cube.faces), np.zeros(len(vertices), bool), 60)]
    normals = np.cross(fewer[:, 1] - fewer[:, 0], fewer[:, 2] - fewer[:, 0])
    assert np.linalg.norm(normals, axis=1).sum() / 2 == pytest.approx(6)
    assert np.einsum("fc,fc->", fewer[:, 0], normals) / 6 == pytest.approx(1)


def test_decimating_half_a_sphere_leaves_its_border_alone():
    vertices, faces = icosphere()
    half = faces[(vertices[faces][..., 0] > -1e-9).all(axis=1)]
    edges = Counter(
        tuple(sorted(edge)) for face in half.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)
    )
    border = {edge for edge, count in edges.items() if count == 1}
    locked = np.zeros(len(vertices), bool)
    locked[list({vertex for edge in border for vertex in edge})] = True
    fewer = decimate(vertices, half, locked, 150)
    after = Counter(
        tuple(sorted(edge)) for face in fewer.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)
    )
    assert {edge for edge, count in after.items() if count == 1} == border
    inside = [edge for edge in after if edge not in border]
    assert not [edge for edge in inside if locked[list(edge)].all() and edge not in edges]


def test_every_bone_is_shared_out_wholly():
    labels = ["root", "spine05", "neck02", "upperleg01.L", "toe3-2.R", "finger1-2.L", "finger4-3.R", "eye.L", "wrist.R"]
    shares = joint_shares(labels)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    for label, joint in (("upperleg01.L", "left_hip"), ("toe3-2.R", "right_foot"), ("finger1-2.L", "left_wrist"),
                         ("finger4-3.R", "right_hand"), ("eye.L", "head"), ("wrist.R", "right_wrist")):  # fmt: skip
        assert shares[labels.index(label), SMPL_24.index(joint)] == 1


@pytest.mark.slow
def test_adults_who_were_not_fitted_have_normal_betas_and_leave_little_over():
    pytest.importorskip("anny")
    from models.open_body.build import random_people
    from models.open_body.source import load_anny, outer_surface

    model = load_anny()
    people = random_people(model, outer_surface(model, 7000), 200, np.random.default_rng(99))
    offsets = (people.vertices_m - TEMPLATE_M).reshape(200, -1)
    directions = FILE.shapedirs.reshape(-1, 10).astype(float)
    betas = offsets @ directions / (directions**2).sum(axis=0)
    assert np.abs(betas.mean(axis=0)).max() < 0.25
    assert betas.std(axis=0).min() > 0.8 and betas.std(axis=0).max() < 1.2
    left_over = offsets - betas @ directions.T
    assert (left_over**2).sum() / (offsets**2).sum() < 0.0012
    joints_m = (FILE.J_regressor @ people.vertices_m) - people.joints_m
    assert np.linalg.norm(joints_m, axis=-1).mean() < 0.005


@pytest.mark.slow
def test_the_stored_file_is_what_the_command_makes(tmp_path):
    pytest.importorskip("anny")
    from models.open_body.build import OpenBodyConfig, main

    main(OpenBodyConfig(output=tmp_path / "body.npz"))
    made = read_body_file(tmp_path / "body.npz")
    np.testing.assert_array_equal(made.faces, FILE.faces)
    for name in ("v_template", "shapedirs", "weights", "J_regressor", "J_regressor_h36m"):
        np.testing.assert_allclose(getattr(made, name), getattr(FILE, name), atol=2e-5, err_msg=name)
