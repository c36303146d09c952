"""Fit bodies to the masks of all cameras and the joints of each frame: a stand-in for the truth where none is known.

    python sample/fit_SMPL.py --name demo --subjects 9 11

Reads   the index, the masks (from the frames' folders), joints; the embedded data's truth only to measure the fits
Writes  runs/fit/<name>/truth/*.npz (a second run goes on where the first stopped), metrics.json
Next    sample/test_SMPL.py --paths.truth-location runs/fit/<name>/truth
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import roma
from tqdm import tqdm

from dataset_def.ground_truth_bodies import FITTED, SequenceBodies, bodies_of_frames, save_bodies, sequence_path
from dataset_def.h36m_index import index_path
from dataset_def.h36m_SMPL_data import ObservationReader, SequenceFrames, batches_of, fit_sequences
from models.GAN import load_prior_for
from models.multiview_fit import Fit, FitConfig, FittedBodies, FrameObservations, fit_errors
from models.smpl import load_body
from utils.artifacts import atomic_write, check_settings, file_hash, save_metrics
from utils.batches import to_device
from utils.engine import check_name, choose_device
from utils.report.summaries import save_rows, summarise, summary_table
from utils.settings import start, to_plain, with_todays_names

FREE_WHEN_FITTING_ON = ("device", "subjects", "sequences", "overwrite", "result")
"""Settings that may change when a fit goes on."""


def lock_fit(folder: Path, config: FitConfig) -> None:
    """Note the settings in the folder, and refuse to go on with others."""
    settings = {name: value for name, value in to_plain(config).items() if name not in FREE_WHEN_FITTING_ON}
    path = folder / "config.json"
    if path.is_file() and not config.overwrite:
        begun = with_todays_names(FitConfig, json.loads(path.read_text()))
        check_settings(path, settings, "start another fit with --name", begun)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(settings, indent=1))


def fit_sequence(
    sequence: SequenceFrames, fit: Fit, reader: ObservationReader, config: FitConfig, bar: tqdm
) -> SequenceBodies:
    """Fit all frames of a sequence; the first batch decides the shape."""
    device, betas = fit.standing.device, None
    body_hash = file_hash(config.paths.models_smpl_location)
    theta, translation_m = (np.full((sequence.num_frames, width), np.nan, np.float32) for width in (72, 3))
    for places in batches_of(sequence, config.batch):
        observations = FrameObservations(*to_device(reader.read([sequence.rows[place] for place in places]), device))
        for step in fit.fit(observations, betas):
            found = step
            bar.update()
        rows, betas = sequence.frames[places] - 1, found.betas
        theta[rows] = roma.rotmat_to_rotvec(found.rotations_world).flatten(1).cpu().numpy()
        translation_m[rows] = found.translation_m.cpu().numpy()
    assert betas is not None
    return SequenceBodies(theta, betas.cpu().numpy(), translation_m, FITTED, body_hash)


def measure_fits(
    sequence: SequenceFrames, folder: Path, fit: Fit, reader: ObservationReader, config: FitConfig
) -> dict[str, np.ndarray]:
    """Compare the fits of a sequence with joints, masks and, where it is known, the true mesh."""
    frames = np.array([[*sequence[:3], 0, number] for number in sequence.frames])
    observations, location = reader.read(sequence.rows), config.paths.models_smpl_location
    fitted, true = (bodies_of_frames(place, frames, location) for place in (folder, config.paths.truth_location))
    assert fitted is not None  # it has just been written
    device = fit.standing.device
    bodies = to_device(FittedBodies(*fitted[:3]), device)
    true_bodies = None if true is None else to_device(FittedBodies(*true[:3]), device)
    errors = fit_errors(fit.body, bodies, true_bodies, to_device(FrameObservations(*observations), device))
    return {name: values.cpu().numpy() for name, values in errors.items()}


def measure_all(
    sequences: list[SequenceFrames], folder: Path, fit: Fit, reader: ObservationReader, config: FitConfig
) -> dict[str, Any]:
    """Measure the fits of all sequences, write and print."""
    parts = [
        measure_fits(one, folder / "truth", fit, reader, config) for one in tqdm(sequences, "measure", disable=None)
    ]
    errors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    frames = np.array([[*one[:3], 0, number] for one in sequences for number in one.frames], dtype=np.int32)
    found = summarise(errors, frames, np.ones(len(frames), bool))
    split = f"{', '.join(f'S{subject}' for subject in config.subjects)}; one frame in {config.every}"
    inputs = {"index": index_path(config.paths), "body": config.paths.models_smpl_location}
    save_metrics(folder / "metrics.json", split, frames, inputs, {"overall": found})
    if config.result is not None:
        protocol = (f"bodies fitted to 3D labels of 17 joints and masks of all views; {split}; masks of "
                    f"{config.mask_px} px, {config.joint_steps} + {config.mask_steps} steps; about the pelvis; "
                    "true bodies lack the clothes that masks show")  # fmt: skip
        save_rows(config.result, protocol, {"fit": found})
    print(f"{split}\n{summary_table({'fit': found})}")
    return found


def main(config: FitConfig) -> dict[str, Any]:
    """Fit what is not fitted yet, measure everything, write and print; return the metrics."""
    check_name(config.name)
    device, location = choose_device(config.device), config.paths.models_smpl_location
    prior = load_prior_for(config.prior, location).to(device) if config.prior is not None else None
    body = load_body(location, h36m_regressor=config.paths.h36m_regressor_location).to(device)
    fit, reader = Fit(body, config, prior), ObservationReader(config.paths, config.mask_px, config.side_m)
    sequences = fit_sequences(config.paths, config.subjects, config.every, config.sequences)
    folder = config.paths.runs_location / "fit" / config.name
    lock_fit(folder, config)
    places = {one.name: sequence_path(folder / "truth", *one[:3]) for one in sequences}
    todo = [one for one in sequences if config.overwrite or not places[one.name].is_file()]
    steps = sum(len(batches_of(one, config.batch)) for one in todo) * (config.mask_steps + 1)
    with tqdm(total=steps, desc="fit", disable=None) as bar:
        for one in todo:
            save_bodies(places[one.name], fit_sequence(one, fit, reader, config, bar))
    return measure_all(sequences, folder, fit, reader, config)


if __name__ == "__main__":
    start(main, FitConfig)
