"""The commands and the Python of the READMEs, and the small stand-ins for what they are given."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import cv2
import numpy as np
import scipy.io

from config import ROOT, Paths, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.calibration.files import write_calibration
from dataset_def.export_calibration import subject_cameras
from dataset_def.h36m_files import folder_name
from dataset_def.h36m_get_background import BackgroundConfig
from tests.helpers.own_clips import pictures, write_video
from tests.helpers.tiny_h36m import wall, write_tiny_h36m
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.image import read_image, write_image
from utils.settings import parse

SHELL = {"make demo", "make test", "make env", ". .venv/bin/activate",
         "pip install --force-reinstall --no-deps opencv-python-headless"}  # fmt: skip
"""Lines that are known and not run."""
DATA = ("h36m", "masks", "backgrounds", "index", "truth")


class Command(NamedTuple):
    """One line of a README, without its comment and with its variables filled in."""

    line: str
    script: str
    """Path of the Python file; empty for the shell's own lines."""
    arguments: tuple[str, ...]
    extras: tuple[str, ...] = ()
    """Of pip install -e ".[...]"."""
    is_run: bool = True


def blocks_of(text: str, *languages: str) -> list[str]:
    """List the code blocks of some languages; those of the shell's commands mostly name none."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [content for named, content in blocks if named in languages]


def fenced_lines(text: str) -> list[str]:
    """List the lines of all commands, continued ones joined, without comments and blank lines."""
    joined = re.sub(r" *\\\n *", " ", "\n".join(blocks_of(text, "", "bash")))
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def commands_of(text: str) -> list[Command]:
    """Read every command.

    Raises:
        ValueError: a line that is none of the kinds known here.
    """
    variables: dict[str, str] = {}
    found = []
    for line in fenced_lines(text):
        if assigned := re.fullmatch(r'([A-Z]+)="(.*)"', line):
            variables[assigned[1]] = assigned[2]
            continue
        words = shlex.split(re.sub(r"\$([A-Z]+)", lambda name: variables[name[1]], line))
        if line in SHELL:
            found.append(Command(line, "", ()))
        elif pip := re.fullmatch(r'pip install -e "\.\[([\w,]+)\]"', line):
            found.append(Command(line, "", (), tuple(pip[1].split(","))))
        elif "torchrun" in words[:2]:  # perhaps after a variable; the script is the first word that is one
            script = next(row for row, word in enumerate(words) if word.endswith(".py"))
            found.append(Command(line, words[script], tuple(words[script + 1 :]), is_run=False))
        elif words[0] == "python" and words[1].endswith(".py"):
            found.append(Command(line, words[1], tuple(words[2:])))
        else:
            raise ValueError(f"a README has a line of no known kind: {line}")
    return found


def module_of(script: str) -> Any:
    """Import a script."""
    if not (ROOT / script).is_file():
        raise ValueError(f"a README names {script}, which does not exist")
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


def config_type(module: Any) -> type:
    """Give the settings that a script's main takes."""
    return get_type_hints(module.main)["config"]


def settings_of(command: Command, more: tuple[str, ...] = ()) -> Any:
    """Read a command's settings with the script's own parser, after adding flags that the command does not have."""
    arguments = list(command.arguments)
    reported = {f"--paths.{name}-location" for name in DATA} if "--dataset" in arguments else set()
    for flag in more:
        name, *values = flag.split(" ")
        if name not in reported and not any(word == name or word.startswith(f"{name}=") for word in arguments):
            arguments += [name, *values]
    return parse(config_type(module_of(command.script)), arguments)


