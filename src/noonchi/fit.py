"""The training loop: a generator of epochs whose caller keeps control, and the state that makes it resumable."""

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from noonchi.batches import Batch, Batches, Passes
from noonchi.classifier import Classifier
from noonchi.device import autocast, seeded
from noonchi.errors import RunError, SettingsError, did_you_mean
from noonchi.evaluate import evaluate
from noonchi.losses import Objective, right_answers, total_loss
from noonchi.metrics import improves
from noonchi.optimizers import learning_rate, optimizer_for
from noonchi.results import Epoch, Head, Step
from noonchi.settings import FitSettings, ModelSettings, PixelSettings

Pairs = Collection[tuple[Tensor, Tensor]]


@dataclass
class State:
    """All that training carries from one step to the next; saved and restored by `checkpoint`."""

    classifier: Classifier
    optimizer: torch.optim.Optimizer
    averaged: AveragedModel | None
    epoch: int = 1
    """Under way, counted from 1."""
    step: int = 0
    """Steps of the epoch that are done."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the epoch so far: losses and right answers, summed over pictures."""
    seconds: float = 0.0
    """Of the epoch so far."""
    best: float | None = None
    """The monitored metric's best value."""
    best_epoch: int = 0
    rate_factor: float = 1.0
    """What `plateau` has multiplied the learning rate by."""
    lowered_epoch: int = 0
    """When it last did."""
    history: list[Epoch] = field(default_factory=list)

    @property
    def kept(self) -> Classifier:
        """The classifier that is validated and saved: with averaged weights where `ema_decay` asks for them."""
        if self.averaged is None:
            return self.classifier
        return Classifier(
            self.averaged.module,
            self.classifier.heads,
            self.classifier.model,
            self.classifier.pixels,
            self.classifier.border_level,
        )


def fit(
    model: Classifier | nn.Module,
    batches: Batches | Pairs,
    settings: FitSettings,
    validation: Batches | Pairs | None = None,
    *,
    seed: int = 0,
) -> Iterator[Epoch]:
    """Train a classifier, or any module that gives (n, classes) logits, yielding after each epoch.

    `batches` and `validation` are noonchi's, or collections of (images, class numbers) such as a DataLoader. Stop
    iterating to stop training. Raises SettingsError for a metric to monitor that is not there, RunError when the
    loss is no longer a number.

    >>> pairs = [(torch.eye(4), torch.tensor([0, 0, 1, 1]))]
    >>> epochs = fit(nn.Linear(4, 2), pairs, FitSettings(epochs=3, peak_lr=0.1))
    >>> [epoch.number for epoch in epochs if epoch.metrics["loss"] < 1]
    [1, 2, 3]
    """
    classifier = model if isinstance(model, Classifier) else _classifier_of(model)
    state = begin(classifier, settings)
    for done in steps(
        state,
        batches if isinstance(batches, Batches) else Passes(batches),
        settings,
        tuple(Objective(head) for head in classifier.heads),
        validation if validation is None or isinstance(validation, Batches) else Passes(validation),
        seed=seed,
    ):
        if isinstance(done, Epoch):
            yield done


def begin(classifier: Classifier, settings: FitSettings) -> State:
    """The state before the first step."""
    averaged = None
    if settings.ema_decay > 0:
        average = get_ema_multi_avg_fn(settings.ema_decay)
        averaged = AveragedModel(classifier.network, multi_avg_fn=average, use_buffers=True)
    return State(classifier, optimizer_for(classifier.network, settings), averaged)


def steps(
    state: State,
    batches: Batches | Passes,
    settings: FitSettings,
    objectives: tuple[Objective, ...],
    validation: Batches | Passes | None = None,
    *,
    seed: int = 0,
    precision: str = "float32",
) -> Iterator[Step | Epoch]:
    """Train on from `state`, yielding after each step and each epoch; at each yield `state` may be saved.

    Every draw is a function of (seed, epoch, step): training on from a saved state gives the same bits as training
    that never stopped.
    """
    monitor = monitored(settings, state.classifier.heads, validated=validation is not None)
    while not finished(state, settings):
        started = time.perf_counter()
        for batch in batches.of_epoch(state.epoch, first_step=state.step):
            rate = state.rate_factor * learning_rate(
                settings, (state.epoch - 1) * len(batches) + state.step, len(batches)
            )
            with seeded(batch.images.device.type, seed, "step", state.epoch, state.step):
                train_step(state, batch, objectives, settings, rate, precision)
            state.step += 1
            state.seconds += time.perf_counter() - started
            yield Step(state.epoch, state.step, len(batches), state.sums["loss"] / state.sums["pictures"])
            started = time.perf_counter()
        yield _end_epoch(state, settings, objectives, validation, monitor, started)


def finished(state: State, settings: FitSettings) -> bool:
    """Whether training has come to its end, by its number of epochs or by early stopping."""
    return state.epoch > settings.epochs or any(epoch.stop for epoch in state.history[-1:])


