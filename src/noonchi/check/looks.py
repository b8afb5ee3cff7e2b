"""Pictures that are odd by themselves: not usable, blank, tiny, or of another shape than the rest."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from noonchi.check.findings import Finding, Group, number
from noonchi.pixels.decoding import header
from noonchi.sources.index import Index

SMALLEST = 32
"""Pixels: a shorter side below it holds little to learn from."""
_LONGEST = 4
"""Times the width that the height may be, and the other way round."""
_FLATTEST = 2.0
"""Standard deviation, in grey levels of 255, below which a picture shows nothing."""
_BLOCK = 1024

Sizes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def sizes(index: Index) -> Sizes:
    """Height and width of each picture as seen upright, (n, 2), by the files' headers; zeros where there is none."""
    if index.array is not None:
        return np.tile(np.array(index.array.shape[1:3], np.int64), (len(index), 1))
    pictures, sides = index.encoded, np.zeros((len(index), 2), np.int64)

    def look(at: int) -> None:  # by its position: a picture's bytes are read by the thread that looks
        found = header(pictures[at])
        sides[at] = found.size if found else (0, 0)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            list(pool.map(look, index.reading_order.tolist()))
        except BaseException:
            index.give_up()
            raise
    return sides


def unusable(index: Index) -> list[Finding]:
    """Files that are no usable pictures."""
    if not index.unusable:
        return []
    about = f"{number(len(index.unusable), 'file')} cannot be used"
    cases = tuple(Group((name,), reason) for name, reason in index.unusable)
    return [Finding("unusable", "error", len(cases), about, cases)]


def is_blank(thumbnails: npt.NDArray[np.uint8]) -> Mask:
    """Which of the pictures (n, height, width) show one level all over.

    >>> is_blank(np.stack([np.full((4, 4), 9), np.arange(16).reshape(4, 4)]).astype(np.uint8)).tolist()
    [True, False]
    """
    blocks = [thumbnails[start : start + _BLOCK] for start in range(0, len(thumbnails), _BLOCK)]
    return np.concatenate([block.std(axis=(1, 2), dtype=np.float32) for block in blocks]) < _FLATTEST


def blank_ones(index: Index, blank: Mask) -> list[Finding]:
    """Pictures that show nothing."""
    cases = [Group((index.ids[at],)) for at in np.flatnonzero(blank).tolist()]
    about = f"{number(len(cases), 'picture')} with nothing but one colour"
    return [Finding("blank", "warning", len(cases), about, tuple(cases))] if cases else []


def misshapen(index: Index, sizes: Sizes, usable: Mask) -> list[Finding]:
    """Pictures far smaller than the others, or far longer; what all pictures of the data are is not odd."""
    if not usable.any():
        return []
    shorter = sizes.min(axis=1)
    ratio = sizes.max(axis=1) / np.maximum(shorter, 1)
    tiny = usable & (shorter < min(SMALLEST, np.median(shorter[usable]) / 2))
    odd = usable & (ratio > max(_LONGEST, 2 * np.median(ratio[usable])))
    findings = []
    if cases := _with_size(index, sizes, np.flatnonzero(tiny)):
        about = f"{number(len(cases), 'picture')} with a side under {SMALLEST} pixels"
        findings.append(Finding("tiny", "warning", len(cases), about, cases))
    if cases := _with_size(index, sizes, np.flatnonzero(odd)):
        about = f"{number(len(cases), 'picture')} more than {_LONGEST} times as long as wide or high"
        findings.append(Finding("odd-shape", "note", len(cases), about, cases))
    return findings


def _with_size(index: Index, sizes: Sizes, positions: Iterable[int]) -> tuple[Group, ...]:
    return tuple(Group((index.ids[at],), "{1} x {0} pixels".format(*sizes[at])) for at in positions)
