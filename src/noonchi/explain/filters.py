"""What filters look for: pictures that excite them most, found by gradient ascent, and the first layer's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from noonchi import device, pixels
from noonchi.classifier import Classifier
from noonchi.errors import SettingsError, did_you_mean
from noonchi.explain.layers import parts, up_to
from noonchi.networks import evaluating
from noonchi.networks.parts import Layers
from noonchi.pixels import Images

_MOST_WEIGHTS = 64
_STEPS = 32
_RATE = 0.07
_SIDE = 96
"""Pixels a side of what is looked for in networks whose first layers take any size."""
_FINEST = 0.3
"""Waves a pixel from which structures fade."""
_CHROMA = 0.3
"""Of a picture's colours to its light and dark, about as in photographs."""
_JITTER = 12
"""The picture is moved by up to this part of its side at each step."""


@dataclass(frozen=True, eq=False)
class Sought:
    """What some filters of a layer look for."""

    layer: str
    channels: tuple[int, ...]
    total: int
    """Filters that the layer has."""
    pictures: Images
    """(n, height, width, channels)"""

    def to_json(self) -> dict[str, Any]:
        """Without the pictures."""
        return {"layer": self.layer, "filters": list(self.channels), "of": self.total}


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of the first layer, a picture each."""

    layer: str
    total: int
    """Filters that the layer has."""
    values: npt.NDArray[np.float32]
    """(filters, height, width, channels) of the first 64 at most."""

    def to_json(self) -> dict[str, Any]:
        """Without the values."""
        return {"layer": self.layer, "filters": len(self.values), "of": self.total}


def default_layers(network: nn.Module) -> list[str]:
    """Of the layers with convolutions those at a third, at two thirds and at the end; where there are none, dense ones.

    The first ones are better known by their weights: what they look for is often plain light.

    >>> default_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(5, 2)))
    ['2']
    """
    for kind in (nn.Conv2d, nn.Linear):
        found = [name for name in parts(network) if _holds(network.get_submodule(name), kind)]
        if found:
            last = len(found) - 1
            return list(dict.fromkeys(found[at] for at in (-(-last // 3), -(-last * 2 // 3), last)))
    return []


def sought(classifier: Classifier, frame: Images, layers: Sequence[str], count: int) -> list[Sought]:
    """What filters of each layer look for: those that this frame (height, width, channels) excites most.

    Raises SettingsError for a layer that is not there or whose output has no filters.
    """
    network = classifier.network
    known = [name for name, _ in network.named_modules() if name]
    for layer in layers:
        if layer not in known:
            raise SettingsError(f"'{layer}' is not a layer of this network. {did_you_mean(layer, parts(network))}")
    images = pixels.normalise(torch.tensor(frame[np.newaxis], device=classifier.device), classifier.pixels)
    found = []
    for layer in layers:
        with evaluating(network):
            given = up_to(classifier, images, layer)
        if given is None or given.ndim not in (2, 4):
            raise SettingsError(f"layer '{layer}' gives neither maps nor a row of numbers; name another.")
        strength = _strength(given)[0]
        channels = sorted(strength.topk(min(count, len(strength))).indices.tolist())
        pictures = _ascended(classifier, layer, channels, maps=given.ndim == 4)
        found.append(Sought(layer, tuple(channels), len(strength), pictures))
    return found


def first_weights(classifier: Classifier) -> Weights | None:
    """Of the first layer that sees the picture itself: convolution, or dense on all its pixels; None for others."""
    shape = classifier.shape
    for name, layer in classifier.network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight.detach().cpu()
        if weight.ndim == 2 and weight.shape[1] == shape.channels * shape.height * shape.width:
            weight = weight.reshape(-1, shape.channels, shape.height, shape.width)
        if weight.ndim != 4 or weight.shape[1] != shape.channels:
            return None
        return Weights(name, len(weight), weight[:_MOST_WEIGHTS].permute(0, 2, 3, 1).numpy())
    return None


def _holds(layer: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(inner, kind) for inner in layer.modules())


def _strength(tensor: Tensor) -> Tensor:
    """How strong each channel (n, channels) is on the mean over its map."""
    return tensor.flatten(2).mean(dim=2) if tensor.ndim == 4 else tensor


def _ascended(classifier: Classifier, layer: str, channels: Sequence[int], *, maps: bool) -> Images:
    """A picture for each channel, from noise, after Olah, Mordvintsev and Schubert, "Feature Visualization" (2017).

    Gradients change the picture's spectrum, all frequencies alike, and so do not end in noise of the finest ones; each
    step moves the picture a little, so that only what is sought at any place remains.
    """
    height, width, colours = classifier.shape
    if maps and isinstance(classifier.network, Layers):
        height, width = min(height, _SIDE), min(width, _SIDE)
    kind = classifier.device.type
    rows = torch.arange(len(channels))
    with device.seeded(kind, 0, "noise", layer), evaluating(classifier.network), torch.enable_grad():
        spectrum = (torch.randn(len(channels), colours, height, width // 2 + 1, 2) * 0.01).to(classifier.device)
        mean, square = torch.zeros_like(spectrum), torch.zeros_like(spectrum)
        for step in range(1, _STEPS + 1):
            moved = [int(torch.randint(-(side // _JITTER), side // _JITTER + 1, ())) for side in (height, width)]
            painted = torch.roll(_painted(spectrum.requires_grad_(), height, width), moved, dims=(2, 3))
            images = pixels.normalise((painted * 255).permute(0, 2, 3, 1), classifier.pixels)
            given = up_to(classifier, images, layer)
            assert given is not None
            excited = _strength(given)[rows, list(channels)]
            [gradient] = torch.autograd.grad(excited.sum(), spectrum)
            # Adam by hand (Kingma and Ba 2015): the first step of torch.optim imports for a second
            mean, square = mean.lerp(gradient, 0.1), square.lerp(gradient**2, 0.001)
            far = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
            spectrum = spectrum.detach() + _RATE * far
        return _stretched(_painted(spectrum, height, width).detach().cpu())


def _painted(spectrum: Tensor, height: int, width: int) -> Tensor:
    """Pictures (n, colours, height, width) within 0 and 1, from the real and imaginary parts of their frequencies.

    Coarse structures get as much of each step as in photographs, whose amplitudes fall with the frequency. Light and
    dark, and two contrasts of colours, are apart, since they hardly depend on each other there (Ruderman et al., 1998).
    """
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (down**2 + across**2).sqrt().clamp_min(1 / max(height, width)).to(spectrum.device)
    amplitude = (height * width) ** 0.5 / frequency * torch.exp(-((frequency / _FINEST) ** 2))
    planes = torch.fft.irfft2(torch.view_as_complex(spectrum) * amplitude, s=(height, width)) / 4
    if planes.shape[1] == 3:
        axes = torch.tensor([[1.0, 1.0, 1.0], [_CHROMA, 0.0, -_CHROMA], [_CHROMA, -2 * _CHROMA, _CHROMA]])
        planes = torch.einsum("nahw,ac->nchw", planes, axes.to(planes))
    pictures: Tensor = planes.sigmoid()
    return pictures


def _stretched(pictures: Tensor) -> Images:
    """uint8 (n, height, width, channels), each from its darkest to its lightest."""
    low, high = (pictures.flatten(1).aminmax(dim=1)[at].view(-1, 1, 1, 1) for at in (0, 1))
    levels = (pictures - low) / (high - low).clamp_min(1e-6) * 255
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
