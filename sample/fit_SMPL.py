"""Fit bodies to the masks of all cameras: pseudo-labels that stages 2 and 4 train on.

    python sample/fit_SMPL.py --subjects 5 6 7 8
    python sample/fit_SMPL.py --keypoints data/mine/keypoints/s_20_act_14.npz --dataset data/mine --subjects 20
    python sample/fit_SMPL.py --joints labels --start joints --stand-in --subjects 9 11
    torchrun --standalone --nproc-per-node 8 sample/fit_SMPL.py --name large

Under torchrun every process takes the next part that nobody has; the same command on another machine that sees the
folder joins in, and what a process that died had begun is taken by others, or when the command is given again.

Reads   the teacher (sample/train_SMPL_from_masks.py), the index, the masks (tier: cameras + masks + unpaired poses); 2D
        keypoints with --keypoints; the joints of labelled people with --joints labels; the true pelvis with --root
        pelvis, with --start joints, and where the teacher was trained about it.  What a teacher read counts too
Writes  runs/fit/<name>/pseudo_labels.npz, which stages 2 and 4 take with --pseudo-labels; parts/*.npz on the way (a
        second run goes on where the first stopped); with --stand-in truth/*.npz, which sample/test_SMPL.py takes as
        paths.truth_location where the true bodies are not known
Next    sample/test_SMPL_from_masks.py --fits runs/fit/<name>; sample/train_3d_pose_from_enc.py --pseudo-labels ...
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from config import ASSETS, Device, Paths, Subjects, ranged, setting
from dataset_def.ground_truth_bodies import FITTED, SequenceBodies, save_bodies, sequence_path
from dataset_def.h36m_files import told_by_keypoints
from dataset_def.h36m_index import index_path, select_rows, spread_sequences
from dataset_def.masks_data import Instant, KeypointReader, MaskReader
from models.body_surface import coarse_body, coarse_faces, pelvis_m
from models.GAN import load_prior_for, prior_reads
from models.masks_fit import (
    JointsStart,
    MasksFit,
    MasksFitLoss,
    MasksFitSteps,
    MasksObservations,
    Person,
    no_joints,
    shape_frames,
)
from models.smpl import Body, load_body
from models.SMPL_from_masks import BodyDrawer, BodyFromMasks, EstimatedBodies, Teacher, load_teacher, teacher_reads
from utils.artifacts import (
    FolderLock,
    PseudoLabels,
    commit,
    file_hash,
    load_arrays,
    lock_settings,
    save_arrays,
    save_pseudo_labels,
)
from utils.batches import to_device
from utils.engine import IN_USE, check_name, choose_device
from utils.processes import for_each
from utils.settings import next_command, short, start, to_plain
from utils.shared_work import Rank, free_pieces, is_last, rank_of_process, shared_folder
from utils.skeleton import H36M_17
from utils.tiers import Reads

COMMAND = "python sample/fit_SMPL.py"
FREE = ("device", "processes", "overwrite", "subjects", "stand_in")
"""Settings that may change when a fit goes on."""
AGREES = 0.5
"""A camera whose median overlap is below this share of the best camera's does not belong to the others."""
SIDE_M = 2.6
"""Side of the crops of bodies that begin at joints."""
WORST_OVERLAP = 0.4
"""Median overlap of all cameras below which masks and cameras do not belong together."""


