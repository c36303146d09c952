"""A prior is rebuilt from its checkpoint alone, for the body that it was trained for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from config import ROOT, GanConfig, GanNetworkConfig
from models.GAN import Generator, PosesAndShapes, load_gan, load_prior_for, make_discriminator, prior_provenance
from models.GAN import load_prior_for as same_function
from models.smpl import load_body
from sample.test_GAN import generated_poses, judge
from utils.artifacts import save_checkpoint
from utils.settings import to_plain
from utils.skeleton import SMPL_24
from utils.small_weights import packed

BODY = ROOT / "models" / "assets" / "open_body.npz"
NETWORK = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)


def critic_of(network: GanNetworkConfig = NETWORK, **provenance):
    made_for = prior_provenance(BODY, 10) | provenance
    return make_discriminator(network, 10, load_body(BODY).rest_template_joints_m, made_for)


def write(
    path: Path, discriminator, network: GanNetworkConfig = NETWORK, stage: str = "gan", small: bool = False
) -> Path:
    weights = discriminator.state_dict()
    states = (
        {"model": packed(weights)} if small else {"model": weights, "generator": Generator(network, 10).state_dict()}
    )
    save_checkpoint(path, stage, 5, to_plain(GanConfig(network=network)), states)
    return path


def some_bodies() -> PosesAndShapes:
    q, _ = torch.linalg.qr(torch.randn(6, 24, 3, 3))
    return PosesAndShapes(q * q.det()[..., None, None], torch.randn(6, 10))


@pytest.mark.parametrize("kind", ["parts", "seed"])
def test_a_prior_scores_as_the_critic_that_was_stored_and_is_frozen(tmp_path, kind):
    network = GanNetworkConfig(kind=kind, joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)
    discriminator, bodies = critic_of(network), some_bodies()
    discriminator.fit_standardisation(some_bodies())
    prior = load_prior_for(write(tmp_path / "prior.pt", discriminator, network), BODY)
    expected = discriminator.scores(bodies.rotations[:, 1:], bodies.betas)
    torch.testing.assert_close(prior.scores(bodies.rotations[:, 1:], bodies.betas), expected)
    assert not prior.training and not any(p.requires_grad for p in prior.parameters())
    assert same_function is load_prior_for


def test_a_file_with_small_weights_and_without_generator_is_read_too(tmp_path):
    discriminator, bodies = critic_of(), some_bodies()
    stored = load_gan(write(tmp_path / "small.pt", discriminator, small=True), BODY)
    assert stored.generate is None and stored.step == 5
    expected = discriminator.scores(bodies.rotations[:, 1:], bodies.betas)
    torch.testing.assert_close(
        stored.discriminator.scores(bodies.rotations[:, 1:], bodies.betas), expected, atol=0.05, rtol=0
    )


def test_another_stage_skeleton_or_body_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train_GAN\.py"):
        load_prior_for(tmp_path / "none.pt", BODY)
    with pytest.raises(ValueError, match=r"'pose'.*'gan'.*train_GAN\.py"):
        load_prior_for(write(tmp_path / "stage.pt", critic_of(), stage="pose"), BODY)
    with pytest.raises(ValueError, match=r"22 joints.*24.*train one"):
        load_prior_for(write(tmp_path / "fewer.pt", critic_of(joints=list(SMPL_24[:22]))), BODY)
    swapped = [*SMPL_24[:1], SMPL_24[2], SMPL_24[1], *SMPL_24[3:]]
    with pytest.raises(ValueError, match=r"right_hip instead of left_hip \(2 joints.*train one"):
        load_prior_for(write(tmp_path / "names.pt", critic_of(joints=swapped)), BODY)
    with pytest.raises(ValueError, match=r"another body \(hash aaaaaaaa\).*give that body, or train one"):
        load_prior_for(write(tmp_path / "body.pt", critic_of(body_hash="a" * 64)), BODY)
    other = GanNetworkConfig(joint_hidden=9, pose_hidden=16, generator_hidden=16, latent=6)
    with pytest.raises(ValueError, match="another version"):
        load_prior_for(write(tmp_path / "settings.pt", critic_of(), other), BODY)


def test_poses_are_judged_in_chunks_as_one_by_one(tmp_path, monkeypatch):
    discriminator = critic_of()
    poses = some_bodies().rotations[:, 1:].numpy()
    whole = judge(discriminator, poses)
    monkeypatch.setattr("sample.test_GAN.POSES_AT_ONCE", 4)
    np.testing.assert_allclose(judge(discriminator, poses).plausibility, whole.plausibility, atol=1e-6)
    np.testing.assert_allclose(whole.minus_l_gan, -((1 - whole.scores.clip(max=1)) ** 2).mean(axis=1), atol=1e-6)
    generate = Generator(NETWORK, 10)
    np.testing.assert_array_equal(generated_poses(generate, 6, 3, seed=1), generated_poses(generate, 6, 3, seed=1))
