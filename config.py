"""Every setting of the method, frozen dataclasses, one per stage, and the presets; a tool's stand in its script.

Scripts begin with the preset `demo`, near the end: edit it, or a default of a setting that it leaves alone, or override
it on the command line: `python sample/train_enc_dec.py --optim.lr 3e-4`.  `--preset full` starts from another preset;
`--help` explains every setting.  Metres and radians throughout.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, replace
from math import inf, pi
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "models" / "assets"
EMBEDDED = ROOT / "data" / "synthetic"
DATASET = EMBEDDED
"""Your data is here: a folder with frames, masks, backgrounds and index in it.  Edit this line, or give any script
`--dataset FOLDER`.  The default is the embedded data set."""
FOLDER = Path(DATASET).expanduser()  # the line above may also say "/data/mine" or "~/mine"


Settings = TypeVar("Settings")

# --------------------------------------------------------------------------------------------------- shared settings


def setting(default: Any, low: float = -inf, high: float = inf) -> Any:
    """Give a setting its default and the range of its values; see `ranged`."""
    return field(default=default, metadata={"low": low, "high": high})


def ranged(group: str = "") -> Callable[[type[Settings]], type[Settings]]:
    """Let a class (below @dataclass) refuse values outside the ranges of its settings, and --help show them.

    Args:
        group: what the class is called among the settings that hold it, for the message, such as `loss`.
    """

    def with_check(kind: type[Settings]) -> type[Settings]:
        limits = {name: (one.metadata["low"], one.metadata["high"])
                  for name, one in vars(kind).items() if isinstance(one, Field) and one.metadata}  # fmt: skip
        for name, (low, high) in limits.items():
            number = kind.__annotations__[name]
            shown = f"{number.__name__.upper()} ({written_range(low, high)})"
            kind.__annotations__[name] = Annotated[number, tyro.conf.arg(metavar=shown)]
        contradictions = getattr(kind, "__post_init__", None)

        def check(self: Settings) -> None:
            for name, (low, high) in limits.items():
                value = getattr(self, name)
                if not low <= value <= high:
                    full_name = f"{group}.{name}" if group else name
                    raise ValueError(f"{full_name} is {value}; use {written_range(low, high)}")
            if contradictions is not None:
                contradictions(self)

        kind.__post_init__ = check  # type: ignore[attr-defined]
        return kind

    return with_check


def written_range(low: float, high: float) -> str:
    """Write a range for people."""
    return f"{low:g} to {high:g}" if high < inf else f"at least {low:g}"


SMPL_FOLDERS = ("models", "smpl", "models/smpl", "smpl/models", "SMPL_python_v*/smpl/models")
SMPL_NAMES = re.compile(r"(?:smpl_|basicmodel_)(neutral|male|female|m|f)(?:_lbs_.*)?\.(?:pkl|npz)", re.IGNORECASE)


def body_in(folder: Path) -> Path:
    """Find SMPL's file in a folder, by its published names: the neutral body, or the only one there.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several, and the rule does not choose.
    """
    places = [folder, *(place for below in SMPL_FOLDERS for place in sorted(folder.glob(below)) if place.is_dir())]
    found = [(path, SMPL_NAMES.fullmatch(path.name)) for place in places for path in sorted(place.iterdir())]
    bodies = {path: name[1].lower() for path, name in found if name}
    chosen = [path for path, kind in bodies.items() if kind == "neutral"] or list(bodies)
    if not chosen:
        raise FileNotFoundError(f"{folder} holds no file of SMPL (SMPL_NEUTRAL.pkl, SMPL_NEUTRAL.npz, "
                                "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl, ...); give the file itself as "
                                "--paths.models-smpl-location")  # fmt: skip
    if len(chosen) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in chosen)
        raise ValueError(f"{folder} holds several bodies ({names}); give one of these files as "
                         "--paths.models-smpl-location")  # fmt: skip
    return chosen[0]


PARTS = {"h36m": "frames", "masks": "masks", "backgrounds": "backgrounds", "index": "index", "truth": "truth"}
"""Places of a data set, and their names below its folder."""


@dataclass(frozen=True)
class Paths:
    """Where everything lies.  `--dataset FOLDER` (or DATASET above) moves the first five places together."""

    h36m_location: Path = FOLDER / "frames"
    """Folders `s_01_act_02_subact_01_ca_01` with frames and `h36m_meta.mat`."""
    masks_location: Path = FOLDER / "masks"
    """The same folders and file names with person masks, .png."""
    backgrounds_location: Path = FOLDER / "backgrounds"
    """Median images, written by dataset_def/h36m_get_background.py."""
    index_location: Path = FOLDER / "index"
    """The frame index and packed crops, written by dataset_def/h36m_preprocess.py."""
    truth_location: Path = FOLDER / "truth"
    """Body parameters of the embedded data.  Test scripts only."""
    models_smpl_location: Path = ROOT / "models" / "assets" / "open_body.npz"
    """The body model: the embedded open body, or SMPL's own .pkl / .npz, or the folder that SMPL's files lie in (the
    neutral body is taken, or the only one there)."""
    h36m_regressor_location: Path | None = None
    """A 17-joint regressor for a body file that has none, such as J_regressor_h36m_correct.npy for SMPL's."""
    runs_location: Path = ROOT / "runs"
    """Checkpoints, logs, embeddings and predictions: runs/<stage>/<name>/."""

    def __post_init__(self) -> None:
        if self.models_smpl_location.is_dir():
            object.__setattr__(self, "models_smpl_location", body_in(self.models_smpl_location))

    @classmethod
    def under(cls, dataset: Path) -> "Paths":
        """Give the places of a data set that lies in one folder; the body and the runs stay where they are."""
        return cls(**{f"{name}_location": dataset / part for name, part in PARTS.items()})


Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
@ranged("crop")
class Crop:
    """The square picture of the person that the networks see."""

    size_px: int = setting(64, low=32, high=4096)
    """Side of the crop; the networks need a multiple of 16."""
    side_m: float = setting(2.3, low=0.5, high=10)
    """Side of the crop in metres at the distance of its centre; a person fits into 2 to 2.5."""
    centre: Literal["pelvis", "masks", "box"] = "masks"
    """What the virtual camera points at: the triangulated centroid of the masks of all cameras, the centre of the
    mask's box in this view alone, or the true pelvis of everybody, as in the papers.  That is a 3D label, and one that
    tells the heading: the masks' centroid lies in front of the pelvis in 99 % of all instants.  The choice travels with
    the checkpoint; stages 2 and 4 cut their crops as stage 1 did."""

    def __post_init__(self) -> None:
        if self.size_px % 16:
            raise ValueError(f"crop.size_px is {self.size_px}; use a multiple of 16, at least 32")


@dataclass(frozen=True)
class Subjects:
    """Who is used for what."""

    train: tuple[int, ...] = (1, 5, 6, 7, 8)
    """Subjects whose images train stage 1 (and whose pelvis it reads, where crop.centre is the pelvis)."""
    labelled: tuple[int, ...] = (1,)
    """Subjects whose 3D joints train stage 2."""
    test: tuple[int, ...] = (9, 11)
    """Subjects read by the test scripts only."""
    held_out: tuple[tuple[int, int], ...] = ((4, 2), (9, 1), (14, 2))
    """(action, sub-action) of each training subject kept back to choose the best checkpoint."""
    validation: tuple[int, ...] = ()
    """Subjects whose 3D joints choose the best checkpoint of stage 2, instead of the labelled subjects' held-out
    sequences: people whom no training has seen, and no test reads."""

    def __post_init__(self) -> None:
        kinds = ("train", "labelled", "validation", "test")
        for name, other in itertools.combinations(kinds, 2):
            both = sorted(set(getattr(self, name)) & set(getattr(self, other)))
            if both and (name, other) != ("train", "labelled"):
                raise ValueError(f"subjects {both} are in subjects.{name} and in subjects.{other}; "
                                 "remove them from one")  # fmt: skip


