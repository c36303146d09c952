"""Stage 4's network over all test frames: what it predicts, how far it is off, and what figures show of it."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.mesh_measure import Measure, in_crop_axes, own_view, row_of_each
from models.mesh_objective import check_finite
from models.SMPL_from_latent import BodyEstimate, rooted_body
from models.stored import StoredMesh
from utils.batches import to_device
from utils.engine import mixed_precision
from utils.image import to_picture
from utils.metrics import mean_rotations
from utils.report.summaries import stacked
from utils.views import MeshViews

BROKEN = ", so the checkpoint's weights are broken; train it again, with a lower --optim.lr"
"""A picture alone cannot make a predicted body infinite."""


class Sample(Protocol):
    """What is read of a batch; dataset_def.h36m_SMPL_data.MeshSample has it."""

    image: Tensor
    frames: Tensor
    joints_root_m: Tensor
    R_crop_from_world: Tensor
    views: MeshViews


class Tested(NamedTuple):
    """All frames: what was predicted and, per predictor and measure, how far it is off."""

    rotations_crop: Float[Tensor, "N 24 3 3"]
    betas: Float[Tensor, "N 10"]
    joints_root_m: Float[Tensor, "N 17 3"]
    true_joints_root_m: Float[Tensor, "N 17 3"]
    R_crop_from_world: Float[Tensor, "N 3 3"]
    errors: dict[str, dict[str, np.ndarray]]


def mean_body(
    rotations_world: Float[Tensor, "N 24 3 3"], betas: Float[Tensor, "N n"], R_crop_from_world: Float[Tensor, "N 3 3"]
) -> BodyEstimate:
    """Average the bodies that are known: rotations in crop axes, as matrices, and shape numbers."""
    known = betas.isfinite().all(dim=1)
    bodies = in_crop_axes(rotations_world[known], betas[known], R_crop_from_world[known])
    return BodyEstimate(mean_rotations(bodies.rotations_crop)[None], bodies.betas.mean(dim=0, keepdim=True))


@torch.no_grad()
def run_over(
    samples: Iterable[Sample],
    stage_4: StoredMesh,
    measure: Measure,
    truth: tuple[Float[Tensor, "N 24 3 3"], Float[Tensor, "N n"]] | None,
    mean: BodyEstimate | None,
) -> Tested:
    """Predict and measure every frame, beside the mean body and the true one.

    Args:
        truth: rotations in the world and shapes of all frames, in their order; NaN where they are not known.
    """
    columns: list[list[Tensor]] = []
    errors, first, device = [], 0, measure.vertex_share.device
    for on_cpu in samples:
        sample = to_device(on_cpu, device)
        with mixed_precision(device, stage_4.mesh_config.optim.bf16):
            estimate = stage_4.network(sample.image)
        check_finite(estimate, sample.frames, "predicted bodies", BROKEN)
        R, own = sample.R_crop_from_world, slice(first, first := first + len(sample.image))
        true = None if truth is None else in_crop_axes(truth[0][own].to(device), truth[1][own].to(device), R)
        joints_root_m = rooted_body(measure.quick, estimate).joints_root_m
        errors.append(measure.all_errors(estimate, mean, true, sample.joints_root_m, R, sample.views))
        columns.append([part.cpu() for part in (*estimate, joints_root_m, sample.joints_root_m, R)])
    rotations_crop, betas, joints_root_m, true_root_m, R = (torch.cat(rows) for rows in zip(*columns, strict=True))
    all_errors = {name: stacked([part[name] for part in errors]) for name in errors[0]}
    return Tested(rotations_crop, betas, joints_root_m, true_root_m, R, all_errors)


@torch.no_grad()
def examples(sample: Sample, stage_4: StoredMesh, measure: Measure) -> dict[str, np.ndarray]:
    """Store some frames with their meshes and masks, for the figures."""
    mesh = rooted_body(measure.body, stage_4.network(sample.image))
    found = measure.pictured(mesh, sample.R_crop_from_world, sample.views)
    own = own_view(sample.R_crop_from_world, sample.views)
    arrays = {
        "vertices_crop_m": found["vertices_crop_m"],
        "coverage": (255 * found["coverage"]).round().to(torch.uint8),
        "mask": (255 * sample.views.mask).round().to(torch.uint8),
        "exists": sample.views.exists,
        "own_view": own,
        "focal_per_side": row_of_each(sample.views.focal_px, own) / sample.views.mask.shape[-1],
    }
    pictures = {"example_image": np.stack([to_picture(image) for image in sample.image])}
    faces = {"faces": measure.body.faces.cpu().numpy().astype(np.int32)}
    return pictures | faces | {f"example_{name}": value.cpu().numpy() for name, value in arrays.items()}
