import math

import numpy as np
import pytest
import roma
import torch

from config import ROOT
from dataset_def.crop import crop_camera
from models.kinematics import upright_rotations
from models.mesh_evaluation import MeshMeasure, chosen_by, in_crop_axes, mean_body, own_view
from models.smpl import load_body
from models.SMPL_from_latent import BodyEstimate, rooted_body
from tests.helpers.tiny_h36m import looking_camera
from utils.skeleton import SMPL_24
from utils.views import MeshViews

SIZE_PX = 48
UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""R_world_from_body of somebody who stands; the world is z up."""


@pytest.fixture(scope="module")
def measure() -> MeshMeasure:
    torch.set_num_threads(1)
    return MeshMeasure(load_body(ROOT / "models" / "assets" / "open_body.npz"), "pelvis")


def standing_world() -> tuple[torch.Tensor, torch.Tensor]:
    rotations = upright_rotations()[None]
    rotations[:, 0] = UP
    return rotations, torch.zeros(1, 10)


def empty_views() -> MeshViews:
    """Three views of a person whose pelvis is a metre above the middle of the room."""
    target = np.array([0.0, 0.0, 1.0])
    cameras = [crop_camera(looking_camera(number, 256, 256), target, SIZE_PX, 2.3) for number in (1, 2, 3)]

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array([getattr(camera, name) for camera in cameras], np.float32))[None]

    empty = torch.zeros(1, 3, SIZE_PX, SIZE_PX)
    targets = torch.tensor([0.0, 0.0, 1.0]).expand(1, 3, 3)
    return MeshViews(empty, empty, torch.ones(1, 3, dtype=torch.bool), stacked("R_cam_from_world"),
                     stacked("centre_world_m"), stacked("focal_px")[..., 0], targets)  # fmt: skip


def test_the_true_body_seen_through_any_view_has_no_error_and_covers_its_masks(measure):
    views = empty_views()
    for seen_in in range(3):
        R = views.R_crop_from_world[:, seen_in]
        assert own_view(R, views).tolist() == [seen_in]
        truth = in_crop_axes(*standing_world(), R)
        mesh = rooted_body(measure.body, truth)
        masked = views._replace(mask=measure.coverage(mesh.vertices_root_m, R, views))
        errors = measure.all_errors(truth, truth, truth, mesh.joints_root_m, R, masked)
        for name in ("predicted", "mean body", "true body"):
            assert errors[name]["iou_all_views_percent"].item() == 100
        assert errors["predicted"]["vertex_mm"].item() < 0.01 > errors["mean body"]["pa_vertex_mm"].item()


class LikesShort:
    """A stand-in for a prior: the second shape number is how real a body is."""

    def scores(self, rotations, betas):
        return betas[:, 1:2].expand(-1, 3)

    open_scores = scores

    def plausibility(self, scores):
        return scores[:, 0]


def test_shape_twist_and_surface_are_measured_beside_the_mean_shape_and_the_truth_beside_scores():
    measure = MeshMeasure(load_body(ROOT / "models" / "assets" / "open_body.npz"), "pelvis", LikesShort(), samples=1)
    views = empty_views()
    R = views.R_crop_from_world[:, 0]
    rotations, betas = standing_world()
    truth = in_crop_axes(rotations, betas + torch.tensor([1.0] + [0.5] + [0.0] * 8), R)
    elbow = SMPL_24.index("left_elbow")
    bones = measure.bones
    assert elbow in bones.rows and SMPL_24.index("left_hand") not in bones.rows and 0 not in bones.rows
    about = torch.nn.functional.normalize(bones.bones_m[elbow], dim=0)
    turned = truth.rotations_crop.clone()
    turned[:, elbow] = turned[:, elbow] @ roma.rotvec_to_rotmat(0.6 * about)
    estimate = BodyEstimate(turned, truth.betas.clone())
    mesh = rooted_body(measure.body, truth)
    found = measure.all_errors(estimate, truth, truth, mesh.joints_root_m, R, views)
    predicted, mean_shape, true_body = (found[name] for name in ("predicted", "mean shape", "true body"))
    below = [row for row in bones.rows if row == elbow or measure.body.parents[row] == elbow]
    whole = math.degrees(0.6) / len(bones.rows)
    assert whole * 0.99 < predicted["twist_degrees"].item() < whole * (len(below) + 0.01)
    assert predicted["surface_mm"].item() < 0.6 * predicted["vertex_mm"].item(), "a turned hand has little surface"
    assert predicted["shape_mm"].item() < 1e-3 and predicted["height_mm"].item() < 1e-3
    assert mean_shape["height_mm"].item() > 70 and mean_shape["shape_mm"].item() > 10
    assert [true_body[name].item() for name in ("prior_score", "prior_plausibility")] == pytest.approx([0.5, 0.5])
    assert found["mean body"]["prior_plausibility"].item() == pytest.approx(0.5)


def test_own_and_other_views_are_told_apart_and_absent_ones_left_out(measure):
    views = empty_views()
    R = views.R_crop_from_world[:, 1]
    mask = torch.zeros(1, 3, 10, 10)
    mask[:, :, :2] = 1
    drawn = mask.clone()
    drawn[:, 1] = 0
    drawn[:, 1, :1] = 1  # half of its own mask; the others agree
    found = measure.iou_errors(drawn, R, views._replace(mask=mask))
    assert found["iou_own_view_percent"].item() == 50 and found["iou_other_views_percent"].item() == 100
    assert found["iou_all_views_percent"].item() == pytest.approx(250 / 3)
    exists = torch.tensor([[True, True, False]])
    found = measure.iou_errors(drawn, R, views._replace(mask=mask, exists=exists))
    assert found["iou_all_views_percent"].item() == 75


def test_what_is_not_known_stays_unknown_and_spoils_nothing_else(measure):
    views = empty_views()
    R = views.R_crop_from_world[:, 0]
    estimate = in_crop_axes(*standing_world(), R)
    unknown = BodyEstimate(*(torch.full_like(value, torch.nan) for value in estimate))
    true_joints = rooted_body(measure.body, estimate).joints_root_m
    errors = measure.all_errors(estimate, None, unknown, true_joints, R, views)
    assert "mean body" not in errors and errors["true body"]["iou_all_views_percent"].isnan().all()
    assert errors["predicted"]["vertex_mm"].isnan() and errors["predicted"]["pa_vertex_mm"].isnan()
    assert errors["predicted"]["mpjpe_17_mm"].item() < 0.01


def test_a_pictured_mesh_stands_with_its_pelvis_on_the_axis_of_its_crop(measure):
    views = empty_views()
    R = views.R_crop_from_world[:, 2]
    mesh = rooted_body(measure.body, in_crop_axes(*standing_world(), R))
    vertices_crop_m = measure.pictured(mesh, R, views)["vertices_crop_m"]
    pelvis_m = measure.body.h36m_joints_m(vertices_crop_m)[0, 0]
    far_m = (views.target_world_m - views.centre_world_m)[0, 2].norm().item()
    assert pelvis_m.tolist() == pytest.approx([0, 0, far_m], abs=1e-4)


def test_a_body_whose_root_is_not_known_is_drawn_over_its_mask_and_stays_without_one(measure):
    """The mask is the body's own, 20 cm to the right of the crop's middle and 10 cm up."""
    boxed = MeshMeasure(measure.body, "box", samples=2)
    views, aside_m = empty_views(), torch.tensor([0.2, -0.1, 0.0])
    R = views.R_crop_from_world[:, 1]
    mesh = rooted_body(measure.body, in_crop_axes(*standing_world(), R))
    far_m = (views.target_world_m - views.centre_world_m)[0, 1].norm()
    true_m = mesh.vertices_root_m[0] + aside_m + torch.tensor([0.0, 0.0, 1.0]) * far_m
    masked = views._replace(mask=measure.coverage(mesh.vertices_root_m + aside_m, R, views))
    moved_m = boxed.pictured(mesh, R, masked)["vertices_crop_m"][0]
    assert (moved_m - true_m)[:, :2].abs().max().item() < 0.01, "a pixel is 48 mm"
    still_m = boxed.pictured(mesh, R, views)["vertices_crop_m"][0]
    middle_m = boxed.vertex_share @ still_m
    assert middle_m.tolist() == pytest.approx([0, 0, far_m.item()], abs=1e-4)


def test_the_best_checkpoint_is_chosen_by_what_there_is_a_truth_for():
    joints, iou, surface = {"held_out_mpjpe_17_mm": 90.0}, {"held_out_iou_percent": 70.0}, {"held_out_surface_mm": 50.0}
    assert (chosen_by(joints | iou | surface), chosen_by(joints | iou), chosen_by(iou)) == (50, 90, 30)


def test_the_mean_body_leaves_unknown_bodies_out():
    rotations, betas = standing_world()
    both = torch.cat([rotations, torch.full_like(rotations, torch.nan)])
    shapes = torch.cat([betas + 2, torch.full_like(betas, torch.nan)])
    found = mean_body(both, shapes, torch.eye(3).expand(2, 3, 3))
    assert torch.allclose(found.rotations_crop, rotations, atol=1e-6) and found.betas.unique().tolist() == [2]
