"""Make the embedded data set: a synthetic Human3.6M, in exactly the layout of the real one.

    python dataset_def/synthetic/make_h36m.py

Writes  <h36m_location>, <masks_location>, <truth_location>; a second run goes on where the first one stopped
Next    dataset_def/h36m_preprocess.py
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from config import Paths, ranged, setting
from dataset_def.acclaim import clip_files
from dataset_def.data_set_file import DRAWN_SETTINGS as SETTINGS_FILE
from dataset_def.h36m_writer import refuse_foreign_frames
from dataset_def.photos.panoramas import Panorama, panoramas_in, read_panorama
from dataset_def.synthetic.motion.cmu import cmu_motion
from dataset_def.synthetic.motion.generate import Motion, generate_motion
from dataset_def.synthetic.motion.limbs import Style, subject_style
from dataset_def.synthetic.motion.performance import Performance, perform
from dataset_def.synthetic.scene.appearance import Outfit, SubjectAppearance, Wardrobe, make_outfit, make_person
from dataset_def.synthetic.scene.cameras import Rig, make_cameras, make_sensor
from dataset_def.synthetic.scene.render import Staged, pixel_rays, render_staged, stage_person
from dataset_def.synthetic.scene.room import Room, draw_room, make_room
from dataset_def.synthetic.scene.surroundings import Surroundings, choose_surroundings, draw_surroundings
from dataset_def.synthetic.scene.things import choose_props, parts_of, things_at
from dataset_def.synthetic.sequence_files import (
    CAMERAS,
    SyntheticSequence,
    is_sequence_complete,
    write_truth,
    write_view,
)
from models.smpl import Body, load_body
from utils.artifacts import check_settings, file_hash, lock_settings
from utils.camera import Camera
from utils.processes import for_each
from utils.settings import next_command, short, start, to_plain


@dataclass(frozen=True)
@ranged("hard")
class HardPictures:
    """What makes drawn people less easy and less odd; read with --difficulty hard."""

    shadows: float = setting(1.0, low=0, high=1)
    """Strength of the shadows that a person throws on itself (of the lamp, and of the light from all sides in folds,
    between limbs and near the floor); with any, the shadow on the floor is soft and follows the same lights."""
    loose: float = setting(0.7, low=0, high=1)
    """Share of outfits that stand off the body, with folds: wide sleeves, trouser legs and shirts, skirts, long coats.
    They are in the masks, as clothes are in those of real pictures."""
    dull: float = setting(0.7, low=0, high=1)
    """Share of outfits in dull colours with little contrast."""
    chairs: float = setting(1.0, low=0, high=1)
    """Share of sequences in which who sits has a chair below; in easy pictures nobody has."""
    held: float = setting(0.35, low=0, high=1)
    """Share of sequences in which a hand holds a box, a ball, a stick or a bag."""
    rig: Rig = "varied"
    """`varied` cameras stand 0.8 to 2.5 m high and 3.3 to 6.3 m away, each with a focal length of its own; `human36m`
    ones as in the easy pictures."""
    exposure: float = setting(1.0, low=0, high=1)
    """Strength of each camera's own exposure, white balance and contrast."""
    distortion: float = setting(0.0, low=0, high=1)
    """Strength with which lenses bend lines: four in ten as those of action cameras do, the others as those of phones.
    The cameras that are written carry the lens, as Human3.6M's do."""
    panoramas: Path | None = None
    """A folder of panoramas, of which each subject is put into one instead of into a room."""

    def __post_init__(self) -> None:
        if self.rig not in ("human36m", "varied"):
            raise ValueError(f"hard.rig is {self.rig!r}; use human36m or varied")


