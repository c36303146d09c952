"""Recipes of the golden numbers.  They change only on purpose, in a commit of their own:

python tests/golden/recipes.py          computes them anew and writes golden.json beside this file
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from config import ROOT, Paths
from dataset_def.h36m_files import FrameKey, find_folders, load_camera, load_image, load_mask, meta_path
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import SyntheticConfig
from models.encoder_decoder import load_encoder_decoder
from models.silhouette import Topology, silhouette
from models.smpl import Body, load_body, rotations_from_theta
from utils.artifacts import file_hash
from utils.metrics import pose_errors
from utils.skeleton import SMPL_24

GOLDEN = Path(__file__).with_name("golden.json")
BODY = ROOT / "models" / "assets" / "open_body.npz"
WEIGHTS = ROOT / "models" / "assets" / "open_weights.pt"
STEP_DEGREES = {
    "left_hip": (-32, 0, 4), "left_knee": (34, 0, 0), "right_hip": (14, 0, -4), "right_knee": (22, 0, 0),
    "left_shoulder": (0, 0, -66), "left_elbow": (0, -62, 0), "right_shoulder": (0, 0, -38),
    "right_elbow": (0, 0, -48), "spine2": (4, 8, 0), "head": (-4, -14, 0),
}  # fmt: skip
"""Axis-angle of a person who steps forward and waves, from the T-pose; the joints not named stay."""
VERTICES = (0, 1000, 2500, 4000, 6998)

Numbers = dict[str, float | list[float] | str]


def stepping_vertices_m(body: Body) -> torch.Tensor:
    """A heavy person steps forward and waves."""
    theta = torch.zeros(len(SMPL_24), 3)
    for joint, degrees in STEP_DEGREES.items():
        theta[SMPL_24.index(joint)] = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    betas = torch.tensor([[1.5, -1.0, 0.5]])
    return body(rotations_from_theta(theta.reshape(1, 72)), betas, torch.tensor([[0.1, 0.2, 0.3]])).vertices_m


def body_numbers() -> Numbers:
    """Vertices and Human3.6M joints of the embedded body in a fixed pose and shape, metres."""
    body = load_body(BODY)
    vertices_m = stepping_vertices_m(body)
    return {"vertices_m": vertices_m[0, list(VERTICES)].flatten().tolist(), "mean_m": vertices_m.mean((0, 1)).tolist(),
            "h36m_joints_m": body.h36m_joints_m(vertices_m).flatten().tolist()}  # fmt: skip


def silhouette_numbers() -> Numbers:
    """Covered area of the same body in a picture of 48 x 64, by rows of eight pixels; and the gradient of all of it."""
    body = load_body(BODY)
    vertices_m = stepping_vertices_m(body)
    pixels = torch.stack([32 + 26 * vertices_m[..., 0], 26 - 24 * vertices_m[..., 1], 4 - vertices_m[..., 2]], dim=-1)
    pixels = pixels.detach().requires_grad_(True)
    coverage = silhouette(pixels, Topology(body.faces), 48, 64)
    (coverage.sum((1, 2)) ** 2 / 1000).sum().backward()
    assert pixels.grad is not None
    return {"rows_px": coverage[0].reshape(6, 8, 64).sum((1, 2)).tolist(),
            "gradient_size": pixels.grad.abs().sum((0, 1)).tolist()}  # fmt: skip


def metric_numbers() -> Numbers:
    """All errors of one random pair of poses."""
    rng = np.random.default_rng(7)
    true, noise = rng.normal(0, 0.3, (1, 17, 3)), rng.normal(0, 0.1, (1, 17, 3))
    true -= true[:, :1]
    found = pose_errors(
        torch.tensor(1.2 * true + noise - noise[:, :1]), torch.tensor(true), torch.eye(3)[None].double()
    )
    return {name: float(values[0]) for name, values in found.items()}


def picture_numbers() -> Numbers:
    """Mean colours, mask and camera of one small frame of the embedded data, in each of its four cameras."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("h36m", "masks", "backgrounds", "index", "truth")
        paths = Paths(**{f"{name}_location": Path(folder) / name for name in names})
        make_h36m.main(SyntheticConfig(paths=paths, size_px=48, frames=1, outfits=1, subjects=(1,), actions=(2,),
                                       subactions=(1,), image="png", processes=1))  # fmt: skip
        colours, shares, focal = [], [], []
        for key in find_folders(paths):
            camera = load_camera(meta_path(paths, key))
            colours += (load_image(paths, FrameKey(*key, 1), camera).mean((0, 1)) / 255).tolist()
            shares.append(float((load_mask(paths, FrameKey(*key, 1), camera) > 128).mean()))
            focal.append(float(camera.focal_px[0]))
    return {"mean_rgb": colours, "person_share": shares, "focal_px": focal}


def latent_numbers() -> Numbers:
    """First points and appearance that the shared encoder reads from a coloured slope."""
    network = load_encoder_decoder(WEIGHTS).network.eval()
    down, across = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([down, across, 0.5 + 0.5 * torch.sin(9 * down * across)])[None]
    with torch.no_grad():
        points, appearance = network.encode(image)
    return {"weights_sha256": file_hash(WEIGHTS), "points": points[0, :6].flatten().tolist(),
            "points_spread": float(points.std()), "appearance": appearance[0, :12].tolist()}  # fmt: skip


RECIPES = {"body": body_numbers, "silhouette": silhouette_numbers, "metrics": metric_numbers,
           "pictures": picture_numbers, "latent": latent_numbers}  # fmt: skip


def main() -> None:
    """Compute and store everything."""
    torch.manual_seed(0)
    GOLDEN.write_text(json.dumps({name: recipe() for name, recipe in RECIPES.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