@dataclass(frozen=True)
@ranged("optim")
class Optim:
    """How the weights are moved."""

    steps: int = setting(2000, low=1)
    lr: float = setting(1e-3, low=1e-9)
    """Adam's step size."""
    weight_decay: float = setting(0.0, low=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    """Cosine: a short warm-up, then down to zero at the last step."""
    warmup_steps: int = setting(100, low=0)
    gradient_clip: float = setting(0.0, low=0)
    """Largest gradient norm; 0 switches clipping off."""
    bf16: bool = True
    """Run the networks in bfloat16 where the processor computes it (a GPU, a CPU with AVX-512), else in float32;
    geometry and losses are always in float32."""


@dataclass(frozen=True)
@ranged("loop")
class Loop:
    """What surrounds the training steps."""

    seed: int = setting(0, low=0)
    log_every: int = setting(50, low=1)
    """Steps between lines of history.jsonl."""
    validate_every: int = setting(500, low=1)
    """Steps between validations on the held-out sequences, each of which may give a new best checkpoint."""
    pictures: int = setting(4, low=0, high=64)
    """Held-out examples drawn at each validation, in the run's folder pictures/ and in TensorBoard; 0 draws none."""
    checkpoint_every: int = setting(500, low=1)
    workers: int = setting(1, low=0)
    """Processes that read data; 0 reads in the training process."""
    threads: int = setting(0, low=0)
    """PyTorch threads on the CPU; 0 leaves PyTorch's own choice."""
    resume: bool = False
    """Go on from checkpoint_last.pt of a run of the same name."""
    auto_resume: bool = False
    """Go on where there is a checkpoint_last.pt, and start where there is none: for jobs that are started again."""
    overwrite: bool = False
    """Delete a run of the same name first."""
    skip_broken: bool = False
    """Leave out training samples that cannot be read, each told once and counted; the next one takes the place."""

    def __post_init__(self) -> None:
        if (self.resume or self.auto_resume) and self.overwrite:
            which = "loop.resume" if self.resume else "loop.auto_resume"
            raise ValueError(f"{which} and loop.overwrite contradict each other; set one")


# --------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
@ranged()
class PreprocessConfig:
    """dataset_def/h36m_preprocess.py: scan the data, write the index, optionally pack the crops."""

    paths: Paths = field(default_factory=Paths)
    every: int = setting(1, low=1)
    """Keep every n-th frame (5 is usual for the real data)."""
    pack: bool = True
    """Cut the crops once into one memory-mapped file; training then decodes no image."""
    pack_px: int = setting(96, low=1)
    """Side of a packed crop; larger than the networks' crop because it also holds the margin for rotation."""
    pack_side_m: float = setting(3.0, low=0.5, high=20)
    """Side of a packed crop in metres."""
    centre: Literal["pelvis", "masks", "box"] = "masks"
    """What a packed crop is centred on; training on packed crops uses the same.  Crops of several kinds lie side by
    side: run it again with another centre, such as pelvis for models/assets/open_weights.pt."""
    processes: int = setting(0, low=0)


# ------------------------------------------------------------------------------------------------------------ stage 1


@dataclass(frozen=True)
@ranged("encoder")
class EncoderConfig:
    """The network that reads geometry and appearance from one image."""

    kind: Literal[
        "compact", "efficientnet_lite0", "heatmaps", "heatmaps_imagenet", "heatmaps_imagenet_frozen", "unet",
        "resnet50", "seed",
    ] = "compact"  # fmt: skip
    """compact: ours, small and quick.  efficientnet_lite0: ImageNet weights from a package.  heatmaps: points found in
    the image, at the places of heat maps.  heatmaps_imagenet: the same, on maps of efficientnet_lite0 (five times
    slower on a processor).  heatmaps_imagenet_frozen: the same, but the ImageNet layers stay as they come, in every
    stage, and no file stores them; for pictures of another kind than those of the training.  unet, resnet50: the
    paper's variants (resnet50 is downloaded by torchvision on first use).  seed: the thesis'."""
    width: int = setting(32, low=1, high=4096)
    """Channels of the first level."""
    points: int = setting(200, low=1, high=65536)
    """3D points of the geometry latent."""
    appearance: int = setting(128, low=1, high=65536)
    """Numbers of the appearance latent."""
    dropout: float = setting(0.0, low=0, high=0.99)
    relu_on_points: bool = False
    """A rectifier on the points, as in the thesis; it confines them to one octant."""
    own_appearance_encoder: bool = True
    """Read the appearance with a network of its own, from the clean image: in a trial with one network for
    both, trained on permuted colours, bodies came out grey."""
    appearance_at: Literal["image", "points"] = "image"
    """Where that network reads: from the whole image, or at the places where the 3D points project, so that the colour
    of a sleeve is found wherever the arm is."""

    def __post_init__(self) -> None:
        if self.appearance_at == "points" and not self.own_appearance_encoder:
            raise ValueError("encoder.appearance_at points needs encoder.own_appearance_encoder; switch one of them")
        if self.has_maps and (self.dropout or self.relu_on_points or not self.own_appearance_encoder):
            raise ValueError(f"encoder.kind {self.kind} finds points at places of the image: set encoder.dropout 0, "
                             "encoder.relu_on_points off and encoder.own_appearance_encoder on")  # fmt: skip

    @property
    def has_maps(self) -> bool:
        """Whether points are found in the image."""
        return self.kind in ("heatmaps", "heatmaps_imagenet", "heatmaps_imagenet_frozen")


@dataclass(frozen=True)
@ranged("decoder")
class DecoderConfig:
    """The network that decodes an image from the latents."""

    kind: Literal["compact", "paper", "seed"] = "compact"
    width: int = setting(32, low=4, high=4096)
    """Channels before the output."""
    dropout: float = setting(0.0, low=0, high=0.99)
    composite: bool = True
    """Predict the person and an opacity, and lay them over the given background; needs kind compact."""

    def __post_init__(self) -> None:
        if self.composite and self.kind != "compact":
            raise ValueError(f"decoder.composite needs decoder.kind compact, not {self.kind}; switch one of them")


@dataclass(frozen=True)
@ranged("pairing")
class Pairing:
    """Which view is predicted from which, and whose appearance is used."""

    same_view: float = setting(0.5, low=0, high=1)
    """Share of targets that are the input view itself (pure auto-encoding).  With half of them N-MPJPE was 210 mm after
    870 steps, with other views alone 226 mm after 1,000 (a trial on synthetic data)."""
    appearance_from: Literal["other_time", "other_action", "same_image"] = "other_time"
    """other_time: another instant of the same sequence.  other_action: another action of the same subject (as
    in the thesis; needs subjects with one outfit).  same_image: no swap."""


@dataclass(frozen=True)
@ranged("augment")
class ImageAugmentation:
    """Random changes of the input image; the geometry changes with it, so labels stay right."""

    roll_rad: float = setting(0.35, low=0, high=pi)
    """Largest in-plane rotation, folded into the crop camera."""
    shift_m: float = setting(0.0, low=0, high=1)
    """Largest distance by which the crop's centre is moved off, in a random direction and the same for all cameras of
    an instant.  Crops centred on masks lie so far from the pelvis; training with 0.2 makes them readable."""
    colour: float = setting(0.0, low=0, high=1)
    """Strength of gain, offset, contrast and blur changes of the pose input (not of the target), 0 to 1.  Appearance
    is what differs most between people: with permuted channels it was worth 60 to 80 mm on new subjects."""
    permute_channels: bool = False
    """Shuffle the colour channels of the pose input."""
    scale: float = setting(0.0, low=0, high=2)
    """Largest change of the person's size: 0.3 for 1/1.3 to 1.3 times.  This and the next four settings are for
    stages 2 and 4, and for stage 1 with teaching.by masks."""
    mirror: float = setting(0.0, low=0, high=1)
    """Share of mirrored images."""
    background: float = setting(0.0, low=0, high=1)
    """Share of images whose room is replaced by an empty one of subjects.train; needs masks and backgrounds."""
    saturation: float = setting(0.0, low=0, high=1)
    """Strength of changes of the saturation: at 1 it is 0.3 to 1.2 times, mostly paler."""
    photo: float = setting(0.0, low=0, high=1)
    """Strength of what cameras do to pictures: exposure, white balance, motion blur, lost resolution, noise, JPEG of
    quality 95 down to 40.  Real pictures need it; drawn ones do not."""
    occluders: float = setting(0.0, low=0, high=1)
    """Share of images with something before the person, up to two things."""
    border: float = setting(0.0, low=0, high=1)
    """Share of images that look beyond a side of their picture, where it is black, as boxes at a frame's edge do."""
    pictures: Path | None = None
    """A folder of pictures without people, such as photographs of rooms and streets; half of the rooms that
    augment.background lays behind people are cut from them."""
    end: float = setting(1.0, low=0, high=1)
    """What is left of roll, colour and saturation at the last step; they fall linearly, and background half as far.
    Shifts do not fall: a network that has seen none for a while reads people beside the middle of the crop badly."""

    @property
    def needs_margin(self) -> bool:
        """Whether crops are cut from wider ones, in whole batches."""
        changed = (self.scale, self.mirror, self.background, self.saturation, self.photo, self.occluders, self.border)
        return any(changed) or self.end != 1

    def __post_init__(self) -> None:
        if self.pictures is not None and not self.background:
            raise ValueError(f"augment.pictures is {self.pictures}, but augment.background is 0, so nothing is laid "
                             "behind people; set --augment.background 0.7, or leave augment.pictures out")  # fmt: skip

    def refuse_more_than_colour_roll_and_shift(self, where: str) -> None:
        """Refuse the settings that only stage 2 has."""
        if self.needs_margin:
            raise ValueError("augment.scale, augment.mirror, augment.background, augment.saturation, augment.photo, "
                             "augment.occluders, augment.border and augment.end are not for "
                             f"{where}; leave them out")  # fmt: skip


@dataclass(frozen=True)
@ranged("loss")
class ImageLoss:
    """How a predicted image is compared with the true one."""

    pixels: float = setting(1.0, low=0)
    """Weight of the mean absolute difference of RGB in [0, 1]."""
    features: float = setting(0.5, low=0)
    """Weight of the ImageNet feature difference (2 in the paper)."""
    network: Literal["efficientnet_lite0", "resnet18"] = "efficientnet_lite0"
    """efficientnet_lite0 comes with a package; resnet18 is downloaded by torchvision on first use."""
    feature_norm: Literal["l1", "l2"] = "l1"
    imagenet_normalised: bool = True
    """Feed the feature network images on its own distribution.  Off: BGR divided by 256, as in the thesis."""
    opacity: float = setting(0.1, low=0)
    """Weight of the cross-entropy between the predicted opacity and the mask; only where the decoder composites and
    masks exist.  Masks are no 3D label, and stage 4 needs them anyway; 0 does without."""
    person: float = setting(4.0, low=0.01)
    """Weight of the person's pixels (mask, where masks exist) against 1 for the rest.  Weight 4 and compositing
    together cut the error on the person after 500 steps from 0.55 to 0.42 (a trial on synthetic data)."""

    @property
    def uses_masks(self) -> bool:
        """Whether any term needs masks."""
        return self.opacity > 0 or self.person != 1


@dataclass(frozen=True)
@ranged("teaching.ropes")
class Ropes:
    """Limbs with an identity that teach some of the points: stiff links that hang from a person's steady points."""

    at: tuple[float, ...] = ()
    """Shares of the training after which they are searched in the masks, from 0; empty for never.  Points must have
    found their places by then."""
    file: Path | None = None
    """The ropes.npz of another run on the same data and subjects: its limbs are taken instead of searched."""
    kinds: int = setting(2, low=1, high=4)
    """Pairs of limbs, left and right: legs and arms; of a four-legged animal hind and front legs."""
    links: int = setting(2, low=1, high=3)
    """Of each limb.  Each gives two pairs of points: its middle and its end."""
    lengths_m: tuple[float, ...] = (0.2, 0.3, 0.4)
    """Lengths of links that are tried first; the best are then changed in steps of 5 and 2.5 cm."""
    radius_m: float = setting(0.06, low=0.005, high=0.5)
    """Half the thickness of a limb."""
    learned_from: int = setting(64, low=4)
    """Instants that tell where limbs hang and how long they are."""
    beyond: float = setting(1.1, low=1, high=1.5)
    """Place of the last point along the last link: a hand is beyond the wrist."""
    weight: float = setting(2.0, low=0)
    """Of their points in the loss; of others 1."""

    def __post_init__(self) -> None:
        if any(not 0 <= share < 1 for share in self.at):
            raise ValueError(f"teaching.ropes.at is {self.at}; give shares of the training, each from 0 to below 1")
        if not self.lengths_m or min(self.lengths_m) <= 0:
            raise ValueError(f"teaching.ropes.lengths_m is {self.lengths_m}; give one length in metres or several")


@dataclass(frozen=True)
@ranged("teaching")
class PointsTeaching:
    """What teaches the points of an encoder of kind heatmaps."""

    by: Literal["views", "masks", "nothing"] = "views"
    """views: the pictures that are drawn from them.  masks: where the masks of all views of an instant want them, taken
    as if it were a label; no 3D label is read, and nothing is drawn.  nothing: points stay as --start-from brings them,
    and what draws is trained behind them."""
    views: int = setting(4, low=2, high=16)
    """Views of each instant; instants that fewer cameras see are left out."""
    mask_px: int = setting(48, low=16, high=256)
    """Pixels per 3 m of the masks that teach."""
    heading: Literal["motion", "labels", "none"] = "motion"
    """What tells left from right, which masks do not: where people walk (no label), or the 3D joints of a few labelled
    sequences.  none: points stay near the body's axis."""
    walks_from_m: float = setting(0.4, low=0.001, high=10)
    """How far the masks' centre must move between the instants before and after, for its direction to be the heading,
    with heading motion; of people who move 0.4 m it has a cosine of 0.97 with forward.  Less for smaller bodies."""
    labelled_sequences: int = setting(3, low=0)
    """Sequences of each of subjects.labelled whose joints tell the heading, with heading labels; 0 for all."""
    rolled_from: float = setting(0.2, low=0.01, high=1)
    """Share of the training at which images are rolled as far as augment.roll_rad says; rolls grow until then, since
    the lean of upright walkers is the first that tells a network where they go."""
    known_share: tuple[float, ...] = (0.5, 0.5, 0.5, 0.25)
    """Share of instants that are replaced by some of known heading, epoch by epoch; the last stays."""
    heading_at: tuple[float, ...] = (0.15, 0.2, 0.25, 0.3)
    """Shares of the training after which the map from features to headings is found anew in closed form; between and
    after these it is trained with the network."""
    believed_from: float = setting(0.5, low=-1, high=1)
    """Agreement of the headings that views read, as unit vectors, from which on left and right are used; the body's
    lean alone, which is not the heading, had 0.37 to 0.56.  What follows is counted from then on to the end."""
    apart_m: float = setting(0.25, low=0, high=1)
    """Least distance between mirror partners along the person's left, falling to 0 ..."""
    apart_until: float = setting(0.7, low=0.01, high=1)
    """... at this share of the training."""
    settled_at: float = setting(0.8, low=0.01, high=1)
    """Share of the training at which points have settled: their reach, the balance of their masses and the number of
    steps towards the masks have then fallen to their last values."""
    sharpness: float = setting(3.0, low=1, high=10)
    """The consensus of views is read from heat maps to this power: their modes rather than their means."""
    rooms: float = setting(0.9, low=0, high=1)
    """Share of images before another room; with the true one, the room tells the camera."""
    heat: float = setting(1.0, low=0)
    """Weights of the loss: per nat of cross-entropy between heat maps and Gaussians at the targets."""
    depth: float = setting(3.0, low=0)
    """Per metre of depth, where the target is."""
    points: float = setting(5.0, low=0)
    """Per metre between points and targets."""
    mask: float = setting(1.0, low=0)
    """Per nat of cross-entropy with the person's mask."""
    agreement: float = setting(1.0, low=0)
    """Per unit of agreement of the headings that views read."""
    known_heading: float = setting(2.0, low=0)
    """Per unit of 1 - cosine to known headings."""
    ropes: Ropes = field(default_factory=Ropes)

    def __post_init__(self) -> None:
        if not self.known_share or not all(0 <= share < 1 for share in self.known_share):
            raise ValueError(f"teaching.known_share is {self.known_share}; give one share or several, each from 0 to "
                             "below 1")  # fmt: skip


@dataclass(frozen=True)
@ranged()
class EncDecConfig:
    """sample/train_enc_dec.py: stage 1, novel views."""

    name: str = "demo"
    """The run's folder: runs/enc_dec/<name>."""
    start_from: Path | None = None
    """A checkpoint whose weights this run begins with, such as models/assets/open_weights.pt: goes on training a
    network, or moves it to other cameras and people.  Its encoder, decoder and normalise settings must be the same."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    crop: Crop = field(default_factory=Crop)
    subjects: Subjects = field(default_factory=Subjects)
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(appearance_at="points"))
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pairing: Pairing = field(default_factory=Pairing)
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    loss: ImageLoss = field(default_factory=ImageLoss)
    teaching: PointsTeaching = field(default_factory=PointsTeaching)
    optim: Optim = field(default_factory=Optim)
    loop: Loop = field(default_factory=Loop)
    groups: int = setting(4, low=1)
    """Groups of images in a batch: four of two cameras at each of two instants, or teaching.views of one instant."""
    in_memory: bool = False
    """Read all wide crops once and keep them in the memory of the device (2 GB for 6,000 instants in four views of 112
    px), where masks teach: a step then reads nothing.  Empty rooms are dealt anew in every batch."""
    normalise: Literal["imagenet", "none", "seed"] = "imagenet"
    """Of the encoder's input.  seed: BGR divided by 256, as in the thesis."""

    def __post_init__(self) -> None:
        self._check_teaching()
        if self.encoder.has_maps and self.crop.size_px % 32:
            raise ValueError(
                f"crop.size_px is {self.crop.size_px}; encoder.kind {self.encoder.kind} needs a multiple of 32"
            )
        if (
            self.encoder.kind in ("efficientnet_lite0", "heatmaps_imagenet", "heatmaps_imagenet_frozen", "resnet50")
            and self.normalise != "imagenet"
        ):
            raise ValueError(
                f"encoder.kind {self.encoder.kind} starts from ImageNet weights, but normalise is {self.normalise}; "
                "set --normalise imagenet"
            )
        if self.loss.opacity and not self.decoder.composite:
            raise ValueError(
                f"loss.opacity is {self.loss.opacity}, but decoder.composite is off, so no opacity is drawn; "
                "set one of them"
            )
        if self.augment.permute_channels and not self.encoder.own_appearance_encoder:
            raise ValueError(
                "augment.permute_channels needs encoder.own_appearance_encoder: the appearance would be read from an "
                "image with shuffled colours; switch one of them"
            )

    def _check_teaching(self) -> None:
        """Refuse settings that contradict what the points are taught by."""
        by = self.teaching.by
        if by != "masks" and self.in_memory:
            raise ValueError(f"in_memory keeps wide crops, which only teaching.by masks cuts others from, but "
                             f"teaching.by is {by}; leave in_memory off")  # fmt: skip
        if by != "masks":
            self.augment.refuse_more_than_colour_roll_and_shift(f"stage 1 with teaching.by {by}")
        if by == "nothing" and self.start_from is None:
            raise ValueError("teaching.by is nothing, so the points must come from another run; give --start-from")
        if by == "masks" and not self.encoder.has_maps:
            raise ValueError(f"teaching.by masks teaches heat maps, but encoder.kind is {self.encoder.kind}; set "
                             "--encoder.kind heatmaps, or --teaching.by views")  # fmt: skip
        if by == "masks" and self.crop.centre == "box":
            raise ValueError("teaching.by masks needs one place that all views of an instant look at, and crop.centre "
                             "is box; set --crop.centre masks")  # fmt: skip
        if self.augment.pictures is not None:
            raise ValueError("augment.pictures is for stages 2 and 4; stage 1 takes the rooms of its people")
        ropes, pairs = self.teaching.ropes, self.encoder.points // 2
        taught = ropes.kinds * (2 * ropes.links + 1)
        if by == "masks" and ropes.at and taught > pairs:
            raise ValueError(f"encoder.points is {self.encoder.points}, {pairs} pairs, but the limbs of teaching.ropes "
                             f"need {taught}; set --encoder.points {2 * taught} or more")  # fmt: skip
        if by == "masks" and self.encoder.points % 2:
            raise ValueError(f"encoder.points is {self.encoder.points}; teaching.by masks needs an even number: points "
                             "are pairs of left and right")  # fmt: skip
        if by == "masks" and self.augment.background:
            raise ValueError("augment.background falls during a training; with teaching.by masks set "
                             "--teaching.rooms instead")  # fmt: skip

    @property
    def trains_decoder(self) -> bool:
        """Whether a training with these settings teaches what draws novel views; masks teach the points alone."""
        return self.teaching.by != "masks"


# ------------------------------------------------------------------------------------------------------------ stage 2


@dataclass(frozen=True)
@ranged("head")
class PoseHeadConfig:
    """The network that reads 17 joints from the latent points, or from an encoder's maps."""

    kind: Literal["auto", "points", "maps"] = "auto"
    """points: a perceptron on the latent points.  maps: heat maps of the joints on the features of an encoder of kind
    heatmaps (the settings below are then not used).  auto: maps where such an encoder is trained, else points."""
    hidden: int = setting(512, low=1, high=65536)
    layers: int = setting(2, low=0, high=64)
    dropout: float = setting(0.5, low=0, high=0.99)
    loss: Literal["joint_distance", "zscored_mse"] = "joint_distance"
    """joint_distance: mean distance in metres.  zscored_mse: the paper's, on joints scaled by the labels' spread."""


@dataclass(frozen=True)
@ranged("maps_loss")
class JointMapsLoss:
    """The terms that heat maps are taught by and their weights."""

    heat: float = setting(1.0, low=0)
    """Per nat of cross-entropy between a joint's heat map and a Gaussian at the joint."""
    depth: float = setting(3.0, low=0)
    """Per metre of depth, where the joint is."""
    joints: float = setting(5.0, low=0)
    """Per metre of distance between predicted and true joints."""
    points: float = setting(2.0, low=0)
    """Per metre, along each axis, between what heat maps alone find and the joints."""
    limbs: float = setting(8.0, low=0)
    """Per nat of cross-entropy between the map of a limb and its line."""
    directions: float = setting(1.0, low=0)
    """Per unit of difference between the 3D directions of a limb, where the limb is."""
    mask: float = setting(1.0, low=0)
    """Per nat of cross-entropy with the person's mask."""


@dataclass(frozen=True)
@ranged()
class UntrainedEncoder:
    """The encoder that stage 2 builds where there is none of stage 1."""

    crop: Crop = field(default_factory=lambda: Crop(side_m=2.25))
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(kind="heatmaps", points=32))


