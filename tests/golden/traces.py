"""Traces of the method: the first losses of every stage and a prediction of every script, run as a user runs them.

    python tests/golden/traces.py                       computes all traces and stores them in traces.json beside this
    python tests/golden/traces.py drawn_by_committed    stores these anew and leaves the others as they are

Nothing here imports the program: the scripts are run with a command line and their files are read, so files and
functions can move without an edit.  A renamed setting costs a line in the commands, a renamed loss a line in `NAMES`.
All scripts run in one process, one after the other, because starting Python with PyTorch takes longer than they do.
Store new traces only on purpose, in a commit that says why they changed.
"""

import argparse
import contextlib
import json
import os
import pickle
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.io

from tests.helpers.own_clips import write_recording
from tests.helpers.tiny_h36m import write_tiny_h36m

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(__file__).with_name("traces.json")
ASSETS = ROOT / "models" / "assets"
VIEWS = "--preset views"
"""Points taught by pictures that are drawn: the trainings of the first traces, and some of the committed weights."""

Trace = dict[str, list[float]]

MAPS = {"heat maps": "heat", "depth": "depth_m", "joints": "joints_m", "points": "points_m", "limbs": "limbs",
        "directions": "directions", "mask": "mask"}  # fmt: skip
BODIES = {"total": "total", "pose": "pose_m", "prior": "prior", "shape": "betas", "iou": "soft_iou",
          "mesh to mask": "mesh_to_mask_m", "mask to mesh": "mask_to_mesh_m",
          "held out mpjpe": "held_out_mpjpe_17_mm", "held out iou": "held_out_iou_percent"}  # fmt: skip
NAMES: dict[str, dict[str, str]] = {
    "stage_1": {"total": "total", "pixels": "pixels", "features": "features", "opacity": "opacity",
                "held out pixels": "held_out_pixels"},
    "demo_1": {"total": "total", "heat maps": "heat", "depth": "depth_m", "points": "points_m", "mask": "mask",
               "headings apart": "headings_apart", "known heading": "known_heading",
               "headings agree": "headings_agree", "cosine to known": "known_cosine",
               "held out points": "held_out_to_target_mm", "held out uncovered": "held_out_uncovered_mm"},
    "stage_2": {"joints": "joint_distance", "n-mpjpe": "train_n_mpjpe_mm", "held out n-mpjpe": "held_out_n_mpjpe_mm"},
    "demo_2": MAPS | {"n-mpjpe": "train_n_mpjpe_mm", "held out n-mpjpe": "held_out_n_mpjpe_mm"},
    "stage_3": {"total": "total", "real": "real", "generated": "generated", "perturbed": "noise",
                "gradient": "gradient_penalty", "generator": "generator",
                "held out confusion": "held_out_confusion_percent"},
    "stage_4": BODIES, "demo_4": BODIES | MAPS,
    "drawn": {"l1": "predicted/l1_in_box/mean", "ssim": "predicted/ssim_in_box/mean",
              "l1, own appearance": "predicted, appearance of the input/l1_in_box/mean"},
    "views": {"novel view": "grid_predicted", "turntable": "turntable"},
    "found": {"between cameras": "points/between_cameras_mm/mean", "spread": "points/from_their_middle_mm/mean",
              "probed n-mpjpe": "probe, all labels/n_mpjpe_17_mm/mean"},
    "points": {"points": "points_crop_m", "turned": "points_target_m"},
    "pose": {"mpjpe": "overall/mpjpe_17_mm/mean", "p-mpjpe": "overall/p_mpjpe_17_mm/mean"},
    "joints": {"predicted": "predicted_root_m", "true": "true_root_m", "cameras": "R_crop_from_world"},
    "body": {"mpjpe": "overall/mpjpe_17_mm/mean", "iou": "overall/iou_all_views_percent/mean",
             "prior": "overall/prior_score/mean"},
    "true_body": {"vertices": "overall/vertex_mm/mean",
                  "true body's iou": "true_body/overall/iou_all_views_percent/mean"},
    "bodies": {"joints": "predicted_root_m", "rotations": "rotations_crop", "shapes": "betas"},
    "prior": {"auc": "generator/auc/plausibility/mean/mean",
              "auc, twisted": "generator/auc/plausibility/over_twisted/mean"},
    "scores": {"real": "generator_real_plausibility", "shuffled": "generator_shuffled_plausibility"},
    "latents": {"points": "points", "appearance": "appearance", "cameras": "R_crop_from_world"},
    "fit": {"mpjpe": "fit/joints_mm", "vertices": "fit/vertices_mm"},
}  # fmt: skip
"""What a trace calls a number, and what the program's files call it."""
UNTRACED = {"step", "elapsed_s"}
"""In every record of history.jsonl, and no number of the method."""


