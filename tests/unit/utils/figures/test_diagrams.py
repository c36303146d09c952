"""The diagrams say what is true and can be read: scripts exist, words stay on the page and apart."""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from config import ROOT, Paths, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from models.smpl import load_body
from sample import make_figures
from sample.make_figures import FiguresConfig
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import file_hash, save_predictions
from utils.figures.diagrams import layout_figure
from utils.figures.overview import Overview, overview_figure, rows_of
from utils.figures.stages import STAGES, Shown, stages_figure


@pytest.fixture(scope="module")
def shown() -> Shown:
    """Four cameras, and pictures of one colour."""
    rng = np.random.default_rng(0)
    images = np.full((4, 24, 24, 3), 128, np.uint8)
    points_m, joints_m = (rng.normal(0, 0.3, (count, 3)) for count in (200, 17))
    return Shown(images, images[..., 0], *images[:3], points_m, points_m, joints_m, joints_m, images[0], joints_m,
                 images[..., 0], *images[:3], side_m=2.3)  # fmt: skip


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


def test_words_of_the_diagrams_stay_apart_and_on_the_page(shown):
    for figure in (stages_figure(shown), layout_figure()):
        assert words_that_overlap(figure) == []
    crowded = layout_figure()
    crowded.axes[0].text(20, 36, "data and more data")
    assert words_that_overlap(crowded)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.title)
def test_the_stages_name_scripts_that_exist(stage):
    text = (ROOT / stage.script).read_text()
    assert stage.output.split("/")[-1] in text and f'Run("{stage.output.split("/")[1]}"' in text


def test_the_stages_show_what_the_committed_networks_make_of_an_image(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(4,), subactions=(1, 2), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    body = load_body(paths.models_smpl_location)
    bodies = {f"vertices_{kind}_m": body.template_m.numpy()[None] for kind in make_figures.KINDS.values()}
    frames = np.zeros((1, 5), np.int32)
    save_predictions(tmp_path / "gan" / "predictions.npz", "-", frames, {}, faces=body.faces.numpy(), **bodies)
    shown = make_figures.shown_by_the_networks(paths, tmp_path / "gan")
    assert len(shown.image) == len(shown.mask) == len(shown.silhouette) == 4
    with torch.no_grad():
        stage_1 = make_figures.load_encoder_decoder(make_figures.WEIGHTS)
        network, data = stage_1.network.eval(), make_figures.held_out_images(paths, stage_1.config.crop)
        points_m = network.encode_points(data[0, make_figures.EXAMPLE].image[None])[0].numpy()
    assert np.allclose(shown.points_m, points_m, atol=1e-4), "the encoder's own points, not chosen ones"
    lengths = (np.linalg.norm(one, axis=1) for one in (shown.points_m, shown.points_there_m))
    assert np.allclose(*lengths, atol=1e-4), "turned, and not moved"
    assert np.abs(shown.points_m - shown.points_there_m).max() > 0.05
    assert shown.silhouette.max() > 200 and stages_figure(shown).axes
    save_predictions(tmp_path / "gan" / "predictions.npz", "-", frames, {})
    with pytest.raises(ValueError, match="without a generator; give --diagrams a run of"):
        make_figures.shown_by_the_networks(paths, tmp_path / "gan")


def test_rows_are_found_by_frame():
    frames = np.array([[9, 2, 1, 1, 1], [9, 2, 1, 2, 1], [9, 2, 1, 2, 6]])
    assert rows_of(frames, frames[[2, 0]]) == [2, 0]
    assert rows_of(frames, frames[:1] + 1) == [-1]


def test_the_overview_has_a_row_per_person():
    images, body = np.zeros((2, 16, 16, 3), np.uint8), load_body(Paths().models_smpl_location)
    vertices_m = body.template_m[None]
    both = (body.h36m_joints_m(vertices_m).numpy().repeat(2, axis=0), vertices_m.numpy().repeat(2, axis=0))
    found = Overview(images, np.repeat(images[:, None], 8, axis=1), *both, body.faces.numpy())
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
        make_figures.overview(*runs.values(), (1, 2), "a test", Paths())
    with pytest.raises(ValueError, match=r"has no example 3;"):
        make_figures.overview(*runs.values(), (1, 3), "a test", Paths())
    with pytest.raises(ValueError, match="give --enc-dec, --pose and --mesh"):
        FiguresConfig(enc_dec=runs["enc_dec"], overview=(1,))


def test_the_overview_is_drawn_with_the_runs_own_body_and_crop(tmp_path, monkeypatch):
    frames, images = np.array([[9, 2, 1, 1, 1]], np.int32), np.zeros((1, 16, 16, 3), np.uint8)
    runs = {stage: tmp_path / stage for stage in ("enc_dec", "pose", "mesh")}
    body = Paths().models_smpl_location
    poses = {"rotations_crop": np.tile(np.eye(3, dtype=np.float32), (1, 24, 1, 1)), "betas": np.zeros((1, 10))}
    views = {"example_frames": frames, "turntable_input": images, "turntable": np.repeat(images[:, None], 8, axis=1)}

    def store(body_hash, **more):
        for stage, arrays in (("enc_dec", views | more), ("pose", {"predicted_root_m": np.zeros((1, 17, 3))}),
                              ("mesh", poses | {"body_hash": np.array(body_hash)})):  # fmt: skip
            save_predictions(runs[stage] / "predictions.npz", "S9", frames, {}, **arrays)

    sides_m = []
    monkeypatch.setattr(make_figures, "overview_figure", lambda _, side_m, caption: sides_m.append(side_m))
    store(file_hash(body), crop_side_m=np.array(3.1))
    make_figures.overview(*runs.values(), (1,), "a test", Paths())
    assert sides_m == [3.1]
    store("0" * 64, crop_side_m=np.array(3.1))
    with pytest.raises(ValueError, match=r"is another body .* give that one as --paths\.models-smpl-location"):
        make_figures.overview(*runs.values(), (1,), "a test", Paths())
    store(file_hash(body))
    with pytest.raises(ValueError, match=r"lacks crop_side_m; run sample/test_enc_dec\.py again"):
        make_figures.overview(*runs.values(), (1,), "a test", Paths())
