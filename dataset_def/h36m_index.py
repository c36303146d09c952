"""The table of all frames with their cameras, joints and crop centres, and the choice of rows from it."""

import hashlib
import warnings
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from config import Paths
from dataset_def.data_set_file import facts_path
from dataset_def.h36m_files import FrameKey, find_folders, folder_name, meta_path
from dataset_def.people import whose_numbers
from utils.artifacts import COMMANDS, load_arrays, load_index, save_arrays, skeleton_among, skeleton_arrays
from utils.camera import Camera
from utils.skeleton import H36M, Skeleton

Part = Literal["train", "held_out", "all"]
Centre = Literal["pelvis", "masks", "box"]
CENTRES: tuple[Centre, ...] = get_args(Centre)
CAMERA_ARRAYS = Camera._fields
MAT_HEADER_BYTES = 128
"""A .mat file starts with a text that holds the time of writing."""


class FrameTable(NamedTuple):
    """Everything about the frames of a data set but the pixels."""

    frames: Int[np.ndarray, "N 5"]
    """Subject, action, sub-action, camera, frame; sorted, so that the rows of a folder are neighbours."""
    cameras: list[Camera]
    """One camera per folder."""
    row_camera: Int[np.ndarray, "N"]
    """Which of `cameras` took the frame."""
    row_instant: Int[np.ndarray, "N"]
    """Frames of the same instant, seen by different cameras, share this number."""
    joints_world_m: Float[np.ndarray, "I J 3"]
    """Joints of each instant; NaN without labels."""
    masks_world_m: Float[np.ndarray, "I 3"]
    """Triangulated centroid of the masks per instant; NaN where unknown."""
    box_world_m: Float[np.ndarray, "N 3"]
    """Centre of the mask's box per frame; NaN where unknown."""
    every: int
    """Every n-th frame of the data is in the table."""
    has_masks: bool
    fingerprint: str
    skeleton: Skeleton = H36M
    """The joints."""
    people: str = ""
    """Whom the subjects' numbers stand for; see dataset_def/people.py."""

    def camera(self, row: int | np.integer) -> Camera:
        """Give the camera that took a frame."""
        return self.cameras[self.row_camera[row]]

    def key(self, row: int | np.integer) -> FrameKey:
        """Name a frame."""
        return FrameKey(*self.frames[row].tolist())


def data_fingerprint(paths: Paths, folders: list[tuple[int, int, int, int]]) -> str:
    """Compute a hash of the folders' names, of samples of their meta files and of data_set.json, in milliseconds."""
    digest = hashlib.sha256()
    for key in folders:
        path = meta_path(paths, key)
        digest.update(f"{folder_name(*key)} ".encode())
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; every folder of frames needs one")
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            for start in (MAT_HEADER_BYTES, max(MAT_HEADER_BYTES, size - 4096)):
                stream.seek(start)
                digest.update(stream.read(4096))
        digest.update(f" {size}\n".encode())
    if facts_path(paths).is_file():
        digest.update(facts_path(paths).read_bytes())
    return digest.hexdigest()


def index_path(paths: Paths) -> Path:
    """Say where the frame index lies."""
    return paths.index_location / "index.npz"


def geometry_path(paths: Paths) -> Path:
    """Say where cameras, joints and crop centres of the index lie."""
    return paths.index_location / "geometry.npz"


def save_geometry(paths: Paths, table: FrameTable) -> None:
    """Write all of a table that is not in the index."""
    arrays = table._asdict()
    cameras = {f"camera_{name}": np.array([getattr(camera, name) for camera in arrays["cameras"]])
               for name in CAMERA_ARRAYS}  # fmt: skip
    others = {name: np.asarray(arrays[name]) for name in arrays if name not in ("frames", "cameras", "skeleton")}
    save_arrays(geometry_path(paths), "geometry", **cameras, **others, **skeleton_arrays(table.skeleton))


