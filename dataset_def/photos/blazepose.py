"""The keypoints extra: BlazePose's two small networks find people in a picture and 33 points of each.

The first finds people and how they are turned, the second reads points in an upright cut-out, and says where to cut
next.  In a video the second follows a person by itself.  Nothing of it was trained here.
Source: Bazarevsky et al., BlazePose, 2020; the files are MediaPipe's (Apache-2.0), read as their layout tells.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from config import ROOT
from utils.person_box import Box, overlap_of_boxes
from utils.skeleton import mirrored

KEYPOINT_NETWORKS = ROOT / "data" / "downloads" / "blazepose"
DETECTOR = "pose_detection.tflite"
KEYPOINTS_REMEDY = 'pip install -e ".[keypoints]" and python dataset_def/photos/person.py'
BLAZEPOSE: tuple[str, ...] = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "left_mouth", "right_mouth", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_toe", "right_toe",
)  # fmt: skip
"""Source: the published order; left is the person's left."""
DETECTOR_PX, LANDMARKS_PX = 224, 256
DETECTOR_GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells along a side, and anchors in each: 2254 in all."""
LEAST_SCORE = 0.5
"""Of the detector; below it there is nobody."""
SAME_PERSON_IOU = 0.3
LEAST_PRESENCE = 0.5
"""Of the second network; below it a followed person is lost."""
REGION_OVER_CIRCLE = 1.25
"""Side of the cut-out, over the diameter of the circle around the person."""
SURE_HEAT = 0.5
HEAT_REACH = 3
"""Heat maps are averaged over so many cells to each side."""
LOOSE_IOU = 0.2
"""Overlap of what is found in a given box with it, below which it may be nobody."""
DOUBTFUL_PRESENCE = 0.95
"""Somebody found with less in the whole picture must be found in its mirror as well."""
SMALL_PRESENCE, SMALL_APART = 0.9, 0.03
"""Somebody found in a small part must be found in the mirror with so much, and the sure points there lie this near to
the first ones, in the median, over the longer side of their box.  Measured on pictures without people (places, animals,
cameras at a ceiling): of 45 bodies that were found in small parts of them none stays; people are within 0.028."""
LEAST_SURE = 0.5
"""Confidence from which on a point tells that."""
LIMBS = ("nose", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "toe")
"""Points that tell that: faces and hands have many points in one place."""
CUT_OFF_SHARE = 0.02
"""A point that lies so far out of the picture, as a share of its longer side, was not seen."""


IS_FAR = np.array([name.rpartition("_")[2] in LIMBS for name in BLAZEPOSE])


class Region(NamedTuple):
    """A square of the picture, turned so that the person stands upright in it."""

    centre_px: Float[np.ndarray, "2"]
    side_px: float
    turn_rad: float
    """Clockwise on the screen, from the picture's axes to the square's."""


class SeenPerson(NamedTuple):
    """What the networks say about one person."""

    points_px: Float[np.ndarray, "33 2"]
    """In the order of BLAZEPOSE, in the picture."""
    confidence: Float[np.ndarray, "33"]
    """0 to 1: seen, and not hidden; 0 outside of the picture."""
    points_m: Float[np.ndarray, "33 3"]
    """The networks' own guess in space: about the middle of the hips, x right, y down, z away."""
    presence: float
    """0 to 1: that there is somebody at all."""
    following: Region
    """Where this person is looked for next."""
    mask_logits: Float[np.ndarray, "256 256"]
    """Of the region that was read: above zero is person."""
    region: Region

    @property
    def box(self) -> Box:
        """Put a box around the points that are in the picture; it is a little smaller than the person."""
        inside = self.points_px[self.confidence > 0]
        inside = inside if len(inside) else self.points_px
        low, high = inside.min(axis=0), inside.max(axis=0)
        return Box(*low.tolist(), *(high - low).tolist())


def is_available(folder: Path, kind: str = "full") -> bool:
    """Tell whether the networks' files and the package that runs them are there."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return (folder / DETECTOR).is_file() and (folder / landmarks_file(kind)).is_file()


def landmarks_file(kind: str) -> str:
    """Name the file of the second network, which comes in sizes."""
    return f"pose_landmark_{kind}.tflite"


def detector_anchors() -> Float[np.ndarray, "2254 2"]:
    """List the middles of the detector's anchors, as shares of its picture."""
    rows = []
    for cells, each in DETECTOR_GRIDS:
        y, x = np.meshgrid(*[(np.arange(cells) + 0.5) / cells] * 2, indexing="ij")
        rows.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(each, axis=0))
    return np.concatenate(rows)


