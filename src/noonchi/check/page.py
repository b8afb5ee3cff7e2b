"""A check as one page that needs nothing else: text, numbers and small pictures."""

from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

import numpy as np
from jinja2 import Environment

from noonchi.check.copies import labels_of
from noonchi.check.findings import Finding, Report
from noonchi.pixels.thumbnails import thumbnails
from noonchi.results import Thumbnail, printable
from noonchi.sources.index import Index

MOST_CASES = 24
"""Cases shown of a finding."""
MOST_SUSPECTS = 200
"""Cases shown of labels that seem wrong: only a look tells which are."""
MOST_PICTURES = 8
"""Pictures shown of a case."""
_MOST_CLASSES = 100


@dataclass(frozen=True)
class _Shown:
    """A picture on the page."""

    name: str
    about: str = ""
    """Its split and labels."""
    thumbnail: Thumbnail | None = None


def render(report: Report, index: Index) -> str:
    """The page as HTML: what was found, with thumbnails of at most 24 cases a finding, 200 of label suspects, and 8
    pictures a case.

    Whatever names hold is shown as text: the template escapes, and the page's own policy forbids scripts.
    """
    shown = _pictures(report, index)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_printed)
    template = environment.from_string(package_files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        tables=[(head, _table(report, head)) for head in report.classes],
        findings=[_finding(finding, shown) for finding in report.findings],
    )


def _printed(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _finding(finding: Finding, shown: dict[str, _Shown]) -> dict[str, Any]:
    cases = [
        {
            "pictures": [shown.get(name, _Shown(name)) for name in group.pictures[:MOST_PICTURES]],
            "more": max(0, len(group.pictures) - MOST_PICTURES),
            "detail": group.detail if len(group.pictures) == 1 else "",  # what differs is told below each picture
        }
        for group in finding.groups[: _most(finding)]
    ]
    return {
        "severity": finding.severity,
        "about": finding.about,
        "cases": cases,
        "bare": finding.kind == "unusable",
        "more": max(0, len(finding.groups) - _most(finding)),
    }


def _most(finding: Finding) -> int:
    return MOST_SUSPECTS if finding.kind == "label-suspects" else MOST_CASES


def _table(report: Report, head: str) -> dict[str, Any]:
    counts = report.classes[head]
    names = list(next(iter(counts.values()), {}))
    return {
        "splits": list(counts),
        "rows": [(name, [by_class[name] for by_class in counts.values()]) for name in names[:_MOST_CLASSES]],
        "more": max(0, len(names) - _MOST_CLASSES),
    }


def _pictures(report: Report, index: Index) -> dict[str, _Shown]:
    """The pictures that the page shows, by their ids; ones that cannot be read are left out."""
    groups = [group for finding in report.findings for group in finding.groups[: _most(finding)]]
    names = {name for group in groups for name in group.pictures[:MOST_PICTURES]}
    some = index.only(np.array([name in names for name in index.ids], dtype=bool))
    return {
        some.ids[at]: _Shown(some.ids[at], f"{some.splits[at]}, {labels_of(some, at)}", made)
        for at, made in enumerate(thumbnails(some.pictures))
        if made
    }
