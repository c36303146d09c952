"""How many pictures a second one core predicts, tier by tier, and what the ONNX models take beside PyTorch.

    pip install -e ".[keypoints,onnx]"
    python dataset_def/photos/person.py --heavy
    python tests/benchmarks/bench_predict.py
    python tests/benchmarks/bench_predict.py --pictures 4 --seconds 1 --result runs/predict.json      (a quick look)

Draws pictures of the embedded test people, each with the box of its mask.  Rows whose packages or networks are not
there are left out, and the table says so.  Processor time counts: it hardly depends on what else runs.

Writes  tests/benchmarks/results/predict.json, and its table beside it as .md
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from config import ASSETS, ROOT, Paths, ranged, setting
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, KEYPOINTS_REMEDY, BlazePose, is_available
from dataset_def.photos.pictures import Picture
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import SyntheticConfig
from sample import predict
from sample.predict import KeypointPredictor, PeopleInFrames, PredictConfig, Predictor
from sample.tools.export_onnx import OnnxConfig, in_torch, load, make_onnx, need_onnx, open_onnx
from tests.benchmarks.timing import repeated, took
from utils.artifacts import atomic_write, save_result
from utils.image import read_image, read_mask
from utils.person_box import Box
from utils.settings import start

LEAST = 3
"""Repeats of a row, whatever they take."""


@dataclass(frozen=True)
@ranged()
class BenchPredictConfig:
    """tests/benchmarks/bench_predict.py: pictures per second and core."""

    pictures: int = setting(16, low=4)
    """A multiple of the 4 cameras."""
    size_px: int = setting(512, low=64, high=2000)
    """Side of the pictures."""
    seconds: float = setting(4.0, low=0)
    """Of processor time, at least, for each row."""
    threads: int = setting(1, low=1)
    detector_location: Path = KEYPOINT_NETWORKS
    """Folder with the keypoints extra's networks."""
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "predict.json"


class Shown(NamedTuple):
    """A picture and the box of its person."""

    picture: Picture
    box: Box


def drawn(config: BenchPredictConfig, folder: Path) -> list[Shown]:
    """Draw pictures of a test person, and read their boxes off the masks."""
    paths = replace(Paths(), h36m_location=folder / "frames", masks_location=folder / "masks",
                    truth_location=folder / "truth")  # fmt: skip
    make_h36m.main(SyntheticConfig(paths=paths, size_px=config.size_px, frames=config.pictures // 4, subjects=(9,),
                                   actions=(14,), subactions=(1,), processes=1))  # fmt: skip
    found = []
    for mask in sorted(paths.masks_location.rglob("*.png")):
        rows, columns = np.nonzero(read_mask(mask))
        box = Box(*map(float, (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)))
        [frame] = paths.h36m_location.rglob(f"{mask.stem}.jpg")
        found.append(Shown(Picture(mask.stem, read_image(frame)), box))
    return found


class Middle(NamedTuple):
    """Medians over repeats."""

    cpu_ms: float
    wall_ms: float
    repeats: int


def timed(work: Callable[[], object], seconds: float) -> Middle:
    """Time work until it has taken so long, after once that warms up."""
    work()
    wall_s, cpu_s = repeated(lambda: took(work), LEAST, seconds)
    return Middle(1000 * float(np.median(cpu_s)), 1000 * float(np.median(wall_s)), len(cpu_s))


def by_pixels(people: Sequence[Shown]) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Give the ways of tier pixels: name, work, and the pictures that it does."""
    predictor = Predictor(device="cpu")

    def together() -> None:
        read = PeopleInFrames(predictor)
        read([predictor.crop(one.picture, one.box, None, 1.7) for one in people])

    yield "pixels, one by one", lambda: [predictor(one.picture.rgb, one.box) for one in people], len(people)
    yield "pixels, together", together, len(people)


def by_keypoints(
    people: Sequence[Shown], folder: Path, missing: list[str]
) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Give the ways of tier keypoints, with each detector that is there."""
    for kind in ("full", "heavy"):
        if not is_available(folder, kind):
            missing.append(f"tier keypoints with detector {kind} ({KEYPOINTS_REMEDY})")
            continue
        networks = BlazePose(folder, kind)
        predictor = KeypointPredictor(networks=networks)

        def one_by_one(predictor: KeypointPredictor = predictor) -> None:
            for one in people:
                predictor(one.picture.rgb, one.box)

        yield f"keypoints, detector {kind}, one by one", one_by_one, len(people)


