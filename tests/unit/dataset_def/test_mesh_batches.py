"""Stage 4's random crops: bodies are mirrored, rolled and moved with their pictures."""

import numpy as np
import pytest
import roma
import torch

from config import Crop, ImageAugmentation, Paths
from dataset_def.mesh_batches import LabelledAndSeen, WideBody, WideSeen, changed_batch
from models.body_surface import opposite_joints
from models.kinematics import mirrored_pose, unchanged, upright_rotations
from models.smpl import Body, load_body
from tests.unit.utils.test_mesh_views import views_of
from utils.skeleton import H36M, H36M_17, mirrored

COUNT, SIDE_PX = 6, 48
CROP = Crop(size_px=32, side_m=2.25)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


def posed(count: int) -> torch.Tensor:
    """Different people in no symmetric pose, who face anywhere."""
    generator = torch.Generator().manual_seed(3)
    rotations = upright_rotations().repeat(count, 1, 1, 1)
    return rotations @ roma.rotvec_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=generator))


def joints_root_m(body: Body, rotations: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
    joints_m = body.h36m_joints_m(body(rotations, betas, torch.zeros(len(betas), 3)).vertices_m)
    return joints_m - joints_m[:, :1]


def read(body: Body, rotations: torch.Tensor, betas: torch.Tensor) -> LabelledAndSeen:
    count = len(betas)
    image = torch.full((count, 3, SIDE_PX, SIDE_PX), 90, dtype=torch.uint8)
    joints_m = joints_root_m(body, rotations, betas) + 0.05
    numbers = (torch.full((count,), 4.0), torch.full((count,), 3.0), torch.ones(count))
    frames = torch.zeros(count, 5, dtype=torch.int64)
    labelled = WideBody(image, image[:, 0], torch.zeros_like(image), joints_m, *numbers, frames, rotations, betas,
                        torch.ones(count))  # fmt: skip
    views, _ = views_of([np.array([0.1, -0.2, 0.95])] * 2, (1, 3))
    seen = WideSeen(labelled.crops, torch.eye(3).repeat(count, 1, 1), views, frames)
    return LabelledAndSeen(labelled, seen)


def test_joints_of_a_mirrored_body_are_the_mirrored_joints(body):
    rotations, betas = posed(3), torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    opposite = opposite_joints(body.rest_template_joints_m)
    found = joints_root_m(body, mirrored_pose(rotations, opposite), betas)
    expected = joints_root_m(body, rotations, betas) * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(found, expected[:, mirrored(H36M_17)], atol=2e-3, rtol=0)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_the_body_that_a_changed_picture_shows_becomes_the_known_one(body, mirror):
    """A body that fits the joints of the changed crop is, with the changes undone, the body of the plain crop."""
    rotations, betas = posed(COUNT), torch.randn(COUNT, 10, generator=torch.Generator().manual_seed(2))
    augment = ImageAugmentation(roll_rad=0.5, shift_m=0.2, scale=0.2, mirror=mirror)
    generator = torch.Generator().manual_seed(7)
    made = changed_batch(read(body, rotations, betas), augment, 0.0, CROP, False, generator, H36M)
    assert made.changed is not None and made.R_new_from_plain is not None and made.is_mirrored is not None
    assert made.is_mirrored.all() == bool(mirror) and made.image.shape == (2 * COUNT, 3, 32, 32)
    opposite = opposite_joints(body.rest_template_joints_m)
    plain = torch.cat([rotations, rotations])
    seen = torch.cat([(made.R_new_from_plain @ plain[:, 0])[:, None], plain[:, 1:]], dim=1)
    seen = mirrored_pose(seen, opposite) if mirror else seen
    shown_m = joints_root_m(body, seen, torch.cat([betas, betas]))
    size = (made.joints_root_m.norm(dim=(1, 2)) / made.changed.joints_root_m.norm(dim=(1, 2)))[:, None, None]
    assert size.min() < 0.95 and size.max() > 1.05, "people seem smaller and larger"
    torch.testing.assert_close(shown_m, made.changed.joints_root_m * size, atol=3e-3, rtol=0)
    torch.testing.assert_close(unchanged(seen, made.R_new_from_plain, made.is_mirrored, opposite), plain)
    torch.testing.assert_close(made.rotations_crop, rotations)
    torch.testing.assert_close(made.betas, betas, msg="shapes stay as they are")
