"""Judge an encoder's points by what a linear map reads off them: joints, from all labels, from few sequences.

    python sample/tools/probe_points.py --checkpoint models/assets/open_weights.pt

One weight for each pair of joint and point, the same for x, y and z: a map that turns with the points and can learn no
heading.  It is fitted in closed form, on images and mirror images of the labelled people, in seconds; where images are
few, joints stay near a weighted mean of points.

Reads   a checkpoint of stage 1, or of stage 2 with a frozen encoder; the index and the crops
Writes  probe.json beside the checkpoint, or --output
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from config import Device, Paths, Subjects, ranged, setting
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData
from models.encoder_decoder import EncoderDecoder, load_encoder
from utils.artifacts import file_hash, save_result
from utils.batches import in_order, to_device
from utils.engine import choose_device
from utils.metrics import mirrored_joints, n_mpjpe_mm, pose_errors
from utils.report.measures import of_all_joints
from utils.report.summaries import intervals, text_table
from utils.settings import start
from utils.skeleton import Skeleton
from utils.tiers import Reads


@dataclass(frozen=True)
@ranged()
class ProbeConfig:
    """sample/tools/probe_points.py: joints by a linear map of an encoder's points."""

    checkpoint: Path
    """checkpoint_best.pt of stage 1, or of stage 2 with a frozen encoder."""
    output: Path | None = None
    """Without it, probe.json beside the checkpoint."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    sequences: tuple[int, ...] = (0, 3, 1)
    """One row each: labelled training sequences per subject, 0 for all."""
    centre: Literal["", "pelvis", "masks", "box"] = ""
    """What all crops are centred on; empty for what the encoder was trained with."""
    every: int = setting(4, low=1)
    """Test on every n-th frame."""
    prior_images: tuple[float, ...] = (100.0,)
    """How many images the prior is worth that joints are weighted means of points; near 0 it only keeps weights of
    points that lie together small.  Of several values, each with this prior and with one of no weights at all, the
    images of subjects.validation choose for each row."""
    batch: int = setting(64, low=1)

    def __post_init__(self) -> None:
        if not self.prior_images or min(self.prior_images) <= 0:
            raise ValueError(f"prior_images is {list(self.prior_images)}; use values above 0")
        if len(self.prior_images) > 1 and not self.subjects.validation:
            raise ValueError(f"prior_images has {len(self.prior_images)} values, and nobody chooses among them; name "
                             "people of no training and no test: --subjects.validation, or give one value")  # fmt: skip


class Probed(NamedTuple):
    """Points of many images and the true joints."""

    points_m: Float[Tensor, "N P 3"]
    """About their own mean, so that it does not matter what the crop is centred on."""
    joints_m: Float[Tensor, "N J 3"]
    """About the pelvis."""
    R_crop_from_world: Float[Tensor, "N 3 3"]
    frames: np.ndarray


@torch.no_grad()
def read_points(network: EncoderDecoder, data: PoseData, batch: int, is_mirrored: bool = False) -> Probed:
    """Run the encoder on every image or mirror image; joints are mirrored, too."""
    device, parts = next(network.parameters()).device, []
    for cpu_sample in tqdm(in_order(data, batch), desc="points", disable=None):
        sample = to_device(cpu_sample, device)
        points_m = network.encode_points(sample.image.flip(-1) if is_mirrored else sample.image)
        points_m = points_m - points_m.mean(1, keepdim=True)
        parts.append([points_m, sample.joints_root_m, sample.R_crop_from_world, sample.frames])
    points_m, joints_m, R, frames = (torch.cat(rows).cpu() for rows in zip(*parts, strict=True))
    if is_mirrored:
        joints_m = mirrored_joints(joints_m, data.table.skeleton)
    return Probed(points_m, joints_m, R, frames.numpy().astype(np.int32))


Prior = Literal["means", "nothing"]
PRIORS: tuple[Prior, ...] = ("means", "nothing")
STEPS_TO_MEANS, STEP_SIZE = 400, 0.1


def weighted_means(
    squares: Float[Tensor, "P P"], both: Float[Tensor, "J P"], steps: int = STEPS_TO_MEANS
) -> Float[Tensor, "J P"]:
    """Find joints about the first that are weighted means of points, with weights of at least 0 that add up to 1.

    The first joint is such a mean, too, and is not told: only joints about it are.  A convex problem, by gradients.
    """
    free = torch.zeros_like(both, requires_grad=True)
    optimizer, scale = torch.optim.Adam([free], lr=STEP_SIZE), squares.diagonal().mean().clamp_min(1e-12)
    with torch.enable_grad():
        for _ in range(steps):
            weights = about_first(free.softmax(-1))
            error = ((weights @ squares) * weights).sum() - 2 * (both * weights).sum()
            optimizer.zero_grad()
            (error / scale).backward()
            optimizer.step()
    return about_first(free.detach().softmax(-1))


def about_first(rows: Float[Tensor, "J P"]) -> Float[Tensor, "J P"]:
    """Take the first row from all."""
    return rows - rows[:1]


class Products(NamedTuple):
    """What the best weights depend on, means over images; float64."""

    squares: Float[Tensor, "P P"]
    both: Float[Tensor, "J P"]
    count: int


def products(points_m: Float[Tensor, "N P 3"], joints_m: Float[Tensor, "N J 3"]) -> Products:
    """Multiply points with points and with joints, x, y and z as three rows of one image."""
    points_m, joints_m, count = points_m.double(), joints_m.double(), len(points_m)
    squares = torch.einsum("npc,nqc->pq", points_m, points_m) / count
    return Products(squares, torch.einsum("njc,npc->jp", joints_m, points_m) / count, count)


def solved(of: Products, prior_images: float, mean: Float[Tensor, "J P"]) -> Float[Tensor, "J P"]:
    """Find the weights nearest to the joints and, as much as so many images weigh, to a prior mean.

    Source: ridge regression (Hoerl and Kennard, 1970) towards a prior mean.
    """
    regular = prior_images / of.count * of.squares.diagonal().mean().clamp_min(1e-12)
    pulled = of.squares + regular * torch.eye(len(of.squares), dtype=of.squares.dtype)
    return torch.linalg.solve(pulled, (of.both + regular * mean).mT).mT.float()


def prior_mean(of: Products, prior: Prior) -> Float[Tensor, "J P"]:
    """Give the weights that a prior pulls to: weighted means of points (ours), or no weights at all."""
    return weighted_means(of.squares, of.both) if prior == "means" else torch.zeros_like(of.both)


def fit(
    points_m: Float[Tensor, "N P 3"], joints_m: Float[Tensor, "N J 3"], prior_images: float, prior: Prior = "means"
) -> Float[Tensor, "J P"]:
    """Find the weights whose sums of points lie nearest to the joints, in the least-squares sense.

    Args:
        prior_images: so many images weigh as much as the prior.
        prior: weighted means of points, or no weights at all.
    """
    of = products(points_m, joints_m)
    return solved(of, prior_images, prior_mean(of, prior))


def read_joints(weights: Float[Tensor, "J P"], points_m: Float[Tensor, "N P 3"]) -> Float[Tensor, "N J 3"]:
    """Read joints about the first, the pelvis."""
    joints_m = weights @ points_m
    return joints_m - joints_m[:, :1]


class Fitted(NamedTuple):
    """The map of one set of labels."""

    weights: Float[Tensor, "J P"]
    prior_images: float
    prior: Prior
    labels_read: Reads


def fit_to_labels(
    network: EncoderDecoder, labelled: PoseData, worth: tuple[float, ...], choosing: Probed | None, batch: int
) -> Fitted:
    """Fit the map to labelled images and their mirror images, with the prior and worth that others' images like best.

    Args:
        choosing: points and joints of people who choose, by N-MPJPE; without them the first value, weighted means.
    """
    read = [read_points(network, labelled, batch, is_mirrored) for is_mirrored in (False, True)]
    points_m, joints_m = (torch.cat([getattr(one, name) for one in read]) for name in ("points_m", "joints_m"))
    if choosing is None:
        return Fitted(fit(points_m, joints_m, worth[0]), worth[0], "means", labelled.reads())
    of = products(points_m, joints_m)
    means = {prior: prior_mean(of, prior) for prior in PRIORS}
    found = {(images, prior): solved(of, images, mean) for images in worth for prior, mean in means.items()}
    errors_mm = {key: n_mpjpe_mm(read_joints(weights, choosing.points_m), choosing.joints_m).mean().item()
                 for key, weights in found.items()}  # fmt: skip
    best = min(errors_mm, key=errors_mm.__getitem__)
    return Fitted(found[best], *best, labelled.reads())


def errors_of(weights: Float[Tensor, "J P"], test: Probed, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Measure what the weights read on test images."""
    joints_m = read_joints(weights, test.points_m)
    errors = pose_errors(joints_m, test.joints_m, test.R_crop_from_world, skeleton)
    return {name: values.numpy() for name, values in errors.items()}


