"""Our body layer beside that of the package smplx: the same vertices and joints, and how long both take.

    pip install smplx
    python tests/benchmarks/bench_smplx.py

smplx is for research only, and nothing else here needs it; smplpytorch itself installs no more (chumpy).
Prints the table and writes tests/benchmarks/results/smplx.{json,md}.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from config import ROOT, Paths
from models.smpl import Body, rotations_from_theta
from tests.benchmarks.timing import repeated, took
from utils.artifacts import atomic_write, save_result
from utils.body_file import BodyFile, dense, read_body_file

RESULT = ROOT / "tests" / "benchmarks" / "results" / "smplx.json"
BATCHES = (1, 32)
REPEATS = 15
POSE_DIRECTION_M = 0.001
"""Spread of the random pose directions; those of SMPL's own files are of this size."""


class Inputs(NamedTuple):
    """A batch of poses, shapes and places."""

    theta: Tensor
    betas: Tensor
    translation_m: Tensor


def random_inputs(count: int, dtype: torch.dtype = torch.float32) -> Inputs:
    """Draw poses that bend every joint by some 70 degrees."""
    rng = torch.Generator().manual_seed(0)
    sizes = (0.7, 72), (1.0, 10), (1.0, 3)
    return Inputs(*((size * torch.randn(count, width, generator=rng)).to(dtype) for size, width in sizes))


def with_pose_directions(file: BodyFile) -> BodyFile:
    """Give a body random pose directions: the embedded one has none, SMPL's files do."""
    rng = np.random.default_rng(0)
    return file._replace(posedirs=rng.normal(0, POSE_DIRECTION_M, (len(file.v_template), 3, 207)))


def smplx_layer(file: BodyFile, batch: int, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Build the layer of smplx from the arrays of a body file."""
    import smplx
    from smplx.utils import Struct

    parents = np.stack([np.where(file.parents < 0, 2**32 - 1, file.parents), np.arange(24)])
    content = Struct(v_template=file.v_template, shapedirs=file.shapedirs, posedirs=file.posedirs,
                     J_regressor=dense(file.J_regressor), weights=file.weights, kintree_table=parents,
                     f=file.faces)  # fmt: skip
    return smplx.SMPL("", data_struct=content, batch_size=batch, num_betas=10, create_transl=False, dtype=dtype)


def of_smplx(layer: torch.nn.Module, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Give vertices and the 24 joints; smplx appends others behind them."""
    theta, betas, translation_m = inputs
    found = layer(betas=betas, body_pose=theta[:, 3:], global_orient=theta[:, :3], transl=translation_m)
    return found.vertices, found.joints[:, :24]


def of_ours(body: Body, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Give vertices and joints."""
    return tuple(body(rotations_from_theta(inputs.theta), inputs.betas, inputs.translation_m))


def furthest_m(file: BodyFile, dtype: torch.dtype) -> float:
    """Find the largest distance between the two layers' vertices and joints."""
    inputs = random_inputs(32, dtype)
    ours, theirs = of_ours(Body(file, dtype), inputs), of_smplx(smplx_layer(file, 32, dtype), inputs)
    return max((a - b).norm(dim=-1).max().item() for a, b in zip(ours, theirs, strict=True))


def best_ms(work: Callable[[], object]) -> float:
    """Time the fastest of several runs, after one that warms up."""
    work()
    return 1000 * min(repeated(lambda: took(work), REPEATS, 0.0).cpu_s)


def timed(run: Callable[[Inputs], tuple[Tensor, Tensor]], batch: int) -> dict[str, float]:
    """Time vertices and joints, and the gradient of all three inputs."""
    inputs = random_inputs(batch)
    with_gradient = Inputs(*(values.clone().requires_grad_() for values in inputs))

    def backward() -> None:
        torch.autograd.grad(sum(part.sum() for part in run(with_gradient)), with_gradient)

    with torch.no_grad():
        forward_ms = best_ms(lambda: run(inputs))
    return {"forward_ms": forward_ms, "forward_backward_ms": best_ms(backward)}


def table(times: dict[str, dict[str, dict[str, float]]], apart_m: dict[str, float], protocol: str) -> str:
    """Write both comparisons as markdown."""
    lines = [f"| ms, forward / forward + backward | {' | '.join(f'batch of {batch}' for batch in BATCHES)} |"]
    lines += ["|---" * (1 + len(BATCHES)) + "|"]
    for name, cells in times.items():
        row = (f"{one['forward_ms']:.3g} / {one['forward_backward_ms']:.3g}" for one in cells.values())
        lines.append(f"| {name} | {' | '.join(row)} |")
    furthest = "; ".join(f"{name} {value:.1e} m" for name, value in apart_m.items())
    return "\n".join([*lines, "", f"Largest distance of a vertex or joint: {furthest}.", "", protocol, ""])


def main() -> None:
    torch.set_num_threads(1)
    plain = read_body_file(Paths().models_smpl_location)
    posed = with_pose_directions(plain)
    apart_m = {
        "embedded body, float32": furthest_m(plain, torch.float32),
        "with random pose directions, float32": furthest_m(posed, torch.float32),
        "with random pose directions, float64": furthest_m(posed, torch.float64),
    }
    body = Body(posed)
    layers = {batch: smplx_layer(posed, batch) for batch in BATCHES}
    times = {
        "models/smpl.py": {str(batch): timed(lambda inputs: of_ours(body, inputs), batch) for batch in BATCHES},
        "smplx": {str(batch): timed(lambda inputs, b=batch: of_smplx(layers[b], inputs), batch) for batch in BATCHES},
    }
    protocol = (
        f"smplx {version('smplx')}; random poses, shapes and places; "
        f"times: {len(plain.v_template):,} vertices with pose directions, 10 betas, one thread, processor time, the "
        f"fastest of {REPEATS}. smplx adds 1e-8 to axis-angles, which is what remains in float64."
    )
    save_result(RESULT, protocol, furthest_m=apart_m, times=times)
    text = table(times, apart_m, protocol)
    with atomic_write(RESULT.with_suffix(".md")) as partial:
        partial.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
