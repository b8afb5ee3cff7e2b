"""Pictures drawn in code, as the files that tests feed to the decoder."""

import io

import numpy as np
from PIL import Image

from noonchi.settings import PixelSettings

COLOUR = PixelSettings(size=(8, 6), channels=3)
GREY = PixelSettings(size=(8, 6), channels=1)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    return file.getvalue()


def flat(mode: str, level: object, form: str = "PNG", **options: object) -> bytes:
    return encoded(Image.new(mode, (4, 4), level), form, **options)
