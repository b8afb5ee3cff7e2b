"""FOLDER SIDE: epochs of noonchi's augmented batches, without a network."""

import sys
from collections.abc import Iterator
from itertools import count

import noonchi_data
import serving


def epochs(folder: str, side: int) -> Iterator[dict[str, float]]:
    training, _ = noonchi_data.training(folder, side)
    for number in count(1):
        pictures = 0
        for batch in training.of_epoch(number):
            pictures += len(batch.images)
        yield {"pictures": pictures, "mean": batch.images.mean().item()}


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2])))
