"""check|features|augmented DATA SIDE WEIGHTS SEED EPOCHS: a new head on EfficientNet-Lite0 in Keras.

In float32: with mixed_bfloat16 its depthwise convolutions made it slower.
"""

import json
import sys
import time
from pathlib import Path

import backbone_weights
import keras
import keras_data
import keras_efficientnet_lite0
import numpy as np
from keras import layers
from keras_efficientnet_lite0 import backbone

BATCH = 64


def features(data: Path, side: int, weights: backbone_weights.Weights, epochs: int) -> dict[str, object]:
    """What the base gives, computed once by hand, and a head fitted to that."""
    base = backbone(side, weights)
    training, validation = (_computed(base, data / split, side) for split in ("train", "validation"))
    head = _compiled(keras.Sequential([keras.Input((1280,)), _output()]), keras.optimizers.Adam())
    head.fit(*training, batch_size=BATCH, epochs=epochs, verbose=0)
    return {"accuracy": head.evaluate(*validation, batch_size=BATCH, verbose=0)[1]}


def _computed(base: keras.Model, folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    pictures = keras_data.decoded(str(folder), side, BATCH)
    labels = [pictures.class_names.index(Path(path).parent.name) for path in pictures.file_paths]
    return base.predict(pictures.map(lambda images, _: images), verbose=0), np.array(labels)


def augmented(data: Path, side: int, weights: backbone_weights.Weights, epochs: int) -> dict[str, object]:
    """Every picture varied anew in every epoch, through the frozen base and the head."""
    base = backbone(side, weights)
    base.trainable = False
    network = _compiled(keras.Sequential([base, _output()]), keras.optimizers.AdamW(weight_decay=0.01))
    moves = [
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(10 / 360, fill_mode="nearest"),
        layers.RandomZoom((-0.15, 0.15), (-0.15, 0.15), fill_mode="nearest"),
    ]
    training = keras_data.varied(keras_data.decoded(str(data / "train"), side), moves, BATCH)
    validation = keras_data.decoded(str(data / "validation"), side, BATCH).cache()
    seconds = _Seconds()
    found = network.fit(training, validation_data=validation, epochs=epochs, verbose=0, callbacks=[seconds]).history
    return {"accuracy": found["val_accuracy"][int(np.argmin(found["val_loss"]))], "epochs_s": seconds.of_epochs}


class _Seconds(keras.callbacks.Callback):
    """What each epoch takes, its validation with it."""

    def __init__(self) -> None:
        super().__init__()
        self.of_epochs: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        del epoch, logs
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        del epoch, logs
        self.of_epochs.append(time.perf_counter() - self._began)


def _output() -> layers.Layer:
    return layers.Dense(1, activation="sigmoid")


def _compiled(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    network.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    return network


def main(way: str, data: str, *numbers: str) -> None:
    side, weights, seed, epochs = int(numbers[0]), backbone_weights.read(numbers[1]), int(numbers[2]), int(numbers[3])
    keras.utils.set_random_seed(seed)
    if way == "check":
        keras_efficientnet_lite0.check(side, weights)
    else:
        work = {"features": features, "augmented": augmented}[way]
        print(json.dumps(work(Path(data), side, weights, epochs)))


if __name__ == "__main__":
    main(*sys.argv[1:])
