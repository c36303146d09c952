"""Small checkpoints of every stage as this version writes them, kept so that later versions go on reading them.

    python -m tests.helpers.frozen_checkpoints 0.2.0

trains tiny networks for a few steps on a tiny data set and writes tests/golden/checkpoints/<release>.tar.xz and .json:
what the scripts left as checkpoint_best.pt, and what each network gives on a fixed input.  What only the optimizer
reads is left out; weights are rounded to three bits behind the leading one, so that they compress; places below this
folder are written as seen from it.  Networks that cannot be made small are kept as names and shapes of their weights,
which `filled` fills.

Run it from committed code.  What is kept of a release stays as it is: run again for that release, it adds the kinds
that are not there yet.  A file that a later version does not read has to be mended in that version.
"""

import json
import os
import sys
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torchvision.models import resnet50

from config import (
    ROOT,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    GanNetworkConfig,
    ImageAugmentation,
    ImageLoss,
    KeypointsConfig,
    KeypointsNetwork,
    MasksConfig,
    MasksNetwork,
    MeshConfig,
    MeshHeadConfig,
    Optim,
    Paths,
    PoseConfig,
    PoseHeadConfig,
    UnpairedPoses,
)
from models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from models.GAN import load_gan
from models.pose_from_latent import load_pose
from models.SMPL_from_keypoints import boxed, load_lifter
from models.SMPL_from_latent import load_mesh
from models.SMPL_from_masks import load_teacher
from tests.helpers.every_stage import LOOP, settings_of, write_data
from utils.artifacts import atomic_write, commit, load_checkpoint, save_checkpoint
from utils.settings import config_from_dict, to_plain
from utils.small_weights import packed
from utils.views import MeshViews

FOLDER = ROOT / "tests" / "golden" / "checkpoints"
CPU, BODY = torch.device("cpu"), Paths().models_smpl_location
OPTIM = Optim(steps=4, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False)
SIDE_PX = 32
Outputs = dict[str, Tensor]


class Kind(NamedTuple):
    """One kind of checkpoint."""

    stage: str
    """As `every_stage.settings_of` knows it."""
    changes: dict[str, Any]
    """Of that stage's tiny settings."""
    outputs: Callable[[Path], Outputs]
    """Opens a checkpoint and computes on a fixed input."""
    config: type


def wave(*shape: int) -> Tensor:
    """Give numbers from 0 to 1 that are the same everywhere: no random generator has to stay as it is."""
    count = int(np.prod(shape))
    return torch.from_numpy(0.5 + 0.5 * np.sin(0.37 * np.arange(count) ** 1.3)).float().reshape(shape)


def of_stage_1(path: Path) -> Outputs:
    """Encode two pictures, and draw them again before a background."""
    network = load_encoder_decoder(path).network.eval()
    images = wave(2, 3, SIDE_PX, SIDE_PX)
    points, appearance = network.encode(images)
    drawn = network.decode(points, appearance, images.flip(0))
    return {"points": points, "appearance": appearance, "rgb": drawn[..., ::8, ::8]}


def of_pose(path: Path) -> Outputs:
    """Read the joints of two pictures."""
    return {"joints_m": load_pose(path, CPU).network(wave(2, 3, SIDE_PX, SIDE_PX))}


def of_gan(path: Path) -> Outputs:
    """Generate two bodies, and score them."""
    stored = load_gan(path, BODY)
    assert stored.generate is not None
    rotations, betas = stored.generate(wave(2, stored.generate.latent))
    scores = stored.discriminator.scores(rotations[:, 1:], betas)
    return {"columns": rotations[..., :2], "betas": betas, "scores": scores}


def of_mesh(path: Path) -> Outputs:
    """Read the bodies in two pictures."""
    found = load_mesh(path, CPU).network(wave(2, 3, SIDE_PX, SIDE_PX))
    return {"rotations_crop": found.rotations_crop, "betas": found.betas}


