"""Write trained weights as one small file in 8 bits: of every stage, of the teacher, of the lifter.

    python sample/tools/export_weights.py --checkpoint runs/pose/long/checkpoint_best.pt --stage-1-run runs/enc_dec/long
        --metrics runs/enc_dec/long/metrics.json runs/pose/long/metrics.json

Reads   checkpoint_best.pt of stage 2, 3 or 4, of the teacher that reads masks, or of the lifter that reads keypoints;
        config.json beside it and of stage 1
Writes  models/assets/open_weights.pt, which every script takes where it takes a checkpoint of stage 1 or 2 (stage 2 in
        mode frozen); open_pose.pt, which takes the place of stage 2 alone (stage 2 with heat maps); open_prior.pt;
        open_teacher.pt; open_lifter.pt; open_body_maps.pt (stage 4 with heat maps); or open_mesh.pt, whose encoder is
        that of open_weights.pt beside it; each with a .json that tells how it was made (commands, commits, settings,
        steps, metrics), without the folders
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import ROOT
from models.encoder_decoder import (
    READS_APPEARANCE_AND_DRAWS,
    STAGE_1_READS,
    STAGE_1_STEP,
    UNKNOWN_STEP,
    StoredEncoder,
    encoder_provenance,
    geometry_hash,
    hash_of_geometry,
    load_encoder,
    load_encoder_decoder,
)
from models.GAN import prior_reads
from models.pose_from_latent import load_pose
from models.pose_from_maps import PoseFromMaps
from models.SMPL_from_keypoints import lifter_reads
from models.SMPL_from_latent import ENCODER_FILE, GEOMETRY_HASH, load_mesh
from models.SMPL_from_maps import MeshFromMaps
from models.SMPL_from_masks import teacher_reads
from utils.artifacts import atomic_write, commit, load_checkpoint, load_metrics, must_exist, save_checkpoint
from utils.settings import start, to_plain, without_folders
from utils.small_weights import packed
from utils.tiers import Reads


@dataclass(frozen=True)
class ExportConfig:
    """sample/tools/export_weights.py: one small file of trained weights, to be shared."""

    checkpoint: Path
    """checkpoint_best.pt of stage 2 with a frozen encoder (it then holds encoder, decoder and pose head) or with heat
    maps, of stage 3, of stage 4 (its head alone, or all of it with heat maps), of sample/train_SMPL_from_masks.py or of
    sample/train_SMPL_from_keypoints.py."""
    output: Path | None = None
    """Without it, open_weights.pt, open_pose.pt, open_prior.pt, open_mesh.pt, open_body_maps.pt, open_teacher.pt or
    open_lifter.pt in models/assets."""
    encoder: Path = ROOT / "models" / "assets" / "open_weights.pt"
    """Of stage 4: the exported encoder that the head was trained with; it must lie in the folder of the output."""
    appearance_of: Path | None = None
    """Of stage 2: another file with the very same geometry, whose appearance encoder and decoder are taken."""
    stage_1_run: Path | None = None
    """runs/enc_dec/<name> that made the encoder; its commands, commits and steps are written down too."""
    metrics: tuple[Path, ...] = ()
    """metrics.json of test scripts, whose numbers are written down too (without those per action)."""
    description: str = ""
    """A sentence on how the weights were made: data, size."""


class Parts(NamedTuple):
    """What an exported file holds, and what the text beside it tells about stage 1."""

    weights: dict[str, Any]
    settings: dict[str, Any]
    stage_1: dict[str, Any]
    reads: Reads
    """What all stages in the file read."""


def require_same_encoder(stage_1: StoredEncoder, run: Path) -> int:
    """Refuse a run of stage 1 that made another encoder; return its step."""
    best = load_encoder(run / "checkpoint_best.pt")
    weights = best.network.state_dict()
    if not all(torch.equal(value, weights[name]) for name, value in stage_1.network.state_dict().items()):
        raise ValueError(f"the encoder is not that of {run}/checkpoint_best.pt; give the --stage-1-run that made it")
    return best.step


def shareable(settings: dict[str, Any], **names: str | None) -> dict[str, Any]:
    """Leave out where files lay: it says nothing to others, and empty paths take the defaults of whoever reads them."""
    return without_folders(settings | {"paths": {}}) | names


def with_appearance_of(path: Path, weights: dict[str, Any], stage_1: StoredEncoder) -> dict[str, Any]:
    """Put appearance and decoder of another file into the weights of stage 2; the geometry must be the same."""
    other = load_encoder_decoder(path)
    if geometry_hash(other.network) != geometry_hash(stage_1.network):
        raise ValueError(f"{path} reads the geometry with other weights than the checkpoint, so its decoder does not "
                         "fit; give a file with the same geometry, or leave out --appearance-of")  # fmt: skip
    head = {name: value for name, value in weights.items() if name.startswith("head.")}
    encoder = {f"encoder.{name}": value for name, value in other.network.state_dict().items()}
    reads = (stage_1.reads | other.reads).plain()
    return head | encoder | {"_extra_state": to_plain(other.config) | {STAGE_1_STEP: other.step, STAGE_1_READS: reads}}


def pose_parts(config: ExportConfig, starts: list[dict[str, Any]] | None) -> Parts:
    """Give encoder, decoder and pose head, and the metadata of stage 1; `starts` are those of its run."""
    checkpoint = load_checkpoint(config.checkpoint, "pose")
    stage_1 = load_encoder(config.checkpoint)  # refuses a checkpoint whose encoder moved
    weights, run = checkpoint["states"]["model"], config.stage_1_run
    if config.appearance_of is not None:
        weights = with_appearance_of(config.appearance_of, weights, stage_1)
        stage_1 = load_encoder_decoder(config.appearance_of)
    step = stage_1.step if run is None else require_same_encoder(stage_1, run)
    weights = packed(weights)
    told = weights["_extra_state"].get(STAGE_1_READS, stage_1.reads.plain())
    provenance = shareable(encoder_provenance(weights)[0])
    weights["_extra_state"] = (
        provenance | {STAGE_1_READS: told} | ({} if step == UNKNOWN_STEP else {STAGE_1_STEP: step})
    )
    plain = checkpoint["config"]
    settings = shareable(plain, encoder="stage_1.pt", embeddings=plain["embeddings"] and "embeddings.pkl")
    reads = load_pose(config.checkpoint, torch.device("cpu")).reads | stage_1.reads
    return Parts(weights, settings, {"steps": step, "starts": starts, "settings": provenance}, reads)


def mesh_parts(config: ExportConfig) -> Parts:
    """Give the weights of stage 4's head alone, its settings, and the file with its encoder."""
    checkpoint = load_checkpoint(config.checkpoint, "mesh")
    stage_1, weights = load_encoder(config.encoder), checkpoint["states"]["model"]
    trained = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    found = geometry_hash(stage_1.network)
    if hash_of_geometry(trained) != found:
        raise ValueError(f"{config.checkpoint} was trained behind another encoder than {config.encoder}; train it with "
                         f"--encoder {config.encoder}")  # fmt: skip
    head = packed({name: w for name, w in weights.items() if name.startswith("head.")})
    provenance = {name: weights["_extra_state"][name] for name in ("body_hash", "num_vertices")}
    head["_extra_state"] = provenance | {ENCODER_FILE: config.encoder.name, GEOMETRY_HASH: found}
    prior = checkpoint["config"]["prior"] and "open_prior.pt"
    settings = shareable(checkpoint["config"], encoder=config.encoder.name, prior=prior)
    reads = load_mesh(config.checkpoint, torch.device("cpu")).reads
    return Parts(head, settings, {"file": config.encoder.name}, reads)


