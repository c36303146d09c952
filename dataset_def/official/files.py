"""Finds the files of every recording in the official Human3.6M download, and says what is missing.

Folders and actions are spelled differently from release to release (TakingPhoto, Photo; WalkingDog, WalkDog; spaces or
underscores), so files are looked up by a name that is the same for all spellings.
"""

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from dataset_def.h36m_files import DAMAGED_RECORDINGS, folder_name
from dataset_def.official.metadata import SERIALS, Metadata
from dataset_def.official.settings import ConvertConfig

FolderKey = tuple[int, int, int, int]
PLACES = {
    "videos": ("Videos",),
    "poses": ("Poses_D3_Positions", "D3_Positions", "MyPoseFeatures/D3_Positions"),
    "points": ("Poses_D2_Positions", "D2_Positions", "MyPoseFeatures/D2_Positions"),
    "masks": ("MySegmentsMat/ground_truth_bs", "Segments_mat_gt_bs", "ground_truth_bs"),
}
"""Folders below S1, S5, ... in which a kind of file was seen."""
KIND_ENDINGS = {"videos": (".mp4", ".avi", ".mkv"), "poses": (".cdf",), "points": (".cdf",), "masks": (".mat",)}
SPELLINGS = (("takingphoto", "photo"), ("walkingdog", "walkdog"), ("_", " "))


class OfficialRecording(NamedTuple):
    """The files that become one folder."""

    key: FolderKey
    """Subject, action, sub-action, camera."""
    name: str
    """Name of the recording in metadata.xml."""
    video: Path
    poses: Path
    masks: Path | None
    points: Path | None
    """Projected joints, to check the calibration with."""

    @property
    def folder(self) -> str:
        """Name of the folder to be written."""
        return folder_name(*self.key)


class Found(NamedTuple):
    """What the download holds of all that was asked for."""

    recordings: list[OfficialRecording]
    missing: dict[str, str]
    """Folder to be written, and what it lacks."""
    skipped: dict[str, str]
    """Folder, and why it is left out on purpose."""
    spelled: dict[str, str]
    """Name in metadata.xml, and the file's other spelling."""


def plain_stem(stem: str) -> str:
    """Give a name that is the same for all spellings."""
    name = stem.lower()
    for old, new in SPELLINGS:
        name = name.replace(old, new)
    return name


@lru_cache(maxsize=64)
def _files(folder: Path, kind: str) -> dict[str, Path]:
    """List the files of one kind below a subject's folder, by their plain names."""
    found: dict[str, Path] = {}
    for place in PLACES[kind]:
        if (folder / place).is_dir():
            for path in sorted((folder / place).iterdir()):
                if path.suffix.lower() in KIND_ENDINGS[kind]:
                    found.setdefault(plain_stem(path.stem), path)
    return found


def subject_folder(official: Path, subject: int) -> Path:
    """Say where the files of a subject lie."""
    return official / f"S{subject}"


def archives(official: Path) -> list[Path]:
    """List archives that are still packed."""
    return sorted(path for path in official.glob("*.t*gz") if path.is_file())


def find_recordings(config: ConvertConfig, metadata: Metadata) -> Found:
    """Find the files of every subject, action, sub-action and camera that was asked for.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it that could be converted.
    """
    if not config.official.is_dir():
        raise FileNotFoundError(f"official {config.official} is not a folder; give the one that holds S1, S5, ...")
    _files.cache_clear()
    found = Found([], {}, {}, {})
    for key in product(config.subjects, config.actions, config.subactions, config.cameras):
        folder = folder_name(*key)
        if key in DAMAGED_RECORDINGS:
            found.skipped[folder] = "its video is damaged in the original"
            continue
        recording, lack = _recording(config, metadata, key, found.spelled)
        if recording is None:
            found.missing[folder] = lack
        elif config.masks and recording.masks is None:
            found.skipped[folder] = "it has no masks (--no-masks converts all folders without them)"
        else:
            found.recordings.append(recording)
    if not found.recordings:
        raise FileNotFoundError(_nothing(config.official, found))
    return found


def _nothing(official: Path, found: Found) -> str:
    """Say why nothing can be converted."""
    why = next(iter(list(found.missing.values()) + list(found.skipped.values())), "nothing was asked for")
    packed = archives(official)
    unpack = f"; {packed[0].name} is still packed: tar -xzf {packed[0]} -C {official}" if packed else ""
    return f"{official} holds nothing that can be converted: {why}{unpack}"


def _recording(
    config: ConvertConfig, metadata: Metadata, key: FolderKey, spelled: dict[str, str]
) -> tuple[OfficialRecording | None, str]:
    """Find the files of one folder; gives (None, what is missing) if the video or the poses are not there."""
    subject, action, subaction, camera = key
    folder = subject_folder(config.official, subject)
    name = metadata.names.get((subject, action, subaction))
    if name is None:
        return None, f"{metadata.path.name} names no recording for this action of S{subject}"
    if not folder.is_dir():
        return None, f"there is no folder {folder}"
    view = f"{name}.{SERIALS[camera - 1]}"
    stems = {"videos": view, "poses": name, "points": view, "masks": view}
    paths = {kind: _files(folder, kind).get(plain_stem(stem)) for kind, stem in stems.items()}
    for kind, path in paths.items():
        if path is not None and path.stem != stems[kind]:
            spelled[f"S{subject} {stems[kind]}"] = path.name
    video, poses = paths["videos"], paths["poses"]
    if video is None:
        return None, _lack(folder, "videos", view)
    if poses is None:
        return None, _lack(folder, "poses", name) + _other_poses(folder)
    return OfficialRecording(key, name, video, poses, paths["masks"], paths["points"]), ""


def _lack(folder: Path, kind: str, stem: str) -> str:
    """Say that a file is missing, or that all of its kind are."""
    ending, place = KIND_ENDINGS[kind][0], folder / PLACES[kind][0]
    return (
        f"there is no {stem}{ending} in {place}" if _files(folder, kind) else f"there are no {ending} files in {place}"
    )


def _other_poses(folder: Path) -> str:
    """Name the poses that are there instead, which are in other frames."""
    other = [path.name for path in folder.glob("*D3_Positions_mono*")]
    return (
        f" ({', '.join(sorted(other))} is of another kind: the poses in the world's frame are needed)" if other else ""
    )
