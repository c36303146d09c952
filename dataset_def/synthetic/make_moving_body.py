"""Make a data set of any body that moves by itself, in the rooms of the embedded data and in the same layout.

    python dataset_def/synthetic/make_quadruped.py --out data/quadruped/body.npz
    python dataset_def/synthetic/make_moving_body.py --paths.models-smpl-location data/quadruped/body.npz \
        --dataset data/quadruped

The body's joints turn within the ranges of its file, about the cycle that it has.  The frames' 3D labels are the joints
that the body is measured by (its own, unless the file says others); the true bodies are for test scripts.

Reads   the body file of the settings, of any skeleton
Writes  <h36m_location> with data_set.json (names, parents and mirror pairs of the joints), <masks_location>,
        <truth_location>; a second run goes on where the first one stopped
Next    dataset_def/h36m_preprocess.py
"""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from config import Paths, ranged, setting
from dataset_def.data_set_file import write_facts
from dataset_def.poses.any_skeleton import free_motion
from dataset_def.synthetic.make_h36m import Views, drawn_rooms, lock_locations, the_room
from dataset_def.synthetic.motion.generate import Motion
from dataset_def.synthetic.motion.performance import Performance, perform
from dataset_def.synthetic.scene.cameras import make_cameras
from dataset_def.synthetic.scene.patterns import value_noise
from dataset_def.synthetic.scene.render import render_bare
from dataset_def.synthetic.sequence_files import (
    CAMERAS,
    SyntheticSequence,
    is_sequence_complete,
    write_truth,
    write_view,
)
from models.smpl import Body, load_body
from utils.artifacts import file_hash
from utils.body_file import read_body_file
from utils.processes import for_each
from utils.settings import start, to_plain
from utils.skeleton import H36M, Skeleton, limbs_from_the_middle, pairs_by_name


@dataclass(frozen=True)
@ranged()
class MovingBodyConfig:
    """dataset_def/synthetic/make_moving_body.py: a data set of any body."""

    paths: Paths = field(default_factory=Paths)
    """models_smpl_location: the body."""
    size_px: int = setting(256, low=32, high=2000)
    frames: int = setting(20, low=1)
    """Per sequence and camera."""
    frames_per_second: float = setting(5.0, low=0.1, high=200)
    subjects: tuple[int, ...] = (1, 5, 9)
    """Each with a shape, colours and a room of its own."""
    actions: tuple[int, ...] = (2, 3, 4)
    """Numbers of the sequences; each is another motion."""
    seed: int = 0
    processes: int = setting(0, low=0)


FREE = ("paths", "processes", "subjects", "actions")
"""Settings that may differ between runs into the same folder."""
SHAPES = 0.8
"""Spread of the shape numbers."""


@lru_cache(maxsize=1)
def the_body(path: Path) -> Body:
    """Load the body once per process, of whatever skeleton."""
    return load_body(path)


def skeleton_of(body: Body) -> Skeleton:
    """Tell the joints that a body is measured by, as those of a data set.

    A joint of its surface hangs from the nearest joint above it that is measured too, or from the first one.
    """
    names = body.evaluated_names
    if names == H36M.names:
        return H36M
    above = dict(zip(body.names, body.parents, strict=True))

    def nearest(name: str) -> int:
        parent = above.get(name, -1)
        while parent >= 0 and body.names[parent] not in names:
            parent = body.parents[parent]
        return names.index(body.names[parent]) if parent >= 0 else 0

    parents = (-1, *(nearest(name) for name in names[1:]))
    pairs = pairs_by_name(names)
    return Skeleton(names, parents, pairs or None, limbs_from_the_middle(names, parents, pairs))


def coat(body: Body, rng: np.random.Generator) -> Float[np.ndarray, "V 3"]:
    """Colour a body: two colours in spots, as large as a tenth of it."""
    points = body.template_m.double().numpy()
    place = 10 * points / np.ptp(points, axis=0).max()
    seed = int(rng.integers(1, 10_000))
    share = np.array([value_noise(x + 2 * z, y + z, seed) for x, y, z in place])
    light, dark = rng.uniform(0.45, 0.9, 3), rng.uniform(0.08, 0.4, 3)
    return np.where((share > rng.uniform(0.45, 0.7))[:, None], dark, light)


def perform_sequence(config: MovingBodyConfig, sequence: SyntheticSequence) -> Performance:
    """Let the body move through a sequence."""
    path, rng = config.paths.models_smpl_location, np.random.default_rng([config.seed, *sequence, 606])
    body = the_body(path)
    found = free_motion(read_body_file(path), rng, config.frames, config.frames_per_second)
    place_m = np.column_stack([found.path_world_m, np.zeros(config.frames)])
    motion = Motion(found.rotations, place_m, np.zeros(config.frames))
    betas = SHAPES * np.random.default_rng([config.seed, sequence.subject, 607]).standard_normal(body.num_betas)
    return perform(motion, body, betas, make_cameras(sequence.subject, config.seed, config.size_px))


def make_sequence(config: MovingBodyConfig, drawn: Path, sequence: SyntheticSequence) -> None:
    """Make and write one sequence, seen by four cameras.

    Args:
        drawn: where `drawn_rooms` left the empty rooms.
    """
    performance, body = perform_sequence(config, sequence), the_body(config.paths.models_smpl_location)
    colours = coat(body, np.random.default_rng([config.seed, sequence.subject, 608]))
    views = Views(config.seed, config.size_px)
    room, backgrounds = the_room(sequence.subject, views, drawn)
    cameras = views.cameras(sequence.subject)
    write_truth(config.paths, sequence, performance)
    for number, camera, background in zip(CAMERAS, cameras, backgrounds, strict=True):
        rng = np.random.default_rng([config.seed, *sequence, number])
        rendered = [render_bare(background, room, camera, vertices_world_m, body.faces.numpy(), colours, rng)
                    for vertices_world_m in performance.vertices_world_m]  # fmt: skip
        images, masks = [image for image, _ in rendered], [mask for _, mask in rendered]
        write_view(config.paths, sequence, number, camera, performance.joints_world_m, images, masks, "jpg")


def settings_of(config: MovingBodyConfig) -> dict[str, Any]:
    """Collect what the pictures depend on."""
    settings = {name: value for name, value in to_plain(config).items() if name not in FREE}
    return {"made_by": "make_moving_body", **settings, "body": file_hash(config.paths.models_smpl_location)}


def main(config: MovingBodyConfig) -> None:
    """Make every sequence that is not there yet."""
    lock_locations(config.paths, settings_of(config))
    body = the_body(config.paths.models_smpl_location)
    if not body.has_smpl_joints:
        write_facts(config.paths, skeleton_of(body))
    requested = [SyntheticSequence(subject, action, 1) for subject in config.subjects for action in config.actions]
    missing = [sequence for sequence in requested if not is_sequence_complete(config.paths, sequence)]
    label = f"moving body ({len(CAMERAS) * config.frames} images each)"
    with drawn_rooms(config.paths, missing, Views(config.seed, config.size_px), config.processes) as drawn:
        for_each(partial(make_sequence, config, drawn), missing, config.processes, label)


if __name__ == "__main__":
    start(main, MovingBodyConfig)
