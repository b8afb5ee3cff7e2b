"""A kernel walked over numbers, window by window."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from noonchi import pixels
from noonchi.conv.kernels import Matrix
from noonchi.conv.layer import Layer
from noonchi.errors import SettingsError
from noonchi.pixels.decoding import header
from noonchi.settings import PixelSettings

_MOST_NUMBERS = 100_000


@dataclass(frozen=True, eq=False)
class Window:
    """The kernel at one place."""

    row: int
    """Of the output, counted from 0."""
    column: int
    values: Matrix
    """What lies under the kernel (kernel height, kernel width); NaN is padding."""
    products: Matrix | None
    """With the weights; None for a pooling."""
    result: float

    def to_json(self) -> dict[str, Any]:
        """Padding is None."""
        values = [[None if np.isnan(value) else value for value in row] for row in self.values.tolist()]
        products = {} if self.products is None else {"products": self.products.tolist()}
        return {"row": self.row, "column": self.column, "values": values, **products, "result": self.result}


@dataclass(frozen=True, eq=False)
class Walk:
    """One filter of a layer, on one channel of numbers, without a bias."""

    layer: Layer
    matrix: Matrix
    """(height, width)."""
    weights: Matrix | None
    """(kernel height, kernel width); None for a pooling."""

    @cached_property
    def padded(self) -> Matrix:
        """The matrix with its padding, which is NaN."""
        return np.pad(self.matrix, (self.layer.rows.padding, self.layer.columns.padding), constant_values=np.nan)

    @cached_property
    def windows(self) -> Matrix:
        """(output height, output width, kernel height, kernel width), NaN for padding."""
        rows, columns = self.layer.rows, self.layer.columns
        spans = sliding_window_view(self.padded, (rows.span, columns.span))
        return spans[:: rows.stride, :: columns.stride, :: rows.dilation, :: columns.dilation]

    @cached_property
    def result(self) -> Matrix:
        """(output height, output width)."""
        if self.layer.kind == "max":
            found = np.nanmax(self.windows, axis=(2, 3))
        elif self.weights is None:
            found = np.nan_to_num(self.windows).mean(axis=(2, 3))
        else:
            found = np.einsum("hwkl,kl->hw", np.nan_to_num(self.windows), self.weights)
        return np.asarray(found, np.float64) + 0.0  # no -0

    def __len__(self) -> int:
        return self.result.size

    def __iter__(self) -> Iterator[Window]:
        """Row by row."""
        for row, column in np.ndindex(*self.result.shape):
            values = self.windows[row, column]
            products = None if self.weights is None else np.nan_to_num(values) * self.weights + 0.0
            yield Window(row, column, values, products, float(self.result[row, column]))

    def to_json(self) -> dict[str, Any]:
        """Every window with its numbers."""
        return {
            "matrix": self.matrix.tolist(),
            **({} if self.weights is None else {"kernel_weights": self.weights.tolist()}),
            "result": self.result.tolist(),
            "windows": [window.to_json() for window in self],
        }


def walk(layer: Layer, matrix: Matrix, weights: Matrix | None = None) -> Walk:
    """Lays the kernel on every place it stops at, as PyTorch and Keras do: multiplied as it is, not turned over.

    Padding counts as 0 in a convolution and in an average, and not at all in a maximum, as in PyTorch. Raises
    SettingsError for more than 100,000 numbers, and where a dilated pooling finds nothing but padding.

    >>> from noonchi.conv.layer import layer
    >>> weights = np.array([[1.0, 0.0], [0.0, -1.0]])
    >>> walked = walk(layer((3, 3, 1), kernel=(2, 2)), np.arange(9.0).reshape(3, 3), weights)
    >>> walked.result.tolist(), next(iter(walked)).products.tolist()
    ([[-4.0, -4.0], [-4.0, -4.0]], [[0.0, 0.0], [0.0, -4.0]])
    """
    assert (weights is None) == (layer.kind != "convolution")
    height, width = (axis.size + sum(axis.padding) for axis in (layer.rows, layer.columns))
    if height * width > _MOST_NUMBERS:
        raise SettingsError(
            f"{height}x{width} numbers, padding among them, are too many to walk over; at most {_MOST_NUMBERS:,} are."
        )
    walked = Walk(layer, matrix, weights)
    if layer.kind == "max" and np.isnan(walked.windows).all(axis=(2, 3)).any():
        raise SettingsError("a window holds nothing but padding, which has no maximum; take less padding or dilation.")
    return walked


def read_picture(path: Path, side: int) -> tuple[Matrix, tuple[int, int]]:
    """Grey levels 0 to 255 of a picture whose longer side is brought to `side`, and the (height, width) it had.

    Raises PictureError, a DataError.
    """
    found = header(path)
    height, width = found.size if found else (1, 1)  # for what cannot be read, `read` says why
    scale = side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    levels = pixels.read(path, PixelSettings(size=size, channels=1))
    return levels[..., 0].astype(np.float64), (height, width)
