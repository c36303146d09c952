"""Predict the body in one's own pictures, and write it for other programs.

    python sample/predict.py photo.jpg --box 120 40 200 480
    python sample/predict.py video.mp4 --out runs/predict/video

Reads   an image, a folder, a video or a camera; a checkpoint of stage 4 (sample/train_SMPL_from_enc.py)
Writes  <out>/: joints.json and body.npz of all frames; of images <name>_overlay.jpg, <name>_views.jpg and meshes;
        of a video overlay.mp4, motion.glb, motion.bvh
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from config import ASSETS, Device, Paths, ranged, setting
from dataset_def.photos.crop import PhotoCrop, photo_crop
from dataset_def.photos.person import SEGMENTATION_NETWORK, Finder, make_finder
from dataset_def.photos.pictures import Pictures, open_pictures
from models.smpl import Body
from models.SMPL_from_latent import MeshFromImage, StoredMesh, load_body_of, load_mesh
from utils.artifacts import atomic_folder
from utils.batches import in_chunks
from utils.engine import choose_device
from utils.export.prediction import (
    BodySurface,
    FrameBody,
    OverlayVideo,
    PredictedBodies,
    beside,
    draw,
    write_frame,
    write_motion,
    write_tables,
)
from utils.export.rig import rig_of
from utils.image import to_unit_rgb
from utils.one_euro import OneEuro, SmoothRotations
from utils.person_box import placed_in_box
from utils.settings import start, which_weights


@dataclass(frozen=True)
@ranged()
class PredictConfig:
    """sample/predict.py: bodies in one's own pictures, and files of them for other programs."""

    input: tyro.conf.Positional[str]
    """An image, a folder of images, a video, or the number of a camera."""
    checkpoint: Path = ASSETS / "open_mesh.pt"
    """checkpoint_best.pt of stage 4, such as runs/mesh/demo/checkpoint_best.pt; without it, the committed one."""
    out: Path | None = None
    """Folder for what is written; without it, runs/predict/<name of the input>."""
    overwrite: bool = False
    """Replace the folder if it is there."""
    box: tuple[float, float, float, float] | None = None
    """The person's box in every frame: x y width height, in pixels."""
    mask: Path | None = None
    """A mask of the person (white), or a folder with one per frame."""
    find: Literal["auto", "movement", "segmentation"] = "auto"
    """How the person is found where neither box nor mask is given.  auto: by movement in a video, else by the
    segmentation extra."""
    segmentation: Path = SEGMENTATION_NETWORK
    """The network of the segmentation extra."""
    focal_px: float | None = None
    """Focal length of the camera; without it, 1.146 times the longer side of the picture."""
    person_m: float = setting(1.7, low=0.3, high=3)
    """Taken for the longer side of the person's box, which gives the distance."""
    meshes: tuple[Literal["glb", "obj", "ply"], ...] | None = None
    """Files of every frame's surface; without it, all three for images and none for a video."""
    smooth: bool = True
    """Of a video: filter the motion over time (One-Euro, without looking ahead)."""
    smooth_least_hz: float = setting(1.5, low=0.01)
    """Of the filter at rest; lower is smoother."""
    smooth_speed: float = setting(0.7, low=0)
    """Of the filter; higher follows quick movements closer."""
    frames: int = setting(0, low=0)
    """Stop after so many frames; 0 takes all, of a camera until Ctrl-C."""
    view_px: int = setting(384, low=32, high=4096)
    """Side of the pictures from the side and from above."""
    video_px: int = setting(540, low=32, high=4096)
    """Height of overlay.mp4."""
    batch: int = setting(16, low=1)
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)

    def __post_init__(self) -> None:
        if self.focal_px is not None and self.focal_px < 10:
            raise ValueError(f"focal_px is {self.focal_px}; give it in pixels, such as 1000 for a photo of 1000 pixels")
        if self.box is not None and self.mask is not None:
            raise ValueError("box and mask both tell where the person is; give one of them")