def load_table(paths: Paths) -> FrameTable:
    """Read index and geometry, and check that they were made from the data at `paths.h36m_location`.

    Where that folder does not exist the packed crops alone may be used, and the check is left out.
    """
    index = load_index(index_path(paths))
    stored = load_arrays(geometry_path(paths), "geometry", COMMANDS["index"])
    if str(stored["fingerprint"]) != index.fingerprint or len(stored["row_camera"]) != len(index.frames):
        raise ValueError(f"{geometry_path(paths)} and index.npz do not belong together; make both again with: "
                         f"{COMMANDS['index']}")  # fmt: skip
    if paths.h36m_location.is_dir() and data_fingerprint(paths, find_folders(paths)) != index.fingerprint:
        raise ValueError(f"{index_path(paths)} was made from other data than {paths.h36m_location} holds now; make it "
                         f"again with: {COMMANDS['index']}")  # fmt: skip
    return FrameTable(
        frames=index.frames,
        cameras=_stored_cameras(stored),
        row_camera=stored["row_camera"],
        row_instant=stored["row_instant"],
        joints_world_m=stored["joints_world_m"],
        masks_world_m=stored["masks_world_m"],
        box_world_m=stored["box_world_m"],
        every=int(stored["every"]),
        has_masks=bool(stored["has_masks"]),
        fingerprint=index.fingerprint,
        skeleton=skeleton_among(stored),
        people=str(stored["people"]) if "people" in stored else whose_numbers(paths, index.fingerprint),
    )


def _stored_cameras(stored: dict[str, np.ndarray]) -> list[Camera]:
    """Build the cameras from one array per field."""
    columns = {name: stored[f"camera_{name}"] for name in CAMERA_ARRAYS}
    cameras = [Camera(**{name: column[row] for name, column in columns.items()}) for row in range(len(columns["k"]))]
    return [camera._replace(width_px=int(camera.width_px), height_px=int(camera.height_px)) for camera in cameras]


def targets_world_m(table: FrameTable, centre: Centre) -> Float[np.ndarray, "N 3"]:
    """Give what the crop of every frame is centred on; NaN where it is not known."""
    if centre == "pelvis":
        return table.joints_world_m[table.row_instant, 0]
    if not table.has_masks:
        raise ValueError(f"crop.centre is {centre!r}, but the index was made without masks; put the masks into "
                         f"paths.masks_location and run: {COMMANDS['index']}; or centre crops on the true pelvis, a 3D "
                         "label: --centre pelvis for the index, --crop.centre pelvis for stage 1")  # fmt: skip
    return table.masks_world_m[table.row_instant] if centre == "masks" else table.box_world_m


class FrameChoice(NamedTuple):
    """Which frames of the index a data set shows."""

    subjects: tuple[int, ...]
    part: Part = "all"
    """All sequences of the subjects, those that train, or those held out of training."""
    held_out: tuple[tuple[int, int], ...] = ()
    """(action, sub-action) of the sequences held out."""
    sequences: int = 0
    """Sequences per subject, spread over the actions; 0 for all."""
    every: int = 1
    """Every n-th instant of a sequence."""
    cameras: tuple[int, ...] = ()
    """Numbers of the cameras; all without."""
    sequences_seed: int = 0
    """Which sequences: 0 for evenly spread ones, other numbers for a draw of their own."""


def select_rows(
    table: FrameTable, subjects: tuple[int, ...], part: Part, held_out: tuple[tuple[int, int], ...]
) -> Int[np.ndarray, "n"]:
    """Find the rows of some subjects: all, without, or only the held-out (action, sub-action) sequences."""
    absent = sorted(set(subjects) - set(np.unique(table.frames[:, 0]).tolist()))
    if absent:
        raise ValueError(f"the index has no frames of subjects {absent}, only of "
                         f"{np.unique(table.frames[:, 0]).tolist()}; change the subjects setting, or add the data and "
                         f"run: {COMMANDS['index']}")  # fmt: skip
    chosen = in_part(table, np.flatnonzero(np.isin(table.frames[:, 0], subjects)), part, held_out)
    if len(chosen) == 0:
        raise ValueError(f"no frame of subjects {list(subjects)} is in part {part!r}; the held-out sequences are "
                         f"{list(held_out)} (setting subjects.held_out)")  # fmt: skip
    return chosen


def in_part(
    table: FrameTable, rows: Int[np.ndarray, "n"], part: Part, held_out: tuple[tuple[int, int], ...]
) -> Int[np.ndarray, "m"]:
    """Keep all rows, those outside, or only those of the held-out (action, sub-action) sequences."""
    is_held_out = np.zeros(len(rows), dtype=bool)
    for sequence in held_out:
        is_held_out |= (table.frames[rows, 1:3] == sequence).all(1)
    return rows if part == "all" else rows[is_held_out == (part == "held_out")]


