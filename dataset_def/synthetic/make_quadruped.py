"""Make a body file of a four-legged animal in SMPL's format, of simple rounded limbs, in a second.

    python dataset_def/synthetic/make_quadruped.py --out data/quadruped/body.npz

It shows what another skeleton than SMPL's needs to bring: its joints with their names and parents, how far they turn
(joint_range_rad), and a cycle of motion, here a walk (joint_cycle_rad).  Metres, y up, facing +z, as SMPL's files.

Writes  <out>: 30 joints, 5 shape directions, 2,160 vertices, faces outward, every part closed; own work, 75 kB
Next    dataset_def/synthetic/make_moving_body.py --paths.models-smpl-location <out>
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from config import ranged
from utils.artifacts import atomic_write
from utils.settings import short, start


@dataclass(frozen=True)
@ranged()
class QuadrupedConfig:
    """dataset_def/synthetic/make_quadruped.py: a body file of a four-legged animal."""

    out: Path
    """The body file, .npz."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".npz":
            raise ValueError(f"out is {self.out}, but the body file is an .npz; give it that ending")


class Build(NamedTuple):
    """What the shape numbers change; 1 is the mean animal.  Places and radii are linear in each alone."""

    size: float = 1.0
    trunk: float = 1.0
    girth: float = 1.0
    legs: float = 1.0
    head: float = 1.0


STEPS = Build(0.06, 0.08, 0.12, 0.08, 0.1)
"""How much one shape number changes each: one standard deviation."""

TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck1", "neck2", "head", "jaw")
TAIL = ("tail1", "tail2", "tail3", "tail4")
HIND = ("hip", "knee", "hock", "hind_foot")
FORE = ("shoulder", "elbow", "wrist", "fore_foot")
PARENT = {
    "spine1": "pelvis", "spine2": "spine1", "spine3": "spine2", "neck1": "spine3", "neck2": "neck1", "head": "neck2",
    "jaw": "head", "ear": "head", "tail1": "pelvis", "tail2": "tail1", "tail3": "tail2", "tail4": "tail3",
    "hip": "pelvis", "knee": "hip", "hock": "knee", "hind_foot": "hock",
    "shoulder": "spine3", "elbow": "shoulder", "wrist": "elbow", "fore_foot": "wrist",
}  # fmt: skip
SIDED = ("ear", *HIND, *FORE)
NAMES = (*TRUNK, *(f"{side}_{name}" for side in ("left", "right") for name in SIDED), *TAIL)


def unsided(name: str) -> str:
    """Take the side off a name."""
    return name.removeprefix("left_").removeprefix("right_")


def parent_name(name: str) -> str | None:
    """Name the joint that a joint hangs from; nothing for the root."""
    above = PARENT.get(unsided(name))
    return name.replace(unsided(name), above) if above in SIDED else above


def places_m(build: Build) -> dict[str, Float[np.ndarray, "3"]]:
    """Place joints and the tips of the last bones, left side; x is the animal's left, the trunk's middle the origin."""
    half, leg, head = 0.26 * build.trunk, build.legs, build.head
    places = {
        "pelvis": (0, 0.03, -half), "spine1": (0, 0.04, -half / 2.6), "spine2": (0, 0.04, half / 4),
        "spine3": (0, 0.03, half * 0.85), "neck1": (0, 0.08, half + 0.06), "neck2": (0, 0.18, half + 0.13),
        "tail1": (0, 0.05, -half - 0.1), "tail2": (0, 0.1, -half - 0.19), "tail3": (0, 0.16, -half - 0.27),
        "tail4": (0, 0.23, -half - 0.33), "tail4 tip": (0, 0.31, -half - 0.37),
        "hip": (0.075, -0.01, -half - 0.02), "shoulder": (0.075, -0.02, half - 0.01),
    }  # fmt: skip
    below = {  # from the joint before
        "knee": (0.01, -0.16 * leg, 0.05), "hock": (0, -0.15 * leg, -0.08), "hind_foot": (0, -0.13 * leg, 0.02),
        "hind_foot tip": (0, -0.015, 0.07), "elbow": (0.01, -0.17 * leg, -0.04), "wrist": (0, -0.16 * leg, 0.02),
        "fore_foot": (0, -0.1 * leg, 0.01), "fore_foot tip": (0, -0.015, 0.07),
        "head": (0, 0.09, 0.07), "jaw": (0, -0.03 * head, 0.04 * head), "jaw tip": (0, -0.03 * head, 0.15 * head),
        "head tip": (0, -0.01 * head, 0.2 * head), "ear": (0.045 * head, 0.06 * head, 0),
        "ear tip": (0.03 * head, 0.08 * head, -0.01),
    }  # fmt: skip
    found = {name: np.array(place, float) for name, place in places.items()}
    for name, offset in below.items():
        before = name.removesuffix(" tip") if name.endswith(" tip") else PARENT[name]
        found[name] = found[before] + offset
    return {name: build.size * place for name, place in found.items()}


