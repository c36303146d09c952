"""The page itself: what was gathered becomes one self-contained file."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

from config import ROOT
from utils.artifacts import NOT_DRAWN
from utils.report import curves, pictures, solids
from utils.report.compare import RunComparison, TestedRun, compare_runs
from utils.report.files import (
    STAGES,
    UNKNOWN,
    RunFiles,
    Setting,
    Start,
    attempt,
    changed_settings,
    defaults,
    preset_name,
    read_starts,
    shown_setting,
    test_command,
    trained_for,
)
from utils.report.frames import Frames, action_means, facing_table, read_frames
from utils.report.measures import (
    GROUP_TITLES,
    OVERALL,
    Measure,
    Summary,
    Table,
    headlines,
    readable,
    sorted_metrics,
    written_number,
)
from utils.settings import flat, without_folders
from utils.tiers import reads_from

PAGE_FOLDER = Path(__file__).resolve().parent

PoseBodies = Callable[[RunFiles, Mapping[str, np.ndarray], list[int]], solids.SolidFrames | None]
"""Poses the meshes of some rows of a run's predictions; None where it predicts none."""


class Result(NamedTuple):
    """One metrics file as it is shown."""

    name: str
    protocol: str
    facts: dict[str, str]
    origin: dict[str, str]
    predictors: Table
    shown: list[Measure]
    breakdowns: list[Table]


class RunView(NamedTuple):
    """One run as it is shown."""

    anchor: str
    title: str
    stage: str
    folder: str
    starts: list[Start]
    duration: str
    preset: str
    changed: list[Setting]
    everything: dict[str, str]
    notes: list[str]
    results: list[Result]
    panels: list[curves.Panel]
    groups: list[solids.Group]
    scene: dict[str, Any]
    strips: list[pictures.Strip]
    figures: list[pictures.Figure]


def view_run(run: RunFiles, number_on_page: int, bodies: PoseBodies, count: int) -> tuple[RunView, TestedRun]:
    """Lay out one run, and hand on what a comparison needs."""
    notes = list(run.notes)
    arrays = next(iter(run.predictions.values()), {})
    frames = attempt(notes, None, lambda: read_frames(arrays))
    no_scene: tuple[list[solids.Group], dict[str, Any]] = ([], {})
    groups, scene = attempt(notes, no_scene, lambda: turnable(run, arrays, frames, bodies, count))
    missing_pictures(run, arrays, frames, notes)
    notes += [str(arrays[NOT_DRAWN])] if NOT_DRAWN in arrays else []
    results = [view_result(name, stored, frames if place == 0 else None)
               for place, (name, stored) in enumerate(run.metrics.items())]  # fmt: skip
    own = run.metadata.get("settings", {})
    command = run.metadata["starts"][0]["command"] if run.metadata.get("starts") else []
    preset = preset_name(command, run.stage, own)
    view = RunView(
        anchor=f"run-{number_on_page}",
        title=run.title,
        stage=STAGES[run.stage][0] if run.stage in STAGES else run.stage,
        folder=str(without_folders(str(run.folder), str(ROOT))),
        starts=read_starts(run.metadata),
        duration=trained_for(run.history) if run.history else "",
        preset=preset,
        changed=changed_settings(own, defaults(run.stage, preset)),
        everything={name: shown_setting(value) for name, value in flat(own).items()},
        notes=notes,
        results=results,
        panels=curves.panels([run.history], [run.title]) if run.history else [],
        groups=groups,
        scene=scene,
        strips=pictures.strips(arrays),
        figures=read_figures(run.pictures, notes),
    )  # fmt: skip
    return view, tested(run, frames)


def read_figures(paths: Sequence[Path], notes: list[str]) -> list[pictures.Figure]:
    """Take the run's picture files into the page; note those that cannot be read."""
    found = [attempt(notes, None, partial(pictures.figure, path)) for path in paths]
    return [figure for figure in found if figure is not None]


def turnable(
    run: RunFiles, arrays: Mapping[str, np.ndarray], frames: Frames | None, bodies: PoseBodies, count: int
) -> tuple[list[solids.Group], dict[str, Any]]:
    """Choose frames and describe them for the page and for its script."""
    if frames is None or frames.predicted_root_m is None:
        return [], {}
    chosen = solids.choose_rows(frames, arrays, count)
    rows = list(dict.fromkeys(row for group in chosen.values() for row in group))
    return solids.frame_groups(frames, arrays, chosen), solids.scene(frames, rows, bodies(run, arrays, rows))


