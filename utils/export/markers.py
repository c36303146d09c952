"""Named markers of a body, as motion laboratories stick them on: joint centres, and points of the surface.

The points have the names of the Plug-in Gait marker set (LASI, RKNE, C7, ...; the inner ones of elbows, knees and
ankles end in M).  No vertex is named by its number: each marker is a ray from the skeleton through the surface of the
mean body in its T-pose (y up, facing +z), and the vertex nearest to where the ray leaves the limb is the marker, of
every shape and in every pose.  In the T-pose the palms face down, so an elbow's outer side is above and the thumb's
side of a wrist in front.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from utils.export.rig import Rig, RigMotion, blocks, posed_joints

PELVIS_WIDTHS_UP, PELVIS_WIDTHS_OUT = 0.30, 0.14
"""Where the front spine of the pelvis lies from the hip joint: above it and outwards, in distances between the two
front spines.  Source: Bell, Pedersen, Brand, A comparison of the accuracy of several hip center location prediction
methods, J. Biomech. 23, 1990 (30 % distal, 14 % medial)."""
ARM = ("left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand")
LEG = ("left_hip", "left_knee", "left_ankle", "left_foot")
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "right_collar", "left_hip", "right_hip")
OUT, IN, UP, DOWN, FRONT, BACK = (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)


class Ray(NamedTuple):
    """A line from the skeleton outwards."""

    start: tuple[str, ...]
    """Points of `starts_m` whose middle it starts at."""
    direction: tuple[float, float, float]
    """To the left, up, to the front."""
    limb: tuple[str, ...]
    """Joints whose surface it may leave through: the ray to the inside of a knee meets the other leg, too."""
    at_height_of: str = ""
    """Joint that the start is lowered to."""


LEFT_RAYS: dict[str, Ray] = {
    "LFHD": Ray(("head", "top"), (1, 0, 1), TRUNK),
    "LBHD": Ray(("head", "top"), (1, 0, -1), TRUNK),
    "LSHO": Ray(("left_shoulder",), UP, ARM),
    "LUPA": Ray(("left_shoulder", "left_elbow"), UP, ARM),
    "LELB": Ray(("left_elbow",), UP, ARM),
    "LELBM": Ray(("left_elbow",), DOWN, ARM),
    "LFRM": Ray(("left_elbow", "left_wrist"), UP, ARM),
    "LWRA": Ray(("left_wrist",), FRONT, ARM),
    "LWRB": Ray(("left_wrist",), BACK, ARM),
    "LFIN": Ray(("left_hand",), UP, ARM),
    "LASI": Ray(("left_front_spine",), FRONT, TRUNK),
    "LPSI": Ray(("left_back_spine",), BACK, TRUNK),
    "LTHI": Ray(("left_hip", "left_knee"), OUT, LEG),
    "LKNE": Ray(("left_knee",), OUT, LEG),
    "LKNEM": Ray(("left_knee",), IN, LEG),
    "LTIB": Ray(("left_knee", "left_ankle"), OUT, LEG),
    "LANK": Ray(("left_ankle",), OUT, LEG),
    "LANKM": Ray(("left_ankle",), IN, LEG),
    "LHEE": Ray(("left_ankle",), BACK, LEG, at_height_of="left_foot"),
    "LTOE": Ray(("left_foot",), UP, LEG),
}
MIDDLE_RAYS: dict[str, Ray] = {
    "C7": Ray(("neck",), BACK, TRUNK),
    "T10": Ray(("spine3",), BACK, TRUNK),
    "CLAV": Ray(("left_collar", "right_collar"), FRONT, TRUNK),
    "STRN": Ray(("spine3",), FRONT, TRUNK),
}


class Markers(NamedTuple):
    """Which markers a body has, and what of its surface they lie on."""

    joint_names: tuple[str, ...]
    surface_names: tuple[str, ...]
    vertices: Int[np.ndarray, "M"]
    """Rows of the body's vertices, one per name of the surface."""
    directions_m: Float[np.ndarray, "P M 3"]
    """What the pose adds at these vertices per entry of the rotations minus identity; no rows if the body has none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Give all names, the joints first."""
        return self.joint_names + self.surface_names


def joint_marker(name: str) -> str:
    """Name a joint centre as programs without markers do: LKnee for left_knee, Pelvis for pelvis."""
    side, _, rest = name.partition("_")
    return side[0].upper() + "".join(word.capitalize() for word in rest.split("_")) if rest else name.capitalize()


def all_rays() -> Iterator[tuple[str, Ray]]:
    """Give every marker with its ray; the right ones are the left ones' mirror images."""
    for name, ray in LEFT_RAYS.items():
        yield name, ray
        start, limb = (tuple(joint.replace("left_", "right_") for joint in names) for names in (ray.start, ray.limb))
        direction = (-ray.direction[0], *ray.direction[1:])
        yield "R" + name[1:], Ray(start, direction, limb, ray.at_height_of.replace("left_", "right_"))
    yield from MIDDLE_RAYS.items()