@dataclass(frozen=True)
@ranged()
class FitConfig:
    """sample/fit_SMPL.py: bodies fitted to the masks of all cameras; joints and keypoints help where there are any."""

    teacher: Path = ASSETS / "open_teacher.pt"
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
    sequences: int = setting(0, low=0)
    """Sequences per subject, spread over the actions; 0 for all."""
    cameras: tuple[int, ...] = ()
    """Numbers of the cameras that are used; all if not given."""
    start: Literal["teacher", "joints"] = "teacher"
    """What a fit begins with: the teacher's reading, or somebody who is bent until the known joints are met, for whom
    no teacher is needed."""
    root: Literal["masks", "pelvis"] = "masks"
    """Where bodies stand: where their silhouettes say, or at the true pelvis (a 3D label)."""
    joints: Literal["none", "labels"] = "none"
    """labels: the 17 true joints are observations beside the masks, in the frames that have them."""
    keypoints: tuple[Path, ...] = ()
    """Files of 2D keypoints, which are observations beside the masks: dataset_def/import_multiview.py keeps those of a
    recording in keypoints/ of its data set."""
    stand_in: bool = False
    """Write truth/*.npz too: stand-ins for the true bodies, for sample/test_SMPL.py; needs --joints labels."""
    prior: Path | None = None
    """checkpoint_best.pt of stage 3, which scores the poses."""
    mask_px: int = setting(96, low=16, high=1024)
    """Side of the masks of bodies that begin at joints; a teacher brings its own."""
    steps: MasksFitSteps = field(default_factory=MasksFitSteps)
    loss: MasksFitLoss = field(default_factory=MasksFitLoss)
    batch: int = setting(40, low=1)
    """Instants fitted together."""
    people_frames: int = setting(24, low=1)
    """Instants of a person, spread over all, that decide shape and clothes."""
    processes: int = setting(0, low=0)
    """Processes that fit; 0 takes one per core, and one on a GPU.  Torchrun gives its own."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, needs in (("start", self.start == "joints"), ("stand_in", self.stand_in)):
            if needs and self.joints != "labels":
                raise ValueError(f"{name} {getattr(self, name)} needs known joints; add --joints labels")


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
    joints_world_m: Float[np.ndarray, "T E 3"]
    """The joints that bodies are measured by, Human3.6M's 17 of people."""
    overlap: Float[np.ndarray, "T V"]
    """Intersection over union in each view; NaN where there is none."""
    apart_rad: Float[np.ndarray, "T"]
    """How far the teacher's readings from the different views are apart."""
    guess_theta: Float[np.ndarray, "T axis_angles"]
    """The teacher's own reading, before the fit."""
    guess_betas: Float[np.ndarray, "T n"]


class Tools(NamedTuple):
    """What a process needs to fit."""

    begins_with: BodyFromMasks | JointsStart
    reader: MaskReader
    keypoints: KeypointReader | None
    body: Body
    """Whole."""
    fit: MasksFit
    drawer: BodyDrawer
    device: torch.device


def teacher_of(config: FitConfig) -> Teacher | None:
    """Read the teacher that a fit begins with; None for bodies that begin at joints."""
    if config.start == "joints":
        return None
    return load_teacher(config.teacher, config.paths.models_smpl_location)


def masks_reader(config: FitConfig, teacher: Teacher | None) -> MaskReader:
    """Open the masks in the crops that a fit looks at."""
    if teacher is None:
        return MaskReader(config.paths, "pelvis", config.mask_px, SIDE_M)
    return MaskReader(config.paths, teacher.centre, teacher.size_px, teacher.side_m)


@lru_cache(maxsize=1)
def tools_of(config: FitConfig) -> Tools:
    """Load everything once in each process."""
    device = choose_device(config.device, rank_of_process().local)
    location = config.paths.models_smpl_location
    body = load_body(location, h36m_regressor=config.paths.h36m_regressor_location)
    if not body.has_h36m_joints and (body.has_smpl_joints or config.joints == "labels" or config.keypoints):
        why = "pseudo-labels of people hold" if body.has_smpl_joints else "--joints labels and --keypoints are about"
        raise ValueError(f"{location} does not tell where the 17 joints of Human3.6M are, which {why}; give "
                         "--paths.h36m-regressor-location a regressor for this body")  # fmt: skip
    teacher = teacher_of(config)
    begins_with: BodyFromMasks | JointsStart
    if teacher is None:
        begins_with = JointsStart(body.to(device), config.loss, config.steps)
    else:
        begins_with = teacher.network.to(device)
    reader = masks_reader(config, teacher)
    keypoints = KeypointReader(config.keypoints, reader.table) if config.keypoints else None
    coarse = coarse_body(body.cpu(), coarse_faces(location)).to(device)
    prior = load_prior_for(config.prior, location).to(device) if config.prior is not None else None
    fit = MasksFit(coarse, config.loss, config.steps, config.root == "pelvis", prior)
    return Tools(begins_with, reader, keypoints, body.to(device), fit, BodyDrawer(coarse), device)