def whole_command(people: Sequence[Shown], folder: Path) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Give sample/predict.py from reading the pictures to the last file, of tier pixels with masks."""
    for name, meshes in (("without meshes", ()), ("with all meshes", None)):
        settings = PredictConfig(str(next((folder / "frames").rglob("*.jpg")).parent), "pixels", device="cpu",
                                 mask=next((folder / "masks").rglob("*.png")).parent, out=folder / "out",
                                 overwrite=True, meshes=meshes)  # fmt: skip

        def write(settings: PredictConfig = settings) -> None:
            with redirect_stdout(io.StringIO()):
                predict.main(settings)

        count = len(list(Path(settings.input).glob("*.jpg")))
        yield f"predict.py, {count} pictures, pixels, overlays and views, {name}", write, count


MODELS = {
    "joints off points (open_weights.pt)": {"pose": "open_weights.pt"},
    "joints by heat maps (open_pose.pt)": {"pose": "open_pose.pt"},
    "bodies off points (open_mesh.pt)": {"mesh": "open_mesh.pt"},
    "bodies by heat maps (open_body_photos.pt)": {"mesh": "open_body_photos.pt"},
}
BATCHES = (1, 16)


def models(config: BenchPredictConfig, missing: list[str]) -> list[dict[str, Any]]:
    """Time the networks alone, in PyTorch and as ONNX, on one crop and on several."""
    try:
        need_onnx()
    except ValueError as error:
        missing.append(f"the ONNX models ({error})")
        return []
    rows = []
    for name, files in MODELS.items():
        network, crop = load(OnnxConfig(**{stage: ASSETS / file for stage, file in files.items()}))
        content = make_onnx(network, crop.size_px, network.outputs, {})
        ways = {"PyTorch": in_torch(network), "ONNX": open_onnx(content, config.threads)}
        for batch in BATCHES:
            crops = torch.rand(batch, 3, crop.size_px, crop.size_px, generator=torch.Generator().manual_seed(0))
            for way, run in ways.items():
                middle = timed(lambda run=run, crops=crops: run(crops), config.seconds / 8)
                rows.append({"model": name, "way": way, "batch": batch, "size_px": crop.size_px} | rate(middle, batch))
    return rows


def rate(middle: Middle, count: int) -> dict[str, float]:
    """Put times in words: of one picture, and pictures per second of processor time."""
    return {"cpu_ms": middle.cpu_ms / count, "wall_ms": middle.wall_ms / count, "repeats": middle.repeats,
            "images_per_cpu_s": 1000 * count / middle.cpu_ms}  # fmt: skip


def told(number: float) -> str:
    """Write three digits, or as many as there are before the point."""
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def table(found: dict[str, Any]) -> str:
    """Write the rows as markdown."""
    lines = [
        "| predicting, from the picture | pictures/s of one core | processor ms | by the clock ms |",
        "|---" * 4 + "|",
    ]
    lines += [f"| {row['way']} | {row['images_per_cpu_s']:.3g} | {told(row['cpu_ms'])} | {told(row['wall_ms'])} |"
              for row in found["tiers"]]  # fmt: skip
    lines += ["", "| networks alone | crop | crops/s of one core, PyTorch: 1 / 16 at once | ONNX: 1 / 16 at once |",
              "|---" * 4 + "|"]  # fmt: skip
    for name in dict.fromkeys(row["model"] for row in found["models"]):
        own = [row for row in found["models"] if row["model"] == name]
        cells = [" / ".join(f"{row['images_per_cpu_s']:.3g}" for row in own if row["way"] == way)
                 for way in ("PyTorch", "ONNX")]  # fmt: skip
        lines.append(f"| {name} | {own[0]['size_px']} px | {' | '.join(cells)} |")
    gone = [f"Left out: {'; '.join(found['missing'])}."] if found["missing"] else []
    details = f"<details><summary>Protocol</summary>\n\n{found['protocol']}\n\n</details>"
    return "\n".join([*lines, "", *gone, *([""] if gone else []), details, ""])


def protocol_of(config: BenchPredictConfig, count: int, load_before: float) -> str:
    """Say how it was measured."""
    return (
        f"{count} drawn pictures of S9 with {config.size_px} px, boxes of their masks; {config.threads} thread(s). "
        f"Medians over at least {LEAST} repeats and {config.seconds:g} s of processor time (networks alone: an "
        "eighth), after one that warms up; processor time of the process divided by the pictures, which other work on "
        "the same cores changes little (but it shares their caches), and by the clock beside it. From the picture: cut "
        "out, predicted, body posed; the rows of predict.py also read the pictures and masks of one camera, load the "
        "weights once, draw and write. Load average before and after: "
        f"{load_before:.1f} and {os.getloadavg()[0]:.1f}."
    )


def main(config: BenchPredictConfig) -> dict[str, Any]:
    """Draw, time, and write down."""
    torch.set_num_threads(config.threads)
    load_before, missing, tiers = os.getloadavg()[0], list[str](), []
    with TemporaryDirectory(prefix="bench_predict_") as scratch:
        people = drawn(config, Path(scratch))
        for ways in (by_pixels(people), by_keypoints(people, config.detector_location, missing),
                     whole_command(people, Path(scratch))):  # fmt: skip
            for name, work, count in ways:
                tiers.append({"way": name} | rate(timed(work, config.seconds), count))
                print(f"{name}: {tiers[-1]['images_per_cpu_s']:.3g} pictures per second of processor time", flush=True)
    found: dict[str, Any] = {"tiers": tiers, "models": models(config, missing), "missing": missing}
    protocol = protocol_of(config, len(people), load_before)
    save_result(config.result, protocol, **found)
    with atomic_write(config.result.with_suffix(".md")) as partial:
        partial.write_text(table(found | {"protocol": protocol}))
    return found


if __name__ == "__main__":
    start(main, BenchPredictConfig)
