"""What the worker does: classifiers loaded, pictures answered, one explained. Only its process imports this module."""

import base64
import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from noonchi import classifier, exported, files, pixels
from noonchi.classifier import Classifier
from noonchi.errors import DataError, SettingsError, reason
from noonchi.explain import drawing, heat_map
from noonchi.explain.activations import Activation, activations
from noonchi.explain.words import verdicts
from noonchi.pixels import PictureError
from noonchi.predictor import Invert, Predictor
from noonchi.results import Prediction, printable

_MOST_SIDE = 900
"""Pixels of a picture that an explanation shows."""


class _Ready(Classifier):
    """One whose network answers fastest already; weights that cannot change need not be looked at for each batch."""

    def answering(self) -> Self:
        return self


@dataclass(frozen=True, eq=False)
class Served:
    """A classifier under its name."""

    name: str
    version: str
    """Of its weights: 12 hexadecimal digits of their SHA-256."""
    predictor: Predictor
    """For predictions."""
    explained: Classifier | None
    """For explanations; None where there can be none."""
    alone: AbstractContextManager[Any]
    """Held by who uses the network, where predictions and explanations share one."""

    def to_json(self) -> dict[str, Any]:
        """What `/v1/models` says of it."""
        pixels = self.predictor.pixels
        assert pixels.size
        return {
            "name": self.name,
            "version": self.version,
            "kind": "run" if self.explained else "onnx",
            "heads": [asdict(head) for head in self.predictor.heads],
            "size": list(pixels.size),
            "channels": pixels.channels,
            "explains": self.explained is not None,
        }


def load(name: str, path: Path, *, trust_code: bool) -> Served:
    """A run's classifier, or one from an ONNX file, tried on a black picture. Raises NoonchiError."""
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        content = _content(path)
        served = Served(name, _version(content), exported.from_bytes(content, str(path)), None, nullcontext())
    else:
        loaded = classifier.load(path, trust_code=trust_code)
        version = _version(classifier.weights_bytes(loaded.network.state_dict()))
        quick = loaded.answering()
        ready = _Ready(**{field.name: getattr(quick, field.name) for field in fields(quick)})
        served = Served(name, version, ready, loaded, threading.Lock() if quick is loaded else nullcontext())
    settings = served.predictor.pixels
    assert settings.size
    assert settings.channels
    served.predictor.predict([np.zeros((*settings.size, settings.channels), np.uint8)])
    return served


@dataclass(frozen=True)
class Job:
    """The pictures of one request."""

    top: int | None
    """Classes told of each head, the likeliest first; all of them in their order where it is None."""
    names: Sequence[str]
    """Of the pictures, as they were sent."""
    end: float
    """Of `time.monotonic`: by then who asked has been told that it takes too long."""


def predict(
    served: Served, invert: Invert, jobs: Sequence[Job], pictures: Sequence[bytes]
) -> list[list[dict[str, Any]]]:
    """For each job and each of its pictures the prediction, or the error of one that cannot be read."""
    found: list[Prediction | DataError] = []
    ends = [job.end for job in jobs for _ in job.names]

    def in_time() -> Iterator[bytes]:
        for end, picture in zip(ends, pictures, strict=True):
            yield picture if time.monotonic() < end else b""

    with served.alone:
        for prediction in served.predictor.stream(in_time(), invert, found.append):
            found.append(prediction)
    rest = iter(found)
    return [[_told(next(rest), name, job.top) for name in job.names] for job in jobs]


def _told(found: Prediction | DataError, name: str, top: int | None) -> dict[str, Any]:
    if isinstance(found, Prediction):
        return found.to_json(top) | {"picture": name}
    why = found.reason if isinstance(found, PictureError) else reason(found)
    return {"picture": name, "error": printable(f"'{name}' cannot be used: {why}.")}


def explain(
    served: Served, picture: bytes, head: str | None, class_name: str | None, *, what: str, invert: Invert
) -> dict[str, Any]:
    """What speaks for a class in a picture, or what each layer gives for it, as JSON with pictures in it.

    Raises SettingsError for a head or a class that is not there, DataError for a picture that cannot be read, and
    RunError for a network that cannot be explained.
    """
    if served.explained is None:
        raise SettingsError(f"'{served.name}' is an exported file, which cannot be explained. Serve its run instead.")
    with served.alone:
        if what == "activations":
            return _activations(served.explained, picture, invert)
        return _map(served.explained, picture, head, class_name, invert)


def _map(
    explained: Classifier, picture: bytes, head: str | None, class_name: str | None, invert: Invert
) -> dict[str, Any]:
    found = heat_map(explained, picture, head, class_name, invert)
    told = found.to_json()
    about = {name: told.pop(name) for name in ("probability", "method", "layer")}
    return {
        "head": found.head,
        "class": found.class_name,
        **about,
        "picture": _uri(_bounded(pixels.upright(picture))),
        "overlay": _uri(_bounded(drawing.overlay(picture, found))),
        "checks": {**told, "says": {"en": verdicts(found, "en"), "ko": verdicts(found, "ko")}},
    }


def _activations(explained: Classifier, picture: bytes, invert: Invert) -> dict[str, Any]:
    found = activations(explained, explained.frame(picture, invert))
    return {"layers": [_layer(one) for one in found if not one.same_as]}


def _layer(activation: Activation) -> dict[str, Any]:
    """Maps are told of as channels, height and width, whatever order they lie in."""
    *sides, channels = activation.shape
    shape = [channels, *sides] if activation.channels else list(activation.shape)
    return {"name": activation.layer, "shape": shape, "picture": _uri(drawing.of_activation(activation))}


def _bounded(image: Image.Image) -> Image.Image:
    """No side longer than a page shows it."""
    image.thumbnail((_MOST_SIDE, _MOST_SIDE))
    return image


def _uri(image: Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(drawing.png(image)).decode()}"


def _content(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise files.unreadable(path, error) from None


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
