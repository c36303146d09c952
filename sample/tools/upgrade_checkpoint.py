"""Write checkpoints again under today's names of weights and settings; their numbers stay, bit for bit.

    python sample/tools/upgrade_checkpoint.py models/assets/open_weights.pt models/assets/open_prior.pt

Every script reads checkpoints of format 1 as they are; this is for files that are shared, such as those in
models/assets.  Settings in the .json beside a file (sample/tools/export_weights.py) get today's names too, and the hash
of the file before is noted there.

Reads   checkpoint_*.pt, or exported weights
Writes  the same files, those of today's format excepted
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from utils.artifacts import (
    CHECKPOINT_FORMAT,
    STAGE_SETTINGS,
    atomic_write,
    file_hash,
    load_checkpoint,
    upgrade_checkpoint,
)
from utils.settings import start, with_todays_names

STAGE_OF_ENTRY = {"stage_1": "enc_dec", "stage_2": "pose", "stage_3": "gan", "stage_4": "mesh"}
"""Entries of the .json beside exported weights, and the stage whose settings they hold."""


@dataclass(frozen=True)
class UpgradeConfig:
    """sample/tools/upgrade_checkpoint.py: checkpoints of an earlier format under today's names."""

    checkpoints: tyro.conf.Positional[tuple[Path, ...]]
    """Files to write again."""

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ValueError("no checkpoint is named; give one or several, such as models/assets/open_weights.pt")


def upgrade_description(path: Path, hash_before: str) -> None:
    """Bring the .json beside exported weights to today's names, and note which file they were in."""
    described: dict[str, Any] = json.loads(path.read_text())
    if "about" in described:
        described = {"description": described.pop("about")} | described
    for entry, stage in STAGE_OF_ENTRY.items():
        if "settings" in described.get(entry, {}):
            described[entry]["settings"] = with_todays_names(STAGE_SETTINGS[stage], described[entry]["settings"])
    described["resaved"] = {"format": CHECKPOINT_FORMAT, "sha256_before": hash_before}
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(described, indent=1) + "\n")


def main(config: UpgradeConfig) -> int:
    """Write again what has an earlier format, and return how many files that were."""
    count = 0
    for path in config.checkpoints:
        hash_before = file_hash(path) if path.is_file() else ""
        is_old = upgrade_checkpoint(path)
        count += is_old
        if is_old and path.with_suffix(".json").is_file():
            upgrade_description(path.with_suffix(".json"), hash_before)
        stage = load_checkpoint(path, *STAGE_SETTINGS)["stage"]
        print(f"{path}: stage {stage}, " + ("written again" if is_old else f"has format {CHECKPOINT_FORMAT} already"))
    return count


if __name__ == "__main__":
    start(main, UpgradeConfig)