@dataclass(frozen=True)
@ranged()
class SyntheticConfig:
    """dataset_def/synthetic/make_h36m.py: the embedded data set."""

    paths: Paths = field(default_factory=Paths)
    size_px: int = setting(256, low=32, high=2000)
    """Height and width of the frames; 1000 is Human3.6M's own."""
    frames: int = setting(20, low=1)
    """Frames per sequence and camera."""
    frames_per_second: float = 2.5
    """Rate at which the motion is sampled; Human3.6M has 50."""
    outfits: int = setting(30, low=1)
    """Different outfits per training or test subject; 1 reproduces the real data, 30 is one per sequence."""
    subjects: tuple[int, ...] = (1, 5, 6, 7, 8, 9, 11)
    """Any numbers.  Those from 100 on look like nobody else; TEST_PEOPLE, VALIDATION_PEOPLE and MORE_PEOPLE below are
    kept apart for that; whom the committed weights have seen is told by the .json beside them."""
    actions: tuple[int, ...] = tuple(range(2, 17))
    subactions: tuple[int, ...] = (1, 2)
    motion: str = "generator"
    """`generator`, or `cmu:<folder>` for a folder of .asf / .amc files."""
    cmu_frames_per_second: float = 120.0
    """Rate of the .amc files, which they do not tell; CMU's own have 120."""
    image: Literal["jpg", "png"] = "jpg"
    difficulty: Literal["easy", "hard"] = "easy"
    """`easy` draws the pictures of the committed tables; `hard` adds what the settings of `hard` say.  People, bodies
    and motions are the same."""
    hard: HardPictures = field(default_factory=HardPictures)
    seed: int = 0
    processes: int = setting(0, low=0)
    """Worker processes; 0 takes one per core."""

    def __post_init__(self) -> None:
        if self.motion != "generator" and not self.motion.startswith("cmu:"):
            raise ValueError(f"motion is {self.motion!r}; use 'generator' or 'cmu:<folder>'")
        if self.difficulty not in ("easy", "hard"):
            raise ValueError(f"difficulty is {self.difficulty!r}; use easy or hard")
        if self.difficulty == "easy" and self.hard != HardPictures():
            raise ValueError(f"{self.hard} is given, but difficulty is easy, which reads none of it; "
                             "set --difficulty hard, or leave the settings of hard out")  # fmt: skip

    @property
    def views(self) -> "Views":
        """How rooms are looked at."""
        if self.difficulty == "easy":
            return Views(self.seed, self.size_px)
        return Views(self.seed, self.size_px, self.hard.rig, self.hard.distortion, self.hard.panoramas)


class Views(NamedTuple):
    """What decides how the four cameras of a subject see its room."""

    seed: int
    size_px: int
    rig: Rig = "human36m"
    distortion: float = 0.0
    panoramas: Path | None = None
    """Shown instead of rooms."""

    def cameras(self, subject: int) -> tuple[Camera, ...]:
        """Set up a subject's cameras."""
        return make_cameras(subject, self.seed, self.size_px, self.rig, self.distortion)

    def draw(self, subject: int, camera: Camera) -> UInt8[np.ndarray, "H W 3"]:
        """Draw what a camera sees of a subject's empty room, or of its panorama."""
        around = self.surroundings(subject)
        if around is None:
            return draw_room(make_room(subject, self.seed), camera)
        return draw_surroundings(the_panorama(around.panorama), around.heading_rad, camera)

    def surroundings(self, subject: int) -> Surroundings | None:
        """Say where a subject is instead of in a room.

        Raises:
            FileNotFoundError: the folder holds no panoramas.
        """
        return choose_surroundings(self.panoramas, subject, self.seed) if self.panoramas is not None else None

    def check(self, subjects: Iterable[int]) -> None:
        """Read the panoramas of some subjects, so that one that cannot be read stops a run before it writes anything.

        Raises:
            FileNotFoundError, ValueError: there are none, or one is damaged.
        """
        around = (self.surroundings(subject) for subject in subjects)
        for path in sorted({one.panorama for one in around if one is not None}, reverse=True):
            the_panorama(path)  # the first one last, as it is drawn first


TEST_PEOPLE = (9, 11, 101, 102, 103, 104, 105, 106)
"""Read by test scripts only."""
VALIDATION_PEOPLE = (111, 112, 113, 114)
"""Every choice is made on these."""
MORE_PEOPLE = tuple(range(121, 158))
"""People to train on, beside S1 and S5 to S8; none of all these could be taken for one to test or to choose on."""

IMAGE_FORMAT = 1
"""Raised when the same settings would draw other pictures."""
FREE_WHEN_CONTINUED = ("paths", "processes", "subjects", "actions", "subactions")
"""Settings that may differ between runs into the same folder: every sequence depends on its own numbers only."""


@lru_cache(maxsize=1)
def the_body(path: Path) -> Body:
    """Load the body once per process."""
    return load_body(path, needs_smpl_joints="the generated motions")


@lru_cache(maxsize=2)
def the_person(path: Path, subject: int, seed: int) -> SubjectAppearance:
    """Make a subject once per process."""
    return make_person(subject, seed, the_body(path))


