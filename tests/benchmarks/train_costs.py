"""What a step costs against the size of its batch, its cameras, its meshes and the data set, each with its slope."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from config import Crop, EncDecConfig, Paths, Subjects, demo
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_instants_data import InstantData, InstantViews
from models.encoder_decoder import build_encoder_decoder
from models.losses import weighted_sum
from models.silhouette import Topology, silhouette
from models.taught_points import PointsReader, taught_terms, weights_of
from sample.teach_points import cut
from tests.benchmarks.timing import repeated, took
from utils.engine import mixed_precision


@dataclass(frozen=True)
class Sizes:
    """The smallest sizes, and how many times as large the others are."""

    factors: tuple[int, ...] = (1, 4, 16)
    instants: int = 1
    """In a batch of stage 1, four images each."""
    cameras: int = 4
    """That see one instant; more than the data have are copies of these."""
    rings: int = 25
    """Of a ball of 70 rings' vertices each: 1,752 vertices; four times as many have twice the rings."""
    masks: int = 8
    """Of 128 px, drawn forward and backward."""
    seconds: float = 0.5
    """For each cell."""


def seconds_of(work: Callable[[], Any], budget_s: float) -> float:
    """Repeat work for a while, after one time that is not counted; gives the least processor time."""
    work()
    return min(repeated(lambda: took(work), 2, budget_s).cpu_s)


def slope(sizes: list[int], values: list[float]) -> float:
    """Give the power of the size that the cost grows with: 1 for a cost in proportion."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def batch_of(data: InstantData, instants: int, views: int) -> InstantViews:
    """Read instants, and repeat their views until there are so many."""
    sample = default_collate([data[0, index % len(data)] for index in range(instants)])
    times = -(-views // sample.R_wide_from_world.shape[1])

    def repeated(part: torch.Tensor) -> torch.Tensor:
        return torch.cat([part] * times, dim=1)[:, :views]

    wide = type(sample.wide)(*(repeated(part) for part in sample.wide))
    return sample._replace(wide=wide, R_wide_from_world=repeated(sample.R_wide_from_world))


def stage_1_step(config: EncDecConfig, sample: InstantViews) -> Callable[[], None]:
    """Make one step of stage 1 taught by masks, without its optimiser."""
    torch.manual_seed(0)
    model = build_encoder_decoder(config).to(memory_format=torch.channels_last)
    reader, generator = PointsReader(model), torch.Generator().manual_seed(0)

    def step() -> None:
        crops, seen = cut(sample, config, config.augment, 0.5, generator)
        with mixed_precision(torch.device("cpu"), bf16=True):
            maps = reader(crops.image)
        terms = taught_terms(maps, seen, crops.mask, reader, config.teaching, 0.5)
        weighted_sum(terms, weights_of(config.teaching)).backward()

    return step


def ball_px(rings: int, size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a ball of `rings` rings, each of nearly three times as many vertices; x, y, depth, and faces."""
    around = 14 * rings // 5
    tilt, turn = np.meshgrid(np.pi * (np.arange(rings) + 0.5) / rings, 2 * np.pi * np.arange(around) / around,
                             indexing="ij")  # fmt: skip
    points = np.stack([np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    faces = np.concatenate([np.stack([a, b, a + around], -1), np.stack([b, b + around, a + around], -1)], axis=1)
    placed = torch.from_numpy(points).float() * 0.4 * size_px + torch.tensor([size_px / 2, size_px / 2, 4.0 * size_px])
    return placed, torch.from_numpy(faces.reshape(-1, 3))


def mask_step(rings: int, masks: int) -> tuple[int, Callable[[], None]]:
    """Make one drawing of masks with its gradient; gives the number of vertices, too."""
    points_px, faces = ball_px(rings, 128)
    leaf = (points_px + torch.randn(masks, 1, 3)).requires_grad_()
    topology, gradient = Topology(faces), torch.randn(masks, 128, 128)
    return len(points_px), lambda: silhouette(leaf, topology, 128, 128).backward(gradient)


def cost_against_size(sizes: Sizes, paths: Paths, subjects: Subjects) -> dict[str, Any]:
    """Measure every cost at all sizes."""
    if not sizes.factors:
        return {}
    config = demo().enc_dec
    config = replace(config, paths=paths, subjects=subjects, crop=Crop(64, side_m=2.25))
    factors, budget_s = sizes.factors, sizes.seconds

    def opened(every: int) -> InstantData:
        frames = FrameChoice(subjects.train, "train", subjects.held_out, every=every)
        return InstantData(paths, frames, config.crop, config.teaching, 0)

    found: dict[str, dict[str, list[float]]] = {name: {"size": [], "ms": []} for name in (
        "batch: images of a step", "cameras: views of one instant", "vertices: of a mesh whose masks are drawn",
        "data: instants, opening them", "data: instants, reading one")}  # fmt: skip
    batch, cameras, vertices, opening, reading = found.values()
    most = factors[-1]
    for factor in factors:
        data = opened(most // factor)
        opening["size"].append(len(data)), opening["ms"].append(1e3 * seconds_of(lambda: opened(most // factor), 0.0))  # noqa: B023
        places = iter(range(10**9))
        reading["size"].append(len(data))
        reading["ms"].append(1e3 * seconds_of(lambda: data[0, next(places) % len(data)], budget_s))  # noqa: B023
        views = data.views
        for cost, instants, seen in ((batch, sizes.instants * factor, views), (cameras, 1, sizes.cameras * factor)):
            step = stage_1_step(config, batch_of(data, instants, seen))
            cost["size"].append(instants * seen), cost["ms"].append(1e3 * seconds_of(step, budget_s))
        count, draw = mask_step(round(sizes.rings * factor**0.5), sizes.masks)
        vertices["size"].append(count), vertices["ms"].append(1e3 * seconds_of(draw, budget_s))
    return {name: cost | {"slope": slope(cost["size"], cost["ms"])} for name, cost in found.items()}
