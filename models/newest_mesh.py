"""The mesh regressor for use, with the body that it was trained with."""

from pathlib import Path
from typing import NamedTuple

from config import Device, Paths
from models.smpl import Body
from models.stored import StoredMesh, load_body_of, load_mesh
from utils.engine import choose_device
from utils.settings import which_weights


class Weights(NamedTuple):
    """The network, and the body that it was trained with."""

    checkpoint: Path
    stored: StoredMesh
    body: Body


def load_newest(checkpoint: Path, device: Device, paths: Paths) -> Weights:
    """Read the weights and their body, and print which they are."""
    print(which_weights("checkpoint", checkpoint, paths.runs_location / "mesh"))
    place = choose_device(device)
    stored = load_mesh(checkpoint, place)
    return Weights(checkpoint, stored, load_body_of(stored, checkpoint, paths).to(place))
