"""What is wrong with a data set: faults that cost accuracy, or make its figure too good. Nothing is ever changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np

from noonchi import cache
from noonchi.check import alike, classes, copies, looks
from noonchi.check.findings import Finding, Group, Kind, Report, Severity
from noonchi.results import Note, Reading
from noonchi.settings import PixelSettings
from noonchi.sources.index import Index

__all__ = ["Finding", "Group", "Report", "examine", "quick"]


def quick(index: Index) -> list[Finding]:
    """What the index alone tells in milliseconds: leaking and disputed copies, missing, single and rare classes.

    >>> from noonchi import sources
    >>> picture = np.zeros((1, 4, 4), np.uint8)
    >>> index = sources.load((np.concatenate([picture, picture + 1, picture]), ["cat", "dog", "dog"]))
    >>> [finding.kind for finding in quick(index)][0]
    'identical-other-labels'
    """
    groups = copies.identical_groups(index)
    return [
        *copies.across_splits(index, groups, near=False),
        *copies.other_labels(index, groups, near=False),
        *(finding for head in index.heads for finding in classes.class_findings(index, head.name)),
    ]


def examine(index: Index, show: Callable[[Note | Reading], None] | None = None, through: str | None = None) -> Report:
    """All that is found in a data set, gravest first.

    Pictures are decoded once, small and grey, and kept by `cache.decode`. Near copies are looked for by
    `alike.near_groups` in pictures of at least 32 pixels a side that are not blank. `show` is called as pictures are
    read, and as likely pairs are looked at. With a backbone to look `through`, such as `efficientnet-lite0`, labels
    that seem wrong are found too (`suspects.label_suspects`), which takes a forward pass a picture.

    >>> from noonchi import sources
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    >>> images[3] = images[2] // 2
    >>> examine(sources.load((images, [0, 1, 0, 1]))).findings[1].about
    '1 picture with near copies that are labelled otherwise: look which is right'
    """
    progress = (lambda done, total: show(Reading(done, total))) if show else None
    frames = cache.decode(index, _thumbnail(index), progress)
    splits = np.where(frames.usable, index.splits, "unusable")
    index = replace(index, splits=splits, unusable=(*index.unusable, *frames.unusable))
    thumbnails, sizes = frames.array[..., 0], looks.sizes(index)
    blank = looks.is_blank(thumbnails)
    small = sizes.min(axis=1) < looks.SMALLEST
    identical = copies.identical_groups(index)
    near = _near_groups(index, thumbnails, frames.usable & ~blank & ~small, progress)
    found = [
        *(_label_suspects(index, through, show) if through and frames.usable.any() else ()),
        *looks.unusable(index),
        *classes.split_findings(index),
        *quick(index),
        *copies.in_one_split(index, identical, near=False),
        *copies.across_splits(index, near, near=True),
        *copies.other_labels(index, near, near=True),
        *copies.in_one_split(index, near, near=True),
        *looks.blank_ones(index, blank & frames.usable),
        *looks.misshapen(index, sizes, frames.usable),
        *(Finding("remark", "note", 1, note) for note in index.notes),
    ]
    return Report(
        data=index.name,
        pictures=int(frames.usable.sum()),
        splits=index.sizes(),
        classes={head.name: index.counts(head.name) for head in index.heads},
        findings=tuple(sorted(found, key=_gravity)),
        too_small=int((small & frames.usable).sum()),
    )


def _label_suspects(index: Index, through: str, show: Callable[[Note | Reading], None] | None) -> list[Finding]:
    from noonchi.check import suspects  # torch: a second, which a check without it does not spend

    return suspects.label_suspects(index, through, show or (lambda _: None))


def _gravity(finding: Finding) -> tuple[int, int]:
    return get_args(Severity).index(finding.severity), get_args(Kind).index(finding.kind)


def _thumbnail(index: Index) -> PixelSettings:
    """Of the size that near copies are looked for in; arrays too small for that are taken as they are, at no cost."""
    size = index.array.shape[1:3] if index.array is not None else ()
    return PixelSettings(size=size if size and min(size) < looks.SMALLEST else (alike.SIDE, alike.SIDE), channels=1)


def _near_groups(
    index: Index, thumbnails: alike.Thumbnails, comparable: looks.Mask, progress: alike.Progress | None
) -> list[list[int]]:
    """Groups of near copies, each with the identical copies of its members."""
    same: dict[str, list[int]] = {}
    for at in np.flatnonzero(comparable).tolist():
        same.setdefault(index.hashes[at], []).append(at)
    distinct = list(same.values())
    groups = alike.near_groups(thumbnails[[one[0] for one in distinct]], progress)
    return [sorted(at for member in group for at in distinct[member]) for group in groups]
