"""What would mend copies and doubtful labels in a data set, as overrides that `noonchi train --overrides` obeys."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from noonchi.check.findings import Group, Report
from noonchi.results import printable
from noonchi.settings import HeadSettings
from noonchi.sources.index import SPLIT_ORDER, Index
from noonchi.sources.overrides import Override


def repairs(report: Report, index: Index, heads: Mapping[str, HeadSettings] | None = None) -> list[Override]:
    """The pictures to drop or to relabel, in the order of the index, each with the reason.

    Of identical pictures with different labels all: only a person can say which label is right. Of other identical
    pictures all but one: the first in test, else in val, else in train, so that what is scored stays. Of near copies
    across splits those that are in train, or in val where others are in test. Near copies in one split or with other
    labels are left for a person to look at, as each may well be right. Label suspects that stay are relabelled as
    proposed, in the columns that `heads` read; where a head's `map` makes one class of several, a person has to.
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
    drops = {name: Override(name, "drop", reason=printable(reason)) for name, reason in reasons.items()}
    rows = _relabelled(report, heads or {}) | drops
    return [rows[name] for name in index.ids if name in rows]


def _relabelled(report: Report, heads: Mapping[str, HeadSettings]) -> dict[str, Override]:
    rows: dict[str, Override] = {}
    for group in _groups(report, "label-suspects"):
        for name, (head, new) in product(group.pictures, group.proposed.items()):
            old = rows.get(name, Override(name, "relabel"))
            reason = "; ".join(filter(None, (old.reason, printable(group.detail))))
            labels = {**old.labels, **_in_columns(head, new, heads.get(head, HeadSettings()))}
            rows[name] = replace(old, labels=labels, reason=reason)
    return {name: row for name, row in rows.items() if row.labels}


def _in_columns(head: str, new: str, settings: HeadSettings) -> dict[str, str]:
    """What the data's columns would hold for a class of a head; nothing where that is not one thing."""
    meant = [old for old, own in settings.map.items() if own == new] if settings.map else [new]
    if len(meant) != 1:
        return {}
    if settings.columns:
        return {column: str(int(column == meant[0])) for column in settings.columns}
    return {settings.column or head: meant[0]}


def _groups(report: Report, *kinds: str) -> list[Group]:
    return [group for finding in report.findings if finding.kind in kinds for group in finding.groups]


def _in_last_split(names: list[str], split_of: dict[str, str]) -> list[str]:
    """Those of the pictures that are in test; in val where none is; else all."""
    last = max((SPLIT_ORDER.index(split_of[name]) for name in names), default=0)
    return [name for name in names if split_of[name] == SPLIT_ORDER[last]]
