"""Checkpoints of every stage that are damaged, or of another network, are refused in one sentence with the remedy."""

import shutil
import zipfile

import pytest
import torch

from config import ASSETS
from models.encoder_decoder import load_encoder
from models.GAN import load_gan, prior_reads
from models.pose_from_latent import load_pose
from models.SMPL_from_keypoints import lifter_reads, load_lifter
from models.SMPL_from_latent import load_mesh
from models.SMPL_from_masks import load_teacher, teacher_reads
from utils.artifacts import read_checkpoint
from utils.checkpoint_checks import LimitedSizes

BODY, CPU = ASSETS / "open_body.npz", torch.device("cpu")
READERS = {
    "teacher": ("open_teacher.pt", "masks", lambda path: load_teacher(path, BODY)),
    "what a teacher reads": ("open_teacher.pt", "masks", teacher_reads),
    "prior": ("open_prior.pt", "gan", lambda path: load_gan(path, BODY)),
    "what a prior reads": ("open_prior.pt", "gan", prior_reads),
    "encoder": ("open_weights.pt", "pose", load_encoder),
    "pose": ("open_weights.pt", "pose", lambda path: load_pose(path, CPU)),
    "lifter": ("open_lifter.pt", "lifter", lambda path: load_lifter(path, BODY)),
    "what a lifter reads": ("open_lifter.pt", "lifter", lifter_reads),
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


def weights_of(content):
    return content["states"]["model"]


def nest_deeply(content):
    deep = content["config"]
    for _ in range(300):
        deep["more"] = {}
        deep = deep["more"]


def repeat_without_end(content):
    part = ["x"]
    for _ in range(24):
        part = [part] * 2
    content["config"]["many"] = part


def put_nan_in(content):
    name = next(name for name, one in weights_of(content).items() if torch.is_tensor(one) and one.is_floating_point())
    weights_of(content)[name] = torch.full_like(weights_of(content)[name], torch.nan)


def put_infinity_into_scales(content):
    table = next(one for one in weights_of(content).values() if isinstance(one, dict) and "scale" in one)
    table["scale"][0] = torch.inf


def claim_much(content):
    weights_of(content)["large"] = torch.zeros(1).expand(600_000_000_000)


def scale_sideways(content):
    weights_of(content)["large"] = {"rows": torch.zeros(3000, 1, dtype=torch.int8), "scale": torch.ones(1, 9_000_000)}


def put_a_set_in(content):
    content["config"]["who"] = {1, 2}


def number_without_end(content):
    content["step"] = 10**40


HOSTILE = {
    nest_deeply: "levels", repeat_without_end: "parts", put_nan_in: "NaN or infinite",
    put_infinity_into_scales: "NaN or infinite", claim_much: "asks for 2400000000000 bytes",
    scale_sideways: "scales of shape", put_a_set_in: "who is a set", number_without_end: "whole number of 133 bits",
}  # fmt: skip


@pytest.mark.parametrize("name", ["prior", "mesh", "lifter"])
@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__)
def test_a_file_made_to_do_harm(tmp_path, name, harm):
    path, read, content = stored(name, tmp_path)
    if harm is put_infinity_into_scales and not any(isinstance(w, dict) and "scale" in w
                                                    for w in weights_of(content).values()):  # fmt: skip
        pytest.skip("this one is not packed")
    harm(content)
    torch.save(content, path)
    assert HOSTILE[harm] in refused(read, path)


SIZES = {"prior": [("config", "network", "pose_hidden"), ("config", "network", "joint_hidden")],
         "encoder": [("_extra_state", "encoder", "width"), ("_extra_state", "encoder", "points")],
         "pose": [("config", "head", "hidden"), ("_extra_state", "encoder", "points")],
         "mesh": [("config", "head", "hidden")],
         "teacher": [("_extra_state", "network", "hidden"), ("_extra_state", "network", "width")],
         "lifter": [("_extra_state", "network", "hidden")]}  # fmt: skip


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in SIZES.items() for place in places])
def test_settings_that_ask_for_another_size(tmp_path, name, place):
    path, read, content = stored(name, tmp_path)
    inner = content if place[0] == "config" else weights_of(content)
    for part in place[:-1]:
        inner = inner[part]
    assert place[-1] in inner
    for size in (10**12, 4096, "4096", 0.5):
        inner[place[-1]] = size
        torch.save(content, path)
        refused(read, path)


def test_a_file_that_unpacks_into_more_than_itself(tmp_path):
    path, read, _ = stored("pose", tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
        archive.writestr("archive/data/999999", bytes(50_000_000))
    assert "none may be compressed" in refused(read, path)


@pytest.mark.parametrize("opened", [b"]", b"}", b"("])
def test_nests_that_no_program_could_write_are_refused(tmp_path, opened):
    path, read, _ = stored("prior", tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    deep = {b"]": b"]" * 50_000 + b"a" * 49_999, b"}": b"}" + b"K\x01}" * 49_999 + b"s" * 49_999,
            b"(": b"(" * 50_000 + b"t" * 50_000}[opened]  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, b"\x80\x02" + deep + b"." if part.endswith("data.pkl") else content)
    refused(read, path)


def test_a_network_may_not_grow_far_beyond_its_file():
    with LimitedSizes(1000), pytest.raises(ValueError, match="settings ask for"):
        torch.nn.Linear(1_000_000, 1_000_000)
    with LimitedSizes(1000):
        torch.nn.Linear(1000, 1000)
