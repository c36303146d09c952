"""Write trained weights as one small file in half precision: encoder, decoder and pose head; the prior; the mesh head.

    python sample/export_weights.py --checkpoint runs/pose/long/checkpoint_best.pt --stage-1-run runs/enc_dec/long
        --metrics runs/enc_dec/long/metrics.json runs/pose/long/metrics.json

Reads   checkpoint_best.pt of stage 2 (mode frozen), 3 or 4, config.json beside it and of stage 1
Writes  models/assets/open_weights.pt, which every script takes where it takes a checkpoint of stage 1 or 2;
        open_prior.pt; or open_mesh.pt, whose encoder is that of open_weights.pt beside it; each with a .json that tells
        how it was made (commands, commits, settings, steps, metrics), without the folders
"""

import json
import shlex
from pathlib import Path
from typing import Any

import torch

from config import ROOT, ExportConfig, start
from models.pose_from_latent import STAGE_1_STEP
from models.stored import (
    ENCODER_FILE,
    GEOMETRY_HASH,
    UNKNOWN_STEP,
    StoredEncoder,
    encoder_origin,
    geometry_hash,
    hash_of_geometry,
    load_encoder_decoder,
)
from utils.artifacts import Checkpoint, commit, load_checkpoint, load_metrics, must_exist, save_checkpoint, whole_file
from utils.settings import to_plain, without_folders

FILES = {"pose": "open_weights.pt", "gan": "open_prior.pt", "mesh": "open_mesh.pt"}
NUMBERS = {"pose": "stage_2", "gan": "stage_3", "mesh": "stage_4"}


def starts_of(run: Path) -> list[dict[str, Any]]:
    """Say with which commands, at which commits, a run was started and gone on with."""
    must_exist(run / "config.json", "a train script")
    starts = json.loads((run / "config.json").read_text())["starts"]
    root = str(run.resolve().parents[2])  # runs/<stage>/<name> lies in the repository
    for one in starts:
        script, *words = one["command"]
        one["command"] = shlex.join(["python", f"sample/{Path(script).name}", *without_folders(words, root)])
    return starts


def starts_of_checkpoint(path: Path, stage: str) -> list[dict[str, Any]]:
    """Say the same of a checkpoint; one that was exported before has it in the file beside it."""
    exported = path.with_suffix(".json")
    if exported.is_file():
        return json.loads(exported.read_text())[NUMBERS[stage]]["starts"]
    return starts_of(path.parent)


def require_same_encoder(stage_1: StoredEncoder, run: Path) -> int:
    """Refuse a run of stage 1 that made another encoder; return its step."""
    best = load_encoder_decoder(run / "checkpoint_best.pt")
    weights = best.network.state_dict()
    if not all(torch.equal(value, weights[name]) for name, value in stage_1.network.state_dict().items()):
        raise ValueError(f"the encoder is not that of {run}/checkpoint_best.pt; give the --stage-1-run that made it")
    return best.step


def numbers_of(paths: tuple[Path, ...]) -> dict[str, Any]:
    """Read the numbers of test scripts, with what they were measured on; those per action would fill pages."""
    found = {}
    for path in paths:
        stored = load_metrics(path, "the test script of its stage")
        stored["metrics"].pop("per_action", None)
        found[str(Path(*path.resolve().parts[-3:]))] = stored
    return found


def halved(weights: dict[str, Any]) -> dict[str, Any]:
    """Turn numbers into half precision; what is no tensor stays."""
    return {name: w.half() if torch.is_tensor(w) and w.is_floating_point() else w for name, w in weights.items()}


def settled(settings: dict[str, Any], **names: str | None) -> dict[str, Any]:
    """Leave out where files lay: it says nothing to others, and empty paths take the defaults of whoever reads them."""
    return without_folders(settings | {"paths": {}}) | names


