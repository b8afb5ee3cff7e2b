"""Nodes put together to boxes, so few that a person can read them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from torch import nn

from noonchi.diagram.tracing import Node

MOST = 24
"""Boxes of a network that can be divided less finely: VGG16 has 22."""

Group = list[int]
"""Numbers of nodes: one, and those that go along with it."""
Part = list[Group]
"""What shares a box."""


@dataclass(frozen=True)
class Box:
    """What one box of the drawing stands for."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    trainable: int
    sources: tuple[int, ...]
    """Numbers of the boxes that lead to it, all before it."""
    is_layer: bool
    """Not so are the picture and each of several answers."""


def boxed(nodes: Sequence[Node], network: nn.Module) -> list[Box]:
    """A box a layer, with what follows it and keeps its shape; a block or a stage where there would be more than 24.

    Blocks and stages are told by names: layers called one after another whose names begin alike, up to a dot or `_`.
    """
    groups = _folded(nodes)
    parts, words = [[group] for group in groups], max(len(_words(node.path)) for node in nodes)
    while len(parts) > MOST and words > 1:
        words -= 1
        parts = _together(groups, nodes, words)
    box_of = {number: at for at, part in enumerate(parts) for group in part for number in group}
    layers = dict(network.named_modules())
    return [_box(part, nodes, box_of, layers) for part in parts]


def _folded(nodes: Sequence[Node]) -> list[Group]:
    """Each node with the activation, norm or dropout that alone takes its result, and so on."""
    takers = Counter(chain.from_iterable(node.sources for node in nodes))
    group_of: dict[int, Group] = {}
    for number, node in enumerate(nodes):
        before = node.sources[0] if len(node.sources) == 1 else 0
        group_of[number] = group_of[before] if before and takers[before] == 1 and _goes_along(node) else []
        group_of[number].append(number)
    return [group for number, group in group_of.items() if group[0] == number]


def _goes_along(node: Node) -> bool:
    kind = type(node.layer).__name__
    return node.layer is not None and node.keeps_shape and ("Norm" in kind or not (_learns(node) or "Pool" in kind))


def _learns(node: Node) -> bool:
    return node.layer is not None and next(node.layer.parameters(), None) is not None


def _together(groups: list[Group], nodes: Sequence[Node], words: int) -> list[Part]:
    """Groups that were called one after another and whose names begin with the same words, as one part.

    Since nothing else was called in between, no way leads out of a part and back into it.
    """

    def key(group: Group) -> tuple[object, ...]:
        first = nodes[group[0]]
        alone = first.is_answer or not group[0]
        return (group[0],) if alone else tuple(_words(first.path)[:words])

    return [list(some) for _, some in groupby(groups, key)]


def _box(part: Part, nodes: Sequence[Node], box_of: dict[int, int], layers: dict[str, nn.Module]) -> Box:
    members = [nodes[number] for group in part for number in group]
    weights = [weight for node in members for weight in node.weights]
    own = box_of[part[0][0]]
    paths = [nodes[group[0]].path for group in part]
    name = paths[0] if len(part) == 1 else _beginning(paths)
    return Box(
        name=name,
        kind=", ".join(_kinds(members)) if len(part) == 1 else _block(name, len(part), layers),
        shape=members[-1].shape,
        parameters=sum(weight.numel() for weight in weights),
        trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
        sources=tuple(sorted({box_of[source] for node in members for source in node.sources} - {own})),
        is_layer=not (members[0].is_answer or own == 0),
    )


def _kinds(members: list[Node]) -> Iterator[str]:
    for node in members:
        if node.layer is not None:
            yield _kind(node.layer)
            if _learns(node) and not node.weights:
                yield "same weights"
        yield from node.activations


def _kind(layer: nn.Module) -> str:
    """Its class, with the kernel's size and a stride that is not the usual one.

    >>> _kind(nn.Conv2d(3, 8, (3, 5), stride=2)), _kind(nn.MaxPool2d(2))
    ('Conv2d 3x5, stride 2', 'MaxPool2d 2x2')
    """
    name = type(layer).__name__
    kernel, stride = (_pair(getattr(layer, key, None)) for key in ("kernel_size", "stride"))
    if kernel is None:
        return name
    usual = kernel if "Pool" in name else (1, 1)
    told = "" if stride in (None, usual) else f", stride {'x'.join(map(str, sorted(set(stride), key=stride.index)))}"
    return f"{name} {kernel[0]}x{kernel[1]}{told}"


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    return tuple(value) if isinstance(value, tuple) and len(value) == 2 else None


def _block(name: str, count: int, layers: dict[str, nn.Module]) -> str:
    """What a part is: a layer that holds others, or several of one class, or of many."""
    if name in layers and not isinstance(layers[name], nn.Sequential):
        return type(layers[name]).__name__
    inner = [path for path in layers if path.startswith((f"{name}.", f"{name}_"))]
    outermost = [path for path in inner if path.rpartition(".")[0] not in inner]
    kinds = {type(layers[path]).__name__ for path in outermost}
    return f"{len(outermost)} x {kinds.pop()}" if len(kinds) == 1 else f"{count} layers"


def _beginning(paths: Sequence[str]) -> str:
    """What all begin with, in whole words.

    >>> _beginning(["layer1_0.conv1", "layer1_0.conv2", "layer1_0.add"])
    'layer1_0'
    """
    common = 0
    for words in zip(*map(_words, paths), strict=False):
        if len(set(words)) > 1:
            break
        common += 1
    ends = [found.end() for found in re.finditer("[^._]+", paths[0])]
    return paths[0][: ends[common - 1]] if common else paths[0]


def _words(path: str) -> list[str]:
    return re.findall("[^._]+", path)
