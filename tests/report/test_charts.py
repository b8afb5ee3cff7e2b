"""Where the parts of a chart lie."""

import math

import pytest

from noonchi.report import charts
from noonchi.results import Bin, Epoch, Measured


def epochs(count, **metrics):
    return [Epoch(n, {name: of(n) for name, of in metrics.items()}, 1e-3, 1.0) for n in range(1, count + 1)]


def places(text):
    return [tuple(map(float, part.split())) for part in text.replace("L", "M").split("M") if part]


@pytest.mark.parametrize("count", [1, 2, 30, 5000])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_every_curve_lies_within_its_plot(count, value):
    [chart] = charts.curves(epochs(count, loss=lambda n: value / n, val_loss=lambda n: value * n), 1)
    for path in chart.paths:
        assert all(charts.LEFT <= x <= charts.RIGHT and charts.TOP <= y <= charts.BOTTOM for x, y in places(path))
    assert [moment.number for moment in chart.moments][:: max(1, len(chart.moments) - 1)] == sorted({1, count})
    assert sum(moment.width for moment in chart.moments) == pytest.approx(charts.RIGHT - charts.LEFT)
    assert len(chart.moments) <= 200


def test_of_very_many_epochs_the_one_kept_is_shown():
    shown = [epoch.number for epoch in charts.thinned(epochs(5000, loss=lambda n: 1 / n), kept=1234)]
    assert len(shown) <= 201
    assert {1, 1234, 5000} <= set(shown)


def test_higher_values_lie_higher_and_later_epochs_to_the_right():
    [chart] = charts.curves(epochs(3, accuracy=lambda n: n / 4), 1)
    (x1, y1), (x2, y2), (x3, y3) = places(chart.paths[0])
    assert (x1 < x2 < x3, y1 > y2 > y3, chart.paths[1]) == (True, True, "")


def test_a_value_that_is_no_number_breaks_the_line():
    [chart] = charts.curves(epochs(3, loss=lambda n: math.nan if n == 2 else 1.0), 1)
    assert chart.paths[0].count("M") == 2
    assert chart.moments[1].values == (None, None)


def test_every_head_has_its_charts():
    names = ["loss", "digit_loss", "digit_accuracy"]
    assert [one.name for one in charts.curves(epochs(2, **dict.fromkeys(names, lambda n: 0.5)), 1)] == names


def test_a_perfect_bin_lies_on_the_diagonal():
    chart = charts.reliability(
        [Bin(0.4, 0.6, 10, 0.5, Measured(0.5, (0.2, 0.8))), Bin(0.8, 1, 5, 1, Measured(1, (0.5, 1)))]
    )
    first, second = chart.dots
    assert (first.x, first.y) == ((charts.LEFT + charts.RIGHT) / 2, (charts.TOP + charts.BOTTOM) / 2)
    assert (second.x, second.y) == (charts.RIGHT, charts.TOP)
    assert first.low > first.y > first.high
    assert (first.counts_y, second.counts_y) == (charts.COUNTS_TOP, (charts.COUNTS_TOP + charts.COUNTS_BOTTOM) / 2)