ENDS = {
    "pelvis": "spine1", "spine1": "spine2", "spine2": "spine3", "spine3": "neck1", "neck1": "neck2", "neck2": "head",
    "head": "head tip", "jaw": "jaw tip", "ear": "ear tip", "tail1": "tail2", "tail2": "tail3", "tail3": "tail4",
    "tail4": "tail4 tip", "hip": "knee", "knee": "hock", "hock": "hind_foot", "hind_foot": "hind_foot tip",
    "shoulder": "elbow", "elbow": "wrist", "wrist": "fore_foot", "fore_foot": "fore_foot tip",
}  # fmt: skip
"""Where the bone of each joint ends."""
RADII_M = {
    "pelvis": (0.115, 0.115), "spine1": (0.115, 0.115), "spine2": (0.115, 0.13), "spine3": (0.13, 0.09),
    "neck1": (0.085, 0.07), "neck2": (0.07, 0.06), "head": (0.07, 0.03), "jaw": (0.03, 0.02), "ear": (0.025, 0.01),
    "tail1": (0.035, 0.028), "tail2": (0.028, 0.023), "tail3": (0.023, 0.018), "tail4": (0.018, 0.01),
    "hip": (0.075, 0.05), "knee": (0.048, 0.028), "hock": (0.027, 0.024), "hind_foot": (0.028, 0.022),
    "shoulder": (0.065, 0.042), "elbow": (0.04, 0.027), "wrist": (0.026, 0.023), "fore_foot": (0.028, 0.022),
}  # fmt: skip
"""Of the bones, at their joint and at their end."""
AROUND = 10
"""Vertices of a ring."""
CAP_RAD = np.radians([55.0, 25.0])
"""Where the rings of the rounded ends lie, from the bone's side: two rings and a tip."""
INSIDE = (0.0, 0.5, 1.0)
"""Where along the bone the rings between the ends lie; the first is about the joint, which is read off it."""
BLEND = 0.3
"""Share of a bone's length over which it hands over to its neighbours."""


