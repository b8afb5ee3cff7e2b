"""FOLDER SIDE auto|float32: epochs of S10 in noonchi, with the canary that decides the precision."""

import sys
from collections.abc import Iterator

import noonchi_data
import serving

from noonchi import classifier, device, fitting
from noonchi.fitting import Plan
from noonchi.losses import Objective
from noonchi.results import Epoch


def epochs(folder: str, side: int, precision: str) -> Iterator[dict[str, float]]:
    training, run = noonchi_data.training(folder, side, precision)
    device.keep_freed_memory()  # as `noonchi train` does
    objectives = tuple(Objective(head) for head in training.heads)
    with device.seeded(run.device.name, run.seed, "weights"):
        made = classifier.create(training.heads, run.model, run.pixels)

    def first_loss(precision: str) -> float:
        return fitting.forward_loss(made, next(training.of_epoch(1)), objectives, precision)

    chosen, _ = device.choose_precision(run.device, first_loss)
    plan = Plan(run.fit.but(epochs=100_000), objectives, run.seed, chosen.precision)
    for done in fitting.steps(fitting.begin(made, plan.settings), plan, training):
        if isinstance(done, Epoch):
            yield {"pictures": training.num_pictures, **done.metrics}


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
