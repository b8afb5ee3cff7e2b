"""What each layer gives for a picture, channel by channel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noonchi import pixels
from noonchi.classifier import Classifier
from noonchi.explain.layers import Output, outputs, parts
from noonchi.pixels import Images

MOST_CHANNELS = 64
"""Shown of a layer: those that answer most strongly."""
MOST_NUMBERS = 2048
"""Shown of a layer that gives single numbers: the first."""


@dataclass(frozen=True, eq=False)
class Activation:
    """What a layer gives for one picture."""

    layer: str
    kind: str
    """The layer's class."""
    shape: tuple[int, ...]
    """Height, width and channels of maps; of others as the layer gives them."""
    channels: tuple[int, ...]
    """Which of the maps are held; none where the layer gives single numbers."""
    values: npt.NDArray[np.float32]
    """(channels, height, width), or (numbers,)."""
    same_as: str | None = None
    """The layer before, where this one hands on the same numbers; `values` are then left out."""

    @property
    def total(self) -> int:
        """Channels or numbers that the layer has."""
        return self.shape[-1] if self.channels else int(np.prod(self.shape))

    def to_json(self) -> dict[str, Any]:
        """Without the values."""
        told: dict[str, Any] = {"layer": self.layer, "kind": self.kind, "shape": list(self.shape)}
        if self.same_as:
            return told | {"same_as": self.same_as}
        return told | ({"channels": list(self.channels)} if self.channels else {"numbers": len(self.values)})


def activations(classifier: Classifier, frame: Images) -> list[Activation]:
    """What each layer gives for a frame uint8 (height, width, channels), first to last."""
    network = classifier.network
    images = pixels.normalise(torch.tensor(frame[np.newaxis], device=classifier.device), classifier.pixels)
    found: list[Activation] = []
    before: Output | None = None
    for given in outputs(classifier, images, parts(network)):
        kind = type(network.get_submodule(given.layer)).__name__
        same = before is not None and torch.equal(before.tensor.flatten(), given.tensor.flatten())
        # the one that it really comes from, of several that hand on the same
        earlier = (found[-1].same_as or found[-1].layer) if same else None
        found.append(_activation(given.layer, kind, given.tensor[0].cpu(), earlier))
        before = given
    return found


def _activation(layer: str, kind: str, value: Tensor, same_as: str | None) -> Activation:
    maps = value.unsqueeze(0) if value.ndim == 2 else value  # tokens and their features are one map
    if maps.ndim != 3:
        numbers = maps.flatten()
        held = numbers[: 0 if same_as else MOST_NUMBERS]
        return Activation(layer, kind, (len(numbers),), (), held.numpy(), same_as)
    strength = maps.abs().amax(dim=(1, 2))
    channels = sorted(strength.topk(min(MOST_CHANNELS, len(maps))).indices.tolist())
    shape = (maps.shape[1], maps.shape[2], maps.shape[0])
    held = maps[channels[: 0 if same_as else None]]
    return Activation(layer, kind, shape, tuple(channels), held.numpy(), same_as)
