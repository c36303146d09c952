"""Whose keypoints are read in every frame of a user's pictures: a detector's, or those of another program.

One person is followed.  In a video the detector's second network follows by itself; where it loses the person, or the
box jumps, people are detected anew and the one nearest to where the person was is taken, or nobody.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dataset_def.frame_files import origin_of, rows_of
from dataset_def.multiview.keypoint_files import BODY_25B, CameraKeypoints, read_camera_keypoints
from dataset_def.multiview.keypoint_tables import read_table
from dataset_def.photos.blazepose import BLAZEPOSE, LEAST_PRESENCE, BlazePose, SeenPerson
from dataset_def.photos.pictures import Picture, Pictures
from utils.person_box import JUMP_IOU, Box, overlap_of_boxes
from utils.skeleton import KEYPOINTS_25, mirrored

SAME_IOU = 0.2
"""Overlap of a followed person's box with the given one from which on it is the same person."""
EXCHANGED_FITS, EXCHANGED_MOVES = 0.5, 0.04
"""Left and right were exchanged where that halves the mean move of all points since the frame before, and they moved by
so much of the person's size at least."""
NEAR_BOXES = 1.0
"""A lost person is found again no farther from the last box than so many of its longer sides."""
LEAST_KEYPOINTS = 6
"""Fewer than these tell no body."""
SURE_OF_OTHERS = 0.05
"""Confidence of other programs' keypoints below which they count as not seen."""
OTHER_NAMES = {"left_toe": "left_big_toe", "right_toe": "right_big_toe"}


class PersonKeypoints(NamedTuple):
    """The keypoints of one person in one frame, in the order of KEYPOINTS_25."""

    points_px: Float[np.ndarray, "25 2"]
    confidence: Float[np.ndarray, "25"]
    """0 where a keypoint is not known."""
    box: Box
    """Around those that are known."""
    is_new: bool
    """Whether the person was not followed from the frame before."""
    is_doubtful: bool = False
    """Of a picture that belongs to no video: its mirror gives another body."""


DOUBTFUL_APART = 0.1
"""Points that lie this far from those of the mirrored picture, in the median over the longer side of the box, are of a
body that is not read well, or of none: 0.11 to 0.16 for a blurred jump, somebody half hidden, a white cloth; 0.01 to
0.04 for other people."""


class KeypointFinder(NamedTuple):
    """How keypoints are found."""

    how: str
    """As words for the user."""
    person: Callable[[int, Picture], PersonKeypoints | None]
    """Number of the frame (from 0) and the frame -> the person; None if nobody is found."""


def around(points_px: Float[np.ndarray, "n 2"], confidence: Float[np.ndarray, "n"]) -> Box:
    """Put a box around the points that are known."""
    known = points_px[confidence > 0]
    low, high = known.min(axis=0), known.max(axis=0)
    return Box(*low.tolist(), *(high - low).tolist())


def keypoints_of(
    points_px: Float[np.ndarray, "n 2"], confidence: Float[np.ndarray, "n"], names: tuple[str, ...], is_new: bool
) -> PersonKeypoints | None:
    """Put points by name into the order of KEYPOINTS_25; None where too few are known to tell a body."""
    found_px, sure = np.zeros((len(KEYPOINTS_25), 2)), np.zeros(len(KEYPOINTS_25))
    for row, name in enumerate(KEYPOINTS_25):
        own = name if name in names else OTHER_NAMES.get(name, "")
        if own in names:
            found_px[row], sure[row] = points_px[names.index(own)], confidence[names.index(own)]
    if (sure > 0).sum() < LEAST_KEYPOINTS:
        return None
    box = around(found_px, sure)
    return PersonKeypoints(found_px, sure, box, is_new) if min(box.width_px, box.height_px) >= 1 else None


