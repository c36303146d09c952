"""Checks a data set in this project's layout, and the checkpoints of earlier runs; every check gives lines."""

import os
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from config import Paths
from dataset_def.data_set_file import read_facts
from dataset_def.h36m_crops import load_metadata, pack_folder
from dataset_def.h36m_files import (
    DAMAGED,
    FrameKey,
    Meta,
    background_path,
    check_complete,
    find_folders,
    folder_name,
    listed_frames,
    load_image,
    load_mask,
    load_meta,
    mask_path,
    meta_path,
)
from dataset_def.h36m_index import CENTRES, FrameTable, check_backgrounds, index_path, load_table
from utils.artifacts import COMMANDS, load_keypoints
from utils.person_box import NO_PERSON, mask_fault, series_fault
from utils.settings import DATA_PLACES, flags, short

Mark = Literal["ok", "none", "note", "bad"]
MARKS: dict[Mark, str] = {"ok": "[ok]", "none": "[--]", "note": "[ !]", "bad": "[!!]"}
LEGEND = "[ok] there   [--] not there   [ !] there with a gap   [!!] missing or damaged   -> what to do"


class CheckLine(NamedTuple):
    """What was found of one thing."""

    mark: Mark
    """ok: there.  none: not there, and not needed by all.  note: there, with a gap.  bad: missing or damaged."""
    what: str
    found: str
    blocks: str = ""
    """What cannot be done without it."""
    remedy: str = ""
    is_asked: bool = False
    """The user named it, or its place."""


def printed(line: CheckLine) -> str:
    """Write a line."""
    parts = [f"{MARKS[line.mark]} {line.what}: {line.found}"]
    parts += [f"blocks {line.blocks}"] if line.blocks else []
    parts += [f"-> {line.remedy}"] if line.remedy else []
    return "; ".join(parts)


def sentence(error: BaseException) -> str:
    """Write an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def not_given(what: str, option: str, instead: str) -> CheckLine:
    """Say that nothing was named, and why all goes on without it."""
    return CheckLine("none", what, f"not given ({option} FOLDER checks it), and not needed: {instead}")


def no_folder(what: str, path: Path, remedy: str) -> CheckLine:
    """Say that a named folder is not there."""
    return CheckLine("bad", what, f"{path} is not a folder", remedy=remedy, is_asked=True)


FolderKey = tuple[int, int, int, int]
MAX_COUNTED = 60
"""Folders whose frames are counted; in larger data sets the rest is estimated from these."""
PROBLEMS = (*DAMAGED, FileNotFoundError)


def check_layout(title: str, paths: Paths, is_asked: bool) -> list[CheckLine]:
    """Describe one data set, from the frames to what was made from them."""
    if not paths.h36m_location.is_dir():
        remedy = "give the right folder" if is_asked else "python dataset_def/synthetic/make_h36m.py"
        found = f"there is no folder {short(paths.h36m_location)}"
        return [
            CheckLine(
                "bad" if is_asked else "none", f"{title}, frames", found, "everything with this data", remedy, is_asked
            )
        ]
    try:
        folders = find_folders(paths)
        seen = _opened(paths, folders)
    except PROBLEMS as error:
        remedy = "" if is_asked else "python dataset_def/synthetic/make_h36m.py"
        return [CheckLine("bad", f"{title}, frames", sentence(error), "everything with this data", remedy, is_asked)]
    has_labels = bool(np.isfinite(seen[0].meta.joints_world_m).any())
    lines = [_frames(title, paths, folders, seen, is_asked)]
    if not has_labels:
        remedy = "bodies fitted to masks stand in: " + _command(paths, "sample/fit_SMPL.py")
        found = "no 3D labels in the first folder"
        lines.append(CheckLine("note", f"{title}, joints", found, "stage 2 and its tests", remedy))
    lines += [_masks(title, paths, folders, seen, is_asked), *_keypoints(title, paths)]
    index_line, table = _index(title, paths)
    return [*lines, index_line, *_source_of(title, paths, folders, table)]


class OpenedFolder(NamedTuple):
    """A folder that was looked into."""

    key: FolderKey
    meta: Meta
    num_frames: int


def frame_of(key: FolderKey, number: int) -> FrameKey:
    """Name a frame of a folder."""
    subject, action, subaction, camera = key
    return FrameKey(subject, action, subaction, camera, number)


def _opened(paths: Paths, folders: list[FolderKey]) -> list[OpenedFolder]:
    """Look into some folders with the readers that make the index; of large data sets, into some spread evenly.

    Raises:
        ValueError: as the index would, a meta file or an image is damaged, missing or of another form.
    """
    rows = np.unique(np.linspace(0, len(folders) - 1, min(MAX_COUNTED, len(folders))).astype(int))
    found, facts = [], read_facts(paths)
    for key in [folders[row] for row in rows]:
        path = meta_path(paths, key)
        meta, numbers = load_meta(path, facts), listed_frames(path.parent)
        check_complete(path, list(range(1, len(meta.joints_world_m) + 1)), numbers)
        load_image(paths, frame_of(key, min(numbers, default=1)), meta.camera)
        found.append(OpenedFolder(key, meta, len(numbers)))
    return found


def _frames(title: str, paths: Paths, folders: list[FolderKey], seen: list[OpenedFolder], is_asked: bool) -> CheckLine:
    """Count the frames."""
    counts = [one.num_frames for one in seen]
    num_frames = round(sum(counts) * len(folders) / len(counts))
    roughly = "" if len(counts) == len(folders) else "about "
    subjects, actions, _, cameras = (sorted(set(column)) for column in zip(*folders, strict=True))
    camera = seen[0].meta.camera
    found = (
        f"{roughly}{num_frames} frames in {len(folders)} folders of {short(paths.h36m_location)}, "
        f"{camera.width_px} x {camera.height_px}; subjects {_listed(subjects)}; actions {_listed(actions)}; "
        f"cameras {_listed(cameras)}"
    )
    return (
        CheckLine("ok", f"{title}, frames", found)
        if min(counts)
        else CheckLine("bad", f"{title}, frames", found + "; some folders hold no image", "stage 1", is_asked=is_asked)
    )


def _listed(numbers: list[int]) -> str:
    """Write numbers, runs as 2-16."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return " ".join(str(number) for number in numbers)


