"""Predict the body in one's own pictures, and write it for other programs.

    python sample/predict.py photo.jpg --box 120 40 200 480
    python sample/predict.py video.mp4 --out runs/predict/video

In Python, `Predictor()(picture, box)` gives the person of one picture.

Reads   an image, a folder, a video or a camera; a checkpoint of stage 4 (sample/train_SMPL_from_enc.py)
Writes  <out>/: joints.json and body.npz of all frames; of images <name>_overlay.jpg, <name>_views.jpg and meshes;
        of a video overlay.mp4, motion.glb, motion.bvh and what --motion-files asks for, with about.json
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from config import ASSETS, Device, Paths, ranged, setting
from dataset_def.photos.crop import PhotoCrop, photo_crop
from dataset_def.photos.person import Finder, make_finder
from dataset_def.photos.pictures import Picture, Pictures, open_pictures, readable
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK
from models.SMPL_from_latent import load_body_of, load_mesh
from utils.artifacts import atomic_folder, file_hash
from utils.batches import in_chunks
from utils.engine import choose_device
from utils.export.about import About, licence_of
from utils.export.motion import MotionFormat, check_formats
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
from utils.image import to_unit_rgb
from utils.one_euro import OneEuro, SmoothRotations
from utils.person_box import Box, check_box, placed_in_box
from utils.settings import start, which_weights
from utils.skeleton import H36M_17


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
    motion_files: tuple[MotionFormat, ...] = ("glb", "bvh")
    """Files of a video's motion: skeleton and skin (glb; fbx with the extra [fbx]), skeleton (bvh), AMASS's .npz with z
    up (amass), named markers (trc; c3d with the extra [c3d]), OpenSim's angles (mot)."""
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


class Person(NamedTuple):
    """One predicted person in the axes of the picture's camera (x right, y down, z forward), in metres."""

    rotations_cam: Float[np.ndarray, "24 3 3"]
    """The root first, R_cam_from_body; the others relative to their parent."""
    betas: Float[np.ndarray, "10"]
    translation_cam_m: Float[np.ndarray, "3"]
    """As the body model takes it."""
    root_joint_cam_m: Float[np.ndarray, "3"]
    joints_cam_m: Float[np.ndarray, "17 3"]
    """Human3.6M's, in the order of utils.skeleton.H36M_17, the pelvis first."""
    vertices_cam_m: Float[np.ndarray, "V 3"]

    def joint_cam_m(self, name: str) -> Float[np.ndarray, "3"]:
        """Give a joint by its name, such as left_wrist.

        Raises:
            ValueError: there is no such joint.
        """
        if name not in H36M_17:
            raise ValueError(f"there is no joint {name!r}; there are {', '.join(H36M_17)}")
        return self.joints_cam_m[H36M_17.index(name)]