class FollowedPerson:
    """Follows one person with BlazePose; call it with the frames in their order.

    Args:
        is_sequence: whether neighbouring frames show the same scene a moment later.
        box_of: gives the person's box in a frame, if the user knows it.
    """

    def __init__(
        self, networks: BlazePose, is_sequence: bool, box_of: Callable[[int, Picture], Box | None] | None = None
    ) -> None:
        self.networks, self.is_sequence, self.box_of = networks, is_sequence, box_of
        self.last: SeenPerson | None = None
        self.is_lost = False
        self.num_others = 0
        """Most people that were seen beside the chosen one, where people were looked for."""
        self.num_lost = 0
        """Frames in which the person was lost."""
        self.doubtful: list[str] = []
        """Names of pictures whose mirror gives another body."""

    def __call__(self, number: int, picture: Picture) -> PersonKeypoints | None:
        """Find the person in the next frame."""
        box = self.box_of(number, picture) if self.box_of is not None else None
        seen = self._followed(picture, box)
        is_new = seen is None or self.is_lost
        if seen is None:
            seen = self._found(picture, box)
        self.is_lost = seen is None
        self.num_lost += self.last is not None and self.is_lost
        self.last = (seen or self.last) if self.is_sequence else None
        found = None if seen is None else keypoints_of(seen.points_px, seen.confidence, BLAZEPOSE, is_new)
        if self.is_sequence or found is None or seen is None:
            return found
        found = found._replace(is_doubtful=self.networks.in_mirror(picture.rgb, seen)[1] > DOUBTFUL_APART)
        self.doubtful += [picture.name] * found.is_doubtful
        return found

    def _followed(self, picture: Picture, box: Box | None) -> SeenPerson | None:
        """Look where the frame before says; None if nobody is there, or not whom the user means."""
        if not self.is_sequence or self.last is None:
            return None
        seen = self.networks.read(picture.rgb, self.last.following)
        expected = box or self.last.box
        is_same = overlap_of_boxes(seen.box, expected) > (SAME_IOU if box else JUMP_IOU)
        return seen if seen.presence >= LEAST_PRESENCE and is_same else None

    def _found(self, picture: Picture, box: Box | None) -> SeenPerson | None:
        """Look for the person anew: in the box, near where the last frame had the person, or the largest one."""
        if box is not None:
            return self.networks.person_in(picture.rgb, box)
        people = self.networks.people(picture.rgb)
        self.num_others = max(self.num_others, len(people) - 1)
        if self.last is not None and self.is_sequence:
            before = self.last.box
            people = [one for one in people if apart(one.box, before) < NEAR_BOXES]
            return min(people, key=lambda one: apart(one.box, before), default=None)
        return max(people, key=lambda one: one.presence * one.box.width_px * one.box.height_px, default=None)


BEYOND_KEYPOINTS = 0.12
"""A person is larger than the box of the keypoints by so much of its longer side, on each side: head, hands, feet."""


def box_of_person(found: PersonKeypoints | None) -> Box | None:
    """Put a box around the person whose keypoints are known."""
    if found is None:
        return None
    more_px = BEYOND_KEYPOINTS * max(found.box.width_px, found.box.height_px)
    left_px, top_px, width_px, height_px = found.box
    return Box(left_px - more_px, top_px - more_px, width_px + 2 * more_px, height_px + 2 * more_px)


def apart(one: Box, other: Box) -> float:
    """Measure how far the middles of two boxes are from each other, over the longer side of the second."""
    across_px = one.left_px + one.width_px / 2 - other.left_px - other.width_px / 2
    down_px = one.top_px + one.height_px / 2 - other.top_px - other.height_px / 2
    return float(np.hypot(across_px, down_px) / max(other.width_px, other.height_px, 1.0))


def settled_sides(
    points_px: Float[np.ndarray, "T 25 2"], confidence: Float[np.ndarray, "T 25"], first_is_right: bool
) -> Bool[np.ndarray, "T"]:
    """Tell in which frames of one person left and right were taken for each other everywhere.

    Nobody's left and right change places from one frame to the next: where the points of a frame fit those before much
    better exchanged, one of the two is wrong, and it is the side with fewer frames.

    Args:
        first_is_right: whether the first frame is known to be right.
    """
    other = mirrored(KEYPOINTS_25)
    is_exchanged = np.zeros(len(points_px), bool)
    for now in range(1, len(points_px)):
        sure = (confidence[[now - 1, now]] > 0).all(axis=0) & (confidence[[now - 1, now]][:, other] > 0).all(axis=0)
        if sure.sum() < LEAST_KEYPOINTS:
            continue
        size_px = np.ptp(points_px[now - 1][sure], axis=0).max()
        straight, crossed = (np.linalg.norm(one - points_px[now - 1], axis=1)[sure].mean() / max(size_px, 1.0)
                             for one in (points_px[now], points_px[now][other]))  # fmt: skip
        is_other_way = crossed < EXCHANGED_FITS * straight and straight > EXCHANGED_MOVES
        is_exchanged[now] = is_exchanged[now - 1] != is_other_way
    return is_exchanged if first_is_right or is_exchanged.mean() <= 0.5 else ~is_exchanged


