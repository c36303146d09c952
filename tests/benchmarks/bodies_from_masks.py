"""Bodies from masks without a 3D label: the main table, cell by cell; a run that was stopped goes on.

    python tests/benchmarks/bodies_from_masks.py --seeds 0 1

Trains a teacher for every bank of poses and kind of root, fits bodies to the masks of subjects 5 to 8 of the embedded
data, which no training ever measured, and compares them with the truth.  Two commands with one seed each may run side
by side; the last one that ends writes tests/benchmarks/results/bodies_from_masks.{json,md}.
"""

import json
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from config import ROOT, Damage, MasksConfig, Paths, PoseSources
from dataset_def.h36m_files import background_path, image_path, mask_path
from dataset_def.h36m_index import FrameTable, every_nth, load_table, save_geometry, select_rows
from dataset_def.mask_centres import mask_shape, triangulated
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK, PersonSegmenter
from sample import fit_SMPL, train_SMPL_from_masks
from sample import test_SMPL_from_masks as masks_test
from sample.fit_SMPL import FitConfig
from utils.artifacts import atomic_write, load_background, load_metrics, save_result
from utils.image import read_image, read_mask, write_image
from utils.settings import start

RESULT = ROOT / "tests" / "benchmarks" / "results" / "bodies_from_masks.json"
PEOPLE = (5, 6, 7, 8)
COLUMNS = ("joints_mm", "vertices_mm", "beyond_90_percent", "world_joints_mm", "seconds_per_frame")
SHADOW = (0.35, 1.02)
"""A shadow leaves so much of the light, of all colours alike."""
NOT_SHADOW = 12
"""Levels of 255 by which a person differs from the room in any shadow."""
SURELY, HARDLY = 0.7, 0.1
"""The network's probabilities of a person."""
INTERVALS = ("joints_mm", "vertices_mm", "world_joints_mm")


@dataclass(frozen=True)
class Settings:
    """What is measured, and where the work goes."""

    work: Path = ROOT / "runs" / "bodies_from_masks"
    """Trained teachers, fits and measured cells; measured ones are not measured again."""
    seeds: tuple[int, ...] = (0, 1)
    rows: tuple[str, ...] = ()
    """All if not given."""
    every: int = 6
    """Fit every n-th instant."""
    paths: Paths = field(default_factory=Paths)
    cmu: Path = ROOT.parent / "shared" / "data" / "cmu"
    """24 motions of three people."""
    poses: Path = ROOT / "data" / "poses"
    """Cache of the banks."""
    segmenter: Path = SEGMENTATION_NETWORK
    """Of the segmentation extra, for the row segmented."""
    processes: int = 1
    result: Path = RESULT


class Row(NamedTuple):
    """How a row of the table is made."""

    teacher: str
    changes: dict[str, Any]
    """Of the settings of the fit."""
    masks: str
    """true, damaged or segmented."""
    reads: str
    """For cells that were measured before metrics.json told it."""

    @property
    def finds_root(self) -> bool:
        """Tell whether bodies stand where their masks say, not at the true pelvis."""
        return self.teacher in ("masks", "undamaged")


MASKS_AND_POSES = "cameras + masks + unpaired poses"
ROOT_TOO = "cameras + root + masks + unpaired poses"
ROWS: dict[str, Row] = {
    "generator": Row("generator", {}, "true", ROOT_TOO),
    "s1": Row("s1", {}, "true", f"{ROOT_TOO} + S1's joints"),
    "cmu": Row("cmu", {}, "true", ROOT_TOO),
    "mask_root": Row("masks", {}, "true", MASKS_AND_POSES),
    "three_cameras": Row("generator", {"cameras": (1, 2, 3)}, "true", ROOT_TOO),
    "two_cameras": Row("generator", {"cameras": (1, 3)}, "true", ROOT_TOO),
    "damaged": Row("masks", {}, "damaged", MASKS_AND_POSES),
    "segmented": Row("masks", {}, "segmented", MASKS_AND_POSES),
    "with_labels": Row("generator", {"joints": "labels"}, "true", f"{MASKS_AND_POSES} + all labels"),
}


