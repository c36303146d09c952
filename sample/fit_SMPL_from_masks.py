"""Fit bodies to the masks of all cameras, beginning with what the teacher reads: pseudo-labels without any 3D label.

    python sample/fit_SMPL_from_masks.py --teacher runs/masks/demo/checkpoint_best.pt --subjects 5 6 7 8

Reads   the teacher (sample/train_SMPL_from_masks.py), the index, the masks; joints of labelled subjects where
        --joints labels is given, their pelvis where --root pelvis is (tier: masks + unpaired poses; more with these)
Writes  runs/fit/<name>/pseudo_labels.npz, which stages 2 and 4 take with --pseudo-labels; parts/*.npz on the way (a
        second run goes on where the first stopped)
Next    sample/test_SMPL_from_masks.py --fits runs/fit/<name>; sample/train_3d_pose_from_enc.py --pseudo-labels ...
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from config import Device, Paths, Subjects, ranged, setting
from dataset_def.h36m_index import index_path, select_rows
from dataset_def.masks_data import Instant, MaskReader
from models.body_surface import coarse_body, coarse_faces, pelvis_m
from models.masks_fit import (
    MasksFit,
    MasksFitLoss,
    MasksFitSteps,
    MasksObservations,
    Person,
    no_joints,
    shape_frames,
)
from models.smpl import Body, load_body
from models.SMPL_from_masks import BodyDrawer, Teacher, load_teacher
from utils.artifacts import PseudoLabels, commit, file_hash, load_arrays, lock_settings, save_arrays, save_pseudo_labels
from utils.batches import to_device
from utils.engine import check_name, choose_device
from utils.processes import for_each
from utils.settings import start, to_plain
from utils.skeleton import H36M_17

COMMAND = "python sample/fit_SMPL_from_masks.py"
FREE = ("device", "processes", "overwrite", "subjects")
"""Settings that may change when a fit goes on."""
AGREES = 0.5
"""A camera whose median overlap is below this share of the best camera's does not belong to the others."""
WORST_OVERLAP = 0.4
"""Median overlap of all cameras below which masks and cameras do not belong together."""


@dataclass(frozen=True)
@ranged()
class FitMasksConfig:
    """sample/fit_SMPL_from_masks.py: bodies fitted to the masks of all cameras, beginning with the teacher's."""

    teacher: Path
    """checkpoint_best.pt of sample/train_SMPL_from_masks.py, trained on these cameras or with --cameras any."""
    name: str = "demo"
    """The folder: runs/fit/<name>."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    people: Subjects = field(default_factory=Subjects)
    """people.test gets no pseudo-labels."""
    subjects: tuple[int, ...] = (5, 6, 7, 8)
    """Whose bodies are fitted."""
    every: int = setting(3, low=1)
    """Fit every n-th instant."""
    cameras: tuple[int, ...] = ()
    """Numbers of the cameras that are used; all if not given."""
    root: Literal["masks", "pelvis"] = "masks"
    """Where bodies stand: where their silhouettes say, or at the true pelvis (a 3D label)."""
    joints: Literal["none", "labels"] = "none"
    """labels: the 17 true joints are observations beside the masks, for people who have them."""
    steps: MasksFitSteps = field(default_factory=MasksFitSteps)
    loss: MasksFitLoss = field(default_factory=MasksFitLoss)
    batch: int = setting(40, low=1)
    """Instants fitted together."""
    people_frames: int = setting(24, low=1)
    """Instants of a person, spread over all, that decide shape and clothes."""
    processes: int = setting(0, low=0)
    """Processes that fit; 0 takes one per core, and one on a GPU."""
    overwrite: bool = False


class Part(NamedTuple):
    """Some instants of one person, fitted together and stored together."""

    name: str
    instants: list[Instant]


class FittedPart(NamedTuple):
    """What is stored of a part."""

    frames: Int[np.ndarray, "T 4"]
    theta: Float[np.ndarray, "T axis_angles"]
    betas: Float[np.ndarray, "n"]
    cloth_m: Float[np.ndarray, "J"]
    translation_m: Float[np.ndarray, "T 3"]
    joints_world_m: Float[np.ndarray, "T 17 3"]
    overlap: Float[np.ndarray, "T V"]
    """Intersection over union in each view; NaN where there is none."""
    apart_rad: Float[np.ndarray, "T"]
    """How far the teacher's readings from the different views are apart."""
    guess_theta: Float[np.ndarray, "T axis_angles"]
    """The teacher's own reading, before the fit."""
    guess_betas: Float[np.ndarray, "T n"]