def without_drawing(weights: dict[str, Any]) -> dict[str, Any]:
    """Pack weights of a network with heat maps, without what stage 1 draws with."""
    drawing = tuple(f"encoder.{name}" for name in READS_APPEARANCE_AND_DRAWS)
    return packed({name: w for name, w in weights.items() if not name.startswith(drawing)})


def body_maps_parts(config: ExportConfig) -> Parts:
    """Give what finds joints in an image by heat maps and reads a body from them; other files are not needed."""
    stored, checkpoint = load_mesh(config.checkpoint, torch.device("cpu")), load_checkpoint(config.checkpoint, "mesh")
    weights, plain = without_drawing(checkpoint["states"]["model"]), checkpoint["config"]
    provenance = checkpoint["states"]["model"]["_extra_state"]
    weights["_extra_state"] = provenance | {"encoder": shareable(provenance["encoder"], name="")}
    files = {name: plain[name] and Path(plain[name]).name for name in ("encoder", "prior", *FITS)}
    return Parts(weights, shareable(plain, **files), {}, stored.reads)


def maps_parts(config: ExportConfig) -> Parts:
    """Give what finds joints in an image by heat maps, and nothing of what stage 1 draws with."""
    stored, checkpoint = load_pose(config.checkpoint, torch.device("cpu")), load_checkpoint(config.checkpoint, "pose")
    stage_1 = checkpoint["states"]["model"]["_extra_state"]
    weights = without_drawing(checkpoint["states"]["model"])
    weights["_extra_state"] = shareable(stage_1, name="")  # the mark of an encoder behind which nothing draws
    plain = checkpoint["config"]
    files = {
        "encoder": plain["encoder"] and "stage_1.pt",
        "pseudo_labels": plain["pseudo_labels"] and "pseudo_labels.npz",
    }
    stage_1_run = {} if config.stage_1_run is None else {"starts": starts_of(config.stage_1_run)}
    return Parts(weights, shareable(plain, **files), stage_1_run, stored.reads)


