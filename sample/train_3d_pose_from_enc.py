"""Stage 2.  Learn to read the pose off the latent of stage 1, from the labels of few subjects.

    python sample/train_3d_pose_from_enc.py --encoder runs/enc_dec/demo/checkpoint_best.pt

Reads   checkpoint_best.pt (sample/train_enc_dec.py), the index, the crops; embeddings.pkl in mode embeddings
Writes  runs/pose/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, pictures};
        encoder and head in one file
Next    sample/test_pose.py
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from config import ImageAugmentation, PoseConfig
from dataset_def.h36m_crops import crops_of
from dataset_def.h36m_index import FrameChoice, Part, index_path
from dataset_def.h36m_pose_data import EmbeddedPoseData, EmbeddedSample, PoseData, PoseSample
from models.encoder_decoder import StoredEncoder, build_encoder_decoder, calibrate_batchnorm, load_encoder
from models.pose_from_latent import PoseFromImage, PoseFromLatent
from utils.artifacts import load_pseudo_labels
from utils.batches import in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import poses_picture
from utils.image import jitter_colours, to_pictures
from utils.metrics import n_mpjpe_mm
from utils.settings import next_command, start, subjects_to_test, to_plain


def make_data(config: PoseConfig, stage_1: StoredEncoder, part: Part) -> PoseData | EmbeddedPoseData:
    """Open the labelled subjects' images, or their stored latents."""
    is_training = part == "train"
    frames = FrameChoice(config.subjects.labelled, part, config.subjects.held_out, config.sequences * is_training)
    if config.embeddings is not None:
        return EmbeddedPoseData(config.paths, config.embeddings, config.encoder, frames)
    pseudo = None
    if config.pseudo_labels is not None:
        pseudo = load_pseudo_labels(config.pseudo_labels, index_path(config.paths), config.subjects.test)
    crops = crops_of(stage_1.config.crop, config.augment, config.loop.seed, is_training)
    return PoseData(config.paths, frames, crops, pseudo)


def make_network(config: PoseConfig, stage_1: StoredEncoder, train: PoseData | EmbeddedPoseData) -> PoseFromImage:
    """Put a pose head behind stage 1's encoder, or behind one that starts anew."""
    encoder = build_encoder_decoder(stage_1.config) if config.mode in ("scratch", "random") else stage_1.network
    if config.mode == "random" and isinstance(train, PoseData):
        some = range(0, len(train), max(1, len(train) // 256))
        calibrate_batchnorm(encoder, torch.stack([train[0, index].image for index in some]))
    head = PoseFromLatent(stage_1.config.encoder.points, config.head)
    head.set_label_statistics(train.labels_root_m())
    is_frozen = config.mode in ("embeddings", "frozen", "random")
    return PoseFromImage(encoder, head, is_frozen, to_plain(stage_1.config), stage_1.step)


def parameter_groups(network: PoseFromImage, encoder_lr: float) -> list[dict[str, object]]:
    """Give the encoder its own step size, where it is trained."""
    encoder = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
    groups: list[dict[str, object]] = [{"params": list(network.head.parameters())}]
    return [*groups, {"params": encoder, "lr": encoder_lr}] if encoder else groups


def network_input(
    sample: PoseSample | EmbeddedSample, augment: ImageAugmentation, generator: torch.Generator
) -> Tensor:
    """Take the stored latent, or the image with its colours changed."""
    if isinstance(sample, EmbeddedSample):
        return sample.points_crop
    return jitter_colours(sample.image, augment.colour, augment.permute_channels, generator)


@torch.no_grad()
def held_out_error_mm(predict: nn.Module, data: Dataset, run: Run, batch_size: int, bf16: bool) -> float:
    """Measure N-MPJPE on the held-out sequences, images as they are."""
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
def drawn_examples(predict: nn.Module, data: Dataset, side_m: float, run: Run) -> np.ndarray:
    """Draw held-out poses beside the true ones."""
    sample = to_device(some_of(data, run.loop.pictures), run.device)
    is_image = isinstance(sample, PoseSample)
    predict.eval()
    predicted = predict(sample.image if is_image else sample.points_crop)
    predict.train()
    image = to_pictures(sample.image) if is_image else None
    return poses_picture(image, predicted.float().cpu().numpy(), sample.joints_root_m.cpu().numpy(), side_m)


def main(config: PoseConfig) -> float:
    """Train the pose network; return the best held-out N-MPJPE in millimetres."""
    stage_1 = load_encoder(config.encoder)
    train, held_out = make_data(config, stage_1, "train"), make_data(config, stage_1, "held_out")
    run = Run("pose", config)
    network = make_network(config, stage_1, train).to(run.device)
    factor = config.encoder_lr_factor if config.mode == "finetune" else 1.0  # it starts from stage 1: smaller steps
    optimizer = make_optimizer(parameter_groups(network, config.optim.lr * factor), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, optimizer=optimizer, schedule=schedule)
    trained = network.head if config.mode == "embeddings" else network
    predict = run.parallel(trained)

    has_ended = config.patience > 0 and run.evals_since_best >= config.patience  # when resumed
    for step, sample in run.steps(run.loader(train, config.batch), run.step if has_ended else config.optim.steps):
        with run.autocast(config.optim.bf16):
            predicted = predict(network_input(sample, config.augment, run.generator(step)))
        confidence = sample.confidence if config.pseudo_labels is not None else None
        loss = network.head.loss_of(predicted, sample.joints_root_m, confidence)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if config.optim.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.optim.gradient_clip)
        optimizer.step()
        schedule.step()
        error_mm = n_mpjpe_mm(predicted.detach(), sample.joints_root_m).mean()
        run.log(**{config.head.loss: loss}, train_n_mpjpe_mm=error_mm)
        if run.is_due("validate"):
            held_out_mm = held_out_error_mm(trained, held_out, run, config.batch, config.optim.bf16)
            run.log(held_out_n_mpjpe_mm=held_out_mm)
            if run.draws:
                run.picture(drawn_examples(trained, held_out, stage_1.config.crop.side_m, run))
            run.save_best(held_out_mm)
            if config.patience and run.evals_since_best >= config.patience:
                run.stop()
    run.tell(next_command("sample/test_pose.py", config.paths, checkpoint=run.best_checkpoint,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, PoseConfig)
