"""Stage 2.  Learn the pose from the labels of few subjects: off the latent of stage 1, or in the image itself.

    python sample/train_3d_pose_from_enc.py --encoder runs/enc_dec/demo/checkpoint_best.pt
    python sample/train_3d_pose_from_enc.py --encoder none --mode scratch   (without stage 1)

Reads   checkpoint_best.pt (sample/train_enc_dec.py), the index, the crops; embeddings.pkl in mode embeddings
Writes  runs/pose/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt (encoder, head), pictures}
Next    sample/test_pose.py
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from config import Crop, PoseConfig
from dataset_def.augmentation import ChangedCrops, WideCrops, augmented, dealt_anew
from dataset_def.h36m_crops import crops_of
from dataset_def.h36m_index import Part, index_path
from dataset_def.h36m_pose_data import EmbeddedPoseData, EmbeddedSample, PoseData, PoseSample, WidePoseData, frames_of
from models.encoder_decoder import StoredEncoder
from models.losses import weighted_sum
from models.pose_from_latent import build_pose_network, parameter_groups, reads_maps, start_of_pose
from models.pose_from_maps import PoseFromMaps, TrueJoints, weights_by_term
from utils.artifacts import load_pseudo_labels
from utils.batches import in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import poses_picture
from utils.image import jitter_colours, to_pictures
from utils.metrics import n_mpjpe_mm
from utils.settings import next_command, start, subjects_to_test
from utils.skeleton import Skeleton
from utils.tiers import NOTHING


def make_data(config: PoseConfig, stage_1: StoredEncoder, part: Part) -> PoseData | WidePoseData | EmbeddedPoseData:
    """Open the labelled subjects' images, or their stored latents."""
    is_training, paths = part == "train", config.paths
    frames = frames_of(config.subjects, part, config.sequences, config.sequences_seed)
    if config.embeddings is not None:
        return EmbeddedPoseData(paths, config.embeddings, config.encoder, frames)
    where, crop = config.pseudo_labels if frames.part != "all" else None, stage_1.config.crop
    pseudo = None if where is None else load_pseudo_labels(where, index_path(paths), config.subjects.test)
    if is_training and (config.augment.needs_margin or reads_maps(config, stage_1.config)):
        wide = WidePoseData(paths, frames, crop, config.loop.seed, pseudo)
        needs_masks = reads_maps(config, stage_1.config) and config.maps_loss.mask > 0
        wide.open_rooms(config.subjects.train, config.augment.background > 0, needs_masks, config.augment.pictures)
        return wide
    return PoseData(paths, frames, crops_of(crop, config.augment, config.loop.seed, is_training), pseudo)


def changed(
    sample: PoseSample | WideCrops | EmbeddedSample, config: PoseConfig, crop: Crop, run: Run, rows: list[int]
) -> PoseSample | ChangedCrops | EmbeddedSample:
    """Change images at random, as the settings say (rows: joints as a mirror shows them); stored latents stay."""
    augment, generator = config.augment, run.generator(run.step)
    if isinstance(sample, EmbeddedSample):
        return sample
    if isinstance(sample, WideCrops):
        sample = dealt_anew(sample, run.generator(run.step)) if config.in_memory else sample
        return augmented(sample, augment, run.step / config.optim.steps, crop, rows, generator)
    return sample._replace(image=jitter_colours(sample.image, augment.colour, augment.permute_channels, generator))


def losses_of(
    sample: PoseSample | ChangedCrops | EmbeddedSample, config: PoseConfig, head: nn.Module, predict: nn.Module,
    run: Run,
) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """Predict the poses of a batch; give the unweighted loss terms and N-MPJPE."""
    with run.autocast(config.optim.bf16):
        found = predict(sample.points_crop if isinstance(sample, EmbeddedSample) else sample.image)
    if isinstance(head, PoseFromMaps):
        terms, predicted = head.terms(found, TrueJoints(*sample[1:]), config.maps_loss), found.joints_root_m
    else:
        confidence = sample.confidence if config.pseudo_labels is not None else None
        terms, predicted = {config.head.loss: head.loss_of(found, sample.joints_root_m, confidence)}, found
    return terms, n_mpjpe_mm(predicted.detach(), sample.joints_root_m).mean()


