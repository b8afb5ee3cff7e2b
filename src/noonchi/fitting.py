"""The training loop: a generator of epochs whose caller keeps control, and the state that makes it resumable."""

import copy
import math
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from noonchi.batches import Batch, Batches, Passes
from noonchi.classifier import Classifier
from noonchi.device import seeded
from noonchi.errors import DataError, RunError, SettingsError, did_you_mean
from noonchi.evaluate import Answered, answered, calibrated, scored
from noonchi.forward import Forward, forward, logits
from noonchi.losses import Objective, head_weights, right_answers, total_loss
from noonchi.metrics import improves
from noonchi.optimizers import averaged_copy, learning_rate, optimizer_for
from noonchi.ranks import ALONE, Ranks
from noonchi.results import Epoch, Head, Step, printable
from noonchi.settings import FitSettings, ModelSettings, PixelSettings

Pairs = Collection[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Deadline:
    """When training by the clock ends: a moment of `time.monotonic`, so many seconds after it began."""

    at: float
    seconds: float
    ranks: Ranks = ALONE
    """The processes that go by the first one's clock."""

    @property
    def done(self) -> float:
        """What part of the time is over, 0 to 1."""
        return self.ranks.same(min(1.0, max(0.0, 1 - (self.at - time.monotonic()) / self.seconds)))


@dataclass(frozen=True, eq=False)
class Plan:
    """What stays the same from the first step to the last."""

    settings: FitSettings
    objectives: tuple[Objective, ...]
    seed: int = 0
    precision: str = "float32"
    deadline: Deadline | None = None
    """Ends training in place of `settings.epochs`."""

    @property
    def time_is_over(self) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and self.deadline.done == 1


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
    part: int = 0
    """Of the run's parts, the one that is under way."""
    begun: int = 0
    """Epochs that were done before this part."""
    clock_s: float = 0.0
    """Since training began, what was written between the steps included."""
    begun_s: float = 0.0
    """The same before this part's first step."""
    history: list[Epoch] = field(default_factory=list)
    best_answers: Answered | None = None
    """Of the best epoch to the validation pictures, where they went through the whole network; it is not saved."""

    @property
    def kept(self) -> Classifier:
        """The classifier that is validated and saved: with averaged weights where `ema_decay` asks for them."""
        if self.averaged is None:
            return self.classifier
        return replace(self.classifier, network=self.averaged.module)


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
    iterating to stop training. The model ends with the last weights, or with their running mean where `ema_decay`
    asks for one. Raises SettingsError for a metric to monitor that is not there, DataError where there
    are no pictures, RunError when a loss or a gradient is no longer a finite number.

    >>> pairs = [(torch.eye(4), torch.tensor([0, 0, 1, 1]))]
    >>> epochs = fit(nn.Linear(4, 2), pairs, FitSettings(epochs=3, peak_lr=0.1))
    >>> [epoch.number for epoch in epochs if epoch.metrics["loss"] < 1]
    [1, 2, 3]
    """
    classifier = model if isinstance(model, Classifier) else _classifier_of(model)
    state = begin(classifier, settings)
    plan = Plan(settings, tuple(Objective(head) for head in classifier.heads), seed)
    try:
        for done in steps(state, plan, _batches(batches), None if validation is None else _batches(validation)):
            if isinstance(done, Epoch):
                yield done
    finally:
        classifier.network.load_state_dict(state.kept.network.state_dict())


def begin(classifier: Classifier, settings: FitSettings) -> State:
    """The state before the first step."""
    averaged = averaged_copy(classifier.network, settings.ema_decay) if settings.ema_decay > 0 else None
    return State(classifier, optimizer_for(classifier.network, settings), averaged)


def go_on(done: State, classifier: Classifier, part: int, settings: FitSettings) -> State:
    """The state before the first step of a further part: the epochs, their history and the best of them go on."""
    return replace(
        begin(classifier, settings),
        epoch=done.epoch,
        best=done.best,
        best_epoch=done.best_epoch,
        best_answers=done.best_answers,
        history=done.history,
        part=part,
        begun=done.epoch - 1,
        lowered_epoch=done.epoch - 1,
    )


def rehearse(classifier: Classifier, plan: Plan, batches: Batches) -> None:
    """Take the first step on a copy, so that a network that cannot be trained is found before anything is written.

    Raises as `fit` does.
    """
    if plan.settings.optimizer == "lbfgs":
        return
    state = begin(replace(classifier, network=copy.deepcopy(classifier.network)), plan.settings)
    batch = next(replace(batches, ranks=ALONE).of_epoch(state.epoch))
    with seeded(batch.images.device.type, plan.seed, "step", state.epoch, state.step):
        _take(state, plan, batch, forward(state.classifier), len(batches))


def steps(
    state: State, plan: Plan, batches: Batches | Passes, validation: Batches | Passes | None = None
) -> Iterator[Step | Epoch]:
    """Train on from `state`, yielding after each step and each epoch; at each yield `state` may be saved.

    Every draw is a function of (seed, epoch, step): training on from a saved state gives the same bits as training
    that never stopped. Raises as `fit` does.
    """
    monitor = monitored(plan.settings, state.classifier.heads, validated=validation is not None)
    if not len(batches):
        raise DataError("there are no pictures to train on; give some.")
    ranks = batches.ranks if isinstance(batches, Batches) else ALONE
    answer = forward(state.classifier, ranks) if not finished(state, plan.settings) else None
    while answer is not None and not finished(state, plan.settings):
        started = time.perf_counter()
        take = _solved if plan.settings.optimizer == "lbfgs" else _steps_of_epoch
        with closing(take(state, plan, batches, answer)) as taken:
            for _ in taken:
                state.seconds += time.perf_counter() - started
                yield Step(state.epoch, state.step, len(batches), state.sums["loss"] / state.sums["pictures"])
                started = time.perf_counter()
                if plan.time_is_over:
                    break
        yield _end_epoch(state, plan, validation, monitor, len(batches))


def finished(state: State, settings: FitSettings) -> bool:
    """Whether training has come to its end, by its number of epochs, by early stopping or by the clock."""
    stopped = any(epoch.stop and epoch.number > state.begun for epoch in state.history[-1:])
    return stopped or (not settings.by_the_clock and state.epoch - state.begun > settings.epochs)


def forward_loss(classifier: Classifier, batch: Batch, objectives: tuple[Objective, ...], precision: str) -> float:
    """A batch's loss as training computes it, but without dropout: nothing is drawn and nothing changes."""
    classifier.network.eval()
    with torch.no_grad():
        return total_loss(objectives, logits(classifier, batch, precision), batch.targets)[0].item()


def metric_names(heads: tuple[Head, ...], *, validated: bool) -> list[str]:
    """What an epoch's metrics are called.

    >>> metric_names((Head("label", "classes", ("cat", "dog")),), validated=True)
    ['loss', 'accuracy', 'val_loss', 'val_accuracy']
    """
    names = ["loss"]
    for head in heads:
        names += ["accuracy"] if len(heads) == 1 else [f"{head.name}_loss", f"{head.name}_accuracy"]
    return names + [f"val_{name}" for name in names] if validated else names


def monitored(settings: FitSettings, heads: tuple[Head, ...], *, validated: bool) -> str:
    """The metric that decides the best epoch. Raises SettingsError where it is not one of the run's."""
    names = metric_names(heads, validated=validated)
    if len(set(names)) < len(names):
        clash = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"two metrics would be called '{clash}'; rename the head '{clash.split('_')[0]}'.")
    of_training = settings.monitor.removeprefix("val_")
    if not validated and of_training in names:
        return of_training
    if settings.monitor not in names:
        raise SettingsError(
            f"fit.monitor = '{settings.monitor}' is not a metric of this run. {did_you_mean(settings.monitor, names)}"
        )
    return settings.monitor


