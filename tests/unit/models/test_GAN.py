"""Critics and generator: what they see, what they do not, and what they want."""

import numpy as np
import pytest
import roma
import torch

from config import GanConfig, GanNetworkConfig, NoiseConfig
from dataset_def.synthetic.motion.limbs import REST_JOINTS_M, place_joints
from models import gan_losses
from models.GAN import (
    IN_CONTEXT,
    JOINTS_ALONE,
    SCORED_PARTS,
    SHAPE,
    WHOLE,
    Discriminator,
    FlatDiscriminator,
    Generator,
    PosesAndShapes,
    ScoreTarget,
    make_discriminator,
)
from models.kinematics import placed_pose, whole_features
from models.pose_noise import mirror_pose
from utils.skeleton import SMPL_24, mirrored

REST = torch.tensor(REST_JOINTS_M, dtype=torch.float32)
SMALL = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)


def some_bodies(count: int = 5) -> PosesAndShapes:
    return PosesAndShapes(roma.rotvec_to_rotmat(0.5 * torch.randn(count, 24, 3)), torch.randn(count, 10))


def a_critic(kind: str = "parts") -> Discriminator | FlatDiscriminator:
    discriminator = make_discriminator(GanNetworkConfig(kind=kind, joint_hidden=8, pose_hidden=16), 10, REST, {})
    discriminator.fit_standardisation(some_bodies(50))
    return discriminator


def name_row(name: str) -> int:
    return SMPL_24.index(name) - 1


@pytest.mark.parametrize("count", [0, 1, 4])
def test_there_is_a_score_per_part_for_any_number_of_bodies(count):
    bodies = some_bodies(count)
    assert a_critic().scores(bodies.rotations[:, 1:], bodies.betas).shape == (count, len(SCORED_PARTS)) == (count, 48)
    assert a_critic("seed").scores(bodies.rotations[:, 1:], bodies.betas).shape == (count, 1)


def test_the_root_is_seen_by_the_predecessors_critic_only():
    bodies, parts, flat = some_bodies(), a_critic(), a_critic("seed")
    turned = bodies._replace(rotations=torch.cat([some_bodies().rotations[:, :1], bodies.rotations[:, 1:]], dim=1))
    assert torch.equal(parts(bodies), parts(turned))
    assert not torch.equal(flat(bodies), flat(turned))


def test_a_pose_and_its_mirror_image_have_the_same_scores_with_sides_swapped():
    bodies, discriminator = some_bodies(), a_critic()
    scores = discriminator.scores(bodies.rotations[:, 1:], bodies.betas)
    shown = discriminator.scores(mirror_pose(bodies.rotations)[:, 1:], bodies.betas)
    swapped = [row - 1 for row in mirrored(SMPL_24)[1:]]
    torch.testing.assert_close(shown[:, JOINTS_ALONE], scores[:, JOINTS_ALONE][:, swapped])
    torch.testing.assert_close(shown[:, IN_CONTEXT], scores[:, IN_CONTEXT][:, swapped])
    torch.testing.assert_close(shown[:, [WHOLE, SHAPE]], scores[:, [WHOLE, SHAPE]])
    torch.testing.assert_close(discriminator.plausibility(shown), discriminator.plausibility(scores))
    assert not torch.allclose(scores[:, JOINTS_ALONE], scores[:, JOINTS_ALONE][:, swapped])


def test_a_critic_of_one_joint_sees_that_joint_only():
    bodies, discriminator = some_bodies(), a_critic()
    changed = bodies.rotations.clone()
    changed[:, SMPL_24.index("left_elbow")] = some_bodies().rotations[:, 0]
    other = discriminator(PosesAndShapes(changed, bodies.betas)) != discriminator(bodies)
    assert other[:, JOINTS_ALONE].any(dim=0).nonzero().flatten().tolist() == [name_row("left_elbow")]
    assert other[:, IN_CONTEXT].all() and other[:, WHOLE].all() and not other[:, SHAPE].any()