@torch.no_grad()
def held_out_error_mm(predict: nn.Module, data: Dataset, run: Run, batch_size: int, bf16: bool) -> float:
    """Measure N-MPJPE on the held-out sequences, or people, images as they are."""
    predict.eval()
    errors = []
    for batch in in_order(data, batch_size):
        sample = to_device(batch, run.device)
        with run.autocast(bf16):
            predicted = predict(sample.points_crop if isinstance(sample, EmbeddedSample) else sample.image)
        errors.append(n_mpjpe_mm(predicted, sample.joints_root_m))
    predict.train()
    return torch.cat(errors).mean().item()


@torch.no_grad()
def drawn_examples(predict: nn.Module, data: Dataset, side_m: float, run: Run, skeleton: Skeleton) -> np.ndarray:
    """Draw held-out poses beside the true ones."""
    sample = to_device(some_of(data, run.loop.pictures), run.device)
    is_image = isinstance(sample, PoseSample)
    predict.eval()
    predicted = predict(sample.image if is_image else sample.points_crop)
    predict.train()
    image = to_pictures(sample.image) if is_image else None
    return poses_picture(image, predicted.float().cpu().numpy(), sample.joints_root_m.cpu().numpy(), side_m, skeleton)


def main(config: PoseConfig) -> float:
    """Train the pose network; return the best held-out N-MPJPE in millimetres."""
    begin = start_of_pose(config)
    stage_1, is_anew = begin.stage_1, config.mode in ("scratch", "random")
    train, held_out = make_data(config, stage_1, "train"), make_data(config, stage_1, "held_out")
    run = Run("pose", config, (NOTHING if is_anew else stage_1.reads) | train.reads())
    images = train.some_images(256) if config.mode == "random" and isinstance(train, PoseData) else None
    network = build_pose_network(config, begin, train.labels_root_m(), images, train.table.skeleton,
                                 is_pretrained=not run.resumes).to(run.device)  # fmt: skip
    factor = config.encoder_lr_factor if config.mode == "finetune" else 1.0  # it starts from stage 1: smaller steps
    optimizer = make_optimizer(parameter_groups(network, config.optim.lr * factor), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, optimizer=optimizer, schedule=schedule)
    trained = network.head if config.mode == "embeddings" else network
    weights = {config.head.loss: 1.0, **weights_by_term(config.maps_loss)}
    predict = run.parallel(network.for_training() if isinstance(network.head, PoseFromMaps) else trained)
    has_ended = config.patience > 0 and run.evals_since_best >= config.patience  # when resumed
    last = run.step if has_ended else config.optim.steps

    for _, sample in run.steps(run.loader(train, config.batch, config.in_memory), last):
        crops = changed(sample, config, stage_1.config.crop, run, network.skeleton.counterparts(config.augment.mirror))
        terms, error_mm = losses_of(crops, config, network.head, predict, run)
        optimizer.zero_grad(set_to_none=True)
        weighted_sum(terms, weights).backward()
        if config.optim.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.optim.gradient_clip)
        optimizer.step()
        schedule.step()
        run.log(**terms, train_n_mpjpe_mm=error_mm)
        if run.is_due("validate"):
            held_out_mm = held_out_error_mm(trained, held_out, run, config.batch, config.optim.bf16)
            run.log(held_out_n_mpjpe_mm=held_out_mm)
            if run.draws:
                run.picture(drawn_examples(trained, held_out, stage_1.config.crop.side_m, run, network.skeleton))
            run.save_best(held_out_mm)
            if config.patience and run.evals_since_best >= config.patience:
                run.stop()
    run.tell(next_command("sample/test_pose.py", config.paths, checkpoint=run.best_checkpoint,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, PoseConfig)
