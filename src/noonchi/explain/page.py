"""An explanation as one page that needs nothing else, with its pictures beside it as files."""

import base64
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from PIL import Image

from noonchi import files, pixels
from noonchi.errors import SettingsError
from noonchi.explain import drawing
from noonchi.explain.activations import Activation
from noonchi.explain.checks import DRAWS
from noonchi.explain.explanation import Explanation
from noonchi.explain.filters import Weights
from noonchi.explain.maps import HeatMap
from noonchi.explain.words import Language, Words, percent, shares, verdicts, words_of
from noonchi.predictor import Picture
from noonchi.results import printable

INDEX = "index.html"

_PICTURE, _FRAME, _WEIGHTS = "picture.png", "frame.png", "weights.png"
_MOST_CLASSES = 10
_MOST_SIDE = 900
"""Pixels; wider pictures are made smaller on the page, not in the files."""
_SMALL_SIDE = 100
_MOST_PNG = 60_000
"""Bytes; a picture that needs more is a WebP, a third as large, on the page."""
_MOST_OPEN = 16
"""Layers that are shown unfolded."""


@dataclass(frozen=True)
class _Shown:
    """A picture on the page."""

    uri: Markup
    """Letters and figures alone, megabytes of them, which need no escaping."""
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Shown larger than it is, with square pixels."""
        return max(self.width, self.height) < _SMALL_SIDE


def refuse_place(folder: Path) -> None:
    """Raises SettingsError where `write` could not write: before time is spent on what would be written."""
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--out {folder}: this is a file; give the name of a folder.")
    if not files.can_be_written(there := files.nearest_folder(folder)):
        raise SettingsError(f"--out {folder}: no file can be written in '{there}'; give another place.")


def write(folder: Path, explanation: Explanation, picture: Picture, language: Language = "en") -> list[str]:
    """`index.html` and the pictures, in a folder that is made where it is not there; gives the names of the files.

    Files of the same names are replaced, others left alone. Whatever names hold is shown as text: the template
    escapes, and the page's own policy forbids scripts.
    """
    shown = {}
    for name, image in _images(explanation, picture):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, content := drawing.png(image))
        shown[name] = _shown(image, content)
    files.write(folder / INDEX, _render(explanation, shown, language))
    return [INDEX, *shown]


def map_file(heat_map: HeatMap, suffix: str = "") -> str:
    """The name of a map's picture, or of one of those that check it."""
    return f"heat-map-{heat_map.method}{suffix}.png"


def _images(explanation: Explanation, picture: Picture) -> Iterator[tuple[str, Image.Image]]:
    yield _PICTURE, pixels.upright(Path(picture) if isinstance(picture, str) else picture)
    yield _FRAME, drawing.of_frame(explanation.frame)
    for one in explanation.maps:
        yield map_file(one), drawing.overlay(picture, one)
        if one.empty:
            continue
        assert one.checks
        yield map_file(one, "-random-weights"), drawing.overlay(explanation.frame, one, one.checks.untrained_values)
        yield map_file(one, "-hidden"), drawing.of_frame(one.checks.hidden)
        yield map_file(one, "-elsewhere"), drawing.of_frame(one.checks.hidden_elsewhere)
    for number, activation in enumerate(explanation.activations, 1):
        if not activation.same_as:
            yield _layer_file("activations", number, activation.layer), drawing.of_activation(activation)
    if explanation.weights:
        yield _WEIGHTS, drawing.of_weights(explanation.weights)
    for number, sought in enumerate(explanation.sought, 1):
        yield _layer_file("filters", number, sought.layer), drawing.of_sought(sought)


def _layer_file(kind: str, number: int, layer: str) -> str:
    """A layer may be called anything: what a file system could take amiss becomes `_`."""
    return f"{kind}/{number:02}-{re.sub(r'[^A-Za-z0-9_.-]', '_', layer)[-60:]}.png"


def _shown(image: Image.Image, content: bytes) -> _Shown:
    kind = "png"
    if len(content) > _MOST_PNG:
        if image.width > _MOST_SIDE:
            image.thumbnail((_MOST_SIDE, 2 * _MOST_SIDE))
        text = io.BytesIO()
        image.save(text, "WEBP", quality=80, method=2)
        kind, content = "webp", text.getvalue()
    uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return _Shown(Markup(uri), *image.size)  # noqa: S704  # our own letters