@dataclass(frozen=True)
@ranged()
class PoseConfig:
    """sample/train_3d_pose_from_enc.py: stage 2, 3D pose from the latent."""

    encoder: Path | None
    """checkpoint_best.pt of stage 1; none to begin without stage 1 (modes scratch and random); or of stage 2 with heat
    maps, such as models/assets/open_pose.pt, which is trained on (mode finetune)."""
    name: str = "demo"
    """The run's folder: runs/pose/<name>."""
    untrained: UntrainedEncoder = field(default_factory=UntrainedEncoder)
    """What is built where encoder is none."""
    mode: Literal["embeddings", "frozen", "finetune", "scratch", "random"] = "frozen"
    """embeddings: head on stored latents.  frozen: head on latents of augmented images.  finetune: encoder and head
    end to end.  scratch: the same from random weights (the supervised baseline).  random: head on a random frozen
    encoder (a baseline)."""
    embeddings: Path | None = None
    """embeddings.pkl of the same encoder; needed by mode embeddings."""
    pseudo_labels: Path | None = None
    """pseudo_labels.npz of sample/fit_SMPL.py: joints of people who have no labels, beside those of
    subjects.labelled (which may then be empty)."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    sequences: int = setting(0, low=0)
    """Labelled training sequences per subject, spread over the actions; 0 for all."""
    sequences_seed: int = setting(0, low=0)
    """Which ones: 0 takes evenly spread actions, each other number draws its own."""
    head: PoseHeadConfig = field(default_factory=PoseHeadConfig)
    maps_loss: JointMapsLoss = field(default_factory=JointMapsLoss)
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    optim: Optim = field(default_factory=lambda: Optim(steps=1000))
    loop: Loop = field(default_factory=lambda: Loop(validate_every=200, checkpoint_every=200))
    batch: int = setting(32, low=2)  # batch norm needs two
    in_memory: bool = False
    """Read all wide crops once and keep them in the memory of the device (3 MB for ten crops of 192 px): for a GPU,
    and an augmentation that cuts crops from wider ones.  Empty rooms are then dealt anew in every batch."""
    encoder_lr_factor: float = setting(0.3, low=0, high=10)
    """The encoder's step size over the head's, mode finetune."""
    patience: int = setting(0, low=0)
    """Stop after so many validations without a better held-out error; 0 trains all steps."""

    def __post_init__(self) -> None:
        if self.encoder == Path("none"):
            object.__setattr__(self, "encoder", None)
        if self.encoder is None and self.mode not in ("scratch", "random"):
            raise ValueError(f"mode is {self.mode}, but encoder is none, so there is nothing trained to go on from; "
                             "give a checkpoint of stage 1, or set --mode scratch")  # fmt: skip
        if (self.mode == "embeddings") != (self.embeddings is not None):
            raise ValueError(
                f"mode is {self.mode} and embeddings is {self.embeddings}: mode embeddings needs the file of "
                "sample/save_embeddings.py, and the other modes read images instead"
            )
        if self.mode == "embeddings" and self.subjects.validation:
            raise ValueError(f"images of subjects.validation {list(self.subjects.validation)} choose the checkpoint, "
                             "but mode embeddings reads none; leave these people out, or take mode frozen")  # fmt: skip
        if self.mode == "embeddings" and self.pseudo_labels is not None:
            raise ValueError("pseudo_labels need images, and mode embeddings has none; take mode frozen or finetune")
        if self.in_memory and (self.mode == "embeddings" or not self.augment.needs_margin):
            raise ValueError(
                "in_memory keeps wide crops, which only an augmentation with a margin needs (augment.scale, mirror, "
                "background, saturation); set one of these, or leave in_memory off"
            )


# ------------------------------------------------------------------------------------------------------------ stage 3


@dataclass(frozen=True)
@ranged("data")
class PoseSources:
    """Where the poses and shapes of the prior come from; without a folder, from the embedded motion generator."""

    surreal: Path | None = None
    """SURREAL: the folder that holds train, val and test; all `*_info.mat` below it are read."""
    amass: Path | None = None
    """AMASS: a folder of .npz files, at any depth."""
    cmu: Path | None = None
    """CMU motion capture: a folder of .asf and .amc files."""
    cmu_subjects: tuple[str, ...] = ()
    """Beginnings of the names of the .amc files that are read, such as 01_ 02_03; all if not given."""
    generator: bool = True
    """Use the embedded generator, too."""
    sequences: int = setting(450, low=2)
    """Number of motions that the embedded generator makes."""
    frames: int = setting(24, low=1)
    """Frames of each, 2.5 per second."""
    most_frames: int = setting(300, low=1)
    """Frames that are kept of a recorded sequence, evenly spread."""
    held_out: float = setting(0.1, low=0, high=0.9)
    """Share of the sequences of every source that chooses the best checkpoint."""
    seed: int = setting(0, low=0)
    """Of the generator's motions, and of the choice of held-out sequences."""
    cache_location: Path = ROOT / "data" / "poses"
    """Files are read once; what was read lies here, one file per source and content."""
    processes: int = setting(0, low=0)
    """Processes that generate motions; 0 takes one per core."""

    def __post_init__(self) -> None:
        if not self.generator and not (self.surreal or self.amass or self.cmu):
            raise ValueError("data.generator is off and no recordings are named; give --data.surreal, --data.amass or "
                             "--data.cmu, or leave the generator on")  # fmt: skip
        if self.cmu_subjects and not self.cmu:
            raise ValueError("data.cmu_subjects chooses among the files of data.cmu, which is not given")


