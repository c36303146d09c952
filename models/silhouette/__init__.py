"""A differentiable silhouette: which share of every pixel a triangle mesh covers, and how vertices change that."""

import math
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.silhouette import numba_scan, torch_scan
from models.silhouette.near_plane import NEAREST, cut_mesh, views_behind
from models.silhouette.topology import Topology
from utils.optional import is_installed

__all__ = ["Backend", "Topology", "silhouette"]

Backend = Literal["auto", "torch", "numba", "triton"]


def silhouette(
    vertices_px: Float[Tensor, "B V 3"],
    topology: Topology,
    height: int,
    width: int,
    samples: int = 2,
    backend: Backend = "auto",
    nearest: float = NEAREST,
) -> Float[Tensor, "B H W"]:
    """Draw the coverage of meshes, between 0 and 1, with gradients to x and y of the vertices.

    The gradient is that of the covered area: zero for the depth, outside the image, and between meshes and masks that
    do not touch.  It is another quadrature than the forward pass, so gradcheck does not hold.  float32 only: other
    types are cast, under autocast too.

    What lies behind the near plane is not drawn: faces that cross it are cut, each such view by itself (about 20 ms for
    14,000 faces), and depths then have a gradient.  Depths that are all zero stand for a view without perspective,
    which has no near plane.

    Args:
        vertices_px: x, y, depth; the centre of the top-left pixel is at (0.5, 0.5).
        topology: built once per mesh from its faces, `Topology(body.faces)`.
        samples: scan lines per pixel in each direction; 2 to train, 4 to fit.
        backend: "auto" takes numba on the CPU and Triton on CUDA where they are installed, else PyTorch.
        nearest: depth of the near plane, above zero, in the unit of the vertices' depth.
    Raises:
        ValueError: vertices are NaN or infinite, or fewer than the topology names.
    Source: own derivation; test_silhouette.py.
    """
    _check(vertices_px, topology, height, width, samples, nearest)
    chosen = _choose(backend, vertices_px.device)
    vertices_px = vertices_px.float().contiguous()
    if _is_before(vertices_px, nearest):
        return _Silhouette.apply(vertices_px, topology, height, width, samples, chosen)
    return _cut_and_drawn(vertices_px, topology, (height, width, samples, chosen), nearest)


def _cut_and_drawn(
    vertices_px: Float[Tensor, "B V 3"], topology: Topology, how: tuple[int, int, int, str], nearest: float
) -> Float[Tensor, "B H W"]:
    """Draw views that are wholly before the near plane together, and each of the others with faces of its own."""
    behind = views_behind(vertices_px, nearest)
    whole = np.setdiff1d(np.arange(len(vertices_px)), behind)
    drawn = [_Silhouette.apply(vertices_px[whole].contiguous(), topology, *how)]
    for view in behind.tolist():
        points_px, faces = cut_mesh(vertices_px[view], topology.faces, nearest)
        drawn.append(_Silhouette.apply(points_px[None], Topology(faces), *how))
    return torch.cat(drawn)[np.argsort(np.concatenate([whole, behind]))]


def _check(vertices_px: Tensor, topology: Topology, height: int, width: int, samples: int, nearest: float) -> None:
    if vertices_px.ndim != 3 or vertices_px.shape[2] != 3 or not vertices_px.is_floating_point():
        raise ValueError(
            f"vertices must be real numbers of shape (B, V, 3), not {vertices_px.dtype} of shape "
            f"{tuple(vertices_px.shape)}"
        )
    if vertices_px.shape[1] < topology.num_vertices:
        raise ValueError(
            f"the faces name vertex {topology.num_vertices - 1}, but the mesh has {vertices_px.shape[1]} vertices; "
            "build the Topology from the faces of this mesh"
        )
    if min(height, width, samples) < 1:
        raise ValueError(f"height {height}, width {width} and samples {samples} must be 1 or more")
    if not 0 < nearest < math.inf:
        raise ValueError(f"nearest is {nearest}; give the depth of the near plane, above 0")


def _is_before(vertices_px: Tensor, nearest: float) -> bool:
    """Tell whether all vertices are before the near plane, and refuse what is not finite.

    One sum tells the latter, as it is finite only if all are; other ways cost half a forward pass.  On the CPU it is
    NumPy's: PyTorch would wake threads that then spin on the cores which the forward pass needs.  A GPU is waited for
    once.
    """
    vertices = vertices_px.detach()
    if not vertices.numel():
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        if vertices.device.type == "cpu":
            numbers = vertices.numpy()
            total, least = float(numbers.sum()), float(numbers.min())
            if least < nearest:  # mostly an x or y beyond the picture; over all numbers the least is found sooner
                least = float(numbers[..., 2].min())
        else:
            total, least = torch.stack([vertices.sum(), vertices[..., 2].amin()]).tolist()
    if not math.isfinite(total):
        broken = int((~torch.isfinite(vertices)).any(dim=2).sum())
        if broken:
            sentence = "vertices are NaN or infinite; check the pose, and points on the camera's plane"
            raise ValueError(f"{broken} {sentence}")
    return least >= nearest


def _choose(backend: str, device: torch.device) -> str:
    """Resolve "auto", and refuse a backend on a device it cannot use."""
    if backend == "auto":
        fastest = {"cpu": "numba", "cuda": "triton"}.get(device.type, "torch")
        return fastest if is_installed(fastest) else "torch"
    if backend not in ("torch", "numba", "triton"):
        raise ValueError(f"silhouette backend {backend!r} is unknown; there are auto, torch, numba and triton")
    if backend == "numba" and device.type != "cpu":
        raise ValueError(f"silhouette backend numba works on the CPU, not on {device}; use auto, triton or torch")
    return "torch" if backend == "triton" and not is_installed("triton") else backend


class _Silhouette(torch.autograd.Function):
    """Forward: rasterise scan lines; backward: the gradient at the visible crossings that were found."""

    @staticmethod
    def forward(
        ctx: Any, vertices_px: Tensor, topology: Topology, height: int, width: int, samples: int, backend: str
    ) -> Tensor:
        saved: tuple[Tensor, ...]
        if backend == "triton":
            from models.silhouette import triton_scan

            coverage, saved = triton_scan.scan(vertices_px, topology, height, width, samples)
        elif backend == "numba":
            coverage, saved = numba_scan.scan(vertices_px, topology, height, width, samples)
        else:
            coverage, saved = torch_scan.scan(vertices_px, topology, height, width, samples)
        ctx.save_for_backward(*saved)
        ctx.backend, ctx.shape, ctx.samples = backend, vertices_px.shape, samples
        return coverage

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.backend == "triton":
            from models.silhouette import triton_scan

            pulled = triton_scan.pull(gradient, triton_scan.Slots(*ctx.saved_tensors), ctx.samples)
        elif ctx.backend == "numba":
            pulled = numba_scan.pull(gradient, ctx.saved_tensors, ctx.shape[1])
        else:
            pulled = torch_scan.pull(gradient, torch_scan.Crossings(*ctx.saved_tensors), ctx.shape)
        return pulled, None, None, None, None, None
