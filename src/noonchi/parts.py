"""Training in parts: which come after one another, and with what each begins."""

from collections.abc import Mapping

from torch import nn

from noonchi import features, fitting, networks
from noonchi.classifier import Classifier
from noonchi.errors import SettingsError
from noonchi.fitting import State
from noonchi.settings import Part, RunSettings


def refuse(network: nn.Module, run: RunSettings) -> None:
    """Raises SettingsError for a part that this network cannot go through."""
    for part in run.parts:
        networks.freeze(network, part.freeze)
        if part.fit.optimizer == "lbfgs" and (part.augment.active or not features.only_outputs_train(network)):
            raise SettingsError(
                "fit.optimizer = 'lbfgs' fits an output layer to what frozen layers give: set model.freeze = "
                "'features', and leave hidden layers, dropout and augmentation out; or choose adamw."
            )


def about(part: Part) -> str:
    """A part in words.

    >>> about(RunSettings(then=[{"freeze": "conv3"}]).parts[1])
    'layers from conv3 on train, from the best weights so far'
    """
    return (
        f"{f'layers from {part.freeze} on train' if part.freeze else 'all layers train'}, from the best weights so far"
    )


def begin(start: Classifier, run: RunSettings, number: int) -> State:
    """The state before the first step of a part."""
    networks.freeze(start.network, run.parts[number].freeze)
    return fitting.begin(start, run.parts[number].fit)


def following(run: RunSettings, state: State) -> int | None:
    """The part after the one of `state`; None where there is none, or the rest are passed over."""
    later = list(enumerate(run.parts))[state.part + 1 :]
    reached = accuracy(state) if later and state.history else 0.0
    return next((n for n, part in later if part.unless_accuracy is None or reached < part.unless_accuracy), None)


def ended(run: RunSettings, state: State) -> bool:
    """Whether no part is left to train."""
    return fitting.finished(state, run.parts[state.part].fit) and following(run, state) is None


def go_on(state: State, best: Classifier, run: RunSettings, number: int) -> State:
    """The state before the first step of a further part, from the best weights so far."""
    state.classifier.network.load_state_dict(best.network.state_dict())
    networks.freeze(state.classifier.network, run.parts[number].freeze)
    return fitting.go_on(state, state.classifier, number, run.parts[number].fit)


def accuracy(state: State) -> float:
    """Of the best epoch, as `lowest_accuracy` gives it."""
    return lowest_accuracy(state.history[state.best_epoch - 1].metrics)


def lowest_accuracy(metrics: Mapping[str, float]) -> float:
    """Of an epoch, on validation pictures where there are some; of the head that does worst.

    >>> lowest_accuracy({"loss": 0.1, "accuracy": 0.99, "val_loss": 0.2, "val_accuracy": 0.95})
    0.95
    """
    found = {name: value for name, value in metrics.items() if name.endswith("accuracy")}
    return min(value for name, value in found.items() if name.startswith("val_") or f"val_{name}" not in found)
