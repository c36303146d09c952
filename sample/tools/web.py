"""A page on this machine: drop a picture of a person on it, and turn the body with the mouse.

    pip install -e ".[web]" && python sample/tools/web.py

Reads   a checkpoint of the tier that sample/predict.py would take; pictures that are dropped on the page
Writes  nothing that stays: what a visitor sees lies in a temporary folder of his own, for ten minutes at most, and
        all of it goes when the page is closed
"""

import re
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from config import ASSETS, Device, Paths, ranged, setting
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK
from dataset_def.video import IMAGE_ENDINGS
from sample.predict import AnyPredictor, PredictConfig, open_predictor, predict
from utils.failures import failure_in_words
from utils.settings import start


@dataclass(frozen=True)
@ranged()
class WebConfig:
    """sample/tools/web.py: a page on this machine, on which a picture is dropped and the mesh is turned."""

    tier: Literal["auto", "keypoints", "pixels"] = "auto"
    """As sample/predict.py takes it: keypoints where the keypoints extra is installed, else this project's network."""
    checkpoint: Path = ASSETS / "open_body_photos.pt"
    """Tier pixels: checkpoint_best.pt of stage 4, such as runs/mesh/demo/checkpoint_best.pt; without it, the committed
    one."""
    host: str = "127.0.0.1"
    """Who can reach the page: 127.0.0.1 is this machine only, 0.0.0.0 everybody in its network, without a password."""
    port: int = setting(7860, low=1, high=65535)
    largest_mb: int = setting(20, low=1, high=200)
    """Larger files are refused."""
    per_minute: int = setting(12, low=1, high=600)
    """Pictures that one address may send in a minute."""
    waiting: int = setting(16, low=1, high=256)
    """Pictures that may wait for their turn; who comes then is told to try again."""
    segmentation: Path = SEGMENTATION_NETWORK
    """The network of the segmentation extra, which finds the person where no box is given."""
    detector_location: Path = KEYPOINT_NETWORKS
    """Folder with the keypoints extra's networks."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)


TITLE = (
    "# A body from one picture\nDrop a picture of one person, seen from head to foot, and turn the body with the mouse."
)
BOX = "Box of the person in pixels: x y width height (empty: the person is found by itself)"
HEIGHT_PX = 420
GRADIO_REMEDY = 'the page needs the package gradio; install it with: pip install -e ".[web]"'


class Answer(NamedTuple):
    """What the page shows."""

    overlay: str
    views: str
    mesh: str


def read_box(text: str) -> tuple[float, float, float, float] | None:
    """Read four numbers; None where nothing is written."""
    if len(text) > LONGEST_BOX:
        raise ValueError(f"the box has {len(text)} letters; write x y width height, such as 120 40 200 480")
    parts = text.replace(",", " ").split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = [0.0]
    if numbers and len(numbers) != 4:
        raise ValueError(f"the box {text!r} is not four numbers; write x y width height, such as 120 40 200 480")
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if numbers else None


LONGEST_BOX = 100
"""Letters of the four numbers of a box."""
LONGEST_NAME = 60
KEPT_S = 600.0
"""How long a visitor's pictures lie here; the page has shown them long before."""


def safe_name(path: Path) -> str:
    """Give a name that holds letters, digits, points, dashes and underlines alone, and is short."""
    return re.sub(r"[^\w.-]", "_", path.stem, flags=re.ASCII).lstrip(".")[:LONGEST_NAME] or "picture"


class Turns:
    """Counts the pictures of each address in the last minute."""

    def __init__(self, per_minute: int):
        self.per_minute = per_minute
        self.sent_s: dict[str, deque[float]] = {}

    def take(self, address: str, now_s: float) -> None:
        """Note a picture.

        Raises:
            ValueError: the address has sent too many.
        """
        self.sent_s = {one: times for one, times in self.sent_s.items() if now_s - times[-1] < 60}
        times = self.sent_s.setdefault(address, deque(maxlen=self.per_minute))
        if len(times) == self.per_minute and now_s - times[0] < 60:
            raise ValueError(f"{self.per_minute} pictures a minute are enough; wait a little")
        times.append(now_s)


