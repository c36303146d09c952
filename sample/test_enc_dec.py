"""Measure stage 1 on subjects it has not seen: novel views beside two baselines, and pictures for the figures.

    python sample/test_enc_dec.py --checkpoint runs/enc_dec/demo/checkpoint_best.pt

Reads   checkpoint_best.pt (sample/train_enc_dec.py), the test subjects' images
Writes  predictions.npz, metrics.json beside the checkpoint, or in --out
Next    sample/make_figures.py
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate
from tqdm import tqdm

from config import Pairing, TestEncDecConfig
from dataset_def.h36m_encoder_data import EncoderData, ViewGroup
from models.encoder_decoder import EncoderDecoder, load_encoder_decoder
from models.view_pictures import example_pictures
from utils.artifacts import save_metrics, save_predictions
from utils.batches import in_order, to_device
from utils.bootstrap import mean_interval
from utils.engine import choose_device
from utils.image_metrics import image_errors
from utils.report.summaries import text_table
from utils.settings import start
from utils.views import turned

RECIPES = ("predicted", "predicted, looks of the input", "background alone", "input view itself")
"""The first takes the looks from another instant, as in training; the second needs no more than one image."""


class Measured(NamedTuple):
    """Errors of every pair, by recipe and measure, and the pairs' target frames."""

    errors: dict[str, dict[str, np.ndarray]]
    frames: np.ndarray


@torch.no_grad()
def measure(network: EncoderDecoder, data: EncoderData, config: TestEncDecConfig, device: torch.device) -> Measured:
    """Draw the other camera's view of images spread over all test sequences."""
    every = max(1, 4 * len(data) // config.max_pairs)
    found: dict[str, dict[str, list[Tensor]]] = {recipe: {} for recipe in RECIPES}
    frames = []
    for sample in tqdm(in_order(data, config.batch // 4, every=every), disable=None, desc="test_enc_dec"):
        sample = to_device(sample, device)
        views = sample.paired()
        points, looks = network.encode(views.image)
        there = turned(views.R_target_from_source, points)
        drawn, own = (network.decode(there, one, views.target_background)[:, :3].clamp(0, 1)
                      for one in (looks[views.appearance_row], looks))  # fmt: skip
        for recipe, image in zip(RECIPES, (drawn, own, views.target_background, views.image), strict=True):
            for name, values in image_errors(image, views.target_image, views.target_mask).items():
                found[recipe].setdefault(name, []).append(values.cpu())
        frames.append(sample.frames.flatten(0, 1)[views.target_row].cpu().numpy().astype(np.int32))
    errors = {r: {k: torch.cat(v).double().numpy() for k, v in values.items()} for r, values in found.items()}
    return Measured(errors, np.concatenate(frames))


def examples(data: EncoderData, count: int) -> ViewGroup:
    """Take groups spread over the test subjects."""
    rows = np.linspace(0, len(data) - 1, count + 2).round().astype(int)[1:-1]
    return default_collate([data[0, int(row)] for row in rows])


def main(config: TestEncDecConfig) -> dict[str, Any]:
    """Draw, measure, write and print; return the metrics."""
    device = choose_device(config.device)
    network, trained, step = load_encoder_decoder(config.checkpoint)
    network.to(device).eval()
    pairing = Pairing(same_view=0.0, appearance_from="other_time")
    data = EncoderData(config.paths, trained.crop, config.subjects, "all", (), pairing, 0.0, config.seed)
    measured = measure(network, data, config, device)
    table = {
        recipe: {name: mean_interval(values, measured.frames)._asdict() for name, values in errors.items()}
        for recipe, errors in measured.errors.items()
    }
    shown = f"{', '.join(f'S{s}' for s in config.subjects)}; always another camera"
    split = f"{shown}; appearance from another instant"
    groups = to_device(examples(data, config.examples), device)
    pictures = example_pictures(network, groups.paired(), groups.background, groups.R_crop_from_world)
    folder = config.out or config.checkpoint.parent
    inputs = {"checkpoint": config.checkpoint, "index": config.paths.index_location / "index.npz"}
    save_metrics(folder / "metrics.json", split, measured.frames, inputs, {"step": step, **table})
    save_predictions(folder / "predictions.npz", shown, measured.frames, inputs, step=np.array(step),
                     example_frames=groups.frames[:, 0].cpu().numpy().astype(np.int32), **pictures)  # fmt: skip
    rows = {recipe: [f"{value['mean']:.4f}" for value in errors.values()] for recipe, errors in table.items()}
    print(f"{split}: {len(measured.frames)} pairs\n{text_table(rows, list(table['predicted']))}")
    return table


if __name__ == "__main__":
    start(main, TestEncDecConfig)
