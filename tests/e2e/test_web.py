"""The page on which a picture is dropped: its function without gradio, and the page itself where gradio is there."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from config import ROOT
from sample.predict import Predictor
from sample.tools import web
from sample.tools.web import WebConfig
from tests.helpers.browser import SOFTWARE_GL, chromium
from tests.helpers.untrained_mesh import write_untrained_mesh


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_untrained_mesh(tmp_path_factory.mktemp("mesh") / "mesh.pt")


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return Predictor(checkpoint, "cpu")


@pytest.fixture
def ask(predictor, tmp_path):
    def answer(upload, box="", **settings):
        absent = {"segmentation": tmp_path / "none.tflite", "detector_location": tmp_path / "none"}
        config = WebConfig(device="cpu", **absent, **settings)
        return web.answer(None if upload is None else str(upload), box, predictor, tmp_path / "shown", config)

    return answer


@pytest.fixture
def photo(tmp_path) -> Path:
    rgb = np.full((240, 320, 3), 90, np.uint8)
    rgb[60:200, 66:106] = (220, 40, 40)
    Image.fromarray(rgb).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_a_picture_becomes_what_the_page_shows_and_the_next_replaces_it(ask, photo, tmp_path):
    shown = ask(photo, "66, 60 40 140")
    assert 6900 < len(trimesh.load(shown.mesh, force="mesh").vertices) < 7100
    assert Image.open(shown.overlay).size == (320, 240) and Path(shown.views).is_file()
    second = photo.rename(tmp_path / "second.JPG")
    assert Path(ask(second, "66 60 40 140").mesh).name == "second.glb" and not Path(shown.mesh).exists()


def test_a_bad_upload_ends_in_one_sentence_that_tells_no_folder(ask, photo, tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    for name, content in (("text.jpg", b"hello"), ("zero.png", b""), ("clip.mp4", b"1"), ("run.exe", b"1")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "large.bmp").write_bytes(bytes(2_100_000))
    box = "66 60 40 140"
    wrong = [
        (None, box, "drop a picture first"), ("text.jpg", box, "is no image"), ("zero.png", box, "0 bytes"),
        ("clip.mp4", box, "clip.mp4 is no picture; drop one of .jpg"), ("run.exe", box, "is no picture"),
        ("large.bmp", box, "has 2 MB; drop a picture of at most 1 MB"), ("huge.png", box, "has 100 megapixels"),
        ("photo.jpg", "66 60 40", "is not four numbers"), ("photo.jpg", "left", "is not four numbers"),
        ("photo.jpg", "900 10 50 90", "lies outside"), ("photo.jpg", "nan 10 50 90", "not finite"),
        ("photo.jpg", "", "nothing tells where the person is"),
    ]  # fmt: skip
    for name, where, words in wrong:
        with pytest.raises(ValueError, match=words) as refused:
            ask(None if name is None else tmp_path / name, where, largest_mb=1)
        assert str(tmp_path) not in str(refused.value).replace(str(tmp_path / "none.tflite"), ""), name
        assert not (tmp_path / "shown").exists()


def test_hostile_uploads_end_in_one_sentence(ask, photo, tmp_path):
    (tmp_path / "link.jpg").symlink_to("/etc/hostname")
    (tmp_path / "folder.jpg").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "tiny.png")
    bomb = (tmp_path / "tiny.png").read_bytes()
    (tmp_path / "bomb.png").write_bytes(bomb.replace(bomb[16:24], (50_000).to_bytes(4, "big") * 2))
    (tmp_path / "zip.jpg").write_bytes(b"PK\x03\x04" + bytes(1000))
    box = "66 60 40 140"
    wrong = [("link.jpg", box, "no file that was dropped"), ("folder.jpg", box, "no file that was dropped"),
             ("../" * 8 + "etc/hostname", box, "no file|no picture"), ("bomb.png", box, "megapixels|damaged|no image"),
             ("zip.jpg", box, "no image"), ("photo.jpg", "1 " * 10**6, "letters"),
             ("photo.jpg", "1e400 0 1 1", "finite"),
             ("photo.jpg", "0 0 1e-9 1e-9", "box")]  # fmt: skip
    for name, where, words in wrong:
        with pytest.raises(ValueError, match=words) as refused:
            ask(tmp_path / name, where)
        assert str(tmp_path) not in str(refused.value) and "\n" not in str(refused.value), name


@pytest.mark.parametrize(
    "name", ["a" * 240 + ".jpg", "<img src=x onerror=alert(1)>.jpg", "a\nb;rm -rf $HOME.jpg", "...jpg"]
)
def test_a_name_made_to_do_harm_names_nothing_here(ask, photo, tmp_path, name):
    shown = ask(photo.rename(tmp_path / name), "66 60 40 140")
    for path in map(Path, shown):
        assert path.is_file() and path.parent == tmp_path / "shown"
        assert len(path.name) < 80 and re.fullmatch(r"[\w.-]+", path.name)


def test_an_address_has_so_many_turns_a_minute_and_what_was_shown_goes(tmp_path):
    turns = web.Turns(3)
    for second in (0.0, 1.0, 2.0):
        turns.take("a", second)
    with pytest.raises(ValueError, match="3 pictures a minute are enough"):
        turns.take("a", 30.0)
    turns.take("b", 30.0)
    turns.take("a", 61.0)
    assert set(turns.sent_s) == {"a", "b"}
    turns.take("c", 200.0)
    assert set(turns.sent_s) == {"c"}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "old", (0, 0))
    web.swept(tmp_path, time.time())
    assert [place.name for place in tmp_path.iterdir()] == ["new"]


def test_without_gradio_the_remedy_is_named(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r'pip install -e ".\[web\]"'):
        web.main(WebConfig(checkpoint=checkpoint))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def address(checkpoint, tmp_path_factory):
    """The page, served by the script as a user starts it."""
    pytest.importorskip("gradio", reason="the page needs the extra [web]")
    port, log = free_port(), tmp_path_factory.mktemp("web") / "log.txt"
    command = [
        sys.executable,
        "sample/tools/web.py",
        "--checkpoint",
        checkpoint,
        "--device",
        "cpu",
        "--port",
        str(port),
    ]
    with open(log, "w") as stream:
        settings = os.environ | {"PYTHONUNBUFFERED": "1", "GRADIO_TEMP_DIR": str(log.parent / "gradio")}
        server = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, env=settings)
    until_s = time.monotonic() + 600  # no measure: for a server that hangs
    while "Running on local URL" not in log.read_text():
        assert server.poll() is None and time.monotonic() < until_s, log.read_text()
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(600)


def test_a_picture_sent_to_the_page_comes_back_as_a_mesh(address, photo):
    client = pytest.importorskip("gradio_client")
    *_, mesh = client.Client(address, verbose=False).predict(client.handle_file(photo), "66 60 40 140",
                                                             api_name="/predict")  # fmt: skip
    assert 6900 < len(trimesh.load(mesh, force="mesh").vertices) < 7100


def test_the_page_tells_what_is_wrong_with_a_picture(address, tmp_path):
    client = pytest.importorskip("gradio_client")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(Exception, match=r"text.jpg \(5 bytes\) is no image"):
        client.Client(address, verbose=False).predict(client.handle_file(tmp_path / "text.jpg"), "1 1 50 90",
                                                      api_name="/predict")  # fmt: skip


def test_the_page_opens_in_a_browser_and_asks_nobody_else(address, tmp_path):
    with chromium(*SOFTWARE_GL) as page:
        page.size(900, 900)
        page.open(address)
        page.wait_for("document.body.innerText.includes('Drop a picture of one person')")
        page.picture(tmp_path / "page.png")
        assert [url for url in page.requests() if not url.startswith(address)] == []
