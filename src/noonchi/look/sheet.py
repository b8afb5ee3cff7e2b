"""A contact sheet as a PNG: rows of pictures, grouped by class."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from noonchi.look.examples import Example, Group, Images
from noonchi.look.letters import lettered

_PICTURES_WIDTH = 1240
"""Pixels for a row of pictures, about: with the names beside it, a sheet is read at 100 % on a slide."""
_FEWEST, _MOST = 4, 10
_SIDE, _MOST_SIDE = 112, 160
"""Smaller pictures are enlarged to about the first, larger ones reduced to the second."""
_LEAST_WIDTH = 72
"""A heading's."""
_MARGIN, _GAP, _APART, _CAPTION = 40, 10, 24, 24
_LEAST_NAME, _MOST_NAME = 120, 240
_TITLE, _LARGE, _TEXT, _SMALL = 30, 20, 15, 13
_PAPER, _INK, _FAINT, _LINE = "#ffffff", "#1f2328", "#6a737d", "#d8dee4"


@dataclass(frozen=True)
class _Page:
    """Where things are, in pixels."""

    names_width: int
    cell_width: int
    cell_height: int
    columns: int
    apart: int
    """Between the first column and the others, beyond the gap."""

    @property
    def width(self) -> int:
        return self.left(self.columns) - _GAP + _MARGIN

    def left(self, column: int) -> int:
        """Where a column of pictures begins."""
        start = _MARGIN + self.names_width + column * (self.cell_width + _GAP)
        return start + self.apart if column else start


def columns(height: int, width: int) -> int:
    """How many pictures of a size fit beside one another, 4 to 10.

    >>> columns(28, 28), columns(150, 150), columns(1000, 1)
    (10, 7, 10)
    """
    return max(_FEWEST, min(_MOST, _PICTURES_WIDTH // (_cell(height, width)[1] + _GAP)))


def draw(title: str, lines: Sequence[str], headings: Sequence[str], groups: Sequence[Group]) -> bytes:
    """The sheet as a PNG's bytes; where there are `headings`, one a column, the first column is set apart."""
    page = _page(headings, groups)
    bands = [_top(title, lines, page)]
    bands += [_columns_named(headings, page)] if headings else []
    bands += [_band(group, page) for group in groups]
    sheet = Image.new("RGB", (page.width, sum(band.height for band in bands) + _MARGIN), _PAPER)
    below = 0
    for band in bands:
        sheet.paste(band, (0, below))
        below += band.height
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _page(headings: Sequence[str], groups: Sequence[Group]) -> _Page:
    rows = [row for group in groups for row in group.rows]
    height, width = _cell(*rows[0][0].levels.shape[:2])
    widest = max(lettered(group.name, _LARGE).width for group in groups)
    names_width = math.ceil(max(_LEAST_NAME, min(_MOST_NAME, widest))) + _APART
    return _Page(names_width, width, height, max(map(len, rows)), _APART if headings else 0)


def _cell(height: int, width: int) -> tuple[int, int]:
    shown = _shown_size(height, width)
    return shown[0], max(_LEAST_WIDTH, shown[1])


def _shown_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    scale = max(1, round(_SIDE / longest)) if longest <= _MOST_SIDE else _MOST_SIDE / longest
    return max(1, round(height * scale)), max(1, round(width * scale))


def _top(title: str, lines: Sequence[str], page: _Page) -> Image.Image:
    width = page.width - 2 * _MARGIN
    wrapped = [part for line in lines for part in _wrapped(line, width)]
    band = _blank(page, _MARGIN + _TITLE + 18 + 22 * len(wrapped) + 14)
    below = _MARGIN + _TITLE
    _write(band, (_MARGIN, below), title, _TITLE, most_width=width)
    for number, line in enumerate(wrapped):
        _write(band, (_MARGIN, below + 30 + 22 * number), line, _TEXT, ink=_FAINT, most_width=width)
    return band


def _wrapped(line: str, width: float) -> Iterator[str]:
    part = ""
    for word in line.split():
        longer = f"{part} {word}".lstrip()
        if part and lettered(longer, _TEXT).width > width:
            yield part
            longer = word
        part = longer
    yield part


def _columns_named(headings: Sequence[str], page: _Page) -> Image.Image:
    band = _blank(page, _TEXT + 16)
    for column, heading in enumerate(headings):
        _write(band, (page.left(column), _TEXT + 4), heading, _TEXT, ink=_FAINT if column else _INK)
    return band


def _band(group: Group, page: _Page) -> Image.Image:
    row_height = page.cell_height + _CAPTION
    band = _blank(page, max(row_height * len(group.rows), 76) + 24)
    ImageDraw.Draw(band).line((_MARGIN, 0, page.width - _MARGIN, 0), _LINE)
    most_width = page.names_width - _APART
    _write(band, (_MARGIN, 14 + _LARGE), group.name, _LARGE, most_width=most_width)
    _write(band, (_MARGIN, 38 + _LARGE), f"class {group.number}", _SMALL, ink=_FAINT)
    _write(band, (_MARGIN, 56 + _LARGE), f"{group.total:,} for training", _SMALL, ink=_FAINT, most_width=most_width)
    for number, row in enumerate(group.rows):
        for column, example in enumerate(row):
            _place(example, band, page.left(column), 16 + number * row_height, page)
    return band


def _place(example: Example, band: Image.Image, left: int, top: int, page: _Page) -> None:
    picture = _image(example.levels)
    band.paste(picture, (left, top))
    _write(band, (left, top + page.cell_height + 15), example.caption, _SMALL, ink=_FAINT, most_width=page.cell_width)


def _image(levels: Images) -> Image.Image:
    image = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    height, width = _shown_size(image.height, image.width)
    # enlarged, a picture's own pixels must stay to be seen
    how = Image.Resampling.NEAREST if height >= image.height else Image.Resampling.LANCZOS
    return image.resize((width, height), how)


def _blank(page: _Page, height: int) -> Image.Image:
    return Image.new("RGB", (page.width, height), _PAPER)


def _write(
    band: Image.Image, place: tuple[int, int], text: str, size: int, *, ink: str = _INK, most_width: float | None = None
) -> None:
    """Text that begins at `place`, on that line."""
    shown, font = lettered(text, size, most_width)
    ImageDraw.Draw(band).text(place, shown, ink, font, anchor="ls")