@dataclass(frozen=True)
@ranged("noise")
class NoiseConfig:
    """How real poses vary, and how noise perturbs them (never in the ways of the test's corruptions)."""

    real_rad: float = setting(0.08, low=0, high=1)
    """Standard deviation of small turns about each axis of each joint, under which a real pose still counts as real."""
    loose: tuple[tuple[str, float], ...] = (("wrist", 3.0), ("hand", 2.0), ("foot", 3.0), ("ankle", 2.0), ("head", 2.0))
    """Joints, by the end of their names, that vary by a multiple of it; the generator hardly moves some of them."""
    shares: float = setting(0.5, low=0)
    """Standard deviation of how spine and neck share their bend among their joints; 0 leaves it as it is."""
    twist_rad: float = setting(0.3, low=0)
    """Standard deviation of the twist that moves from a limb's joint to the next one."""
    false_rad: tuple[float, float] = (0.3, 2.0)
    """Smallest and largest standard deviation of the turns that perturb a pose, sampled log-uniformly."""

    def __post_init__(self) -> None:
        if not 0 < self.false_rad[0] <= self.false_rad[1]:
            raise ValueError(f"noise.false_rad is {self.false_rad}; give the smaller one first, above 0")


@dataclass(frozen=True)
@ranged("network")
class GanNetworkConfig:
    """The networks of stage 3."""

    kind: Literal["parts", "seed"] = "parts"
    """parts: one discriminator per joint, for the whole pose and for the shape, without the root's rotation.  seed: one
    flat discriminator on all 72 + 10 numbers, as in the thesis."""
    joint_hidden: int = setting(32, low=1, high=65536)
    pose_hidden: int = setting(256, low=1, high=65536)
    pose_layers: int = setting(2, low=1, high=64)
    latent: int = setting(48, low=1, high=65536)
    """Random numbers behind a generated body."""
    generator_hidden: int = setting(256, low=1, high=65536)


