import math

import pytest
import torch

from models.heading import (
    contributions,
    heading_of,
    horizontal_axes,
    moving_forward,
    seeded_heading,
    whitening,
)


def test_who_moves_faces_where_he_moves_and_sequences_do_not_touch():
    nan = float("nan")
    centre_m = torch.tensor([[0, 0, 1], [0.3, 0, 1], [0.6, 0, 1], [9, 9, 1], [9, 9.05, 1.0], [9, 9.1, 1], [nan] * 3])
    forward, is_known = moving_forward(centre_m, torch.tensor([1.0, 1, 0, 1, 1, 1]), 0.4)
    assert is_known.tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert torch.allclose(forward[1], torch.tensor([1.0, 0.0])) and torch.isfinite(forward).all()


def looking(azimuth_rad: torch.Tensor) -> torch.Tensor:
    """Axes (right, down, forward) of level cameras on a circle around the person."""
    cos, sin, zero, one = (
        azimuth_rad.cos(),
        azimuth_rad.sin(),
        torch.zeros_like(azimuth_rad),
        torch.ones_like(azimuth_rad),
    )
    return torch.stack([-sin, cos, zero, zero, zero, -one, -cos, -sin, zero], -1).unflatten(-1, (3, 3))


class Scene:
    """Instants seen by four cameras, plain and mirrored; features mix the heading with what views do not share."""

    def __init__(self, instants=400, noise=0.1):
        torch.manual_seed(0)
        angle = torch.rand(instants) * 2 * math.pi
        self.forward = torch.stack([angle.cos(), angle.sin()], -1)
        R = looking(torch.tensor([0.3, 1.9, 3.2, 5.0])).repeat(2, 1, 1).expand(instants, 8, 3, 3)
        is_mirrored = (torch.arange(8) >= 4).float().expand(instants, 8)
        self.axes = horizontal_axes(R, is_mirrored)
        in_crop = torch.linalg.solve(self.axes, self.forward[:, None].expand(-1, 8, 2)[..., None])[..., 0]
        told = torch.cat([in_crop, torch.randn(instants, 8, 6)], -1)
        mixed = told @ torch.randn(8, 12) + noise * torch.randn(instants, 8, 12) + 3.0
        self.features = whitening(mixed.flatten(0, 1), 8)(mixed)
        self.is_known = (torch.arange(instants) % 10 == 0).float()


def test_the_mirror_image_of_a_heading_is_its_reflection_in_the_camera():
    R = looking(torch.tensor([0.7]))
    plain, mirror = horizontal_axes(R, torch.zeros(1)), horizontal_axes(R, torch.ones(1))
    in_crop = torch.tensor([0.6, 0.8])
    seen_in_mirror = in_crop * torch.tensor([-1.0, 1.0])
    assert torch.allclose(plain[0] @ in_crop, mirror[0] @ seen_in_mirror, atol=1e-6)
    three_d = R[0].T @ torch.tensor([0.6, 0.0, 0.8])
    assert torch.allclose(plain[0] @ in_crop, three_d[:2], atol=1e-6)


def test_whitened_features_have_equal_spread_and_no_correlation():
    torch.manual_seed(0)
    features = torch.randn(4000, 5) @ torch.randn(5, 5) + 2
    found = whitening(features, 4)(features)
    covariance = found.mT @ found / len(found)
    assert found.shape == (4000, 4) and torch.allclose(covariance, torch.eye(4).double(), atol=0.1)


def test_few_walkers_and_agreement_tell_everybodys_heading():
    scene = Scene()
    found = seeded_heading(scene.features, scene.axes, scene.forward, scene.is_known)
    told = heading_of(scene.features, scene.axes, found)
    cosine = torch.nn.functional.cosine_similarity(told, scene.forward[:, None].expand_as(told), dim=-1)
    assert cosine[scene.is_known == 0].mean() > 0.9
    assert found.agreement > 0.8


def test_without_agreement_few_walkers_tell_less():
    scene = Scene(instants=60, noise=1.0)
    with_views, alone = (
        seeded_heading(scene.features, scene.axes, scene.forward, scene.is_known, agreement_weight=weight)
        for weight in (1.0, 0.0)
    )
    assert with_views.agreement > alone.agreement
    unknown = scene.is_known == 0
    told = [heading_of(scene.features, scene.axes, found) for found in (with_views, alone)]
    forward = scene.forward[:, None].expand_as(told[0])
    both, one = (torch.nn.functional.cosine_similarity(each, forward, dim=-1)[unknown].mean() for each in told)
    assert both > one + 0.01


def test_noise_has_no_agreement_and_no_walker_is_refused():
    scene = Scene(instants=2000)
    torch.manual_seed(1)
    noise = torch.randn_like(scene.features)
    assert abs(seeded_heading(noise, scene.axes, scene.forward, scene.is_known).agreement) < 0.2
    with pytest.raises(ValueError, match="no heading is known"):
        seeded_heading(noise, scene.axes, scene.forward, torch.zeros_like(scene.is_known))


def test_contributions_are_the_vectors_of_the_map():
    scene = Scene(instants=3)
    weights = torch.randn(2, 9).double()
    by_hand = (
        scene.axes.double() @ (weights @ torch.cat([scene.features, torch.ones(3, 8, 1)], -1).mT.double()).mT[..., None]
    )
    assert torch.allclose(contributions(scene.features, scene.axes) @ weights.flatten(), by_hand[..., 0], atol=1e-6)
