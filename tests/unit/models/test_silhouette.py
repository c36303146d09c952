"""One set of facts for every backend; Triton without a GPU interprets its kernels slowly: tiny sizes."""

import functools
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from config import ROOT, Paths
from models.silhouette import Topology, _choose, silhouette
from models.smpl import load_body

CAN_RUN_TRITON = importlib.util.find_spec("triton") is not None and (
    torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"
)
WITHOUT_TRITON = "Triton needs a GPU, or TRITON_INTERPRET=1 in front of pytest, which must be set before it is imported"
TRITON = pytest.param("triton", marks=pytest.mark.skipif(not CAN_RUN_TRITON, reason=WITHOUT_TRITON))
DEVICES = {"torch": "cpu", "numba": "cpu", "triton": "cuda" if torch.cuda.is_available() else "cpu"}
every_backend = pytest.mark.parametrize("backend", ["torch", "numba", TRITON])
fast_backend = pytest.mark.parametrize("backend", ["torch", "numba"])
SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])


def draw(backend, xy_px, faces, size=8, samples=2, views=None):
    """Coverage (H, W) of one mesh on a square image, and the vertices as a leaf."""
    vertices = torch.nn.functional.pad(torch.as_tensor(xy_px, dtype=torch.float32), (0, 1), value=2.0)[None]
    vertices = vertices.to(DEVICES[backend]).requires_grad_()
    coverage = silhouette(vertices, Topology(faces), size, size, samples, backend)
    return coverage[0].cpu(), vertices


def area_gradient(backend, xy_px, faces, weights=None, size=8, samples=2):
    coverage, vertices = draw(backend, xy_px, faces, size, samples)
    (coverage if weights is None else coverage * weights).sum().backward()
    return vertices.grad[0].cpu()


def corners(left, top, right, bottom):
    return torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]])


def slow_coverage(xy_px, faces, size, n=16):
    """n x n hard samples in each pixel, all faces, one after the other, each in the box about its corners."""
    xy = np.asarray(xy_px, dtype=np.float64)
    place = (np.arange(size * n) + 0.5) / n
    covered = np.zeros((size * n, size * n), bool)
    for a, b, c in xy[np.asarray(faces)]:
        low, high = np.min([a, b, c], axis=0), np.max([a, b, c], axis=0)
        first, behind = np.searchsorted(place, low), np.searchsorted(place, high, "right")
        columns, rows = slice(first[0], behind[0]), slice(first[1], behind[1])
        x, y = np.meshgrid(place[columns], place[rows])
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        if (b[0] - a[0]) * (c[1] - a[1]) != (b[1] - a[1]) * (c[0] - a[0]):
            inside = np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
            covered[rows, columns] |= inside
    return covered.reshape(size, n, size, n).mean((1, 3))


def ball(middle_px, radius_px, rings=8, around=12):
    """A closed, slightly lumpy surface seen from the front: x, y and faces."""
    tilt, turn = np.meshgrid(
        np.pi * (np.arange(rings) + 0.5) / rings, 2 * np.pi * np.arange(around) / around, indexing="ij"
    )
    radius = radius_px * (1 + 0.15 * np.sin(3 * turn) * np.sin(2 * tilt))
    xy = np.stack([radius * np.sin(tilt) * np.cos(turn), radius * np.cos(tilt)], axis=-1).reshape(-1, 2)
    poles = np.array([[0.0, radius_px], [0.0, -radius_px]])
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    faces = [np.stack([a, b, a + around], -1).reshape(-1, 3), np.stack([b, b + around, a + around], -1).reshape(-1, 3)]
    ring, next_on_ring, last = np.arange(around), (np.arange(around) + 1) % around, (rings - 1) * around
    faces.append(np.stack([next_on_ring, ring, np.full(around, rings * around)], -1))
    faces.append(np.stack([last + ring, last + next_on_ring, np.full(around, rings * around + 1)], -1))
    return torch.tensor(np.concatenate([xy, poles]) + middle_px), torch.tensor(np.concatenate(faces))


