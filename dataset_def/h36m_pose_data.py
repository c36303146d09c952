"""Stage 2's samples: one crop and its joints, the data set's own.

Also wide crops, which others are cut from in whole batches (dataset_def/augmentation.py), and stored latents: the
encoder has run already (sample/save_embeddings.py).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import Crop, Paths, Subjects
from dataset_def.augmentation import WideCrops
from dataset_def.h36m_crops import CropReader, CropSettings, load_metadata, pack_folder
from dataset_def.h36m_files import told_by_keypoints
from dataset_def.h36m_index import (
    FrameChoice,
    FrameTable,
    Part,
    every_nth,
    in_part,
    index_path,
    load_table,
    select_frames,
    select_rows,
    spread_sequences,
    subjects_of,
    with_known_centre,
)
from dataset_def.photos.backdrops import Backdrops
from utils.artifacts import Embeddings, PseudoLabels, load_embeddings
from utils.image import to_unit_rgb
from utils.tiers import NOTHING, Reads, of_people


class PoseSample(NamedTuple):
    """One crop and its pose."""

    image: Float[Tensor, "*batch 3 H W"]
    """RGB in [0, 1]."""
    joints_root_m: Float[Tensor, "*batch J 3"]
    """True pose, pelvis at the origin, axes of the crop camera."""
    R_crop_from_world: Float[Tensor, "*batch 3 3"]
    frames: Int[Tensor, "*batch 5"]
    """Subject, action, sub-action, camera, frame."""
    confidence: Float[Tensor, "*batch"]
    """1 for labels; less for pseudo-labels."""


def joints_root_m(
    joints_world_m: Float[np.ndarray, "*n J 3"], R_crop_from_world: Float[np.ndarray, "*n 3 3"]
) -> Float[np.ndarray, "*n J 3"]:
    """Turn joints into the axes of crop cameras, about the first one, the pelvis."""
    return (joints_world_m - joints_world_m[..., :1, :]) @ R_crop_from_world.swapaxes(-1, -2)


class PoseData(Dataset[PoseSample]):
    """One item per frame, in the order of the index; a sample depends on (seed, epoch, index) only."""

    def __init__(
        self, paths: Paths, frames: FrameChoice, crops: CropSettings, pseudo_labels: PseudoLabels | None = None
    ) -> None:
        self.table, self.crops = load_table(paths), crops
        self.joints_world_m = self.table.joints_world_m
        self.confidence = np.ones(len(self.joints_world_m), np.float32)
        self.reader = CropReader(paths, self.table, crops)
        rows = np.zeros(0, np.int64)
        if frames.subjects or pseudo_labels is None:
            rows = select_frames(self.table, frames)
            self._check_labels(rows)
        if pseudo_labels is not None:
            others = in_part(self.table, self._take(pseudo_labels, frames.subjects), frames.part, frames.held_out)
            rows = np.union1d(rows, every_nth(self.table, others, frames.every))
        self.rows = with_known_centre(rows, self.reader.targets_m, crops.crop.centre)
        known = Reads(joints=subjects_of(self.table, self.rows) & frozenset(frames.subjects))
        self.labels_read = self.reader.traced(known) | (NOTHING if pseudo_labels is None else pseudo_labels.reads)
        """What the joints come from: labels, or what pseudo-labels were made from."""

    def reads(self) -> Reads:
        """Say whose data the samples are made from."""
        return self.reader.reads(self.rows) | self.labels_read

    def _check_labels(self, rows: np.ndarray) -> None:
        """Stop if a frame has no 3D label."""
        has_label = np.isfinite(self.table.joints_world_m[self.table.row_instant[rows]]).all((1, 2))
        if not has_label.all():
            first = self.table.key(rows[~has_label][0])
            raise ValueError(
                f"{int((~has_label).sum())} of {len(rows)} frames have no 3D labels (first: {first.stem}); this stage "
                "needs them: choose labelled subjects"
            )

    def _take(self, labels: PseudoLabels, labelled: tuple[int, ...]) -> Int[np.ndarray, "n"]:
        """Put pseudo-labels of people without labels in place of their joints, and give the rows that have them."""
        joints, own = labels.joints_world_m.shape[1], len(self.table.skeleton.names)
        if joints != own:
            raise ValueError(f"the pseudo-labels have {joints} joints, but the data set has {own}; fit bodies that are "
                             "measured by the joints of the data set")  # fmt: skip
        kept = ~np.isin(labels.frames[:, 0], labelled)
        places = {tuple(key): place for place, key in enumerate(labels.frames[kept].tolist())}
        found = np.array([places.get(tuple(key), -1) for key in self.table.frames[:, [0, 1, 2, 4]].tolist()])
        rows = np.flatnonzero(found >= 0)
        instants = self.table.row_instant[rows]
        self.joints_world_m = self.joints_world_m.copy()
        self.joints_world_m[instants] = labels.joints_world_m[kept][found[rows]]
        self.confidence[instants] = labels.confidence[kept][found[rows]]
        return rows

    def _joints_world_m(self, rows: Int[np.ndarray, "*n"] | np.integer) -> Float[np.ndarray, "*n J 3"]:
        """Give the joints of frames."""
        return self.joints_world_m[self.table.row_instant[rows]]

    def _turns(self) -> Float[np.ndarray, "N 3 3"]:
        """Give R_crop_from_world of all items, without in-plane rotation."""
        return np.stack([self.reader.camera(row).R_cam_from_world for row in self.rows.tolist()])

    def turns_from_world(self) -> Float[Tensor, "N 3 3"]:
        """Give R_crop_from_world of all items, in their order and without in-plane rotation."""
        return torch.from_numpy(self._turns().astype(np.float32))

    def labels_root_m(self) -> Float[Tensor, "N J 3"]:
        """Give all true poses, in the order of the items and without in-plane rotation."""
        return torch.from_numpy(joints_root_m(self._joints_world_m(self.rows), self._turns()).astype(np.float32))

    def some_images(self, count: int) -> Float[Tensor, "n 3 H W"]:
        """Give about so many images, spread evenly over the items."""
        return torch.stack([self[0, index].image for index in range(0, len(self), max(1, len(self) // count))])

    def __len__(self) -> int:
        return len(self.rows)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the frame of an item."""
        return self.table.key(self.rows[place[1]]).stem

    def __getitem__(self, place: tuple[int, int]) -> PoseSample:
        epoch, index = place
        row = int(self.rows[index])
        crop = self.reader.read(row, *self.crops.roll_and_shift(np.random.default_rng([self.crops.seed, epoch, index])))
        R_crop_from_world = crop.camera.R_cam_from_world
        joints_here_m = joints_root_m(self._joints_world_m(self.rows[index]), R_crop_from_world)
        return PoseSample(
            image=to_unit_rgb(crop.image),
            joints_root_m=torch.from_numpy(joints_here_m.astype(np.float32)),
            R_crop_from_world=torch.from_numpy(R_crop_from_world.astype(np.float32)),
            frames=torch.from_numpy(self.table.frames[row].astype(np.int64)),
            confidence=torch.tensor(self.confidence[self.table.row_instant[row]]),
        )


