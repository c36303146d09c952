"""The tree keeps its shape: who imports whom, and why a file exists.  Nothing here counts files."""

import ast
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from config import ROOT
from tests.benchmarks.measure_layout import code_lines, shared_runs

PACKAGES = ("config", "utils", "dataset_def", "models", "sample")
MAY_IMPORT = {
    "config": set(),
    "utils": {"config", "utils"},
    "dataset_def": {"config", "utils", "dataset_def"},
    "models": {"config", "utils", "models"},
    "sample": {"config", "utils", "dataset_def", "models", "sample"},
}
SYNTHETIC_ALSO = {"models.smpl"}
"""dataset_def/synthetic draws people, so it needs the body layer; nothing else crosses."""
FILES = [ROOT / "config.py", *sorted(path for name in PACKAGES[1:] for path in (ROOT / name).rglob("*.py"))]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_modules(tree: ast.AST) -> set[str]:
    """Full names of imported modules; `from models import smpl` counts as models.smpl."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= set(inside) if "." not in str(node.module) and node.module in PACKAGES[1:] else {str(node.module)}
    return names


def forbidden_imports(place: str, names: set[str]) -> set[str]:
    """Which of our modules a file at `place` (relative, with slashes) must not import."""
    package = place.split("/")[0].removesuffix(".py")
    ours = {name for name in names if name.split(".")[0] in PACKAGES}
    allowed = {name for name in ours if name.split(".")[0] in MAY_IMPORT[package]}
    return ours - allowed - (SYNTHETIC_ALSO if place.startswith("dataset_def/synthetic/") else set())


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_one_way(path):
    wrong = forbidden_imports(short(path), imported_modules(tree_of(path)))
    assert not wrong, f"{short(path)} imports {', '.join(sorted(wrong))}"


def test_the_rule_itself_refuses():
    assert forbidden_imports("utils/camera.py", {"numpy", "models.smpl"}) == {"models.smpl"}
    assert forbidden_imports("dataset_def/crop.py", {"utils.camera", "models.smpl"}) == {"models.smpl"}
    assert not forbidden_imports("dataset_def/synthetic/scene/render.py", {"models.smpl", "utils.draw_mesh"})
    assert forbidden_imports("dataset_def/synthetic/scene/render.py", {"models.losses"}) == {"models.losses"}
    assert forbidden_imports("models/losses.py", {"dataset_def.crop"}) == {"dataset_def.crop"}
    assert forbidden_imports("config.py", {"utils.camera"}) == {"utils.camera"}
    assert imported_modules(ast.parse("from models import smpl")) == {"models.smpl"}


def test_settings_need_no_torch():
    assert not {"torch", "numpy"} & {name.split(".")[0] for name in imported_modules(tree_of(ROOT / "config.py"))}


@pytest.mark.parametrize("path", FILES, ids=short)
def test_nothing_edits_the_search_path(path):
    attributes = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute) and node.attr == "path"]
    assert not any(isinstance(node.value, ast.Name) and node.value.id == "sys" for node in attributes)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_modules_and_public_functions_say_what_they_do(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{short(path)} has no docstring"
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
    zero_init = [node.name for node in public if not ast.get_docstring(node)]
    assert not zero_init, f"{short(path)}: no docstring in {', '.join(zero_init)}"


def test_no_script_hides_another_module():
    scripts = {path.stem for path in (ROOT / "sample").glob("*.py")} - {"__init__"}
    assert not scripts & (set(PACKAGES) | sys.stdlib_module_names)


def test_every_package_is_installed():
    listed = (ROOT / "pyproject.toml").read_text()
    folders = {path.parent for path in FILES if path.parent != ROOT}
    tops = {short(folder).split("/")[0] for folder in folders}
    assert not (missing := [top for top in sorted(tops) if f'"{top}*"' not in listed]), (
        f"pyproject.toml lacks {missing}"
    )
    bare = [short(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()]
    assert not bare, f"add __init__.py to {bare}"


# A file exists because of what it is: the rules below hold that, and say so on trees made up for the purpose.

TEXTS = {short(path): path.read_text() for path in FILES if path.name != "__init__.py"}
TRAINER_LINES = 150
SHORT_LINES = 40
SHORT = {
    "utils/compiled.py": "how all compiled functions are compiled, where a cache can be written and where none can",
    "dataset_def/people.py": "knows what converters and makers of drawn data leave beside the frames",
    "utils/machine.py": "what every result file notes about the machine",
}
"""Files that may be shorter, and why."""
IMPORTED_ONCE = {
    "reads or writes one format, chosen among others": (
        *(f"dataset_def/calibration/{name}.py" for name in (
            "colmap", "easymocap", "h36m", "opencv", "pose2sim", "qualisys")),
        "dataset_def/multiview/pose2sim_session.py", "dataset_def/synthetic/motion/cmu.py",
        "dataset_def/synthetic/sequence_files.py", "utils/export/bvh.py", "utils/export/marker_files.py",
        "utils/export/opensim.py", "utils/export/tables.py",
        "models/open_body/source.py", "dataset_def/poses/readers.py",
    ),
    "a backend, loaded by name or where its package is installed": (
        "models/silhouette/numba_kernels.py", "models/silhouette/numba_scan.py", "models/silhouette/triton_scan.py",
    ),
    "the door of its folder for one script": (
        "dataset_def/checks/sources.py", "dataset_def/labels_h5/place_people.py",
        "dataset_def/multiview/import_custom.py", "dataset_def/official/report.py",
        "utils/export/prediction.py", "utils/report/markdown.py", "utils/report/page.py",
        *(f"utils/figures/{name}.py" for name in ("benchmarks", "overview", "runs", "stages")),
    ),
    "a part of the method that a reader looks for by its name": (
        "dataset_def/poses/corruptions.py", "models/decoders.py",
        "models/drawn_keypoints.py", "models/drawn_masks.py", "models/encoders.py", "models/gan_losses.py",
        "models/keypoints_fit.py", "models/silhouette/near_plane.py",
        "sample/teach_points.py", "utils/image_metrics.py", "utils/one_euro.py", "utils/protocols.py",
    ),
    "a subject of its own, with tests of its own": (
        "dataset_def/multiview/custom_recording.py", "dataset_def/multiview/masks_from_motion.py",
        "dataset_def/multiview/evidence.py", "dataset_def/multiview/offsets.py",
        "dataset_def/multiview/people_in_views.py", "sample/bodies_in_cameras.py", "sample/predict_cameras.py",
        "sample/predict_archive.py",
        "dataset_def/h36m_instants_data.py", "dataset_def/mesh_batches.py", "dataset_def/motions.py",
        "dataset_def/photographic.py", "dataset_def/photos/backdrops.py", "dataset_def/photos/crop.py",
        "dataset_def/synthetic/motion/hands.py",
        "dataset_def/synthetic/motion/walking.py", "dataset_def/synthetic/scene/raycast.py",
        "dataset_def/synthetic/scene/render.py", "dataset_def/synthetic/scene/shadows.py",
        "dataset_def/synthetic/scene/surroundings.py", "dataset_def/synthetic/scene/things.py",
        "models/heading.py", "models/other_body.py",
        "models/open_body/joints.py", "models/points_from_masks.py", "models/taught_points.py",
        "utils/checkpoint_checks.py",
        "utils/export/markers.py", "utils/report/compare.py", "utils/report/curves.py", "utils/report/headline.py",
    ),
}  # fmt: skip
"""Files that one other file imports, or none by its name, by the reason why they are not part of it."""
TRADES = ("dataset_def/multiview", "dataset_def/official", "dataset_def/labels_h5")
DOORS = {
    "dataset_def/import_multiview.py": "dataset_def/multiview",
    "sample/predict_cameras.py": "dataset_def/multiview",
    "sample/bodies_in_cameras.py": "dataset_def/multiview",
    "dataset_def/convert_h36m.py": "dataset_def/official",
    "dataset_def/convert_labels_h5.py": "dataset_def/labels_h5",
}
"""The scripts that lead into a trade; nothing else of the method does."""
MOST_SHARED_LINES = 12


def imported_places(text: str, places: Collection[str]) -> set[str]:
    """Which of the files at `places` a text imports, also inside its functions."""
    tree = ast.parse(text)
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = imported_modules(tree) | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    return {place for place in places if place.removesuffix(".py").replace("/", ".") in names}


def is_script(text: str) -> bool:
    return '\nif __name__ == "__main__":' in text


def is_deep(place: str) -> bool:
    """Whether it stands in a sub-folder of a package."""
    return place.count("/") > 1


def folder_of(place: str) -> str:
    return place.rsplit("/", 1)[0]


def is_inside(place: str, folder: str) -> bool:
    return place.startswith(f"{folder}/")


def num_lines(text: str) -> int:
    return len(text.splitlines())


def lonely(texts: dict[str, str]) -> set[str]:
    """Find the files that one other file imports, or none, and that are no scripts."""
    importers = [imported_places(text, texts) for text in texts.values()]
    return {
        place for place, text in texts.items() if not is_script(text) and sum(place in one for one in importers) < 2
    }


def doors_taken_from_beside(texts: dict[str, str]) -> set[tuple[str, str]]:
    """Find sub-folders' files that import a script of another folder; sample/tools stands before all of them."""
    scripts = {place for place, text in texts.items() if is_script(text)}
    deep = {place: text for place, text in texts.items() if is_deep(place) and not is_inside(place, "sample")}
    return {(place, other) for place, text in deep.items()
            for other in imported_places(text, scripts) if folder_of(other) != folder_of(place)}  # fmt: skip


