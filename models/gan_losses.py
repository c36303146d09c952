"""The terms of stage 3: what critics and generator want."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import GanConfig, NoiseConfig
from models.GAN import AnyCritic, Bodies, Generator, Wanted
from models.pose_noise import jittered, plausible_variation, spoiled
from utils.bootstrap import auc

NEARBY_SHARE = 4
"""One real body in so many also stands for the smoothness of the scores."""
NEARBY_RAD = 0.02
WIDEST_SHAPE = 4.0
"""Spoiled shapes are up to so many times as unusual as real ones."""


class CriticBatch(NamedTuple):
    """Bodies that the critics see in one step."""

    real: Bodies
    nearby: Bodies
    """The first real ones, turned a very little."""
    invented: Bodies
    spoiled: Bodies
    wanted_of_spoiled: Wanted


def joined(*groups: Bodies) -> Bodies:
    """Put groups of bodies into one batch."""
    return Bodies(torch.cat([one.rotations for one in groups]), torch.cat([one.betas for one in groups]))


def real_bodies(
    bodies: Bodies, rest_joints_m: Float[Tensor, "24 3"], config: GanConfig, generator: torch.Generator
) -> Bodies:
    """Vary real bodies as recordings of the same pose differ; not for the predecessor's critic."""
    if config.network.kind == "seed":
        return bodies
    return bodies._replace(rotations=plausible_variation(bodies.rotations, rest_joints_m, config.noise, generator))


def critic_batch(
    real: Bodies, invent: Generator, critic: AnyCritic, config: GanConfig, generator: torch.Generator
) -> CriticBatch:
    """Collect real bodies, the generator's, and real ones spoiled by noise."""
    part = real.rotations[: max(1, len(real.rotations) // NEARBY_SHARE)]
    near = torch.cat([part[:, :1], jittered(part[:, 1:], NEARBY_RAD, generator)], dim=1)
    with torch.no_grad():
        invented = invent(random_numbers(config, len(real.rotations) // 2, generator))
    bad, wanted = spoiled_bodies(real, critic, config.noise, generator)
    return CriticBatch(real, Bodies(near, real.betas[: len(near)]), invented, bad, wanted)


def spoiled_bodies(
    real: Bodies, critic: AnyCritic, noise: NoiseConfig, generator: torch.Generator
) -> tuple[Bodies, Wanted]:
    """Spoil joints and shapes of real bodies, and say what critics should make of them."""
    pose = spoiled(real.rotations, noise, generator)
    size = 1 + (WIDEST_SHAPE - 1) * torch.rand(len(real.betas), 1, generator=generator, device=real.betas.device)
    betas = size * torch.randn(real.betas.shape, generator=generator, device=real.betas.device)
    return Bodies(pose.rotations, betas), critic.wanted_of_noise(pose.is_changed)


def random_numbers(config: GanConfig, count: int, generator: torch.Generator) -> Float[Tensor, "B Z"]:
    """Draw what the generator invents bodies from."""
    return torch.randn(count, config.network.latent, generator=generator, device=generator.device)


def squared(scores: Float[Tensor, "B K"], wanted: Wanted) -> Float[Tensor, ""]:
    """Measure the weighted squared distance of scores from what they should be.

    Source: Mao et al., Least squares GAN, ICCV 2017, equation 2.
    """
    return (wanted.weight * (scores - wanted.target).square()).mean()


def critic_terms(critic: nn.Module, plain: AnyCritic, batch: CriticBatch) -> dict[str, Float[Tensor, ""]]:
    """Compare the scores of a batch with what they should be, in one call of the critic.

    `rough` is the gradient penalty: the squared change of a real body's scores per squared radian of a turn too small
    to be seen, in a random direction.  Source: Mescheder et al., Which training methods for GANs do actually
    converge, ICML 2018, equation 9 (R1), by finite differences: own derivation, test_GAN.py.

    Args:
        critic: what is called, `plain` or what Run.parallel made of it.
    """
    sizes = [len(group.betas) for group in batch[:4]]
    real, nearby, invented, bad = critic(joined(*batch[:4])).split(sizes)
    return {
        "real": (real - 1).square().mean(),
        "invented": squared(invented, plain.wanted_of_invented(len(invented), invented)),
        "noise": squared(bad, batch.wanted_of_spoiled),
        "rough": (nearby - real[: len(nearby)]).square().mean() / NEARBY_RAD**2,
    }


def generator_loss(critic: AnyCritic, invented: Bodies) -> Float[Tensor, ""]:
    """Ask for real scores: joints alone, the whole pose and the shape count the same; joints in context do not.

    Source: Mao et al., Least squares GAN, ICCV 2017, equation 2.
    """
    distance = (critic(invented) - 1).square().mean(dim=0)
    judged = critic.wanted_of_invented(1, distance).weight[0]
    last_two, others = distance[-2:].sum(), (distance * judged)[:-2]
    return last_two if len(distance) < 3 else last_two + others.sum() / judged[:-2].sum()


@torch.no_grad()
def confusion_percent(critic: AnyCritic, real: Bodies, noise: NoiseConfig, seed: int) -> float:
    """Measure how often, in percent, a spoiled body looks more real than a real one; 50 is chance.

    The noise is the training's and the same at every look, so this is no test of the corruptions.
    """
    generator = torch.Generator(real.betas.device).manual_seed(seed)
    bad, _ = spoiled_bodies(real, critic, noise, generator)
    good, poor = (critic.plausibility(critic.open_scores(one.rotations[:, 1:], one.betas)) for one in (real, bad))
    return 100 * (1 - auc(good.double().cpu().numpy(), poor.double().cpu().numpy()))
