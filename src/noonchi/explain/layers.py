"""The layers that a picture passes: what each gives, and the last ones that still say where in the picture."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from noonchi.classifier import Classifier
from noonchi.errors import RunError
from noonchi.networks import evaluating

MOST_LAYERS = 64
"""Shown of a network; one of more layers is shown block by block."""

_POOLINGS = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d),
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
"""Their maps are coarser copies of those before."""

_MOST_STRETCH = 1.5
"""Between a map's two scales. Convolutions without padding stretch a little; tokens by features of attention more."""

Score = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Place:
    """One run of a layer that gives maps (n, channels, height, width)."""

    layer: str
    run: int
    """Counted from 0: a layer may run several times for one picture."""


@dataclass(frozen=True, eq=False)
class Output:
    """What one run of a layer gave."""

    layer: str
    run: int
    tensor: Tensor


class _Reached(Exception):  # noqa: N818  # never leaves this module
    """The rest of the network is not needed."""


def parts(network: nn.Module, most: int = MOST_LAYERS) -> list[str]:
    """Names of a network's layers, divided as finely as `most` of them allow.

    >>> inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> parts(nn.Sequential(inner, nn.Flatten())), parts(nn.Sequential(inner, nn.Flatten()), most=2)
    (['0.0', '0.1', '1'], ['0', '1'])
    """
    depth, found = 1, _down_to(network, 1)
    while len(finer := _down_to(network, depth + 1)) <= most and finer != found:
        depth, found = depth + 1, finer
    return found


def outputs(classifier: Classifier, images: Tensor, layers: list[str]) -> list[Output]:
    """What these layers give for images (n, channels, height, width), in the order of their ends.

    A layer that changes its input in place does not change what came before it here.
    """
    kept: list[Output] = []

    def keep(layer: str, run: int, result: Tensor) -> None:
        kept.append(Output(layer, run, result.detach().clone()))

    with evaluating(classifier.network), watched(classifier.network, layers, keep):
        classifier.logits(images)
    return kept


def targets(classifier: Classifier, head: str) -> tuple[Place | None, Place | None]:
    """Where maps are given that a head's answer depends on: the last of them, and the last that are twice as fine.

    Of those twice as fine, whole blocks go before what lies within one, which may be but one of its branches. Maps of
    one pixel do not count, nor do poolings. Raises RunError for a network without gradients.
    """
    network = classifier.network
    with evaluating(network), torch.enable_grad():
        images = classifier.shape.zeros().to(classifier.device).requires_grad_()
        maps, logits = _maps(classifier, images)
        logit = _differentiable(logits[head].sum(), classifier)

        def counts(given: Output) -> bool:
            [gradient] = torch.autograd.grad(logit, given.tensor, retain_graph=True, allow_unused=True)
            return gradient is not None

        last = next(filter(counts, maps), None)
        if last is None:
            return None, None
        least = 2 * min(last.tensor.shape[2:])
        finer = sorted(
            (one for one in maps if min(one.tensor.shape[2:]) >= least), key=lambda one: one.layer.count(".")
        )
        return _place(last), _place(next(filter(counts, finer), None))


def activation_and_gradient(
    classifier: Classifier, images: Tensor, place: Place, score: Score
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Maps (n, channels, height, width) at a place, the gradient of a score with respect to them, and all logits.

    One forward pass and the part of a backward pass that lies behind the place; frozen layers are no hindrance.
    """
    leaves: list[Tensor] = []
    runs = count()

    def begin_there(_layer: nn.Module, _inputs: Any, result: Tensor) -> Tensor | None:
        if next(runs) != place.run:
            return None
        torch.set_grad_enabled(True)  # no graph is kept of what comes before; `evaluating` switches it off again
        leaves.append(result.detach().requires_grad_())
        return leaves[0].clone()  # the next layer may work in place, which a leaf forbids

    network = classifier.network
    with evaluating(network):
        watch = network.get_submodule(place.layer).register_forward_hook(begin_there)
        try:
            logits = classifier.logits(images)
        finally:
            watch.remove()
        [gradient] = torch.autograd.grad(_differentiable(score(logits), classifier), leaves[0])
    return leaves[0].detach(), gradient, {head: values.detach() for head, values in logits.items()}


def input_gradient(classifier: Classifier, images: Tensor, score: Score) -> Tensor:
    """The gradient of a score with respect to images (n, channels, height, width)."""
    with evaluating(classifier.network), torch.enable_grad():
        images = images.detach().requires_grad_()
        [gradient] = torch.autograd.grad(_differentiable(score(classifier.logits(images)), classifier), images)
    return gradient


def up_to(classifier: Classifier, images: Tensor, layer: str) -> Tensor | None:
    """What a layer gives when it first runs; nothing behind it is computed. None where it gives no tensor."""
    kept: list[Tensor] = []

    def keep(_layer: str, _run: int, result: Tensor) -> None:
        kept.append(result)
        raise _Reached

    with watched(classifier.network, [layer], keep), suppress(_Reached):
        classifier.logits(images)
    return kept[0] if kept else None


@contextmanager
def watched(network: nn.Module, layers: list[str], tell: Callable[[str, int, Tensor], None]) -> Iterator[None]:
    """Within, `tell` gets the name, the run and the result of each of these layers that gives one tensor."""
    with ExitStack() as hooks:
        for name in layers:
            hooks.callback(network.get_submodule(name).register_forward_hook(_teller(name, tell)).remove)
        yield


def _teller(name: str, tell: Callable[[str, int, Tensor], None]) -> Callable[[nn.Module, Any, Any], None]:
    runs = count()

    def after(_layer: nn.Module, _inputs: Any, result: Any) -> None:
        if isinstance(result, Tensor):
            tell(name, next(runs), result)

    return after


def _down_to(network: nn.Module, depth: int) -> list[str]:
    """Names of the modules at a depth, and of those above it that hold no others."""
    return [
        name
        for name, module in network.named_modules()
        if name and (name.count(".") == depth - 1 or (name.count(".") < depth - 1 and not any(module.children())))
    ]


def _maps(classifier: Classifier, images: Tensor) -> tuple[list[Output], dict[str, Tensor]]:
    """All maps that are given, the last first, with the gradients' graph, and the logits."""
    network = classifier.network
    seen: dict[tuple[int, int], Output] = {}
    pooled: set[tuple[int, int]] = set()

    def keep(layer: str, run: int, result: Tensor) -> None:
        # what works in place gives the same tensor in another version; a block the same as its last layer
        key = (id(result), result._version)
        seen[key] = Output(layer, run, result)
        if isinstance(network.get_submodule(layer), _POOLINGS):
            pooled.add(key)

    with watched(network, [name for name, _ in network.named_modules() if name], keep):
        logits = classifier.logits(images)
    return [seen[key] for key in reversed(seen) if key not in pooled and _is_map(seen[key].tensor, classifier)], logits


def _place(given: Output | None) -> Place | None:
    return Place(given.layer, given.run) if given else None


def _is_map(tensor: Tensor, classifier: Classifier) -> bool:
    if tensor.ndim != 4 or min(tensor.shape[2:]) < 2 or not tensor.requires_grad:
        return False
    high, wide = tensor.shape[2] / classifier.shape.height, tensor.shape[3] / classifier.shape.width
    return max(high, wide) <= _MOST_STRETCH * min(high, wide)


def _differentiable(score: Tensor, classifier: Classifier) -> Tensor:
    if not score.requires_grad:
        raise RunError(
            f"network '{classifier.model.network}' gives answers without gradients (torch.no_grad or detach in its "
            "forward?), and heat maps need them; take that out."
        )
    return score
