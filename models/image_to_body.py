"""The trained networks as one function from an image, for programs that know nothing of this one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.encoder_decoder import EncoderDecoder
from models.pose_from_latent import PoseFromLatent
from models.SMPL_from_latent import MeshFromLatent

OUTPUTS = {
    "joints_root_m": "17 joints of Human3.6M, metres, pelvis at the origin, axes of the crop camera",
    "rotations_crop": "24 rotation matrices of the body model, root first (R_crop_from_body), others from the parent",
    "betas": "10 shape numbers of the body model",
}
"""What comes out, in this order; the first with a pose head, the others with a mesh head."""


class ImageToBody(nn.Module):
    """One encoder and the heads behind it; the encoder runs once."""

    def __init__(self, encoder: EncoderDecoder, pose: PoseFromLatent | None, mesh: MeshFromLatent | None) -> None:
        super().__init__()
        self.encoder, self.pose, self.mesh = encoder, pose, mesh
        self.outputs = tuple(OUTPUTS)[0 if pose is not None else 1 : 3 if mesh is not None else 1]

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        """Predict what `outputs` names, from RGB images in [0, 1]."""
        points_crop = self.encoder.encode_points(image)
        joints = () if self.pose is None else (self.pose(points_crop),)
        return joints if self.mesh is None else (*joints, *self.mesh(points_crop))


def read_alike(a: EncoderDecoder, b: EncoderDecoder) -> bool:
    """Tell whether two encoders give the same points: same layers, same weights."""
    parts = [
        {
            name: value
            for part in ("trunk", "to_points")
            for name, value in getattr(net, part).state_dict(prefix=part).items()
        }
        for net in (a, b)
    ]
    same_names = parts[0].keys() == parts[1].keys() and a.normalise == b.normalise
    return same_names and all(torch.equal(value, parts[1][name]) for name, value in parts[0].items())
