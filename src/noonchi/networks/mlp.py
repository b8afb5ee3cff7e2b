"""Dense layers and no convolution: 407,050 parameters on 28x28x1 and 10 classes."""

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output


def mlp(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:  # noqa: ARG001  # a builder's signature
    """512 dense units on the flattened picture."""
    return dense((512,), heads)


def dense(hidden: tuple[int, ...], heads: Heads) -> nn.Sequential:
    """Hidden layers of these widths on the flattened picture; with none, a linear classifier.

    >>> from noonchi.results import Head
    >>> [name for name, _ in dense((16,), (Head("odd", "binary", ("even", "odd")),)).named_children()]
    ['flatten', 'dense1', 'relu1', 'output']
    """
    named: dict[str, nn.Module] = {}
    for number, width in enumerate(hidden, start=1):
        named[f"dense{number}"] = nn.LazyLinear(width)
        named[f"relu{number}"] = nn.ReLU()
    return layers(flatten=nn.Flatten(), **named, output=output(heads))