def digest(values: Any) -> list[float]:
    """Keep mean, spread and 16 numbers spread over an array."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    some = flat[np.linspace(0, len(flat) - 1, 16).round().astype(int)]
    return [float(number) for number in (flat.mean(), flat.std(), *some)]


def losses(folder: Path, stage: str) -> Trace:
    """Read every term of the first steps.

    Raises:
        ValueError: the run notes a number that has no name here, so that no term goes untraced.
    """
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    unknown = {name for record in records for name in record} - set(NAMES[stage].values()) - UNTRACED
    if unknown:
        raise ValueError(f"{stage} notes {sorted(unknown)}, which NAMES[{stage!r}] in {Path(__file__).name} lacks")
    return {ours: [record[theirs] for record in records if theirs in record] for ours, theirs in NAMES[stage].items()}


def measures(folder: Path, *kinds: str) -> Trace:
    """Read numbers of metrics.json; a slash leads into what stands below a name."""
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    names = {ours: theirs for kind in kinds for ours, theirs in NAMES[kind].items()}
    return {ours: [float(reduce(lambda part, name: part[name], theirs.split("/"), metrics))]
            for ours, theirs in names.items()}  # fmt: skip


def predictions(path: Path, kind: str) -> Trace:
    """Read arrays of predictions.npz, whose names the file begins with a dash below."""
    with np.load(path) as stored:
        return {ours: digest(stored[f"_{theirs}"]) for ours, theirs in NAMES[kind].items()}


class Place:
    """A folder with the tiny data set, in which scripts are run as from a command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tiny, self.drawn = root / "tiny", root / "synthetic"
        write_tiny_h36m(self.tiny, actions=(2, 3, 4), frames=3, size_px=96, ending="png")
        self.run("dataset_def/h36m_preprocess.py", *self.data(), VIEWS, "--processes 1")
        self.run("dataset_def/h36m_preprocess.py", *self.data(), VIEWS, "--processes 1 --centre pelvis")
        self.run("dataset_def/h36m_get_background.py", *self.data())
        self.run("dataset_def/h36m_preprocess.py", *self.wide(), "--processes 1")

    def data(self, folder: Path | None = None) -> list[str]:
        """Say where the data lies and where runs go."""
        folder = folder or self.tiny
        kinds = {"h36m": "frames", "masks": "masks", "backgrounds": "backgrounds", "index": "index", "truth": "truth"}
        places = {name: folder / below for name, below in kinds.items()} | {"runs": self.root / "runs"}
        return [f"--paths.{name}-location {place}" for name, place in places.items()]

    def wide(self) -> list[str]:
        """Say the same, with crops as preset demo packs them: wide ones, from which changed ones are cut."""
        return [*self.data(), f"--paths.index-location {self.tiny / 'index_wide'}"]

    def run(self, script: str, *options: object) -> None:
        """Run a script; every option is one or more words of its command line."""
        command = [str(ROOT / script), *(word for option in options for word in str(option).split())]
        before, sys.argv = sys.argv, command
        try:
            with contextlib.redirect_stdout(sys.stderr):
                runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"{' '.join(command)} ended with {end.code}") from end
        finally:
            sys.argv = before

    def train(self, script: str, *options: object, name: str = "trace") -> None:
        """Take five steps, each of them noted, in float32."""
        self.run(script, f"--name {name} --device cpu --optim.steps 5 --optim.no-bf16 --loop.workers 0",
                 "--loop.log-every 1 --loop.validate-every 5", f"--paths.runs-location {self.root / 'runs'}",
                 *options)  # fmt: skip

    def trained(self, stage: str, name: str = "trace") -> Path:
        """Name the checkpoint that `train` left."""
        return self.root / "runs" / stage / name / "checkpoint_best.pt"