def with_looks_of(path: Path, weights: dict[str, Any], stage_1: StoredEncoder) -> dict[str, Any]:
    """Put appearance and decoder of a later run into the weights of stage 2; the geometry must be the same."""
    later = load_encoder_decoder(path)
    if geometry_hash(later.network) != geometry_hash(stage_1.network):
        raise ValueError(f"{path} reads the geometry with other weights than the checkpoint; train it with "
                         "--train looks and --start-from the same encoder")  # fmt: skip
    head = {name: value for name, value in weights.items() if name.startswith("head.")}
    encoder = {f"encoder.{name}": value for name, value in later.network.state_dict().items()}
    return head | encoder | {"_extra_state": to_plain(later.config) | {STAGE_1_STEP: later.step}}


def pose_parts(config: ExportConfig, checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Give weights and settings of stage 2, and what is told about stage 1."""
    stage_1 = load_encoder_decoder(config.checkpoint)  # refuses a checkpoint whose encoder moved
    weights, run = checkpoint["states"]["model"], config.stage_1_run
    if config.looks_of is not None:
        weights = with_looks_of(config.looks_of, weights, stage_1)
        stage_1 = load_encoder_decoder(config.looks_of)
    step = stage_1.step if run is None else require_same_encoder(stage_1, run)
    weights = halved(weights)
    origin = settled(encoder_origin(weights)[0])
    weights["_extra_state"] = origin | ({} if step == UNKNOWN_STEP else {STAGE_1_STEP: step})
    plain = checkpoint["config"]
    settings = settled(plain, encoder="stage_1.pt", embeddings=plain["embeddings"] and "embeddings.pkl")
    return weights, settings, {"steps": step, "starts": starts_of(run) if run else None, "settings": origin}


def mesh_parts(config: ExportConfig, checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Give the weights of stage 4's head alone, its settings, and the file with its encoder."""
    stage_1, weights = load_encoder_decoder(config.encoder), checkpoint["states"]["model"]
    trained = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    found = geometry_hash(stage_1.network)
    if hash_of_geometry(trained) != found:
        raise ValueError(f"{config.checkpoint} was trained behind another encoder than {config.encoder}; train it with "
                         f"--encoder {config.encoder}")  # fmt: skip
    head = halved({name: w for name, w in weights.items() if name.startswith("head.")})
    origin = {name: weights["_extra_state"][name] for name in ("body_hash", "num_vertices")}
    head["_extra_state"] = origin | {ENCODER_FILE: config.encoder.name, GEOMETRY_HASH: found}
    prior = checkpoint["config"]["prior"] and "open_prior.pt"
    return head, settled(checkpoint["config"], encoder=config.encoder.name, prior=prior), {"file": config.encoder.name}


def main(config: ExportConfig) -> int:
    """Convert, write, and return the number of parameters."""
    checkpoint = load_checkpoint(config.checkpoint, "pose", "gan", "mesh")
    stage, origin = checkpoint["stage"], {}
    if stage == "pose":
        weights, settings, origin = pose_parts(config, checkpoint)
    elif stage == "mesh":
        weights, settings, origin = mesh_parts(config, checkpoint)
    else:
        weights, settings = halved(checkpoint["states"]["model"]), settled(checkpoint["config"])
    output = config.output or ROOT / "models" / "assets" / FILES[stage]
    save_checkpoint(output, stage, checkpoint["step"], settings, {"model": weights})
    count = sum(w.numel() for w in weights.values() if torch.is_tensor(w))
    about = {"about": config.about, "parameters": count, "commit": commit(),
             **({"stage_1": origin} if origin else {}),
             NUMBERS[stage]: {"steps": checkpoint["step"], "starts": starts_of_checkpoint(config.checkpoint, stage),
                              "settings": settings},
             "metrics": numbers_of(config.metrics)}  # fmt: skip
    with whole_file(output.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{output}: {count / 1e6:.2f} M parameters, {output.stat().st_size / 1e6:.1f} MB")
    return count


if __name__ == "__main__":
    start(main, ExportConfig)
