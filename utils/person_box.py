"""Boxes around a person: from a mask, from what moves before a still camera, smoothed; and a body put into one."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from utils.image import PERSON_ABOVE

WORKING_PX = 480
"""Moving pixels are found in pictures shrunk to this longer side."""
CLEAR_CHANGE, FAINT_CHANGE = 28, 20
"""Grey levels by which pixels of a person differ from the empty scene: many of them, and all."""
GAP_PX = (35, 21)
"""Height and width, at the working size, over which patches are joined."""
SMALLEST_BOX_PX = 8
SMALLEST_MOVING_PATCH = 0.002
"""Moving patches smaller than this share of the picture are no person."""


class Box(NamedTuple):
    """A box in a picture; pixels, (0, 0) is the picture's top left corner."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float


def overlap_of_boxes(one: Box, other: Box) -> float:
    """Give intersection over union of two boxes."""
    across_px = min(one.left_px + one.width_px, other.left_px + other.width_px) - max(one.left_px, other.left_px)
    down_px = min(one.top_px + one.height_px, other.top_px + other.height_px) - max(one.top_px, other.top_px)
    shared = max(0.0, across_px) * max(0.0, down_px)
    union = one.width_px * one.height_px + other.width_px * other.height_px - shared
    return shared / union if union > 0 else 0.0


def check_box(box: Box, width_px: int, height_px: int, name: str) -> None:
    """Stop if a box lies outside of its picture, or has no size.

    Raises:
        ValueError
    """
    text = f"box {box.left_px:g} {box.top_px:g} {box.width_px:g} {box.height_px:g} (x y width height)"
    if not np.isfinite(box).all():
        raise ValueError(f"{text} is not finite; give four numbers in pixels")
    if min(box.width_px, box.height_px) < SMALLEST_BOX_PX:
        raise ValueError(f"{text} is smaller than {SMALLEST_BOX_PX} pixels; give the box of a person")
    right, bottom = box.left_px + box.width_px, box.top_px + box.height_px
    across_px = min(right, width_px) - max(box.left_px, 0.0)
    down_px = min(bottom, height_px) - max(box.top_px, 0.0)
    seen_px = max(0.0, across_px) * max(0.0, down_px)
    if seen_px < 0.5 * box.width_px * box.height_px:
        raise ValueError(f"{text} lies outside of {name} ({width_px} x {height_px} pixels); give x and y of its top "
                         "left corner, then width and height")  # fmt: skip


NO_PERSON = "has no person in it (no pixel above 128)"
NEARLY_ALL, MOST, NEARLY_ALL_OF_THE_BORDER = 0.95, 0.5, 0.9
"""Shares of a mask, and of its outermost pixels, above which it cannot be a person's: it is inverted."""


def mask_fault(mask: UInt8[np.ndarray, "H W"]) -> str:
    """Say, as the end of a sentence, why a picture cannot be the mask of a person in sight; empty if it can."""
    is_person, highest = mask > PERSON_ABOVE, int(mask.max(initial=0))
    if highest == 0:
        return NO_PERSON
    if highest <= PERSON_ABOVE:
        what = "labels 0 and 1 must" if highest == 1 else "the person must"
        return f"{NO_PERSON[:-1]}, its highest value is {highest}; {what} become {'0 and ' if highest == 1 else ''}255)"
    border = np.concatenate([is_person[0], is_person[-1], is_person[:, 0], is_person[:, -1]])
    share = is_person.mean()
    if share > NEARLY_ALL or (share > MOST and border.mean() > NEARLY_ALL_OF_THE_BORDER):
        return "is person nearly everywhere; it may be inverted: the person must be white"
    return ""


def series_fault(faults: Sequence[str]) -> str:
    """Say why masks of one camera cannot be a person's; a person may be out of sight in some, or very near in a few."""
    wrong = [fault for fault in faults if fault and fault != NO_PERSON]
    if faults and all(faults):
        return wrong[0] if wrong else NO_PERSON
    return wrong[0] if len(wrong) > len(faults) / 2 else ""


