"""Lets Blender open a file, and prints what it finds as JSON; a process of its own, which needs only bpy and this file.

    python tests/helpers/blender_reads.py motion.glb 1.0 0.0 0.04 0.08

Arguments: the file, the scale that a .bvh is opened with, and times in seconds at which the body is looked at.
Blender's world has z up; what is printed is in it, in Blender's units, which are metres.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MARK = "FOUND "


def in_blender(path: Path, times_s: Sequence[float], scale: float = 1.0) -> dict:
    """Start Blender in a process, and give what `look` finds."""
    times = [f"{time_s:.9f}" for time_s in times_s]
    done = subprocess.run([sys.executable, __file__, str(path), str(scale), *times], capture_output=True, text=True,
                          timeout=600)  # no measure: for one that hangs  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    assert lines, done.stderr[-2000:]
    return json.loads(lines[0].removeprefix(MARK))


def open_file(path: str, scale: float) -> None:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    ending = Path(path).suffix
    if ending == ".glb":
        bpy.ops.import_scene.gltf(filepath=path)
    elif ending == ".fbx":
        bpy.ops.import_scene.fbx(filepath=path)
    else:
        bpy.ops.import_anim.bvh(filepath=path, global_scale=scale, update_scene_fps=True)


def keyed_frames(action) -> list[float]:
    """Frames at which the first curve of an action has keys."""
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    return [point.co[0] for point in next(iter(bags)).fcurves[0].keyframe_points]


def look(path: str, scale: float, times_s: list[float]) -> dict:
    import bpy

    open_file(path, scale)
    scene = bpy.context.scene
    armature = next(one for one in bpy.data.objects if one.type == "ARMATURE")
    meshes = [one for one in bpy.data.objects if one.type == "MESH" and one.find_armature() is not None]
    rate, to_world = scene.render.fps / scene.render.fps_base, armature.matrix_world
    # Blender's readers of .glb and .fbx place keys by the whole number alone; that of .bvh numbers the frames.
    per_second = rate if Path(path).suffix == ".bvh" else scene.render.fps
    found = {
        "rate": rate,
        "rest": {bone.name: [list(to_world @ end) for end in (bone.head_local, bone.tail_local)]
                 for bone in armature.data.bones},
        "parents": {bone.name: bone.parent.name if bone.parent else "" for bone in armature.data.bones},
        "keys_s": [frame / per_second for frame in keyed_frames(armature.animation_data.action)],
        "told": {name: str(armature[name]) for name in armature.keys()},  # noqa: SIM118
        "weights": [],
        "frames": [],
    }  # fmt: skip
    for mesh in meshes:
        names = [group.name for group in mesh.vertex_groups]
        found["weights"] += [{names[one.group]: one.weight for one in vertex.groups} for vertex in mesh.data.vertices]
    offset_s = found["keys_s"][0]  # Blender's first frame is number 1 in some formats and 0 in others
    for time_s in times_s:
        frame = (time_s + offset_s) * per_second
        scene.frame_set(int(frame // 1), subframe=frame % 1)
        seen = bpy.context.evaluated_depsgraph_get()
        posed = armature.evaluated_get(seen)
        places = {bone.name: list(posed.matrix_world @ bone.head) for bone in posed.pose.bones}
        surface = [list(mesh.matrix_world @ vertex.co) for mesh in meshes
                   for vertex in mesh.evaluated_get(seen).to_mesh().vertices]  # fmt: skip
        found["frames"].append({"joints": places, "surface": surface})
    return found


if __name__ == "__main__":
    print(MARK + json.dumps(look(sys.argv[1], float(sys.argv[2]), [float(one) for one in sys.argv[3:]])))