def with_joints(
    observations: MasksObservations, tools: Tools, instants: list[Instant], config: FitConfig
) -> MasksObservations:
    """Add the known joints of some instants, and where their pelvis is, as far as the settings ask for them."""
    table = tools.reader.table
    places = np.array([one.rows[0] for one in instants])
    joints_m = torch.from_numpy(table.joints_world_m[table.row_instant[places]].astype(np.float32))
    if config.root == "pelvis" or config.start == "joints":
        pelvis_m = joints_m[:, H36M_17.index("pelvis")] - observations.views.target_world_m[:, 0]
        if not pelvis_m.isfinite().all():
            raise ValueError(f"root is pelvis, but subject {instants[0].subject} has frames without labels; use "
                             "--root masks")  # fmt: skip
        observations = observations._replace(pelvis_world_m=pelvis_m)
    if config.joints == "labels":
        known = joints_m.isfinite().all(dim=2)
        known = known & known[:, :1]  # joints are compared about the pelvis: without it none of a frame is known
        if not known.any():
            raise ValueError(f"joints is labels, but subject {instants[0].subject} has none; use --joints none")
        root_m = joints_m - joints_m[:, :1]
        observations = observations._replace(joints_root_m=root_m.nan_to_num(0), joints_confidence=known.float())
    return observations


def observations_of(tools: Tools, instants: list[Instant], config: FitConfig) -> MasksObservations:
    """Read the masks of some instants, and joints and keypoints where these are asked for."""
    observations = with_joints(no_joints(tools.reader.read(instants)), tools, instants, config)
    if tools.keypoints is not None:
        seen_px, sure = tools.keypoints.read(instants, observations.views)
        observations = observations._replace(keypoints_px=seen_px, keypoints_confidence=sure)
    views = to_device(observations.views, tools.device)
    return MasksObservations(views, *(to_device(value, tools.device) for value in observations[1:]))


def begin(
    tools: Tools, observations: MasksObservations, betas: Float[torch.Tensor, "n"] | None
) -> tuple[EstimatedBodies, Float[torch.Tensor, "T"]]:
    """Give what a fit begins with, and how far the readings from the different views are apart in radians."""
    if isinstance(tools.begins_with, JointsStart):
        joints_m = observations.joints_root_m + observations.pelvis_world_m[:, None]
        return tools.begins_with.bodies(joints_m, betas), joints_m.new_zeros(len(joints_m))
    return tools.begins_with.estimate(observations.views, tools.drawer)


def find_person(place: tuple[int, list[Instant]], config: FitConfig) -> tuple[Person, Float[np.ndarray, "V"]]:
    """Find shape and clothes of a person from instants spread over all, and the overlap that each camera reaches."""
    torch.set_num_threads(1)
    subject, instants = place
    tools = tools_of(config)
    check_masks(subject, instants, tools.reader)
    chosen = [instants[row] for row in shape_frames(len(instants), config.people_frames).tolist()]
    observations = observations_of(tools, chosen, config)
    guess, _ = begin(tools, observations, None)
    person = tools.fit.person(guess, observations)
    overlap = tools.fit.fit(guess, observations, person).overlap
    return Person(person.betas.cpu(), person.cloth_m.cpu()), overlap.nanmedian(dim=0).values.cpu().numpy()


CHUNK = 100
"""Instants whose masks are looked at together."""
FARTHEST_OFF_M = 0.3
"""Median distance of a camera's masks from where the cameras together see the person, above which it does not belong
to them."""
REASONS = "masks of another instant, cameras in another order or mirrored, or a wrong calibration"


def check_masks(subject: int, instants: list[Instant], reader: MaskReader) -> None:
    """Look at all masks of a person before anything is fitted.

    Raises:
        ValueError: some instant has fewer than two usable masks, or a camera sees the person elsewhere than the others.
    """
    reader.bad.clear()
    width = max(len(one.rows) for one in instants)
    off_m = np.concatenate([reader.off_target_m(instants[first : first + CHUNK], width)
                            for first in range(0, len(instants), CHUNK)])  # fmt: skip
    usable = np.isfinite(off_m).sum(axis=1)
    if (usable < 2).any():
        first = instants[int((usable < 2).argmax())]
        name = "{:d}, action {:d}, sub-action {:d}, frame {:d}".format(*first[:4])
        bad = next(one for one in reader.bad if one.instant == first[:4])
        raise ValueError(f"{(usable < 2).sum()} instants have fewer than two usable masks (first: subject {name}; "
                         f"{bad.path} {bad.fault}); mend these masks, or leave the subject out")  # fmt: skip
    with np.errstate(all="ignore"):
        off = np.nanmedian(off_m, axis=0)
    told = ", ".join(f"{number}: {value:.2f} m" for number, value in enumerate(off, start=1))
    if np.nanmax(off) > FARTHEST_OFF_M:
        raise ValueError(f"the cameras do not see subject {subject} in one place (distance of the masks' middles from "
                         f"it by camera {told}); look for {REASONS}")  # fmt: skip


