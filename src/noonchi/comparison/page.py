"""A comparison as one page that needs nothing else: the table, the words, and the runs' curves one over the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment

from noonchi.comparison import Compared, Comparison, words
from noonchi.results import printable

COLOURS = 6
"""Runs beyond so many begin again, with dotted lines."""
_WIDTH, _HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 350, 12, 204
"""Edges of the area that the curves are drawn in."""
_NOT_METRICS = ("epoch", "lr", "seconds")


@dataclass(frozen=True)
class _Point:
    x: float
    y: float
    told: str = ""


@dataclass(frozen=True)
class _Curve:
    run: int
    validation: bool
    points: tuple[_Point, ...]


@dataclass(frozen=True)
class _Panel:
    """One metric's curves by epoch."""

    title: str
    told: str
    """The same for who cannot see it."""
    curves: tuple[_Curve, ...]
    across: tuple[tuple[float, str], ...]
    """Where along the bottom which epoch is written."""
    upwards: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class _Scale:
    """Values drawn between two edges."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / ((self.high - self.low) or 1) * (self.end - self.start), 1)


def render(comparison: Comparison) -> str:
    """The page as HTML. Whatever names hold is shown as text: the template escapes, and its policy forbids scripts."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_printed)
    template = environment.from_string(package_files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    reach = max(abs(end) for one in comparison.differences for end in one.accuracy_interval) or 1.0
    return template.render(
        comparison=comparison,
        title=f"{comparison.runs[0].name} against {', '.join(run.name for run in comparison.runs[1:])}",
        told=list(zip(comparison.differences, words.paragraphs(comparison), strict=True)),
        remarks=words.remarks(comparison),
        across=_Scale(-1.1 * reach, 1.1 * reach, 8, 352),
        panels=[_panel(metric, comparison.runs) for metric in _metrics(comparison.runs)],
        colours=COLOURS,
    )


def _printed(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _metrics(runs: Sequence[Compared]) -> list[str]:
    """Those of training, each drawn beside its like on validation pictures."""
    names = {name.removeprefix("val_"): None for run in runs for name in run.history if name not in _NOT_METRICS}
    return list(names)


def _panel(metric: str, runs: Sequence[Compared]) -> _Panel:
    columns = [
        (at, run, name) for at, run in enumerate(runs) for name in (metric, f"val_{metric}") if run.history.get(name)
    ]
    values = [value for _, run, name in columns for value in run.history[name]]
    heights = _ticks(min(values), max(values))
    epochs = _ticks(1, max(len(run.history[name]) for _, run, name in columns), whole=True)
    x = _Scale(1, max(len(run.history[name]) for _, run, name in columns), _LEFT, _RIGHT)
    y = _Scale(min(*heights, *values), max(*heights, *values), _BOTTOM, _TOP)
    return _Panel(
        title=metric.replace("_", " "),
        told="; ".join(_ended(run, name) for _, run, name in columns),
        curves=tuple(_curve(at, run, name, x, y) for at, run, name in columns),
        across=tuple((x(epoch), f"{epoch:g}") for epoch in epochs if 1 <= epoch <= x.high),
        upwards=tuple((y(height), f"{height:g}") for height in heights),
    )


def _curve(at: int, run: Compared, name: str, x: _Scale, y: _Scale) -> _Curve:
    pictures = "validation" if name.startswith("val_") else "training"
    points = tuple(
        _Point(x(epoch), y(value), f"{run.name}, epoch {epoch}, {pictures}: {value:.4g}")
        for epoch, value in enumerate(run.history[name], 1)
    )
    return _Curve(at, name.startswith("val_"), points)


def _ended(run: Compared, name: str) -> str:
    pictures = "validation" if name.startswith("val_") else "training"
    values = run.history[name]
    return f"{run.name}, {pictures}: {values[0]:.4g} in epoch 1, {values[-1]:.4g} in epoch {len(values)}"


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [round(float(tick), 10) for tick in MaxNLocator(nbins=5, integer=whole).tick_values(low, high)]
