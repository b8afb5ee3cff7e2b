"""FOLDER SIDE generator|dataset float32|mixed_bfloat16: epochs of S10 in Keras on TensorFlow."""

import sys
from collections.abc import Iterator

import keras
import keras_data
import serving
from keras import layers


def epochs(folder: str, side: int, way: str, policy: str) -> Iterator[dict[str, float]]:
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    data = keras_data.dataset(folder, side) if way == "dataset" else keras_data.generator(folder, side)
    network = photos_convnet_dropout(side)
    while True:
        history = network.fit(data, epochs=1, verbose=0, shuffle=False).history  # the data are shuffled already
        yield {"loss": history["loss"][0], "accuracy": history["accuracy"][0]}


def photos_convnet_dropout(side: int) -> keras.Model:
    maps = [
        layer
        for filters in (32, 64, 128, 128)
        for layer in (layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D(2))
    ]
    top = [
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(512, activation="relu"),
        layers.Dense(1, activation="sigmoid", dtype="float32"),  # as Keras's guide to mixed precision asks
    ]
    network = keras.Sequential([keras.Input((side, side, 3)), *maps, *top])
    network.compile(keras.optimizers.RMSprop(1e-4), loss="binary_crossentropy", metrics=["accuracy"])
    return network


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
