"""Stage 3.  Learn a prior over bodies from poses and shapes alone, for stage 4.

    python sample/train_GAN.py
    python sample/train_GAN.py --data.amass /data/amass --name amass

Reads   poses of the embedded motion generator, or of SURREAL, AMASS, CMU (each file once: data/poses)
Writes  runs/gan/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, pictures}
Next    sample/test_GAN.py; sample/train_SMPL_from_enc.py --prior runs/gan/<name>/checkpoint_best.pt
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from config import GanConfig, Optim
from dataset_def.smpl_params_data import ParameterData, ParameterSample, describe_poses, is_smpl, open_tables
from models import gan_losses
from models.body_surface import tree_of
from models.GAN import AnyDiscriminator, Generator, PosesAndShapes, make_discriminator, prior_provenance
from models.kinematics import with_root
from models.losses import weighted_sum
from models.smpl import Body, load_body, rotations_from_theta
from utils.batches import in_order, to_device
from utils.body_file import NUM_BETAS
from utils.engine import OPPONENTS_BETAS, Run, make_optimizer, make_schedule
from utils.figures.training import prior_picture
from utils.settings import next_command, start, to_plain
from utils.tiers import Reads

VALIDATION_POSES = 2000
"""Held-out poses per validation."""


def bodies_of(sample: ParameterSample) -> PosesAndShapes:
    """Turn a batch of parameters into rotations and shapes."""
    return PosesAndShapes(rotations_from_theta(sample.theta), sample.betas)


def some_bodies(data: ParameterData, run: Run, most: int) -> PosesAndShapes:
    """Read bodies spread evenly over the data."""
    every = max(1, len(data) // most)
    parts = [bodies_of(to_device(sample, run.device)) for sample in in_order(data, 512, every=every)]
    return PosesAndShapes(*(torch.cat(values) for values in zip(*parts, strict=True)))


def generator_optim(config: GanConfig) -> Optim:
    """Give the generator's settings: its own step size, and fewer steps."""
    steps = max(1, config.optim.steps // config.generator_every)
    return replace(config.optim, steps=steps, lr=config.generator_lr)


def make_optimizer_of(network: nn.Module, optim: Optim) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Make Adam with little momentum, and its schedule."""
    optimizer = make_optimizer(network.parameters(), optim, OPPONENTS_BETAS)
    return optimizer, make_schedule(optimizer, optim)


def make_networks(config: GanConfig, train: ParameterData, run: Run) -> tuple[AnyDiscriminator, Generator, Tensor]:
    """Build both networks and standardise the discriminator's inputs; give the body's resting joints, too."""
    location = config.paths.models_smpl_location
    body = load_body(location)
    tree, num_betas = tree_of(body), min(NUM_BETAS, body.num_betas)
    discriminator = make_discriminator(
        config.network, num_betas, body.rest_template_joints_m, prior_provenance(location, num_betas, tree.names), tree
    ).to(run.device)
    rest_joints_m = body.rest_template_joints_m.to(run.device)
    known = some_bodies(train, run, 4 * VALIDATION_POSES)
    discriminator.fit_standardisation(
        gan_losses.real_bodies(known, rest_joints_m, discriminator, config.noise, run.common_generator(0))
    )
    return discriminator, Generator(config.network, num_betas, len(tree.names)).to(run.device), rest_joints_m


@torch.no_grad()
def drawn_examples(generate: Generator, real: PosesAndShapes, body: Body, run: Run) -> np.ndarray:
    """Draw bodies of the generator, of the same noise at every validation, beside as many real ones."""
    count = min(run.loop.pictures, len(real.betas))
    noise = generate.random_numbers(count, run.common_generator(0))
    generate.eval()
    shown = (generate(noise), PosesAndShapes(*(part[:: len(part) // count][:count] for part in real)))
    generate.train()
    posed = [body(with_root(some.rotations[:, 1:]).cpu(), some.betas.cpu(), torch.zeros(count, 3)) for some in shown]
    generated_m, real_m = ((one.vertices_m - one.joints_m[:, :1]).numpy() for one in posed)
    return prior_picture(generated_m, real_m, body.faces.numpy())


def main(config: GanConfig) -> float:
    """Train discriminator and generator; return the best held-out confusion in percent."""
    location = config.paths.models_smpl_location
    tables, with_shapes = open_tables(config.data, location), is_smpl(location)
    train, held_out = (ParameterData(tables, part, config.data, with_shapes) for part in ("train", "held_out"))
    print(describe_poses(tables, with_shapes))
    run = Run("gan", config, Reads(poses=frozenset(table.source for table in tables)))
    discriminator, generate, rest_joints_m = make_networks(config, train, run)
    body = load_body(config.paths.models_smpl_location)
    looked_at = some_bodies(held_out, run, VALIDATION_POSES)
    optimizer, schedule = make_optimizer_of(discriminator, config.optim)
    optimizer_2, schedule_2 = make_optimizer_of(generate, generator_optim(config))
    run.track(
        model=discriminator,
        generator=generate,
        optimizer=optimizer,
        schedule=schedule,
        generator_optimizer=optimizer_2,
        generator_schedule=schedule_2,
    )
    judge, make = run.parallel(discriminator), run.parallel(generate)

    for step, sample in run.steps(run.loader(train, config.batch, is_dealt=True), last=config.optim.steps):
        noise = run.generator(step)
        real = gan_losses.real_bodies(bodies_of(sample), rest_joints_m, discriminator, config.noise, noise)
        terms = gan_losses.discriminator_terms(
            judge, discriminator, gan_losses.discriminator_batch(real, generate, discriminator, config.noise, noise)
        )
        total = weighted_sum(terms, to_plain(config.loss))
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms)
        if step % config.generator_every == 0:
            discriminator.requires_grad_(False)
            fooled = gan_losses.generator_loss(discriminator, make(generate.random_numbers(len(real.betas), noise)))
            optimizer_2.zero_grad(set_to_none=True)
            fooled.backward()
            optimizer_2.step()
            schedule_2.step()
            discriminator.requires_grad_(True)
            run.log(generator=fooled)
        if run.is_due("validate"):
            confusion = gan_losses.confusion_percent(discriminator, looked_at, config.noise, config.loop.seed)
            run.log(held_out_confusion_percent=confusion)
            if run.draws:
                run.picture(drawn_examples(generate, looked_at, body, run))
            run.save_best(confusion)
    run.tell(next_command("sample/test_GAN.py", config.paths, checkpoint=run.best_checkpoint))
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, GanConfig)
