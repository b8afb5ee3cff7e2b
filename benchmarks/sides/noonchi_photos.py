"""FOLDER SIDE auto|float32: epochs of S10 in noonchi."""

import sys
from collections.abc import Iterator

import noonchi_data
import noonchi_fitting
import serving

from noonchi.results import Epoch


def epochs(folder: str, side: int, precision: str) -> Iterator[dict[str, float]]:
    training, run = noonchi_data.training(folder, side, precision)
    *_, moments = noonchi_fitting.begun(training, run)
    for done in moments:
        if isinstance(done, Epoch):
            yield {"pictures": training.num_pictures, **done.metrics}


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
