"""Write trained weights as one small file: encoder, decoder and pose head in half precision.

    python sample/export_weights.py --checkpoint runs/pose/long/checkpoint_best.pt

Reads   checkpoint_best.pt (sample/train_3d_pose_from_enc.py, mode frozen)
Writes  models/assets/open_weights.pt, which every script takes where it takes a checkpoint of stage 1 or 2, and
        open_weights.json beside it: how it was made
"""

import json

import torch

from config import ExportConfig, start
from models.stored import load_encoder_decoder
from utils.artifacts import commit, load_checkpoint, save_checkpoint, whole_file


def main(config: ExportConfig) -> int:
    """Convert, write, and return the number of parameters."""
    load_encoder_decoder(config.checkpoint)  # refuses a checkpoint whose encoder moved
    checkpoint = load_checkpoint(config.checkpoint, "pose")
    weights = checkpoint["states"]["model"]
    half = {name: w.half() if torch.is_tensor(w) and w.is_floating_point() else w for name, w in weights.items()}
    count = sum(w.numel() for w in half.values() if torch.is_tensor(w))
    checkpoint["config"] |= {"paths": {}, "encoder": "stage_1.pt"}  # where the files lay says nothing to others
    half["_extra_state"] |= {"paths": {}}
    save_checkpoint(config.output, "pose", checkpoint["step"], checkpoint["config"], {"model": half})
    about = {"about": config.about, "parameters": count, "commit": commit(), "pose_steps": checkpoint["step"],
             "stage_1": half["_extra_state"], "stage_2": checkpoint["config"]}  # fmt: skip
    with whole_file(config.output.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{config.output}: {count / 1e6:.2f} M parameters, {config.output.stat().st_size / 1e6:.1f} MB")
    return count


if __name__ == "__main__":
    start(main, ExportConfig)