TITLES = {
    "generator": "poses of the embedded generator, true root",
    "s1": "poses of S1, fitted to labels from the first row's teacher",
    "cmu": "poses of 24 CMU motions of three people alone",
    "mask_root": "the generator's, root from the masks",
    "three_cameras": "as the first, three cameras",
    "two_cameras": "as the first, two cameras",
    "damaged": "as the fourth, damaged masks",
    "segmented": "as the fourth, masks of a segmentation network",
    "with_labels": "as the first, 17 joints known",
}
"""What the rows are, for readers."""


def teacher_config(settings: Settings, name: str, seed: int) -> MasksConfig:
    """Give the settings of a teacher."""
    paths = replace(settings.paths, runs_location=settings.work)
    bank = PoseSources(cache_location=settings.poses, processes=settings.processes)
    pelvis = {"centre": "pelvis", "shift_m": 0.0}
    plain = MasksConfig()
    changes: dict[str, dict[str, Any]] = {
        "generator": pelvis,
        "s1": pelvis | {"fits": settings.work / "fit" / f"labelled_{seed}" / "pseudo_labels.npz"},
        "cmu": pelvis | {"bank": replace(bank, generator=False, cmu=settings.cmu)},
        "masks": {},
        "undamaged": {"damage": Damage(share=0, missing=0)},
    }
    loop = replace(plain.loop, seed=seed, threads=1, resume=has_started(settings, name, seed))
    return replace(plain, **({"name": f"{name}_{seed}", "paths": paths, "bank": bank, "loop": loop} | changes[name]))


def has_started(settings: Settings, name: str, seed: int) -> bool:
    """Tell whether a teacher's training was stopped on its way."""
    return (settings.work / "masks" / f"{name}_{seed}" / "checkpoint_last.pt").is_file()


def trained(settings: Settings, name: str, seed: int) -> Path:
    """Train a teacher if it is not there, and give its checkpoint; how long it took lies beside it."""
    folder = settings.work / "masks" / f"{name}_{seed}"
    if not (folder / "damage.json").is_file():
        if name == "s1":
            fitted_labels(settings, seed)
        train_SMPL_from_masks.main(teacher_config(settings, name, seed))
    return folder / "checkpoint_best.pt"


def fitted_labels(settings: Settings, seed: int) -> None:
    """Fit bodies to S1's joints and masks: the bank of the row s1."""
    config = fit_config(settings, Row("generator", {"joints": "labels"}, "true", ""), "labelled", seed)
    if not (settings.work / "fit" / config.name / "pseudo_labels.npz").is_file():
        fit_SMPL.main(replace(config, subjects=(1,), every=1))


def fit_config(settings: Settings, row: Row, name: str, seed: int) -> FitConfig:
    """Give the settings of a fit."""
    paths = replace(settings.paths, runs_location=settings.work)
    if row.masks != "true":
        paths = damaged_paths(settings, row.masks, paths)
    plain = FitConfig(
        name=f"{name}_{seed}", teacher=trained(settings, row.teacher, seed), paths=paths, subjects=PEOPLE,
        every=settings.every, processes=settings.processes, root="masks" if row.finds_root else "pelvis",
    )  # fmt: skip
    return replace(plain, **row.changes)