class Tools(NamedTuple):
    """What a process needs to fit."""

    teacher: Teacher
    reader: MaskReader
    body: Body
    """Whole."""
    fit: MasksFit
    drawer: BodyDrawer
    device: torch.device


@lru_cache(maxsize=1)
def tools_of(config: FitMasksConfig) -> Tools:
    """Load everything once in each process."""
    device, location = choose_device(config.device), config.paths.models_smpl_location
    teacher = load_teacher(config.teacher, location)
    reader = MaskReader(config.paths, teacher.centre, teacher.size_px, teacher.side_m)
    body = load_body(location, h36m_regressor=config.paths.h36m_regressor_location)
    coarse = coarse_body(body, coarse_faces(location)).to(device)
    teacher.network.to(device)
    fit = MasksFit(coarse, config.loss, config.steps, config.root == "pelvis")
    return Tools(teacher, reader, body.to(device), fit, BodyDrawer(coarse), device)


def observations_of(tools: Tools, instants: list[Instant], config: FitMasksConfig) -> MasksObservations:
    """Read the masks of some instants, and their joints where these are asked for."""
    observations = no_joints(tools.reader.read(instants))
    unseen = (observations.views.exists.sum(dim=1) < 2).nonzero().flatten().tolist()
    if unseen:
        name = "{:d}, action {:d}, sub-action {:d}, frame {:d}".format(*instants[unseen[0]][:4])
        first = tools.reader.bad[0]
        raise ValueError(f"{len(unseen)} instants have fewer than two usable masks (first: subject {name}; "
                         f"{first.path} {first.fault}); mend these masks, or leave the subject out")  # fmt: skip
    table = tools.reader.table
    places = np.array([one.rows[0] for one in instants])
    joints_m = torch.from_numpy(table.joints_world_m[table.row_instant[places]].astype(np.float32))
    if config.root == "pelvis":
        pelvis_m = joints_m[:, H36M_17.index("pelvis")] - observations.views.target_world_m[:, 0]
        if not pelvis_m.isfinite().all():
            raise ValueError(f"root is pelvis, but subject {instants[0].subject} has frames without labels; use "
                             "--root masks")  # fmt: skip
        observations = observations._replace(pelvis_world_m=pelvis_m)
    if config.joints == "labels":
        known = joints_m.isfinite().all(dim=2)
        if not known.any():
            raise ValueError(f"joints is labels, but subject {instants[0].subject} has none; use --joints none")
        root_m = joints_m - joints_m[:, :1]
        observations = observations._replace(joints_root_m=root_m.nan_to_num(0), joints_confidence=known.float())
    views = to_device(observations.views, tools.device)
    return MasksObservations(views, *(to_device(value, tools.device) for value in observations[1:]))


def find_person(place: tuple[int, list[Instant]], config: FitMasksConfig) -> tuple[Person, Float[np.ndarray, "V"]]:
    """Find shape and clothes of a person from instants spread over all, and the overlap that each camera reaches."""
    torch.set_num_threads(1)
    _, instants = place
    tools = tools_of(config)
    chosen = [instants[row] for row in shape_frames(len(instants), config.people_frames).tolist()]
    observations = observations_of(tools, chosen, config)
    guess, _ = tools.teacher.network.estimate(observations.views, tools.drawer)
    person = tools.fit.person(guess, observations)
    overlap = tools.fit.fit(guess, observations, person).overlap
    return Person(person.betas.cpu(), person.cloth_m.cpu()), overlap.nanmedian(dim=0).values.cpu().numpy()


