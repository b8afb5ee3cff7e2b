"""noonchi's steps on batches, as `noonchi train` takes them: with the canary that decides the precision."""

from collections.abc import Iterator

from noonchi import classifier, device, fitting
from noonchi.batches import Batches
from noonchi.classifier import Classifier
from noonchi.fitting import Plan
from noonchi.losses import Objective
from noonchi.results import Epoch, Step
from noonchi.settings import RunSettings


def begun(training: Batches, run: RunSettings) -> tuple[Classifier, str, Iterator[Step | Epoch]]:
    """What is trained, in which precision, and the steps and epochs, without an end. `run` has a device prepared."""
    device.keep_freed_memory()
    objectives = tuple(Objective(head) for head in training.heads)
    with device.seeded(run.device.name, run.seed, "weights"):
        made = classifier.create(training.heads, run.model, run.pixels)

    def first_loss(precision: str) -> float:
        return fitting.forward_loss(made, next(training.of_epoch(1)), objectives, precision)

    chosen, _ = device.choose_precision(run.device, first_loss)
    plan = Plan(run.fit.but(epochs=100_000), objectives, run.seed, chosen.precision)
    return made, plan.precision, fitting.steps(fitting.begin(made, plan.settings), plan, training)
