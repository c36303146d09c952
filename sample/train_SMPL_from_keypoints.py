"""The lifter.  Learn to read bodies from the 2D keypoints of one view, from poses that belong to nobody's picture.

    python sample/train_SMPL_from_keypoints.py
    python sample/train_SMPL_from_keypoints.py --bank.cmu data/cmu --name cmu

Reads   poses of the embedded motion generator, or of SURREAL, AMASS, CMU; nothing else: cameras are drawn, and so is
        what keypoint detectors do wrong
Writes  runs/lifter/<name>/{config.json, history.jsonl, checkpoint_last.pt, checkpoint_best.pt}
Next    sample/predict.py photo.jpg --lifter runs/lifter/<name>/checkpoint_best.pt
"""

from typing import Any

import torch
from torch import nn

from config import KeypointsConfig
from dataset_def.smpl_params_data import PoseBank, open_bank
from models.drawn_keypoints import HELD_OUT_SEED, DrawnKeypointBatches, KeypointDrawing, draw, held_out_error_mm
from models.losses import weighted_sum
from models.smpl import load_body
from models.SMPL_from_keypoints import BodyFromKeypoints, KeypointsOfBody, keypoints_terms
from sample.train_SMPL_from_masks import joined
from utils.artifacts import file_hash
from utils.engine import Run, make_optimizer, make_schedule
from utils.settings import start, to_plain


def provenance_of(config: KeypointsConfig) -> dict[str, Any]:
    """Say what must travel with the weights."""
    return {"body_hash": file_hash(config.paths.models_smpl_location), "network": to_plain(config.network)}


def main(config: KeypointsConfig) -> float:
    """Train the lifter; return the best held-out error in millimetres."""
    location = config.paths.models_smpl_location
    body = load_body(location)
    train, held_out = (open_bank(config.bank, location, part) for part in ("train", "held_out"))
    print(f"poses: {train.about}")
    run = Run("lifter", config, train.reads)

    def drawing_of(bank: PoseBank) -> KeypointDrawing:
        betas = bank.betas[:, : body.num_betas]
        return KeypointDrawing(KeypointsOfBody(body), bank.rotations, betas, config.poses,
                               config.views, config.noise)  # fmt: skip

    unseen = draw(drawing_of(held_out), config.held_out_bodies, torch.Generator().manual_seed(HELD_OUT_SEED))
    unseen = type(unseen)(*(type(part)(*(value.to(run.device) for value in part)) for part in unseen))
    network = BodyFromKeypoints(body, config.network, provenance_of(config)).to(run.device)
    optimizer = make_optimizer(network.parameters(), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=network, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(network)

    drawing = drawing_of(train)
    parts = config.parts or run.processes
    batches = run.loader(DrawnKeypointBatches(drawing, config.batch // parts, config.loop.seed), parts)
    for _, batch in run.steps(batches, last=config.optim.steps):
        drawn = joined(batch)
        readings = predict(drawn.boxed)
        by_reading = [keypoints_terms(found, drawn.true, drawn.boxed, network.body) for found in readings]
        total = torch.stack([weighted_sum(terms, to_plain(config.loss)) for terms in by_reading]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if config.optim.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.optim.gradient_clip)
        optimizer.step()
        schedule.step()
        run.log(total=total, **({"first_points": by_reading[0]["points"]} | by_reading[-1]))
        if run.is_due("validate"):
            error_mm = held_out_error_mm(network, unseen)
            run.log(held_out_points_mm=error_mm)
            run.save_best(error_mm)
    assert run.best is not None
    return run.best


if __name__ == "__main__":
    start(main, KeypointsConfig)
