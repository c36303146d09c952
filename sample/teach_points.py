"""Stage 1's loop where masks teach the points (`sample/train_enc_dec.py`, preset demo): no 3D label, no drawing.

Every step: some instants in several calibrated views, each view rolled, moved, resized, mirrored and laid over another
room; points are found in each; all views and masks of an instant say where its points should be; that is the label.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from config import EncDecConfig, ImageAugmentation
from dataset_def.augmentation import ChangedCrops, WideCrops, changed_at_random, cut_changed, dealt_anew
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_instants_data import InstantData, InstantViews
from models.encoder_decoder import begin_with, build_encoder_decoder
from models.heading import facing, horizontal_axes, moving_forward
from models.losses import weighted_sum
from models.points_from_masks import MaskViews
from models.ropes_in_masks import RopePoints, Sighted, find_limbs, followed_by, instants_looked_at, rope_places
from models.taught_points import (
    HeldOut,
    PointsReader,
    ReadInstants,
    SeenInstants,
    closed_form_heading,
    consensus,
    held_out_mm,
    taught_terms,
    weights_of,
    whole_masks,
)
from utils.artifacts import StoredRopes, load_checkpoint, load_ropes, save_ropes
from utils.batches import batch_loader, in_order, some_of, to_device
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.training import points_picture
from utils.image import to_pictures
from utils.new_cameras import new_cameras, no_changes
from utils.settings import next_command, subjects_to_test
from utils.whole_batch import Draws

READ_FOR_HEADINGS = 480
"""Items that the closed form of the heading is found from, a third of them of known heading where there are so many (of
the others some show a known one in their place, as in training: with the demo's data half are known in all);
some 4,000 images with all views and mirror images, 10 CPU seconds."""

IN_MASK = 102
"""Of 255: pixels of a wide crop from which on they belong to the person, where limbs are searched."""


def make_data(config: EncDecConfig, part: Literal["train", "held_out"]) -> InstantData:
    """Open the instants, and say of those that train where people face, as far as that is known."""
    frames = FrameChoice(config.subjects.train, part, config.subjects.held_out)
    data = InstantData(config.paths, frames, config.crop, config.teaching, config.loop.seed)
    if part == "train" and config.teaching.heading == "motion":
        order, centres_m, follows = data.movements()
        forward, is_known = moving_forward(centres_m, follows, config.teaching.walks_from_m)
        back = torch.from_numpy(np.argsort(order))
        data.tell_headings(forward[back], is_known[back])
    elif part == "train" and config.teaching.heading == "labels":
        who, sequences = config.subjects.labelled, config.teaching.labelled_sequences
        data.tell_headings(*facing(data.labelled_joints_m(who, sequences), data.table.skeleton))
    if part == "train" and config.teaching.heading != "none" and not data.is_known.any():
        raise ValueError(f"no heading is known by {config.teaching.heading}: nobody walks, or nobody is labelled; "
                         "lower --teaching.walks-from-m, or set --teaching.heading to labels or none")  # fmt: skip
    return data


def cut(
    sample: InstantViews, config: EncDecConfig, augment: ImageAugmentation | None = None, done: float = 0.0,
    generator: Draws | None = None, ropes: RopePoints | None = None,
) -> tuple[ChangedCrops, SeenInstants]:  # fmt: skip
    """Cut the crops that the network sees, plain or changed at random, and note how.

    Args:
        augment: without it, crops are plain.
        done: share of the training that is over; roll and colours fall with it.
        ropes: of all instants, where limbs teach some of the points.
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
    if ropes is not None:
        ropes = ropes.of(sample.instant)
    return crops, SeenInstants(cameras, changes.size, views, sample.forward_world, sample.is_known, ropes)


@torch.no_grad()
def read_for_headings(
    reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run
) -> Iterator[ReadInstants]:
    """Read features of instants spread over the data, from every view and its mirror image."""
    chosen, groups = data.spread(READ_FOR_HEADINGS), config.groups
    items = [[(run.step, index) for index in chosen[i : i + groups]] for i in range(0, len(chosen), groups)]
    generator, done = run.common_generator(run.step), run.step / config.optim.steps
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
def sighted_instants(
    reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run, every: int = 1
) -> Sighted:
    """Find the points of all (or every n-th of the) instants, and keep their masks, 50 KB an instant.

    Instants follow each other as those of the data do.
    """
    reader.eval()
    points_m, parts = [], []
    for cpu_sample in tqdm(in_order(data.each_once(), config.groups, every=every), desc="points", disable=None):
        sample = to_device(cpu_sample, run.device)
        crops, seen = cut(sample, config)
        with run.autocast(config.optim.bf16):
            maps = reader(crops.image)
        points_m.append(consensus(maps, seen, reader, config.teaching.sharpness).belief.mean_m)
        parts.append((sample.wide.mask > IN_MASK, sample.R_wide_from_world, sample.wide.distance_m))
    reader.train()
    views = MaskViews(*(torch.cat(values) for values in zip(*parts, strict=True)), side_m=seen.views.side_m)
    return Sighted(torch.cat(points_m), views, torch.zeros(sum(map(len, points_m)) - 1))


def find_ropes(reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run) -> RopePoints:
    """Find limbs in the masks of all instants, or take those of a file, and say which points they teach."""
    settings = config.teaching.ropes
    if settings.file is None:
        stored = search_ropes(reader, data, config, run)
    else:
        stored = load_ropes(settings.file, data.frames())
        some = sighted_instants(reader, data, config, run, every=max(1, len(data) // READ_FOR_HEADINGS))
        places_m = torch.from_numpy(stored.places_m[:: max(1, len(data) // READ_FOR_HEADINGS)]).to(run.device)
        points = followed_by(places_m, tuple(stored.anchors.tolist()), some.points_m)
        stored = stored._replace(step=run.step, points=points.cpu().numpy())
    ropes = on_device(stored, run)
    run.take_from_first(ropes)
    if run.is_main:
        save_ropes(run.folder / "ropes.npz", stored)
    sure = ropes.confidence.mean(0).unflatten(0, (2, len(stored.anchors), -1)).mean((0, 2)).tolist()
    run.tell(f"step {run.step}: " + "; ".join(
        f"limbs of {', '.join(f'{length:.3f}' for length in lengths_m)} m hang from pair {anchor}, sure by {share:.2f}"
        for lengths_m, anchor, share in zip(stored.lengths_m, stored.anchors, sure, strict=True)))  # fmt: skip
    return ropes


@torch.no_grad()
def search_ropes(reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run) -> StoredRopes:
    """Learn the kinds of limbs and find them, frame after frame."""
    settings, (order, _, follows) = config.teaching.ropes, data.movements()
    in_time = torch.from_numpy(order).to(run.device)
    sighted = sighted_instants(reader, data, config, run).some(in_time)._replace(follows=follows)
    generator = torch.Generator().manual_seed(config.loop.seed)
    with tqdm(total=instants_looked_at(sighted, settings), desc="limbs", disable=None) as bar:
        limbs = find_limbs(sighted, settings, generator, bar.update)
    places_m, confidence = rope_places(limbs, sighted.points_m, settings.beyond)
    anchors = tuple(kind.anchor for kind, _ in limbs)
    points, back = followed_by(places_m, anchors, sighted.points_m), np.argsort(order)
    return StoredRopes(
        run.step, data.frames(), points.cpu().numpy(), places_m.cpu().numpy()[back], confidence.cpu().numpy()[back],
        np.array(anchors), np.array([kind.lengths_m for kind, _ in limbs], np.float32),
    )  # fmt: skip


def on_device(stored: StoredRopes, run: Run) -> RopePoints:
    """Take of stored limbs what the training reads."""
    arrays = (stored.points, stored.places_m, stored.confidence)
    return RopePoints(*(torch.from_numpy(values).to(run.device) for values in arrays))


def ropes_so_far(data: InstantData, run: Run) -> RopePoints | None:
    """Read the limbs of a run that goes on; None where none were searched yet."""
    path = run.folder / "ropes.npz"
    if run.step == 0 or not path.exists():
        return None
    stored = load_ropes(path, data.frames())
    return on_device(stored, run) if stored.step <= run.step else None


@torch.no_grad()
def held_out_errors(
    reader: PointsReader, data: InstantData, config: EncDecConfig, run: Run, ropes: RopePoints | None = None
) -> HeldOut:
    """Measure plain crops of held-out sequences, at most 15 batches spread over them."""
    reader.eval()
    every, errors = max(1, len(data) // (15 * config.groups)), []
    for cpu_sample in in_order(data, config.groups, every=every):
        crops, seen = cut(to_device(cpu_sample, run.device), config)
        on_ropes = None if ropes is None else ropes.points.tolist()
        errors.append(held_out_mm(reader(crops.image), seen, reader, config.teaching.sharpness, on_ropes))
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
    finds_ropes_at = {round(share * last) for share in config.teaching.ropes.at}
    ropes = ropes_so_far(data, run)

    kept = data.each_once() if config.in_memory else data
    loader = run.loader(kept, config.groups, config.in_memory, shown=data.shown)

    for step, sample in run.steps(loader, last=last):
        if step - 1 in finds_ropes_at:
            ropes = find_ropes(reader, data, config, run)
        if config.in_memory:
            sample = sample._replace(wide=dealt_anew(sample.wide, run.generator(step)))
        crops, seen = cut(sample, config, config.augment, step / last, run.generator(step), ropes)
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
            errors = held_out_errors(reader, held_out, config, run, ropes)
            run.log(held_out_to_target_mm=errors.to_target_mm, held_out_uncovered_mm=errors.uncovered_mm)
            if run.draws:
                run.picture(drawn_examples(reader, held_out, config, run))
            run.save_best(errors.to_target_mm + errors.uncovered_mm)
    run.tell(next_command("sample/test_enc_dec.py", config.paths, checkpoint=run.best_checkpoint,
                          **subjects_to_test(config.subjects)))  # fmt: skip
    assert run.best is not None
    return run.best