def swept(folder: Path, now_s: float) -> None:
    """Delete what was shown long ago."""
    for place in folder.iterdir():
        if now_s - place.stat().st_mtime > KEPT_S:
            shutil.rmtree(place, ignore_errors=True)


def check_upload(path: Path, largest_mb: int) -> None:
    """Refuse what is no picture by its name, or too large, before it is opened."""
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{path.name[:LONGEST_NAME]} is no file that was dropped here; drop a picture")
    if path.suffix.lower() not in IMAGE_ENDINGS:
        raise ValueError(f"{path.name} is no picture; drop one of {', '.join(IMAGE_ENDINGS)}")
    megabytes = path.stat().st_size / 1e6
    if megabytes > largest_mb:
        raise ValueError(f"{path.name} has {megabytes:.0f} MB; drop a picture of at most {largest_mb} MB")


def settings_of(
    config: WebConfig, upload: str, box: tuple[float, float, float, float] | None = None
) -> PredictConfig:  # fmt: skip
    """Give the settings with which a picture is predicted."""
    return PredictConfig(input=upload, overwrite=True, meshes=("glb",), box=box, tier=config.tier, device=config.device,
                         checkpoint=config.checkpoint, segmentation=config.segmentation,
                         detector_location=config.detector_location, paths=config.paths)  # fmt: skip


def answer(upload: str | None, box: str, predictor: AnyPredictor, out: Path, config: WebConfig) -> Answer:
    """Predict the body in one picture.

    Args:
        out: folder for what this visitor is shown; nobody else's lies there.
    Raises:
        ValueError: one sentence for the person before the page, without the folders of this machine.
    """
    if upload is None:
        raise ValueError("drop a picture first")
    path = Path(upload)
    check_upload(path, config.largest_mb)
    where, name = read_box(box), safe_name(path)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / f"{name}{path.suffix.lower()}"
        shutil.copyfile(path, picture)
        try:
            predict(predictor, out, settings_of(config, str(picture), where))
        except (ValueError, OSError, MemoryError) as error:
            told = failure_in_words(error).replace(str(picture), path.name[:LONGEST_NAME])
            raise ValueError(told.replace(str(out), "the page's folder").replace(folder, "")) from error
    return Answer(*(str(out / f"{name}{ending}") for ending in ("_overlay.jpg", "_views.jpg", ".glb")))


def main(config: WebConfig) -> None:
    """Open the page, and serve it until the program is ended."""
    try:
        import gradio
    except ImportError as error:
        raise ValueError(GRADIO_REMEDY) from error
    predictor = open_predictor(settings_of(config, ""))
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(config.per_minute)

        def show(upload: str | None, box: str, request: gradio.Request) -> Answer:
            try:
                turns.take(request.client.host if request.client else "", time.monotonic())
                swept(Path(folder), time.time())
                return answer(upload, box, predictor, Path(tempfile.mkdtemp(dir=folder)) / "shown", config)
            except ValueError as error:
                raise gradio.Error(str(error)) from error

        with gradio.Blocks(analytics_enabled=False, title="Body", delete_cache=(600, 600)) as page:
            gradio.Markdown(TITLE)
            upload = gradio.File(label="Picture", type="filepath", file_types=list(IMAGE_ENDINGS))
            box, button = gradio.Textbox("", label=BOX), gradio.Button("Predict", variant="primary")
            here = {"height": HEIGHT_PX, "buttons": ["download", "fullscreen"]}  # the third would send it to a server
            with gradio.Row():
                shown = [gradio.Image(label=label, **here) for label in ("Overlay", "Side and top")]
            shown.append(gradio.Model3D(label="Body", height=HEIGHT_PX, camera_position=(None, None, 2.5)))
            button.click(show, [upload, box], shown, api_name="predict", concurrency_limit=1)
        page.queue(max_size=config.waiting)
        page.launch(server_name=config.host, server_port=config.port, max_file_size=f"{config.largest_mb}mb")


if __name__ == "__main__":
    start(main, WebConfig)
