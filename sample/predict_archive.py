"""A large folder of pictures or of clips, over processes and machines: what predict.py does under torchrun.

    torchrun --standalone --nproc-per-node 8 sample/predict.py pictures/ --out runs/predict/archive
    torchrun --standalone --nproc-per-node 8 sample/predict.py clips/ --out runs/predict/archive

Pictures are predicted in parts, clips one by one; every process takes the next that nobody has, and the same command on
another machine that sees both folders joins in.  What a process that died had begun is taken by others, or when the
command is given again.  Which files there are is settled when the first process begins.

Reads   a folder of pictures, or of videos (these also without torchrun)
Writes  of pictures what predict.py writes of a folder; of clips <out>/<clip>/ as predict.py writes each, clips.json;
        archive.json with the settings and the list of files; <out>/parts/ on the way
"""

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np

from dataset_def.photos.pictures import Pictures, chosen_pictures, unique_names
from dataset_def.video import clips_in, images_in
from utils.artifacts import atomic_folder, atomic_write, check_settings, load_arrays, save_arrays
from utils.export.prediction import ROW, FrameBody, PredictedBodies
from utils.shared_work import Rank, SharedFolder, free_pieces, is_last, shared_folder

IN_USE = "wait until it ends, or give another --out"
COMMAND = "torchrun --standalone --nproc-per-node 8 sample/predict.py FOLDER"
NOBODY = "nobody.txt"
"""What says in a clip's folder that it shows nobody."""


class Noticed(NamedTuple):
    """What is to be told at the end about some frames."""

    counts: Counter[str]
    """How many have a box that fills the picture, is cut off, or is small."""
    read: list[str]
    """Names of the pictures, with those that show nobody."""


class Archive(NamedTuple):
    """What a folder is predicted with, and to where."""

    source: Path
    out: Path
    settings: dict[str, Any]
    """Those that all processes and later commands must have in common."""
    part_size: int
    """Pictures that are predicted by one process at a time."""
    predict_part: Callable[[Pictures, Path, PredictedBodies], Noticed]
    """Writes the files of some pictures into a folder."""
    put_together: Callable[[PredictedBodies, Noticed], None]
    """Writes the files of all pictures, about.json last."""
    predict_clip: Callable[[Path, Path], bool]
    """Fills the folder of a clip; tells whether it shows anybody."""


class Part(NamedTuple):
    """Some pictures, or one clip."""

    name: str
    names: list[str]
    files: list[Path]


def is_clips(source: Path) -> bool:
    """Tell whether a folder holds videos, and no pictures."""
    return source.is_dir() and bool(clips_in(source)) and not images_in(source)


def listed(source: Path) -> list[Path]:
    """List the pictures of a folder, or its clips.

    Raises:
        ValueError: it is no folder, holds neither, or both.
    """
    if not source.is_dir():
        raise ValueError(f"{source} is no folder, and processes share the files of one; leave out torchrun")
    pictures, clips = images_in(source), clips_in(source)
    if bool(pictures) == bool(clips):
        held = f"{len(pictures)} pictures and {len(clips)} videos" if clips else "neither pictures nor videos"
        raise ValueError(f"{source} holds {held}; give a folder that holds one kind")
    return pictures or clips


