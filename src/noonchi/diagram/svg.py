"""A drawing's boxes and lines as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from itertools import pairwise

from jinja2 import Environment
from rich.cells import cell_len

from noonchi.diagram.boxes import Box
from noonchi.diagram.layout import Point, arrange
from noonchi.results import printable

_MARGIN, _PADDING, _LINE = 16, 14, 17
"""Pixels around all, beside the text of a box, and from line to line of it."""
_LARGE, _BOLD, _PLAIN = 9.4, 7.8, 6.7
"""Pixels of a letter, about; letters from the East take two."""
_LEAST = 0.75
"""How far a page may shrink the drawing: letters of 9 pixels; a narrower one lets it scroll."""
_LEAST_WIDTH, _MOST_LETTERS = 120, 34
_TIP = 4
"""Pixels, half of an arrow's width."""


@dataclass(frozen=True)
class _Words:
    """What is written in a box."""

    name: str
    kind: str
    shape: str
    numbers: str

    @property
    def lines(self) -> list[str]:
        """Name and kind, cut short."""
        return [_cut(self.name, from_start=True), *([_cut(self.kind, from_start=False)] if self.kind else [])]

    @property
    def width(self) -> float:
        """Pixels that the box needs."""
        name, *kind = self.lines
        texts = [_PLAIN * cell_len(line) for line in (*kind, f"{self.shape}    {self.numbers}")]
        return max(_LEAST_WIDTH, _BOLD * cell_len(name) + 2 * _PADDING, max(texts) + 2 * _PADDING)

    @property
    def height(self) -> int:
        """Pixels that the box needs."""
        return 13 + _LINE * (1 + len(self.lines))

    def __str__(self) -> str:
        """A sentence."""
        what = f"{self.name} ({self.kind})" if self.kind else self.name
        return f"{what}: {', '.join(filter(None, (self.shape, self.numbers)))}."


def render(boxes: Sequence[Box], title: str, about: Sequence[str]) -> str:
    """One `<svg>` element: a title, lines of text, and the boxes below them with the lines between.

    Whatever names hold is shown as text. What is cut short is whole where a pointer rests on its box.
    """
    words = [_words(box) for box in boxes]
    box_width = round(max(each.width for each in words))
    layout = arrange([box.sources for box in boxes], [(box_width, each.height) for each in words])
    heading = _cut(printable(title), from_start=True)
    widest = max(layout.width, _LARGE * cell_len(heading), *(_PLAIN * cell_len(line) for line in about))
    width, below = round(widest) + 2 * _MARGIN, 2 * _MARGIN + 18 + 18 * len(about)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(package_files(__package__).joinpath("drawing.svg").read_text(encoding="utf-8"))
    return template.render(
        width=width,
        height=round(layout.height) + below + _MARGIN,
        left=(width - layout.width) / 2,
        below=below,
        least=round(_LEAST * width),
        margin=_MARGIN,
        title=printable(title),
        heading=heading,
        about=about,
        ways=[(_curve(line), _tip(line[-1])) for line in layout.lines],
        box_width=box_width,
        boxes=list(zip(boxes, words, layout.places, strict=True)),
    )


def _words(box: Box) -> _Words:
    parameters = f"{box.parameters:,} {'parameter' if box.parameters == 1 else 'parameters'}" if box.parameters else ""
    return _Words(
        name=printable(box.name),
        kind="" if box.kind.lower() == box.name.lower().rpartition(".")[2] else printable(box.kind),
        shape="x".join(map(str, box.shape)),
        numbers=parameters + (", frozen" if box.parameters and not box.trainable else ""),
    )


def _cut(text: str, *, from_start: bool) -> str:
    """At most so many letters: of a path the end tells most.

    >>> _cut("a" * 50, from_start=True)[:4]
    '...a'
    """
    if cell_len(text) <= _MOST_LETTERS:
        return text
    while cell_len(text) > _MOST_LETTERS - 3:
        text = text[1:] if from_start else text[:-1]
    return f"...{text}" if from_start else f"{text}..."


def _curve(line: Sequence[Point]) -> str:
    """Upright where it leaves, passes and arrives, and bent between."""
    *before, (end_x, end_y) = line
    path = f"M{line[0][0]:g} {line[0][1]:g}"
    for (x, y), (to_x, to_y) in pairwise([*before, (end_x, end_y - 2 * _TIP)]):
        middle = (y + to_y) / 2
        path += f"V{to_y:g}" if x == to_x else f"C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"
    return path


def _tip(end: Point) -> str:
    x, y = end
    return f"M{x:g} {y:g}l-{_TIP} -{2 * _TIP}h{2 * _TIP}z"
