"""The mesh regressor for use, with its body, and which weights are taken when none are named."""

from pathlib import Path
from typing import NamedTuple

from config import ROOT, Device, Paths
from models.smpl import Body
from models.stored import StoredMesh, load_body_of, load_mesh
from utils.engine import choose_device

DEMO = ROOT / "runs" / "mesh" / "make_demo" / "checkpoint_best.pt"
COMMITTED = ROOT / "models" / "assets" / "open_mesh.pt"


def newest_mesh(given: Path | None, demo: Path = DEMO, committed: Path = COMMITTED) -> Path:
    """Choose the weights: those given, else those that make demo left, else the committed ones.

    Raises:
        FileNotFoundError: none was given, and none is there.
    """
    if given is not None:
        return given
    found = [path for path in (demo, committed) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"there are no weights: neither {demo} nor {committed} exists; run make demo, or give "
                                "a checkpoint_best.pt of sample/train_SMPL_from_enc.py as --checkpoint")  # fmt: skip
    return found[0]


class Weights(NamedTuple):
    """The network, and the body that it was trained with."""

    checkpoint: Path
    stored: StoredMesh
    body: Body


def load_newest(checkpoint: Path | None, device: Device, paths: Paths) -> Weights:
    """Read the weights that were named, or the newest ones."""
    chosen, place = newest_mesh(checkpoint), choose_device(device)
    stored = load_mesh(chosen, place)
    return Weights(chosen, stored, load_body_of(stored, chosen, paths).to(place))
