"""The committed teacher reads bodies that nobody drew before, seen by any cameras."""

from dataclasses import replace

import pytest
import torch

from config import ASSETS, Damage, MasksConfig
from dataset_def.smpl_params_data import open_bank
from models.body_surface import coarse_body, coarse_faces
from models.drawn_masks import Drawing, DrawnBodies, draw, held_out_error_mm
from models.smpl import load_body
from models.SMPL_from_masks import BodyDrawer, PointsOfBody, load_teacher
from utils.views import MeshViews

TEACHER, BODY = ASSETS / "open_teacher.pt", ASSETS / "open_body.npz"
LARGEST_BYTES = 3_000_000
UNSEEN_SEED = 77_000_001


@pytest.fixture(scope="module")
def teacher():
    return load_teacher(TEACHER, BODY)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Motions that the teacher was not trained on: another seed of the generator."""
    cache = tmp_path_factory.mktemp("poses")
    settings = replace(MasksConfig().bank, sequences=8, seed=91, processes=1, cache_location=cache)
    return open_bank(settings, BODY, "train")


def test_it_is_small_and_needs_nothing_but_masks(teacher):
    assert TEACHER.stat().st_size <= LARGEST_BYTES
    assert teacher.centre == "masks" and teacher.network.provenance["cameras"] == "any"


@pytest.mark.parametrize(("views", "limit_mm"), [(2, 125), (4, 80), (8, 70)])
def test_it_reads_people_in_new_poses_from_any_cameras(teacher, bank, views, limit_mm):
    config, body = MasksConfig(), load_body(BODY)
    coarse, betas = coarse_body(body, coarse_faces(BODY)), torch.full((4, 10), torch.nan)
    drawing = Drawing(coarse, bank.rotations, betas, None, config.poses, Damage(share=0, missing=0), teacher.size_px,
                      teacher.side_m, "masks", 0.05)  # fmt: skip
    drawn = draw(drawing, 160, torch.Generator().manual_seed(UNSEEN_SEED))
    rows = (drawn.views.exists.sum(dim=1) == views).nonzero().flatten()
    seen = MeshViews(*(value[rows] for value in drawn.views))
    some = DrawnBodies(seen, drawn.rotations_world[rows], drawn.betas[rows], drawn.pelvis_world_m[rows])
    error_mm = held_out_error_mm(teacher.network, some, PointsOfBody(body), BodyDrawer(coarse))
    assert error_mm < limit_mm, f"{len(rows)} bodies, {views} cameras"