def three_views(size_px: int) -> MeshViews:
    """Give one instant before three cameras that stand 4 m away, all round."""
    turns, zero, one = torch.tensor([0.0, 2.0, 4.0]), torch.zeros(3), torch.ones(3)
    right, forward = (
        torch.stack([turns.cos(), turns.sin(), zero], 1),
        torch.stack([-turns.sin(), turns.cos(), zero], 1),
    )
    down = torch.stack([zero, zero, -one], 1)
    mask = (wave(1, 3, size_px, size_px) > 0.5).float()
    return MeshViews(
        mask=mask, distance_to_mask_m=1 - mask, exists=torch.ones(1, 3, dtype=torch.bool),
        R_crop_from_world=torch.stack([right, down, forward], dim=1)[None], centre_world_m=-4 * forward[None],
        focal_px=torch.full((1, 3), 1.5 * size_px), target_world_m=torch.zeros(1, 3, 3),
    )  # fmt: skip


def of_teacher(path: Path) -> Outputs:
    """Read the body of an instant from the masks of three views, and look again at what was read."""
    network = load_teacher(path, BODY).network
    views = three_views(network.config.size_px)
    first = network(views, torch.tensor([1]))[-1]
    [found] = network(views, torch.tensor([1]), first, views.mask.flip(1))
    return {f"{name}_{number}": value for number, read in enumerate((first, found))
            for name, value in read._asdict().items()}  # fmt: skip


def of_lifter(path: Path) -> Outputs:
    """Read two bodies off 25 keypoints, one of which is not seen."""
    network = load_lifter(path, BODY).network
    sure = torch.ones(2, 25)
    sure[1, 7] = 0
    found = network(boxed(0.4 * (wave(2, 25, 2) - 0.5), sure))[-1]
    return {"totals": found.totals, "betas": found.betas, "root_m": found.root_m}


HEATMAPS = EncoderConfig(kind="heatmaps", width=4, points=12, appearance=4)
SMALL = EncoderConfig(width=2, points=12, appearance=4)
DECODER = DecoderConfig(width=4)
MAPS = {"encoder": Path("runs/enc_dec/points/checkpoint_best.pt"), "mode": "finetune"}
JOINTS = {"encoder": Path("runs/pose/pose_maps/checkpoint_best.pt"), "unpaired": UnpairedPoses(steps=0)}
POINTS = {"encoder": Path("runs/enc_dec/compact/checkpoint_best.pt")}
PRIOR = {"prior": Path("runs/gan/gan/checkpoint_best.pt")}
PLAIN = {"loss": ImageLoss(features=0.0, opacity=0.0, person=1.0), "augment": ImageAugmentation()}
HEAD = {"hidden": 8, "layers": 1, "dropout": 0.1}

KINDS = {
    "compact": Kind("enc_dec", {"encoder": SMALL, "decoder": DECODER}, of_stage_1, EncDecConfig),
    "points": Kind("points", {"encoder": HEATMAPS, "decoder": DECODER}, of_stage_1, EncDecConfig),
    "points_demo": Kind("points", {"encoder": replace(HEATMAPS, appearance_at="points"), "decoder": DECODER},
                        of_stage_1, EncDecConfig),
    "unet": Kind("enc_dec", PLAIN | {
        "encoder": replace(SMALL, kind="unet", own_appearance_encoder=False),
        "decoder": DecoderConfig(kind="paper", width=4, composite=False)}, of_stage_1, EncDecConfig),
    "pose": Kind("pose", POINTS | {"head": PoseHeadConfig(**HEAD)}, of_pose, PoseConfig),
    "pose_maps": Kind("pose", MAPS, of_pose, PoseConfig),
    "gan": Kind("gan", {"network": GanNetworkConfig(
        joint_hidden=4, pose_hidden=8, generator_hidden=8, latent=4)}, of_gan, GanConfig),
    "gan_seed": Kind("gan", {"network": GanNetworkConfig(
        kind="seed", pose_hidden=8, generator_hidden=8, latent=4)}, of_gan, GanConfig),
    "mesh": Kind("mesh", POINTS | PRIOR | {"head": MeshHeadConfig(**HEAD)}, of_mesh, MeshConfig),
    "mesh_maps": Kind("mesh", JOINTS | PRIOR | {"mode": "frozen"}, of_mesh, MeshConfig),
    "mesh_demo": Kind("mesh", JOINTS | PRIOR | {"mode": "finetune", "head": MeshHeadConfig(shape="bones", **HEAD)},
                      of_mesh, MeshConfig),
    "masks": Kind("masks", {"network": MasksNetwork(
        size_px=32, width=8, features=8, hidden=8, refinements=1)}, of_teacher, MasksConfig),
    "lifter": Kind("lifter", {"network": KeypointsNetwork(
        hidden=16, blocks=1, looks=1)}, of_lifter, KeypointsConfig),
}  # fmt: skip
"""By the name of the file; each may read what those before it left."""


