"""The silhouette on the CPU: the same lines and the same numbers as torch_scan, in compiled loops.

Blocks of views are shared out to threads of our own: numba's parallel loops are unsafe beside forked data loaders.
The first call of a machine compiles for some seconds; the result is kept in a cache.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.silhouette.numba_kernels import LANES, pull_block, scan_block
from models.silhouette.topology import Topology

Result = TypeVar("Result")
ARRAYS = 3
"""Arrays that a block keeps for its gradient."""


def scan(
    vertices_px: Float[Tensor, "B V 3"], topology: Topology, height: int, width: int, samples: int
) -> tuple[Float[Tensor, "B H W"], tuple[Tensor, ...]]:
    """Measure the covered share of every pixel along rows and along columns, and average the two.

    Returns:
        The coverage, and what `pull` needs: ARRAYS tensors for each block of views.
    """
    vertices = vertices_px.detach().numpy()
    coverage = np.empty((len(vertices), height, width), dtype=np.float32)
    faces, edges = topology.faces.view(np.uint32), topology.edges.view(np.uint32)

    def work(views: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return scan_block(vertices[views], faces, edges, topology.turns, samples, coverage[views])

    threads = torch.get_num_threads()
    num_blocks = -(-max(-(-len(vertices) // LANES), 1) // threads) * threads
    found = _do_all(work, _blocks(len(vertices), min(num_blocks, len(vertices))))
    return torch.from_numpy(coverage), tuple(torch.from_numpy(array) for block in found for array in block)


def pull(gradient: Float[Tensor, "B H W"], saved: tuple[Tensor, ...], num_vertices: int) -> Float[Tensor, "B V 3"]:
    """Turn the gradient of the coverage into that of the vertices, as torch_scan.pull does."""
    pulled = np.empty((len(gradient), num_vertices, 3), dtype=np.float32)
    image, arrays = gradient.contiguous().numpy(), [tensor.numpy() for tensor in saved]
    blocks = _blocks(len(gradient), len(arrays) // ARRAYS)

    def work(views: slice) -> None:
        whole, real, view_ends = arrays[ARRAYS * (i := blocks.index(views)) : ARRAYS * i + ARRAYS]
        pull_block(image[views], whole, real, view_ends, pulled[views])

    _do_all(work, blocks)
    return torch.from_numpy(pulled)


def _blocks(views: int, count: int) -> list[slice]:
    """Share views out evenly."""
    bounds = [views * i // max(count, 1) for i in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def _do_all(work: Callable[[slice], Result], blocks: list[slice]) -> list[Result]:
    """Do the blocks on as many threads as PyTorch uses."""
    threads = torch.get_num_threads()
    if threads == 1 or len(blocks) < 2:
        return [work(block) for block in blocks]
    return list(_pool(os.getpid(), threads).map(work, blocks))


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Keep the threads; a forked process does not inherit them, so it asks with another number."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"silhouette-{process}")