def damaged_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spoil a mask as segmentation does: edges off by 2 pixels, holes and blobs at the outline, one in twenty lost."""
    if rng.random() < 0.05:
        return np.zeros_like(mask)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    found = np.roll(mask, rng.integers(-1, 2, 2), (0, 1))
    change, times = rng.integers(3), int(rng.integers(1, 3))
    if change:
        found = (cv2.erode if change == 1 else cv2.dilate)(found, kernel, iterations=times)
    outline = np.argwhere(cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0)
    for _ in range(int(rng.integers(4)) if len(outline) else 0):
        y, x = (int(value) for value in outline[rng.integers(len(outline))])
        cv2.circle(found, (x, y), int(rng.integers(2, 7)), int(255 * rng.integers(2)), -1)
    return found


def segmented_mask(
    image: UInt8[np.ndarray, "H W 3"], room: UInt8[np.ndarray, "H W 3"], segmenter: PersonSegmenter
) -> UInt8[np.ndarray, "H W"]:
    """Cut a person out: where the network is sure, or not against it and the room looks otherwise than in shadow."""
    likely = segmenter.closely(image)
    seen, empty = (cv2.GaussianBlur(one, (3, 3), 0).astype(np.float32) for one in (image, room))
    darker = (seen * empty).sum(axis=2) / ((empty * empty).sum(axis=2) + 1)
    apart = np.abs(seen - darker.clip(*SHADOW)[..., None] * empty).max(axis=2)
    mask = ((likely > SURELY) | ((likely > HARDLY) & (apart > NOT_SHADOW))).astype(np.uint8)
    count, patches, sizes, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return 255 * mask
    return ((patches == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax()) * 255).astype(np.uint8)


def damaged_paths(settings: Settings, kind: str, paths: Paths) -> Paths:
    """Write other masks of the measured frames, once, and give where they lie; the index has no packed crops there."""
    folder = settings.work / f"masks_{kind}_{settings.every}"
    there = replace(paths, masks_location=folder / "masks", index_location=folder / "index")
    if (folder / "done").is_file():
        return there
    table = load_table(settings.paths)
    rows = every_nth(table, select_rows(table, PEOPLE, "all", ()), settings.every)
    rooms: dict[tuple[int, int], UInt8[np.ndarray, "H W 3"]] = {}
    segmenter = PersonSegmenter(settings.segmenter) if kind == "segmented" else None
    for row in tqdm(rows.tolist(), f"masks {kind}", disable=None):
        key = table.key(row)
        if kind == "damaged":
            rng = np.random.default_rng([5, *key])
            mask = damaged_mask(read_mask(mask_path(settings.paths, key)), rng)
        else:
            assert segmenter is not None
            who = (key.subject, key.camera)
            if who not in rooms:
                rooms[who] = load_background(background_path(settings.paths, *who))
            mask = segmented_mask(read_image(image_path(settings.paths, key)), rooms[who], segmenter)
        write_image(mask_path(there, key), mask)
    (folder / "index").mkdir(parents=True, exist_ok=True)
    shutil.copy(settings.paths.index_location / "index.npz", folder / "index" / "index.npz")
    save_geometry(there, table._replace(masks_world_m=middles_world_m(there, table, rows)))
    (folder / "done").touch()
    return there


def middles_world_m(paths: Paths, table: FrameTable, rows: np.ndarray) -> np.ndarray:
    """Find the middle of the masks of each instant anew; NaN where none were written."""
    found = np.full((len(table.joints_world_m), 3), np.nan)
    for instant in np.unique(table.row_instant[rows]):
        own = rows[table.row_instant[rows] == instant]
        points_px = np.stack([mask_shape(read_mask(mask_path(paths, table.key(row)))).centroid_px for row in own])
        found[instant] = triangulated([table.camera(row) for row in own], points_px)
    return found


def file_name(name: str) -> str:
    """Turn the name of a row into that of its files."""
    return re.sub(r"\W+", "_", name)


def measured(settings: Settings, row: Row, name: str, seed: int) -> dict[str, Any]:
    """Measure a cell, or read what was measured."""
    cell = settings.work / "cells" / f"{file_name(name)}_{seed}.json"
    if cell.is_file():
        return json.loads(cell.read_text())
    config = fit_config(settings, row, file_name(name), seed)
    since_s = time.process_time()
    fit_SMPL.main(config)
    spent_s = time.process_time() - since_s
    found = masks_test.main(masks_test.TestMasksConfig(fits=settings.work / "fit" / config.name, paths=config.paths))
    tier = load_metrics(settings.work / "fit" / config.name / "metrics.json", "this script")["tier"]
    content = {"tier": tier, "teacher": found["teacher"], "fit": found["fit"]}
    content["cpu_s_per_frame"] = spent_s / found["fit"]["num_frames"]
    with atomic_write(cell) as partial:
        partial.write_text(json.dumps(content, indent=1))
    return content


def merged(cells: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    """Average the seeds of a row; its interval is the widest that contains those of all seeds."""
    fits = [cell["fit"] for cell in cells]
    reads = cells[0].get("tier", row.reads)
    line: dict[str, Any] = {"reads": reads, "num_frames": fits[0]["num_frames"], "seeds": len(cells)}
    for name in COLUMNS[:-1]:
        if name in fits[0] and (name != "world_joints_mm" or row.finds_root):
            line[name] = float(np.mean([one[name] for one in fits]))
        if name in INTERVALS and name in line:
            bounds = np.array([one[f"{name}_interval"] for one in fits])
            line[f"{name}_interval"] = [float(bounds[:, 0].min()), float(bounds[:, 1].max())]
    line["seconds_per_frame"] = float(np.mean([cell["cpu_s_per_frame"] for cell in cells])) / 2
    line["teacher_alone_joints_mm"] = float(np.mean([cell["teacher"]["joints_mm"] for cell in cells]))
    line["joints_mm_of_the_most_confident"] = {
        share: float(np.mean([one["joints_mm_of_the_most_confident"][share] for one in fits]))
        for share in fits[0]["joints_mm_of_the_most_confident"]}  # fmt: skip
    return line


def table_of(rows: dict[str, dict[str, Any]]) -> str:
    """Write the rows as markdown."""
    titles = ("joints mm", "vertices mm", "beyond 90° %", "in the world mm", "s per frame")
    lines = ["| | reads | teacher alone | " + " | ".join(titles) + " |", "|---" * (3 + len(titles)) + "|"]
    for name, line in rows.items():
        cells = []
        for column in COLUMNS:
            bounds = line.get(f"{column}_interval")
            told = f"{line[column]:.{2 if 'seconds' in column else 1}f}" if column in line else ""
            cells.append(told + (f" [{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds and told else ""))
        alone = f"{line['teacher_alone_joints_mm']:.1f}"
        lines.append(f"| {TITLES.get(name, name)} | {line['reads']} | {alone} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(settings: Settings, table: dict[str, Row], protocol: str, prefix: str = "") -> None:
    """Put together what is measured so far; rows with fewer seeds say so."""
    rows = {}
    for name, row in table.items():
        files = sorted((settings.work / "cells").glob(f"{file_name(prefix + name)}_[0-9].json"))
        if files:
            rows[name] = merged([json.loads(path.read_text()) for path in files], row)
    protocol = protocol.format(every=settings.every, seeds=min(line["seeds"] for line in rows.values()))
    save_result(settings.result, protocol, rows=[{"name": name} | line for name, line in rows.items()])
    with atomic_write(settings.result.with_suffix(".md")) as partial:
        partial.write_text(f"{table_of(rows)}\n\n{protocol}\n")
    print(table_of(rows))


PROTOCOL = (
    "Subjects 5 to 8 of the embedded data, one instant in {every}; nobody's joints are read but where a row says so, "
    "and no image but for masks that a network cuts out.  Joints: mean distance of 17 joints about the pelvis, no "
    "alignment.  Vertices: the same of all vertices of the true body.  Rows that read the root look at the true "
    "pelvis, the others find it from the masks.  Seeds of the teacher: {seeds}; brackets: 95 % bootstrap over "
    "subjects, the widest over the seeds.  Damaged masks: edges off by two pixels of 256, holes, blobs, one mask in "
    "twenty lost.  Segmentation network: the selfie segmentation of MediaPipe, with the empty room where it doubts.  "
    "Seconds per frame: processor seconds of reading, teacher, shape and fit over two, for two cores."
)


def measure(settings: Settings, table: dict[str, Row], protocol: str, prefix: str = "") -> None:
    """Measure all cells of a table, row by row, and write it after each; the prefix keeps the tables' files apart."""
    unknown = [name for name in settings.rows if name not in table]
    if unknown:
        raise ValueError(f"rows has {unknown[0]!r}, which is no row of this table; use some of "
                         f"{', '.join(map(repr, table))}")  # fmt: skip
    for name in settings.rows or tuple(table):
        for seed in settings.seeds:
            measured(settings, table[name], prefix + name, seed)
            write(settings, table, protocol, prefix)


if __name__ == "__main__":
    start(partial(measure, table=ROWS, protocol=PROTOCOL), Settings)
