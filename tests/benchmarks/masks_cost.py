"""What bodies from masks cost: the whole way once, phase by phase, and how a fit grows with frames, cameras, vertices.

    python tests/benchmarks/masks_cost.py

The way: a bank of poses from nothing, the teacher at its defaults, fits of every third instant of the embedded data's
training people.  Run it alone on the machine; the growth is measured on one thread, in one run.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from config import ROOT, Damage, MasksConfig, Paths, PoseSources, PoseVariation
from dataset_def.smpl_params_data import open_bank
from models.body_surface import coarse_body
from models.drawn_masks import Drawing, DrawnBodies, draw
from models.masks_fit import MasksFit, MasksFitLoss, MasksFitSteps, no_joints
from models.open_body.decimate import decimate
from models.smpl import Body, load_body
from models.SMPL_from_masks import BodyDrawer, BodyFromMasks
from sample import fit_SMPL, train_SMPL_from_masks
from sample.fit_SMPL import FitConfig
from tests.benchmarks.timing import repeated, took
from utils.artifacts import atomic_write, save_result
from utils.settings import start
from utils.views import MeshViews

RESULT = ROOT / "tests" / "benchmarks" / "results" / "masks_cost.json"
FRAMES, VIEWS, VERTICES = (10, 40, 80), (2, 4, 8), (700, 1400, 2800)
PLAIN_FRAMES, PLAIN_VIEWS, PLAIN_VERTICES = 40, 4, 1400
REPEATS = 2


@dataclass(frozen=True)
class Settings:
    """What is measured, and where the result goes."""

    paths: Paths = field(default_factory=Paths)
    whole: bool = True
    """Train and fit; some minutes."""
    folder: Path | None = None
    """An empty folder that keeps what the whole way makes; a temporary one if not given."""
    result: Path = RESULT


def whole_way(settings: Settings) -> dict[str, Any]:
    """Go the whole way in an empty folder, and give the seconds of its phases."""
    with ExitStack() as stack:
        folder = settings.folder or stack.enter_context(tempfile.TemporaryDirectory())
        paths = replace(settings.paths, runs_location=Path(folder))
        bank = PoseSources(cache_location=Path(folder) / "poses")
        train = MasksConfig(name="cost", paths=paths, bank=bank)
        fit = FitConfig(name="cost", paths=paths, teacher=Path(folder) / "masks" / "cost" / "checkpoint_best.pt",
                             subjects=train.subjects.train)  # fmt: skip
        location = paths.models_smpl_location
        phases = {
            "bank_s": took(lambda: [open_bank(bank, location, part) for part in ("train", "held_out")]).wall_s,
            "training_s": took(lambda: train_SMPL_from_masks.main(train)).wall_s,
            "fits_s": took(lambda: fit_SMPL.main(fit)).wall_s,
        }
        with np.load(Path(folder) / "fit" / "cost" / "pseudo_labels.npz") as labels:
            count = len(labels["_frames"])
        return {**phases, "steps": train.optim.steps, "fitted_frames": count,
                "fit_s_per_frame": phases["fits_s"] / count, "minutes": sum(phases.values()) / 60}  # fmt: skip


def with_vertices(body: Body, count: int) -> Body:
    """Give the body a surface of about so many vertices."""
    points_m = body.template_m.double().numpy()
    return coarse_body(
        body, torch.from_numpy(decimate(points_m, body.faces.numpy(), np.zeros(len(points_m), bool), count))
    )


def seen_by(drawn: DrawnBodies, frames: int, views: int) -> MeshViews:
    """Take some frames, and the first cameras of each."""
    rows = (drawn.views.exists[:, :views].all(dim=1)).nonzero().flatten()
    rows = rows.repeat(-(-frames // len(rows)))[:frames]
    return MeshViews(*(value[rows, :views] for value in drawn.views))


def growth(settings: Settings) -> list[dict[str, float]]:
    """Time teacher and fit for one factor at a time."""
    body = load_body(settings.paths.models_smpl_location, h36m_regressor=settings.paths.h36m_regressor_location)
    bodies = {count: with_vertices(body, count) for count in VERTICES}
    config = MasksConfig()
    bank = torch.eye(3).expand(4, len(body.parents), 3, 3).clone()
    drawing = Drawing(bodies[PLAIN_VERTICES], bank, torch.full((4, 10), torch.nan), None, PoseVariation(),
                      Damage(share=0, missing=0), config.network.size_px, config.side_m, "pelvis", 0.0)  # fmt: skip
    drawn = draw(drawing, 200, torch.Generator().manual_seed(0))
    network = BodyFromMasks(body.parents, 10, config.network, {}).eval()
    cases = [(n, PLAIN_VIEWS, PLAIN_VERTICES) for n in FRAMES]
    cases += [(PLAIN_FRAMES, n, PLAIN_VERTICES) for n in VIEWS] + [(PLAIN_FRAMES, PLAIN_VIEWS, n) for n in VERTICES]
    rows = []
    for frames, views, vertices in dict.fromkeys(cases):
        seen, one = seen_by(drawn, frames, views), bodies[vertices]
        fit, drawer = MasksFit(one, MasksFitLoss(), MasksFitSteps(), False), BodyDrawer(one)

        def read(seen: MeshViews = seen, drawer: BodyDrawer = drawer) -> object:
            return network.estimate(seen, drawer)[0]

        guess = network.estimate(seen, drawer)[0]
        person, observations = fit.usual_person(guess.betas[0]), no_joints(seen)

        def fitted(fit: MasksFit = fit, guess: Any = guess, person: Any = person, seen: Any = observations) -> object:
            return fit.fit(guess, seen, person)

        read_s, fit_s = (min(repeated(lambda work=work: took(work), REPEATS, 0.0).wall_s) for work in (read, fitted))
        sizes = {"frames": frames, "views": views, "vertices": len(one.template_m)}
        spent = {"teacher_ms_per_frame": 1000 * read_s / frames, "fit_ms_per_frame": 1000 * fit_s / frames}
        rows.append(sizes | spent)
    return rows


def slope(rows: list[dict[str, float]], name: str) -> float:
    """Fit the power with which the time of a whole fit grows with one factor."""
    plain = {key: rows[FRAMES.index(PLAIN_FRAMES)][key] for key in ("frames", "views", "vertices")}
    chosen = [row for row in rows if all(row[key] == value for key, value in plain.items() if key != name)]
    x = np.log([row[name] for row in chosen])
    y = np.log([row["fit_ms_per_frame"] * row["frames"] for row in chosen])
    return float(np.polyfit(x, y, 1)[0])


def markdown(content: dict[str, Any]) -> str:
    """Write the result for readers."""
    lines = []
    if whole := content.get("whole"):
        lines += [f"The whole way: {whole['minutes']:.1f} minutes on 2 cores: bank {whole['bank_s']:.0f} s, "
                  f"{whole['steps']} steps {whole['training_s']:.0f} s, {whole['fitted_frames']} fits "
                  f"{whole['fits_s']:.0f} s ({whole['fit_s_per_frame']:.2f} s each).", ""]  # fmt: skip
    lines += ["| frames | cameras | vertices | teacher, ms per frame | fit, ms per frame |", "|---|---|---|---|---|"]
    lines += [f"| {row['frames']} | {row['views']} | {row['vertices']} | {row['teacher_ms_per_frame']:.1f} | "
              f"{row['fit_ms_per_frame']:.0f} |" for row in content["growth"]]  # fmt: skip
    powers = ", ".join(f"{name} {power:.2f}" for name, power in content["powers"].items())
    return "\n".join([*lines, "", f"Power with which the time of a fit grows: {powers}."]) + "\n"


def main(settings: Settings) -> None:
    """Measure and write."""
    content: dict[str, Any] = {"whole": whole_way(settings)} if settings.whole else {}
    torch.set_num_threads(1)
    rows = growth(settings)
    content |= {"growth": rows, "powers": {name: slope(rows, name) for name in ("frames", "views", "vertices")}}
    protocol = "the whole way with all cores, from an empty folder; growth on one thread, the better of two"
    save_result(settings.result, protocol, **content)
    with atomic_write(settings.result.with_suffix(".md")) as partial:
        partial.write_text(markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    start(main, Settings)
