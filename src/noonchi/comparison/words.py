"""A comparison in words."""

import math
from typing import Any

from noonchi.comparison import Comparison, Difference

LIMITS = (
    "These are answers of trained classifiers. Whether one recipe is better than another takes several seeds of each "
    "(Dietterich 1998)."
)


def paragraphs(comparison: Comparison) -> list[tuple[str, str]]:
    """For each difference what is found, in a sentence, and what that rests on."""
    named = len(comparison.heads) > 1
    return [
        ((f"{one.head}: " if named else "") + _verdict(one), f"{_reasons(one)} {_loss_in_words(one)}")
        for one in comparison.differences
    ]


def remarks(comparison: Comparison) -> list[str]:
    """What a reader of the paragraphs must know."""
    count = len(comparison.differences)
    corrected = f"{count} comparisons were made: how often chance is as large is corrected for that (Holm 1979)."
    return [*comparison.notes, *([corrected] if count > 1 else []), LIMITS]


def with_words(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values, with its paragraphs."""
    table = comparison.to_json()
    told = zip(table["differences"], paragraphs(comparison), strict=True)
    return table | {"differences": [one | {"words": " ".join(both)} for one, both in told]}


def _verdict(one: Difference) -> str:
    if one.beyond_chance:
        return f"{_ahead(one)} is better than {_behind(one)} by {_points(one)}."
    lead = f"{_ahead(one)} is ahead by {_points(one)}" if one.accuracy else f"they are level ({_range(one)})"
    return f"No difference between {one.first} and {one.other} can be told apart from chance: {lead}."


def _reasons(one: Difference) -> str:
    most, least = max(one.only_first, one.only_other), min(one.only_first, one.only_other)
    alone = f"Of {one.pictures:,} pictures {_ahead(one)} alone got {most:,} right, {_behind(one)} alone {least:,}"
    if not one.accuracy:
        return f"{alone}."
    chance = f"were both equally good, so large a difference would come by chance {_times(one.p_corrected)}."
    if one.pictures_needed is None:
        return f"{alone}; {chance}"
    needed = f"About {_rounded(one.pictures_needed):,} test pictures would be needed to tell a difference of this size."
    return f"{alone}; {chance} {needed}"


def _loss_in_words(one: Difference) -> str:
    low, high = one.loss_interval
    if low <= 0 <= high:
        return f"Their losses cannot be told apart: they differ by {one.loss:.4f} (95 %: {low:.4f} to {high:.4f})."
    lower, higher = (one.first, one.other) if one.loss < 0 else (one.other, one.first)
    nearest, farthest = sorted((abs(low), abs(high)))
    by = f"{abs(one.loss):.4f} (95 %: {nearest:.4f} to {farthest:.4f})"
    return f"The loss of {lower} is lower than that of {higher} by {by}."


def _ahead(one: Difference) -> str:
    return one.first if one.accuracy >= 0 else one.other


def _behind(one: Difference) -> str:
    return one.other if one.accuracy >= 0 else one.first


def _points(one: Difference) -> str:
    return f"{abs(one.accuracy) * 100:.2f} points ({_range(one)})"


def _range(one: Difference) -> str:
    """The interval, as seen by the run that is ahead."""
    low, high = one.accuracy_interval if one.accuracy >= 0 else (-one.accuracy_interval[1], -one.accuracy_interval[0])
    return f"95 %: {low * 100 + 0.0:.2f} to {high * 100 + 0.0:.2f}"


def _times(p: float) -> str:
    if p < 1e-6:
        return "less than once in a million times"
    if p < 1e-3:
        return "less than once in 1,000 times"
    of = 1000 if p < 0.01 else 100
    times = round(p * of)
    return f"about {'once' if times == 1 else f'{times} times'} in {of:,}{' times' if times == 1 else ''}"


def _rounded(count: int) -> int:
    """To two digits."""
    return round(count, 1 - math.floor(math.log10(count)))
