"""What a number may depend on besides settings and data: versions, hardware, time."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch

VERSION = "0.2.0"
"""Of this program: pyproject.toml reads it here, and CHANGELOG.md says what it brought."""
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless")


def versions() -> dict[str, str]:
    """List the versions of this program, of Python and of the packages that compute."""
    ours = {"pose-from-views": VERSION, "python": platform.python_version()}
    return ours | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def hardware() -> dict[str, str | int]:
    """Describe the machine: processor, cores this process may use, GPU."""
    cpu = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": names[0] if names else platform.machine(), "cores": cores, "gpu": gpu}


def now() -> str:
    """Write date and time, to the second, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