def whole_parts(config: ExportConfig, stage: str) -> Parts:
    """Give the weights and settings of a stage that stands alone: the prior, the teacher, the lifter."""
    checkpoint = load_checkpoint(config.checkpoint, stage)
    weights, settings = packed(checkpoint["states"]["model"]), shareable(checkpoint["config"])
    reads = {"gan": prior_reads, "masks": teacher_reads, "lifter": lifter_reads}[stage](config.checkpoint)
    return Parts(weights, settings, {}, reads)


FILES = {"pose": "open_weights.pt", "gan": "open_prior.pt", "mesh": "open_mesh.pt", "masks": "open_teacher.pt",
         "lifter": "open_lifter.pt"}  # fmt: skip
NUMBERS = {"pose": "stage_2", "gan": "stage_3", "mesh": "stage_4", "masks": "teacher", "lifter": "lifter"}
MAPS_FILES = {"pose": "open_pose.pt", "mesh": "open_body_maps.pt"}
FITS = ("pseudo_labels", "labelled_bodies")
"""Settings of stage 4 that name fitted bodies."""


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
    beside = config.appearance_of and config.appearance_of.with_suffix(".json")
    return json.loads(beside.read_text())["stage_1"]["starts"] if beside and beside.is_file() else None


def numbers_of(paths: tuple[Path, ...]) -> dict[str, Any]:
    """Read the numbers of test scripts, with what they were measured on; those per action would fill pages."""
    found = {}
    for path in paths:
        stored = load_metrics(path, "the test script of its stage")
        stored["metrics"].pop("per_action", None)
        found[str(Path(*path.resolve().parts[-3:]))] = stored
    return found


def finds_joints(path: Path, stage: str) -> bool:
    """Tell whether a checkpoint is a network with heat maps, whose encoder was trained with it."""
    cpu = torch.device("cpu")
    if stage == "mesh":
        return isinstance(load_mesh(path, cpu).network, MeshFromMaps)
    return stage == "pose" and isinstance(load_pose(path, cpu).network.head, PoseFromMaps)


def parts_of(config: ExportConfig, stage: str, has_maps: bool) -> Parts:
    """Choose what is exported of a checkpoint."""
    if has_maps:
        return maps_parts(config) if stage == "pose" else body_maps_parts(config)
    if stage == "pose":
        return pose_parts(config, starts_of_stage_1(config))
    return mesh_parts(config) if stage == "mesh" else whole_parts(config, stage)


def reported_geometry(config: ExportConfig) -> dict[str, Any]:
    """Keep what was told about the geometry, where another decoder is put behind one that was exported before."""
    beside = config.checkpoint.with_suffix(".json")
    if config.appearance_of is None or not beside.is_file():
        return {}
    reported = json.loads(beside.read_text())
    return {
        "geometry": reported.get("geometry")
        or {name: reported[name] for name in ("description", "commit")} | reported["stage_1"]
    }


def main(config: ExportConfig) -> int:
    """Convert, write, and return the number of parameters."""
    checkpoint = load_checkpoint(config.checkpoint, *FILES)
    stage = checkpoint["stage"]
    has_maps = finds_joints(config.checkpoint, stage)
    parts = parts_of(config, stage, has_maps)
    output = config.output or ROOT / "models" / "assets" / (MAPS_FILES if has_maps else FILES)[stage]
    save_checkpoint(output, stage, checkpoint["step"], parts.settings, {"model": parts.weights}, reads=parts.reads)
    count = sum(w.numel() for w in load_checkpoint(output, stage)["states"]["model"].values() if torch.is_tensor(w))
    metadata = {
        "description": config.description,
        "tier": parts.reads.tier,
        "reads": parts.reads.plain(),
        "parameters": count,
        "commit": commit(),
        **reported_geometry(config),
        **({"stage_1": parts.stage_1} if parts.stage_1 else {}),
        NUMBERS[stage]: {
            "steps": checkpoint["step"],
            "starts": starts_of_checkpoint(config.checkpoint, stage),
            "settings": parts.settings,
        },
        "metrics": numbers_of(config.metrics),
    }
    with atomic_write(output.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(metadata, indent=1) + "\n")
    print(f"{output}: {count / 1e6:.2f} M parameters, {output.stat().st_size / 1e6:.1f} MB")
    return count


if __name__ == "__main__":
    start(main, ExportConfig)
