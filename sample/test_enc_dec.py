"""Measure stage 1 on subjects it has not seen: novel views beside two baselines, and pictures for the figures.

Of an encoder that finds points in the image, joints that a linear map reads off them are measured, too.  Where masks
taught the points, nothing taught the decoder: then how well two cameras agree on them stands in the place of the views.

    python sample/test_enc_dec.py --checkpoint runs/enc_dec/demo/checkpoint_best.pt

Reads   checkpoint_best.pt (sample/train_enc_dec.py), the test subjects' images
Writes  predictions.npz, metrics.json beside the checkpoint, or in --out; probe.json of an encoder of kind heatmaps
Next    sample/make_figures.py
"""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import default_collate
from tqdm import tqdm

from config import Device, EncDecConfig, Pairing, Paths, ranged, setting
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_encoder_data import EncoderData, ViewGroup
from dataset_def.h36m_index import FrameChoice
from models.encoder_decoder import EncoderDecoder, load_encoder_decoder, why_undrawn
from models.heat_maps import PointsFromMaps
from sample.tools import probe_points
from sample.tools.probe_points import ProbeConfig
from utils.artifacts import NOT_DRAWN, save_metrics, save_predictions
from utils.batches import in_order, to_device
from utils.bootstrap import mean_interval
from utils.checkpoint_checks import check_predictions
from utils.engine import choose_device
from utils.image import to_picture
from utils.image_metrics import image_errors
from utils.metrics import vertex_error_mm
from utils.report.summaries import text_table
from utils.settings import chosen_subjects, named, next_command, start
from utils.tiers import Reads, reads_from
from utils.views import FlatViews, turned, turned_about_vertical


@dataclass(frozen=True)
@ranged()
class TestEncDecConfig:
    """sample/test_enc_dec.py: novel views of unseen subjects, in numbers."""

    checkpoint: Path
    """checkpoint_best.pt of stage 1."""
    out: Path | None = None
    """Folder for predictions.npz and metrics.json; without it, the checkpoint's."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: tuple[int, ...] = (9, 11)
    max_pairs: int = setting(1200, low=1)
    """Number of (input view, target view) pairs, spread over all test sequences."""
    probe: tuple[int, ...] = (0, 3, 1)
    """Of an encoder that finds points in the image: joints read off these by a linear map, as
    sample/tools/probe_points.py; one row for each number of labelled training sequences per subject, 0 for all.  Empty
    for none, where there are no labels."""
    probe_every: int = setting(4, low=1)
    """Tested on every n-th frame."""
    examples: int = setting(8, low=2)
    """Rows of the figures."""
    batch: int = setting(32, low=4)
    seed: int = 0


YAWS_RAD = tuple(2 * math.pi / 8 * step for step in range(8))


def pictures(images: Float[Tensor, "N C H W"]) -> np.ndarray:
    """Turn tensors (RGB, or RGB and opacity) into RGB pictures."""
    return np.stack([to_picture(image[:3]) for image in images])


@torch.no_grad()
def example_points(network: EncoderDecoder, views: FlatViews, per_group: int) -> dict[str, np.ndarray]:
    """Show the first image of every group and its target, with the points of the former where it has heat maps."""
    first = torch.arange(0, len(views.image), per_group, device=views.image.device)
    found = {"grid_input": pictures(views.image[first]), "grid_target": pictures(views.target_image[first])}
    if not isinstance(network.to_points, PointsFromMaps):
        return found
    points = network.encode_points(views.image)[first]
    there = turned(views.R_target_from_source[first], points)
    return found | {"points_crop_m": points.cpu().numpy(), "points_target_m": there.cpu().numpy()}


@torch.no_grad()
def example_pictures(
    network: EncoderDecoder,
    views: FlatViews,
    background: Float[Tensor, "B V 3 H W"],
    R_crop_from_world: Float[Tensor, "B V 3 3"],
) -> dict[str, np.ndarray]:
    """Decode the first image of every group: target view and eight sides in its own appearance, itself in another's."""
    groups, per_group = background.shape[:2]
    first = torch.arange(0, groups * per_group, per_group, device=background.device)
    points, appearance = network.encode(views.image)
    there = turned(views.R_target_from_source, points)[first]
    predicted = network.decode(there, appearance[first], views.target_background[first])
    here, appearance, behind = points[first], appearance[first], background[:, 0]
    swapped = network.decode(here, appearance.roll(1, dims=0), behind)
    sides = [turned_about_vertical(here, R_crop_from_world[:, 0], yaw_rad) for yaw_rad in YAWS_RAD]
    table = np.stack([pictures(network.decode(side, appearance, behind)) for side in sides], axis=1)
    inputs = pictures(views.image[first])
    return {
        "grid_predicted": pictures(predicted),
        "turntable_input": inputs,
        "turntable": table,
        "swap_pose": inputs,
        "swap_appearance": np.roll(inputs, 1, axis=0),
        "swapped": pictures(swapped),
    }


