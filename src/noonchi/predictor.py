"""What says something of pictures, whatever runs its network: from a picture to a `Prediction`. Imports no torch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from noonchi import pixels
from noonchi.errors import DataError
from noonchi.results import Head, Prediction
from noonchi.settings import Number, PixelSettings, Settings

_NEARLY_BLACK = 32
"""Grey levels."""

Picture = Path | str | bytes | np.ndarray
Invert = Literal["no", "yes", "auto"]
Thing = TypeVar("Thing")
Result = TypeVar("Result")


class Described(Settings, extra="ignore"):
    """What every file of a classifier says of it."""

    heads: Annotated[tuple[Head, ...], Field(min_length=1)]
    pixels: PixelSettings
    border_level: Annotated[Number, Field(ge=0, le=255)]

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if len({head.name for head in self.heads}) < len(self.heads):
            raise ValueError("two heads have one name")
        for head in self.heads:
            least, most = (2, 2) if head.kind == "binary" else (1, math.inf)
            if not least <= len(set(head.classes)) == len(head.classes) <= most:
                raise ValueError(f"head {head.name!r} of kind {head.kind} has classes that cannot be")
        if not (self.pixels.size and self.pixels.channels):
            raise ValueError("pixels have no size or no channels")
        return self


class Predictor(ABC):
    """Answers each head's question about pictures: a `Classifier`, or one that was exported."""

    heads: tuple[Head, ...]
    pixels: PixelSettings
    border_level: float
    """Mean grey level, 0 to 255, along the edges of the training pictures: what `invert="auto"` compares with."""

    @abstractmethod
    def of_frames(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Each head's (n, outputs), from uint8 frames (n, height, width, channels) of the network's size."""

    def answering(self) -> Self:
        """The same, made ready to answer many."""
        return self

    def in_parallel(self, work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
        """`work` of each, in their order."""
        return map(work, things)

    def predict(self, pictures: Iterable[Picture], invert: Invert = "no") -> list[Prediction]:
        """What is said of each picture: a path, a file's bytes, or an array (h, w) or (h, w, channels).

        Pictures of any size and mode are brought to the network's size and channels as in training. `invert`
        turns black to white first: `"auto"` does so where a picture's edges are then nearer to the training
        pictures' edges, as for a digit on paper and a classifier of white digits on black. Raises DataError for a
        picture that cannot be read.
        """

        def refuse(error: DataError) -> None:
            raise error

        if isinstance(pictures, str | Path | bytes):
            pictures = [pictures]  # or its letters would be taken for pictures
        return list(self.stream(pictures, invert, refuse))

    def stream(
        self, pictures: Iterable[Picture], invert: Invert, unreadable: Callable[[DataError], None]
    ) -> Iterator[Prediction]:
        """`predict`, in bounded memory; `unreadable` is told of each picture left out since it cannot be read."""
        waiting, count = enumerate(pictures), pixels.answered_at_once(self.pixels)
        parts = iter(lambda: list(islice(waiting, count)), [])
        work = partial(self.answering().predictions, invert)
        for found in chain.from_iterable(self.in_parallel(work, parts)):
            if isinstance(found, Prediction):
                yield found
            else:
                unreadable(found)

    def frame(self, picture: Picture, invert: Invert = "no") -> np.ndarray:
        """A picture as the network sees it before normalisation: uint8 (height, width, channels). Raises DataError."""
        source = Path(picture) if isinstance(picture, str) else picture
        return pixels.invert(pixels.read(source, self.pixels), invert, self.border_level)

    def looks_inverted(self, picture: Picture) -> bool:
        """Whether `invert="auto"` would turn a picture, where the training pictures' edges are black or white.

        False for a picture that cannot be read.
        """
        if _NEARLY_BLACK < self.border_level < 255 - _NEARLY_BLACK:
            return False
        try:
            frame = self.frame(picture, "no")
        except DataError:
            return False
        return not np.array_equal(frame, pixels.invert(frame, "auto", self.border_level))

    def predictions(self, invert: Invert, pictures: Sequence[tuple[int, Picture]]) -> list[Prediction | DataError]:
        """Of numbered pictures that are answered at once, in their order; the error of one that cannot be read."""
        frames = [self._frame_or_error(picture, invert) for _, picture in pictures]
        readable = [frame for frame in frames if isinstance(frame, np.ndarray)]
        answers = self.of_frames(np.stack(readable)) if readable else {}
        rows = iter(range(len(readable)))
        return [
            frame if isinstance(frame, DataError) else self._prediction(_name(picture, number), answers, next(rows))
            for frame, (number, picture) in zip(frames, pictures, strict=True)
        ]

    def _frame_or_error(self, picture: Picture, invert: Invert) -> np.ndarray | DataError:
        try:
            return self.frame(picture, invert)
        except DataError as error:
            return error

    def _prediction(self, name: str, answers: Mapping[str, np.ndarray], row: int) -> Prediction:
        of_heads = {head: per_class(head, answers[head.name][row]) for head in self.heads}
        return Prediction(
            name,
            {head.name: dict(zip(head.classes, values, strict=True)) for head, values in of_heads.items()},
            {head.name: head.kind for head in self.heads},
        )


def per_class(head: Head, row: np.ndarray) -> Sequence[float]:
    """A probability for every class, from those (outputs,) that a head gives for one picture.

    >>> per_class(Head("odd", "binary", ("even", "odd")), np.array([0.25]))
    (0.75, 0.25)
    """
    if head.kind == "binary":
        return 1 - float(row[0]), float(row[0])
    return [float(value) for value in row]


def _name(picture: Picture, number: int) -> str:
    return str(picture) if isinstance(picture, Path | str) else f"picture {number}"
