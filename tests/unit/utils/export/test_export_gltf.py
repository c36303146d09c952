import io
import json
import struct

import numpy as np
import pytest
import torch
import trimesh

from tests.helpers.moving_body import bent_stick, lively_rig, open_body, stick_motion, turn
from utils.export.gltf import Binary, linear_rgb, skin_of, write_animated_glb, write_glb, write_static_glb
from utils.export.rig import rig_of, to_y_up
from utils.skeleton import SMPL_24

TYPES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
DTYPES = {5126: np.float32, 5125: np.uint32, 5121: np.uint8}


def parts(path) -> tuple[dict, bytes]:
    """Take a .glb apart as the specification lays it out."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    text_length, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and text_length % 4 == 0
    start = 20 + text_length
    binary_length, kind = struct.unpack_from("<I4s", content, start)
    assert kind == b"BIN\0" and binary_length % 4 == 0 and start + 8 + binary_length == len(content)
    return json.loads(content[20:start]), content[start + 8 :]


def values(path, number: int) -> np.ndarray:
    described, binary = parts(path)
    accessor = described["accessors"][number]
    view = described["bufferViews"][accessor["bufferView"]]
    columns = TYPES[accessor["type"]]
    flat = np.frombuffer(binary, DTYPES[accessor["componentType"]], accessor["count"] * columns, view["byteOffset"])
    return flat.reshape(-1, columns)


@pytest.fixture(scope="module")
def animated(tmp_path_factory):
    rig, motion, vertices_cam_m, _ = lively_rig(5)
    path = tmp_path_factory.mktemp("gltf") / "body.glb"
    return path, rig, motion, vertices_cam_m, write_animated_glb(path, rig, motion)


def test_every_array_starts_at_a_multiple_of_four_and_none_overlap(tmp_path):
    binary = Binary()
    for count in (1, 2, 3, 5):
        binary.add(np.full((count, 3), count, np.uint8), "VEC3")
    binary.add(np.array([7.0], np.float32), "SCALAR", with_limits=True)
    starts = [view["byteOffset"] for view in binary.views]
    assert starts == [0, 4, 12, 24, 40]
    write_glb(tmp_path / "a.glb", {"accessors": binary.accessors, "bufferViews": binary.views}, binary)
    assert [values(tmp_path / "a.glb", row).max() for row in range(5)] == [1, 2, 3, 5, 7]


def test_limits_of_the_vertices_are_theirs(animated):
    path, rig, *_ = animated
    described, _ = parts(path)
    position = described["accessors"][described["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    np.testing.assert_array_equal(position["min"], rig.vertices_m.astype(np.float32).min(axis=0))
    np.testing.assert_array_equal(position["max"], rig.vertices_m.astype(np.float32).max(axis=0))


def test_inverse_bind_matrices_take_each_joint_at_rest_to_the_origin(animated):
    path, rig, *_ = animated
    described, _ = parts(path)
    matrices = values(path, described["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4)
    by_rows = matrices.transpose(0, 2, 1)  # the file has columns
    moved = np.einsum("jab,jb->ja", by_rows, np.c_[rig.joints_m, np.ones(24)])
    np.testing.assert_allclose(moved, np.tile([0, 0, 0, 1.0], (24, 1)), atol=1e-6)


def test_bones_have_the_names_and_the_parents_of_the_body(animated):
    path, rig, *_ = animated
    nodes = parts(path)[0]["nodes"]
    assert tuple(node["name"] for node in nodes[1:]) == SMPL_24
    children = {1 + joint: [1 + c for c in range(24) if rig.parents[c] == joint] for joint in range(24)}
    assert {k: nodes[k].get("children", []) for k in children} == children
    np.testing.assert_allclose(nodes[1]["translation"], rig.joints_m[0], err_msg="at rest, not in the first frame")


def test_at_most_four_weights_per_vertex_and_they_sum_to_one(animated):
    path, rig, *_ = animated
    attributes = parts(path)[0]["meshes"][0]["primitives"][0]["attributes"]
    weights, joints = values(path, attributes["WEIGHTS_0"]), values(path, attributes["JOINTS_0"])
    assert weights.shape == joints.shape == (len(rig.vertices_m), 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (joints[weights == 0] == 0).all()
    rows = np.arange(len(weights))
    np.testing.assert_array_equal(joints[:, 0], rig.weights.argmax(axis=1))
    assert (weights[:, 0] >= rig.weights[rows, joints[:, 0]] - 1e-6).all(), "scaled up, never down"


def test_keyframes_lie_at_the_frame_rate(animated):
    path, _, motion, *_ = animated
    animation = parts(path)[0]["animations"][0]
    assert len(animation["channels"]) == 25 and {s["interpolation"] for s in animation["samplers"]} == {"LINEAR"}
    np.testing.assert_allclose(values(path, animation["samplers"][0]["input"])[:, 0], np.arange(5) / 25, atol=1e-7)
    np.testing.assert_allclose(values(path, animation["samplers"][0]["output"]), motion.pelvis_m, atol=1e-5)


def test_a_right_angle_about_z_is_written_as_a_quaternion_with_w_last(tmp_path):
    write_animated_glb(tmp_path / "stick.glb", bent_stick(), stick_motion({1: turn("z", 90)}))
    described, _ = parts(tmp_path / "stick.glb")
    np.testing.assert_allclose(described["nodes"][2]["rotation"], [0, 0, 0, 1], atol=1e-12, err_msg="straight at rest")
    of_b = next(c for c in described["animations"][0]["channels"] if c["target"] == {"node": 2, "path": "rotation"})
    output = described["animations"][0]["samplers"][of_b["sampler"]]["output"]
    np.testing.assert_allclose(values(tmp_path / "stick.glb", output), [[0, 0, 0.5**0.5, 0.5**0.5]], atol=1e-7)


def test_the_loss_of_weights_is_zero_for_four_and_measured_for_five(tmp_path):
    rig = bent_stick()
    motion = stick_motion({1: turn("z", 90)})
    assert skin_of(rig, motion).largest_change_m == 0.0
    # Five joints in one place, of which one turns; a vertex 1 m away hangs on all of them alike.
    names, joints_m = tuple("abcde"), np.zeros((5, 3))
    star = rig._replace(vertices_m=np.tile([0.0, 1, 0], (3, 1)), joints_m=joints_m, weights=np.full((3, 5), 0.2),
                        parents=(-1, 0, 0, 0, 0), names=names)  # fmt: skip
    rotations = np.tile(np.eye(3), (1, 5, 1, 1))
    rotations[0, 4] = turn("z", 90)
    skin = skin_of(star, motion._replace(rotations=rotations))
    # All five: 0.8 (0, 1) + 0.2 (-1, 0).  The first four: (0, 1).  The difference is 0.2 sqrt(2).
    assert skin.largest_change_m == pytest.approx(0.2 * 2**0.5)


def test_the_loss_on_the_open_body_is_written_into_the_file(animated):
    path, *_, loss_m = animated
    about = parts(path)[0]["asset"]["extras"]
    assert about["four_weights_move_the_surface_by_at_most_m"] == loss_m
    assert 0 < loss_m < 0.02, f"{1000 * loss_m:.1f} mm"
    assert about["pose_blend_shapes"] == "the body has none" and "y up" in about["frame"]


def test_a_body_with_pose_directions_is_exported_with_a_word_on_them(tmp_path):
    rig = rig_of(open_body(), torch.zeros(10).double())._replace(has_pose_offsets=True)
    write_animated_glb(tmp_path / "a.glb", rig, stick_motion({})._replace(rotations=np.tile(np.eye(3), (1, 24, 1, 1))))
    assert parts(tmp_path / "a.glb")[0]["asset"]["extras"]["pose_blend_shapes"] == "left out"


def test_colours_of_the_screen_become_light():
    np.testing.assert_allclose(linear_rgb((0.0, 0.5, 1.0)), [0, 0.21404, 1], atol=1e-5)


def test_trimesh_reads_the_animated_body_with_its_bones(animated):
    path, rig, *_ = animated
    scene = trimesh.load(path)
    mesh = scene.geometry["body"]
    np.testing.assert_allclose(mesh.vertices, rig.vertices_m, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, rig.faces)
    assert mesh.is_watertight and mesh.volume > 0.03
    assert set(SMPL_24) <= set(scene.graph.nodes)
    np.testing.assert_allclose(scene.graph.get("pelvis")[0][:3, 3], rig.joints_m[0], atol=1e-6)


def test_trimesh_reads_the_posed_mesh(tmp_path):
    _, _, vertices_cam_m, _ = lively_rig(1)
    faces = open_body().faces.numpy()
    write_static_glb(tmp_path / "posed.glb", to_y_up(vertices_cam_m[0]), faces)
    mesh = trimesh.load(tmp_path / "posed.glb").geometry["body"]
    np.testing.assert_allclose(mesh.vertices, to_y_up(vertices_cam_m[0]), atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, faces)
    assert mesh.is_watertight
    normals = mesh.vertex_normals
    assert np.median(np.einsum("vc,vc->v", normals, trimesh.Trimesh(mesh.vertices, faces).vertex_normals)) > 0.99
    colour = mesh.visual.material.baseColorFactor
    assert colour[0] > colour[1] > colour[2], "skin is reddish"


def test_a_vertex_of_no_face_gets_a_normal_of_length_one(tmp_path):
    write_static_glb(
        tmp_path / "a.glb", np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]), np.array([[0, 1, 2]])
    )
    np.testing.assert_allclose(np.linalg.norm(values(tmp_path / "a.glb", 1), axis=1), 1, atol=1e-6)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path):
    with pytest.raises(ValueError):
        write_static_glb(tmp_path / "a.glb", np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_memory_is_what_trimesh_reads_from_disk(animated):
    path, *_ = animated
    scene = trimesh.load(io.BytesIO(path.read_bytes()), file_type="glb")
    assert len(scene.geometry) == 1