def box_of_mask(mask: UInt8[np.ndarray, "H W"], name: str) -> Box:
    """Put a box around the pixels above 128.

    Raises:
        ValueError: the mask is empty, or nearly all of it is person (it may be inverted).
    """
    fault = mask_fault(mask)
    if fault:
        raise ValueError(f"mask {name} {fault}")
    return _around(mask > PERSON_ABOVE, 1.0)


def _around(is_person: np.ndarray, scale: float) -> Box:
    """Put a box around the true pixels, in a picture larger by `scale`."""
    rows, columns = np.flatnonzero(is_person.any(1)), np.flatnonzero(is_person.any(0))
    left, top = float(columns[0]), float(rows[0])
    return Box(left * scale, top * scale, (columns[-1] + 1 - left) * scale, (rows[-1] + 1 - top) * scale)


def shrunk_to_working_size(rgb: UInt8[np.ndarray, "H W 3"]) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Shrink a picture to the working size; also give the scale back to its own pixels."""
    scale = max(1.0, max(rgb.shape[:2]) / WORKING_PX)
    size = (max(1, round(rgb.shape[1] / scale)), max(1, round(rgb.shape[0] / scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), scale


def evenly_spaced_frames(frames: Iterable[UInt8[np.ndarray, "H W 3"]], most: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Take at most so many frames, shrunk and evenly spread, of a video whose length need not be known."""
    kept: list[np.ndarray] = []
    every = 1
    for number, rgb in enumerate(frames):
        if number % every == 0:
            kept.append(shrunk_to_working_size(rgb)[0])
        if len(kept) > most:
            kept, every = kept[::2], 2 * every
    return kept