def check_cameras(subject: int, overlap: Float[np.ndarray, "V"]) -> None:
    """Refuse masks that do not belong to their cameras: no body fits all of them.

    Raises:
        ValueError: naming the camera, or all.
    """
    told = ", ".join(f"{number}: {share:.0%}" for number, share in enumerate(overlap, start=1))
    if np.nanmedian(overlap) < WORST_OVERLAP:
        raise ValueError(f"no body fits the masks of subject {subject} in its cameras (overlap by camera {told}); look "
                         f"for {REASONS}")  # fmt: skip
    if np.nanmin(overlap) < AGREES * np.nanmax(overlap):
        raise ValueError(f"camera {np.nanargmin(overlap) + 1} does not agree with the others on subject {subject} "
                         f"(overlap by camera {told}); look for {REASONS}")  # fmt: skip


def fit_part(item: tuple[Part, Person], config: FitConfig, folder: Path) -> None:
    """Fit some instants and write them, into the folder of the fits."""
    torch.set_num_threads(1)
    part, person = item
    tools = tools_of(config)
    person = Person(*to_device(person, tools.device))
    observations = observations_of(tools, part.instants, config)
    guess, apart = begin(tools, observations, person.betas if config.start == "joints" else None)
    found = tools.fit.fit_in_time(guess, observations, person)
    with torch.no_grad():
        betas = person.betas.expand(len(part.instants), -1)
        zero = betas.new_zeros(len(betas), 3)
        vertices_m, joints_m = tools.body(found.rotations_world, betas, zero)
        target_m = observations.views.target_world_m[:, 0]
        translation_m = target_m + found.pelvis_world_m - pelvis_m(tools.body, vertices_m, joints_m)[:, 0]
        joints_world_m = tools.body.evaluated_joints_m(vertices_m, joints_m) + translation_m[:, None]
    stored = FittedPart(
        frames=np.array([one[:4] for one in part.instants], np.int32),
        theta=roma.rotmat_to_rotvec(found.rotations_world).flatten(1).cpu().numpy(),
        betas=person.betas.cpu().numpy(),
        cloth_m=person.cloth_m.cpu().numpy(),
        translation_m=translation_m.cpu().numpy(),
        joints_world_m=joints_world_m.cpu().numpy(),
        overlap=found.overlap.cpu().numpy(),
        apart_rad=apart.cpu().numpy(),
        guess_theta=roma.rotmat_to_rotvec(guess.rotations_world).flatten(1).cpu().numpy(),
        guess_betas=guess.betas.cpu().numpy(),
    )
    save_arrays(part_path(part, folder), "fit", **stored._asdict())


def part_path(part: Part, folder: Path) -> Path:
    """Say where a part of the fits in a folder is stored."""
    return folder / "parts" / f"{part.name}.npz"


def load_part(path: Path) -> FittedPart:
    """Read what `fit_part` wrote."""
    return FittedPart(**load_arrays(path, "fit", COMMAND))


def joined_overlap(parts: Sequence[FittedPart]) -> Float[np.ndarray, "N V"]:
    """Put the overlaps of all parts together, as many views as any of them has; NaN where there is none."""
    num_views = max(part.overlap.shape[1] for part in parts)
    return np.concatenate([np.pad(part.overlap, ((0, 0), (0, num_views - part.overlap.shape[1])),
                                  constant_values=np.nan) for part in parts])  # fmt: skip


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


def claim(folder: Path, config: FitConfig) -> None:
    """Note the settings in the folder, and refuse to go on with others."""
    settings = {name: value for name, value in to_plain(config).items() if name not in FREE}
    if config.overwrite:
        (folder / "config.json").unlink(missing_ok=True)
    lock_settings(folder / "config.json", settings, "start another fit with --name")


