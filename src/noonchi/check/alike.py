"""Pictures that look alike: one saved anew, brought to another size, brightened, or cut at its edges."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

Thumbnails = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

SIDE = 64
"""Pixels a side of the grey thumbnails that are compared."""
_FREQUENCIES = 8
_LIKE = 0.7
"""Likeness of two hashes from which a pair is looked at closely. Of 300 photos changed in the ways above, none came
below 0.80 to its original; of 4.5 million pairs of other photos, 33 reach 0.7."""
_LOOKED_AT = 4
"""Closest looks a picture: bounds the time where all pictures look alike, as those of a fixed camera do."""
_MOST_MOVED = SIDE // 16
"""Pixels that a corner may move when one thumbnail is laid over the other."""
_SAME = 0.8
"""Correlation of the detail of one picture with that of another laid over it: the copies reach 0.89, and of the 2,360
like pairs among 20,000 other photos one 0.74 (mostly white border), the rest 0.65."""
_ROUNDS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
_EVERYWHERE = np.ones((SIDE, SIDE), np.uint8)
_CORNERS = np.array([(x, y, 1) for x in (0, SIDE) for y in (0, SIDE)], np.float32)
_BLOCK = 1024
_LIKENESSES = 2**24
"""Held at a time: 64 MB."""


def near_groups(thumbnails: Thumbnails, progress: Progress | None = None) -> list[list[int]]:
    """The groups of two and more pictures that look alike, as ascending positions in grey `thumbnails` (n, 64, 64).

    In two steps: pairs with like hashes are found among all, then each pair is laid one over the other and compared
    in its detail. A group holds what is joined by such pairs. `progress` is called with (done, total) pairs.

    >>> waves = np.sin(np.arange(64) / 5) * np.cos(np.arange(64)[:, np.newaxis] / 7) * 60 + 100
    >>> noise = np.random.default_rng(0).uniform(0, 200, (64, 64))
    >>> near_groups(np.stack([waves, noise, waves + 30]).astype(np.uint8))
    [[0, 2]]
    """
    pairs = list(_like_pairs(_hashes(thumbnails)))
    group_of: dict[int, list[int]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV computes without the interpreter's lock
        for start in range(0, len(pairs), _BLOCK):
            apart = [pair for pair in pairs[start : start + _BLOCK] if not _joined(group_of, *pair)]
            looks = pool.map(lambda pair: _look_the_same(*thumbnails[list(pair)]), apart)
            for pair, same in zip(apart, looks, strict=True):
                if same:
                    _join(group_of, *pair)
            if progress:
                progress(min(start + _BLOCK, len(pairs)), len(pairs))
    return sorted(map(sorted, {id(group): group for group in group_of.values()}.values()))


def _hashes(thumbnails: Thumbnails) -> Numbers:
    """A perceptual hash a picture, (n, 63) of length 1: the lowest frequencies of its cosine transform.

    pHash (Zauner 2010) keeps their signs only. The square root of each, with its sign (Perronnin et al. 2010), lies
    between that and the number itself, and tells copies from other photos better than either.
    """
    steps = np.arange(_FREQUENCIES)[:, np.newaxis] * (2 * np.arange(SIDE) + 1)
    cosines = np.cos(np.pi / (2 * SIDE) * steps).astype(np.float32)
    hashes = np.empty((len(thumbnails), _FREQUENCIES**2 - 1), np.float32)
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.float32)
        low = (cosines @ block @ cosines.T).reshape(len(block), -1)[:, 1:]  # the first is the mean level
        low = np.sign(low) * np.sqrt(np.abs(low))
        hashes[start : start + _BLOCK] = low / np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6)
    return hashes


def _like_pairs(hashes: Numbers) -> Iterable[tuple[int, int]]:
    """Each picture with the few later ones whose hashes are most like its own; n²/2 products of 63 numbers."""
    step = max(1, _LIKENESSES // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        likeness = hashes[start : start + step] @ hashes[start:].T
        rows = np.arange(len(likeness))
        likeness[:, : len(rows)][rows[:, np.newaxis] >= rows] = -1  # itself and earlier ones
        for _ in range(_LOOKED_AT):
            likest = likeness.argmax(axis=1)
            like = likeness[rows, likest] > _LIKE
            if not like.any():
                break
            yield from zip((start + rows[like]).tolist(), (start + likest[like]).tolist(), strict=True)
            likeness[rows, likest] = -1


def _look_the_same(first: Thumbnails, second: Thumbnails) -> bool:
    """Whether detail agrees once the second is laid over the first by a slight affine move.

    The move is found by the enhanced correlation coefficient, which does not mind brightness and contrast
    (Evangelidis and Psarakis 2008).
    """
    one, other = first.astype(np.float32), second.astype(np.float32)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, _ROUNDS, _EVERYWHERE, 3)
    except cv2.error:  # there is no way to lay one over the other
        return False
    move = np.asarray(found, np.float32)
    if not np.abs(_CORNERS @ move.T - _CORNERS[:, :2]).max() <= _MOST_MOVED:
        return False
    inverse = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(other, move, (SIDE, SIDE), flags=inverse, borderMode=cv2.BORDER_REPLICATE)
    return _correlation(_detail(one), _detail(laid)) > _SAME


def _detail(thumbnail: npt.ArrayLike) -> Numbers:
    """What is between 1 and 4 pixels large, without the edge that a move may bring in.

    Finer detail is lost by saving, coarser is shared by many photos.
    """
    levels = np.asarray(thumbnail, np.float32)
    fine, coarse = (np.asarray(cv2.GaussianBlur(levels, (0, 0), sigma), np.float32) for sigma in (1, 4))
    within = slice(_MOST_MOVED, -_MOST_MOVED)
    return (fine - coarse)[within, within]


def _correlation(one: Numbers, other: Numbers) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(1e-6, float(np.linalg.norm(one) * np.linalg.norm(other))))


def _joined(group_of: dict[int, list[int]], one: int, other: int) -> bool:
    return one in group_of and group_of[one] is group_of.get(other)


def _join(group_of: dict[int, list[int]], one: int, other: int) -> None:
    """Make one group of two; the smaller moves, so that n pictures move n log n times at most."""
    small, large = sorted((group_of.setdefault(at, [at]) for at in (one, other)), key=len)
    if small is not large:
        large += small
        group_of.update(dict.fromkeys(small, large))
