"""What bodies are fitted to: the joints of a sequence's frames, and the masks of all cameras, cut from the frames."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from config import Paths
from dataset_def.crop import crop_camera, cut
from dataset_def.h36m_files import load_mask, mask_path
from dataset_def.h36m_index import FrameTable, every_nth, load_table, select_rows, spread_sequences
from dataset_def.h36m_SMPL_data import mask_fault, outside_px
from utils.camera import Camera
from utils.skeleton import H36M_17
from utils.views import MeshViews


class SequenceFrames(NamedTuple):
    """The frames of one sequence that are to be fitted."""

    subject: int
    action: int
    subaction: int
    frames: Int[np.ndarray, "T"]
    """Their numbers, in order; the first of a sequence is 1."""
    rows: list[Int[np.ndarray, "V"]]
    """Rows of the table that show each of them."""
    num_frames: int
    """Of the whole sequence, as far as the index goes."""

    @property
    def name(self) -> str:
        """Name without the camera."""
        return f"s_{self.subject:02d}_act_{self.action:02d}_subact_{self.subaction:02d}"


class Evidence(NamedTuple):
    """Joints and masks of some frames; views are padded to the most that any frame has."""

    joints_world_m: Float[Tensor, "T 17 3"]
    views: MeshViews
    """Crops centred on the true pelvis; a view without a usable mask does not exist."""


def fit_sequences(paths: Paths, subjects: tuple[int, ...], every: int, sequences: int) -> list[SequenceFrames]:
    """List the sequences of some subjects with the frames that have 3D labels.

    Raises:
        ValueError: there are no masks, or no labels.
    """
    table = load_table(paths)
    if not table.has_masks:
        raise ValueError(f"the index was made without masks, which bodies are fitted to; put them into "
                         f"{paths.masks_location} and make the index again")  # fmt: skip
    rows = spread_sequences(table, select_rows(table, subjects, "all", ()), sequences)
    last = {tuple(key): int(table.frames[(table.frames[:, :3] == key).all(1), 4].max())
            for key in np.unique(table.frames[rows, :3], axis=0)}  # fmt: skip
    rows = every_nth(table, rows, every)
    rows = rows[np.isfinite(table.joints_world_m[table.row_instant[rows]]).all((1, 2))]
    if len(rows) == 0:
        raise ValueError(f"no frame of subjects {list(subjects)} has 3D labels, which bodies are fitted to")
    found = []
    for key in np.unique(table.frames[rows, :3], axis=0):
        own = rows[(table.frames[rows, :3] == key).all(1)]
        numbers = np.unique(table.frames[own, 4])
        by_frame = [own[table.frames[own, 4] == number] for number in numbers]
        subject, action, subaction = key.tolist()
        found.append(SequenceFrames(subject, action, subaction, numbers, by_frame, last[tuple(key)]))
    return found


def batches_of(sequence: SequenceFrames, size: int) -> list[Int[np.ndarray, "t"]]:
    """Share the places of a sequence's frames out, each batch spread over all of it."""
    count = -(-len(sequence.frames) // size)
    return [np.arange(first, len(sequence.frames), count) for first in range(count)]


class EvidenceReader:
    """Reads the evidence of frames."""

    def __init__(self, paths: Paths, mask_px: int, side_m: float) -> None:
        self.paths, self.mask_px, self.side_m = paths, mask_px, side_m
        self.table: FrameTable = load_table(paths)

    def read(self, rows_of_frames: list[Int[np.ndarray, "V"]]) -> Evidence:
        """Cut the masks of some frames.

        Raises:
            FileNotFoundError, ValueError: a mask is missing or damaged, or none of them shows a person.
        """
        num_views = max(len(rows) for rows in rows_of_frames)
        frames = [self._views(rows, num_views) for rows in rows_of_frames]
        views = MeshViews(*(torch.stack(column) for column in zip(*frames, strict=True)))
        if not views.exists.any():
            row = rows_of_frames[0][0]
            fault = mask_fault(self._mask(row, self._camera(row)))
            path = mask_path(self.paths, self.table.key(row))
            raise ValueError(f"{path} {fault}, and no mask read with it is any better; a mask is "
                             "white on the person and black elsewhere")  # fmt: skip
        joints_world_m = np.stack(
            [self.table.joints_world_m[self.table.row_instant[rows[0]]] for rows in rows_of_frames]
        )
        return Evidence(torch.from_numpy(joints_world_m.astype(np.float32)), views)

    def _camera(self, row: int) -> Camera:
        """Give the crop camera of a frame, looking at the true pelvis."""
        pelvis_world_m = self.table.joints_world_m[self.table.row_instant[row], H36M_17.index("pelvis")]
        return crop_camera(self.table.camera(row), pelvis_world_m, self.mask_px, self.side_m)

    def _mask(self, row: int, camera: Camera) -> np.ndarray:
        """Cut the mask of a frame."""
        source = self.table.camera(row)
        return cut(load_mask(self.paths, self.table.key(row), source), source, camera)

    def _views(self, rows: Int[np.ndarray, "v"], num_views: int) -> MeshViews:
        """Read all views of one frame."""
        cameras = [self._camera(row) for row in rows]
        masks = [self._mask(row, camera) for row, camera in zip(rows, cameras, strict=True)]
        good = [mask_fault(mask) is None for mask in masks]
        padding = num_views - len(rows)

        def stacked(values: list[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.stack(values + values[:1] * padding).astype(np.float32))

        pelvis_world_m = self.table.joints_world_m[self.table.row_instant[rows[0]], H36M_17.index("pelvis")]
        return MeshViews(
            mask=stacked(masks) * (1 / 255),
            outside_m=stacked([outside_px(mask) * self.side_m / self.mask_px for mask in masks]),
            exists=torch.tensor(good + [False] * padding),
            R_crop_from_world=stacked([camera.R_cam_from_world for camera in cameras]),
            centre_world_m=stacked([camera.centre_world_m for camera in cameras]),
            focal_px=stacked([camera.focal_px[0] for camera in cameras]),
            target_world_m=stacked([pelvis_world_m] * len(rows)),
        )