def soup(num_vertices=14, num_faces=20, size=12, on_lines=False, seed=0):
    """Random triangles, partly outside; with `on_lines` every vertex lies on scan lines of both families."""
    generator = torch.Generator().manual_seed(seed)
    xy = torch.rand(num_vertices, 2, generator=generator) * (size + 4) - 2
    faces = torch.randint(0, num_vertices, (num_faces, 3), generator=generator)
    return (xy * 2).floor() / 2 + 0.25 if on_lines else xy, faces


def turned_body(size, yaw_rad=0.0, shift_px=(0.0, 0.0)):
    body = load_body(Paths().models_smpl_location)
    x, y, z = body.template_m.unbind(-1)
    turned = torch.stack([np.cos(yaw_rad) * x + np.sin(yaw_rad) * z, -y, np.cos(yaw_rad) * z - np.sin(yaw_rad) * x], -1)
    middle = (turned.amax(0) + turned.amin(0)) / 2
    scale = 0.8 * size / (turned.amax(0) - turned.amin(0))[:2].max()
    return (turned - middle) * scale + torch.tensor([size / 2 + shift_px[0], size / 2 + shift_px[1], 300.0]), body.faces


@every_backend
def test_a_rectangle_on_pixel_borders_covers_them_whole(backend):
    coverage, _ = draw(backend, corners(2.0, 1.0, 5.0, 4.0), SQUARE)
    expected = torch.zeros(8, 8)
    expected[1:4, 2:5] = 1
    torch.testing.assert_close(coverage, expected, rtol=0, atol=1e-5)


@every_backend
def test_a_rectangle_half_a_pixel_off_covers_halves_and_a_quarter(backend):
    coverage, _ = draw(backend, corners(2.5, 1.5, 5.0, 4.0), SQUARE)
    expected = torch.zeros(8, 8)
    expected[1:4, 2:5] = 1
    expected[1:4, 2] *= 0.5
    expected[1, 2:5] *= 0.5
    torch.testing.assert_close(coverage, expected, rtol=0, atol=1e-5)


@fast_backend
def test_sides_on_scan_lines_count_once(backend):
    # Columns of lines lie at 2.25 and 5.25: the half-open rule takes the first and leaves the second.  Rows are
    # exact: 0.75 and 0.25.  The mean of both scans is 0.875 and 0.125, and the area is still 3 pixels a row.
    coverage, _ = draw(backend, corners(2.25, 1.0, 5.25, 4.0), SQUARE)
    torch.testing.assert_close(coverage[2], torch.tensor([0, 0, 0.875, 1, 1, 0.125, 0, 0]))
    assert coverage.sum().item() == pytest.approx(9, abs=1e-4)


@every_backend
def test_the_area_of_a_triangle_is_exact(backend):
    coverage, _ = draw(backend, [[1.0, 1], [7, 1], [1, 7]], torch.tensor([[0, 1, 2]]))
    assert coverage.sum().item() == pytest.approx(18, abs=1e-4)
    torch.testing.assert_close(coverage, coverage.T)


@every_backend
def test_the_gradient_of_an_area_is_the_shoelace_formulas(backend):
    # d(area)/dx_i = (y_next - y_before) / 2, d(area)/dy_i = (x_before - x_next) / 2; whole pixels make the sum exact.
    xy = torch.tensor([[1.0, 1], [7, 3], [4, 7]])
    following, before = xy.roll(-1, 0), xy.roll(1, 0)
    expected = torch.stack([following[:, 1] - before[:, 1], before[:, 0] - following[:, 0], torch.zeros(3)], -1) / 2
    torch.testing.assert_close(area_gradient(backend, xy, torch.tensor([[0, 1, 2]])), expected, atol=1e-5, rtol=0)


@fast_backend
@pytest.mark.parametrize("seed", range(3))
def test_random_triangles_match_the_slow_twin(backend, seed):
    xy, faces = soup(seed=seed)
    coverage, _ = draw(backend, xy, faces, size=12, samples=16)
    difference = (coverage - torch.tensor(slow_coverage(xy, faces, 12))).abs()
    assert difference.max() < 0.06, f"{difference.max():.3f} of a pixel, expected below 0.06"
    assert difference.mean() < 0.005


