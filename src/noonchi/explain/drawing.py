"""What is found, as pictures: heat over a photo, and grids of small pictures above their numbers."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from noonchi import pixels
from noonchi.explain.activations import Activation
from noonchi.explain.filters import Sought, Weights
from noonchi.explain.maps import HeatMap, Values
from noonchi.pixels import Images
from noonchi.predictor import Picture
from noonchi.settings import PixelSettings

_MOST_HEAT = 0.85
"""How much of the picture the hottest colour covers."""
_RISE = 0.8
"""The power of the heat that covers: below 1, the warm is seen beside the hot."""
_GREYED = 0.65
_SIDE, _LARGE_SIDE = 64, 128
"""Of a grid's pictures in pixels, about: smaller ones are enlarged by a whole number, larger ones reduced."""
_GRID_WIDTH = 820
_IN_A_ROW, _ROW_WIDTH = 64, 768
"""Numbers of a dense layer, and pixels."""
_GAP, _LABEL, _LETTERS = 4, 15, 11
_GROUND, _INK, _FAINT = (28, 27, 26), (214, 208, 199), (110, 104, 97)


class _Cell(NamedTuple):
    picture: Images
    """(height, width) or (height, width, 3)"""
    label: int
    faint: bool = False


def overlay(picture: Picture, heat_map: HeatMap, values: Values | None = None) -> Image.Image:
    """A heat map over its picture, upright and in the picture's own size; what the network never saw has no heat.

    Other `values` of the frame's size take the place of the map's own. Raises PictureError.

    >>> settings = PixelSettings(size=(5, 5), channels=1)
    >>> heat = HeatMap("label", "cat", 0.5, "grad-cam", "conv", np.eye(5, dtype=np.float32), settings)
    >>> overlay(np.zeros((20, 10), np.uint8), heat).size
    (10, 20)
    """
    image = pixels.upright(Path(picture) if isinstance(picture, str) else picture)
    heat = placed(heat_map.values if values is None else values, (image.height, image.width), heat_map.pixels)
    # in place, as a photo of 50 megapixels takes 600 MB
    shown = np.array(image, np.float32)
    shown += (shown.mean(axis=2, keepdims=True) - shown) * np.float32(_GREYED)
    shown += (_colours(cv2.COLORMAP_INFERNO)[_levels(heat)] - shown) * (_MOST_HEAT * heat**_RISE)[..., np.newaxis]
    return Image.fromarray(np.rint(shown, out=shown).astype(np.uint8))


def placed(values: Values, size: tuple[int, int], settings: PixelSettings) -> Values:
    """Values of a frame (height, width) where they belong in the upright picture of that size; 0 beside it."""
    box, inner = pixels.placement(size, settings)
    left, top, right, bottom = (round(edge) for edge in box)
    width, height = max(1, right - left), max(1, bottom - top)
    part = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR, box=inner)
    out = np.zeros(size, np.float32)
    out[top : top + height, left : left + width] = np.asarray(part).clip(0, 1)
    return out


def of_activation(activation: Activation) -> Image.Image:
    """A layer's maps, each from its least (dark) to its most (bright); those that are the same everywhere are faint."""
    if activation.channels:
        maps = zip(activation.values, activation.channels, strict=True)
        return _grid([_Cell(_coloured(one), channel, not np.ptp(one)) for one, channel in maps], _SIDE)
    rows = -(-len(activation.values) // _IN_A_ROW)
    padded = np.full(rows * _IN_A_ROW, np.nan, np.float32)
    padded[: len(activation.values)] = activation.values
    colours = _coloured(padded).reshape(rows, 1, _IN_A_ROW, 3)
    return _grid([_Cell(row, at * _IN_A_ROW) for at, row in enumerate(colours)], _ROW_WIDTH)


def of_weights(weights: Weights) -> Image.Image:
    """A filter's weights as a picture each: grey is 0, and the strongest of all is black or white, or a full colour."""
    most = np.abs(weights.values).max() or 1
    levels = _levels(((weights.values / most + 1) / 2).astype(np.float32))
    return _grid([_Cell(_flat(one), number) for number, one in enumerate(levels)], _SIDE)


def of_sought(sought: Sought) -> Image.Image:
    """What filters look for, smoothly enlarged."""
    height, width = sought.pictures.shape[1:3]
    scale = _LARGE_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    large = [np.asarray(of_frame(one).resize(size, Image.Resampling.BICUBIC)) for one in sought.pictures]
    return _grid([_Cell(one, channel) for one, channel in zip(large, sought.channels, strict=True)], _LARGE_SIDE)


def png(image: Image.Image) -> bytes:
    """An image as a PNG's bytes."""
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=3)  # a third of the usual time, and little larger
    return content.getvalue()


def of_frame(frame: Images) -> Image.Image:
    """A frame (height, width, channels) as it is."""
    return Image.fromarray(_flat(frame))


def _grid(cells: Sequence[_Cell], side: int) -> Image.Image:
    """Pictures of one size in rows, each above its number."""
    height, width = _shown(cells[0].picture, side)
    columns = max(1, min(len(cells), _GRID_WIDTH // (width + _GAP)))
    row_height = height + _LABEL + _GAP
    size = (columns * (width + _GAP) + _GAP, -(-len(cells) // columns) * row_height + _GAP)
    sheet = Image.new("RGB", size, _GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for at, cell in enumerate(cells):
        left, top = _GAP + at % columns * (width + _GAP), _GAP + at // columns * row_height
        how = Image.Resampling.NEAREST if height >= cell.picture.shape[0] else Image.Resampling.BOX
        sheet.paste(Image.fromarray(cell.picture).resize((width, height), how), (left, top))
        place = (left + width / 2, top + height + 3)
        pen.text(place, str(cell.label), _FAINT if cell.faint else _INK, font, anchor="mt")
    return sheet


def _shown(picture: Images, side: int) -> tuple[int, int]:
    height, width = picture.shape[:2]
    longest = max(height, width)
    scale = side // longest if longest <= side else side / longest
    return max(1, round(height * scale)), max(1, round(width * scale))


def _coloured(values: Values) -> Images:
    """(...) to (..., 3), from the least to the most; what is not a number has the ground's colour."""
    known = np.isfinite(values)
    low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 0.0)
    scaled = np.where(known, (values - low) / ((high - low) or 1.0), 0).astype(np.float32)
    colours: Images = _colours(cv2.COLORMAP_VIRIDIS)[_levels(scaled)]
    colours[~known] = _GROUND
    return colours


@cache
def _colours(scale: int) -> Images:
    """(256, 3), from the least to the most; OpenCV takes 3 ms to make them, for however small a picture."""
    colours: Images = cv2.applyColorMap(np.arange(256, dtype=np.uint8), scale)[:, 0, ::-1].astype(np.uint8)
    return colours


def _levels(values: Values) -> Images:
    levels: Images = np.rint(values * 255).astype(np.uint8)
    return levels


def _flat(picture: Images) -> Images:
    """Without the one channel of grey."""
    return picture[..., 0] if picture.shape[2] == 1 else picture