def _classifier_of(module: nn.Module) -> Classifier:
    head = Head("label", "classes", ())
    return Classifier(module, (head,), ModelSettings(network="module:given"), PixelSettings())


def _batches(given: Batches | Pairs) -> Batches | Passes:
    if not hasattr(given, "__len__"):
        raise TypeError(f"batches are gone through again and again: give a list or a DataLoader, not a {type(given)}.")
    return given if isinstance(given, Batches) else Passes(given)


def _steps_of_epoch(state: State, plan: Plan, batches: Batches | Passes, answer: Forward) -> Generator[None]:
    for batch in batches.of_epoch(state.epoch, first_step=state.step):
        with seeded(batch.images.device.type, plan.seed, "step", state.epoch, state.step):
            _take(state, plan, batch, answer, len(batches))
        yield


def _solved(state: State, plan: Plan, batches: Batches | Passes, answer: Forward) -> Generator[None]:
    """All of an epoch's pictures at once, until the loss falls no further: L-BFGS (Liu and Nocedal 1989).

    Nothing of the search is carried on, so that a state saved after it is whole.
    """
    if state.step:
        return
    state.classifier.network.train()
    decay = plan.settings.weight_decay
    weights = state.optimizer.param_groups[0]["params"]
    pictures = sum(len(batch.images) for batch in batches.of_epoch(state.epoch))

    def loss_of_all() -> float:
        state.optimizer.zero_grad()
        penalty = torch.stack([weight.square().sum() * (decay / 2) for weight in weights if weight.ndim > 1]).sum()
        torch.autograd.backward(penalty)
        total = penalty.item()
        for batch in batches.of_epoch(state.epoch):
            loss, _ = _losses(plan, answer.logits(batch, "float32"), batch)
            part = loss * (len(batch.images) / pictures)
            torch.autograd.backward(part)
            total += part.item()
        return total

    state.optimizer.step(loss_of_all)
    state.optimizer.state.clear()
    with torch.no_grad():
        for batch in batches.of_epoch(state.epoch):
            answers = answer.logits(batch, "float32")
            loss, each = _losses(plan, answers, batch)
            counted = answer.summed(_counted(state, batch, answers, loss, each))
            _refuse_not_finite(state, plan.settings, "loss", counted["loss"], batch.names)
            state.step += 1
            _count(state, counted)
    yield


