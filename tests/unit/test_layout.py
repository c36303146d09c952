"""The tree keeps its shape: who imports whom, and how long things are."""

import ast
import sys
from pathlib import Path

import pytest

from config import ROOT

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
