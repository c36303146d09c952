"""Stage 1.  Learn the geometry of a person by drawing one camera's view from another.

The loop below is teaching.by views (preset views).  What scripts begin with is teaching.by masks: points in space that
the masks of calibrated views teach, without a drawing; that loop is in sample/teach_points.py.
Crops are centred on masks.  The only 3D label that can be read is the true pelvis of everybody, as in the paper:
crop.centre pelvis, which presets rhodin and seed have.

    python sample/train_enc_dec.py
    python sample/train_enc_dec.py --preset views
    python sample/train_enc_dec.py --preset novel_views --start-from runs/enc_dec/demo/checkpoint_best.pt
    torchrun --nproc-per-node 2 sample/train_enc_dec.py --preset full

Reads   the index and backgrounds (dataset_def/h36m_preprocess.py, h36m_get_background.py)
Writes  runs/enc_dec/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, pictures}
Next    sample/test_enc_dec.py, sample/save_embeddings.py
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from config import EncDecConfig
from dataset_def.h36m_crops import crops_of
from dataset_def.h36m_encoder_data import VIEWS_PER_INSTANT, EncoderData
from dataset_def.h36m_index import FrameChoice
from models.encoder_decoder import EncoderDecoder, begin_with, build_encoder_decoder
from models.losses import ImageDifference, weighted_sum
from sample import teach_points
from utils.batches import in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import novel_views_picture
from utils.image import jitter_colours, to_pictures
from utils.settings import next_command, start, subjects_to_test
from utils.views import FlatViews


def make_data(config: EncDecConfig, part: Literal["train", "held_out"]) -> EncoderData:
    """Open the images; held-out ones are not rolled, and their target is always another view."""
    is_training = part == "train"
    frames = FrameChoice(config.subjects.train, part, config.subjects.held_out)
    crops = crops_of(config.crop, config.augment, config.loop.seed, is_training)
    pairing = config.pairing if is_training else replace(config.pairing, same_view=0.0)
    return EncoderData(config.paths, frames, crops, pairing)


def predict_views(predict: nn.Module, views: FlatViews, pose_image: Tensor, run: Run, bf16: bool) -> Tensor:
    """Draw every target view: RGB and opacity."""
    with run.autocast(bf16):
        return predict(
            pose_image, views.image, views.R_target_from_source, views.target_background, views.appearance_row
        ).float()


@torch.no_grad()
def held_out_error(
    model: nn.Module, data: EncoderData, compare: ImageDifference, run: Run, groups: int, bf16: bool
) -> float:
    """Average the pixel error over held-out sequences, at most 40 batches spread over them."""
    model.eval()
    every = max(1, len(data) // (40 * groups))
    errors = []
    for sample in in_order(data, groups, every=every):
        views = to_device(sample, run.device).paired()
        predicted = predict_views(model, views, views.image, run, bf16)
        errors.append(compare(predicted, views.target_image, views.target_mask)["pixels"].item())
    model.train()
    return sum(errors) / len(errors)


@torch.no_grad()
def drawn_examples(model: EncoderDecoder, data: EncoderData, side_m: float, run: Run, bf16: bool) -> np.ndarray:
    """Draw held-out views, and the points over the images that they are read from."""
    model.eval()
    views = to_device(some_of(data, run.loop.pictures), run.device).paired()
    with run.autocast(bf16):
        points_crop_m = model.encode_points(views.image)
    predicted = predict_views(model, views, views.image, run, bf16)
    model.train()
    first = slice(None, None, 2 * VIEWS_PER_INSTANT)  # one image of each group
    image, drawn, target = (to_pictures(some[first]) for some in (views.image, predicted, views.target_image))
    return novel_views_picture(image, points_crop_m[first].cpu().numpy(), drawn, target, side_m)


def main(config: EncDecConfig) -> float:
    """Train, and return the best held-out error: of pixels, or millimetres where masks teach."""
    if config.teaching.by == "masks":
        return teach_points.main(config)
    data, held_out = make_data(config, "train"), make_data(config, "held_out")
    begun = begin_with(config.start_from, config) if config.start_from else None
    read = data.reads(config.loss.uses_masks)
    run = Run("enc_dec", config, read if begun is None else read | begun.reads)
    if config.loss.opacity and not data.has_masks:
        raise ValueError(f"{config.paths.masks_location} has no masks; make them, or set --loss.opacity 0")
    model = build_encoder_decoder(config, is_pretrained=not run.resumes) if begun is None else begun.network
    model = model.to(run.device, memory_format=torch.channels_last)
    if config.teaching.by == "nothing":
        model.freeze_geometry()
    compare = ImageDifference(config.loss).to(run.device)
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=model, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(model)
    weights = {"pixels": config.loss.pixels, "features": config.loss.features, "opacity": config.loss.opacity}

    for step, sample in run.steps(run.loader(data, config.groups), last=config.optim.steps):
        views = sample.paired()
        augment = config.augment
        pose_image = jitter_colours(views.image, augment.colour, augment.permute_channels, run.generator(step))
        predicted = predict_views(predict, views, pose_image, run, config.optim.bf16)
        terms = compare(predicted, views.target_image, views.target_mask)
        total = weighted_sum(terms, weights)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if config.optim.gradient_clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.optim.gradient_clip)
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms)
        if run.is_due("validate"):
            error = held_out_error(model, held_out, compare, run, config.groups, config.optim.bf16)
            run.log(held_out_pixels=error)
            if run.draws:
                run.picture(drawn_examples(model, held_out, config.crop.side_m, run, config.optim.bf16))
            run.save_best(error)
    run.tell(next_command("sample/test_enc_dec.py", config.paths, checkpoint=run.best_checkpoint,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, EncDecConfig)
