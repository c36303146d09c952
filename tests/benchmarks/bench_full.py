"""What preset `full` asks of a GPU in stage 1: operations counted, tensors kept for the backward pass added up.

    python tests/benchmarks/bench_full.py            counts on the CPU; hours follow from an assumed speed
    python tests/benchmarks/bench_full.py --time     on a machine with a GPU: also times steps and reads the peak memory

Prints and writes tests/benchmarks/results/full_budget.json.
"""

import argparse
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from config import ROOT, EncDecConfig, full
from models.encoder_decoder import EncoderDecoder, build_encoder_decoder
from models.losses import ImageDifference, weighted_sum
from utils.artifacts import save_result
from utils.engine import make_optimizer, mixed_precision

RESULT = ROOT / "tests" / "benchmarks" / "results" / "full_budget.json"
ASSUMED_TFLOPS = 20.0
"""Assumed speed: small convolutions in bfloat16 keep a current data-centre GPU at a few percent of its peak."""


class Step:
    """One training step of stage 1 on random images."""

    def __init__(self, config: EncDecConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.network: EncoderDecoder = build_encoder_decoder(config).to(device, memory_format=torch.channels_last)
        self.compare = ImageDifference(config.loss).to(device)
        self.optimizer = make_optimizer(self.network.parameters(), config.optim)
        count, size = 4 * config.groups, config.crop.size_px
        self.image = torch.rand(count, 3, size, size, device=device)
        self.mask = (torch.rand(count, 1, size, size, device=device) > 0.8).float()
        self.eye = torch.eye(3, device=device).expand(count, 3, 3)
        self.row = torch.arange(count, device=device)

    def total(self) -> torch.Tensor:
        with mixed_precision(self.device, self.config.optim.bf16):
            drawn = self.network(self.image, self.image, self.eye, self.image, self.row).float()
        loss = self.config.loss
        weights = {"pixels": loss.pixels, "features": loss.features, "opacity": loss.opacity}
        return weighted_sum(self.compare(drawn, self.image, self.mask), weights)

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.total().backward()
        self.optimizer.step()


def kept_bytes(step: Step) -> int:
    """Add up the tensors that the backward pass keeps, each once."""
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        total = step.total()
    del total
    return sum(sizes.values())


def counted(step: Step) -> dict[str, float]:
    """Count one step, and say what the whole training comes to at the assumed speed."""
    with FlopCounterMode(display=False) as counter:
        step()
    teraflops = counter.get_total_flops() / 1e12
    parameters = sum(p.numel() for p in step.network.parameters())
    return {
        "images_per_step": len(step.image),
        "parameters_millions": parameters / 1e6,
        "teraflop_per_step": teraflops,
        "kept_for_backward_gb": kept_bytes(step) / 1e9,
        "weights_gradients_adam_gb": 16 * parameters / 1e9,
        "assumed_tflops": ASSUMED_TFLOPS,
        "hours_at_assumed_speed": teraflops * step.config.optim.steps / ASSUMED_TFLOPS / 3600,
    }


def timed(step: Step, steps: int = 50) -> dict[str, float]:
    """Time steps on a GPU, without reading data, and read the peak memory."""
    for _ in range(10):
        step()
    torch.cuda.synchronize()
    started_s = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    step_s = (time.perf_counter() - started_s) / steps
    hours = step_s * step.config.optim.steps / 3600
    return {"step_s": step_s, "hours": hours, "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true", help="time steps; needs a GPU")
    arguments = parser.parse_args()
    config = full().enc_dec
    found: dict[str, Any] = counted(Step(config, torch.device("cpu")))
    if arguments.time:
        found |= timed(Step(config, torch.device("cuda")))
    for name, value in found.items():
        print(f"{name:28s} {value:.4g}")
    protocol = f"stage 1 of preset full, {config.crop.size_px} px, {config.optim.steps} steps; counted on the CPU"
    save_result(RESULT, protocol + ("; timed on the GPU, data in memory" if arguments.time else ""), **found)


if __name__ == "__main__":
    main()