def empty_scene(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    people: Callable[[UInt8[np.ndarray, "h w 3"]], Bool[np.ndarray, "h w"]] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Take the median of some frames: what stays when people move.

    Args:
        people: tells pixels of people in a shrunk frame, which are left out; else the median shows whoever hardly
            moves. Where no frame is free of people the plain median stays.
    """
    small = np.stack([shrunk_to_working_size(rgb)[0] for rgb in frames])
    if people is None:
        return np.median(small, axis=0).astype(np.uint8)
    hidden = np.stack([cv2.dilate(people(rgb).astype(np.uint8), np.ones((9, 9), np.uint8)) for rgb in small]) > 0
    hidden &= ~hidden.all(axis=0)
    return np.nanmedian(np.where(hidden[..., None], np.float32(np.nan), small), axis=0).astype(np.uint8)


LEAST_TRACKED = 12
"""Places of a scene that must be found again to tell whether the camera stood still."""
STILL_SHARE = 0.03
"""Of the longer side: a camera that moves its picture by more than this between two frames of a video does not stand
still.  Somebody who holds it by hand stays below for seconds; one who follows a person does not."""
PLACES = (6, 8)
"""Rows and columns of parts of the picture, each of which gives one place: a person is in few of them."""


def places_to_follow(gray: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Choose the best corner of every part of a picture that has one."""
    found = []
    for y in np.array_split(np.arange(gray.shape[0]), PLACES[0]):
        for x in np.array_split(np.arange(gray.shape[1]), PLACES[1]):
            corner = cv2.goodFeaturesToTrack(gray[y[0] : y[-1] + 1, x[0] : x[-1] + 1], 1, 0.01, 5)
            found += [] if corner is None else [(corner[0, 0, 0] + x[0], corner[0, 0, 1] + y[0])]
    return np.array(found, np.float32).reshape(-1, 2)


def camera_moves(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> bool | None:
    """Tell whether the camera moved between some frames of a video, by how most of the picture moved.

    Returns:
        None if the scene shows too little to tell.
    Source: Lucas, Kanade 1981, in pyramids (OpenCV), there and back; the median over the picture's parts.
    """
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    path, known = np.zeros((1, 2)), 0
    for one, other in pairwise(grays):
        places = places_to_follow(one)
        if len(places) < LEAST_TRACKED:
            continue
        there, is_there, _ = cv2.calcOpticalFlowPyrLK(one, other, places, np.zeros_like(places))
        back, is_back, _ = cv2.calcOpticalFlowPyrLK(other, one, there, np.zeros_like(places))
        is_sure = (is_there[:, 0] > 0) & (is_back[:, 0] > 0) & (np.linalg.norm(back - places, axis=1) < 1)
        if is_sure.sum() < LEAST_TRACKED:
            continue
        known += 1
        step = np.median((there - places)[is_sure], axis=0)
        path = np.concatenate([path, path[-1:] + (step if np.linalg.norm(step) > 0.5 else 0)])
    if known < (len(grays) - 1) / 2 or len(grays) < 2:
        return None
    return bool(np.ptp(path, axis=0).max() > STILL_SHARE * max(grays[0].shape))


def moving_mask(rgb: UInt8[np.ndarray, "H W 3"], scene: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Find the largest group of patches that differ from the empty scene; all zero if there is none of a person's size.

    The gain of the whole picture is matched first, so that a camera's automatic exposure is no movement.  Dark
    clothes before a dark wall cut a person into patches: those with a small gap between them are one.
    """
    small = shrunk_to_working_size(rgb)[0].astype(np.float32)
    gain = np.median((scene.astype(np.float32) + 1) / (small + 1), axis=(0, 1))
    change = cv2.GaussianBlur(np.abs(small * gain - scene).max(2), (5, 5), 0)
    found = _patches(change)
    labels = cv2.connectedComponents(cv2.dilate(found, np.ones(GAP_PX, np.uint8)))[1]
    sizes = np.bincount(labels[found > 0], minlength=1)
    is_person = (labels == sizes.argmax()) & (found > 0)
    is_large = is_person.sum() >= SMALLEST_MOVING_PATCH * found.size
    return (is_person & is_large).astype(np.uint8) * np.uint8(255)


def _patches(change: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Keep the changed patches of which enough changed clearly; a faint one is a shadow or a reflection."""
    faint = cv2.morphologyEx((change > FAINT_CHANGE).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(faint)
    sizes = stats[:, cv2.CC_STAT_AREA]
    clear = np.bincount(labels[change > CLEAR_CHANGE], minlength=count)
    kept = (clear >= 0.3 * sizes) & (sizes >= 12)
    kept[0] = False
    return kept[labels].astype(np.uint8)


def box_of_movement(rgb: UInt8[np.ndarray, "H W 3"], scene: UInt8[np.ndarray, "h w 3"]) -> Box | None:
    """Put a box around what moves; None if nothing of a person's size does."""
    mask = moving_mask(rgb, scene)
    return _around(mask > 0, max(1.0, max(rgb.shape[:2]) / WORKING_PX)) if mask.any() else None


JUMP_IOU = 0.1
"""A box that overlaps the one before by less is not the same person's."""


def jumps_of(boxes: Float[np.ndarray, "N 4"]) -> list[int]:
    """List the frames whose box is somewhere else than the last one before; frames without a box (NaN) do not count."""
    known = np.flatnonzero(np.isfinite(boxes).all(1)).tolist()
    return [now for before, now in pairwise(known)
            if overlap_of_boxes(Box(*boxes[before]), Box(*boxes[now])) < JUMP_IOU]  # fmt: skip


def smooth_between_jumps(boxes: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, "N 4"]:
    """Smooth boxes over time, but not across a jump."""
    parts = np.split(boxes, jumps_of(boxes))
    return np.concatenate([smooth_boxes(part) for part in parts])


def smooth_boxes(boxes: Float[np.ndarray, "N 4"], reach: int = 4) -> Float[np.ndarray, "N 4"]:
    """Take the running median over `reach` frames to both sides; a frame without a box (NaN) gets one
    between its neighbours'.

    Raises:
        ValueError: no frame has a box.
    """
    known = np.flatnonzero(np.isfinite(boxes).all(1))
    if len(known) == 0:
        raise ValueError("no frame has a box")
    every = np.arange(len(boxes))
    filled = np.stack([np.interp(every, known, column[known]) for column in boxes.T], axis=1)
    padded = np.concatenate([filled[:1].repeat(reach, 0), filled, filled[-1:].repeat(reach, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.median(windows, axis=-1)


ROUNDS = 30
CLOSE_ENOUGH_PX = 0.01


def placed_in_box(
    vertices_root_cam_m: Float[np.ndarray, "V 3"],
    box: Box,
    K: Float[np.ndarray, "3 3"],
    start_depth_m: float,
) -> Float[np.ndarray, "3"]:
    """Find the translation at which the projected body has the box's centre and its size.

    Size is the side along which the body is longer: the other depends on the arms, and cut off boxes make no giants.

    Args:
        vertices_root_cam_m: in the camera's axes, about the pelvis.
        K: pixels.
        start_depth_m: any depth at which the whole body is before the camera.
    Returns:
        Where the pelvis is, in the camera's frame.
    Raises:
        ValueError: the body would have to be inside of the camera.
    Source: fixed-point iteration on the projected box, own derivation; test_place_body.py.
    """
    centre_px = np.array([box.left_px + box.width_px / 2, box.top_px + box.height_px / 2])
    along = int(np.ptp(vertices_root_cam_m[:, :2], axis=0).argmax())
    target_px = box[2 + along]
    ray = np.array([*((centre_px - K[:2, 2]) / K[[0, 1], [0, 1]]), 1.0])
    pelvis_cam_m = ray * start_depth_m
    nearest_m = -vertices_root_cam_m[:, 2].min() + 0.05
    for _ in range(ROUNDS):
        points = vertices_root_cam_m + pelvis_cam_m
        points_px = points[:, :2] / points[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
        low, high = points_px.min(0), points_px.max(0)
        off_px = centre_px - (low + high) / 2
        larger = (high - low)[along] / target_px
        if np.abs(off_px).max() < CLOSE_ENOUGH_PX and abs(larger - 1) * target_px < CLOSE_ENOUGH_PX:
            break
        pelvis_cam_m[:2] += off_px * pelvis_cam_m[2] / K[[0, 1], [0, 1]]
        pelvis_cam_m = pelvis_cam_m * max(larger, nearest_m / pelvis_cam_m[2])
    if pelvis_cam_m[2] <= nearest_m:
        raise ValueError(f"no place before the camera lets the body fill a box of {box.width_px:.0f} x "
                         f"{box.height_px:.0f} pixels; check the box, or give --focal-px")  # fmt: skip
    return pelvis_cam_m


NEAREST_M = 0.3
"""A person whose joints would lie nearer than this has no place by them."""


def placed_at_joints(
    joints_root_cam_m: Float[np.ndarray, "J 3"],
    rays: Float[np.ndarray, "J 3"],
    weight: Float[np.ndarray, "J"],
) -> Float[np.ndarray, "3"] | None:
    """Find the translation at which joints lie on the rays along which a picture shows them.

    Args:
        joints_root_cam_m: in the camera's axes, about the pelvis.
        rays: in the camera's axes, of any length.
        weight: how much each joint counts.
    Returns:
        Where the pelvis is, in the camera's frame; None if a joint would lie behind the camera or next to it.
    Source: weighted linear least squares of x - z u = 0 and y - z v = 0; test_place_body.py.
    """
    seen = rays[:, :2] / rays[:, 2:]
    root = np.sqrt(weight)[:, None]
    equations = np.zeros((len(seen), 2, 3))
    equations[:, 0, 0] = equations[:, 1, 1] = 1
    equations[:, :, 2] = -seen
    wanted = seen * joints_root_cam_m[:, 2:] - joints_root_cam_m[:, :2]
    place_m = np.linalg.lstsq((equations * root[..., None]).reshape(-1, 3), (wanted * root).reshape(-1), rcond=None)[0]
    is_before = (joints_root_cam_m[:, 2] + place_m[2]).min() > NEAREST_M
    return place_m if is_before and np.isfinite(place_m).all() else None