def starts_m(rig: Rig) -> dict[str, Float[np.ndarray, "3"]]:
    """Give the joints by name, the top of the head above its joint, and the places of the spines inside the pelvis.

    The spines are found from the hips as laboratories find hips from the spines; those of the back lie at the height
    of those of the front, half as far from the middle as the hips.
    """
    places = dict(zip(rig.names, rig.joints_m, strict=True))
    places["top"] = np.array([places["head"][0], rig.vertices_m[:, 1].max(), places["head"][2]])
    width_m = (places["left_hip"][0] - places["right_hip"][0]) / (1 - 2 * PELVIS_WIDTHS_OUT)
    for side, sign in (("left", 1), ("right", -1)):
        above_m = places[f"{side}_hip"] + [0, PELVIS_WIDTHS_UP * width_m, 0]
        places[f"{side}_front_spine"] = above_m + np.array([sign * PELVIS_WIDTHS_OUT * width_m, 0, 0])
        places[f"{side}_back_spine"] = above_m * [0.5, 1, 1]
    return places


def leaves_at_m(
    start_m: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"], triangles_m: Float[np.ndarray, "F 3 3"]
) -> Float[np.ndarray, "3"] | None:
    """Find where a ray crosses triangles for the last time; None if it crosses none.

    Source: Moeller, Trumbore, Fast, minimum storage ray/triangle intersection, 1997.
    """
    first, edge_1, edge_2 = triangles_m[:, 0], *(triangles_m[:, corner] - triangles_m[:, 0] for corner in (1, 2))
    across = np.cross(direction, edge_2)
    volume = np.einsum("fc,fc->f", edge_1, across)
    is_met = np.abs(volume) > np.finfo(float).tiny
    inverse = np.divide(1, volume, out=np.zeros_like(volume), where=is_met)
    u = np.einsum("fc,fc->f", start_m - first, across) * inverse
    beside = np.cross(start_m - first, edge_1)
    v = beside @ direction * inverse
    along_m = np.einsum("fc,fc->f", edge_2, beside) * inverse
    is_met &= (u >= 0) & (v >= 0) & (u + v <= 1) & (along_m > 0)
    return start_m + along_m[is_met].max() * direction if is_met.any() else None


def marker_vertices(rig: Rig) -> dict[str, int]:
    """Choose the vertex of every marker.

    Args:
        rig: the mean body in its T-pose.
    Raises:
        ValueError: the body lacks a joint that the rules start from, or a ray meets no surface.
    """
    lacking = sorted({name for _, ray in all_rays() for name in ray.limb} - set(rig.names))
    if lacking:
        raise ValueError(f"the body has no joints {', '.join(lacking)}; markers are known for SMPL's skeleton")
    places, main, chosen = starts_m(rig), rig.weights.argmax(axis=1), {}
    for name, ray in all_rays():
        start_m = np.mean([places[point] for point in ray.start], axis=0)
        if ray.at_height_of:
            start_m[1] = places[ray.at_height_of][1]
        is_limb = np.isin(main, [rig.names.index(joint) for joint in ray.limb])
        faces = rig.faces[is_limb[rig.faces].all(axis=1)]
        direction = np.array(ray.direction, float) / np.linalg.norm(ray.direction)
        met_m = leaves_at_m(start_m, direction, rig.vertices_m[faces])
        if met_m is None:
            raise ValueError(f"the ray of marker {name} meets no surface of {', '.join(ray.limb)}; this body cannot "
                             "carry the markers: write other formats")  # fmt: skip
        corners = np.unique(faces)
        chosen[name] = int(corners[np.linalg.norm(rig.vertices_m[corners] - met_m, axis=1).argmin()])
    return chosen


def marker_blocks_m(rig: Rig, motion: RigMotion, markers: Markers) -> Iterator[Float[np.ndarray, "t N 3"]]:
    """Give where all markers are, some frames at a time, y up, in the order of their names; as the body poses them.

    Source: Loper et al., SMPL, 2015, equations 2 to 9.
    """
    rest_m, weights = rig.vertices_m[markers.vertices], rig.weights[markers.vertices]
    for rows in blocks(len(motion.pelvis_m)):
        part = RigMotion(motion.rotations[rows], motion.pelvis_m[rows], motion.frames_per_second)
        R, joints_m = posed_joints(rig, part)
        posed_m = np.broadcast_to(rest_m, (len(R), *rest_m.shape))
        if len(markers.directions_m):
            feature = (part.rotations[:, 1:] - np.eye(3)).reshape(len(R), -1)
            posed_m = posed_m + np.einsum("tp,pmc->tmc", feature, markers.directions_m)
        turned = np.einsum("mj,tjab,tmb->tma", weights, R, posed_m, optimize=True)
        shift_m = joints_m - np.einsum("tjab,jb->tja", R, rig.joints_m)
        yield np.concatenate([joints_m, turned + np.einsum("mj,tja->tma", weights, shift_m)], axis=1)


def marker_places_m(rig: Rig, motion: RigMotion, markers: Markers) -> Float[np.ndarray, "T N 3"]:
    """Give where all markers are in all frames."""
    return np.concatenate(list(marker_blocks_m(rig, motion, markers)))
