import numpy as np
import pytest
import roma
import torch

from config import MeshLoss, Paths
from models.kinematics import upright_rotations
from models.mesh_losses import MaskSettings, MeshObjective
from models.smpl import load_body
from models.SMPL_from_latent import BodyEstimate, check_finite
from tests.unit.utils.test_mesh_views import views_of
from utils.views import MeshViews

PELVIS_M = np.array([0.1, -0.2, 0.95])
LOSS = MeshLoss(pose=1.0, soft_iou=1.0, mesh_to_mask=1.0, mask_to_mesh=1.0, prior=0.0, betas=1.0)


class LikesSmall:
    """A stand-in for a discriminator: the score is one minus the first shape number."""

    def scores(self, rotations, betas):
        assert rotations.shape[1:] == (23, 3, 3)
        return (1 - betas[:, :1]).expand(-1, 25)


def objective(loss=LOSS, prior=None) -> MeshObjective:
    body = load_body(Paths().models_smpl_location)
    made = MeshObjective(body, None, loss, MaskSettings(64, 2.3, "pelvis", backend="torch"))
    made.prior = prior
    return made


def standing(root=None, count=1) -> BodyEstimate:
    rotations = upright_rotations().repeat(count, 1, 1, 1)
    if root is not None:
        rotations[:, 0] = root
    return BodyEstimate(rotations, torch.zeros(count, 10))


def seen_as(made: MeshObjective, estimate: BodyEstimate) -> tuple[torch.Tensor, MeshViews]:
    """Views whose masks show the estimated body, as the first camera's crop sees it."""
    views, _ = views_of([PELVIS_M] * 2, (1, 3))
    R_crop_from_world = views.R_crop_from_world[:, 0]
    mask = made.coverage(made.in_views(estimate, R_crop_from_world, views))
    places = torch.stack(torch.meshgrid(*[torch.arange(64) + 0.5] * 2, indexing="xy"), dim=-1).reshape(-1, 2)
    apart_px = [torch.cdist(places, places[one.flatten() > 0.5]).amin(dim=1).view(64, 64) for one in mask[0]]
    return R_crop_from_world, views._replace(mask=mask, distance_to_mask_m=torch.stack(apart_px)[None] * made.m_per_px)


def turned_degrees(degrees: float) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.tensor([0.0, float(np.radians(degrees)), 0.0])) @ torch.diag(
        torch.tensor([1.0, -1, -1])
    )


def test_a_body_in_its_own_masks_loses_nothing_and_one_turned_by_a_quarter_does():
    made = objective()
    R, views = seen_as(made, standing())
    right, wrong = (made.verts_terms(estimate, R, views) for estimate in (standing(), standing(turned_degrees(90))))
    assert right["soft_iou"] < 0.001 and right["mesh_to_mask_m"] < 0.5 * made.m_per_px, "thin fingers"
    assert wrong["soft_iou"] > 0.25
    assert all(wrong[name] > 1.3 * right[name] for name in ("mesh_to_mask_m", "mask_to_mesh_m")), (right, wrong)


@pytest.mark.parametrize("terms", [("soft_iou",), ("mesh_to_mask_m", "mask_to_mesh_m")])
def test_masks_alone_turn_a_person_to_where_he_faces(terms):
    made = objective()
    R, views = seen_as(made, standing(turned_degrees(20)))
    angle_rad = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([angle_rad], lr=0.03)
    for _ in range(40):
        root = roma.rotvec_to_rotmat(torch.cat([torch.zeros(1), angle_rad, torch.zeros(1)]))
        facing = torch.diag(torch.tensor([1.0, -1, -1]))
        rotations = torch.cat([(root @ facing)[None, None], upright_rotations()[None, 1:]], dim=1)
        found = made.verts_terms(BodyEstimate(rotations, torch.zeros(1, 10)), R, views)
        optimizer.zero_grad()
        sum(found[name] for name in terms).backward()
        optimizer.step()
    assert abs(angle_rad.item() - np.radians(20)) < np.radians(4), f"{np.degrees(angle_rad.item()):.0f} degrees"


def test_only_the_last_rows_have_views_and_only_labelled_rows_have_joints():
    made = objective()
    R, views = seen_as(made, standing())
    both = BodyEstimate(*(torch.cat(pair) for pair in zip(standing(turned_degrees(90)), standing(), strict=True)))
    joints_m = made.joints_root_m(both)
    terms = made.terms(both, joints_m + 1, torch.tensor([False, False]), R, views)
    assert terms["pose_m"] == 0 and terms["soft_iou"] < 0.001
    terms = made.terms(both, joints_m + torch.tensor([0.0, 0.03, 0.04]), torch.tensor([True, False]), R, views)
    assert terms["pose_m"].item() == pytest.approx(0.05, abs=1e-5)


def test_the_prior_wants_the_score_one_and_the_shapes_stay_usual():
    made = objective(MeshLoss(prior=0.5, betas=1.0, prior_asks="all_real"), LikesSmall())
    betas = torch.zeros(2, 10)
    betas[:, 0] = torch.tensor([0.0, 2.0])
    terms = made.body_terms(BodyEstimate(upright_rotations().repeat(2, 1, 1, 1), betas))
    assert terms["prior"].item() == pytest.approx(2.0) and terms["betas"].item() == pytest.approx(0.2)


def test_a_term_without_weight_is_left_out():
    made = objective(
        MeshLoss(pose=1.0, soft_iou=0.0, mesh_to_mask=0.0, mask_to_mesh=0.0, prior=0.0, betas=0.0), LikesSmall()
    )
    R, views = seen_as(made, standing())
    terms = made.terms(standing(), torch.zeros(1, 17, 3), torch.tensor([True]), R, views)
    assert list(terms) == ["pose_m"]


def test_held_out_errors_are_those_of_labelled_rows_and_existing_views():
    made = objective()
    R, views = seen_as(made, standing())
    joints_m = made.joints_root_m(standing())
    only_first = views._replace(exists=torch.tensor([[True, False]]))
    apart_mm, iou = made.errors(standing(), joints_m, torch.tensor([True]), R, only_first)
    assert apart_mm.tolist() == pytest.approx([0.0], abs=1e-3) and iou.tolist() == pytest.approx([100.0])
    assert len(made.errors(standing(), joints_m, torch.tensor([False]), R, views)[0]) == 0


def test_a_body_that_is_not_finite_is_named():
    frames = torch.tensor([[1, 2, 1, 3, 7], [5, 14, 2, 4, 12]])
    broken = standing(count=2)
    broken.betas[1, 3] = torch.inf
    check_finite(standing(count=2), frames)
    with pytest.raises(ValueError, match=r"1 of 2 .*subject 5, action 14, sub-action 2, camera 4, frame 12\)"):
        check_finite(broken, frames)
