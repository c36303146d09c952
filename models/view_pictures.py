"""Pictures that show what stage 1 has learned: novel views, turntables, swapped appearance."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.encoder_decoder import EncoderDecoder
from utils.image import to_picture
from utils.views import FlatViews, turned, turned_about_vertical

YAWS_RAD = tuple(2 * math.pi / 8 * step for step in range(8))


def pictures(images: Float[Tensor, "N C H W"]) -> np.ndarray:
    """Turn tensors (RGB, or RGB and opacity) into RGB pictures."""
    return np.stack([to_picture(image[:3]) for image in images])


@torch.no_grad()
def example_pictures(
    network: EncoderDecoder,
    views: FlatViews,
    background: Float[Tensor, "B V 3 H W"],
    R_crop_from_world: Float[Tensor, "B V 3 3"],
) -> dict[str, np.ndarray]:
    """Draw the first image of every group: its target view and eight sides in its own looks; itself in another's."""
    groups, per_group = background.shape[:2]
    first = torch.arange(0, groups * per_group, per_group, device=background.device)
    points, appearance = network.encode(views.image)
    there = turned(views.R_target_from_source, points)[first]
    drawn = network.decode(there, appearance[first], views.target_background[first])
    here, looks, behind = points[first], appearance[first], background[:, 0]
    swapped = network.decode(here, looks.roll(1, dims=0), behind)
    sides = [turned_about_vertical(here, R_crop_from_world[:, 0], yaw_rad) for yaw_rad in YAWS_RAD]
    table = np.stack([pictures(network.decode(side, looks, behind)) for side in sides], axis=1)
    inputs = pictures(views.image[first])
    return {
        "grid_input": inputs, "grid_target": pictures(views.target_image[first]), "grid_predicted": pictures(drawn),
        "turntable_input": inputs, "turntable": table,
        "swap_pose": inputs, "swap_appearance": np.roll(inputs, 1, axis=0), "swapped": pictures(swapped),
    }  # fmt: skip
