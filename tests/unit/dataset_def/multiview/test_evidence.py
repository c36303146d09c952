"""Keypoints and masks beside everybody are noticed; those on somebody, and where nobody is seen, are not."""

import numpy as np
import pytest

from dataset_def.multiview.evidence import Looks, evidence_problems, looks_at_masks, not_judged, on_somebody
from dataset_def.multiview.people_in_views import PersonInViews, SeenSomebody, view_mask
from tests.helpers.tiny_h36m import looking_camera

CAMERAS = [looking_camera(number, 400, 400) for number in (1, 2)]
NAMES, INSTANTS = ["left", "right"], 4


def standing_at(x_px: float) -> SeenSomebody:
    """Somebody 40 pixels wide and 160 high, as the detector sees it: a region of 256 pixels, 200 of the picture."""
    mask = np.zeros((256, 256), np.uint8)
    mask[26:230, 102:154] = 255
    to_picture = np.array([[200 / 256, 0, x_px - 100], [0, 200 / 256, 100.0]])
    return SeenSomebody(np.zeros((25, 3)), view_mask(mask, to_picture))


LOOKS = Looks(tuple(range(INSTANTS)), [[[standing_at(200)] for _ in range(INSTANTS)] for _ in CAMERAS])


def evidence(x_px: tuple[float, float]) -> PersonInViews:
    """Keypoints and a mask of a person at these places in the two views."""
    keypoints = np.zeros((INSTANTS, 2, 25, 3))
    for view, x in enumerate(x_px):
        keypoints[:, view, :, 0] = x + np.linspace(-18, 18, 25)
        keypoints[:, view, :, 1] = np.linspace(125, 270, 25)
    keypoints[..., 2] = 0.8
    masks = [[standing_at(x).mask for x in x_px] for _ in range(INSTANTS)]
    return PersonInViews(CAMERAS, keypoints, keypoints[..., 2] > 0, np.full((INSTANTS, 25, 3), np.nan), masks,
                         np.zeros((INSTANTS, 2), bool))  # fmt: skip


def test_evidence_on_the_person_is_no_problem():
    for what in ("keypoints", "masks"):
        assert evidence_problems(NAMES, evidence((204, 197)), LOOKS, what) == []
        assert not_judged(NAMES, evidence((204, 197)), LOOKS, what) == []


def test_evidence_beside_the_person_is_named_by_its_camera():
    for what in ("keypoints", "masks"):
        [problem] = evidence_problems(NAMES, evidence((200, 300)), LOOKS, what)
        assert problem == f"0% of camera right's {what} lie on somebody whom the detector sees"
        assert len(evidence_problems(NAMES, evidence((100, 300)), LOOKS, what)) == 2


@pytest.mark.parametrize("whole", [False, True], ids=["of a region", "of the picture"])
def test_without_a_detector_keypoints_and_masks_are_compared_with_each_other(whole):
    def together(x_px: tuple[float, float], masks_at: tuple[float, float]) -> PersonInViews:
        masks = evidence(masks_at).masks
        if whole:
            picture = np.zeros((400, 400), np.uint8)
            picture[120:280, 180:221] = 255
            masks = [[view_mask(np.roll(picture, x - 200, axis=1)) for x in masks_at]] * INSTANTS
        return evidence(x_px)._replace(masks=masks)

    def problems(person: PersonInViews) -> list[str]:
        return evidence_problems(NAMES, person, looks_at_masks(person), "keypoints", "the masks")

    assert problems(together((204, 197), (200, 200))) == []
    assert problems(together((204, 290), (200, 200))) == ["0% of camera right's keypoints lie on the masks"]
    hidden = together((204, 290), (200, 200))._replace(masks=[[None, None]] * INSTANTS)
    assert problems(hidden) == []


def test_one_of_two_people_is_somebody():
    crowd = Looks(LOOKS.instants, [[[standing_at(60), standing_at(200)]] * INSTANTS for _ in CAMERAS])
    assert evidence_problems(NAMES, evidence((200, 60)), crowd, "keypoints") == []


def test_where_nobody_is_seen_nothing_is_said():
    nobody = Looks(LOOKS.instants, [LOOKS.people[0], [[] for _ in range(INSTANTS)]])
    assert evidence_problems(NAMES, evidence((200, 300)), nobody, "keypoints") == []
    assert not_judged(NAMES, evidence((200, 300)), nobody, "keypoints") == ["right"]


def test_points_at_the_edge_count_and_points_farther_do_not():
    people = [standing_at(200)]  # its mask ends at 220 pixels, and 7 % of 200 is 14
    found = on_somebody(np.array([[200.0, 200.0], [230.0, 200.0], [238.0, 200.0], [-50.0, 900.0]]), people)
    assert found.tolist() == [True, True, False, False]