@fast_backend
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_closed_surface_matches_the_slow_twin(backend, samples):
    xy, faces = ball((11.0, 10.0), 7.3)
    coverage, _ = draw(backend, xy, faces, size=20, samples=samples)
    true = slow_coverage(xy, faces, 20)
    assert abs(float(coverage.detach().sum()) - true.sum()) / true.sum() < 0.02 / samples
    assert np.abs(coverage.detach().numpy() - true).max() < 0.45 / samples


@fast_backend
def test_cutting_a_square_into_tiles_changes_nothing(backend):
    # All vertices lie on scan lines, where a crossing counted twice or not at all would smear a whole line.
    place = torch.arange(1.25, 7, 0.5)
    n = len(place)
    grid = torch.cartesian_prod(place, place)
    i, j = torch.meshgrid(torch.arange(n - 1), torch.arange(n - 1), indexing="ij")
    a = (i * n + j).reshape(-1)
    faces = torch.cat([torch.stack([a, a + 1, a + n], -1), torch.stack([a + 1, a + n + 1, a + n], -1)])
    whole, _ = draw(backend, corners(1.25, 1.25, 6.75, 6.75), SQUARE)
    assert torch.equal(draw(backend, grid, faces)[0], whole)
    apart = draw(backend, grid[faces.reshape(-1)], torch.arange(3 * len(faces)).reshape(-1, 3))[0]
    assert torch.equal(apart, whole), "parts that touch without sharing vertices have a seam"


@every_backend
def test_what_lies_outside_the_frame_changes_nothing_inside(backend):
    xy, faces = ball((3.0, 6.5), 4.0, rings=4, around=6)
    larger, _ = draw(backend, xy + 8, faces, size=24, samples=1)
    coverage, vertices = draw(backend, xy, faces, samples=1)
    torch.testing.assert_close(coverage, larger[8:16, 8:16], rtol=0, atol=1e-5)
    coverage.sum().backward()
    assert vertices.grad.abs().sum() > 0


@every_backend
@pytest.mark.parametrize("shift_px", [(-30.0, 0.0), (30.0, 0.0), (0.0, -30.0), (0.0, 30.0), (-1e6, 1e6)])
def test_a_mesh_beside_the_frame_draws_and_pulls_nothing(backend, shift_px):
    coverage, vertices = draw(backend, corners(2.0, 1.0, 5.0, 4.0) + torch.tensor(shift_px), SQUARE, samples=1)
    coverage.sum().backward()
    assert coverage.abs().max() == 0
    assert vertices.grad.abs().max() == 0


@fast_backend
def test_a_mesh_over_the_whole_frame_covers_it_and_pulls_nothing(backend):
    coverage, vertices = draw(backend, corners(-5.0, -9.0, 30.0, 20.0), SQUARE)
    coverage.sum().backward()
    assert torch.equal(coverage, torch.ones(8, 8))
    assert vertices.grad.abs().max() == 0


@fast_backend
def test_open_surfaces_are_covered_as_closed_ones(backend):
    xy, faces = ball((11.0, 10.0), 7.3)
    front = torch.tensor(slow_coverage(xy, faces[::2], 20))
    coverage, _ = draw(backend, xy, faces[::2], size=20, samples=8)
    assert (coverage - front).abs().max() < 0.12


@every_backend
def test_flipped_and_doubled_faces_change_nothing(backend):
    xy, faces = ball((4.1, 4.2), 3.1, rings=3, around=5)
    weights = torch.rand(8, 8)
    expected, _ = draw(backend, xy, faces, samples=1)
    pulled = area_gradient(backend, xy, faces, weights, samples=1)
    flipped = faces.clone()
    flipped[::3] = flipped[::3].flip(1)
    for others in (flipped, torch.cat([faces, faces[:7]]), torch.cat([faces, faces.flip(1)])):
        assert torch.equal(draw(backend, xy, others, samples=1)[0], expected)
        torch.testing.assert_close(area_gradient(backend, xy, others, weights, samples=1), pulled)


@fast_backend
def test_degenerate_faces_change_nothing(backend):
    xy, faces = ball((4.1, 4.2), 3.1)
    more = torch.cat([faces, torch.tensor([[0, 0, 9], [5, 9, 5], [7, 7, 7]])])
    assert torch.equal(draw(backend, xy, more)[0], draw(backend, xy, faces)[0])


