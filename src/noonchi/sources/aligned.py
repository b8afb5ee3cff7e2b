"""Pictures labelled by other class numbers, brought to a classifier's."""

from dataclasses import replace

import numpy as np

from noonchi.errors import DataError, did_you_mean
from noonchi.results import Head
from noonchi.sources.index import Index


def aligned(index: Index, heads: tuple[Head, ...]) -> Index:
    """The index with labels numbered as `heads` number their classes, matched by name.

    Raises DataError for a head that is not in the data, or a class of the data that the head does not know.
    """
    by_name = {head.name: head for head in index.heads}
    labels = {}
    for head in heads:
        if head.name not in by_name:
            raise DataError(f"the data has no labels for head '{head.name}'. {did_you_mean(head.name, by_name)}")
        labels[head.name] = _renumbered(index, by_name[head.name], head)
    return replace(index, heads=heads, labels=labels)


def _renumbered(index: Index, own: Head, wanted: Head) -> np.ndarray:
    for name in own.classes:
        if name not in wanted.classes:
            raise DataError(f"'{name}' is not a class of head '{wanted.name}'. {did_you_mean(name, wanted.classes)}")
    numbers = np.array([wanted.classes.index(name) for name in own.classes])
    labels = index.labels[own.name]
    if labels.ndim == 1:
        return numbers[labels]
    out = np.zeros((len(labels), len(wanted.classes)), np.uint8)
    out[:, numbers] = labels
    return out
