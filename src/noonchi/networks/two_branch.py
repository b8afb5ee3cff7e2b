"""Networks that branch: one input on two paths that meet, and two heads on paths of their own."""

from torch import Tensor, nn

from noonchi.errors import SettingsError
from noonchi.networks.mlp import dense
from noonchi.networks.parts import Concatenate, Heads, PictureShape, Pooling, output, pool


class TwoBranch(nn.Module):
    """A convolved copy of the picture and the bare pixels meet before the output.

    6,192 features and 62,250 parameters on 28x28x1 and 10 classes.
    """

    def __init__(self, shape: PictureShape, heads: Heads, pooling: Pooling) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape.channels, 32, 3)
        self.relu1 = nn.ReLU()
        self.pool1 = pool(pooling)
        self.flatten = nn.Flatten()
        self.pixels = nn.Flatten()
        self.concatenate = Concatenate()
        self.output = output(heads)

    def forward(self, images: Tensor) -> Tensor:
        """Logits; with several heads a dict of them."""
        convolved = self.flatten(self.pool1(self.relu1(self.conv1(images))))
        logits: Tensor = self.output(self.concatenate(convolved, self.pixels(images)))
        return logits


class DigitAndOdd(nn.Module):
    """`TwoBranch` answers the first head, dense layers on the flattened picture answer the second.

    Raises SettingsError unless there are two heads.
    """

    def __init__(self, shape: PictureShape, heads: Heads, pooling: Pooling, hidden: tuple[int, ...]) -> None:
        super().__init__()
        if len(heads) != 2:
            raise SettingsError(
                "networks 'mnist-digit-and-odd' and 'mnist-digit-and-odd-deep' answer 2 heads, the digit and then odd "
                f"or even; {', '.join(repr(head.name) for head in heads)} came. "
                "'mnist-two-branch' answers any number of heads."
            )
        self._names = [head.name for head in heads]
        self.digit = TwoBranch(shape, heads[:1], pooling)
        self.odd = dense(hidden, heads[1:])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of both heads."""
        digit, odd = self._names
        return {digit: self.digit(images), odd: self.odd(images)}


def digit_and_odd(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """The second head is one dense layer on the flattened picture: 63,035 parameters on 28x28x1 and 10 classes."""
    return DigitAndOdd(shape, heads, pooling, hidden=())


def digit_and_odd_deep(shape: PictureShape, heads: Heads, pooling: Pooling) -> nn.Module:
    """The second head has hidden layers of its own: whether a digit is odd is no linear function of its pixels."""
    return DigitAndOdd(shape, heads, pooling, hidden=(256, 64))
