"""Motions as .fbx, made by Blender from a .glb: the format has no public description.

Blender runs in a process of its own, as the package bpy (Blender's own licence, GPL); nothing of this program is loaded
there but this file.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from config import ROOT
from utils.artifacts import atomic_write

LONGEST_S = 1800
"""A motion of 10,000 frames takes some minutes; a Blender that waits for something does not end by itself."""
FBX_REMEDY = 'pip install -e ".[fbx]"'


def needs_blender() -> None:
    """Stop where Blender's package is not installed.

    Raises:
        ValueError: with the command that installs it.
    """
    if importlib.util.find_spec("bpy") is None:
        raise ValueError(f".fbx files are made by Blender's package bpy, which is not installed; install it with: "
                         f"{FBX_REMEDY} (it exists for some versions of Python only), or take the .glb")  # fmt: skip


def write_fbx(path: Path, glb: Path, frames_per_second: float, header: Mapping[str, str]) -> None:
    """Let Blender read a .glb that `write_animated_glb` wrote, and write it as .fbx.

    Raises:
        ValueError: Blender is not installed, or does not write the file in time.
    """
    needs_blender()
    with atomic_write(path) as partial:
        whole = partial.with_name(f"{partial.name}.fbx")  # Blender appends the ending that it misses
        command = [sys.executable, "-m", "utils.export.fbx", str(glb.absolute()), str(whole.absolute())]
        command += [repr(frames_per_second), json.dumps(header)]
        try:
            told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S)
            if told.returncode or not whole.is_file():
                reason = (told.stderr.strip().splitlines() or ["it says nothing"])[-1]
                raise ValueError(f"Blender does not write {path}: {reason}; take the .glb")
            whole.replace(partial)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"Blender does not write {path} within {LONGEST_S} s; take the .glb") from error
        finally:
            whole.unlink(missing_ok=True)


def in_blender(glb: str, fbx: str, rate: str, header: str) -> None:
    """Do what `write_fbx` asks for; runs where bpy can be imported."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    render, wanted = bpy.context.scene.render, float(rate)
    render.fps = max(1, round(wanted))
    render.fps_base = wanted / render.fps  # the reader of .glb multiplies by it, while the rate is fps over fps_base
    bpy.ops.import_scene.gltf(filepath=glb)
    render.fps_base = render.fps / wanted
    for extra in [one for one in bpy.data.objects if one.type == "MESH" and one.find_armature() is None]:
        bpy.data.objects.remove(extra)  # the shape that Blender draws bones with
    armature = next(one for one in bpy.data.objects if one.type == "ARMATURE")
    for name, text in json.loads(header).items():
        armature[name] = text
    first, last = armature.animation_data.action.frame_range
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = round(first), round(last)
    bpy.ops.export_scene.fbx(
        filepath=fbx,
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        use_custom_props=True,
        bake_anim_simplify_factor=0.0,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
    )


if __name__ == "__main__":
    in_blender(*sys.argv[1:])
