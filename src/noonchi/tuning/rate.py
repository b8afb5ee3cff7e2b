"""The learning rate finder: the rate rises step by step until the loss blows up (Smith 2017)."""

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noonchi import fitting, settings, training
from noonchi.errors import RunError, SettingsError
from noonchi.results import Epoch, Note, Step, Work
from noonchi.runs import Show
from noonchi.settings import RunSettings
from noonchi.sources import Data
from noonchi.terminal import Terminal
from noonchi.training import Ready
from noonchi.tuning.suggestion import Suggestion, smoothed, suggest

_LOWEST, _HIGHEST, _STEPS = 1e-7, 10.0, 100
"""As fastai has them."""
_BLOWN_UP = 4.0
"""Times its lowest that the smoothed loss reaches before the rise ends; fastai's."""


@dataclass(frozen=True)
class Found:
    """What the finder saw, and the rate that it suggests."""

    recipe: str
    seed: int
    batch_size: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Of each step's batch, before the step at its rate."""
    blew_up: bool
    """Whether the loss ended the rise, and not its last rate."""
    suggestion: Suggestion

    def to_json(self) -> dict[str, Any]:
        """What `noonchi tune lr --json` prints, but for the command."""
        return {
            "suggestion": self.suggestion.rate,
            "fall": list(self.suggestion.fall),
            "steepest": self.suggestion.steepest,
            "blew_up": self.blew_up,
            "recipe": self.recipe,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": smoothed(self.losses),
        }


def find_rate(
    data: Data,
    recipe: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    size: int | None = None,
    trust_code: bool = False,
    show: Show | None = None,
    **flags: Any,
) -> Found:
    """The `fit.peak_lr` to train with: of up to 100 training steps at rates from 1e-7 to 10, where the loss falls.

    The steps are those that `noonchi.train` would take with the same arguments, but for the rate: same network,
    weights, batches and precision. Nothing is kept of them. Of a training in parts the first is tried. Leslie Smith,
    Cyclical Learning Rates for Training Neural Networks, WACV 2017, with fastai's limits and smoothing.

    Raises as `noonchi.train` does, SettingsError for a recipe without a learning rate (`lbfgs`), and RunError where
    the loss never falls.
    """
    changes = settings.changes(overrides, size, **flags)
    with nullcontext(show) if show else Terminal() as tell:
        run, index = training.choose(data, recipe, changes, tell, trust_code=trust_code)
        if run.fit.optimizer == "lbfgs":
            raise SettingsError(
                f"recipe '{run.recipe}' has no learning rate to find: fit.optimizer = 'lbfgs' finds its steps itself. "
                "Name a recipe that has one, or --set fit.optimizer=adamw"
            )
        if run.then:
            tell(Note(f"recipe {run.recipe} trains in {len(run.parts)} parts: the rate is that of the first"))
        ready = training.ready(training.resolved(run, index, data), index, tell)
        rates, losses, blew_up = _rise(ready, tell)
    return Found(run.recipe, run.seed, run.batches.size, rates, losses, blew_up, _suggested(run, rates, losses))


def _rise(ready: Ready, show: Show) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Rates and the losses met at them, and whether the loss blew up."""
    rates = [_LOWEST * (_HIGHEST / _LOWEST) ** (step / _STEPS) for step in range(_STEPS)]
    # the rate of a step is then `rate_factor` alone
    steady = ready.plan.settings.but(
        epochs=_STEPS, peak_lr=1.0, schedule="constant", warmup_share=0.0, patience=0, monitor="loss"
    )
    taken = fitting.steps(ready.state, replace(ready.plan, settings=steady), ready.batches)
    losses: list[float] = []
    lowest = math.inf
    with suppress(RunError):  # the loss or a gradient is no longer a number
        for done, rate in enumerate(rates, 1):
            ready.state.rate_factor = rate
            losses.append(_next_loss(ready, taken))
            show(Work(f"rate {rate:.1e}", done, _STEPS, f"loss {losses[-1]:.4f}"))
            now = smoothed(losses)[-1]
            lowest = min(lowest, now)
            if now > _BLOWN_UP * lowest:
                break
        else:
            return tuple(rates), tuple(losses), False
    return tuple(rates[: len(losses)]), tuple(losses), True


def _next_loss(ready: Ready, taken: Iterator[Step | Epoch]) -> float:
    """Take a step, and the end of an epoch before it, and give its batch's loss."""
    before = dict(ready.state.sums)
    while isinstance(next(taken), Epoch):
        before = {}
    loss, pictures = (ready.state.sums[name] - before.get(name, 0.0) for name in ("loss", "pictures"))
    return loss / pictures


def _suggested(run: RunSettings, rates: tuple[float, ...], losses: tuple[float, ...]) -> Suggestion:
    found = suggest(rates, losses)
    if found is None:
        raise RunError(
            f"no rate can be suggested: in {len(losses)} steps from a rate of {_LOWEST:g} up the loss never fell. Try "
            f"more pictures a step (--batch-size, now {run.batches.size}) or another recipe, and look at the labels: "
            "noonchi check DATA"
        )
    return found