@every_backend
@pytest.mark.parametrize("pages", [3, 9, 20])
def test_any_number_of_faces_may_share_an_edge(backend, pages):
    angle = torch.linspace(-1.2, 1.2, pages)
    tips = torch.stack([4 + 3 * angle.sin(), 4 - 3 * angle.cos()], -1)
    xy = torch.cat([torch.tensor([[4.0, 7.0], [4.1, 1.5]]), tips])
    faces = torch.tensor([[0, 1, 2 + page] if page % 3 else [1, 0, 2 + page] for page in range(pages)])
    coverage, _ = draw(backend, xy, faces, samples=4)
    assert np.abs(coverage.detach().numpy() - slow_coverage(xy, faces, 8)).max() < 0.12


@fast_backend
def test_two_parts_cover_their_union_and_hidden_outlines_pull_nothing(backend):
    outer, inner = corners(1.0, 1.0, 7.0, 7.0), corners(3.0, 3.2, 5.0, 4.9)
    faces = torch.cat([SQUARE, SQUARE + 4])
    coverage, vertices = draw(backend, torch.cat([outer, inner]), faces)
    coverage.sum().backward()
    assert torch.equal(coverage, draw(backend, outer, SQUARE)[0])
    assert vertices.grad[0, 4:].abs().max() == 0
    assert vertices.grad[0, :4, :2].abs().min() > 0
    crossed = torch.cat([corners(1.0, 3.0, 7.0, 5.0), corners(3.0, 1.0, 5.0, 7.0)])
    assert draw(backend, crossed, faces)[0].sum().item() == pytest.approx(12 + 12 - 4, abs=1e-4)


@functools.cache
def slow_slopes():
    """A ball, the weights of pixels, fields that move its vertices, and how the weighted coverage changes with each."""
    xy, faces = ball((11.0, 10.0), 7.3)
    y, x = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    weights = torch.sin(0.4 * x) + torch.cos(0.3 * y + 0.1 * x)
    generator, fields, slopes, step_px = torch.Generator().manual_seed(0), [], [], 0.4
    for k in range(12):
        field = torch.sin(xy @ (0.15 * torch.randn(2, 2, dtype=torch.float64, generator=generator)) + k)
        moved = [slow_coverage(xy + sign * step_px * field, faces, 20, 24) for sign in (1, -1)]
        slopes.append(((moved[0] - moved[1]) * weights.numpy()).sum() / (2 * step_px))
        fields.append(field)
    return xy, faces, weights, fields, slopes


@fast_backend
def test_the_gradient_matches_finite_differences_of_the_slow_twin(backend):
    xy, faces, weights, fields, true = slow_slopes()
    pulled = area_gradient(backend, xy, faces, weights, size=20)[:, :2].double()
    ours = [(pulled * field).sum().item() for field in fields]
    cosine = np.dot(true, ours) / np.linalg.norm(true) / np.linalg.norm(ours)
    magnitude = np.linalg.norm(ours) / np.linalg.norm(true)
    assert cosine > 0.99, f"cosine {cosine:.4f}"
    assert magnitude == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("other", ["numba", TRITON])