def test_a_pose_is_as_plausible_as_its_worst_joints():
    discriminator, scores = a_critic(), torch.ones(4, len(SCORED_PARTS))
    scores[1, IN_CONTEXT] = 0.4
    scores[2, IN_CONTEXT.start + 3] = 0.0
    scores[3, IN_CONTEXT.start + 3 : IN_CONTEXT.start + 6] = 0.0
    real, even, one, three = discriminator.plausibility(scores).tolist()
    assert real == pytest.approx(1) and even == pytest.approx(0.4) and three < one < 0.35


def test_a_shape_changes_its_own_score_only():
    bodies, discriminator = some_bodies(), a_critic()
    other = discriminator(bodies._replace(betas=bodies.betas + 1)) != discriminator(bodies)
    assert other.any(dim=0).nonzero().flatten().tolist() == [SHAPE]


def test_joints_are_placed_as_the_slow_walk_down_the_skeleton_places_them():
    bodies = some_bodies()
    pose = placed_pose(bodies.rotations, REST)
    at_rest = bodies.rotations.double().numpy().copy()
    at_rest[:, 0] = np.eye(3)
    joints_m, total = place_joints(at_rest, np.zeros(3), REST_JOINTS_M)
    np.testing.assert_allclose(pose.joints_m, joints_m, atol=1e-5)
    np.testing.assert_allclose(pose.total, total, atol=1e-5)
    features = whole_features(pose)
    wrist, head = SMPL_24.index("left_wrist"), SMPL_24.index("head")
    distance_m = np.linalg.norm(joints_m[:, wrist] - joints_m[:, head], axis=-1)
    assert np.abs(features[:, -276:].numpy() - distance_m[:, None]).min(axis=1).max() < 1e-5


def test_levelled_inputs_have_mean_zero_and_spread_one():
    discriminator, bodies = a_critic(), some_bodies(400)
    discriminator.fit_standardisation(bodies)
    level = discriminator.standardised_joints(bodies.rotations[:, 1:].flatten(2))
    assert level.mean(dim=0).abs().max() < 1e-4 and (level.std(dim=0) - 1).abs().max() < 1e-3


def test_scores_are_at_most_one_and_have_no_gradient_there():
    discriminator = a_critic()
    with torch.no_grad():
        discriminator.of_shape[-1].bias.add_(100)
    bodies = some_bodies()
    betas = bodies.betas.requires_grad_()
    score = discriminator.scores(bodies.rotations[:, 1:], betas)[:, SHAPE]
    score.sum().backward()
    assert (score == 1).all() and (betas.grad == 0).all()
    assert (discriminator.open_scores(bodies.rotations[:, 1:], betas)[:, SHAPE] > 50).all()


def test_the_gradient_of_the_prior_reaches_every_joint_and_the_shape_and_is_finite_at_rest():
    discriminator = a_critic().requires_grad_(False)
    rotations = torch.eye(3).repeat(2, 23, 1, 1).requires_grad_()
    betas = torch.zeros(2, 10, requires_grad=True)
    (discriminator.scores(rotations, betas) - 1).square().mean().backward()
    assert rotations.grad.isfinite().all() and betas.grad.isfinite().all()
    assert (rotations.grad.flatten(2).norm(dim=2) > 0).all() and (betas.grad.norm(dim=1) > 0).all()


def test_the_generator_gives_rotations_with_the_root_at_rest_unless_it_is_the_predecessors():
    noise = torch.randn(7, 6)
    bodies = Generator(SMALL, 10)(noise)
    eye = torch.eye(3).expand(7, 24, 3, 3)
    torch.testing.assert_close(bodies.rotations @ bodies.rotations.mT, eye, atol=1e-5, rtol=0)
    assert torch.equal(bodies.rotations[:, 0], eye[:, 0]) and bodies.betas.shape == (7, 10)
    flat = Generator(GanNetworkConfig(kind="seed", generator_hidden=16, latent=6), 10)(noise)
    assert (flat.rotations[:, 0] - torch.eye(3)).abs().max() > 1e-3


def test_what_the_generator_invents_says_nothing_of_joints_in_context():
    target = a_critic().target_of_generated(3, torch.zeros(1))
    assert (target.weight[:, IN_CONTEXT] == 0).all() and target.weight.sum() == 3 * (23 + 2)
    assert (target.score == 0).all()


