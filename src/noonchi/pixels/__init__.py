"""The one way from a picture to numbers: file, decoded, oriented, resized uint8, normalised tensor.

Training, prediction, serving and export all go through here. A picture becomes grey or RGB first and is then brought
to size with Pillow's bilinear filter, which averages over all source pixels when it shrinks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from noonchi.pixels.decoding import Box, Decoded, Picture, PictureError, decoded, header
from noonchi.settings import PixelSettings

if TYPE_CHECKING:
    import torch

__all__ = [
    "Images",
    "Picture",
    "PictureError",
    "answered_at_once",
    "border_level",
    "centre_and_spread",
    "invert",
    "levels",
    "normalise",
    "normalise_array",
    "placement",
    "read",
    "resolve",
    "upright",
    "whole",
]

Images = npt.NDArray[np.uint8]

_SAMPLED_FILES = 100
_SMALL_SIDE = 256
_VALUES_AT_ONCE = 5 * 2**17
_WHOLE = 2**16
"""Pixels a side, more than a JPEG can have: it is then decoded whole."""


def read(picture: Picture, settings: PixelSettings) -> Images:
    """A picture as uint8 (height, width, channels), in the size and channels that `settings` name.

    Takes a path, a file's bytes, a Pillow image, or uint8 numbers (height, width) or (height, width, 1, 3 or 4). EXIF
    orientation is applied; of several frames the first is taken; 16-bit grey is divided by 257; floats must lie in
    0..1 or 0..255; transparency shows white. `fit` squashes, cuts to the middle or adds black borders. A picture that
    has its size already is not resampled.

    Raises PictureError, a DataError, for a picture that is damaged, cut off, of another format or too large.

    >>> grey = PixelSettings(size=(2, 2), channels=1)
    >>> read(np.full((4, 4, 3), 200, np.uint8), grey)[..., 0].tolist()
    [[200, 200], [200, 200]]
    """
    if settings.size is None or settings.channels is None:
        raise ValueError("pixel settings must be resolved before a picture is read")
    shape = (*settings.size, settings.channels)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape == shape:
        return picture
    found = decoded(picture, "L" if settings.channels == 1 else "RGB", max(settings.size))
    return np.array(_fitted(found, settings.size, settings.fit)).reshape(shape)


def upright(picture: Picture) -> Image.Image:
    """A picture in colour and in its own size, turned as its EXIF says: what a person sees. Raises PictureError.

    >>> upright(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    return decoded(picture, "RGB", _WHOLE).image


def whole(picture: Picture, settings: PixelSettings) -> Images:
    """A picture upright in its own size (height, width, channels): what `read` then brings to the size of `settings`.

    >>> whole(np.zeros((2, 3), np.uint8), PixelSettings(channels=3)).shape
    (2, 3, 3)
    """
    image = decoded(picture, "L" if settings.channels == 1 else "RGB", _WHOLE).image
    return np.array(image).reshape(image.height, image.width, -1)


def placement(size: tuple[int, int], settings: PixelSettings) -> tuple[Box, Box]:
    """Which part of an upright picture (height, width) `read` shows, and which part of its result that fills.

    Each is left, top, right and bottom in pixels.

    >>> placement((100, 300), PixelSettings(size=(50, 50), channels=1, fit="crop"))
    ((100.0, 0.0, 200.0, 100.0), (0, 0, 50, 50))
    >>> placement((100, 200), PixelSettings(size=(50, 50), channels=1, fit="pad"))
    ((0, 0, 200, 100), (0, 12, 50, 37))
    """
    if settings.size is None:
        raise ValueError("pixel settings must be resolved before a picture is placed")
    height, width = settings.size
    whole: Box = (0, 0, size[1], size[0])
    frame: Box = (0, 0, width, height)
    if size == settings.size or settings.fit == "squash":
        return whole, frame
    return (whole, _inner(whole, settings.size)) if settings.fit == "pad" else (_middle(whole, width / height), frame)


def resolve(
    settings: PixelSettings,
    array: Images | None = None,
    files: Sequence[Path | bytes] = (),
    defaults: Mapping[str, Any] | None = None,
) -> PixelSettings:
    """Settings with a value each: where one is not set, its network's own of `defaults`, else what suits the data.

    An array gives its own. Of files, up to 100 evenly spaced ones are looked at: where all have one size of at most
    256 a side, it is taken, else 150 by 150; where all are grey, 1 channel is taken, else 3.

    >>> resolve(PixelSettings(channels=3), array=np.zeros((5, 28, 28, 1), np.uint8)).size
    (28, 28)
    """
    own = dict(defaults or {})
    if settings.channels not in (None, own.get("channels")):  # its mean and spread are of channels that are not these
        own = {name: value for name, value in own.items() if name not in ("mean", "std")}
    settings = settings.but(**{"mean": (0.0,), "std": (1.0,), **own, **settings.table()})
    if settings.size and settings.channels:
        return settings
    if array is not None:
        size, channels = array.shape[1:3], array.shape[3]
    else:
        size, channels = _of_files(files)
    return settings.but(size=settings.size or size, channels=settings.channels or channels)


def normalise(images_nhwc: "torch.Tensor", settings: PixelSettings) -> "torch.Tensor":
    """uint8 (n, height, width, channels) → float32 (n, channels, height, width), channels last in memory.

    (x / 255 - mean) / std, on whatever device the images are.

    >>> import torch
    >>> normalise(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8), PixelSettings(mean=(0.5,), std=(0.5,))).unique()
    tensor([1.])
    """
    import torch

    number, height, width, channels = images_nhwc.shape
    if images_nhwc.device.type == "cpu":
        # glibc before 2.38 does not find memory again that torch has aligned (its bug 14581): it grew by a batch a step
        rows = torch.from_numpy(np.empty((number * height, width * channels), np.float32))
        rows.copy_(images_nhwc.reshape(-1, width * channels))
    else:
        rows = images_nhwc.to(torch.float32, memory_format=torch.contiguous_format).view(-1, width * channels)
    mean, std = (torch.from_numpy(values).to(images_nhwc.device) for values in _of_levels(settings, width))
    if mean.any():
        rows.sub_(mean)
    return rows.div_(std).view(number, height, width, channels).permute(0, 3, 1, 2)


def normalise_array(images_nhwc: Images, settings: PixelSettings, out: npt.NDArray[np.float32]) -> None:
    """`normalise`, to the bit, into `out` (n, height, width, channels), on the thread that calls it.

    >>> out = np.empty((1, 2, 2, 1), np.float32)
    >>> normalise_array(np.full((1, 2, 2, 1), 255, np.uint8), PixelSettings(mean=(0.5,), std=(0.5,)), out)
    >>> np.unique(out).tolist()
    [1.0]
    """
    width, channels = images_nhwc.shape[2:]
    levels, rows = (values.reshape(-1, width * channels) for values in (images_nhwc, out))
    mean, std = _of_levels(settings, width)
    if mean.any():
        np.subtract(levels, mean, out=rows, dtype=np.float32)
        np.divide(rows, std, out=rows)
    else:
        np.divide(levels, std, out=rows, dtype=np.float32)


def _of_levels(settings: PixelSettings, width: int) -> tuple[npt.NDArray[np.float32], ...]:
    """Mean and spread of grey levels, for whole rows at once: three channels at a time take three times as long."""
    return tuple(
        np.array(values * (width if len(values) > 1 else 1), np.float32) * np.float32(255)
        for values in centre_and_spread(settings)
    )


def levels(images_nchw: "torch.Tensor", settings: PixelSettings) -> Images:
    """What `normalise` was given: uint8 (n, height, width, channels), what lies beyond black and white cut off.

    >>> import torch
    >>> grey = torch.full((1, 2, 2, 1), 128, dtype=torch.uint8)
    >>> levels(normalise(grey, PixelSettings(mean=(0.5,), std=(0.2,))), PixelSettings(mean=(0.5,), std=(0.2,))).max()
    np.uint8(128)
    """
    mean, std = (np.array(values, np.float32).reshape(-1) for values in centre_and_spread(settings))
    images_nhwc = images_nchw.permute(0, 2, 3, 1).float().cpu().numpy()
    return ((images_nhwc * std + mean) * 255).round().clip(0, 255).astype(np.uint8)


def centre_and_spread(settings: PixelSettings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """`mean` and `std`, or 0 and 1 where they are not set.

    >>> centre_and_spread(PixelSettings(std=(0.5,)))
    ((0.0,), (0.5,))
    """
    return settings.mean or (0.0,), settings.std or (1.0,)


def answered_at_once(settings: PixelSettings) -> int:
    """Pictures that a thread validates, tests or predicts at once: 256, and fewer of large pictures.

    Their maps then stay near the processor, and take little memory. One number a size for all three, since sums may
    differ in their last bits between numbers.

    >>> [answered_at_once(PixelSettings(size=(side, side), channels=3)) for side in (28, 150, 224, 1000)]
    [256, 9, 4, 1]
    """
    if settings.size is None or settings.channels is None:
        raise ValueError("pixel settings must be resolved before pictures are answered")
    height, width = settings.size
    return min(256, max(1, _VALUES_AT_ONCE // (height * width * settings.channels)))


def border_level(images_nhwc: Images) -> float:
    """Mean level, 0..255, of the outermost pixels of all pictures: how bright their ground is.

    >>> border_level(np.full((1, 3, 3, 1), 7, np.uint8))
    7.0
    """
    border = np.ones(images_nhwc.shape[1:3], dtype=bool)
    border[1:-1, 1:-1] = False
    return float(images_nhwc[:, border].mean())


def invert(image_hwc: Images, mode: Literal["auto", "yes", "no"], training_border_level: float) -> Images:
    """A picture with light and dark exchanged, or as it is.

    `auto` exchanges them where that brings the picture's own border nearer to that of the training pictures: a digit
    in black ink on white paper, for a classifier of white digits on black.

    >>> invert(np.full((2, 2, 1), 250, np.uint8), "auto", 0.0).max()
    np.uint8(5)
    """
    if mode == "auto":
        own = border_level(image_hwc[np.newaxis])
        mode = "yes" if abs(255 - own - training_border_level) < abs(own - training_border_level) else "no"
    return 255 - image_hwc if mode == "yes" else image_hwc


def _fitted(found: Decoded, size: tuple[int, int], fit: str) -> Image.Image:
    image, box = found
    height, width = size
    if image.size == (width, height) and box == (0, 0, width, height):
        return image
    if fit == "pad":
        return _padded(found, size)
    if fit == "crop":
        box = _middle(box, width / height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _middle(box: Box, aspect: float) -> Box:
    """The largest part of a box, around its centre, whose width is `aspect` times its height."""
    left, top, right, bottom = box
    # what lies beyond, half of it a side; never below 0, where rounding would leave the picture
    beside = max(0.0, (right - left - (bottom - top) * aspect) / 2)
    above = max(0.0, (bottom - top - (right - left) / aspect) / 2)
    return left + beside, top + above, right - beside, bottom - above


def _padded(found: Decoded, size: tuple[int, int]) -> Image.Image:
    """The whole picture in the middle, on black."""
    left, top, right, bottom = _inner(found.box, size)
    resized = found.image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=found.box)
    padded = Image.new(resized.mode, (size[1], size[0]))
    padded.paste(resized, (left, top))
    return padded


def _inner(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box of the same aspect in the middle of a frame (height, width), to the nearest pixel."""
    (left, top, right, bottom), (height, width) = box, size
    scale = min(width / (right - left), height / (bottom - top))
    wide, high = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    beside, above = (width - wide) // 2, (height - high) // 2
    return beside, above, beside + wide, above + high


def _of_files(files: Sequence[Path | bytes]) -> tuple[tuple[int, int], int]:
    step = max(1, -(-len(files) // _SAMPLED_FILES))
    found = (header(files[at]) for at in range(0, len(files), step))
    looks = [look for look in found if look is not None]
    sizes = {look.size for look in looks}
    one_small_size = len(sizes) == 1 and max(next(iter(sizes))) <= _SMALL_SIDE
    channels = 1 if looks and all(look.grey for look in looks) else 3
    return next(iter(sizes)) if one_small_size else (150, 150), channels