def _render(explanation: Explanation, shown: Mapping[str, _Shown], language: Language) -> str:
    words = words_of(language)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_printed)
    template = environment.from_string(package_files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    layers = [_layer(one, at, words, shown) for at, one in enumerate(explanation.activations, 1)]
    return template.render(
        words=words,
        language=language,
        explanation=explanation,
        name=Path(explanation.prediction.picture).name,
        picture_shown=shown[_PICTURE],
        answers=_answers(explanation),
        more_classes=max(0, len(explanation.head.classes) - _MOST_CLASSES),
        maps=[_map(one, words, shown, language) for one in explanation.maps],
        layers=layers,
        unfolded=len(layers) <= _MOST_OPEN,
        weights=explanation.weights and _weights(explanation.weights, words, shown),
        filters=_filters(explanation, words, shown),
    )


def _printed(value: Any) -> Any:
    # of what a macro gives the parts have been here before
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _answers(explanation: Explanation) -> list[dict[str, Any]]:
    """The likeliest classes, and the one that the maps are for in any case."""
    head, asked = explanation.head.name, explanation.class_name
    best = explanation.prediction.top(head, _MOST_CLASSES)
    if asked not in dict(best):
        best[-1] = (asked, explanation.prediction.heads[head][asked])
    return [{"name": name, "share": percent(p), "bar": round(100 * p, 1), "asked": name == asked} for name, p in best]


def _map(heat_map: HeatMap, words: Words, shown: Mapping[str, _Shown], language: Language) -> dict[str, Any]:
    checks = heat_map.checks
    assert checks
    hiding, *untrained = verdicts(heat_map, language)
    return {
        "title": words[heat_map.method],
        "about": words[f"{heat_map.method}_about"].format(layer=heat_map.layer),
        "alt": words["heat_alt"].format(name=heat_map.class_name),
        "picture": shown[map_file(heat_map)],
        "hiding": hiding,
        "untrained": untrained,
        "good": checks.effect in ("clear", "some"),
        "alike": checks.like_untrained,
        "checks": [] if heat_map.empty else _check_pictures(heat_map, words, shown),
    }


def _check_pictures(heat_map: HeatMap, words: Words, shown: Mapping[str, _Shown]) -> list[tuple[_Shown, str]]:
    told = shares(heat_map)
    return [
        (shown[map_file(heat_map, "-random-weights")], words["untrained"]),
        (shown[map_file(heat_map, "-hidden")], words["hidden"].format(**told)),
        (shown[map_file(heat_map, "-elsewhere")], words["elsewhere"].format(draws=DRAWS, **told)),
    ]


def _layer(activation: Activation, number: int, words: Words, shown: Mapping[str, _Shown]) -> dict[str, Any]:
    held, total = len(activation.values), activation.total
    key = "of_channels" if activation.channels else "of_numbers"
    return {
        "name": activation.layer,
        "kind": activation.kind,
        "shape": activation.shape,
        "same_as": activation.same_as and words["same_as"].format(layer=activation.same_as),
        "more": "" if activation.same_as or held == total else words[key].format(shown=held, total=total),
        "picture": shown.get(_layer_file("activations", number, activation.layer)),
        "alt": words["activation_alt"].format(layer=activation.layer),
    }


def _weights(weights: Weights, words: Words, shown: Mapping[str, _Shown]) -> dict[str, Any]:
    held = len(weights.values)
    about = words["weights_about" if held == weights.total else "weights_of"]
    return {
        "about": about.format(layer=weights.layer, shown=held, total=weights.total),
        "alt": words["weights_alt"].format(layer=weights.layer),
        "picture": shown[_WEIGHTS],
    }


def _filters(explanation: Explanation, words: Words, shown: Mapping[str, _Shown]) -> list[dict[str, Any]]:
    return [
        {
            "name": sought.layer,
            "picture": shown[_layer_file("filters", number, sought.layer)],
            "alt": words["filters_alt"].format(layer=sought.layer, channels=", ".join(map(str, sought.channels))),
        }
        for number, sought in enumerate(explanation.sought, 1)
    ]
