"""The page of a run in a real browser: no errors, no network, fits a phone, and its bodies can be turned."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from config import ROOT
from models.kinematics import upright_rotations
from models.smpl import load_body
from sample import report
from sample.report import ReportConfig
from tests.helpers.browser import NO_GL, Page, chromium
from utils.artifacts import save_metrics, save_predictions
from utils.metrics import pose_errors
from utils.report.summaries import intervals, per_action
from utils.settings import start
from utils.tiers import NOTHING

COUNT = 12
BODY = ROOT / "models" / "assets" / "open_body.npz"


def write_run(folder: Path, noise_m: float) -> Path:
    """Write what a test script of bodies leaves behind: upright people, joints off by noise."""
    rng = np.random.default_rng(0)
    body = load_body(BODY)
    rotations, betas = upright_rotations()[None].repeat(COUNT, 1, 1, 1), torch.zeros(COUNT, 10)
    joints_m = body.h36m_joints_m(body(rotations, betas, torch.zeros(COUNT, 3)).vertices_m)
    true = (joints_m - joints_m[:, :1]).numpy()
    predicted = (true + rng.normal(0, noise_m, true.shape)).astype(np.float32)
    R = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)[None].repeat(COUNT, 0)
    frames = np.array([[9, 2 + row // 6, 1 + row // 3 % 2, 1, row % 3] for row in range(COUNT)], np.int32)
    errors = {name: values.double().numpy() for name, values in pose_errors(
        *map(torch.from_numpy, (predicted, true, R))).items()}  # fmt: skip
    found = {"step": 1, "overall": intervals(errors, frames), "per_action": per_action(errors, frames)}
    save_metrics(folder / "metrics.json", "S9; made up", frames, {}, found, reads=NOTHING, at_test=NOTHING)
    arrays = {
        "predicted_root_m": predicted, "true_root_m": true, "R_crop_from_world": R, "rotations_crop": rotations.numpy(),
        "betas": betas.numpy(), "extreme_row": np.arange(COUNT), "grid_input": np.zeros((4, 32, 32, 3), np.uint8),
        "extreme_image": rng.integers(0, 255, (COUNT, 32, 32, 3), np.uint8),
    }  # fmt: skip
    save_predictions(folder / "predictions.npz", "S9; made up", frames, {}, **arrays)
    lines = ('{"step": 1, "elapsed_s": 1, "loss": 2}', '{"step": 9, "elapsed_s": 9, "loss": 1}')
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("runs") / "mesh"
    return write_run(root / "good", 0.01), write_run(root / "bad", 0.1)


@pytest.fixture(scope="module")
def one_page(runs) -> Path:
    return report.main(ReportConfig(runs=(runs[0],), examples=3))


def pixels(page: Page, canvas: str) -> int:
    """Count the painted pixels of one of the viewer's canvases."""
    return page.evaluate(f"""(() => {{
        document.querySelector('.viewer').viewer.paint();
        const from = document.querySelector('canvas.{canvas}'), copy = document.createElement('canvas');
        Object.assign(copy, {{ width: from.width, height: from.height }});
        const pen = copy.getContext('2d');
        pen.drawImage(from, 0, 0);
        const values = pen.getImageData(0, 0, copy.width, copy.height).data;
        return values.filter((value, i) => i % 4 === 3 && value > 128).length;
    }})()""")


def check(page: Page, path: Path) -> None:
    """Nothing complained, nothing was fetched but the page."""
    assert page.problems() == []
    assert page.requests() == [path.as_uri()]


@pytest.mark.parametrize("flags", [(), NO_GL], ids=["webgl", "canvas"])
def test_bodies_are_drawn_and_turn_by_mouse_and_keys(one_page, flags):
    with chromium(*flags) as page:
        page.size(1280, 900)
        page.open(one_page.as_uri())
        assert page.evaluate("document.querySelector('.stage').dataset.painter") == ("canvas" if flags else "webgl")
        upright = pixels(page, "mesh")
        assert upright > 3000 and pixels(page, "lines") > 100 and pixels(page, "floor") > 100
        page.evaluate("document.querySelector('.stage').scrollIntoView({block: 'center', behavior: 'instant'})")
        box = page.evaluate("document.querySelector('.stage').getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 100, y=y, button="left", buttons=1)
        page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 100, y=y, button="left", clickCount=1)
        assert page.evaluate("document.querySelector('.viewer').viewer.yaw") == pytest.approx(0.9)
        page.evaluate("document.querySelector('.viewer').viewer.lookFrom(90, 0)")
        assert pixels(page, "mesh") < 0.8 * upright, "from the side a person is narrower"
        page.evaluate("document.querySelector('.stage').focus()")
        page.call("Input.dispatchKeyEvent", type="keyDown", key="0", text="0")
        assert page.evaluate("document.querySelector('.viewer').viewer.yaw") == 0
        page.evaluate("document.querySelector('[data-show=mesh]').click()")
        assert pixels(page, "mesh") == 0
        check(page, one_page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_page_without_sideways_scrolling(one_page, tmp_path, scheme):
    with chromium() as page:
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.size(390, 844, phone=True)
        page.open(one_page.as_uri())
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        page.picture(tmp_path / "phone.png", whole_page=True)
        assert (tmp_path / "phone.png").stat().st_size > 20_000
        check(page, one_page)


def test_every_picture_has_a_text_and_headings_go_down_step_by_step(one_page):
    with chromium() as page:
        page.open(one_page.as_uri())
        assert page.evaluate("[...document.images].filter(i => !i.hidden && !i.alt).length") == 0
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(h => +h.tagName[1])")
        assert levels[0] == 1 and all(b <= a + 1 for a, b in itertools.pairwise(levels))
        page.evaluate("document.querySelector('[data-curves]').focus()")
        assert page.evaluate("document.querySelector('.reading').textContent") == "step 9: 1"


def test_several_runs_are_compared_with_paired_intervals(runs, tmp_path):
    command = [sys.executable, str(ROOT / "sample/report.py"), *map(str, runs), "--out", str(tmp_path / "x.html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "x.html")
    with chromium() as page:
        page.size(1280, 900)
        page.open((tmp_path / "x.html").as_uri())
        lines = page.evaluate("[...document.querySelectorAll('.compared tbody tr')].map(row => row.textContent)")
        line = next(line for line in lines if "N-MPJPE" in line)
        assert "worse" in line
        assert page.evaluate("document.querySelectorAll('#comparison .curve').length") == 2
        check(page, tmp_path / "x.html")


def test_a_folder_without_a_run_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as ended:
        start(report.main, ReportConfig)
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "give a run" in told and "Traceback" not in told
    assert not list(tmp_path.iterdir())
