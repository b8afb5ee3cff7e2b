"""Networks for small pictures, made for speed: few large maps, and each shrunk before it is normalised."""

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output


def mnist_fast(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Four convolutions with batch norm, 16 to 64 filters: 66,000 parameters on 28x28x1 and 10 classes."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 16, 5, stride=2, bias=False),
        norm1=nn.BatchNorm2d(16),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(16, 32, 3, padding=1, bias=False),
        pool1=halved(pooling),
        norm2=nn.BatchNorm2d(32),
        relu2=nn.ReLU(),
        conv3=nn.Conv2d(32, 64, 3, padding=1, bias=False),
        norm3=nn.BatchNorm2d(64),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(64, 64, 3, padding=1, bias=False),
        pool2=halved(pooling),
        norm4=nn.BatchNorm2d(64),
        relu4=nn.ReLU(),
        flatten=nn.Flatten(),
        output=output(heads),
    )


def mnist_best(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Five convolutions with batch norm, 32 to 128 filters: 290,000 parameters on 28x28x1 and 10 classes."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 32, 5, stride=2, bias=False),
        norm1=nn.BatchNorm2d(32),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(64),
        relu2=nn.ReLU(),
        conv3=nn.Conv2d(64, 64, 3, padding=1, bias=False),
        pool1=halved(pooling),
        norm3=nn.BatchNorm2d(64),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(64, 128, 3, padding=1, bias=False),
        norm4=nn.BatchNorm2d(128),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(128, 128, 3, padding=1, bias=False),
        pool2=halved(pooling),
        norm5=nn.BatchNorm2d(128),
        relu5=nn.ReLU(),
        flatten=nn.Flatten(),
        output=output(heads),
    )


def halved(pooling: Pooling) -> nn.Module:
    """As `parts.pool`, but an odd last row or column stays: a map of one pixel is its own."""
    kind = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
    return kind(2, ceil_mode=True)
