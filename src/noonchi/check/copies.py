"""Pictures that come more than once: in two splits, with different labels, or twice in one split."""

from collections.abc import Sequence

import numpy as np

from noonchi.check.findings import Finding, Group, Kind, Severity, number
from noonchi.sources.index import SPLIT_ORDER, Index

_KINDS: dict[bool, tuple[tuple[Kind, Severity], ...]] = {
    False: (("identical-across-splits", "error"), ("identical-other-labels", "error"), ("identical-in-split", "note")),
    True: (("near-across-splits", "warning"), ("near-other-labels", "warning"), ("near-in-split", "note")),
}
_Positions = list[int]


def identical_groups(index: Index) -> list[_Positions]:
    """The groups of two and more identical pictures, as ascending positions; pictures of no split are left out."""
    if len(set(index.hashes)) == len(index):
        return []
    groups: dict[str, _Positions] = {}
    for at in np.flatnonzero(np.isin(index.splits, SPLIT_ORDER)).tolist():
        groups.setdefault(index.hashes[at], []).append(at)
    return [group for group in groups.values() if len(group) > 1]


def across_splits(index: Index, groups: Sequence[_Positions], *, near: bool) -> list[Finding]:
    """Pictures that are scored by a classifier that has seen them."""
    found = [group for group in groups if _straddles(index, group)]
    if not found:
        return []
    splits = [split for split in SPLIT_ORDER if any((index.splits[group] == split).any() for group in found)]
    told = _and(splits)
    identical = f"in {told} alike" if len(splits) == 2 else f"in more than one of {told}"
    where = f"with near copies across {told}" if near else identical
    which = f"{_and(splits[1:])} figure{'s are' if len(splits) > 2 else ' is'}"
    about = f"{number(len(found), 'picture')} {where}: the {which} too good"
    kind, severity = _KINDS[near][0]
    return [_finding(kind, severity, about, index, found)]


def other_labels(index: Index, groups: Sequence[_Positions], *, near: bool) -> list[Finding]:
    """Pictures of which a copy has another label."""
    found = [group for group in groups if _is_disputed(index, group)]
    if not found:
        return []
    copies, follows = ("near copies", "look which is right") if near else ("copies", "at most one can be right")
    about = f"{number(len(found), 'picture')} with {copies} that are labelled otherwise: {follows}"
    kind, severity = _KINDS[near][1]
    return [_finding(kind, severity, about, index, found)]


def in_one_split(index: Index, groups: Sequence[_Positions], *, near: bool) -> list[Finding]:
    """Pictures that come again with the same labels in the same split, and count double there."""
    found = [group for group in groups if not _straddles(index, group) and not _is_disputed(index, group)]
    if not found:
        return []
    about = (
        f"{number(len(found), 'picture')} with {'near ' if near else ''}copies in the same split: each counts double"
    )
    kind, severity = _KINDS[near][2]
    return [_finding(kind, severity, about, index, found)]


def labels_of(index: Index, at: int) -> str:
    """A picture's labels in words: the class, the classes joined by `|`, or with several heads one a head."""
    texts = {head.name: head.text(index.labels[head.name][at]) for head in index.heads}
    return ", ".join(f"{name} {text}" for name, text in texts.items()) if len(texts) > 1 else "".join(texts.values())


def _straddles(index: Index, group: _Positions) -> bool:
    return len(set(index.splits[group].tolist())) > 1


def _is_disputed(index: Index, group: _Positions) -> bool:
    return any(bool((labels[group] != labels[group[0]]).any()) for labels in index.labels.values())


def _finding(kind: Kind, severity: Severity, about: str, index: Index, groups: Sequence[_Positions]) -> Finding:
    def case(group: _Positions) -> Group:
        positions = sorted(group, key=lambda at: (SPLIT_ORDER.index(index.splits[at]), at))
        told = [str(index.splits[at]) if kind.endswith("splits") else labels_of(index, at) for at in positions]
        detail = "" if kind.endswith("in-split") else ", ".join(dict.fromkeys(told))
        return Group(tuple(index.ids[at] for at in positions), detail)

    return Finding(kind, severity, len(groups), about, tuple(map(case, groups)))


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
