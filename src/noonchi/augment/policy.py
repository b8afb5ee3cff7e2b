"""Operations drawn for each picture, after RandAugment (Cubuk et al. 2020)."""

from collections.abc import Callable

import numpy as np

from noonchi.augment.moves import Floats, Images, from_middle
from noonchi.settings import AugmentSettings

MIDDLE = 127.5
"""The grey level about which contrast spreads: no statistic of the picture, so that levels are one table anywhere."""

# Strength 10 of each, after RandAugment's table (Cubuk et al. 2020, from AutoAugment), but for the two that need the
# picture's histogram (autocontrast, equalize) and the two that mix pixels or channels (sharpness, color).
_WARPS: dict[str, Callable[[float], Floats]] = {
    "identity": lambda _: np.eye(3),
    "rotate": lambda strength: _turned(np.deg2rad(30) * strength),
    "shear_x": lambda strength: np.array([[1, 0.3 * strength, 0], [0, 1, 0], [0, 0, 1.0]]),
    "shear_y": lambda strength: np.array([[1, 0, 0], [0.3 * strength, 1, 0], [0, 0, 1.0]]),
    "translate_x": lambda strength: np.array([[1, 0, 0.33 * strength], [0, 1, 0], [0, 0, 1.0]]),
    "translate_y": lambda strength: np.array([[1, 0, 0], [0, 1, 0.33 * strength], [0, 0, 1.0]]),
}
_LEVELS: dict[str, Callable[[Floats, float], Floats]] = {
    "brightness": lambda levels, strength: levels * (1 + 0.9 * strength),
    "contrast": lambda levels, strength: (levels - MIDDLE) * (1 + 0.9 * strength) + MIDDLE,
    "posterize": lambda levels, strength: levels - levels % 2 ** round(4 * abs(strength)),
    "solarize": lambda levels, strength: np.where(levels < 256 * (1 - abs(strength)), levels, 255 - levels),
}


def varied(
    settings: AugmentSettings,
    matrices: Floats,
    tables: Images | None,
    shape: tuple[int, int, int],
    generator: np.random.Generator,
) -> tuple[Floats, Images]:
    """Each picture's matrix and table with drawn operations after them."""
    height, width, channels = shape
    n, names = len(matrices), [*_WARPS, *_LEVELS]
    to_unit = np.diag([1 / width, 1 / height, 1.0]) @ np.linalg.inv(from_middle(height, width))
    from_unit = np.linalg.inv(to_unit)
    drawn = generator.integers(len(names), size=(n, settings.randaugment_ops))
    signs = generator.choice([-1.0, 1.0], size=drawn.shape)
    warps = np.array(matrices)
    levels = np.tile(np.arange(256.0)[:, np.newaxis], (n, 1, channels)) if tables is None else tables.astype(float)
    for at, row in enumerate(drawn):
        for name, sign in zip((names[number] for number in row), signs[at], strict=True):
            strength = sign * settings.randaugment_magnitude / 10
            if name in _WARPS:
                warps[at] = warps[at] @ (from_unit @ _WARPS[name](strength) @ to_unit)
            else:
                levels[at] = np.rint(_LEVELS[name](levels[at], strength)).clip(0, 255)
    return warps, levels.astype(np.uint8)


def _turned(angle: float) -> Floats:
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
