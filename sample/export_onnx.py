"""Write encoder and heads as one .onnx, for programs without PyTorch.

    python sample/export_onnx.py --pose models/assets/open_weights.pt
    python sample/export_onnx.py --pose runs/pose/demo/checkpoint_best.pt --mesh runs/mesh/demo/checkpoint_best.pt

Reads   checkpoint_best.pt of stage 2, of stage 4, or of both behind the same encoder
Writes  one file: `image` (batch, 3, size, size), RGB in [0, 1], the square crop of the person -> joints_root_m,
        rotations_crop, betas; its metadata tell the crop and what the outputs are.  Single precision, any batch.

The file is compared with PyTorch in onnxruntime, and not written where they differ; both are timed on one image.
"""

import torch

from config import Crop, OnnxConfig
from models.image_to_body import OUTPUTS, ImageToBody, read_alike
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_mesh
from utils.artifacts import commit, file_hash
from utils.onnx_file import in_torch, median_ms, need_onnx, write_onnx
from utils.settings import start


def load(config: OnnxConfig) -> tuple[ImageToBody, Crop]:
    """Put the heads of the checkpoints behind their encoder."""
    cpu = torch.device("cpu")
    pose = None if config.pose is None else load_pose(config.pose, cpu)
    mesh = None if config.mesh is None else load_mesh(config.mesh, cpu)
    found = [] if pose is None else [(pose.network.encoder, pose.encoder_config.crop)]
    found += [] if mesh is None else [(mesh.network.encoder, mesh.config.crop)]
    (encoder, crop), (other, other_crop) = found[0], found[-1]
    if crop != other_crop or not read_alike(encoder, other):
        raise ValueError(f"{config.pose} and {config.mesh} have different encoders or crops; write one file for each, "
                         "or train both heads behind one encoder")  # fmt: skip
    heads = (pose.network.head if pose is not None else None, mesh.network.head if mesh is not None else None)
    return ImageToBody(encoder, *heads).eval(), crop


def describe(config: OnnxConfig, crop: Crop, outputs: tuple[str, ...]) -> dict[str, str]:
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
    about = describe(config, crop, network.outputs)
    run, differences = write_onnx(config.output, network, crop.size_px, network.outputs, about, config.tolerance)
    print(f"{config.output}: {config.output.stat().st_size / 1e6:.1f} MB; largest differences from PyTorch:")
    print("\n".join(f"  {name:<16}{differences[name]:.1e}   {OUTPUTS[name]}" for name in network.outputs))
    times = {"PyTorch": in_torch(network), "onnxruntime": run}
    print(f"One image, CPU, single precision, {config.threads} thread(s), median of {config.repeats}:")
    for name, way in times.items():
        print(f"  {name:<16}{median_ms(way, crop.size_px, config.repeats):.2f} ms")
    return differences


if __name__ == "__main__":
    start(main, OnnxConfig)
