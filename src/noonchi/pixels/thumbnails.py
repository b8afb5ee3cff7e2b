"""Small pictures for pages that need nothing else: JPEG within the page's own text."""

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from noonchi.pixels import PictureError, read
from noonchi.pixels.decoding import header
from noonchi.results import Thumbnail
from noonchi.settings import PixelSettings

_SIDE = 144
"""Pixels of the longer side, at most."""
_QUALITY = 80


def thumbnails(pictures: Sequence[Path | np.ndarray | bytes]) -> list[Thumbnail | None]:
    """Files, their bytes or uint8 arrays (height, width, channels), upright; None for one that cannot be read.

    >>> [one] = thumbnails([np.zeros((288, 20, 1), np.uint8)])
    >>> one.width, one.height, one.uri[:22]
    (10, 144, 'data:image/jpeg;base64')
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [encoded(image) if image else None for image in pool.map(reduced, pictures)]


def reduced(picture: Path | np.ndarray | bytes) -> Image.Image | None:
    """A picture in colour, no side longer than 144 pixels; None for one that cannot be read."""
    size = _size(picture)
    scale = min(1.0, _SIDE / max(*size, 1))
    height, width = (max(1, round(side * scale)) for side in size)
    try:
        return Image.fromarray(read(picture, PixelSettings(size=(height, width), channels=3)))
    except PictureError:
        return None


def encoded(image: Image.Image) -> Thumbnail:
    """An image in colour as it is."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return Thumbnail(f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}", *image.size)


def _size(picture: Path | np.ndarray | bytes) -> tuple[int, int]:
    if isinstance(picture, np.ndarray):
        return picture.shape[0], picture.shape[1]
    found = header(picture)
    return found.size if found else (0, 0)
