"""Cuts a person out of a picture: GrabCut, started from the projected keypoints (body for sure, and body perhaps)."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from dataset_def.multiview.keypoint_files import BODY_25B
from utils.camera import Camera, project, to_camera

CAPSULE_LIMBS: tuple[tuple[str, str, float], ...] = (
    ("head_top", "neck", 0.11), ("neck", "pelvis", 0.15), ("left_shoulder", "right_shoulder", 0.09),
    ("left_shoulder", "left_hip", 0.12), ("right_shoulder", "right_hip", 0.12), ("left_hip", "right_hip", 0.13),
    ("left_shoulder", "left_elbow", 0.07), ("right_shoulder", "right_elbow", 0.07),
    ("left_elbow", "left_wrist", 0.055), ("right_elbow", "right_wrist", 0.055),
    ("left_wrist", "left_hand", 0.06), ("right_wrist", "right_hand", 0.06),
    ("left_hip", "left_knee", 0.11), ("right_hip", "right_knee", 0.11), ("left_knee", "left_ankle", 0.075),
    ("right_knee", "right_ankle", 0.075), ("left_ankle", "left_heel", 0.05), ("right_ankle", "right_heel", 0.05),
    ("left_heel", "left_big_toe", 0.05), ("right_heel", "right_big_toe", 0.05),
    ("left_heel", "left_small_toe", 0.05), ("right_heel", "right_small_toe", 0.05),
    ("left_ankle", "left_foot", 0.12), ("right_ankle", "right_foot", 0.12),
)  # fmt: skip
"""Ends and radius in metres of the capsules that a clothed adult fills."""
HAND = 0.75
"""Length of a hand over that of the forearm; the keypoints end at the wrist, and the hand may be bent."""
FOOT = 0.15
"""Height of an ankle over the length of the shin, for keypoints that end there; where the foot points is not known."""
NEAREST_LIMB_M = 0.1
"""Limbs nearer to the camera's plane, or behind it, are not in its picture."""
SURE, PROBABLE, POSSIBLE = 0.35, 0.9, 1.9
"""Factors on the radius: inside is surely body, probably body, possibly body; beyond is surely not."""


GRAB_PX = 300
"""GrabCut works on people shrunk to about this height, but not by more than LEAST_SCALE: its time goes with the
square."""
LEAST_SCALE = 0.4


class Capsules(NamedTuple):
    """The limbs in one picture."""

    ends_px: Float[np.ndarray, "L 2 2"]
    radius_px: Float[np.ndarray, "L"]
    is_sure: Bool[np.ndarray, "L"]
    """False for hands and feet whose place is guessed."""


def with_ends_and_pelvis(keypoints_m: Float[np.ndarray, "25 3"]) -> dict[str, Float[np.ndarray, "3"]]:
    """Name the keypoints and add finger tips, soles where there is no heel, and the middle of the hips."""
    named = dict(zip(BODY_25B, keypoints_m, strict=True))
    named["pelvis"] = (named["left_hip"] + named["right_hip"]) / 2
    for side in ("left", "right"):
        wrist, elbow = named[f"{side}_wrist"], named[f"{side}_elbow"]
        named[f"{side}_hand"] = wrist + HAND * (wrist - elbow)
        ankle, knee, heel = (named[f"{side}_{part}"] for part in ("ankle", "knee", "heel"))
        named[f"{side}_foot"] = ankle + FOOT * (ankle - knee) if np.isnan(heel).any() else np.full(3, np.nan)
    return named


def body_capsules(camera: Camera, keypoints_world_m: Float[np.ndarray, "25 3"]) -> Capsules:
    """Project the limbs whose two ends are known and lie before the camera."""
    named = with_ends_and_pelvis(to_camera(camera, keypoints_world_m))
    known = [
        limb
        for limb in CAPSULE_LIMBS
        if all(np.isfinite(named[end]).all() and named[end][2] > NEAREST_LIMB_M for end in limb[:2])
    ]
    limbs = [(named[a], named[b], radius) for a, b, radius in known]
    ends_px = [project(camera, np.stack([a, b])) for a, b, _ in limbs]
    radius_px = [radius * camera.focal_px.mean() / (a[2] + b[2]) * 2 for a, b, radius in limbs]
    is_sure = [not end.endswith(("hand", "foot")) for _, end, _ in known]
    return Capsules(np.array(ends_px).reshape(-1, 2, 2), np.array(radius_px), np.array(is_sure))


