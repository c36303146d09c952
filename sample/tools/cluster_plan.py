"""Plan how a large archive is drawn, fitted, predicted and trained on: storage, shards, ranks and hours.

    python sample/tools/cluster_plan.py
    python sample/tools/cluster_plan.py --images 100000000 --cores 256 --gpus 2 --page runs/plan.md

Every rate comes from a file that a benchmark wrote, and stands on the page with its hardware; what is multiplied from
it is marked as assumed, and what was never measured is named.  make_readme.py writes the page anew, too.

Reads   tests/benchmarks/results/{synthetic,masks_cost,real_pictures,train,make_demo}.json, tests/benchmarks/LOG.md
Writes  tests/benchmarks/results/cluster.md, or --page
"""

import json
import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from config import ROOT, PreprocessConfig, ranged, setting
from utils.artifacts import atomic_write, must_exist
from utils.settings import start

RESULTS = ROOT / "tests" / "benchmarks" / "results"
MADE_BY = {
    "synthetic": "python tests/benchmarks/bench_synthetic.py",
    "masks_cost": "python tests/benchmarks/masks_cost.py",
    "real_pictures": "python tests/benchmarks/bench_real.py",
    "train": "python tests/benchmarks/bench_train.py",
    "make_demo": "time make demo",
}
"""What writes the files that the rates come from."""
ON_A_GPU = re.compile(
    r"`tests/benchmarks/gpu_checks.sh` on an? (?P<gpu>\w+).*?A fit of (?P<instants>\d+)\s+instants in one process "
    r"(?P<fit_s>\d+) s, of which most is reading masks and starting.*?Stage 2 with heat maps \((?P<what>.*?)\): "
    r"\d+ ms for a batch of \d+, (?P<rate>[\d,]+) images a second", re.DOTALL)  # fmt: skip
"""What was measured on a GPU, as the log of trials tells it."""
TABLE_BYTES, TABLE_BYTES_OF_INSTANT = 60, 432
"""What `dataset_def.h36m_index.load_table` holds in memory of an image, and of an instant beside that."""
INDEX_BYTES = 20
PART_BYTES, PART_BYTES_OF_VIEW = 852, 4
"""What a fit of bodies stores of an instant, and of each of its views (`sample.fit_SMPL.FittedPart`)."""
PART_INSTANTS = 40
"""Instants of a part: `batch` of sample/fit_SMPL.py."""
FIT_VERTICES, FIT_FRAMES = 1528, 40
"""The body and the batch that a fit takes by default, which masks_cost.json has a row of."""


@dataclass(frozen=True)
@ranged()
class ClusterConfig:
    """sample/tools/cluster_plan.py: storage, shards, ranks and hours of a large archive."""

    images: int = setting(1_000_000_000, low=1000)
    """Pictures of all cameras, in the plan's last column."""
    cores: int = setting(1000, low=1)
    """Cores of that cluster."""
    gpus: int = setting(8, low=1)
    """GPUs of it, as that of the log of trials."""
    cameras: int = setting(4, low=2)
    """Pictures of an instant."""
    shard_images: int = setting(10_000_000, low=1000)
    """Pictures of a data set; an archive consists of as many of these as it takes."""
    results_location: Path = RESULTS
    page: Path = RESULTS / "cluster.md"


class Rate(NamedTuple):
    """How fast something was measured to be."""

    what: str
    images_per_s: float
    each: str
    """One thread, or a GPU."""
    hardware: str
    how: str
    file: str


class Scale(NamedTuple):
    """One column of the plan."""

    name: str
    images: int
    cores: int
    gpus: int


def stored(results: Path, name: str) -> dict[str, Any]:
    """Read a result of a benchmark."""
    path = results / f"{name}.json"
    must_exist(path, MADE_BY[name])
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def processor_of(content: dict[str, Any]) -> str:
    """Say on what a result was measured."""
    told = content["hardware"]
    return f"{told['processor']}, {told['cores']} cores"


def drawing_rates(results: Path) -> dict[str, Rate]:
    """Give how fast pictures of drawn people are written."""
    content = stored(results, "synthetic")
    return {f"draw_{row['size_px']}": Rate(
        f"drawing people, {row['size_px']} px, written", row["written_images_per_s"], "thread", processor_of(content),
        "rooms drawn before", "synthetic.json") for row in content["rows"]}  # fmt: skip


def fitting_rates(results: Path, cameras: int) -> dict[str, Rate]:
    """Give how fast bodies are read and fitted to masks, in pictures."""
    content = stored(results, "masks_cost")
    rows = [row for row in content["growth"] if (row["frames"], row["vertices"]) == (FIT_FRAMES, FIT_VERTICES)]
    near = min(rows, key=lambda row: abs(row["views"] - cameras))
    spent_ms = near["teacher_ms_per_frame"] + near["fit_ms_per_frame"]
    whole = content["whole"]
    processor = processor_of(content)
    return {
        "fit": Rate(f"bodies from the masks of {near['views']} views", 1000 * near["views"] / spent_ms, "thread",
                    processor, f"{spent_ms:.0f} ms an instant, other programs beside", "masks_cost.json"),
        "fit_whole": Rate("the same from start to end", 4 * whole["fitted_frames"] / whole["fits_s"],
                          "two cores together", processor, f"{whole['fitted_frames']} instants of 4 views, reading "
                          "masks and starting included, other programs beside", "masks_cost.json"),
    }  # fmt: skip


