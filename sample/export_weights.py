"""Write trained weights as one small file: encoder, decoder and pose head in half precision.

    python sample/export_weights.py --checkpoint runs/pose/long/checkpoint_best.pt --stage-1-run runs/enc_dec/long
        --metrics runs/enc_dec/long/metrics.json runs/pose/long/metrics.json

Reads   checkpoint_best.pt (sample/train_3d_pose_from_enc.py, mode frozen), config.json beside it and of stage 1
Writes  models/assets/open_weights.pt, which every script takes where it takes a checkpoint of stage 1 or 2, and
        open_weights.json beside it: how it was made (commands, commits, settings, steps, metrics), without the folders
"""

import json
import shlex
from pathlib import Path
from typing import Any

import torch

from config import ExportConfig, start
from models.pose_from_latent import STAGE_1_STEP
from models.stored import UNKNOWN_STEP, StoredEncoder, encoder_origin, load_encoder_decoder
from utils.artifacts import commit, load_checkpoint, load_metrics, must_exist, save_checkpoint, whole_file
from utils.settings import without_folders


def starts_of(run: Path) -> list[dict[str, Any]]:
    """Say with which commands, at which commits, a run was started and gone on with."""
    must_exist(run / "config.json", "a train script")
    starts = json.loads((run / "config.json").read_text())["starts"]
    root = str(run.resolve().parents[2])  # runs/<stage>/<name> lies in the repository
    for one in starts:
        script, *words = one["command"]
        one["command"] = shlex.join(["python", f"sample/{Path(script).name}", *without_folders(words, root)])
    return starts


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
        stored = load_metrics(path, "python sample/test_pose.py or sample/test_enc_dec.py")
        stored["metrics"].pop("per_action", None)
        found[str(Path(*path.resolve().parts[-3:]))] = stored
    return found


def main(config: ExportConfig) -> int:
    """Convert, write, and return the number of parameters."""
    stage_1 = load_encoder_decoder(config.checkpoint)  # refuses a checkpoint whose encoder moved
    step = stage_1.step if config.stage_1_run is None else require_same_encoder(stage_1, config.stage_1_run)
    checkpoint = load_checkpoint(config.checkpoint, "pose")
    weights = checkpoint["states"]["model"]
    half = {name: w.half() if torch.is_tensor(w) and w.is_floating_point() else w for name, w in weights.items()}
    count = sum(w.numel() for w in half.values() if torch.is_tensor(w))

    # Where files lay says nothing to others, and empty paths take the defaults of whoever reads them.
    plain = (encoder_origin(weights)[0], checkpoint["config"])
    settings = [without_folders(one | {"paths": {}}) for one in plain]
    settings[1] |= {"encoder": "stage_1.pt", "embeddings": settings[1]["embeddings"] and "embeddings.pkl"}
    half["_extra_state"] = settings[0] | ({} if step == UNKNOWN_STEP else {STAGE_1_STEP: step})
    save_checkpoint(config.output, "pose", checkpoint["step"], settings[1], {"model": half})
    about = {
        "about": config.about, "parameters": count, "commit": commit(),
        "stage_1": {"steps": step, "starts": starts_of(config.stage_1_run) if config.stage_1_run else None,
                    "settings": settings[0]},
        "stage_2": {"steps": checkpoint["step"], "starts": starts_of(config.checkpoint.parent),
                    "settings": settings[1]},
        "metrics": numbers_of(config.metrics),
    }  # fmt: skip
    with whole_file(config.output.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{config.output}: {count / 1e6:.2f} M parameters, {config.output.stat().st_size / 1e6:.1f} MB")
    return count


if __name__ == "__main__":
    start(main, ExportConfig)