def test_what_is_wanted_of_noise_names_the_spoiled_joints():
    is_changed = torch.zeros(4, 23, dtype=torch.bool)
    is_changed[0, name_row("left_knee")] = True
    target = a_critic().target_of_noise(is_changed)
    knee = name_row("left_knee")
    assert target.score[0, IN_CONTEXT][knee] == 0 and target.score[:, IN_CONTEXT].sum() == 4 * 23 - 1
    assert target.weight[0, knee] > 0 and target.weight[:, JOINTS_ALONE].count_nonzero() == 1, (
        "others say nothing alone"
    )
    assert (target.score[:, [WHOLE, SHAPE]] == 0).all() and (target.weight[:, [WHOLE, SHAPE]] == 1).all()
    assert target.weight[:, knee].mean() == pytest.approx(1), "a joint that is seldom spoiled counts as much"


def test_the_terms_by_hand():
    class Fixed(torch.nn.Module):
        """Scores a body by its first shape number."""

        def forward(self, bodies: PosesAndShapes) -> torch.Tensor:
            return bodies.betas[:, :1]

        def target_of_generated(self, count: int, like: torch.Tensor) -> ScoreTarget:
            return ScoreTarget(torch.zeros(count, 1), torch.ones(count, 1))

    def of(value: float, count: int) -> PosesAndShapes:
        return PosesAndShapes(torch.eye(3).repeat(count, 24, 1, 1), torch.full((count, 10), value))

    batch = gan_losses.DiscriminatorBatch(
        of(0.5, 4), of(0.52, 1), of(0.3, 2), of(0.1, 4), ScoreTarget(torch.zeros(4, 1), torch.full((4, 1), 2.0))
    )
    terms = gan_losses.discriminator_terms(Fixed(), Fixed(), batch)
    expected = {"real": 0.25, "generated": 0.09, "noise": 0.02, "gradient_penalty": 1.0}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-3)
    assert gan_losses.generator_loss(Fixed(), of(0.3, 2)).item() == pytest.approx(0.49)


def test_the_gradient_penalty_is_the_squared_slope():
    """A score of slope g along one axis of one joint changes by g x turn; the mean of the turns squared is 1 rad^2."""
    slope = 1.7

    class Along(torch.nn.Module):
        def forward(self, bodies: PosesAndShapes) -> torch.Tensor:
            return slope * roma.rotmat_to_rotvec(bodies.rotations[:, 1])[:, :1]

        def target_of_generated(self, count: int, like: torch.Tensor) -> ScoreTarget:
            return ScoreTarget(torch.zeros(count, 1), torch.ones(count, 1))

        def target_of_noise(self, is_changed: torch.Tensor) -> ScoreTarget:
            return ScoreTarget(torch.zeros(len(is_changed), 1), torch.ones(len(is_changed), 1))

    config, generator = GanConfig(network=SMALL), torch.Generator().manual_seed(0)
    real = PosesAndShapes(torch.eye(3).repeat(8000, 24, 1, 1), torch.zeros(8000, 10))
    batch = gan_losses.discriminator_batch(real, Generator(SMALL, 10), Along(), config.noise, generator)
    rough = gan_losses.discriminator_terms(Along(), Along(), batch)["gradient_penalty"].item()
    assert rough == pytest.approx(slope**2, rel=0.08)


def test_chance_confuses_half_and_a_good_critic_confuses_none():
    class Knows(torch.nn.Module):
        def __init__(self, knows: bool) -> None:
            super().__init__()
            self.knows = knows

        def open_scores(self, rotations: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
            far = (rotations - torch.eye(3)).flatten(1).norm(dim=1, keepdim=True)
            return -far if self.knows else torch.zeros_like(far)

        def plausibility(self, scores: torch.Tensor) -> torch.Tensor:
            return scores[:, 0]

        def target_of_noise(self, is_changed: torch.Tensor) -> None:
            return None

    real = PosesAndShapes(torch.eye(3).repeat(30, 24, 1, 1), torch.zeros(30, 10))
    assert gan_losses.confusion_percent(Knows(True), real, NoiseConfig(), 0) == 0
    assert gan_losses.confusion_percent(Knows(False), real, NoiseConfig(), 0) == 50