class Predictor:
    """Predicts one person per picture; reads the weights and their body once.

        predictor = Predictor()
        person = predictor(picture_rgb, box=(120, 40, 200, 480))

    Args:
        checkpoint: checkpoint_best.pt of stage 4.
        paths: where the body lies that the checkpoint was trained with.
    """

    def __init__(
        self,
        checkpoint: Path | str = PredictConfig.checkpoint,
        device: Device = "auto",
        paths: Paths | None = None,
    ) -> None:
        checkpoint, self.device = Path(checkpoint), choose_device(device)
        self.stored = load_mesh(checkpoint, self.device)
        self.body = load_body_of(self.stored, checkpoint, paths or Paths()).to(self.device)
        self.faces: Int[np.ndarray, "F 3"] = self.body.faces.cpu().numpy()
        licence = licence_of((paths or Paths()).models_smpl_location, checkpoint)
        self.about = About(self.stored.reads.tier, file_hash(checkpoint), self.stored.body_hash, licence)

    def __call__(
        self,
        rgb: UInt8[np.ndarray, "H W 3"],
        box: tuple[float, float, float, float],
        focal_px: float | None = PredictConfig.focal_px,
        person_m: float = PredictConfig.person_m,
    ) -> Person:
        """Predict the person in a box of a picture.

        Args:
            rgb: red first (utils.image.read_image gives that; OpenCV's own imread does not).
            box: x, y, width, height in pixels.
            focal_px: of the camera; without it, 1.146 times the longer side of the picture.
            person_m: taken for the longer side of the box, which gives the distance.
        Raises:
            ValueError: this is no such picture, or the box lies outside of it.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"the picture is {rgb.dtype} of shape {rgb.shape}; give uint8 of shape (height, width, 3)")
        check_box(Box(*box), rgb.shape[1], rgb.shape[0], "the picture")
        [person] = PeopleInFrames(self)([self.crop(Picture("picture", rgb), Box(*box), focal_px, person_m)])
        return person

    def crop(self, picture: Picture, box: Box, focal_px: float | None, person_m: float) -> PhotoCrop:
        """Cut a person out as the network was trained to see people."""
        return photo_crop(picture, box, self.stored.config.crop, focal_px, person_m)


class PeopleInFrames:
    """Predicts people from batches of crops, which must come in the order of their frames if they are filtered.

    Args:
        frames_per_second: of a video; None for pictures that have nothing to do with each other.
        smoothing: cutoff at rest in Hz and speed factor of the One-Euro filter; None for no filter.
    """

    def __init__(
        self,
        predictor: Predictor,
        frames_per_second: float | None = None,
        smoothing: tuple[float, float] | None = None,
    ) -> None:
        self.predictor = predictor
        self.is_smooth = smoothing is not None and frames_per_second is not None
        rate, filtering = frames_per_second or 1.0, smoothing or (1.0, 0.0)
        self.turn, self.shape = SmoothRotations(rate, *filtering), OneEuro(rate, SHAPE_CUTOFF_HZ, 0.0)
        self.place = OneEuro(rate, *filtering)

    @torch.no_grad()
    def __call__(self, crops: Sequence[PhotoCrop]) -> list[Person]:
        """Predict one person per crop.

        Raises:
            ValueError: the network gives numbers that are not finite.
        """
        network, body, device = self.predictor.stored.network, self.predictor.body, self.predictor.device
        estimate = network(torch.stack([to_unit_rgb(crop.image) for crop in crops]).to(device))
        rotations, betas = estimate.rotations_crop.cpu().double().numpy(), estimate.betas.cpu().double().numpy()
        if not (np.isfinite(rotations).all() and np.isfinite(betas).all()):
            raise ValueError("the network gives numbers that are not finite; its checkpoint is damaged, train it again")
        rotations[:, 0] = np.stack([crop.R_cam_from_crop for crop in crops]) @ rotations[:, 0]
        if self.is_smooth:
            rotations = np.stack([self.turn(frame) for frame in rotations])
            betas = np.stack([self.shape(frame) for frame in betas])
        nowhere = torch.zeros(len(betas), 3, device=device)
        out = body(*(torch.from_numpy(values).float().to(device) for values in (rotations, betas)), nowhere)
        joints_m = body.h36m_joints_m(out.vertices_m)
        found = [tensor.cpu().double().numpy() for tensor in (out.joints_m[:, 0], joints_m, out.vertices_m)]
        return [self._placed(crop, *row) for crop, *row in zip(crops, rotations, betas, *found, strict=True)]

    def _placed(self, crop: PhotoCrop, rotations: np.ndarray, betas: np.ndarray, root_joint_m: np.ndarray,
                joints_m: np.ndarray, vertices_m: np.ndarray) -> Person:  # fmt: skip
        """Put a body where its box is."""
        pelvis_cam_m = placed_in_box(vertices_m - joints_m[0], crop.box, crop.camera.K, crop.distance_m)
        move_m = (self.place(pelvis_cam_m) if self.is_smooth else pelvis_cam_m) - joints_m[0]
        return Person(rotations, betas, move_m, root_joint_m + move_m, joints_m + move_m, vertices_m + move_m)


def person_crops(
    pictures: Pictures, finder: Finder, predictor: Predictor, config: PredictConfig
) -> Iterator[PhotoCrop]:
    """Cut the person out of every frame; where a video's frame shows nobody, the last box is used again."""
    every, last = enumerate(pictures.frames()), None
    for number, picture in tqdm(every, total=pictures.num_frames, desc="predict", unit="frame", disable=None):
        box = finder.box(number, picture)
        last = box or (last if pictures.is_sequence else None)
        if last is not None:
            yield predictor.crop(picture, last, config.focal_px, config.person_m)


