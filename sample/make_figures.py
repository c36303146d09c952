"""Draw the pictures of tested runs.  It reads what the test scripts stored; only --diagrams runs networks.

    python sample/make_figures.py --enc-dec runs/enc_dec/demo --pose runs/pose/demo --mesh runs/mesh/demo
    python sample/make_figures.py --diagrams runs/gan/demo --benchmarks

Reads   predictions.npz, metrics.json (sample/test_*.py), history.jsonl (train scripts)
Writes  runs/figures/<prefix>{points, novel_views, turntable, swapped_appearance, enc_dec_loss, skeletons, per_action,
        pose_loss, prior_bodies, prior_auc, gan_loss, bodies, silhouettes, facing, mesh_loss, overview, damage,
        masks_loss, fits, fits_worst}.png,
        {stages, data_layout, silhouette_benchmark}.png; --folder chooses another folder
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.data import default_collate

from config import ASSETS, ROOT, Crop, Paths, Subjects, ranged, setting
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import CropSettings, FramePictures
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_SMPL_data import MeshData
from models.encoder_decoder import load_encoder_decoder
from models.mesh_evaluation import MeshMeasure
from models.pose_from_latent import load_pose
from models.smpl import load_body
from models.SMPL_from_latent import load_body_of, load_mesh, rooted_body
from sample.report import posed_about_pelvis
from utils.artifacts import NOT_DRAWN, atomic_write, file_hash, load_predictions, skeleton_among
from utils.camera import Camera
from utils.draw_mesh import overlay
from utils.figures.benchmarks import silhouette_figure
from utils.figures.diagrams import layout_figure
from utils.figures.overview import Overview, overview_figure, rows_of
from utils.figures.runs import (
    enc_dec_figures,
    fits_figures,
    front_view,
    gan_figures,
    history_figure,
    masks_figures,
    mesh_figures,
    pose_figures,
)
from utils.figures.stages import Shown, stages_figure
from utils.image import read_image, to_picture, to_unit_rgb, write_image
from utils.settings import start
from utils.views import turned


@dataclass(frozen=True)
@ranged()
class FiguresConfig:
    """sample/make_figures.py: the pictures of runs that were tested."""

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
    masks: Path | None = None
    """A teacher, runs/masks/<name>, as sample/train_SMPL_from_masks.py leaves it."""
    fits: Path | None = None
    """Fitted bodies, runs/fit/<name>, with the predictions.npz of sample/test_SMPL_from_masks.py."""
    overview: tuple[int, ...] = ()
    """Draw one picture of all stages, of these examples of sample/test_enc_dec.py, 1 to 8; needs enc_dec, pose and
    mesh, tested on the same frames."""
    diagrams: Path | None = None
    """Draw the diagrams of the files and of the stages.  The latter shows what the committed networks make of an image
    of the embedded data; its generated bodies are those of this run of stage 3, runs/gan/<name>, that was tested."""
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
    widest_px: int = setting(0, low=0)
    """Shrink wider pictures to this width, to save space; 0 keeps them."""

    def __post_init__(self) -> None:
        runs = (self.enc_dec, self.pose, self.mesh)
        no_runs = (*runs, self.gan, self.masks, self.fits) == (None,) * 6
        if no_runs and not (self.pictures or self.diagrams or self.benchmarks):
            raise ValueError("nothing to draw; give --enc-dec runs/enc_dec/<name>, --pose runs/pose/<name>, --gan "
                             "runs/gan/<name>, --mesh runs/mesh/<name>, --masks runs/masks/<name>, --fits "
                             "runs/fit/<name>, --diagrams runs/gan/<name>, or --benchmarks")  # fmt: skip
        if self.overview and None in runs:
            raise ValueError(f"overview is {self.overview}, which shows all stages; give --enc-dec, --pose and --mesh")
        if min(self.overview, default=1) < 1:
            raise ValueError(f"overview is {self.overview}; examples are counted from 1")
        if self.mesh_other is not None and self.mesh is None:
            raise ValueError(f"mesh_other is {self.mesh_other}, but there is no mesh to draw it beside; give --mesh")


WEIGHTS, MESH_WEIGHTS = ASSETS / "open_weights.pt", ASSETS / "open_mesh.pt"
EXAMPLE = 5
"""Of the held-out images of the labelled subject, in the diagram of the stages: both arms are seen."""
LARGE_PX = 256
KINDS = {"generated": "generated", "real": "real", "perturbed": "shuffled"}
"""Bodies of stage 3 in that diagram, as sample/test_GAN.py calls them."""


def held_out_images(paths: Paths, crop: Crop) -> MeshData:
    """Open the images that no network was trained on and whose joints may be shown."""
    who = Subjects()
    frames = FrameChoice(who.labelled, "held_out", who.held_out)
    return MeshData(paths, frames, CropSettings(crop), crop.size_px, who.labelled)


def large_crop(data: MeshData, row: int) -> tuple[np.ndarray, Camera]:
    """Cut a crop that is larger than the networks' out of a frame; give its camera, too."""
    source = data.table.camera(row)
    to = crop_camera(source, data.reader.targets_m[row], LARGE_PX, data.reader.crop.side_m)
    return FramePictures(data.paths, data.table.key(row), source).image(to), to


