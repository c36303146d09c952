"""Writers of 2D keypoints as other programs leave them, from (T, 25, 3) arrays with BODY_25B's names."""

import csv
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from dataset_def.multiview.keypoint_files import BODY_25B, SKELETONS
from tests.helpers.small_recording import SmallRecording


def of_skeleton(seen: np.ndarray, skeleton: str) -> np.ndarray:
    """Give the keypoints of one frame in a skeleton's order; points that ours has no name for are zero."""
    names = SKELETONS[skeleton]
    return np.stack([seen[BODY_25B.index(name)] if name else np.zeros(3) for name in names])


def write_frames(folder: Path, frames: Sequence[object], name: str = "{:012d}_keypoints.json", first: int = 0) -> None:
    """Write one .json per frame; None leaves a frame out."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(frames, start=first):
        if content is not None:
            (folder / name.format(number)).write_text(json.dumps(content))


def openpose(
    recording: SmallRecording, skeleton: str = "halpe_26", key: str = "pose_keypoints_2d", **names: object
) -> None:
    """Write keypoints/<camera>/<frame>_keypoints.json of all cameras."""
    for camera in recording.cameras:
        people = [of_skeleton(seen, skeleton).ravel().tolist() for seen in recording.keypoints_px(camera)]
        frames = [{"version": 1.3, "people": [{key: numbers}]} for numbers in people]
        write_frames(recording.root / "keypoints" / camera, frames, **names)  # type: ignore[arg-type]


def alphapose_list(seen: np.ndarray, skeleton: str) -> object:
    """AlphaPose's default: one list of people, each with its picture."""
    return [{"image_id": f"{frame}.jpg", "category_id": 1, "score": 2.9,
             "keypoints": of_skeleton(one, skeleton).ravel().tolist()} for frame, one in enumerate(seen)]  # fmt: skip


def alphapose_open(seen: np.ndarray, skeleton: str) -> object:
    """AlphaPose's `--format open`."""
    return {f"{frame}.jpg": {"version": "AlphaPose v0.3", "bodies": [
        {"joints": of_skeleton(one, skeleton).ravel().tolist()}]} for frame, one in enumerate(seen)}  # fmt: skip


def mmpose_video(seen: np.ndarray, skeleton: str) -> object:
    """MMPose's file of a whole video, which counts from 1."""
    return {"meta_info": {}, "instance_info": [
        {"frame_id": frame, "instances": [{"keypoints": of_skeleton(one, skeleton)[:, :2].tolist(),
                                           "keypoint_scores": of_skeleton(one, skeleton)[:, 2].tolist()}]}
        for frame, one in enumerate(seen, start=1)]}  # fmt: skip


def coco_dataset(seen: np.ndarray, skeleton: str) -> object:
    """COCO's annotations of many pictures."""
    images = [{"id": 500 + frame, "file_name": f"{frame + 1:06d}.png"} for frame in range(len(seen))]
    return {"images": images, "annotations": [
        {"image_id": 500 + frame, "keypoints": of_skeleton(one, skeleton).ravel().tolist()}
        for frame, one in enumerate(seen)]}  # fmt: skip


WHOLE_VIDEO: dict[str, Callable[[np.ndarray, str], object]] = {
    "alphapose_list": alphapose_list, "alphapose_open": alphapose_open, "mmpose_video": mmpose_video,
    "coco_dataset": coco_dataset,
}  # fmt: skip


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write rows of cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def deeplabcut_csv(path: Path, seen: np.ndarray, names: Sequence[str], individuals: Sequence[str] = ()) -> None:
    """DeepLabCut's table (with individuals: the multi-animal one, all but the first of them never seen)."""
    who = list(individuals) or [""]
    columns = [(one, name, part) for one in who for name in names for part in ("x", "y", "likelihood")]
    head = [["scorer", *["DLC_net"] * len(columns)]]
    head += [["individuals", *(one for one, _, _ in columns)]] if individuals else []
    head += [["bodyparts", *(name for _, name, _ in columns)], ["coords", *(part for _, _, part in columns)]]
    blank = [""] * (len(columns) - 3 * len(names))
    write_csv(path, [*head, *([frame, *one.ravel().tolist(), *blank] for frame, one in enumerate(seen))])


def sleap_csv(path: Path, seen: np.ndarray, names: Sequence[str], lost: Sequence[int] = ()) -> None:
    """SLEAP's table, which leaves out frames without anybody."""
    columns = [f"{name}.{part}" for name in names for part in ("x", "y", "score")]
    body = [["track_0", frame, 0.9, *one.ravel().tolist()] for frame, one in enumerate(seen) if frame not in lost]
    write_csv(path, [["track", "frame_idx", "instance.score", *columns], *body])


def sleap_h5(path: Path, seen: np.ndarray, names: Sequence[str]) -> None:
    """SLEAP's analysis file, whose second track is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tracks = np.full((2, 2, len(names), len(seen)), np.nan)
    tracks[0] = seen[..., :2].transpose(2, 1, 0)
    with h5py.File(path, "w") as stored:
        stored["tracks"], stored["node_names"] = tracks, [name.encode() for name in names]


def deeplabcut_h5(path: Path, seen: np.ndarray, names: Sequence[str]) -> None:
    """DeepLabCut's table as pandas lays it out: rows of one block, names of the columns pickled beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [("DLC_net", name, part) for name in names for part in ("x", "y", "likelihood")]
    rows = np.zeros(len(seen), [("index", "i8"), ("values_block_0", "f8", (len(columns),))])
    rows["index"], rows["values_block_0"] = np.arange(len(seen)), seen.reshape(len(seen), -1)
    with h5py.File(path, "w") as stored:
        group = stored.create_group("df_with_missing")
        group["table"] = rows
        group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, columns)], protocol=0))
