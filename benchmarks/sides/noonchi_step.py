"""RECIPE BATCH SECONDS auto|float32: training steps in noonchi, which makes its batches of uint8 pictures in memory."""

import sys
from collections.abc import Iterator

import described
import noonchi_fitting
import numpy as np
import serving

from noonchi import device, pixels, settings
from noonchi.batches import Batches
from noonchi.results import Head, Step


def steps(recipe: str, batch: int, precision: str) -> Iterator[dict[str, float]]:
    """The network and the optimiser of a recipe, and nothing else that it asks for."""
    network = described.NETWORKS[recipe]
    images_nhwc, labels = network.pictures(batch)
    changes = [f"batches.size={batch}", f"device.precision={precision}", "fit.ema_decay=0", "fit.patience=0"]
    run = settings.load(recipe, changes)
    run = run.but(device=device.prepare(run.device), pixels=pixels.resolve(run.pixels, images_nhwc))
    head = Head("label", "binary" if network.classes == 2 else "classes", tuple(map(str, range(network.classes))))
    everything = np.arange(len(labels))
    training = Batches(
        images_nhwc, {"label": labels}, everything, (head,), run.pixels, batch, run.seed, run.device.name
    )
    trained, chosen, moments = noonchi_fitting.begun(training, run)
    network.compare(sum(weights.numel() for weights in trained.network.parameters()))
    for done in moments:
        if isinstance(done, Step):
            yield {"loss": done.loss, "bits": 16 if chosen == "bfloat16" else 32}


if __name__ == "__main__":
    recipe, batch, seconds, precision = sys.argv[1:]
    serving.serve(serving.turns(steps(recipe, int(batch), precision), int(batch), float(seconds)))
