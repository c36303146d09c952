"""Draw the pictures of tested runs.  Runs no network: it reads what the test scripts stored.

    python sample/make_figures.py --enc-dec runs/enc_dec/demo --pose runs/pose/demo --mesh runs/mesh/demo
    python sample/make_figures.py --diagrams --benchmarks

Reads   predictions.npz, metrics.json (sample/test_*.py), history.jsonl (train scripts)
Writes  runs/figures/<prefix>{novel_views, turntable, swapped_appearance, enc_dec_loss, skeletons, per_action,
        pose_loss, prior_bodies, prior_auc, gan_loss, bodies, silhouettes, facing, mesh_loss, overview}.png,
        {stages, data_layout, silhouette_benchmark}.png; --folder chooses another folder
"""

import math
from dataclasses import dataclass, field
from io import BytesIO
from math import inf
from pathlib import Path

import numpy as np
import roma
import torch
from matplotlib.figure import Figure
from PIL import Image

from config import ROOT, Crop, Paths, within
from models.smpl import Body, load_body
from sample.report import posed_about_pelvis
from utils.artifacts import atomic_write, load_predictions
from utils.figures.benchmarks import silhouette_figure
from utils.figures.diagrams import IconBody, layout_figure, stages_figure
from utils.figures.overview import Overview, overview_figure, rows_of
from utils.figures.runs import enc_dec_figures, gan_figures, history_figure, mesh_figures, pose_figures
from utils.image import read_image, write_image
from utils.settings import start
from utils.skeleton import SMPL_24


@dataclass(frozen=True)
class FiguresConfig:
    """sample/make_figures.py: the pictures of runs that were tested; runs no network."""

    enc_dec: Path | None = None
    """A run of stage 1, runs/enc_dec/<name>, with the predictions.npz of sample/test_enc_dec.py."""
    pose: Path | None = None
    """A run of stage 2, runs/pose/<name>, with the predictions.npz of sample/test_pose.py."""
    gan: Path | None = None
    """A run of stage 3, runs/gan/<name>, with the predictions.npz of sample/test_GAN.py."""
    mesh: Path | None = None
    """A run of stage 4, runs/mesh/<name>, with the predictions.npz of sample/test_SMPL.py."""
    mesh_other: Path | None = None
    """Another run of stage 4, such as one of preset seed, tested on the same frames; drawn beside the first."""
    overview: tuple[int, ...] = ()
    """Draw one picture of all stages, of these examples of sample/test_enc_dec.py, 1 to 8; needs enc_dec, pose and
    mesh, tested on the same frames."""
    diagrams: bool = False
    """Draw the diagrams of the stages and of the files."""
    benchmarks: bool = False
    """Draw what tests/benchmarks/bench_silhouette.py measured."""
    pictures: tuple[Path, ...] = ()
    """Pictures that another script drew, such as data/real/about/reprojection.png, to be kept beside the others."""
    paths: Paths = field(default_factory=Paths)
    folder: Path | None = None
    """Where the pictures go; without it, runs/figures."""
    prefix: str = ""
    """Begins every file name, to keep the pictures of several runs apart."""
    data: str = "embedded synthetic data"
    """How the captions call the data."""
    widest_px: int = 0
    """Shrink wider pictures to this width, to save space; 0 keeps them."""

    def __post_init__(self) -> None:
        runs = (self.enc_dec, self.pose, self.mesh)
        no_runs = (*runs, self.gan) == (None,) * 4
        if no_runs and not (self.pictures or self.diagrams or self.benchmarks):
            raise ValueError("nothing to draw; give --enc-dec runs/enc_dec/<name>, --pose runs/pose/<name>, --gan "
                             "runs/gan/<name>, --mesh runs/mesh/<name>, --diagrams or --benchmarks")  # fmt: skip
        if self.overview and None in runs:
            raise ValueError(f"overview is {self.overview}, which shows all stages; give --enc-dec, --pose and --mesh")
        within(1, inf, overview=min(self.overview, default=1))
        within(0, inf, widest_px=self.widest_px)
        if self.mesh_other is not None and self.mesh is None:
            raise ValueError(f"mesh_other is {self.mesh_other}, but there is no mesh to draw it beside; give --mesh")