def instants_by_subject(config: FitConfig, reader: MaskReader) -> dict[int, list[Instant]]:
    """List what is to be fitted."""
    found = {}
    for subject in config.subjects:
        rows = spread_sequences(reader.table, select_rows(reader.table, (subject,), "all", ()), config.sequences)
        if config.start == "joints":
            whole = np.isfinite(reader.table.joints_world_m[reader.table.row_instant[rows]]).all(axis=(1, 2))
            if not whole.any():
                raise ValueError(f"start is joints, but no frame of subject {subject} has all 3D labels; use --start "
                                 "teacher")  # fmt: skip
            rows = rows[whole]
        found[subject] = reader.choose(rows, config.every, config.cameras)
    return found


def reads_of(config: FitConfig, reader: MaskReader, subjects: Collection[int]) -> Reads:
    """Say whose data fits of some people are made from, with what their teacher and their prior read."""
    who = frozenset(subjects)
    found = [reader.reads(who)]
    found += [teacher_reads(config.teacher)] if config.start == "teacher" else []
    labels = Reads(root=who if config.root == "pelvis" else frozenset(),
                   joints=who if config.joints == "labels" else frozenset())  # fmt: skip
    found += [labels.triangulated(told_by_keypoints(config.paths, who))]
    found += [Reads(keypoints=who)] if config.keypoints else []
    found += [prior_reads(config.prior)] if config.prior is not None else []
    return reduce(or_, found)


def gathered(parts: Sequence[FittedPart], config: FitConfig) -> PseudoLabels:
    """Put parts together and say what they were made from."""
    frames = np.concatenate([part.frames for part in parts])
    order = np.lexsort(frames.T[::-1])
    confidence = confidence_of(joined_overlap(parts), np.concatenate([part.apart_rad for part in parts]))
    reads = reads_of(config, tools_of(config).reader, np.unique(frames[:, 0]).tolist())
    about = {"tier": reads.tier, "reads": reads.plain(), "settings": to_plain(config), "commit": commit()}

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])[order].astype(np.float32)

    betas = np.concatenate([np.tile(part.betas, (len(part.frames), 1)) for part in parts])[order].astype(np.float32)
    return PseudoLabels(
        frames[order], joined("theta"), betas, joined("translation_m"), joined("joints_world_m"), confidence[order],
        json.dumps(about), file_hash(config.paths.models_smpl_location),
        file_hash(config.teacher) if config.start == "teacher" else "",
        file_hash(index_path(config.paths)),
    )  # fmt: skip


def without_test_subjects(labels: PseudoLabels, test: tuple[int, ...]) -> PseudoLabels:
    """Leave out those whom the tests measure."""
    kept = ~np.isin(labels.frames[:, 0], test)
    return PseudoLabels(*(value[kept] if isinstance(value, np.ndarray) else value for value in labels))


def write_stand_ins(labels: PseudoLabels, folder: Path) -> None:
    """Write the bodies of whole sequences, for tests where the true ones are not known; NaN where none was fitted."""
    sequences = labels.frames[:, :3]
    for key in np.unique(sequences, axis=0):
        own = np.flatnonzero((sequences == key).all(axis=1))
        numbers = labels.frames[own, 3] - 1
        theta, place_m = (np.full((numbers.max() + 1, values.shape[1]), np.nan, np.float32)
                          for values in (labels.theta, labels.translation_m))  # fmt: skip
        theta[numbers], place_m[numbers] = labels.theta[own], labels.translation_m[own]
        bodies = SequenceBodies(theta, labels.betas[own[0]], place_m, FITTED, labels.body_hash)
        save_bodies(sequence_path(folder, *key.tolist()), bodies)


def say_what_is_there(labels: PseudoLabels, kept: int, folder: Path, config: FitConfig) -> None:
    """Print what was written, and how to go on."""
    written = f"; {kept:,} of them in {short(folder / 'pseudo_labels.npz')}" if kept else ""
    print(f"{len(labels.frames):,} bodies of subjects {sorted(np.unique(labels.frames[:, 0]).tolist())}, mean "
          f"confidence {labels.confidence.mean():.2f}{written}; they read {labels.reads.tier}")  # fmt: skip
    print(next_command("sample/test_SMPL_from_masks.py", config.paths, fits=folder))


