"""Exports in three.js, a viewer that we did not write: under node (numbers), and in a browser (pictures)."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from config import ROOT
from tests.helpers.browser import SOFTWARE_GL, chromium
from tests.helpers.moving_body import bent_stick, lively_rig, open_body, stick_motion, turn
from utils.draw_mesh import plain, render_mesh
from utils.export.bvh import write_bvh
from utils.export.gltf import write_animated_glb, write_static_glb
from utils.export.rig import all_weights, four_weights, skinned_vertices_m, to_y_up
from utils.image import read_image
from utils.skeleton import SMPL_24

SCRIPTS = ROOT / "tests" / "three"
WIDTH_PX, HEIGHT_PX, FOCAL_PX = 400, 440, 800.0
NEEDS_THREE = "three.js is not here: npm install --no-save three, or set NODE_MODULES to the folder that holds it"


def three_folder() -> Path:
    """Find the npm package three, or skip the test."""
    folder = Path(os.environ.get("NODE_MODULES", ROOT / "node_modules")) / "three"
    if not (folder / "build" / "three.module.js").is_file():
        pytest.skip(NEEDS_THREE)
    return folder


def read_with_three(script: str, file: Path, times_s) -> dict:
    folder = three_folder()
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    command = ["node", str(SCRIPTS / script), str(folder), str(file), *(f"{time:.9f}" for time in times_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)  # no measure: for a process that hangs
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def farthest_m(a, b) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).max())


def test_three_bends_the_stick_as_by_hand(tmp_path):
    motion = stick_motion({}, {1: turn("z", 90)}, pelvis_m=(0, 0, 2))
    write_animated_glb(tmp_path / "stick.glb", bent_stick(), motion)
    found = read_with_three("read_glb.mjs", tmp_path / "stick.glb", [0.0, 0.05, 0.1])
    np.testing.assert_allclose(found["frames"][0][8], [0.1, 1.5, 2], atol=1e-6)
    np.testing.assert_allclose(found["frames"][2][8], [-0.5, 1.1, 2], atol=1e-6)
    # Half way the bone of 0.5 m stands at 45 degrees, and the corner 0.1 m across it.
    half = 0.5**0.5
    np.testing.assert_allclose(found["frames"][1][8], [half * (0.1 - 0.5), 1 + half * (0.5 + 0.1), 2], atol=1e-6)
    assert found["bones"] == ["a", "b", "c"] and found["duration_s"] == pytest.approx(0.1)


def test_three_skins_the_animated_body_to_a_tenth_of_a_millimetre_of_ours(tmp_path):
    rig, motion, *_ = lively_rig(12)
    loss_m = write_animated_glb(tmp_path / "body.glb", rig, motion)
    frames = [0, 5, 11]
    found = read_with_three("read_glb.mjs", tmp_path / "body.glb", np.array(frames) / 25)
    assert tuple(found["bones"]) == SMPL_24
    assert found["material"] == {"metalness": 0, "colour": "deb099"}
    kept = all_weights(*four_weights(rig.weights), 24)
    ours_m, exact_m = skinned_vertices_m(rig, motion, kept)[frames], skinned_vertices_m(rig, motion, rig.weights)
    assert farthest_m(found["frames"], ours_m) < 1e-4, f"{1000 * farthest_m(found['frames'], ours_m):.3f} mm"
    assert farthest_m(found["frames"], exact_m[frames]) <= loss_m + 1e-4, "the stated loss is the whole loss"


def test_three_finds_the_joints_of_the_bvh_to_a_tenth_of_a_millimetre(tmp_path):
    rig, motion, _, joints_cam_m = lively_rig(12)
    write_bvh(tmp_path / "body.bvh", rig, motion)
    found = read_with_three("read_bvh.mjs", tmp_path / "body.bvh", np.arange(12) / 25)
    for frame, places in enumerate(found["frames"]):
        theirs_m = np.array([places[name] for name in SMPL_24]) / 100
        assert farthest_m(theirs_m, to_y_up(joints_cam_m[frame])) < 1e-4


@pytest.fixture
def place(tmp_path):
    """A folder and its address on this machine, with three.js beside it."""
    (tmp_path / "three").symlink_to(three_folder())
    (tmp_path / "index.html").symlink_to(SCRIPTS / "view_glb.html")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def look(folder: Path, address: str, time_s: float) -> np.ndarray:
    """Let a browser draw body.glb, and give the picture."""
    with chromium(*SOFTWARE_GL) as page:
        page.size(WIDTH_PX, HEIGHT_PX)
        page.open(f"{address}/index.html?time={time_s}&focal={FOCAL_PX}")
        page.wait_for("window.drawn")
        page.picture(folder / "picture.png")
        failures = [text for text in page.problems() if "GPU stall" not in text]
        assert failures == []
    return read_image(folder / "picture.png")


def our_picture(vertices_cam_m: np.ndarray) -> np.ndarray:
    K = np.array([[FOCAL_PX, 0, WIDTH_PX / 2], [0, FOCAL_PX, HEIGHT_PX / 2], [0, 0, 1]])
    faces = open_body().faces.numpy()
    return render_mesh(vertices_cam_m, faces, np.full((len(vertices_cam_m), 3), 0.5), K, plain(HEIGHT_PX, WIDTH_PX))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    person_a, person_b = (np.abs(image.astype(int) - 255).max(axis=-1) > 8 for image in (a, b))
    return (person_a & person_b).sum() / (person_a | person_b).sum()


def test_a_browser_shows_the_animated_body_where_the_camera_saw_it(place):
    folder, address = place
    rig, motion, vertices_cam_m, _ = lively_rig(12)
    write_animated_glb(folder / "body.glb", rig, motion)
    picture = look(folder, address, time_s=7 / 25)
    assert overlap(picture, our_picture(vertices_cam_m[7])) > 0.97
    assert overlap(picture, our_picture(vertices_cam_m[0])) < 0.9, "another frame looks otherwise"


def test_a_browser_shows_the_posed_mesh_where_the_camera_saw_it(place):
    folder, address = place
    _, _, vertices_cam_m, _ = lively_rig(1, seed=3)
    write_static_glb(folder / "body.glb", to_y_up(vertices_cam_m[0]), open_body().faces.numpy())
    assert overlap(look(folder, address, time_s=0.0), our_picture(vertices_cam_m[0])) > 0.97
