"""Scan the data, write the index, and cut the crops once so that training decodes no image.

    python dataset_def/h36m_preprocess.py

Reads   frames, masks and h36m_meta.mat of a Human3.6M-like data set (the embedded one by default)
Writes  <index_location>/index.npz, geometry.npz, and crops_<centre>/ unless --no-pack; a second run does nothing
Next    dataset_def/h36m_get_background.py, sample/train_enc_dec.py
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from config import Paths, PreprocessConfig
from dataset_def.crop import crop_camera
from dataset_def.data_set_file import DataSetFacts, read_facts
from dataset_def.h36m_crops import (
    FramePictures,
    PackMetadata,
    finish_pack,
    load_metadata,
    pack_folder,
    start_pack,
    write_rows,
)
from dataset_def.h36m_files import (
    FrameKey,
    Meta,
    check_complete,
    find_folders,
    folder_name,
    has_masks,
    listed_frames,
    load_mask,
    load_meta,
    mask_path,
    meta_path,
)
from dataset_def.h36m_index import (
    FrameTable,
    data_fingerprint,
    geometry_path,
    index_path,
    load_table,
    save_geometry,
    targets_world_m,
)
from dataset_def.mask_centres import MaskShape, box_target, mask_shape, triangulated
from dataset_def.people import whose_numbers
from utils.artifacts import save_index
from utils.camera import Camera
from utils.person_box import NO_PERSON, mask_fault, series_fault
from utils.processes import for_each
from utils.settings import next_command, start

FolderKey = tuple[int, int, int, int]
LABELS_AGREE_M = 0.01


class Scanned(NamedTuple):
    """What one folder holds."""

    meta: Meta
    frames: np.ndarray
    """Frame numbers that are kept."""
    shapes: list[MaskShape]
    """The mask's shape in each kept frame; empty without masks."""
    sees_person: bool
    """Whether a mask of the folder shows anybody."""


def scan_folder(paths: Paths, facts: DataSetFacts, every: int, with_masks: bool, key: FolderKey) -> Scanned:
    """Read the meta file and measure the masks of one folder, and check that its frames are complete."""
    path = meta_path(paths, key)
    meta = load_meta(path, facts)
    frames = np.arange(1, len(meta.joints_world_m) + 1, every)
    check_complete(path, frames.tolist(), listed_frames(path.parent), len(meta.joints_world_m))
    keys = [FrameKey(*key, frame) for frame in frames.tolist()]
    shapes: list[MaskShape] = []
    faults: list[str] = []
    for frame_key in keys if with_masks else []:
        mask = load_mask(paths, frame_key, meta.camera)
        shapes.append(mask_shape(mask))
        faults.append(mask_fault(mask))
    fault = series_fault(faults)
    if fault and fault != NO_PERSON:
        raise ValueError(f"{mask_path(paths, keys[len(keys) // 2])} and others beside it: the mask {fault}")
    return Scanned(meta, frames, shapes, not all(faults))


def checked_joints(rows_m: np.ndarray, row_instant: np.ndarray, first_rows: np.ndarray, names: list[str]) -> np.ndarray:
    """Take the joints of every instant from its first camera, and check that the other cameras say the same."""
    joints_world_m = rows_m[first_rows]
    apart_m = np.abs(rows_m - joints_world_m[row_instant]).max((1, 2))
    one_sided = np.isnan(rows_m).any((1, 2)) != np.isnan(joints_world_m[row_instant]).any((1, 2))
    bad = np.flatnonzero((apart_m > LABELS_AGREE_M) | one_sided)
    if len(bad):
        raise ValueError(f"pose3d_world of {names[bad[0]]} differs from that of another camera at the same instant; "
                         "it must be in the world's frame, the same for all cameras")  # fmt: skip
    return joints_world_m


def mask_targets(
    cameras: list, row_camera: np.ndarray, row_instant: np.ndarray, shapes: list[MaskShape]
) -> tuple[np.ndarray, np.ndarray]:
    """Find the crop centres that need no 3D label: per instant from all masks, and per frame from its own."""
    per_instant = np.full((row_instant.max() + 1, 3), np.nan)
    if not shapes:
        return per_instant, np.full((len(row_instant), 3), np.nan)
    by_instant = np.split(np.argsort(row_instant, kind="stable"), np.cumsum(np.bincount(row_instant))[:-1])
    for instant, rows in enumerate(by_instant):
        views = [cameras[row_camera[row]] for row in rows]
        per_instant[instant] = triangulated(views, np.array([shapes[row].centroid_px for row in rows]))
    boxes = [box_target(cameras[row_camera[row]], shape.box_px) for row, shape in enumerate(shapes)]
    return per_instant, np.array(boxes)


