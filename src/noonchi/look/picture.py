"""One picture of a data set as numbers, and its labels as classes, numbers and ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from noonchi.errors import DataError
from noonchi.pixels.decoding import header
from noonchi.results import Head
from noonchi.sources import Index
from noonchi.stream import Stream

Images = npt.NDArray[np.uint8]

_HINTS = 3


@dataclass(frozen=True)
class Answer:
    """What one head's label says of a picture: one class, or for `labels` any number of them."""

    classes: tuple[str, ...]
    numbers: tuple[int, ...]
    """Of those classes, counted from 0."""
    one_hot: tuple[int, ...]
    """For every class, 1 where it holds."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture."""

    id: str
    number: int
    """Its position in the data, counted from 0."""
    split: str
    source: str
    """Size, colours and bytes before it was brought to the network's size."""
    levels: Images
    """(height, width, channels) as the network sees it, before normalisation."""
    answers: Mapping[str, Answer]
    """By head."""

    def to_json(self) -> dict[str, Any]:
        """`matrix` is (height, width) for grey, (height, width, 3) for colour."""
        grey = self.levels.shape[2] == 1
        return {
            "id": self.id,
            "number": self.number,
            "split": self.split,
            "source": self.source,
            "labels": {head: asdict(answer) for head, answer in self.answers.items()},
            "shape": list(self.levels.shape),
            "matrix": (self.levels[..., 0] if grey else self.levels).tolist(),
        }


def find(named: str, index: Index) -> int:
    """The position of the picture that has this id, else this number. Raises DataError where there is none."""
    if named in index.ids:
        return index.ids.index(named)
    if named.isascii() and named.isdecimal() and int(named) < len(index):
        return int(named)
    if reason := dict(index.unusable).get(named):
        raise DataError(f"'{named}' cannot be used: {reason}.")
    alike = [repr(one) for one in index.ids if PurePath(one).name == PurePath(named).name][:_HINTS]
    such = " or ".join(alike) or repr(index.ids[0])
    last = len(index) - 1
    raise DataError(f"'{named}' is no picture of '{index.name}'; give an id such as {such}, or a number up to {last}.")


def of_index(at: int, index: Index, frames: Images | Stream) -> Picture:
    """The picture at a position. Raises DataError for one that cannot be used."""
    if index.splits[at] == "unusable":
        raise DataError(f"'{index.ids[at]}' cannot be used: {dict(index.unusable)[index.ids[at]]}.")
    return Picture(
        id=index.ids[at],
        number=at,
        split=str(index.splits[at]),
        source=_source(at, index),
        levels=np.asarray(frames[at]),
        answers={head.name: answer(head, index.labels[head.name][at]) for head in index.heads},
    )


def answer(head: Head, label: Any) -> Answer:
    """A label in words and in ones; `label` is a class number, or for `labels` zeros and ones (classes,).

    >>> answer(Head("pet", "classes", ("cat", "dog", "owl")), 1)
    Answer(classes=('dog',), numbers=(1,), one_hot=(0, 1, 0))
    """
    ones = np.asarray(label) if head.kind == "labels" else np.arange(len(head.classes)) == int(label)
    numbers = tuple(np.flatnonzero(ones).tolist())
    return Answer(tuple(head.classes[number] for number in numbers), numbers, tuple(ones.astype(int).tolist()))


def _source(at: int, index: Index) -> str:
    if index.array is not None:
        height, width, channels = index.array.shape[1:]
        return f"{height}x{width} {_colours(grey=channels == 1)}, one of an array"
    picture = index.pictures[at]
    assert not isinstance(picture, np.ndarray)
    found = header(picture)
    if found is None:
        raise DataError(f"'{index.ids[at]}' could be read a moment ago and now cannot; look again.")
    size = len(picture) if isinstance(picture, bytes) else picture.stat().st_size
    return f"{found.size[0]}x{found.size[1]} {_colours(grey=found.grey)}, {size:,} bytes"


def _colours(*, grey: bool) -> str:
    return "grey" if grey else "colour"
