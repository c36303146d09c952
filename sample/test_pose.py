"""Measure stage 2 on test subjects, beside poses that need no image: mean, constant and nearest training labels.

    python sample/test_pose.py --checkpoint runs/pose/demo/checkpoint_best.pt
    python sample/test_pose.py --checkpoint runs/pose/demo/checkpoint_best.pt --centre pelvis   (reads the true pelvis)
    python sample/test_pose.py --checkpoint runs/pose/demo/checkpoint_best.pt --centre box --mirror --roll-rad 0.35
    python sample/test_pose.py --checkpoint runs/pose/full/checkpoint_best.pt --dataset data/h36m --protocol rhodin

Reads   checkpoint_best.pt (sample/train_3d_pose_from_enc.py; holds encoder and head), the test subjects' images
Writes  predictions.npz, metrics.json beside the checkpoint or in --out (metrics_masks.json, metrics_rolled.json, ...
        for other crops, metrics_rhodin.json, ... for protocols)
Next    sample/make_figures.py
"""

from dataclasses import dataclass, field, replace
from math import pi
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from config import Crop, Device, Paths, ranged, setting
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice, FrameTable, load_table
from dataset_def.h36m_pose_data import PoseData, labels_world_m
from models.pose_from_latent import StoredPose, load_pose
from utils.artifacts import save_metrics, save_predictions, skeleton_arrays
from utils.batches import in_order, to_device
from utils.checkpoint_checks import check_predictions
from utils.engine import choose_device
from utils.image import to_picture
from utils.metrics import mirrored_joints, mpjpe_mm, pose_errors
from utils.protocols import PROTOCOLS, SUBJECTS, ProtocolName, frame_step, protocol_errors
from utils.reference_poses import reference_poses
from utils.report.frames import best_and_worst
from utils.report.measures import measure_of
from utils.report.summaries import (
    action_table,
    away_over_front,
    circumstances,
    intervals,
    overall_table,
    per_action,
    text_table,
    written_interval,
    yaw_summary,
    yaw_table,
)
from utils.settings import named, next_command, start
from utils.skeleton import Skeleton
from utils.tiers import Reads, is_seen, of_unknown_people


@dataclass(frozen=True)
@ranged()
class TestPoseConfig:
    """sample/test_pose.py: 3D pose of unseen subjects, in numbers."""

    checkpoint: Path
    """checkpoint_best.pt of stage 2."""
    out: Path | None = None
    """Folder for predictions.npz and metrics.json; without it, the checkpoint's."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: tuple[int, ...] = (9, 11)
    every: int = setting(1, low=1)
    """Use every n-th frame."""
    centre: Literal["", "pelvis", "masks", "box"] = ""
    """What the crops are centred on; empty for what the encoder was trained with.  Another choice than the encoder's
    writes predictions_<centre>.npz and metrics_<centre>.json beside the plain ones."""
    roll_rad: float = setting(0.0, low=0, high=pi)
    """Roll every test image in its plane, by a random angle up to this (0.35: 20 degrees); writes ..._rolled files."""
    mirror: bool = False
    """Look at the mirrored images, too, and report the mean of both answers apart (`with_mirrored`)."""
    protocol: ProtocolName | Literal[""] = ""
    """Human3.6M as a paper measures it (utils/protocols.py: people, frames, cameras, crops, joints, alignment), beside
    the usual measures of the same frames; writes ..._<protocol> files."""
    batch: int = setting(64, low=1)
    examples: int = setting(6, low=1)
    """Test images that are stored with the predictions, for the figures."""

    def __post_init__(self) -> None:
        if not self.protocol:
            return
        usual = {"subjects": SUBJECTS, "every": 1, "roll_rad": 0.0}
        given = [name for name, value in usual.items() if getattr(self, name) != value]
        given += ["centre"] if self.centre not in ("", PROTOCOLS[self.protocol].centre) else []
        if given:
            values = ", ".join(f"{name} is {getattr(self, name)}" for name in given)
            raise ValueError(f"protocol {self.protocol} says itself which people, frames and crops are tested, but "
                             f"{values}; leave out --{' --'.join(given).replace('_', '-')}, or --protocol")  # fmt: skip


class Predictions(NamedTuple):
    """Predicted and true poses of all test frames, in the axes of their crop cameras."""

    predicted_root_m: Tensor
    true_root_m: Tensor
    R_crop_from_world: Tensor
    frames: Tensor


@torch.no_grad()
def predict_all(
    stored: StoredPose, data: PoseData, batch: int, device: torch.device, is_mirrored: bool = False
) -> Predictions:
    """Run encoder and head, in float32, on every frame, or on its mirror image, whose answer is mirrored back."""
    parts = []
    for cpu_sample in tqdm(in_order(data, batch), desc="test_pose", disable=None):
        sample = to_device(cpu_sample, device)
        predicted = stored.network(sample.image.flip(-1) if is_mirrored else sample.image)
        if is_mirrored:
            predicted = mirrored_joints(predicted, data.table.skeleton)
        rows = (predicted, sample.joints_root_m, sample.R_crop_from_world, sample.frames)
        parts.append(Predictions(*(row.cpu() for row in rows)))
    return Predictions(*(torch.cat(rows) for rows in zip(*parts, strict=True)))


def with_mirrored(found: Predictions, mirror: Predictions, skeleton: Skeleton) -> dict[str, Any]:
    """Measure the mean of both answers, and how far they lie apart."""
    frames = found.frames.numpy().astype(np.int32)
    mean_root_m = (found.predicted_root_m + mirror.predicted_root_m) / 2
    apart_mm = mpjpe_mm(mirror.predicted_root_m, found.predicted_root_m).numpy()
    apart = {f"apart_{len(skeleton.names)}_mm": apart_mm}
    return {"overall": intervals(errors_of(mean_root_m, found, skeleton) | apart, frames)}


def errors_of(predicted_root_m: Tensor, found: Predictions, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Measure poses against the true ones in every way."""
    errors = pose_errors(predicted_root_m, found.true_root_m, found.R_crop_from_world, skeleton)
    return {name: values.numpy() for name, values in errors.items()}


