"""Procedural patterns of cloth and room, evaluated point by point in numba: sharp at every image size.

Scalars only: small-array expressions cost four to ten times more.
"""

import math

from utils.compiled import compiled

PLAIN, STRIPES, CHECKS, DOTS, BLOCKS, GRADIENT, CAMOUFLAGE, ZIGZAG = range(8)
"""The kinds of cloth pattern; `pattern_share` mixes two colours by them."""


@compiled()
def lattice(i: int, j: int, seed: int) -> float:
    """Give a repeatable random number in [0, 1) to a cell of a grid.

    Source: integer hash after Jenkins' one-at-a-time mixing; test_appearance.py holds its mean and spread.
    """
    h = (i * 374761393 + j * 668265263 + seed * 974634777) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 16777216.0


@compiled()
def value_noise(x: float, y: float, seed: int) -> float:
    """Interpolate the lattice smoothly; in [0, 1), with features of size one."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = int(i), int(j)
    low = lattice(i, j, seed) * (1 - u) + lattice(i + 1, j, seed) * u
    high = lattice(i, j + 1, seed) * (1 - u) + lattice(i + 1, j + 1, seed) * u
    return low * (1 - v) + high * v


@compiled()
def cycle(x: float) -> float:
    """Give the fractional part, in [0, 1) for negative numbers too."""
    return x - math.floor(x)


@compiled()
def pattern_share(kind: int, along: float, across: float, size: float, phase: float, seed: int) -> float:
    """Give the share of the second colour at a point of the cloth.

    Args:
        along: metres along the limb or down the trunk; `across` metres around it.
        size: metres per repetition.
        phase: shift, in repetitions.
    """
    u, v = along / size + phase, across / size
    if kind == STRIPES:
        return 1.0 if cycle(u) < 0.5 else 0.0
    if kind == CHECKS:
        return 0.5 * ((cycle(u) < 0.5) + (cycle(v + 0.25) < 0.5))
    if kind == DOTS:
        row = math.floor(u)
        du, dv = cycle(u) - 0.5, cycle(v + 0.5 * (row % 2)) - 0.5
        return 1.0 if du * du + dv * dv < 0.09 else 0.0
    if kind == BLOCKS:
        return 1.0 if v > 0 else 0.0
    if kind == GRADIENT:
        return min(max(u * 0.5, 0.0), 1.0)
    if kind == CAMOUFLAGE:
        noise = value_noise(u * 2.2, v * 2.2, seed)
        return 0.0 if noise < 0.42 else (1.0 if noise > 0.58 else 0.5)
    if kind == ZIGZAG:
        return 1.0 if cycle(u + abs(cycle(v) - 0.5)) < 0.5 else 0.0
    return 0.0