@pytest.mark.parametrize("on_lines", [False, True])
def test_backends_agree(other, on_lines):
    size, samples = (12, 3) if other == "numba" else (6, 1)
    xy, faces = soup(size=size, on_lines=on_lines, seed=7)
    weights = torch.randn(size, size)
    expected, _ = draw("torch", xy, faces, size, samples)
    coverage, _ = draw(other, xy, faces, size, samples)
    torch.testing.assert_close(coverage, expected, rtol=0, atol=1e-5)
    pulled = [area_gradient(backend, xy, faces, weights, size, samples) for backend in ("torch", other)]
    torch.testing.assert_close(pulled[1], pulled[0], atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(CAN_RUN_TRITON, reason="Triton's tests run in this process")
def test_triton_kernels_pass_their_tests_in_the_interpreter():
    # In a process of its own: Triton reads the variable once, when it is imported.
    facts = "agree or half_a_pixel or shoelace or faces_may_share or broken or without or wholly_behind or half_behind"
    chosen = f"triton and ({facts})"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "skipped" not in done.stdout and " 0 passed" not in done.stdout


@pytest.mark.parametrize("size", [(40, 56), (33, 20)])
@pytest.mark.parametrize("views", [1, 3, 17, 35])
def test_numba_equals_torch_on_bodies_in_blocks_of_any_length(views, size):
    height, width = size
    vertices, faces = turned_body(40, 0.4)
    shifts = torch.cat([20 * torch.randn(views, 1, 2), torch.zeros(views, 1, 1)], -1)
    vertices, topology = (vertices + shifts).float(), Topology(faces)
    weights, results = torch.randn(views, height, width), []
    for backend in ("torch", "numba"):
        leaf = vertices.clone().requires_grad_()
        coverage = silhouette(leaf, topology, height, width, backend=backend)
        (coverage * weights).sum().backward()
        results.append((coverage.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[1][1], results[0][1], atol=1e-4, rtol=1e-4)


def test_more_threads_give_the_same_numbers():
    vertices, faces = turned_body(32, 1.0)
    batch, topology = torch.stack([vertices + i for i in range(5)]), Topology(faces)
    before, images = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaf = batch.clone().requires_grad_()
            silhouette(leaf, topology, 32, 32).square().sum().backward()
            images.append((silhouette(batch, topology, 32, 32), leaf.grad))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(images[0][0], images[1][0]) and torch.equal(images[0][1], images[1][1])


def test_callers_on_several_threads_get_the_numbers_of_one():
    vertices, faces = turned_body(32, 0.5)
    topology, before = Topology(faces), torch.get_num_threads()
    batches = [torch.stack([vertices + number, vertices - number / 2]) for number in range(6)]

    def both(batch):
        leaf = batch.clone().requires_grad_()
        coverage = silhouette(leaf, topology, 32, 32, backend="numba")
        coverage.square().sum().backward()
        return torch.cat([coverage.detach().flatten(), leaf.grad.flatten()])

    try:
        torch.set_num_threads(2)
        expected = [both(batch) for batch in batches]
        with ThreadPoolExecutor(3) as callers:
            found = list(callers.map(both, 3 * batches))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(found, 3 * expected, strict=True))


def _area_in_child(queue):
    torch.set_num_threads(2)
    vertices = torch.nn.functional.pad(corners(2.0, 1.0, 5.0, 4.0), (0, 1))[None].repeat(4, 1, 1)
    queue.put(float(silhouette(vertices, Topology(SQUARE), 8, 8, backend="numba").sum()))


def test_a_forked_process_has_threads_of_its_own():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        silhouette(torch.zeros(4, 4, 3), Topology(SQUARE), 8, 8, backend="numba")
    finally:
        torch.set_num_threads(before)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_area_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=600) == 36  # no measure: for a child that hangs
    finally:
        child.kill()


@every_backend
def test_an_empty_batch_gives_an_empty_batch(backend):
    vertices = torch.zeros(0, 4, 3, device=DEVICES[backend], requires_grad=True)
    coverage = silhouette(vertices, Topology(SQUARE), 5, 6, backend=backend)
    coverage.sum().backward()
    assert coverage.shape == (0, 5, 6) and vertices.grad.shape == (0, 4, 3)


@every_backend
def test_a_mesh_without_faces_covers_nothing(backend):
    coverage, _ = draw(backend, corners(2.0, 1.0, 5.0, 4.0), torch.zeros(0, 3, dtype=torch.int64))
    assert coverage.shape == (8, 8) and coverage.abs().max() == 0


@every_backend
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_broken_vertices_stop(backend, bad):
    vertices = torch.zeros(2, 4, 3, device=DEVICES[backend])
    vertices[1, 2, 0] = bad
    with pytest.raises(ValueError, match="1 vertices are NaN or infinite"):
        silhouette(vertices, Topology(SQUARE), 8, 8, backend=backend)


