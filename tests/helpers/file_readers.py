"""Every reader of files from outside, with a writer of small real files for it."""

import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy.io
import torch

from config import EncDecConfig, EncoderConfig, GanConfig
from dataset_def.acclaim import read_amc, read_asf
from dataset_def.calibration.files import read_calibration, write_calibration
from dataset_def.data_set_file import facts_from
from dataset_def.ground_truth_bodies import load_bodies
from dataset_def.h36m_crops import load_metadata
from dataset_def.h36m_files import load_meta
from dataset_def.motions import read_motions
from dataset_def.multiview.keypoint_files import read_camera_keypoints
from dataset_def.multiview.keypoint_tables import read_table
from dataset_def.photos.person import networks_in_wheel
from dataset_def.poses.readers import read_amass, read_surreal
from dataset_def.video import probe, read_given_mask, read_picture, read_stamps, video_frames
from models.encoder_decoder import build_encoder_decoder, load_encoder
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import (
    Embeddings,
    Keypoints,
    PseudoLabels,
    file_hash,
    load_background,
    load_checkpoint,
    load_embeddings,
    load_index,
    load_keypoints,
    load_metrics,
    load_predictions,
    load_pseudo_labels,
    save_arrays,
    save_background,
    save_checkpoint,
    save_embeddings,
    save_index,
    save_keypoints,
    save_metrics,
    save_predictions,
    save_pseudo_labels,
)
from utils.body_file import read_body_file, read_h36m_regressor
from utils.camera import Camera
from utils.engine import stored_starts
from utils.history import load_history
from utils.image import read_image, read_mask
from utils.settings import to_plain
from utils.skeleton import SMPL_24_PARENTS
from utils.tiers import NOTHING

FRAMES = np.array([[1, 2, 1, 1, 1], [1, 2, 1, 2, 1], [9, 2, 1, 1, 1]], np.int32)
VERTICES = 12


class Reader(NamedTuple):
    """How files of a kind are written and read."""

    write: Callable[[Path], Sequence[Path]]
    """Fills a folder; gives the files that may be changed."""
    read: Callable[[Path], object]
    """Reads a file that was changed; others of the folder lie beside it."""
    is_ours: bool
    """Whether we parse it; else OpenCV, PyTorch, Pillow or zipfile does, with NumPy's archives among them."""


def one(name: str, write: Callable[[Path], object]) -> Callable[[Path], list[Path]]:
    """Write a single file."""

    def into(folder: Path) -> list[Path]:
        write(folder / name)
        return [folder / name]

    return into


def text(name: str, content: str) -> Callable[[Path], list[Path]]:
    """Write text."""
    return one(name, lambda path: path.write_text(content))


ASF = """:version 1.10
:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
:bonedata
  begin
     id 1
     name upper
     direction 0 -1 0
     length 9
     axis 0 0 90 XYZ
     dof rx ry rz
  end
:hierarchy
  begin
    root upper
  end
"""
AMC = ":DEGREES\n1\nroot 0 45 0 0 0 0\nupper 0 0 0\n2\nroot 0 45 0 0 90 0\nupper 90 0 0\n"


def write_acclaim(folder: Path) -> tuple[Path, Path]:
    """Write a skeleton of one bone and its motion."""
    (folder / "01.asf").write_text(ASF)
    (folder / "01_01.amc").write_text(AMC)
    return folder / "01.asf", folder / "01_01.amc"


def a_camera(number: int) -> Camera:
    """A camera that looks at the origin."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return Camera(R, np.array([number, -4.0, 1.0]), np.array([950.0, 951.0]), np.array([540.3, 955.2]), 1088, 1920,
                  np.array([0.1, 0.01, 0.0]), np.array([0.001, 0.002]), "opencv")  # fmt: skip


def calibration(kind: Any) -> Callable[[Path], Sequence[Path]]:
    """Write two cameras in a format."""
    return lambda folder: write_calibration(kind, folder, {"cam01": a_camera(1), "cam02": a_camera(2)})


def read_calibration_beside(path: Path) -> object:
    """Read all files of the calibration that a file belongs to."""
    beside = sorted(one for one in path.parent.iterdir() if one.suffix == path.suffix)
    return read_calibration([one for one in beside if one.name != "points3D.txt"])


def body(folder: Path) -> dict[str, np.ndarray]:
    """Give the arrays of a body of few vertices."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(size=(VERTICES, 24))
    return {
        "v_template": rng.normal(size=(VERTICES, 3)), "shapedirs": rng.normal(size=(VERTICES, 3, 2)),
        "posedirs": rng.normal(size=(VERTICES, 3, 207)).round(1), "J_regressor": np.eye(24, VERTICES),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": rng.integers(0, VERTICES, (9, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *SMPL_24_PARENTS[1:]], range(24)], np.uint32),
    }  # fmt: skip


