"""The table that grows by a trial at a time, in lines that fit the terminal."""

import shutil
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from noonchi.results import printable
from noonchi.tuning.space import STRENGTH, Choice, Dimension

if TYPE_CHECKING:
    from noonchi.tuning.trial import Trial

_SHORT = {
    "fit.peak_lr": "lr",
    "fit.weight_decay": "decay",
    "batches.size": "batch",
    "fit.label_smoothing": "smoothing",
    STRENGTH: "augment",
}
_GAP = "  "
_NUMBER = 7
"""Columns of a drawn number: `1.2e-05`."""


class Table:
    """Fixed columns, then one a setting; those that do not fit go on in a further line."""

    def __init__(self, spaces: Mapping[str, tuple[Dimension, ...]]) -> None:
        names = list(dict.fromkeys(dimension.name for space in spaces.values() for dimension in space))
        widest = {dimension.name: _widest(dimension) for space in spaces.values() for dimension in space}
        self._settings = {name: max(widest[name], len(_heading(name, names))) for name in names}
        self._names = names
        self._recipe = max(map(len, spaces)) if len(spaces) > 1 else 0
        self._width = shutil.get_terminal_size().columns

    def heading(self) -> list[str]:
        """The names of the columns."""
        return self._lines(
            ["trial", "accuracy  ", "epochs", "seconds"],
            [_heading(name, self._names) for name in self._names],
            "recipe",
        )

    def row(self, trial: "Trial", *, best: bool) -> list[str]:
        """A trial; a star marks the best so far."""
        accuracy = "failed" if trial.accuracy is None else f"{trial.accuracy:.4f}"
        fixed = [f"{trial.number}", f"{accuracy}{' *' if best else '  '}", f"{trial.epochs}/{trial.planned}"]
        drawn = [_value(trial.settings.get(name)) for name in self._names]
        lines = self._lines([*fixed, f"{trial.seconds:.1f}"], drawn, trial.recipe)
        return [*lines, f"       {printable(trial.why)}"] if trial.why else lines

    def _lines(self, fixed: list[str], drawn: list[str], recipe: str) -> list[str]:
        widths = (5, 10, 7, 7)
        line = _GAP.join(text.rjust(width) for text, width in zip(fixed, widths, strict=True))
        lines, start = [line], len(line)
        cells = [text.rjust(width) for text, width in zip(drawn, self._settings.values(), strict=True)]
        for cell in [*cells, *([recipe.ljust(self._recipe)] if self._recipe else [])]:
            if len(lines[-1]) + len(_GAP) + len(cell) > self._width and len(lines[-1]) > start:
                lines.append(" " * start)
            lines[-1] += _GAP + cell
        return [line.rstrip() for line in lines]


def wrapped(text: str) -> list[str]:
    """A text in lines that fit the terminal, broken between words."""
    width = shutil.get_terminal_size().columns
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _widest(dimension: Dimension) -> int:
    return max(map(len, dimension.values)) if isinstance(dimension, Choice) else _NUMBER


def _heading(name: str, names: list[str]) -> str:
    last = name.rpartition(".")[2]
    alone = [other.rpartition(".")[2] for other in names].count(last) == 1
    return _SHORT.get(name) or (last if alone else name)


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if isinstance(value, float) else printable(str(value))