SHAPE_CUTOFF_HZ = 0.1
"""A person's shape does not move; only the first seconds change the filtered one."""


class BodyInFrame(NamedTuple):
    """One body in the camera's axes (x right, y down, z forward), as the body model gives it without translation."""

    rotations_cam: Float[np.ndarray, "24 3 3"]
    """The root first, R_cam_from_body."""
    betas: Float[np.ndarray, "10"]
    vertices_m: Float[np.ndarray, "V 3"]
    root_joint_m: Float[np.ndarray, "3"]
    joints_m: Float[np.ndarray, "17 3"]
    """Human3.6M's, the pelvis first."""


class BodiesInFrames:
    """Reads bodies off batches of crops, which must come in the order of their frames if they are filtered.

    Args:
        frames_per_second: of a video; None for pictures that have nothing to do with each other.
        smoothing: cutoff at rest in Hz and speed factor of the One-Euro filter; None for no filter.
    """

    def __init__(
        self,
        network: MeshFromImage,
        body: Body,
        frames_per_second: float | None,
        smoothing: tuple[float, float] | None,
    ):
        self.network, self.body = network, body
        self.is_smooth = smoothing is not None and frames_per_second is not None
        rate, filtering = frames_per_second or 1.0, smoothing or (1.0, 0.0)
        self.turn, self.shape = SmoothRotations(rate, *filtering), OneEuro(rate, SHAPE_CUTOFF_HZ, 0.0)

    @torch.no_grad()
    def __call__(
        self, images: Float[Tensor, "B 3 S S"], R_cam_from_crop: Float[np.ndarray, "B 3 3"]
    ) -> list[BodyInFrame]:
        """Read one body per crop.

        Raises:
            ValueError: the network gives numbers that are not finite.
        """
        device = next(self.network.parameters()).device
        estimate = self.network(images.to(device))
        rotations, betas = estimate.rotations_crop.cpu().double().numpy(), estimate.betas.cpu().double().numpy()
        if not (np.isfinite(rotations).all() and np.isfinite(betas).all()):
            raise ValueError("the network gives numbers that are not finite; its checkpoint is damaged, train it again")
        rotations[:, 0] = R_cam_from_crop @ rotations[:, 0]
        if self.is_smooth:
            rotations = np.stack([self.turn(frame) for frame in rotations])
            betas = np.stack([self.shape(frame) for frame in betas])
        nowhere = torch.zeros(len(betas), 3, device=device)
        as_tensors = [torch.from_numpy(values).float().to(device) for values in (rotations, betas)]
        out = self.body(*as_tensors, nowhere)
        joints_m = self.body.h36m_joints_m(out.vertices_m)
        found = [tensor.cpu().double().numpy() for tensor in (out.vertices_m, out.joints_m[:, 0], joints_m)]
        return [BodyInFrame(*row) for row in zip(rotations, betas, *found, strict=True)]


class Weights(NamedTuple):
    """The network, and the body that it was trained with."""

    checkpoint: Path
    stored: StoredMesh
    body: Body


def load_newest(checkpoint: Path, device: Device, paths: Paths) -> Weights:
    """Read the weights and their body, and print which they are."""
    print(which_weights("checkpoint", checkpoint, paths.runs_location / "mesh"))
    place = choose_device(device)
    stored = load_mesh(checkpoint, place)
    return Weights(checkpoint, stored, load_body_of(stored, checkpoint, paths).to(place))


def person_crops(pictures: Pictures, finder: Finder, stored: StoredMesh, config: PredictConfig) -> Iterator[PhotoCrop]:
    """Cut the person out of every frame; where a video's frame shows nobody, the last box is used again."""
    every, last = enumerate(pictures.frames()), None
    for number, picture in tqdm(every, total=pictures.num_frames, desc="predict", unit="frame", disable=None):
        box = finder.box(number, picture)
        last = box or (last if pictures.is_sequence else None)
        if last is not None:
            yield photo_crop(picture, last, stored.config.crop, config.focal_px, config.person_m)


