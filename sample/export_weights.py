"""Write trained weights as one small file in 8 bits: encoder, decoder and pose head; the prior; the mesh head.

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

from config import ROOT, ExportConfig
from models.exported import Parts, mesh_parts, pose_parts, prior_parts
from utils.artifacts import commit, load_checkpoint, load_metrics, must_exist, save_checkpoint, whole_file
from utils.settings import start, without_folders

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


def starts_of_stage_1(config: ExportConfig) -> list[dict[str, Any]] | None:
    """Say the same of stage 1: of its run, or of the file whose appearance and decoder are taken."""
    if config.stage_1_run is not None:
        return starts_of(config.stage_1_run)
    beside = config.looks_of and config.looks_of.with_suffix(".json")
    return json.loads(beside.read_text())["stage_1"]["starts"] if beside and beside.is_file() else None


def numbers_of(paths: tuple[Path, ...]) -> dict[str, Any]:
    """Read the numbers of test scripts, with what they were measured on; those per action would fill pages."""
    found = {}
    for path in paths:
        stored = load_metrics(path, "the test script of its stage")
        stored["metrics"].pop("per_action", None)
        found[str(Path(*path.resolve().parts[-3:]))] = stored
    return found


def parts_of(config: ExportConfig, stage: str) -> Parts:
    """Choose what is exported of a checkpoint."""
    if stage == "pose":
        return pose_parts(config, starts_of_stage_1(config))
    return mesh_parts(config) if stage == "mesh" else prior_parts(config)


def geometry_told(config: ExportConfig) -> dict[str, Any]:
    """Keep what was told about the geometry, where another decoder is put behind one that was exported before."""
    beside = config.checkpoint.with_suffix(".json")
    if config.looks_of is None or not beside.is_file():
        return {}
    told = json.loads(beside.read_text())
    return {"geometry": told.get("geometry") or {name: told[name] for name in ("about", "commit")} | told["stage_1"]}


def main(config: ExportConfig) -> int:
    """Convert, write, and return the number of parameters."""
    checkpoint = load_checkpoint(config.checkpoint, "pose", "gan", "mesh")
    stage, parts = checkpoint["stage"], parts_of(config, checkpoint["stage"])
    output = config.output or ROOT / "models" / "assets" / FILES[stage]
    save_checkpoint(output, stage, checkpoint["step"], parts.settings, {"model": parts.weights})
    count = sum(w.numel() for w in load_checkpoint(output, stage)["states"]["model"].values() if torch.is_tensor(w))
    about = {"about": config.about, "parameters": count, "commit": commit(), **geometry_told(config),
             **({"stage_1": parts.stage_1} if parts.stage_1 else {}),
             NUMBERS[stage]: {"steps": checkpoint["step"], "starts": starts_of_checkpoint(config.checkpoint, stage),
                              "settings": parts.settings},
             "metrics": numbers_of(config.metrics)}  # fmt: skip
    with whole_file(output.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{output}: {count / 1e6:.2f} M parameters, {output.stat().st_size / 1e6:.1f} MB")
    return count


if __name__ == "__main__":
    start(main, ExportConfig)
