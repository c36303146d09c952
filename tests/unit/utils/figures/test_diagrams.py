"""The diagrams say what is true and can be read: scripts exist, words stay on the page and apart."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from config import ROOT, Paths
from sample import make_figures
from sample.make_figures import FiguresConfig, diagram_person
from utils.artifacts import save_predictions
from utils.figures.diagrams import (
    ICON_DISTANCE_M,
    ICON_PX,
    SEEN_M,
    STAGE_ROWS,
    IconBody,
    layout_figure,
    on_icon,
    photo,
    stages_figure,
    surface,
    turned_about_pelvis,
)
from utils.figures.overview import Overview, overview_figure, rows_of
from utils.skeleton import H36M_17


@pytest.fixture(scope="module")
def person() -> IconBody:
    return diagram_person(Paths().models_smpl_location)


def words_that_overlap(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words whose boxes touch; the page counts as one, too, for words that stick out."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = {text.get_text() + f" at {text.get_position()}": text.get_window_extent(renderer) for text in texts}
    width, height = figure.canvas.get_width_height()
    out = [(name, "the page") for name, box in boxes.items()
           if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]  # fmt: skip
    pairs = itertools.combinations(boxes.items(), 2)
    return out + [(one, other) for (one, first), (other, second) in pairs if first.overlaps(second)]


def test_words_of_the_diagrams_stay_apart_and_on_the_page(person):
    for figure in (stages_figure(person), layout_figure()):
        assert words_that_overlap(figure) == []
    crowded = layout_figure()
    crowded.axes[0].text(20, 36, "data and more data")
    assert words_that_overlap(crowded)


@pytest.mark.parametrize("stage", STAGE_ROWS, ids=lambda stage: stage.title)
def test_the_stages_name_scripts_that_exist(stage):
    text = (ROOT / stage.script).read_text()
    assert stage.output.split("/")[-1] in text and f'Run("{stage.output.split("/")[1]}"' in text


def test_a_turned_person_shows_the_other_side(person):
    """The raised right hand is at the picture's left from the front, at its right from behind."""
    hand = H36M_17.index("right_wrist")
    for degrees, side in ((0, -1), (180, 1)):
        assert np.sign(turned_about_pelvis(person.joints_m, degrees)[hand, 0]) == side
    assert person.joints_m[hand, 1] < person.joints_m[H36M_17.index("head_top"), 1], "above the head; y points down"


def test_an_icon_shows_the_whole_person_at_the_size_it_says(person):
    places = on_icon(person.vertices_m, person.vertices_m)
    assert places.min() > 0 and places.max() < 1
    tall = (places[:, 1].max() - places[:, 1].min()) * SEEN_M
    assert tall == pytest.approx(np.ptp(person.vertices_m[:, 1]), rel=0.15), "perspective changes it a little"
    ink = surface(person.vertices_m, person).min(axis=2) < 250
    assert ink.any(axis=1).sum() / ICON_PX == pytest.approx(np.ptp(places[:, 1]), abs=0.01)
    assert photo(person, 28).shape == (ICON_PX, ICON_PX, 3) and ICON_DISTANCE_M > 1


def test_rows_are_found_by_frame():
    frames = np.array([[9, 2, 1, 1, 1], [9, 2, 1, 2, 1], [9, 2, 1, 2, 6]])
    assert rows_of(frames, frames[[2, 0]]) == [2, 0]
    assert rows_of(frames, frames[:1] + 1) == [-1]


def test_the_overview_has_a_row_per_person(person):
    images = np.zeros((2, 16, 16, 3), np.uint8)
    both = (np.stack([person.joints_m] * 2), np.stack([person.vertices_m] * 2))
    found = Overview(images, np.repeat(images[:, None], 8, axis=1), *both, person.faces)
    figure = overview_figure(found, 2.3, "a test")
    assert len(figure.axes) == 2 * 6 and figure.axes[0].get_title() == "one image"


def test_an_overview_of_frames_that_a_later_stage_lacks_names_run_and_remedy(tmp_path):
    frames, images = np.array([[9, 2, 1, 1, 1], [9, 2, 1, 2, 1]], np.int32), np.zeros((2, 16, 16, 3), np.uint8)
    runs = {stage: tmp_path / stage / "mine" for stage in ("enc_dec", "pose", "mesh")}
    save_predictions(runs["enc_dec"] / "predictions.npz", "S9", frames, {}, example_frames=frames,
                     turntable_input=images, turntable=np.repeat(images[:, None], 8, axis=1))  # fmt: skip
    for stage in ("pose", "mesh"):
        save_predictions(runs[stage] / "predictions.npz", "S9", frames[:1], {})
    with pytest.raises(ValueError, match=r"pose/mine was not tested on example 2 of stage 1; give --every 1"):
        make_figures.overview(*runs.values(), (1, 2), "a test")
    with pytest.raises(ValueError, match=r"has no example 3;"):
        make_figures.overview(*runs.values(), (1, 3), "a test")
    with pytest.raises(ValueError, match="give --enc-dec, --pose and --mesh"):
        FiguresConfig(enc_dec=runs["enc_dec"], overview=(1,))
