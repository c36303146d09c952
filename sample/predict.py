"""Predict the body in one's own pictures, and write it for other programs.

    python sample/predict.py photo.jpg
    python sample/predict.py video.mp4 --out runs/predict/video
    python sample/predict.py photo.jpg --tier pixels --box 120 40 200 480
    python sample/predict.py clips/ --calibration Calib.toml
    torchrun --standalone --nproc-per-node 8 sample/predict.py pictures/

Where the keypoints extra is installed, a pretrained network finds keypoints and the lifter reads the body off them
(tier keypoints); without it, or with `--tier pixels`, this project's own network reads the picture.  In Python,
`Predictor()(picture, box)` and `KeypointPredictor()(picture, box)` give the person of one picture.

With --calibration several cameras' clips give one body in the recording's world (sample/predict_cameras.py).  Under
torchrun, processes and machines share a large folder (sample/predict_archive.py).

Reads   an image, a folder of images or of videos, a video or a camera; a checkpoint of stage 4
        (sample/train_SMPL_from_enc.py), or of the lifter (sample/train_SMPL_from_keypoints.py)
Writes  <out>/: joints.json and body.npz of all frames; of images <name>_overlay.jpg, <name>_views.jpg and meshes;
        of a video overlay.mp4, motion.glb, motion.bvh and what --motion-files asks for, with about.json
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from os.path import abspath
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from config import ASSETS, Device, Paths, ranged, setting
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, KEYPOINTS_REMEDY, BlazePose, is_available
from dataset_def.photos.crop import PhotoCrop, check_focal, photo_camera, photo_crop
from dataset_def.photos.keypoints import (
    FollowedPerson,
    KeypointFinder,
    PersonKeypoints,
    given_keypoints,
    settled_sides,
    with_sides,
)
from dataset_def.photos.person import Finder, make_finder, user_box
from dataset_def.photos.pictures import Picture, Pictures, open_pictures, readable
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK
from models.heat_maps import FoundPoints
from models.keypoints_fit import FoundKeypoints, KeypointsFit, KeypointsFitConfig, in_picture
from models.masks_fit import MasksFitLoss, MasksFitSteps
from models.smpl import load_body
from models.SMPL_from_keypoints import BoxedKeypoints, LiftedBodies, boxed, load_lifter
from models.SMPL_from_latent import load_body_of, load_mesh
from models.SMPL_from_maps import MeshFromMaps
from sample import predict_archive, predict_cameras
from sample.predict_archive import NOBODY, Archive, Noticed, is_clips
from sample.predict_cameras import WRITTEN, CamerasConfig, Task
from utils.artifacts import atomic_folder, check_out, file_hash
from utils.batches import in_chunks
from utils.camera import Camera, to_rays
from utils.engine import choose_device
from utils.export.about import GIVEN_KEYPOINTS, About, licence_of, licence_of_detector
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
from utils.person_box import JUMP_IOU, Box, check_box, overlap_of_boxes, placed_at_joints, placed_in_box
from utils.seen import (
    BY_KEYPOINTS,
    BY_PICTURE,
    OF_DOUBTFUL,
    outside_of_picture,
    seen_joints,
    seen_surface,
    told_guessed,
)
from utils.settings import start, to_plain, which_weights
from utils.shared_work import Rank, rank_of_process
from utils.skeleton import H36M_17
from utils.tiers import Reads


@dataclass(frozen=True)
@ranged()
class PredictConfig:
    """sample/predict.py: bodies in one's own pictures, and files of them for other programs."""

    input: tyro.conf.Positional[str]
    """An image, a folder of images or of videos, a video, or the number of a camera; with --calibration a folder of
    synchronised clips, one per camera."""
    tier: Literal["auto", "keypoints", "pixels"] = "auto"
    """keypoints: a pretrained network finds 2D keypoints, and a lifter that was trained on unpaired poses reads the
    body off them.  pixels: this project's own network reads the picture.  auto: keypoints where the keypoints extra is
    installed (or one of `keypoints`, `lifter` and `detector` is given), unless `checkpoint` names another network than
    the committed one."""
    checkpoint: Path = ASSETS / "open_body_photos.pt"
    """Tier pixels: checkpoint_best.pt of stage 4, such as runs/mesh/demo/checkpoint_best.pt; without it, the committed
    one."""
    lifter: Path = ASSETS / "open_lifter.pt"
    """Tier keypoints: checkpoint_best.pt of sample/train_SMPL_from_keypoints.py; without it, the committed one."""
    keypoints: Path | None = None
    """Tier keypoints: what another program found in the same pictures, instead of the detector: a file, or a folder
    with a file per frame, of OpenPose, COCO, MMPose, AlphaPose, ..."""
    skeleton: str = ""
    """Of these, such as coco_17, where their number does not tell it."""
    detector: Literal["full", "heavy"] = "full"
    """heavy is slower (its network is four times as large), and takes left for right more rarely."""
    detector_location: Path = KEYPOINT_NETWORKS
    """Folder with the keypoints extra's networks."""
    fit: KeypointsFitConfig = field(default_factory=KeypointsFitConfig)
    """Tier keypoints: of bodies to keypoints."""
    out: Path | None = None
    """Folder for what is written; without it, runs/predict/<name of the input>."""
    overwrite: bool = False
    """Replace the folder if it is there, and of an earlier prediction."""
    box: tuple[float, float, float, float] | None = None
    """The person's box in every frame: x y width height, in pixels."""
    mask: Path | None = None
    """A mask of the person (white), or a folder with one per frame."""
    find: Literal["auto", "movement", "keypoints", "segmentation"] = "auto"
    """Tier pixels: how the person is found where neither box nor mask is given.  auto: by movement in the video of a
    still camera, else by the keypoints extra, or the segmentation extra."""
    segmentation: Path = SEGMENTATION_NETWORK
    """Tier pixels: the network of the segmentation extra."""
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
    """Of a video: tier pixels filters the motion over time (One-Euro, without looking ahead), tier keypoints fits all
    frames together."""
    smooth_least_hz: float = setting(1.5, low=0.01)
    """Tier pixels: of the filter at rest; lower is smoother."""
    smooth_speed: float = setting(0.7, low=0)
    """Tier pixels: of the filter; higher follows quick movements closer."""
    frames: int = setting(0, low=0)
    """Stop after so many frames; 0 takes all, of a camera until Ctrl-C."""
    view_px: int = setting(384, low=32, high=4096)
    """Side of the pictures from the side and from above."""
    video_px: int = setting(540, low=32, high=4096)
    """Height of overlay.mp4."""
    batch: int = setting(16, low=1)
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    cameras: tyro.conf.OmitArgPrefixes[CamerasConfig] = field(default_factory=CamerasConfig)
    cameras_fit: MasksFitSteps = field(default_factory=MasksFitSteps)
    cameras_loss: MasksFitLoss = field(default_factory=MasksFitLoss)

    def __post_init__(self) -> None:
        check_focal(self.focal_px)
        if self.box is not None and self.mask is not None:
            raise ValueError("box and mask both tell where the person is; give one of them")
        if self.keypoints is not None and self.tier == "pixels":
            raise ValueError(
                "tier is pixels, which reads no keypoints; leave out --keypoints, or take --tier keypoints"
            )
        if self.keypoints is not None and self.mask is not None:
            raise ValueError("mask chooses nobody among given keypoints; leave it out, and give --box where the "
                             "keypoints are of several people")  # fmt: skip
        if self.cameras.calibration:
            for name in OF_ONE_CAMERA:
                if is_given(self, name):
                    raise ValueError(f"{name} is for pictures of one camera and would change nothing with a "
                                     "calibration; leave it out")  # fmt: skip
        else:
            self._refuse_settings_of_several_cameras()
        if self.skeleton and self.keypoints is None:
            raise ValueError(f"skeleton is {self.skeleton}, which says whose joints given keypoints are, and none are "
                             "given; leave it out, or give --keypoints")  # fmt: skip
        if self.keypoints is not None and is_given(self, "detector") and not self.cameras.calibration:
            raise ValueError("keypoints are given, and detector would find others; leave one of them out")
        if self.tier != "auto":
            refuse_unread(self, self.tier)

    def _refuse_settings_of_several_cameras(self) -> None:
        usual = CamerasConfig()
        changed = [one.name for one in fields(usual) if getattr(self.cameras, one.name) != getattr(usual, one.name)]
        changed += [name for name in ("cameras_fit", "cameras_loss") if is_given(self, name)]
        if changed:
            raise ValueError(f"{changed[0]} is for several cameras; give their --calibration, or leave it out")


