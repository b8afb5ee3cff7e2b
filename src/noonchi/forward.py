"""From a training batch to its logits and back: in one process, or in several of which each has a part of the batch."""

import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from noonchi.batches import Batch, Part
from noonchi.classifier import Classifier
from noonchi.device import autocast
from noonchi.networks.together import Together
from noonchi.ranks import ALONE, Ranks


@dataclass(frozen=True, eq=False)
class Forward:
    """How a classifier is taught by the batches of a training. Made by `forward`.

    Of several processes each answers its part as it would within the whole batch, and what `backward` leaves in the
    weights' gradients is the mean over all (PyTorch's DistributedDataParallel).
    """

    classifier: Classifier
    ranks: Ranks
    shared: nn.Module | None = None
    """The network with those of the other processes."""

    def logits(self, batch: Batch, precision: str) -> dict[str, Tensor]:
        """By head, of this process's part of a batch."""
        if self.shared is None:
            return logits(self.classifier, batch, precision)
        with autocast(batch.images.device.type, precision):
            return cast(dict[str, Tensor], self.shared(batch.images, batch.part))

    def backward(self, loss: Tensor, batch: Batch) -> None:
        """The gradients of the whole batch's mean loss, from that of this process's part."""
        if batch.part is not None:  # the others' parts may be larger
            loss = loss * (batch.part.pictures * self.ranks.count / batch.part.of)
        torch.autograd.backward(loss)

    def summed(self, sums: dict[str, float]) -> dict[str, float]:
        """Of every process's part of a batch together."""
        return dict(zip(sums, self.ranks.summed(np.array(list(sums.values()))).tolist(), strict=True))


def forward(classifier: Classifier, ranks: Ranks = ALONE) -> Forward:
    """How a classifier is taught by these processes. All of them must make it at once.

    Gradients are summed in an order that does not depend on the step, so that a training goes on from any step with the
    same bits.
    """
    if ranks.count == 1:
        return Forward(classifier, ranks)
    # buckets stay as they are made only where unused weights are looked for; else they are sorted after a first step
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # what takes the place of broadcast_buffers is in torch 2.13 only
        shared = DistributedDataParallel(
            _Shared(classifier, ranks), process_group=ranks.group, broadcast_buffers=False, find_unused_parameters=True
        )
    return Forward(classifier, ranks, shared)


def logits(classifier: Classifier, batch: Batch, precision: str) -> dict[str, Tensor]:
    """By head, of a whole batch."""
    with autocast(batch.images.device.type, precision):
        return classifier.logits(batch.images)


class _Shared(nn.Module):
    """A classifier as a module, which is what DistributedDataParallel takes."""

    def __init__(self, classifier: Classifier, ranks: Ranks) -> None:
        super().__init__()
        self.network = classifier.network
        self._classifier, self._ranks = classifier, ranks

    def forward(self, images: Tensor, part: Part) -> dict[str, Tensor]:
        with Together(self._ranks, *part):
            return self._classifier.logits(images)
