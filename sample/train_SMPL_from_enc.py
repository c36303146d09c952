"""Stage 4.  Learn to read a body, its pose and its shape: off the latent of stage 1, or in the image itself.

    python sample/train_SMPL_from_enc.py --encoder runs/pose/demo/checkpoint_best.pt
        --prior runs/gan/demo/checkpoint_best.pt
    python sample/train_SMPL_from_enc.py --preset views --encoder models/assets/open_weights.pt   (off frozen points)

Reads   checkpoints of stage 1 (sample/train_enc_dec.py) or 2 (sample/train_3d_pose_from_enc.py) and of the prior
        (sample/train_GAN.py), the index, the crops; bodies of sample/fit_SMPL.py; embeddings.pkl in mode embeddings
Writes  runs/mesh/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, pictures};
        encoder and head in one file
Next    sample/test_SMPL.py
"""

import numpy as np
import torch
from torch import Tensor, nn

from config import MeshConfig
from dataset_def.mesh_batches import MeshBatch, MeshSets, batch_of, open_mesh_data, side_by_side
from dataset_def.smpl_params_data import PoseBank, open_bank
from models.GAN import load_prior_for, prior_reads
from models.losses import weighted_sum
from models.mesh_evaluation import chosen_by, held_out_errors
from models.mesh_losses import GroupFactors, MaskSettings, MeshObjective, annealed, full_weights
from models.pose_from_maps import TrueJoints, weights_by_term
from models.smpl import load_body
from models.SMPL_from_joints import JointDrawing, SurfaceSample, learn_from_unpaired_poses
from models.SMPL_from_latent import (
    MeshStart,
    build_mesh_network,
    mesh_parameter_groups,
    reads_joints,
    start_of,
)
from models.SMPL_from_maps import BodyMaps, MeshFromMaps
from utils.batches import in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import bodies_picture
from utils.image import to_pictures
from utils.settings import next_command, start, subjects_to_test, which_weights
from utils.tiers import NOTHING, Reads


def make_objective(config: MeshConfig, begin: MeshStart) -> MeshObjective:
    """Load the body and the prior that belongs to it, and put the loss terms together."""
    where, crop = config.paths.models_smpl_location, begin.stage_1.config.crop
    body = load_body(where, h36m_regressor=config.paths.h36m_regressor_location)
    prior = None if config.prior_in_loss is None else load_prior_for(config.prior_in_loss, where)
    masks = MaskSettings(config.mask_px, crop.side_m, crop.centre, config.samples, config.backend)
    return MeshObjective(body, prior, config.loss, masks).requires_grad_(False)


def what_is_read(config: MeshConfig, begin: MeshStart, data: MeshSets, bank: PoseBank | None) -> Reads:
    """Say whose data the training reads, with what came before it."""
    found = data.reads(config.loss.uses_masks) | (NOTHING if config.mode == "scratch" else begin.stage_1.reads)
    prior = config.prior_in_loss
    return found | (NOTHING if prior is None else prior_reads(prior)) | (NOTHING if bank is None else bank.reads)


def learn_unpaired(
    config: MeshConfig, network: nn.Module, objective: MeshObjective, bank: PoseBank | None, run: Run
) -> None:
    """Teach bodies behind joints before the first picture, where a training begins."""
    if bank is None or run.step or not isinstance(network, MeshFromMaps):
        return
    learner = network.head.from_joints
    drawing = JointDrawing(SurfaceSample(objective.body), learner.joint_parents, bank.rotations, config.unpaired)
    surface_m = learn_from_unpaired_poses(learner, drawing, config.loop.seed)
    run.tell(f"bodies behind joints: {bank.about}; {1000 * surface_m:.0f} mm of the surface")


def terms_of(
    objective: MeshObjective, network: nn.Module, predict: nn.Module, batch: MeshBatch, config: MeshConfig, run: Run
) -> dict[str, Tensor]:
    """Estimate the bodies of a batch, and measure them and the maps that they are read from."""
    with run.autocast(config.optim.bf16):
        found = predict(batch.image)
    if not isinstance(found, BodyMaps):
        return objective.batch_terms(found, batch)
    terms = objective.batch_terms(found.body, batch)
    if isinstance(network, MeshFromMaps) and not network.is_frozen and batch.changed is not None:
        true = TrueJoints(*batch.changed[1:])
        terms |= network.joints.terms(found.joints, true, config.maps_loss)
    return terms


@torch.no_grad()
def drawn_examples(network: nn.Module, data: MeshSets, objective: MeshObjective, side_m: float, run: Run) -> np.ndarray:
    """Draw bodies over held-out images."""
    image = to_device(some_of(data.held_out, run.loop.pictures), run.device).image
    network.eval()
    vertices_m = objective.in_crop_m(network(image))
    network.train()
    return bodies_picture(to_pictures(image), vertices_m.cpu().numpy(), objective.body.faces.cpu().numpy(), side_m)


def main(config: MeshConfig) -> float:
    """Train the mesh network; return the best held-out error: see `chosen_by`."""
    begin = start_of(config)
    has_maps, crop = reads_joints(config, begin), begin.stage_1.config.crop
    data = open_mesh_data(config, crop, has_maps and config.mode != "frozen")
    objective, prior = make_objective(config, begin), config.prior_in_loss
    learns = has_maps and config.unpaired.steps > 0 and begin.head is None
    bank = open_bank(config.unpaired.bank, config.paths.models_smpl_location, "train") if learns else None
    run = Run("mesh", config, what_is_read(config, begin, data, bank))
    if prior is not None:
        run.tell(which_weights("prior", prior, config.paths.runs_location / "gan"))
    network = build_mesh_network(config, begin, objective.body, data.skeleton, is_pretrained=not run.resumes)
    learn_unpaired(config, network, objective, bank, run)
    objective.to(run.device), network.to(run.device)
    factors = GroupFactors().to(run.device)
    optimizer = make_optimizer(mesh_parameter_groups(network, config, begin.joints is not None), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, factors=factors, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(network.for_training() if isinstance(network, MeshFromMaps) else network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    read = side_by_side(run.loader(data.labelled, config.batch, config.in_memory),
                        run.loader(data.seen, config.silhouette_batch))  # fmt: skip
    for step, pair in run.steps(read, last=config.optim.steps):
        batch = batch_of(pair, config, crop, step, run.generator(step), data.skeleton)
        terms = terms_of(objective, network, predict, batch, config, run)
        if step == 1:
            shares = factors.check(terms, list(network.head.parameters()), config.loss)
            run.take_from_first([factors.factors])
            run.tell(shares)
        weights = annealed(factors.apply_to(full_weights(config.loss)), config.loss, step / config.optim.steps)
        total = weighted_sum(terms, weights | weights_by_term(config.maps_loss))
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(trained, config.optim.gradient_clip or torch.inf)
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms)
        if run.is_due("validate"):
            fitted = [] if data.held_out_bodies is None else in_order(data.held_out_bodies, config.batch)
            errors = held_out_errors(network, objective, in_order(data.held_out, config.batch), fitted, run.device,
                                     config.optim.bf16)  # fmt: skip
            run.log(**errors)
            if run.draws and config.mode != "embeddings":
                run.picture(drawn_examples(network, data, objective, crop.side_m, run))
            run.save_best(chosen_by(errors))
    run.tell(next_command("sample/test_SMPL.py", config.paths, checkpoint=run.best_checkpoint, prior=prior,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, MeshConfig)
