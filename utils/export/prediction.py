"""What predict.py writes: pictures and meshes frame by frame, and at the end joints, parameters and motions."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from utils.draw_mesh import overlay, turned_view
from utils.export.about import About, write_about
from utils.export.motion import (
    OF_CAMERA,
    MotionFormat,
    MovingBody,
    body_motion,
    bridged,
    told_gaps,
    write_motion_files,
)
from utils.export.rig import Y_UP_FROM_CAM, BodyModel, blocks, to_y_up
from utils.export.tables import write_body_parameters, write_joints_json, write_mesh
from utils.image import write_image
from utils.person_box import Box
from utils.seen import BY_PICTURE, SeenJoints

BOX_RGB = (255, 210, 60)


class FrameBody(NamedTuple):
    """The body of one frame, in the camera's frame (x right, y down, z forward)."""

    name: str
    number: int
    """Of a video: its place among the frames, from 0."""
    rotations_cam: Float[np.ndarray, "24 3 3"]
    betas: Float[np.ndarray, "10"]
    translation_cam_m: Float[np.ndarray, "3"]
    """Translation of the body layer's convention: SMPL's root turns about its rest position."""
    root_joint_cam_m: Float[np.ndarray, "3"]
    joints_cam_m: Float[np.ndarray, "17 3"]
    seen: Float[np.ndarray, "17"]
    """0 to 1, how surely each of these joints was seen; NaN where that is not known."""


ROW = np.dtype([("rotations_cam", np.float32, (24, 3, 3)), ("betas", float, 10), ("translation_cam_m", float, 3),
                ("root_joint_cam_m", float, 3), ("joints_cam_m", float, (17, 3)),
                ("seen", np.float32, 17)])  # fmt: skip
"""What is kept of a frame: a FrameBody without name and number, 1.5 kB.  The network's rotations are of single
precision."""


class PredictedBodies:
    """The bodies of all frames, kept in a file rather than in memory: a video may last for hours.

    Args:
        rows: an empty file, open for reading and writing.
    """

    def __init__(self, rows: BinaryIO):
        self.names: list[str] = []
        self.numbers: list[int] = []
        self.rows = rows

    def __len__(self) -> int:
        return len(self.names)

    def add(self, body: FrameBody) -> None:
        """Keep a frame."""
        self.rows.write(np.array([body[2:]], ROW).tobytes())
        self.names.append(body.name)
        self.numbers.append(body.number)

    @property
    def num_left_out(self) -> int:
        """How many frames of a video between the first and the last with a person show none."""
        return self.numbers[-1] - self.numbers[0] + 1 - len(self) if len(self) else 0

    def column(self, name: str) -> Float[np.ndarray, "T ..."]:
        """Gather one field of all frames."""
        gathered = np.empty((len(self), *ROW[name].shape), ROW[name].base)
        self.rows.seek(0)
        for rows in blocks(len(self)):
            taken = gathered[rows]
            taken[:] = np.frombuffer(self.rows.read(len(taken) * ROW.itemsize), ROW)[name]
        return gathered


class RenderedFrame(NamedTuple):
    """A frame with its body laid over it, and the body from two more sides."""

    overlay: UInt8[np.ndarray, "H W 3"]
    views: UInt8[np.ndarray, "S _ 3"]


class BodySurface(NamedTuple):
    """The surface of a body where the camera sees it."""

    vertices_cam_m: Float[np.ndarray, "V 3"]
    pelvis_cam_m: Float[np.ndarray, "3"]
    faces: Int[np.ndarray, "F 3"]
    seen: Float[np.ndarray, "V"] | None = None
    """0 to 1: what was seen of it, and what was guessed."""