def write_bodies(folder: Path) -> list[Path]:
    """Write a body as SMPL's files are: a pickle of each protocol, and an archive."""
    arrays = body(folder)
    for protocol in (0, 2, 4):
        (folder / f"body_{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol))
    return [folder / f"body_{protocol}.pkl" for protocol in (0, 2, 4)]


def write_zipped_body(path: Path) -> None:
    """Write a body as .npz."""
    np.savez(path, **body(path.parent))  # type: ignore[arg-type]


def write_embeddings(folder: Path) -> list[Path]:
    """Write latents, and the files that they were made from."""
    (folder / "encoder.pt").write_bytes(b"1")
    save_index(folder / "index.npz", FRAMES, "abc")
    points = np.ones((3, 5, 3), np.float32)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (3, 3, 3)).copy()
    hashes = (file_hash(folder / "encoder.pt"), file_hash(folder / "index.npz"))
    save_embeddings(folder / "embeddings.pkl", Embeddings(points, points[:, :, 0], FRAMES, rotations, *hashes))
    return [folder / "embeddings.pkl"]


def read_embeddings(path: Path) -> object:
    """Read latents."""
    return load_embeddings(path, path.with_name("encoder.pt"), path.with_name("index.npz"))


def write_fits(folder: Path) -> list[Path]:
    """Write pseudo-labels, and the index that they belong to."""
    save_index(folder / "index.npz", FRAMES, "abc")
    numbers = {"theta": 72, "betas": 10, "translation_m": 3}
    arrays = {name: np.zeros((1, size), np.float32) for name, size in numbers.items()}
    save_pseudo_labels(folder / "fits.npz", PseudoLabels(
        FRAMES[:1, [0, 1, 2, 4]], **arrays, joints_world_m=np.zeros((1, 17, 3), np.float32),
        confidence=np.ones(1, np.float32), provenance="{}", body_hash="a", teacher_hash="b",
        index_hash=file_hash(folder / "index.npz")), test=(9,))  # fmt: skip
    return [folder / "fits.npz"]


