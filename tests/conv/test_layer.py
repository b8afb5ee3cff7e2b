"""A layer's arithmetic is torch's."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from noonchi.conv import Padding, layer
from noonchi.errors import SettingsError

sides = st.integers(1, 30)
pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))
paddings = st.tuples(st.integers(0, 4), st.integers(0, 4))


def after(module, shape):
    """Height, width, channels of what a module makes of (height, width, channels)."""
    height, width, channels = shape
    _, channels, height, width = module(torch.zeros(1, channels, height, width)).shape
    return height, width, channels


@given(sides, sides, st.integers(1, 4), st.integers(1, 4), pairs, pairs, paddings, pairs, st.booleans())
def test_a_convolution_is_torchs(height, width, channels, filters, kernel, stride, padding, dilation, has_bias):
    shape = (height, width, channels)
    spans = [far * (size - 1) + 1 for far, size in zip(dilation, kernel, strict=True)]
    assume(all(side + 2 * more >= span for side, more, span in zip(shape, padding, spans, strict=False)))
    module = nn.Conv2d(channels, filters, kernel, stride, padding, dilation, bias=has_bias)
    ours = layer(
        shape,
        filters=filters,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        has_bias=has_bias,
    )
    assert ours.output_shape == after(module, shape)
    assert ours.weights == module.weight.numel()
    assert ours.parameters == sum(weight.numel() for weight in module.parameters())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@given(sides, sides, pairs, pairs)
def test_same_padding_at_stride_1_is_torchs(height, width, kernel, dilation):
    module = nn.Conv2d(2, 3, kernel, padding="same", dilation=dilation)
    ours = layer((height, width, 2), filters=3, kernel=kernel, padding="same", dilation=dilation)
    left, right, top, bottom = module._reversed_padding_repeated_twice
    assert ours.output_shape == after(module, (height, width, 2)) == (height, width, 3)
    assert (ours.rows.padding, ours.columns.padding) == ((top, bottom), (left, right))


@given(sides, pairs, st.integers(1, 6))
def test_same_padding_at_any_stride_divides_the_size_as_keras_does(side, kernel, stride):
    ours = layer((side, side, 1), kernel=kernel, stride=(stride, stride), padding="same")
    assert ours.output_shape == (-(-side // stride), -(-side // stride), 1)


@given(sides, sides, pairs, pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)), pairs)
def test_a_pooling_is_torchs(height, width, kernel, stride, padding, dilation):
    spans = [far * (size - 1) + 1 for far, size in zip(dilation, kernel, strict=True)]
    assume(all(2 * more <= size for more, size in zip(padding, kernel, strict=True)))
    assume(height + 2 * padding[0] >= spans[0] and width + 2 * padding[1] >= spans[1])
    module = nn.MaxPool2d(kernel, stride, padding, dilation)
    ours = layer((height, width, 3), kind="max", kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    assert ours.output_shape == after(module, (height, width, 3))
    assert ours.parameters == ours.multiply_adds == 0


def test_the_courses_layer_has_540_weights_and_20_biases():
    coloured = layer((150, 150, 3), filters=20)
    assert (coloured.weights, coloured.biases, coloured.parameters) == (540, 20, 560)
    assert coloured.multiply_adds == 148 * 148 * 20 * 27


def test_the_summary_of_a_network_counts_the_same():
    from noonchi.networks import PictureShape
    from noonchi.summary import summarize

    [row] = summarize(nn.Conv2d(3, 20, 3, padding=1), PictureShape(9, 11, 3), "mine").layers
    ours = layer((9, 11, 3), filters=20, padding=(1, 1))
    assert (row.output_shape, row.parameters, row.multiply_adds) == (
        ours.output_shape,
        ours.parameters,
        ours.multiply_adds,
    )


def test_what_no_window_reaches_is_told():
    odd = layer((5, 6, 1), kind="max", kernel=(2, 2), stride=(2, 2))
    assert (odd.rows.left_out, odd.columns.left_out) == (1, 0)


def test_the_formula_has_the_numbers_put_in():
    halved = layer((150, 150, 3), stride=(2, 2), padding="same")
    assert halved.rows.padding == Padding(0, 1)
    assert halved.rows.formula == "floor((150 + 0 + 1 - 3) / 2) + 1 = 75"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kernel": (5, 3)}, "kernel of height 5 does not fit into height 4"),
        ({"kernel": (3, 7), "padding": (1, 1)}, "width 7 does not fit into width 4 with 2 of padding"),
        ({"dilation": (1, 2)}, r"width 5 \(3 with dilation 2\) does not fit"),
        ({"kind": "max", "kernel": (2, 2), "padding": (2, 2)}, "at most half of its kernel, 1 for height 2; 2 came"),
    ],
)
def test_what_cannot_be_is_refused(settings, told):
    with pytest.raises(SettingsError, match=told):
        layer((4, 4, 1), **settings)
