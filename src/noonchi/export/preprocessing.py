"""What `pixels` does with a decoded picture, as an ONNX graph: to the bit, so that an export cannot differ there.

ONNX's own Resize rounds its weights otherwise than Pillow: one level of difference in a few pixels, which moved
probabilities of a digit classifier by up to 0.003. So Pillow's filter is spelled out: its weights in 22 binary places,
sums of whole numbers, rounded to whole levels between width and height and after both. A picture takes 8 bytes a level.
"""

from typing import TYPE_CHECKING

import numpy as np

from noonchi import pixels
from noonchi.settings import PixelSettings

if TYPE_CHECKING:
    import onnx

OPSET = 20
INPUT, IMAGES = "pictures", "images"
_PLACES = 22
"""Of Pillow's weights, for levels of 8 bits."""

# Each says where the picture that is shown begins and ends, and how high and wide it becomes.
_WHOLE = """
    begin = Sub (sides_exact, sides_exact)
    end = Identity (sides_exact)
"""
_SQUASH = f"""
    {_WHOLE}
    inner = Identity (size)
"""
_CROP = """
    size_exact = Cast <to = 11> (size)
    by_side = Div (sides_exact, size_exact)
    least = ReduceMin (by_side)
    shown = Mul (size_exact, least)
    cut = Sub (sides_exact, shown)
    begin = Mul (cut, half)
    end = Sub (sides_exact, begin)
    inner = Identity (size)
"""
_PAD = f"""
    {_WHOLE}
    one_side = Constant <value_int = 1> ()
    size_exact = Cast <to = 11> (size)
    by_side = Div (size_exact, sides_exact)
    least = ReduceMin (by_side)
    inner_exact = Mul (sides_exact, least)
    inner_rounded = Round (inner_exact)
    inner_whole = Cast <to = 7> (inner_rounded)
    inner = Max (inner_whole, one_side)
"""
_BY_FIT = {"squash": _SQUASH, "crop": _CROP, "pad": _PAD}
_BORDERED = """
    no_border = Constant <value_ints = [0, 0]> ()
    border = Sub (size, inner)
    before = Div (border, two)
    after = Sub (border, before)
    borders = Concat <axis = 0> (no_border, before, no_border, after)
    brought = Pad (fitted, borders)
"""


def _filter(side: str, index: str) -> str:
    """Weights (pixels after, pixels before) of one side, in units of 2^-22; Pillow holds the ends in float32."""
    return f"""
        {side}_begin_all = Gather (begin, {index})
        {side}_end_all = Gather (end, {index})
        {side}_begin_32 = Cast <to = 1> ({side}_begin_all)
        {side}_end_32 = Cast <to = 1> ({side}_end_all)
        {side}_length_32 = Sub ({side}_end_32, {side}_begin_32)
        {side}_length = Cast <to = 11> ({side}_length_32)
        {side}_begin = Cast <to = 11> ({side}_begin_32)
        {side}_after = Gather (inner, {index})
        {side}_after_exact = Cast <to = 11> ({side}_after)
        {side}_scale = Div ({side}_length, {side}_after_exact)
        {side}_reach = Max ({side}_scale, one)
        {side}_numbers = Range (zero_side, {side}_after, step)
        {side}_numbers_exact = Cast <to = 11> ({side}_numbers)
        {side}_middles = Add ({side}_numbers_exact, half)
        {side}_offsets = Mul ({side}_middles, {side}_scale)
        {side}_centres = Add ({side}_begin, {side}_offsets)
        {side}_centre_column = Unsqueeze ({side}_centres, last)
        {side}_before = Gather (sides, {index})
        {side}_places = Range (zero_side, {side}_before, step)
        {side}_places_exact = Cast <to = 11> ({side}_places)
        {side}_away = Sub ({side}_places_exact, {side}_centre_column)
        {side}_away_middle = Add ({side}_away, half)
        {side}_per_pixel = Div (one, {side}_reach)
        {side}_relative = Mul ({side}_away_middle, {side}_per_pixel)
        {side}_distance = Abs ({side}_relative)
        {side}_rest = Sub (one, {side}_distance)
        {side}_triangle = Max ({side}_rest, zero)
        {side}_sum = ReduceSum ({side}_triangle, last)
        {side}_share = Div ({side}_triangle, {side}_sum)
        {side}_units = Mul ({side}_share, unit)
        {side}_raised = Add ({side}_units, half)
        {side}_filter = Floor ({side}_raised)
    """