@fast_backend
def test_numbers_that_are_large_but_finite_do_not_stop(backend):
    vertices = torch.nn.functional.pad(corners(2.0, 1.0, 5.0, 4.0), (0, 1), value=2e38)[None]
    assert vertices.sum() == float("inf"), "the sum overflows though no depth does"
    assert silhouette(vertices, Topology(SQUARE), 8, 8, backend=backend).sum().item() == pytest.approx(9)


def seen(points_m, focal_px=4.0, middle_px=4.0):
    """Points in a camera's axes as x, y, depth: with this focal length a point at depth 1 is as many pixels from the
    middle as four times its metres."""
    return torch.cat([focal_px * points_m[:, :2] / points_m[:, 2:] + middle_px, points_m[:, 2:]], dim=1)


def strip(behind_m):
    """A triangle at x from -0.25 to 0.25 m, on a floor 1 m below the camera; its base is 2 m ahead, its tip may lie
    behind.  Cut at depth d it is a trapezium in the picture, between rows 4 + 4 / 2 and 4 + 4 / d."""
    return torch.tensor([[-0.25, 1.0, 2.0], [0.25, 1.0, 2.0], [0.0, 1.0, behind_m]])


@every_backend
@pytest.mark.parametrize("tip_m", [-1.0, 0.25])
def test_a_triangle_half_behind_the_camera_is_cut_at_the_near_plane(backend, tip_m):
    # By hand, near plane at 1 m: the floor at depth d appears 4 / d below the middle: row 6 at 2 m, row 8 at 1 m.  The
    # sides run straight to the tip: at depth 1 they are (1 - tip) / (2 - tip) of 0.25 m from the axis, which the camera
    # shows at 4 times that many pixels.  At 2 m, 2 px per metre: 0.5 px.
    vertices = seen(strip(tip_m))[None].to(DEVICES[backend]).requires_grad_()
    coverage = silhouette(vertices, Topology(torch.tensor([[0, 1, 2]])), 8, 8, 8, backend, nearest=1.0)
    half_at_cut_px = 4 * 0.25 * (1 - tip_m) / (2 - tip_m)
    assert coverage.sum().item() == pytest.approx((0.5 + half_at_cut_px) * 2, abs=0.06)
    assert coverage[0, :6].abs().max() == 0, "rows above the horizon, where the tip would be drawn"
    coverage[0, 6].sum().backward()
    assert vertices.grad.isfinite().all() and vertices.grad[0, 2].abs().max() > 0


@fast_backend
def test_the_gradient_of_a_cut_triangle_is_that_of_its_visible_part(backend):
    # Area of the trapezium, as above, with the base's right corner at x = b metres and the tip at x = t, depth -1:
    # width at the base 2 (b + 0.25), at the cut 4 (w_left + w_right) with w_right = b + (t - b) / 3.
    # d(area)/db = (2 + 4 * 2 / 3) / 2 * 2 = 14 / 3; d(area)/dt, both sides: they cancel; the same for the tip's depth
    # z: the cut's half width is 0.25 (1 - z) / (2 - z), so d(area)/dz = 2 * 4 * 0.25 * -1 / (2 - z)^2 = -2 / 9.
    points_m = strip(-1.0).requires_grad_()
    vertices = seen(points_m)[None].to(DEVICES[backend])
    silhouette(vertices, Topology(torch.tensor([[0, 1, 2]])), 9, 9, 16, backend, nearest=1.0).sum().backward()
    assert points_m.grad[1, 0].item() == pytest.approx(14 / 3, rel=0.02)
    assert points_m.grad[2, 0].item() == pytest.approx(0, abs=0.02)
    assert points_m.grad[2, 2].item() == pytest.approx(-2 / 9, rel=0.05)


@fast_backend
def test_a_triangle_with_two_corners_behind_keeps_its_tip(backend):
    # The same strip the other way round: the tip 2 m ahead, the base 1 m behind.  At the cut it is a third of 0.5 m
    # wide, 4 * 0.5 / 3 px, and it runs from the tip in row 6 to row 8: a triangle of 2 px of height.
    points_m = torch.tensor([[-0.25, 1.0, -1.0], [0.25, 1.0, -1.0], [0.0, 1.0, 2.0]])
    vertices = seen(points_m)[None].to(DEVICES[backend])
    for faces in ([[0, 1, 2]], [[1, 2, 0]], [[2, 1, 0]]):
        coverage = silhouette(vertices, Topology(torch.tensor(faces)), 8, 8, 16, backend, nearest=1.0)
        assert coverage.sum().item() == pytest.approx(2 * 4 * 0.5 / 3 / 2, abs=0.02)


