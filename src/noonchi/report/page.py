"""The report of a run as one page that needs nothing else: text, numbers, charts and small pictures."""

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from noonchi import settings
from noonchi.report import charts, texts
from noonchi.report.outcome import MOST_MATRIX, Outcome
from noonchi.report.texts import Language, LanguageCode
from noonchi.results import ClassScores, Epoch, Split, Thumbnail, printable
from noonchi.settings import RunSettings

_MOST_CLASSES = 40
"""Rows of the table by class; of more classes the weakest are shown, and all in a table that is opened."""
_WEAKEST = 20
_MOST_FILES = 50
_STEPS = (0.01, 0.05, 0.15, 0.4)
"""Of a row's pictures: where the colours of wrong answers change."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What a report tells."""

    folder: Path
    run: RunSettings
    history: Sequence[Epoch]
    kept: int
    """Number of the epoch whose weights were kept."""
    seconds: float
    """Of training and validation."""
    split: Split | None
    """Whose pictures the outcomes are of; None where there were neither test nor validation pictures."""
    outcomes: Sequence[Outcome]
    sizes: Mapping[Split, int]
    counts: Mapping[str, Mapping[Split, Mapping[str, int]]]
    """By head: pictures of each class by split."""
    findings: Sequence[tuple[str, str]]
    """(severity, what was found) of what the quick check of the data warns of."""
    notes: Sequence[str]
    """What training noted besides."""
    begun: str
    ended: str
    versions: Mapping[str, str]
    unusable: Sequence[tuple[str, str]]
    """(file, reason)"""
    thumbnails: Mapping[str, Thumbnail] = field(default_factory=dict)
    """By the picture's name."""
    heat: Mapping[tuple[str, str], Thumbnail] = field(default_factory=dict)
    """By head and the picture's name."""
    without_pictures: Literal["", "gone", "memory_only"] = ""
    """Why none are shown."""
    diagram: str = ""
    """SVG."""

    @property
    def repeat(self) -> str:
        """The command that trains the same again; for arrays in memory the call."""
        recipe = str(self.folder / "recipe.toml")
        if self.run.data.source is None:
            return f"noonchi.train((images, labels), {recipe!r})"
        trust = ["--trust-code"] if ":" in self.run.model.network else []
        return shlex.join(["noonchi", "train", self.run.data.source, "--recipe", recipe, *trust])


def render(contents: Contents, language: LanguageCode = "en") -> str:
    """The page as HTML.

    Whatever names hold is shown as text: the template escapes, and the page's own policy lets no script run but the
    one that moves along a chart.
    """
    words, script = texts.language(language), _part("read.js")
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_printed, undefined=StrictUndefined
    )
    return environment.from_string(_part("page.html")).render(
        c=contents,
        t=words,
        data_name=Path(contents.run.data.source or "").name,
        style=Markup(_part("style.css")),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        charts=charts,
        curves=charts.curves(contents.history, contents.kept),
        epochs=charts.thinned(contents.history, contents.kept),
        metrics=list(contents.history[0].metrics) if contents.history else [],
        heads=[_head(contents, one, words) for one in contents.outcomes],
        changed=settings.changed(contents.run),
        metric_title=lambda name: _metric_title(name, words),
        told=lambda moment: _told(moment, words),
        most_files=_MOST_FILES,
        diagram=f"data:image/svg+xml;base64,{base64.b64encode(contents.diagram.encode()).decode()}",
        steps=[f"{step:.0%}".rstrip("%") for step in _STEPS],
        median=float(np.median([epoch.seconds for epoch in contents.history])) if contents.history else 0.0,
    )


def _part(name: str) -> str:
    return package_files(__package__).joinpath(name).read_text(encoding="utf-8")


def _printed(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _head(contents: Contents, found: Outcome, words: Language) -> dict[str, Any]:
    split = words(f"of_{contents.split}")
    several = len(contents.outcomes) > 1
    many = len(found.classes) > _MOST_CLASSES
    weakest = sorted(found.classes, key=lambda one: one.f1.value if one.f1.value is not None else 2)[:_WEAKEST]
    return {
        "found": found,
        "title": words("head", head=found.head.name, split=split) if several else words("answers_on", split=split),
        "decimals": 1 if found.pictures < 2000 else 2,
        "classes": weakest if many else found.classes,
        "all_classes": found.classes if many else (),
        "least": _axis_start(found.classes),
        "matrix": _matrix(found),
        "long_names": max(map(len, found.head.classes)) > 4,
        "reliability": charts.reliability(found.bins),
    }


def _axis_start(classes: Sequence[ClassScores]) -> float:
    """Where the axis of the F1 intervals begins: the twentieth below the lowest."""
    return int(20 * min(one.f1.interval[0] for one in classes)) / 20


def _matrix(found: Outcome) -> list[list[tuple[int, str]]] | None:
    """Each cell's number of pictures and its colour; None where there is none, or more than can be read."""
    if found.confusion is None or len(found.classes) > MOST_MATRIX:
        return None
    return [
        [(count, _colour(count / max(1, sum(counts)), right=row == column)) for column, count in enumerate(counts)]
        for row, counts in enumerate(found.confusion.tolist())
    ]


def _colour(share: float, *, right: bool) -> str:
    """By a cell's share of its row: one of 5 steps, even ones of right answers; none where there is no picture."""
    if share == 0:
        return ""
    return f"r{min(5, 1 + int(5 * share))}" if right else f"w{1 + sum(share > step for step in _STEPS)}"


def _metric_title(name: str, words: Language) -> str:
    """A metric's name in words: `digit_accuracy` is the accuracy of the head `digit`."""
    head, _, kind = name.rpartition("_")
    known = words.texts.get(kind, kind) if kind in ("loss", "accuracy") else kind
    return f"{head}: {known}" if head else known


def _told(moment: charts.Moment, words: Language) -> str:
    values = [
        words("value_of", split=words(split), value=value)
        for split, value in zip(("train", "val"), moment.values, strict=True)
        if value is not None
    ]
    return " · ".join([words("epoch_n", moment.number), *values])