def by_heading(
    errors: dict[str, np.ndarray], found: Predictions, frames: np.ndarray, skeleton: Skeleton
) -> dict[str, Any]:
    """Give median and share of bodies turned round, and errors of people who face away over those who face us."""
    if not skeleton.heading_pairs:
        return {}
    which = circumstances(found.true_root_m, found.R_crop_from_world, skeleton)
    return {"yaw": yaw_summary(errors["yaw_error_degrees"], frames, which),
            "away_over_front": away_over_front(errors, frames, which)}  # fmt: skip


def without_image(stored: StoredPose, data: PoseData, found: Predictions) -> dict[str, Tensor]:
    """Predict from the training labels alone; only the mean pose, where no labels trained or they are of another index.

    The mean is that of everything which trained the head, fits in the place of labels too.
    """
    poses = {"mean_pose": stored.network.head.joints_mean_m.cpu().expand_as(found.true_root_m)}
    who = stored.config.subjects
    if who.labelled and set(who.labelled) <= set(data.table.frames[:, 0].tolist()):
        labels = labels_world_m(data.table, who.labelled, who.held_out, stored.config.sequences,
                                stored.config.sequences_seed)  # fmt: skip
        if data.table.skeleton.heading_pairs:
            poses |= reference_poses(labels, found.true_root_m, found.R_crop_from_world, data.table.skeleton)
    return poses


def own_joints(checkpoint: Path, stored: StoredPose, table: FrameTable) -> Skeleton:
    """Give the joints that are measured: those that the network was taught must be the data set's.

    Raises:
        ValueError: they are others.
    """
    taught, own = stored.network.skeleton.names, table.skeleton.names
    if taught != own:
        raise ValueError(f"{checkpoint} finds {len(taught)} joints ({taught[0]}, {taught[1]}, ...), but the data set "
                         f"has {len(own)} ({own[0]}, {own[1]}, ...); test it on its own data")  # fmt: skip
    return table.skeleton


