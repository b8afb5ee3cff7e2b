"""The curve that a learning rate finder shows: as text for any terminal or pipe, and as a figure."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noonchi import files
from noonchi.errors import SettingsError
from noonchi.tuning.suggestion import smoothed

if TYPE_CHECKING:
    from noonchi.tuning.rate import Found

_ROWS, _DECADE = 11, 8
"""Lines of the text curve, and columns a factor of ten: eight decades and the axis are 73 columns."""
_HEADROOM = 1.25
"""Times the first loss that is shown: what blows up would flatten the rest."""
PICTURES = (".png", ".svg")


def as_text(found: "Found") -> str:
    """The smoothed loss over the rate, and below it the suggestion; at most 80 columns."""
    rates, losses = np.log10(found.rates), np.array(smoothed(found.losses))
    columns = np.arange(math.ceil((rates[-1] - rates[0]) * _DECADE) + 1)
    heights = np.interp(rates[0] + columns / _DECADE, rates, losses)
    low, high = heights.min(), min(heights.max(), _HEADROOM * heights[0])
    marked = round((math.log10(found.suggestion.rate) - rates[0]) * _DECADE)
    rows = np.rint((high - np.minimum(heights, high)) / max(high - low, 1e-9) * (_ROWS - 1))
    lines = []
    for row in range(_ROWS):
        label = f"{high - (high - low) * row / (_ROWS - 1):7.3g}" if row in (0, _ROWS - 1) else " " * 7
        cells = ["*" if rows[at] == row else ":" if at == marked else " " for at in columns]
        lines.append(f"{label} |{''.join(cells)}".rstrip())
    ticks = "".join("+" if at % _DECADE == 0 else "-" for at in columns)
    names = "".join(f"{f'1e{round(rates[0]) + at}':<{_DECADE}}" for at in range(len(columns) // _DECADE + 1))
    axis = [f"{'rate':>7} +{ticks}", f"{'':9}{names}".rstrip(), f"{'':{9 + marked}}^ {found.suggestion.rate:g}"]
    return "\n".join([f"{'loss':>7}", *lines, *axis])


def refuse_place(path: Path) -> None:
    """Raises SettingsError where the plot could not be written."""
    if path.suffix.lower() not in PICTURES:
        raise SettingsError(f"--plot {path}: the plot is PNG or SVG; give it a name that ends in .png or .svg.")
    files.refuse_place("--plot", path)


def write_plot(path: Path, found: "Found") -> None:
    """The losses over the rate as a PNG or SVG, whole or not at all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    means, rate = smoothed(found.losses), found.suggestion.rate
    axes.plot(found.rates, found.losses, color="#b9c7dd", linewidth=1, label="each step")
    axes.plot(found.rates, means, color="#3b6fb6", label="smoothed")
    axes.axvspan(*found.suggestion.fall, color="#3b6fb6", alpha=0.08, linewidth=0, label="longest fall")
    axes.axvline(rate, color="#d1603d", label=f"suggested: {rate:g}")
    axes.set_xscale("log")
    axes.set_ylim(*_limits(found.losses))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
    files.write(path, content.getvalue())


def _limits(losses: Sequence[float]) -> tuple[float, float]:
    low, high = min(losses), _HEADROOM * losses[0]
    return low - 0.1 * (high - low), high
