"""The committed network of stage 4 with heat maps reads the body of a person whom it has never seen."""

import pytest
import torch

from config import ASSETS, Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import TEST_PEOPLE, SyntheticConfig
from models.SMPL_from_latent import load_body_of, load_mesh
from models.SMPL_from_maps import MeshFromMaps
from sample import test_SMPL as mesh_test
from sample.predict import Predictor
from sample.test_SMPL import TestMeshConfig as MeshTestConfig

FILE = ASSETS / "open_body_maps.pt"
PHOTOS = ASSETS / "open_body_photos.pt"
"""The same network, trained on before pictures of real places, and then on hard pictures with the true joints of all in
them; sample/predict.py takes it."""
LARGEST_BYTES = 4_200_000
LABELLED, UNSEEN = 1, 101


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    """The unseen person, and the labelled one, whose mean body stands beside."""
    torch.set_num_threads(1)
    paths = Paths.under(tmp_path_factory.mktemp("unseen"))
    people = SyntheticConfig(paths=paths, frames=2, subjects=(LABELLED, UNSEEN), actions=(2, 8, 14), processes=1)
    make_h36m.main(people)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    return paths


@pytest.mark.parametrize(("file", "labels"), [(FILE, "S1's joints"), (PHOTOS, "all labels")])
def test_it_is_small_stands_alone_and_says_what_it_read(file, labels):
    assert file.stat().st_size <= LARGEST_BYTES
    stored = load_mesh(file, torch.device("cpu"))
    assert isinstance(stored.network, MeshFromMaps) and stored.config.crop.centre == "masks"
    assert stored.reads.tier == f"pixels + cameras + masks + unpaired poses + {labels}"
    assert not stored.reads.pixels & set(TEST_PEOPLE)
    assert stored.reads.joints == ({LABELLED} if file == FILE else stored.reads.pixels)
    assert len(load_body_of(stored, file, Paths()).template_m) == stored.num_vertices


@pytest.mark.parametrize(("file", "centre"), [(FILE, "masks"), (FILE, "box"), (PHOTOS, "box")])
def test_it_reads_the_body_of_an_unseen_person(paths, tmp_path, file, centre):
    found = mesh_test.main(MeshTestConfig(
        checkpoint=file, paths=paths, subjects=(UNSEEN,), device="cpu", out=tmp_path, examples=1, centre=centre,
        prior=ASSETS / "open_prior.pt",
    ))  # fmt: skip
    overall = {name: value["mean"] for name, value in found["overall"].items() if isinstance(value, dict)}
    assert overall["vertex_mm"] < 130 and overall["surface_mm"] < 100, overall
    assert overall["iou_all_views_percent"] > 60, overall
    assert found["true_body"]["overall"]["prior_plausibility"]["mean"] > 0.9
    assert found["mean_shape"]["overall"]["height_mm"]["mean"] >= 0


def test_a_picture_with_a_box_is_enough():
    predictor = Predictor(PHOTOS, device="cpu")
    rgb = torch.randint(0, 255, (240, 320, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
    person = predictor(rgb, box=(100, 30, 80, 180))
    assert person.vertices_cam_m.shape == (predictor.stored.num_vertices, 3) and person.vertices_cam_m[:, 2].min() > 0