def draw(
    picture: UInt8[np.ndarray, "H W 3"], surface: BodySurface, K: Float[np.ndarray, "3 3"], box: Box, view_px: int
) -> RenderedFrame:
    """Draw the body over its picture with the box that was used, and from the side and from above."""
    faces, seen = surface.faces, surface.seen
    laid_over = overlay(picture, surface.vertices_cam_m, faces, K, seen)
    corner = (round(box.left_px), round(box.top_px))
    other = (round(box.left_px + box.width_px), round(box.top_px + box.height_px))
    cv2.rectangle(laid_over, corner, other, BOX_RGB, max(1, picture.shape[0] // 400))
    root_m = surface.vertices_cam_m - surface.pelvis_cam_m
    views = [turned_view(root_m, faces, "side", view_px, seen=seen),
             turned_view(root_m, faces, "top", view_px, seen=seen)]  # fmt: skip
    return RenderedFrame(laid_over, np.concatenate(views, axis=1))


def beside(rendered: RenderedFrame, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Put overlay and views side by side, as high as given; even sizes, as video codecs want."""
    parts = []
    for image in rendered:
        width_px = round(image.shape[1] * height_px / image.shape[0]) // 2 * 2
        parts.append(cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA))
    return np.concatenate(parts, axis=1)


class OverlayVideo:
    """An .mp4 of overlays and views, opened at its first frame."""

    def __init__(self, path: Path, frames_per_second: float, height_px: int):
        self.path, self.rate, self.height_px = path, frames_per_second, height_px // 2 * 2
        self.writer: cv2.VideoWriter | None = None
        self.num_frames = 0

    def add(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Write a frame.

        Raises:
            ValueError: OpenCV cannot write the video there.
        """
        if self.writer is None:
            if any("\udc80" <= letter <= "\udcff" for letter in str(self.path)):
                raise ValueError(
                    f"{self.path}: OpenCV writes no video under a name that is no UTF-8; choose another --out"
                )
            size = (image.shape[1], image.shape[0])
            self.writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self.writer.isOpened():
                raise ValueError(f"{self.path} cannot be written by OpenCV; choose another --out")
        self.writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.num_frames += 1

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: it is not whole: OpenCV says nothing itself when the disk is full.
        """
        if self.writer is not None:
            self.writer.release()
            found = cv2.VideoCapture(str(self.path))
            written = int(found.get(cv2.CAP_PROP_FRAME_COUNT)) if found.isOpened() else 0
            found.release()
            if written < self.num_frames:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def write_frame(
    folder: Path,
    body: FrameBody,
    rendered: RenderedFrame | None,
    vertices_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    meshes: Sequence[Literal["glb", "obj", "ply"]],
    about: About,
) -> None:
    """Write the pictures and the surface of one frame."""
    if rendered is not None:
        write_image(folder / f"{body.name}_overlay.jpg", rendered.overlay)
        write_image(folder / f"{body.name}_views.jpg", rendered.views)
    for ending in meshes:
        write_mesh(folder / f"{body.name}.{ending}", to_y_up(vertices_cam_m), faces, about)


def write_tables(
    folder: Path, bodies: PredictedBodies, about: About, frames_per_second: float | None,
    seen_by: str = BY_PICTURE,
) -> None:  # fmt: skip
    """Write joints.json and body.npz of all frames, and of pictures about.json; write_motion writes a video's."""
    write_joints_json(folder / "joints.json", bodies.column("joints_cam_m"), sources=bodies.names,
                      numbers=bodies.numbers, frames_per_second=frames_per_second, about=about,
                      seen=SeenJoints(bodies.column("seen"), "seen", seen_by))  # fmt: skip
    write_body_parameters(
        folder / "body.npz",
        bodies.column("rotations_cam"),
        bodies.column("betas"),
        bodies.column("translation_cam_m"),
        about,
        frames_per_second,
        numbers=bodies.numbers if frames_per_second is not None else None,
    )
    if frames_per_second is None:
        write_about(folder, dict.fromkeys(OF_EVERY_PICTURE, about.of_pictures()))


OF_EVERY_PICTURE = ("*_overlay.jpg", "*_views.jpg")
"""Pictures that write_frame writes."""


def write_motion(
    folder: Path,
    bodies: PredictedBodies,
    body: BodyModel,
    about: About,
    frames_per_second: float,
    formats: Sequence[MotionFormat],
) -> None:
    """Write the motion in some formats, motion.glb and so on.

    The body has one shape for all frames, the mean; its pelvis is put where each frame's pelvis joint was.  Frames that
    show nobody are bridged, so that the motion keeps its time, and its header says which.
    """
    rotations, roots_m = bridged(bodies.numbers, bodies.column("rotations_cam"), bodies.column("root_joint_cam_m"))
    taken = MovingBody(
        rotations,
        bodies.column("betas").mean(axis=0),
        roots_m,
        frames_per_second,
        Y_UP_FROM_CAM,
    )
    others = {"overlay.mp4": about.of_pictures()}
    about = about._replace(gaps=told_gaps(bodies.numbers))
    write_motion_files(folder, body_motion(body, taken, OF_CAMERA, about, "neutral", formats), formats, others=others)
