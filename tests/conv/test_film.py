"""The walk as an animated picture."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from noonchi.conv import film, layer, walk, weights_of
from noonchi.errors import SettingsError


def walked(side=5, **settings):
    return walk(
        layer((side, side, 1), **settings), np.arange(float(side * side)).reshape(side, side), weights_of("mean")
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_a_frame_a_window_that_goes_round(kind):
    image = Image.open(io.BytesIO(film.draw(walked(), kind)))
    assert (image.format, image.n_frames, image.info["loop"]) == (kind, 9, 0)


def test_the_output_fills_window_by_window():
    image = Image.open(io.BytesIO(film.draw(walked(), "GIF")))
    shown = []
    for number in range(image.n_frames):
        image.seek(number)
        shown.append(np.asarray(image.convert("RGB")).astype(int))
    changed = [np.abs(after - before).max(axis=2) > 64 for before, after in pairwise(shown)]
    assert all(change.any() for change in changed)


def test_many_windows_share_frames_and_the_last_is_shown():
    content = film.draw(walked(18), "GIF")
    assert Image.open(io.BytesIO(content)).n_frames == 128
    assert len(content) < 2_000_000


def test_a_pooling_can_be_drawn():
    found = layer((4, 4, 1), kind="max", kernel=(2, 2), stride=(2, 2))
    content = film.draw(walk(found, np.arange(16.0).reshape(4, 4)), "GIF")
    assert Image.open(io.BytesIO(content)).n_frames == 4


def test_a_matrix_of_zeros_can_be_drawn():
    content = film.draw(walk(layer((3, 3, 1), padding="same"), np.zeros((3, 3)), weights_of("laplace")), "GIF")
    assert Image.open(io.BytesIO(content)).n_frames >= 1


def test_numbers_too_many_to_read_are_refused():
    with pytest.raises(SettingsError, match="33x33 numbers go in and 31x31 come out; at most 32"):
        film.draw(walked(33), "GIF")