def begun_with(archive: Archive, files: Sequence[Path]) -> list[str]:
    """Note in the folder with what it was begun, or compare; give the names of the files that are predicted.

    Raises:
        FileExistsError: something else is in the folder.
        ValueError: other settings, or files that came since.
    """
    path, names = archive.out / "archive.json", [file.name for file in files]
    if not path.is_file():
        if archive.out.exists():
            raise FileExistsError(f"{archive.out} is there already, and not as an archive; give another --out")
        archive.out.mkdir(parents=True)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps({"settings": archive.settings, "files": names}) + "\n")
        return names
    try:
        stored = json.loads(path.read_text())
        settings, known = dict(stored["settings"]), [str(name) for name in stored["files"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged; give another --out") from error
    check_settings(path, archive.settings, "give another --out", settings)
    if came := sorted(set(names) - set(known)):
        raise ValueError(f"{len(came)} files came to {archive.source} since {archive.out} was begun (first: "
                         f"{came[0]}); put them into a folder of their own, or give another --out")  # fmt: skip
    return known


def parts_of(archive: Archive, files: Sequence[str], is_of_clips: bool) -> list[Part]:
    """Cut the list of files into parts."""
    paths = [archive.source / name for name in files]
    names = unique_names(paths)
    if is_of_clips:
        return [Part(name, [name], [path]) for name, path in zip(names, paths, strict=True)]
    size = archive.part_size
    return [Part(f"part_{first // size:06d}", names[first : first + size], paths[first : first + size])
            for first in range(0, len(paths), size)]  # fmt: skip


@contextmanager
def told_after(said: set[str], prefix: str = "") -> Iterator[None]:
    """Print afterwards what is printed inside, and has not been said before."""
    heard = io.StringIO()
    try:
        with redirect_stdout(heard):
            yield
    finally:
        for line in heard.getvalue().splitlines():
            if prefix + line not in said:
                print(prefix + line)
            said.add(prefix + line)


def predict_part(part: Part, archive: Archive, folder: Path) -> None:
    """Predict some pictures, and put their files and numbers into a folder; those that are gone are left out."""
    there = [(name, path) for name, path in zip(part.names, part.files, strict=True) if path.is_file()]
    with atomic_folder(folder) as (partial,), TemporaryFile(dir=partial) as rows:
        bodies = PredictedBodies(rows)
        noticed = archive.predict_part(chosen_pictures(archive.source, there), partial, bodies)
        columns = {name: bodies.column(name) for name in ROW.names or ()}
        save_arrays(
            partial / "rows.npz", "predicted_part", names=np.array(bodies.names, str),
            read=np.array(noticed.read, str), noticed=np.array(json.dumps(noticed.counts)), **columns,
        )  # fmt: skip


def add_part(path: Path, bodies: PredictedBodies, noticed: Noticed) -> None:
    """Add what `predict_part` stored."""
    arrays = load_arrays(path, "predicted_part", COMMAND)
    noticed.counts.update(json.loads(str(arrays["noticed"])))
    noticed.read.extend(arrays["read"].tolist())
    for number, name in enumerate(arrays["names"].tolist()):
        bodies.add(FrameBody(name, 0, *(arrays[column][number] for column in ROW.names or ())))


def put_together(parts: Sequence[Part], archive: Archive) -> None:
    """Write the files of all pictures, and move those of each to where they belong."""
    noticed = Noticed(Counter(), [])
    with TemporaryFile(dir=archive.out) as rows:
        bodies = PredictedBodies(rows)
        for part in parts:
            folder = archive.out / "parts" / part.name
            add_part(folder / "rows.npz", bodies, noticed)
            for path in sorted(folder.iterdir()):
                if path.name != "rows.npz":
                    path.replace(archive.out / path.name)
        archive.put_together(bodies, noticed)
    if gone := sorted({name for part in parts for name in part.names} - set(noticed.read)):
        print(f"{len(gone)} pictures that were there when this began are gone, and are left out (first: {gone[0]})")
    shutil.rmtree(archive.out / "parts")
    print(f"{len(bodies)} frames: {archive.out}")


def predict_pictures(parts: Sequence[Part], archive: Archive, shared: SharedFolder, rank: Rank) -> None:
    """Predict the parts that no other process has, and put all together as the last one."""
    finished, said = archive.out / "about.json", set[str]()

    def is_done(part: Part) -> bool:
        return finished.is_file() or (archive.out / "parts" / part.name).is_dir()

    for part in free_pieces(parts, lambda part: part.name, is_done, shared, rank):
        with told_after(said):
            predict_part(part, archive, archive.out / "parts" / part.name)
    if not is_last(parts, is_done, shared):
        return
    if finished.is_file():
        print(f"all is there: {archive.out}")
        shutil.rmtree(archive.out / "parts", ignore_errors=True)
        return
    put_together(parts, archive)


def predict_clips(parts: Sequence[Part], archive: Archive, shared: SharedFolder, rank: Rank) -> None:
    """Predict the clips that no other process has, and list all as the last one."""

    def folder_of(part: Part) -> Path:
        return archive.out / part.name

    def is_done(part: Part) -> bool:
        return folder_of(part).is_dir() or not part.files[0].is_file()

    for part in free_pieces(parts, lambda part: part.name, is_done, shared, rank):
        with told_after(set(), f"{part.name}: "):
            archive.predict_clip(part.files[0], folder_of(part))
    if not is_last(parts, is_done, shared):
        return
    there = [part for part in parts if folder_of(part).is_dir()]
    shows = {part.name: not (folder_of(part) / NOBODY).is_file() for part in there}
    clips = {part.name: {"file": part.files[0].name, "shows_somebody": shows[part.name]} for part in there}
    with atomic_write(archive.out / "clips.json") as partial:
        partial.write_text(json.dumps({"format": 1, "kind": "clips", "clips": clips}, indent=1) + "\n")
    if gone := [part.files[0].name for part in parts if not folder_of(part).is_dir()]:
        print(f"{len(gone)} clips that were there when this began are gone, and are left out (first: {gone[0]})")
    if empty := [name for name, is_somebody in shows.items() if not is_somebody]:
        print(f"{len(empty)} clips show nobody (first: {empty[0]})")
    print(f"{len(there)} clips: {archive.out}")


def main(archive: Archive, rank: Rank) -> Path:
    """Predict what no other process has, and return the folder."""
    files = listed(archive.source)
    with shared_folder(archive.out, IN_USE, needs_locks=rank.is_shared) as shared:
        with shared.alone():
            names = begun_with(archive, files)
        is_of_clips = is_clips(archive.source)
        parts = parts_of(archive, names, is_of_clips)
        (predict_clips if is_of_clips else predict_pictures)(parts, archive, shared, rank)
    return archive.out
