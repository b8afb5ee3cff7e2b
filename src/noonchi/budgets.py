"""Training to a time budget: what is trained is chosen by how fast this machine is, and ends when the time does."""

import math
import time
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from noonchi import classifier, device, fitting, networks, pixels, runs, settings
from noonchi.batches import Batches
from noonchi.errors import SettingsError
from noonchi.evaluate import answered
from noonchi.fitting import Plan
from noonchi.losses import Objective
from noonchi.results import Note
from noonchi.runs import Show
from noonchi.settings import RunSettings
from noonchi.sources import Index

_ENDING_S = 1.3
"""What follows the final scores on a laptop: saving, plots, the report without its heat maps."""
_HEAT_MAPS = 24 * 25
"""Passes of one picture that the heat maps of a report take, at most."""
_SIDES = (224, 192, 160, 128, 96)
"""Pixels, from the one at which frozen layers see most."""
_TRIED = 3
"""Steps whose time is taken, after one for warming up."""
_TRANSFER, _TRANSFER_BEST = "photos-transfer", "photos-best"
_SMALL, _SMALL_BEST = "mnist-fast", "mnist-best"
_ENOUGH = 0.2
"""Of the epochs that the larger network for small pictures was made for: with fewer the faster one is better."""
_LEAST_STEPS = 20
"""That a training needs to be one."""


@dataclass(frozen=True)
class Speed:
    """Seconds that this machine takes for a picture."""

    step: float
    """Of training."""
    answer: float
    """Through the whole network, in float32."""


def planned(
    run: RunSettings, index: Index, changes: list[str], ends: float, show: Show, *, free: bool
) -> tuple[RunSettings, float]:
    """What makes the most of the time until `ends`, a moment of `time.monotonic`; and when training has to end for it.

    Where `free`, another recipe may take the place of `run`'s. Small pictures: a larger network. Photos: the last
    blocks of the backbone opened, or, where the time is short, smaller pictures. No part is passed over: its time is
    there. Raises SettingsError where the time is too short for anything.
    """
    if free and run.recipe == _SMALL:
        run, speed = _for_small(run, index, changes, ends, show)
    elif free and run.recipe == _TRANSFER:
        run, speed = _for_photos(run, index, changes, ends, show)
    else:
        speed = measured(run, index)
    run = run.but(then=tuple(part.but(unless_accuracy=None) for part in run.then))
    after = _scoring_s(run, index, speed)
    left, least = ends - time.monotonic() - after, _LEAST_STEPS * run.batches.size * speed.step
    if left < least:
        raise SettingsError(f"the budget is too short: give {math.ceil(least - left)} s more, or fewer pictures.")
    show(Note(f"training for about {left:.0f} s, then {after:.0f} s for the scores and the report"))
    return run, ends - after


def measured(run: RunSettings, index: Index) -> Speed:
    """How long training and answering take here, tried on random pictures and random weights."""
    run, part = runs.decided(run, index), run.parts[-1]
    height, width = run.pixels.size or (0, 0)
    made = classifier.create(index.heads, run.model.but(weights="random"), run.pixels)
    networks.freeze(made.network, part.freeze)
    count = run.batches.size * (1 + _TRIED)
    frames = np.random.default_rng(0).integers(0, 256, (count, height, width, run.pixels.channels or 0), np.uint8)
    labels = {name: np.resize(values, (count, *values.shape[1:])) for name, values in index.labels.items()}
    batches = Batches(
        frames, labels, np.arange(count), index.heads, run.pixels, run.batches.size, augment=part.augment, seed=run.seed
    )
    plan = Plan(part.fit, tuple(Objective(head) for head in index.heads), run.seed, device.likely_precision(run.device))
    times = [time.perf_counter()]
    for _ in zip(range(1 + _TRIED), fitting.steps(fitting.begin(made, part.fit), plan, batches), strict=False):
        times.append(time.perf_counter())
    made.probabilities(frames[:1])  # the first answer prepares the network for more
    some = np.arange(min(count, 4 * pixels.answered_at_once(run.pixels)))
    started = time.perf_counter()
    answered(made, replace(batches, positions=some), "val")
    answer_s = time.perf_counter() - started
    return Speed(median(np.diff(times)[1:]) / run.batches.size, answer_s / len(some))


def _scoring_s(run: RunSettings, index: Index, speed: Speed) -> float:
    """After the last step: the last epoch's validation, validation and test of the best, plots and report."""
    val, test = (len(index.positions(split)) for split in ("val", "test"))
    heat_maps = _HEAT_MAPS if run.record.report else 0
    return _ENDING_S + (2 * val + test + heat_maps) * speed.answer


def _for_small(
    run: RunSettings, index: Index, changes: list[str], ends: float, show: Show
) -> tuple[RunSettings, Speed]:
    richer = settings.load(_SMALL_BEST, changes)
    speed = measured(richer, index)
    left = ends - time.monotonic() - _scoring_s(richer, index, speed)
    if left < _ENOUGH * richer.fit.epochs * len(index.positions("train")) * speed.step:
        return run, measured(run, index)
    show(Note(f"recipe {_SMALL_BEST}, for which the time is enough"))
    return richer, speed


def _for_photos(
    run: RunSettings, index: Index, changes: list[str], ends: float, show: Show
) -> tuple[RunSettings, Speed]:
    speed = measured(run, index)
    train, val = (len(index.positions(split)) for split in ("train", "val"))
    left = ends - time.monotonic() - _scoring_s(run, index, speed)
    richer = settings.load(_TRANSFER_BEST, changes).but(model=run.model)
    if left > (richer.frozen.views * train + val) * speed.answer + train * speed.step:
        show(Note(f"recipe {_TRANSFER_BEST}, for which the time is enough"))
        return richer, speed
    if any(change.startswith("pixels.size=") for change in changes):
        return run, speed
    own = (runs.decided(run, index).pixels.size or _SIDES)[0]
    smaller = [side for side in _SIDES if side <= own] or [own]
    fits = [side for side in smaller if (train + val) * speed.answer * (side / own) ** 2 < left]
    side = fits[0] if fits else smaller[-1]
    if side < own:
        show(Note(f"pictures of {side}x{side}, so that the time is enough"))
    share = (side / own) ** 2
    sized = run.but(pixels=run.pixels.but(size=(side, side)))
    return sized, Speed(speed.step * share, speed.answer * share)
