"""A tiny data set in Human3.6M's layout: coloured discs at the joints before a textured wall, no body model."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from config import Paths
from dataset_def.h36m_files import folder_name
from utils.camera import Camera, project, to_camera
from utils.image import write_image
from utils.skeleton import H36M_17

CENTRES_WORLD_M = np.array([[1.8, 5.0, 1.6], [1.8, -5.1, 1.6], [-1.8, 5.2, 1.5], [-1.8, -3.7, 1.6]])
HEIGHTS_M = dict(zip(H36M_17, (0.95, 0.95, 0.5, 0.08, 0.95, 0.5, 0.08, 1.2, 1.45, 1.6, 1.75, 1.4, 1.15, 0.9, 1.4, 1.15,
                               0.9), strict=True))  # fmt: skip
SIDES_M = {"hip": 0.13, "knee": 0.15, "ankle": 0.15, "shoulder": 0.18, "elbow": 0.3, "wrist": 0.35}
COLOURS = {joint: np.random.default_rng(number).integers(60, 255, 3) for number, joint in enumerate(H36M_17)}


def looking_camera(number: int, width_px: int, height_px: int, k=(0.0, 0.0, 0.0), p=(0.0, 0.0)) -> Camera:
    """Camera 1 to 4, about as in Human3.6M, looking at the middle of the room."""
    centre = CENTRES_WORLD_M[number - 1]
    forward = np.array([0.0, 0.0, 0.9]) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    focal = 1.146 * width_px * np.array([1.0, 1.001])
    middle = np.array([width_px * 0.512, height_px * 0.507])
    R = np.stack([right, np.cross(forward, right), forward])
    return Camera(R, centre, focal, middle, width_px, height_px, np.array(k), np.array(p))


def standing_joints_m(x_m: float, y_m: float, heading_rad: float) -> np.ndarray:
    """17 joints of a stick person (world)."""
    joints = np.zeros((17, 3))
    for row, name in enumerate(H36M_17):
        side, _, part = name.partition("_")
        sideways = SIDES_M.get(part, 0.0) * {"left": 1, "right": -1}.get(side, 0)
        joints[row] = [x_m + sideways * np.cos(heading_rad), y_m + sideways * np.sin(heading_rad), HEIGHTS_M[name]]
    return joints


def wall(subject: int, camera: int, width_px: int, height_px: int) -> np.ndarray:
    """A smooth random texture, different for every subject and camera."""
    coarse = np.random.default_rng([subject, camera]).integers(40, 200, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)


def draw_discs(image: np.ndarray, mask: np.ndarray, camera: Camera, joints_m: np.ndarray, radius_m: float) -> None:
    """Draw a disc at each joint, antialiased, with its centre right to a fraction of a pixel."""
    points_cam_m = to_camera(camera, joints_m)
    for name, (x, y), depth_m in zip(H36M_17, project(camera, points_cam_m), points_cam_m[:, 2], strict=True):
        draw_disc(image, mask, x, y, radius_m * camera.focal_px[0] / depth_m, COLOURS[name])


def draw_disc(image: np.ndarray, mask: np.ndarray, x: float, y: float, radius_px: float, colour: np.ndarray) -> None:
    """Draw one disc; (0.5, 0.5) is the centre of the first pixel."""
    near = int(radius_px) + 2
    rows = slice(max(0, int(y) - near), max(0, int(y) + near))
    columns = slice(max(0, int(x) - near), max(0, int(x) + near))
    down, across = np.arange(len(image))[rows, None] + 0.5 - y, np.arange(image.shape[1])[columns] + 0.5 - x
    cover = np.clip(radius_px - np.hypot(down, across) + 0.5, 0, 1)
    part = image[rows, columns].astype(float)
    image[rows, columns] = np.round(part + cover[..., None] * (colour - part)).astype(np.uint8)
    mask[rows, columns] = np.maximum(mask[rows, columns], np.round(255 * cover).astype(np.uint8))


def write_folder(
    paths: Paths, key: tuple[int, int, int, int], joints_m, camera: Camera, ending: str, with_masks: bool, labels: bool
) -> None:
    """Write the frames, masks and meta file of one folder."""
    subject, _, _, number = key
    for frame, pose_m in enumerate(joints_m, start=1):
        image = wall(subject, number, camera.width_px, camera.height_px)
        mask = np.zeros(image.shape[:2], np.uint8)
        draw_discs(image, mask, camera, pose_m, 0.12)
        stem = f"{folder_name(*key)}_{frame:06d}"
        write_image(paths.h36m_location / folder_name(*key) / f"{stem}.{ending}", image)
        if with_masks:
            write_image(paths.masks_location / folder_name(*key) / f"{stem}.png", mask)
    write_meta(
        paths.h36m_location / folder_name(*key) / "h36m_meta.mat", camera, joints_m if labels else joints_m * np.nan
    )


def write_meta(path: Path, camera: Camera, joints_m: np.ndarray, **changes) -> None:
    """Write h36m_meta.mat as Human3.6M has it: millimetres, single precision, sizes per frame."""
    n = len(joints_m)
    content = {
        "pose3d_world": (joints_m * 1000).astype(np.float32),
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] * 1000,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "img_width": np.full((n, 1), float(camera.width_px)),
        "img_height": np.full((n, 1), float(camera.height_px)),
    }
    if camera.is_distorted:
        content |= {"k": camera.k[None], "p": camera.p[None]}
    content |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})


def write_tiny_h36m(
    root: Path,
    subjects=(1, 9),
    actions=(2, 3),
    subactions=(1,),
    cameras=(1, 2, 3, 4),
    frames=3,
    size_px=128,
    ending="jpg",
    with_masks=True,
    labels=True,
    k=(0.0, 0.0, 0.0),
    p=(0.0, 0.0),
) -> Paths:
    """Write a data set and give its paths.  Cameras 1 and 4 have two rows more than columns, as the real ones."""
    paths = Paths(
        h36m_location=root / "frames",
        masks_location=root / "masks",
        backgrounds_location=root / "backgrounds",
        index_location=root / "index",
        truth_location=root / "truth",
        runs_location=root / "runs",
    )
    for subject in subjects:
        for action in actions:
            for subaction in subactions:
                rng = np.random.default_rng([subject, action, subaction])
                places = rng.uniform((-0.8, -0.8, 0), (0.8, 0.8, 6), (frames, 3))
                walk = [standing_joints_m(x_m, y_m, heading_rad) for x_m, y_m, heading_rad in places]
                for number in cameras:
                    camera = looking_camera(number, size_px, size_px + 2 * (number in (1, 4)), k, p)
                    key = (subject, action, subaction, number)
                    write_folder(paths, key, np.array(walk), camera, ending, with_masks, labels)
    return paths
