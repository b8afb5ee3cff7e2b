"""NETWORK BATCH SECONDS float32|mixed_bfloat16: training steps in Keras, on the framework of its environment.

Within one `fit`, which is timed between its callbacks: `train_on_batch` spends a tenth more on a step.
"""

import sys
from collections.abc import Iterator
from queue import Queue
from threading import Semaphore, Thread

import backend_at_hand  # noqa: F401  before keras
import described
import keras
import keras_networks
import numpy as np
import serving


def steps(network: described.Network, batch: int, policy: str) -> Iterator[dict[str, float]]:
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    if keras.config.backend() == "torch" and network.shape[2] > 1:  # there it is faster, on grey pictures slower
        keras.config.set_image_data_format("channels_first")
    model = keras_networks.compiled(network)
    network.compare(model.count_params())
    one_by_one = _OneByOne()
    Thread(target=_fit, args=(model, *_pictures(network, batch), batch, one_by_one), daemon=True).start()
    while True:
        one_by_one.asked.release()
        loss = one_by_one.losses.get()
        if loss is None:
            raise SystemExit("fit has ended")
        yield {"loss": loss, "bits": 16 if policy == "mixed_bfloat16" else 32}


class _OneByOne(keras.callbacks.Callback):
    """Has each step wait until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Semaphore(0)
        self.losses: Queue[float | None] = Queue()

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        del batch, logs
        self.asked.acquire()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        del batch
        self.losses.put(float(logs["loss"]))


def _pictures(network: described.Network, batch: int) -> tuple[np.ndarray, np.ndarray]:
    images_nhwc, labels = network.pictures(batch)
    images = images_nhwc / np.float32(255)
    first = keras.config.image_data_format() == "channels_first"
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if first else images, labels


def _fit(model: keras.Model, images: np.ndarray, labels: np.ndarray, batch: int, one_by_one: _OneByOne) -> None:
    try:
        model.fit(images, labels, batch_size=batch, epochs=1_000_000, shuffle=False, verbose=0, callbacks=[one_by_one])
    finally:
        one_by_one.losses.put(None)


if __name__ == "__main__":
    name, batch, seconds, policy = sys.argv[1:]
    serving.serve(serving.turns(steps(described.NETWORKS[name], int(batch), policy), int(batch), float(seconds)))
