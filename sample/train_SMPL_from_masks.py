"""The teacher.  Learn to read bodies from the masks of several views, from silhouettes that are drawn here.

    python sample/train_SMPL_from_masks.py
    python sample/train_SMPL_from_masks.py --cameras any --name any      # for 2 to 8 cameras anywhere

Reads   poses of the embedded motion generator, or of SURREAL, AMASS, CMU, or bodies fitted to labelled people; where
        the data's cameras stand about people, who are found by their masks (by their true pelvis with --centre pelvis)
Writes  runs/masks/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt, figures}
Next    sample/test_SMPL_from_masks.py; sample/fit_SMPL.py --teacher runs/masks/<name>/checkpoint_best.pt
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from config import MasksConfig
from dataset_def.h36m_index import index_path, select_rows
from dataset_def.masks_data import MaskReader, camera_offsets
from dataset_def.smpl_params_data import PoseBank, PosePart, bank_of_fits, open_bank
from models.body_surface import coarse_body, coarse_faces
from models.drawn_masks import (
    HELD_OUT_SEED,
    Drawing,
    DrawnBatches,
    DrawnBodies,
    Rigs,
    draw,
    errors_by_damage,
    held_out_error_mm,
    picture,
)
from models.losses import weighted_sum
from models.smpl import Body, load_body
from models.SMPL_from_masks import (
    BodyDrawer,
    BodyFromMasks,
    EstimatedBodies,
    PointsOfBody,
    masks_terms,
    some_view,
)
from utils.artifacts import atomic_write, file_hash, load_pseudo_labels
from utils.engine import Run, make_optimizer, make_schedule
from utils.figures.masks import damage_figure
from utils.settings import start, to_plain
from utils.tiers import Reads


def poses_of(config: MasksConfig, part: PosePart) -> PoseBank:
    """Open the poses that bodies are drawn in."""
    if config.fits is None:
        return open_bank(config.bank, config.paths.models_smpl_location, part)
    labels = load_pseudo_labels(config.fits, index_path(config.paths), config.subjects.test)
    return bank_of_fits(labels, config.subjects.held_out, part)


def make_drawing(config: MasksConfig, body: Body, bank: PoseBank) -> tuple[Drawing, Reads]:
    """Put together what bodies are drawn from, and say what that reads."""
    rigs, reads = None, bank.reads
    if config.cameras == "data":
        reader = MaskReader(config.paths, config.centre, config.network.size_px, config.side_m)
        reads |= reader.reads_centres(config.subjects.train)
        rows = select_rows(reader.table, config.subjects.train, "train", config.subjects.held_out)
        rigs = Rigs(*camera_offsets(reader, reader.choose(rows, 4)))
    coarse = coarse_body(body, coarse_faces(config.paths.models_smpl_location))
    betas = bank.betas[:, : body.num_betas]
    return Drawing(coarse, bank.rotations, betas, rigs, config.poses, config.damage, config.network.size_px,
                   config.side_m, config.centre, config.shift_m), reads  # fmt: skip


def provenance_of(config: MasksConfig) -> dict[str, Any]:
    """Say what must travel with the weights."""
    return {"body_hash": file_hash(config.paths.models_smpl_location), "network": to_plain(config.network),
            "centre": config.centre, "side_m": config.side_m, "cameras": config.cameras}  # fmt: skip


def bodies_of(drawn: DrawnBodies) -> EstimatedBodies:
    """Give the bodies of a batch in the form in which they are compared."""
    return EstimatedBodies(drawn.rotations_world, drawn.betas, drawn.pelvis_world_m)


def joined(batch: Any) -> Any:
    """Put the parts of a batch, each of which was drawn as one item, into one."""
    return batch.flatten(0, 1) if isinstance(batch, Tensor) else type(batch)(*(joined(part) for part in batch))


def save_damage(by_damage: dict[str, float], folder: Path) -> None:
    """Write how much each kind of damage costs, as a figure and as numbers."""
    figure = damage_figure(by_damage, "generated bodies in poses held out")
    with atomic_write(folder / "figures" / "damage.png") as partial:
        figure.savefig(partial, format="png")
    with atomic_write(folder / "damage.json") as partial:
        partial.write_text(json.dumps({"points_mm": by_damage}, indent=1))


def main(config: MasksConfig) -> float:
    """Train the teacher; return the best held-out error in millimetres."""
    location = config.paths.models_smpl_location
    body = load_body(location, h36m_regressor=config.paths.h36m_regressor_location)
    train, held_out = (poses_of(config, part) for part in ("train", "held_out"))
    drawing, reads = make_drawing(config, body, train)
    print(f"poses: {train.about}; cameras: {config.cameras}; crops about the {config.centre}")
    run = Run("masks", config, reads)
    other = drawing._replace(bank=held_out.rotations, betas=held_out.betas[:, : drawing.betas.shape[1]])
    unseen = draw(other, config.held_out_bodies, torch.Generator().manual_seed(HELD_OUT_SEED))
    network = BodyFromMasks(body.parents, drawing.betas.shape[1], config.network, provenance_of(config)).to(run.device)
    points, drawer = PointsOfBody(body).to(run.device), BodyDrawer(drawing.body)
    optimizer = make_optimizer(network.parameters(), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(network)

    parts = config.parts or run.processes
    batches = run.loader(DrawnBatches(drawing, config.batch // parts, config.loop.seed), parts)
    for step, batch in run.steps(batches, last=config.optim.steps):
        drawn = joined(batch)
        reference = some_view(drawn.views.exists, run.generator(step))
        with run.autocast(config.optim.bf16):
            readings = predict(drawn.views, reference)
        for _ in range(config.network.refinements):
            before = EstimatedBodies(*(value.detach() for value in readings[-1]))
            seen = drawer(before, drawn.views)
            with run.autocast(config.optim.bf16):
                readings += predict(drawn.views, reference, before, seen)
        by_reading = [masks_terms(found, bodies_of(drawn), points, network.parents) for found in readings]
        total = torch.stack([weighted_sum(terms, to_plain(config.loss)) for terms in by_reading]).sum()
        terms = {"first_points": by_reading[0]["points"]} | by_reading[-1]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        schedule.step()
        run.log(total=total, **terms)
        if run.is_due("validate"):
            error_mm = held_out_error_mm(network, unseen, points, drawer)
            run.log(held_out_points_mm=error_mm)
            run.save_best(error_mm)
            if run.draws:
                run.picture(picture(network, unseen, drawer, run.loop.pictures))
    assert run.best is not None
    if run.is_main:
        save_damage(errors_by_damage(network, other, points, config.held_out_bodies), run.folder)
    return run.best


if __name__ == "__main__":
    start(main, MasksConfig)