def with_sides(found: PersonKeypoints, is_exchanged: bool) -> PersonKeypoints:
    """Exchange left and right where they were taken for each other."""
    other = mirrored(KEYPOINTS_25)
    return (
        found._replace(points_px=found.points_px[other], confidence=found.confidence[other]) if is_exchanged else found
    )


def given_keypoints(
    path: Path, skeleton: str, pictures: Pictures, box: Box | None, is_part: bool = False
) -> KeypointFinder:
    """Read keypoints that another program found in the same pictures.

    Args:
        is_part: the pictures are the first ones of those that the keypoints are of.
    Raises:
        FileNotFoundError, ValueError: nothing readable there, or another number of frames than the pictures have.
    """
    if not path.exists():
        raise FileNotFoundError(f"keypoints {path} do not exist; give the file or folder that the other program wrote")
    table = read_camera_keypoints(path, skeleton, lambda file: read_table(file, {}))
    _check_pixels(path, table)
    if pictures.num_frames is not None and pictures.kind != "camera":
        _same_number(path, table, pictures, is_part)
    by_frame, last = _by_frame(table, pictures), list[Box]()

    def person(number: int, picture: Picture) -> PersonKeypoints | None:
        people: Sequence[np.ndarray] = list(by_frame.get(number, []))
        sure = [np.where(one[:, 2] >= SURE_OF_OTHERS, one[:, 2].clip(0, 1), 0.0) for one in people]
        found = [keypoints_of(one[:, :2], conf, BODY_25B, False) for one, conf in zip(people, sure, strict=True)]
        there = [one for one in found if one is not None]
        expected = box or (last[-1] if last and pictures.is_sequence else None)
        if expected is None:
            chosen = max(there, key=lambda one: one.box.width_px * one.box.height_px, default=None)
        else:
            chosen = min(there, key=lambda one: apart(one.box, expected), default=None)
        if chosen is None:
            return None
        is_new = bool(last) and overlap_of_boxes(chosen.box, last[-1]) < JUMP_IOU
        last[:] = [chosen.box]
        return chosen._replace(is_new=is_new)

    return KeypointFinder(f"keypoints of another program ({path})", person)


def _by_frame(table: CameraKeypoints, pictures: Pictures) -> dict[int, Float[np.ndarray, "_ 25 3"]]:
    """Sort people by frame; a video's keypoints may leave out the frames that show nobody, and are then numbered.

    Raises:
        ValueError: the numbers do not tell which frame is which.
    """
    if table.numbers is None or not pictures.is_sequence:
        return dict(enumerate(table.people))
    origin = origin_of({"": table.numbers}, {"": None}, table.begins, f"the keypoints in {table.path}")
    return dict(zip(rows_of(table.numbers, None, origin), table.people, strict=True))


SHORTER_FRAMES, SHORTER_SHARE = 2, 0.01
"""The frames that a video's header tells may differ from those that can be read by so many, or by this part."""
LARGEST_SHARE = 1.5
"""Coordinates that are all below this are shares of the picture."""


def _check_pixels(path: Path, table: CameraKeypoints) -> None:
    """Refuse keypoints that are not in pixels."""
    largest = max((float(np.abs(one[one[:, 2] >= SURE_OF_OTHERS, :2]).max(initial=0))
                   for people in table.people for one in people), default=np.inf)  # fmt: skip
    if 0 < largest <= LARGEST_SHARE:
        raise ValueError(f"{path} has keypoints from 0 to {largest:.2g}, which are shares of the picture's width and "
                         "height; write them in pixels")  # fmt: skip


def _same_number(path: Path, table: CameraKeypoints, pictures: Pictures, is_part: bool) -> None:
    """Refuse keypoints of another number of pictures; those of a video may leave out frames that show nobody."""
    count, wanted, is_video = len(table.people), pictures.num_frames or 0, pictures.kind == "video"
    spare = max(SHORTER_FRAMES, SHORTER_SHARE * wanted) if is_video else 0
    too_few = count < wanted - spare and not (is_video and table.numbers is not None)
    if too_few or (count > wanted + spare and not is_part):
        raise ValueError(f"{path} has keypoints of {count} frames, and {pictures.source} has {wanted}; give those of "
                         "the same pictures, in the same order")  # fmt: skip
