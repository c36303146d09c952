"""Bodies read from the masks of the real recording, beside the joints that its keypoints give.

    python dataset_def/import_multiview.py --cut-out movement
    python dataset_def/h36m_preprocess.py --dataset data/real --centre masks
    python sample/fit_SMPL.py --name recording --dataset data/real --subjects 20 21 --every 1
    python tests/benchmarks/bodies_on_recording.py --fits runs/fit/recording

The cameras are turned by the small angles that the keypoints ask for, in both; nothing else of the keypoints is read by
the fit.  Writes tests/benchmarks/results/bodies_on_recording.json and images/bodies_on_recording.jpg.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from config import ROOT, Paths
from models.smpl import load_body
from sample.fit_SMPL import masks_reader, reads_of, teacher_of
from sample.test_SMPL_from_masks import (
    Fits,
    TestMasksConfig,
    fit_settings,
    over_pictures,
    read_fits,
    rows_of_frames,
)
from utils.artifacts import file_hash, save_result
from utils.image import write_image
from utils.settings import start
from utils.skeleton import H36M_17

LIMBS = tuple(f"{side}_{joint}" for side in ("left", "right")
              for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))  # fmt: skip
HIPS = [H36M_17.index(f"{side}_hip") for side in ("left", "right")]
JPG_QUALITY = 85


@dataclass(frozen=True)
class Settings:
    """What was fitted, and where the numbers and the picture go."""

    fits: Path
    paths: Paths = field(default_factory=lambda: Paths.under(ROOT / "data" / "real"))
    shown: tuple[int, ...] = ()
    """Rows of the fits that the picture shows; without any, three that are spread over all."""
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "bodies_on_recording.json"
    picture: Path = ROOT / "images" / "bodies_on_recording.jpg"


def about_hips(joints_m: Float[np.ndarray, "T 17 3"]) -> Float[np.ndarray, "T 12 3"]:
    """Give the joints of the limbs about the middle of the hips."""
    middle_m = joints_m[:, HIPS].mean(axis=1, keepdims=True)
    return joints_m[:, [H36M_17.index(name) for name in LIMBS]] - middle_m


def errors_of(fits: Fits, true_m: Float[np.ndarray, "T 17 3"]) -> dict[str, Any]:
    """Measure distances without any alignment but of the middle of the hips."""
    found_m = fits.joints_world_m.double().numpy()
    apart_mm = 1000 * np.linalg.norm(about_hips(found_m) - about_hips(true_m), axis=-1)
    hips_mm = 1000 * np.linalg.norm((found_m - true_m)[:, HIPS].mean(axis=1), axis=-1)
    by_frame = np.median(apart_mm, axis=1)
    return {
        "num_instants": len(found_m),
        "limb_joints_median_mm": float(np.median(apart_mm)),
        "limb_joints_mean_mm": float(apart_mm.mean()),
        "by_joint_median_mm": dict(zip(LIMBS, np.median(apart_mm, axis=0).round(1).tolist(), strict=True)),
        "by_instant_median_mm": {"best": float(by_frame.min()), "worst": float(by_frame.max())},
        "middle_of_hips_world_median_mm": float(np.median(hips_mm)),
        "overlap_percent": float(100 * np.nanmean(fits.overlap)),
        "overlap_by_camera_percent": (100 * np.nanmean(fits.overlap, axis=0)).round(1).tolist(),
    }


def sheet(pictures: UInt8[np.ndarray, "E V S S 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Put the pictures of instants below each other, those of cameras beside each other."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in pictures], axis=0)


def main(settings: Settings) -> dict[str, Any]:
    """Measure, write and print."""
    fits, config = read_fits(settings.fits), fit_settings(settings.fits)
    there = replace(config, paths=settings.paths)
    reader = masks_reader(there, teacher_of(there))
    rows = rows_of_frames(reader.table, fits.frames)
    true_m = reader.table.joints_world_m[reader.table.row_instant[rows]]
    if not np.isfinite(true_m).all():
        raise ValueError(f"{settings.paths.h36m_location} has frames without joints from keypoints, which the bodies "
                         "are compared with; import the recording with them")  # fmt: skip
    found = errors_of(fits, true_m)
    reads = reads_of(there, reader, np.unique(fits.frames[:, 0]).tolist())
    protocol = (
        "pose2sim 0.7.0, the man on the beam, four cameras turned by the small angles that the keypoints ask for; "
        "masks: what differs from the pictures of the empty room, or where these show people from the median over "
        f"time; bodies read {reads.tier}; no label, and no keypoint but for these turns; one instant in "
        f"{config.every}, {config.steps.steps} steps.  Distance of 12 limb joints about the middle of the hips, no "
        "alignment, to the joints triangulated from the recording's keypoints, which are true to 3 to 4 cm"
    )
    save_result(settings.result, protocol, teacher_hash=file_hash(config.teacher), tier=reads.tier, **found)
    body = load_body(settings.paths.models_smpl_location, h36m_regressor=settings.paths.h36m_regressor_location)
    shown = np.array(settings.shown or np.linspace(0, len(rows) - 1, 3).round().astype(int))
    drawn = TestMasksConfig(fits=settings.fits, paths=settings.paths)
    write_image(settings.picture, sheet(over_pictures(drawn, reader, body, fits, shown)), quality=JPG_QUALITY)
    print({name: value for name, value in found.items() if not isinstance(value, dict)})
    return found


if __name__ == "__main__":
    start(main, Settings)
