"""Which file of a folder belongs to which frame: by the number in its name, across cameras and kinds of files.

The number is the group of digits that differs from file to file; what stands around it does not matter, nor whether
it is padded with zeros.  Where names tell no number, the order of the names counts.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

SAME_SHAPE = 0.5
"""If more than this share of the names differ in their number only, a name of another form is a stray file."""


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort names with numbers as people do: frame_2 before frame_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name) if part]


def is_hidden(path: Path) -> bool:
    """Tell whether a file is one that other programs leave beside ours, such as macOS' `._1.jpg`."""
    return path.name.startswith(".")


def files_in(folder: Path, endings: Collection[str]) -> list[Path]:
    """List the files of some endings (lower case; files have any), in order, without hidden ones."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in endings and not is_hidden(path))
    return sorted(found, key=natural)


def _parts(name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Split a name into what stands around its numbers, and the numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple(parts[::2]), tuple(int(part) for part in parts[1::2])


def _counter(columns: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Choose, of the numbers in names that are alike, the one that counts the frames; None if none does."""
    unique = [column for column in columns if len(set(column)) == len(column)]
    rising = [column for column in unique if list(column) == sorted(column)]
    if rising:
        return min(reversed(rising), key=lambda column: column[-1] - column[0])
    return unique[0] if len(unique) == 1 else None