MASK_FOLDERS, MASKS_EACH = 12, 5
"""Masks are looked at in so many folders, so many in each."""


def _mask_fault(paths: Paths, seen: list[OpenedFolder]) -> str:
    """Say why masks cannot be a person's, as making the index would; empty if they can."""
    chosen = [seen[row] for row in np.unique(np.linspace(0, len(seen) - 1, min(MASK_FOLDERS, len(seen))).astype(int))]
    sees_person = False
    for key, meta, _ in chosen:
        numbers = np.unique(np.linspace(1, len(meta.joints_world_m), MASKS_EACH).astype(int)).tolist()
        faults = [mask_fault(load_mask(paths, frame_of(key, number), meta.camera)) for number in numbers]
        fault = series_fault(faults)
        if fault and fault != NO_PERSON:
            middle = mask_path(paths, frame_of(key, numbers[len(numbers) // 2]))
            return f"{middle} and others beside it: the mask {fault}"
        sees_person |= not all(faults)
    return "" if sees_person else f"no mask that was looked at {NO_PERSON.replace('has no', 'has a')}"


def _masks(title: str, paths: Paths, folders: list[FolderKey], seen: list[OpenedFolder], is_asked: bool) -> CheckLine:
    """Tell whether every folder has masks, and whether they can be masks."""
    blocks = "opacity loss of stage 1, silhouettes of stage 4, crops centred on masks"
    try:
        there = set(os.listdir(paths.masks_location))
    except OSError:
        there = set()
    missing = [folder_name(*key) for key in folders if folder_name(*key) not in there]
    if not missing:
        try:
            fault = _mask_fault(paths, seen)
        except PROBLEMS as error:
            fault = sentence(error)
        if fault:
            return CheckLine("bad", f"{title}, masks", fault, blocks, "make them again", is_asked)
        return CheckLine("ok", f"{title}, masks", f"for all {len(folders)} folders")
    if len(missing) == len(folders):
        return CheckLine("none", f"{title}, masks", f"none in {short(paths.masks_location)}", blocks)
    return CheckLine(
        "note",
        f"{title}, masks",
        f"missing for {len(missing)} of {len(folders)} folders, first {missing[0]}",
        "the index: later scripts want masks of all frames or of none",
        "add them, or move these folders of frames elsewhere",
    )


def _keypoints(title: str, paths: Paths) -> list[CheckLine]:
    """Describe the 2D keypoints that an import kept; nothing where there are none."""
    lines = []
    for path in sorted((paths.h36m_location.parent / "keypoints").glob("*.npz")):
        try:
            stored = load_keypoints(path)
        except PROBLEMS as error:
            lines.append(CheckLine("note", f"{title}, 2D keypoints", sentence(error), "fits with --keypoints"))
            continue
        share = (stored.confidence > 0).mean()
        found = f"{len(stored.frames)} frames in {short(path)}, {share:.0%} of the joints seen"
        lines.append(CheckLine("ok", f"{title}, 2D keypoints", found))
    return lines


def _command(paths: Paths, script: str) -> str:
    """Give a script's command for these places."""
    return f"python {script}" + flags(paths, *DATA_PLACES)


def _index(title: str, paths: Paths) -> tuple[CheckLine, FrameTable | None]:
    """Tell whether there is an index, and whether it belongs to the frames."""
    remedy = _command(paths, "dataset_def/h36m_preprocess.py")
    if not index_path(paths).exists():
        return CheckLine("none", f"{title}, index", "none", "all training", remedy), None
    try:
        table = load_table(paths)
    except PROBLEMS as error:
        return CheckLine("note", f"{title}, index", sentence(error), "all training", remedy), None
    numbers = "all" if table.every == 1 else f"numbers 1, {1 + table.every}, {1 + 2 * table.every}, ..."
    found = f"{len(table.frames)} frames ({numbers}), made from these folders"
    return CheckLine("ok", f"{title}, index", found), table


def _source_of(title: str, paths: Paths, folders: list[FolderKey], table: FrameTable | None) -> list[CheckLine]:
    """Check the packed crops and the backgrounds."""
    remedy = _command(paths, "dataset_def/h36m_preprocess.py")
    packed = []
    for centre in CENTRES:
        try:
            metadata = load_metadata(pack_folder(paths, centre))
        except PROBLEMS as error:
            packed.append(f"{centre}: {sentence(error)}")
            continue
        if metadata is not None:
            fits = table is not None and metadata.fingerprint == table.fingerprint and metadata.every == table.every
            packed.append(f"{centre} {metadata.size_px} px{'' if fits else ' (not of this index)'}")
    crops = (
        CheckLine("ok", f"{title}, packed crops", ", ".join(packed))
        if packed
        else CheckLine("none", f"{title}, packed crops", "none: training decodes images, slowly", remedy=remedy)
    )
    return [crops, _backgrounds(title, paths, folders, table)]


def _backgrounds(title: str, paths: Paths, folders: list[FolderKey], table: FrameTable | None) -> CheckLine:
    """Tell whether every subject and camera has a background of this data."""
    what, remedy = f"{title}, backgrounds", _command(paths, "dataset_def/h36m_get_background.py")
    expected = sorted({(key[0], key[3]) for key in folders})
    missing = [who for who in expected if not background_path(paths, *who).is_file()]
    if missing:
        found = f"{len(missing)} of {len(expected)} are missing"
        return CheckLine("none", what, found, "stage 1 (it composites over backgrounds)", remedy)
    try:
        if table is not None:
            check_backgrounds(paths, table)
    except PROBLEMS as error:
        return CheckLine("note", what, sentence(error), "stage 1", remedy)
    return CheckLine("ok", what, f"all {len(expected)}")


def check_runs(paths: Paths) -> list[CheckLine]:
    """List the runs of every stage with their checkpoints."""
    folders = sorted({path.parent for path in paths.runs_location.glob("*/*/checkpoint_*.pt")})
    fits = [_fits(parts.parent) for parts in sorted(paths.runs_location.glob("fit/*/parts"))]
    if not folders:
        place = short(paths.runs_location)
        nothing = CheckLine(
            "none", "checkpoints", f"none in {place}", "the stages after the first", COMMANDS["enc_dec"]
        )
        return [nothing, *fits]
    return [*(_run(folder) for folder in folders), *fits]


def _fits(folder: Path) -> CheckLine:
    """Describe bodies that were fitted to masks; pseudo-labels are written when all of them are done."""
    what, parts = f"run fit/{folder.name}", len(list((folder / "parts").glob("*.npz")))
    labels = folder / "pseudo_labels.npz"
    if labels.is_file() and not zipfile.is_zipfile(labels):
        return CheckLine("note", what, "pseudo_labels.npz is damaged", "--pseudo-labels of stages 2 and 4", "fit again")
    there = [name for name in ("pseudo_labels.npz", "truth") if (folder / name).exists()]
    return CheckLine("ok", what, ", ".join([f"{parts} parts", *there]))


def _run(folder: Path) -> CheckLine:
    """Describe one run; a checkpoint is a zip archive, so that a cut one is noticed without loading it."""
    what = f"run {folder.parent.name}/{folder.name}"
    names = sorted(path.name for path in folder.glob("checkpoint_*.pt"))
    cut = [name for name in names if not zipfile.is_zipfile(folder / name)]
    if cut:
        return CheckLine("note", what, f"{', '.join(cut)} is damaged", "the stages after it", "train it again")
    megabytes = sum((folder / name).stat().st_size for name in names) / 1e6
    return CheckLine("ok", what, f"{', '.join(names)}, {megabytes:.0f} MB")
