"""Whose data a number was made from, and the tier that this makes: rows of two tiers cannot be compared as recipes.

Data sets say what they read where they read it; a checkpoint carries what its training and the stages before it read;
metrics.json and every table state it.  Features of networks that were pretrained on ImageNet, and the body model, are
in every tier.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from config import Crop, EncDecConfig, MasksConfig, MeshConfig, PoseConfig, PoseSources

NOT_RECORDED = "not recorded"
UNNAMED = "index "
"""Begins what people are called whom nobody has named; see dataset_def/people.py."""


class Reads(NamedTuple):
    """Subjects whose data was read, by kind."""

    pixels: frozenset[int] = frozenset()
    cameras: frozenset[int] = frozenset()
    """Calibration of the views."""
    root: frozenset[int] = frozenset()
    """The true pelvis alone, a 3D label."""
    masks: frozenset[int] = frozenset()
    poses: frozenset[str] = frozenset()
    """Sources of poses that belong to no picture."""
    joints: frozenset[int] = frozenset()
    """All 3D joints, the pelvis among them."""
    keypoints: frozenset[int] = frozenset()
    """2D keypoints of a pretrained network, or 3D joints that were triangulated from them."""
    people: frozenset[str] = frozenset()
    """Who they are, data set and number, such as "S1 of Human3.6M"."""
    given: frozenset[int] = frozenset()
    """2D keypoints that a user gives; what found them, and what that had seen, is not known."""

    @property
    def numbers(self) -> frozenset[int]:
        """List the subjects whose own data was read, by number."""
        return self.pixels | self.root | self.masks | self.joints | self.keypoints

    def data_sets_of(self, subject: int) -> set[str]:
        """List the data sets whose subject of that number was read, as far as that is recorded."""
        begins = f"S{subject} of "
        return {name.removeprefix(begins) for name in self.people if name.startswith(begins)}

    def __or__(self, other: "Reads") -> "Reads":
        """Put what two steps read together."""
        return Reads._make(mine | theirs for mine, theirs in zip(self, other, strict=True))

    @property
    def tier(self) -> str:
        """Write what was read as a table does; the root of people whose joints are read is one of these."""
        told = ["pixels"] * bool(self.pixels) + ["cameras"] * bool(self.cameras)
        told += ["root"] * bool(self.root - self.joints - self.keypoints) + ["masks"] * bool(self.masks)
        told += ["unpaired poses"] * bool(self.poses) + ["pretrained 2D keypoints"] * bool(self.keypoints)
        told += ["given 2D keypoints"] * bool(self.given)
        everybody = self.pixels | self.masks
        if len(everybody) > 1 and everybody <= self.joints:
            told.append("all labels")
        elif self.joints:
            who = [f"S{subject}" for subject in sorted(self.joints)]
            told.append(f"{who[0]}'s joints" if len(who) == 1 else f"joints of {', '.join(who)}")
        return " + ".join(told) or "nothing"

    def triangulated(self, who: Collection[int]) -> "Reads":
        """Say it where the joints of some people were triangulated from 2D keypoints."""
        told = (self.root | self.joints) & frozenset(who)
        return self._replace(root=self.root - told, joints=self.joints - told, keypoints=self.keypoints | told)

    @property
    def labels_alone(self) -> "Reads":
        """Give what a row reads that is made from the same labels without any image."""
        return Reads(joints=self.joints, keypoints=self.keypoints)

    def plain(self) -> dict[str, list[Any]]:
        """Write it in plain types, kinds that were not read left out."""
        return {name: sorted(who) for name, who in self._asdict().items() if who}


NOTHING = Reads()


def reads_from(plain: Mapping[str, Iterable[Any]]) -> Reads:
    """Read what `plain` wrote."""
    return Reads(**{name: frozenset(who) for name, who in plain.items()})


def stated(training: Reads, at_test: Reads, others: Mapping[str, Reads] | None = None) -> dict[str, Any]:
    """Say what a result was made from, for its file: in training and by the test itself.

    Args:
        others: of rows beside the measured network's, by name.
    """
    beside = {"tier_of": {name: reads.tier for name, reads in others.items()}} if others else {}
    return {"tier": training.tier, "reads": training.plain(), "reads_at_test": at_test.plain(), **beside}


def of_people(data_set: str, subjects: Collection[int]) -> Reads:
    """Say who the subjects of a data set are."""
    return Reads(people=frozenset(f"S{subject} of {data_set}" for subject in subjects))


def of_unknown_people(reads: Reads) -> Reads:
    """Say of what a file of earlier versions tells that it does not tell whom its subjects' numbers stand for."""
    return reads if reads.people else reads | of_people(NOT_RECORDED, reads.numbers)


def is_seen(subject: int, data_set: str, reads: Reads) -> bool | None:
    """Tell whether a training has read somebody; None where files do not tell whom its numbers stand for."""
    if subject not in reads.numbers:
        return False
    there = reads.data_sets_of(subject)
    if data_set in there and data_set != NOT_RECORDED:
        return True
    unknown = any(name == NOT_RECORDED or name.startswith(UNNAMED) for name in (*there, data_set))
    return None if unknown or not there else False


def of_crops(crop: Crop, subjects: Collection[int]) -> Reads:
    """Say what crops of some people read."""
    who = frozenset(subjects)
    where = Reads(root=who) if crop.centre == "pelvis" else Reads(masks=who)
    return Reads(pixels=who, cameras=who) | where


def of_poses(data: PoseSources) -> Reads:
    """Say what poses that belong to no picture come from."""
    recorded = [name for name in ("surreal", "amass", "cmu") if getattr(data, name) is not None]
    return Reads(poses=frozenset(recorded + ["generator"] * data.generator))


# Checkpoints that were written before they carried what was read, those in models/assets among them: their settings
# tell it.


def of_stage_1(config: EncDecConfig) -> Reads:
    """Say what a training of stage 1 read, by its settings."""
    found, by_masks = of_crops(config.crop, config.subjects.train), config.teaching.by == "masks"
    if by_masks and config.teaching.heading == "labels":
        found |= Reads(joints=frozenset(config.subjects.labelled))
    found |= Reads(masks=frozenset(config.subjects.train)) if config.loss.uses_masks or by_masks else NOTHING
    return of_unknown_people(found)


def of_stage_2(config: PoseConfig, crop: Crop, stage_1: Reads) -> Reads:
    """Say the same of stage 2, behind what its encoder read."""
    who = frozenset(config.subjects.labelled)
    before = NOTHING if config.mode in ("scratch", "random") else stage_1
    return of_unknown_people(before | of_crops(crop, who) | Reads(joints=who))


def of_teacher(config: MasksConfig) -> Reads:
    """Say what a training of the teacher read, by its settings."""
    who = frozenset(config.subjects.train) if config.cameras == "data" else frozenset()
    where = Reads(root=who) if config.centre == "pelvis" else Reads(masks=who)
    joints = frozenset(config.subjects.labelled) if config.fits is not None else frozenset()
    return of_poses(config.bank) | where | Reads(cameras=who, joints=joints)


def of_stage_4(config: MeshConfig, crop: Crop, stage_1: Reads) -> Reads:
    """Say the same of stage 4."""
    who, seen = frozenset(config.subjects.labelled), frozenset(config.silhouettes_of)
    found = stage_1 | of_crops(crop, who | seen) | Reads(joints=who)
    found |= Reads(masks=seen) if config.loss.uses_masks else NOTHING
    return of_unknown_people(found | Reads(poses=frozenset({"prior"})) if config.loss.prior else found)
