"""How fast silhouettes of bodies are drawn and how true their gradient is, beside SoftRas' formula and pytorch3d.

    python tests/benchmarks/bench_silhouette.py

Prints tables and writes tests/benchmarks/results/silhouette.{json,md}.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from config import ROOT, Paths
from models.smpl import Body, load_body
from tests.benchmarks.bodies_on_screen import Mesh, bodies_px, finer_mesh, own_mesh
from tests.benchmarks.silhouette_gradient import FIELDS, HARD_SAMPLES, STEP_PX, compare, cosine_and_magnitude
from tests.benchmarks.silhouette_methods import Method, methods_for
from tests.benchmarks.silhouette_table import markdown, targets
from tests.benchmarks.timing import repeated, took
from utils.artifacts import atomic_write, save_result
from utils.settings import start

RESULT = ROOT / "tests" / "benchmarks" / "results" / "silhouette.json"
FINER = 13718
"""Vertices of the second mesh."""
VIEWS, GRADIENT_PX = 4, 128
PROTOCOL = (
    "Bodies in random poses and shapes from all around, the box of each filling 0.8 of a square image; 2 scan lines "
    "per pixel and direction where not said otherwise; SoftRas' sigma 0.41 px^2. After a warm-up on one mask, repeated "
    "for {budget_s} s of processor time, at least {least} times: wall_ms is the fastest, wall_median_ms the middle, "
    "cpu_ms the least processor time of all threads together, which other work on the same cores hardly changes. "
    "Forward + backward is one call of each, the gradient of the image given; everything from vertices in pixels to "
    "their gradient counts. Gradient: half the summed squared error to the mask of the same body 5 % larger and 3.6 px "
    "away, at {size} px; central differences (+-{step} px) of brute force ({n} x {n} hard samples a pixel) along "
    "{fields} smooth fields per view, waves from one to a quarter of the image long; two meshes (other poses, other "
    "shapes), {views} views each."
)


def seconds_of(work: Callable[[], None], budget_s: float, least: int) -> dict[str, float]:
    """Repeat work for a while; gives milliseconds."""
    wall_s, cpu_s = repeated(lambda: took(work), least, budget_s)
    found = {"wall_ms": min(wall_s), "wall_median_ms": float(np.median(wall_s)), "cpu_ms": min(cpu_s)}
    return {key: round(1000 * value, 4) for key, value in found.items()} | {"repeats": len(wall_s)}


def timed(method: Method, vertices_px: Tensor, size_px: int, budget_s: float, least: int) -> dict[str, Any]:
    """Time one method on one batch, forward and forward + backward."""
    vertices_px = vertices_px.to(method.device)
    gradient = torch.randn(len(vertices_px), size_px, size_px, device=method.device)

    def wait() -> None:
        if method.device == "cuda":
            torch.cuda.synchronize()

    def forward() -> None:
        method.draw(vertices_px, size_px)
        wait()

    def both() -> None:
        leaf.grad = None
        method.draw(leaf, size_px).backward(gradient)
        wait()

    method.draw(vertices_px[:1].clone().requires_grad_(), size_px).sum().backward()
    leaf = vertices_px.clone().requires_grad_()
    names = {"forward": forward, "forward_backward": both}
    return {name: seconds_of(work, budget_s, least) for name, work in names.items()}


def time_table(
    body: Body, cells: list[tuple[Mesh, int, int, int]], budget_s: float, least: int
) -> list[dict[str, Any]]:
    """Time every method on every cell: mesh, masks, side of the image, threads."""
    rows, before = [], torch.get_num_threads()
    for mesh, masks, size_px, threads in tqdm(cells, desc="timing", disable=None):
        torch.set_num_threads(threads)
        vertices_px = bodies_px(body, mesh, masks, size_px, seed=1)
        cell = {"vertices": vertices_px.shape[1], "masks": masks, "size_px": size_px, "threads": threads}
        for name, method in methods_for(torch.from_numpy(mesh.faces)).items():
            if masks <= method.most_masks:
                rows.append({"method": name} | cell | timed(method, vertices_px, size_px, budget_s, least))
    torch.set_num_threads(before)
    return rows


def gradient_table(body: Body, meshes: list[Mesh]) -> list[dict[str, Any]]:
    """Compare every method's gradient with the true one: over all views of a mesh, and in its worst view."""
    rows = []
    for number, mesh in enumerate(meshes):
        points_px = bodies_px(body, mesh, VIEWS, GRADIENT_PX, seed=10 + number).double().numpy()
        draws = {
            name: lambda vertices, method=method: method.draw(vertices.to(method.device), GRADIENT_PX)
            for name, method in methods_for(torch.from_numpy(mesh.faces)).items()
        }
        views = [compare(draws, points, mesh.faces, GRADIENT_PX, seed) for seed, points in enumerate(points_px)]
        for name in draws:
            slopes, true = ([view[key]["slopes"] for view in views] for key in (name, "true"))
            cosine, magnitude = cosine_and_magnitude(np.concatenate(slopes), np.concatenate(true))
            each = [cosine_and_magnitude(*pair) for pair in zip(slopes, true, strict=True)]
            rows.append({
                "method": name, "vertices": points_px.shape[1], "cosine": cosine, "magnitude": magnitude,
                "cosine_of_views": [one for one, _ in each], "magnitude_of_views": [one for _, one in each],
                "iou": float(np.mean([view[name]["iou"] for view in views])),
            })  # fmt: skip
    return rows


@dataclass(frozen=True)
class SilhouetteBenchConfig:
    """tests/benchmarks/bench_silhouette.py: how fast silhouettes are drawn, and how true their gradient is."""

    masks: tuple[int, ...] = (4, 32, 128)
    """Bodies in a batch."""
    sizes_px: tuple[int, ...] = (64, 128, 256)
    budget_s: float = 0.5
    """Spent on each cell of the table, at least ..."""
    least: int = 2
    """... so many times."""
    result: Path = RESULT


def main(config: SilhouetteBenchConfig) -> None:
    """Measure, print and write."""
    torch.manual_seed(0)
    body = load_body(Paths().models_smpl_location)
    meshes = [own_mesh(body), finer_mesh(body, FINER)]
    all_threads = sorted({1, torch.get_num_threads()})
    cells = [
        (meshes[0], count, size, threads)
        for size, count, threads in product(config.sizes_px, config.masks, all_threads)
    ]
    cells += [(meshes[1], 32, 128, threads) for threads in all_threads]
    with torch.device("cpu"):
        gradients = gradient_table(body, meshes)
        times = time_table(body, cells, config.budget_s, config.least)
    protocol = PROTOCOL.format(budget_s=config.budget_s, least=config.least, size=GRADIENT_PX, step=STEP_PX,
                               n=HARD_SAMPLES, fields=FIELDS, views=VIEWS)  # fmt: skip
    reached = targets(times, gradients)
    save_result(config.result, protocol, targets=reached, gradients=gradients, times=times)
    with atomic_write(config.result.with_suffix(".md")) as partial:
        partial.write_text(markdown(times, gradients, reached, protocol))
    print(result.with_suffix(".md").read_text())


if __name__ == "__main__":
    start(main, SilhouetteBenchConfig)