def trades_in_the_method(texts: dict[str, str]) -> set[tuple[str, str]]:
    """Find files directly in a folder that import from a trade, but for the trade's own door."""
    return {(place, other) for place, text in texts.items() if not is_deep(place)
            for other in imported_places(text, texts)
            for trade in TRADES if is_inside(other, trade) and DOORS.get(place) != trade}  # fmt: skip


def places_that_share(texts: dict[str, str]) -> set[tuple[str, str]]:
    """Find pairs of places with more equal lines than are allowed."""
    runs = shared_runs({place: code_lines(text) for place, text in texts.items()}, MOST_SHARED_LINES + 1)
    return {(where[0][0], where[-1][0]) for where in runs.values()}


def test_scripts_have_one_door():
    """What a user can cause becomes one sentence there; a script that reads its settings itself ends in a traceback."""
    own = [path for path in (*FILES, *(ROOT / "tests" / "benchmarks").glob("*.py")) if "tyro.cli(" in path.read_text()]
    assert [short(path) for path in own] == ["utils/settings.py"]


def test_a_trainer_is_read_from_top_to_bottom():
    long = {place: num_lines(text) for place, text in TEXTS.items()
            if place.startswith("sample/train_") and num_lines(text) > TRAINER_LINES}  # fmt: skip
    assert not long, f"more than {TRAINER_LINES} lines: {long}; move what is not the method"


