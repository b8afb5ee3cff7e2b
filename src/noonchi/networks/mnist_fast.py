"""Networks for small pictures, made for speed: few large maps, and each shrunk before it is normalised."""

from itertools import pairwise

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output


def mnist_fast(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Four convolutions with batch norm, 16 to 64 filters: 66,000 parameters on 28x28x1 and 10 classes."""
    return _stacked(shape, heads, pooling, filters=(16, 32, 64, 64), pooled=(2, 4))


def mnist_best(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Five convolutions with batch norm, 32 to 128 filters: 290,000 parameters on 28x28x1 and 10 classes."""
    return _stacked(shape, heads, pooling, filters=(32, 64, 64, 128, 128), pooled=(3, 5))


def _stacked(
    shape: PictureShape, heads: Heads, pooling: Pooling, *, filters: tuple[int, ...], pooled: tuple[int, ...]
) -> nn.Module:
    """Convolutions counted from 1, the first 5x5 at half the size, the others 3x3; the maps of `pooled` shrink."""
    named: dict[str, nn.Module] = {}
    for at, (before, after) in enumerate(pairwise((shape.channels, *filters)), start=1):
        kernel, stride, padding = (5, 2, 0) if at == 1 else (3, 1, 1)
        named[f"conv{at}"] = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        if at in pooled:
            named[f"pool{pooled.index(at) + 1}"] = _halved(pooling)
        named |= {f"norm{at}": nn.BatchNorm2d(after), f"relu{at}": nn.ReLU()}
    return layers(**named, flatten=nn.Flatten(), output=output(heads))


def _halved(pooling: Pooling) -> nn.Module:
    """As `parts.pool`, but an odd last row or column stays: a map of one pixel is its own."""
    kind = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
    return kind(2, ceil_mode=True)