@every_backend
def test_what_is_wholly_behind_the_camera_is_not_drawn_and_pulls_nothing(backend):
    points_m = torch.tensor([[-0.3, -0.3, -1.0], [0.3, -0.3, -1.0], [0.0, 0.4, -2.0]])
    vertices = seen(points_m)[None].to(DEVICES[backend]).requires_grad_()
    coverage = silhouette(vertices, Topology(torch.tensor([[0, 1, 2]])), 8, 8, backend=backend)
    coverage.sum().backward()
    assert coverage.shape == (1, 8, 8) and coverage.abs().max() == 0
    assert vertices.grad.abs().max() == 0


@fast_backend
def test_a_body_that_the_near_plane_cuts_equals_the_body_with_its_faces_cut_one_by_one(backend):
    # Slow twin: every face is clipped by itself in float64, and the pieces are drawn as a soup of triangles.
    vertices, faces = turned_body(40, 0.6)
    depth = (vertices[:, 2:] - 300) / 20 + 0.4
    points = torch.cat([(vertices[:, :2] - 20) * 0.05, depth], dim=1).double()
    pieces = []
    for corners_m in points[faces].numpy():
        kept = []
        for one, two in zip(corners_m, np.roll(corners_m, -1, axis=0), strict=True):
            kept += [one] if one[2] >= 0.3 else []
            if (one[2] >= 0.3) != (two[2] >= 0.3):
                kept.append(one + (0.3 - one[2]) / (two[2] - one[2]) * (two - one))
        pieces += [np.stack([kept[0], *kept[i : i + 2]]) for i in range(1, len(kept) - 1)]
    assert 0 < len(pieces) < len(faces)
    soup_px = seen(torch.from_numpy(np.concatenate(pieces)), 12.0, 20.0).float()[None]
    expected = silhouette(soup_px, Topology(torch.arange(soup_px.shape[1]).reshape(-1, 3)), 40, 40, backend=backend)
    drawn = silhouette(seen(points, 12.0, 20.0)[None], Topology(faces), 40, 40, backend=backend, nearest=0.3)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=2e-3)


@fast_backend
def test_views_beside_one_that_is_cut_keep_their_pictures_bit_for_bit(backend):
    vertices, faces = turned_body(32, 0.3)
    topology, weights = Topology(faces), torch.rand(3, 32, 32)
    batch = torch.stack([vertices, vertices - torch.tensor([0.0, 0.0, 300.0]), vertices + 1])
    pulled, drawn = [], []
    for views in ([0, 1, 2], [0, 2]):
        leaf = batch[views].clone().requires_grad_()
        coverage = silhouette(leaf, topology, 32, 32, backend=backend)
        (coverage * weights[views]).sum().backward()
        drawn.append(coverage.detach()), pulled.append(leaf.grad)
    assert drawn[0][1].sum() > 0, "half of the body is before the camera"
    assert torch.equal(drawn[0][[0, 2]], drawn[1]) and torch.equal(pulled[0][[0, 2]], pulled[1])
    assert pulled[0].isfinite().all()


@fast_backend
def test_depths_of_zero_stand_for_a_view_without_perspective(backend):
    vertices = torch.nn.functional.pad(corners(2.0, 1.0, 5.0, 4.0), (0, 1))[None]
    assert silhouette(vertices, Topology(SQUARE), 8, 8, backend=backend).sum().item() == pytest.approx(9)


@fast_backend
def test_a_body_moved_by_whole_pixels_draws_the_moved_picture(backend):
    topology, pictures, pulled = None, [], []
    for shift_px in ((0.0, 0.0), (3.0, -2.0)):
        vertices, faces = turned_body(48, 0.7, shift_px)
        vertices = (torch.round(vertices * 1024) / 1024)[None].requires_grad_()
        topology = topology or Topology(faces)
        coverage = silhouette(vertices, topology, 64, 64, backend=backend)
        coverage.square().sum().backward()
        pictures.append(coverage[0].detach())
        pulled.append(vertices.grad)
    moved = pictures[0].roll((-2, 3), (0, 1))
    assert (moved - pictures[1]).abs().max() < 1e-3
    torch.testing.assert_close(pulled[1], pulled[0], atol=2e-3, rtol=1e-3)