def is_given(config: PredictConfig, name: str) -> bool:
    """Tell whether a setting differs from its default."""
    usual = next(one for one in fields(config) if one.name == name)
    return getattr(config, name) != (usual.default if usual.default_factory is MISSING else usual.default_factory())


def refuse_unread(config: PredictConfig, tier: Literal["keypoints", "pixels"]) -> None:
    """Stop at a setting that the tier does not read.

    Raises:
        ValueError: naming it.
    """
    other = "pixels" if tier == "keypoints" else "keypoints"
    for name in OF_THE_OTHER_TIER[tier]:
        if is_given(config, name):
            raise ValueError(f"{name} belongs to tier {other} and would change nothing in tier {tier}; leave it out, "
                             f"or take --tier {other}")  # fmt: skip


OF_ONE_CAMERA = ("tier", "checkpoint", "fit", "box", "mask", "find", "segmentation", "focal_px", "person_m", "meshes",
                 "smooth", "smooth_least_hz", "smooth_speed", "view_px", "batch")  # fmt: skip
"""Settings that several cameras do not read."""
OF_THE_OTHER_TIER = {
    "keypoints": ("checkpoint", "find", "segmentation", "person_m", "smooth_least_hz", "smooth_speed"),
    "pixels": ("lifter", "detector", "fit"),
}
"""Settings that a tier does not read."""


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
    seen: Float[np.ndarray, "17"]
    """Of the 17 joints, 0 to 1: how surely the picture shows them; what it does not show is guessed.  NaN where that is
    not known."""

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
        local_rank: which of the processes of this machine this is, for its GPU.
    """

    def __init__(
        self,
        checkpoint: Path | str = PredictConfig.checkpoint,
        device: Device = "auto",
        paths: Paths | None = None,
        local_rank: int = 0,
    ) -> None:
        checkpoint, self.device = Path(checkpoint), choose_device(device, local_rank)
        self.seen_by = BY_PICTURE
        self.stored = load_mesh(checkpoint, self.device)
        self.body = load_body_of(self.stored, checkpoint, paths or Paths()).to(self.device)
        if not self.body.has_smpl_joints:
            raise ValueError(f"{checkpoint} reads a body of {len(self.body.parents)} joints, and what this script "
                             "finds and writes is about SMPL's 24; test it with sample/test_SMPL.py")  # fmt: skip
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
        check_picture(rgb, box)
        [person] = PeopleInFrames(self)([self.crop(Picture("picture", rgb), Box(*box), focal_px, person_m)])
        return person

    def people(self, pictures: Pictures, config: PredictConfig) -> Iterator[tuple[PhotoCrop, Person]]:
        """Predict the person of every frame that shows one, and say how the person is found."""
        finder = make_finder(
            pictures, config.box, config.mask, config.find, config.segmentation, config.detector_location
        )
        print(f"person found by: {finder.how}")
        smoothing = (config.smooth_least_hz, config.smooth_speed) if config.smooth else None
        read = PeopleInFrames(self, pictures.frames_per_second, smoothing)
        for crops in in_chunks(person_crops(pictures, finder, self, config), config.batch):
            yield from zip(crops, read(crops), strict=True)

    def crop(self, picture: Picture, box: Box, focal_px: float | None, person_m: float) -> PhotoCrop:
        """Cut a person out as the network was trained to see people."""
        return photo_crop(picture, box, self.stored.config.crop, focal_px, person_m)


class ShownJoints(NamedTuple):
    """Where a picture shows the 17 joints, as heat maps find them."""

    rays: Float[np.ndarray, "17 3"]
    """In the axes of the picture's camera."""
    weight: Float[np.ndarray, "17"]
    """Sharp heat counts more."""


