"""Whether a heat map means anything: what hiding its hot region does, and what random weights would show."""

import copy
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from noonchi import device
from noonchi.classifier import Classifier
from noonchi.pixels import Images

HIDDEN_SHARE = 0.2
"""Of the picture's area."""
DRAWS = 8

_BLUR = 8
"""What is hidden is blurred by a Gaussian of this part of the longer side: colours stay, things vanish."""
_LEAST_DROP = 0.05
_ALIKE = 0.7
"""Rank correlation from which a map is called much like another."""

Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Effect = Literal["empty", "improbable", "clear", "some", "little", "steady"]


@dataclass(frozen=True, eq=False)
class Checks:
    """How a heat map stands up to being doubted."""

    probability: float
    """Of the class, for the whole picture."""
    hidden_drop: float
    """By how much the probability falls when the hottest fifth of the area is hidden."""
    random_drops: tuple[float, ...]
    """The same when as much of the same shape is hidden elsewhere."""
    similarity: float
    """Rank correlation with the map of the same network with random weights, -1 to 1 (Adebayo et al. 2018)."""
    untrained_values: Values
    """That map."""
    hidden: Images
    """The frame with the hottest fifth hidden."""
    hidden_elsewhere: Images
    """The frame as in the first of the random draws."""
    empty: bool
    """Whether the map is 0 everywhere."""

    @property
    def random_drop(self) -> float:
        """The mean over the draws."""
        return float(np.mean(self.random_drops))

    @property
    def effect(self) -> Effect:
        """What hiding says of the map.

        `clear`: its hot region lowers the probability by 0.05 or more, and at least twice as much as other places do;
        `some`: by 0.05 more than other places; `little`: less than that; `steady`: no place lowers it by 0.05.
        `improbable`: the probability is below 0.05 to begin with, so that hiding cannot show anything. `empty`: nothing
        is hot.
        """
        if self.empty:
            return "empty"
        if self.probability < _LEAST_DROP:
            return "improbable"
        if max(self.hidden_drop, self.random_drop) < _LEAST_DROP:
            return "steady"
        if self.hidden_drop >= _LEAST_DROP and self.hidden_drop >= 2 * self.random_drop:
            return "clear"
        return "some" if self.hidden_drop - self.random_drop >= _LEAST_DROP else "little"

    @property
    def like_untrained(self) -> bool:
        """Whether random weights give much the same map, so that it shows the picture more than what was learned."""
        return self.similarity >= _ALIKE

    def to_json(self) -> dict[str, Any]:
        """Numbers and verdicts, without pictures."""
        return {
            "drop_when_hot_region_hidden": self.hidden_drop,
            "drop_when_random_region_hidden": self.random_drop,
            "random_drops": list(self.random_drops),
            "similarity_with_random_weights": self.similarity,
            "effect": self.effect,
            "like_untrained": self.like_untrained,
        }


def check(
    classifier: Classifier, frame: Images, head: str, name: str, *, values: Values, untrained_values: Values
) -> Checks:
    """Hides the hottest fifth of a frame uint8 (height, width, channels), and regions like it elsewhere."""
    hot = hottest(values)
    masks = [hot, *(elsewhere(hot, draw) for draw in range(DRAWS))]
    shown = np.stack([frame, *hide(np.stack([frame] * len(masks)), np.stack(masks))])
    whole, hidden, *others = (prediction.heads[head][name] for prediction in classifier.predict(list(shown)))
    return Checks(
        probability=whole,
        hidden_drop=whole - hidden,
        random_drops=tuple(whole - other for other in others),
        similarity=rank_correlation(values, untrained_values),
        untrained_values=untrained_values,
        hidden=shown[1],
        hidden_elsewhere=shown[2],
        empty=not values.any(),
    )


def hottest(values: Values) -> Mask:
    """Where the highest fifth of the values (height, width) are; which of equal ones is drawn.

    >>> hottest(np.arange(5, dtype=np.float32).reshape(1, 5)).tolist()
    [[False, False, False, False, True]]
    """
    generator = np.random.default_rng(device.counted_seed("equally hot"))
    order = np.lexsort((generator.random(values.size), values.ravel()))
    mask = np.zeros(values.size, bool)
    mask[order[-max(1, round(HIDDEN_SHARE * values.size)) :]] = True
    return mask.reshape(values.shape)


def elsewhere(mask: Mask, draw: int) -> Mask:
    """The same shape at a random place; what leaves the picture on one side comes back on the other."""
    generator = np.random.default_rng(device.counted_seed("elsewhere", draw))
    return np.asarray(np.roll(mask, [int(generator.integers(side)) for side in mask.shape], axis=(0, 1)))


def hide(frames: Images, masks: Mask) -> Images:
    """Frames (n, height, width, channels), strongly blurred where masks (n, height, width) say."""
    return np.where(masks[..., np.newaxis], blurred(frames), frames)


def blurred(frames: Images) -> Images:
    """Frames (n, height, width, channels) so strongly blurred that their colours stay and things vanish."""
    deviation = max(frames.shape[1:3]) / _BLUR
    return np.stack([cv2.GaussianBlur(frame, (0, 0), deviation).reshape(frame.shape) for frame in frames])


def untrained(network: nn.Module) -> nn.Module:
    """A copy whose weights are all drawn anew, always the same, so that it has learned nothing.

    Convolutions and dense layers as He et al. (2015), which keeps signals of a size through many layers; other layers
    as they begin, and weights that know no beginning are shuffled. For the comparison of Adebayo et al., "Sanity Checks
    for Saliency Maps" (2018).
    """
    made = copy.deepcopy(network)
    kind = next((weight.device.type for weight in made.parameters()), "cpu")
    with device.seeded(kind, 0, "untrained"):
        for layer in made.modules():
            _begin(layer)
    return made


def rank_correlation(one: Values, other: Values) -> float:
    """Spearman's: 1 where both order the places alike, 0 where they have nothing in common or one is flat.

    >>> round(rank_correlation(np.array([1, 2, 3], np.float32), np.array([2, 4, 9], np.float32)), 6)
    1.0
    """
    first, second = (_ranks(values) - (values.size - 1) / 2 for values in (one, other))
    length = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / length if length else 0.0


@torch.no_grad()
def _begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
    else:
        for weight in layer.parameters(recurse=False):
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), device=weight.device)].view_as(weight))


def _ranks(values: Values) -> npt.NDArray[np.float64]:
    """Counted from 0; equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(sizes) - (sizes + 1) / 2)[group.ravel()])
