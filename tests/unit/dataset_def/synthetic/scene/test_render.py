import cv2
import numpy as np
import pytest
import torch

from config import Paths
from dataset_def.synthetic.scene import clothes
from dataset_def.synthetic.scene.appearance import Outfit, make_outfit, make_person
from dataset_def.synthetic.scene.render import cast_shadow, plain_floor_shadow, render_person
from dataset_def.synthetic.scene.room import Room, draw_room, make_room
from models.smpl import Body, load_body
from utils.camera import Camera, project, to_camera
from utils.draw_mesh import vertex_normals

UPRIGHT = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""R_world_from_body: faces world -y."""


def looking_camera(centre_world_m: tuple[float, float, float], size_px: int = 128) -> Camera:
    """Look from a place of the room at the person's waist."""
    centre = np.array(centre_world_m)
    z = np.array([0, 0, 0.9]) - centre
    z /= np.linalg.norm(z)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    focal = np.full(2, 1.147 * size_px)
    return Camera(np.stack([x, np.cross(z, x), z]), centre, focal, np.full(2, size_px / 2), size_px, size_px)


FRONT, BACK = looking_camera((0.5, -5.0, 1.6)), looking_camera((-0.5, 5.0, 1.6))


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(1, 0)


def standing_m(body: Body) -> np.ndarray:
    """Stand the mean body in its T-pose on the floor, facing -y."""
    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[0, 0] = UPRIGHT
    vertices_m = body(rotations, torch.zeros(1, 10), torch.zeros(1, 3)).vertices_m[0].double().numpy()
    middle = 0.5 * (vertices_m.min(axis=0) + vertices_m.max(axis=0))
    return vertices_m - [middle[0], middle[1], vertices_m[:, 2].min()]


def in_one_colour(outfit: Outfit, part: int, colour: tuple[float, float, float]) -> Outfit:
    """Make one part plain."""
    materials = outfit.materials.copy()
    materials[part] = 0
    materials[part, clothes.SIZE] = 1
    materials[part, clothes.FIRST : clothes.FIRST + 3] = colour
    return outfit._replace(materials=materials)


