"""Bad input of stage 4, as a user gives it on the command line: one sentence with thing, value and remedy."""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from config import GanConfig, GanNetworkConfig, MeshConfig, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_index import load_table
from models.GAN import make_discriminator, prior_provenance
from models.smpl import load_body
from sample import fit_SMPL, train_SMPL_from_enc
from sample import test_SMPL as mesh_test
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from tests.helpers.tiny_h36m import write_tiny_h36m
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.artifacts import load_checkpoint, save_checkpoint
from utils.image import write_image
from utils.settings import start, to_plain

PER_VERTEX = {"v_template": 0, "shapedirs": 0, "posedirs": 0, "weights": 0, "J_regressor": 1, "J_regressor_h36m": 1}
"""Arrays of a body file, and which of their axes counts the vertices."""


class Workplace:
    """One labelled and one test subject, an untrained checkpoint of stage 4, and the flags that lead there."""

    def __init__(self, root: Path) -> None:
        self.paths = write_tiny_h36m(root, subjects=(1, 9), actions=(2, 4), frames=2, size_px=64)
        h36m_preprocess.main(PreprocessConfig(paths=self.paths, pack=False, processes=1))
        self.checkpoint = write_untrained_mesh(root / "mesh" / "checkpoint_best.pt")
        named = {one.name: getattr(self.paths, one.name) for one in fields(self.paths)}
        self.flags = [text for name, place in named.items() if place is not None
                      for text in (f"--paths.{name.replace('_', '-')}", str(place))] + ["--device", "cpu"]  # fmt: skip

    def mask(self, subject: int) -> Path:
        """The first mask of a subject."""
        table = load_table(self.paths)
        return mask_path(self.paths, table.key(int(np.flatnonzero(table.frames[:, 0] == subject)[0])))


@pytest.fixture
def place(tmp_path) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path)


@pytest.fixture
def said(monkeypatch, capsys) -> Callable[..., str]:
    """Run a script with flags; give the one sentence it ends in."""

    def run(main: Callable, stage: type, *flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["script.py", *flags])
        with pytest.raises(SystemExit) as ended:
            start(main, stage)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert ended.value.code == 2 and len(lines) == 1
        return lines[0]

    return run


def test_a_body_with_one_vertex_more_than_the_checkpoints(place, said, tmp_path):
    with np.load(place.paths.models_smpl_location) as file:
        arrays = dict(file)
    for name, axis in PER_VERTEX.items():
        last = np.take(arrays[name], [-1], axis=axis)
        arrays[name] = np.concatenate([arrays[name], 0 * last if "regressor" in name else last], axis=axis)
    other = tmp_path / "other.npz"
    np.savez(other, **arrays)
    flags = [*place.flags, "--checkpoint", str(place.checkpoint), "--paths.models-smpl-location", str(other)]
    count = len(arrays["v_template"])
    sentence = said(mesh_test.main, MeshTestConfig, *flags)
    assert (
        f"other.npz has {count} vertices, but " in sentence and f"trained with a body of {count - 1}; give" in sentence
    )


def test_an_inverted_mask_of_a_training_subject(place, said):
    bad = place.mask(1)
    write_image(bad, 255 - cv2.imread(str(bad), cv2.IMREAD_GRAYSCALE))
    encoder = place.checkpoint.parent / "encoder.pt"
    stored = load_checkpoint(place.checkpoint, "mesh")["states"]["model"]
    weights = {name.removeprefix("encoder."): w for name, w in stored.items() if name.startswith("encoder.")}
    save_checkpoint(encoder, "enc_dec", 1, stored["_extra_state"]["encoder"], {"model": weights})
    held_out = ["--subjects.held-out", "4", "1", "--subjects.train", "1", "--silhouettes-of", "1"]
    flags = [*place.flags, *held_out, "--encoder", str(encoder), "--loss.prior", "0", "--loop.workers", "0"]
    sentence = said(train_SMPL_from_enc.main, MeshConfig, *flags)
    assert bad.name in sentence and "seems inverted; a mask is white on the person" in sentence
    assert not place.paths.runs_location.exists()


def test_an_empty_mask_of_a_test_subject(place, said):
    bad = place.mask(9)
    write_image(bad, np.zeros_like(cv2.imread(str(bad), cv2.IMREAD_GRAYSCALE)))
    flags = [*place.flags, "--checkpoint", str(place.checkpoint), "--subjects", "9"]
    sentence = said(mesh_test.main, MeshTestConfig, *flags)
    assert bad.name in sentence and "is empty; a mask is white on the person" in sentence
    assert [path.name for path in place.checkpoint.parent.iterdir()] == ["checkpoint_best.pt"]


def test_a_frame_without_any_usable_mask_is_not_fitted(place, said):
    for path in place.paths.masks_location.glob("s_09*/*.png"):
        write_image(path, np.zeros_like(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    flags = [*place.flags, "--subjects", "9", "--every", "1", "--joints", "labels", "--start", "joints"]
    sentence = said(fit_SMPL.main, fit_SMPL.FitConfig, *flags)
    assert "instants have fewer than two usable masks" in sentence and "is empty); mend these masks" in sentence
    assert not (place.paths.runs_location / "fit").exists()


def test_a_checkpoint_whose_bodies_are_not_finite(place, said):
    stored = load_checkpoint(place.checkpoint, "mesh")
    stored["states"]["model"]["head.last.bias"][0] = torch.nan
    broken = place.checkpoint.parent / "broken.pt"
    save_checkpoint(broken, "mesh", 1, stored["config"], stored["states"])
    sentence = said(mesh_test.main, MeshTestConfig, *place.flags, "--checkpoint", str(broken), "--subjects", "9")
    assert "broken.pt: 1 of the 154 numbers in model.head.last.bias are NaN or infinite" in sentence


def test_a_file_of_another_stage_as_the_prior(place, said):
    flags = [*place.flags, "--checkpoint", str(place.checkpoint), "--subjects", "9", "--prior", str(place.checkpoint)]
    assert "checkpoint_best.pt holds 'mesh', but 'gan' is needed" in said(mesh_test.main, MeshTestConfig, *flags)


def test_a_prior_of_another_skeleton(place, said):
    body = load_body(place.paths.models_smpl_location)
    provenance = prior_provenance(place.paths.models_smpl_location, 10)
    provenance["joints"] = ["tail" if name == "left_hand" else name for name in provenance["joints"]]
    discriminator = make_discriminator(GanNetworkConfig(), 10, body.rest_template_joints_m, provenance)
    prior = place.checkpoint.parent / "prior.pt"
    save_checkpoint(prior, "gan", 1, to_plain(GanConfig()), {"model": discriminator.state_dict()})
    flags = [*place.flags, "--checkpoint", str(place.checkpoint), "--subjects", "9", "--prior", str(prior)]
    sentence = said(mesh_test.main, MeshTestConfig, *flags)
    assert "prior.pt is a prior of another skeleton: it has tail instead of left_hand (1 joints differ" in sentence
    assert "train one for this body: python sample/train_GAN.py" in sentence