def _take(state: State, plan: Plan, batch: Batch, answer: Forward, steps_per_epoch: int) -> None:
    """One step: a batch forward, back, and the weights moved."""
    settings, network = plan.settings, state.classifier.network.train()
    answers = answer.logits(batch, plan.precision)
    loss, each = _losses(plan, answers, batch)
    state.optimizer.zero_grad()
    answer.backward(loss, batch)
    # told after the way back: processes wait for one another once a step, not twice
    counted = answer.summed(_counted(state, batch, answers, loss, each))
    _refuse_not_finite(state, settings, "loss", counted["loss"], batch.names)
    norm = nn.utils.get_total_norm(weight.grad for weight in network.parameters() if weight.grad is not None)
    _refuse_not_finite(state, settings, "gradient", norm.item(), batch.names)
    if settings.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(network.parameters(), settings.clip_norm, norm)
    for group in state.optimizer.param_groups:
        group["lr"] = group["share"] * _rate(state, plan, state.step, steps_per_epoch)
    state.optimizer.step()
    if state.averaged is not None:
        state.averaged.update_parameters(network)
    state.step += 1
    _count(state, counted)


def _losses(plan: Plan, logits: dict[str, Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Of a mixed batch, the losses for both labels in their shares: the same as the loss for the mixed label."""
    loss, each = total_loss(plan.objectives, logits, batch.targets, plan.settings.label_smoothing)
    if batch.mixed is None:
        return loss, each
    targets, share = batch.mixed
    other, other_each = total_loss(plan.objectives, logits, targets, plan.settings.label_smoothing)
    return loss.lerp(other, share), {name: one.lerp(other_each[name], share) for name, one in each.items()}


def _refuse_not_finite(
    state: State, settings: FitSettings, name: str, value: float, pictures: Sequence[str] = ()
) -> None:
    """The error carries the names of all the batch's pictures as a note, which a run's log keeps."""
    if math.isfinite(value):
        return
    first = ", ".join(f"'{picture}'" for picture in pictures[:3])
    more = f" and {len(pictures) - 3} more" if len(pictures) > 3 else ""
    error = RunError(
        f"the {name} became {value} in epoch {state.epoch}, after {state.step} steps"
        f"{f', on {first}{more}' if first else ''}. "
        f"Lower fit.peak_lr (now {settings.peak_lr}) or set fit.clip_norm; what was saved before is whole."
    )
    if first:
        error.add_note("\n".join(["the pictures of the batch:", *map(printable, pictures)]))
    raise error


def _rate(state: State, plan: Plan, step: int, steps_per_epoch: int) -> float:
    done: float = (state.epoch - state.begun - 1) * steps_per_epoch + step
    if plan.deadline:
        done = plan.deadline.done * plan.settings.epochs * steps_per_epoch
    return state.rate_factor * learning_rate(plan.settings, done, steps_per_epoch)


def _counted(
    state: State, batch: Batch, logits: dict[str, Tensor], loss: Tensor, each: dict[str, Tensor]
) -> dict[str, float]:
    """A batch's losses and right answers, summed over those of its pictures that this process has."""
    pictures = len(batch.images) if batch.part is None else batch.part.pictures
    losses = {"loss": loss.item()} | {f"{name}_loss": one.item() for name, one in each.items()}
    own = {"pictures": float(pictures)} | {name: loss * pictures for name, loss in losses.items()}
    for head in state.classifier.heads:
        right = right_answers(head, logits[head.name].detach(), batch.targets[head.name])
        own[f"{head.name}_accuracy"] = right.item() * min(1, pictures)
    return own


def _count(state: State, counted: dict[str, float]) -> None:
    state.sums = {name: state.sums.get(name, 0.0) + value for name, value in counted.items()}


def _end_epoch(
    state: State, plan: Plan, validation: Batches | Passes | None, monitor: str, steps_per_epoch: int
) -> Epoch:
    started = time.perf_counter()
    metrics = _training_metrics(state)
    found = None
    if validation is not None:
        found = answered(state.kept, validation, "val")
        metrics |= scored(state.kept.heads, found, "val", head_weights(plan.objectives)).metrics("val_")
    for name, value in metrics.items():
        _refuse_not_finite(state, plan.settings, name, value)
    reached = metrics[monitor] if found is None else _reached(state, plan, found, metrics, monitor)
    best = improves(monitor, reached, state.best, plan.settings.min_delta)
    if best:
        state.best, state.best_epoch = reached, state.epoch
        state.best_answers = found if state.classifier.first == 0 else None
    epoch = Epoch(
        number=state.epoch,
        metrics=metrics,
        lr=_rate(state, plan, state.step - 1, steps_per_epoch),
        seconds=state.seconds + time.perf_counter() - started,
        best=best,
        stop=_why_stop(state, plan, monitor),
    )
    _lower_on_plateau(state, plan.settings)
    state.history.append(epoch)
    state.epoch, state.step, state.sums, state.seconds = state.epoch + 1, 0, {}, 0.0
    return epoch


def _reached(state: State, plan: Plan, found: Answered, metrics: dict[str, float], monitor: str) -> float:
    """What decides the best epoch: a loss at its best temperature, where label smoothing makes all answers timid."""
    if not (plan.settings.label_smoothing and monitor.startswith("val_") and monitor.endswith("loss")):
        return metrics[monitor]
    _, sharpened = calibrated(state.kept.heads, found)
    return scored(state.kept.heads, sharpened, "val", head_weights(plan.objectives)).metrics("val_")[monitor]


def _training_metrics(state: State) -> dict[str, float]:
    """Means over the epoch's pictures, with one head named without it."""
    heads = state.classifier.heads
    sums = dict(state.sums)
    pictures = sums.pop("pictures")
    if len(heads) == 1:
        sums = {"loss": sums["loss"], "accuracy": sums[f"{heads[0].name}_accuracy"]}
    return {name: sums[name] / pictures for name in metric_names(heads, validated=False)}


def _why_stop(state: State, plan: Plan, monitor: str) -> str | None:
    settings = plan.settings
    if plan.deadline:
        return "its time was over" if plan.time_is_over else None
    since = state.epoch - max(state.best_epoch, state.begun)
    if settings.patience and since >= settings.patience and state.epoch - state.begun < settings.epochs:
        return f"{monitor} has not improved for {settings.patience} epochs"
    return None


def _lower_on_plateau(state: State, settings: FitSettings) -> None:
    since = state.epoch - max(state.best_epoch, state.lowered_epoch)
    if settings.schedule == "plateau" and since >= settings.plateau_patience:
        state.rate_factor *= settings.step_factor
        state.lowered_epoch = state.epoch
