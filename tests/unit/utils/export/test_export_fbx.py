import subprocess
from pathlib import Path

import pytest

from utils.export import fbx as fbx_module
from utils.export.fbx import write_fbx


@pytest.fixture
def blender(monkeypatch, tmp_path):
    """A stand-in for Blender that copies, started as Blender is: in another folder."""

    def run(command, cwd, **_):
        source, made = (Path(cwd) / one for one in command[3:5])
        if not source.is_file():
            return subprocess.CompletedProcess(command, 1, "", "no such file\n")
        made.write_bytes(source.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fbx_module, "needs_blender", lambda: None)
    monkeypatch.setattr(fbx_module.subprocess, "run", run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_those_of_the_folder_that_the_program_runs_in(blender):
    (blender / "body.glb").write_bytes(b"a rig")
    write_fbx(Path("out/body.fbx"), Path("body.glb"), 25.0, {})
    assert (blender / "out" / "body.fbx").read_bytes() == b"a rig"


def test_a_blender_that_never_ends_is_stopped_and_leaves_nothing(blender, monkeypatch):
    def run(command, timeout, **_):
        Path(command[4]).parent.mkdir(exist_ok=True)
        Path(command[4]).write_bytes(b"half")
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(fbx_module.subprocess, "run", run)
    with pytest.raises(ValueError, match=r"Blender does not write out/body.fbx within 1800 s; take the .glb"):
        write_fbx(Path("out/body.fbx"), Path("body.glb"), 25.0, {})
    assert not [path for path in blender.rglob("*") if path.is_file()]


def test_what_blender_does_not_write_is_told_and_leaves_nothing(blender):
    with pytest.raises(ValueError, match=r"Blender does not write out/body.fbx: no such file; take the .glb"):
        write_fbx(Path("out/body.fbx"), Path("none.glb"), 25.0, {})
    assert not list(blender.rglob("*.fbx"))
