"""Stage 4.  Learn to read a body, its pose and its shape, off the frozen latent: joints of few, masks of many people.

    python sample/train_SMPL_from_enc.py --encoder runs/enc_dec/demo/checkpoint_best.pt
        --prior runs/gan/demo/checkpoint_best.pt

Reads   checkpoints of stage 1 (sample/train_enc_dec.py) and of the prior (sample/train_GAN.py), the index, the crops
Writes  runs/mesh/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, pictures};
        encoder and head in one file
Next    sample/test_SMPL.py
"""

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from config import ImageAugmentation, MeshConfig
from dataset_def.h36m_crops import CropSettings, crops_of
from dataset_def.h36m_index import FrameChoice, index_path
from dataset_def.h36m_pose_data import PoseData
from dataset_def.h36m_SMPL_data import LabelledAndSeen, MeshData, side_by_side
from models.encoder_decoder import StoredEncoder, load_encoder
from models.GAN import load_prior_for, prior_reads
from models.losses import weighted_sum
from models.mesh_losses import GroupFactors, MaskSettings, MeshObjective, annealed, full_weights
from models.smpl import load_body
from models.SMPL_from_latent import MeshFromImage, MeshFromLatent, check_finite, mesh_provenance, rooted_body
from utils.artifacts import load_pseudo_labels
from utils.batches import in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import bodies_picture
from utils.image import jitter_colours, to_pictures
from utils.settings import next_command, start, subjects_to_test, which_weights


def make_data(config: MeshConfig, stage_1: StoredEncoder) -> tuple[PoseData, MeshData, MeshData]:
    """Open the images of the labelled, of those whose masks are used, and the held-out sequences of both."""
    who, paths, crop = config.subjects, config.paths, stage_1.config.crop
    crops = crops_of(crop, config.augment, config.loop.seed, is_training=True)
    where = config.pseudo_labels
    pseudo = None if where is None else load_pseudo_labels(where, index_path(paths), who.test)
    labelled = PoseData(paths, FrameChoice(who.labelled, "train", who.held_out), crops, pseudo)
    masked = FrameChoice(config.silhouettes_of, "train", who.held_out)
    seen = MeshData(paths, masked, crops, config.mask_px, who.labelled)
    everyone = tuple(sorted({*config.silhouettes_of, *who.labelled}))
    kept_back = FrameChoice(everyone, "held_out", who.held_out, every=config.validate_frames)
    held_out = MeshData(paths, kept_back, CropSettings(crop), config.mask_px, who.labelled)
    return labelled, seen, held_out


def make_objective(config: MeshConfig, stage_1: StoredEncoder) -> MeshObjective:
    """Load the body and the prior that belongs to it, and put the loss terms together."""
    where, crop = config.paths.models_smpl_location, stage_1.config.crop
    body = load_body(where, h36m_regressor=config.paths.h36m_regressor_location, needs_smpl_joints="stage 4")
    prior = None if config.prior_in_loss is None else load_prior_for(config.prior_in_loss, where)
    masks = MaskSettings(config.mask_px, crop.side_m, crop.centre, config.samples, config.backend)
    return MeshObjective(body, prior, config.loss, masks).requires_grad_(False)


def terms_of(
    objective: MeshObjective,
    network: nn.Module,
    batch: LabelledAndSeen,
    augment: ImageAugmentation,
    run: Run,
    bf16: bool,
) -> dict[str, Tensor]:
    """Estimate the bodies of a batch, with changed colours, and measure them."""
    image = jitter_colours(batch.image, augment.colour, augment.permute_channels, run.generator(run.step))
    with run.autocast(bf16):
        estimate = network(image)
    check_finite(estimate, batch.frames)
    seen = batch.seen
    return objective.terms(estimate, batch.joints_root_m, batch.confidence, seen.R_crop_from_world, seen.views)


@torch.no_grad()
def held_out_errors(
    network: nn.Module, data: MeshData, objective: MeshObjective, run: Run, batch: int, bf16: bool
) -> dict[str, float]:
    """Measure joints of the labelled and silhouettes of all, on held-out sequences, images as they are."""
    network.eval()
    parts = []
    for cpu_sample in in_order(data, batch):
        sample = to_device(cpu_sample, run.device)
        with run.autocast(bf16):
            estimate = network(sample.image)
        parts.append(objective.errors(estimate, sample.joints_root_m, sample.is_labelled, sample.R_crop_from_world,
                                      sample.views))  # fmt: skip
    network.train()
    joints_mm, iou_percent = (torch.cat(values).mean().item() for values in zip(*parts, strict=True))
    return {"held_out_mpjpe_17_mm": joints_mm, "held_out_iou_percent": iou_percent}


@torch.no_grad()
def drawn_examples(network: nn.Module, data: MeshData, objective: MeshObjective, side_m: float, run: Run) -> np.ndarray:
    """Draw bodies over held-out images."""
    image = to_device(some_of(data, run.loop.pictures), run.device).image
    network.eval()
    vertices_m = rooted_body(objective.body, network(image)).vertices_root_m
    network.train()
    return bodies_picture(to_pictures(image), vertices_m.cpu().numpy(), objective.body.faces.cpu().numpy(), side_m)


def main(config: MeshConfig) -> float:
    """Train the mesh network; return the best held-out joint error in millimetres."""
    stage_1 = load_encoder(config.encoder)
    labelled, seen, held_out = make_data(config, stage_1)
    objective = make_objective(config, stage_1)
    prior, read = config.prior_in_loss, stage_1.reads | labelled.reads() | seen.reads(config.loss.uses_masks)
    run = Run("mesh", config, read if prior is None else read | prior_reads(prior))
    if prior is not None:
        run.tell(which_weights("prior", prior, config.paths.runs_location / "gan"))
    objective.to(run.device)
    head = MeshFromLatent(stage_1.config.encoder.points, config.head)
    provenance = mesh_provenance(stage_1, config.paths.models_smpl_location, objective.body)
    network = MeshFromImage(stage_1.network, head, provenance).to(run.device)
    factors = GroupFactors().to(run.device)
    optimizer = make_optimizer(head.parameters(), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, factors=factors, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(network)

    batches = side_by_side(run.loader(labelled, config.batch), run.loader(seen, config.silhouette_batch))
    for step, batch in run.steps(batches, last=config.optim.steps):
        terms = terms_of(objective, predict, batch, config.augment, run, config.optim.bf16)
        if step == 1:
            tqdm.write(factors.check(terms, list(head.parameters()), config.loss))
        weights = annealed(factors.apply_to(full_weights(config.loss)), config.loss, step / config.optim.steps)
        total = weighted_sum(terms, weights)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(head.parameters(), config.optim.gradient_clip or torch.inf)
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms)
        if run.is_due("validate"):
            errors = held_out_errors(network, held_out, objective, run, config.batch, config.optim.bf16)
            run.log(**errors)
            if run.draws:
                run.picture(drawn_examples(network, held_out, objective, stage_1.config.crop.side_m, run))
            run.save_best(errors["held_out_mpjpe_17_mm"])
    run.tell(next_command("sample/test_SMPL.py", config.paths, checkpoint=run.best_checkpoint, prior=prior,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, MeshConfig)