def frame_numbers(files: Sequence[Path]) -> tuple[int, ...] | None:
    """Read the frame's number off every name of a folder's files (in natural order); None if names tell none.

    Raises:
        ValueError: two files of one frame, or a stray file among numbered ones.
    """
    if len(files) < 2:
        return None
    parts = [_parts(path.stem) for path in files]
    shape, count = Counter(around for around, _ in parts).most_common(1)[0]
    of_shape = [(path, numbers) for path, (around, numbers) in zip(files, parts, strict=True) if around == shape]
    columns = list(zip(*(numbers for _, numbers in of_shape), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    counter = _counter(varying)
    if counter is not None and count > SAME_SHAPE * len(files) and count < len(files):
        stray = next(path for path, (around, _) in zip(files, parts, strict=True) if around != shape)
        raise ValueError(
            f"{stray} lies among {count} files that are named as {of_shape[0][0].name}, and its name tells no "
            "frame as theirs do; move it elsewhere, or rename it"
        )
    if count < len(files):
        return None
    if len(varying) == 1 and counter is None:
        number = next(value for value, times in Counter(varying[0]).items() if times > 1)
        twice = [path.name for path, value in zip(files, varying[0], strict=True) if value == number]
        raise ValueError(f"{files[0].parent} has two files of frame {number}, {' and '.join(twice[:2])}; leave one")
    return counter


def missing_between(numbers: Collection[int]) -> list[int]:
    """List the numbers that are left out of a row of evenly spaced ones."""
    ordered = sorted(numbers)
    step = math.gcd(*(after - before for before, after in pairwise(ordered))) or 1
    return sorted(set(range(ordered[0], ordered[-1], step)) - set(ordered)) if len(ordered) > 1 else []


class NumberedFolder(NamedTuple):
    """A folder of frames."""

    path: Path
    numbers: tuple[int, ...]
    form: str = ""
    """What stands around the numbers, but for the folder's own name: other forms come from other programs, which count
    for themselves."""


def numbered_folder(folder: Path, numbers: tuple[int, ...], first: Path) -> NumberedFolder:
    """Describe a folder whose first file is given."""
    around = "".join(_parts(first.stem)[0])
    return NumberedFolder(folder, numbers, around.replace("".join(_parts(folder.name)[0]) or around, ""))


def _overlap(one: Collection[int], other: Collection[int]) -> bool:
    """Tell whether two rows of numbers may count the same frames."""
    return min(one) <= max(other) and min(other) <= max(one)


def check_same_frames(cameras: Mapping[str, NumberedFolder], moved: Collection[str] = ()) -> None:
    """Stop if a camera lacks a picture, so that all later ones would be taken for an instant too early.

    Cameras that count for themselves are accepted if none leaves a number out.  What is missing at the end is not
    looked at here.

    Args:
        moved: cameras whose beginning the user has told.
    Raises:
        ValueError: with the folder and the number.
    """
    sets = {name: set(folder.numbers) for name, folder in cameras.items()}
    alike = len({frozenset(numbers) for numbers in sets.values()}) == 1
    even = all(not missing_between(numbers) for numbers in sets.values())
    if not sets or (len(sets) > 1 and (alike or (even and len({len(numbers) for numbers in sets.values()}) == 1))):
        return
    fullest = max(sets, key=lambda name: len(sets[name]))
    for name, numbers in sets.items():
        expected = set(missing_between(numbers))
        is_alike = cameras[name].form == cameras[fullest].form and _overlap(numbers, sets[fullest])
        if name not in moved and fullest not in moved and is_alike:
            expected |= {number for number in sets[fullest] if number < max(numbers)}
        missing = sorted(expected - numbers)
        if missing and missing[-1] < min(numbers):
            raise ValueError(
                f"{cameras[name].path} begins with number {min(numbers)}, {cameras[fullest].path} with "
                f"{min(sets[fullest])}; if {fullest} started earlier, give --offsets {fullest}={len(missing)}, else "
                "copy the missing ones"
            )
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(
                f"{cameras[name].path} has no picture number {missing[0]}{more}, so that all later ones would be taken "
                "for an instant too early; copy it, or remove the pictures of that number from all cameras"
            )


def _have_holes(frames: Mapping[str, Sequence[int] | None]) -> bool:
    """Tell whether pictures skip numbers (in all cameras alike), so that only numbers tell what belongs together."""
    return (
        bool(frames)
        and all(there is not None for there in frames.values())
        and any(missing_between(there) for there in frames.values() if there is not None)
    )


def origin_of(
    numbers: Mapping[str, Collection[int]], frames: Mapping[str, Sequence[int] | None], begins: int | None, what: str
) -> int | None:
    """Find the number that files of another kind have for the first frame, the same for all cameras.

    Args:
        numbers: by camera, of the other kind of files.
        frames: by camera, of the frames themselves; None for a video.
        begins: the answer for videos, if it is known.
        what: the other kind, for messages.
    Returns:
        None if they have the numbers of the frames themselves.
    Raises:
        ValueError: the numbers do not tell.
    """
    some = {name: of_camera for name, of_camera in numbers.items() if of_camera}
    own = {name: frames[name] for name in some}
    if _have_holes(own):
        strange = [name for name, there in own.items() if there is not None
                   and len(set(there) & set(some[name])) < SAME_SHAPE * len(there)]  # fmt: skip
        if strange:
            raise ValueError(f"the pictures of {strange[0]} leave numbers out, and {what} are numbered otherwise; "
                             "number both alike")  # fmt: skip
        return None
    if not some or all(there is not None and set(some[name]) <= set(there) for name, there in own.items()):
        return None if some and all(there is not None for there in own.values()) else (begins or 0)
    first = min(min(of_camera) for of_camera in some.values())
    if begins is not None and begins <= first:
        return begins
    begin_alike = len({min(of_camera) for of_camera in some.values()}) == 1
    if first in (0, 1) or (begin_alike and not any(missing_between(one) for one in some.values())):
        return first
    raise ValueError(f"{what} begin with number {first} and leave numbers out, so that it is not known which frame is "
                     "which; number them from 0 or 1, or as the pictures")  # fmt: skip


def rows_of(numbers: Sequence[int], frames: Sequence[int] | None, origin: int | None) -> list[int]:
    """Find the row of the frame that each number means; -1 for a number that no frame has.

    Args:
        frames: numbers in the names of the frames themselves; None for a video.
        origin: what `origin_of` found.
    """
    if origin is not None or frames is None:
        return [number - (origin or 0) for number in numbers]
    places = {number: row for row, number in enumerate(frames)}
    return [places.get(number, -1) for number in numbers]
