import numpy as np
import pytest
import trimesh

from tests.helpers.moving_body import lively_rig, open_body
from utils.export.rig import to_y_up
from utils.export.tables import write_mesh, write_mesh_frames
from utils.machine import VERSION


@pytest.mark.parametrize("ending", ["obj", "ply", "glb"])
def test_trimesh_reads_the_same_closed_surface(tmp_path, ending):
    _, _, vertices_cam_m, _ = lively_rig(1)
    vertices_m, faces = to_y_up(vertices_cam_m[0]), open_body().faces.numpy()
    write_mesh(tmp_path / f"body.{ending}", vertices_m, faces)
    mesh = trimesh.load(tmp_path / f"body.{ending}", force="mesh", process=False)
    np.testing.assert_allclose(mesh.vertices, vertices_m, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, faces)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0.03
    assert list(tmp_path.iterdir()) == [tmp_path / f"body.{ending}"]


def test_an_obj_counts_from_one_and_a_ply_has_a_colour(tmp_path):
    vertices_m, faces = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0.25]]), np.array([[0, 1, 2]])
    write_mesh(tmp_path / "a.obj", vertices_m, faces)
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert {"# unit: metres", "# made_by: pose-from-views " + VERSION} <= set(lines)
    assert [line for line in lines if not line.startswith("#")] == [
        "o body", "v 0.000000 0.000000 0.000000", "v 1.000000 0.000000 0.000000", "v 0.000000 1.000000 0.250000",
        "f 1 2 3",
    ]  # fmt: skip
    write_mesh(tmp_path / "a.ply", vertices_m, faces)
    mesh = trimesh.load(tmp_path / "a.ply", process=False)
    assert mesh.visual.vertex_colors[0].tolist() == [222, 176, 153, 255]


def test_the_surface_of_every_frame_is_written_as_it_comes(tmp_path):
    faces = np.array([[0, 1, 2]])
    frames = (np.full((3, 3), float(k)) for k in range(3))
    assert write_mesh_frames(tmp_path, frames, faces, "ply") == 3
    names = [f"frame_{k:06d}.ply" for k in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert trimesh.load(tmp_path / names[2], process=False).vertices.tolist() == [[2, 2, 2]] * 3
    assert write_mesh_frames(tmp_path, iter([]), faces) == 0


def test_other_endings_and_vertices_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.obj, \.ply, \.glb"):
        write_mesh(tmp_path / "a.fbx", np.zeros((3, 3)), np.array([[0, 1, 2]]))
    for ending in ("obj", "ply", "glb"):
        with pytest.raises(ValueError, match="not finite"):
            write_mesh(tmp_path / f"a.{ending}", np.full((3, 3), np.inf), np.array([[0, 1, 2]]))
    assert list(tmp_path.iterdir()) == []