def filled_capsules(capsules: Capsules, factor: float, shape: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Fill the capsules, with their radius times a factor."""
    image = np.zeros(shape, np.uint8)
    for ends, radius in zip(capsules.ends_px, capsules.radius_px, strict=True):
        first, second = ends.round().astype(int).tolist()
        thickness = max(1, round(2 * factor * radius))
        cv2.line(image, first, second, 1, thickness)
    return image > 0


def seeds(
    capsules: Capsules, shape: tuple[int, int], difference: Float[np.ndarray, "H W"] | None, changed_level: float
) -> UInt8[np.ndarray, "H W"]:
    """Label pixels for GrabCut; a difference from the background decides where it is known."""
    labels = np.full(shape, cv2.GC_BGD, np.uint8)
    possible, probable = filled_capsules(capsules, POSSIBLE, shape), filled_capsules(capsules, PROBABLE, shape)
    labels[possible] = cv2.GC_PR_BGD
    if difference is not None:
        is_known = np.isfinite(difference)
        probable = np.where(is_known, (difference > changed_level) & possible, probable)
        labels[is_known & (difference < changed_level / 2)] = cv2.GC_BGD
    labels[probable] = cv2.GC_PR_FGD
    sure = capsules.is_sure
    labels[filled_capsules(Capsules(capsules.ends_px[sure], capsules.radius_px[sure], sure[sure]), SURE, shape)] = (
        cv2.GC_FGD
    )
    return labels


def largest_part(mask: Bool[np.ndarray, "H W"], seed: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Keep the parts that touch the sure body, and close holes smaller than 0.2 % of it."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8))
    kept = np.isin(parts, np.unique(parts[seed & mask])) & mask
    num, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = [i for i in range(1, num) if stats[i, cv2.CC_STAT_AREA] < 0.002 * kept.sum()]
    return kept | np.isin(holes, small)


class Window(NamedTuple):
    """The part of a picture that GrabCut works on."""

    low: list[int]
    high: list[int]
    """Corners (x, y)."""
    scale: float

    def shrunk(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Cut the part out and shrink it."""
        part = np.ascontiguousarray(image[self.low[1] : self.high[1], self.low[0] : self.high[0]])
        return cv2.resize(part, self.size, interpolation=cv2.INTER_AREA)

    def thinned(self, values: Num[np.ndarray, "H W"]) -> Num[np.ndarray, "h w"]:
        """Cut the same part out of other values of the pixels, without mixing them."""
        part = values[self.low[1] : self.high[1], self.low[0] : self.high[0]]
        return cv2.resize(part, self.size, interpolation=cv2.INTER_NEAREST)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the shrunk part."""
        across, down = ((b - a) * self.scale for a, b in zip(self.low, self.high, strict=True))
        return max(1, int(across)), max(1, int(down))

    def pasted(self, body: Bool[np.ndarray, "h w"], shape: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
        """Smooth a shrunk mask's edge and put it back into the whole picture: 255 inside, 0 outside."""
        soft = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 1.0)
        size = (self.high[0] - self.low[0], self.high[1] - self.low[1])
        full = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
        mask = np.zeros(shape, np.uint8)
        mask[self.low[1] : self.high[1], self.low[0] : self.high[0]] = np.where(full > 0.5, 255, 0)
        return mask


def segmented(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], rounds: int = 3
) -> Bool[np.ndarray, "h w"]:
    """Let GrabCut decide what is labelled as probable, and keep what touches the sure body."""
    sure, may_be_body = labels == cv2.GC_FGD, np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not may_be_body.any() or may_be_body.all():  # there is nothing to decide, which GrabCut does not accept
        return may_be_body
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, (0, 0, 1, 1), *models, rounds, cv2.GC_INIT_WITH_MASK)  # a mask needs no rectangle
    return largest_part((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), sure)


def cut_out(
    image: UInt8[np.ndarray, "H W 3"],
    capsules: Capsules,
    difference: Float[np.ndarray, "H W"] | None = None,
    changed_level: float = 24.0,
) -> UInt8[np.ndarray, "H W"]:
    """Cut the person out: 255 inside, 0 outside.

    Args:
        difference: from the background, 0 to 255; NaN where that is not known.  None before a background is made.
    """
    height, width = image.shape[:2]
    if not len(capsules.ends_px):
        return np.zeros((height, width), np.uint8)
    scale = working_scale(capsules)
    window = Window(*box_around(capsules, height, width), scale)
    small = window.shrunk(image)
    changed = None if difference is None else window.thinned(difference)
    here = capsules._replace(ends_px=(capsules.ends_px - window.low) * scale, radius_px=capsules.radius_px * scale)
    labels = seeds(here, small.shape[:2], changed, changed_level)
    return window.pasted(segmented(small, labels), (height, width))


def working_scale(capsules: Capsules) -> float:
    """Choose how much the picture is shrunk for GrabCut; a small person is not."""
    height_px = float(np.ptp(capsules.ends_px.reshape(-1, 2), axis=0).max())
    return float(np.clip(GRAB_PX / max(height_px, 1.0), LEAST_SCALE, 1.0))


def box_around(capsules: Capsules, height: int, width: int) -> tuple[list[int], list[int]]:
    """Find the part of the picture in which the person can be, with a margin that shows GrabCut the background."""
    margin = 1.5 * POSSIBLE * capsules.radius_px.max(initial=1.0)
    points = capsules.ends_px.reshape(-1, 2)
    low = np.clip(points.min(axis=0) - margin, 0, [width - 2, height - 2]).astype(int)
    high = np.clip(points.max(axis=0) + margin, low + 2, [width, height]).astype(int)
    return low.tolist(), high.tolist()
