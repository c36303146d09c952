"""What several processes do so that together they train on a batch as one process would, to rounding.

Each holds a share of the batch's rows.  Random numbers are drawn for the whole batch in every process, which then takes
its rows; what is averaged over known things is divided by how many the whole batch has; statistics and dropout of
layers are those of the whole batch.  With one process nothing here changes a bit.

Whatever exchanges must be called by every process, in the same order: never by the first alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def num_processes() -> int:
    """Count the processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def summed(value: Tensor) -> Tensor:
    """Add what every process has; no gradient flows."""
    if num_processes() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def averaged(value: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Average what every process has; no gradient flows."""
    return value if num_processes() == 1 else summed(value) / num_processes()


def known_in_share(known: Tensor, least: float | None = None) -> Tensor:
    """Give what a share's sum is divided by, so that the processes' average is the mean over the whole batch.

    Args:
        known: how much the share holds; no gradient flows through it.
        least: of the whole batch, where it may hold nothing.
    """
    if num_processes() > 1:
        whole = summed(known.double())
        return ((whole if least is None else whole.clamp_min(least)) / num_processes()).float()
    return known if least is None else known.clamp_min(least)


def gathered(value: Tensor) -> list[Tensor]:
    """Collect the values of all processes, which are of one shape, in the order of their ranks."""
    parts = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(num_processes())]
    dist.all_gather(parts, value.detach().contiguous())
    return parts


class Shares(NamedTuple):
    """A random generator of the whole batch, of whose numbers this process takes those of its rows."""

    generator: torch.Generator
    rank: int
    processes: int
    sizes: tuple[int, ...] = ()
    """Rows of this process in each part of a batch that is put together from several; the whole batch has all rows of
    the first part first."""
    is_dealt: bool = False
    """Whether row n of the batch belongs to process n modulo the processes, like cards, and not to the n-th part."""

    @property
    def device(self) -> torch.device:
        """Where numbers are drawn."""
        return self.generator.device

    def parts(self, count: int) -> tuple[int, ...]:
        """Say how rows divide into parts; fewer than a whole share's belong together."""
        return self.sizes if count == sum(self.sizes) else (count,)

    def take(self, whole: Tensor) -> Tensor:
        """Take this process's rows."""
        if self.is_dealt:
            return whole[self.rank :: self.processes]
        sizes = self.parts(len(whole) // self.processes)
        parts = whole.split([self.processes * size for size in sizes])
        return torch.cat([part.split(size)[self.rank] for part, size in zip(parts, sizes, strict=True)])

    def join(self, shares: Sequence[Tensor]) -> Tensor:
        """Put the rows of all processes in the order that the whole batch has."""
        if self.is_dealt:
            return torch.stack(list(shares), dim=1).flatten(0, 1)
        by_part = zip(*(share.split(self.parts(len(share))) for share in shares), strict=True)
        return torch.cat([torch.cat(part) for part in by_part])


Draws = torch.Generator | Shares
"""Where random numbers come from."""


def of_whole(shares: Shares, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape of the whole batch's numbers."""
    return (shares.processes * shape[0], *shape[1:])


def rand(shape: Sequence[int], source: Draws) -> Tensor:
    """Draw uniform numbers in [0, 1); the first axis counts the rows of the batch."""
    if isinstance(source, torch.Generator):
        return torch.rand(tuple(shape), generator=source, device=source.device)
    return source.take(rand(of_whole(source, tuple(shape)), source.generator))


def randn(shape: Sequence[int], source: Draws) -> Tensor:
    """Draw normal numbers; the first axis counts the rows of the batch."""
    if isinstance(source, torch.Generator):
        return torch.randn(tuple(shape), generator=source, device=source.device)
    return source.take(randn(of_whole(source, tuple(shape)), source.generator))


def randint(high: int, shape: Sequence[int], source: Draws) -> Tensor:
    """Draw whole numbers below `high`; the first axis counts the rows of the batch."""
    if isinstance(source, torch.Generator):
        return torch.randint(high, tuple(shape), generator=source, device=source.device)
    return source.take(randint(high, of_whole(source, tuple(shape)), source.generator))


def shuffled(values: Tensor, source: Draws) -> Tensor:
    """Shuffle the rows of the whole batch: a row may come from another process."""
    if isinstance(source, torch.Generator):
        return values[torch.randperm(len(values), generator=source, device=source.device)]
    order = torch.randperm(source.processes * len(values), generator=source.generator, device=source.device)
    return source.join(gathered(values))[source.take(order)]


class _Normalised(torch.autograd.Function):
    """Batch normalisation by statistics of the whole batch.

    Source: Ioffe and Szegedy, Batch normalization, ICML 2015, section 3, with sums over all processes; own derivation,
    test_whole_batch.py.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse_std: Tensor, count: Tensor
    ) -> Tensor:
        shape = (1, -1, *(1,) * (x.ndim - 2))
        ctx.save_for_backward(x, weight, mean, inverse_std, count)
        scale = weight.float() * inverse_std
        return (x.float() * scale.view(shape) + (bias.float() - mean * scale).view(shape)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std, count = ctx.saved_tensors
        shape, axes = (1, -1, *(1,) * (x.ndim - 2)), (0, *range(2, x.ndim))
        gradient, normalised = gradients[0].float(), (x.float() - mean.view(shape)) * inverse_std.view(shape)
        of_bias, of_weight = gradient.sum(axes), (gradient * normalised).sum(axes)
        share = summed(torch.stack([of_bias, of_weight])) / count
        of_x = gradient - share[0].view(shape) - normalised * share[1].view(shape)
        of_x = of_x * (weight.float() * inverse_std).view(shape)
        return of_x.to(x.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None, None


class WholeBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics are those of the whole batch, on any device that processes exchange on.

    PyTorch's own, SyncBatchNorm, refuses the CPU.
    """

    @classmethod
    def in_place_of(cls, norm: Norm) -> "WholeBatchNorm":
        """Take over the parameters and statistics of a layer."""
        ours = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        ours._parameters, ours._buffers, ours.training = norm._parameters, norm._buffers, norm.training
        return ours

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected two axes or more, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise."""
        self._check_input_dim(input)
        if not self.training:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        axes = (0, *range(2, input.ndim))
        with torch.no_grad():
            variances, means = torch.var_mean(input.float(), axes, correction=0)
            counts = torch.full_like(means, input.numel() // input.shape[1])  # they differ: some views do not exist
            of_all = torch.stack(gathered(torch.stack([means, variances, counts])))
            count = of_all[:, 2].sum(0)
            share = of_all[:, 2] / count
            mean = (share * of_all[:, 0]).sum(0)
            variance = (share * (of_all[:, 1] + (of_all[:, 0] - mean).square())).sum(0)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        return _Normalised.apply(input, self.weight, self.bias, mean, (variance + self.eps).rsqrt(), count)


class WholeBatchDropout(nn.Dropout):
    """Dropout that drops of the whole batch what one process would on the CPU, from the global random generator.

    Of pictures whose channels lie last it drops others, as numbers are drawn in the order of the memory.
    """

    def __init__(self, p: float, shares: Callable[[], Shares]) -> None:
        super().__init__(p)
        self.shares = shares

    def forward(self, input: Tensor) -> Tensor:
        """Drop."""
        if not self.training or self.p == 0:
            return input
        shares = self.shares()
        whole = input.new_empty(of_whole(shares, tuple(input.shape)))
        return input * shares.take(whole.bernoulli_(1 - self.p)) / (1 - self.p)


def for_whole_batch(model: nn.Module, shares: Callable[[], Shares]) -> None:
    """Replace, in place, the layers that look at a whole batch; parameters and statistics stay the same tensors.

    Args:
        shares: says, when called, which rows of the batch are this process's.
    """
    norms: dict[int, WholeBatchNorm] = {}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Norm):
                setattr(parent, name, norms.setdefault(id(child), WholeBatchNorm.in_place_of(child)))
            elif type(child) is nn.Dropout:
                ours = WholeBatchDropout(child.p, shares)
                ours.training = child.training
                setattr(parent, name, ours)


def in_one_order(model: nn.Module) -> None:
    """Give 1 x 1 kernels and their gradients the same strides; else every exchange copies them, with a warning.

    Where an axis has one place its stride says nothing: layers that were turned to channels last say another, and so do
    gradients that were computed in bfloat16.  Nothing is copied here.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4 and parameter.shape[2:] == (1, 1):
            parameter.data = in_plain_order(parameter.data)
            if parameter.requires_grad:
                parameter.register_hook(in_plain_order)


def in_plain_order(kernel: Float[Tensor, "O I 1 1"]) -> Float[Tensor, "O I 1 1"]:
    """See a 1 x 1 kernel with the strides of a table of outputs and inputs."""
    return kernel.flatten(1).contiguous().view(kernel.shape)
