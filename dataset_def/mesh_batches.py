"""Stage 4's batches: images with joints and fitted bodies, images with the masks of all views, both changed at random.

Wherever crops are changed, what is known about bodies stays in the axes of the plain crops: a loss compares it with
predicted bodies whose changes are undone (models.kinematics.unchanged).
"""

from collections.abc import Iterable, Iterator
from itertools import starmap, zip_longest
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from config import Crop, ImageAugmentation, MeshConfig, Paths
from dataset_def.augmentation import ChangedCrops, WideCrops, changed_at_random, dealt_anew
from dataset_def.h36m_crops import CropReader, CropSettings, crops_of
from dataset_def.h36m_index import FrameChoice, FrameTable, index_path, subjects_of
from dataset_def.h36m_pose_data import EmbeddedPoseData, PoseData, WidePoseData, first_copies, rows_in_table, wide_crop
from dataset_def.h36m_SMPL_data import MeshData, MeshSample
from utils.artifacts import PseudoLabels, file_hash, load_embeddings, load_pseudo_labels
from utils.body_file import read_body_file
from utils.image import jitter_colours
from utils.new_cameras import new_cameras
from utils.skeleton import H36M, Skeleton
from utils.tiers import Reads
from utils.views import MeshViews
from utils.whole_batch import Draws


class FittedBodies(NamedTuple):
    """The bodies that were fitted, by instant of an index."""

    rotations_world: Float32[np.ndarray, "I J 3 3"]
    betas: Float32[np.ndarray, "I n"]
    confidence: Float32[np.ndarray, "I"]
    """0 where no body was fitted."""

    def in_crop(self, instant: int, R_crop_from_world: Float[np.ndarray, "3 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Give rotations in the axes of a crop camera, shape, and confidence."""
        rotations = self.rotations_world[instant].copy()
        rotations[0] = R_crop_from_world @ rotations[0]
        return (torch.from_numpy(rotations), torch.from_numpy(self.betas[instant]),
                torch.tensor(self.confidence[instant]))  # fmt: skip


def no_bodies(table: FrameTable) -> FittedBodies:
    """Say that no body is known."""
    count = len(table.joints_world_m)
    return FittedBodies(np.tile(np.eye(3, dtype=np.float32), (count, 1, 1, 1)), np.zeros((count, 1), np.float32),
                        np.zeros(count, np.float32))  # fmt: skip


def fitted_bodies(table: FrameTable, sources: list[PseudoLabels]) -> FittedBodies:
    """Put fitted bodies where their instants are in the index; of an instant that several tell, the last counts."""
    if not sources:
        return no_bodies(table)
    count, joints = len(table.joints_world_m), sources[0].theta.shape[1] // 3
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, joints, 1, 1))
    betas, confidence = np.zeros((count, sources[0].betas.shape[1]), np.float32), np.zeros(count, np.float32)
    instant_of = dict(zip(map(tuple, table.frames[:, [0, 1, 2, 4]].tolist()), table.row_instant.tolist(), strict=True))
    for labels in sources:
        found = np.array([instant_of.get(tuple(key), -1) for key in labels.frames.tolist()])
        kept = found >= 0
        turned = roma.rotvec_to_rotmat(torch.from_numpy(labels.theta[kept]).unflatten(1, (-1, 3))).numpy()
        rotations[found[kept]], betas[found[kept]] = turned, labels.betas[kept]
        confidence[found[kept]] = labels.confidence[kept]
    return FittedBodies(rotations, betas, confidence)


class LabelledBody(NamedTuple):
    """One plain crop with its joints, and the body that was fitted."""

    image: Float[Tensor, "*batch 3 H W"]
    """RGB in [0, 1]; in mode embeddings the stored points (P, 3) instead."""
    joints_root_m: Float[Tensor, "*batch E 3"]
    """Pelvis at the origin, axes of the crop camera."""
    confidence: Float[Tensor, "*batch"]
    frames: Int[Tensor, "*batch 5"]
    rotations_crop: Float[Tensor, "*batch J 3 3"]
    betas: Float[Tensor, "*batch n"]
    body_confidence: Float[Tensor, "*batch"]
    """0 where no body was fitted."""


