"""Draw the pictures of tested runs.  Runs no network: it reads what the test scripts stored.

    python sample/make_figures.py --enc-dec runs/enc_dec/demo --pose runs/pose/demo --mesh runs/mesh/demo
    python sample/make_figures.py --diagrams --benchmarks

Reads   predictions.npz, metrics.json (sample/test_*.py), history.jsonl (train scripts)
Writes  runs/figures/<prefix>{novel_views, turntable, swapped_appearance, enc_dec_loss, skeletons, per_action,
        pose_loss, prior_bodies, prior_auc, gan_loss, bodies, silhouettes, facing, mesh_loss, overview}.png,
        {stages, data_layout, silhouette_benchmark}.png; --folder chooses another folder
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from config import ROOT, Crop, FiguresConfig, Paths
from models.diagram_body import diagram_person
from models.smpl import load_body
from sample.report import posed
from utils.artifacts import load_predictions, whole_file
from utils.figures.benchmarks import silhouette_figure
from utils.figures.diagrams import layout_figure, stages_figure
from utils.figures.overview import Overview, overview_figure, rows_of
from utils.figures.runs import enc_dec_figures, gan_figures, history_figure, mesh_figures, pose_figures
from utils.image import read_image, write_image
from utils.settings import start


def overview(enc_dec: Path, pose: Path, mesh: Path, numbers: tuple[int, ...], data: str) -> Figure:
    """Draw what all stages make of the same images.

    Raises:
        ValueError: stage 1 has no such example, or a later stage was not tested on it.
    """
    origin, views = load_predictions(enc_dec / "predictions.npz", "python sample/test_enc_dec.py")
    if "example_frames" not in views or max(numbers) > len(views["example_frames"]):
        raise ValueError(f"{enc_dec} has no example {max(numbers)}; run sample/test_enc_dec.py again, or choose others")
    chosen = np.array(numbers) - 1
    later, rows = [], []
    for run, command in ((pose, "python sample/test_pose.py"), (mesh, "python sample/test_SMPL.py")):
        later.append(load_predictions(run / "predictions.npz", command)[1])
        rows.append(rows_of(later[-1]["frames"], views["example_frames"][chosen]))
        if -1 in rows[-1]:
            number = numbers[rows[-1].index(-1)]
            raise ValueError(f"{run} was not tested on example {number} of stage 1; give --every 1 to its test, or "
                             "other numbers to --overview")  # fmt: skip
    bodies = posed(load_body(Paths().models_smpl_location), later[1]["rotations_crop"][rows[1]],
                   later[1]["betas"][rows[1]])  # fmt: skip
    found = Overview(views["turntable_input"][chosen], views["turntable"][chosen],
                     later[0]["predicted_root_m"][rows[0]], bodies.vertices_root_m, bodies.faces)  # fmt: skip
    subjects = origin["split"].split(";")[0]
    about = f"Examples {', '.join(map(str, numbers))} of {len(views['example_frames'])} test images; {data}; {subjects}"
    return overview_figure(found, Crop().side_m, about)


def save(figures: dict[str, Figure], folder: Path, prefix: str, widest_px: int = 0) -> list[Path]:
    """Write figures as .png of 256 colours, rare ones (clothes) among them; a quarter of the space.  Say where."""
    paths = []
    for name, figure in figures.items():
        path, drawn = folder / f"{prefix}{name}.png", BytesIO()
        figure.savefig(drawn, format="png")
        with whole_file(path) as partial, Image.open(drawn) as opened:
            picture = opened.convert("RGB")
            if widest_px and picture.width > widest_px:
                picture = picture.resize((widest_px, round(picture.height * widest_px / picture.width)), Image.LANCZOS)
            few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=5, dither=Image.Dither.NONE)
            few.save(partial, format="png", optimize=True)
        print(path)
        paths.append(path)
    return paths


def main(config: FiguresConfig) -> list[Path]:
    """Draw and write every figure of the given runs."""
    figures: dict[str, Figure] = {}
    folder = config.folder or config.paths.runs_location / "figures"
    if config.enc_dec is not None:
        figures |= enc_dec_figures(config.enc_dec, config.data) | history_figure(config.enc_dec, config.data)
    for picture in config.pictures:
        path = folder / f"{config.prefix}{picture.stem}.jpg"
        write_image(path, read_image(picture), quality=88)
        print(path)
    if config.pose is not None:
        figures |= pose_figures(config.pose, config.data) | history_figure(config.pose, config.data)
    if config.gan is not None:
        figures |= gan_figures(config.gan, config.data) | history_figure(config.gan, config.data)
    if config.mesh is not None:
        figures |= mesh_figures(config.mesh, config.mesh_other, config.data) | history_figure(config.mesh, config.data)
    if config.overview and config.enc_dec and config.pose and config.mesh:
        figures["overview"] = overview(config.enc_dec, config.pose, config.mesh, config.overview, config.data)
    diagrams: dict[str, Figure] = {}
    if config.diagrams:
        diagrams = {
            "stages": stages_figure(diagram_person(Paths().models_smpl_location)),
            "data_layout": layout_figure(),
        }
    if config.benchmarks:
        diagrams["silhouette_benchmark"] = silhouette_figure(ROOT / "tests/benchmarks/results/silhouette.json")
    return save(figures, folder, config.prefix, config.widest_px) + save(diagrams, folder, "")


if __name__ == "__main__":
    start(main, FiguresConfig)
