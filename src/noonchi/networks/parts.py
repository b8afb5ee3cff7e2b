"""What the named networks are put together from. Layers are torch.nn's; sizes are found by the first forward."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from noonchi.errors import SettingsError, did_you_mean
from noonchi.networks.pooling import relu_and_pool
from noonchi.results import Head

Pooling = Literal["max", "average"]
Heads = tuple[Head, ...]


class PictureShape(NamedTuple):
    """Size of the pictures a network takes.

    >>> str(PictureShape(28, 28, 1))
    '28x28x1'
    """

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"

    def zeros(self, count: int = 1) -> Tensor:
        """Black pictures, (count, channels, height, width) float32."""
        return torch.zeros(count, self.channels, self.height, self.width)

    def ramp(self) -> Tensor:
        """A picture (1, channels, height, width) float32 whose values go from 0 to 1, each another."""
        return torch.linspace(0, 1, self.channels * self.height * self.width).reshape(self.zeros().shape)


Builder = Callable[[PictureShape, Heads, Pooling], nn.Module]


class Layers(nn.Sequential):
    """Layers one after the other; in training a max pooling goes before the ReLU that it follows.

    The two commute, bit for bit and in their gradients, and the ReLU then has a quarter of the work. Out of training
    each layer gives the map that its place says.

    >>> Layers(OrderedDict(relu=nn.ReLU(), pool=nn.MaxPool2d(2)))(torch.ones(1, 1, 2, 2)).item()
    1.0
    """

    frozen: int = 0
    """How many of the first layers do not train."""
    settled: int = 0
    """In how many of the first layers batch norm keeps its statistics, also where its weights train."""

    def place_of(self, name: str) -> int:
        """Which layer is called `name`, or is the first of those called `name_…`. Raises SettingsError.

        >>> layers(conv1=nn.ReLU(), block_1=nn.ReLU(), block_2=nn.ReLU()).place_of("block")
        1
        """
        wanted, names = name.replace(".", "_"), [own for own, _ in self.named_children()]
        for fits in (wanted.__eq__, lambda own: own.startswith(f"{wanted}_")):
            for place, own in enumerate(names):
                if fits(own):
                    return place
        raise SettingsError(f"'{name}' is not a layer of this network. {did_you_mean(wanted, names)}")

    def freeze(self, name: str | None) -> None:
        """Let the layers before the one named be as they are: no gradients, no dropout, no moving statistics.

        All others train; None freezes none.
        """
        self.frozen = 0 if name is None else self.place_of(name)
        for place, layer in enumerate(self):
            layer.requires_grad_(place >= self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen layers."""
        super().train(mode)
        for place, layer in enumerate(list(self)[: max(self.frozen, self.settled)]):
            for inner in layer.modules():
                if place < self.frozen or isinstance(inner, nn.modules.batchnorm._BatchNorm):
                    inner.training = False
        return self

    def forward(self, input: Tensor, first: int = 0) -> Tensor:
        """The last layer's answer; from another layer on, where `input` is what the layer before that gives."""
        modules = list(self)[first:]
        while modules:
            module = modules.pop(0)
            after = modules[0] if modules and self.training else None
            if isinstance(module, nn.ReLU) and isinstance(after, nn.MaxPool2d):
                input = relu_and_pool(input, after)
                del modules[0]
            else:
                input = module(input)
        return input


def layers(**named: nn.Module) -> Layers:
    """Layers one after the other, each under its name.

    >>> list(layers(flatten=nn.Flatten(), output=nn.Linear(4, 2)).state_dict())
    ['output.weight', 'output.bias']
    """
    return Layers(OrderedDict(named))


def pool(pooling: Pooling) -> nn.Module:
    """Shrinks each 2x2 window to its largest value or its mean; an odd last row or column is left out."""
    return nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)


def output(heads: Heads) -> nn.Module:
    """The last layer: one dense layer a head, from the same features.

    >>> output((Head("digit", "classes", ("0", "1", "2")), Head("odd", "binary", ("even", "odd"))))
    Outputs(
      (output_digit): LazyLinear(in_features=0, out_features=3, bias=True)
      (output_odd): LazyLinear(in_features=0, out_features=1, bias=True)
    )
    """
    return nn.LazyLinear(heads[0].outputs) if len(heads) == 1 else Outputs(heads)


class Outputs(nn.Module):
    """One dense layer a head, each on the same features (n, f); gives {head name: (n, head.outputs)}."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self._names = [head.name for head in heads]
        for head in heads:
            if "." in head.name:
                raise SettingsError(f"head '{head.name}' has a dot in its name, which a layer cannot have; rename it.")
            # a prefix, because a head called "type" or "train" would hide a method of the module
            self.add_module(f"output_{head.name}", nn.LazyLinear(head.outputs))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits of every head."""
        return {name: self.get_submodule(f"output_{name}")(features) for name in self._names}


class Concatenate(nn.Module):
    """Where branches meet: features (n, a), (n, b), … side by side as (n, a + b + …)."""

    def forward(self, *branches: Tensor) -> Tensor:
        """The branches, in the order given."""
        return torch.cat(branches, dim=1)


def shape_of_one(output: Tensor) -> tuple[int, ...]:
    """Of one picture of a batch: height, width, channels of a map, or the number of features.

    >>> shape_of_one(torch.zeros(1, 32, 26, 24)), shape_of_one(torch.zeros(1, 10))
    ((26, 24, 32), (10,))
    """
    shape = tuple(output.shape[1:])
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode and records no gradients; afterwards each layer's mode is as before."""
    modes = {layer: layer.training for layer in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for layer, training in modes.items():
            layer.training = training