PEOPLE = "--subjects.train 1 --subjects.labelled 1 --subjects.test 9 --subjects.held-out 4 1"
TESTED = "--subjects 9 --device cpu"


def trace_stage_1(place: Place) -> dict[str, Trace]:
    """Train stage 1, test it and store its latents."""
    place.train("sample/train_enc_dec.py", VIEWS, *place.data(), PEOPLE, "--groups 2 --crop.size-px 32",
                "--encoder.width 8 --encoder.points 12 --encoder.appearance 8 --decoder.width 8")  # fmt: skip
    checkpoint, folder = place.trained("enc_dec"), place.trained("enc_dec").parent
    place.run("sample/test_enc_dec.py", f"--checkpoint {checkpoint} --batch 8 --examples 3", TESTED, *place.data())
    place.run("sample/save_embeddings.py", f"--checkpoint {checkpoint} --copies 2 --subjects 1 --device cpu",
              *place.data())  # fmt: skip
    latents = pickle.loads((folder / "embeddings.pkl").read_bytes())
    return {
        "stage_1": losses(folder, "stage_1"),
        "stage_1_tested": measures(folder, "drawn") | predictions(folder / "predictions.npz", "views"),
        "latents": {ours: digest(latents[theirs]) for ours, theirs in NAMES["latents"].items()},
    }


def trace_stage_2(place: Place) -> dict[str, Trace]:
    """Train stage 2 and test it."""
    place.train("sample/train_3d_pose_from_enc.py", VIEWS, f"--encoder {place.trained('enc_dec')}", *place.data(),
                PEOPLE, "--batch 4 --head.hidden 16")  # fmt: skip
    folder = place.trained("pose").parent
    place.run("sample/test_pose.py", f"--checkpoint {place.trained('pose')}", TESTED, *place.data())
    found = measures(folder, "pose") | predictions(folder / "predictions.npz", "joints")
    return {"stage_2": losses(folder, "stage_2"), "stage_2_tested": found}


def trace_stage_3(place: Place) -> dict[str, Trace]:
    """Train stage 3 on few motions of the generator, and test it on others."""
    place.train("sample/train_GAN.py", f"--data.cache-location {place.root / 'poses'} --optim.warmup-steps 0",
                "--data.sequences 4 --data.frames 6 --data.processes 1 --batch 8")  # fmt: skip
    place.run("sample/test_GAN.py", f"--checkpoint {place.trained('gan')} --cache-location {place.root / 'poses'}",
              "--processes 1 --device cpu")  # fmt: skip
    folder = place.trained("gan").parent
    found = measures(folder, "prior") | predictions(folder / "predictions.npz", "scores")
    return {"stage_3": losses(folder, "stage_3"), "stage_3_tested": found}


def trace_stage_4(place: Place) -> dict[str, Trace]:
    """Train stage 4 behind stages 1 and 3, and test it."""
    encoder, prior, checkpoint = (place.trained(stage) for stage in ("enc_dec", "gan", "mesh"))
    place.train("sample/train_SMPL_from_enc.py", VIEWS, f"--encoder {encoder} --prior {prior}", *place.data(), PEOPLE,
                "--silhouettes-of 1 --batch 4 --silhouette-batch 2 --mask-px 32 --head.hidden 16",
                "--loss.prior-asks all_real --loss.prior 0.12")  # fmt: skip
    folder = checkpoint.parent
    place.run("sample/test_SMPL.py", f"--checkpoint {checkpoint} --prior {prior} --examples 3", TESTED,
              *place.data())  # fmt: skip
    found = measures(folder, "body") | predictions(folder / "predictions.npz", "bodies")
    return {"stage_4": losses(folder, "stage_4"), "stage_4_tested": found}


