"""Max pooling before the ReLU that it follows: the same function for less work, in bfloat16 on the bits of the numbers.

Positive floating-point numbers are ordered as whole numbers of the same bits are, and the ReLU makes no difference
between negative ones. Whole numbers are compared, multiplied by 0 or 1 and written at full width, and no index of 8
bytes a value is kept, as torch keeps it.
"""

from typing import Any

import torch
from torch import Tensor, nn


def relu_and_pool(maps: Tensor, pooling: nn.MaxPool2d) -> Tensor:
    """What max pooling gives of the ReLU of maps (n, channels, height, width): the same bits forward and back.

    Where bits are compared, a NaN counts as its sign says: as more than infinity, or as zero.

    >>> maps = torch.tensor([[[[1.0, 5.0], [3.0, 2.0]], [[-1.0, -5.0], [-3.0, -2.0]]]])
    >>> relu_and_pool(maps, nn.MaxPool2d(2)).flatten().tolist()
    [5.0, 0.0]
    """
    # float32 at its four bytes a value gains nothing
    if not maps.requires_grad or maps.dtype != torch.bfloat16 or maps.device.type != "cpu" or not _by_twos(pooling):
        return torch.relu(pooling(maps))
    answer: Tensor = _ReluAndPool.apply(maps.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]
    return answer


def _by_twos(pooling: nn.MaxPool2d) -> bool:
    windows = pooling.kernel_size in (2, (2, 2)) and pooling.stride in (2, (2, 2))
    return windows and not (pooling.padding or pooling.ceil_mode or pooling.return_indices) and pooling.dilation == 1


class _ReluAndPool(torch.autograd.Function):
    """The gradient of a window goes to the first that is its largest, if that is above zero, as torch has it."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        size = (n, channels, height // 2, width // 2)
        answer = torch.empty(size, dtype=maps.dtype, memory_format=torch.channels_last)
        height, width = 2 * size[2], 2 * size[3]  # an odd last row or column is left out
        bits = _bits(maps)
        rows = torch.maximum(bits[:, 0:height:2], bits[:, 1:height:2])
        torch.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2], out=_bits(answer)).clamp_(min=0)
        ctx.save_for_backward(maps, answer)
        return answer

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps, best = map(_bits, ctx.saved_tensors)
        of_maps = torch.empty_like(ctx.saved_tensors[0])
        out = _bits(of_maps)
        height, width = (2 * side for side in best.shape[1:3])
        rest = torch.ne(best, 0, out=torch.empty_like(best))
        rest *= _bits(gradient.contiguous(memory_format=torch.channels_last))
        hit = torch.empty_like(best)
        rows, columns = ([slice(first, side, 2) for first in (0, 1)] for side in (height, width))
        *places, last = ((..., row, column, slice(None)) for row in rows for column in columns)
        for place in places:
            torch.eq(maps[place], best, out=hit)
            torch.mul(hit, rest, out=out[place])
            rest -= out[place]
        out[last] = rest
        out[:, height:] = 0
        out[:, :, width:] = 0
        return of_maps


def _bits(tensor: Tensor) -> Tensor:
    """(n, channels, height, width) as whole numbers (n, height, width, channels), in the same memory."""
    return tensor.permute(0, 2, 3, 1).view(torch.int16)