WIDER = 4 / 3
"""Side of a wide crop over that of the crops cut from it, where no packed crops say otherwise: 3 m for 2.25 m."""


def wide_crop(paths: Paths, crop: Crop) -> Crop:
    """Choose the wide crops that crops are cut from: the packed ones where there are any, else somewhat larger ones.

    Raises:
        ValueError: packed crops are too coarse for this.
    """
    packed = load_metadata(pack_folder(paths, crop.centre))
    if packed is None:
        return Crop(16 * round(crop.size_px * WIDER / 16), crop.side_m * WIDER, crop.centre)
    return Crop(packed.size_px, packed.side_m, crop.centre)


class WidePoseData(Dataset[WideCrops]):
    """One wide crop per frame, its joints and an empty room; a sample depends on (seed, epoch, index) only."""

    def __init__(
        self, paths: Paths, frames: FrameChoice, crop: Crop, seed: int, pseudo_labels: PseudoLabels | None = None
    ) -> None:
        self.wide, self.seed = wide_crop(paths, crop), seed
        self.poses = PoseData(paths, frames, CropSettings(self.wide), pseudo_labels)
        self.room_rows = self.poses.rows
        self.uses_masks = False
        self.backdrops: Backdrops | None = None

    def reads(self) -> Reads:
        """Say whose data the samples are made from; an empty room is cut where its people are."""
        masks = subjects_of(self.poses.table, self.poses.rows) if self.uses_masks else frozenset()
        return self.poses.reads() | self.poses.reader.reads(self.room_rows) | Reads(masks=masks)

    def labels_root_m(self) -> Float[Tensor, "N J 3"]:
        """Give all poses, in the order of the items."""
        return self.poses.labels_root_m()

    def open_rooms(
        self, of: tuple[int, ...], is_needed: bool, are_masks_needed: bool, pictures: Path | None = None
    ) -> None:
        """Read the empty rooms now, so that a missing one stops a script before it writes anything.

        Args:
            of: subjects whose rooms are laid behind people, beside those of the items; no label of them is read.
            pictures: a folder of pictures that are taken for half of the rooms.
        Raises:
            ValueError: the data set has no masks, and rooms or something else need them.
        """
        if (is_needed or are_masks_needed) and not self.poses.table.has_masks:
            raise ValueError("the data set has no masks; make them and the index anew, or set --augment.background 0 "
                             "--maps-loss.mask 0")  # fmt: skip
        self.uses_masks = is_needed or are_masks_needed
        if is_needed:
            targets_m = self.poses.reader.targets_m
            others = np.flatnonzero(np.isin(self.poses.table.frames[:, 0], of) & np.isfinite(targets_m).all(1))
            self.room_rows = np.union1d(self.poses.rows, others)
            self.poses.reader.read_backgrounds(self.room_rows)
            self.backdrops = None if pictures is None else Backdrops(pictures, self.wide.size_px)

    @property
    def table(self) -> FrameTable:
        """The frames that the data set knows."""
        return self.poses.table

    def __len__(self) -> int:
        return len(self.poses)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the frame of an item."""
        return self.poses.name_of(place)

    def __getitem__(self, place: tuple[int, int]) -> WideCrops:
        epoch, index = place
        rows, reader, table = self.poses.rows, self.poses.reader, self.poses.table
        row = int(rows[index])
        crop = reader.read(row)
        rng = np.random.default_rng([self.seed, epoch, index])
        other = int(rng.choice(self.room_rows))
        if self.backdrops is not None and rng.random() < 0.5:
            room = self.backdrops.square(rng)
        else:
            room = reader.read(other).background if reader.backgrounds else np.zeros_like(crop.image)
        target_m, camera = reader.targets_m[row], crop.camera
        joints_m = (self.poses.joints_world_m[table.row_instant[row]] - target_m) @ camera.R_cam_from_world.T
        return WideCrops(
            image=torch.from_numpy(np.ascontiguousarray(crop.image.transpose(2, 0, 1))),
            mask=torch.from_numpy(np.ascontiguousarray(crop.mask)),
            room=torch.from_numpy(np.ascontiguousarray(room.transpose(2, 0, 1))),
            joints_m=torch.from_numpy(joints_m.astype(np.float32)),
            distance_m=torch.tensor(np.linalg.norm(target_m - camera.centre_world_m), dtype=torch.float32),
            side_m=torch.tensor(self.wide.side_m),
            confidence=torch.tensor(self.poses.confidence[table.row_instant[row]]),
        )


VALIDATED_EVERY = 4
"""Of people who choose the checkpoint every n-th instant is looked at: neighbours are alike, and a look takes time."""


def frames_of(who: Subjects, part: Part, sequences: int, seed: int) -> FrameChoice:
    """Say which labelled frames train, or choose the checkpoint: validation people's, else held-out sequences."""
    if who.validation and part != "train":
        return FrameChoice(who.validation, every=VALIDATED_EVERY)
    return FrameChoice(who.labelled, part, who.held_out, sequences * (part == "train"), sequences_seed=seed)


