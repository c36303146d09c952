import pytest
import torch

from models.mesh_losses import MASK_CELLS, joint_distance_m, mask_to_mesh_loss_m, mesh_to_mask_loss_m, soft_iou_loss
from utils.skeleton import H36M_17

YES = torch.ones(1, 1, dtype=torch.bool)
SIZE = 32
M_PER_PX = 0.05


def box_mask(left, top, right, bottom, size=SIZE) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., top:bottom, left:right] = 1
    return mask


def distance_map_m(mask: torch.Tensor) -> torch.Tensor:
    """Brute force: the distance of each pixel from the nearest pixel of the mask."""
    places = torch.stack(torch.meshgrid(*[torch.arange(mask.shape[-1]) + 0.5] * 2, indexing="xy"), dim=-1)
    person = places[mask[0, 0] > 0.5]
    return torch.cdist(places.reshape(-1, 2), person).amin(dim=1).view_as(mask) * M_PER_PX


def test_joint_distance_is_the_mean_over_labelled_rows_only():
    true = torch.randn(3, 17, 3)
    off = true + torch.tensor([0.3, 0.0, 0.4])
    predicted = torch.stack([off[0], true[1] + 100, true[2]])
    labelled = torch.tensor([True, False, True])
    assert joint_distance_m(predicted, true, labelled).item() == pytest.approx(0.25)
    assert joint_distance_m(predicted, true, torch.tensor([False] * 3)).item() == 0


def test_hips_count_unless_the_predecessor_is_followed():
    true = torch.zeros(1, 17, 3)
    predicted = true.clone()
    predicted[:, [H36M_17.index("left_hip"), H36M_17.index("right_hip")], 0] = 1.7
    yes = torch.tensor([True])
    assert joint_distance_m(predicted, true, yes).item() == pytest.approx(0.2)
    assert joint_distance_m(predicted, true, yes, hips=False).item() == 0


def test_overlap_is_one_minus_intersection_over_union():
    mask, drawn = box_mask(0, 0, 10, 10), box_mask(5, 0, 15, 10)
    assert soft_iou_loss(drawn, mask, YES).item() == pytest.approx(1 - 50 / 150)
    assert soft_iou_loss(mask, mask, YES).item() == pytest.approx(0)
    assert soft_iou_loss(box_mask(20, 20, 30, 30), mask, YES).item() == pytest.approx(1)


def test_soft_borders_that_agree_lose_nothing():
    soft = torch.rand(1, 1, SIZE, SIZE)
    assert soft_iou_loss(soft, soft, YES).item() == pytest.approx(0, abs=1e-6)
    assert soft_iou_loss(soft / 2, soft, YES).item() == pytest.approx(0.5, abs=1e-6)


def test_views_that_do_not_exist_do_not_count():
    mask, drawn = box_mask(0, 0, 10, 10), box_mask(5, 0, 15, 10)
    both_masks, both_drawn = torch.cat([mask, mask], dim=1), torch.cat([drawn, mask], dim=1)
    first = torch.tensor([[True, False]])
    xy_px = torch.tensor([[[[20.0, 5.0]], [[5.0, 5.0]]]])
    assert soft_iou_loss(both_drawn, both_masks, first).item() == pytest.approx(1 - 50 / 150)
    distance_to_mask_m = distance_map_m(mask).expand(1, 2, -1, -1)
    assert mesh_to_mask_loss_m(xy_px, distance_to_mask_m, first, M_PER_PX).item() == pytest.approx(
        10.5 * M_PER_PX, abs=1e-5
    )
    assert mask_to_mesh_loss_m(xy_px, both_masks, ~first, M_PER_PX).item() < mask_to_mesh_loss_m(
        xy_px, both_masks, first, M_PER_PX
    )


def test_vertices_count_by_their_distance_from_the_mask_and_are_pulled_straight_to_it():
    distance_to_mask_m = distance_map_m(box_mask(0, 0, 10, SIZE))
    xy_px = torch.tensor([[[[5.0, 7.0], [19.5, 7.0]]]], requires_grad=True)
    loss = mesh_to_mask_loss_m(xy_px, distance_to_mask_m, YES, M_PER_PX)
    assert loss.item() == pytest.approx(10 * M_PER_PX / 2, abs=1e-5)
    loss.backward()
    inside, mesh_to_mask = xy_px.grad[0, 0]
    assert inside.abs().max() == 0
    assert mesh_to_mask.tolist() == pytest.approx([M_PER_PX / 2, 0], abs=1e-6)


def test_a_vertex_beyond_the_crop_is_pulled_back_into_it():
    distance_to_mask_m = distance_map_m(box_mask(0, 0, 10, SIZE))
    xy_px = torch.tensor([[[[SIZE + 4.0, 7.0]]]], requires_grad=True)
    loss = mesh_to_mask_loss_m(xy_px, distance_to_mask_m, YES, M_PER_PX)
    assert loss.item() == pytest.approx((SIZE + 4 - 9.5) * M_PER_PX, abs=1e-4)
    loss.backward()
    assert xy_px.grad[0, 0, 0, 0].item() == pytest.approx(M_PER_PX, abs=1e-5)


def test_the_persons_pixels_pull_the_nearest_vertex_and_no_other():
    mask = box_mask(0, 0, SIZE // MASK_CELLS, SIZE // MASK_CELLS)  # one cell, whose middle is (1, 1)
    xy_px = torch.tensor([[[[1.0, 7.0], [20.0, 1.0]]]], requires_grad=True)
    loss = mask_to_mesh_loss_m(xy_px, mask, YES, M_PER_PX)
    assert loss.item() == pytest.approx(6 * M_PER_PX, abs=1e-5)
    loss.backward()
    assert xy_px.grad[0, 0, 0].tolist() == pytest.approx([0, M_PER_PX], abs=1e-5)
    assert xy_px.grad[0, 0, 1].abs().max() == 0


def test_a_mesh_that_covers_the_mask_reaches_it_within_half_a_cell():
    mask = box_mask(4, 4, 20, 28)
    xy_px = torch.stack(torch.meshgrid(torch.arange(4.0, 20), torch.arange(4.0, 28), indexing="xy"), -1)
    assert (
        mask_to_mesh_loss_m(xy_px.reshape(1, 1, -1, 2), mask, YES, M_PER_PX).item() < M_PER_PX * SIZE / MASK_CELLS / 2
    )


@pytest.mark.parametrize("loss", [mesh_to_mask_loss_m, mask_to_mesh_loss_m])
def test_distance_gradients_are_those_of_finite_differences(loss):
    generator = torch.Generator().manual_seed(0)
    mask = box_mask(6, 9, 15, 22).double()
    xy_px = (torch.rand(1, 1, 6, 2, generator=generator, dtype=torch.float64) * 28 + 2).requires_grad_()
    field = distance_map_m(mask).double() if loss is mesh_to_mask_loss_m else mask
    assert torch.autograd.gradcheck(lambda xy: loss(xy, field, YES, M_PER_PX), xy_px, eps=1e-5, atol=1e-5)
