"""All commands and lines of Python in the READMEs run (but make's), on tiny data and with small settings."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from config import ROOT, Paths
from dataset_def import check_data
from models.smpl import load_body
from sample.tools.make_readme import PAGES
from tests.helpers.readme_commands import Command, Place, blocks_of, commands_of, module_of, settings_of
from tests.helpers.tiny_h36m import wall, write_tiny_h36m

TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
COMMANDS = [command for text in TEXTS.values() for command in commands_of(text)]
SCRIPTS = list({command.line: command for command in COMMANDS if command.script}.values())
PYTHON = [(page, code) for page, text in TEXTS.items() for code in blocks_of(text, "python")]

LOOP = ("--loop.workers 0", "--loop.validate-every 2", "--loop.checkpoint-every 2", "--loop.log-every 1")
STEPS = ("--optim.steps 2", "--optim.warmup-steps 0", "--optim.no-bf16", *LOOP, "--device cpu")
WHO = ("--subjects.train 1", "--subjects.labelled 1", "--subjects.test 9")
STAGE_1 = ("--groups 2", "--crop.size-px 32", "--encoder.width 8", "--encoder.points 12", "--encoder.appearance 8",
           "--decoder.width 8")  # fmt: skip
UNPAIRED = ("--unpaired.steps 2", "--unpaired.batch 8", "--unpaired.bank.sequences 4", "--unpaired.bank.frames 4",
            "--unpaired.bank.processes 1", "--unpaired.bank.cache-location poses")  # fmt: skip
SMALL: dict[str, tuple[str, ...]] = {
    "sample/train_enc_dec.py": (*STEPS, *WHO, *STAGE_1, "--teaching.heading none"),
    "sample/test_enc_dec.py": ("--subjects 9", "--max-pairs 8", "--examples 2", "--device cpu"),
    "sample/train_3d_pose_from_enc.py": (*STEPS, *WHO, "--batch 4", "--head.hidden 16"),
    "sample/test_pose.py": ("--subjects 9", "--examples 2", "--device cpu"),
    "sample/train_GAN.py": (*STEPS, "--data.sequences 4", "--data.frames 4", "--data.processes 1", "--batch 8",
                            "--data.cache-location poses"),
    "sample/test_GAN.py": ("--device cpu", "--processes 1"),
    "sample/train_SMPL_from_enc.py": (*STEPS, *WHO, "--batch 4", "--silhouette-batch 2", "--mask-px 32",
                                      "--silhouettes-of 1", "--head.hidden 16", *UNPAIRED),
    "sample/test_SMPL.py": ("--subjects 9", "--examples 2", "--device cpu"),
    "sample/fit_SMPL.py": ("--every 1", "--device cpu", "--processes 1", "--mask-px 32", "--steps.joint-steps 20",
                           "--steps.shape-steps 3", "--steps.steps 3"),
    "sample/save_embeddings.py": ("--subjects 1", "--device cpu"),
    "sample/predict.py": ("--checkpoint mesh.pt", "--device cpu", "--view-px 64", "--video-px 96"),
    "sample/train_SMPL_from_keypoints.py": (*STEPS, "--batch 8", "--network.hidden 16", "--bank.sequences 4",
                                            "--bank.frames 4", "--bank.processes 1", "--bank.cache-location poses",
                                            "--held-out-bodies 8"),
    "sample/tools/export_onnx.py": ("--output onnx/body.onnx", "--repeats 1"),
    "sample/tools/moving_picture.py": ("--panel-px 32",),
    "dataset_def/h36m_preprocess.py": ("--processes 1",),
    "dataset_def/convert_h36m.py": ("--processes 1", "--keep-free-gb 0", "--report-location data/h36m/about"),
    "dataset_def/convert_labels_h5.py": ("--processes 1", "--report-location data/labels_h5/about"),
    "dataset_def/import_multiview.py": ("--frames-per-second 1", "--sequence-frames 4", "--test-frames 4",
                                        "--smooth-hz 0", "--masks clip_masks", "--processes 1"),
}  # fmt: skip
"""Flags added to a script's commands, where they do not have them."""
NEEDS = {"sample/tools/export_onnx.py": ("onnx", "onnxruntime", "onnxscript"), "--official": ("cdflib", "h5py"),
         "--crops": ("h5py",)}  # fmt: skip
