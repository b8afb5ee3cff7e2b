"""A check as one page that needs nothing else: text, numbers and small pictures."""

import base64
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image

from noonchi import pixels
from noonchi.check.copies import labels_of
from noonchi.check.findings import Finding, Report
from noonchi.check.looks import sizes
from noonchi.pixels.decoding import PictureError
from noonchi.results import printable
from noonchi.settings import PixelSettings
from noonchi.sources.index import Index

MOST_CASES = 24
"""Cases shown of a finding."""
MOST_SUSPECTS = 200
"""Cases shown of labels that seem wrong: only a look tells which are."""
MOST_PICTURES = 8
"""Pictures shown of a case."""
_MOST_CLASSES = 100
_SIDE = 144
_QUALITY = 80


@dataclass(frozen=True)
class _Shown:
    """A picture on the page."""

    name: str
    about: str = ""
    """Its split and labels."""
    uri: str = ""
    width: int = 0
    height: int = 0

    @property
    def small(self) -> bool:
        """Shown larger than it is, with square pixels."""
        return max(self.width, self.height) < _SIDE // 2


def render(report: Report, index: Index) -> str:
    """The page as HTML: what was found, with thumbnails of at most 24 cases a finding, 200 of label suspects, and 8
    pictures a case.

    Whatever names hold is shown as text: the template escapes, and the page's own policy forbids scripts.
    """
    shown = _thumbnails(report, index)
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


def _thumbnails(report: Report, index: Index) -> dict[str, _Shown]:
    """The pictures that the page shows, by their ids; ones that cannot be read are left out."""
    groups = [group for finding in report.findings for group in finding.groups[: _most(finding)]]
    names = {name for group in groups for name in group.pictures[:MOST_PICTURES]}
    some = index.only(np.array([name in names for name in index.ids], dtype=bool))
    sides = sizes(some).tolist()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda at: _thumbnail(some, at, *sides[at]), range(len(some)))
        return {one.name: one for one in made if one}


def _thumbnail(index: Index, at: int, height: int, width: int) -> _Shown | None:
    scale = min(1.0, _SIDE / max(width, height, 1))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    pictures: Any = index.array if index.files is None else index.files
    try:
        image = Image.fromarray(pixels.read(pictures[at], PixelSettings(size=(height, width), channels=3)))
    except PictureError:
        return None
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    uri = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    about = f"{index.splits[at]}, {labels_of(index, at)}"
    return _Shown(index.ids[at], about, uri, width, height)