def region_matrix(region: Region, size_px: int) -> Float[np.ndarray, "2 3"]:
    """Give the map from pixels of the cut-out to pixels of the picture, both with (0, 0) at the corner."""
    scale = region.side_px / size_px
    cos, sin = np.cos(region.turn_rad) * scale, np.sin(region.turn_rad) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, region.centre_px - turn @ np.full(2, size_px / 2)])


def cut_region(rgb: UInt8[np.ndarray, "H W 3"], region: Region, size_px: int) -> UInt8[np.ndarray, "S S 3"]:
    """Cut a region out, antialiased; what lies outside of the picture is black."""
    samples = max(1, int(np.ceil(region.side_px / size_px - 0.3)))
    matrix = region_matrix(region, size_px * samples)
    matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5  # OpenCV's first pixel centre is at (0, 0), ours at one half
    side = (size_px * samples, size_px * samples)
    fine = cv2.warpAffine(rgb, matrix, side, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return fine if samples == 1 else cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA)


def region_of(centre_px: Float[np.ndarray, "2"], above_px: Float[np.ndarray, "2"]) -> Region:
    """Give the region of a person by the middle of the hips and a point on the circle around, straight up the body."""
    up = above_px - centre_px
    return Region(centre_px, float(2 * np.linalg.norm(up) * REGION_OVER_CIRCLE), float(np.arctan2(up[0], -up[1])))


def region_of_box(box: Box) -> Region:
    """Give an upright region about a box."""
    centre_px = np.array([box.left_px + box.width_px / 2, box.top_px + box.height_px / 2])
    return Region(centre_px, max(box.width_px, box.height_px) * REGION_OVER_CIRCLE, 0.0)


def holds_middle(box: Box, other: Box) -> bool:
    """Tell whether the middle of another box lies in a box."""
    across_px, down_px = other.left_px + other.width_px / 2, other.top_px + other.height_px / 2
    return 0 <= across_px - box.left_px <= box.width_px and 0 <= down_px - box.top_px <= box.height_px


MOST_ALONG = 64
"""Squares, without the overlap, along the longer side of a picture: a line of 500 pixels took 7,000 looks, a minute."""


def square_parts(rgb: UInt8[np.ndarray, "H W 3"], side_px: float) -> list[Region]:
    """Cover a picture with squares that overlap by half at least; very long ones with larger squares than asked for."""
    side_px = max(side_px, max(rgb.shape[:2]) / MOST_ALONG)
    counts = [1 + int(np.ceil(max(0.0, 2 * (length - side_px) / side_px) - 1e-9)) for length in rgb.shape[:2]]
    rows, columns = (
        np.linspace(side_px / 2, length - side_px / 2, count) if count > 1 else np.array([length / 2])
        for length, count in zip(rgb.shape[:2], counts, strict=True)
    )
    return [Region(np.array([x, y]), side_px, 0.0) for y in rows for x in columns]


def is_about(one: Region, other: Region) -> bool:
    """Tell whether two regions are of one person: their middles are near, over the smaller side."""
    near = np.linalg.norm(one.centre_px - other.centre_px) / min(one.side_px, other.side_px)
    return bool(near < 0.15)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values.astype(np.float64).clip(-60, 60)))


def refined_by_heat(points: Float[np.ndarray, "n 2"], heat: Float[np.ndarray, "h w n"]) -> Float[np.ndarray, "n 2"]:
    """Move points, in cells of their heat maps, to the middle of the heat around them, where there is some."""
    found, size = points.copy(), heat.shape[0]
    for number, (x, y) in enumerate(np.floor(points).astype(int)):
        if not (0 <= x < size and 0 <= y < size):
            continue
        left, top = max(0, x - HEAT_REACH), max(0, y - HEAT_REACH)
        near = _sigmoid(heat[top : y + HEAT_REACH + 1, left : x + HEAT_REACH + 1, number])
        if near.max() >= SURE_HEAT:
            rows, columns = np.mgrid[: near.shape[0], : near.shape[1]]
            found[number] = (columns * near).sum() / near.sum() + left, (rows * near).sum() / near.sum() + top
    return found


