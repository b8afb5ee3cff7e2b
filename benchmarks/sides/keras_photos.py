"""FOLDER SIDE generator|dataset float32|mixed_bfloat16: epochs of S10 in Keras on TensorFlow."""

import sys
from collections.abc import Iterator

import keras
import keras_data
import keras_networks
import serving
from described import NETWORKS


def epochs(folder: str, side: int, way: str, policy: str) -> Iterator[dict[str, float]]:
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    data = keras_data.dataset(folder, side) if way == "dataset" else keras_data.generator(folder, side)
    network = keras_networks.compiled(NETWORKS["photos-augmented"], side)
    while True:
        history = network.fit(data, epochs=1, verbose=0, shuffle=False).history  # the data are shuffled already
        yield {"loss": history["loss"][0], "accuracy": history["accuracy"][0]}


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
