"""One convolution and no hidden dense layer: 54,410 parameters on 28x28x1 and 10 classes."""

from torch import nn

from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output, pool


def one_conv(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """32 filters, pooled and flattened: 5,408 features on 28x28 pictures."""
    return layers(
        conv1=nn.Conv2d(shape.channels, 32, 3),
        relu1=nn.ReLU(),
        pool1=pool(pooling),
        flatten=nn.Flatten(),
        output=output(heads),
    )