def fit_alone(
    parts: Sequence[Part], by_subject: dict[int, list[Instant]], folder: Path, config: FitConfig
) -> PseudoLabels:
    """Fit what is not fitted yet and put it together; everybody's cameras are looked at before anything is written."""
    processes = config.processes or (1 if tools_of(config).device.type == "cuda" else 0)
    todo = [part for part in parts if config.overwrite or not part_path(part, folder).is_file()]
    who = {part.instants[0].subject for part in todo}
    people = [(subject, instants) for subject, instants in by_subject.items() if subject in who]
    found = for_each(partial(find_person, config=config), people, processes, "people")
    for (subject, _), (_, overlap) in zip(people, found, strict=True):
        check_cameras(subject, overlap)
    known = {subject: person for (subject, _), (person, _) in zip(people, found, strict=True)}
    items = [(part, known[part.instants[0].subject]) for part in todo]
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder, IN_USE)
    try:
        claim(folder, config)
        for_each(partial(fit_part, config=config, folder=folder), items, processes, "fit")
        return put_together(parts, by_subject, folder, config)
    finally:
        lock.release()


def known_person(subject: int, instants: list[Instant], folder: Path, config: FitConfig) -> Person:
    """Take somebody from a part that is fitted, or find them."""
    fitted = min((folder / "parts").glob(f"s_{subject:02d}_part_*.npz"), default=None)
    if fitted is not None:
        part = load_part(fitted)
        return Person(torch.from_numpy(part.betas), torch.from_numpy(part.cloth_m))
    person, overlap = find_person((subject, instants), config)
    check_cameras(subject, overlap)
    return person


def refuse_shared(config: FitConfig) -> None:
    """Refuse settings that mean nothing where several processes share a folder."""
    if config.processes > 1:
        raise ValueError(f"processes is {config.processes}, but torchrun gives the processes; leave it out, and give "
                         f"torchrun --nproc-per-node {config.processes}")  # fmt: skip
    if config.overwrite:
        raise ValueError("overwrite would delete what other processes of torchrun write; delete the folder yourself, "
                         "or choose another --name")  # fmt: skip


def fit_shared(
    parts: Sequence[Part], by_subject: dict[int, list[Instant]], folder: Path, config: FitConfig, rank: Rank
) -> PseudoLabels | None:
    """Fit what no other process has, as one of several; give what is put together, if this is the last of them."""
    refuse_shared(config)
    people: dict[int, Person] = {}
    with shared_folder(folder, IN_USE) as shared:
        with shared.alone():
            claim(folder, config)

        def is_done(part: Part) -> bool:
            return part_path(part, folder).is_file()

        for part in free_pieces(parts, lambda part: part.name, is_done, shared, rank):
            subject = part.instants[0].subject
            if subject not in people:
                people[subject] = known_person(subject, by_subject[subject], folder, config)
            fit_part((part, people[subject]), config, folder)
        return put_together(parts, by_subject, folder, config) if is_last(parts, is_done, shared) else None


def put_together(
    parts: Sequence[Part], by_subject: dict[int, list[Instant]], folder: Path, config: FitConfig
) -> PseudoLabels:
    """Write the pseudo-labels of all parts."""
    fitted = [load_part(part_path(part, folder)) for part in parts]
    labels = gathered(fitted, config)
    kept = without_test_subjects(labels, config.people.test)
    if len(kept.frames):
        save_pseudo_labels(folder / "pseudo_labels.npz", kept, config.people.test)
    if config.stand_in:
        write_stand_ins(labels, folder / "truth")
    views = sum(len(one.rows) for instants in by_subject.values() for one in instants)
    read = sum(int(np.isfinite(part.overlap).sum()) for part in fitted)
    if read < views:
        print(f"{views - read} of {views} masks showed no person, or all but the person, and were left out")
    say_what_is_there(labels, len(kept.frames), folder, config)
    return labels


def main(config: FitConfig) -> PseudoLabels | None:
    """Fit what is not fitted yet, and write the pseudo-labels; None where another process of torchrun does."""
    check_name(config.name)
    by_subject = instants_by_subject(config, tools_of(config).reader)
    folder, rank = config.paths.runs_location / "fit" / config.name, rank_of_process()
    parts = [part for instants in by_subject.values() for part in parts_of(instants, config.batch)]
    if rank.is_shared:
        return fit_shared(parts, by_subject, folder, config, rank)
    return fit_alone(parts, by_subject, folder, config)


if __name__ == "__main__":
    start(main, FitConfig)
