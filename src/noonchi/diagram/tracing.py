"""Which layer takes what another gives, found by following tensors through one run."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from noonchi.networks import PictureShape, evaluating, shape_of_one

_ACTIVATIONS = {"elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "log_softmax", "mish", "relu", "relu6", "selu"}
_ACTIVATIONS |= {"sigmoid", "silu", "softmax", "softplus", "tanh"}
_SPELT = {"getitem": "slice", "iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "truediv": "div"}


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer, or of a function between layers; or the picture, or one of several answers."""

    path: str
    """The layer's name, such as `branch.conv1`; of a function that of the layer around it, and its own."""
    shape: tuple[int, ...]
    """Of one picture: height, width, channels of a map, or the number of features."""
    sources: tuple[int, ...] = ()
    """Numbers of the nodes whose results it takes."""
    layer: nn.Module | None = None
    weights: tuple[nn.Parameter, ...] = ()
    """Those that no node before has."""
    keeps_shape: bool = False
    is_answer: bool = False
    activations: tuple[str, ...] = ()
    """Functions that were applied to its result."""


class _Origin(NamedTuple):
    """What a tensor was made from: the result of one node, or else weights."""

    node: int | None
    weights: tuple[nn.Parameter, ...] = ()


_UNKNOWN = _Origin(None)


def trace(network: nn.Module, shape: PictureShape) -> list[Node]:
    """The calls in the order in which they were made, the first being the picture itself.

    A layer that holds no others is a node. What functions do between layers is one where they join results, bring
    weights or change the shape. Answers are nodes where there are several, each under its head's name.
    """
    images = shape.zeros()
    images = images.to(next(network.parameters(), images).device)
    follower = _Follower(images)
    with ExitStack() as hooks, evaluating(network):
        for name, layer in network.named_modules():
            before, after = follower.hooks(name, layer)
            hooks.callback(layer.register_forward_pre_hook(before, prepend=True).remove)
            hooks.callback(layer.register_forward_hook(after, with_kwargs=True).remove)
        with follower:
            result = network(images)
    return follower.finished(result)


class _Follower(TorchFunctionMode):
    """Notes every layer and function that is called, and keeps for each tensor what it was made from."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self._nodes = [Node("input", shape_of_one(images))]
        self._origins = WeakTensorKeyDictionary()
        self._origins[images] = _Origin(0)
        self._around: list[str] = []
        self._within_leaf = 0
        self._counted: set[nn.Parameter] = set()

    def hooks(self, name: str, layer: nn.Module) -> tuple[Callable[..., None], Callable[..., None]]:
        """What to call before and after the layer: it becomes a node, or is what nodes are within."""
        leaf = _is_leaf(layer)

        def before(_layer: nn.Module, _inputs: Any) -> None:
            self._around.append(name)
            self._within_leaf += leaf

        def after(_layer: nn.Module, inputs: Any, named_inputs: Any, result: Any) -> None:
            self._around.pop()
            self._within_leaf -= leaf
            if leaf and not self._within_leaf and not isinstance(layer, nn.Identity):
                self._note(
                    Node(name or "(itself)", (), layer=layer), (inputs, named_inputs), result, tuple(layer.parameters())
                )

        return before, after

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called for every function of torch that takes a tensor."""
        result = func(*args, **(kwargs or {}))
        if not self._within_leaf:
            self._between(func, (args, kwargs), args[0] if func is Tensor.__setitem__ else result)
        return result

    def finished(self, result: Any) -> list[Node]:
        """All nodes, once the network has given its result.

        Where they do not lead from the picture to it, because something left torch on the way, each that begins anew
        follows the one before.
        """
        ends = {self._origin(tensor).node for tensor in _tensors(result)}
        if isinstance(result, dict) and len(result) > 1:
            for name, tensor in result.items():
                self._note(Node(str(name), (), is_answer=True), tensor, tensor)
        reached = {0}
        for number, node in enumerate(self._nodes):
            if reached.intersection(node.sources):
                reached.add(number)
        if ends <= reached:
            return self._nodes
        return [
            replace(node, sources=(number - 1,)) if number and not node.sources else node
            for number, node in enumerate(self._nodes)
        ]

    def _between(self, function: Any, given: Any, result: Any) -> None:
        made = _tensors(result)
        taken = [(tensor.shape, self._origin(tensor)) for tensor in _tensors(given)]
        nodes = {origin.node for _, origin in taken if origin.node is not None}
        weights = tuple(weight for _, origin in taken for weight in origin.weights)
        name = str(getattr(function, "__name__", "function")).strip("_")
        name = _SPELT.get(name, name)
        if not nodes:
            self._stamp(made, _Origin(None, weights))
        elif made and (
            len(nodes) > 1
            or weights
            or made[0].shape not in {shape for shape, origin in taken if origin.node is not None}
        ):
            around = self._around[-1] if self._around else ""
            self._note(Node(f"{around}.{name}".lstrip("."), ()), given, result, weights)
        else:
            [node] = nodes
            if name in _ACTIVATIONS:
                self._nodes[node] = replace(self._nodes[node], activations=(*self._nodes[node].activations, name))
            self._stamp(made, _Origin(node))

    def _note(self, node: Node, given: Any, result: Any, weights: tuple[nn.Parameter, ...] = ()) -> None:
        taken, made = _tensors(given), _tensors(result)
        sources = dict.fromkeys(self._origin(tensor).node for tensor in taken)
        fresh = tuple(weight for weight in dict.fromkeys(weights) if weight not in self._counted)
        self._counted.update(fresh)
        self._nodes.append(
            replace(
                node,
                shape=shape_of_one(made[0]) if made else (),
                sources=tuple(number for number in sources if number is not None),
                weights=fresh,
                keeps_shape=bool(taken and made) and taken[0].shape == made[0].shape,
            )
        )
        self._stamp(made, _Origin(len(self._nodes) - 1))

    def _origin(self, tensor: Tensor) -> _Origin:
        if isinstance(tensor, nn.Parameter):
            return _Origin(None, (tensor,))
        origin: _Origin = self._origins.get(tensor, _UNKNOWN)  # type: ignore[no-untyped-call]
        return origin

    def _stamp(self, tensors: list[Tensor], origin: _Origin) -> None:
        for tensor in tensors:
            self._origins[tensor] = origin


def _is_leaf(layer: nn.Module) -> bool:
    """Whether it is drawn whole: it holds no layers, or weights and none within, or cannot be looked into."""
    within = any(next(child.parameters(), None) is not None for child in layer.children())
    own = next(layer.parameters(recurse=False), None) is not None
    return not any(layer.children()) or (own and not within) or isinstance(layer, torch.jit.ScriptModule)


def _tensors(given: Any) -> list[Tensor]:
    """All within lists, tuples and dicts."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, list | tuple):
        return []
    return [tensor for one in given for tensor in _tensors(one)]
