"""The loss of stage 1, and the weighted sum that every stage takes.

Those of the other stages: stage 2 `models/pose_from_latent.py`, 3 `models/gan_losses.py`, 4 `models/mesh_losses.py`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy

from config import ImageLoss
from models.perceptual import ImageFeatures, imagenet_normalised
from utils.whole_batch import known_in_share


def weighted_mean(error: Float[Tensor, "B C H W"], weight: Float[Tensor, "B 1 H W"]) -> Float[Tensor, ""]:
    """Average an error map with a weight per pixel; weights of one give the plain mean."""
    return (error * weight).sum() / (known_in_share(weight.sum()) * error.shape[1])


class ImageDifference(nn.Module):
    """Compare predicted with true images: pixels, and features of a frozen ImageNet network.

    Source: Rhodin et al. 2018, section 3 (L1 of pixels plus twice the mean over three feature maps); the weight of the
    person's pixels and the opacity term are ours.
    """

    def __init__(self, config: ImageLoss) -> None:
        super().__init__()
        self.config = config
        self.features = ImageFeatures(config.network) if config.features > 0 else None

    def forward(
        self,
        predicted: Float[Tensor, "B 4 H W"],
        true: Float[Tensor, "B 3 H W"],
        mask: Float[Tensor, "B 1 H W"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Give the unweighted terms that have a weight; `predicted` is RGB and opacity."""
        rgb, opacity = predicted[:, :3], predicted[:, 3:]
        weight = 1 + (self.config.person - 1) * mask
        terms = {"pixels": weighted_mean((rgb - true).abs(), weight)}
        if self.features is not None:
            terms["features"] = self.feature_difference(rgb, true, weight)
        if self.config.opacity > 0:
            # PyTorch's function raises on NaN, without a name; so a NaN goes round it, and the log names the term.
            known = opacity.nan_to_num(0.5).clamp(1e-4, 1 - 1e-4)
            terms["opacity"] = binary_cross_entropy(known, mask) + 0 * opacity.sum()
        return terms

    def feature_difference(
        self,
        predicted: Float[Tensor, "B 3 H W"],
        true: Float[Tensor, "B 3 H W"],
        weight: Float[Tensor, "B 1 H W"],
    ) -> Float[Tensor, ""]:
        """Average the difference of the feature maps in float32; no gradient to the true image."""
        assert self.features is not None
        prepare = imagenet_normalised if self.config.imagenet_normalised else bgr_over_256
        maps = self.features(prepare(predicted))
        with torch.no_grad():
            true_maps = self.features(prepare(true))
        total = predicted.new_zeros(())
        for predicted_map, true_map in zip(maps, true_maps, strict=True):
            difference = predicted_map.float() - true_map.float()
            error = difference.abs() if self.config.feature_norm == "l1" else difference**2
            total = total + weighted_mean(error, adaptive_avg_pool2d(weight, error.shape[-2:]))
        return total / len(maps)


def bgr_over_256(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Turn RGB in [0, 1] into BGR divided by 256, which the thesis gave to its feature network."""
    return image.flip(1) * (255 / 256)


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Add terms by their weights.

    Raises:
        ValueError: a term has no weight.
    """
    missing = sorted(set(terms) - set(weights))
    if missing:
        raise ValueError(f"loss terms {missing} have no weight in the settings")
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
