"""Write encoder and heads as one .onnx, for programs without PyTorch.

    python sample/tools/export_onnx.py --pose models/assets/open_weights.pt
    python sample/tools/export_onnx.py --pose runs/pose/demo/checkpoint_best.pt --mesh runs/mesh/demo/checkpoint_best.pt

Reads   checkpoint_best.pt of stage 2, of stage 4, or of both behind the same encoder
Writes  one file: `image` (batch, 3, size, size), RGB in [0, 1], the square crop of the person -> joints_root_m,
        rotations_crop, betas; its metadata tell the crop and what the outputs are.  Single precision, any batch.

The file is compared with PyTorch in onnxruntime, and not written where they differ; both are timed on one image.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import ROOT, Crop, ranged, setting
from models.encoder_decoder import EncoderDecoder
from models.pose_from_latent import PoseFromLatent, load_pose
from models.pose_from_maps import PoseFromMaps
from models.SMPL_from_latent import MeshFromLatent, load_mesh
from models.SMPL_from_maps import MeshFromMaps
from utils.artifacts import atomic_write, commit, file_hash
from utils.settings import start


@dataclass(frozen=True)
@ranged()
class OnnxConfig:
    """sample/tools/export_onnx.py: encoder and heads as one file for onnxruntime; needs the extra [onnx]."""

    pose: Path | None = None
    """checkpoint_best.pt of stage 2, whose head gives 17 joints."""
    mesh: Path | None = None
    """checkpoint_best.pt of stage 4 behind the same encoder, whose head gives the body."""
    output: Path = ROOT / "runs" / "onnx" / "body.onnx"
    tolerance: float = setting(1e-4, low=0)
    """Largest difference from PyTorch (metres, or numbers of matrices and shapes) with which the file is written."""
    threads: int = setting(1, low=1)
    """Of PyTorch and onnxruntime, when they are timed."""
    repeats: int = setting(100, low=1)
    """Images timed, one after the other; the median counts."""

    def __post_init__(self) -> None:
        if self.pose is None and self.mesh is None:
            raise ValueError("there is nothing to write; give --pose, --mesh, or both, such as "
                             "--pose models/assets/open_weights.pt")  # fmt: skip


OUTPUTS = {
    "joints_root_m": "17 joints of Human3.6M, metres, pelvis at the origin, axes of the crop camera",
    "rotations_crop": "24 rotation matrices of the body model, root first (R_crop_from_body), others from the parent",
    "betas": "10 shape numbers of the body model",
}
"""What comes out, in this order; the first with a pose head, the others with a mesh head."""


class ImageToBody(nn.Module):
    """One encoder and the heads behind it; the encoder runs once."""

    def __init__(
        self,
        encoder: EncoderDecoder,
        pose: PoseFromLatent | PoseFromMaps | None,
        mesh: MeshFromLatent | MeshFromMaps | None,
    ) -> None:
        super().__init__()
        self.encoder, self.pose, self.mesh = encoder, pose, mesh
        self.outputs = tuple(OUTPUTS)[0 if pose is not None else 1 : 3 if mesh is not None else 1]

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        """Predict what `outputs` names, from RGB images in [0, 1]."""
        if isinstance(self.mesh, MeshFromMaps):  # it has an encoder of its own, so `load` finds no pose beside it
            return tuple(self.mesh(image))
        if isinstance(self.pose, PoseFromMaps):
            # Such a head moves the encoder away from its points, so `read_alike` finds no mesh head behind it.
            return (self.pose(self.encoder.backbone(self.encoder.normalised(image))).joints_root_m,)
        points_crop = self.encoder.encode_points(image)
        joints = () if self.pose is None else (self.pose(points_crop),)
        return joints if self.mesh is None else (*joints, *self.mesh(points_crop))


def read_alike(a: EncoderDecoder, b: EncoderDecoder) -> bool:
    """Tell whether two encoders give the same points: same layers, same weights."""
    parts = [
        {
            name: value
            for part in ("backbone", "to_points")
            for name, value in getattr(net, part).state_dict(prefix=part).items()
        }
        for net in (a, b)
    ]
    same_names = parts[0].keys() == parts[1].keys() and a.normalise == b.normalise
    return same_names and all(torch.equal(value, parts[1][name]) for name, value in parts[0].items())


OPSET = 20
BATCHES = (1, 2, 5)
"""Sizes of the batches on which the file is compared with PyTorch."""
Run = Callable[[Float[Tensor, "B 3 H W"]], list[Tensor]]


def need_onnx() -> None:
    """Stop if the packages are missing, naming the extra that has them."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the package {error.name} is not installed; install what .onnx needs with: "
                         'pip install -e ".[onnx]"') from error  # fmt: skip