@fast_backend
def test_views_of_a_batch_do_not_touch_each_other(backend):
    topology = Topology(ball((0, 0), 1.0)[1])
    views = torch.stack([torch.nn.functional.pad(ball((9.0 + i, 10.0), 5.0 + i)[0], (0, 1)) for i in range(4)]).float()
    together = silhouette(views, topology, 20, 24, backend=backend)
    for i in range(4):
        assert torch.equal(silhouette(views[i : i + 1], topology, 20, 24, backend=backend)[0], together[i])


@fast_backend
def test_layout_and_type_of_the_vertices_do_not_matter(backend):
    vertices, faces = turned_body(32, 0.3)
    topology, expected = Topology(faces), None
    expected = silhouette(vertices[None], topology, 32, 32, backend=backend)
    strided = vertices.T.contiguous().T.expand(2, -1, -1)
    assert not strided.is_contiguous()
    assert torch.equal(silhouette(strided, topology, 32, 32, backend=backend)[1], expected[0])
    double = vertices[None].double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        coverage = silhouette(double, topology, 32, 32, backend=backend)
    coverage.sum().backward()
    assert coverage.dtype == torch.float32 and double.grad.dtype == torch.float64
    torch.testing.assert_close(coverage, expected, rtol=0, atol=1e-5)
    assert double.grad[..., 2].abs().max() == 0, "depth has no gradient"


def test_auto_takes_what_a_device_has():
    assert _choose("auto", torch.device("cpu")) == "numba"
    assert _choose("auto", torch.device("mps")) == "torch"
    with pytest.raises(ValueError, match="works on the CPU, not on mps"):
        _choose("numba", torch.device("mps"))


def test_auto_takes_numba_on_the_cpu():
    vertices, faces = turned_body(24)
    images = [silhouette(vertices[None], Topology(faces), 24, 24, backend=name) for name in ("auto", "numba")]
    assert torch.equal(*images)


def test_edges_know_their_faces():
    closed = Topology(ball((0, 0), 1.0)[1])
    assert set(closed.turns) == {-1} and 2 * len(closed.edges) == 3 * len(closed.faces)
    opened = Topology(SQUARE)
    assert sorted(opened.turns) == [-1, 0, 0, 0, 0]
    flipped = Topology(torch.tensor([[0, 1, 2], [0, 3, 2]]))
    assert sorted(flipped.turns) == [0, 0, 0, 0, 1]
    book = Topology(torch.tensor([[0, 1, 2 + page] for page in range(9)]))
    assert sorted(book.turns) == [0] * 19 + [1] * 4, "nine faces on one edge: four pairs and one alone"


@pytest.mark.parametrize("faces", [torch.zeros(3, 4, dtype=torch.int64), torch.rand(3, 3), torch.tensor([[0, 1, -2]])])
def test_faces_that_are_none_are_refused(faces):
    with pytest.raises(ValueError, match="faces"):
        Topology(faces)


def test_wrong_arguments_are_refused_with_a_sentence():
    topology, vertices = Topology(SQUARE), torch.zeros(1, 4, 3)
    for arguments, sentence in (
        ((vertices[:, :3], topology, 8, 8), "name vertex 3, but the mesh has 3 vertices"),
        ((vertices[..., :2], topology, 8, 8), r"of shape \(B, V, 3\)"),
        ((vertices.long(), topology, 8, 8), "real numbers"),
        ((vertices, topology, 0, 8), "must be 1 or more"),
        ((vertices, topology, 8, 8, 0), "must be 1 or more"),
        ((vertices, topology, 8, 8, 2, "fastest"), "'fastest' is unknown"),
        ((vertices, topology, 8, 8, 2, "torch", 0.0), "nearest is 0.0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            silhouette(*arguments)
