"""The losses of stage 3, for discriminator and generator."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import NoiseConfig
from models.GAN import AnyDiscriminator, Generator, PosesAndShapes, ScoreTarget
from models.pose_noise import jittered, perturbed, plausible_variation
from utils.bootstrap import auc
from utils.whole_batch import Draws, rand, randn

NEARBY_SHARE = 4
"""One real body in so many also stands for the smoothness of the scores."""
NEARBY_RAD = 0.02
"""Turn over which the gradient penalty's finite difference is taken: small against the poses' own variation."""
WIDEST_SHAPE = 4.0
"""Perturbed shapes have up to so many times the standard deviation of real ones."""


class DiscriminatorBatch(NamedTuple):
    """Bodies that the discriminator sees in one step."""

    real: PosesAndShapes
    nearby: PosesAndShapes
    """The first real ones, turned a very little."""
    generated: PosesAndShapes
    perturbed: PosesAndShapes
    target_of_perturbed: ScoreTarget


def joined(*groups: PosesAndShapes) -> PosesAndShapes:
    """Put groups of bodies into one batch."""
    return PosesAndShapes(torch.cat([one.rotations for one in groups]), torch.cat([one.betas for one in groups]))


def real_bodies(
    bodies: PosesAndShapes,
    rest_joints_m: Float[Tensor, "J 3"],
    discriminator: AnyDiscriminator,
    noise: NoiseConfig,
    generator: Draws,
) -> PosesAndShapes:
    """Vary real bodies as recordings of the same pose differ; the thesis' discriminator gets them unchanged."""
    if not discriminator.real_bodies_vary:
        return bodies
    varied = plausible_variation(bodies.rotations, rest_joints_m, noise, generator, discriminator.tree)
    return bodies._replace(rotations=varied)


def discriminator_batch(
    real: PosesAndShapes,
    generate: Generator,
    discriminator: AnyDiscriminator,
    noise: NoiseConfig,
    generator: Draws,
) -> DiscriminatorBatch:
    """Collect real bodies, generated ones, and real ones perturbed by noise."""
    part = real.rotations[: max(1, len(real.rotations) // NEARBY_SHARE)]
    near = torch.cat([part[:, :1], jittered(part[:, 1:], NEARBY_RAD, generator)], dim=1)
    with torch.no_grad():
        generated = generate(generate.random_numbers(len(real.rotations) // 2, generator))
    bad, target = perturbed_bodies(real, discriminator, noise, generator)
    return DiscriminatorBatch(real, PosesAndShapes(near, real.betas[: len(near)]), generated, bad, target)


def perturbed_bodies(
    real: PosesAndShapes, discriminator: AnyDiscriminator, noise: NoiseConfig, generator: Draws
) -> tuple[PosesAndShapes, ScoreTarget]:
    """Perturb joints and shapes of real bodies, and give the scores they should get."""
    pose = perturbed(real.rotations, noise, generator)
    size = 1 + (WIDEST_SHAPE - 1) * rand((len(real.betas), 1), generator)
    betas = size * randn(real.betas.shape, generator)
    return PosesAndShapes(pose.rotations, betas), discriminator.target_of_noise(pose.is_changed)


def squared(scores: Float[Tensor, "B K"], target: ScoreTarget) -> Float[Tensor, ""]:
    """Measure the weighted squared distance of scores from what they should be.

    Source: Mao et al., Least squares GAN, ICCV 2017, equation 2.
    """
    return (target.weight * (scores - target.score).square()).mean()


def discriminator_terms(
    discriminator: nn.Module, plain: AnyDiscriminator, batch: DiscriminatorBatch
) -> dict[str, Float[Tensor, ""]]:
    """Compare the scores of a batch with what they should be, in one call of the discriminator.

    `gradient_penalty` is the squared change of a real body's scores per squared radian of a turn too small
    to be seen, in a random direction.  Source: Mescheder et al., Which training methods for GANs do actually
    converge, ICML 2018, equation 9 (R1), by finite differences: own derivation, test_GAN.py.

    Args:
        discriminator: what is called, `plain` or what Run.parallel made of it.
    """
    sizes = [len(group.betas) for group in batch[:4]]
    real, nearby, generated, bad = discriminator(joined(*batch[:4])).split(sizes)
    return {
        "real": (real - 1).square().mean(),
        "generated": squared(generated, plain.target_of_generated(len(generated), generated)),
        "noise": squared(bad, batch.target_of_perturbed),
        "gradient_penalty": (nearby - real[: len(nearby)]).square().mean() / NEARBY_RAD**2,
    }


def generator_loss(discriminator: AnyDiscriminator, generated: PosesAndShapes) -> Float[Tensor, ""]:
    """Ask for real scores: joints alone, the whole pose and the shape count the same; joints in context do not.

    Source: Mao et al., Least squares GAN, ICCV 2017, equation 2.
    """
    distance = (discriminator(generated) - 1).square().mean(dim=0)
    judged = discriminator.target_of_generated(1, distance).weight[0]
    last_two, others = distance[-2:].sum(), (distance * judged)[:-2]
    return last_two if len(distance) < 3 else last_two + others.sum() / judged[:-2].sum()


@torch.no_grad()
def confusion_percent(discriminator: AnyDiscriminator, real: PosesAndShapes, noise: NoiseConfig, seed: int) -> float:
    """Measure how often, in percent, a perturbed body scores higher than a real one; 50 is chance.

    The noise is the training's and the same at every validation, so this is no test of the corruptions.
    """
    generator = torch.Generator(real.betas.device).manual_seed(seed)
    bad, _ = perturbed_bodies(real, discriminator, noise, generator)
    good, poor = (
        discriminator.plausibility(discriminator.open_scores(one.rotations[:, 1:], one.betas)) for one in (real, bad)
    )
    return 100 * (1 - auc(good.double().cpu().numpy(), poor.double().cpu().numpy()))