def preprocessing(settings: PixelSettings) -> "onnx.ModelProto":
    """From uint8 pictures (n, height, width, channels) of any one size to normalised images of the network's.

    >>> [output] = preprocessing(PixelSettings(size=(28, 28), channels=1)).graph.output
    >>> [side.dim_value for side in output.type.tensor_type.shape.dim]
    [0, 1, 28, 28]
    """
    height, width, channels = _shape(settings)
    return _normalising(
        settings,
        "height, width",
        f"""
            size = Constant <value_ints = [{height}, {width}]> ()
            sides = Shape <start = 2, end = 4> (planes)
            equal = Equal (sides, size)
            equal_number = Cast <to = 7> (equal)
            equal_least = ReduceMin <keepdims = 0> (equal_number)
            has_size = Cast <to = 9> (equal_least)
            levels = If (has_size) <
                then_branch = as_they_are () => (float[n, {channels}, {height}, {width}] same) {{
                    same = Cast <to = 1> (planes)
                }},
                else_branch = resized () => (float[n, {channels}, {height}, {width}] other) {{
                    {_resized(settings.fit)}
                }}
            >
        """,
    )


def of_frames(settings: PixelSettings) -> "onnx.ModelProto":
    """`preprocessing` of uint8 frames that have the network's size: what is left of it.

    >>> [taken] = of_frames(PixelSettings(size=(28, 28), channels=1)).graph.input
    >>> [side.dim_value for side in taken.type.tensor_type.shape.dim]
    [0, 28, 28, 1]
    """
    height, width, _ = _shape(settings)
    return _normalising(settings, f"{height}, {width}", "levels = Cast <to = 1> (planes)")


def _shape(settings: PixelSettings) -> tuple[int, int, int]:
    assert settings.size is not None
    assert settings.channels is not None
    return *settings.size, settings.channels


def _normalising(settings: PixelSettings, sides: str, brought: str) -> "onnx.ModelProto":
    """Takes pictures of these sides, of which `brought` makes levels in the network's size."""
    import onnx.parser

    height, width, channels = _shape(settings)
    model = onnx.parser.parse_model(f"""
        < ir_version: 10, opset_import: ["": {OPSET}] >
        preprocessing (uint8[n, {sides}, {channels}] {INPUT}) => (float[n, {channels}, {height}, {width}] {IMAGES}) {{
            planes = Transpose <perm = [0, 3, 1, 2]> ({INPUT})
            {brought}
            centred = Sub (levels, mean)
            {IMAGES} = Div (centred, std)
        }}
    """)
    for name, values in zip(("mean", "std"), pixels.centre_and_spread(settings), strict=True):
        exact = (np.array(values, np.float32) * np.float32(255)).reshape(1, -1, 1, 1)
        model.graph.initializer.append(onnx.numpy_helper.from_array(exact, name))
    return model


def _resized(fit: str) -> str:
    return f"""
        zero = Constant <value = double {{0.0}}> ()
        half = Constant <value = double {{0.5}}> ()
        one = Constant <value = double {{1.0}}> ()
        unit = Constant <value = double {{{2.0**_PLACES}}}> ()
        zero_side = Constant <value_int = 0> ()
        step = Constant <value_int = 1> ()
        two = Constant <value_int = 2> ()
        last = Constant <value_ints = [1]> ()
        sides_exact = Cast <to = 11> (sides)
        {_BY_FIT[fit]}
        {_filter("height", "zero_side")}
        {_filter("width", "step")}
        exact = Cast <to = 11> (planes)
        width_turned = Transpose (width_filter)
        off = Sub (sides, inner)
        off_height = Gather (off, zero_side)
        off_width = Gather (off, step)
        off_width_twice = Mul (off_width, two)
        off_most = Max (off_width_twice, zero_side)
        height_first = Greater (off_height, off_most)
        fitted_exact = If (height_first) <
            then_branch = by_height () => (double[n, channels, new_height, new_width] by_height_levels) {{
                low = MatMul (height_filter, exact)
                {_rounded("low")}
                by_height = MatMul (low_levels, width_turned)
                {_rounded("by_height")}
            }},
            else_branch = by_width () => (double[n, channels, new_height, new_width] by_width_levels) {{
                narrow = MatMul (exact, width_turned)
                {_rounded("narrow")}
                by_width = MatMul (height_filter, narrow_levels)
                {_rounded("by_width")}
            }}
        >
        fitted = Cast <to = 1> (fitted_exact)
        {_BORDERED if fit == "pad" else "brought = Identity (fitted)"}
        other = Identity (brought)
    """


def _rounded(name: str) -> str:
    """From units of 2^-22 to whole levels."""
    return f"""
        {name}_share = Div ({name}, unit)
        {name}_raised = Add ({name}_share, half)
        {name}_levels = Floor ({name}_raised)
    """
