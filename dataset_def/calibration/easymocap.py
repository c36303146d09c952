"""Reads and writes the cameras of EasyMocap: intri.yml and extri.yml, OpenCV's YAML, in metres.

`names` lists the cameras; K_<name>, dist_<name> in intri.yml; R_<name> (rotation vector) or Rot_<name> (matrix) and
T_<name> (x_cam = R x_world + T) in extri.yml; H_<name> and W_<name>, where present, are the picture's size.
"""

from collections.abc import Mapping
from pathlib import Path

from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import (
    Calibration,
    StoredCamera,
    Tree,
    by_ending,
    coefficients,
    finite_number,
    lens,
    numbers,
    read_lens,
    read_tree,
    rotation_of,
    yaml_matrix,
)
from utils.artifacts import atomic_write
from utils.camera import Camera


def read_easymocap(intri: Path, extri: Path) -> Calibration:
    """Read the cameras of a pair of files, by name.

    Raises:
        ValueError: a camera of one file is not in the other, or lacks a value.
    """
    inner, outer = read_tree(intri), read_tree(extri)
    names = [str(name) for name in inner.get("names", [])]
    names = names or [key.removeprefix("K_") for key in inner if key.startswith("K_")]
    if not names:
        raise ValueError(f"{intri} names no camera: neither `names` nor a key like K_01; write it again")
    if len(set(names)) < len(names):
        raise ValueError(f"{intri} has two cameras with the same name; give every camera its own")
    return Calibration(f"{intri} and {extri}", {n: _camera(n, inner, outer, intri, extri) for n in names}, "m")


def _camera(name: str, inner: Tree, outer: Tree, intri: Path, extri: Path) -> StoredCamera:
    """Read one camera from the two files."""
    rotation_key = f"Rot_{name}" if f"Rot_{name}" in outer else f"R_{name}"
    required = [(inner, f"K_{name}", intri), (outer, rotation_key, extri), (outer, f"T_{name}", extri)]
    for tree, key, path in required:
        if key not in tree:
            raise ValueError(f"{path} has no {key}; calibrate camera {name} again, or leave it away")
    focal_px, centre_px = lens(numbers(inner[f"K_{name}"], f"{intri}: K_{name}", (3, 3)), f"{intri}, camera {name}")
    R = rotation_of(outer[rotation_key], f"{extri}: {rotation_key}")
    T = numbers(outer[f"T_{name}"], f"{extri}: T_{name}", (3,))
    k, p, model = read_lens(f"{intri}, camera {name}", by_ending(inner).get(name, {}))
    sizes = [
        finite_number(inner[f"{side}_{name}"], f"{intri}: {side}_{name}") for side in "WH" if f"{side}_{name}" in inner
    ]
    size_px = (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else None
    return StoredCamera(R, -R.T @ T, focal_px, centre_px, size_px, k, p, model)


def write_easymocap(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write intri.yml and extri.yml."""
    names = "\n".join(["names:", *(f'   - "{name}"' for name in cameras)])
    inner, outer = ["%YAML:1.0", "---", names], ["%YAML:1.0", "---", names]
    for name, camera in cameras.items():
        if camera.distortion == "fisheye":
            raise ValueError(f"camera {name} has a fisheye lens, which EasyMocap's files cannot describe; use pose2sim")
        R = camera.R_cam_from_world
        K = camera.K
        K[:2, 2] -= 0.5
        inner += [yaml_matrix(f"K_{name}", K), yaml_matrix(f"dist_{name}", coefficients(camera)[None])]
        inner += [f"H_{name}: {camera.height_px}", f"W_{name}: {camera.width_px}"]
        rotvec = Rotation.from_matrix(R).as_rotvec()
        outer += [yaml_matrix(f"R_{name}", rotvec[:, None]), yaml_matrix(f"Rot_{name}", R)]
        outer += [yaml_matrix(f"T_{name}", (-R @ camera.centre_world_m)[:, None])]
    paths = [folder / "intri.yml", folder / "extri.yml"]
    for path, lines in zip(paths, (inner, outer), strict=True):
        with atomic_write(path) as partial:
            partial.write_text("\n".join(lines) + "\n")
    return paths
