"""Which heads and which pictures of several runs are the same."""

from collections import Counter
from dataclasses import replace

import numpy as np

from noonchi.answers import Answers
from noonchi.comparison.finished import Finished
from noonchi.errors import RunError
from noonchi.results import Head, Split

_Key = tuple[str, tuple[str, ...], int]
"""A picture's content, its labels, and which copy of it this is."""


def shared_heads(runs: list[Finished], names: list[str]) -> tuple[list[str], list[str]]:
    """Heads that all runs answer, and notes of the others. Raises RunError where there is none or classes differ."""
    each = [{head.name: head for head in run.answers.heads} for run in runs]
    shared = [name for name in each[0] if all(name in heads for heads in each)]
    if not shared:
        told = "; ".join(f"'{name}' answers {', '.join(heads)}" for name, heads in zip(names, each, strict=True))
        raise RunError(f"the runs have no head in common: {told}. Compare runs that answer the same question.")
    for head in shared:
        for name, heads in zip(names[1:], each[1:], strict=True):
            _refuse_other_classes(each[0][head], heads[head], names[0], name)
    left = {head: None for heads in each for head in heads if head not in shared}
    return shared, [f"head '{head}' is not compared: not all runs answer it" for head in left]


def _refuse_other_classes(first: Head, other: Head, first_name: str, other_name: str) -> None:
    if "labels" in (first.kind, other.kind) and first.kind != other.kind:
        raise RunError(
            f"head '{first.name}' gives one class a picture in one run and several in another: "
            f"'{first_name}' and '{other_name}' cannot be compared."
        )
    apart = sorted(set(first.classes) ^ set(other.classes))
    if apart:
        some = ", ".join(map(repr, apart[:5])) + (" and more" if len(apart) > 5 else "")
        raise RunError(
            f"head '{first.name}' has other classes in '{other_name}' than in '{first_name}': only one has {some}. "
            "Compare runs on the same classes."
        )


def shared_rows(
    each: list[Answers], heads: list[str], names: list[str], split: Split, *, common: bool
) -> list[np.ndarray]:
    """For each run the positions of the pictures that all have, in the first run's order.

    Raises RunError where none is shared, and unless `common` where not all are.
    """
    places = [{key: at for at, key in enumerate(_keys(answers, heads))} for answers in each]
    shared = [key for key in places[0] if all(key in other for other in places[1:])]
    counts = " and ".join(f"{len(own):,} of '{name}'" for own, name in zip(places, names, strict=True))
    if not shared:
        raise RunError(f"the runs share no {split} picture with the same labels ({counts}): nothing can be compared.")
    if not common and any(len(own) > len(shared) for own in places):
        raise RunError(
            f"the runs' {split} pictures differ: of {counts}, {len(shared):,} are the same in content and labels. "
            "Compare on these alone with --common (common=True)."
        )
    return [np.array([own[key] for key in shared]) for own in places]


def _keys(answers: Answers, heads: list[str]) -> list[_Key]:
    labels = zip(*(_texts(head, answers.labels[head.name]) for head in of(answers, heads)), strict=True)
    seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
    keys = []
    for pair in zip(answers.hashes.tolist(), labels, strict=True):
        keys.append((*pair, seen[pair]))
        seen[pair] += 1
    return keys


def of(answers: Answers, heads: list[str]) -> list[Head]:
    """The heads so named."""
    by_name = {head.name: head for head in answers.heads}
    return [by_name[name] for name in heads]


def _texts(head: Head, labels: np.ndarray) -> list[str]:
    """Each picture's label in words that do not depend on the order of classes."""
    if head.kind != "labels":
        return [head.classes[label] for label in labels.tolist()]
    order = sorted(range(len(head.classes)), key=head.classes.__getitem__)
    ordered = replace(head, classes=tuple(head.classes[at] for at in order))
    return [ordered.text(row) for row in labels[:, order].tolist()]
