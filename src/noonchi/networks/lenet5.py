"""LeNet-5 (LeCun et al. 1998) as it is taught today: 61,706 parameters on 28x28x1 and 10 classes."""

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output, pool


def lenet5(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """ReLU for the paper's tanh, every map connected to every other, and a plain dense layer at the end."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 6, 5, padding=2),
        relu1=nn.ReLU(),
        pool1=pool(pooling),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=pool(pooling),
        flatten=nn.Flatten(),
        dense1=nn.LazyLinear(120),
        relu3=nn.ReLU(),
        dense2=nn.LazyLinear(84),
        relu4=nn.ReLU(),
        output=output(heads),
    )
