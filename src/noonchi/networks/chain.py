"""Which layers of any network a picture passes one after the other."""

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from noonchi.networks.parts import evaluating


@dataclass(frozen=True, eq=False)
class _Call:
    """One run of a layer; `began` and `ended` count such moments."""

    name: str
    layer: nn.Module
    source: Tensor
    result: Tensor
    versions: tuple[int, int]
    """Of `source` when it was taken and of `result` when it was given: what works in place raises a tensor's own."""
    began: int
    ended: int


def chain(network: nn.Module, images: Tensor, end: str = "") -> list[tuple[str, nn.Module]]:
    """The layers from `images` (n, channels, height, width) to what the layer `end` gives, in order, with their paths.

    As finely divided as one tensor leads from each to the next: a residual block stays whole, a `Sequential` does not,
    and what cannot be divided is one layer. `end` is a path within the network; empty means all of it. Found by
    watching one run in evaluation mode, and kept only if the layers one after the other give the same bits.

    >>> two = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)), nn.Flatten())
    >>> [path for path, _ in chain(two, torch.ones(1, 1, 4, 4))]
    ['0.0', '0.1', '1']
    """
    calls = _calls(network, images)
    whole = next(call for call in reversed(calls) if call.name == end)
    found = [(call.name, call.layer) for call in _leading_to(whole, calls, images)]
    undivided = [(end, whole.layer)]
    if whole.source is not images:
        return found
    with evaluating(network):
        same = found and torch.equal(_through(found, images), _through(undivided, images))
    return found if same else undivided


def _calls(network: nn.Module, images: Tensor) -> list[_Call]:
    """Every call, in the order of their ends, that takes one tensor and gives one."""
    moments = count()
    running: list[tuple[int, int]] = []
    calls: list[_Call] = []

    def before(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        running.append((next(moments), inputs[0]._version if inputs and isinstance(inputs[0], Tensor) else -1))

    def after(name: str, layer: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        began, version = running.pop()
        if len(inputs) == 1 and isinstance(inputs[0], Tensor) and isinstance(result, Tensor):
            versions = (version, result._version)
            calls.append(_Call(name, layer, inputs[0], result, versions, began, next(moments)))

    with ExitStack() as hooks, evaluating(network):
        for name, layer in network.named_modules():
            hooks.callback(layer.register_forward_pre_hook(before).remove)
            watch = layer.register_forward_hook(lambda *call, name=name: after(name, *call))
            hooks.callback(watch.remove)
        network(images)
    return calls


def _leading_to(last: _Call, calls: list[_Call], images: Tensor) -> list[_Call]:
    """The finest sequence of calls from `images` to the result of `last`, less those that give what they take."""
    dead_ends: set[_Call] = set()

    def back(tensor: Tensor, version: int, moment: int) -> list[_Call] | None:
        giving = [
            call
            for call in calls
            if call.result is tensor and call.versions[1] == version and call.ended <= moment and call not in dead_ends
        ]
        for call in sorted(giving, key=lambda call: call.began, reverse=True):  # the innermost first
            earlier = back(call.source, call.versions[0], call.began)
            if earlier is not None:
                return earlier if call.source is tensor and call.versions[0] == version else [*earlier, call]
            dead_ends.add(call)
        return [] if tensor is images else None

    return back(last.result, last.versions[1], last.ended) or []


def _through(layers: list[tuple[str, nn.Module]], images: Tensor) -> Tensor:
    for _, layer in layers:
        images = layer(images)
    return images
