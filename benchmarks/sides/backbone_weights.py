"""The backbone's weights in a file that every side reads, and what it gives for a few pictures. Needs numpy alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAME = 1e-3
"""How far features, means of maps in 0..6, may differ: each framework sums in another order."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights and statistics in timm's order, and features (n, 1280) of pictures (n, side, side, 3) uint8."""

    arrays: list[np.ndarray]
    images_nhwc: np.ndarray
    features: np.ndarray

    def write(self, path: Path) -> None:
        """As one .npz file."""
        np.savez(path, *self.arrays, images_nhwc=self.images_nhwc, features=self.features)

    def compare(self, features: np.ndarray) -> None:
        """Exits with an error where a side's own features of the pictures are others."""
        difference = float(np.abs(features - self.features).max())
        print(f"largest difference {difference:.2e} of features up to {self.features.max():.2f}")
        if not difference <= SAME:
            raise SystemExit(f"its backbone gives other features: {difference:.2e} apart, at most {SAME} expected")


def read(path: str) -> Weights:
    """What `write` wrote."""
    with np.load(path) as file:
        arrays = [file[f"arr_{number}"] for number in range(len(file.files) - 2)]
        return Weights(arrays, file["images_nhwc"], file["features"])
