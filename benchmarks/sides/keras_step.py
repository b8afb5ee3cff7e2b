"""NETWORK BATCH SECONDS float32|mixed_bfloat16: training steps in Keras, on the framework of its environment.

Within one `fit`, which is timed between its callbacks: `train_on_batch` spends a tenth more on a step.
"""

import sys
from collections.abc import Iterator
from queue import Queue
from threading import Semaphore, Thread
from typing import Any

import backend_at_hand  # noqa: F401  before keras
import described
import keras
import keras_networks
import numpy as np
import serving

_WITHOUT_END = 1_000_000


def steps(network: described.Network, batch: int, policy: str) -> Iterator[dict[str, float]]:
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    if keras.config.backend() == "torch" and network.shape[2] > 1:  # there it is faster, on grey pictures slower
        keras.config.set_image_data_format("channels_first")
    model = keras_networks.compiled(network)
    network.compare(model.count_params())
    one_by_one = _OneByOne()
    Thread(target=_fit, args=(model, _data(network, batch), one_by_one), daemon=True).start()
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


def _data(network: described.Network, batch: int) -> dict[str, Any]:
    """What `fit` takes, without an end."""
    images_nhwc, labels = network.pictures(batch)
    images = images_nhwc / np.float32(255)
    if keras.config.backend() == "tensorflow":
        from tensorflow import data  # noqa: PLC0415  no other environment has it

        batches = images.reshape(-1, batch, *network.shape), labels.reshape(-1, batch)
        # one endless epoch: the end of one held the next up for seconds, why is not known
        dataset = data.Dataset.from_tensor_slices(batches).repeat().prefetch(data.AUTOTUNE)
        return {"x": dataset, "steps_per_epoch": _WITHOUT_END, "shuffle": False}
    if keras.config.image_data_format() == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return {"x": images, "y": labels, "batch_size": batch, "epochs": _WITHOUT_END, "shuffle": False}


def _fit(model: keras.Model, data: dict[str, Any], one_by_one: _OneByOne) -> None:
    try:
        model.fit(**data, verbose=0, callbacks=[one_by_one])
    finally:
        one_by_one.losses.put(None)


if __name__ == "__main__":
    name, batch, seconds, policy = sys.argv[1:]
    serving.serve(serving.turns(steps(described.NETWORKS[name], int(batch), policy), int(batch), float(seconds)))