def rings(radii_m: tuple[float, float], length_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Give places along a bone, in metres from its joint, and the radius there: tip, rings, tip."""
    start, end = radii_m
    along = [-start, *(-start * np.sin(CAP_RAD)), *(share * length_m for share in INSIDE),
             *(length_m + end * np.sin(CAP_RAD[::-1])), length_m + end]  # fmt: skip
    inside = [start + share * (end - start) for share in INSIDE]
    around = [0.0, *(start * np.cos(CAP_RAD)), *inside, *(end * np.cos(CAP_RAD[::-1])), 0.0]
    return np.array(along), np.array(around)


class Part(NamedTuple):
    """The closed surface about one bone."""

    vertices_m: Float[np.ndarray, "n 3"]
    share: Float[np.ndarray, "n"]
    """Place along the bone: 0 at its joint, 1 at its end."""


def part_of(start_m: np.ndarray, end_m: np.ndarray, radii_m: tuple[float, float]) -> Part:
    """Round a bone off."""
    length_m = float(np.linalg.norm(end_m - start_m))
    axis = (end_m - start_m) / length_m
    across = np.cross([1.0, 0.0, 0.0], axis)
    across /= np.linalg.norm(across)
    other = np.cross(axis, across)
    along, radius = rings(radii_m, length_m)
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    circle = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other
    inner = [start_m + place * axis + size * circle for place, size in zip(along[1:-1], radius[1:-1], strict=True)]
    vertices_m = np.concatenate([[start_m + along[0] * axis], *inner, [start_m + along[-1] * axis]])
    places = np.concatenate([along[:1], np.repeat(along[1:-1], AROUND), along[-1:]])
    return Part(vertices_m, places / length_m)


def faces_of_part() -> Int[np.ndarray, "F 3"]:
    """List the faces of a part, which turn counter-clockwise as seen from outside."""
    count = len(CAP_RAD) * 2 + len(INSIDE)
    here, beside = np.arange(AROUND), (np.arange(AROUND) + 1) % AROUND
    last = count * AROUND + 1
    faces = [np.stack([np.zeros_like(here), 1 + beside, 1 + here], axis=1)]
    for ring in range(count - 1):
        a, b = 1 + ring * AROUND, 1 + (ring + 1) * AROUND
        faces += [
            np.stack([a + here, a + beside, b + beside], axis=1),
            np.stack([a + here, b + beside, b + here], axis=1),
        ]
    a = 1 + (count - 1) * AROUND
    faces.append(np.stack([a + here, a + beside, np.full_like(here, last)], axis=1))
    return np.concatenate(faces)


def on_side(name: str) -> np.ndarray:
    """Give what turns a place of the left side to the side of a name."""
    return np.array([-1.0 if name.startswith("right_") else 1.0, 1.0, 1.0])


def surface_m(build: Build) -> Float[np.ndarray, "V 3"]:
    """Place the vertices of an animal, part after part in the order of the joints."""
    places, found = places_m(build), []
    for name in NAMES:
        own = unsided(name)
        radii = tuple(build.size * build.girth * radius for radius in RADII_M[own])
        found.append(part_of(places[own], places[ENDS[own]], (radii[0], radii[1])).vertices_m * on_side(name))
    return np.concatenate(found)


def all_faces(vertices_of_part: int) -> Int[np.ndarray, "F 3"]:
    """List the faces of all parts; a mirrored part's turn the other way."""
    one = faces_of_part()
    return np.concatenate([(one[:, ::-1] if name.startswith("right_") else one) + number * vertices_of_part
                           for number, name in enumerate(NAMES)])  # fmt: skip


def weights_of(name: str) -> Float[np.ndarray, "n J"]:
    """Share the vertices of a joint's bone among the joint, the one above, and the one at the bone's end."""
    own, places = unsided(name), places_m(Build())
    share = part_of(places[own], places[ENDS[own]], RADII_M[own]).share
    weights = np.zeros((len(share), len(NAMES)))
    above, end = parent_name(name), name.replace(own, ENDS[own])
    if above is not None and unsided(above) not in ("pelvis", "spine3", "head"):  # there the bone is another's branch
        weights[:, NAMES.index(above)] = 0.5 * np.clip(1 - share / BLEND, 0, 1)
    if end in NAMES:
        weights[:, NAMES.index(end)] = 0.5 * np.clip(1 - (1 - share) / BLEND, 0, 1)
    weights[:, NAMES.index(name)] = 1 - weights.sum(axis=1)
    return weights


RANGES = {  # low and high degrees about x (bends forward and back), y (turns aside) and z (leans aside)
    "pelvis": ((-12, 12), (0, 0), (-8, 8)), "spine1": ((-12, 12), (-12, 12), (-6, 6)),
    "spine2": ((-12, 12), (-12, 12), (-6, 6)), "spine3": ((-10, 10), (-12, 12), (-6, 6)),
    "neck1": ((-35, 40), (-30, 30), (-10, 10)), "neck2": ((-30, 35), (-25, 25), (-10, 10)),
    "head": ((-25, 35), (-30, 30), (-15, 15)), "jaw": ((0, 25), (0, 0), (0, 0)),
    "ear": ((-20, 20), (-10, 10), (-20, 20)), "tail1": ((-30, 50), (-35, 35), (0, 0)),
    "tail2": ((-20, 25), (-30, 30), (0, 0)), "tail3": ((-20, 25), (-30, 30), (0, 0)),
    "tail4": ((-20, 25), (-30, 30), (0, 0)), "hip": ((-40, 35), (-6, 6), (-5, 14)), "knee": ((-35, 45), (0, 0), (0, 0)),
    "hock": ((-50, 30), (0, 0), (0, 0)), "hind_foot": ((-25, 40), (0, 0), (0, 0)),
    "shoulder": ((-40, 35), (-6, 6), (-5, 14)), "elbow": ((-50, 35), (0, 0), (0, 0)),
    "wrist": ((-20, 60), (0, 0), (0, 0)), "fore_foot": ((-25, 40), (0, 0), (0, 0)),
}  # fmt: skip
WALK_DEGREES = {  # middle, swing and phase (of the cycle) about x
    "hip": (0, 24, 0.0), "knee": (6, 16, 0.3), "hock": (-6, 18, 0.4), "hind_foot": (4, 14, 0.6),
    "shoulder": (0, 24, 0.0), "elbow": (-8, 20, 0.3), "wrist": (14, 20, 0.4), "fore_foot": (4, 14, 0.6),
}  # fmt: skip
FOOTFALL = {"left_hind": 0.0, "left_fore": 0.25, "right_hind": 0.5, "right_fore": 0.75}
"""When each leg is where the left hind leg is at 0: a walk, one foot after the other.
Source: Hildebrand, Symmetrical gaits of horses, Science 150, 1965: the lateral sequence."""
CYCLE_FRAMES = 24


def ranges_rad() -> Float[np.ndarray, "J 3 2"]:
    """Say how far each joint turns about the axes; on the right side left and right are exchanged."""
    found = np.array([RANGES[unsided(name)] for name in NAMES], float)
    for row, name in enumerate(NAMES):
        if name.startswith("right_"):
            found[row, 1:] = -found[row, 1:, ::-1]
    return np.radians(found)


def walk_rad() -> Float[np.ndarray, "T J 3"]:
    """Give a cycle of the walk, as angles about x, y, z."""
    time = np.arange(CYCLE_FRAMES) / CYCLE_FRAMES
    found = np.zeros((CYCLE_FRAMES, len(NAMES), 3))
    for row, name in enumerate(NAMES):
        own = unsided(name)
        if own in WALK_DEGREES:
            middle, swing, phase = WALK_DEGREES[own]
            later = FOOTFALL[f"{name.split('_')[0]}_{'hind' if own in HIND else 'fore'}"]
            found[:, row, 0] = middle + swing * np.sin(2 * np.pi * (time - later + phase))
    sway = np.sin(2 * np.pi * time)
    for name, degrees in (("spine1", 4.0), ("spine3", -4.0), ("tail1", 12.0)):
        found[:, NAMES.index(name), 1] = degrees * sway
    return np.radians(found)


def joint_regressor(vertices_of_part: int) -> Float[np.ndarray, "J V"]:
    """Read each joint off the ring about the start of its bone."""
    regressor = np.zeros((len(NAMES), len(NAMES) * vertices_of_part))
    first = 1 + len(CAP_RAD) * AROUND
    for row in range(len(NAMES)):
        regressor[row, row * vertices_of_part + first :][:AROUND] = 1 / AROUND
    return regressor


def quadruped() -> dict[str, np.ndarray]:
    """Make the arrays of the body file."""
    mean, template_m = Build(), surface_m(Build())
    directions = [
        (surface_m(mean._replace(**{name: 1 + step})) - surface_m(mean._replace(**{name: 1 - step}))) / 2
        for name, step in STEPS._asdict().items()
    ]
    per_part = len(template_m) // len(NAMES)
    above = [parent_name(name) for name in NAMES]
    return {
        "v_template": template_m.astype(np.float32),
        "shapedirs": np.stack(directions, axis=2).astype(np.float32),
        "posedirs": np.zeros((len(template_m), 3, 0), np.float32),
        "J_regressor": joint_regressor(per_part).astype(np.float32),
        "weights": np.concatenate([weights_of(name) for name in NAMES]).astype(np.float32),
        "kintree_table": np.array([[-1 if one is None else NAMES.index(one) for one in above], range(len(NAMES))]),
        "f": all_faces(per_part),
        "joint_names": np.array(NAMES),
        "joint_range_rad": ranges_rad().astype(np.float32),
        "joint_cycle_rad": walk_rad().astype(np.float32),
    }


def main(config: QuadrupedConfig) -> Path:
    """Make the body and write it."""
    with atomic_write(config.out) as partial, open(partial, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **quadruped())
    print(f"{short(config.out)}: {len(NAMES)} joints, {config.out.stat().st_size // 1000} kB")
    return config.out


if __name__ == "__main__":
    start(main, QuadrupedConfig)
