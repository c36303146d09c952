"""Frames of a video as an ideal camera of the calibration's size would see them: no bars, no lens distortion."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from utils.camera import Camera, distort, to_rays

BAR_LEVEL = 48
"""A black bar of a compressed video stays below this in nine of ten pixels."""


class Letterbox(NamedTuple):
    """How a picture of the calibration's size lies in a video of another size: shrunk evenly, between two bars."""

    scale: float
    left_px: float
    top_px: float


def letterbox(camera: Camera, width_px: int, height_px: int) -> Letterbox:
    """Fit the calibrated picture into a video, centred, without changing its proportions."""
    scale = min(width_px / camera.width_px, height_px / camera.height_px)
    return Letterbox(scale, (width_px - scale * camera.width_px) / 2, (height_px - scale * camera.height_px) / 2)


def check_size(name: str, width_px: int, height_px: int, camera: Camera, allowed: str) -> None:
    """Stop if a video has another size than its calibration, unless the user says how it came to that.

    Args:
        allowed: exact, scaled or letterboxed.
    Raises:
        ValueError: naming the setting that would fit, if one does.
    """
    calibrated = (camera.width_px, camera.height_px)
    if (width_px, height_px) == calibrated or allowed == "letterboxed":
        return
    scale = width_px / camera.width_px
    is_scaled = abs(height_px - scale * camera.height_px) <= 1 + 0.5 * scale
    if allowed == "scaled" and is_scaled:
        return
    if (height_px, width_px) == calibrated:
        raise ValueError(f"{name} is {width_px} x {height_px} pixels and its calibration is for {calibrated[0]} x "
                         f"{calibrated[1]}: one of them is turned by a quarter; turn the video back (ffmpeg -vf "
                         "transpose=1 or 2), or calibrate the turned one")  # fmt: skip
    remedy = "if the video was made smaller or larger evenly, add --video-size scaled" if is_scaled else (
        "if it was shrunk between black bars, add --video-size letterboxed"
    )  # fmt: skip
    raise ValueError(f"{name} is {width_px} x {height_px} pixels, but its calibration is for {calibrated[0]} x "
                     f"{calibrated[1]}; use the calibration of this video, or {remedy}")  # fmt: skip


def check_bars(name: str, image: UInt8[np.ndarray, "H W 3"], camera: Camera) -> None:
    """Stop if a video has another size than its calibration without the bars that would explain it.

    Raises:
        ValueError: the picture may have been cut or stretched; the calibration does not fit it.
    """
    height_px, width_px = image.shape[:2]
    box = letterbox(camera, width_px, height_px)
    rows, columns = int(box.top_px), int(box.left_px)
    bars = [image[:rows], image[height_px - rows :], image[:, :columns], image[:, width_px - columns :]]
    brightest = max((int(np.percentile(bar, 90)) for bar in bars if bar.size), default=0)
    if brightest > BAR_LEVEL:
        raise ValueError(
            f"{name} is {width_px} x {height_px}, its calibration {camera.width_px} x {camera.height_px}, and no black "
            f"bars explain the difference (level {brightest}); scale or cut the calibration to the video"
        )


def sampling_map(camera: Camera, box: Letterbox) -> Float32[np.ndarray, "H W 2"]:
    """Say where in the video each pixel of the ideal camera lies, in OpenCV's pixels (centres at whole numbers)."""
    ideal_px = np.stack(np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px)), axis=-1) + 0.5
    lens_px = distort(camera, (ideal_px - camera.centre_px) / camera.focal_px) * camera.focal_px + camera.centre_px
    return (lens_px * box.scale + [box.left_px, box.top_px] - 0.5).astype(np.float32)


def pinhole(camera: Camera) -> Camera:
    """Describe the ideal camera: the same without distortion."""
    distortion = "opencv" if camera.distortion == "fisheye" else camera.distortion
    return camera._replace(k=np.zeros(3), p=np.zeros(2), distortion=distortion)


def undistorted_px(camera: Camera, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Take pixels of the calibrated picture to those of the ideal camera."""
    return to_rays(camera, points_px)[..., :2] * camera.focal_px + camera.centre_px


def ideal_image(image: UInt8[np.ndarray, "H W 3"], where: Float32[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Resample a frame as the ideal camera sees it; what lies a little outside repeats the border."""
    nothing = np.empty(0, np.float32)  # the second map, which OpenCV's types want and a two-channel map leaves empty
    return cv2.remap(image, where, nothing, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
