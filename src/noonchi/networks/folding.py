"""Batch norm that no longer moves, made part of the convolution before it: the same answers with a pass less."""

import copy
from collections import Counter
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_SAME = 1e-3
"""Of the largest output: how far rounding may take what a folded network gives from what it gave."""


class Call(NamedTuple):
    """What a convolution did while pictures passed."""

    size: tuple[int, int]
    """Height and width of the maps that it took."""
    follower: str | None
    """The layer that took its maps."""


def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy in evaluation mode whose batch norms are part of the convolutions that they follow.

    Which follow which is seen while `images` (n, channels, height, width) pass. The network itself is given back where
    there are none, or where the copy answers differently: a convolution may also be read from elsewhere.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> folded(network, torch.rand(1, 3, 9, 9))[1]
    Identity()
    """
    made = copy.deepcopy(network).eval()
    with torch.no_grad():
        plain, calls = watched(made, images, (nn.BatchNorm2d,))
        pairs = {name: call.follower for name, call in calls.items() if call.follower}
        for convolution, norm in pairs.items():
            fused = fuse_conv_bn_eval(made.get_submodule(convolution), made.get_submodule(norm))  # type: ignore[type-var, arg-type]
            made.set_submodule(convolution, fused)
            made.set_submodule(norm, _rest(made.get_submodule(norm)))
        return made if pairs and same(made(images), plain) else network


def watched(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> tuple[Any, dict[str, Call]]:
    """What the network gives, and by its name what each convolution did that was called once.

    A follower is a layer of one of `kinds` that is called once too. It takes the maps as they came: what works in place
    raises a tensor's own count, which `torch.inference_mode` would not keep.
    """
    outputs: list[tuple[str, Tensor, int]] = []  # kept, so that each is another object
    sizes: dict[str, tuple[int, int]] = {}
    pairs: dict[str, str] = {}
    seen: Counter[str] = Counter()

    def note(name: str) -> Any:
        def look(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs.append((name, output, output._version))
            sizes[name] = (inputs[0].shape[2], inputs[0].shape[3])

        return look

    def match(name: str) -> Any:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] += 1
            maps = inputs[0]
            pairs.update({before: name for before, own, count in outputs if own is maps and maps._version == count})

        return look

    with ExitStack() as hooks, torch.inference_mode(mode=False), torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d):
                hooks.callback(layer.register_forward_hook(note(name)).remove)
            elif isinstance(layer, kinds) and getattr(layer, "running_mean", layer) is not None:
                hooks.callback(layer.register_forward_pre_hook(match(name)).remove)
        answer = network(images)
    # a layer that pictures pass twice may follow another the second time
    passed = Counter(name for name, _, _ in outputs)
    followers = {before: name for before, name in pairs.items() if seen[name] == 1}
    return answer, {name: Call(sizes[name], followers.get(name)) for name, times in passed.items() if times == 1}


def same(answer: Any, plain: Any) -> bool:
    """Whether two answers, tensors or one a head, agree to within rounding."""
    if isinstance(plain, dict):
        return answer.keys() == plain.keys() and all(same(answer[name], plain[name]) for name in plain)
    return torch.allclose(answer, plain, rtol=0, atol=_SAME * float(plain.abs().max()))


def _rest(norm: nn.Module) -> nn.Module:
    """What timm's batch norm does besides."""
    parts = [norm.get_submodule(name) for name in ("drop", "act") if name in dict(norm.named_children())]
    return nn.Sequential(*parts) if parts else nn.Identity()