class LabelledBodies(Dataset[LabelledBody]):
    """Plain crops, as stage 2 reads them, with fitted bodies."""

    def __init__(self, poses: PoseData, bodies: FittedBodies) -> None:
        self.poses, self.bodies = poses, bodies

    def reads(self) -> Reads:
        """Say whose data the samples are made from."""
        return self.poses.reads()

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, place: tuple[int, int]) -> LabelledBody:
        sample = self.poses[place]
        instant = int(self.poses.table.row_instant[self.poses.rows[place[1]]])
        body = self.bodies.in_crop(instant, sample.R_crop_from_world.numpy())
        return LabelledBody(sample.image, sample.joints_root_m, sample.confidence, sample.frames, *body)


class WideBody(NamedTuple):
    """One wide crop (see `WideCrops`) and the body that was fitted, in the axes of its camera."""

    image: UInt8[Tensor, "*batch 3 S S"]
    mask: UInt8[Tensor, "*batch S S"]
    room: UInt8[Tensor, "*batch 3 S S"]
    joints_m: Float[Tensor, "*batch E 3"]
    distance_m: Float[Tensor, "*batch"]
    side_m: Float[Tensor, "*batch"]
    confidence: Float[Tensor, "*batch"]
    frames: Int[Tensor, "*batch 5"]
    rotations_crop: Float[Tensor, "*batch J 3 3"]
    betas: Float[Tensor, "*batch n"]
    body_confidence: Float[Tensor, "*batch"]

    @property
    def crops(self) -> WideCrops:
        """Give the crops alone."""
        return WideCrops(*self[: len(WideCrops._fields)])


class WideBodies(Dataset[WideBody]):
    """Wide crops, as stage 2 reads them, with fitted bodies."""

    def __init__(self, poses: WidePoseData, bodies: FittedBodies) -> None:
        self.wide, self.bodies = poses, bodies

    def reads(self) -> Reads:
        """Say whose data the samples are made from."""
        return self.wide.reads()

    def __len__(self) -> int:
        return len(self.wide)

    def __getitem__(self, place: tuple[int, int]) -> WideBody:
        poses = self.wide.poses
        row = int(poses.rows[place[1]])
        R_crop_from_world = poses.reader.camera(row).R_cam_from_world
        body = self.bodies.in_crop(int(poses.table.row_instant[row]), R_crop_from_world.astype(np.float32))
        frames = torch.from_numpy(poses.table.frames[row].astype(np.int64))
        return WideBody(*self.wide[place], frames, *body)


class WideSeen(NamedTuple):
    """One wide crop and the masks of all views of its instant."""

    crops: WideCrops
    """Joints count only where their confidence is above 0."""
    R_crop_from_world: Float[Tensor, "*batch 3 3"]
    views: MeshViews
    frames: Int[Tensor, "*batch 5"]


class WideSeenPeople(Dataset[WideSeen]):
    """Wide crops of people whose masks are used; a sample depends on (seed, epoch, index) only.

    Args:
        seen: the same frames as plain crops, and their masks.
        needs_rooms: whether empty rooms are laid behind people.
    """

    def __init__(self, seen: MeshData, crop: Crop, seed: int, needs_rooms: bool) -> None:
        self.seen, self.seed, self.side_m = seen, seed, wide_crop(seen.paths, crop).side_m
        self.reader = CropReader(seen.paths, seen.table, CropSettings(wide_crop(seen.paths, crop)))
        if needs_rooms:
            self.reader.read_backgrounds(seen.rows)

    def reads(self, uses_masks: bool) -> Reads:
        """Say whose data the samples are made from."""
        masks = Reads(masks=subjects_of(self.seen.table, self.seen.rows))
        return self.seen.reads(uses_masks) | (masks if self.reader.backgrounds else Reads())

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, place: tuple[int, int]) -> WideSeen:
        epoch, index = place
        row = int(self.seen.rows[index])
        crop = self.reader.read(row)
        other = int(np.random.default_rng([self.seed, epoch, index]).choice(self.seen.rows))
        room = self.reader.read(other).background if self.reader.backgrounds else np.zeros_like(crop.image)
        target_m, camera = self.reader.targets_m[row], crop.camera
        joints_world_m = self.seen.labels_world_m(row)
        known = (
            target_m[None].repeat(len(self.seen.table.skeleton.names), 0) if joints_world_m is None else joints_world_m
        )
        crops = WideCrops(
            image=torch.from_numpy(np.ascontiguousarray(crop.image.transpose(2, 0, 1))),
            mask=torch.from_numpy(np.ascontiguousarray(crop.mask)),
            room=torch.from_numpy(np.ascontiguousarray(room.transpose(2, 0, 1))),
            joints_m=torch.from_numpy(((known - target_m) @ camera.R_cam_from_world.T).astype(np.float32)),
            distance_m=torch.tensor(np.linalg.norm(target_m - camera.centre_world_m), dtype=torch.float32),
            side_m=torch.tensor(self.side_m, dtype=torch.float32),
            confidence=torch.tensor(float(joints_world_m is not None)),
        )
        R = torch.from_numpy(camera.R_cam_from_world.astype(np.float32))
        frames = torch.from_numpy(self.seen.table.frames[row].astype(np.int64))
        return WideSeen(crops, R, self.seen.views(row), frames)


