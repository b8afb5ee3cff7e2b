"""Where the boxes of a drawing go: row under row, each below all that lead to it, with few crossing lines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from statistics import fmean

_ROW_GAP, _GAP = 32, 24
"""Pixels between rows, and between neighbours in a row."""
_BEND = 8
"""Pixels that a line takes where it passes a row."""
_PORT = 18
"""Pixels between lines that end at one box."""
_SWEEPS = 8
_FIRM, _LOOSE = 1_000_000, 1
"""Weights of a box, and of a line that leaves a box beside others: those go around, and boxes stay in one column."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """All in pixels."""

    places: tuple[Point, ...]
    """Left and top of each box."""
    lines: tuple[tuple[Point, ...], ...]
    """From a box's lower edge, over the upper and lower edges of rows that are passed, to a box's upper edge."""
    width: float
    height: float


@dataclass(eq=False)
class _Slot:
    """A place in a row, for a box or for a line that passes."""

    row: int
    width: float
    weight: int
    place: int = 0
    """In its row, counted from the left."""
    middle: float = 0.0
    above: "list[_Slot]" = field(default_factory=list)
    below: "list[_Slot]" = field(default_factory=list)


def arrange(sources: Sequence[Sequence[int]], sizes: Sequence[tuple[float, float]]) -> Layout:
    """Places for boxes of the given (width, height); `sources` are the numbers of those that lead to each.

    Every source is before its box. Rows by the longest way from above, order in a row by the mean place of
    neighbours: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981).

    >>> arrange([(), (0,), (0,), (1, 2)], [(100, 50)] * 4).places
    ((62.0, 0), (0.0, 82), (124.0, 82), (62.0, 164))
    """
    slots = _slots(sources, [width for width, _ in sizes])
    leaving = Counter(source for some in sources for source in some)
    ways = [
        _way(slots[source], slots[box], _FIRM if leaving[source] == 1 else _LOOSE)
        for box, some in enumerate(sources)
        for source in some
    ]
    rows = _rows([*slots, *(bend for way in ways for bend in way[1:-1])])
    _order(rows)
    _spread(rows)
    left = min(slot.middle - slot.width / 2 for row in rows for slot in row)
    for row in rows:
        for slot in row:
            slot.middle = float(round(slot.middle - left))  # whole pixels: upright lines stay sharp
    heights = [0.0] * len(rows)
    for slot, (_, height) in zip(slots, sizes, strict=True):
        heights[slot.row] = max(heights[slot.row], height)
    tops = [sum(heights[:row]) + row * _ROW_GAP for row in range(len(rows))]
    ends = {id(slot): tops[slot.row] + height for slot, (_, height) in zip(slots, sizes, strict=True)}
    return Layout(
        places=tuple((slot.middle - slot.width / 2, tops[slot.row]) for slot in slots),
        lines=tuple(_line(way, tops, heights, ends[id(way[0])]) for way in ways),
        width=max(slot.middle + slot.width / 2 for row in rows for slot in row),
        height=tops[-1] + heights[-1],
    )


def _slots(sources: Sequence[Sequence[int]], widths: Sequence[float]) -> list[_Slot]:
    slots: list[_Slot] = []
    for some, width in zip(sources, widths, strict=True):
        slots.append(_Slot(1 + max((slots[source].row for source in some), default=-1), width, _FIRM))
    return slots


def _way(start: _Slot, end: _Slot, weight: int) -> list[_Slot]:
    """From one to the other, with a slot in every row between, each joined to the next."""
    way = [start, *(_Slot(row, _BEND, weight) for row in range(start.row + 1, end.row)), end]
    for upper, lower in pairwise(way):
        upper.below.append(lower)
        lower.above.append(upper)
    return way


def _rows(slots: Sequence[_Slot]) -> list[list[_Slot]]:
    rows: list[list[_Slot]] = [[] for _ in range(1 + max(slot.row for slot in slots))]
    for slot in slots:
        rows[slot.row].append(slot)
    return rows


def _order(rows: list[list[_Slot]]) -> None:
    """Sorts each row by where its neighbours are, from above and from below, and keeps what crosses least."""
    _number(rows)
    best = [list(row) for row in rows]
    for sweep in range(_SWEEPS):
        for row in rows[1:] if sweep % 2 == 0 else rows[-2::-1]:
            row.sort(key=lambda slot: fmean([other.place for other in _neighbours(slot, sweep)] or [slot.place]))
            _number([row])
        if _crossings(rows) < _crossings(best):
            best = [list(row) for row in rows]
        _number(rows)
    rows[:] = best
    _number(rows)


def _number(rows: Sequence[Sequence[_Slot]]) -> None:
    for row in rows:
        for place, slot in enumerate(row):
            slot.place = place


def _neighbours(slot: _Slot, sweep: int) -> list[_Slot]:
    """Those above, or in every other sweep those below."""
    return slot.above if sweep % 2 == 0 else slot.below


def _crossings(rows: Sequence[Sequence[_Slot]]) -> int:
    _number(rows)
    found = 0
    for row in rows:
        joined = [(slot.place, other.place) for slot in row for other in slot.below]
        found += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(joined, 2))
    return found


def _spread(rows: Sequence[Sequence[_Slot]]) -> None:
    """Middles as near as can be to those of neighbours above and below, in turn."""
    for sweep in range(_SWEEPS + 1):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            _settle(row, [_mean_middle(_neighbours(slot, sweep) or [slot]) for slot in row])


def _mean_middle(neighbours: Sequence[_Slot]) -> float:
    return fmean([other.middle for other in neighbours], [other.weight for other in neighbours])


def _settle(row: Sequence[_Slot], wishes: Sequence[float]) -> None:
    """Each slot as near to its wish as the others let it: least squares, by pooling neighbours that would overlap."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + _GAP)
    pools: list[tuple[float, int, int]] = []  # where its slots would begin without offsets, weight, how many slots
    for slot, wish, offset in zip(row, wishes, offsets, strict=True):
        pools.append((wish - offset, slot.weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, first, some), (other, second, more) = pools[-2:]
            pools[-2:] = [((one * first + other * second) / (first + second), first + second, some + more)]
    settled = [start for start, _, count in pools for _ in range(count)]
    for slot, start, offset in zip(row, settled, offsets, strict=True):
        slot.middle = start + offset


def _line(way: Sequence[_Slot], tops: Sequence[float], heights: Sequence[float], start: float) -> tuple[Point, ...]:
    first, *bends, last = way
    passed = [(bend.middle, tops[bend.row] + edge) for bend in bends for edge in (0, heights[bend.row])]
    ends = sorted((slot.middle, slot is way[-2]) for slot in last.above)
    shift = _PORT * ([own for _, own in ends].index(True) - (len(ends) - 1) / 2)
    return ((first.middle, start), *passed, (last.middle + shift, tops[last.row]))
