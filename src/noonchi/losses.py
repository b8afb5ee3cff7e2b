"""What training lowers: one loss a head, and their weighted sum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noonchi.errors import SettingsError, did_you_mean
from noonchi.results import Head
from noonchi.settings import HeadSettings


@dataclass(frozen=True, eq=False)
class Objective:
    """A head with how its loss counts."""

    head: Head
    weight: float = 1.0
    class_weights: Tensor | None = None
    """One factor a class, in class order."""


def objectives(
    heads: tuple[Head, ...], settings: Mapping[str, HeadSettings], labels: Mapping[str, np.ndarray]
) -> tuple[Objective, ...]:
    """An objective a head; `labels` are the training pictures', for `class_weights = "balanced"`.

    Raises SettingsError for weights of classes that are not there.
    """
    out = []
    for head in heads:
        own = settings.get(head.name, HeadSettings())
        out.append(Objective(head, own.loss_weight, _class_weights(head, own, labels[head.name])))
    return tuple(out)


def head_weights(objectives: Iterable[Objective]) -> dict[str, float]:
    """What each head's loss counts for in the total, by the head's name."""
    return {objective.head.name: objective.weight for objective in objectives}


def loss(objective: Objective, logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean loss over a batch, in float32.

    Logits are (n, outputs). Targets are class numbers (n,) for `classes` and `binary`, zeros and ones (n, classes)
    for `labels`. A class's weight multiplies its pictures' losses; the mean is over pictures, as in Keras.

    >>> head = Head("label", "classes", ("cat", "dog"))
    >>> float(loss(Objective(head), torch.zeros(3, 2), torch.tensor([0, 1, 1])))  # ln 2
    0.6931471824645996
    """
    logits = logits.float()
    weights = None if objective.class_weights is None else objective.class_weights.to(logits.device)
    if objective.head.kind == "classes":
        # given to cross_entropy, the weights would also weigh the part of a label that smoothing spreads
        each = F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    else:
        hard = targets.float().view_as(logits)
        soft = hard * (1 - label_smoothing) + label_smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    if weights is not None:
        each = each * (weights if objective.head.kind == "labels" else weights[targets].view_as(each))
    return each.mean()


def total_loss(
    objectives: tuple[Objective, ...],
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    label_smoothing: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and each head's own loss."""
    each = {o.head.name: loss(o, logits[o.head.name], targets[o.head.name], label_smoothing) for o in objectives}
    return torch.stack([each[o.head.name] * o.weight for o in objectives]).sum(), each


def probabilities(head: Head, logits: Tensor) -> Tensor:
    """Softmax for `classes`, a sigmoid an output for the others; (n, outputs) float64, on the processor.

    In float32 a sure sigmoid rounds to 1, and a sure mistake would cost 87 where it costs less.

    >>> probabilities(Head("odd", "binary", ("even", "odd")), torch.zeros(1, 1)).tolist()
    [[0.5]]
    """
    exact = logits.cpu().double()
    return exact.softmax(dim=1) if head.kind == "classes" else exact.sigmoid()


def right_answers(head: Head, logits: Tensor, targets: Tensor) -> Tensor:
    """How many of a batch's pictures are answered right; for `labels`, in shares of a picture's classes."""
    if head.kind == "classes":
        return (logits.argmax(dim=1) == targets).sum()
    hits = (logits >= 0) == targets.bool().view_as(logits)
    return hits.float().mean(dim=1).sum()


def _class_weights(head: Head, settings: HeadSettings, labels: np.ndarray) -> Tensor | None:
    asked = settings.class_weights
    if asked is None:
        return None
    if asked == "balanced":
        counts = labels.sum(axis=0) if head.kind == "labels" else np.bincount(labels, minlength=len(head.classes))
        # a class without training pictures has no loss to weigh
        weights = counts.sum() / (len(head.classes) * np.maximum(counts, 1))
        return torch.from_numpy(weights.astype(np.float32))
    for name in asked:
        if name not in head.classes:
            raise SettingsError(
                f"heads.{head.name}.class_weights: '{name}' is not a class. {did_you_mean(name, head.classes)}"
            )
    return torch.tensor([asked.get(name, 1.0) for name in head.classes])
