"""A network as TensorBoard draws it: what is computed, layer within layer, and from what."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from noonchi.networks import PictureShape, evaluating


def graph(network: nn.Module, shape: PictureShape) -> bytes:
    """A serialised `GraphDef`, found by watching one black picture pass; the network is left as it was.

    A node is a call of torch, named by the layers it runs in: `digit/conv1/conv2d`. Its inputs are the nodes that its
    tensors come from; weights, which no call gives, are not drawn. Each output is a node at the end.

    >>> from tensorboard.compat.proto.graph_pb2 import GraphDef
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> [node.name for node in GraphDef.FromString(graph(network, PictureShape(2, 2, 1))).node]
    ['images', '0/flatten', '1/linear', 'answers/output']
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.versions_pb2 import VersionDef

    images = shape.zeros().to(next(network.parameters()).device)
    watch = _Watch(images)
    with ExitStack() as hooks, evaluating(network):
        for name, layer in network.named_modules():
            hooks.callback(layer.register_forward_pre_hook(watch.entering(name, layer)).remove)
            hooks.callback(layer.register_forward_hook(watch.leaving).remove)
        with watch:
            answer = network(images)
    for head, logits in (answer if isinstance(answer, dict) else {"output": answer}).items():
        watch.add(f"answers/{_safe(head)}", "output", [logits], None)
    return bytes(GraphDef(node=watch.nodes, versions=VersionDef(producer=22)).SerializeToString())


class _Watch(TorchFunctionMode):
    """Makes a node of every call of torch that gives a tensor."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.nodes: list[Any] = []
        self._running: list[tuple[str, nn.Module]] = []
        self._givers: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no other tensor gets the id of one that is gone
        self._names: Counter[str] = Counter()
        self.add("images", "input", [], images)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sources = [one for one in _tensors([args, kwargs]) if id(one) in self._givers]
        if sources and any(True for _ in _tensors(result)):
            place, layer = self._running[-1] if self._running else ("", None)
            called = (resolve_name(func) or "call").rpartition(".")[2].strip("_")
            told = "" if layer is None or any(layer.children()) else repr(layer)
            self.add(f"{place}/{called}".lstrip("/"), called, sources, result, told)
        return result

    def entering(self, name: str, layer: nn.Module) -> Callable[..., None]:
        place = "/".join(map(_safe, name.split(".")))
        return lambda *_: self._running.append((place, layer))

    def leaving(self, *_: Any) -> None:
        self._running.pop()

    def add(self, name: str, kind: str, sources: list[Tensor], result: Any, told: str = "") -> None:
        """A node; `told` is what is shown of it beside its shape."""
        from tensorboard.compat.proto.attr_value_pb2 import AttrValue
        from tensorboard.compat.proto.node_def_pb2 import NodeDef
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto as Shape

        self._names[name] += 1
        unique = name if self._names[name] == 1 else f"{name}_{self._names[name]}"
        given = list(_tensors(result))
        sides = [Shape(dim=[Shape.Dim(size=side) for side in tensor.shape]) for tensor in given]
        attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=sides))}
        if told:
            attributes["layer"] = AttrValue(s=told.encode())
        inputs = list(dict.fromkeys(self._givers[id(one)] for one in sources if id(one) in self._givers))
        self.nodes.append(NodeDef(name=unique, op=kind, input=inputs, attr=attributes))
        self._givers |= {id(tensor): unique for tensor in given}
        self._kept.append(given)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _safe(name: str) -> str:
    """As TensorBoard names nodes: without a `/`, which would be a layer within, or what it reads as a sign."""
    return "".join(letter if letter.isalnum() or letter in "_.-" else "_" for letter in name) or "_"