def check_cameras(subject: int, overlap: Float[np.ndarray, "V"]) -> None:
    """Refuse masks that do not belong to their cameras: no body fits all of them.

    Raises:
        ValueError: naming the camera, or all.
    """
    told = ", ".join(f"{number}: {share:.0%}" for number, share in enumerate(overlap, start=1))
    reasons = "masks of another instant, cameras in another order or mirrored, or a wrong calibration"
    if np.nanmedian(overlap) < WORST_OVERLAP:
        raise ValueError(f"no body fits the masks of subject {subject} in its cameras (overlap by camera {told}); look "
                         f"for {reasons}")  # fmt: skip
    if np.nanmin(overlap) < AGREES * np.nanmax(overlap):
        raise ValueError(f"camera {np.nanargmin(overlap) + 1} does not agree with the others on subject {subject} "
                         f"(overlap by camera {told}); look for {reasons}")  # fmt: skip


def fit_part(item: tuple[Part, Person], config: FitMasksConfig, folder: Path) -> None:
    """Fit some instants and write them."""
    torch.set_num_threads(1)
    part, person = item
    tools = tools_of(config)
    person = Person(*to_device(person, tools.device))
    observations = observations_of(tools, part.instants, config)
    guess, apart_rad = tools.teacher.network.estimate(observations.views, tools.drawer)
    found = tools.fit.fit(guess, observations, person)
    with torch.no_grad():
        betas = person.betas.expand(len(part.instants), -1)
        zero = betas.new_zeros(len(betas), 3)
        vertices_m, joints_m = tools.body(found.rotations_world, betas, zero)
        target_m = observations.views.target_world_m[:, 0]
        translation_m = target_m + found.pelvis_world_m - pelvis_m(tools.body, vertices_m, joints_m)[:, 0]
        joints_world_m = tools.body.h36m_joints_m(vertices_m) + translation_m[:, None]
    stored = FittedPart(
        frames=np.array([one[:4] for one in part.instants], np.int32),
        theta=roma.rotmat_to_rotvec(found.rotations_world).flatten(1).cpu().numpy(),
        betas=person.betas.cpu().numpy(),
        cloth_m=person.cloth_m.cpu().numpy(),
        translation_m=translation_m.cpu().numpy(),
        joints_world_m=joints_world_m.cpu().numpy(),
        overlap=found.overlap.cpu().numpy(),
        apart_rad=apart_rad.cpu().numpy(),
        guess_theta=roma.rotmat_to_rotvec(guess.rotations_world).flatten(1).cpu().numpy(),
        guess_betas=guess.betas.cpu().numpy(),
    )
    save_arrays(folder / f"{part.name}.npz", "fit", **stored._asdict())


def load_part(path: Path) -> FittedPart:
    """Read what `fit_part` wrote."""
    return FittedPart(**load_arrays(path, "fit", COMMAND))


