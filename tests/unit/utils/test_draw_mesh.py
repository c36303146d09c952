import numpy as np
import pytest

from utils.draw_mesh import draw_mesh, plain, render_mesh, resolve, shade, vertex_normals


def canvas(height: int, width: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((height, width, channels), np.float32), np.full((height, width), np.inf, np.float32)


def slow_draw(
    height: int, width: int, vertices_px: np.ndarray, faces: np.ndarray, colours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve for barycentric coordinates at every pixel centre of every face."""
    image, depth = np.zeros((height, width, 3)), np.full((height, width), np.inf)
    for face in faces:
        a, b, c = vertices_px[face, :2]
        matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        for row in range(height):
            for column in range(width):
                share = np.linalg.solve(matrix, [column + 0.5, row + 0.5, 1])
                if (share >= 0).all():
                    distance = 1 / (share / vertices_px[face, 2]).sum()
                    if distance < depth[row, column]:
                        depth[row, column] = distance
                        image[row, column] = (share / vertices_px[face, 2]) @ colours[face] * distance
    return image, depth


def test_a_right_triangle_takes_exactly_the_pixel_centres_inside_it():
    image, depth = canvas(4, 4)
    vertices_px = np.array([[0.0, 0, 2], [4, 0, 2], [0, 4, 2]])
    covered = draw_mesh(image, depth, vertices_px, np.array([[0, 1, 2]]), np.ones((3, 3)))
    # Centres (x, y) with x + y < 4; those on the slanted right edge belong to the neighbour.
    expected = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(covered, expected)
    np.testing.assert_allclose(depth[expected], 2)
    assert np.isinf(depth[~expected]).all()


def test_values_are_interpolated_with_perspective():
    image, depth = canvas(1, 3, 1)
    # Depth 1 at x = 0 and 3 at x = 3: at x = 1.5 the inverse depth is (1 + 1/3) / 2, and a value that grows
    # from 0 to 1 along the surface is (1/3) / 2 divided by that: 1/4.
    vertices_px = np.array([[0.0, -5, 1], [0, 5, 1], [3, -5, 3], [3, 5, 3]])
    draw_mesh(image, depth, vertices_px, np.array([[0, 1, 2], [2, 1, 3]]), np.array([[0.0], [0], [1], [1]]))
    assert image[0, 1, 0] == pytest.approx(0.25, abs=1e-5)
    assert depth[0, 1] == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_face_wins_in_any_order(order: tuple[int, int]):
    image, depth = canvas(4, 4)
    vertices_px = np.array([[0.0, 0, 2], [9, 0, 2], [0, 9, 2], [0, 0, 1], [9, 0, 1], [0, 9, 1]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])[list(order)]
    draw_mesh(image, depth, vertices_px, faces, np.repeat(np.eye(3)[:2], 3, axis=0))
    np.testing.assert_allclose(image[1, 1], [0, 1, 0])


def test_a_second_mesh_behind_the_first_changes_nothing():
    image, depth = canvas(4, 4)
    face = np.array([[0, 1, 2]])
    draw_mesh(image, depth, np.array([[0.0, 0, 1], [9, 0, 1], [0, 9, 1]]), face, np.ones((3, 3)))
    before = image.copy()
    covered = draw_mesh(image, depth, np.array([[0.0, 0, 2], [9, 0, 2], [0, 9, 2]]), face, np.zeros((3, 3)))
    assert not covered.any()
    np.testing.assert_array_equal(image, before)


def test_random_triangles_agree_with_the_slow_twin():
    rng = np.random.default_rng(0)
    vertices_px = np.column_stack([np.round(rng.uniform(-3, 19, (30, 2)) * 256) / 256 + 1 / 512, rng.uniform(1, 5, 30)])
    vertices_px[:, :2] = np.floor(vertices_px[:, :2] * 256) / 256
    faces, colours = rng.integers(0, 30, (12, 3)), rng.uniform(size=(30, 3))
    image, depth = canvas(16, 16)
    draw_mesh(image, depth, vertices_px, faces, colours)
    slow_image, slow_depth = slow_draw(16, 16, vertices_px, faces, colours)
    np.testing.assert_array_equal(np.isinf(depth), np.isinf(slow_depth))
    np.testing.assert_allclose(image, slow_image, atol=1e-4)


def test_a_shared_edge_is_drawn_once_without_gap():
    rng = np.random.default_rng(1)
    tried = 0
    while tried < 40:
        # A fan around a point, whose corners lie on pixel centres as often as not.
        ring = np.round(rng.uniform(2, 14, (1, 2)) * 2) / 2
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        outer = 8 + 40 * np.column_stack([np.cos(angles), np.sin(angles)])
        if np.diff(angles, append=angles[0] + 2 * np.pi).max() > 2.4:
            continue  # the fan would not cover the whole image
        tried += 1
        vertices_px = np.column_stack([np.vstack([ring, np.round(outer * 2) / 2]), np.ones(8)])
        count = np.zeros((16, 16))
        for i in range(7):
            image, depth = canvas(16, 16)
            face = np.array([[0, 1 + i, 1 + (i + 1) % 7]])
            count += draw_mesh(image, depth, vertices_px, face, np.ones((8, 3)))
        np.testing.assert_array_equal(count, 1)


def test_culling_keeps_the_faces_seen_from_outside():
    # Counter-clockwise as seen (y down): this face looks at the camera.
    vertices_px = np.array([[0.0, 0, 1], [0, 8, 1], [8, 0, 1]])
    for face, is_seen in (([0, 1, 2], True), ([0, 2, 1], False)):
        image, depth = canvas(4, 4)
        assert draw_mesh(image, depth, vertices_px, np.array([face]), np.ones((3, 3)), cull=True).any() == is_seen


def test_a_vertex_behind_the_camera_is_refused():
    image, depth = canvas(2, 2)
    with pytest.raises(ValueError, match="1 vertices are behind"):
        draw_mesh(image, depth, np.array([[0.0, 0, 1], [1, 0, -1], [0, 1, 1]]), np.array([[0, 1, 2]]), np.ones((3, 3)))


def test_normals_of_an_octahedron_point_outwards():
    points = np.vstack([np.eye(3), -np.eye(3)])
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]])
    np.testing.assert_allclose(vertex_normals(points, faces), points, atol=1e-12)


def test_light_is_full_towards_the_lamp_and_ambient_behind():
    normals = np.array([[0.0, 0, 1], [0, 0, -1], [0, 1, 0]])
    np.testing.assert_allclose(shade(normals, np.array([0, 0, 5.0]), ambient=0.3), [1, 0.3, 0.3])


def test_resolving_averages_only_the_covered_samples():
    image, covered = np.zeros((2, 2, 1), np.float32), np.array([[True, True], [True, False]])
    image[..., 0] = [[1, 2], [3, 99]]
    mean, coverage = resolve(image, covered, 2)
    assert mean[0, 0, 0] == 2
    assert coverage[0, 0] == 0.75


def test_a_half_covered_pixel_is_half_background():
    # A square whose right edge lies in the middle of pixel 1, facing the light.
    x = 1.5
    vertices_cam_m = np.array([[0.0, 0, 1], [x, 0, 1], [x, 4, 1], [0, 4, 1]])
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    image = render_mesh(vertices_cam_m, faces, np.zeros((4, 3)), np.eye(3), plain(4, 4, (200, 100, 50)))
    np.testing.assert_array_equal(image[1], [[0, 0, 0], [100, 50, 25], [200, 100, 50], [200, 100, 50]])
