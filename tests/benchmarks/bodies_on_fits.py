"""How well fitted bodies stand in for the truth: a network's vertex errors against both, on the same frames.

    python sample/fit_SMPL.py --joints labels --start joints --root pelvis --stand-in --subjects 9 11
    python sample/test_SMPL.py --checkpoint runs/mesh/demo/checkpoint_best.pt --every 4 --out runs/mesh/on_truth
    python sample/test_SMPL.py --checkpoint runs/mesh/demo/checkpoint_best.pt --every 4 --out runs/mesh/on_fits
        --paths.truth-location runs/fit/demo/truth
    python tests/benchmarks/bodies_on_fits.py --truth runs/mesh/on_truth --fits runs/mesh/on_fits

Prints the errors and writes tests/benchmarks/results/bodies_on_fits.{json,md}.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import ROOT
from utils.artifacts import load_metrics, load_predictions
from utils.bootstrap import difference_interval
from utils.report.summaries import save_rows, summarise
from utils.settings import start
from utils.tiers import NOT_RECORDED

MEASURES = ("vertex_mm", "pa_vertex_mm")
COMMAND = "python sample/test_SMPL.py"


@dataclass(frozen=True)
class Settings:
    """Two tests of one network."""

    truth: Path
    """Folder of the test against the embedded data's truth."""
    fits: Path
    """Folder of the test against fitted bodies."""
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "bodies_on_fits.json"


def main(settings: Settings) -> None:
    """Compare both on the frames that have a fit."""
    (_, on_truth), (provenance, on_fits) = (
        load_predictions(folder / "predictions.npz", COMMAND) for folder in (settings.truth, settings.fits)
    )
    if not np.array_equal(on_truth["frames"], on_fits["frames"]):
        raise ValueError(f"{settings.truth} and {settings.fits} were tested on different frames; give both the same "
                         "--subjects and --every")  # fmt: skip
    fitted = np.isfinite(on_fits["vertex_mm"])
    frames = on_truth["frames"][fitted]
    all_of_them = np.ones(len(frames), bool)
    rows = {
        name: summarise({key: stored[key][fitted] for key in MEASURES}, frames, all_of_them)
        for name, stored in (("against the truth", on_truth), ("against fits", on_fits))
    }
    gains = {}
    for key in MEASURES:
        of_fits, of_truth = (found[key][None, fitted].astype(float) for found in (on_fits, on_truth))
        gains[key] = difference_interval(of_fits, of_truth, frames)
    counts = {"num_frames": len(frames), "num_sequences": rows["against fits"]["num_sequences"]}
    rows["fits minus truth, paired"] = counts | {key: gain._asdict() for key, gain in gains.items()}
    protocol = (
        f"one network's vertex errors against true and against fitted bodies; {provenance['split']}, fitted ones only"
    )
    tier = load_metrics(settings.truth / "metrics.json", COMMAND).get("tier", NOT_RECORDED)
    save_rows(settings.result, protocol, rows, dict.fromkeys(rows, tier))
    print(settings.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    start(main, Settings)