@dataclass(frozen=True)
@ranged("loss")
class DiscriminatorLoss:
    """The terms of stage 3's discriminator and their weights."""

    real: float = setting(1.0, low=0.01)
    """Per squared distance of the scores of real bodies from one."""
    generated: float = setting(0.3, low=0)
    """Per squared distance of the scores of the generator's bodies from zero."""
    noise: float = setting(0.7, low=0)
    """Per squared distance of the scores of perturbed bodies from what they should be; 0 does without."""
    gradient_penalty: float = setting(0.001, low=0)
    """Per squared change of the scores with a small turn of the joints, per radian (the gradient penalty)."""


@dataclass(frozen=True)
@ranged()
class GanConfig:
    """sample/train_GAN.py: stage 3, a prior over poses and shapes."""

    name: str = "demo"
    """The run's folder: runs/gan/<name>."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    data: PoseSources = field(default_factory=PoseSources)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    network: GanNetworkConfig = field(default_factory=GanNetworkConfig)
    loss: DiscriminatorLoss = field(default_factory=DiscriminatorLoss)
    optim: Optim = field(default_factory=lambda: Optim(steps=2500, lr=1e-3, bf16=False))
    """Of the discriminator."""
    generator_lr: float = setting(5e-4, low=1e-07, high=1)
    """Adam's step size of the generator."""
    generator_every: int = setting(2, low=1)
    """Steps of the discriminator per step of the generator."""
    loop: Loop = field(default_factory=lambda: Loop(log_every=100, validate_every=500, checkpoint_every=500, workers=0))
    batch: int = setting(128, low=2)


# ------------------------------------------------------------------------------------------------------------ stage 4


@dataclass(frozen=True)
@ranged("head")
class MeshHeadConfig:
    """The network that reads a body from the latent points, or from joints that heat maps find."""

    reads: Literal["auto", "points", "maps"] = "auto"
    """points: a perceptron on the latent points.  maps: heat maps find joints, and a body is read from the joints and
    from the features at them (kind and dropout are then not used).  auto: maps where an encoder of kind heatmaps is
    trained, and behind a checkpoint of stage 2 that has maps; else points."""
    shape: Literal["learned", "bones"] = "learned"
    """learned: by the network, which knows as many shapes by heart as people were fitted.  bones: from the lengths
    between the joints that heat maps find, in closed form: with five people fitted 95 instead of 102 mm of vertices on
    others, where the true shape gives 93."""
    kind: Literal["crop", "parent", "seed"] = "crop"
    """crop: rotations in the axes of the crop camera, as two columns each.  parent: relative to the parent joint, as
    two columns.  seed: axis-angle through tanh, as in the thesis, which cannot reach people who face away or sit."""
    base: Literal["auto", "rest", "standing"] = "auto"
    """The body that all zeros make, facing the camera: at rest, with arms held out, or standing.  auto: at rest for
    kind seed, else standing.  Of heads on points."""
    hidden: int = setting(512, low=1, high=65536)
    layers: int = setting(2, low=0, high=64)
    dropout: float = setting(0.5, low=0, high=0.99)


@dataclass(frozen=True)
@ranged("loss")
class MeshLoss:
    """The terms of stage 4 and their weights; a weight of 0 leaves a term out."""

    pose: float = setting(1.0, low=0)
    """Per metre of mean joint distance, labelled subjects (L_pose)."""
    hips: bool = True
    """Compare the hips too; off in the thesis."""
    vertices: float = setting(1.0, low=0)
    """Per metre of mean distance over the surface, where bodies were fitted (pseudo_labels, labelled_bodies)."""
    rotations: float = setting(0.05, low=0)
    """Per unit of mean squared difference of the joints' rotation matrices in crop axes, there."""
    shape: float = setting(0.01, low=0)
    """Per unit of mean squared difference of the shape numbers, there."""
    soft_iou: float = setting(0.03, low=0)
    """Per unit of 1 - IoU of the soft silhouette and the mask, all views (L_verts)."""
    mesh_to_mask: float = setting(0.25, low=0)
    """Per metre of mean distance from the mesh's vertices to the mask, one half of a Chamfer distance (L_verts)."""
    mask_to_mesh: float = setting(0.25, low=0)
    """Per metre of mean distance from the mask's pixels to the mesh, the other half (L_verts)."""
    prior: float = setting(0.3, low=0)
    """Per unit of what L_gan asks of the prior."""
    prior_asks: Literal["plausible", "all_real"] = "plausible"
    """plausible: that no joint is out of place: how far the soft minimum over joints in context is below prior_margin.
    all_real: that every score is one (mean squared distance).  A shoulder turned by 90 degrees hardly changes that
    mean: with weight 0.12 it costs what 2 mm of L_pose cost, the other what 50 mm cost (weight 0.3)."""
    prior_margin: float = setting(1.05, low=-10, high=10)
    """Plausibility from which on a body costs nothing.  Nine of ten true bodies are above it, their median is 1.09."""
    prior_sees_root: bool = False
    """Let the prior score how the whole body is turned, about facing the camera, as in the thesis: it was trained on
    bodies that are turned in the frame of the real ones.  Needs a prior of kind seed."""
    betas: float = setting(0.001, low=0)
    """Per unit of the mean squared shape number; shape numbers are standard deviations over people."""
    soft_iou_after: float = setting(0.2, low=0, high=1)
    """soft_iou rises to its full weight over this share of the training: limbs far from the mask have no gradient."""
    distances_end: float = setting(0.3, low=0, high=1)
    """Share of the weights of mesh_to_mask and mask_to_mesh that is left at the end; they fall linearly."""
    pose_share: float = setting(0.6, low=0, high=1)
    """Intended share of L_pose in the gradient on the head, checked at the start."""
    verts_share: float = setting(0.3, low=0, high=1)
    """Intended share of L_verts."""
    prior_share: float = setting(0.1, low=0, high=1)
    """Intended share of L_gan."""
    balance: bool = False
    """Scale the weights at the start so that the shares of the gradient are the intended ones."""

    def __post_init__(self) -> None:
        if not self.pose and not self.uses_masks:
            raise ValueError(
                "loss.pose, loss.soft_iou, loss.mesh_to_mask and loss.mask_to_mesh are all 0; nothing tells the pose"
            )

    @property
    def uses_masks(self) -> bool:
        """Whether any term needs masks."""
        return max(self.soft_iou, self.mesh_to_mask, self.mask_to_mesh) > 0

    @property
    def uses_bodies(self) -> bool:
        """Whether any term compares with fitted bodies."""
        return max(self.vertices, self.rotations, self.shape) > 0


@dataclass(frozen=True)
@ranged("poses")
class PoseVariation:
    """How the poses of the bank are varied."""

    limbs: float = setting(0.3, low=0, high=1)
    """Share of the bodies whose arms (or legs, or neck) are those of another pose; half as many change one of both."""
    noise_degrees: float = setting(5.0, low=0, high=90)
    """Spread of a turn of every joint, about each axis."""
    tilt_degrees: float = setting(3.0, low=0, high=90)
    """The same for the whole body, before it is turned to any heading."""
    cloth_m: float = setting(0.02, low=0, high=0.2)
    """Cloth lies up to this far above the skin, on the whole body."""
    cloth_of_part_m: float = setting(0.02, low=0, high=0.2)
    """... and up to this much more on each part, which moves with one joint; a third of it may be missing."""


@dataclass(frozen=True)
@ranged("unpaired")
class UnpairedPoses:
    """Poses that belong to nobody's picture, from which bodies are learned behind joints that are not exact."""

    steps: int = setting(1500, low=0)
    """Steps on drawn bodies alone, before the first picture; 0 does without."""
    batch: int = setting(128, low=2)
    lr: float = setting(1e-3, low=1e-9)
    bank: PoseSources = field(default_factory=PoseSources)
    """The poses."""
    poses: PoseVariation = field(default_factory=PoseVariation)
    off: float = setting(0.15, low=0, high=1)
    """Spread of a joint's place about its parent, over the length between them: errors grow along the limbs."""
    tilt_degrees: float = setting(20.0, low=0, high=90)
    """Spread of how cameras look down or up at bodies, and of their roll."""


