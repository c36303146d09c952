"""Reads 2D keypoints with names of their own: tables of DeepLabCut, Lightning Pose and SLEAP (.csv, .h5).

Names are taken for BODY_25B's where they say the same in other words (`LWrist`, `wrist_left`).  For all others the user
gives a table of two columns, the file's name and ours; a name with nothing behind it is left out.
"""

import csv
import importlib
import io
import pickle
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dataset_def.calibration.camera_values import PIXEL_CENTRE_PX
from dataset_def.frame_files import frame_numbers
from dataset_def.multiview.keypoint_files import BODY_25B, CameraKeypoints

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
PARTS = {
    "nose": "nose", "eye": "eye", "ear": "ear", "shoulder": "shoulder", "sho": "shoulder", "elbow": "elbow",
    "wrist": "wrist", "hip": "hip", "knee": "knee", "ankle": "ankle", "neck": "neck", "headtop": "head_top",
    "tophead": "head_top", "bigtoe": "big_toe", "smalltoe": "small_toe", "heel": "heel",
}  # fmt: skip
"""Words of a keypoint's name without its side, and ours."""
PANDAS_NAMES = "non_index_axes"
"""Where a table of pandas keeps the names of its columns."""


def our_name(name: str) -> str:
    """Find the keypoint of BODY_25B that a name of another program means; empty if none."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    if len(words) == 1 and name[:1] in "LRlr" and name[1:].lower() in PARTS:
        words = [name[0], name[1:]]
    sides = [SIDES[word.lower()] for word in words if word.lower() in SIDES]
    part = PARTS.get("".join(word.lower() for word in words if word.lower() not in SIDES), "")
    found = f"{sides[0]}_{part}" if len(sides) == 1 else part
    return found if found in BODY_25B and len(sides) < 2 else ""


def read_names(path: Path | None) -> dict[str, str]:
    """Read the user's table of names: per line the file's name, a comma, and ours (or nothing to leave it out).

    Raises:
        FileNotFoundError, ValueError: no such file, or a name that is none of ours.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise FileNotFoundError(f"--keypoint-names: {path} does not exist")
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig", errors="replace"))))
    found = {row[0].strip(): row[1].strip() if len(row) > 1 else "" for row in rows if row and row[0].strip()}
    wrong = sorted(set(found.values()) - {*BODY_25B, ""})
    if wrong:
        raise ValueError(f"{path}: {', '.join(wrong)} is no keypoint of ours; those are {', '.join(BODY_25B)}")
    return found


