"""What goes into one convolution or pooling and what comes out: sizes, parameters, multiply-adds."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from noonchi.errors import SettingsError

Kind = Literal["convolution", "max", "average"]
Pair = tuple[int, int]
"""Of rows and of columns."""


class Padding(NamedTuple):
    """Rows or columns added before the first and after the last."""

    before: int
    after: int


@dataclass(frozen=True)
class Axis:
    """The rows or the columns of a layer's input, and how its kernel goes along them.

    >>> rows = Axis("height", 150, kernel=3, stride=2, padding=Padding(0, 1), dilation=1)
    >>> rows.output, rows.formula
    (75, 'floor((150 + 0 + 1 - 3) / 2) + 1 = 75')
    """

    name: str
    size: int
    kernel: int
    stride: int
    padding: Padding
    dilation: int

    @property
    def span(self) -> int:
        """Pixels from the kernel's first to its last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def room(self) -> int:
        """How far the kernel can go."""
        return self.size + sum(self.padding) - self.span

    @property
    def output(self) -> int:
        """How many places the kernel stops at."""
        return self.room // self.stride + 1

    @property
    def left_out(self) -> int:
        """Pixels at the end, padding among them, that no window reaches."""
        return max(0, self.room % self.stride)

    @property
    def formula(self) -> str:
        """The output's size with the numbers put in."""
        before, after = self.padding
        return f"floor(({self.size} + {before} + {after} - {self.span}) / {self.stride}) + 1 = {self.output}"


@dataclass(frozen=True)
class Layer:
    """One convolution or pooling."""

    kind: Kind
    rows: Axis
    columns: Axis
    channels: int
    filters: int
    """Channels of the output; those of the input for a pooling."""
    has_bias: bool

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.rows.size, self.columns.size, self.channels

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.rows.output, self.columns.output, self.filters

    @property
    def window(self) -> int:
        """Numbers under the kernel at one place: of all channels for a convolution, of one for a pooling."""
        return self.rows.kernel * self.columns.kernel * (self.channels if self.kind == "convolution" else 1)

    @property
    def weights(self) -> int:
        """Numbers that all filters hold."""
        return self.window * self.filters if self.kind == "convolution" else 0

    @property
    def biases(self) -> int:
        """One a filter."""
        return self.filters if self.has_bias else 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def multiply_adds(self) -> int:
        """Multiplications of a weight, each added to a sum, for one picture; those with padding count."""
        return self.rows.output * self.columns.output * self.weights

    def to_json(self) -> dict[str, Any]:
        """Plain values; what concerns rows and columns in this order."""
        axes = (self.rows, self.columns)
        return {
            "kind": self.kind,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "kernel": [axis.kernel for axis in axes],
            "stride": [axis.stride for axis in axes],
            "padding": [list(axis.padding) for axis in axes],
            "dilation": [axis.dilation for axis in axes],
            "left_out": [axis.left_out for axis in axes],
            "formula": {axis.name: axis.formula for axis in axes},
            "weights": self.weights,
            "biases": self.biases,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
        }


def layer(
    input_shape: tuple[int, int, int],
    *,
    kind: Kind = "convolution",
    filters: int = 1,
    kernel: Pair = (3, 3),
    stride: Pair = (1, 1),
    padding: Pair | Literal["same", "valid"] = "valid",
    dilation: Pair = (1, 1),
    has_bias: bool = True,
) -> Layer:
    """A convolution or pooling of pictures (height, width, channels).

    `padding` is how many rows and columns are added on each side. `same` adds so many that the output has
    ceil(size / stride); where their number is odd, one more comes after than before, as in Keras, and at stride 1 in
    PyTorch. Sizes are Dumoulin and Visin's, "A guide to convolution arithmetic for deep learning" (2016). Raises
    SettingsError for a kernel that does not fit.

    >>> coloured = layer((150, 150, 3), filters=20)
    >>> coloured.output_shape, coloured.weights, coloured.biases, coloured.multiply_adds
    ((148, 148, 20), 540, 20, 11828160)
    >>> layer((26, 26, 32), kind="max", kernel=(2, 2), stride=(2, 2)).output_shape
    (13, 13, 32)
    """
    height, width, channels = input_shape
    rows, columns = (
        Axis(name, size, kernel[at], stride[at], _padding(padding, at), dilation[at])
        for at, (name, size) in enumerate((("height", height), ("width", width)))
    )
    if padding == "same":
        rows, columns = _same(rows), _same(columns)
    for axis in (rows, columns):
        _check(axis, kind)
    if kind == "convolution":
        return Layer(kind, rows, columns, channels, filters, has_bias)
    return Layer(kind, rows, columns, channels, channels, has_bias=False)


def _padding(padding: Pair | Literal["same", "valid"], at: int) -> Padding:
    return Padding(0, 0) if isinstance(padding, str) else Padding(padding[at], padding[at])


def _same(axis: Axis) -> Axis:
    output = -(-axis.size // axis.stride)
    added = max(0, (output - 1) * axis.stride + axis.span - axis.size)
    return replace(axis, padding=Padding(added // 2, added - added // 2))


def _check(axis: Axis, kind: Kind) -> None:
    if axis.room < 0:
        padded = f" with {sum(axis.padding)} of padding" if any(axis.padding) else ""
        spread = f" ({axis.kernel} with dilation {axis.dilation})" if axis.dilation > 1 else ""
        raise SettingsError(
            f"a kernel of {axis.name} {axis.span}{spread} does not fit into {axis.name} {axis.size}{padded}; "
            "take a smaller kernel or more padding."
        )
    if kind != "convolution" and max(axis.padding) > axis.kernel // 2:
        raise SettingsError(
            f"a pooling's padding is at most half of its kernel, {axis.kernel // 2} for {axis.name} {axis.kernel}; "
            f"{max(axis.padding)} came. Take less."
        )
