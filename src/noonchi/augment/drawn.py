"""What is drawn for a batch: moves as matrices, levels as tables, and rectangles that cover a part."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from noonchi.augment import policy
from noonchi.augment.moves import Floats, Images, Moves
from noonchi.augment.policy import MIDDLE
from noonchi.settings import AugmentSettings

_ERASED_AREA = (0.02, 1 / 3)
_ERASED_ASPECT = 0.3
"""Erased rectangles are from 0.3 as high as wide to 0.3 as wide as high; with their area, the paper's figures."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn for a batch of n pictures."""

    matrices: Floats
    """(n, 2, 3): from a pixel (x, y, 1) of the result to the place (x, y) in the picture that it shows."""
    tables: Images | None = None
    """(n, 256, channels): the new level of each level; None leaves levels as they are."""
    erased: tuple[tuple[slice, slice, Images] | None, ...] = ()
    """For each picture rows, columns and levels of a rectangle that covers it, or None."""
    fill: str = "nearest"
    fill_level: int = 0

    def only(self, some: npt.NDArray[np.int64]) -> "Draws":
        """What was drawn for some of the pictures."""
        tables = None if self.tables is None else self.tables[some]
        return replace(
            self,
            matrices=self.matrices[some],
            tables=tables,
            erased=tuple(self.erased[at] for at in some) if self.erased else (),
        )


def draw(
    settings: AugmentSettings, num_pictures: int, shape: tuple[int, int, int], generator: np.random.Generator
) -> Draws:
    """Draws for pictures of `shape` (height, width, channels).

    >>> turned = AugmentSettings(rotation_degrees=40)
    >>> draw(turned, 5, (150, 150, 3), np.random.default_rng(0)).matrices.shape
    (5, 2, 3)
    """
    height, width, channels = shape

    def around(most: float, zero: float = 0.0) -> Floats:
        return generator.uniform(zero - most, zero + most, num_pictures)

    moves = Moves(
        rotation_degrees=around(settings.rotation_degrees),
        shift_x=around(settings.width_shift * width),
        shift_y=around(settings.height_shift * height),
        shear_degrees=around(settings.shear_degrees),
        shrink_x=around(settings.zoom, 1),
        shrink_y=around(settings.zoom, 1),
        flip_x=(generator.random(num_pictures) < 0.5) & settings.horizontal_flip,
        flip_y=(generator.random(num_pictures) < 0.5) & settings.vertical_flip,
    )
    matrices = moves.matrices(height, width)
    tables = None
    if settings.brightness or settings.contrast or settings.channel_shift:
        shifts = generator.uniform(-settings.channel_shift, settings.channel_shift, (num_pictures, channels))
        tables = level_tables(around(settings.brightness, 1), around(settings.contrast, 1), shifts)
    if settings.randaugment_ops:
        matrices, tables = policy.varied(settings, matrices, tables, shape, generator)
    erased = tuple(_rectangle(settings.erasing, shape, generator) for _ in range(num_pictures * bool(settings.erasing)))
    return Draws(matrices, tables, erased, settings.fill, settings.fill_level)


def level_tables(brightness: Floats, contrast: Floats, shifts: Floats) -> Images:
    """(n, 256, channels): levels shifted a channel (n, channels), spread about the middle grey, then multiplied.

    Rounded and cut to 0..255 once, at the end.

    >>> bright = level_tables(np.array([2.0]), np.array([1.0]), np.array([[0.0]]))
    >>> bright[0, [0, 100, 200], 0].tolist()
    [0, 200, 255]
    """
    levels = np.arange(256.0)[:, np.newaxis] + shifts[:, np.newaxis, :]
    spread = (levels - MIDDLE) * contrast[:, np.newaxis, np.newaxis] + MIDDLE
    return np.rint(spread * brightness[:, np.newaxis, np.newaxis]).clip(0, 255).astype(np.uint8)


def _rectangle(
    share_of_pictures: float, shape: tuple[int, int, int], generator: np.random.Generator
) -> tuple[slice, slice, Images] | None:
    height, width, channels = shape
    if generator.random() >= share_of_pictures:
        return None
    area = generator.uniform(*_ERASED_AREA) * height * width
    aspect = np.exp(generator.uniform(np.log(_ERASED_ASPECT), -np.log(_ERASED_ASPECT)))
    rows = span(min(height, max(1, round((area * aspect) ** 0.5))), height, generator)
    columns = span(min(width, max(1, round((area / aspect) ** 0.5))), width, generator)
    size = (rows.stop - rows.start, columns.stop - columns.start, channels)
    return rows, columns, generator.integers(0, 256, size, dtype=np.uint8)


def span(length: int, side: int, generator: np.random.Generator) -> slice:
    """A stretch of `length`, anywhere in `side`."""
    start = int(generator.integers(side - length + 1))
    return slice(start, start + length)