class EmbeddedBodies(Dataset[LabelledBody]):
    """Stored latents of the labelled people, in the place of images; no body was fitted to them."""

    def __init__(self, data: EmbeddedPoseData) -> None:
        self.data = data

    def reads(self) -> Reads:
        """Say whose data the samples are made from."""
        return self.data.reads()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, place: tuple[int, int]) -> LabelledBody:
        points_crop, joints_root_m = self.data[place]
        nobody = torch.eye(3)[None], torch.zeros(1), torch.zeros(())
        frames = torch.from_numpy(self.data.frames[place[1]].astype(np.int64))
        return LabelledBody(points_crop, joints_root_m, torch.ones(()), frames, *nobody)


class EmbeddedSeen(Dataset[MeshSample]):
    """Stored latents, in the place of images, with the masks of all views.

    Args:
        seen: the frames as crops, and their masks.
        only_plain: take the latent of the plain image alone.
    """

    def __init__(self, seen: MeshData, config: MeshConfig, only_plain: bool) -> None:
        assert config.embeddings is not None and config.encoder is not None
        stored = load_embeddings(config.embeddings, config.encoder, index_path(config.paths))
        rows = rows_in_table(seen.table, stored)
        candidates = first_copies(rows) if only_plain else np.arange(len(rows))
        self.seen, self.items = seen, candidates[np.isin(rows[candidates], seen.rows)]
        if len(self.items) == 0:
            raise ValueError(f"{config.embeddings} holds no latent of the people whose masks are used; store them "
                             "with: python sample/save_embeddings.py --subjects ...")  # fmt: skip
        self.stored, self.rows = stored, rows[self.items]

    def reads(self, uses_masks: bool) -> Reads:
        """Say whose data the samples are made from."""
        return self.seen.reads(uses_masks)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: tuple[int, int]) -> MeshSample:
        item, row = int(self.items[place[1]]), int(self.rows[place[1]])
        return self.seen.sample(row, torch.from_numpy(self.stored.points[item]), self.stored.R_crop_from_world[item])


class LabelledAndSeen(NamedTuple):
    """What is read for a batch of stage 4: images with joints, then images with masks."""

    labelled: LabelledBody | WideBody
    seen: MeshSample | WideSeen


def side_by_side(
    labelled: Iterable[LabelledBody | WideBody], seen: Iterable[MeshSample | WideSeen]
) -> Iterator[LabelledAndSeen]:
    """Read two kinds of batches, one of each at a time."""
    return starmap(LabelledAndSeen, zip(labelled, seen, strict=False))


class MeshBatch(NamedTuple):
    """A batch of stage 4: L images with joints, then M with masks; what is known, in the axes of the plain crops."""

    image: Float[Tensor, "B 3 H W"]
    """As the network sees them."""
    joints_root_m: Float[Tensor, "B E 3"]
    confidence: Float[Tensor, "B"]
    """How far the joints of each row are trusted: 1 for labels, less for pseudo-labels, 0 without joints."""
    frames: Int[Tensor, "B 5"]
    rotations_crop: Float[Tensor, "L J 3 3"]
    betas: Float[Tensor, "L n"]
    body_confidence: Float[Tensor, "L"]
    R_crop_from_world: Float[Tensor, "M 3 3"]
    views: MeshViews
    changed: ChangedCrops | None = None
    """What heat maps are taught, where crops are cut from wider ones."""
    R_new_from_plain: Float[Tensor, "B 3 3"] | None = None
    """Of the axes that the network sees, where crops are cut from wider ones."""
    is_mirrored: Bool[Tensor, "B"] | None = None