def test_short_files_have_a_reason():
    few = {place: num_lines(text) for place, text in TEXTS.items() if num_lines(text) < SHORT_LINES}
    assert not (unlisted := few.keys() - SHORT), (
        f"{sorted(unlisted)}: fold into who uses it, or list it with the reason"
    )
    assert not (gone := SHORT.keys() - TEXTS.keys()), f"strike off the list, as there are no such files: {sorted(gone)}"


def test_files_that_are_imported_once_have_a_reason():
    listed = {place for places in IMPORTED_ONCE.values() for place in places}
    found = lonely(TEXTS)
    assert not (unlisted := found - listed), f"fold into who uses it, or list it with the reason: {unlisted}"
    assert not (gone := listed - TEXTS.keys()), f"strike off the list, as there are no such files: {sorted(gone)}"


def test_sub_folders_do_not_import_the_doors_of_others():
    assert not (found := doors_taken_from_beside(TEXTS)), found


def test_the_method_imports_no_trade():
    assert DOORS.keys() <= TEXTS.keys() and all(any(is_inside(place, trade) for place in TEXTS) for trade in TRADES)
    assert not (found := trades_in_the_method(TEXTS)), found


def test_nothing_of_more_than_twelve_lines_stands_twice():
    assert not (found := places_that_share(TEXTS)), f"{sorted(found)}; see python tests/benchmarks/measure_layout.py"


def test_the_rules_of_files_themselves_refuse():
    script = '\nif __name__ == "__main__":\n    main()\n'
    texts = {
        "dataset_def/a/one.py": "from dataset_def import door\nfrom dataset_def.a import own_door\n",
        "dataset_def/door.py": script,
        "dataset_def/a/own_door.py": script,
        "dataset_def/multiview/geometry.py": "",
        "dataset_def/import_multiview.py": "from dataset_def.multiview.geometry import turn\n",
        "dataset_def/crop.py": "def f():\n    from dataset_def.multiview import geometry\n",
    }
    assert doors_taken_from_beside(texts) == {("dataset_def/a/one.py", "dataset_def/door.py")}
    assert trades_in_the_method(texts) == {("dataset_def/crop.py", "dataset_def/multiview/geometry.py")}
    assert lonely(texts) == texts.keys() - {"dataset_def/door.py", "dataset_def/a/own_door.py",
                                            "dataset_def/multiview/geometry.py"}  # fmt: skip

    same = "".join(f"value_{number} = {number}\n" for number in range(MOST_SHARED_LINES))
    assert not places_that_share({"a.py": same, "b.py": f"# one\n{same}"})
    assert places_that_share({"a.py": f"{same}x = 1\n", "b.py": f"{same}x   =  1\n"}) == {("a.py", "b.py")}
