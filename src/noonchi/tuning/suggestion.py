"""What the losses seen while a learning rate rose say about the rate to train with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MEMORY = 0.98
"""Of the smoothed loss, as fastai has it."""
_LEFT_OUT = 10, 5
"""Steps at the start, whose mean is of too few batches, and at the end, where the loss blows up; fastai's."""


@dataclass(frozen=True)
class Suggestion:
    """A learning rate, and where the loss falls."""

    rate: float
    """The middle of the longest fall, to two digits."""
    fall: tuple[float, float]
    """The rates between which the loss falls longest."""
    steepest: float
    """The rate at which it falls most for its share of a decade."""


def smoothed(losses: Sequence[float]) -> list[float]:
    """A running mean that remembers 0.98 of itself a step, less what its start at 0 takes from it.

    >>> [round(loss, 3) for loss in smoothed([2.0, 2.0, 1.0])]
    [2.0, 2.0, 1.66]
    """
    means, mean = [], 0.0
    for count, loss in enumerate(losses, 1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        means.append(mean / (1 - _MEMORY**count))
    return means


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion | None:
    """The rate in the middle of the longest fall of the smoothed loss; None where it does not fall.

    fastai's `valley` and `steep` (`lr_find`, fastai 2.7), after a method of Esri's.

    >>> rates = [10 ** (step / 10 - 5) for step in range(50)]
    >>> suggest(rates, [2.0] * 20 + [1.9 - step / 20 for step in range(20)] + [5.0] * 10).rate
    0.005
    """
    first, last = _LEFT_OUT
    kept_rates, kept = np.array(rates[first:-last]), np.array(smoothed(losses)[first:-last])
    if len(kept) < 2 or kept.min() >= kept[0]:
        return None
    start, end = _longest_fall(kept)
    middle = start + int((end - start) / 3) + int((end - start) / 6)
    slopes = np.diff(kept) / np.diff(np.log(kept_rates))
    return Suggestion(
        rate=float(f"{kept_rates[middle]:.2g}"),
        fall=(float(kept_rates[max(0, start)]), float(kept_rates[end])),
        steepest=float(kept_rates[slopes.argmin()]),
    )


def _longest_fall(losses: np.ndarray) -> tuple[int, int]:
    """Where the longest falling sequence ends, and its length before that; what lies between may rise meanwhile."""
    lengths = np.ones(len(losses), int)
    for at in range(1, len(losses)):
        lengths[at] += lengths[:at][losses[:at] > losses[at]].max(initial=0)
    end = int(lengths.argmax())
    return end - int(lengths[end]), end
