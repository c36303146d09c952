"""The One-Euro filter: smooth when a signal is slow, quick when it is fast, and without looking ahead."""

import numpy as np
import roma
import torch
from jaxtyping import Float


def _weight(cutoff_hz: Float[np.ndarray, "*n"] | float, step_s: float) -> Float[np.ndarray, "*n"] | float:
    """Give the share of the new value in a first-order low-pass."""
    r = 2 * np.pi * cutoff_hz * step_s
    return r / (r + 1)


class OneEuro:
    """Filter an array that comes frame by frame; every number on its own.

    Args:
        least_cutoff_hz: lower is smoother at rest.
        speed_factor: higher follows quick movements closer; per unit of the signal and second.
    Source: Casiez, Roussel, Vogel, "1 euro filter", CHI 2012, algorithm 1.
    """

    def __init__(self, frames_per_second: float, least_cutoff_hz: float, speed_factor: float):
        self.step_s = 1 / frames_per_second
        self.least_cutoff_hz, self.speed_factor = least_cutoff_hz, speed_factor
        self.value: np.ndarray | None = None
        self.speed = np.zeros(())

    def __call__(self, new: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Take the next frame's array, and give the filtered one."""
        if self.value is None:
            self.value, self.speed = new.astype(np.float64), np.zeros(new.shape)
            return self.value
        self.speed = self.speed + _weight(1.0, self.step_s) * ((new - self.value) / self.step_s - self.speed)
        cutoff_hz = self.least_cutoff_hz + self.speed_factor * np.abs(self.speed)
        self.value = self.value + _weight(cutoff_hz, self.step_s) * (new - self.value)
        return self.value


class SmoothRotations:
    """Filter rotations that come frame by frame, as quaternions of one sign, made unit again."""

    def __init__(self, frames_per_second: float, least_cutoff_hz: float, speed_factor: float):
        self.filter = OneEuro(frames_per_second, least_cutoff_hz, speed_factor)

    def __call__(self, rotations: Float[np.ndarray, "*n 3 3"]) -> Float[np.ndarray, "*n 3 3"]:
        """Take the next frame's rotations, and give the filtered ones."""
        quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotations.astype(np.float64))).numpy()
        if self.filter.value is not None:
            is_opposite = (quaternions * self.filter.value).sum(-1, keepdims=True) < 0
            quaternions = np.where(is_opposite, -quaternions, quaternions)
        smooth = self.filter(quaternions)
        unit = smooth / np.linalg.norm(smooth, axis=-1, keepdims=True)
        return roma.unitquat_to_rotmat(torch.from_numpy(unit)).numpy()