def plain_batch(read: LabelledAndSeen, augment: ImageAugmentation, generator: Draws) -> MeshBatch:
    """Change the colours of plain crops; stored latents stay as they are."""
    labelled, seen = read
    assert isinstance(labelled, LabelledBody) and isinstance(seen, MeshSample)
    image = torch.cat([labelled.image, seen.image])
    return MeshBatch(
        image if image.ndim == 3 else jitter_colours(image, augment.colour, augment.permute_channels, generator),
        torch.cat([labelled.joints_root_m, seen.joints_root_m]),
        torch.cat([labelled.confidence, seen.is_labelled.float()]),
        torch.cat([labelled.frames, seen.frames]),
        *labelled[4:], seen.R_crop_from_world, seen.views,
    )  # fmt: skip


def changed_batch(
    read: LabelledAndSeen, augment: ImageAugmentation, done: float, crop: Crop, deals_rooms: bool,
    generator: Draws, skeleton: Skeleton,
) -> MeshBatch:  # fmt: skip
    """Cut random crops out of wide ones, with other rooms and colours.

    Args:
        done: share of the training that is over, see `augmented`.
        deals_rooms: whether rooms change places within the batch, for crops that are kept in memory.
    """
    labelled, seen = read
    assert isinstance(labelled, WideBody) and isinstance(seen, WideSeen)
    first = dealt_anew(labelled.crops, generator) if deals_rooms else labelled.crops
    wide = WideCrops(*(torch.cat(pair) for pair in zip(first, seen.crops, strict=True)))
    strength = 1 + (augment.end - 1) * done
    rooms = augment.background * (1 + strength) / 2
    rows = skeleton.counterparts(augment.mirror)
    crops, changes = changed_at_random(wide, augment, strength, rooms, crop, rows, generator)
    cameras = new_cameras(wide.distance_m, changes, crop.side_m)
    return MeshBatch(
        crops.image, wide.joints_m - wide.joints_m[:, :1], wide.confidence, torch.cat([labelled.frames, seen.frames]),
        labelled.rotations_crop, labelled.betas, labelled.body_confidence, seen.R_crop_from_world, seen.views,
        crops, cameras.R_crop_from_wide, changes.is_mirrored,
    )  # fmt: skip


def batch_of(
    read: LabelledAndSeen, config: MeshConfig, crop: Crop, step: int, generator: Draws,
    skeleton: Skeleton = H36M,
) -> MeshBatch:  # fmt: skip
    """Make a batch of what was read, changed as the settings say.

    Args:
        skeleton: of the joints.
    """
    if isinstance(read.labelled, WideBody):
        done = step / config.optim.steps
        return changed_batch(read, config.augment, done, crop, config.in_memory, generator, skeleton)
    return plain_batch(read, config.augment, generator)


class MeshSets(NamedTuple):
    """The data of a training of stage 4."""

    labelled: LabelledBodies | WideBodies | EmbeddedBodies
    seen: MeshData | WideSeenPeople | EmbeddedSeen
    held_out: MeshData | EmbeddedSeen
    held_out_bodies: LabelledBodies | None
    """Held-out frames whose bodies were fitted."""
    has_bodies: bool
    skeleton: Skeleton
    """The joints of the data set."""

    def reads(self, uses_masks: bool) -> Reads:
        """Say whose data the training reads."""
        return self.labelled.reads() | self.seen.reads(uses_masks)


def read_fits(config: MeshConfig) -> tuple[PseudoLabels | None, list[PseudoLabels]]:
    """Read pseudo-labels, and all fitted bodies that a loss has a weight for.

    Raises:
        ValueError: they were fitted with another body than the one that is trained, or labelled_bodies are of others.
    """
    index, test = index_path(config.paths), config.subjects.test
    read = {where: load_pseudo_labels(where, index, test) for where in (config.pseudo_labels, config.labelled_bodies)
            if where is not None}  # fmt: skip
    if config.loss.uses_bodies:
        body = config.paths.models_smpl_location
        for where, labels in read.items():
            if labels.body_hash != file_hash(body):
                raise ValueError(f"{where} was fitted with another body than {body}; give that body, or take its "
                                 "joints alone: --loss.vertices 0 --loss.rotations 0 --loss.shape 0")  # fmt: skip
    pseudo = None if config.pseudo_labels is None else read[config.pseudo_labels]
    return pseudo, list(read.values()) if config.loss.uses_bodies else []