def with_known_centre(rows: Int[np.ndarray, "n"], targets_m: Float[np.ndarray, "N 3"], centre: Centre) -> np.ndarray:
    """Leave out frames whose crop centre is not known, with a warning; stop if none is left."""
    known = rows[np.isfinite(targets_m[rows]).all(1)]
    if len(known) == 0:
        raise ValueError(f"no frame has a crop centre of kind {centre!r}: pelvis needs 3D labels, masks needs masks in "
                         "two views, box needs a mask that touches the floor; change crop.centre")  # fmt: skip
    if len(known) < len(rows):
        warnings.warn(f"{len(rows) - len(known)} of {len(rows)} frames have no crop centre of kind {centre!r} and are "
                      "left out", stacklevel=3)  # fmt: skip
    return known


def subjects_of(table: FrameTable, rows: Int[np.ndarray, "n"]) -> frozenset[int]:
    """List the subjects of some rows."""
    return frozenset(np.unique(table.frames[rows, 0]).tolist())


def rows_by_instant(table: FrameTable, rows: Int[np.ndarray, "n"]) -> dict[int, Int[np.ndarray, "v"]]:
    """Group rows by their instant, in order of the instants."""
    order = rows[np.argsort(table.row_instant[rows], kind="stable")]
    instants, firsts = np.unique(table.row_instant[order], return_index=True)
    return dict(zip(instants.tolist(), np.split(order, firsts[1:]), strict=True)) if len(order) else {}


def of_cameras(table: FrameTable, rows: Int[np.ndarray, "n"], cameras: tuple[int, ...]) -> Int[np.ndarray, "m"]:
    """Keep the frames of some cameras; all where none is named.

    Raises:
        ValueError: one of them took none of the frames.
    """
    if absent := sorted(set(cameras) - set(table.frames[rows, 3].tolist())):
        raise ValueError(f"the index has no frames of cameras {absent} for these subjects, only of "
                         f"{np.unique(table.frames[rows, 3]).tolist()}")  # fmt: skip
    return rows[np.isin(table.frames[rows, 3], cameras)] if cameras else rows


def every_nth(table: FrameTable, rows: Int[np.ndarray, "n"], every: int) -> Int[np.ndarray, "m"]:
    """Keep every n-th instant of each sequence, in all its views."""
    frame_step = table.every * every
    return rows[(table.frames[rows, 4] - 1) % frame_step == 0]


def select_frames(table: FrameTable, choice: FrameChoice) -> Int[np.ndarray, "n"]:
    """Find the rows of the chosen frames, in the order of the index."""
    rows = of_cameras(table, select_rows(table, choice.subjects, choice.part, choice.held_out), choice.cameras)
    rows = spread_sequences(table, rows, choice.sequences, choice.sequences_seed)
    return every_nth(table, rows, choice.every)


def spread_sequences(table: FrameTable, rows: Int[np.ndarray, "n"], count: int, seed: int = 0) -> Int[np.ndarray, "m"]:
    """Keep so many sequences of each subject; 0 keeps all.

    Args:
        seed: 0 spreads them evenly over the actions; each other number draws its own from as many equal parts.
    """
    if count == 0:
        return rows
    kept = []
    for subject in np.unique(table.frames[rows, 0]):
        of_subject = rows[table.frames[rows, 0] == subject]
        sequences = np.unique(table.frames[of_subject, 1:3], axis=0)
        if count > len(sequences):
            raise ValueError(f"sequences is {count}, but subject {subject} has {len(sequences)}; lower it, or use 0")
        within = np.random.default_rng([seed, int(subject)]).random(count) if seed else 0.5
        chosen = sequences[((np.arange(count) + within) * len(sequences) / count).astype(int)]
        is_chosen = (table.frames[of_subject, None, 1:3] == chosen).all(-1).any(-1)
        kept.append(of_subject[is_chosen])
    return np.concatenate(kept)


def backgrounds_provenance(paths: Paths) -> Path:
    """Name the file that tells which data the backgrounds were made from."""
    return paths.backgrounds_location / "made_from.npz"


def check_backgrounds(paths: Paths, table: FrameTable) -> None:
    """Stop if the backgrounds were made from other data; those without a note of it (imported ones) are accepted.

    Raises:
        ValueError: they belong to other data.
    """
    path = backgrounds_provenance(paths)
    if not path.exists():
        return
    stored = load_arrays(path, "backgrounds", COMMANDS["background"])
    if str(stored["fingerprint"]) != table.fingerprint:
        raise ValueError(
            f"the backgrounds in {paths.backgrounds_location} were made from other data than the index in "
            f"{paths.index_location}; delete that folder, or give another --paths.backgrounds-location, and run: "
            f"{COMMANDS['background']}"
        )