def the_panorama(path: Path) -> Panorama:
    """Read a panorama, once per process for all that are drawn in it one after the other."""
    return panorama_of(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def panorama_of(path: Path, written_ns: int) -> Panorama:
    """Read a panorama as it was written at that time; only the last one is kept, as one of 8192 pixels is 100 MB."""
    return read_panorama(path)


@lru_cache(maxsize=2)
def the_room(subject: int, views: Views, drawn: Path | None = None) -> tuple[Room, tuple[np.ndarray, ...]]:
    """Give a subject's room, and how its four cameras see it: as `drawn_rooms` drew it, or drawn here and now."""
    room = make_room(subject, views.seed)
    if drawn is not None:
        return room, tuple(np.load(view_file(drawn, subject, number)) for number in CAMERAS)
    return room, tuple(views.draw(subject, camera) for camera in views.cameras(subject))


def view_file(drawn: Path, subject: int, number: int) -> Path:
    """Say where a drawn view of a room lies."""
    return drawn / f"s_{subject:02d}_ca_{number:02d}.npy"


def draw_view_of_room(views: Views, drawn: Path, view: tuple[int, int]) -> None:
    """Draw what one camera sees of a subject's empty room."""
    subject, number = view
    np.save(view_file(drawn, subject, number), views.draw(subject, views.cameras(subject)[number - 1]))


@contextmanager
def drawn_rooms(
    paths: Paths,
    sequences: Sequence[SyntheticSequence],
    views: Views,
    processes: int,
) -> Iterator[Path]:
    """Draw the empty rooms of some sequences once for all of them, as a room takes longer than a sequence in it.

    Yields:
        A folder for `the_room`, among the frames and there as long as the context: the data set's own disk has space.
    """
    subjects = list(dict.fromkeys(one.subject for one in sequences))
    subjects.sort(key=lambda subject: str(views.surroundings(subject)))  # who shares a panorama comes together
    needed = [(subject, number) for subject in subjects for number in CAMERAS]
    if not needed:  # a finished data set stays untouched
        yield paths.h36m_location
        return
    with TemporaryDirectory(prefix="rooms.", suffix=".partial", dir=paths.h36m_location) as folder:
        for_each(partial(draw_view_of_room, views, Path(folder)), needed, processes, "empty rooms")
        yield Path(folder)


def outfit_number(sequence: SyntheticSequence, outfits: int) -> int:
    """Choose what a subject wears in a sequence."""
    return ((sequence.action - 2) * 2 + sequence.subaction - 1) % outfits


def move(config: SyntheticConfig, sequence: SyntheticSequence, style: Style) -> Motion:
    """Take the sequence's motion from the generator or from recorded clips."""
    rng = np.random.default_rng([config.seed, *sequence])
    if config.motion == "generator":
        return generate_motion(sequence.action, rng, config.frames, config.frames_per_second, style)
    clips = clip_files(Path(config.motion.removeprefix("cmu:")))
    return cmu_motion(clips, rng, config.frames, config.frames_per_second, config.cmu_frames_per_second, style)


def perform_sequence(config: SyntheticConfig, sequence: SyntheticSequence) -> tuple[Performance, Outfit]:
    """Let the subject perform a sequence, dressed for it."""
    body_path = config.paths.models_smpl_location
    body, person = the_body(body_path), the_person(body_path, sequence.subject, config.seed)
    betas = torch.as_tensor(np.asarray(person.betas), dtype=torch.float32)[None]
    rest_joints_m = body.rest_joints_m(betas)[0].double().numpy()
    style = subject_style(sequence.subject, config.seed)._replace(rest_joints_m=rest_joints_m)
    cameras = config.views.cameras(sequence.subject)
    performance = perform(move(config, sequence, style), body, np.asarray(person.betas), cameras)
    wardrobe = Wardrobe(config.hard.loose, config.hard.dull) if config.difficulty == "hard" else Wardrobe()
    return performance, make_outfit(person, outfit_number(sequence, config.outfits), config.seed, body, wardrobe)


def stage_sequence(
    config: SyntheticConfig, sequence: SyntheticSequence, performance: Performance, outfit: Outfit, room: Room
) -> list[Staged]:
    """Dress and light the person of every instant, with what it sits on and holds if pictures are hard."""
    body = the_body(config.paths.models_smpl_location)
    faces = body.faces.numpy()
    if config.difficulty == "easy":
        return [stage_person(room, vertices_m, faces, outfit) for vertices_m in performance.vertices_world_m]
    props = choose_props(np.random.default_rng([config.seed, *sequence, 15]), config.hard.chairs, config.hard.held)
    parts, template_m = parts_of(body.weights.numpy()), body.template_m.double().numpy()
    return [
        stage_person(
            room, vertices_m, faces, outfit, config.hard.shadows,
            things_at(props, parts, template_m, vertices_m, joints_m),
        )
        for vertices_m, joints_m in zip(performance.vertices_world_m, performance.body_joints_world_m, strict=True)
    ]  # fmt: skip


def make_sequence(config: SyntheticConfig, sequence: SyntheticSequence, drawn: Path | None = None) -> None:
    """Make and write one sequence, seen by four cameras.

    Args:
        drawn: where `drawn_rooms` left the empty rooms; without it they are drawn here.
    """
    performance, outfit = perform_sequence(config, sequence)
    room, backgrounds = the_room(sequence.subject, config.views, drawn)
    cameras = config.views.cameras(sequence.subject)
    write_truth(config.paths, sequence, performance)
    instants = stage_sequence(config, sequence, performance, outfit, room)
    for number, camera, background in zip(CAMERAS, cameras, backgrounds, strict=True):
        rng = np.random.default_rng([config.seed, *sequence, number])
        sensor = None
        if config.difficulty == "hard":
            sensor = make_sensor(sequence.subject, number, config.seed, config.hard.exposure)
        rays = pixel_rays(camera, 0, 0, camera.width_px, camera.height_px) if camera.is_distorted else None
        rendered = [render_staged(background, room, camera, staged, outfit, rng, sensor, rays) for staged in instants]
        images, masks = [image for image, _ in rendered], [mask for _, mask in rendered]
        write_view(config.paths, sequence, number, camera, performance.joints_world_m, images, masks, config.image)


def settings_of(config: SyntheticConfig) -> dict[str, Any]:
    """Collect what the pictures depend on."""
    settings = {name: value for name, value in to_plain(config).items() if name not in FREE_WHEN_CONTINUED}
    if config.difficulty == "easy":  # folders that were begun before there was a choice go on
        del settings["difficulty"], settings["hard"]
    else:
        settings["hard"] = hard_settings(config.hard)
    if config.motion != "generator":
        clips = clip_files(Path(config.motion.removeprefix("cmu:")))
        content = "".join(file_hash(path) for pair in clips for path in pair)
        settings["motion"] = f"cmu, content {hashlib.sha256(content.encode()).hexdigest()[:16]}"
    return {"format": IMAGE_FORMAT, **settings, "body": file_hash(config.paths.models_smpl_location)}


def hard_settings(hard: HardPictures) -> dict[str, Any]:
    """Collect what hard pictures depend on; what is off is left out, so that folders of before it was there go on."""
    settings: dict[str, Any] = to_plain(hard)
    if not hard.distortion:
        del settings["distortion"]
    del settings["panoramas"]
    if hard.panoramas is not None:
        content = "".join(file_hash(path) for path in panoramas_in(hard.panoramas))
        settings["panoramas"] = f"content {hashlib.sha256(content.encode()).hexdigest()[:16]}"
    return settings


def lock_locations(paths: Paths, settings: dict[str, Any]) -> None:
    """Note the settings in the folders; all three are checked before anything is written.

    Raises:
        ValueError: one was made with other settings, or not by this script.
    """
    remedy = "delete it, or give another place for all of paths.h36m_location, masks_location, truth_location"
    places = [paths.h36m_location, paths.masks_location, paths.truth_location]
    for place in places:
        refuse_foreign_frames(place, SETTINGS_FILE, remedy)
        if (place / SETTINGS_FILE).is_file():
            check_settings(place / SETTINGS_FILE, settings, remedy)
    for place in places:
        lock_settings(place / SETTINGS_FILE, settings, remedy)


def main(config: SyntheticConfig) -> None:
    """Make every sequence that is not there yet."""
    requested = [SyntheticSequence(s, a, b) for s in config.subjects for a in config.actions for b in config.subactions]
    missing = [sequence for sequence in requested if not is_sequence_complete(config.paths, sequence)]
    config.views.check(sequence.subject for sequence in missing)
    lock_locations(config.paths, settings_of(config))
    label = f"synthetic Human3.6M ({len(CAMERAS) * config.frames} images each)"
    with drawn_rooms(config.paths, missing, config.views, config.processes) as drawn:
        for_each(partial(make_sequence, config, drawn=drawn), missing, config.processes, label)
    print(f"{len(requested)} sequences of {len(set(config.subjects))} people in {short(config.paths.h36m_location)}, "
          f"{len(missing)} of them new")  # fmt: skip
    print(next_command("dataset_def/h36m_preprocess.py", config.paths))


if __name__ == "__main__":
    start(main, SyntheticConfig)