def cameras_and_rows(data: MeshData, row: int) -> tuple[list[int], list[int]]:
    """List all views of a frame's instant, its own first: their numbers among the views, and their rows."""
    rows = data.instant_rows[int(data.table.row_instant[row])].tolist()
    views = sorted(range(len(rows)), key=lambda view: rows[view] != row)
    return views, [rows[view] for view in views]


def bodies_of_the_prior(run: Path) -> dict[str, np.ndarray]:
    """Draw one body of each kind that stage 3 tells apart."""
    stored = load_predictions(run / "predictions.npz", "python sample/test_GAN.py")[1]
    if "vertices_generated_m" not in stored:
        raise ValueError(f"{run} was tested without a generator; give --diagrams a run of sample/train_GAN.py")
    return {name: front_view(stored[f"vertices_{kind}_m"][0], stored["faces"]) for name, kind in KINDS.items()}


@torch.no_grad()
def shown_by_the_networks(paths: Paths, prior: Path) -> Shown:
    """Let the committed networks look at one image of the embedded data, for the diagram of the stages.

    Args:
        prior: a tested run of stage 3 with its generator; the committed prior has none.
    """
    bodies, cpu = bodies_of_the_prior(prior), torch.device("cpu")
    stage_1, stage_2, stage_4 = load_encoder_decoder(WEIGHTS), load_pose(WEIGHTS, cpu), load_mesh(MESH_WEIGHTS, cpu)
    data, network = held_out_images(paths, stage_1.config.crop), stage_1.network.eval()
    sample, row = default_collate([data[0, EXAMPLE]]), int(data.rows[EXAMPLE])
    views, rows = cameras_and_rows(data, row)
    others = np.flatnonzero((data.table.frames[:, :4] == data.table.frames[row, :4]).all(axis=1))
    measure = MeshMeasure(load_body_of(stage_4, MESH_WEIGHTS, paths), data.reader.crop.centre)

    points, appearance = network.encode(sample.image)
    R = sample.views.R_crop_from_world[0, views]
    points_there = turned((R[1] @ R[0].T)[None], points)
    there = data.reader.read(rows[1])
    room = to_unit_rgb(there.background)
    mesh = rooted_body(measure.body, stage_4.network(sample.image))
    pictured = measure.pictured(mesh, sample.R_crop_from_world, sample.views)
    (image, camera), *seen = (large_crop(data, one) for one in rows)
    return Shown(
        image=np.stack([image, *(other for other, _ in seen)]),
        mask=(255 * sample.views.mask[0, views]).byte().numpy(),
        other_instant=large_crop(data, int(others[-1]))[0],
        background=there._replace(camera=seen[0][1]).background,
        drawn=to_picture(network.decode(points_there, appearance, room[None])[0, :3]),
        points_m=points[0].numpy(),
        points_there_m=points_there[0].numpy(),
        joints_root_m=stage_2.network(sample.image)[0].numpy(),
        true_joints_root_m=sample.joints_root_m[0].numpy(),
        body=overlay(image, pictured["vertices_crop_m"][0].numpy(), measure.body.faces.numpy(), camera.K),
        body_joints_root_m=mesh.joints_root_m[0].numpy(),
        silhouette=(255 * pictured["coverage"][0, views]).byte().numpy(),
        side_m=data.reader.crop.side_m,
        **bodies,
    )