def matched_names(where: Path, names: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Find our name of every keypoint.

    Raises:
        ValueError: a name that is not understood, or two that mean the same.
    """
    found = [given.get(name, our_name(name)) for name in names]
    unknown = [name for name, ours in zip(names, found, strict=True) if not ours and name not in given]
    if unknown:
        raise ValueError(f"{where} has keypoints {', '.join(unknown)}, which are not known; give --keypoint-names "
                         f"TABLE, a file with lines such as `{unknown[0]},left_wrist`, or `{unknown[0]},` to leave one "
                         "out")  # fmt: skip
    twice = sorted({ours for ours in found if ours and found.count(ours) > 1})
    if twice:
        raise ValueError(f"{where}: several keypoints mean {', '.join(twice)}; leave out others with --keypoint-names")
    return found


Cells = Float[np.ndarray, "T K 3"]
"""x, y and confidence of one individual; NaN where it is not seen."""


def assembled(
    path: Path,
    names: Sequence[str],
    individuals: Sequence[Cells],
    numbers: tuple[int, ...],
    given: Mapping[str, str],
    begins: int | None = 0,
) -> CameraKeypoints:
    """Give named keypoints of several individuals as those of BODY_25B, by frame."""
    ours = matched_names(path, names, given)
    rows = [(BODY_25B.index(name), column) for column, name in enumerate(ours) if name]
    people: list[np.ndarray] = []
    for frame in range(len(individuals[0])):
        everybody = []
        for one in individuals:
            seen = np.where(np.isfinite(one[frame]).all(axis=1, keepdims=True), one[frame], 0.0)
            keypoints = np.zeros((len(BODY_25B), 3))
            for there, here in rows:
                keypoints[there] = seen[here]
            if keypoints[:, 2].any():
                keypoints[:, :2] += PIXEL_CENTRE_PX
                everybody.append(keypoints)
        people.append(np.array(everybody).reshape(-1, len(BODY_25B), 3))
    return CameraKeypoints(path, people, numbers, begins)


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else np.nan


def _index_numbers(path: Path, cells: Sequence[str]) -> tuple[int, ...]:
    """Read frame numbers off the first column: numbers, or names of pictures."""
    if all(cell.strip().isdecimal() for cell in cells):
        return tuple(int(cell) for cell in cells)
    numbers = frame_numbers([Path(cell.replace("\\", "/")) for cell in cells])
    if numbers is None:
        raise ValueError(f"{path}: its first column ({cells[0]}, ...) tells no frame numbers; number the frames")
    return numbers


def _deeplabcut(path: Path, rows: list[list[str]], given: Mapping[str, str]) -> CameraKeypoints:
    """Read a table with a head of scorer, (individuals,) bodyparts and coords, as Lightning Pose writes it too."""
    heads = {row[0].strip().lower(): row for row in rows[:4] if row}
    body = [row for row in rows[len(heads) if "individuals" in heads else 3 :] if any(cell.strip() for cell in row)]
    lead = next(
        column for column, cell in enumerate(heads["coords"]) if cell.strip().lower() in ("x", "y", "likelihood")
    )
    keys = [(heads["individuals"][column] if "individuals" in heads else "", heads["bodyparts"][column].strip(),
             heads["coords"][column].strip().lower()) for column in range(lead, len(heads["coords"]))]  # fmt: skip
    values = np.array([[_number(cell) for cell in row[lead:]] for row in body], dtype=float).reshape(
        len(body), len(keys)
    )
    return _by_columns(path, keys, values, ["/".join(cell for cell in row[:lead] if cell) for row in body], given)


def _by_columns(
    path: Path, keys: Sequence[tuple[str, str, str]], values: Float[np.ndarray, "T C"], index: Sequence[str],
    given: Mapping[str, str],
) -> CameraKeypoints:  # fmt: skip
    """Sort columns (individual, keypoint, x or y or likelihood) into arrays."""
    numbers, counts = _index_numbers(path, index), all(cell.strip().isdecimal() for cell in index)
    names = list(dict.fromkeys(name for _, name, _ in keys))
    everybody = list(dict.fromkeys(who for who, _, _ in keys))
    place = {key: column for column, key in enumerate(keys)}
    individuals = []
    for who in everybody:
        columns = [[place.get((who, name, part)) for part in ("x", "y", "likelihood")] for name in names]
        if any(column is None for trio in columns for column in trio[:2]):
            continue  # DeepLabCut lists points that belong to nobody as one more individual
        cells = np.stack([np.stack([np.ones(len(values)) if column is None else values[:, column] for column in trio],
                                   axis=-1) for trio in columns], axis=1)  # fmt: skip
        individuals.append(cells)
    if not individuals:
        raise ValueError(f"{path} has no individual with x and y of all keypoints; export the table again")
    return assembled(path, names, individuals, numbers, given, 0 if counts else None)


def _sleap(path: Path, rows: list[list[str]], given: Mapping[str, str]) -> CameraKeypoints:
    """Read SLEAP's table: a line per frame and individual, columns such as nose.x, nose.y, nose.score."""
    head, body = rows[0], [row for row in rows[1:] if row]
    names = [cell.removesuffix(".x") for cell in head if cell.endswith(".x")]
    column = {cell: number for number, cell in enumerate(head)}
    numbers = [int(row[column["frame_idx"]]) for row in body]
    frames = sorted(set(numbers))
    places, most = {frame: place for place, frame in enumerate(frames)}, max(Counter(numbers).values(), default=1)
    individuals = np.full((most, len(frames), len(names), 3), np.nan)
    count: dict[int, int] = {}
    for number, row in zip(numbers, body, strict=True):
        frame = places[number]
        for place, name in enumerate(names):
            parts = [_number(row[column[f"{name}.{axis}"]]) for axis in "xy"]
            score = _number(row[column[f"{name}.score"]]) if f"{name}.score" in column else 1.0
            individuals[count.get(frame, 0), frame, place] = [*parts, score]
        count[frame] = count.get(frame, 0) + 1
    return assembled(path, names, list(individuals), tuple(frames), given)


def read_csv(path: Path, given: Mapping[str, str]) -> CameraKeypoints:
    """Read a .csv of DeepLabCut, Lightning Pose or SLEAP.

    Raises:
        ValueError: another table, or names that are not known.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise ValueError(f"{path} is no table ({error}); export it again") from error
    heads = [row[0].strip().lower() for row in rows[:4] if row]
    try:
        if "bodyparts" in heads and "coords" in heads:
            return _deeplabcut(path, rows, given)
        if rows and "frame_idx" in rows[0]:
            return _sleap(path, rows, given)
    except (IndexError, KeyError, StopIteration, ValueError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is cut short or changed ({error!r}); export the table again") from error
    raise ValueError(f"{path} is no table of keypoints: DeepLabCut's and Lightning Pose's begin with scorer, "
                     "bodyparts, coords, SLEAP's has a column frame_idx")  # fmt: skip


class _NamesOnly(pickle.Unpickler):
    """Opens the names of a pandas table, which are lists and text: nothing else is loaded."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"its column names hold {module}.{name}")


def read_h5(path: Path, given: Mapping[str, str]) -> CameraKeypoints:
    """Read SLEAP's analysis file, or DeepLabCut's table of pandas.

    Raises:
        ValueError: h5py is not installed, or another content.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise ValueError(f"{path} needs h5py: pip install h5py, or save the keypoints as .csv") from None
    try:
        with h5py.File(path) as stored:
            if {"tracks", "node_names"} <= set(stored):
                return _sleap_h5(path, stored, given)
            group = next((stored[name] for name in stored if "table" in stored[name]), None)
            if group is not None and PANDAS_NAMES in group.attrs:
                return _pandas_h5(path, group, given)
            found = ", ".join(stored)
    except (OSError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read ({error}); save the keypoints as .csv") from error
    raise ValueError(f"{path} holds {found}: neither SLEAP's analysis file nor DeepLabCut's table; save it as .csv")


def _sleap_h5(path: Path, stored: Any, given: Mapping[str, str]) -> CameraKeypoints:
    """Read tracks (individuals, 2, keypoints, frames) with their scores."""
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in stored["node_names"][:]]
    tracks = np.array(stored["tracks"], dtype=float)
    if tracks.ndim != 4 or tracks.shape[1:3] != (2, len(names)):
        raise ValueError(f"{path}: tracks have shape {tracks.shape}, expected (individuals, 2, {len(names)}, frames)")
    points = tracks.transpose(0, 3, 2, 1)
    scores = np.ones(points.shape[:3])
    if "point_scores" in stored:
        scores = np.array(stored["point_scores"], dtype=float).transpose(0, 2, 1)
    individuals = list(np.concatenate([points, scores[..., None]], axis=-1))
    return assembled(path, names, individuals, tuple(range(tracks.shape[3])), given)


def _pandas_h5(path: Path, group: Any, given: Mapping[str, str]) -> CameraKeypoints:
    """Read a table whose columns are (scorer, (individual,) bodypart, x or y or likelihood)."""
    stored = group.attrs[PANDAS_NAMES]
    content = stored if isinstance(stored, bytes) else bytes(stored)
    columns = _NamesOnly(io.BytesIO(content), encoding="latin1").load()[0][1]
    table = group["table"][:]
    blocks = [table[name].reshape(len(table), -1) for name in table.dtype.names if name != "index"]
    values = np.concatenate(blocks, axis=1).astype(float)
    keys = [(str(one[1]) if len(one) > 3 else "", str(one[-2]), str(one[-1])) for one in columns]
    if len(keys) != values.shape[1]:
        raise ValueError(f"{path} has {values.shape[1]} columns and {len(keys)} names; save it as .csv")
    index = [value.decode() if isinstance(value, bytes) else str(value) for value in table["index"]]
    return _by_columns(path, keys, values, index, given)


def read_table(path: Path, given: Mapping[str, str] | None = None) -> CameraKeypoints:
    """Read a table of keypoints by its ending."""
    return (read_h5 if path.suffix.lower() == ".h5" else read_csv)(path, given or {})