SHOWN = ("n_mpjpe_17_mm", "p_mpjpe_17_mm", "wrist_mm", "yaw_error_degrees")


def main(config: ProbeConfig) -> dict[str, dict[str, dict[str, float]]]:
    """Fit, measure, write and print; return the intervals by number of labelled sequences."""
    stored, device = load_encoder(config.checkpoint), choose_device(config.device)
    network = stored.network.to(device).eval()
    crops = CropSettings(replace(stored.config.crop, centre=config.centre or stored.config.crop.centre))
    who = config.subjects
    tested = PoseData(config.paths, FrameChoice(who.test, every=config.every), crops)
    test, skeleton = read_points(network, tested, config.batch), tested.table.skeleton
    rows, reads, worth = {}, stored.reads, {}
    choosing = None
    if who.validation:
        chosen_by = PoseData(config.paths, FrameChoice(who.validation, every=config.every), crops)
        choosing = read_points(network, chosen_by, config.batch)
    for sequences in config.sequences:
        labelled = PoseData(config.paths, FrameChoice(who.labelled, "train", who.held_out, sequences), crops)
        weights, images, prior, read = fit_to_labels(network, labelled, config.prior_images, choosing, config.batch)
        reads |= read
        name = f"{sequences} sequences" if sequences else "all labels"
        worth[name] = {"images": images, "prior": prior}
        rows[name] = intervals(errors_of(weights, test, skeleton), test.frames)
    labelled_names, test_names = (", ".join(f"S{one}" for one in some) for some in (who.labelled, who.test))
    protocol = (
        f"linear map of {test.points_m.shape[1]} points, fitted to labels of {labelled_names}; tested on {test_names}, "
        f"one frame in {config.every}, crop centred on {crops.crop.centre}; intervals over sequences"
    )
    if who.validation:
        names = ", ".join(f"S{one}" for one in who.validation)
        protocol += "; the prior of each row (weighted means, nothing) and its worth "
        protocol += f"({', '.join(f'{one:g}' for one in config.prior_images)} images) chosen on {names}"
    output = config.output or config.checkpoint.parent / "probe.json"
    hashes = {"checkpoint": file_hash(config.checkpoint), "index": file_hash(config.paths.index_location / "index.npz")}
    save_result(
        output,
        protocol,
        step=stored.step,
        input_hashes=hashes,
        tier=reads.tier,
        reads=reads.plain(),
        rows=rows,
        priors=worth,
    )
    known = next(iter(rows.values()))
    shown = [key for key in of_all_joints(SHOWN, known) if key in known]
    table = {name: [f"{row[key]['mean']:.1f}" for key in shown] for name, row in rows.items()}
    print(f"{protocol}; reads {reads.tier}\n{text_table(table, shown)}")
    return rows


if __name__ == "__main__":
    start(main, ProbeConfig)