STEP_DEGREES = {
    "left_hip": (-32, 0, 4), "left_knee": (34, 0, 0), "right_hip": (14, 0, -4), "right_knee": (22, 0, 0),
    "left_shoulder": (0, 0, -66), "left_elbow": (0, -62, 0), "right_shoulder": (0, 0, -38),
    "right_elbow": (0, 0, -48), "spine2": (4, 8, 0), "head": (-4, -14, 0),
}  # fmt: skip
"""Axis-angle of a person who steps forward and waves, from the T-pose; the joints not named stay."""
BROKEN_DEGREES = {
    "left_hip": (60, 0, 50), "left_knee": (-75, 0, 0), "right_hip": (-50, 40, 0), "right_knee": (-60, 0, 30),
    "left_shoulder": (0, 70, 40), "left_elbow": (0, 90, 30), "right_elbow": (60, -80, 0), "spine1": (-30, 40, 20),
    "spine3": (-20, 30, 0), "head": (50, 70, 0),
}  # fmt: skip
"""Angles of a pose that no person can take, for the drawing of the prior."""
SHIRT, TROUSERS, SHOES, SKIN, HAIR = (
    (0.18, 0.45, 0.71), (0.24, 0.26, 0.32), (0.86, 0.86, 0.84), (0.87, 0.69, 0.58), (0.32, 0.22, 0.16),
)  # fmt: skip
HAIRLINE_M = 0.115
"""Height above the head's joint from which hair grows."""


def posed_by_degrees(body: Body, degrees: dict[str, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Pose the mean body and turn it towards a camera; give vertices and Human3.6M's joints about the pelvis."""
    theta = torch.zeros(1, len(SMPL_24), 3)
    for joint, axis_angle in degrees.items():
        theta[0, SMPL_24.index(joint)] = torch.tensor(axis_angle) * math.pi / 180
    out = body(roma.rotvec_to_rotmat(theta), torch.zeros(1, 0), torch.zeros(1, 3))
    joints_m = body.h36m_joints_m(out.vertices_m)
    to_camera = torch.tensor([1.0, -1.0, -1.0])
    vertices_m, joints_m = ((points - joints_m[:, :1])[0] * to_camera for points in (out.vertices_m, joints_m))
    return vertices_m.double().numpy(), joints_m.double().numpy()


def colours(body: Body) -> np.ndarray:
    """Give every vertex the colour of what is worn there."""
    by_joint = {"hip": TROUSERS, "knee": TROUSERS, "ankle": SHOES, "foot": SHOES, "pelvis": TROUSERS, "neck": SKIN,
                "head": SKIN, "elbow": SKIN, "wrist": SKIN, "hand": SKIN}  # fmt: skip
    palette = np.array([by_joint.get(name.split("_")[-1], SHIRT) for name in SMPL_24])
    worn = palette[body.weights.argmax(dim=1).numpy()]
    head_y_m = float(body.rest_template_joints_m[SMPL_24.index("head"), 1])
    y_m, z_m = body.template_m[:, 1].numpy(), body.template_m[:, 2].numpy()
    grows = (y_m > head_y_m + HAIRLINE_M) | ((y_m > head_y_m + 0.02) & (z_m < z_m[y_m > head_y_m].mean()))
    worn[grows] = HAIR
    return worn


def diagram_person(location: Path) -> IconBody:
    """Pose and dress the person of the diagrams."""
    body = load_body(location)
    vertices_m, joints_m = posed_by_degrees(body, STEP_DEGREES)
    return IconBody(vertices_m, joints_m, posed_by_degrees(body, BROKEN_DEGREES)[0], body.faces.numpy(), colours(body))


def overview(enc_dec: Path, pose: Path, mesh: Path, numbers: tuple[int, ...], data: str) -> Figure:
    """Draw what all stages make of the same images.

    Raises:
        ValueError: stage 1 has no such example, or a later stage was not tested on it.
    """
    provenance, views = load_predictions(enc_dec / "predictions.npz", "python sample/test_enc_dec.py")
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
    bodies = posed_about_pelvis(
        load_body(Paths().models_smpl_location), later[1]["rotations_crop"][rows[1]], later[1]["betas"][rows[1]]
    )
    found = Overview(views["turntable_input"][chosen], views["turntable"][chosen],
                     later[0]["predicted_root_m"][rows[0]], bodies.vertices_root_m, bodies.faces)  # fmt: skip
    subjects = provenance["split"].split(";")[0]
    caption = (
        f"Examples {', '.join(map(str, numbers))} of {len(views['example_frames'])} test images; {data}; {subjects}"
    )
    return overview_figure(found, Crop().side_m, caption)


def save(figures: dict[str, Figure], folder: Path, prefix: str, widest_px: int = 0) -> list[Path]:
    """Write figures as .png of 256 colours, rare ones (clothes) among them; a quarter of the space.  Say where."""
    paths = []
    for name, figure in figures.items():
        path, encoded = folder / f"{prefix}{name}.png", BytesIO()
        figure.savefig(encoded, format="png")
        with atomic_write(path) as partial, Image.open(encoded) as opened:
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
