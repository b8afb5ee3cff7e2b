"""The suggested rate is fastai's `valley`, and it is one number that can be trained with."""

import numpy as np
import pytest

from noonchi.tuning.suggestion import smoothed, suggest

RATES = [1e-7 * 10 ** (step * 8 / 100) for step in range(100)]


def fastai_valley(rates, losses):
    """The rule of fastai 2.7's `valley` from its definition, one pair of steps after the other."""
    lengths, end, start = [1] * len(losses), 0, 0
    for later in range(1, len(losses)):
        for earlier in range(later):
            if losses[later] < losses[earlier] and lengths[later] < lengths[earlier] + 1:
                lengths[later] = lengths[earlier] + 1
            if lengths[end] < lengths[later]:
                end, start = later, later - lengths[later]
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)]


def test_a_running_mean_is_what_remembering_0_98_gives_without_the_pull_of_its_start():
    losses = list(np.random.default_rng(0).random(50))
    weights = 0.98 ** np.arange(49, -1, -1)
    assert smoothed(losses)[-1] == pytest.approx(float(np.average(losses, weights=weights)))


@pytest.mark.parametrize("seed", range(20))
def test_the_suggestion_is_fastais_valley_on_any_curve(seed):
    numbers = np.random.default_rng(seed)
    turn, depth = numbers.integers(20, 80), numbers.uniform(0.5, 2)
    fall = np.interp(np.arange(100), [0, turn - 10, turn, 99], [2.3, 2.3, 2.3 - depth, 6])
    losses = list(fall + numbers.normal(0, 0.1, 100))
    found = suggest(RATES, losses)
    assert found is not None
    assert found.rate == pytest.approx(fastai_valley(RATES[10:-5], smoothed(losses)[10:-5]), rel=0.05)
    assert found.fall[0] <= found.rate <= found.fall[1]


def test_a_loss_that_never_falls_suggests_nothing():
    assert suggest(RATES, [2.0 + step / 100 for step in range(100)]) is None


@pytest.mark.parametrize("steps", [0, 1, 14, 16])
def test_a_rise_that_ends_at_once_suggests_nothing(steps):
    assert suggest(RATES[:steps], [2.0] * steps) is None
