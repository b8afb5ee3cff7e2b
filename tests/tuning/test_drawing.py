"""The curve fits 80 columns whatever was found, and its picture is one."""

import numpy as np
import pytest
from PIL import Image

from noonchi.errors import SettingsError
from noonchi.tuning import Found, drawing
from noonchi.tuning.suggestion import suggest

RATES = tuple(1e-7 * 10 ** (step * 8 / 100) for step in range(100))


def found(steps=100, scale=1.0):
    bent = np.interp(
        np.arange(steps), [0, steps // 2, steps * 3 // 4, steps - 1], [2.3, 2.3, 1.0, 1.2 if steps == 100 else 40]
    )
    losses = tuple(map(float, bent * scale))
    return Found("small", 0, 64, RATES[:steps], losses, steps < 100, suggest(RATES[:steps], losses))


@pytest.mark.parametrize("steps", [30, 81, 100])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_text_fits_80_columns_in_plain_letters(steps, scale):
    text = drawing.as_text(found(steps, scale))
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()


def test_the_pointer_stands_below_its_rate():
    seen = found()
    *_, ticks, names, pointer = drawing.as_text(seen).splitlines()
    column = pointer.index("^")
    below = names.rindex("1e", 0, column + 1)
    exponent = int(names[below + 2 :].split()[0])
    assert 10**exponent <= seen.suggestion.rate < 10 ** (exponent + 1)
    assert ticks[column] in "+-"


def test_a_curve_is_a_line_without_gaps_in_columns():
    rows = drawing.as_text(found()).splitlines()[1:12]
    columns = np.array([list(row[9:].ljust(70)) for row in rows])[:, :65]
    assert ((columns == "*").sum(axis=0) == 1).all()


def test_the_plot_is_a_picture_of_the_kind_that_its_name_says(tmp_path):
    drawing.write_plot(tmp_path / "a.png", found())
    drawing.write_plot(tmp_path / "a.svg", found(30))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 500
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["a.jpg", "a", "none/a.png"])
def test_a_plot_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(SettingsError, match="--plot"):
        drawing.refuse_place(tmp_path / name)
