"""What sides that predict share: the output layer, and the answers that each is compared with. Needs numpy alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np

RUN, WEIGHTS, OUTPUT = "run", "weights.npz", "output.npz"
"""In the folder that `noonchi_classifier.py` writes: for noonchi, for peers' backbones, for peers' output layers."""


@dataclass(frozen=True, eq=False)
class Output:
    """A dense layer of two classes, and noonchi's probabilities (n, 2) for files by their `class/name`."""

    kernel: np.ndarray
    """(1280, 2)"""
    bias: np.ndarray
    names: np.ndarray
    probabilities: np.ndarray

    def write(self, folder: Path) -> None:
        """As one .npz file."""
        np.savez(folder / OUTPUT, kernel=self.kernel, bias=self.bias, names=self.names, answers=self.probabilities)

    def difference(self, paths: Sequence[Path], probabilities: np.ndarray) -> float:
        """How far a side's probabilities (n, 2) are from noonchi's at most."""
        expected = dict(zip(self.names.tolist(), self.probabilities, strict=True))
        return float(np.abs(probabilities - [expected[name_of(path)] for path in paths]).max())


def read(folder: str) -> Output:
    """What `write` wrote."""
    with np.load(Path(folder) / OUTPUT) as file:
        return Output(file["kernel"], file["bias"], file["names"], file["answers"])


def name_of(path: Path) -> str:
    """The same on every side."""
    return f"{path.parent.name}/{path.name}"


def pictures(data: str) -> list[Path]:
    """All files of a folder of class folders."""
    return sorted(Path(data).glob("*/*"))


Predict = Callable[[list[Path]], np.ndarray]
"""Probabilities (n, 2) of files."""


def turns(data: str, folder: str, make: Callable[[], Predict]) -> Iterator[dict[str, float]]:
    """First all that is needed is made and one picture predicted; each further turn predicts them all."""
    paths = pictures(data)
    predict, output = make(), read(folder)
    for some in chain([paths[:1]], repeat(paths)):
        yield {"pictures": len(some), "difference": output.difference(some, predict(some))}