def stored_value(stored: Mapping[str, np.ndarray], name: str, run: Path, script: str) -> np.ndarray:
    """Take a value that earlier versions did not store."""
    if name not in stored:
        raise ValueError(f"{run}/predictions.npz, of an earlier version, lacks {name}; run sample/{script}.py again")
    return stored[name]


def own_body(stored: Mapping[str, np.ndarray], run: Path, paths: Paths) -> Path:
    """Give the body file of the settings, and refuse another than a run of stage 4 was tested with."""
    found, tested = file_hash(paths.models_smpl_location), str(stored_value(stored, "body_hash", run, "test_SMPL"))
    if found != tested:
        raise ValueError(f"{paths.models_smpl_location} is another body (hash {found[:8]}) than {run} was tested with "
                         f"(hash {tested[:8]}); give that one as --paths.models-smpl-location")  # fmt: skip
    return paths.models_smpl_location


def why_not_drawn(enc_dec: Path) -> str:
    """Say why a tested run of stage 1 has no novel views; empty where it has."""
    stored = load_predictions(enc_dec / "predictions.npz", "python sample/test_enc_dec.py")[1]
    return str(stored.get(NOT_DRAWN, ""))


def overview(enc_dec: Path, pose: Path, mesh: Path, numbers: tuple[int, ...], data: str, paths: Paths) -> Figure:
    """Draw what all stages make of the same images.

    Raises:
        ValueError: stage 1 has no such example, or a later stage was not tested on it.
    """
    provenance, views = load_predictions(enc_dec / "predictions.npz", "python sample/test_enc_dec.py")
    if NOT_DRAWN in views:
        raise ValueError(f"overview shows what stage 1 draws, but {views[NOT_DRAWN]}")
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
    body = load_body(own_body(later[1], mesh, paths), h36m_regressor=paths.h36m_regressor_location)
    bodies = posed_about_pelvis(body, later[1]["rotations_crop"][rows[1]], later[1]["betas"][rows[1]])
    found = Overview(views["turntable_input"][chosen], views["turntable"][chosen],
                     later[0]["predicted_root_m"][rows[0]], bodies.vertices_root_m, bodies.faces,
                     skeleton_among(later[0]))  # fmt: skip
    subjects = provenance["split"].split(";")[0]
    caption = (
        f"Examples {', '.join(map(str, numbers))} of {len(views['example_frames'])} test images; {data}; {subjects}"
    )
    return overview_figure(found, float(stored_value(views, "crop_side_m", enc_dec, "test_enc_dec")), caption)


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
        if reason := why_not_drawn(config.enc_dec):
            print(reason)
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
    if config.masks is not None:
        figures |= masks_figures(config.masks) | history_figure(config.masks, config.data)
    if config.fits is not None:
        figures |= fits_figures(config.fits, config.data)
    if config.overview and config.enc_dec and config.pose and config.mesh:
        figures["overview"] = overview(
            config.enc_dec, config.pose, config.mesh, config.overview, config.data, config.paths
        )
    diagrams: dict[str, Figure] = {}
    if config.diagrams is not None:
        diagrams = {
            "stages": stages_figure(shown_by_the_networks(config.paths, config.diagrams)),
            "data_layout": layout_figure(),
        }
    if config.benchmarks:
        diagrams["silhouette_benchmark"] = silhouette_figure(ROOT / "tests/benchmarks/results/silhouette.json")
    return save(figures, folder, config.prefix, config.widest_px) + save(diagrams, folder, "")


if __name__ == "__main__":
    start(main, FiguresConfig)
