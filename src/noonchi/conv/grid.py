"""Numbers in coloured cells, painted onto a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from noonchi.conv.kernels import Matrix
from noonchi.conv.text import number

INK, QUIET, MARK, PAPER = "#1f2328", "#57606a", "#d1242f", "#ffffff"
HEADING = 32
"""Pixels above a grid."""
LETTERS = 15
MOST_SIDE = 32
"""Rows and columns of numbers: more cannot be read."""
_SIZES = {8: 16, 14: 13, 22: 11, MOST_SIDE: 9}
"""Pixels of a number's letters, for grids up to so many rows and columns."""
_LINE, _PADDED = "#b9c1ca", "#eef1f4"
_BELOW, _ABOVE = np.array([42, 98, 186]), np.array([204, 102, 6])
_WHITE = np.array([255, 255, 255])
_BRIGHT = 140
"""Luminance from which dark letters are easier to read than light ones."""

Colour = tuple[int, int, int]
Paint = Callable[[float], Colour]


@dataclass(frozen=True, eq=False)
class Grid:
    """Square cells at a place on a picture; all lengths are pixels."""

    heading: str
    shape: tuple[int, int]
    paint: Paint
    left: int
    top: int
    cell: int
    letters: int

    @property
    def right(self) -> int:
        """Where it ends."""
        return self.left + self.cell * self.shape[1]

    @property
    def bottom(self) -> int:
        """Where it ends."""
        return self.top + self.cell * self.shape[0]

    def head(self, canvas: Image.Image) -> None:
        """Writes what it is above it, and draws empty cells."""
        write(canvas, (self.left, self.top - 10), self.heading, ink=QUIET)
        for row, column in np.ndindex(*self.shape):
            ImageDraw.Draw(canvas).rectangle(self._box(row, column), PAPER, _LINE)

    def fill(self, canvas: Image.Image, values: Matrix) -> None:
        """Paints all numbers; NaN is padding."""
        for (row, column), value in np.ndenumerate(values):
            self.fill_one(canvas, row, column, float(value))

    def fill_one(self, canvas: Image.Image, row: int, column: int, value: float) -> None:
        """Paints one number."""
        colour = None if np.isnan(value) else self.paint(value)
        left, top, right, bottom = self._box(row, column)
        ImageDraw.Draw(canvas).rectangle((left, top, right, bottom), colour or _PADDED, _LINE)
        centre = ((left + right) / 2, (top + bottom) / 2)
        ink = _ink(colour) if colour else QUIET
        write(canvas, centre, number(value), ink=ink, letters=self.letters, anchor="mm")

    def mark(self, canvas: Image.Image, row: int, column: int, size: tuple[int, int] = (1, 1), width: int = 3) -> None:
        """A red frame around `size` rows and columns of cells."""
        ImageDraw.Draw(canvas).rectangle(self._box(row, column, *size), None, MARK, width)

    def _box(self, row: int, column: int, height: int = 1, width: int = 1) -> tuple[int, int, int, int]:
        left, top = self.left + column * self.cell, self.top + row * self.cell
        return left, top, left + width * self.cell, top + height * self.cell


def grid(heading: str, shape: tuple[int, int], values: Matrix, place: tuple[int, int], cell: int = 0) -> Grid:
    """A grid of `shape` whose cells have room for any of the values and are coloured by `shades` of them.

    Its heading begins at `place`; `cell` is the least side of a cell.
    """
    left, top = place
    return Grid(heading, shape, shades(values), left, top + HEADING, max(cell, room(shape, values)), _letters(shape))


def room(shape: tuple[int, int], values: Matrix) -> int:
    """The side of a cell, in pixels, that any of the values fits into."""
    letters = _letters(shape)
    return max(2 * letters, max(length(number(value), letters) for value in np.unique(values)) + 8)


def palette() -> Image.Image:
    """The colours of `shades` and of all else, for `Image.quantize`."""
    steps = np.linspace(0, 1, 80)[:, None]
    rows = [_WHITE * steps, _WHITE + (_BELOW - _WHITE) * steps, _WHITE + (_ABOVE - _WHITE) * steps]
    named = [ImageColor.getrgb(colour) for colour in (PAPER, INK, QUIET, MARK, _LINE, _PADDED)]
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate([named, *rows]).round().astype(np.uint8).tobytes())
    return image


def shades(values: Matrix) -> Paint:
    """Grey from black for 0 to white for the greatest; where some are below 0, blue below, orange above, white at 0."""
    most = float(np.nanmax(np.abs(values))) or 1.0
    if np.nanmin(values) >= 0:
        return lambda value: _colour(_WHITE * (value / most))
    return lambda value: _colour(_WHITE + ((_BELOW if value < 0 else _ABOVE) - _WHITE) * (abs(value) / most))


def write(
    canvas: Image.Image,
    place: tuple[float, float],
    text: str,
    *,
    ink: str = INK,
    letters: int = LETTERS,
    anchor: str = "ls",
) -> None:
    """Text at a place; `anchor` is Pillow's, and says which point of the text lies there."""
    ImageDraw.Draw(canvas).text(place, text, ink, _font(letters), anchor=anchor)


def length(text: str, letters: int = LETTERS) -> int:
    """Pixels that a text takes."""
    return round(_font(letters).getlength(text))


def _letters(shape: tuple[int, int]) -> int:
    return next(pixels for side, pixels in _SIZES.items() if max(shape) <= side)


def _colour(levels: Matrix) -> Colour:
    red, green, blue = (round(float(level)) for level in levels)
    return red, green, blue


def _ink(colour: Colour) -> str:
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue >= _BRIGHT else PAPER


@cache
def _font(letters: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", letters)
