"""How far image networks are from the keypoints tier on pictures of people whose bodies nobody knows: to choose by.

    pip install -e ".[keypoints]"
    python dataset_def/photos/person.py
    python tests/benchmarks/pixels_beside_keypoints.py --pictures photos/ walk.mp4
        --checkpoints models/assets/open_body_photos.pt runs/pose/mine/checkpoint_best.pt

Reads   your pictures and videos, with real people in them who are whole; checkpoints of stages 2 (with heat maps) and 4
Writes  a table on the screen.  The keypoints tier is no truth: on the recording of bench_real.py, whose pictures choose
        nothing and should not be given here, it errs by 90 mm (N-MPJPE) and 5 degrees
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from config import ASSETS, Crop
from dataset_def.photos.blazepose import BLAZEPOSE, KEYPOINT_NETWORKS, BlazePose, SeenPerson
from dataset_def.photos.crop import PhotoCrop, photo_camera, photo_crop
from dataset_def.photos.keypoints import keypoints_of
from dataset_def.photos.pictures import Picture, open_pictures
from models.pose_from_latent import load_pose
from models.pose_from_maps import PoseFromMaps
from sample.predict import KeypointPredictor, PeopleInFrames, Predictor, SeenKeypoints
from tests.benchmarks.bench_real import PCK, box_around
from tests.benchmarks.bodies_on_recording import LIMBS, about_hips
from utils.artifacts import load_checkpoint
from utils.camera import project
from utils.image import to_unit_rgb
from utils.metrics import n_mpjpe_mm, pa_mpjpe_mm, yaw_error_degrees
from utils.person_box import Box
from utils.settings import start
from utils.skeleton import H36M_17

PERSON_M = 1.7
"""Taken for the longer side of a box, as sample/predict.py does."""
WHOLE = tuple(row for row, name in enumerate(BLAZEPOSE)
              if name.endswith(("shoulder", "elbow", "hip", "knee", "ankle")))  # fmt: skip
"""Points that must all be in sight: what a cut-off body does is not known."""
UPRIGHT = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""R_cam_from_world of a level camera, which every picture is taken to be of."""


@dataclass(frozen=True)
class Settings:
    """What is compared."""

    pictures: tuple[str, ...]
    """Pictures, folders of them, and videos."""
    checkpoints: tuple[Path, ...] = (ASSETS / "open_body_photos.pt",)
    every: int = 30
    """Every n-th frame of a video."""
    least_px: float = 80.0
    """Smaller people are left out."""
    least_confidence: float = 0.5
    """So are those of whom a limb is less surely seen."""
    detector_location: Path = KEYPOINT_NETWORKS
    lifter: Path = ASSETS / "open_lifter.pt"


class Known(NamedTuple):
    """A person in a picture, and the body of the keypoints tier."""

    picture: Picture
    box: Box
    joints_cam_m: Float[np.ndarray, "17 3"]
    joints_px: Float[np.ndarray, "17 2"]


class Said(NamedTuple):
    """What a network says of some people."""

    joints_cam_m: Float[np.ndarray, "N 17 3"]
    joints_px: Float[np.ndarray, "N 17 2"]


Reader = Callable[[list[PhotoCrop]], Said]


def is_whole(seen: SeenPerson, picture: Picture, settings: Settings) -> bool:
    """Say whether all limbs of a person are in the picture and in sight, and large enough."""
    (height, width), box = picture.rgb.shape[:2], seen.box
    low, high = seen.points_px[list(WHOLE)].min(axis=0), seen.points_px[list(WHOLE)].max(axis=0)
    is_inside = bool((low >= 0).all()) and high[0] < width and high[1] < height
    is_sure = seen.confidence[list(WHOLE)].min() >= settings.least_confidence
    return is_inside and is_sure and max(box.width_px, box.height_px) >= settings.least_px


def people_in(settings: Settings) -> Iterator[Known]:
    """Find everybody who is whole, and read bodies by the keypoints tier."""
    networks = BlazePose(settings.detector_location)
    predictor = KeypointPredictor(settings.lifter, networks)
    for source in settings.pictures:
        pictures = open_pictures(source)
        step = settings.every if pictures.is_sequence else 1
        for picture in islice(pictures.frames(), 0, None, step):
            camera = photo_camera(picture, None)
            for seen in networks.people(picture.rgb):
                person = keypoints_of(seen.points_px, seen.confidence, BLAZEPOSE, True)
                if person is None or not is_whole(seen, picture, settings):
                    continue
                [body] = predictor.bodies([SeenKeypoints(picture, person.box, camera, person)])
                joints_px = project(camera, body.joints_cam_m)
                yield Known(picture, box_around(joints_px), body.joints_cam_m, joints_px)