def drawn(body: Body, room: Room, camera: Camera, outfit: Outfit, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    background = draw_room(room, camera)
    rng = np.random.default_rng(seed)
    return render_person(background, room, camera, standing_m(body), body.faces.numpy(), outfit, rng)


def test_a_red_shirt_is_red_in_rgb(body: Body, room: Room):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    outfit = in_one_colour(outfit, clothes.SHIRT, (0.85, 0.05, 0.05))
    outfit.cuts[clothes.OPEN] = outfit.cuts[clothes.PRINT_SIZE] = 0
    chest_world_m = np.array([0, -0.1, 0.72 * standing_m(body)[:, 2].max()])
    for camera, place in ((FRONT, chest_world_m), (BACK, chest_world_m * [1, -1, 1])):
        image, _ = drawn(body, room, camera, outfit)
        x, y = project(camera, to_camera(camera, place))
        red, green, blue = image[int(y), int(x)].astype(int)
        assert red > 90, f"the shirt is {red, green, blue}"
        assert max(green, blue) < 0.4 * red


LENS = {"focal_px": FRONT.focal_px * 2, "k": np.array([-1.3, 0, 0]), "p": np.array([0.001, -0.0015])}
"""Bends hands and feet, at 0.19 from the middle, by 2 to 3 pixels."""


@pytest.mark.parametrize("lens", [{}, LENS])
def test_the_mask_covers_the_projected_vertices_and_little_else(body: Body, room: Room, lens: dict):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    camera = FRONT._replace(**lens)
    grey, rng = np.full((128, 128, 3), 120, np.uint8), np.random.default_rng(0)
    _, mask = render_person(grey, room, camera, standing_m(body), body.faces.numpy(), outfit, rng)
    vertices_px = project(camera, to_camera(camera, standing_m(body)))
    straight = camera._replace(k=np.zeros(3), p=np.zeros(2))
    off_px = np.abs(project(straight, to_camera(straight, standing_m(body))) - vertices_px).max()
    assert off_px > 2 if lens else off_px == 0
    columns, rows = np.floor(vertices_px).astype(int).T
    beside = [mask[rows + dy, columns + dx] for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    assert (mask[rows, columns] > 0).mean() > 0.97
    assert (np.max(beside, axis=0) > 0).all(), "a vertex lies more than a pixel outside the mask"
    touched = np.zeros_like(mask, bool)
    for dx in range(-3, 4):
        for dy in range(-3, 4):
            touched[rows + dy, columns + dx] = True
    assert not (mask.astype(bool) & ~touched).any()
    assert mask.max() == 255 and mask[0, 0] == 0


def test_the_face_is_seen_from_the_front_only(body: Body, room: Room):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    outfit = in_one_colour(in_one_colour(outfit, clothes.SKIN, (0, 1, 0)), clothes.HAIR, (0, 0, 1))
    outfit.cuts[[clothes.NAPE, clothes.FRINGE, clothes.HAS_BEARD]] = -0.4, 0.5, 0
    vertices_m = standing_m(body)
    head_world_m = np.array([0, 0, 0.93 * vertices_m[:, 2].max()])
    for camera, channel in ((FRONT, 1), (BACK, 2)):
        image, _ = drawn(body, room, camera, outfit)
        x, y = project(camera, to_camera(camera, head_world_m))
        assert image[int(y), int(x)].argmax() == channel


def test_the_floor_is_darker_under_the_person_and_unchanged_far_away(body: Body, room: Room):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    background = draw_room(room, FRONT).astype(float)
    image, mask = drawn(body, room, FRONT, outfit)
    x, y = project(FRONT, to_camera(FRONT, np.zeros(3)))
    spot = np.s_[int(y) - 5 : int(y) + 6, int(x) - 8 : int(x) + 9]
    floor = mask[spot] == 0
    assert floor.sum() > 30
    light = image[spot][floor].sum(-1) / background[spot][floor].sum(-1)
    assert light.mean() < 0.9 and light.min() < 0.7
    corner = np.s_[-12:, :12]
    assert image[corner].mean() == pytest.approx(background[corner].mean(), rel=0.1)


def test_a_bent_lens_shows_the_shadow_where_it_shows_the_floor(body: Body, room: Room):
    shadow = plain_floor_shadow(room, standing_m(body))
    near = FRONT._replace(focal_px=FRONT.focal_px * 2.5, centre_px=np.array([40.0, -20.0]))  # the feet off the middle
    bent_lens = {"k": np.array([-0.5, 0, 0]), "p": LENS["p"]}
    seen = []
    for camera in (near, near._replace(**bent_lens)):
        image = np.full((128, 128, 3), 100.0, dtype=np.float32)
        cast_shadow(image, camera, shadow)
        grid = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 9), np.linspace(-0.3, 0.3, 9)), axis=-1).reshape(-1, 2)
        places_px = project(camera, to_camera(camera, np.column_stack([grid, np.zeros(len(grid))])))
        columns, rows = (places_px.T - 0.5).astype(np.float32)
        seen.append((cv2.remap(image, columns[None], rows[None], cv2.INTER_LINEAR)[0, :, 0], places_px))
    (straight, straight_px), (bent, bent_px) = seen
    assert np.abs(straight_px - bent_px).max() > 1, "pixels; the test must tell the lenses apart"
    assert np.ptp(straight) > 25
    assert np.abs(straight - bent).max() < 4 and np.abs(straight - bent).mean() < 0.6


def test_an_image_repeats_for_its_generator_and_differs_by_noise_only(body: Body, room: Room):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    first, again, other = (drawn(body, room, FRONT, outfit, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    difference = np.abs(first.astype(int) - other)
    assert 0.5 < difference.mean() < 20
    # The grain, which is what neighbouring pixels of the plain ceiling do not share, is new in every image.
    grain = [np.diff(image[:8].astype(float), axis=1).ravel() for image in (first, other)]
    scene = np.diff(draw_room(room, FRONT)[:8].astype(float), axis=1).ravel()
    flat = np.abs(scene) < 1
    assert abs(np.corrcoef(grain[0][flat], grain[1][flat])[0, 1]) < 0.3


def test_the_body_is_closed_and_its_faces_turn_outwards(body: Body):
    vertices_m, faces = standing_m(body), body.faces.numpy()
    a, b, c = (vertices_m[faces[:, k]] for k in range(3))
    assert 0.03 < np.einsum("fc,fc->", a, np.cross(b, c)) / 6 < 0.2, "cubic metres"
    assert np.einsum("vc,vc->v", vertex_normals(vertices_m, faces), vertices_m - vertices_m.mean(0)).mean() > 0


def test_a_background_of_another_size_is_refused(body: Body, room: Room):
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    small = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="background"):
        render_person(small, room, FRONT, standing_m(body), body.faces.numpy(), outfit, np.random.default_rng(0))
