"""The course's first convnet for MNIST: three convolutions, 93,322 parameters on 28x28x1 and 10 classes."""

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output, pool


def mnist_convnet(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Maps of 26x26x32, 11x11x64 and 3x3x64 on 28x28 pictures; then 64 dense units."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 32, 3),
        relu1=nn.ReLU(),
        pool1=pool(pooling),
        conv2=nn.Conv2d(32, 64, 3),
        relu2=nn.ReLU(),
        pool2=pool(pooling),
        conv3=nn.Conv2d(64, 64, 3),
        relu3=nn.ReLU(),
        flatten=nn.Flatten(),
        dense1=nn.LazyLinear(64),
        relu4=nn.ReLU(),
        output=output(heads),
    )
