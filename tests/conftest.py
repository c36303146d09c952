"""Shape annotations are checked while the tests run (training does not pay for it)."""

import pytest
import torch
from jaxtyping import install_import_hook

hook = install_import_hook(
    [
        "utils.skeleton",
        "utils.camera",
        "utils.metrics",
        "utils.image",
        "models.smpl",
        "models.encoder_decoder",
        "models.pose_from_latent",
        "models.losses",
        "models.decoders",
        "models.encoders",
        "utils.export.bvh",
        "utils.export.gltf",
        "utils.export.tables",
        "utils.export.rig",
        "utils.export.tables",
        "utils.views",
        "utils.image_metrics",
        "utils.figures.common",
        "utils.report.summaries",
        "dataset_def.multiview",
        "dataset_def.crop",
        "dataset_def.h36m_files",
        "dataset_def.h36m_index",
        "dataset_def.h36m_crops",
        "dataset_def.mask_centres",
        "dataset_def.h36m_crops",
    ],
    "beartype.beartype",
)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Let every test draw the same numbers in every run."""
    torch.manual_seed(0)
