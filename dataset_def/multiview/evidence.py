"""Whether keypoints and masks that a user gives lie on somebody: compared with whom a detector sees in some pictures.

Keypoints of another recording agree with each other in all views, and masks of the floor do; only the pictures tell.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dataset_def.multiview.people_in_views import (
    SURE_CONFIDENCE,
    PersonInViews,
    SeenSomebody,
    ViewMask,
    Views,
    ideal_frames,
    networks_of,
    somebody,
    view_mask,
)
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from utils.processes import for_each
from utils.skeleton import KEYPOINTS_25

LOOKED_AT = 12
"""Pictures of each camera that are looked at, spread over the recording."""
REACH = 0.07
"""Keypoints and masks count as on a person within this part of the side of the picture that the detector cut the person
out of: 12 to 15 cm, for keypoints lie at the edge of thin limbs."""
LEAST_ON_SOMEBODY = 0.5
"""Share of keypoints, or of a mask, that must lie on somebody, in the median over a camera's pictures."""
LEAST_PICTURES = 3
"""Pictures in which the detector sees somebody, below which nothing is said of a camera; of a shorter recording all."""


class LookJob(NamedTuple):
    """One camera in some of whose pictures people are looked for."""

    view: RecordedView
    every: int
    num_instants: int
    chosen: tuple[int, ...]
    networks: Path
    kind: str


class Looks(NamedTuple):
    """Whom a detector sees in some pictures."""

    instants: tuple[int, ...]
    people: list[list[list[SeenSomebody]]]
    """By camera, then by chosen instant."""


def people_in_some(job: LookJob) -> list[list[SeenSomebody]]:
    """Find everybody in some pictures of one camera."""
    networks, found = networks_of(job.networks, job.kind), []
    last = job.chosen[-1] + 1
    for instant, rgb in enumerate(islice(ideal_frames(job.view, job.every, job.num_instants), last)):
        if instant in job.chosen:
            found.append([one for one in map(somebody, networks.people(rgb)) if one is not None])
    return found


def some_instants(count: int) -> tuple[int, ...]:
    """Choose instants, spread over all."""
    return tuple(np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int)).tolist())


def looks_of(detected: Views) -> Looks:
    """Take some pictures of a detection of all."""
    chosen = some_instants(len(detected[0]))
    return Looks(chosen, [[frames[instant] for instant in chosen] for frames in detected])


def looked_at(recording: MultiviewRecording, networks: Path, kind: str, processes: int) -> Looks:
    """Look for people in some pictures of every camera."""
    chosen = some_instants(recording.num_instants)
    jobs = [LookJob(view, recording.every, recording.num_instants, chosen, networks, kind) for view in recording.views]
    return Looks(chosen, for_each(people_in_some, jobs, processes, "look at the evidence"))


def looks_at_masks(person: PersonInViews) -> Looks:
    """Take the person's masks for whom a detector would see, where there is none: both lie on one person, or apart."""
    chosen = some_instants(len(person.masks))
    nowhere = np.zeros((len(KEYPOINTS_25), 3))
    masks = [[person.masks[instant][view] for instant in chosen] for view in range(len(person.cameras))]
    return Looks(chosen, [[[] if one is None else [SeenSomebody(nowhere, about_its_person(one))] for one in masks_of]
                          for masks_of in masks])  # fmt: skip


def about_its_person(mask: ViewMask) -> ViewMask:
    """Cut a mask to a square about whom it shows, as the detector's are."""
    image = mask.image
    x, y, width, height = cv2.boundingRect(np.where(image > 127, 255, 0).astype(np.uint8))
    side = max(width, height)
    border = round(REACH * 2 * side) + 1
    wide = cv2.copyMakeBorder(image[y : y + height, x : x + width], border, border + side - height, border,
                              border + side - width, cv2.BORDER_CONSTANT)  # fmt: skip
    moved = mask.picture_from_mask.copy()
    moved[:, 2] += moved[:, :2] @ np.array([x - border, y - border], float)
    return view_mask(wide.astype(np.uint8, copy=False), moved)


def widened_mask(mask: ViewMask) -> UInt8[np.ndarray, "h w"]:
    """Widen a detected person by what keypoints and masks may lie beside."""
    image = mask.image
    reach_px = max(1, round(REACH * max(image.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    return cv2.dilate(np.where(image > 127, 255, 0).astype(np.uint8), disc).astype(np.uint8, copy=False)


def on_somebody(points_px: Float[np.ndarray, "n 2"], people: Sequence[SeenSomebody]) -> Bool[np.ndarray, "n"]:
    """Tell which points of a view's picture lie on one of its people."""
    found = np.zeros(len(points_px), bool)
    for mask in (one.mask for one in people if one.mask is not None):
        from_picture = np.linalg.inv(np.vstack([mask.picture_from_mask, [0, 0, 1]]))[:2]
        x, y = np.floor(points_px @ from_picture[:, :2].T + from_picture[:, 2]).astype(int).T
        widened = widened_mask(mask)
        there = (x >= 0) & (y >= 0) & (x < widened.shape[1]) & (y < widened.shape[0])
        found[there] |= widened[y[there], x[there]] > 0
    return found


GRID = 24
"""Points along a side of a mask at which it is compared with people."""


def points_of_mask(mask: ViewMask) -> Float[np.ndarray, "n 2"]:
    """Spread points over what a mask covers, in the view's picture."""
    rows, columns = np.nonzero(mask.image > 127)
    if not len(rows):
        return np.zeros((0, 2))
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), GRID * GRID)).round().astype(int))
    at = np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5
    return at @ mask.picture_from_mask[:, :2].T + mask.picture_from_mask[:, 2]


def shares_on_somebody(person: PersonInViews, looks: Looks, what: str) -> list[list[float]]:
    """Measure, camera by camera, the share of the evidence that lies on somebody, where there is both.

    Args:
        what: keypoints or masks.
    """
    found: list[list[float]] = []
    for view, pictures in enumerate(looks.people):
        found.append([])
        for instant, people in zip(looks.instants, pictures, strict=True):
            mask = person.masks[instant][view]
            if what == "keypoints":
                seen = person.keypoints_px[instant, view]
                points_px = seen[seen[:, 2] >= SURE_CONFIDENCE, :2]
            else:
                points_px = np.zeros((0, 2)) if mask is None else points_of_mask(mask)
            if people and len(points_px):
                found[-1].append(float(on_somebody(points_px, people).mean()))
    return found


def evidence_problems(
    names: list[str], person: PersonInViews, looks: Looks, what: str, on: str = "somebody whom the detector sees"
) -> list[str]:
    """List in words the cameras whose evidence lies beside everybody.

    Args:
        on: whom `looks` are of, in words.
    """
    problems = []
    for name, shares in zip(names, shares_on_somebody(person, looks, what), strict=True):
        if len(shares) >= min(LEAST_PICTURES, len(looks.instants)) and np.median(shares) < LEAST_ON_SOMEBODY:
            problems.append(f"{np.median(shares):.0%} of camera {name}'s {what} lie on {on}")
    return problems


def not_judged(names: list[str], person: PersonInViews, looks: Looks, what: str) -> list[str]:
    """Name the cameras in whose pictures the detector sees nobody, so that nothing is known of their evidence."""
    shares = shares_on_somebody(person, looks, what)
    return [
        name for name, one in zip(names, shares, strict=True) if len(one) < min(LEAST_PICTURES, len(looks.instants))
    ]
