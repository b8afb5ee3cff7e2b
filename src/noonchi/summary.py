"""What a network is made of: each layer's output, parameters and arithmetic, from one black picture."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.backends.mha import get_fastpath_enabled, set_fastpath_enabled
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from noonchi import networks, settings
from noonchi.networks import PictureShape, evaluating, shape_of_one
from noonchi.results import Head
from noonchi.settings import HeadSettings, RunSettings


@dataclass(frozen=True)
class Layer:
    """One layer; a layer that is used twice is one row."""

    name: str
    """Its name in the network, such as `conv1` or `digit.output`."""
    kind: str
    """Its class, such as `Conv2d`."""
    output_shape: tuple[int, ...]
    """Height, width, channels of a map, or the number of features; empty where `forward` does not call the layer."""
    parameters: int
    """Weights and biases; those shared with an earlier layer are counted there."""
    trainable: int
    multiply_adds: int
    """Multiplications of two numbers, each added to a sum, for one picture: convolutions and matrix products."""


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    weights: int
    """Of everything a saved classifier keeps: parameters and running statistics."""
    activations: int
    """Of all layers' outputs for one picture, which training keeps until the backward pass."""


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order in which a picture meets them, with totals."""

    network: str
    input_shape: PictureShape
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    memory_bytes: Memory

    @property
    def frozen(self) -> int:
        """Parameters that training leaves alone."""
        return self.parameters - self.trainable

    @property
    def base(self) -> tuple[Layer, ...]:
        """The layers before the first one called `flatten`: what a transfer keeps. Empty where there is none."""
        for position, layer in enumerate(self.layers):
            if layer.name.rpartition(".")[2] == "flatten":
                return self.layers[:position]
        return ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, shapes as lists."""
        return {
            "network": self.network,
            "input_shape": list(self.input_shape),
            "parameters": self.parameters,
            "trainable": self.trainable,
            "frozen": self.frozen,
            "base_parameters": sum(layer.parameters for layer in self.base),
            "multiply_adds": self.multiply_adds,
            "memory_bytes": asdict(self.memory_bytes),
            "layers": [{**asdict(layer), "output_shape": list(layer.output_shape)} for layer in self.layers],
        }

    def table(self) -> Table:
        """For the terminal; a subtotal after the base, a total at the end."""
        table = Table(title=Text(f"{self.network} on {self.input_shape}"))
        for heading in ("layer", "kind", "output"):
            table.add_column(heading, overflow="fold")
        for heading in ("parameters", "trainable", "multiply-adds"):
            if heading != "trainable" or self.frozen:
                table.add_column(heading, justify="right", no_wrap=True)
        for part, name in ((self.base, "base"), (self.layers[len(self.base) :], "all")):
            for layer in part:
                table.add_row(*self._cells(layer))
            if part:
                table.add_section()
                table.add_row(*self._cells(_total(name, self.base if name == "base" else self.layers)))
                table.add_section()
        return table

    def to_text(self, width: int = 80) -> str:
        """The table and a line on memory."""
        text = StringIO()
        console = Console(file=text, width=width, color_system=None)
        console.print(self.table())
        memory = self.memory_bytes
        console.print(
            f"memory: {decimal(memory.weights)} of weights, {decimal(memory.activations)} a picture in training"
        )
        return text.getvalue()

    def _cells(self, layer: Layer) -> list[Text]:
        shape = str(layer.output_shape) if layer.output_shape else ""
        trainable = [f"{layer.trainable:,}"] if self.frozen else []
        cells = [layer.name, layer.kind, shape, f"{layer.parameters:,}", *trainable, f"{layer.multiply_adds:,}"]
        return [Text(cell) for cell in cells]  # a plain string would be read as markup