def confidence_of(overlap: Float[np.ndarray, "T V"], apart_rad: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """Trust frames less whose silhouettes cover less than the middle frame's, or whose views were read differently."""
    mean = np.nanmean(overlap, axis=1)
    short = np.clip(np.median(mean) - mean, 0, None) / 0.05
    apart = np.clip(apart_rad - np.median(apart_rad), 0, None) / 0.15
    return np.exp(-short - apart).astype(np.float32)


def parts_of(instants: list[Instant], size: int) -> list[Part]:
    """Share the instants of a person out, in order, so that neighbours in time stay together."""
    count = -(-len(instants) // size)
    firsts = [round(number * len(instants) / count) for number in range(count + 1)]
    return [Part(f"s_{instants[0].subject:02d}_part_{number:03d}", instants[first:end])
            for number, (first, end) in enumerate(pairwise(firsts))]  # fmt: skip


def claim(folder: Path, config: FitMasksConfig) -> None:
    """Note the settings in the folder, and refuse to go on with others."""
    settings = {name: value for name, value in to_plain(config).items() if name not in FREE}
    if config.overwrite:
        (folder / "config.json").unlink(missing_ok=True)
    lock_settings(folder / "config.json", settings, "start another fit with --name")


def instants_by_subject(config: FitMasksConfig, reader: MaskReader) -> dict[int, list[Instant]]:
    """List what is to be fitted."""
    return {subject: reader.choose(select_rows(reader.table, (subject,), "all", ()), config.every, config.cameras)
            for subject in config.subjects}  # fmt: skip


def gathered(parts: Sequence[FittedPart], config: FitMasksConfig) -> PseudoLabels:
    """Put parts together and say what they were made from."""
    frames = np.concatenate([part.frames for part in parts])
    order = np.lexsort(frames.T[::-1])
    num_views = max(part.overlap.shape[1] for part in parts)
    overlap = [np.pad(part.overlap, ((0, 0), (0, num_views - part.overlap.shape[1])), constant_values=np.nan)
               for part in parts]  # fmt: skip
    confidence = confidence_of(np.concatenate(overlap), np.concatenate([part.apart_rad for part in parts]))
    reads = "masks, cameras, unpaired poses" + (", joints" if config.joints == "labels" else "")
    about = {"reads": reads, "settings": to_plain(config), "commit": commit()}

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])[order].astype(np.float32)

    betas = np.concatenate([np.tile(part.betas, (len(part.frames), 1)) for part in parts])[order].astype(np.float32)
    return PseudoLabels(
        frames[order], joined("theta"), betas, joined("translation_m"), joined("joints_world_m"), confidence[order],
        json.dumps(about), file_hash(config.paths.models_smpl_location), file_hash(config.teacher),
        file_hash(index_path(config.paths)),
    )  # fmt: skip


def main(config: FitMasksConfig) -> PseudoLabels:
    """Fit what is not fitted yet, and write the pseudo-labels."""
    check_name(config.name)
    tools = tools_of(config)
    by_subject = instants_by_subject(config, tools.reader)
    folder = config.paths.runs_location / "fit" / config.name
    processes = config.processes or (1 if tools.device.type == "cuda" else 0)
    parts = {subject: parts_of(instants, config.batch) for subject, instants in by_subject.items()}
    places = {part.name: folder / "parts" / f"{part.name}.npz" for some in parts.values() for part in some}
    todo = {subject: [part for part in some if config.overwrite or not places[part.name].is_file()]
            for subject, some in parts.items()}  # fmt: skip
    people = [(subject, by_subject[subject]) for subject, some in todo.items() if some]
    found = for_each(partial(find_person, config=config), people, processes, "people")
    for (subject, _), (_, overlap) in zip(people, found, strict=True):
        check_cameras(subject, overlap)
    claim(folder, config)
    items = [(part, person) for (subject, _), (person, _) in zip(people, found, strict=True) for part in todo[subject]]
    for_each(partial(fit_part, config=config, folder=folder / "parts"), items, processes, "fit")
    fitted = [load_part(path) for path in places.values()]
    labels = gathered(fitted, config)
    training = ~np.isin(labels.frames[:, 0], config.people.test)
    if training.any():
        kept = labels._replace(
            frames=labels.frames[training], theta=labels.theta[training], betas=labels.betas[training],
            translation_m=labels.translation_m[training], joints_world_m=labels.joints_world_m[training],
            confidence=labels.confidence[training],
        )  # fmt: skip
        save_pseudo_labels(folder / "pseudo_labels.npz", kept, config.people.test)
    views = sum(len(one.rows) for instants in by_subject.values() for one in instants)
    read = sum(int(np.isfinite(part.overlap).sum()) for part in fitted)
    if read < views:
        print(f"{views - read} of {views} masks showed no person, or all but the person, and were left out")
    print(f"{len(labels.frames):,} bodies of subjects {sorted(by_subject)}, mean confidence "
          f"{labels.confidence.mean():.2f}; {training.sum():,} of them in {folder / 'pseudo_labels.npz'}")  # fmt: skip
    return labels


if __name__ == "__main__":
    start(main, FitMasksConfig)
