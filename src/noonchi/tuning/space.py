"""What a search tries: settings with the range or the choice that each is drawn from, as a user writes them."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from noonchi import settings
from noonchi.errors import SettingsError
from noonchi.settings import AugmentSettings, RunSettings

STRENGTH = "augment.strength"
"""No setting, but a factor of all of a recipe's amounts of augmentation."""
_AMOUNTS = {
    "rotation_degrees": 180.0,
    "width_shift": 0.9,
    "height_shift": 0.9,
    "shear_degrees": 89.0,
    "zoom": 0.9,
    "brightness": 0.9,
    "contrast": 0.9,
    "channel_shift": 255.0,
    "erasing": 1.0,
    "randaugment_magnitude": 10.0,
}
"""What `STRENGTH` multiplies, each with the most it may become."""
_MILD = {"rotation_degrees": 10.0, "width_shift": 0.1, "height_shift": 0.1, "zoom": 0.1}
"""What it multiplies in a recipe without augmentation."""
_SEARCHED = ("pixels", "model", "batches", "augment", "frozen", "fit")
"""Sections that may differ between trials; all else decides what they are judged by."""
_DECADE = 10.0


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them."""

    name: str
    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Whether every factor of ten is as likely as every other, and not every stretch: ends a decade apart."""
        return self.low > 0 and self.high >= _DECADE * self.low


@dataclass(frozen=True)
class Choice:
    """Some values, as text."""

    name: str
    values: tuple[str, ...]


Dimension = Range | Choice


def usual(run: RunSettings) -> list[str]:
    """What is searched of a recipe where the user names nothing, around the recipe's own values.

    >>> usual(RunSettings(fit={"optimizer": "adamw"}))[:2]
    ['fit.peak_lr=0.0001..0.01', 'fit.weight_decay=0.0..0.1']
    """
    stepwise, augmented = run.fit.optimizer != "lbfgs", run.model.freeze is None
    smoothing = max(0.2, run.fit.label_smoothing)
    size = run.batches.size
    return [
        *([f"fit.peak_lr={_around(run.fit.peak_lr)}"] if stepwise else []),
        f"fit.weight_decay={_decay(run)}",
        *([f"batches.size={max(1, size // 2)},{size},{2 * size}"] if stepwise and size > 1 else []),
        f"fit.label_smoothing=0.0..{smoothing}",
        *([f"{STRENGTH}=0.0..2.0"] if augmented else []),
    ]


def _around(value: float) -> str:
    low, high = (float(f"{value * factor:.6g}") for factor in (1 / _DECADE, _DECADE))
    return f"{low}..{min(high, 100.0)}"


def _decay(run: RunSettings) -> str:
    if run.fit.weight_decay:
        return _around(run.fit.weight_decay)
    return "0.0..0.1" if run.fit.optimizer == "adamw" else "0.0..0.001"


def read(run: RunSettings, asked: Iterable[str]) -> tuple[Dimension, ...]:
    """The space that `--search` names, each end and value held against the recipe. Raises SettingsError.

    `fit.peak_lr=1e-4..1e-2` is a range, `batches.size=16,32,64` a choice.
    """
    space = tuple(_dimension(run, one) for one in asked)
    names = [dimension.name for dimension in space]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise SettingsError(f"--search names '{twice}' twice; name it once.")
    return space


def _dimension(run: RunSettings, asked: str) -> Dimension:
    name, _, text = (part.strip() for part in asked.partition("="))
    section = name.partition(".")[0]
    if section not in _SEARCHED and section in RunSettings.model_fields:
        raise SettingsError(f"--search {name}: trials must not differ in it; searched is {', '.join(_SEARCHED)}.")
    low, dots, high = text.partition("..")
    if dots:
        return _range(run, name, low.strip(), high.strip(), asked)
    values = tuple(dict.fromkeys(_values(text)))
    if not name or len(values) < 2:
        raise SettingsError(
            f"--search '{asked}' is no range or choice; write it as fit.peak_lr=1e-4..1e-2 or batches.size=16,32,64."
        )
    for value in values:
        settings.altered(run, as_settings(run, {name: value}))
    return Choice(name, values)


def _range(run: RunSettings, name: str, low: str, high: str, asked: str) -> Range:
    try:
        first, last = float(low), float(high)
    except ValueError:
        raise SettingsError(f"--search '{asked}': a range is of two numbers, such as 1e-4..1e-2.") from None
    if not first < last < float("inf"):
        raise SettingsError(f"--search '{asked}': a range goes from a lower number to a higher one.")
    for end in (low, high):
        settings.altered(run, as_settings(run, {name: end}))
    return Range(name, first, last, low.isdecimal() and high.isdecimal() and not _takes_parts(run, name, first))


def _takes_parts(run: RunSettings, name: str, low: float) -> bool:
    try:
        settings.altered(run, as_settings(run, {name: low + 0.5}))
    except SettingsError:
        return False
    return True


def _values(text: str) -> list[str]:
    """`16, 32` or `max, average` or `[28, 28], [32, 32]`."""
    try:
        return [json.dumps(value) for value in tomllib.loads(f"values = [{text}]")["values"]]
    except (ValueError, TypeError):
        return [value.strip() for value in text.split(",") if value.strip()]


def as_settings(run: RunSettings, values: Mapping[str, Any]) -> list[str]:
    """What was drawn, as `"section.key=value"` of a recipe."""
    drawn = dict(values)
    strength = drawn.pop(STRENGTH, None)
    plain = [f"{name}={value}" for name, value in drawn.items()]
    if strength is None:
        return plain
    return [*plain, *_strengthened(run.augment, float(strength))]


def _strengthened(augment: AugmentSettings, strength: float) -> Iterator[str]:
    if strength < 0:
        raise SettingsError(f"{STRENGTH} = {strength:g}: a factor is 0 or more.")
    own = augment.table() if augment.active else _MILD
    for name, most in _AMOUNTS.items():
        if name in own and (name != "randaugment_magnitude" or augment.randaugment_ops):
            yield f"augment.{name}={min(most, own[name] * strength)!r}"


def own_values(run: RunSettings, space: tuple[Dimension, ...]) -> dict[str, Any] | None:
    """The recipe's own settings as a point of the space; None where the space does not hold them."""
    own = {dimension.name: _own(run, dimension) for dimension in space}
    return None if None in own.values() else own


def _own(run: RunSettings, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        same = (v for v in dimension.values if settings.altered(run, as_settings(run, {dimension.name: v})) == run)
        return next(same, None)
    if dimension.name == STRENGTH:
        value: Any = 1.0 if run.augment.active else 0.0
    else:
        section, _, key = dimension.name.partition(".")
        value = getattr(getattr(run, section), key)
    return value if isinstance(value, int | float) and dimension.low <= value <= dimension.high else None
