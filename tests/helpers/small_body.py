"""The embedded body with a coarse surface, for tests that draw many silhouettes."""

from functools import cache

import numpy as np
import torch

from config import Paths
from models.body_surface import coarse_body
from models.open_body.decimate import decimate
from models.smpl import Body, load_body


@cache
def small_body() -> Body:
    body = load_body(Paths().models_smpl_location)
    points_m, faces = body.template_m.double().numpy(), body.faces.numpy()
    return coarse_body(body, torch.from_numpy(decimate(points_m, faces, np.zeros(len(points_m), bool), 600)))
