"""What a training works on, and its state before the first step: from settings and an index of pictures."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from noonchi import batches, checkpoint, classifier, device, features, fitting, losses, networks, parts, pixels, runs
from noonchi.batches import Batch, Batches
from noonchi.classifier import Classifier
from noonchi.errors import RunError, SettingsError
from noonchi.fitting import Plan, State
from noonchi.losses import Objective
from noonchi.ranks import ALONE
from noonchi.results import Note, Split
from noonchi.runs import Show
from noonchi.settings import AugmentSettings, RunSettings
from noonchi.sources import Index
from noonchi.stream import Stream

_CANARIES = 16
"""Pictures whose loss decides the precision."""
_AT_ONCE = 4096
"""Pictures whose features L-BFGS takes into memory at once."""


@dataclass(frozen=True, eq=False)
class Material:
    """What training works on."""

    training: Batches
    validation: Batches | None
    test: Batches | None
    objectives: tuple[Objective, ...]


def decoded(index: Index, run: RunSettings, show: Show) -> tuple[np.ndarray | Stream, Index]:
    """The pictures, decoded, and the index without those that cannot be used; threads and memory are set up first."""
    device.prepare(run.device)
    frames, index = batches.frames_of(index, run, show)
    runs.refuse_untrainable(index)
    device.keep_freed_memory()
    return frames, index


def begin(
    frames: np.ndarray | Stream, index: Index, run: RunSettings, show: Show, last: Path | None = None
) -> tuple[RunSettings, Material, State]:
    """Settings with the precision decided, what is worked on, and the state before the first step or as in `last`."""
    material = _material(frames, index, run, show)
    # a wrong name is found before anything is written
    monitor = fitting.monitored(run.fit, index.heads, validated=material.validation is not None)
    if material.validation is None:
        show(Note(f"no validation pictures: the best epoch is decided by the training pictures' {monitor}"))
    pretrained = last is None or not last.exists()
    if pretrained and (server := networks.fetched_from(run.model)):
        show(Note(f"fetching the weights of {run.model.network} from {server}"))
    start = _first_classifier(frames, index, run, material.training, pretrained=pretrained)
    parts.refuse(start.network, run)
    run = _with_precision(run, start, material, show)
    _rehearse(run, start, material)
    number = checkpoint.part(last) if last else 0
    if number >= len(run.parts):
        raise RunError(
            f"'{last}' was saved in part {number + 1} of a training that has {len(run.parts)} by its recipe.toml. "
            "Put the others back, or train again."
        )
    state = parts.begin(start, run, number)
    if last:
        checkpoint.restore(last, state)
    return run, material, state


def with_features(state: State, material: Material, index: Index, run: RunSettings, show: Show) -> Material:
    """Where that pays, what the fixed layers give instead of pictures; the classifier of `state` then takes it."""
    network, part = state.classifier.network, run.parts[state.part]
    training = replace(material.training, augment=part.augment)
    pays = not fitting.finished(state, part.fit) and features.pays(network, training, run, part.fit, show)
    state.classifier = replace(state.classifier, first=features.fixed_layers(network) if pays else 0)
    if not pays:
        return replace(material, training=training)
    training = features.computed(training, network, index, run, show)
    if part.fit.optimizer == "lbfgs":  # it searches along lines, which every process does by itself
        training = replace(training, size=_AT_ONCE, ranks=ALONE)
    still = material.validation and replace(material.validation, augment=AugmentSettings())
    validation = still and features.computed(still, network, index, run, show)
    return replace(material, training=training, validation=validation)


def plan(run: RunSettings, material: Material, part: int = 0) -> Plan:
    """How a part of the training is fitted."""
    return Plan(run.parts[part].fit, material.objectives, run.seed, run.device.precision)


def _material(frames: np.ndarray | Stream, index: Index, run: RunSettings, show: Show) -> Material:
    splits: dict[Split, Batches] = {s: batches.of_split(frames, index, s, run) for s in ("train", "val", "test")}
    training, validation, test = splits["train"], splits["val"], splits["test"]
    if run.data.validate_on_test:
        show(Note("validating on the test split, as the recipe asks: the test figure is not an honest one"))
        validation = test
    labels = {name: values[training.positions] for name, values in index.labels.items()}
    if run.data.test_share and not test.num_pictures:
        show(Note("no test pictures: the run will have no test score"))
    return Material(
        training,
        validation if validation.num_pictures else None,
        test if test.num_pictures else None,
        losses.objectives(index.heads, run.heads, labels),
    )


def _first_classifier(
    frames: np.ndarray | Stream, index: Index, run: RunSettings, training: Batches, *, pretrained: bool
) -> Classifier:
    some = training.positions[:: max(1, len(training.positions) // 256)]
    with device.seeded(run.device.name, run.seed, "weights"):
        made = classifier.create(
            index.heads, run.model, run.pixels, pixels.border_level(frames[some]), pretrained=pretrained
        )
    made.network.to(run.device.name)
    return made


def _with_precision(run: RunSettings, start: Classifier, material: Material, show: Show) -> RunSettings:
    @cache
    def first() -> Batch:
        whole = next(replace(material.training, ranks=ALONE).of_epoch(1))
        targets = {name: values[:_CANARIES] for name, values in whole.targets.items()}
        return Batch(whole.images[:_CANARIES], targets)

    def first_loss(precision: str) -> float:
        return fitting.forward_loss(start, first(), material.objectives, precision)

    chosen, note = device.choose_precision(run.device, first_loss)
    if note:
        show(Note(note))
    return run.but(device=chosen)


def _rehearse(run: RunSettings, start: Classifier, material: Material) -> None:
    """Take the first step on a copy where it may fail: of one's own network, or on a single picture."""
    single = 1 in (run.batches.size, material.training.num_pictures)
    if not single and ":" not in run.model.network:
        return
    try:
        fitting.rehearse(start, plan(run, material), material.training)
    except ValueError as error:
        if not single or "more than 1 value per channel" not in str(error):  # torch's, of batch norm
            raise
        remedy = "raise batches.size" if material.training.num_pictures > 1 else "give more training pictures"
        raise SettingsError(
            f"network '{run.model.network}' has batch norm on maps of one pixel: it needs 2 pictures a step; {remedy}."
        ) from None
