"""Motions as .bvh: bones of one length, and angles per frame.

The format has no place for units or axes.  Here: y up, centimetres unless asked otherwise (most programs that write
.bvh do so; in Blender import with scale 0.01), degrees, channels Z X Y as they are multiplied from left to right, the
root's position absolute (its OFFSET is zero), and no rotation at rest, the T-pose of the body model.
Source: Meredith, Maddock, Motion capture file formats explained, 2001, section on BVH.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from utils.artifacts import atomic_write
from utils.export.rig import Rig, RigMotion, blocks, end_of_bone_m

CENTIMETRES = 100.0
TURN = 2 * np.pi


def zxy_angles_rad(R: Float[np.ndarray, "*n 3 3"]) -> Float[np.ndarray, "*n 3"]:
    """Find z, x and y with R = Rz(z) Rx(x) Ry(y).

    Where x is near a right angle y alone is badly known; x and z are computed from what y leaves, so the three of
    them still make R.
    Source: own derivation from the product's last row; test_export_bvh.py.
    """
    y = np.arctan2(-R[..., 2, 0], R[..., 2, 2])
    cos, sin = np.cos(y)[..., None], np.sin(y)[..., None]
    first = R[..., :, 0] * cos + R[..., :, 2] * sin  # columns of R Ry(-y) = Rz Rx
    last = R[..., :, 2] * cos - R[..., :, 0] * sin
    return np.stack([np.arctan2(first[..., 1], first[..., 0]), np.arctan2(R[..., 2, 1], last[..., 2]), y], axis=-1)


def continuous(angles_rad: Float[np.ndarray, "T J 3"]) -> Float[np.ndarray, "T J 3"]:
    """Choose, of the triples that mean the same rotation, the one nearest to the frame before.

    (z, x, y) and (z + half a turn, half a turn - x, y + half a turn) are the same, and so are whole turns.
    """
    chosen = angles_rad.copy()
    for now in range(1, len(chosen)):
        other = chosen[now] * (1, -1, 1) + np.pi
        both = np.stack([chosen[now], other])
        both -= TURN * np.round((both - chosen[now - 1]) / TURN)
        is_other_nearer = np.diff(np.abs(both - chosen[now - 1]).sum(axis=-1), axis=0)[0] < 0
        chosen[now] = np.where(is_other_nearer[:, None], both[1], both[0])
    return chosen


def hierarchy(rig: Rig, units_per_metre: float, joint: int = 0, depth: int = 0) -> tuple[list[str], list[int]]:
    """Write a joint and all below it; gives the lines, and the joints in the order of their channels."""
    indent, inner = "\t" * depth, "\t" * (depth + 1)

    def offset(values_m: np.ndarray) -> str:
        return "OFFSET " + " ".join(f"{value * units_per_metre:.6f}" for value in values_m)

    is_root = rig.parents[joint] < 0
    from_parent_m = np.zeros(3) if is_root else rig.joints_m[joint] - rig.joints_m[rig.parents[joint]]
    rotation = "Zrotation Xrotation Yrotation"
    channels = f"CHANNELS 6 Xposition Yposition Zposition {rotation}" if is_root else f"CHANNELS 3 {rotation}"
    lines = [f"{indent}{'ROOT' if is_root else 'JOINT'} {rig.names[joint]}", f"{indent}{{"]
    lines += [f"{inner}{offset(from_parent_m)}", f"{inner}{channels}"]
    order, children = [joint], [child for child, parent in enumerate(rig.parents) if parent == joint]
    for child in children:
        below, joints = hierarchy(rig, units_per_metre, child, depth + 1)
        lines, order = lines + below, order + joints
    if not children:
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}\t{offset(end_of_bone_m(rig, joint))}", f"{inner}}}"]
    return [*lines, f"{indent}}}"], order


def channels_of(motion: RigMotion, order: list[int], units_per_metre: float) -> Iterator[Float[np.ndarray, "C"]]:
    """Give the numbers of one frame after another: the pelvis' place, then the angles of the joints in order."""
    last_rad = zxy_angles_rad(motion.rotations[:1].astype(np.float64))
    for rows in blocks(len(motion.rotations)):
        angles_rad = zxy_angles_rad(motion.rotations[rows].astype(np.float64))
        angles_rad = continuous(np.concatenate([last_rad, angles_rad]))[1:]
        last_rad = angles_rad[-1:]
        angles_deg = np.degrees(angles_rad)[:, order].reshape(len(angles_rad), -1)
        yield from np.concatenate([motion.pelvis_m[rows] * units_per_metre, angles_deg], axis=1)


def write_bvh(path: Path, rig: Rig, motion: RigMotion, units_per_metre: float = CENTIMETRES) -> None:
    """Write the bones of a rig and their motion."""
    lines, order = hierarchy(rig, units_per_metre)
    with atomic_write(path) as partial, open(partial, "w") as stream:
        stream.write("HIERARCHY\n" + "\n".join(lines) + "\n")
        stream.write(f"MOTION\nFrames: {len(motion.rotations)}\nFrame Time: {1 / motion.frames_per_second:.9f}\n")
        for row in channels_of(motion, order, units_per_metre):
            stream.write(" ".join(f"{value:.6f}" for value in row) + "\n")
