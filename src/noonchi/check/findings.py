"""The nouns of a check: what was found, about which pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from noonchi.results import Split

Severity = Literal["error", "warning", "note"]
"""Gravest first."""
Kind = Literal[
    "unusable",
    "identical-across-splits",
    "identical-other-labels",
    "identical-in-split",
    "near-across-splits",
    "near-other-labels",
    "near-in-split",
    "label-suspects",
    "split-missing",
    "class-missing",
    "class-of-one",
    "imbalance",
    "blank",
    "tiny",
    "odd-shape",
    "remark",
]
"""In the order of a report, within one severity."""


@dataclass(frozen=True)
class Group:
    """Pictures that make one case: a single one, or one and its copies."""

    pictures: tuple[str, ...]
    """Their ids."""
    detail: str = ""
    """What is to be known of this case: a reason, a size, the labels that differ."""
    proposed: Mapping[str, str] = field(default_factory=dict)
    """By head the class that its label is doubted for."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault in the data, with all its cases."""

    kind: Kind
    severity: Severity
    count: int
    """Cases: of a picture and its copies one, and one a class where classes are at fault."""
    about: str
    """One line that says what was found, how often, and what follows."""
    groups: tuple[Group, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One object; `pictures`, `details` and, of label suspects, `proposed` hold an entry a case."""
        proposed = [dict(group.proposed) for group in self.groups]
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": self.count,
            "about": self.about,
            "pictures": [list(group.pictures) for group in self.groups],
            "details": [group.detail for group in self.groups],
            **({"proposed": proposed} if any(proposed) else {}),
        }


@dataclass(frozen=True)
class Report:
    """What a data set holds, and what was found in it.

    >>> Report("photos", 3, {"train": 3}, {}, ()).to_json()["pictures"]
    3
    """

    data: str
    pictures: int
    """Usable ones."""
    splits: Mapping[Split, int]
    """Pictures of each split."""
    classes: Mapping[str, Mapping[Split, Mapping[str, int]]]
    """By head: pictures of each class by split."""
    findings: tuple[Finding, ...]
    too_small: int = 0
    """Pictures in which no near copies were looked for, as they hold too little."""

    @property
    def title(self) -> str:
        """One line: the data, and how many pictures are in which split."""
        splits = ", ".join(f"{count:,} {split}" for split, count in self.splits.items())
        return f"{self.data}: {number(self.pictures, 'picture')}" + (f" ({splits})" if splits else "")

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "data": self.data,
            "pictures": self.pictures,
            "splits": dict(self.splits),
            "classes": {
                head: {split: dict(one) for split, one in counts.items()} for head, counts in self.classes.items()
            },
            "too_small_for_near": self.too_small,
            "findings": [finding.to_json() for finding in self.findings],
        }


def number(count: int, what: str) -> str:
    """A number of things, in words that agree with it.

    >>> number(1, "picture"), number(1200, "class")
    ('1 picture', '1,200 classes')
    """
    ending = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count:,} {what}{ending}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Quoted names, the first few of many.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    quoted = [f"'{name}'" for name in names]
    rest = f" and {len(quoted) - most:,} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + rest