def trace_demo(place: Place) -> dict[str, Trace]:
    """Train stages 1, 2 and 4 as scripts begin: points taught by masks, joints and bodies read off heat maps."""
    points, joints, bodies = (place.trained(stage, "demo") for stage in ("enc_dec", "pose", "mesh"))
    place.train("sample/train_enc_dec.py", *place.wide(), PEOPLE, "--groups 2 --crop.size-px 32 --encoder.width 8",
                "--encoder.points 12 --encoder.appearance 8 --decoder.width 8 --optim.warmup-steps 0",
                "--teaching.believed-from -1", name="demo")  # fmt: skip
    place.run("sample/test_enc_dec.py", f"--checkpoint {points} --probe 0 --batch 8 --examples 3", TESTED,
              *place.wide())  # fmt: skip
    place.train("sample/train_3d_pose_from_enc.py", f"--encoder {points}", *place.wide(), PEOPLE, "--batch 4",
                "--optim.warmup-steps 0", name="demo")  # fmt: skip
    place.run("sample/test_pose.py", f"--checkpoint {joints}", TESTED, *place.wide())
    prior = place.trained("gan")
    place.train("sample/train_SMPL_from_enc.py", f"--encoder {joints} --prior {prior}", *place.wide(), PEOPLE,
                "--silhouettes-of 1 --batch 4 --silhouette-batch 2 --mask-px 32 --head.hidden 16",
                f"--unpaired.bank.cache-location {place.root / 'poses'} --unpaired.bank.sequences 4",
                "--unpaired.bank.frames 6 --unpaired.bank.processes 1 --unpaired.steps 5 --unpaired.batch 8",
                name="demo")  # fmt: skip
    place.run("sample/test_SMPL.py", f"--checkpoint {bodies} --prior {prior} --examples 3", TESTED, *place.wide())
    return {
        "demo_1": losses(points.parent, "demo_1"),
        "demo_1_tested": measures(points.parent, "found") | predictions(points.parent / "predictions.npz", "points"),
        "demo_2": losses(joints.parent, "demo_2"),
        "demo_2_tested": measures(joints.parent, "pose") | predictions(joints.parent / "predictions.npz", "joints"),
        "demo_4": losses(bodies.parent, "demo_4"),
        "demo_4_tested": measures(bodies.parent, "body") | predictions(bodies.parent / "predictions.npz", "bodies"),
    }


def trace_synthetic(place: Place) -> dict[str, Trace]:
    """Draw a little of the embedded data set: two people in two actions, pictures, masks, joints and true bodies."""
    place.run("dataset_def/synthetic/make_h36m.py", *place.data(place.drawn), "--size-px 96 --frames 1 --outfits 1",
              "--subjects 1 9 --actions 2 9 --subactions 1 --image png --processes 1")  # fmt: skip
    place.run("dataset_def/h36m_preprocess.py", *place.data(place.drawn), "--no-pack --processes 1")
    frames, masks = (sorted((place.drawn / kind).glob("*/*.png")) for kind in ("frames", "masks"))
    metas = [scipy.io.loadmat(path) for path in sorted((place.drawn / "frames").glob("*/h36m_meta.mat"))]
    return {
        "synthetic": {
            "frames": digest([cv2.imread(str(path)).mean((0, 1)) for path in frames]),
            "masks": digest([(cv2.imread(str(path), 0) > 128).mean() for path in masks]),
            "joints": digest([meta["pose3d_world"] for meta in metas]),
            "cameras": digest([np.concatenate([meta[name].ravel() for name in "RTfc"]) for meta in metas]),
        }
    }


