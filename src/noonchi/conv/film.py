"""A walk as an animated picture: the window moves over the input, its arithmetic stands below, the output fills."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from noonchi.conv import grid
from noonchi.conv.grid import Grid
from noonchi.conv.kernels import Matrix
from noonchi.conv.text import RESULTS, number
from noonchi.conv.walk import Walk, Window
from noonchi.errors import SettingsError

FORMATS = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}
"""Endings of a file's name, and what Pillow calls the formats."""

_MOST_FRAMES = 200
_ROUND_MS = 40_000
"""What going round once takes where there are many windows."""
_FASTEST_MS, _SLOWEST_MS, _LAST_MS = 200, 1200, 3000
_MARGIN, _GAP = 24, 40
_LARGE = 20
"""Pixels of the letters that say what a window comes to."""
_RESULT_WIDTH = 190


@dataclass(frozen=True, eq=False)
class _Page:
    """Where everything is."""

    source: Grid
    result: Grid
    window: Grid
    kernel: Grid | None = None
    products: Grid | None = None


def draw(walk: Walk, kind: str) -> bytes:
    """The walk as one of `FORMATS`, going round for ever.

    A frame shows a window; where there are more than 200, every second, third and so on. Raises SettingsError for
    more than 32 rows or columns of numbers.
    """
    if max(*walk.padded.shape, *walk.result.shape) > grid.MOST_SIDE:
        raise SettingsError(
            f"--out: {_size(walk.padded)} numbers go in and {_size(walk.result)} come out; at most {grid.MOST_SIDE} in "
            "a row can be read. Bring a picture to fewer pixels with --size."
        )
    # one palette for all: a frame then stores only what changes, and colours do not flicker
    palette = grid.palette()
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in _frames(walk))
    pace_ms = min(_SLOWEST_MS, max(_FASTEST_MS, _ROUND_MS // (len(others) + 1)))
    durations = [pace_ms] * len(others) + [_LAST_MS]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = io.BytesIO()
    first.save(content, kind, save_all=True, append_images=others, duration=durations, loop=0, **lossless)
    return content.getvalue()


def _frames(walk: Walk) -> Iterator[Image.Image]:
    """One a window or several, the last with the whole output."""
    page = _page(walk)
    canvas = _canvas(page, walk)
    every = -(-len(walk) // _MOST_FRAMES)
    for at, window in enumerate(walk, start=1):
        page.result.fill_one(canvas, window.row, window.column, window.result)
        if at % every == 0 or at == len(walk):
            yield _moment(canvas.copy(), page, walk, window)


def _page(walk: Walk) -> _Page:
    dots = ", dots are padding" if np.isnan(walk.padded).any() else ""
    source = grid.grid(f"input {_size(walk.matrix)}{dots}", _shape(walk.padded), walk.padded, (_MARGIN, _MARGIN))
    beside = (source.right + _GAP, _MARGIN)
    result = grid.grid(f"output {_size(walk.result)}", _shape(walk.result), walk.result, beside)
    below = max(source.bottom, result.bottom) + _GAP // 2
    shape = walk.layer.rows.kernel, walk.layer.columns.kernel
    if walk.weights is None:
        return _Page(source, result, grid.grid("window", shape, walk.padded, (_MARGIN, below)))
    every_product = np.nan_to_num(walk.windows) * walk.weights
    cell = max(grid.room(shape, values) for values in (walk.padded, walk.weights, every_product))
    window, kernel, products = (
        grid.grid(heading, shape, values, (_MARGIN + at * (cell * shape[1] + _GAP), below), cell)
        for at, (heading, values) in enumerate(
            (("window", walk.padded), ("kernel", walk.weights), ("products", every_product))
        )
    )
    return _Page(source, result, window, kernel, products)


def _canvas(page: _Page, walk: Walk) -> Image.Image:
    """What stays: the input, the weights, and the cells of the rest, empty."""
    last = page.products or page.window
    width = max(page.result.right, last.right + _GAP + _RESULT_WIDTH)
    canvas = Image.new("RGB", (width + _MARGIN, last.bottom + _MARGIN), grid.PAPER)
    for part in (page.source, page.result, page.window, page.kernel, page.products):
        if part:
            part.head(canvas)
    page.source.fill(canvas, walk.padded)
    if page.kernel and walk.weights is not None:
        page.kernel.fill(canvas, walk.weights)
    for left, right, sign in ((page.window, page.kernel, "\N{MULTIPLICATION SIGN}"), (page.kernel, page.products, "=")):
        if left and right:
            grid.write(
                canvas, ((left.right + right.left) / 2, (left.top + left.bottom) / 2), sign, letters=_LARGE, anchor="mm"
            )
    return canvas


def _moment(canvas: Image.Image, page: _Page, walk: Walk, window: Window) -> Image.Image:
    """What moves."""
    rows, columns = walk.layer.rows, walk.layer.columns
    top, left = window.row * rows.stride, window.column * columns.stride
    if max(rows.dilation, columns.dilation) > 1:
        for row, column in np.ndindex(*window.values.shape):
            page.source.mark(canvas, top + row * rows.dilation, left + column * columns.dilation, width=2)
    page.source.mark(canvas, top, left, (rows.span, columns.span))
    page.result.mark(canvas, window.row, window.column)
    page.window.fill(canvas, window.values)
    if page.products and window.products is not None:
        page.products.fill(canvas, window.products)
    last = page.products or page.window
    told = f"{RESULTS[walk.layer.kind]} = {number(window.result)}"
    grid.write(canvas, (last.right + _GAP // 2, (last.top + last.bottom) / 2), told, letters=_LARGE, anchor="lm")
    return canvas


def _size(matrix: Matrix) -> str:
    return "x".join(map(str, matrix.shape))


def _shape(matrix: Matrix) -> tuple[int, int]:
    height, width = matrix.shape
    return height, width