def placed_bodies(crop: PhotoCrop, found: BodyInFrame, place: OneEuro | None) -> FrameBody:
    """Put a body where its box is."""
    rooted_m = found.vertices_m - found.joints_m[0]
    pelvis_cam_m = placed_in_box(rooted_m, crop.box, crop.camera.K, crop.distance_m)
    move_m = (pelvis_cam_m if place is None else place(pelvis_cam_m)) - found.joints_m[0]
    return FrameBody(crop.picture.name, found.rotations_cam, found.betas, move_m, found.root_joint_m + move_m,
                     found.joints_m + move_m)  # fmt: skip


def write_all(
    pictures: Pictures, finder: Finder, weights: Weights, out: Path, bodies: PredictedBodies, config: PredictConfig
) -> None:
    """Predict and write every frame; `bodies` keeps those with a person."""
    _, stored, body = weights
    rate, faces = pictures.frames_per_second, body.faces.cpu().numpy()
    smoothing = (config.smooth_least_hz, config.smooth_speed) if config.smooth else None
    read = BodiesInFrames(stored.network, body, rate, smoothing)
    place = OneEuro(rate, *smoothing) if rate is not None and smoothing is not None else None
    video = OverlayVideo(out / "overlay.mp4", rate, config.video_px) if rate is not None else None
    meshes = (() if video else ("glb", "obj", "ply")) if config.meshes is None else config.meshes
    for crops in in_chunks(person_crops(pictures, finder, stored, config), config.batch):
        images = torch.stack([to_unit_rgb(crop.image) for crop in crops])
        found = read(images, np.stack([crop.R_cam_from_crop for crop in crops]))
        for crop, one in zip(crops, found, strict=True):
            there = placed_bodies(crop, one, place)
            bodies.add(there)
            vertices_cam_m = one.vertices_m + there.translation_cam_m
            surface = BodySurface(vertices_cam_m, there.joints_cam_m[0], faces)
            rendered = draw(crop.picture.rgb, surface, crop.camera.K, crop.box, config.view_px)
            if video:
                video.add(beside(rendered, config.video_px))
            write_frame(out, there, None if video else rendered, vertices_cam_m, faces, meshes)
    if not bodies:
        raise ValueError(f"no person was found in {pictures.source} by {finder.how}; give --box X Y WIDTH HEIGHT")
    write_tables(out, bodies, stored.body_hash, rate)
    if video is not None and rate is not None:
        video.close()
        shape = torch.from_numpy(bodies.column("betas").mean(axis=0)).float()
        write_motion(out, bodies, rig_of(body, shape), rate)


def predict(weights: Weights, out: Path, config: PredictConfig) -> int:
    """Predict the bodies in the input, fill the folder and tell what was done; return how many frames it holds."""
    pictures = open_pictures(config.input, config.frames)
    if out.exists() and not config.overwrite:
        raise FileExistsError(f"{out} is there already; give another --out, or --overwrite")
    with atomic_folder(out) as (partial,), TemporaryFile(dir=partial) as rows:
        finder = make_finder(pictures, config.box, config.mask, config.find, config.segmentation)
        focal = "given" if config.focal_px else "unknown, taken as 1.146 times the picture's longer side"
        print(f"person found by: {finder.how}\nfocal length: {focal}")
        bodies = PredictedBodies(rows)
        write_all(pictures, finder, weights, partial, bodies, config)
    count = len(bodies)
    if pictures.num_frames is not None and count < 0.9 * pictures.num_frames:
        print(f"{pictures.source} tells of {pictures.num_frames} frames; {count} could be read and show a person")
    return count


def main(config: PredictConfig) -> Path:
    """Predict, write, and return the folder."""
    out = config.out or config.paths.runs_location / "predict" / (Path(config.input).stem or "pictures")
    count = predict(load_newest(config.checkpoint, config.device, config.paths), out, config)
    print(f"{count} frames: {out}")
    return out


if __name__ == "__main__":
    start(main, PredictConfig)
