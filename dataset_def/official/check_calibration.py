"""Checks that poses, calibration, video and masks of one recording belong together."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from utils.camera import Camera, project, to_camera
from utils.skeleton import H36M_17

WRONG_PX = 2.0
"""Human3.6M's own projections differ by less than 0.2 pixels from ours; another camera's by hundreds."""
ON_MASK = 0.5
"""Share of the joints that lie on the mask where label and picture belong together (usually nearly all)."""


def joints_px(camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"], about: str) -> Float[np.ndarray, "N 17 2"]:
    """Project the joints of a recording, and check that the camera sees the person.

    Raises:
        ValueError: joints lie behind the camera, or the pelvis is mostly outside of the picture.
    """
    points_cam_m = to_camera(camera, joints_world_m)
    if (points_cam_m[..., 2] <= 0).any():
        raise ValueError(f"{about}: joints lie behind the camera; metadata.xml and the poses do not belong together")
    points_px = project(camera, points_cam_m)
    pelvis_px = points_px[:, H36M_17.index("pelvis")]
    is_seen = np.asarray(((pelvis_px >= 0) & (pelvis_px < [camera.width_px, camera.height_px])).all(axis=1))
    if is_seen.mean() < ON_MASK:
        raise ValueError(f"{about}: the pelvis is outside of the picture in {(~is_seen).sum()} of {len(is_seen)} "
                         "frames; metadata.xml and the poses do not belong together")  # fmt: skip
    return points_px


def projection_error_px(
    ours_px: Float[np.ndarray, "N 17 2"], theirs_px: Float[np.ndarray, "M 17 2"], path: Path
) -> float:
    """Compare with the download's own projections; gives the median distance.

    Raises:
        ValueError: another number of frames, or other places in the picture.
    """
    if len(ours_px) != len(theirs_px):
        raise ValueError(f"{path} has {len(theirs_px)} frames, the 3D poses of the same recording {len(ours_px)}; "
                         "download both again")  # fmt: skip
    median_px = float(np.median(np.linalg.norm(ours_px - theirs_px, axis=-1)))
    if not median_px <= WRONG_PX:
        raise ValueError(f"{path} has the joints {median_px:.1f} pixels away from where metadata.xml projects the 3D "
                         "poses; the files do not belong together")  # fmt: skip
    return median_px


def is_on_mask(points_px: Float[np.ndarray, "17 2"], mask: UInt8[np.ndarray, "H W"]) -> bool:
    """Tell whether most joints of a frame lie on its mask."""
    x, y = np.floor(points_px).astype(int).T
    is_inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return bool((mask[y[is_inside], x[is_inside]] > 0).sum() >= ON_MASK * len(points_px))


def usable_frames(poses: int, video: int, masks: int | None, allowed: int, names: tuple[Path, Path | None]) -> int:
    """Count the frames for which everything is there: a video may go on after the last pose, but not end before.

    Args:
        video: frames that the video's header promises.
        names: of the video and of the masks, for the message.
    Raises:
        ValueError: a part ends more than `allowed` frames too early, or there are more masks than pictures.
    """
    if poses - video > allowed:
        raise ValueError(f"{names[0]} has {video} frames, but there are {poses} poses; download it again, or allow "
                         f"frames without picture at the end with --missing-frames {poses - video}")  # fmt: skip
    if masks is None:
        return min(poses, video)
    if poses - masks > allowed:
        raise ValueError(f"{names[1]} has {masks} masks, but there are {poses} poses; download it again, or allow "
                         f"frames without mask at the end with --missing-frames {poses - masks}")  # fmt: skip
    if masks > max(video, poses):
        raise ValueError(f"{names[1]} has {masks} masks, but the video has {video} frames and there are {poses} poses; "
                         "the files do not belong together")  # fmt: skip
    return min(poses, video, masks)
