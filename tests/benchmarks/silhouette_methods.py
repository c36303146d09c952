"""What the silhouette benchmark compares: our backends, SoftRas' formula, and pytorch3d where it is installed."""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.silhouette import Backend, Topology, silhouette
from tests.benchmarks.kato import kato
from tests.benchmarks.softras import SIGMA_PX2, softras

FACES_PER_PIXEL = 50
OURS, TORCH, SOFTRAS = "ours, numba", "ours, PyTorch", "SoftRas, culled by boxes"
KATO = "Kato et al., the gradient of the Neural 3D Mesh Renderer, plain loops"


class Method(NamedTuple):
    """A way to draw silhouettes."""

    draw: Callable[[Float[Tensor, "B V 3"], int], Float[Tensor, "B H W"]]
    """From vertices in pixels and the side of the image."""
    device: str = "cpu"
    most_masks: int = 1 << 30
    """More take too long."""


def methods_for(faces: Int[Tensor, "F 3"]) -> dict[str, Method]:
    """List what can run here for one mesh; on CUDA too, where there is a GPU."""
    topology = Topology(faces)

    def ours(backend: Backend, samples: int = 2) -> Callable[[Tensor, int], Tensor]:
        return lambda vertices, size: silhouette(vertices, topology, size, size, samples, backend)

    methods = {
        OURS: Method(ours("numba")),
        f"{OURS}, 4 lines per pixel": Method(ours("numba", 4)),
        TORCH: Method(ours("torch")),
        SOFTRAS: Method(lambda vertices, size: softras(vertices, faces, size, size)),
        f"{SOFTRAS}, covered pixels skipped": Method(lambda vertices, size: softras(vertices, faces, size, size, True)),
        KATO: Method(lambda vertices, size: kato(vertices, faces, size, size), most_masks=32),
    }
    if torch.cuda.is_available():
        methods["ours, PyTorch on CUDA"] = Method(ours("torch"), "cuda")
        if importlib.util.find_spec("triton"):
            methods["ours, Triton on CUDA"] = Method(ours("triton"), "cuda")
    if importlib.util.find_spec("pytorch3d"):
        methods["pytorch3d"] = Method(_pytorch3d(faces), most_masks=4)
        if torch.cuda.is_available():
            methods["pytorch3d on CUDA"] = Method(_pytorch3d(faces.cuda()), "cuda")
    return methods


def _pytorch3d(faces: Int[Tensor, "F 3"]) -> Callable[[Tensor, int], Tensor]:
    """Draw with pytorch3d's rasteriser and SoftRas' blending, with the same softness and reach."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    def draw(vertices_px: Tensor, size: int) -> Tensor:
        sigma = SIGMA_PX2 * (2 / size) ** 2  # its images are 2 wide, x to the left and y up
        x, y, depth = vertices_px.unbind(-1)
        points = torch.stack([1 - 2 * x / size, 1 - 2 * y / size, depth / size], -1)
        meshes = Meshes(points, faces.expand(len(points), -1, -1))
        blur = float(torch.log(torch.tensor(1 / 1e-4 - 1)) * sigma)
        face, _, _, distance = rasterize_meshes(meshes, size, blur, FACES_PER_PIXEL)
        share = torch.where(face >= 0, torch.sigmoid(-distance / sigma), 0.0)
        return 1 - (1 - share).prod(-1)

    return draw