def make_onnx(network: nn.Module, size_px: int, outputs: tuple[str, ...], metadata: dict[str, str]) -> bytes:
    """Translate a network in evaluation from `image` (B, 3, size, size) to named outputs, for batches of any size."""
    import onnx

    image = torch.zeros(2, 3, size_px, size_px)  # two: a batch of one would be taken for the only size
    program = torch.onnx.export(
        network, (image,), dynamo=True, input_names=["image"], output_names=list(outputs), opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False,
    )  # fmt: skip
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def open_onnx(content: bytes, threads: int) -> Run:
    """Give a function that runs the file in onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> list[Tensor]:
        return [torch.from_numpy(np.asarray(found)) for found in session.run(None, {"image": image.numpy()})]

    return run


def in_torch(network: nn.Module) -> Run:
    """Give a function that runs the network itself, in single precision."""

    @torch.inference_mode()
    def run(image: Tensor) -> list[Tensor]:
        return list(network(image))

    return run


def largest_difference(ours: Run, theirs: Run, size_px: int, outputs: tuple[str, ...]) -> dict[str, float]:
    """Compare two ways to run a network on random images: the largest difference of each output."""
    generator = torch.Generator().manual_seed(0)
    found = dict.fromkeys(outputs, 0.0)
    for count in BATCHES:
        noise = torch.rand(count, 3, size_px, size_px, generator=generator)
        smooth = nn.functional.interpolate(
            torch.rand(count, 3, 4, 4, generator=generator), size=size_px, mode="bicubic"
        )
        for image in (noise, smooth.clamp(0, 1)):
            for name, a, b in zip(outputs, ours(image), theirs(image), strict=True):
                if a.shape != b.shape or not a.isfinite().all():
                    raise ValueError(f"{name} is {tuple(a.shape)} in PyTorch, {tuple(b.shape)} in onnxruntime, or not "
                                     "finite; the checkpoint is broken, or this version of onnx is")  # fmt: skip
                found[name] = max(found[name], float(torch.nan_to_num((a - b).abs(), nan=np.inf).max()))
    return found


def median_ms(run: Run, size_px: int, repeats: int) -> float:
    """Time one image at a time, after a few that do not count."""
    image = torch.rand(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))
    took_s = []
    for number in range(repeats + 5):
        started_s = time.perf_counter()
        run(image)
        took_s += [time.perf_counter() - started_s] if number >= 5 else []
    return 1000 * float(np.median(took_s))


def write_onnx(
    path: Path, network: nn.Module, size_px: int, outputs: tuple[str, ...], metadata: dict[str, str], tolerance: float
) -> tuple[Run, dict[str, Any]]:
    """Write a file that agrees with the network, or none; gives what runs it, and the largest differences.

    Raises:
        ValueError: onnxruntime finds something else than PyTorch.
    """
    content = make_onnx(network, size_px, outputs, metadata)
    run = open_onnx(content, torch.get_num_threads())
    differences = largest_difference(in_torch(network), run, size_px, outputs)
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= tolerance:
        raise ValueError(f"{worst} differs by {differences[worst]:.2g} between PyTorch and onnxruntime, more than "
                         f"tolerance {tolerance:.2g}; {path} is not written")  # fmt: skip
    with atomic_write(path) as partial:
        partial.write_bytes(content)
    return run, differences


def load(config: OnnxConfig) -> tuple[ImageToBody, Crop]:
    """Put the heads of the checkpoints behind their encoder."""
    cpu = torch.device("cpu")
    pose = None if config.pose is None else load_pose(config.pose, cpu)
    mesh = None if config.mesh is None else load_mesh(config.mesh, cpu)
    if pose is not None and not pose.network.skeleton.is_h36m:
        raise ValueError(f"{config.pose} finds {len(pose.network.skeleton.names)} joints of another skeleton than "
                         "Human3.6M's 17, which the file would say it gives; use it in Python")  # fmt: skip
    found = [] if pose is None else [(pose.network.encoder, pose.encoder_config.crop)]
    found += [] if mesh is None else [(mesh.network.encoder, mesh.config.crop)]
    (encoder, crop), (other, other_crop) = found[0], found[-1]
    if crop != other_crop or not read_alike(encoder, other):
        raise ValueError(f"{config.pose} and {config.mesh} have different encoders or crops; write one file for each, "
                         "or train both heads behind one encoder")  # fmt: skip
    body: MeshFromLatent | MeshFromMaps | None = None
    if mesh is not None:
        if isinstance(mesh.network, MeshFromMaps) and pose is not None:
            raise ValueError(f"{config.mesh} finds its joints by heat maps of its own, so {config.pose} cannot stand "
                             "beside it; write one file for each")  # fmt: skip
        body = mesh.network if isinstance(mesh.network, MeshFromMaps) else mesh.network.head
    return ImageToBody(encoder, None if pose is None else pose.network.head, body).eval(), crop


def describe_network(config: OnnxConfig, crop: Crop, outputs: tuple[str, ...]) -> dict[str, str]:
    """Say in the file what goes in and what comes out."""
    checkpoints = {"pose": config.pose, "mesh": config.mesh}
    return {
        "image": f"RGB in [0, 1], {crop.size_px} x {crop.size_px} pixels: {crop.side_m} m around the person "
        f"({crop.centre}), seen by a camera that looks at its middle",
        **{name: OUTPUTS[name] for name in outputs},
        "crop_camera": "x right, y down, z forward",
        "commit": commit(),
        **{f"{name}_checkpoint_sha256": file_hash(path) for name, path in checkpoints.items() if path is not None},
    }


def main(config: OnnxConfig) -> dict[str, float]:
    """Write, compare and time; return the largest difference of each output."""
    need_onnx()
    torch.set_num_threads(config.threads)
    network, crop = load(config)
    metadata = describe_network(config, crop, network.outputs)
    run, differences = write_onnx(config.output, network, crop.size_px, network.outputs, metadata, config.tolerance)
    print(f"{config.output}: {config.output.stat().st_size / 1e6:.1f} MB; largest differences from PyTorch:")
    print("\n".join(f"  {name:<16}{differences[name]:.1e}   {OUTPUTS[name]}" for name in network.outputs))
    times = {"PyTorch": in_torch(network), "onnxruntime": run}
    print(f"One image, CPU, single precision, {config.threads} thread(s), median of {config.repeats}:")
    for name, way in times.items():
        print(f"  {name:<16}{median_ms(way, crop.size_px, config.repeats):.2f} ms")
    return differences


if __name__ == "__main__":
    start(main, OnnxConfig)
