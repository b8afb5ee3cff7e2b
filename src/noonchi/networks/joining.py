"""A network for answers alone: on the processor a convolution does its batch norm and its ReLU in one pass."""

import copy
import math
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noonchi.networks.folding import Call, folded, same, watched

_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
}
"""What oneDNN applies to a value as soon as it is computed, in its own words."""
_PADDED_LIKE_TENSORFLOW = "Conv2dSame"
"""A layer of timm's, known by its name: only `backbones` imports timm."""

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""A whole number of as many bytes."""

_State = list[tuple[str, int]]


class _Made(NamedTuple):
    state: _State
    network: nn.Module | None
    """None where there is no better one than the network itself."""


_made: WeakKeyDictionary[nn.Module, _Made] = WeakKeyDictionary()


def answering(network: nn.Module, images: Tensor) -> nn.Module:
    """What gives a network's answers in less time, to within rounding: a copy, or the network itself.

    For pictures as high and wide as `images` (n, channels, height, width). A copy is kept until a weight changes.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> answering(network, torch.rand(1, 3, 9, 9)) is answering(network, torch.rand(1, 3, 9, 9))
    True
    """
    state = _state(network)
    kept = _made.get(network)
    if kept is None or kept.state != state:
        made = joined(network, images) if images.device.type == "cpu" else folded(network, images)
        kept = _made[network] = _Made(state, None if made is network else made)
    return kept.network or network


def joined(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy in evaluation mode whose convolutions do at once the batch norm and the ReLU that follow them.

    By operators of oneDNN that torch's compiler uses, on weights that lie as they want them. Where this torch has none
    of them, or the copy answers differently, only batch norms are folded.
    """
    made = folded(network, images)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return made
    made = copy.deepcopy(network).eval() if made is network else made
    try:
        with torch.no_grad():
            plain, calls = watched(made, images, tuple(_ACTIVATIONS))
            for name, call in calls.items():
                _join(made, name, call)
            if same(made(images), plain):
                return made
    except (AttributeError, RuntimeError, TypeError):  # another torch, or a network that looks into its own layers
        pass
    return folded(network, images)


class _Joined(nn.Module):
    """A convolution with an activation, in one pass."""

    def __init__(self, layer: nn.Conv2d, size: tuple[int, int], activation: nn.Module | None) -> None:
        super().__init__()
        weight, padding = _padded(layer, size)
        shape = (padding, list(layer.stride), list(layer.dilation), layer.groups)
        name, limits = _ACTIVATIONS[type(activation)] if activation else ("none", [])
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *shape)
        self._rest = (layer.bias, *shape, name, limits, "")

    def forward(self, maps: Tensor) -> Tensor:
        joined: Tensor = torch.ops.mkldnn._convolution_pointwise(maps, self._weight, *self._rest)
        return joined


def _join(network: nn.Module, name: str, call: Call) -> None:
    layer = network.get_submodule(name)
    if not isinstance(layer, nn.Conv2d) or not _is_known(layer):
        return
    activation = network.get_submodule(call.follower) if call.follower else None
    if activation and call.follower and type(activation) in _ACTIVATIONS:
        network.set_submodule(call.follower, nn.Identity())
    else:
        activation = None
    network.set_submodule(name, _Joined(layer, call.size, activation))


def _is_known(layer: nn.Conv2d) -> bool:
    if type(layer).__name__ == _PADDED_LIKE_TENSORFLOW:
        return layer.dilation == (1, 1)
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _padded(layer: nn.Conv2d, size: tuple[int, int]) -> tuple[Tensor, list[int]]:
    """Weights and how many zeros go around the maps, for maps of a height and width.

    TensorFlow pads one more at the end where the sum is odd, which oneDNN cannot. A kernel with one more row or
    column of zeros in front does the same, and spares a copy of the maps.
    """
    if type(layer) is nn.Conv2d:
        return layer.weight, [int(zeros) for zeros in layer.padding]
    sums = [
        max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
        for side, kernel, stride in zip(size, layer.kernel_size, layer.stride, strict=True)
    ]
    rows, columns = (zeros % 2 for zeros in sums)
    return F.pad(layer.weight, (columns, 0, rows, 0)), [(zeros + 1) // 2 for zeros in sums]


def _state(network: nn.Module) -> _State:
    """Where each weight is and the sum of its bits; torch does not count what its fused optimisers change."""
    with torch.inference_mode():
        values = [*network.parameters(), *network.buffers()]
        return [(str(v.device), int(v.detach().view(_BITS[v.itemsize]).sum(dtype=torch.int64))) for v in values]
