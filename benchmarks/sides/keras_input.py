"""FOLDER SIDE generator|threads|dataset: epochs of Keras's augmented batches, without a network."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import keras_data
import numpy as np
import serving


def epochs(folder: str, side: int, way: str) -> Iterator[dict[str, float]]:
    keras.utils.set_random_seed(0)
    for batches in _layers(folder, side) if way == "dataset" else _generator(folder, side, threads=way == "threads"):
        pictures = 0
        for images, _ in batches:
            pictures += len(images)
        yield {"pictures": pictures, "mean": float(np.asarray(images).mean())}


def _layers(folder: str, side: int) -> Iterator:
    data = keras_data.dataset(folder, side)
    while True:
        yield data


def _generator(folder: str, side: int, *, threads: bool) -> Iterator:
    """With threads, as `fit` does for `workers=2`."""
    data = keras_data.generator(folder, side)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        while True:
            yield (pool.map if threads else map)(data.__getitem__, range(len(data)))
            data.on_epoch_end()


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