@dataclass(frozen=True)
@ranged()
class MeshConfig:
    """sample/train_SMPL_from_enc.py: stage 4, the body's pose and shape from the latent."""

    encoder: Path | None
    """checkpoint_best.pt of stage 1, or of stage 2: with a frozen encoder, such as models/assets/open_weights.pt, or
    with heat maps, such as models/assets/open_pose.pt, whose joints are then where stage 4 begins; or of stage 4 with
    heat maps, to go on from it.  none to begin without any (mode scratch)."""
    untrained: UntrainedEncoder = field(default_factory=UntrainedEncoder)
    """What is built where encoder is none."""
    mode: Literal["embeddings", "frozen", "finetune", "scratch"] = "frozen"
    """frozen: a head behind what is stored.  finetune: all layers.  scratch: all layers from random weights.
    embeddings: a head on stored latents."""
    embeddings: Path | None = None
    """embeddings.pkl of the same encoder; needed by mode embeddings."""
    prior: Path | None = ASSETS / "open_prior.pt"
    """checkpoint_best.pt of stage 3, for the same body, such as runs/gan/demo/checkpoint_best.pt; without it, the
    committed one.  Needed unless loss.prior is 0."""
    name: str = "demo"
    """The run's folder: runs/mesh/<name>."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    silhouettes_of: tuple[int, ...] = (1, 5, 6, 7, 8)
    """Subjects whose images are compared with masks and judged by the prior.  Bodies stand where the crops' centre
    says: of an encoder that was trained with crop.centre pelvis that is the true pelvis of all these people, a 3D
    label; of others no joint is read but those of subjects.labelled.  The thesis had subject 1."""
    pseudo_labels: Path | None = None
    """pseudo_labels.npz of sample/fit_SMPL.py: bodies of people who have no labels, and their joints beside those of
    subjects.labelled (which may then be empty)."""
    labelled_bodies: Path | None = None
    """pseudo_labels.npz of sample/fit_SMPL.py: bodies that were fitted to labelled people, beside their true joints."""
    unpaired: UnpairedPoses = field(default_factory=UnpairedPoses)
    """What the network that reads bodies from joints learns before it sees a picture; head.reads maps."""
    mask_px: int = setting(64, low=32, high=4096)
    """Side of the masks that silhouettes are compared with, a multiple of 16."""
    samples: int = setting(2, low=1, high=16)
    """Scan lines per pixel of the rasterised silhouettes."""
    backend: Literal["auto", "torch", "numba", "triton"] = "auto"
    """What rasterises the silhouettes."""
    head: MeshHeadConfig = field(default_factory=MeshHeadConfig)
    loss: MeshLoss = field(default_factory=MeshLoss)
    maps_loss: JointMapsLoss = field(default_factory=JointMapsLoss)
    """What the heat maps are taught by, where they are trained."""
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    optim: Optim = field(default_factory=lambda: Optim(steps=1000))
    loop: Loop = field(default_factory=lambda: Loop(validate_every=300, checkpoint_every=300))
    encoder_lr_factor: float = setting(0.3, low=0, high=10)
    """The step size of what was trained before over the head's, mode finetune."""
    batch: int = setting(24, low=2)  # batch norm needs two
    """Labelled images per step."""
    in_memory: bool = False
    """Keep all labelled wide crops in memory, as in stage 2."""
    silhouette_batch: int = setting(8, low=1)
    """Images per step that are compared with the masks of all views."""
    validate_frames: int = setting(2, low=1)
    """Validate on every n-th frame of the held-out sequences."""

    def __post_init__(self) -> None:
        if self.encoder == Path("none"):
            object.__setattr__(self, "encoder", None)
        self._check_mode()
        if self.mask_px % 16:
            raise ValueError(f"mask_px is {self.mask_px}; use a multiple of 16, at least 32")
        both = sorted(set(self.silhouettes_of) & set(self.subjects.test))
        if both:
            raise ValueError(f"subjects {both} are in silhouettes_of and in subjects.test; remove them from one")
        if self.loss.prior and self.prior is None:
            raise ValueError("loss.prior is set, but prior names no discriminator; give --prior runs/gan/<name>/"
                             "checkpoint_best.pt, or set --loss.prior 0")  # fmt: skip

    def _check_mode(self) -> None:
        """Refuse settings that contradict where the network begins and what it reads."""
        if self.encoder is None and self.mode != "scratch":
            raise ValueError(f"mode is {self.mode}, but encoder is none, so there is nothing trained to go on from; "
                             "give a checkpoint of stage 1 or 2, or set --mode scratch")  # fmt: skip
        if (self.mode == "embeddings") != (self.embeddings is not None):
            raise ValueError(
                f"mode is {self.mode} and embeddings is {self.embeddings}: mode embeddings needs the file of "
                "sample/save_embeddings.py, and the other modes read images instead"
            )
        if self.mode == "embeddings" and self.pseudo_labels is not None:
            raise ValueError("pseudo_labels need images, and mode embeddings has none; take mode frozen or finetune")
        if not self.subjects.labelled and self.pseudo_labels is None:
            raise ValueError("subjects.labelled is empty and pseudo_labels is none, so no joint is known; name who is "
                             "labelled, or give --pseudo-labels of sample/fit_SMPL.py")  # fmt: skip
        if self.in_memory and (self.mode == "embeddings" or not self.augment.needs_margin):
            raise ValueError(
                "in_memory keeps wide crops, which only an augmentation with a margin needs (augment.scale, mirror, "
                "background, saturation); set one of these, or leave in_memory off"
            )

    @property
    def prior_in_loss(self) -> Path | None:
        """The prior that the loss has a weight for; None if it has none."""
        return self.prior if self.loss.prior else None


# --------------------------------------------------------------------------------------------- bodies from masks


@dataclass(frozen=True)
@ranged("damage")
class Damage:
    """How masks are damaged; shares of the bodies unless said otherwise."""

    share: float = setting(0.5, low=0, high=1)
    """Bodies with any damage at all; the others have perfect masks.  The shares below are of these."""
    moved: float = setting(0.5, low=0, high=1)
    """... whose views are each moved by themselves, as wrong cameras and late shutters do."""
    moved_m: float = setting(0.03, low=0)
    """Spread of that, along each axis of the crop."""
    thinner: float = setting(0.2, low=0, high=1)
    """... eroded by up to `edge_m`."""
    thicker: float = setting(0.2, low=0, high=1)
    """... dilated by up to `edge_m`."""
    edge_m: float = setting(0.04, low=0)
    spots: float = setting(0.4, low=0, high=1)
    """... with up to three holes or blobs in each view, where the person is."""
    spot_m: float = setting(0.12, low=0)
    """Largest radius of these."""
    coarse: float = setting(0.2, low=0, high=1)
    """... of a quarter to all of the resolution."""
    missing: float = setting(0.3, low=0, high=1)
    """Share of all bodies that some cameras do not see: two to all views are kept, each number equally often."""

    def __post_init__(self) -> None:
        if self.thinner + self.thicker > 1:
            raise ValueError(f"damage.thinner {self.thinner} and damage.thicker {self.thicker} exclude each other; "
                             "their sum may be 1 at most")  # fmt: skip


@dataclass(frozen=True)
@ranged("network")
class MasksNetwork:
    """The teacher's network."""

    size_px: int = setting(64, low=32, high=4096)
    """Side of the masks that it reads."""
    width: int = setting(32, low=8, high=1024)
    """Channels of its first layer; deeper ones have two and three times as many."""
    features: int = setting(96, low=8, high=1024)
    """Numbers that each view tells."""
    harmonics: int = setting(3, low=1, high=8)
    """Each of these numbers is turned with the azimuth, and with up to this many times the azimuth."""
    hidden: int = setting(512, low=8, high=8192)
    own_axes: int = setting(1, low=0, high=8)
    """How often what the views tell is read again, turned to where the body was found to face."""
    refinements: int = setting(0, low=0, high=8)
    """How often it looks again after that: at its own body, drawn in all views, beside the masks."""

    def __post_init__(self) -> None:
        if self.size_px % 16 or self.size_px < 32:
            raise ValueError(f"network.size_px is {self.size_px}; use a multiple of 16, at least 32")


@dataclass(frozen=True)
@ranged("loss")
class MasksLoss:
    """What the teacher makes small."""

    points: float = setting(1.0, low=0)
    """Mean distance, metres, of joints and of some vertices, bodies about their pelvis."""
    rotations: float = setting(0.05, low=0)
    """Mean squared difference of the joints' rotation matrices in world axes."""
    betas: float = setting(0.01, low=0)
    """Mean squared difference of the shape numbers."""
    pelvis: float = setting(1.0, low=0)
    """Distance of the pelvis, metres."""


def check_parts(batch: int, parts: int | None) -> None:
    """Refuse parts that do not share a batch evenly."""
    if parts is not None and (parts < 1 or batch % parts):
        raise ValueError(f"parts is {parts}, which does not divide batch {batch} evenly; change one of them")


