"""Networks of the course as lists of layers, the same for every framework, and what to train them on. Needs numpy."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

_BATCHES = 32


class Layer(NamedTuple):
    """A convolution is 3x3 without padding; it and a dense layer end in a ReLU. A pooling takes the largest value."""

    kind: Literal["convolution", "pooling", "flatten", "dropout", "dense", "output"]
    number: float = 0
    """Filters or units; side of the window; share that is dropped."""


@dataclass(frozen=True)
class Network:
    """An output of 1 tells two classes apart."""

    shape: tuple[int, int, int]
    """Height, width and channels of a picture."""
    layers: tuple[Layer, ...]
    weights: int
    optimizer: Literal["adam", "rmsprop"]
    learning_rate: float

    @property
    def classes(self) -> int:
        """How many there are."""
        return max(2, int(self.layers[-1].number))

    def compare(self, weights: int) -> None:
        """Exits with an error where a side has built another network."""
        if weights != self.weights:
            raise SystemExit(f"its network has {weights} weights, {self.weights} expected")

    def pictures(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Noise (32 batches, height, width, channels) uint8, and labels (32 batches,) that do not depend on it."""
        generator = np.random.default_rng(0)
        images_nhwc = generator.integers(0, 256, (_BATCHES * batch, *self.shape), np.uint8)
        return images_nhwc, generator.integers(0, self.classes, len(images_nhwc))


_PHOTOS_BASE = (
    *(Layer(*one) for filters in (32, 64, 128, 128) for one in (("convolution", filters), ("pooling", 2))),
    Layer("flatten"),
)
_PHOTOS_TOP = (Layer("dense", 512), Layer("output", 1))

NETWORKS = {
    "mnist-deep-convnet": Network(
        (28, 28, 1),
        (
            Layer("convolution", 32),
            Layer("convolution", 64),
            Layer("pooling", 2),
            Layer("dropout", 0.25),
            Layer("flatten"),
            Layer("dense", 128),
            Layer("dropout", 0.5),
            Layer("output", 10),
        ),
        1_199_882,
        "adam",
        1e-3,
    ),
    "photos-scratch": Network((150, 150, 3), (*_PHOTOS_BASE, *_PHOTOS_TOP), 3_453_121, "rmsprop", 1e-4),
    "photos-augmented": Network(
        (150, 150, 3), (*_PHOTOS_BASE, Layer("dropout", 0.5), *_PHOTOS_TOP), 3_453_121, "rmsprop", 1e-4
    ),
}
"""By the name of noonchi's recipe."""
