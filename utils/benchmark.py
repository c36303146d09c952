"""Results of benchmarks and experiments as json: the numbers with hardware, versions, protocol and commit."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from utils.artifacts import commit, whole_file
from utils.engine import versions


def hardware() -> dict[str, str | int]:
    """Describe the machine: processor, cores this process may use, GPU."""
    about = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in about.read_text().splitlines() if line.startswith("model name")] \
        if about.exists() else []  # fmt: skip
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": names[0] if names else platform.machine(), "cores": cores, "gpu": gpu}


def save_result(path: Path, protocol: str, **content: Any) -> None:
    """Write one result file; units belong in the keys."""
    about = {"protocol": protocol, "hardware": hardware(), "versions": versions(), "commit": commit()}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(about | content, indent=1, allow_nan=False) + "\n")
