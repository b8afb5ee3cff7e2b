"""Whether an export says what the classifier says: tried on pictures drawn in code, from their files' bytes on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from noonchi import pixels
from noonchi.classifier import Classifier
from noonchi.errors import RunError
from noonchi.export import golden
from noonchi.predictor import Predictor
from noonchi.results import Head, Prediction
from noonchi.settings import PixelSettings

Answer = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Each head's probabilities (n, outputs), from uint8 frames (n, height, width, channels)."""

_MOST = 1e-3
"""Of a probability: how far an exported classifier may be from the one it was made from."""


@dataclass(frozen=True)
class Agreement:
    """How far an exported classifier's probabilities are at most from the classifier's."""

    pictures: int
    files: float
    """From files' bytes on, as `noonchi predict` reads them."""
    arrays: float | None = None
    """Where the graph itself brings decoded pictures to size, if it does."""

    @property
    def largest(self) -> float:
        """Of both."""
        return max(self.files, self.arrays or 0.0)


@dataclass(frozen=True, eq=False)
class Frames(Predictor):
    """An export that takes uint8 frames of the classifier's size."""

    answer: Answer
    heads: tuple[Head, ...]
    pixels: PixelSettings
    border_level: float

    def of_frames(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """What the export answers."""
        return self.answer(frames)


def of_frames(classifier: Classifier, answer: Answer) -> Agreement:
    """With what `answer` gives for frames of the classifier's size."""
    other = Frames(answer, classifier.heads, classifier.pixels, classifier.border_level)
    return _of_files(classifier, other, list(golden.files(max(classifier.shape[:2]))))


def of_any_size(classifier: Classifier, other: Predictor) -> Agreement:
    """With one that also takes decoded pictures of any size."""
    contents = list(golden.files(max(classifier.shape[:2])))
    arrays = [pixels.whole(content, classifier.pixels) for content in contents]
    own = [classifier.probabilities(classifier.frame(array)[np.newaxis]) for array in arrays]
    others = [other.of_frames(array[np.newaxis]) for array in arrays]
    gaps = [np.abs(one[name] - two[name]).max() for one, two in zip(own, others, strict=True) for name in one]
    found = _of_files(classifier, other, contents)
    return Agreement(found.pictures, found.files, float(np.max(gaps)))


def refuse_other(found: Agreement) -> None:
    """Raises RunError where a probability is more than 0.001 from the classifier's."""
    if not found.largest <= _MOST:
        raise RunError(
            f"the exported classifier differs by {found.largest:.2g} from this one, more than {_MOST:g}, and was not "
            "written. Please report this, with the recipe."
        )


def _of_files(classifier: Classifier, other: Predictor, contents: list[bytes]) -> Agreement:
    return Agreement(len(contents), _largest(classifier.predict(contents), other.predict(contents)))


def _largest(ones: list[Prediction], others: list[Prediction]) -> float:
    gaps = [
        abs(probability - other.heads[head][name])
        for one, other in zip(ones, others, strict=True)
        for head, probabilities in one.heads.items()
        for name, probability in probabilities.items()
    ]
    return float(np.max(gaps))  # not a number stays one