def pose_examples(data: PoseData, count: int, errors_mm: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Take some test images for the figures: spread evenly over the frames, and those of the best and worst poses."""
    spread = np.linspace(0, len(data) - 1, num=min(count, len(data))).round().astype(int)
    extreme = np.concatenate(best_and_worst(errors_mm, frames, count))
    found = {}
    for name, rows in (("example", spread), ("extreme", extreme)):
        images = np.stack([to_picture(data[0, int(row)].image) for row in rows])
        found |= {f"{name}_row": rows, f"{name}_image": images}
    return found


def choose_frames(config: TestPoseConfig) -> FrameChoice:
    """Say which frames are tested."""
    if not config.protocol:
        return FrameChoice(config.subjects, every=config.every)
    table = load_table(config.paths)
    step = frame_step(config.protocol, table.every)
    if not table.skeleton.is_h36m:
        raise ValueError(f"protocol {config.protocol} is about Human3.6M's 17 joints, and this data set has "
                         f"{len(table.skeleton.names)} of its own; leave out --protocol")  # fmt: skip
    return FrameChoice(SUBJECTS, every=step, cameras=PROTOCOLS[config.protocol].cameras)


def crop_of(config: TestPoseConfig, trained: Crop) -> Crop:
    """Say how test images are cut: as the encoder was trained, but for what a setting or the protocol says."""
    usual = PROTOCOLS[config.protocol].centre if config.protocol else trained.centre
    return replace(trained, centre=config.centre or usual)


def by_protocol(name: ProtocolName, found: Predictions, frames: np.ndarray) -> dict[str, Any]:
    """Measure as a protocol does, and say how that is."""
    errors = protocol_errors(name, found.predicted_root_m, found.true_root_m)
    own = {key: values.numpy() for key, values in errors.items()}
    return {"protocol": f"{name}: {PROTOCOLS[name].told}", f"by_protocol_{name}": {"overall": intervals(own, frames)}}


def protocol_table(overall: dict[str, Any]) -> str:
    """Write a protocol's measures as one line."""
    known = {key: measure_of(key) for key in overall if not key.startswith("num_")}
    titles = [f"{one.heading}, {one.detail}" for one in known.values()]
    cells = [written_interval(overall[key], one.decimals) for key, one in known.items()]
    return f"\n{text_table({'by the protocol': cells}, titles)}\n"


def file_suffix(config: TestPoseConfig, crop: Crop, trained: Crop) -> str:
    """Name what differs from the crops that the encoder was trained with, for the names of files."""
    if config.protocol:
        return f"_{config.protocol}"
    return f"_{crop.centre}" * (crop.centre != trained.centre) + "_rolled" * (config.roll_rad > 0)


SEEN = {True: " (also trained on)", False: "", None: " (a number that was trained on; whether this person, is unknown)"}
"""What is said of a test subject whom the training has seen, has not, or may have."""


def describe_split(config: TestPoseConfig, stored: StoredPose, people: str, centre: str) -> str:
    """Say which frames were measured, and whether any network saw these people before.

    Args:
        people: whom the numbers of the test subjects stand for.
    """
    trained = (*stored.config.subjects.labelled, *stored.encoder_config.subjects.train)
    named = stored.reads | of_unknown_people(Reads(pixels=frozenset(trained) - stored.reads.numbers))
    names = [f"S{subject}{SEEN[is_seen(subject, people, named)]}" for subject in config.subjects]
    if config.protocol:
        return f"{', '.join(names)}; protocol {config.protocol}: {PROTOCOLS[config.protocol].told}"
    frames = "all frames" if config.every == 1 else f"one frame in {config.every}"
    rolled = f", rolled by up to {config.roll_rad:g} rad" * (config.roll_rad > 0)
    return f"{', '.join(names)}; {frames} and cameras of the index; crop centred on {centre}{rolled}"


def main(config: TestPoseConfig) -> dict[str, Any]:
    """Predict, measure, write and print; return the metrics."""
    device = choose_device(config.device)
    stored = load_pose(config.checkpoint, device)
    crop = crop_of(config, stored.encoder_config.crop)
    data = PoseData(config.paths, choose_frames(config), CropSettings(crop, config.roll_rad, or_frames=True))
    skeleton = own_joints(config.checkpoint, stored, data.table)
    found = predict_all(stored, data, config.batch, device)
    check_predictions(config.checkpoint, poses=found.predicted_root_m)
    frames = found.frames.numpy().astype(np.int32)

    errors = errors_of(found.predicted_root_m, found, skeleton)
    references, labels_alone = without_image(stored, data, found), stored.reads.labels_alone
    summaries = {name: intervals(errors_of(pose, found, skeleton), frames) for name, pose in references.items()}
    overall = intervals(errors, frames)
    by_action = per_action(errors, frames)
    turned = by_heading(errors, found, frames, skeleton)
    metrics = {
        "step": stored.step, "mode": stored.config.mode, "labelled_subjects": list(stored.config.subjects.labelled),
        "crop_centre": crop.centre, "overall": overall, **turned, **summaries, "per_action": by_action,
    }  # fmt: skip

    if config.mirror:
        metrics["with_mirrored"] = with_mirrored(found, predict_all(stored, data, config.batch, device, True), skeleton)
    if config.protocol:
        metrics |= by_protocol(config.protocol, found, frames)

    split = describe_split(config, stored, data.table.people, crop.centre)
    folder, suffix = config.out or config.checkpoint.parent, file_suffix(config, crop, stored.encoder_config.crop)
    inputs = {"checkpoint": config.checkpoint, "index": config.paths.index_location / "index.npz"}
    arrays = {name: values.numpy() for name, values in found._asdict().items() if name != "frames"}
    save_predictions(
        folder / f"predictions{suffix}.npz",
        split,
        frames,
        inputs,
        **arrays,
        step=np.array(stored.step),
        mean_pose_root_m=references["mean_pose"][0].numpy(),
        **pose_examples(data, config.examples, errors[f"mpjpe_{len(skeleton.names)}_mm"], frames),
        **skeleton_arrays(skeleton),
    )
    others = dict.fromkeys(references, labels_alone)
    others |= {"mean_pose": stored.reads} if stored.config.pseudo_labels is not None else {}
    save_metrics(folder / f"metrics{suffix}.json", split, frames, inputs, metrics, reads=stored.reads,
                 at_test=data.reader.reads(data.rows), others=others)  # fmt: skip

    shown = {"predicted": overall} | {name.replace("_", " "): summary for name, summary in summaries.items()}
    shown |= {"with mirrored": metrics["with_mirrored"]["overall"]} if config.mirror else {}
    print(f"{split}: {len(frames)} frames; predicted reads {stored.reads.tier}, the others {labels_alone.tier}")
    print(f"{overall_table(shown)}\n\n{action_table(by_action)}\n\nyaw:\n{yaw_table({'predicted': turned['yaw']})}")
    if config.protocol:
        print(protocol_table(metrics[f"by_protocol_{config.protocol}"]["overall"]))
    print(next_command("sample/train_GAN.py", config.paths, **named(config.checkpoint.parent)))
    return metrics


if __name__ == "__main__":
    start(main, TestPoseConfig)