def check_measured_joints(paths: Paths, skeleton: Skeleton) -> None:
    """Stop where a data set has joints of its own and the body is measured by others.

    Raises:
        ValueError: naming the first that differs.
    """
    if skeleton.is_h36m:
        return
    file = read_body_file(paths.models_smpl_location)
    measured = H36M.names if file.J_regressor_h36m is not None else file.evaluated_names or file.names
    if measured != skeleton.names:
        pairs = zip_longest(skeleton.names, measured, fillvalue="none")
        own, other = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(f"the data set has {len(skeleton.names)} joints, {paths.models_smpl_location} is measured by "
                         f"{len(measured)}, and the first that differ are {own} and {other}; give the body of this "
                         "data, or a body file with J_regressor_evaluated and evaluated_names")  # fmt: skip


def open_mesh_data(config: MeshConfig, crop: Crop, teaches_maps: bool) -> MeshSets:
    """Open the images of the labelled, of those whose masks are used, and the held-out sequences of both.

    Args:
        teaches_maps: whether heat maps are trained, which are cut from wide crops.
    """
    who, paths = config.subjects, config.paths
    pseudo, fits = read_fits(config)
    masked = FrameChoice(config.silhouettes_of, "train", who.held_out)
    everyone = FrameChoice(tuple(sorted({*config.silhouettes_of, *who.labelled})), "held_out", who.held_out,
                           every=config.validate_frames)  # fmt: skip
    labelled = FrameChoice(who.labelled, "train", who.held_out)
    plain = crops_of(crop, config.augment, config.loop.seed, is_training=True)
    is_wide = teaches_maps or config.augment.needs_margin
    seen = MeshData(paths, masked, CropSettings(crop) if is_wide else plain, config.mask_px, who.labelled)
    held_out = MeshData(paths, everyone, CropSettings(crop), config.mask_px, who.labelled)
    check_measured_joints(paths, seen.table.skeleton)
    if config.embeddings is not None:
        assert config.encoder is not None
        stored = EmbeddedPoseData(paths, config.embeddings, config.encoder, labelled)
        return MeshSets(EmbeddedBodies(stored), EmbeddedSeen(seen, config, False), EmbeddedSeen(held_out, config, True),
                        None, False, seen.table.skeleton)  # fmt: skip
    bodies = fitted_bodies(seen.table, fits)
    kept_back = held_out_bodies(config, crop, pseudo, bodies)
    if not is_wide:
        data = LabelledBodies(PoseData(paths, labelled, plain, pseudo), bodies)
        return MeshSets(data, seen, held_out, kept_back, bool(fits), seen.table.skeleton)
    wide = WidePoseData(paths, labelled, crop, config.loop.seed, pseudo)
    wide.open_rooms(
        who.train, config.augment.background > 0, teaches_maps and config.maps_loss.mask > 0, config.augment.pictures
    )
    people = WideSeenPeople(seen, crop, config.loop.seed, config.augment.background > 0)
    return MeshSets(WideBodies(wide, bodies), people, held_out, kept_back, bool(fits), seen.table.skeleton)


def held_out_bodies(
    config: MeshConfig, crop: Crop, pseudo: PseudoLabels | None, bodies: FittedBodies
) -> LabelledBodies | None:
    """Open the held-out frames whose bodies were fitted; nothing where there are none."""
    who = config.subjects
    if not bodies.confidence.any():
        return None
    frames = FrameChoice(who.labelled, "held_out", who.held_out)
    poses = PoseData(config.paths, frames, CropSettings(crop), pseudo)
    is_fitted = bodies.confidence[poses.table.row_instant[poses.rows]] > 0
    poses.rows = poses.rows[is_fitted][:: config.validate_frames]
    return LabelledBodies(poses, bodies) if len(poses.rows) else None
