"""A critic of drawn images: people that are faint where the pose is uncertain do not pass for true ones."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from config import Optim
from utils.engine import OPPONENTS_BETAS, Run, make_optimizer


class ImageCritic(nn.Module):
    """Score patches of an image; high for true ones.

    It sees the background, too, so that it need not learn rooms, and the opacity, so that it learns what people's
    outlines are.  Source: patches, Isola et al., CVPR 2017, section 3.2.2; spectral normalisation, Miyato et al., 2018.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [4 + 3, width, 2 * width, 4 * width, 4 * width]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            for inputs, outputs in itertools.pairwise(widths)
        )
        self.of_limbs = spectral_norm(nn.Conv2d(widths[3], 1, 3, padding=1))
        self.of_people = spectral_norm(nn.Conv2d(widths[4], 1, 3, padding=1))

    def forward(
        self, rgb_opacity: Float[Tensor, "B 4 H W"], background: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B S"]:
        """Give the scores of patches 38 px wide, 8 px apart, and of patches 78 px wide, 16 px apart.

        Args:
            rgb_opacity: RGB in [0, 1], and how much the person covers: the drawn opacity, or the mask.
        """
        features, maps = 2 * torch.cat([rgb_opacity, background], dim=1) - 1, []
        for layer in self.layers:
            features = nn.functional.leaky_relu(layer(features), 0.2)
            maps.append(features)
        scores = [self.of_limbs(maps[2]), self.of_people(maps[3])]
        return torch.cat([score.float().flatten(1) for score in scores], dim=1)


def critic_loss(of_true: Float[Tensor, "B S"], of_drawn: Float[Tensor, "B S"]) -> Float[Tensor, ""]:
    """Ask for scores above 1 for true and below -1 for drawn images.

    Source: the hinge of Lim and Ye, Geometric GAN, 2017.
    """
    return torch.relu(1 - of_true).mean() + torch.relu(1 + of_drawn).mean()


class Opponent:
    """A critic in training: by one step for every step of the networks that draw."""

    def __init__(self, run: Run, lr: float, bf16: bool) -> None:
        self.run, self.bf16 = run, bf16
        self.critic = ImageCritic().to(run.device)
        self.optimizer = make_optimizer(self.critic.parameters(), Optim(lr=lr), OPPONENTS_BETAS)
        run.track(critic=self.critic, critic_optimizer=self.optimizer)
        self.judge = run.parallel(self.critic)

    def learn(
        self,
        drawn: Float[Tensor, "B 4 H W"],
        image: Float[Tensor, "B 3 H W"],
        mask: Float[Tensor, "B 1 H W"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, ""]:
        """Train the critic by one step, and give its loss; nothing flows back to those who draw."""
        true = torch.cat([image, mask], dim=1)
        with self.run.autocast(self.bf16):
            scores = self.judge(torch.cat([true, drawn.detach()]), background.repeat(2, 1, 1, 1))
        loss = critic_loss(*scores.chunk(2))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def doubt(self, drawn: Float[Tensor, "B 4 H W"], background: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """Say how little drawn images pass for true ones, for those who draw them; the critic gets no gradient."""
        self.critic.requires_grad_(False)
        with self.run.autocast(self.bf16):
            doubt = -self.critic(drawn, background).mean()
        self.critic.requires_grad_(True)
        return doubt
