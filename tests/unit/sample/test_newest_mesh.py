import os

from config import ASSETS, MeshConfig
from sample.predict import PredictConfig
from sample.tools.web import WebConfig
from utils.settings import which_weights


def test_the_committed_weights_are_the_default_whatever_was_trained():
    assert PredictConfig(input="photo.jpg").checkpoint == WebConfig().checkpoint == ASSETS / "open_body_photos.pt"
    assert MeshConfig(encoder=ASSETS / "open_weights.pt").prior == ASSETS / "open_prior.pt"


def test_what_is_taken_is_said_and_how_to_take_what_was_trained_last(tmp_path):
    committed = ASSETS / "open_prior.pt"
    assert which_weights("prior", committed, tmp_path / "gan") == "prior: models/assets/open_prior.pt (committed)"
    for age_s, name in ((0, "demo"), (60, "older")):
        (tmp_path / "gan" / name).mkdir(parents=True)
        trained = tmp_path / "gan" / name / "checkpoint_best.pt"
        trained.touch()
        os.utime(trained, (1e9 - age_s, 1e9 - age_s))
    newest = tmp_path / "gan" / "demo" / "checkpoint_best.pt"
    said = which_weights("prior", committed, tmp_path / "gan")
    assert said.endswith(f"; to take what was trained here: --prior {newest}")
    assert which_weights("prior", newest, tmp_path / "gan") == f"prior: {newest}"