RECIPES = ("predicted", "predicted, appearance of the input", "background alone", "input view itself")
"""The first takes the appearance from another instant, as in training; the second needs no more than one image."""


POINTS = "points"
"""The row of what is measured of them where nothing is drawn."""


class Measured(NamedTuple):
    """Errors of every pair, by recipe and measure, and the pairs' target frames."""

    errors: dict[str, dict[str, np.ndarray]]
    frames: np.ndarray


@torch.no_grad()
def measure_views(
    network: EncoderDecoder, data: EncoderData, max_pairs: int, batch: int, device: torch.device
) -> Measured:
    """Draw the other camera's view of images spread over all test sequences."""
    every = max(1, 4 * len(data) // max_pairs)
    found: dict[str, dict[str, list[Tensor]]] = {recipe: {} for recipe in RECIPES}
    frames = []
    for sample in tqdm(in_order(data, batch // 4, every=every), disable=None, desc="test_enc_dec"):
        sample = to_device(sample, device)
        views = sample.paired()
        points, appearance = network.encode(views.image)
        there = turned(views.R_target_from_source, points)
        predicted, own = (
            network.decode(there, one, views.target_background)[:, :3].clamp(0, 1)
            for one in (appearance[views.appearance_row], appearance)
        )
        for recipe, image in zip(RECIPES, (predicted, own, views.target_background, views.image), strict=True):
            for name, values in image_errors(image, views.target_image, views.target_mask).items():
                found[recipe].setdefault(name, []).append(values.cpu())
        frames.append(sample.frames.flatten(0, 1)[views.target_row].cpu().numpy().astype(np.int32))
    errors = {r: {k: torch.cat(v).double().numpy() for k, v in values.items()} for r, values in found.items()}
    return Measured(errors, np.concatenate(frames))


@torch.no_grad()
def measure_points(
    network: EncoderDecoder, data: EncoderData, max_pairs: int, batch: int, device: torch.device
) -> Measured:
    """Say how far points are from those that another camera finds at the same instant, and how far they spread.

    Points that all lie together would agree, too.
    """
    every = max(1, 4 * len(data) // max_pairs)
    apart_mm, spread_mm, frames = [], [], []
    for sample in tqdm(in_order(data, batch // 4, every=every), disable=None, desc="test_enc_dec"):
        sample = to_device(sample, device)
        views = sample.paired()
        points_m = network.encode_points(views.image)
        there_m = turned(views.R_target_from_source, points_m)
        apart_mm.append(vertex_error_mm(there_m, points_m[views.target_row]).cpu())
        spread_mm.append(vertex_error_mm(points_m, points_m.mean(1, keepdim=True).expand_as(points_m)).cpu())
        frames.append(sample.frames.flatten(0, 1)[views.target_row].cpu().numpy().astype(np.int32))
    found = {"between_cameras_mm": apart_mm, "from_their_middle_mm": spread_mm}
    errors = {name: torch.cat(values).double().numpy() for name, values in found.items()}
    return Measured({POINTS: errors}, np.concatenate(frames))


def check_measured(checkpoint: Path, measured: Measured) -> None:
    """Refuse pictures or points that are no numbers; of pictures where the baseline is one, too.

    Raises:
        ValueError: naming the checkpoint.
    """
    own, of = (POINTS, "points") if POINTS in measured.errors else ("predicted", "pictures")
    whole = {name: np.isfinite(values) for name, values in measured.errors.get("background alone", {}).items()}
    check_predictions(checkpoint, **{f"{name}_of_{of}": values[whole.get(name, ...)]
                                     for name, values in measured.errors[own].items()})  # fmt: skip


def view_examples(data: EncoderData, count: int) -> ViewGroup:
    """Take groups spread over the test subjects."""
    rows = np.linspace(0, len(data) - 1, count + 2).round().astype(int)[1:-1]
    return default_collate([data[0, int(row)] for row in rows])


def probed(config: TestEncDecConfig, trained: EncDecConfig, folder: Path) -> tuple[dict[str, Any], dict[str, Reads]]:
    """Read joints off points by a linear map; give a row for each number of labels, and what they are made from.

    Of an encoder that reads its points otherwise than off heat maps there is nothing: sample/tools/probe_points.py.
    """
    if not config.probe or not trained.encoder.has_maps:
        return {}, {}
    subjects = replace(trained.subjects, test=config.subjects)
    output = folder / "probe.json"
    probe = ProbeConfig(config.checkpoint, output, config.device, config.paths, subjects, config.probe,
                        every=config.probe_every)  # fmt: skip
    rows = probe_points.main(probe)
    reads = reads_from(json.loads(output.read_text())["reads"])
    named_rows = {f"probe, {name}": row for name, row in rows.items()}
    return named_rows, dict.fromkeys(named_rows, reads)


def main(config: TestEncDecConfig) -> dict[str, Any]:
    """Draw, measure, write and print; return the metrics."""
    device = choose_device(config.device)
    stored = load_encoder_decoder(config.checkpoint)
    network, trained, step = stored.network.to(device).eval(), stored.config, stored.step
    pairing = Pairing(same_view=0.0, appearance_from="other_time")
    crops = CropSettings(trained.crop, seed=config.seed, or_frames=True)
    data = EncoderData(config.paths, FrameChoice(config.subjects), crops, pairing)
    not_drawn = why_undrawn(trained, config.checkpoint)
    measure = measure_points if not_drawn else measure_views
    measured = measure(network, data, config.max_pairs, config.batch, device)
    check_measured(config.checkpoint, measured)
    table = {
        recipe: {name: mean_interval(values, measured.frames)._asdict() for name, values in errors.items()}
        for recipe, errors in measured.errors.items()
    }
    shown = f"{', '.join(f'S{s}' for s in config.subjects)}; always another camera"
    split = shown if not_drawn else f"{shown}; appearance from another instant"
    groups = to_device(view_examples(data, config.examples), device)
    views = groups.paired()
    pictures = example_points(network, views, groups.image.shape[1])
    pictures |= ({NOT_DRAWN: np.array(not_drawn)} if not_drawn else
                 example_pictures(network, views, groups.background, groups.R_crop_from_world))  # fmt: skip
    folder = config.out or config.checkpoint.parent
    inputs = {"checkpoint": config.checkpoint, "index": config.paths.index_location / "index.npz"}
    probe, read_by_probe = probed(config, trained, folder)
    save_metrics(folder / "metrics.json", split, measured.frames, inputs, {"step": step, **table, **probe},
                 reads=stored.reads, at_test=data.reads(uses_masks=False), others=read_by_probe)  # fmt: skip
    save_predictions(folder / "predictions.npz", shown, measured.frames, inputs, step=np.array(step),
                     crop_side_m=np.array(trained.crop.side_m),
                     example_frames=groups.frames[:, 0].cpu().numpy().astype(np.int32), **pictures)  # fmt: skip
    rows = {recipe: [f"{value['mean']:.{1 if name.endswith('_mm') else 4}f}" for name, value in errors.items()]
            for recipe, errors in table.items()}  # fmt: skip
    print(f"{split}: {len(measured.frames)} pairs; the network reads {stored.reads.tier}")
    print(text_table(rows, list(next(iter(table.values())))))
    if not_drawn:
        print(not_drawn)
    print(next_command("sample/train_3d_pose_from_enc.py", config.paths, encoder=config.checkpoint,
                       **named(config.checkpoint.parent, trained.encoder.has_maps),
                       **chosen_subjects(trained.subjects)))  # fmt: skip
    return table | probe


if __name__ == "__main__":
    start(main, TestEncDecConfig)
