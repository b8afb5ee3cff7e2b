"""What a person reads of a layer and of a walk."""

import numpy as np

from noonchi.conv import layer, text, walk, weights_of

EXAMPLE = """\
input 3x3
  1  2  3
  4  5  6
  7  8  9

window 1 of 4: row 1, column 1 of the output
  1  2 x   1   0 =   1   0     sum -4
  4  5     0  -1     0  -5
"""


def test_the_arithmetic_has_every_number():
    told = text.arithmetic(layer((150, 150, 3), filters=20, stride=(2, 2), padding="same"))
    for line in (
        "convolution of 150x150x3: 20 filters of 3x3x3, stride 2x2",
        "  height         floor((150 + 0 + 1 - 3) / 2) + 1 = 75",
        "  output         75x75x20",
        "  weights        3 x 3 x 3 x 20 = 540",
        "  biases         20",
        "  parameters     540 + 20 = 560",
        "  multiply-adds  75 x 75 x 20 x (3 x 3 x 3) = 3,037,500",
    ):
        assert line in told.splitlines()


def test_a_walk_shows_window_weights_products_and_sum():
    walked = walk(layer((3, 3, 1), kernel=(2, 2)), np.arange(1.0, 10).reshape(3, 3), weights_of("1 0; 0 -1"))
    told = text.steps(walked)
    assert told.startswith(EXAMPLE)
    assert told.endswith("output 2x2\n  -4  -4\n  -4  -4")


def test_all_windows_of_a_small_matrix_are_shown_and_the_first_of_a_large_one():
    small = walk(layer((5, 5, 1)), np.ones((5, 5)), weights_of("mean"))
    assert text.steps(small).count("window ") == 9
    large = text.steps(walk(layer((28, 28, 1)), np.ones((28, 28)), weights_of("mean")))
    assert "... and 667 more windows" in large
    assert large.count("window ") == 9


def test_lines_fit_80_columns():
    matrix = np.full((40, 40), -1234.567)
    for size in (1, 3, 5, 7, 30):
        told = text.steps(walk(layer((40, 40, 1), kernel=(size, size)), matrix, np.full((size, size), 0.333)))
        assert max(map(len, told.splitlines())) <= 80
    widest = text.arithmetic(layer((9999, 9999, 999), filters=9999, dilation=(2, 2), padding=(1, 1)))
    assert max(map(len, widest.splitlines())) <= 80


def test_padding_is_dots():
    told = text.steps(walk(layer((2, 2, 1), padding="same"), np.ones((2, 2)), weights_of("identity")))
    assert "dots are padding" in told
    assert "  .  .  ." in told
