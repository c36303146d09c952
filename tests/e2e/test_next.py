"""The command that every step prints as the next one runs as printed, from the index to the figures."""

from pathlib import Path

import torch

from config import ROOT, EncDecConfig, Paths, Subjects
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from sample.test_SMPL import next_after
from tests.e2e.test_readme import SMALL
from tests.helpers.readme_commands import commands_of, module_of, settings_of
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.settings import chosen_subjects, named, next_command, parse, subjects_to_test

STEPS = [
    "dataset_def/h36m_preprocess.py", "dataset_def/h36m_get_background.py", "sample/train_enc_dec.py",
    "sample/test_enc_dec.py", "sample/train_3d_pose_from_enc.py", "sample/test_pose.py", "sample/train_GAN.py",
    "sample/test_GAN.py", "sample/train_SMPL_from_enc.py", "sample/test_SMPL.py", "sample/make_figures.py",
]  # fmt: skip
OF_THE_LINE = ("--subjects", "--silhouettes-of", "--checkpoint", "--encoder", "--prior")
"""Settings that the printed line must bring along itself."""


def small(script: str) -> tuple[str, ...]:
    """Flags that make a step small, but for those that the printed line has to have."""
    first = script == "sample/train_enc_dec.py"
    return tuple(flag for flag in SMALL.get(script, ()) if first or not flag.startswith(OF_THE_LINE))


def test_the_next_command_runs_as_printed_from_the_index_to_the_figures(tmp_path, monkeypatch, capsys):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_tiny_h36m(tmp_path / "my data", actions=(2, 4), subactions=(1, 2), frames=2, size_px=96)
    line = f"python {STEPS[0]} --dataset 'my data' --paths.runs-location runs"
    for script in STEPS:
        [command] = commands_of(f"```\n{line}\n```")
        assert command.script == script
        module_of(script).main(settings_of(command, small(script)))
        printed = [said for said in capsys.readouterr().out.splitlines() if said.startswith("next: ")]
        assert len(printed) == (script != STEPS[-1]), script
        line = printed[0].removeprefix("next: ") if printed else ""
    drawn = {path.name for path in (tmp_path / "runs" / "figures").iterdir()}
    assert {"points.png", "skeletons.png", "prior_bodies.png", "bodies.png"} <= drawn


def test_a_command_names_what_differs_from_the_defaults_and_nothing_else(monkeypatch):
    who, checkpoint = Subjects(train=(20, 22), test=(21,), held_out=((14, 1),)), ROOT / "runs" / "enc_dec" / "mine.pt"
    assert next_command("s.py", Paths(), checkpoint=checkpoint, prior=None, **chosen_subjects(Subjects())) == (
        "next: python s.py --checkpoint runs/enc_dec/mine.pt")  # fmt: skip
    line = next_command("s.py", Paths.under(Path("a b")), **chosen_subjects(who), **named(Path("runs/pose/other")))
    assert line == ("next: python s.py --subjects.train 20 22 --subjects.test 21 --subjects.held-out 14 1 --name other "
                    "--dataset 'a b'")  # fmt: skip
    read = parse(EncDecConfig, line.replace("'a b'", "ab").split()[3:])
    assert read.subjects == who and read.name == "other"
    assert named(Path("runs/enc_dec/full")) == {"preset": "full"} and named(Path("runs/enc_dec/demo")) == {}
    assert named(Path("runs/enc_dec/mine"), finds_points=False) == {"preset": "views", "name": "mine"}
    assert named(Path("runs/enc_dec/full"), finds_points=False) == {"preset": "full"}
    monkeypatch.chdir(ROOT)
    assert named(Path("models/assets")) == named(ROOT / "models" / "assets") == {}, "committed weights are no run"
    assert subjects_to_test(who) == {"subjects": (21,)} and subjects_to_test(Subjects()) == {}


def test_after_a_test_of_other_crops_alone_no_file_is_named_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs") / "mesh" / "mine"
    run.mkdir(parents=True)
    (run / "predictions_box.npz").touch()
    config = MeshTestConfig(run / "checkpoint_best.pt", centre="box", every=4, paths=Paths(runs_location=Path("runs")))
    line = next_after(config)
    assert "sample/test_SMPL.py --checkpoint runs/mesh/mine/checkpoint_best.pt --every 4 --paths" in line
    (run / "predictions.npz").touch()
    assert "sample/make_figures.py --mesh runs/mesh/mine" in next_after(config)