def train_step(
    state: State,
    batch: Batch,
    objectives: tuple[Objective, ...],
    settings: FitSettings,
    rate: float,
    precision: str,
) -> None:
    """One batch forward, back, and the weights moved."""
    network = state.classifier.network.train()
    logits = _logits(state.classifier, batch, precision)
    loss, each = total_loss(objectives, logits, batch.targets, settings.label_smoothing)
    if not math.isfinite(value := loss.item()):
        raise RunError(
            f"the loss became {value} in epoch {state.epoch}, step {state.step + 1}. "
            f"Lower fit.peak_lr (now {settings.peak_lr}) or set fit.clip_norm; what was saved before is whole."
        )
    state.optimizer.zero_grad()
    loss.backward()
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    if state.averaged is not None:
        state.averaged.update_parameters(network)
    _count(state, batch, objectives, logits, value, each)


def forward_loss(
    classifier: Classifier, batch: Batch, objectives: tuple[Objective, ...], precision: str
) -> float:
    """A batch's loss as training computes it, but without dropout: nothing is drawn and nothing changes."""
    classifier.network.eval()
    with torch.no_grad():
        return total_loss(objectives, _logits(classifier, batch, precision), batch.targets)[0].item()


def _logits(classifier: Classifier, batch: Batch, precision: str) -> dict[str, Tensor]:
    with autocast(batch.images.device.type, precision):
        return classifier.logits(batch.images)


def metric_names(heads: tuple[Head, ...], *, validated: bool) -> list[str]:
    """What an epoch's metrics are called.

    >>> metric_names((Head("label", "classes", ("cat", "dog")),), validated=True)
    ['loss', 'accuracy', 'val_loss', 'val_accuracy']
    """
    names = ["loss"]
    for head in heads:
        names += ["accuracy"] if len(heads) == 1 else [f"{head.name}_loss", f"{head.name}_accuracy"]
    return names + [f"val_{name}" for name in names] if validated else names


def _classifier_of(module: nn.Module) -> Classifier:
    head = Head("label", "classes", ())
    return Classifier(module, (head,), ModelSettings(network="module:given"), PixelSettings())


def monitored(settings: FitSettings, heads: tuple[Head, ...], *, validated: bool) -> str:
    """The metric that decides the best epoch. Raises SettingsError where it is not one of the run's."""
    if settings.monitor == "val_loss" and not validated:
        return "loss"
    names = metric_names(heads, validated=validated)
    if settings.monitor not in names:
        raise SettingsError(
            f"fit.monitor = '{settings.monitor}' is not a metric of this run. {did_you_mean(settings.monitor, names)}"
        )
    return settings.monitor


def _count(
    state: State,
    batch: Batch,
    objectives: tuple[Objective, ...],
    logits: dict[str, Tensor],
    loss: float,
    each: dict[str, Tensor],
) -> None:
    pictures = len(batch.images)
    one = len(objectives) == 1
    new = {"pictures": pictures, "loss": loss * pictures}
    for objective in objectives:
        head = objective.head
        right = right_answers(head, logits[head.name].detach(), batch.targets[head.name]).item()
        new |= {"accuracy": right} if one else {
            f"{head.name}_loss": each[head.name].item() * pictures,
            f"{head.name}_accuracy": right,
        }
    state.sums = {name: state.sums.get(name, 0.0) + value for name, value in new.items()}


def _end_epoch(
    state: State,
    settings: FitSettings,
    objectives: tuple[Objective, ...],
    validation: Batches | Passes | None,
    monitor: str,
    started: float,
) -> Epoch:
    pictures = state.sums.pop("pictures")
    metrics = {name: total / pictures for name, total in state.sums.items()}
    if validation is not None:
        weights = {objective.head.name: objective.weight for objective in objectives}
        metrics |= evaluate(state.kept, validation, "val", weights).metrics("val_")
    best = improves(monitor, metrics[monitor], state.best, settings.min_delta)
    if best:
        state.best, state.best_epoch = metrics[monitor], state.epoch
    epoch = Epoch(
        number=state.epoch,
        metrics=metrics,
        lr=state.optimizer.param_groups[0]["lr"],
        seconds=state.seconds + time.perf_counter() - started,
        best=best,
        stop=_why_stop(state, settings, monitor),
    )
    _lower_on_plateau(state, settings)
    state.history.append(epoch)
    state.epoch, state.step, state.sums, state.seconds = state.epoch + 1, 0, {}, 0.0
    return epoch


def _why_stop(state: State, settings: FitSettings, monitor: str) -> str | None:
    if settings.patience and state.epoch - state.best_epoch >= settings.patience and state.epoch < settings.epochs:
        return f"{monitor} has not improved for {settings.patience} epochs"
    return None


def _lower_on_plateau(state: State, settings: FitSettings) -> None:
    since = state.epoch - max(state.best_epoch, state.lowered_epoch)
    if settings.schedule == "plateau" and since >= settings.plateau_patience:
        state.rate_factor *= settings.step_factor
        state.lowered_epoch = state.epoch
