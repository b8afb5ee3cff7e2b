"""Two convolutions before one pooling, with dropout: 1,199,882 parameters on 28x28x1 and 10 classes."""

from torch import nn

from noonchi.networks.dropout import Dropout
from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output, pool


def deep_convnet(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """9,216 features on 28x28 pictures; then 128 dense units."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 32, 3),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3),
        relu2=nn.ReLU(),
        pool1=pool(pooling),
        dropout1=Dropout(0.25),
        flatten=nn.Flatten(),
        dense1=nn.LazyLinear(128),
        relu3=nn.ReLU(),
        dropout2=Dropout(0.5),
        output=output(heads),
    )