def trace_fits(place: Place) -> dict[str, Trace]:
    """Fit bodies to the drawn people's masks and joints."""
    place.run("sample/fit_SMPL.py", "--name trace --every 1 --sequences 1 --start joints --joints labels --mask-px 48 "
              "--steps.joint-steps 20 --steps.shape-steps 4 --steps.steps 4 --steps.neighbour-rounds 0", TESTED,
              *place.data(place.drawn))  # fmt: skip
    fits = place.root / "runs" / "fit" / "trace"
    place.run("sample/test_SMPL_from_masks.py", f"--fits {fits}", *place.data(place.drawn))
    return {"fits": measures(fits, "fit")}


def trace_committed(place: Place) -> dict[str, Trace]:
    """Test the committed weights: the pose, the body and the prior apart from the pictures that are drawn."""
    weights, mesh, prior = (ASSETS / f"open_{name}.pt" for name in ("weights", "mesh", "prior"))
    out = {name: place.root / "committed" / name for name in ("drawn", "pose", "mesh")}
    place.run("sample/test_enc_dec.py", f"--checkpoint {weights} --out {out['drawn']} --max-pairs 8 --examples 2",
              TESTED, *place.data())  # fmt: skip
    place.run("sample/test_pose.py", f"--checkpoint {weights} --out {out['pose']} --every 3", TESTED, *place.data())
    place.run("sample/test_SMPL.py", f"--checkpoint {mesh} --prior {prior} --out {out['mesh']} --examples 2", TESTED,
              *place.data(place.drawn))  # fmt: skip
    arrays = {name: folder / "predictions.npz" for name, folder in out.items()}
    return {
        "drawn_by_committed": measures(out["drawn"], "drawn") | predictions(arrays["drawn"], "views"),
        "pose_by_committed": measures(out["pose"], "pose") | predictions(arrays["pose"], "joints"),
        "body_by_committed": measures(out["mesh"], "body", "true_body") | predictions(arrays["mesh"], "bodies"),
    }


def trace_predict(place: Place) -> dict[str, Trace]:
    """Predict the body in one picture, with the committed weights."""
    picture = next((place.drawn / "frames").glob("s_09_*_ca_01/*_000001.png"))
    out = place.root / "predicted"
    place.run("sample/predict.py", f"{picture} --checkpoint {ASSETS / 'open_mesh.pt'} --box 30 15 40 70 --out {out}",
              "--tier pixels --device cpu --meshes obj")  # fmt: skip
    with np.load(out / "body.npz") as bodies:
        found = {name: digest(bodies[name]) for name in bodies.files if bodies[name].dtype.kind == "f"}
    lines = next(out.glob("*.obj")).read_text().splitlines()
    return {"predict": found | {"vertices": digest([line.split()[1:4] for line in lines if line.startswith("v ")])}}


def write_own_recording(place: Place, own: Path) -> None:
    """Write pictures, masks, keypoints and the calibration of four cameras, as somebody brings them."""
    sequence = (1, 14, 1)
    paths = write_tiny_h36m(own / "tiny", subjects=(1,), actions=(14,), frames=6, ending="png")
    write_recording(paths, sequence, own)
    place.run("dataset_def/export_calibration.py", f"--folder {own} --kind opencv --subject 1",
              *place.data(own / "tiny"))  # fmt: skip
    for kind in ("frames", "masks"):
        (own / kind).mkdir()
        for number in (1, 2, 3, 4):
            (own / kind / f"cam{number:02d}").symlink_to(own / "tiny" / kind / f"s_01_act_14_subact_01_ca_{number:02d}")


