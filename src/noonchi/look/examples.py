"""The training pictures that a sheet shows, and what they become in the first epochs, from training's own batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from noonchi import pixels
from noonchi.batches import Batch, Batches
from noonchi.look.picture import answer

Images = npt.NDArray[np.uint8]

_MOST_CLASSES = 20
_ROWS = 8
"""Rows of a sheet to aim at, over all classes."""
_MOST_ROWS = 3
"""Of one class."""


@dataclass(frozen=True, eq=False)
class Example:
    """A picture on the sheet: levels (height, width, channels), and what stands below it."""

    levels: Images
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Group:
    """The pictures of one class."""

    name: str
    number: int
    total: int
    """Training pictures there are of it."""
    rows: Sequence[Sequence[Example]]


def groups(training: Batches, names: Sequence[str], columns: int) -> list[Group]:
    """For each class of the first head, at most 20, a few rows of pictures from all over its training pictures.

    `names` holds a caption for every position. Where training varies its pictures, a row is one of them and then that
    picture in epochs 1, 2 and so on, as training will meet it there.
    """
    head = training.heads[0]
    numbers = range(min(len(head.classes), _MOST_CLASSES))
    rows = min(_MOST_ROWS, max(1, _ROWS // len(numbers)))
    members = [_members(training, number) for number in numbers]
    chosen = [_spread(some, rows if training.augment.active else rows * columns) for some in members]
    originals = {at: Example(training.frames[at], names[at]) for some in chosen for at in some}
    if training.augment.active:
        epochs = [in_epoch(training, originals, epoch) for epoch in range(1, columns)]
        tables = [[[originals[at], *(epoch[at] for epoch in epochs)] for at in some] for some in chosen]
    else:
        tables = [[[originals[at] for at in row] for row in _cut(some, columns)] for some in chosen]
    return [
        Group(head.classes[number], number, len(some), table)
        for number, some, table in zip(numbers, members, tables, strict=True)
    ]


def in_epoch(training: Batches, wanted: Mapping[int, object], epoch: int) -> dict[int, Example]:
    """The training pictures at some positions as the batches of an epoch hold them, cut out of those batches."""
    order = training.order(epoch)
    places = np.flatnonzero(np.isin(order, list(wanted))).tolist()
    found = {}
    for step, some in groupby(places, key=lambda place: min(place // training.size, len(training) - 1)):
        batch = next(training.of_epoch(epoch, step))
        for place in some:
            row = place - step * training.size
            found[int(order[place])] = Example(_levels(batch.images[row], training), _mixed_in(batch, row, training))
    return found


def _members(training: Batches, number: int) -> list[int]:
    labels = training.labels[training.heads[0].name][training.positions]
    holds = labels[:, number] == 1 if labels.ndim == 2 else labels == number
    return list(map(int, training.positions[holds]))


def _spread(positions: list[int], most: int) -> list[int]:
    """At most so many, evenly spaced from the first on: neighbours are often of one scene."""
    return [positions[at * len(positions) // most] for at in range(most)] if len(positions) > most else positions


def _cut(positions: list[int], length: int) -> list[list[int]]:
    return [positions[start : start + length] for start in range(0, len(positions), length)]


def _levels(image_chw: torch.Tensor, training: Batches) -> Images:
    """What `pixels.normalise` did, undone."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in pixels.centre_and_spread(training.pixels))
    levels = ((image_chw * std + mean) * 255).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).numpy()


def _mixed_in(batch: Batch, row: int, training: Batches) -> str:
    if batch.mixed is None:
        return ""
    head = training.heads[0]
    other = answer(head, batch.mixed.targets[head.name][row].numpy())
    return f"+ {batch.mixed.share:.0%} {', '.join(other.classes)}"