def write_all(
    pictures: Pictures, finder: Finder, predictor: Predictor, out: Path, bodies: PredictedBodies, config: PredictConfig
) -> None:
    """Predict and write every frame; `bodies` keeps those with a person."""
    rate, faces = pictures.frames_per_second, predictor.faces
    smoothing = (config.smooth_least_hz, config.smooth_speed) if config.smooth else None
    read = PeopleInFrames(predictor, rate, smoothing)
    video = OverlayVideo(out / "overlay.mp4", rate, config.video_px) if rate is not None else None
    meshes = (() if video else ("glb", "obj", "ply")) if config.meshes is None else config.meshes
    for crops in in_chunks(person_crops(pictures, finder, predictor, config), config.batch):
        for crop, person in zip(crops, read(crops), strict=True):
            there = FrameBody(crop.picture.name, *person[:-1])
            bodies.add(there)
            surface = BodySurface(person.vertices_cam_m, person.joints_cam_m[0], faces)
            rendered = draw(crop.picture.rgb, surface, crop.camera.K, crop.box, config.view_px)
            if video:
                video.add(beside(rendered, config.video_px))
            write_frame(out, there, None if video else rendered, person.vertices_cam_m, faces, meshes, predictor.about)
    if not bodies:
        raise ValueError(f"no person was found in {pictures.source} by {finder.how}; give --box X Y WIDTH HEIGHT")
    write_tables(out, bodies, predictor.about, rate)
    if video is not None and rate is not None:
        video.close()
        write_motion(out, bodies, predictor.body, predictor.about, rate, config.motion_files)


def predict(predictor: Predictor, out: Path, config: PredictConfig) -> int:
    """Predict the bodies in the input, fill the folder and tell what was done; return how many frames it holds."""
    check_formats(config.motion_files)
    pictures = open_pictures(config.input, config.frames)
    if out.exists() and not config.overwrite:
        raise FileExistsError(f"{out} is there already; give another --out, or --overwrite")
    with atomic_folder(out) as (partial,), TemporaryFile(dir=partial) as rows:
        finder = make_finder(pictures, config.box, config.mask, config.find, config.segmentation)
        focal = "given" if config.focal_px else "unknown, taken as 1.146 times the picture's longer side"
        print(f"person found by: {finder.how}\nfocal length: {focal}")
        bodies = PredictedBodies(rows)
        write_all(pictures, finder, predictor, partial, bodies, config)
    count = len(bodies)
    if pictures.num_frames is not None and count < 0.9 * pictures.num_frames:
        print(f"{pictures.source} tells of {pictures.num_frames} frames; {count} could be read and show a person")
    return count


def main(config: PredictConfig) -> Path:
    """Predict, write, and return the folder."""
    out = config.out or config.paths.runs_location / "predict" / (readable(Path(config.input).stem) or "pictures")
    print(which_weights("checkpoint", config.checkpoint, config.paths.runs_location / "mesh"))
    count = predict(Predictor(config.checkpoint, config.device, config.paths), out, config)
    print(f"{count} frames: {out}")
    return out


if __name__ == "__main__":
    start(main, PredictConfig)
