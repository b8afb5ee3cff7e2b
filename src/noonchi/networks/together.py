"""A network over a batch that several processes share: what it computes of all pictures, and draws for them, is that of
the whole batch.

Two kinds of layers look beyond a single picture. Batch norm takes mean and variance over the batch: each process's are
put together, and so are their gradients (as in `torch.nn.SyncBatchNorm`, which is for graphics processors alone).
Dropout and its kin draw for each picture: all processes draw for the whole batch and take their own part.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, distributed
from torch.overrides import TorchFunctionMode

from noonchi.networks.dropout import dropped
from noonchi.ranks import Ranks

_DROPPING = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, dropped)


class Together(TorchFunctionMode):
    """Within it, torch's functions see one process's pictures and answer as if they saw the whole batch.

    `first` is the place in the batch of its first picture, `pictures` how many of them count, and `of` how many the
    batch has.
    """

    def __init__(self, ranks: Ranks, first: int, pictures: int, of: int) -> None:
        super().__init__()
        self._ranks, self._first, self._pictures, self._of = ranks, first, pictures, of

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Torch calls it in place of `func`."""
        del types
        named = dict(kwargs or {})
        if func is F.batch_norm:
            return self._batch_norm(*args, **named)
        if func in _DROPPING:
            return self._dropped(func, *args, **named)
        if func is Tensor.bernoulli_ and args[0].ndim:  # timm's drop path
            return args[0].copy_(self._own(func(self._whole(args[0]), *args[1:], **named)))
        return func(*args, **named)

    def _whole(self, own: Tensor) -> Tensor:
        """Ones in the shape of the whole batch, where `own` has that of this process's part."""
        return torch.ones_like(own[:1]).expand(self._of, *own.shape[1:]).contiguous(memory_format=_memory_format(own))

    def _own(self, whole: Tensor) -> Tensor:
        return whole[self._first : self._first + max(1, self._pictures)]

    def _dropped(
        self, func: Callable[..., Tensor], input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or not p:
            return func(input, p, training, inplace)
        return input * self._own(func(self._whole(input.detach()), p, True))

    def _batch_norm(  # noqa: PLR0917  # torch's own
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        scale = input.new_ones(input.shape[1], dtype=torch.float32) if weight is None else weight
        shift = torch.zeros_like(scale) if bias is None else bias
        apply = cast(Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]], _BatchNorm.apply)
        out, mean, variance, count = apply(input, scale, shift, eps, self._pictures, self._ranks)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
        return out


class _BatchNorm(torch.autograd.Function):
    """Batch norm by the mean and variance of all processes' pictures (Ioffe and Szegedy 2015)."""

    @staticmethod
    def forward(  # noqa: PLR0917  # autograd takes no names
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, pictures: int, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = input.numel() / input.shape[1] * min(1, pictures)
        mean, variance = (one.double() for one in torch.batch_norm_update_stats(input, None, None, 0.0))
        # put together in float64 by the sums, as one process after the other would (Chan et al. 1983)
        sums = torch.cat([mean.new_tensor([count]), mean * count, (variance + mean.square()) * count])
        _sum(sums, ranks)
        total, channels = sums[0], len(mean)
        mean = sums[1 : channels + 1] / total
        variance = (sums[channels + 1 :] / total - mean.square()).clamp_min(0)
        short_mean, short_variance = mean.to(weight.dtype), variance.to(weight.dtype)
        out = torch.batch_norm(input, weight, bias, short_mean, short_variance, False, 0.0, eps, False)
        ctx.save_for_backward(input, weight, short_mean, short_variance)
        ctx.eps, ctx.total, ctx.ranks, ctx.counts = eps, float(total), ranks, pictures > 0
        ctx.mark_non_differentiable(mean, variance, total)
        return out, mean, variance, total

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        input, weight, mean, variance = ctx.saved_tensors
        through, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            grad, input, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([for_bias, for_weight]).double()
        _sum(sums, ctx.ranks)
        of_grad, of_product = (sums / ctx.total).to(weight.dtype).chunk(2)
        if not ctx.counts:
            return through, for_weight, for_bias, None, None, None
        # through the mean and the variance, which each picture that counts moves
        inverse = (variance + ctx.eps).rsqrt()
        slope = -weight * inverse.square() * of_product
        offset = -weight * inverse * of_grad - slope * mean
        shape = (1, -1, *[1] * (input.ndim - 2))
        through = through + (input * slope.view(shape) + offset.view(shape)).to(through.dtype)
        return through, for_weight, for_bias, None, None, None


def _sum(values: Tensor, ranks: Ranks) -> None:
    if ranks.group is not None:
        distributed.all_reduce(values, group=ranks.group)


def _memory_format(tensor: Tensor) -> torch.memory_format:
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