def labels_world_m(
    table: FrameTable, subjects: tuple[int, ...], held_out: tuple[tuple[int, int], ...], sequences: int, seed: int = 0
) -> Float[Tensor, "L J 3"]:
    """Give the poses that stage 2 learns from, one per instant."""
    rows = spread_sequences(table, select_rows(table, subjects, "train", held_out), sequences, seed)
    return torch.from_numpy(table.joints_world_m[np.unique(table.row_instant[rows])].astype(np.float32))


class EmbeddedSample(NamedTuple):
    """The latent of one image and its pose."""

    points_crop: Float[Tensor, "*batch P 3"]
    joints_root_m: Float[Tensor, "*batch J 3"]
    """True pose, pelvis at the origin, axes of the crop camera that the latent was read through."""


def rows_in_table(table: FrameTable, embeddings: Embeddings) -> Int[np.ndarray, "N"]:
    """Find the table's row of every latent; both hold frames of the same index."""
    both = np.concatenate([table.frames, embeddings.frames])
    number = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return number[len(table.frames) :]


def first_copies(rows: Int[np.ndarray, "N"]) -> Int[np.ndarray, "n"]:
    """Find the first latent of every frame, which is that of the plain image."""
    return np.sort(np.unique(rows, return_index=True)[1])


class EmbeddedPoseData(Dataset[EmbeddedSample]):
    """One item per latent of the labelled subjects; held-out items are plain images only."""

    def __init__(
        self,
        paths: Paths,
        embeddings_path: Path,
        encoder_path: Path,
        frames: FrameChoice,
    ):
        self.table = table = load_table(paths)
        embeddings = load_embeddings(embeddings_path, encoder_path, index_path(paths))
        chosen = select_frames(table, frames)
        rows = rows_in_table(table, embeddings)
        candidates = first_copies(rows) if frames.part == "held_out" else np.arange(len(rows))
        items = candidates[np.isin(rows[candidates], chosen)]
        if len(items) == 0:
            raise ValueError(f"{embeddings_path} holds no latent of subjects {list(frames.subjects)}; store them with: "
                             "python sample/save_embeddings.py --subjects ...")  # fmt: skip
        joints_world_m = table.joints_world_m[table.row_instant[rows[items]]]
        labels_m = joints_root_m(joints_world_m, embeddings.R_crop_from_world[items])
        if not np.isfinite(labels_m).all():
            raise ValueError(
                f"some frames of subjects {list(frames.subjects)} have no 3D labels; choose labelled subjects"
            )
        who = subjects_of(table, rows[items])
        self.labels_read = Reads(pixels=who, cameras=who, joints=who).triangulated(told_by_keypoints(paths, who))
        self.frames = embeddings.frames[items]
        self.table, self.rows = table, rows[items]
        self.points_crop = torch.from_numpy(embeddings.points[items])
        self.joints_root_m = torch.from_numpy(labels_m.astype(np.float32))

    def reads(self) -> Reads:
        """Say whose data the samples are made from; the crop's centre was the encoder's."""
        return self.labels_read | of_people(self.table.people, self.labels_read.numbers)

    def labels_root_m(self) -> Float[Tensor, "N J 3"]:
        """Give all true poses, in the order of the items."""
        return self.joints_root_m

    def __len__(self) -> int:
        return len(self.joints_root_m)

    def name_of(self, place: tuple[int, int]) -> str:
        """Name the frame that a latent was read from."""
        return self.table.key(self.rows[place[1]]).stem

    def __getitem__(self, place: tuple[int, int]) -> EmbeddedSample:
        return EmbeddedSample(self.points_crop[place[1]], self.joints_root_m[place[1]])
