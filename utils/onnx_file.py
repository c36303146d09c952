"""Networks as .onnx: written, checked against PyTorch in onnxruntime, and timed beside it.

onnx, onnxscript and onnxruntime are imported here only, and only when asked for.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from utils.artifacts import whole_file

OPSET = 20
BATCHES = (1, 2, 5)
"""Sizes of the batches on which the file is compared with PyTorch."""
Run = Callable[[Float[Tensor, "B 3 H W"]], list[Tensor]]


def need_onnx() -> None:
    """Stop if the packages are missing, naming the extra that has them."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the package {error.name} is not installed; install what .onnx needs with: "
                         'pip install -e ".[onnx]"') from error  # fmt: skip


def make_onnx(network: nn.Module, size_px: int, outputs: tuple[str, ...], about: dict[str, str]) -> bytes:
    """Translate a network in evaluation from `image` (B, 3, size, size) to named outputs, for batches of any size."""
    import onnx

    image = torch.zeros(2, 3, size_px, size_px)  # two: a batch of one would be taken for the only size
    program = torch.onnx.export(
        network, (image,), dynamo=True, input_names=["image"], output_names=list(outputs), opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False,
    )  # fmt: skip
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def open_onnx(content: bytes, threads: int) -> Run:
    """Give a function that runs the file in onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> list[Tensor]:
        return [torch.from_numpy(np.asarray(found)) for found in session.run(None, {"image": image.numpy()})]

    return run


def in_torch(network: nn.Module) -> Run:
    """Give a function that runs the network itself, in single precision."""

    @torch.inference_mode()
    def run(image: Tensor) -> list[Tensor]:
        return list(network(image))

    return run


def largest_difference(ours: Run, theirs: Run, size_px: int, outputs: tuple[str, ...]) -> dict[str, float]:
    """Compare two ways to run a network on random images: the largest difference of each output."""
    generator = torch.Generator().manual_seed(0)
    found = dict.fromkeys(outputs, 0.0)
    for count in BATCHES:
        noise = torch.rand(count, 3, size_px, size_px, generator=generator)
        smooth = nn.functional.interpolate(
            torch.rand(count, 3, 4, 4, generator=generator), size=size_px, mode="bicubic"
        )
        for image in (noise, smooth.clamp(0, 1)):
            for name, a, b in zip(outputs, ours(image), theirs(image), strict=True):
                if a.shape != b.shape or not a.isfinite().all():
                    raise ValueError(f"{name} is {tuple(a.shape)} in PyTorch, {tuple(b.shape)} in onnxruntime, or not "
                                     "finite; the checkpoint is broken, or this version of onnx is")  # fmt: skip
                found[name] = max(found[name], float(torch.nan_to_num((a - b).abs(), nan=np.inf).max()))
    return found


def median_ms(run: Run, size_px: int, repeats: int) -> float:
    """Time one image at a time, after a few that do not count."""
    image = torch.rand(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))
    took_s = []
    for number in range(repeats + 5):
        started_s = time.perf_counter()
        run(image)
        took_s += [time.perf_counter() - started_s] if number >= 5 else []
    return 1000 * float(np.median(took_s))


def write_onnx(
    path: Path, network: nn.Module, size_px: int, outputs: tuple[str, ...], about: dict[str, str], tolerance: float
) -> tuple[Run, dict[str, Any]]:
    """Write a file that agrees with the network, or none; gives what runs it, and the largest differences.

    Raises:
        ValueError: onnxruntime finds something else than PyTorch.
    """
    content = make_onnx(network, size_px, outputs, about)
    run = open_onnx(content, torch.get_num_threads())
    differences = largest_difference(in_torch(network), run, size_px, outputs)
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= tolerance:
        raise ValueError(f"{worst} differs by {differences[worst]:.2g} between PyTorch and onnxruntime, more than "
                         f"tolerance {tolerance:.2g}; {path} is not written")  # fmt: skip
    with whole_file(path) as partial:
        partial.write_bytes(content)
    return run, differences
