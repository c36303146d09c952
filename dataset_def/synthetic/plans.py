"""What each of the 15 actions is made of: stances, what the acting hand does, what the other hand does."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dataset_def.synthetic import hands, stances
from dataset_def.synthetic.limbs import Controls
from dataset_def.synthetic.style import Style

Stance = Callable[[np.random.Generator, Style], Controls]


class Plan(NamedTuple):
    """An action as weighted choices, drawn anew for every key pose."""

    stances: tuple[tuple[Stance, float], ...]
    acting: tuple[tuple[hands.Hand, float], ...]
    other: tuple[tuple[hands.Hand, float], ...]
    both: float = 0.15
    """Share of key poses in which the other hand does what the acting hand does."""
    walks: float = 0.0
    """Share of sequences that walk (the stances are then not used)."""
    keeps_stance: float = 0.0
    """Probability that a key pose keeps the kind of stance of the one before."""


REST = ((hands.hang, 4.0), (hands.hip, 1.0), (hands.pocket, 1.0), (hands.gesture, 1.0), (hands.back, 0.3))
SEATED = ((hands.lap, 4.0), (hands.gesture, 1.0), (hands.chin, 0.5), (hands.prop, 0.5), (hands.hang, 0.5))
UPRIGHT = ((stances.stand, 4.0), (stances.stride, 1.0))
SIT = ((stances.sit_chair, 1.0),)

PLANS: dict[int, Plan] = {
    2: Plan(UPRIGHT, ((hands.point, 4.0), (hands.lift, 1.0), (hands.gesture, 1.0), (hands.hang, 1.0)), REST, 0.2),
    3: Plan(UPRIGHT, ((hands.gesture, 4.0), (hands.point, 1.0), (hands.anywhere, 1.0), (hands.folded, 0.7)),
            ((hands.gesture, 3.0), *REST), 0.35),
    4: Plan(((stances.stand, 2.0), (stances.sit_chair, 1.0)), ((hands.mouth, 3.0), (hands.plate, 1.5)),
            ((hands.plate, 3.0), (hands.mouth, 0.5), (hands.hang, 1.0), (hands.lap, 0.5)), 0.1, keeps_stance=0.8),
    5: Plan(((stances.stand, 4.0), (stances.stride, 1.0), (stances.stoop, 1.0)),
            ((hands.wave, 3.0), (hands.lift, 1.0), (hands.point, 1.0), (hands.hang, 1.0)), REST, 0.25),
    6: Plan(((stances.stand, 3.0), (stances.stride, 0.7), (stances.sit_chair, 0.7)), ((hands.phone, 1.0),),
            (*REST, (hands.folded, 0.3)), 0.0, keeps_stance=0.7),
    7: Plan(((stances.stand, 1.0), (stances.stride, 2.0), (stances.stoop, 0.3), (stances.kneel, 0.4)),
            ((hands.hip, 1.5), (hands.anywhere, 2.0), (hands.lift, 1.0), (hands.scalp, 1.0), (hands.folded, 0.7)),
            ((hands.hip, 1.5), (hands.anywhere, 2.0), (hands.back, 0.5), (hands.lift, 0.7)), 0.3),
    8: Plan(((stances.stand, 1.5), (stances.stoop, 2.0), (stances.squat, 0.8), (stances.stride, 0.7)),
            ((hands.pick, 3.0), (hands.hang, 1.0), (hands.plate, 1.0), (hands.point, 0.5)),
            ((hands.pick, 1.0), (hands.hang, 2.0), (hands.lap, 0.5)), 0.3),
    9: Plan(SIT, (*SEATED, (hands.point, 0.5), (hands.anywhere, 0.7)), SEATED, 0.3),
    10: Plan(((stances.sit_floor, 3.0), (stances.squat, 1.0), (stances.kneel, 1.0), (stances.stand, 0.7)),
             (*SEATED, (hands.prop, 2.0), (hands.anywhere, 0.7)), (*SEATED, (hands.prop, 1.5)), 0.3, keeps_stance=0.5),
    11: Plan(((stances.stand, 2.0), (stances.sit_chair, 1.0), (stances.squat, 0.5), (stances.sit_floor, 0.5)),
             ((hands.mouth, 1.5), (hands.gesture, 1.0), (hands.hang, 0.7)), (*REST, (hands.lap, 1.0)), 0.0,
             keeps_stance=0.8),
    12: Plan(((stances.stand, 2.0), (stances.stride, 1.0), (stances.kneel, 1.0), (stances.squat, 0.7),
              (stances.stoop, 0.5)), ((hands.camera, 1.0),), ((hands.camera, 2.0), (hands.hang, 0.5)), 0.75),
    13: Plan(((stances.stand, 4.0), (stances.stride, 0.5), (stances.sit_chair, 0.5)),
             ((hands.folded, 1.0), (hands.watch, 1.0), (hands.scalp, 0.7), (hands.hang, 1.5), (hands.back, 0.7)),
             REST, 0.4),
    14: Plan(UPRIGHT, ((hands.hang, 1.0),), REST, walks=1.0),
    15: Plan(((stances.stand, 1.0), (stances.stoop, 1.5), (stances.squat, 1.0), (stances.stride, 0.5)),
             ((hands.leash, 2.0), (hands.pick, 1.0)), (*REST, (hands.pick, 0.7)), 0.1, walks=0.65),
    16: Plan(UPRIGHT, ((hands.gesture, 1.5), (hands.point, 1.0), (hands.wave, 0.5), (hands.leash, 1.0)), REST, 0.1,
             walks=0.85),
}  # fmt: skip
"""By Human3.6M's action numbers: Directions, Discussion, Eating, Greeting, Phoning, Posing, Purchases, Sitting,
SittingDown, Smoking, Photo, Waiting, Walking, WalkDog, WalkTogether."""