def make_table(config: PreprocessConfig, folders: list[FolderKey], fingerprint: str) -> FrameTable:
    """Read everything about the data set but its pixels."""
    with_masks, facts = has_masks(config.paths), read_facts(config.paths)
    scan = partial(scan_folder, config.paths, facts, config.every, with_masks)
    scanned = for_each(scan, folders, config.processes, "scanning folders")
    if with_masks and not any(one.sees_person for one in scanned):
        raise ValueError(f"no mask in {config.paths.masks_location} has a person in it (no pixel above 128); make them "
                         "again, or move the folder elsewhere to go on without masks")  # fmt: skip
    counts = [len(one.frames) for one in scanned]
    frames = np.column_stack([np.repeat(folders, counts, axis=0), np.concatenate([one.frames for one in scanned])])
    _, first_rows, row_instant = np.unique(frames[:, [0, 1, 2, 4]], axis=0, return_index=True, return_inverse=True)
    row_camera = np.repeat(np.arange(len(folders)), counts)
    rows_m = np.concatenate([one.meta.joints_world_m[one.frames - 1] for one in scanned])
    names = [folder_name(*folders[camera]) for camera in row_camera]
    cameras = [one.meta.camera for one in scanned]
    shapes = [shape for one in scanned for shape in one.shapes]
    masks_world_m, box_world_m = mask_targets(cameras, row_camera, row_instant, shapes)
    return FrameTable(
        frames=frames.astype(np.int32),
        cameras=cameras,
        row_camera=row_camera,
        row_instant=row_instant,
        joints_world_m=checked_joints(rows_m, row_instant, first_rows, names),
        masks_world_m=masks_world_m,
        box_world_m=box_world_m,
        every=config.every,
        has_masks=with_masks,
        fingerprint=fingerprint,
        skeleton=facts.skeleton,
        people=whose_numbers(config.paths, fingerprint),
    )


class FolderToPack(NamedTuple):
    """What a process needs to know to cut the crops of one folder."""

    first_row: int
    camera: Camera
    keys: list[FrameKey]
    targets_world_m: np.ndarray


def pack_folder_of_frames(config: PreprocessConfig, with_masks: bool, todo: FolderToPack) -> None:
    """Cut the crops of one folder; a frame whose centre is not known stays black."""
    images = np.zeros((len(todo.keys), config.pack_px, config.pack_px, 3), np.uint8)
    masks = np.zeros(images.shape[:3], np.uint8) if with_masks else None
    for number, (key, target_world_m) in enumerate(zip(todo.keys, todo.targets_world_m, strict=True)):
        if not np.isfinite(target_world_m).all():
            continue
        frame = FramePictures(config.paths, key, todo.camera)
        to = crop_camera(todo.camera, target_world_m, config.pack_px, config.pack_side_m)
        images[number] = frame.image(to)
        if masks is not None:
            masks[number] = frame.mask(to)
    write_rows(pack_folder(config.paths, config.centre), todo.first_row, images, masks)


def pack(config: PreprocessConfig, table: FrameTable) -> None:
    """Cut all crops, one folder of frames at a time, unless the same crops are there."""
    folder = pack_folder(config.paths, config.centre)
    metadata = PackMetadata(table.fingerprint, table.every, table.has_masks, config.pack_px, config.pack_side_m)
    if load_metadata(folder) == metadata:
        return
    targets_m = targets_world_m(table, config.centre)
    if not np.isfinite(targets_m).any():
        raise ValueError(
            f"no frame has a crop centre of kind {config.centre!r}: masks needs masks in two views at least, box needs "
            "masks, pelvis needs 3D labels; choose another --centre"
        )
    start_pack(folder, len(table.frames), metadata)
    by_folder = np.split(np.arange(len(table.frames)), np.cumsum(np.bincount(table.row_camera))[:-1])
    todo = [
        FolderToPack(int(rows[0]), table.camera(rows[0]), [table.key(row) for row in rows], targets_m[rows])
        for rows in by_folder
    ]
    for_each(partial(pack_folder_of_frames, config, table.has_masks), todo, config.processes, "cutting crops")
    finish_pack(folder, metadata)


def stored_table(config: PreprocessConfig, fingerprint: str) -> FrameTable | None:
    """Read the table that an earlier run made from the same data with the same settings."""
    if not (index_path(config.paths).exists() and geometry_path(config.paths).exists()):
        return None
    try:
        table = load_table(config.paths)
    except ValueError:
        return None
    made_alike = (fingerprint, config.every, has_masks(config.paths)) == (
        table.fingerprint,
        table.every,
        table.has_masks,
    )
    return table if made_alike else None


def next_step(config: PreprocessConfig, table: FrameTable) -> str:
    """Say how to go on: with the empty rooms, or, where nobody has a label but all have masks, with bodies from these.

    An import gives the last part of a recording a number of its own, to be tested on.
    """
    if np.isfinite(table.joints_world_m).any() or not table.has_masks:
        return next_command("dataset_def/h36m_get_background.py", config.paths)
    who = tuple(np.unique(table.frames[:, 0]).tolist())
    test = who[-1:] if len(who) > 1 else None
    return next_command("sample/fit_SMPL.py", config.paths, subjects=who, people__test=test)


def main(config: PreprocessConfig) -> None:
    """Write index and crops."""
    folders = find_folders(config.paths)
    fingerprint = data_fingerprint(config.paths, folders)
    table = stored_table(config, fingerprint)
    if table is None:
        table = make_table(config, folders, fingerprint)
        save_geometry(config.paths, table)
        save_index(index_path(config.paths), table.frames, fingerprint)
    if config.pack:
        pack(config, table)
    num_known = int(np.isfinite(targets_world_m(table, config.centre)).all(1).sum())
    print(
        f"{len(table.frames)} frames of {len(folders)} folders in {index_path(config.paths)}; {num_known} have a crop "
        f"centre of kind {config.centre}, masks: {'yes' if table.has_masks else 'none'}"
    )
    print(next_step(config, table))


if __name__ == "__main__":
    start(main, PreprocessConfig)