class _Network:
    """One file, run on one thread."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.outputs = {tuple(one["shape"].tolist()): one["index"] for one in self.interpreter.get_output_details()}

    def __call__(self, picture: Float[np.ndarray, "S S 3"]) -> dict[tuple[int, ...], np.ndarray]:
        """Run on a picture; outputs are told apart by their shapes."""
        self.interpreter.set_tensor(self.input, picture[None].astype(np.float32))
        self.interpreter.invoke()
        return {shape: np.array(self.interpreter.get_tensor(index)) for shape, index in self.outputs.items()}


class BlazePose:
    """Finds people and their points.

    Args:
        folder: where the networks' files lie.
        kind: full, or heavy: four times as large and slower, and it takes left for right more rarely.
    Raises:
        ValueError: the extra is not installed.
    """

    def __init__(self, folder: Path = KEYPOINT_NETWORKS, kind: str = "full"):
        if not is_available(folder, kind):
            raise ValueError(f"the keypoints extra is not installed ({folder / landmarks_file(kind)}); install it "
                             f"with: {KEYPOINTS_REMEDY}{'' if kind == 'full' else f' --{kind}'}")  # fmt: skip
        self.files = (folder / DETECTOR, folder / landmarks_file(kind))
        self.kind = kind
        self.detector, self.landmarks = (_Network(path) for path in self.files)
        self.anchors = detector_anchors()

    def detect(self, rgb: UInt8[np.ndarray, "H W 3"], within: Region | None = None) -> list[Region]:
        """Find people, the surest first.

        Args:
            within: a part of the picture, unturned; None for all of it.
        """
        height, width = rgb.shape[:2]
        seen = within or Region(np.array([width / 2, height / 2]), float(max(height, width)), 0.0)
        picture = cut_region(rgb, seen, DETECTOR_PX).astype(np.float32) / 127.5 - 1
        found = self.detector(picture)
        scores = _sigmoid(found[(1, len(self.anchors), 1)][0, :, 0])
        raw = found[(1, len(self.anchors), 12)][0].astype(np.float64) / DETECTOR_PX
        rows = np.flatnonzero(scores >= LEAST_SCORE)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        matrix, regions = region_matrix(seen, 1), []
        while len(rows):
            centre = raw[rows, :2] + self.anchors[rows]
            corners = np.concatenate([centre - raw[rows, 2:4] / 2, raw[rows, 2:4]], axis=1)
            is_same = np.array([overlap_of_boxes(Box(*corners[0]), Box(*one)) for one in corners]) > SAME_PERSON_IOU
            is_same[0] = True
            weight = scores[rows[is_same], None]
            points = raw[rows[is_same], 4:8] + np.tile(self.anchors[rows[is_same]], 2)
            points = ((points * weight).sum(axis=0) / weight.sum()).reshape(2, 2)
            regions.append(region_of(*(points @ matrix[:, :2].T + matrix[:, 2])))
            rows = rows[~is_same]
        return regions

    def read(self, rgb: UInt8[np.ndarray, "H W 3"], region: Region) -> SeenPerson:
        """Read the points of the person in a region."""
        found = self.landmarks(cut_region(rgb, region, LANDMARKS_PX).astype(np.float32) / 255)
        rows = found[(1, 195)][0].reshape(39, 5).astype(np.float64)
        heat = found[(1, 64, 64, 39)][0]
        cell_px = LANDMARKS_PX / heat.shape[0]
        points_px = refined_by_heat(rows[:, :2] / cell_px, heat) * cell_px
        matrix = region_matrix(region, LANDMARKS_PX)
        points_px = points_px @ matrix[:, :2].T + matrix[:, 2]
        confidence = np.minimum(_sigmoid(rows[:33, 3]), _sigmoid(rows[:33, 4]))
        margin_px = CUT_OFF_SHARE * max(rgb.shape[:2])
        size_px = np.array([rgb.shape[1], rgb.shape[0]])
        is_inside = ((points_px[:33] > -margin_px) & (points_px[:33] < size_px + margin_px)).all(axis=1)
        points_m = found[(1, 117)][0].reshape(39, 3)[:33].astype(np.float64)
        points_m[:, :2] = points_m[:, :2] @ (matrix[:, :2] / np.linalg.norm(matrix[:, 0])).T
        following = region_of(points_px[33], points_px[34])
        presence = float(found[(1, 1)][0, 0])
        mask = found[(1, 256, 256, 1)][0, ..., 0]
        return SeenPerson(points_px[:33], confidence * is_inside, points_m, presence, following, mask, region)

    def read_twice(self, rgb: UInt8[np.ndarray, "H W 3"], region: Region) -> SeenPerson:
        """Read the points, and again where they say that the person is."""
        first = self.read(rgb, region)
        if first.presence < LEAST_PRESENCE:
            return first
        second = self.read(rgb, first.following)
        return second if second.presence >= LEAST_PRESENCE else first

    def people(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[SeenPerson]:
        """Find everybody in a picture, nobody twice.

        The detector sees 224 pixels along a side, so that a wide picture is looked at in square parts, and in smaller
        ones where these show nobody.
        """
        short = float(min(rgb.shape[:2]))
        for side_px in (short, short / 2):
            found = self._people_in(rgb, [one for part in square_parts(rgb, side_px) for one in self.detect(rgb, part)])
            found = [one for one in found if self.is_somebody(rgb, one, is_small=side_px < short)]
            if found:
                return found
        return [one for one in self._people_in(rgb, self.detect(rgb)) if self.is_somebody(rgb, one)]

    def is_somebody(self, rgb: UInt8[np.ndarray, "H W 3"], person: SeenPerson, is_small: bool = False) -> bool:
        """Tell whether the mirrored picture shows the body again: what was taken for a person mostly does not return.

        Args:
            is_small: found in a small part of the picture, where the detector sees people in much that is none.
        """
        if not is_small and person.presence >= DOUBTFUL_PRESENCE:
            return True
        presence, apart = self.in_mirror(rgb, person)
        return presence >= SMALL_PRESENCE and apart < SMALL_APART if is_small else presence >= LEAST_PRESENCE

    def in_mirror(self, rgb: UInt8[np.ndarray, "H W 3"], person: SeenPerson) -> tuple[float, float]:
        """Read the person in the mirrored picture: a body that was made up of something else comes out as another.

        Returns:
            Presence there, and how far the sure points lie from the first ones: the median, over the longer side of
            their box; infinite where no point is sure.
        """
        width_px, at = rgb.shape[1], person.region
        mirror = at._replace(centre_px=np.array([width_px - at.centre_px[0], at.centre_px[1]]), turn_rad=-at.turn_rad)
        again = self.read(np.ascontiguousarray(rgb[:, ::-1]), mirror)
        is_sure = (person.confidence >= LEAST_SURE) & IS_FAR
        if not is_sure.any():
            return again.presence, np.inf
        back_px = np.column_stack([width_px - again.points_px[:, 0], again.points_px[:, 1]])
        # left and right may be taken for each other in one of the two
        apart_px = min(np.median(np.linalg.norm(points_px - person.points_px, axis=1)[is_sure])
                       for points_px in (back_px, back_px[mirrored(BLAZEPOSE)]))  # fmt: skip
        return again.presence, float(apart_px / max(person.box.width_px, person.box.height_px))

    def _people_in(self, rgb: UInt8[np.ndarray, "H W 3"], regions: list[Region]) -> list[SeenPerson]:
        """Read the people that were detected, nobody twice."""
        found: list[SeenPerson] = []
        for region in regions:
            if any(is_about(region, other.following) for other in found):
                continue
            person = self.read_twice(rgb, region)
            is_new = all(overlap_of_boxes(person.box, other.box) < SAME_PERSON_IOU for other in found)
            if person.presence >= LEAST_PRESENCE and is_new:
                found.append(person)
        return found

    def person_in(self, rgb: UInt8[np.ndarray, "H W 3"], box: Box) -> SeenPerson | None:
        """Find the person in a given box: from the box itself and from what is detected about it, the better of all.

        A box that is far too large shows the network a person too small to be read; the picture's people tell then.
        """
        start = region_of_box(box)
        regions = [start, *self.detect(rgb, start._replace(side_px=1.5 * start.side_px))]
        seen = [self.read_twice(rgb, region) for region in regions]
        seen = [one for one in seen if one.presence >= LEAST_PRESENCE]
        if all(overlap_of_boxes(one.box, box) < LOOSE_IOU for one in seen):
            seen += [one for one in self.people(rgb) if holds_middle(box, one.box)]
        return max(seen, key=lambda one: one.presence * overlap_of_boxes(one.box, box), default=None)
