"""A residual network for a few thousand photos, from scratch: batch norm, four halvings, no dense layers."""

from torch import Tensor, nn

from noonchi.networks.dropout import Dropout
from noonchi.networks.parts import Heads, PictureShape, Pooling, layers, output


def photos_small(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """Residual blocks of 64, 128 and 256 filters (He et al. 2016), then the mean of each map."""
    del pooling
    return layers(
        conv=nn.Conv2d(shape.channels, 32, 5, stride=2, padding=2, bias=False),
        norm=nn.BatchNorm2d(32),
        relu=nn.ReLU(),
        block1=Residual(32, 64),
        block2=Residual(64, 128),
        block3=Residual(128, 256),
        block4=Residual(256, 256),
        mean=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=Dropout(0.3),
        output=output(heads),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one; halves a map's sides."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = layers(
            pool=nn.AvgPool2d(2, ceil_mode=True),
            conv=nn.Conv2d(before, after, 1, bias=False),
            norm=nn.BatchNorm2d(after),
        )
        self.relu = nn.ReLU()
        nn.init.zeros_(self.norm2.weight)  # each block begins as its shortcut (Goyal et al. 2017)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, before, height, width) → (n, after, height / 2, width / 2)."""
        if 1 in maps.shape[2:]:
            # oneDNN's bfloat16 leaves parts of the weights' gradient unset there (torch 2.13, AMX): often inf or nan
            raise RuntimeError("a map of one pixel a side cannot be halved")
        inner = self.relu(self.norm1(self.conv1(maps)))
        outer: Tensor = self.norm2(self.conv2(inner)) + self.shortcut(maps)
        return outer.relu()