@dataclass(frozen=True)
@ranged()
class MasksConfig:
    """sample/train_SMPL_from_masks.py: bodies from the masks of several views."""

    name: str = "demo"
    """The run's folder: runs/masks/<name>."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    bank: PoseSources = field(default_factory=PoseSources)
    """The poses."""
    fits: Path | None = None
    """pseudo_labels.npz of sample/fit_SMPL.py, whose poses are taken instead of the bank's: those of
    people with labels."""
    cameras: Literal["data", "any"] = "data"
    """data: cameras stand as those of the training subjects do.  any: 2 to 8 cameras, anywhere around the person."""
    centre: Literal["pelvis", "masks"] = "masks"
    """What the crops look at: the true pelvis (a 3D label), or the middle of the masks of all views."""
    side_m: float = setting(2.6, low=1, high=6)
    """Side of the crops at the distance of what they look at."""
    shift_m: float = setting(0.05, low=0, high=1)
    """The crops look up to so far beside it."""
    network: MasksNetwork = field(default_factory=MasksNetwork)
    poses: PoseVariation = field(default_factory=PoseVariation)
    damage: Damage = field(default_factory=Damage)
    loss: MasksLoss = field(default_factory=MasksLoss)
    optim: Optim = field(default_factory=lambda: Optim(steps=1500, lr=1e-3, warmup_steps=50))
    loop: Loop = field(default_factory=lambda: Loop(validate_every=250, checkpoint_every=250, log_every=50, threads=1))
    """One thread trains beside the worker that draws: a second one makes a step no faster where two cores are free
    (0.18 s with one, 0.22 s with two), and several times slower where anything else runs, because it waits spinning."""
    batch: int = setting(64, low=2)
    parts: int | None = None
    """A batch is drawn in so many parts, each by itself, which the processes share: trainings with the same number are
    equal to rounding, whatever the number of their processes.  Without it each process draws one."""
    held_out_bodies: int = setting(256, low=2)
    """Drawn in poses that are held out, at each validation."""

    def __post_init__(self) -> None:
        check_parts(self.batch, self.parts)


# ------------------------------------------------------------------------------------------- bodies from keypoints


@dataclass(frozen=True)
@ranged("noise")
class KeypointNoise:
    """How keypoints of people in pictures go wrong; shares of the bodies unless said otherwise.

    Sizes are medians over half the longer side of the person's box.  Measured on BlazePose (full) before rendered
    people, whose bodies are known: tests/benchmarks/keypoint_noise.py.
    """

    seen: tuple[tuple[str, float], ...] = (
        ("nose", 0.03), ("eye", 0.03), ("ear", 0.025), ("shoulder", 0.028), ("elbow", 0.03), ("wrist", 0.027),
        ("index", 0.03), ("pinky", 0.03), ("hip", 0.041), ("knee", 0.03), ("ankle", 0.026), ("heel", 0.033),
        ("toe", 0.033),
    )  # fmt: skip
    """By the end of a keypoint's name: the median error where it is in sight."""
    hidden: tuple[tuple[str, float, float], ...] = (
        ("elbow", 0.24, 0.083), ("wrist", 0.31, 0.117), ("index", 0.31, 0.153), ("pinky", 0.31, 0.153),
        ("knee", 0.09, 0.061), ("ankle", 0.03, 0.165), ("heel", 0.03, 0.2), ("toe", 0.03, 0.216),
    )  # fmt: skip
    """By the end of a keypoint's name: how often the detector calls it hidden, and the median error then."""
    tail: float = setting(0.8, low=0, high=3)
    """Spread of the logarithm of an error: 0.8 makes one in thirty more than four times the median."""
    swapped_all: float = setting(0.02, low=0, high=1)
    """Left and right taken for each other everywhere."""
    swapped_legs: float = setting(0.04, low=0, high=1)
    swapped_arms: float = setting(0.02, low=0, high=1)
    cut_off: float = setting(0.25, low=0, high=1)
    """Bodies of which the picture's edge cuts a part off."""
    invented: float = setting(0.3, low=0, high=1)
    """Share of these whose missing points are invented near the edge instead of missing."""
    missing: float = setting(0.2, low=0, high=1)
    """Bodies with single points missing, a quarter of them."""
    without_hands: float = setting(0.35, low=0, high=1)
    """Bodies whose detector knows neither fingers nor, for half of them, feet."""


@dataclass(frozen=True)
@ranged("views")
class KeypointViews:
    """Where the cameras stand that see the bodies."""

    nearest_m: float = setting(1.3, low=0.8, high=100)
    farthest_m: float = setting(15.0, low=1, high=1000)
    """Distances are drawn so that each octave comes equally often."""
    elevation_degrees: float = setting(8.0, low=-90, high=90)
    """Mean and spread of how steeply cameras look down."""
    elevation_spread_degrees: float = setting(12.0, low=0, high=90)
    roll_spread_degrees: float = setting(6.0, low=0, high=180)
    unusual: float = setting(0.15, low=0, high=1)
    """Share of the bodies that are seen at any elevation and four times the roll."""

    def __post_init__(self) -> None:
        if self.nearest_m > self.farthest_m:
            raise ValueError(f"views.nearest_m is {self.nearest_m} and views.farthest_m {self.farthest_m}; give the "
                             "smaller one first")  # fmt: skip


@dataclass(frozen=True)
@ranged("network")
class KeypointsNetwork:
    """The network that reads bodies off keypoints."""

    hidden: int = setting(448, low=16, high=8192)
    blocks: int = setting(2, low=0, high=8)
    """Residual blocks of two layers, in the first reading and in the second."""
    looks: int = setting(2, low=0, high=8)
    """How often it looks again at where its body's own keypoints are seen, and changes the body."""


@dataclass(frozen=True)
@ranged("loss")
class KeypointsLoss:
    """What the lifter makes small."""

    points: float = setting(1.0, low=0)
    """Mean distance, metres, of joints and keypoints about the pelvis."""
    rotations: float = setting(0.05, low=0)
    """Mean squared difference of the joints' rotation matrices in the camera's axes."""
    betas: float = setting(0.05, low=0)
    """Mean squared difference of the shape numbers; keypoints tell little of them."""
    seen: float = setting(0.5, low=0)
    """Mean distance of the keypoints in the picture from where they are seen without noise, half boxes."""