ONLY_READ = {
    "python dataset_def/import_multiview.py": "pip fetches the recording",
    "python dataset_def/photos/person.py": "pip fetches the network",
    "python dataset_def/synthetic/make_h36m.py": "takes minutes; its own tests make small data",
    "python sample/predict.py clips/ --calibration Calib.toml": "tests/e2e/test_predict_cameras.py has a recording",
    "python sample/tools/own_recording.py clips/ --calibration Calib.toml": "trains for minutes; its steps have tests",
    "--metrics": "writes into the repository; tests/unit/sample/tools/test_make_readme.py has pages of its own",
    "python sample/fit_SMPL.py --subjects 5 6 7 8": "tests/e2e/test_masks.py has people and a teacher of its own",
    "python sample/train_SMPL_from_masks.py": "tests/e2e/test_masks.py trains one on a small bank",
    "runs/fit/demo": "tests/e2e/test_masks.py measures fits",
    "--pseudo-labels": "tests/e2e/test_masks.py trains on them",
    "python sample/tools/web.py": "waits for a browser; tests/e2e/test_web.py opens the page",
    "python models/open_body/build.py": "takes minutes, and a package that nothing else needs",
    "--cmu": "recordings that are not part of the repository",
    "--motion": "recordings that are not part of the repository",
    "--bank.cmu": "recordings that are not part of the repository",
    "--data.cmu": "recordings that are not part of the repository",
}
"""Commands, or flags, whose settings are read by the script's own parser but which are not run, and why."""
LAST = ("sample/report.py", "sample/tools/export_onnx.py")
"""Scripts that look at what later commands of the page make."""


def in_order(commands: list[Command]) -> list[Command]:
    """Put commands that show runs behind those that make them."""
    return sorted(commands, key=lambda command: command.script in LAST)


def is_only_read(command: Command) -> bool:
    """Tell whether a command's settings are read and no more."""
    named = {command.line, *command.arguments}
    return not command.is_run or bool(named & ONLY_READ.keys())


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("readme"))


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place.root)
    monkeypatch.setattr(check_data, "ROOT", place.root)


def data_flags(command: Command, place: Place) -> tuple[str, ...]:
    """Say where a command's data lie, if its settings have a place for them."""
    names = {field.name for field in fields(type(settings_of(command)))}
    if "paths" not in names:
        return ()
    converted = {"dataset_def/convert_h36m.py": "h36m", "dataset_def/convert_labels_h5.py": "labels_h5"}
    if command.script in converted:
        target = Paths.under(ROOT / "data" / converted[command.script])
        return tuple(f"--paths.{name}-location {getattr(target, name + '_location').relative_to(ROOT)}"
                     for name in ("h36m", "masks", "backgrounds"))  # fmt: skip
    return place.path_flags(place.tiny)


def prepare(command: Command, place: Place) -> None:
    """Make what a command reads, where no command before it has."""
    words = " ".join(command.arguments)
    if "official" in words and not Path("official").exists():
        from tests.helpers.official_h36m import write_official

        kind = {"actions": (2, 4), "subactions": (1, 2), "frames": 6, "size_px": 96}
        write_official(place.root / "official", write_tiny_h36m(place.root / "source", **kind))
    if "crops" in words and not Path("crops").exists():
        from tests.helpers.labels_h5 import write_labels_h5

        backgrounds = {(s, c): wall(s, c, 96, 98 if c in (1, 4) else 96) for s in (1, 9) for c in (1, 2, 3, 4)}
        write_labels_h5(place.root / "crops", write_tiny_h36m(place.root / "cut", frames=2, size_px=96), backgrounds)
    if command.script in LAST:
        alias = Path("runs/pose/open_weights")
        if not alias.is_symlink():
            alias.symlink_to("demo")


