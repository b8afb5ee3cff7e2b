"""Class heat maps: which parts of a picture speak for a class, after Grad-CAM, HiResCAM or integrated gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from noonchi import pixels
from noonchi.classifier import Classifier
from noonchi.errors import SettingsError, did_you_mean
from noonchi.explain.checks import Checks, blurred, check, untrained
from noonchi.explain.layers import Place, activation_and_gradient, input_gradient, targets
from noonchi.pixels import Images
from noonchi.predictor import Invert, Picture, per_class
from noonchi.results import Head
from noonchi.settings import PixelSettings

Method = Literal["grad-cam", "hires-cam", "integrated-gradients"]
Values = npt.NDArray[np.float32]

_STEPS = 16
"""Pictures on the way from a blurred one to the picture itself, at which gradients are taken."""
_GRAIN = 56
"""Gradients at single pixels are smoothed by a Gaussian of this part of the longer side: 4 pixels of 224."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """How much each part of a picture speaks for a class."""

    head: str
    class_name: str
    probability: float
    """Of the class, for the whole picture."""
    method: Method
    layer: str | None
    """At which it was looked; None for the pixels themselves."""
    values: Values
    """(height, width) of the frame, 0 to 1, the hottest 1; all 0 where nothing speaks for the class."""
    pixels: PixelSettings
    """How the picture became the frame."""
    checks: Checks | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing speaks for the class."""
        return not self.values.any()

    def to_json(self) -> dict[str, Any]:
        """Without the values."""
        told = {"method": self.method, "layer": self.layer, "probability": self.probability}
        return told | (self.checks.to_json() if self.checks else {})


@dataclass(frozen=True)
class View:
    """A way to look for a heat map."""

    method: Method
    place: Place | None = None


def heat_map(
    classifier: Classifier,
    picture: Picture,
    head: str | None = None,
    class_name: str | None = None,
    invert: Invert = "no",
) -> HeatMap:
    """What in a picture speaks for a class, checked: Grad-CAM at the last layer that still says where.

    The first head, and the class it finds likeliest, where none is named. Where a head depends on no layer that gives
    maps, the gradients at the pixels take its place. Selvaraju et al., "Grad-CAM" (2017). Raises SettingsError for a
    head or a class that is not there, DataError for a picture that cannot be read.
    """
    asked = head_named(classifier, head)
    frame = classifier.frame(picture, invert)
    name = class_of(classifier, frame, asked, class_name)
    return checked(classifier, frame, asked, name, views(classifier, asked)[:1])[0]


def heat_maps(
    classifier: Classifier, frames: Images, head: str | None = None, classes: Sequence[str] | None = None
) -> list[HeatMap]:
    """`heat_map` of many frames uint8 (n, height, width, channels), one class each, without checks.

    One pass forward and a part of one backward for all of them. The likeliest classes where none are given.
    """
    asked = head_named(classifier, head)
    names = [_known_class(asked, name) for name in classes] if classes else likeliest(classifier, frames, asked)
    view, at_once = views(classifier, asked)[0], pixels.answered_at_once(classifier.pixels)
    found = []
    for start in range(0, len(frames), at_once):
        some = slice(start, start + at_once)
        found += _maps(_Asked(classifier, frames[some], asked, names[some]), view, steps=1)
    return found


def head_named(classifier: Classifier, name: str | None) -> Head:
    """The head of that name, or the first. Raises SettingsError."""
    heads = {head.name: head for head in classifier.heads}
    if name is None:
        return classifier.heads[0]
    if name not in heads:
        raise SettingsError(f"'{name}' is not a head of this classifier. {did_you_mean(name, heads)}")
    return heads[name]


def class_of(classifier: Classifier, frame: Images, head: Head, name: str | None) -> str:
    """The class of that name, or the likeliest for a frame. Raises SettingsError."""
    return likeliest(classifier, frame[np.newaxis], head)[0] if name is None else _known_class(head, name)


def likeliest(classifier: Classifier, frames: Images, head: Head) -> list[str]:
    """A class for each frame; of `labels` one too."""
    predictions = classifier.predict(list(frames))
    return [max(head.classes, key=prediction.heads[head.name].__getitem__) for prediction in predictions]


