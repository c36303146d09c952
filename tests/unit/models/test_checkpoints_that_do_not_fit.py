"""Checkpoints of every stage that are damaged, or of another network, are refused in one sentence with the remedy."""

import shutil

import pytest
import torch

from config import ASSETS
from models.encoder_decoder import load_encoder
from models.GAN import load_gan, prior_reads
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_mesh
from models.SMPL_from_masks import load_teacher, teacher_reads
from utils.artifacts import read_checkpoint

BODY, CPU = ASSETS / "open_body.npz", torch.device("cpu")
READERS = {
    "teacher": ("open_teacher.pt", "masks", lambda path: load_teacher(path, BODY)),
    "what a teacher reads": ("open_teacher.pt", "masks", teacher_reads),
    "prior": ("open_prior.pt", "gan", lambda path: load_gan(path, BODY)),
    "what a prior reads": ("open_prior.pt", "gan", prior_reads),
    "encoder": ("open_weights.pt", "pose", load_encoder),
    "pose": ("open_weights.pt", "pose", lambda path: load_pose(path, CPU)),
    "mesh": ("open_mesh.pt", "mesh", lambda path: load_mesh(path, CPU)),
}
NETWORKS = [name for name in READERS if not name.startswith("what")]


def stored(name, folder):
    """Copy a committed checkpoint, with the file beside it that one of them needs, and read it as it is stored."""
    file, stage, read = READERS[name]
    for needed in {file, "open_weights.pt"}:
        shutil.copy(ASSETS / needed, folder)
    return folder / file, read, read_checkpoint(folder / file, stage)


def refused(read, path):
    """Give the sentence in which a file is refused."""
    with pytest.raises(ValueError) as error:
        read(path)
    told = str(error.value)
    assert str(path) in told and "\n" not in told, told
    return told


def first_table(weights):
    """Name a weight that every reader of the file needs."""
    tables = sorted(name for name in weights if name.endswith(".weight"))
    return next((name for name in tables if name.startswith("encoder.backbone")), tables[0])


def widen(content):
    weights = content["states"]["model"]
    weights[first_table(weights)] = torch.zeros(3, 5, 7)


def forget_a_weight(content):
    weights = content["states"]["model"]
    del weights[first_table(weights)]


def put_text_in(content):
    weights = content["states"]["model"]
    weights[first_table(weights)] = "no table"


def forget_provenance(content):
    del content["states"]["model"]["_extra_state"]


def empty_provenance(content):
    content["states"]["model"]["_extra_state"] = {}


def text_as_provenance(content):
    content["states"]["model"]["_extra_state"] = "no provenance"


def forget_the_network(content):
    content["states"] = {}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("harm", [widen, forget_a_weight, put_text_in, forget_the_network])
def test_a_network_that_lacks_a_part_or_has_another_one(tmp_path, name, harm):
    path, read, content = stored(name, tmp_path)
    read(path)
    harm(content)
    torch.save(content, path)
    assert "of another network" in (told := refused(read, path)) or "another version of this program" in told


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("harm", [forget_provenance, empty_provenance, text_as_provenance])
def test_a_network_that_does_not_tell_what_it_was_made_for(tmp_path, name, harm):
    if harm is empty_provenance and name in ("encoder", "pose"):
        pytest.skip("settings that a file lacks take their defaults, and stage 1 needs nothing else")
    path, read, content = stored(name, tmp_path)
    harm(content)
    torch.save(content, path)
    refused(read, path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "change", [{"states": None}, {"states": {"model": [1]}}, {"config": "no settings"}, {"step": None}]
)
def test_a_file_that_lacks_its_parts(tmp_path, name, change):
    path, read, content = stored(name, tmp_path)
    torch.save(content | change, path)
    assert "make it again with: python sample/" in refused(read, path)


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_cut_short(tmp_path, name):
    path, read, _ = stored(name, tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "is damaged or of another kind" in refused(read, path)


def test_a_machine_without_memory_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    path, read, _ = stored("pose", tmp_path)

    def has_none(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("models.pose_from_latent.load_weights", has_none)
    with pytest.raises(torch.OutOfMemoryError):
        read(path)