def summarize(network: nn.Module, shape: PictureShape, name: str) -> Summary:
    """Runs one black picture through the network and notes what each layer does; the network is left as it was.

    Rows are the layers that hold no others, and those that hold parameters or multiply by themselves.

    >>> network = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU())
    >>> summary = summarize(network, PictureShape(9, 9, 3), "mine")
    >>> [(layer.output_shape, layer.parameters, layer.multiply_adds) for layer in summary.layers]
    [((7, 7, 20), 560, 26460), ((7, 7, 20), 0, 0)]
    """
    trace = _run(network, shape)
    layers = tuple(_rows(network, trace))
    weights = {tensor.data_ptr(): tensor.nbytes for tensor in (*network.parameters(), *network.buffers())}
    return Summary(
        network=name,
        input_shape=shape,
        layers=layers,
        parameters=sum(layer.parameters for layer in layers),
        trainable=sum(layer.trainable for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        memory_bytes=Memory(sum(weights.values()), sum(storage.nbytes() for storage in trace.storages.values())),
    )


def build_named(name: str, shape: PictureShape | None = None, classes: int = 10) -> tuple[nn.Module, PictureShape]:
    """The network of a recipe, of a network's name or of `file.py:name`, with fresh weights, and its pictures' shape.

    What `shape` and the heads leave open is taken from the recipe, or from one that uses the network; a variant such
    as `photos-convnet-dropout` takes it from the network it is named after. Raises SettingsError for unknown names.

    >>> network, shape = build_named("mnist-convnet")
    >>> summarize(network, shape, "mnist-convnet").parameters
    93322
    """
    recipes = [settings.load(recipe) for recipe in settings.recipe_names()]
    akin = (
        [run for run in recipes if run.recipe == name]
        or [run for run in recipes if run.model.network == name]
        or [run for run in recipes if name.startswith(run.model.network)]
        or [RunSettings()]
    )[0]
    model = akin.model if akin.recipe == name else akin.model.but(network=name)
    shape = shape or PictureShape(*(akin.pixels.size or (28, 28)), akin.pixels.channels or 1)
    heads = tuple(_head(key, head, classes) for key, head in (akin.heads or {"label": HeadSettings()}).items())
    return networks.build(model, shape, heads), shape


def _head(name: str, head: HeadSettings, classes: int) -> Head:
    if head.map:
        return Head(name, head.kind or "classes", tuple(dict.fromkeys(head.map.values())))
    count = 2 if head.kind == "binary" else classes
    return Head(name, head.kind or "classes", tuple(str(number) for number in range(count)))


class _Trace:
    """What happens while a picture passes: multiply-adds go to the innermost layer that is running."""

    def __init__(self, flops: FlopCounterMode) -> None:
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.multiply_adds: Counter[str] = Counter()
        self.storages: dict[int, torch.UntypedStorage] = {}  # kept, so that no address is used twice
        self._flops = flops
        self._running: list[str] = []
        self._counted = 0

    def enter(self, name: str) -> None:
        self._count()
        self._running.append(name)
        self.outputs.setdefault(name, ())

    def leave(self, name: str, output: object) -> None:
        self._count()
        self._running.pop()
        tensors = _tensors(output)
        if tensors:
            self.outputs[name] = shape_of_one(tensors[0])
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self.storages[storage.data_ptr()] = storage

    def _count(self) -> None:
        flops = self._flops.get_total_flops()
        if self._running:
            self.multiply_adds[self._running[-1]] += (flops - self._counted) // 2
        self._counted = flops


def _run(network: nn.Module, shape: PictureShape) -> _Trace:
    images = shape.zeros()
    images = images.to(next(network.parameters(), images).device)
    flops = FlopCounterMode(display=False)
    trace = _Trace(flops)
    with ExitStack() as hooks:
        for name, layer in network.named_modules():
            before = layer.register_forward_pre_hook(lambda _layer, _inputs, name=name: trace.enter(name))
            after = layer.register_forward_hook(lambda _layer, _inputs, output, name=name: trace.leave(name, output))
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        hooks.callback(set_fastpath_enabled, get_fastpath_enabled())
        set_fastpath_enabled(False)  # the counter knows attention only as plain matrix products
        with evaluating(network), sdpa_kernel(SDPBackend.MATH), flops:
            network(images)
    trace.storages.pop(images.untyped_storage().data_ptr(), None)  # a flattened input is the picture itself
    return trace


def _rows(network: nn.Module, trace: _Trace) -> Iterator[Layer]:
    modules = dict(network.named_modules())
    counted: set[nn.Parameter] = set()
    for name in dict.fromkeys((*trace.outputs, *modules)):  # in order of use, then those never used
        own = set(modules[name].parameters(recurse=False)) - counted
        leaf = name in trace.outputs and not any(modules[name].children())
        if own or leaf or trace.multiply_adds[name]:
            yield Layer(
                name=name or "(itself)",
                kind=type(modules[name]).__name__,
                output_shape=trace.outputs.get(name, ()),
                parameters=sum(weight.numel() for weight in own),
                trainable=sum(weight.numel() for weight in own if weight.requires_grad),
                multiply_adds=trace.multiply_adds[name],
            )
        counted |= own


def _tensors(output: object) -> list[Tensor]:
    if isinstance(output, dict):
        output = list(output.values())
    values = output if isinstance(output, list | tuple) else [output]
    return [value for value in values if isinstance(value, Tensor)]


def _total(name: str, layers: tuple[Layer, ...]) -> Layer:
    parameters, trainable, multiply_adds = (
        sum(getattr(layer, field) for layer in layers) for field in ("parameters", "trainable", "multiply_adds")
    )
    return Layer(name, "", (), parameters, trainable, multiply_adds)