class Place:
    """A folder in which the README's commands can be run: tiny data, a photo, a video, clips, downloads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "models").symlink_to(ROOT / "models")
        self.mesh = write_untrained_mesh(root / "mesh.pt")
        self.tiny = write_tiny_h36m(root / "tiny", actions=(2, 4), subactions=(1, 2), frames=2, size_px=96)
        h36m_preprocess.main(PreprocessConfig(paths=self.tiny, processes=1))
        h36m_get_background.main(BackgroundConfig(paths=self.tiny, processes=1))
        self.real = self.real_recording()
        self.write_pictures()
        self.write_clips()
        self.write_poses()
        regressor = np.zeros((17, 6999))
        regressor[:, 0] = 1
        np.save(root / "regressor.npy", regressor)

    def real_recording(self) -> Paths:
        """What the import of pose2sim's recording leaves."""
        kind = {"subjects": (20, 21), "actions": (14,), "subactions": (1, 2), "frames": 2, "size_px": 96}
        paths = write_tiny_h36m(self.root / "data" / "real", **kind)
        for subject in (20, 21):
            for number in (1, 2, 3, 4):
                image = wall(subject, number, 96, 96 + 2 * (number in (1, 4)))
                paths.backgrounds_location.mkdir(exist_ok=True)
                np.save(paths.backgrounds_location / f"s_{subject}_ca_{number:02d}.npy", image)
        return paths

    def write_pictures(self) -> None:
        """A photo, and a video in which somebody moves."""
        first = pictures(self.tiny.h36m_location, (1, 2, 1, 1))[0]
        write_image(self.root / "photo.jpg", cv2.resize(read_image(first), (480, 720)))
        still = np.random.default_rng(1).integers(60, 120, (120, 160, 3)).astype(np.uint8)
        writer = cv2.VideoWriter(str(self.root / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
        for number in range(8):
            frame = still.copy()
            frame[30:100, 20 + 8 * number : 40 + 8 * number] = (40, 40, 220)
            writer.write(frame)
        writer.release()

    def write_clips(self) -> None:
        """Own cameras: videos, masks and a calibration."""
        paths = write_tiny_h36m(self.root / "own", subjects=(1,), actions=(14,), frames=12, size_px=96, ending="png")
        cameras = subject_cameras(paths, 1)
        for number, name in enumerate(cameras, start=1):
            write_video(self.root / "clips" / f"{name}.mp4", pictures(paths.h36m_location, (1, 14, 1, number), "png"))
            to = self.root / "clip_masks" / name
            to.parent.mkdir(exist_ok=True)
            (paths.masks_location / folder_name(1, 14, 1, number)).rename(to)
        [calibration] = write_calibration("pose2sim", self.root / "calibration", cameras)
        calibration.rename(self.root / "Calib.toml")

    def write_poses(self) -> None:
        """Two clips each of SURREAL and AMASS."""
        rng = np.random.default_rng(0)
        for name in ("01_01", "02_01"):
            clip = self.root / "surreal" / "train" / "run0" / name
            clip.mkdir(parents=True)
            content = {"pose": rng.normal(0, 0.2, (72, 5)), "shape": np.zeros((10, 5))}
            scipy.io.savemat(clip / f"{name}_c0001_info.mat", content)
            (self.root / "amass" / name).mkdir(parents=True)
            np.savez(self.root / "amass" / name / "walk_poses.npz", poses=rng.normal(0, 0.2, (5, 156)),
                     betas=np.zeros(16), trans=np.zeros((5, 3)), mocap_framerate=60.0)  # fmt: skip

    def stand_in(self, word: str, script: str) -> str:
        """Replace what stands for a user's files, and for .onnx (which takes long) the trained weights."""
        if script == "sample/tools/export_onnx.py" and word == "models/assets/open_weights.pt":
            return "runs/pose/demo/checkpoint_best.pt"
        places = {"/data/Human3.6M": "official", "/data/H36M-MultiView-train": "crops", "/data/SURREAL": "surreal",
                  "/data/AMASS": "amass", "/data/J_regressor_h36m_correct.npy": "regressor.npy"}  # fmt: skip
        if word == "/data/SMPL_NEUTRAL.pkl":
            return str(ROOT / "models" / "assets" / "open_body.npz")
        return str(self.root / places[word]) if word in places else word

    def path_flags(self, paths: Paths) -> tuple[str, ...]:
        """Name the folders of a data set, and the place for runs, on a command line."""
        folders = {f"{name}-location": getattr(paths, f"{name}_location") for name in DATA}
        folders["runs-location"] = self.root / "runs"
        return tuple(f"--paths.{name} {place}" for name, place in folders.items())
