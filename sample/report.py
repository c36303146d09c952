"""Write one page that shows a run, or several side by side.  It is one file, and needs no network.

    python sample/report.py runs/pose/demo
    python sample/report.py runs/pose/demo runs/pose/other --out comparison.html

Reads   config.json, history.jsonl (train scripts), metrics*.json, predictions*.npz (test scripts), pictures of the run
Writes  RUN/report.html, with several runs FIRST_RUN/comparison.html, or --out
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro

from config import Paths, ranged, setting
from models.smpl import Body, load_body
from utils.artifacts import atomic_write, commit
from utils.machine import now
from utils.report import solids
from utils.report.files import RunFiles, read_run
from utils.report.page import write_page
from utils.settings import start


@dataclass(frozen=True)
@ranged()
class ReportConfig:
    """sample/report.py: one page that shows a run, or several side by side; runs no network."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, runs/<stage>/<name>; with several, the others are compared with the first."""
    out: Path | None = None
    """The page; without it report.html in the run's folder, with several runs comparison.html in the first's."""
    body: Path | None = None
    """The body file that predicted meshes are drawn with; without it, the one that the run names."""
    paths: Paths = field(default_factory=Paths)
    examples: int = setting(6, low=1, high=50)
    """Frames in each of the rows: spread over the test, best, worst."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("no run is named; give one or several folders, such as runs/pose/demo")


MESH_ARRAYS = ("rotations_crop", "betas")
"""What a test script stores of predicted bodies."""


@torch.no_grad()
def posed_about_pelvis(body: Body, rotations_crop: np.ndarray, betas: np.ndarray) -> solids.SolidFrames:
    """Pose bodies about their Human3.6M pelvis, or about the root joint of a body file without these joints."""
    rotations, shapes = torch.from_numpy(rotations_crop).float(), torch.from_numpy(betas).float()
    out = body(rotations, shapes, torch.zeros(len(rotations), 3))
    pelvis_m = body.h36m_joints_m(out.vertices_m)[:, :1] if body.has_h36m_joints else out.joints_m[:, :1]
    return solids.SolidFrames((out.vertices_m - pelvis_m).numpy(), body.faces.numpy())


def main(config: ReportConfig) -> Path:
    """Gather, write, and say where."""

    def bodies(run: RunFiles, arrays: Mapping[str, np.ndarray], rows: list[int]) -> solids.SolidFrames | None:
        if not all(name in arrays for name in MESH_ARRAYS):
            return None
        settings = run.metadata.get("settings", {}).get("paths", {})
        body = load_body(config.body or settings.get("models_smpl_location", config.paths.models_smpl_location),
                         h36m_regressor=settings.get("h36m_regressor_location"))  # fmt: skip
        return posed_about_pelvis(body, *(arrays[name][rows] for name in MESH_ARRAYS))

    runs = [read_run(folder) for folder in config.runs]
    made = f"Made on {now()} by sample/report.py, commit {commit()}."
    page = write_page(runs, bodies, config.examples, made)
    path = config.out or runs[0].folder / ("report.html" if len(runs) == 1 else "comparison.html")
    with atomic_write(path) as partial:
        partial.write_text(page)
    print(path)
    return path


if __name__ == "__main__":
    start(main, ReportConfig)