def paths_here() -> Paths:
    """Say where the data and the runs lie, below the folder that the script works in."""
    return Paths(**{f"{name}_location": Path(folder) for name, folder in (
        ("h36m", "frames"), ("masks", "masks"), ("backgrounds", "backgrounds"), ("index", "index"), ("truth", "truth"),
        ("runs", "runs"))})  # fmt: skip


def train(name: str, kind: Kind, paths: Paths) -> None:
    """Train one kind."""
    loop = replace(LOOP, pictures=0, validate_every=2)
    main, config = settings_of(kind.stage, paths, loop)
    main(replace(config, name=name, optim=replace(OPTIM, steps=4), **kind.changes))


def rounded(weights: Tensor) -> Tensor:
    """Keep three bits behind the leading one of every number; whole numbers stay."""
    if not weights.is_floating_point():
        return weights
    mantissa, exponent = torch.frexp(weights)
    return torch.ldexp((mantissa * 16).round() / 16, exponent)


def kept(value: Any) -> Any:
    """Round the weights in some content, and write places below this folder as seen from it."""
    if isinstance(value, dict):
        return {key: kept(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(kept(one) for one in value)
    if isinstance(value, Tensor):
        return rounded(value)
    return value.removeprefix(f"{ROOT}/") if isinstance(value, str) else value


def keep(path: Path, to: Path, is_packed: bool) -> None:
    """Write a checkpoint again without what only the optimizer reads; as shared weights are packed, if asked for."""
    content = torch.load(path, weights_only=True)
    states = {name: state for name, state in content["states"].items() if "param_groups" not in state}
    content = kept(content | {"states": states})
    if is_packed:
        content["states"] = {name: packed(state) for name, state in content["states"].items()}
    torch.save(content, to)


@torch.no_grad()
def outputs_of(name: str, path: Path) -> dict[str, list[float]]:
    """Open a checkpoint as the next stage does, compute on its fixed input, and read its settings."""
    kind = KINDS[name.removesuffix(PACKED)]
    stage = "enc_dec" if kind.stage == "points" else kind.stage
    config_from_dict(kind.config, load_checkpoint(path, stage)["config"])
    return listed(kind.outputs(path))


def listed(outputs: Outputs) -> dict[str, list[float]]:
    """Write outputs as numbers with six digits."""
    return {key: [float(f"{one:.6g}") for one in value.double().flatten().tolist()] for key, value in outputs.items()}


PACKED = "_packed"
"""Ends the names of files whose weights are packed as the committed ones."""
LARGE = {
    "efficientnet_lite0": EncDecConfig(encoder=EncoderConfig("efficientnet_lite0", points=12, appearance=4, width=4),
                                       crop=Crop(size_px=SIDE_PX), decoder=DECODER),
    "resnet50": EncDecConfig(encoder=EncoderConfig("resnet50", points=12, appearance=4, width=4),
                             crop=Crop(size_px=SIDE_PX), decoder=DECODER),
    "seed": EncDecConfig(encoder=EncoderConfig("seed", points=12, appearance=4, width=4, own_appearance_encoder=False),
                         crop=Crop(size_px=SIDE_PX), decoder=DecoderConfig("seed", width=4, composite=False), **PLAIN),
}  # fmt: skip
"""Encoders whose weights are megabytes at any width."""


def filled(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Fill weights with numbers that follow from their names and shapes, about as large as trained ones."""
    weights = {}
    for place, (name, shape) in enumerate(sorted(shapes.items())):
        count, inputs = int(np.prod(shape)), int(np.prod(shape[1:]))
        numbers = np.sin(0.7 * place + 1.3 * np.arange(count, dtype=np.float64) ** 1.1)
        if name.endswith("running_var"):
            numbers = 1 + 0.2 * numbers
        elif len(shape) < 2:
            numbers = 0.1 * numbers + name.endswith("weight")
        else:
            numbers = numbers * (2 / inputs) ** 0.5
        weights[name] = torch.from_numpy(numbers.reshape(shape)).float()
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.ones((), dtype=torch.int64)
    return weights


@torch.no_grad()
def outputs_of_filled(stored: dict[str, Any], path: Path) -> dict[str, list[float]]:
    """Write a checkpoint of filled weights, open it, and compute on the fixed input."""
    save_checkpoint(path, "enc_dec", 1, stored["settings"], {"model": filled(stored["shapes"])})
    with no_download():
        return listed(of_stage_1(path))


def no_download() -> AbstractContextManager[Any]:
    """Let torchvision's network begin with random weights instead of those that it would fetch."""
    return patch("torchvision.models.resnet50", lambda weights: resnet50())


def large_kinds(folder: Path, stored: dict[str, Any]) -> dict[str, Any]:
    """Give settings, shapes and outputs of the encoders that are not kept whole; what is stored of some stays."""
    found = {}
    for name, config in LARGE.items():
        with no_download():
            weights = build_encoder_decoder(config).state_dict()
        one = {"settings": kept(to_plain(config)), "shapes": {key: list(one.shape) for key, one in weights.items()}}
        found[name] = one | {"outputs": outputs_of_filled(one, folder / f"{name}.pt")}
    return found | stored


def unpacked_release(release: str, folder: Path) -> dict[str, Any]:
    """Unpack the checkpoints of a release into a folder, and give what they are to lead to."""
    with tarfile.open(FOLDER / f"{release}.tar.xz") as archive:
        for entry in archive:  # extractall has its filter in later versions of Python 3.11 only
            if (content := archive.extractfile(entry)) is not None:
                path = folder / entry.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    stored: dict[str, Any] = json.loads((FOLDER / f"{release}.json").read_text())
    return stored


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who wrote a file, and when."""
    return entry.replace(mtime=0, uid=0, gid=0, uname="", gname="", deep=False)


def as_left(name: str, runs: Path) -> Path:
    """Say where the script of a kind leaves its checkpoint."""
    stage = KINDS[name].stage
    return runs / ("enc_dec" if stage == "points" else stage) / name / "checkpoint_best.pt"


def main(release: str) -> None:
    """Train the kinds that are not kept yet of a release, and write checkpoints and outputs of all."""
    archive, listing = FOLDER / f"{release}.tar.xz", FOLDER / f"{release}.json"
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as place:
        os.chdir(place)
        small, runs = Path("small"), paths_here().runs_location
        small.mkdir()
        stored = unpacked_release(release, small) if archive.exists() else {"outputs": {}, "large": {}, "commits": {}}
        if not {*KINDS, f"gan{PACKED}"} - stored["outputs"].keys():
            raise FileExistsError(f"{archive} has all kinds, and the files of a release stay as they are; name another")
        for name in KINDS.keys() & stored["outputs"].keys():
            as_left(name, runs).parent.mkdir(parents=True)
            copyfile(small / f"{name}.pt", as_left(name, runs))
        write_data(Path())
        made = [name for name in KINDS if name not in stored["outputs"]]
        for name in made:
            train(name, KINDS[name], paths_here())
            keep(as_left(name, runs), small / f"{name}.pt", is_packed=False)
        if "gan" in made:
            keep(as_left("gan", runs), small / f"gan{PACKED}.pt", is_packed=True)
        added = {path.stem for path in small.iterdir()} - stored["outputs"].keys()
        content = {
            "release": release,
            "commits": stored["commits"] | dict.fromkeys(sorted(added), commit()),
            "outputs": stored["outputs"] | {name: outputs_of(name, small / f"{name}.pt") for name in sorted(added)},
            "large": large_kinds(Path(), stored["large"]),
        }
        listing.write_text(json.dumps(content) + "\n")
        with atomic_write(archive) as partial, tarfile.open(partial, "w:xz", preset=9) as packing:
            for path in sorted(small.iterdir()):
                packing.add(path, path.name, filter=anonymous)


if __name__ == "__main__":
    main(sys.argv[1])