def trace_own_cameras(place: Place) -> dict[str, Trace]:
    """Import a recording by four cameras with its keypoints and masks."""
    own, to = place.root / "own", place.root / "imported"
    write_own_recording(place, own)
    place.run("dataset_def/import_multiview.py", f"--to {to} --calibration {own / 'cameras.yml'}",
              f"--masks {own / 'masks'} --keypoints {own / 'pose'} --skeleton body_25b",
              "--frames-per-second 1 --sequence-frames 3 --test-frames 2 --smooth-hz 0 --processes 1",
              "--videos", *sorted((own / "frames").iterdir()))  # fmt: skip
    metas = [scipy.io.loadmat(path) for path in sorted((to / "frames").glob("*/h36m_meta.mat"))]
    return {
        "own_cameras": {
            "joints": digest(np.concatenate([meta["pose3d_world"].ravel() for meta in metas])),
            "cameras": digest([np.concatenate([meta[name].ravel() for name in "RTfc"]) for meta in metas]),
            "frames": digest([cv2.imread(str(path)).mean() for path in sorted((to / "frames").glob("*/*.jpg"))]),
        }
    }


STEPS: tuple[Callable[[Place], dict[str, Trace]], ...] = (
    trace_stage_1, trace_stage_2, trace_stage_3, trace_stage_4, trace_demo, trace_synthetic, trace_fits,
    trace_committed, trace_predict, trace_own_cameras,
)  # fmt: skip
"""In this order; later ones read what earlier ones wrote."""


def traces() -> dict[str, Trace]:
    """Compute everything in a folder that is deleted afterwards."""
    found: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for step in STEPS:
            found |= step(place)
    return found


FLOAT32 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""Lets no processor claim bfloat16, which the test scripts use where the weights were trained with it."""
OTHER_PROCESSORS: dict[str, dict[str, str]] = {
    "no vectors": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE",
                   "OPENBLAS_CORETYPE": "NEHALEM", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
                   "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16,AVX,SSE4.2", "NUMBA_CPU_NAME": "x86-64"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "HASWELL",
             "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENCV_CPU_DISABLE": "AVX512-SKX",
             "NUMBA_CPU_NAME": "haswell"},
    "two threads": {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
}  # fmt: skip
"""What lets the libraries compute as on another processor."""


def computed_apart(environment: dict[str, str] | None = None) -> dict[str, Trace]:
    """Compute the traces in a process of its own, on one thread: what a test process has loaded or set stays out."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    settings = os.environ | one_thread | FLOAT32 | {"PYTHONPATH": str(ROOT)} | (environment or {})
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "traces.json"
        done = subprocess.run([sys.executable, __file__, "--to", str(to)], capture_output=True, text=True, env=settings)
        if done.returncode:
            raise RuntimeError(f"the traces could not be computed:\n{done.stderr[-3000:]}")
        return json.loads(to.read_text())


def differences(stored: list[float], found: list[float]) -> list[float]:
    """Give the difference of every number of a line, as a share of the line's largest stored number."""
    largest = max(map(abs, stored))
    return [abs(one - other) / largest for one, other in zip(stored, found, strict=True)]


def print_differences() -> None:
    """Print how far other processors are from the stored traces."""
    stored = json.loads(TRACES.read_text())
    for processor, environment in OTHER_PROCESSORS.items():
        found = computed_apart(environment)
        for name, trace in stored.items():
            for line, numbers in trace.items():
                shares = differences(numbers, found[name][line])
                print(f"{processor:<12} {name:<20} {line:<24} first {shares[0]:.1e}  largest {max(shares):.1e}")


def main() -> None:
    """Compute the traces and store those that were asked for."""
    reader = argparse.ArgumentParser(description="Store the traces anew, on purpose.")
    reader.add_argument("names", nargs="*", help="traces to store anew; all if none is named")
    reader.add_argument("--to", type=Path, help="compute here and now, and write all traces to this file")
    reader.add_argument("--differences", action="store_true", help="print how far other processors are from them")
    options = reader.parse_args()
    if options.differences:
        print_differences()
        return
    if options.to:
        options.to.write_text(json.dumps(traces()))
        return
    found, stored = computed_apart(), json.loads(TRACES.read_text()) if TRACES.is_file() else {}
    if unknown := set(options.names) - set(found):
        reader.error(f"there is no trace {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    kept = {name: stored[name] for name in found if options.names and name not in options.names}
    TRACES.write_text(json.dumps({name: kept.get(name, trace) for name, trace in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
