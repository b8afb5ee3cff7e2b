"""Dropout whose draws cost little on a processor: torch's own draws number by number, a fifth of a step on MNIST."""

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary


class Dropout(nn.Dropout):
    """Drops each value by itself in training and divides the others by what is kept, as `nn.Dropout` does.

    On a processor 8 random bits a value decide where `p` is a multiple of 1/256, else 16, to which `p` is rounded.
    They come from torch's generator, eight or four values a draw.

    >>> sorted(set(Dropout(0.5)(torch.ones(100)).tolist()))
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """The values kept, (any shape) as the input's."""
        if input.device.type != "cpu":
            return super().forward(input)
        return dropped(input, self.p, self.training)


def dropped(input: Tensor, p: float, training: bool) -> Tensor:
    """What `Dropout` gives on a processor; known to torch as one of the functions that may be overridden."""
    if has_torch_function_unary(input):
        return handle_torch_function(dropped, (input,), input, p, training)
    if not training:
        return input
    return input * _mask(input, p, torch.int8 if (p * 2**8).is_integer() else torch.int16)


def _mask(like: Tensor, share: float, number: torch.dtype) -> Tensor:
    """Zero for what is dropped, the lowest of the random numbers; else what keeps the mean as it was."""
    levels = 2 ** (8 * number.itemsize)
    dropped = min(round(share * levels), levels - 1)
    draws = torch.empty(-(-like.numel() * number.itemsize // 8), dtype=torch.int64).random_(-(2**63), None)
    mask = torch.empty_like(like)  # as it lies in memory, so that no pass has to jump
    flat = mask.as_strided((like.numel(),), (1,))
    torch.ge(draws.view(number)[: like.numel()], dropped - levels // 2, out=flat).mul_(levels / (levels - dropped))
    return mask
