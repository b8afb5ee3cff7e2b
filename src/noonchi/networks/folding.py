"""Batch norm that no longer moves, made part of the convolution before it: the same answers with a pass less."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_SAME = 1e-3
"""Of the largest output: how far rounding may take what a folded network gives from what it gave."""


def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy in evaluation mode whose batch norms are part of the convolutions that they follow.

    Which follow which is seen while `images` (n, channels, height, width) pass. The network itself is given back where
    there are none, or where the copy answers differently: a convolution may also be read from elsewhere.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> folded(network, torch.rand(1, 3, 9, 9))[1]
    Identity()
    """
    made = copy.deepcopy(network).eval()
    with torch.inference_mode():
        plain, pairs = _pairs(made, images)
        for convolution, norm in pairs.items():
            fused = fuse_conv_bn_eval(made.get_submodule(convolution), made.get_submodule(norm))  # type: ignore[type-var, arg-type]
            made.set_submodule(convolution, fused)
            made.set_submodule(norm, _rest(made.get_submodule(norm)))
        same = bool(pairs) and torch.allclose(made(images), plain, rtol=0, atol=_SAME * float(plain.abs().max()))
    return made if same else network


def _pairs(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, str]]:
    """What the network gives, and by a convolution's name that of the batch norm that takes its output."""
    outputs: list[tuple[str, Any]] = []  # kept, so that each is another object
    pairs: dict[str, str] = {}
    seen: list[str] = []

    def note(name: str) -> Any:
        return lambda _, __, output: outputs.append((name, output))

    def match(name: str) -> Any:
        def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.append(name)
            pairs.update({before: name for before, output in outputs if output is inputs[0]})

        return look

    handles = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            handles.append(layer.register_forward_hook(note(name)))
        elif isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            handles.append(layer.register_forward_pre_hook(match(name)))
    try:
        answer: Tensor = network(images)
    finally:
        for handle in handles:
            handle.remove()
    passed = [name for name, _ in outputs]  # a layer that pictures pass twice may follow another the second time
    once = {a: b for a, b in pairs.items() if passed.count(a) == 1 and seen.count(b) == 1}
    return answer, once


def _rest(norm: nn.Module) -> nn.Module:
    """What timm's batch norm does besides."""
    parts = [norm.get_submodule(name) for name in ("drop", "act") if name in dict(norm.named_children())]
    return nn.Sequential(*parts) if parts else nn.Identity()