TIERS = {"pixels": "predicting, tier pixels", "keypoints": "predicting, tier keypoints",
         "keypoints_heavy": "predicting, tier keypoints, `--detector heavy`"}  # fmt: skip


def predicting_rates(results: Path) -> dict[str, Rate]:
    """Give how fast the body in a picture is predicted."""
    content = stored(results, "real_pictures")
    by_tier = {row["tier"]: row for row in content["rows"]}
    return {tier: Rate(what, 1000 / by_tier[tier]["ms_per_picture"], "thread", processor_of(content),
                       "processor time; drawing and meshes not included", "real_pictures.json")
            for tier, what in TIERS.items()}  # fmt: skip


def on_a_gpu(results: Path) -> re.Match[str]:
    """Read from the log of trials what was measured on a GPU."""
    log = results.parent / "LOG.md"
    must_exist(log, "git checkout")
    found = ON_A_GPU.search(log.read_text())
    if found is None:
        raise ValueError(f"{log} does not tell what was measured on a GPU in the words of its entry 'A GPU for a "
                         "quarter of an hour'; put them back, or change ON_A_GPU")  # fmt: skip
    return found


def training_rates(results: Path) -> dict[str, Rate]:
    """Give how fast stages 1 and 2 train."""
    content, gpu = stored(results, "train"), on_a_gpu(results)
    found = {f"stage_{stage}": Rate(
        f"training stage {stage}, preset demo, 64 px, from a pack", 1000 * row["images"] / row["cpu_ms"], "thread",
        processor_of(content), f"processor time ({row['images_per_s']:.1f} by the clock, other programs beside)",
        "train.json") for stage in (1, 2) for row in [content["rows"][f"{stage} demo, pack"]]}  # fmt: skip
    what = f"training stage 2 with heat maps ({' '.join(gpu['what'].split())})"
    images_per_s, hardware = float(gpu["rate"].replace(",", "")), f"NVIDIA {gpu['gpu']}"
    found["stage_2_gpu"] = Rate(what, images_per_s, "GPU", hardware, "in a quarter of an hour's checks", "../LOG.md")
    return found


def rates_of(config: ClusterConfig) -> dict[str, Rate]:
    """Read every rate that the plan takes."""
    place = config.results_location
    return (drawing_rates(place) | fitting_rates(place, config.cameras) | predicting_rates(place)
            | training_rates(place))  # fmt: skip


def told(number: float) -> str:
    """Write a number with three digits."""
    if number >= 100:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}"


def told_bytes(count: float) -> str:
    """Write a number of bytes."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{told(count / size)} {unit}"
    return f"{told(count / 1e3)} kB"


def told_hours(images: int, rate: Rate, count: int) -> str:
    """Write how long so many pictures take with so many of what the rate is of."""
    hours = images / (rate.images_per_s * count) / 3600
    return f"{told(hours)} h" if hours >= 1 else f"{told(60 * hours)} min"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rates_table(rates: dict[str, Rate]) -> str:
    """Write what was measured."""
    return table(("work", "images/s", "of one", "measured on", "how", "from"), [
        (one.what, told(one.images_per_s), one.each, one.hardware, one.how, f"[{Path(one.file).name}]({one.file})")
        for one in rates.values()])  # fmt: skip


def scales_of(config: ClusterConfig) -> list[Scale]:
    """Give the columns of the plan."""
    return [
        Scale("a laptop", 100_000, 2, 0),
        Scale("one machine", 10_000_000, 64, 1),
        Scale("a cluster", config.images, config.cores, config.gpus),
    ]


def storage_table(config: ClusterConfig, scales: list[Scale]) -> str:
    """Write what the files weigh: counted from their formats, not measured."""
    pack_bytes = 4 * PreprocessConfig().pack_px ** 2  # three colours and the mask

    def row(name: str, of_image: float) -> tuple[str, ...]:
        return (name, *(told_bytes(of_image * one.images) for one in scales))

    def of_shard(name: str, of_image: float) -> tuple[str, ...]:
        return (name, *(told_bytes(of_image * min(one.images, config.shard_images)) for one in scales))

    part_bytes = PART_BYTES / config.cameras + PART_BYTES_OF_VIEW
    parts = [ceil(min(one.images, config.shard_images) / config.cameras / PART_INSTANTS) for one in scales]
    return table(("", *(f"{one.name}: {one.images:,} images" for one in scales)), [
        ("shards (data sets)", *(f"{ceil(one.images / config.shard_images):,}" for one in scales)),
        row(f"packed crops, {PreprocessConfig().pack_px} px with masks", pack_bytes),
        row("indices", INDEX_BYTES),
        row(f"fits of bodies, one for {config.cameras} images", part_bytes),
        ("parts of a shard's fits, files in one folder", *(f"{count:,}" for count in parts)),
        of_shard("memory of the process that puts them together", part_bytes),
        of_shard("memory of each process that opens a shard", TABLE_BYTES + TABLE_BYTES_OF_INSTANT / config.cameras),
    ])  # fmt: skip


ROWS = {
    "draw_128": "drawing at 128 px",
    "fit": "bodies from masks",
    "pixels": "predicting, pixels",
    "keypoints": "predicting, keypoints",
    "keypoints_heavy": "predicting, keypoints, heavy",
    "stage_1": "stage 1, each image once",
    "stage_2": "stage 2, each image once",
}


def hours_table(rates: dict[str, Rate], scales: list[Scale]) -> str:
    """Write how long it takes, if so many cores do so many times the work of one."""
    rows = [(name, *(told_hours(one.images, rates[key], one.cores) for one in scales)) for key, name in ROWS.items()]
    on_gpu = (told_hours(one.images, rates["stage_2_gpu"], one.gpus) if one.gpus else "–" for one in scales)
    heads = (f"{one.name}: {one.images:,} images, {one.cores:,} ranks" for one in scales)
    gpus = " / ".join(str(one.gpus) for one in scales if one.gpus)
    return table(("", *heads), [*rows, (f"stage 2 with heat maps on {gpus} GPU", *on_gpu)])


NODES = "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first:29400 --rdzv-id mine"
"""How one of two machines starts its processes, `first` being one of them."""
PAGE = """# From one laptop to a cluster

