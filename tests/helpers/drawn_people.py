"""Two drawn people with bodies, masks and cameras, small enough to train and fit on within a test."""

from dataclasses import replace
from pathlib import Path

from config import Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import SyntheticConfig


def drawn_people(root: Path) -> Paths:
    """Draw subjects 1 and 9 in two actions, two instants each, and make the index; runs lie beside the data."""
    paths = replace(Paths.under(root), runs_location=root / "runs")
    data = SyntheticConfig(paths=paths, size_px=96, frames=2, outfits=1, processes=1)
    make_h36m.main(replace(data, subjects=(1, 9), actions=(2, 9), subactions=(1,)))
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    return paths
