"""How fast the embedded data is drawn and written, on one core, by image size.

    python tests/benchmarks/bench_synthetic.py

Prints images per second and writes tests/benchmarks/results/synthetic.json.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from config import ROOT, Paths
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import SyntheticConfig
from dataset_def.synthetic.scene.render import render_person
from dataset_def.synthetic.sequence_files import SyntheticSequence
from tests.benchmarks.timing import took
from utils.artifacts import save_result

RESULT = ROOT / "tests" / "benchmarks" / "results" / "synthetic.json"
SEQUENCES = [SyntheticSequence(1, action, 1) for action in (3, 9, 14)]


def measure(size_px: int, folder: Path) -> dict[str, float]:
    """Time drawing alone, and everything from motion to written files, after one sequence to warm up."""
    place = folder / str(size_px)
    paths = replace(
        Paths(), h36m_location=place / "frames", masks_location=place / "masks", truth_location=place / "truth"
    )
    for location in (paths.h36m_location, paths.masks_location, paths.truth_location):
        location.mkdir(parents=True)
    config = SyntheticConfig(paths=paths, size_px=size_px, frames=10, processes=1)
    make_h36m.make_sequence(config, SyntheticSequence(1, 2, 1))  # compiles, and draws the room once
    images = 4 * config.frames * len(SEQUENCES)
    everything_s = took(lambda: [make_h36m.make_sequence(config, sequence) for sequence in SEQUENCES]).wall_s
    performance, outfit = make_h36m.perform_sequence(config, SEQUENCES[0])
    room, backgrounds = make_h36m.the_room(1, config.views)
    camera = config.views.cameras(1)[0]
    faces = make_h36m.the_body(paths.models_smpl_location).faces.numpy()
    rng = np.random.default_rng(0)
    drawing_s = took(
        lambda: [
            render_person(backgrounds[0], room, camera, v, faces, outfit, rng) for v in performance.vertices_world_m
        ]
    ).wall_s
    return {
        "size_px": size_px,
        "drawn_images_per_s": round(config.frames / drawing_s, 1),
        "written_images_per_s": round(images / everything_s, 1),
    }


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(size_px, Path(folder)) for size_px in (64, 128, 256)]
    for row in rows:
        print(row)
    save_result(RESULT, "one process, one thread; 3 sequences x 10 frames x 4 cameras, rooms drawn before", rows=rows)


if __name__ == "__main__":
    main()
