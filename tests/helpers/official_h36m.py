"""Writes the official Human3.6M download (videos, .cdf, mask .mat, metadata.xml) from a data set in our layout.

Needs cdflib and h5py.  Nothing of the converter is used: the angles come from SciPy, the files from the libraries.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io
from cdflib.cdfwrite import CDF
from scipy.spatial.transform import Rotation

from config import Paths
from dataset_def.h36m_files import FrameKey, Meta, find_folders, load_image, load_mask, load_meta, meta_path
from utils.camera import Camera, project, to_camera
from utils.skeleton import H36M_17_FROM_32

SERIALS = ("54138969", "55011271", "58860488", "60457274")
ACTIONS = ("_ALL", "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting",
           "SittingDown", "Smoking", "TakingPhoto", "Waiting", "Walking", "WalkingDog", "WalkTogether")  # fmt: skip
MATLAB_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8 + b"\x00\x02IM"
CODECS = {"mkv": "FFV1", "avi": "FFV1", "mp4": "mp4v"}
"""FFV1 loses nothing, mp4v does."""


def recording_name(subject: int, action: int, subaction: int) -> str:
    """Names as in metadata.xml: S1 is spelled otherwise than the rest, and the second take has no number."""
    name = ACTIONS[action - 1]
    if subject != 1:
        name = name.replace("TakingPhoto", "Photo").replace("WalkingDog", "WalkDog")
    return f"{name} 1" if subaction == 1 else name


def write_metadata(path: Path, cameras: dict[tuple[int, int], Camera]) -> None:
    """Write metadata.xml for the cameras of (subject, camera number)."""
    places, lenses = np.zeros((4, 11, 6)), np.full((4, 9), 1.0)
    for (subject, number), camera in cameras.items():
        angles = Rotation.from_matrix(camera.R_cam_from_world).as_euler("XYZ")
        places[number - 1, subject - 1] = [*angles, *camera.centre_world_m * 1000]
        lenses[number - 1] = [*camera.focal_px, *camera.centre_px, *camera.k, *camera.p]
    values = " ".join(repr(float(value)) for value in [*places.ravel(), *lenses.ravel()])
    rows = [["", "", *(f"S{subject}" for subject in range(1, 12))]]
    for action in range(1, 17):
        for subaction in (1, 2):
            names = [recording_name(subject, action, subaction) for subject in range(1, 12)]
            rows.append([str(action), str(subaction), *names])
    rows.append(["", "", "not", "a", "recording"])
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<metadata><mapping>{table}</mapping><actionnames/><w0>[{values}]</w0></metadata>")


def write_cdf(path: Path, values: np.ndarray) -> None:
    """Write (frames, numbers) as the variable Pose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    file = CDF(path, cdf_spec={"Compressed": 0})
    spec = {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable",
            "Dim_Sizes": list(values.shape), "Dim_Vary": [True, True], "Compress": 6}  # fmt: skip
    file.write_var(spec, var_data=values[None].astype(np.float32))
    file.close()


def write_poses(path: Path, of_17: np.ndarray) -> None:
    """Write 17 joints as the 32 of the original; the other 15 hold numbers that must not be used."""
    of_32 = np.full((len(of_17), 32, of_17.shape[2]), 7e3)
    of_32[:, list(H36M_17_FROM_32)] = of_17
    write_cdf(path, of_32.reshape(len(of_17), -1))


def write_video(path: Path, images: Iterator[np.ndarray], codec: str = "") -> None:
    """Write RGB pictures as a video at 50 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for image in images:
        if writer is None:
            code = cv2.VideoWriter.fourcc(*(codec or CODECS[path.suffix[1:]]))
            writer = cv2.VideoWriter(str(path), code, 50, (image.shape[1], image.shape[0]))
        writer.write(image[..., ::-1].copy())
    writer.release()


def write_masks_73(path: Path, masks: list[np.ndarray]) -> None:
    """Write masks as MATLAB 7.3 does: an HDF5 file behind MATLAB's text, rows and columns swapped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        pictures = file.create_group("#refs#")
        cell = file.create_dataset("Masks", (len(masks), 1), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        for row, mask in enumerate(masks):
            logical = (mask > 128).astype(np.uint8)
            picture = pictures.create_dataset(f"m{row}", data=logical.T, compression="gzip")
            picture.attrs["MATLAB_class"] = np.bytes_("logical")
            cell[row, 0] = picture.ref
    with open(path, "r+b") as stream:
        stream.write(MATLAB_HEADER)


def write_masks_5(path: Path, masks: list[np.ndarray]) -> None:
    """Write masks as older MATLAB versions do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = np.empty((len(masks), 1), dtype=object)
    for row, mask in enumerate(masks):
        cell[row, 0] = mask > 128
    scipy.io.savemat(path, {"Masks": cell}, do_compression=True)


def frames_of(paths: Paths, key: tuple[int, int, int, int], meta: Meta, load=load_image) -> Iterator[np.ndarray]:
    """Read the pictures of a folder."""
    for frame in range(1, len(meta.joints_world_m) + 1):
        yield load(paths, FrameKey(*key, frame), meta.camera)


def write_official(
    root: Path, paths: Paths, ending: str = "mkv", with_masks: bool = True, with_points: bool = True
) -> Path:
    """Write the download that the data set at `paths` would come from; gives its folder."""
    cameras = {}
    for key in find_folders(paths):
        subject, action, subaction, number = key
        meta = load_meta(meta_path(paths, key))
        cameras[subject, number] = meta.camera
        folder, name = root / f"S{subject}", recording_name(subject, action, subaction)
        view = f"{name}.{SERIALS[number - 1]}"
        write_video(folder / "Videos" / f"{view}.{ending}", frames_of(paths, key, meta))
        write_poses(folder / "Poses_D3_Positions" / f"{name}.cdf", meta.joints_world_m * 1000)
        if with_points:
            points_px = project(meta.camera, to_camera(meta.camera, meta.joints_world_m))
            write_poses(folder / "Poses_D2_Positions" / f"{view}.cdf", points_px)
        if with_masks:
            masks = list(frames_of(paths, key, meta, load_mask))
            write_masks_73(folder / "MySegmentsMat" / "ground_truth_bs" / f"{view}.mat", masks)
    write_metadata(root / "metadata.xml", cameras)
    return root
