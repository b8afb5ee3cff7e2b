"""Four convolutions for small photos: 3,453,121 parameters on 150x150x3 and a binary head."""

from torch import nn

from noonchi.networks.dropout import Dropout
from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output, pool


def photos_convnet(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """6,272 features on 150x150 pictures; then 512 dense units."""
    return layers(**_base(shape, pooling), **_top(heads))


def photos_convnet_dropout(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """The same with half of the features dropped in training; weights have the same names and shapes."""
    return layers(**_base(shape, pooling), dropout=Dropout(0.5), **_top(heads))


def _base(shape: PictureShape, pooling: Pooling) -> dict[str, nn.Module]:
    named: dict[str, nn.Module] = {}
    channels = shape.channels
    for number, filters in enumerate((32, 64, 128, 128), start=1):
        named[f"conv{number}"] = nn.Conv2d(channels, filters, 3)
        named[f"relu{number}"] = nn.ReLU()
        named[f"pool{number}"] = pool(pooling)
        channels = filters
    return {**named, "flatten": nn.Flatten()}


def _top(heads: Heads) -> dict[str, nn.Module]:
    return {"dense1": nn.LazyLinear(512), "relu5": nn.ReLU(), "output": output(heads)}
