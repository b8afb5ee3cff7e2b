"""A layer's arithmetic and its first windows as plain text."""

from collections.abc import Iterator

import numpy as np

from noonchi.conv.kernels import Matrix
from noonchi.conv.layer import Axis, Layer
from noonchi.conv.walk import Walk, Window

_MOST_LINES = 32
"""Of windows, about: all 9 of a 5x5 matrix under a 3x3 kernel are shown."""
_MOST_ROWS = 28
_INDENT = "  "
RESULTS = {"convolution": "sum", "max": "max", "average": "mean"}
"""What one number of the output is called."""
_RULE = "floor((input + padding - kernel span) / stride) + 1"


def arithmetic(layer: Layer) -> str:
    """Every number with how it is found."""
    height, width, filters = layer.output_shape
    lines = [_title(layer), "", _line("size", _RULE)]
    for axis in (layer.rows, layer.columns):
        lines += [_line(name, value) for name, value in _sized(axis)]
    lines += [_line("output", f"{height}x{width}x{filters}"), ""]
    if layer.kind != "convolution":
        only = "it only compares" if layer.kind == "max" else "it only takes means"
        return "\n".join([*lines, _line("parameters", f"0, {only}")])
    window = f"{layer.rows.kernel} x {layer.columns.kernel} x {layer.channels}"
    lines += [
        _line("weights", f"{window} x {filters} = {layer.weights:,}"),
        _line("biases", f"{layer.biases:,}"),
        _line("parameters", f"{layer.weights:,} + {layer.biases:,} = {layer.parameters:,}"),
        _line("multiply-adds", f"{height} x {width} x {filters} x ({window}) = {layer.multiply_adds:,}"),
    ]
    return "\n".join(lines)


def steps(walk: Walk, width: int = 80) -> str:
    """The numbers walked over, the first windows one by one, and what comes out, in lines of at most `width`."""
    dots = "\ndots are padding" if np.isnan(walk.padded).any() else ""
    parts = [_shown("input", walk.matrix, width) + dots]
    lines = 0
    for at, window in enumerate(walk, start=1):
        if lines > _MOST_LINES:
            parts.append(f"... and {len(walk) - at + 1:,} more windows")
            break
        told = _window(window, at, walk, width)
        lines += len(told)
        parts.append("\n".join(told))
    return "\n\n".join([*parts, _shown("output", walk.result, width)])


def number(value: float) -> str:
    """As short as a sum by hand allows; padding is a dot.

    >>> [number(value) for value in (3.0, 1 / 9, -0.25, 0.00012345, float("nan"))]
    ['3', '0.111', '-0.25', '0.000123', '.']
    """
    if np.isnan(value):
        return "."
    return f"{round(value, 3):.12g}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


def _title(layer: Layer) -> str:
    kernel = f"{layer.rows.kernel}x{layer.columns.kernel}"
    what = f"{layer.kind} pooling"
    if layer.kind == "convolution":
        what = layer.kind
        kernel = f"{layer.filters:,} {'filter' if layer.filters == 1 else 'filters'} of {kernel}x{layer.channels}"
    height, width, channels = layer.input_shape
    strides = f"{layer.rows.stride}x{layer.columns.stride}"
    return f"{what} of {height}x{width}x{channels}: {kernel}, stride {strides}"


def _sized(axis: Axis) -> Iterator[tuple[str, str]]:
    if axis.dilation > 1:
        yield f"{axis.name} span", f"{axis.dilation} x ({axis.kernel} - 1) + 1 = {axis.span}"
    yield axis.name, axis.formula
    if axis.left_out:
        yield "", f"(no window reaches the last {axis.left_out} of {axis.size + sum(axis.padding)})"


def _line(name: str, value: str) -> str:
    return f"{_INDENT}{name:<15}{value}".rstrip()


def _window(window: Window, at: int, walk: Walk, width: int) -> list[str]:
    """A title, then window, weights, products and result side by side, or below one another where that is too wide."""
    title = f"window {at:,} of {len(walk):,}: row {window.row + 1}, column {window.column + 1} of the output"
    blocks = {"": _block(window.values)}
    if walk.weights is not None and window.products is not None:
        blocks |= {" x": _block(walk.weights), " =": _block(window.products)}
    result = f"{RESULTS[walk.layer.kind]} {number(window.result)}"
    middle = (len(window.values) - 1) // 2
    lines = []
    for row, cells in enumerate(zip(*blocks.values(), strict=True)):
        signs = blocks if row == middle else (" " * len(sign) for sign in blocks)
        lines.append("".join(f"{sign}  {cell}" for sign, cell in zip(signs, cells, strict=True)))
    lines[middle] += f"     {result}"
    if max(map(len, lines)) > width:
        lines = [_cut(f"{sign:2}  {cell}", width) for sign, block in blocks.items() for cell in block]
        lines.append(f"    {result}")
    return [title, *lines]


def _block(values: Matrix) -> list[str]:
    """Numbers in columns of one width."""
    cells = [[number(value) for value in row] for row in values.tolist()]
    wide = max(len(cell) for row in cells for cell in row)
    return ["  ".join(cell.rjust(wide) for cell in row) for row in cells]


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 4]} ..."


def _shown(name: str, matrix: Matrix, width: int) -> str:
    """As many rows and columns as fit, and which these are."""
    height, wide = matrix.shape
    rows = min(height, _MOST_ROWS)
    columns = wide
    while columns > 1 and len(_block(matrix[:rows, :columns])[0]) > width - len(_INDENT):
        columns -= 1
    part = f", of which rows 1 to {rows} and columns 1 to {columns}" if (rows, columns) != (height, wide) else ""
    return "\n".join([f"{name} {height}x{wide}{part}", *(_INDENT + line for line in _block(matrix[:rows, :columns]))])
