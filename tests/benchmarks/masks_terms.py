"""What each term of the fit and damage in the training bring to bodies from masks: a small table.

    python tests/benchmarks/masks_terms.py --seeds 0

Shares teachers with bodies_from_masks.py (and trains one more, without damage), fits the
same people with one thing changed at a time.  Nothing is chosen by it: it reports.
"""

from dataclasses import replace
from functools import partial

from models.masks_fit import MasksFitLoss, MasksFitSteps
from tests.benchmarks.bodies_from_masks import MASKS_AND_POSES, PROTOCOL, RESULT, ROOT_TOO, Row, Settings, measure
from utils.settings import start

LOSS, STEPS = MasksFitLoss(), MasksFitSteps()


def changed(**changes: object) -> Row:
    """Give the default row with other settings of the fit."""
    return Row("generator", changes, "true", ROOT_TOO)


ROWS: dict[str, Row] = {
    "default": changed(),
    "no overlap of silhouettes": changed(loss=replace(LOSS, soft_iou=0.0)),
    "no pull to the teacher's joints": changed(loss=replace(LOSS, teacher=0.0)),
    "no pull to the teacher's rotations": changed(loss=replace(LOSS, turned=0.0)),
    "no hinges": changed(loss=replace(LOSS, joint_axis=0.0)),
    "no clothes": changed(loss=replace(LOSS, cloth=1e4), steps=replace(STEPS, usual_cloth_m=0.0)),
    "clothes held at the usual": changed(loss=replace(LOSS, cloth=1e4)),
    "shape of the teacher": changed(steps=replace(STEPS, shape_steps=0)),
    "no fit": changed(steps=replace(STEPS, shape_steps=0, steps=0)),
    "120 steps": changed(steps=replace(STEPS, steps=120)),
    "trained with damage, true masks": Row("masks", {}, "true", MASKS_AND_POSES),
    "trained with damage, damaged masks": Row("masks", {}, "damaged", MASKS_AND_POSES),
    "trained with damage, three cameras": Row("masks", {"cameras": (1, 2, 3)}, "true", MASKS_AND_POSES),
    "trained without damage, true masks": Row("undamaged", {}, "true", MASKS_AND_POSES),
    "trained without damage, damaged masks": Row("undamaged", {}, "damaged", MASKS_AND_POSES),
    "trained without damage, three cameras": Row("undamaged", {"cameras": (1, 2, 3)}, "true", MASKS_AND_POSES),
}

if __name__ == "__main__":
    plain = Settings(every=18, seeds=(0,), result=RESULT.with_name("masks_terms.json"))
    start(partial(measure, table=ROWS, protocol=PROTOCOL, prefix="terms_"), Settings, default=plain)
