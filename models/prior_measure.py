"""What a prior says of poses, and bodies to look at, as arrays for the test and its figures."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped

from models.GAN import AnyCritic, Generator, StoredGan
from models.kinematics import with_root
from models.smpl import Body
from models.SMPL_from_latent import NUM_BETAS

CHUNK = 512


class Judged(NamedTuple):
    """Scores of poses, of average shape; open ones, not cut off at one."""

    scores: Float[np.ndarray, "N K"]
    plausibility: Float[np.ndarray, "N"]
    """One number per pose, as the critic sums up."""
    minus_l_gan: Float[np.ndarray, "N"]
    """Minus the mean squared distance of the scores from one, which is what stage 4 lowers."""


@torch.no_grad()
def judge(critic: AnyCritic, rotations: Float[np.ndarray, "N 23 3 3"]) -> Judged:
    """Score poses on bodies of average shape."""
    device = next(critic.parameters()).device
    found = []
    for start in range(0, len(rotations), CHUNK):
        part = torch.from_numpy(rotations[start : start + CHUNK].astype(np.float32)).to(device)
        shapes = part.new_zeros(len(part), NUM_BETAS)
        scores = critic.open_scores(part, shapes)
        l_gan = (1 - critic.scores(part, shapes)).square().mean(dim=1)
        found.append((scores, critic.plausibility(scores), -l_gan))
    return Judged(*(torch.cat(values).double().cpu().numpy() for values in zip(*found, strict=True)))


@torch.no_grad()
def invented_poses(invent: Generator, latent: int, count: int, seed: int) -> Float[np.ndarray, "N 23 3 3"]:
    """Let the generator invent poses."""
    noise = torch.randn(count, latent, generator=torch.Generator().manual_seed(seed))
    return invent(noise.to(next(invent.parameters()).device)).rotations[:, 1:].cpu().numpy()


@torch.no_grad()
def upright_vertices_m(body: Body, rotations: Float[np.ndarray, "N 23 3 3"]) -> Float[np.ndarray, "N V 3"]:
    """Give bodies of average shape in these poses, the pelvis at the origin, y up, facing +z."""
    posed = with_root(torch.from_numpy(rotations.astype(np.float32)))
    out = body(posed, torch.zeros(len(posed), 1), torch.zeros(len(posed), 3))
    return (out.vertices_m - out.joints_m[:, :1]).numpy()


def examples(
    stored: StoredGan,
    body: Body,
    poses: dict[str, Float[np.ndarray, "N 23 3 3"]],
    judged: dict[str, Judged],
    count: int,
    seed: int,
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Collect bodies to draw: real ones, the same ones corrupted, the generator's, with what is said of them."""
    rows = np.linspace(0, len(poses["real"]) - 1, count).round().astype(int)
    found = {"faces": body.faces.numpy().astype(np.int32), "example_row": rows}
    shown = {kind: (rotations[rows], judged[kind].plausibility[rows]) for kind, rotations in poses.items()}
    if stored.invent is not None:
        invented = invented_poses(stored.invent, stored.config.network.latent, count, seed)
        shown["invented"] = invented, judge(stored.critic, invented).plausibility
    for kind, (rotations, plausibility) in shown.items():
        found[f"vertices_{kind}_m"] = upright_vertices_m(body, rotations).astype(np.float16)
        found[f"plausibility_{kind}"] = plausibility
    return found