@pytest.mark.parametrize("command", in_order(SCRIPTS), ids=lambda command: command.line[:100])
def test_a_command_of_a_readme_works(command, place):
    module = module_of(command.script)
    stated = command._replace(arguments=tuple(place.stand_in(word, command.script) for word in command.arguments))
    if is_only_read(command):
        settings_of(stated)
        return
    for name in {command.script, *command.arguments} & NEEDS.keys():
        for package in NEEDS[name]:
            pytest.importorskip(package)
    if "data/h36m" in command.arguments and not Path("data/h36m/frames").exists():
        pytest.skip("what convert_h36m.py writes is not there")
    prepare(stated, place)
    module.main(settings_of(stated, SMALL.get(command.script, ()) + data_flags(stated, place)))


@pytest.mark.parametrize("page, code", PYTHON, ids=[f"{page} {number}" for number, (page, _) in enumerate(PYTHON)])
def test_the_python_of_a_page_runs(page, code, place):
    exec(compile(code, page, "exec"), {"pose": torch.zeros(2, 72), "betas": torch.zeros(2, 10),
                                       "translation_m": torch.zeros(2, 3)})  # fmt: skip


def test_the_lines_for_people_who_come_from_smpl_layer_mean_what_they_say(place):
    [code] = [code for _, code in PYTHON if "SMPL_Layer" in code]
    rng = torch.Generator().manual_seed(0)
    given = {"pose": 0.5 * torch.randn(3, 72, generator=rng), "betas": torch.randn(3, 10, generator=rng),
             "translation_m": torch.randn(3, 3, generator=rng)}  # fmt: skip
    names = dict(given)
    exec(code, names)
    body, vertices, joints = load_body("models/assets/open_body.npz"), names["vertices"], names["joints"]
    assert vertices.shape == (3, 6999, 3) and joints.shape == (3, 24, 3) and names["faces"].shape[1] == 3
    assert torch.equal(names["template"], body.shaped_vertices_m(torch.zeros(1, 10))[0])
    turned_off = body(torch.eye(3).expand(3, 24, 3, 3), given["betas"], torch.zeros(3, 3))
    assert torch.allclose(names["rest"], turned_off.joints_m, atol=1e-5)
    root = names["centred"] - vertices + joints[:, :1]
    assert torch.allclose(root[:, 0], given["translation_m"], atol=1e-5), "the root joint comes to the translation"


def test_the_commands_left_something_behind(place):
    """The page's own file names, made by the page's own commands."""
    made = ["runs/enc_dec/demo/metrics.json", "runs/pose/demo/metrics.json", "runs/mesh/demo/metrics.json",
            "runs/predict/photo/photo_overlay.jpg", "runs/predict/video/motion.bvh", "runs/figures/bodies.png",
            "runs/pose/demo/report.html", "runs/calibration/Calib.toml", "data/mine/about"]  # fmt: skip
    assert [name for name in made if not Path(name).exists()] == []


def test_extras_that_are_installed_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for command in COMMANDS for extra in command.extras}
    assert named and named <= extras.keys(), f"pyproject.toml has no extra {sorted(named - extras.keys())}"


@pytest.mark.parametrize("page", TEXTS)
def test_commands_stand_in_code_blocks_where_they_are_tested(page):
    outside = re.sub(r"^ *```.*?^ *```", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"`(?:python|torchrun|pip) [^`]*`", outside) == []


@pytest.mark.parametrize("line", ["python sample/train_enc_dec.py --optim.steeps 3", "python sample/predict.py"])
def test_a_wrong_command_is_noticed(line, capsys):
    [command] = commands_of(f"```\n{line}\n```\n")
    with pytest.raises(SystemExit):
        settings_of(command)


def test_a_line_of_no_known_kind_is_noticed():
    with pytest.raises(ValueError, match="no known kind: rm -rf"):
        commands_of("text\n```\nmake demo\nrm -rf data\n```\n")
    with pytest.raises(ValueError, match=r"sample/none\.py, which does not exist"):
        module_of(commands_of("```bash\npython sample/none.py --x 1  # why\n```\n")[0].script)