@dataclass(frozen=True)
@ranged()
class KeypointsConfig:
    """sample/train_SMPL_from_keypoints.py: bodies from the 2D keypoints of one view."""

    name: str = "demo"
    """The run's folder: runs/lifter/<name>."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    bank: PoseSources = field(default_factory=PoseSources)
    """The poses."""
    network: KeypointsNetwork = field(default_factory=KeypointsNetwork)
    poses: PoseVariation = field(default_factory=PoseVariation)
    views: KeypointViews = field(default_factory=KeypointViews)
    noise: KeypointNoise = field(default_factory=KeypointNoise)
    loss: KeypointsLoss = field(default_factory=KeypointsLoss)
    optim: Optim = field(
        default_factory=lambda: Optim(steps=4000, lr=1e-3, warmup_steps=100, gradient_clip=1.0, bf16=False)
    )
    loop: Loop = field(default_factory=lambda: Loop(validate_every=500, checkpoint_every=500, log_every=100))
    batch: int = setting(128, low=2)
    parts: int | None = None
    """A batch is drawn in so many parts, each by itself, which the processes share: trainings with the same number are
    equal to rounding, whatever the number of their processes.  Without it each process draws one."""
    held_out_bodies: int = setting(1024, low=2)
    """Drawn in poses that are held out, at each validation."""

    def __post_init__(self) -> None:
        check_parts(self.batch, self.parts)


# ------------------------------------------------------------------------------------------------------------ presets


@dataclass(frozen=True)
class Preset:
    """The settings of one named experiment; a script takes the part of its own stage."""

    enc_dec: EncDecConfig = field(default_factory=EncDecConfig)
    pose: PoseConfig = field(default_factory=lambda: PoseConfig(encoder=tyro.MISSING))
    gan: GanConfig = field(default_factory=GanConfig)
    mesh: MeshConfig = field(default_factory=lambda: MeshConfig(encoder=tyro.MISSING))
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)


def demo() -> Preset:
    """What scripts begin with: an encoder that finds points in the image, embedded data, 64 px, minutes on 2 cores.

    Stage 1 teaches the points by masks, without a label, in 15 minutes of one thread.
    Stage 2 trains heat maps of the joints: without stage 1 (`--encoder none --mode scratch`) it is the supervised
    baseline.  About 10 minutes of one thread.
    Stage 4 trains the same with bodies read from the joints, best from stage 2's checkpoint on; images differ little in
    size, or nothing would tell how tall people are.
    """
    encoder = EncoderConfig(kind="heatmaps", points=32, appearance_at="points")
    changes = ImageAugmentation(
        roll_rad=0.3, shift_m=0.25, colour=0.5, scale=0.15, mirror=0.5, background=0.7, saturation=1.0, end=0.15
    )
    optim = Optim(steps=3200, lr=2e-3, weight_decay=0.02, warmup_steps=60, gradient_clip=5.0, bf16=False)
    loop = Loop(validate_every=800, checkpoint_every=400, workers=0)
    return Preset(
        enc_dec=EncDecConfig(
            crop=Crop(side_m=2.25),
            encoder=encoder,
            teaching=PointsTeaching(by="masks"),
            augment=ImageAugmentation(
                roll_rad=0.3, shift_m=0.2, colour=0.5, scale=0.15, mirror=0.5, saturation=1.0, end=0.3
            ),
            optim=replace(optim, steps=5600),
            loop=replace(loop, validate_every=400),
            groups=6,
        ),
        pose=PoseConfig(
            encoder=tyro.MISSING,
            mode="finetune",
            augment=changes,
            optim=optim,
            loop=loop,
            batch=24,
        ),
        mesh=MeshConfig(
            encoder=tyro.MISSING,
            mode="finetune",
            head=MeshHeadConfig(shape="bones"),
            loss=MeshLoss(
                pose=5.0,
                vertices=5.0,
                rotations=0.5,
                shape=0.02,
                soft_iou=0.2,
                mesh_to_mask=1.0,
                mask_to_mesh=1.0,
                prior=1.0,
                soft_iou_after=0.1,
            ),
            augment=replace(changes, shift_m=0.2, scale=0.1),
            optim=optim,
            loop=loop,
        ),
        preprocess=PreprocessConfig(pack_px=112, pack_side_m=3.5),  # wide: people are moved, turned and resized
    )


def views() -> Preset:
    """Points taught by the pictures that are drawn from them, behind a small encoder of ours; embedded data, 64 px.

    These are the defaults of the settings themselves, with which stored files are read that lack one.  Scripts began
    with them until heat maps took their place; models/assets/open_weights.pt and open_mesh.pt are of this kind.
    """
    return Preset(
        enc_dec=EncDecConfig(name="views"),
        pose=PoseConfig(encoder=tyro.MISSING, name="views"),
        gan=GanConfig(name="views"),
        mesh=MeshConfig(encoder=tyro.MISSING, name="views"),
    )


def novel_views() -> Preset:
    """Novel views behind points that stay: a decoder for a stage 1 by masks, which trains none.

    `--start-from runs/enc_dec/demo/checkpoint_best.pt` brings the points; images are rolled and moved as theirs were,
    and nothing else is changed, because an encoder that does not learn would only read the points worse.  The other
    stages are the demo's: points are what they were.
    """
    usual = demo()
    return replace(
        usual,
        enc_dec=replace(
            usual.enc_dec,
            name="novel_views",
            start_from=ROOT / "runs" / "enc_dec" / "demo" / "checkpoint_best.pt",
            teaching=PointsTeaching(by="nothing"),
            augment=ImageAugmentation(roll_rad=0.3, shift_m=0.1),
            optim=Optim(steps=3000),
            loop=Loop(),
            groups=4,
        ),
        pose=replace(usual.pose, name="novel_views"),
        gan=replace(usual.gan, name="novel_views"),
        mesh=replace(usual.mesh, name="novel_views"),
    )


def full() -> Preset:
    """One GPU, 128 px, an encoder that starts from ImageNet weights.

    Stage 1 is counted at 1.4 TFLOP and 2.7 GB a step (64 images): about 4 hours at an assumed 20 TFLOP/s, and under
    6 GB of GPU memory.  Counted, not timed: no GPU has run it (tests/benchmarks/bench_full.py --time does).
    """
    return Preset(
        enc_dec=EncDecConfig(
            name="full",
            crop=Crop(size_px=128),
            encoder=EncoderConfig(kind="efficientnet_lite0", dropout=0.1, appearance_at="points"),
            decoder=DecoderConfig(width=64),
            groups=16,
            optim=Optim(steps=200_000, lr=5e-4),
            loop=Loop(validate_every=5000, checkpoint_every=2000, workers=8),
        ),
        pose=PoseConfig(encoder=tyro.MISSING, name="full", mode="finetune", optim=Optim(steps=20_000, lr=5e-4)),
        gan=GanConfig(
            name="full",
            data=PoseSources(sequences=3000, most_frames=2000),
            network=GanNetworkConfig(joint_hidden=64, pose_hidden=1024, pose_layers=3, generator_hidden=1024),
            optim=Optim(steps=60_000, lr=5e-4, bf16=False),
            loop=Loop(validate_every=2000, checkpoint_every=2000, workers=4),
            batch=512,
        ),
        mesh=MeshConfig(
            encoder=tyro.MISSING,
            name="full",
            mask_px=128,
            batch=96,
            silhouette_batch=32,
            optim=Optim(steps=20_000, lr=5e-4),
            loop=Loop(validate_every=1000, checkpoint_every=1000, workers=8),
        ),
        preprocess=PreprocessConfig(every=5, pack_px=192),
    )


def rhodin() -> Preset:
    """The recipe of Rhodin et al., ECCV 2018 (variant A), with features that need no download.

    Open choices: the range of the in-plane rotation is not published (0.35 rad here); their features are ResNet-18's
    (`--loss.network resnet18` gives them), ours are divided by their standard deviations; pixels are compared in
    [0, 1]; 400,000 of the nominal 600,000 steps, which they report to be enough; the crop's 2.3 m, the held-out
    sequences, every 5th frame, and the pose head's batch of 32 without roll are ours; they have no mesh, so stages 3
    and 4 are ours.  Crops are centred on the true pelvis of everybody, as theirs.  On the embedded data preprocess with
    `--every 1`.
    """
    return Preset(
        enc_dec=EncDecConfig(
            name="rhodin",
            crop=Crop(size_px=128, centre="pelvis"),
            encoder=EncoderConfig(kind="unet", dropout=0.3, own_appearance_encoder=False),
            decoder=DecoderConfig(kind="paper", dropout=0.3, composite=False),
            augment=ImageAugmentation(),
            loss=ImageLoss(features=2.0, opacity=0.0, person=1.0),
            optim=Optim(steps=400_000, schedule="constant", warmup_steps=0, bf16=False),
            loop=Loop(validate_every=5000, checkpoint_every=2000),
        ),
        pose=PoseConfig(
            encoder=tyro.MISSING,
            name="rhodin",
            head=PoseHeadConfig(hidden=2048, loss="zscored_mse"),
            augment=ImageAugmentation(roll_rad=0.0),
            optim=Optim(steps=20_000, schedule="constant", warmup_steps=0, bf16=False),
        ),
        gan=GanConfig(name="rhodin"),
        mesh=MeshConfig(encoder=tyro.MISSING, name="rhodin", mask_px=128, optim=Optim(steps=20_000, bf16=False)),
        preprocess=PreprocessConfig(every=5, pack_px=192, centre="pelvis"),
    )


def seed() -> Preset:
    """The recipe of the thesis that this project continues, to show the difference.

    Open choices: its colour order, division by 256, ReLU and pairing are known; its optimiser's settings, the weights
    of stage 1's losses and the sizes between its fully connected layers (1,024 here, which gives the known 160 M) are
    not.
    Crops are centred on the true pelvis of everybody.  Of stage 4: tanh on axis-angle, hips left out, L_pose in
    millimetres, L_gan with weight 10, silhouettes some thousand times weaker than joints, one subject; the shape of its
    head and the least squares of L_gan (its own was a cross-entropy) are ours, and masks have 64 px.  Of stage 3: one
    flat network on all 72 + 10 numbers, which sees the root (`--prior runs/gan/seed/checkpoint_best.pt`), in stage 4
    too, as turned from facing the camera; its size and its loss are ours.  On the embedded data give both fewer steps.
    It takes the appearance from another action, so make the embedded data with `--outfits 1`.
    """
    return Preset(
        enc_dec=EncDecConfig(
            name="seed",
            crop=Crop(size_px=128, centre="pelvis"),
            encoder=EncoderConfig(kind="seed", width=64, relu_on_points=True, own_appearance_encoder=False),
            decoder=DecoderConfig(kind="seed", composite=False),
            pairing=Pairing(same_view=0.0, appearance_from="other_action"),
            augment=ImageAugmentation(roll_rad=0.0),
            loss=ImageLoss(features=2.0, imagenet_normalised=False, opacity=0.0, person=1.0),
            optim=Optim(steps=200_000, schedule="constant", warmup_steps=0, bf16=False),
            loop=Loop(validate_every=5000, checkpoint_every=2000),
            normalise="seed",
        ),
        pose=PoseConfig(
            encoder=tyro.MISSING,
            name="seed",
            head=PoseHeadConfig(hidden=2048, loss="zscored_mse"),
            augment=ImageAugmentation(roll_rad=0.0),
            optim=Optim(steps=20_000, schedule="constant", warmup_steps=0, bf16=False),
        ),
        gan=GanConfig(
            name="seed",
            network=GanNetworkConfig(kind="seed", pose_hidden=1024),
            loss=DiscriminatorLoss(generated=1.0, noise=0.0, gradient_penalty=0.0),
            optim=Optim(steps=20_000, schedule="constant", warmup_steps=0, bf16=False),
            generator_every=1,
        ),
        mesh=MeshConfig(
            encoder=tyro.MISSING,
            name="seed",
            silhouettes_of=(1,),
            head=MeshHeadConfig(kind="seed"),
            loss=MeshLoss(
                pose=1000.0,
                hips=False,
                soft_iou=0.1,
                mesh_to_mask=0.0,
                mask_to_mesh=0.0,
                prior=10.0,
                prior_asks="all_real",
                prior_sees_root=True,
                betas=0.0,
                soft_iou_after=0.0,
            ),
            augment=ImageAugmentation(roll_rad=0.0),
            optim=Optim(steps=20_000, schedule="constant", warmup_steps=0, bf16=False),
        ),
        preprocess=PreprocessConfig(every=5, pack_px=192, centre="pelvis"),
    )


PRESETS: dict[str, Callable[[], Preset]] = {
    "demo": demo,
    "views": views,
    "novel_views": novel_views,
    "full": full,
    "rhodin": rhodin,
    "seed": seed,
}
EARLIER_PRESETS = {"heatmaps": "demo"}
"""Presets by the names that they had; runs begun under such a name go on under it."""