def reader_of(checkpoint: Path) -> tuple[Reader, Crop]:
    """Open a network of stage 2 or 4, and tell which crops it reads.

    Raises:
        ValueError: it is of stage 2 and reads points, which are nowhere in the picture.
    """
    if load_checkpoint(checkpoint, "pose", "mesh")["stage"] == "mesh":
        predictor = Predictor(checkpoint, "cpu")

        def bodies(crops: list[PhotoCrop]) -> Said:
            joints_m = [person.joints_cam_m for person in PeopleInFrames(predictor)(crops)]
            joints_px = [project(crop.camera, one) for crop, one in zip(crops, joints_m, strict=True)]
            return Said(np.stack(joints_m), np.stack(joints_px))

        return bodies, predictor.stored.config.crop
    stored = load_pose(checkpoint, torch.device("cpu"))
    if not isinstance(stored.network.head, PoseFromMaps):
        raise ValueError(f"{checkpoint} reads joints off points; give a checkpoint of stage 2 with heat maps")

    @torch.no_grad()
    def joints(crops: list[PhotoCrop]) -> Said:
        found = stored.network.maps(torch.stack([to_unit_rgb(crop.image) for crop in crops]))
        seen_m = found.points.points_m[..., :2].double().numpy()
        turned = zip(crops, found.joints_root_m.double().numpy(), seen_m, strict=True)
        rows = [(root_m @ crop.R_cam_from_crop.T, shown_px(crop, xy_m)) for crop, root_m, xy_m in turned]
        return Said(*(np.stack(column) for column in zip(*rows, strict=True)))

    return joints, stored.encoder_config.crop


def shown_px(crop: PhotoCrop, seen_m: Float[np.ndarray, "17 2"]) -> Float[np.ndarray, "17 2"]:
    """Say where points in the plane through the crop's centre are in its picture."""
    in_crop_m = np.concatenate([seen_m, np.full((len(seen_m), 1), crop.distance_m)], axis=1)
    return project(crop.camera, in_crop_m @ crop.R_cam_from_crop.T)


def beside(said: Said, known: list[Known]) -> dict[str, float]:
    """Measure how far the bodies of a network are from those of the keypoints tier."""
    mine, theirs = (
        torch.from_numpy(rows).float() for rows in (said.joints_cam_m, np.stack([one.joints_cam_m for one in known]))
    )
    limbs = [torch.from_numpy(about_hips(joints_m.numpy())) for joints_m in (mine, theirs)]
    yaw: Tensor = yaw_error_degrees(mine, theirs, UPRIGHT.expand(len(known), 3, 3))
    rows = [H36M_17.index(name) for name in LIMBS]
    near = [np.linalg.norm(mine_px - one.joints_px, axis=-1)[rows] < PCK * max(one.box.width_px, one.box.height_px)
            for mine_px, one in zip(said.joints_px, known, strict=True)]  # fmt: skip
    return {
        "n_mpjpe_mm": n_mpjpe_mm(*limbs).mean().item(), "p_mpjpe_mm": pa_mpjpe_mm(*limbs).mean().item(),
        "yaw_median_deg": yaw.median().item(), "yaw_mean_deg": yaw.mean().item(),
        "beyond_90_percent": 100 * (yaw > 90).float().mean().item(), "pck_10_percent": 100 * float(np.mean(near)),
    }  # fmt: skip


def main(settings: Settings) -> dict[str, dict[str, float]]:
    """Compare all checkpoints on the same people, and print.

    Raises:
        ValueError: nobody in the pictures is whole.
    """
    torch.set_num_threads(1)
    known, rows = list(people_in(settings)), {}
    if not known:
        raise ValueError(f"nobody is whole and at least {settings.least_px:.0f} pixels long in {settings.pictures}; "
                         "give other pictures")  # fmt: skip
    print(
        f"{len(known)} people; from the keypoints tier: N / P-MPJPE mm, yaw median / mean degrees, beyond 90, PCK@10 %"
    )
    for checkpoint in settings.checkpoints:
        read, crop = reader_of(checkpoint)
        parts = [read([photo_crop(one.picture, one.box, crop, None, PERSON_M)]) for one in known]
        row = beside(Said(*(np.concatenate(column) for column in zip(*parts, strict=True))), known)
        rows[str(checkpoint)] = row
        print(
            f"{row['n_mpjpe_mm']:.0f} / {row['p_mpjpe_mm']:.0f}, {row['yaw_median_deg']:.0f} / "
            f"{row['yaw_mean_deg']:.0f}, {row['beyond_90_percent']:.0f} %, {row['pck_10_percent']:.0f} %  {checkpoint}"
        )
    return rows


if __name__ == "__main__":
    start(main, Settings)
