"""Text on a picture, in a font that has its letters."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from matplotlib import font_manager
from PIL import ImageFont

from noonchi.results import printable

_FIRST = "DejaVu Sans"
"""Comes with matplotlib, so it is everywhere; Latin, Greek, Cyrillic, Arabic and more, but nothing from the East."""
_BLANKS = ("Last Resort", "LastResort", "Fallback", "Blank")
"""Parts of the names of fonts that claim every letter and draw boxes."""
_MORE = "…"
_ALWAYS = f"{_MORE}\\Uux0123456789abcdef"
"""What a font must have besides: the mark of a cut, and escapes."""


class Lettering(NamedTuple):
    """A text as it can be drawn, and the font for it."""

    text: str
    font: ImageFont.FreeTypeFont

    @property
    def width(self) -> float:
        """Pixels."""
        return self.font.getlength(self.text)


def lettered(text: str, size: int, most_width: float | None = None) -> Lettering:
    """A text in a font on this machine that has all its letters, or most; the others become escapes.

    `size` is in pixels. A text of more than `most_width` pixels loses its middle.

    >>> text, font = lettered("a-very-long-name.jpg", 12, most_width=80)
    >>> text[:4], text[-4:], "…" in text, font.getlength(text) <= 80
    ('a-ve', '.jpg', True, True)
    """
    clean = printable(text)
    path = _font_for("".join(sorted(set(clean))))
    shown = "".join(letter if _has(path, letter) else _escaped(letter) for letter in clean)
    whole = Lettering(shown, _opened(path, size))
    return whole if most_width is None else _within(whole, most_width)


def _within(whole: Lettering, most_width: float) -> Lettering:
    cut = whole
    for kept in range(len(whole.text) - 1, 0, -1):
        if cut.width <= most_width:
            break
        tail = whole.text[-(kept // 2) :] if kept > 1 else ""
        cut = whole._replace(text=whole.text[: kept - kept // 2] + _MORE + tail)
    return cut


@cache
def _font_for(letters: str) -> str:
    """The first font that has all the letters, else the one that has most."""
    best, fewest = "", len(letters) + 1
    for path in _fonts():
        missing = sum(not _has(path, letter) for letter in letters)
        if missing < fewest:
            best, fewest = path, missing
        if not missing:
            break
    return best


def _fonts() -> Iterator[str]:
    """Ours, then all upright ones of usual weight, those without serifs first."""
    yield font_manager.findfont(_FIRST)
    usual = [
        (all(word not in font.name for word in ("Sans", "Gothic")), "Mono" in font.name, font.name, font.fname)
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal", "regular", "book")
    ]
    for _, _, name, path in sorted(usual):
        if not any(blank in name for blank in _BLANKS) and _is_fit(path):
            yield path


@cache
def _has(path: str, letter: str) -> bool:
    return font_manager.get_font(path).get_char_index(ord(letter)) != 0


@cache
def _is_fit(path: str) -> bool:
    """Some fonts have no outlines, such as those of coloured emoji; others are damaged or gone."""
    try:
        ImageFont.truetype(path, 12)
        return all(_has(path, letter) for letter in _ALWAYS)
    except (OSError, RuntimeError):
        return False


@cache
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()
