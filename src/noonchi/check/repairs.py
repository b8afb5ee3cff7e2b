"""What would mend the copies in a data set, as overrides that `noonchi train --overrides` obeys."""

from noonchi.check.findings import Group, Report
from noonchi.results import printable
from noonchi.sources.index import SPLIT_ORDER, Index
from noonchi.sources.overrides import Override


def repairs(report: Report, index: Index) -> list[Override]:
    """The pictures to drop, in the order of the index, each with the reason.

    Of identical pictures with different labels all: only a person can say which label is right. Of other identical
    pictures all but one: the first in test, else in val, else in train, so that what is scored stays. Of near copies
    across splits those that are in train, or in val where others are in test. Near copies in one split or with other
    labels are left for a person to look at, as each may well be right.
    """
    split_of = dict(zip(index.ids, index.splits.tolist(), strict=True))
    reasons: dict[str, str] = {}
    for group in _groups(report, "identical-other-labels"):
        reason = f"identical pictures are labelled {group.detail}: look which is right and relabel that one"
        reasons.update(dict.fromkeys(group.pictures, reason))
    for group in _groups(report, "identical-across-splits", "identical-in-split"):
        left = [name for name in group.pictures if name not in reasons]
        for kept in _in_last_split(left, split_of)[:1]:
            reasons.update({name: f"identical to {kept}, in {split_of[kept]}" for name in left if name != kept})
    for group in _groups(report, "near-across-splits"):
        left = [name for name in group.pictures if name not in reasons]
        stay = _in_last_split(left, split_of)
        reasons.update({name: f"near copy of {stay[0]}, in {split_of[stay[0]]}" for name in left if name not in stay})
    return [Override(name, "drop", reason=printable(reasons[name])) for name in index.ids if name in reasons]


def _groups(report: Report, *kinds: str) -> list[Group]:
    return [group for finding in report.findings if finding.kind in kinds for group in finding.groups]


def _in_last_split(names: list[str], split_of: dict[str, str]) -> list[str]:
    """Those of the pictures that are in test; in val where none is; else all."""
    last = max((SPLIT_ORDER.index(split_of[name]) for name in names), default=0)
    return [name for name in names if split_of[name] == SPLIT_ORDER[last]]