def write_encoder(path: Path) -> None:
    """Write a checkpoint of stage 1, as small as networks get."""
    config = EncDecConfig(encoder=EncoderConfig(width=4, points=4, appearance=4))
    weights = build_encoder_decoder(config).state_dict()
    save_checkpoint(path, "enc_dec", 7, to_plain(config), {"model": weights}, reads=NOTHING)


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint with hardly anything in it."""
    save_checkpoint(path, "gan", 7, to_plain(GanConfig()), {"model": torch.nn.Linear(3, 2).state_dict()}, {"best": 1.0})


def write_metas(folder: Path) -> list[Path]:
    """Write cameras and joints as MATLAB does, packed and not."""
    paths = write_tiny_h36m(folder / "data", subjects=(1,), actions=(2,), cameras=(1,), frames=1, size_px=32)
    content = scipy.io.loadmat(next(paths.h36m_location.rglob("h36m_meta.mat")))
    named = {name: value for name, value in content.items() if name[0] != "_"}
    for name, is_packed in (("h36m_meta.mat", False), ("packed_meta.mat", True)):
        scipy.io.savemat(folder / name, named, do_compression=is_packed)
    return [folder / "h36m_meta.mat", folder / "packed_meta.mat"]


def write_pictures(folder: Path) -> list[Path]:
    """Write a picture in the formats that are read."""
    image = np.random.default_rng(0).integers(0, 255, (24, 16, 3), dtype=np.uint8)
    names = ("a.jpg", "a.png", "a.bmp", "a.webp", "a.tif")
    for name in names:
        assert cv2.imwrite(str(folder / name), image)
    return [folder / name for name in names]


def write_video(path: Path) -> None:
    """Write half a second of noise."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (32, 32))
    for number in range(5):
        video.write(np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    video.release()


def read_video(path: Path) -> None:
    """Read the times and all frames of a video."""
    read_stamps(path)
    probe(path)
    for _ in video_frames(path):
        pass


PEOPLE = [[*map(float, range(3 * 26))]]
OPENPOSE = json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": person} for person in PEOPLE]})
ALPHAPOSE = json.dumps([{"image_id": f"{frame}.jpg", "category_id": 1, "score": 2.9, "keypoints": PEOPLE[0]}
                        for frame in range(2)])  # fmt: skip
MMPOSE = json.dumps({"meta_info": {}, "instance_info": [
    {"frame_id": frame, "instances": [{"keypoints": [[1.0, 2.0]] * 26, "keypoint_scores": [0.5] * 26}]}
    for frame in (1, 2)]})  # fmt: skip
COCO = json.dumps({"images": [{"id": 1, "file_name": "1.jpg"}], "categories": [{"id": 1, "keypoints": ["nose"]}],
                   "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1.0, 2.0, 2.0] * 17}]})  # fmt: skip
CSV = "scorer,net,net,net\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1.5,2.5,0.9\n1,1.6,2.4,0.8\n"
FACTS = {"joints": ["root", "left_tip", "right_tip"], "parents": [None, "root", "root"]}


def write_keypoints(folder: Path) -> list[Path]:
    """Write what pose programs write."""
    found = {"openpose.json": OPENPOSE, "alphapose.json": ALPHAPOSE, "mmpose.json": MMPOSE, "coco.json": COCO}
    for name, content in found.items():
        (folder / name).write_text(content)
    return [folder / name for name in found]


def write_wheel(path: Path) -> None:
    """Write a package with a network in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mediapipe/modules/net.tflite", bytes(range(256)) * 4)


def write_run(folder: Path) -> list[Path]:
    """Write what a training leaves beside its checkpoints."""
    (folder / "config.json").write_text(json.dumps({"stage": "pose", "settings": {"name": "a"}, "starts": [
        {"at_step": 0, "command": ["a"], "commit": "b", "time": "2026-01-01 00:00:00 UTC", "versions": {"torch": "2"},
         "hardware": {"processor": "c", "cores": 2, "gpu": "none"}, "processes": 1, "device": "cpu"}]}))  # fmt: skip
    (folder / "history.jsonl").write_text('{"step": 2, "elapsed_s": 0.1, "pose": 0.5}\n' * 2)
    return [folder / "config.json", folder / "history.jsonl"]


def of_index(path: Path) -> None:
    """Write an index."""
    save_index(path, FRAMES, "abc")


def of_joints(path: Path) -> None:
    """Write keypoints of three frames."""
    save_keypoints(path, Keypoints(FRAMES, np.ones((3, 17, 2), np.float32), np.ones((3, 17), np.float32)))


def of_metrics(path: Path) -> None:
    """Write numbers of a test."""
    save_metrics(path, "test", FRAMES, {}, {"mpjpe_mm": 51.5}, reads=NOTHING, at_test=NOTHING)


def of_predictions(path: Path) -> None:
    """Write predictions of a test."""
    save_predictions(path, "test", FRAMES, {}, joints_root_m=np.ones((3, 17, 3)))


def of_sequence(path: Path) -> None:
    """Write the bodies of a sequence, as drawn data has them."""
    np.savez(path, theta=np.zeros((2, 72), np.float32), betas=np.zeros(10, np.float32), source=np.array("a"),
             translation_m=np.zeros((2, 3), np.float32), body_hash=np.array("b"))  # fmt: skip


def of_amass(path: Path) -> None:
    """Write a motion as AMASS has them."""
    np.savez(path, poses=np.zeros((4, 156)), betas=np.zeros(16), trans=np.zeros((4, 3)), mocap_framerate=60.0,
             gender=np.array("male"))  # fmt: skip


def write_motions(folder: Path) -> list[Path]:
    """Write motions of every kind that is read: AMASS's, a prediction, fits, a sequence's bodies."""
    of_amass(folder / "motion.npz")
    of_sequence(folder / "act_02.npz")
    turns = np.broadcast_to(np.eye(3, dtype=np.float32), (3, 24, 3, 3))
    rest = {"frame_numbers": np.array([0, 1, 4]), "mocap_frame_rate": np.array(25.0), "tier": np.array("a")}
    betas, places_m = np.zeros((3, 10), np.float32), np.zeros((3, 3), np.float32)
    np.savez(folder / "body.npz", rotations_cam=turns, betas=betas, trans=places_m, **rest)
    fits = write_fits(folder)
    return [folder / "motion.npz", folder / "act_02.npz", folder / "body.npz", *fits]


def of_pack(path: Path) -> None:
    """Write what packed crops say of themselves."""
    save_arrays(path, "crops", fingerprint=np.array("a"), every=np.array(1), has_masks=np.array(True),
                size_px=np.array(8), side_m=np.array(3.0))  # fmt: skip


def of_surreal(path: Path) -> None:
    """Write a clip as SURREAL has them."""
    scipy.io.savemat(path, {"pose": np.zeros((72, 3)), "shape": np.zeros((10, 3))})


READERS: dict[str, Reader] = {
    "asf": Reader(lambda folder: write_acclaim(folder)[:1], read_asf, True),
    "amc": Reader(lambda folder: write_acclaim(folder)[1:],
                  lambda path: read_amc(path, read_asf(path.with_name("01.asf"))), True),
    **{f"calibration_{kind}": Reader(calibration(kind), read_calibration_beside, True)
       for kind in ("pose2sim", "opencv", "opencv_json", "qualisys", "easymocap", "anipose", "caliscope", "panoptic",
                    "colmap", "nerfstudio")},
    "keypoints_json": Reader(write_keypoints, lambda path: read_camera_keypoints(path, "", read_table), True),
    "keypoints_csv": Reader(text("table.csv", CSV), lambda path: read_table(path), True),
    "data_set_json": Reader(text("data_set.json", json.dumps(FACTS)),
                            lambda path: facts_from(path.read_bytes(), path), True),
    "body_pkl": Reader(write_bodies, read_body_file, True),
    "embeddings_pkl": Reader(write_embeddings, read_embeddings, True),
    "history": Reader(lambda folder: write_run(folder)[1:], load_history, True),
    "config_json": Reader(lambda folder: write_run(folder)[:1], stored_starts, True),
    "metrics_json": Reader(one("metrics.json", of_metrics), lambda path: load_metrics(path, "make"), True),
    "index": Reader(one("index.npz", of_index), load_index, False),
    "background": Reader(one("s_01_ca_01.npy", lambda path: save_background(path, np.zeros((4, 4, 3), np.uint8))),
                         load_background, True),
    "keypoints_npz": Reader(one("keypoints.npz", of_joints), load_keypoints, False),
    "pack": Reader(one("about.npz", of_pack), lambda path: load_metadata(path.parent), False),
    "pseudo_labels": Reader(write_fits,
                            lambda path: load_pseudo_labels(path, path.with_name("index.npz"), (9,)), False),
    "predictions": Reader(one("predictions.npz", of_predictions), lambda path: load_predictions(path, "make"), False),
    "bodies_npz": Reader(one("act_02.npz", of_sequence), load_bodies, False),
    "motions_npz": Reader(write_motions, read_motions, False),
    "amass_npz": Reader(one("amass.npz", of_amass), lambda path: read_amass(path, path.parent, 100), False),
    "body_npz": Reader(one("body.npz", write_zipped_body), read_body_file, False),
    "regressor_npy": Reader(one("regressor.npy", lambda path: np.save(path, np.full((17, VERTICES), 1 / VERTICES))),
                            lambda path: read_h36m_regressor(path, VERTICES), True),
    "checkpoint": Reader(one("checkpoint_last.pt", write_checkpoint), lambda path: load_checkpoint(path, "gan"), False),
    "encoder": Reader(one("checkpoint_best.pt", write_encoder), load_encoder, False),
    "meta_mat": Reader(write_metas, load_meta, True),
    "surreal_mat": Reader(one("surreal.mat", of_surreal), lambda path: read_surreal(path, 100), True),
    "frame": Reader(lambda folder: write_pictures(folder)[:2], read_image, False),
    "mask": Reader(lambda folder: write_pictures(folder)[:2], read_mask, False),
    "photo": Reader(write_pictures, read_picture, False),
    "given_mask": Reader(write_pictures, read_given_mask, False),
    "video": Reader(one("clip.mp4", write_video), read_video, False),
    "wheel": Reader(one("mediapipe.whl", write_wheel),
                    lambda path: networks_in_wheel(path, {Path("net.tflite"): "mediapipe/modules/net.tflite"}), False),
}  # fmt: skip
"""By name; those that are ours first."""
