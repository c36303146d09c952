"""How true a silhouette's gradient is: against differences of a brute-force picture along smooth deformations."""

from collections.abc import Callable

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

HARD_SAMPLES = 16
"""Along each side of a pixel."""
FIELDS, STEP_PX = 24, 0.1
"""Deformation fields per view, and how far the largest movement goes to either side: with 0.3 px the differences are
themselves further from the limit (16 lines a pixel then reach a cosine of 0.997, with 0.1 px 0.9994)."""


@numba.njit(cache=True)
def _hard_samples(points, faces, size, n):  # type: ignore[no-untyped-def]
    """Mark the samples that lie in any face, by trying those in the box of every face."""
    covered = np.zeros((size * n, size * n), np.uint8)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        turn = 1.0 if area > 0 else -1.0
        for row in range(max(int(min(ay, by, cy) * n) - 1, 0), min(int(max(ay, by, cy) * n) + 2, size * n)):
            y = (row + 0.5) / n
            for column in range(max(int(min(ax, bx, cx) * n) - 1, 0), min(int(max(ax, bx, cx) * n) + 2, size * n)):
                x = (column + 0.5) / n
                inside = turn * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) >= 0
                inside &= turn * ((cx - bx) * (y - by) - (cy - by) * (x - bx)) >= 0
                inside &= turn * ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) >= 0
                covered[row, column] |= inside
    return covered


def brute_force(xy_px: Float[np.ndarray, "V 2"], faces: Int[np.ndarray, "F 3"], size: int) -> Float[np.ndarray, "H W"]:
    """Draw the share of hard samples that any face covers."""
    samples = _hard_samples(xy_px, faces, size, HARD_SAMPLES)
    return samples.reshape(size, HARD_SAMPLES, size, HARD_SAMPLES).mean((1, 3))


def fields(points_px: Float[np.ndarray, "V 3"], size: int, seed: int) -> Float[np.ndarray, "K V 2"]:
    """Draw smooth movements of space, at most 1 px per axis: sine waves as long as the image, down to a quarter."""
    rng = np.random.default_rng(seed)
    per_side = 4 ** rng.uniform(size=(FIELDS, 1, 1))
    waves = rng.normal(size=(FIELDS, 3, 2)) * per_side * 2 * np.pi / size
    return np.sin(points_px @ waves + rng.uniform(0, 2 * np.pi, size=(FIELDS, 1, 2)))


def moved_target(points_px: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], size: int) -> Float[Tensor, "H W"]:
    """Draw the mask that the loss asks for: the same body 5 % larger, 3 px to the right and 2 px up."""
    middle = size / 2
    return torch.from_numpy(brute_force((points_px[:, :2] - middle) * 1.05 + middle + [3.0, -2.0], faces, size)).float()


Draw = Callable[[Float[Tensor, "1 V 3"]], Float[Tensor, "1 H W"]]


def compare(
    draws: dict[str, Draw], points_px: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], size: int, seed: int
) -> dict[str, dict[str, np.ndarray | float]]:
    """Give the slopes of half the summed squared error along the fields: the true ones and each method's; and IoUs."""
    target, moves = moved_target(points_px, faces, size), fields(points_px, size, seed)

    def loss(xy_px: np.ndarray) -> float:
        return float(0.5 * ((brute_force(xy_px, faces, size) - target.numpy()) ** 2).sum())

    xy_px, reference = points_px[:, :2], torch.from_numpy(brute_force(points_px[:, :2].copy(), faces, size))
    true = [(loss(xy_px + STEP_PX * move) - loss(xy_px - STEP_PX * move)) / (2 * STEP_PX) for move in moves]
    found: dict[str, dict[str, np.ndarray | float]] = {"true": {"slopes": np.array(true)}}
    for name, draw in draws.items():
        leaf = torch.from_numpy(points_px).float()[None].requires_grad_()
        coverage = draw(leaf)[0].cpu()
        (0.5 * (coverage - target).square().sum()).backward()
        assert leaf.grad is not None
        slopes = np.einsum("vc,kvc->k", leaf.grad[0, :, :2].double().numpy(), moves)
        drawn = coverage.detach()
        iou = float(torch.minimum(drawn, reference).sum() / torch.maximum(drawn, reference).sum())
        found[name] = {"slopes": slopes, "iou": iou}
    return found


def cosine_and_magnitude(slopes: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Compare slopes along many fields: the cosine between the two vectors, and the ratio of their lengths."""
    length, true_length = np.linalg.norm(slopes), np.linalg.norm(true)
    return float(slopes @ true / length / true_length), float(length / true_length)