def shown_joints(points: FoundPoints, crops: Sequence[PhotoCrop]) -> list[ShownJoints]:
    """Take joints from the crops to their pictures; x and y of a crop are metres at the distance of its centre."""
    found = []
    for crop, at_m, spread_m in zip(crops, points.points_m.cpu(), points.spread_m.cpu(), strict=True):
        rays_crop = np.concatenate([at_m[:, :2].double().numpy() / crop.distance_m, np.ones((len(at_m), 1))], axis=1)
        weight = 1 / spread_m.double().square().mean(dim=1).numpy()
        found.append(ShownJoints(rays_crop @ crop.R_cam_from_crop.T, weight / weight.sum()))
    return found


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
        self.rate, self.filtering = frames_per_second or 1.0, smoothing or (1.0, 0.0)
        self.last: Box | None = None
        self.turn = SmoothRotations(self.rate, *self.filtering)
        self.shape, self.place = OneEuro(self.rate, SHAPE_CUTOFF_HZ, 0.0), OneEuro(self.rate, *self.filtering)

    @torch.no_grad()
    def __call__(self, crops: Sequence[PhotoCrop]) -> list[Person]:
        """Predict one person per crop.

        Raises:
            ValueError: the network gives numbers that are not finite.
        """
        network, body, device = self.predictor.stored.network, self.predictor.body, self.predictor.device
        images = torch.stack([to_unit_rgb(crop.image) for crop in crops]).to(device)
        has_maps = isinstance(network, MeshFromMaps)
        maps = network.maps(images) if has_maps else None
        estimate = network(images) if maps is None else maps.body
        rotations, betas = estimate.rotations_crop.cpu().double().numpy(), estimate.betas.cpu().double().numpy()
        if not (np.isfinite(rotations).all() and np.isfinite(betas).all()):
            raise ValueError("the network gives numbers that are not finite; its checkpoint is damaged, train it again")
        rotations[:, 0] = np.stack([crop.R_cam_from_crop for crop in crops]) @ rotations[:, 0]
        starts = np.array([self._jumps(crop.box) for crop in crops])
        if self.is_smooth:
            smooth = [self._filtered(*row) for row in zip(starts, rotations, betas, strict=True)]
            rotations, betas = (np.stack(column) for column in zip(*smooth, strict=True))
        nowhere = torch.zeros(len(betas), 3, device=device)
        out = body(*(torch.from_numpy(values).float().to(device) for values in (rotations, betas)), nowhere)
        joints_m = body.h36m_joints_m(out.vertices_m)
        found = [tensor.cpu().double().numpy() for tensor in (out.joints_m[:, 0], joints_m, out.vertices_m)]
        shown = [None] * len(crops) if maps is None else shown_joints(maps.joints.points, crops)
        return [self._placed(*row) for row in zip(starts, crops, rotations, betas, *found, shown, strict=True)]

    def _jumps(self, box: Box) -> bool:
        """Tell whether a box is somewhere else than the one before: it is another person's, or was wrong."""
        before, self.last = self.last, box
        return before is not None and overlap_of_boxes(before, box) < JUMP_IOU

    def _filtered(self, is_start: bool, rotations: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Filter the next frame; one that jumps begins anew."""
        if is_start:
            self.turn = SmoothRotations(self.rate, *self.filtering)
            self.shape = OneEuro(self.rate, SHAPE_CUTOFF_HZ, 0.0)
        return self.turn(rotations), self.shape(betas)

    def _placed(self, is_start: bool, crop: PhotoCrop, rotations: np.ndarray, betas: np.ndarray,
                root_joint_m: np.ndarray, joints_m: np.ndarray, vertices_m: np.ndarray,
                shown: "ShownJoints | None") -> Person:  # fmt: skip
        """Put a body where the picture shows its joints, or where its box is."""
        if is_start:
            self.place = OneEuro(self.rate, *self.filtering)
        at_joints = None if shown is None else placed_at_joints(joints_m - joints_m[0], *shown)
        in_box = placed_in_box(vertices_m - joints_m[0], crop.box, crop.camera.K, crop.distance_m)
        pelvis_cam_m = in_box if at_joints is None else at_joints
        move_m = (self.place(pelvis_cam_m) if self.is_smooth else pelvis_cam_m) - joints_m[0]
        seen = outside_of_picture(joints_m + move_m, crop.camera)
        return Person(rotations, betas, move_m, root_joint_m + move_m, joints_m + move_m, vertices_m + move_m, seen)


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


class SeenKeypoints(NamedTuple):
    """One person's keypoints in one frame, and the camera that sees them."""

    picture: Picture
    box: Box
    camera: Camera
    person: PersonKeypoints


class KeypointPredictor:
    """Predicts one person per picture from 2D keypoints: a detector's, or given ones.

        predictor = KeypointPredictor()
        person = predictor(picture_rgb)

    Args:
        lifter: checkpoint_best.pt of sample/train_SMPL_from_keypoints.py.
        networks: the detector; None where all keypoints are given.
        paths: where the body lies that the lifter was trained with.
        are_given: the keypoints are those of another program, and what is written says so.
    Raises:
        ValueError: the lifter was trained on another body.
    """

    def __init__(
        self,
        lifter: Path | str = PredictConfig.lifter,
        networks: BlazePose | None = None,
        fit: KeypointsFitConfig | None = None,
        paths: Paths | None = None,
        are_given: bool = False,
    ) -> None:
        lifter, paths = Path(lifter), paths or Paths()
        self.seen_by = BY_KEYPOINTS
        self.lifter = load_lifter(lifter, paths.models_smpl_location)
        self.body = load_body(paths.models_smpl_location, h36m_regressor=paths.h36m_regressor_location)
        self.networks: BlazePose | None = None
        self.faces: Int[np.ndarray, "F 3"] = self.body.faces.numpy()
        self.fit = KeypointsFit(self.lifter.network.body, fit or KeypointsFitConfig())
        who = frozenset({0})
        reads = self.lifter.reads | (Reads(given=who) if are_given else Reads(keypoints=who))
        licence = licence_of(paths.models_smpl_location, lifter) + (f"; {GIVEN_KEYPOINTS}" if are_given else "")
        self.about = About(reads.tier, self.lifter.hash, file_hash(paths.models_smpl_location), licence)
        if networks is not None:
            self._take(networks)

    def _take(self, networks: BlazePose) -> BlazePose:
        """Take a detector, and say so in what is written."""
        by = licence_of_detector("keypoints", networks.kind, file_hash(networks.files[1]))
        self.about = self.about._replace(licence=f"{self.about.licence}; {by}")
        self.networks = networks
        return networks

    def __call__(
        self,
        rgb: UInt8[np.ndarray, "H W 3"],
        box: tuple[float, float, float, float] | None = None,
        focal_px: float | None = PredictConfig.focal_px,
    ) -> Person:
        """Predict the person in a box of a picture, or the largest one.

        Raises:
            ValueError: this is no such picture, the box lies outside of it, or nobody is found.
        """
        check_picture(rgb, box)
        picture, where = Picture("picture", rgb), None if box is None else Box(*box)
        found = FollowedPerson(self._detector(), False, lambda *_: where)(0, picture)
        if found is None:
            raise ValueError("no person was found in the picture; give the box of one")
        [person] = self.bodies([SeenKeypoints(picture, found.box, photo_camera(picture, focal_px), found)])
        return person

    def _detector(self) -> BlazePose:
        return self._take(BlazePose()) if self.networks is None else self.networks

    def people(self, pictures: Pictures, config: PredictConfig) -> Iterator[tuple[SeenKeypoints, Person]]:
        """Predict the person of every frame that shows one, and say how the person is found."""
        finder, follower = self._finder(pictures, config)
        print(f"person found by: {finder.how}")
        rate = pictures.frames_per_second if config.smooth else None
        before: list[tuple[SeenKeypoints, LiftedBodies]] = []
        for seen in in_chunks(self._seen(pictures, finder, config), FRAMES_AT_ONCE if rate else config.batch):
            for part in split_at_jumps(seen):
                if part[0].person.is_new:
                    before = []
                if rate:
                    part = with_settled_sides(part, before)
                lifted = self.lifted(part, rate, before)
                yield from zip(part, self.persons(lifted, part), strict=True)
                before = ended(part, lifted) if rate else []
        if follower is not None:
            self._tell(follower, pictures)

    def _finder(self, pictures: Pictures, config: PredictConfig) -> tuple[KeypointFinder, FollowedPerson | None]:
        """Take the given keypoints, or the detector's."""
        if config.keypoints is not None:
            box = None if config.box is None else Box(*config.box)
            return given_keypoints(config.keypoints, config.skeleton, pictures, box, config.frames > 0), None
        follower = FollowedPerson(self._detector(), pictures.is_sequence, user_box(config.box, config.mask))
        where = {True: " in the given box", False: " in the given masks"}
        told = "" if config.box is None and config.mask is None else where[config.mask is None]
        return KeypointFinder(f"the keypoint detector{told}", follower), follower

    def _seen(
        self, pictures: Pictures, finder: KeypointFinder, config: PredictConfig
    ) -> Iterator[SeenKeypoints]:  # fmt: skip
        """Find the keypoints of every frame that shows the person."""
        every = enumerate(pictures.frames())
        for number, picture in tqdm(every, total=pictures.num_frames, desc="predict", unit="frame", disable=None):
            person = finder.person(number, picture)
            if person is not None:
                yield SeenKeypoints(picture, person.box, photo_camera(picture, config.focal_px), person)

    @staticmethod
    def _tell(follower: FollowedPerson, pictures: Pictures) -> None:
        """Say what may have gone wrong."""
        if follower.num_others > 0:
            print(f"up to {follower.num_others} more people are in {pictures.source}; the largest one was taken, "
                  "--box chooses another")  # fmt: skip
        if follower.doubtful:
            print(f"warning: the mirror of {told_names(follower.doubtful)} shows another body, so that the one that is "
                  "written is not sure, or nobody is there; it is drawn grey")  # fmt: skip
        if follower.num_lost:
            print(f"the person was out of sight in {follower.num_lost} frames, which are left out")

    @torch.no_grad()
    def lift(self, seen: Sequence[SeenKeypoints]) -> tuple[LiftedBodies, FoundKeypoints]:
        """Read bodies off keypoints, frame by frame, without fitting them; both in the picture's camera."""
        rays = np.stack([to_rays(one.camera, one.person.points_px)[:, :2] for one in seen])
        sure = np.stack([one.person.confidence for one in seen])
        rays_t, sure_t = torch.from_numpy(rays).float(), torch.from_numpy(sure).float()
        there: BoxedKeypoints = boxed(rays_t, sure_t)
        found = in_picture(self.lifter.network(there)[-1], there.R_box_from_cam)
        if not bool(torch.isfinite(found.totals).all() and torch.isfinite(found.root_m).all()):
            raise ValueError("the lifter gives numbers that are not finite; its checkpoint is damaged, train it again")
        return found, FoundKeypoints(rays_t, sure_t, there.half)

    def lifted(
        self, seen: Sequence[SeenKeypoints], rate: float | None = None,
        before: Sequence[tuple[SeenKeypoints, LiftedBodies]] = (),
    ) -> LiftedBodies:  # fmt: skip
        """Read bodies off keypoints and fit them.

        Args:
            rate: frames per second of a video; None for pictures that have nothing to do with each other.
            before: the last frames before these, which are done.
        """
        every = [*(one for one, _ in before), *seen]
        start, found = self.lift(every)
        fixed = torch.zeros(len(every), dtype=torch.bool)
        if before:
            fixed[: len(before)] = True
            done = LiftedBodies(*(torch.cat(parts) for parts in zip(*(body for _, body in before), strict=True)))
            start = LiftedBodies(*(torch.cat([old, new[len(before) :]]) for old, new in zip(done, start, strict=True)))
        fitted = self.fit.fit(start, found, rate, fixed)
        return LiftedBodies(*(value[len(before) :] for value in fitted))

    def bodies(self, seen: Sequence[SeenKeypoints]) -> list[Person]:
        """Predict the bodies of pictures that have nothing to do with each other."""
        return self.persons(self.lifted(seen), seen)

    @torch.no_grad()
    def persons(self, lifted: LiftedBodies, seen: Sequence[SeenKeypoints]) -> list[Person]:
        """Give the whole bodies, and what was seen of them."""
        rotations = lifted.rotations
        out = self.body(rotations, lifted.betas, torch.zeros_like(lifted.root_m))
        move_m = lifted.root_m - out.joints_m[:, 0]
        joints_m = self.body.h36m_joints_m(out.vertices_m) + move_m[:, None]
        parts = (rotations, lifted.betas, move_m, lifted.root_m, joints_m, out.vertices_m + move_m[:, None])
        sure = seen_joints(np.stack([one.person.confidence for one in seen]))
        sure[[one.person.is_doubtful for one in seen]] *= OF_DOUBTFUL
        return [Person(*row) for row in zip(*(value.double().numpy() for value in parts), sure, strict=True)]


FRAMES_AT_ONCE = 48
"""Frames of a video that are fitted together, and whose pictures are in memory meanwhile."""
FRAMES_BEFORE = 4
"""Frames before these that tell where the motion comes from."""


def split_at_jumps(seen: Sequence[SeenKeypoints]) -> list[list[SeenKeypoints]]:
    """Split frames where another person, or one who was lost, begins."""
    parts: list[list[SeenKeypoints]] = []
    for one in seen:
        if not parts or one.person.is_new:
            parts.append([])
        parts[-1].append(one)
    return parts


def with_settled_sides(
    seen: Sequence[SeenKeypoints], before: Sequence[tuple[SeenKeypoints, LiftedBodies]]
) -> list[SeenKeypoints]:  # fmt: skip
    """Exchange left and right in the frames in which they were taken for each other."""
    every = [one.person for one, _ in before[-1:]] + [one.person for one in seen]
    points_px, confidence = (np.stack([getattr(one, name) for one in every]) for name in ("points_px", "confidence"))
    exchanged = settled_sides(points_px, confidence, bool(before))[len(every) - len(seen) :]
    return [one._replace(person=with_sides(one.person, bool(is_other)))
            for one, is_other in zip(seen, exchanged, strict=True)]  # fmt: skip


def ended(seen: Sequence[SeenKeypoints], lifted: LiftedBodies) -> list[tuple[SeenKeypoints, LiftedBodies]]:
    """Give the last frames and their bodies, for the frames that follow."""
    rows = range(max(0, len(seen) - FRAMES_BEFORE), len(seen))
    return [(seen[row], LiftedBodies(*(value[row : row + 1] for value in lifted))) for row in rows]


AnyPredictor = Predictor | KeypointPredictor


def check_picture(rgb: np.ndarray, box: tuple[float, float, float, float] | None) -> None:
    """Stop if this is no picture, or the box lies outside of it.

    Raises:
        ValueError
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"the picture is {rgb.dtype} of shape {rgb.shape}; give uint8 of shape (height, width, 3)")
    if box is not None:
        check_box(Box(*box), rgb.shape[1], rgb.shape[0], "the picture")


FILLS = 0.9
"""Share of the picture's width and height from which on a box fills it."""


def fills(box: Box, picture: Picture) -> bool:
    """Tell whether a box is nearly the whole picture, as it becomes where the search goes wrong."""
    height, width = picture.rgb.shape[:2]
    return box.width_px >= FILLS * width and box.height_px >= FILLS * height


def touches(box: Box, picture: Picture) -> bool:
    """Tell whether a box reaches an edge of the picture, which may then cut the person off."""
    height, width = picture.rgb.shape[:2]
    right_px, bottom_px = box.left_px + box.width_px, box.top_px + box.height_px
    return min(box.left_px, box.top_px, width - right_px, height - bottom_px) <= EDGE_PX


EDGE_PX = 1.0
SMALLEST_PX = 64
"""Longer side of a person's box below which the networks see little more than a blob."""


def noting_names(pictures: Pictures, names: list[str]) -> Pictures:
    """Note the names of the pictures that are read."""

    def frames() -> Iterator[Picture]:
        for picture in pictures.frames():
            names.append(picture.name)
            yield picture

    return pictures._replace(frames=frames)


def told_names(names: Sequence[str], most: int = 5) -> str:
    """List names, or the first ones of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def tell_noticed(noticed: Mapping[str, int], count: int) -> None:
    """Warn of boxes that fill the picture, reach its edge, or are small; of how many of so many frames."""
    every = f"of {count} frames"
    if noticed["full"]:
        print(f"warning: in {noticed['full']} {every} the person's box fills the picture; if nobody is that near, the "
              "person was not found: look at the overlay, and give --box X Y WIDTH HEIGHT")  # fmt: skip
    if noticed["cut"]:
        print(f"warning: in {noticed['cut']} {every} the box reaches the picture's edge; this tier puts a whole body "
              "into it, which is wrong for who is cut off (tier keypoints reads what is seen)")  # fmt: skip
    if noticed["small"]:
        print(f"warning: in {noticed['small']} {every} the person is smaller than {SMALLEST_PX} pixels; limbs are then "
              "guessed more than seen")  # fmt: skip


def write_frames(
    pictures: Pictures, predictor: AnyPredictor, out: Path, bodies: PredictedBodies, config: PredictConfig
) -> Noticed:
    """Predict and write every frame; `bodies` keeps those with a person."""
    rate, faces, noticed = pictures.frames_per_second, predictor.faces, Noticed(Counter(), [])
    if pictures.kind == "folder":
        pictures = noting_names(pictures, noticed.read)
    video = OverlayVideo(out / "overlay.mp4", rate, config.video_px) if rate is not None else None
    meshes = (() if video else ("glb", "obj", "ply")) if config.meshes is None else config.meshes
    weights = predictor.body.weights.cpu().double().numpy()
    for seen, person in predictor.people(pictures, config):
        there = FrameBody(seen.picture.name, seen.picture.number, *person[:-2], person.seen)
        bodies.add(there)
        noticed.counts["full"] += fills(seen.box, seen.picture)
        noticed.counts["cut"] += isinstance(predictor, Predictor) and touches(seen.box, seen.picture)
        noticed.counts["small"] += max(seen.box.width_px, seen.box.height_px) < SMALLEST_PX
        shown = seen_surface(person.seen, weights)
        surface = BodySurface(person.vertices_cam_m, person.joints_cam_m[0], faces, shown)
        rendered = draw(seen.picture.rgb, surface, seen.camera.K, seen.box, config.view_px)
        if video:
            video.add(beside(rendered, config.video_px))
        write_frame(out, there, None if video else rendered, person.vertices_cam_m, faces, meshes, predictor.about)
    if video is not None:
        video.close()
    return noticed


class NobodyFoundError(ValueError):
    """No frame shows a person."""


def write_whole(
    source: str, rate: float | None, predictor: AnyPredictor, out: Path, bodies: PredictedBodies, noticed: Noticed,
    config: PredictConfig,
) -> None:  # fmt: skip
    """Tell what was noticed, and write what is about all frames."""
    if not bodies:
        raise NobodyFoundError(f"no person was found in {source}; if there is one, give --box X Y WIDTH HEIGHT")
    found = set(bodies.names)
    if empty := [name for name in noticed.read if name not in found]:
        print(f"no person was found in {told_names(empty)}, of which nothing is written; if there is one, give the "
              "picture by itself and --box X Y WIDTH HEIGHT")  # fmt: skip
    tell_noticed(noticed.counts, len(bodies))
    if rate is not None and bodies.num_left_out:
        print(f"warning: {bodies.num_left_out} frames that show nobody are left out of joints.json and body.npz, "
              "which tell the others' numbers and times; the motion is bridged, which about.json says, in the overlay "
              "they are cut out")  # fmt: skip
    guessed = told_guessed(bodies.column("seen"))
    if guessed:
        print(f"guessed, as the picture does not show them{' in most frames' if len(bodies) > 1 else ''}: {guessed} "
              "(grey in the pictures; joints.json says it of each frame)")  # fmt: skip
    write_tables(out, bodies, predictor.about, rate, predictor.seen_by)
    if rate is not None:
        write_motion(out, bodies, predictor.body, predictor.about, rate, config.motion_files)


def tell_focal(config: PredictConfig) -> None:
    """Say where the focal length comes from."""
    focal = "given" if config.focal_px else "unknown, taken as 1.146 times the picture's longer side"
    print(f"focal length: {focal}")


def predict(predictor: AnyPredictor, out: Path, config: PredictConfig) -> int:
    """Predict the bodies in the input, fill the folder and tell what was done; return how many frames it holds."""
    check_formats(config.motion_files)
    pictures = open_pictures(config.input, config.frames)
    reads = (Path(config.input), config.mask, config.keypoints, config.checkpoint, config.lifter)
    check_out(out, config.overwrite, WRITTEN, reads)
    with atomic_folder(out) as (partial,), TemporaryFile(dir=partial) as rows:
        tell_focal(config)
        bodies = PredictedBodies(rows)
        noticed = write_frames(pictures, predictor, partial, bodies, config)
        rate = pictures.frames_per_second
        write_whole(pictures.source, rate, predictor, partial, bodies, noticed, config)
    count = len(bodies)
    if pictures.kind != "folder" and pictures.num_frames is not None and count < 0.9 * pictures.num_frames:
        print(f"{pictures.source} tells of {pictures.num_frames} frames; {count} could be read and show a person")
    return count


def takes_keypoints(config: PredictConfig) -> bool:
    """Choose the tier."""
    if config.tier != "auto":
        return config.tier == "keypoints"
    is_own = config.checkpoint != PredictConfig.checkpoint
    is_meant = (config.lifter, config.detector) != (PredictConfig.lifter, PredictConfig.detector)
    there = is_meant or is_available(config.detector_location, config.detector)
    return config.keypoints is not None or (there and not is_own)


def open_predictor(config: PredictConfig, local_rank: int = 0) -> AnyPredictor:
    """Open the networks of the chosen tier, and say first which it is.

    Args:
        local_rank: which of the processes of this machine this is, for its GPU.
    Raises:
        FileNotFoundError, ValueError: weights or the extra are missing.
    """
    if takes_keypoints(config):
        refuse_unread(config, "keypoints")
        if config.device not in ("auto", "cpu"):
            print(f"device {config.device} is not used: tier keypoints computes on the processor")
        networks = None if config.keypoints is not None else BlazePose(config.detector_location, config.detector)
        predictor = KeypointPredictor(config.lifter, networks, config.fit, config.paths, networks is None)
        other = "; nothing else is read, and what found the keypoints is not known" if networks is None else (
            f" (BlazePose {networks.kind}); --tier pixels takes this project's own network"
        )  # fmt: skip
        print(f"tier: {predictor.about.tier}{other}")
        print(which_weights("lifter", config.lifter, config.paths.runs_location / "lifter"))
        return predictor
    refuse_unread(config, "pixels")
    pixels = Predictor(config.checkpoint, config.device, config.paths, local_rank)
    there = is_available(config.detector_location, config.detector)
    better = "" if there else f"; real people need the keypoints extra: {KEYPOINTS_REMEDY}"
    print(f"tier: {pixels.about.tier}{better}")
    print(which_weights("checkpoint", config.checkpoint, config.paths.runs_location / "mesh"))
    return pixels


def task_of(config: PredictConfig, out: Path) -> Task:
    """Give what several cameras are asked for."""
    return Task(
        config.input, config.cameras, out, config.keypoints, config.skeleton, config.frames, config.lifter,
        config.detector, config.detector_location, config.motion_files, config.video_px, config.overwrite,
        config.cameras_fit, config.cameras_loss, config.paths,
    )  # fmt: skip


PART_BATCHES = 4
"""Batches of pictures that one of several processes predicts at a time."""
OF_ONE_PROCESS = ("out", "device", "overwrite")
"""Settings that may differ among those that share a folder."""


def refuse_shared(config: PredictConfig, rank: Rank) -> None:
    """Refuse what several processes cannot share."""
    if config.cameras.calibration:
        raise ValueError("a recording of several cameras is one piece of work, which processes do not share; leave out "
                         "torchrun, and give one command per recording")  # fmt: skip
    if config.keypoints is not None:
        raise ValueError("keypoints belong to the frames of one input by their order, which processes do not share; "
                         f"{'leave out torchrun' if rank.is_shared else 'give one clip'}")  # fmt: skip
    if config.overwrite:
        raise ValueError("overwrite would delete what other processes write; delete the folder yourself, or choose "
                         "another --out")  # fmt: skip


def archive_of(config: PredictConfig, out: Path, rank: Rank) -> Archive:
    """Say how a folder is predicted that several processes may share."""
    refuse_shared(config, rank)
    check_formats(config.motion_files)
    predictor, source = open_predictor(config, rank.local), Path(config.input)
    if not is_clips(source):
        tell_focal(config)

    def predict_clip(clip: Path, folder: Path) -> bool:
        try:
            return predict(predictor, folder, replace(config, input=str(clip))) > 0
        except NobodyFoundError as error:
            with atomic_folder(folder) as (partial,):
                (partial / NOBODY).write_text(f"{error}\n")
            return False

    return Archive(
        source, out, {name: value for name, value in to_plain(config).items() if name not in OF_ONE_PROCESS},
        PART_BATCHES * config.batch, lambda pictures, to, bodies: write_frames(pictures, predictor, to, bodies, config),
        lambda bodies, noticed: write_whole(str(source), None, predictor, out, bodies, noticed, config), predict_clip,
    )  # fmt: skip


def name_of(source: str) -> str:
    """Name an input by its file or folder, also where it is given as `.` or `..`."""
    return readable(Path(abspath(source)).stem) or "pictures"


def main(config: PredictConfig) -> Path:
    """Predict, write, and return the folder."""
    out = config.out or config.paths.runs_location / "predict" / name_of(config.input)
    rank = rank_of_process()
    if rank.is_shared or (is_clips(Path(config.input)) and not config.cameras.calibration):
        return predict_archive.main(archive_of(config, out, rank), rank)
    if config.cameras.calibration:
        return predict_cameras.main(task_of(config, out))
    count = predict(open_predictor(config), out, config)
    print(f"{count} frames: {out}")
    return out


if __name__ == "__main__":
    start(main, PredictConfig)
