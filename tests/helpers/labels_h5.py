"""Writes crops and labels.h5, as the authors of the novel-view method preprocess Human3.6M, from a known data set."""

from pathlib import Path

import h5py
import numpy as np

from config import Paths
from dataset_def.crop import crop_camera, cut
from dataset_def.h36m_files import FrameKey, find_folders, load_image, load_meta, meta_path
from utils.camera import Camera, to_camera
from utils.image import write_image

SIZE_PX = 64
SIDE_M = 2.2


def crop_labels(meta_joints_m: np.ndarray, crop: Camera) -> dict[str, np.ndarray]:
    """Give the arrays that describe one crop."""
    joints_crop_m = to_camera(crop, meta_joints_m)
    return {
        "3D": (joints_crop_m - joints_crop_m[:1]).ravel(),
        "extrinsic_rot": crop.R_cam_from_world.ravel(),
        "extrinsic_rot_inv": crop.R_cam_from_world.T.ravel(),
        "intrinsic_crop": crop.K.ravel(),
        "bounding_box_cam": np.zeros(4),
    }


def write_labels_h5(folder: Path, paths: Paths, backgrounds: dict[tuple[int, int], np.ndarray]) -> dict:
    """Write crops about the pelvis and their labels; gives the arrays."""
    rows: dict[str, list] = {}
    for key in find_folders(paths):
        subject, action, _, number = key
        meta = load_meta(meta_path(paths, key))
        for frame, joints_m in enumerate(meta.joints_world_m, start=1):
            crop = crop_camera(meta.camera, joints_m[0], SIZE_PX, SIDE_M)
            place = folder / f"seq_{action:03d}" / f"cam_{number:02d}"
            image = load_image(paths, FrameKey(*key, frame), meta.camera)
            write_image(place / f"img_crop_{5 * frame:06d}.png", cut(image, meta.camera, crop))
            write_image(place / f"bg_crop_{5 * frame:06d}.png", cut(backgrounds[subject, number], meta.camera, crop))
            names = {"subj": subject, "seq": action, "cam": number, "frame": 5 * frame}
            for name, values in (
                {name: [value] for name, value in names.items()} | crop_labels(joints_m, crop)
            ).items():
                rows.setdefault(name, []).append(values)
    arrays = {name: np.array(values, np.float32) for name, values in rows.items()}
    save_labels(folder, arrays)
    return arrays


def save_labels(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write labels.h5."""
    with h5py.File(folder / "labels.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