Written by `sample/tools/cluster_plan.py` from results of today; no number is written by hand. An image is a picture of
one camera, an instant {cameras} of them.

## What was measured

{rates}

One thread of a processor, or one GPU. On that GPU a fit of {gpu[instants]} instants took {gpu[fit_s]} s, most of it
reading masks and starting, which is no rate of fits. Not measured on a GPU: stages 1, 3 and 4, and several GPUs. Not
measured at all: packing.

## The steps, each one command

```
# a laptop: data, four stages, tests and figures ({demo} minutes on 2 cores, make_demo.json)
make demo
# all cores of a machine label an archive; given again, it goes on
torchrun --standalone --nproc-per-node 64 sample/fit_SMPL.py --dataset data/shard_000 --name shard_000
torchrun --standalone --nproc-per-node 64 sample/predict.py pictures/ --out runs/predict/archive
# all GPUs of a machine train
torchrun --standalone --nproc-per-node 8 sample/train_enc_dec.py --preset full --dataset data/shard_000
# two machines train, the same on each
{nodes} sample/train_enc_dec.py --preset full --dataset data/shard_000
# a cluster labels: on every machine, as soon as it is there, one shard after another
torchrun --standalone --nproc-per-node 64 sample/fit_SMPL.py --dataset data/shard_007 --name shard_007
# a cluster trains beyond the end of a job: SIGTERM saves, and the same command goes on
{nodes} sample/train_enc_dec.py --preset full --dataset data/shard_000 --loop.auto-resume
```

## The plan

Storage, counted from the formats (a shard has at most {shard:,} images):

{storage}

Hours, if so many ranks do so many times the work of one. That is **assumed**: more than two cores, more than one GPU
and more than one machine were not measured.

{hours}

## What is not known, and what is missing

* No second machine and no cluster has run any of this; two machines were two `torchrun`s on one, at tiny size.
* Labelling exchanges nothing between processes but locks of files, so that its limit is the file system: a lock and
  some looks at a folder for each part of {part} instants, which take a thread {part_s} s. Locks were tried on a local
  disk.
* Training exchanges gradients, at every step. How that scales was not measured.
* A training reads **one** data set. No reader of several shards exists, so that a stage trains on one shard, or on a
  data set of everything, whose table each process holds in memory ({whole_table} for {images:,} images).
* The largest trainings were of tens of people ([log](../LOG.md)); whether more data of this kind brings more is not
  known.
"""


def page_of(config: ClusterConfig) -> str:
    """Write the page."""
    rates, scales = rates_of(config), scales_of(config)
    whole = (TABLE_BYTES + TABLE_BYTES_OF_INSTANT / config.cameras) * config.images
    return PAGE.format(
        cameras=config.cameras, rates=rates_table(rates), storage=storage_table(config, scales),
        hours=hours_table(rates, scales), shard=config.shard_images, images=config.images, part=PART_INSTANTS,
        part_s=told(PART_INSTANTS * config.cameras / rates["fit"].images_per_s), whole_table=told_bytes(whole),
        gpu=on_a_gpu(config.results_location), nodes=NODES,
        demo=told(stored(config.results_location, "make_demo")["wall_s"] / 60),
    )  # fmt: skip


def main(config: ClusterConfig) -> Path:
    """Write the page, and return where it is."""
    text = page_of(config)
    with atomic_write(config.page) as partial:
        partial.write_text(text)
    print(config.page)
    return config.page


if __name__ == "__main__":
    start(main, ClusterConfig)
