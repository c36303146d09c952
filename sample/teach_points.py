"""Stage 1's loop where masks teach the points (`sample/train_enc_dec.py --preset heatmaps`): no 3D label, no drawing.

Every step: some instants in several calibrated views, each view rolled, moved, resized, mirrored and laid over another
room; points are found in each; all views and masks of an instant say where its points should be; that is the label.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from config import EncDecConfig, ImageAugmentation
from dataset_def.augmentation import ChangedCrops, WideCrops, changed_at_random, cut_changed
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_instants_data import InstantData, InstantViews
from models.encoder_decoder import begin_with, build_encoder_decoder
from models.heading import facing, horizontal_axes, moving_forward
from models.losses import weighted_sum
from models.points_from_masks import MaskViews
from models.taught_points import (
    HeldOut,
    PointsReader,
    ReadInstants,
    SeenInstants,
    closed_form_heading,
    held_out_mm,
    taught_terms,
    weights_of,
    whole_masks,
)
from utils.artifacts import load_checkpoint
from utils.batches import batch_loader, in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import points_picture
from utils.image import to_pictures
from utils.new_cameras import new_cameras, no_changes
from utils.settings import next_command, subjects_to_test

READ_FOR_HEADINGS = 480
"""Instants that the closed form of the heading is found from, a third of them of known heading where there are so many;
some 4,000 images with all views and mirror images, 10 CPU seconds."""


def make_data(config: EncDecConfig, part: Literal["train", "held_out"]) -> InstantData:
    """Open the instants, and say of those that train where people face, as far as that is known."""
    frames = FrameChoice(config.subjects.train, part, config.subjects.held_out)
    data = InstantData(config.paths, frames, config.crop, config.teaching, config.loop.seed)
    if part == "train" and config.teaching.heading == "motion":
        order, centres_m, follows = data.movements()
        forward, is_known = moving_forward(centres_m, follows)
        back = torch.from_numpy(np.argsort(order))
        data.tell_headings(forward[back], is_known[back])
    elif part == "train" and config.teaching.heading == "labels":
        who, sequences = config.subjects.labelled, config.teaching.labelled_sequences
        data.tell_headings(*facing(data.labelled_joints_m(who, sequences), data.table.skeleton))
    if part == "train" and config.teaching.heading != "none" and not data.is_known.any():
        raise ValueError(f"no heading is known by {config.teaching.heading}: nobody walks, or nobody is labelled; "
                         "set --teaching.heading to motion or labels, or to none")  # fmt: skip
    return data


def cut(
    sample: InstantViews, config: EncDecConfig, augment: ImageAugmentation | None = None, done: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[ChangedCrops, SeenInstants]:  # fmt: skip
    """Cut the crops that the network sees, plain or changed at random, and note how.

    Args:
        augment: without it, crops are plain.
        done: share of the training that is over; roll and colours fall with it.
    """
    wide = WideCrops(*(part.flatten(0, 1) for part in sample.wide))
    if augment is None:
        changes = to_device(no_changes(len(wide.image)), wide.image.device)
        crops = cut_changed(wide, changes, torch.zeros_like(changes.is_mirrored), config.crop, [])
    else:
        assert generator is not None
        strength, rooms = 1 + (augment.end - 1) * done, config.teaching.rooms
        augment = replace(augment, roll_rad=augment.roll_rad * min(1.0, done / config.teaching.rolled_from))
        crops, changes = changed_at_random(wide, augment, strength, rooms, config.crop, [], generator)
    cameras = new_cameras(wide.distance_m, changes, config.crop.side_m)
    mask, side_m = whole_masks(sample.wide.mask, sample.wide.side_m, config.teaching.mask_px)
    views = MaskViews(mask, sample.R_wide_from_world, sample.wide.distance_m, side_m)
    return crops, SeenInstants(cameras, changes.size, views, sample.forward_world, sample.is_known)


@torch.no_grad()
def read_for_headings(
    reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run
) -> Iterator[ReadInstants]:
    """Read features of instants spread over the data, from every view and its mirror image."""
    chosen, groups = data.spread(READ_FOR_HEADINGS), config.groups
    items = [[(run.step, index) for index in chosen[i : i + groups]] for i in range(0, len(chosen), groups)]
    generator, done = run.generator(run.step), run.step / config.optim.steps
    for cpu_sample in batch_loader(data, items, workers=0):
        sample = to_device(cpu_sample, run.device)
        count = sample.wide.image.shape[:2]
        features, axes = [], []
        for mirror in (0.0, 1.0):
            crops, seen = cut(sample, config, replace(config.augment, mirror=mirror), done, generator)
            with run.autocast(config.optim.bf16):
                features.append(reader(crops.image).features.unflatten(0, count))
            is_mirrored = torch.full(count, mirror, device=run.device)
            axes.append(horizontal_axes(seen.views.R_crop_from_world, is_mirrored))
        yield ReadInstants(torch.cat(features, 1), torch.cat(axes, 1), sample.forward_world, sample.is_known)


def find_heading(
    reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run, optimizer: torch.optim.Optimizer
) -> None:
    """Find the heading in closed form; if it is taken, the optimiser forgets what it knew of the weights before."""
    reader.eval()
    found = closed_form_heading(read_for_headings(reader, data, config, run), reader.beside)
    reader.train()
    is_taken = torch.tensor(float(found.is_taken), device=run.device)
    run.take_from_first([is_taken, *(weight.data for weight in reader.beside.heading.parameters())])
    for parameter in reader.beside.heading.parameters() if is_taken else ():
        optimizer.state.pop(parameter, None)
    run.tell(f"step {run.step}: views agree on the heading by {found.agreement:.2f} in closed form, by "
             f"{found.before:.2f} as trained; the {'first' if is_taken else 'second'} goes on")  # fmt: skip


@torch.no_grad()
def held_out_errors(reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run) -> HeldOut:
    """Measure plain crops of held-out sequences, at most 15 batches spread over them."""
    reader.eval()
    every, errors = max(1, len(data) // (15 * config.groups)), []
    for cpu_sample in in_order(data, config.groups, every=every):
        crops, seen = cut(to_device(cpu_sample, run.device), config)
        errors.append(held_out_mm(reader(crops.image), seen, reader, config.teaching.sharpness))
    reader.train()
    return HeldOut(*(sum(values) / len(values) for values in zip(*errors, strict=True)))


@torch.no_grad()
def drawn_examples(reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run) -> np.ndarray:
    """Draw the points of held-out people, over each view that they were found in."""
    reader.eval()
    sample = to_device(some_of(data, run.loop.pictures), run.device)
    crops, _ = cut(sample, config)
    with torch.no_grad():
        points_m = reader.points(crops.image)
    reader.train()
    count = sample.wide.image.shape[:2]
    images = to_pictures(crops.image).reshape(*count, config.crop.size_px, config.crop.size_px, 3)
    return points_picture(images, points_m.unflatten(0, count).cpu().numpy(), config.crop.side_m)


def main(config: EncDecConfig) -> float:
    """Train, and return the best held-out error in millimetres."""
    data, held_out = make_data(config, "train"), make_data(config, "held_out")
    begun = begin_with(config.start_from, config) if config.start_from else None
    run = Run("enc_dec", config, data.reads() if begun is None else data.reads() | begun.reads)
    model = build_encoder_decoder(config) if begun is None else begun.network
    reader = PointsReader(model.to(run.device, memory_format=torch.channels_last)).to(run.device)
    if config.start_from:
        reader.beside.go_on_from(load_checkpoint(config.start_from, "enc_dec")["states"])
    optimizer = make_optimizer(reader.parameter_groups(), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=model, beside=reader.beside, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(reader)
    last, weights = config.optim.steps, weights_of(config.teaching)
    finds_heading_at = {round(share * last) for share in config.teaching.heading_at if data.is_known.any()}

    for step, sample in run.steps(run.loader(data, config.groups), last=last):
        crops, seen = cut(sample, config, config.augment, step / last, run.generator(step))
        with run.autocast(config.optim.bf16):
            maps = predict(crops.image)
        terms = taught_terms(maps, seen, crops.mask, reader, config.teaching, step / last)
        total = weighted_sum(terms, weights)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if config.optim.gradient_clip:
            nn.utils.clip_grad_norm_(reader.parameters(), config.optim.gradient_clip)
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms, headings_agree=reader.beside.agreement, known_cosine=reader.beside.known_cosine)
        if step in finds_heading_at:
            find_heading(reader, data, config, run, optimizer)
        if run.is_due("validate"):
            errors = held_out_errors(reader, held_out, config, run)
            run.log(held_out_to_target_mm=errors.to_target_mm, held_out_uncovered_mm=errors.uncovered_mm)
            if run.draws:
                run.picture(drawn_examples(reader, held_out, config, run))
            run.save_best(errors.to_target_mm + errors.uncovered_mm)
    run.tell(next_command("sample/tools/probe_points.py", config.paths, checkpoint=run.best_checkpoint,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best
