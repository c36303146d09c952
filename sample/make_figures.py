"""Draw the pictures of tested runs.  Runs no network: it reads what the test scripts stored.

    python sample/make_figures.py --enc-dec runs/enc_dec/demo --pose runs/pose/demo --mesh runs/mesh/demo

Reads   predictions.npz, metrics.json (sample/test_*.py), history.jsonl (train scripts)
Writes  images/<prefix>{novel_views, turntable, swapped_appearance, enc_dec_loss, skeletons, per_action, pose_loss,
        bodies, silhouettes, facing, mesh_loss}.png
"""

from pathlib import Path

from matplotlib.figure import Figure

from config import FiguresConfig, start
from utils.artifacts import whole_file
from utils.image import read_image, write_image
from utils.run_figures import enc_dec_figures, history_figure, mesh_figures, pose_figures


def save(figures: dict[str, Figure], config: FiguresConfig) -> list[Path]:
    """Write figures as .png and say where."""
    paths = []
    for name, figure in figures.items():
        path = config.folder / f"{config.prefix}{name}.png"
        with whole_file(path) as partial:
            figure.savefig(partial, format="png")
        print(path)
        paths.append(path)
    return paths


def main(config: FiguresConfig) -> list[Path]:
    """Draw and write every figure of the given runs."""
    figures: dict[str, Figure] = {}
    if config.enc_dec is not None:
        figures |= enc_dec_figures(config.enc_dec, config.data) | history_figure(config.enc_dec, config.data)
    for picture in config.pictures:
        path = config.folder / f"{config.prefix}{picture.stem}.jpg"
        write_image(path, read_image(picture), quality=88)
        print(path)
    if config.pose is not None:
        figures |= pose_figures(config.pose, config.data) | history_figure(config.pose, config.data)
    if config.mesh is not None:
        figures |= mesh_figures(config.mesh, config.mesh_other, config.data) | history_figure(config.mesh, config.data)
    return save(figures, config)


if __name__ == "__main__":
    start(main, FiguresConfig)
