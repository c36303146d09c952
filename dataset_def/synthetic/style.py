"""How a subject moves: one habit per number, drawn once per subject."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.limbs import REST_JOINTS_M


class Style(NamedTuple):
    """The habits of one subject."""

    tempo: float
    """Speed over the average."""
    liveliness: float
    """Size of movements over the average."""
    stance_m: float
    """Distance of each ankle from the middle when standing."""
    stoop_rad: float
    """Bend of the trunk when standing."""
    toes_out_rad: float
    """Turn of the feet to the outside."""
    elbows_out: float
    """How far elbows and hands stay off the body, over the average."""
    stride_m: float
    """Length of a step."""
    right_handed: float
    """Probability that the right hand acts."""
    rest_joints_m: Float[np.ndarray, "24 3"]
    """Joints of the subject's body at theta = 0."""


def subject_style(subject: int, seed: int) -> Style:
    """Draw the habits of a subject; the same subject and seed give the same habits."""
    rng = np.random.default_rng([seed, subject, 101])
    return Style(
        tempo=rng.uniform(0.8, 1.25),
        liveliness=rng.uniform(0.85, 1.2),
        stance_m=rng.uniform(0.09, 0.15),
        stoop_rad=rng.uniform(-0.05, 0.15),
        toes_out_rad=rng.uniform(0.02, 0.35),
        elbows_out=rng.uniform(0.85, 1.25),
        stride_m=rng.uniform(0.55, 0.72),
        right_handed=rng.choice([0.15, 0.85], p=[0.2, 0.8]),
        rest_joints_m=REST_JOINTS_M,
    )
