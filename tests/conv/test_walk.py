"""The numbers of a walk are those that torch computes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from noonchi.conv import KERNELS, layer, numbers, read_picture, walk, weights_of
from noonchi.errors import DataError, SettingsError

small = st.integers(1, 3)
pairs = st.tuples(small, small)


@st.composite
def layers(draw, kind):
    """A layer that fits, and a matrix for it."""
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    least = tuple(
        max(1, far * (size - 1) + 1 - 2 * more) for far, size, more in zip(dilation, kernel, padding, strict=True)
    )
    height, width = (draw(st.integers(side, side + 6)) for side in least)
    found = layer((height, width, 1), kind=kind, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    return found, np.random.default_rng(height * width).integers(-9, 10, (height, width)).astype(float)


def settings_of(found):
    axes = (found.rows, found.columns)
    names = ("stride", "dilation")
    return {name: [getattr(axis, name) for axis in axes] for name in names} | {
        "padding": [axis.padding.before for axis in axes]
    }


@given(layers("convolution"), st.integers(0, 99))
def test_a_convolution_gives_torchs_numbers(drawn, seed):
    found, matrix = drawn
    weights = np.random.default_rng(seed).integers(-3, 4, (found.rows.kernel, found.columns.kernel)).astype(float)
    theirs = F.conv2d(torch.tensor(matrix)[None, None], torch.tensor(weights)[None, None], **settings_of(found))
    walked = walk(found, matrix, weights)
    assert walked.result.tolist() == theirs[0, 0].tolist()
    assert [window.products.sum() for window in walked] == walked.result.ravel().tolist()


@given(layers("max"))
def test_a_max_pooling_gives_torchs_numbers(drawn):
    found, matrix = drawn
    kernel = (found.rows.kernel, found.columns.kernel)
    theirs = F.max_pool2d(torch.tensor(matrix)[None, None], kernel, **settings_of(found))[0, 0]
    assume(torch.isfinite(theirs).all())
    assert walk(found, matrix).result.tolist() == theirs.tolist()


@given(layers("average"))
def test_an_average_pooling_gives_torchs_numbers(drawn):
    found, matrix = drawn
    assume(found.rows.dilation == found.columns.dilation == 1)
    kernel = (found.rows.kernel, found.columns.kernel)
    settings = {name: value for name, value in settings_of(found).items() if name != "dilation"}
    theirs = F.avg_pool2d(torch.tensor(matrix)[None, None], kernel, **settings)[0, 0]
    np.testing.assert_allclose(walk(found, matrix).result, theirs.numpy(), atol=1e-12)


def test_a_dilated_maximum_of_padding_alone_is_refused():
    found = layer((1, 1, 1), kind="max", kernel=(2, 2), dilation=(2, 2), padding=(1, 1))
    with pytest.raises(SettingsError, match="nothing but padding"):
        walk(found, np.ones((1, 1)))


def test_json_has_every_window_and_none_for_padding():
    found = layer((2, 2, 1), kernel=(2, 2), padding=(1, 0))
    json = walk(found, np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2))).to_json()
    assert [window["result"] for window in json["windows"]] == [3.0, 10.0, 7.0]
    assert json["windows"][0] == {
        "row": 0,
        "column": 0,
        "values": [[None, None], [1.0, 2.0]],
        "products": [[0.0, 0.0], [1.0, 2.0]],
        "result": 3.0,
    }
    assert json["result"] == [[3.0], [10.0], [7.0]]


def test_every_named_kernel_can_be_walked():
    matrix = np.outer(np.arange(5.0), np.ones(5))
    found = layer((5, 5, 1))
    middles = {name: walk(found, matrix, weights_of(name)).result[1, 1] for name in KERNELS}
    assert middles == pytest.approx(
        {
            "identity": 2,
            "mean": 2,
            "gaussian": 2,
            "sharpen": 2,
            "laplace": 0,
            "emboss": 8,
            "sobel-x": 0,
            "sobel-y": 8,
        }
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sobel", "Did you mean 'sobel-y' or 'sobel-x'"),
        ("1 2; 3", "its rows have 2, 1 numbers"),
        ("1 x", "is no kernel"),
        ("1 1/0", "'1/0' is not a number"),
        ("1e9", "at most 1,000,000"),
        ("", "holds no numbers"),
        ("1e400 1", "at most"),
    ],
)
def test_what_are_no_weights_is_refused(text, told):
    with pytest.raises(SettingsError, match=told):
        weights_of(text)


def test_numbers_are_parted_by_spaces_commas_and_lines():
    assert numbers("--matrix", "1, 2 ; 3,4\n 5 -6e-1;").tolist() == [[1, 2], [3, 4], [5, -0.6]]


def test_a_picture_is_brought_to_its_longer_side(tmp_path):
    Image.new("RGB", (40, 20), (255, 255, 255)).save(tmp_path / "a.png")
    levels, size = read_picture(tmp_path / "a.png", 12)
    assert (levels.shape, size) == ((6, 12), (20, 40))
    assert levels.min() == 255


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png' cannot be used"):
        read_picture(tmp_path / "a.png", 12)
