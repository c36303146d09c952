import colorsys

import numpy as np
import pytest

from config import Paths
from dataset_def.synthetic.make_h36m import MORE_PEOPLE, TEST_PEOPLE, VALIDATION_PEOPLE
from dataset_def.synthetic.scene import clothes, patterns
from dataset_def.synthetic.scene.appearance import KNOWN_SUBJECTS, STYLES, Wardrobe, are_alike, make_outfit, make_person
from models.smpl import Body, load_body
from utils.skeleton import SMPL_24


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


def parts_of(points_m: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    parts = np.zeros(len(points_m), dtype=np.int64)
    clothes.name_parts(parts, points_m, cuts)
    return parts


def test_subjects_differ_in_build_skin_and_hair(body: Body):
    people = [make_person(subject, 0, body) for subject in KNOWN_SUBJECTS]
    assert len({person.style for person in people}) == len(KNOWN_SUBJECTS) == len(STYLES)
    assert len({person.hair for person in people}) == len(KNOWN_SUBJECTS)
    for direction in (0, 1):
        assert np.diff(np.sort([person.betas[direction] for person in people])).min() > 0.1
    for i, one in enumerate(people):
        for other in people[:i]:
            assert np.linalg.norm(one.betas - other.betas) > 1
            assert np.abs(np.subtract(one.skin, other.skin)).max() > 0.02


def test_nobody_to_test_or_to_choose_on_has_a_look_alike_among_the_others(body: Body):
    trained = [1, 5, 6, 7, 8, *MORE_PEOPLE]
    people = {subject: make_person(subject, 0, body) for subject in (*TEST_PEOPLE, *VALIDATION_PEOPLE, *trained)}
    for group in (TEST_PEOPLE, VALIDATION_PEOPLE):
        pairs = [(one, other) for one in group for other in people if other not in group]
        assert [pair for pair in pairs if are_alike(people[pair[0]], people[pair[1]])] == []
    # As subjects below 100 do, which is why none of them but the known is used.
    assert are_alike(make_person(9, 0, body), make_person(25, 0, body))


def test_people_with_looks_of_their_own_are_drawn_from_whole_ranges(body: Body):
    people = [make_person(subject, 0, body) for subject in MORE_PEOPLE]
    assert len({person.hair for person in people}) == len({person.skin for person in people}) == len(MORE_PEOPLE)
    assert np.ptp([person.betas[0] for person in people]) > 2
    assert 0.15 < np.mean([person.style.has_beard for person in people]) < 0.6
    assert make_person(121, 0, body).skin == people[0].skin != make_person(121, 1, body).skin


@pytest.mark.parametrize("wardrobe", [None, Wardrobe(loose=1.0, dull=1.0)])
def test_a_person_and_its_outfits_repeat_for_the_same_numbers(body: Body, wardrobe: Wardrobe | None):
    person, again = make_person(5, 3, body), make_person(5, 3, body)
    np.testing.assert_array_equal(person.betas, again.betas)
    outfit, same = (make_outfit(one, 4, 3, body, wardrobe) for one in (person, again))
    assert (outfit.cloth is None) == (same.cloth is None) == (wardrobe is None)
    for one, other in zip((*outfit[:-1], *(outfit.cloth or ())), (*same[:-1], *(same.cloth or ())), strict=True):
        np.testing.assert_array_equal(one, other)


def test_outfits_differ_between_numbers_subjects_and_seeds(body: Body):
    person = make_person(5, 0, body)
    colours = [
        make_outfit(person, 0, 0, body).colours,
        make_outfit(person, 1, 0, body).colours,
        make_outfit(make_person(6, 0, body), 0, 0, body).colours,
        make_outfit(person, 0, 1, body).colours,
    ]
    for i, one in enumerate(colours):
        for other in colours[:i]:
            assert np.abs(one - other).mean() > 0.05


def test_thirty_outfits_cover_the_circle_of_hues(body: Body):
    person = make_person(1, 0, body)
    shirts = [make_outfit(person, n, 0, body).materials[clothes.SHIRT, 1:4] for n in range(30)]
    hues = np.array([colorsys.rgb_to_hsv(*shirt)[0] for shirt in shirts])
    assert len(np.unique(np.floor(hues * 6))) == 6
    assert np.mean([colorsys.rgb_to_hsv(*shirt)[1] for shirt in shirts]) > 0.55


def test_parts_lie_where_the_joints_are(body: Body):
    joints_m = dict(zip(SMPL_24, body.rest_template_joints_m.double().numpy(), strict=True))
    for number in range(8):
        cuts = make_outfit(make_person(1, 0, body), number, 0, body).cuts
        hand, toe = joints_m["left_hand"], joints_m["left_foot"]
        assert parts_of(hand[None], cuts)[0] == clothes.SKIN
        assert parts_of(toe[None], cuts)[0] in (clothes.SHOE, clothes.SOLE)
        thigh = joints_m["left_hip"] + 0.1 * (joints_m["left_knee"] - joints_m["left_hip"])
        assert parts_of(thigh[None], cuts)[0] in (clothes.TROUSERS, clothes.SHIRT, clothes.UNDER)
        upper_arm = joints_m["left_shoulder"] + 0.1 * (joints_m["left_elbow"] - joints_m["left_shoulder"])
        assert parts_of(upper_arm[None], cuts)[0] == clothes.SLEEVE


def test_left_and_right_wear_the_same_parts(body: Body):
    outfit = make_outfit(make_person(8, 0, body), 2, 0, body)
    mirrored = outfit.canonical_m * np.array([-1, 1, 1], np.float32)
    np.testing.assert_array_equal(parts_of(outfit.canonical_m, outfit.cuts), parts_of(mirrored, outfit.cuts))


def test_cloth_stands_off_the_skin_by_millimetres_to_centimetres(body: Body):
    for subject in KNOWN_SUBJECTS:
        outfit = make_outfit(make_person(subject, 0, body), 0, 0, body)
        parts = parts_of(outfit.canonical_m.astype(np.float64), outfit.cuts)
        assert (outfit.offsets_m[parts == clothes.SKIN] == 0).all()
        assert (outfit.offsets_m[parts == clothes.SHIRT] > 0.005).all()
        assert outfit.offsets_m.min() >= 0 and outfit.offsets_m.max() < 0.06


@pytest.mark.parametrize("kind", [patterns.PLAIN, patterns.STRIPES, patterns.CHECKS, patterns.DOTS, patterns.ZIGZAG])
def test_patterns_repeat_after_their_size(kind: int):
    rng = np.random.default_rng(0)
    for along, across in rng.uniform(-1, 1, (50, 2)):
        share = patterns.pattern_share(kind, along, across, 0.25, 0.3, 7)
        assert share == patterns.pattern_share(kind, along + 0.5, across, 0.25, 0.3, 7)
        assert share == patterns.pattern_share(kind, along, across - 0.25, 0.25, 0.3, 7)


def test_half_of_a_striped_cloth_has_the_second_colour():
    places_m = np.arange(0.0005, 1, 0.001)
    shares = [patterns.pattern_share(patterns.STRIPES, along, 0.0, 0.1, 0.0, 1) for along in places_m]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.01)
    assert shares[25] == 1 and shares[75] == 0


def test_the_lattice_is_uniform_and_noise_is_continuous():
    cells = np.array([patterns.lattice(i, j, 5) for i in range(-40, 40) for j in range(40)])
    assert cells.mean() == pytest.approx(0.5, abs=0.02)
    assert cells.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    for x in (-2.0, 0.0, 3.0):
        assert patterns.value_noise(x - 1e-9, 0.3, 5) == pytest.approx(patterns.value_noise(x, 0.3, 5), abs=1e-6)
