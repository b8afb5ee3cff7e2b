"""Pictures drawn in code that an export is tried on: all modes, formats and orientations, small and large."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

_MODES = (
    ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("I;16", "PNG"), ("I", "TIFF"),
    ("F", "TIFF"), ("RGB", "PNG"), ("RGBA", "PNG"), ("RGB", "BMP"), ("RGB", "WEBP"), ("RGB", "PPM"), ("RGB", "TIFF"),
    ("L", "JPEG"), ("RGB", "JPEG"), ("CMYK", "JPEG"),
)  # fmt: skip
_SIZES = ((1, 1), (5, 211), (190, 7), (101, 67), (224, 224), (640, 480))
"""Width and height."""
_ORIENTATION = 0x0112
_LARGEST = 4000


def files(longest: int) -> Iterator[bytes]:
    """Encoded pictures for a network whose pictures' longest side is `longest`: the last is a JPEG decoded reduced.

    >>> len(list(files(28)))
    33
    """
    for number, (mode, kind) in enumerate(_MODES):
        yield _encoded(_in_mode(_scene(number, (97, 71)), mode), kind)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        yield _encoded(_scene(orientation, (83, 59)), "JPEG", exif=exif)
    for number, size in enumerate((*_SIZES, (longest, longest))):
        yield _encoded(_scene(50 + number, size), "PNG")
    side = min(8 * longest, _LARGEST)
    yield _encoded(_scene(99, (side + 5, side + 3)), "JPEG")


def _scene(seed: int, size: tuple[int, int]) -> Image.Image:
    """Soft blots with hard edges and some noise, in colour."""
    drawn = np.random.default_rng(seed)
    blots = Image.fromarray(drawn.integers(0, 256, (6, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    levels = np.array(blots)
    levels[size[1] // 3 : size[1] // 2, size[0] // 4 :] = drawn.integers(0, 256, 3)
    return Image.fromarray(levels ^ drawn.integers(0, 8, levels.shape, np.uint8))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    grey = np.array(image.convert("L"))
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(255 - grey))
        return image
    return image.convert(mode)


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
