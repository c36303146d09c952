"""The critic of drawn images: what its patches see, its loss by hand, who is moved by which step."""

from dataclasses import replace

import pytest
import torch

from config import EncDecConfig, Loop, Optim, Paths
from models.image_critic import ImageCritic, Opponent, critic_loss
from utils.engine import Run


@pytest.fixture
def opponent(tmp_path) -> Opponent:
    torch.manual_seed(0)
    config = replace(EncDecConfig(device="cpu"), paths=Paths(runs_location=tmp_path), loop=Loop(), optim=Optim())
    return Opponent(Run("enc_dec", config), lr=1e-3, bf16=False)


def some_images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    true, drawn = (torch.rand(4, 4, 32, 32, generator=generator) for _ in range(2))
    true[:, 3], drawn[:, 3] = true[:, 3].round(), 0.5
    return true, drawn, torch.rand(4, 3, 32, 32, generator=generator)


@pytest.mark.parametrize(("which", "wide_px", "apart_px"), [(0, 38, 8), (1, 78, 16)])
def test_a_patch_sees_as_many_pixels_as_its_docstring_says(which, wide_px, apart_px):
    critic = ImageCritic(width=4)
    image = torch.zeros(1, 4, 256, 256, requires_grad=True)
    scores = critic(image, torch.zeros(1, 3, 256, 256))[0]
    fine = (256 // 8) ** 2
    grid = (scores[:fine] if which == 0 else scores[fine:]).view(256 // apart_px, 256 // apart_px)
    middle = len(grid) // 2
    seen = torch.autograd.grad(grid[middle, middle], image, retain_graph=True)[0][0].abs().sum(0).sum(0).nonzero()
    beside = torch.autograd.grad(grid[middle, middle + 1], image)[0][0].abs().sum(0).sum(0).nonzero()
    assert seen.max() - seen.min() + 1 == wide_px
    assert beside.min() - seen.min() == apart_px


def test_the_loss_by_hand():
    of_true, of_drawn = torch.tensor([[2.0, 0.5]]), torch.tensor([[-3.0, 0.0]])
    assert critic_loss(of_true, of_drawn).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)


def test_learning_moves_the_critic_alone_and_doubt_the_drawing_alone(opponent):
    true, drawn, background = some_images()
    drawn.requires_grad_(True)
    before = {name: value.clone() for name, value in opponent.critic.named_parameters()}
    opponent.learn(drawn, true[:, :3], true[:, 3:], background)
    assert drawn.grad is None
    assert all(not torch.equal(before[name], value) for name, value in opponent.critic.named_parameters())
    opponent.optimizer.zero_grad()
    opponent.doubt(drawn, background).backward()
    assert drawn.grad is not None and drawn.grad.abs().sum() > 0
    assert all(value.grad is None and value.requires_grad for value in opponent.critic.parameters())


def test_it_learns_to_tell_faint_from_true_people(opponent):
    true, drawn, background = some_images()
    first = opponent.learn(drawn, true[:, :3], true[:, 3:], background).item()
    for _ in range(40):
        last = opponent.learn(drawn, true[:, :3], true[:, 3:], background).item()
    assert last < 0.5 * first
    assert opponent.doubt(drawn, background) > opponent.doubt(true, background)


def test_a_checkpoint_of_the_run_holds_the_critic(opponent):
    assert set(opponent.run.tracked) == {"critic", "critic_optimizer"}