def views(classifier: Classifier, head: Head) -> list[View]:
    """The ways to look at a head's answer: the plain one first, then a finer one, if there is one.

    Grad-CAM looks at the last maps, HiResCAM at the last ones that are at least twice as fine (Draelos and Carin, "Use
    HiResCAM instead of Grad-CAM", 2020). Where there are none such, integrated gradients look at the pixels
    (Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017).
    """
    last, finer = targets(classifier, head.name)
    at_pixels = View("integrated-gradients")
    if last is None:
        return [at_pixels]
    return [View("grad-cam", last), View("hires-cam", finer) if finer else at_pixels]


def checked(classifier: Classifier, frame: Images, head: Head, name: str, ways: Sequence[View]) -> list[HeatMap]:
    """A frame's heat map for a class in each of these ways, with its checks."""
    asked = _Asked(classifier, frame[np.newaxis], head, [name])
    ignorant = replace(asked, classifier=replace(classifier, network=untrained(classifier.network)))
    found = []
    for view in ways:
        [map_], [other] = (_maps(each, view, _STEPS) for each in (asked, ignorant))
        checks = check(classifier, frame, head.name, name, values=map_.values, untrained_values=other.values)
        found.append(replace(map_, checks=checks))
    return found


@dataclass(frozen=True, eq=False)
class _Asked:
    """Frames uint8 (n, height, width, channels), and for which class of a head each is looked at."""

    classifier: Classifier
    frames: Images
    head: Head
    names: Sequence[str]

    def images(self, frames: Images) -> Tensor:
        """Normalised, (n, channels, height, width)."""
        return pixels.normalise(torch.tensor(frames, device=self.classifier.device), self.classifier.pixels)

    def score(self, logits: dict[str, Tensor]) -> Tensor:
        """The sum of the logits of these classes; for the first class of a `binary` head the negative one."""
        own = logits[self.head.name]
        numbers = [self.head.classes.index(name) for name in self.names]
        if self.head.kind == "binary":
            return (own[:, 0] * torch.tensor([2.0 * number - 1 for number in numbers]).to(own)).sum()
        return own[range(len(numbers)), numbers].sum()


def _maps(asked: _Asked, view: View, steps: int) -> list[HeatMap]:
    values, probabilities = _cam(asked, view) if view.place else _integrated(asked, steps)
    layer = view.place.layer if view.place else None
    return [
        HeatMap(asked.head.name, name, probability, view.method, layer, _scaled(value), asked.classifier.pixels)
        for name, probability, value in zip(asked.names, probabilities, values, strict=True)
    ]


def _cam(asked: _Asked, view: View) -> tuple[Values, list[float]]:
    """HiResCAM multiplies a map with its gradient at each place, Grad-CAM with the gradient's mean over all places."""
    assert view.place
    classifier, head = asked.classifier, asked.head
    maps, gradient, logits = activation_and_gradient(classifier, asked.images(asked.frames), view.place, asked.score)
    if view.method == "grad-cam":
        gradient = gradient.mean(dim=(2, 3), keepdim=True)
    heat = (maps * gradient).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=classifier.shape[:2], mode="bicubic", align_corners=False).relu()
    rows = zip(classifier.answers(head, logits[head.name]), asked.names, strict=True)
    return heat[:, 0].cpu().numpy(), [per_class(head, row)[head.classes.index(name)] for row, name in rows]


def _integrated(asked: _Asked, steps: int) -> tuple[Values, list[float]]:
    """What each pixel adds to the answer on a straight way from the blurred picture to the picture itself."""
    images, start = asked.images(asked.frames), asked.images(blurred(asked.frames))
    total = torch.zeros_like(images)
    for step in range(steps):
        between = start + (images - start) * ((step + 0.5) / steps)
        total += input_gradient(asked.classifier, between, asked.score)
    heat = (total * (images - start)).sum(dim=1).relu().cpu().numpy()
    deviation = max(asked.frames.shape[1:3]) / _GRAIN
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), deviation) for one in heat])
    rows = zip(asked.classifier.predict(list(asked.frames)), asked.names, strict=True)
    return smooth, [prediction.heads[asked.head.name][name] for prediction, name in rows]


def _scaled(values: Values) -> Values:
    values = np.nan_to_num(values)
    most = values.max()
    return values / most if most > 0 else values


def _known_class(head: Head, name: str) -> str:
    if name not in head.classes:
        raise SettingsError(f"'{name}' is not a class of head '{head.name}'. {did_you_mean(name, head.classes)}")
    return name