def missing_pictures(run: RunFiles, arrays: Mapping[str, np.ndarray], frames: Frames | None, notes: list[str]) -> None:
    """Note that the best and worst frames have no images, where an older test left them out."""
    if frames is not None and frames.predicted_root_m is not None and "extreme_image" not in arrays:
        notes.append("The predictions hold no images of the best and the worst frames; they come with: "
                     + test_command(run.folder, run.stage))  # fmt: skip


def view_result(name: str, stored: Mapping[str, Any], frames: Frames | None) -> Result:
    """Lay out a metrics file, with the tables that the stored frames add."""
    found = sorted_metrics(stored["metrics"])
    tables = list(found.breakdowns)
    titles = " ".join(table.title for table in tables)
    if frames is not None and "action" not in titles:
        tables.append(action_means(frames))
    if frames is not None and "facing" not in titles and (facing := facing_table(frames)) is not None:
        tables.append(facing)
    hashes = {f"{kind} (SHA-256)": value[:16] for kind, value in stored.get("input_hashes", {}).items()}
    return Result(
        name=name,
        protocol=f"{stored.get('split', 'no protocol recorded')}; {stored.get('num_frames', 0):,} frames",
        facts={"reads": stored.get("tier", UNKNOWN)} | read_at_test(stored) | found.facts,
        origin={"commit": str(stored.get("commit", UNKNOWN))} | hashes,
        predictors=found.predictors,
        shown=headlines(found.predictors.measures),
        breakdowns=tables,
    )


def read_at_test(stored: Mapping[str, Any]) -> dict[str, str]:
    """Say what the test itself gave to the networks, and what the rows beside them were made from."""
    at_test = {"at the test": reads_from(stored["reads_at_test"]).tier} if "reads_at_test" in stored else {}
    return at_test | {f"{readable(name)} reads": tier for name, tier in stored.get("tier_of", {}).items()}


def tested(run: RunFiles, frames: Frames | None) -> TestedRun:
    """Hand on a run's first metrics file."""
    stored = next(iter(run.metrics.values()), None)
    found: Summary | None = None if stored is None else sorted_metrics(stored["metrics"])
    split, hashes = ("", {}) if stored is None else (str(stored.get("split", "")), stored.get("input_hashes", {}))
    tier = UNKNOWN if stored is None else str(stored.get("tier", UNKNOWN))
    settings = run.metadata.get("settings", {})
    return TestedRun(run.title, settings, split, str(hashes.get("index", "")), found, frames, tier)


def write_page(runs: Sequence[RunFiles], bodies: PoseBodies, count: int, made: str) -> str:
    """Write the page of one or several runs."""
    views, for_comparison = zip(*(view_run(run, place, bodies, count) for place, run in enumerate(runs)), strict=True)
    comparison: RunComparison | None = None
    shared: list[curves.Panel] = []
    if len(runs) > 1:
        comparison = compare_runs(for_comparison)
        shared = [panel for panel in curves.panels([run.history for run in runs], [run.title for run in runs])
                  if len(panel.curves) > 1] if any(run.history for run in runs) else []  # fmt: skip
    script = "\n".join((PAGE_FOLDER / name).read_text() for name in ("viewer.js", "page.js"))
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    return (
        environment()
        .get_template("page.html")
        .render(
            views=views,
            comparison=comparison,
            shared=shared,
            made=made,
            script=script,
            digest=digest,
            style=(PAGE_FOLDER / "page.css").read_text(),
            size=(curves.WIDTH, curves.HEIGHT),
            own_name=GROUP_TITLES[OVERALL],
            margins=(curves.LEFT, curves.RIGHT, curves.TOP, curves.BOTTOM),
        )
    )


def environment() -> jinja2.Environment:
    """Make the template engine: everything is escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": written_number, "data": as_data, "headlines": headlines}
    return made


def as_data(value: Any) -> str:
    """Write plain types as JSON that cannot end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return jinja2.utils.markupsafe.Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))
