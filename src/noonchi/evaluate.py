"""How a classifier does on pictures whose labels are known. Always in float32, as in prediction."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from noonchi.batches import Batch, Batches
from noonchi.classifier import Classifier
from noonchi.errors import DataError
from noonchi.metrics import best_temperature, head_scores, sure_scores, tempered
from noonchi.ranks import Ranks
from noonchi.results import Head, HeadScores, Scores, Split


class InOrder(Protocol):
    """`Batches`, of which several processes may each have a part, or `Passes`."""

    def in_order(self) -> Iterator[Batch]:
        """Every picture once."""


class Answered(NamedTuple):
    """By head: what pictures are, and the probabilities (n, outputs) that a classifier gives them."""

    labels: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]


def evaluate(
    classifier: Classifier,
    batches: InOrder,
    split: Split,
    loss_weights: Mapping[str, float] | None = None,
    least: float | None = None,
) -> Scores:
    """Loss and accuracy of every head, over all pictures of `batches`; with `least` also of the answers so probable.

    The total loss weighs heads by `loss_weights` (1 each where not named). Losses carry neither label smoothing nor
    class weights, so that they compare between recipes. Raises DataError where there is no picture.
    """
    return scored(classifier.heads, answered(classifier, batches, split), split, loss_weights, least)


def answered(classifier: Classifier, batches: InOrder, split: Split) -> Answered:
    """What a classifier says of all pictures of `batches`, in all of the processes that have a part of them.

    Raises DataError where there is none.
    """
    answers = {head.name: _Rows() for head in classifier.heads}
    labels = {head.name: _Rows() for head in classifier.heads}
    quick = classifier.answering()

    def work(batch: Batch) -> tuple[Mapping[str, Tensor], dict[str, np.ndarray]]:
        return batch.targets, quick.of_images(batch.images)

    for targets, found in classifier.in_parallel(work, batches.in_order()):
        for name, rows in found.items():
            answers[name].append(rows)
            labels[name].append(targets[name].cpu().numpy())
    own = Answered(*({name: rows.array for name, rows in each.items()} for each in (labels, answers)))
    whole = _of_all(own, batches.ranks) if isinstance(batches, Batches) else own
    if not len(next(iter(whole.labels.values()))):
        raise DataError(f"there are no pictures to {'validate' if split == 'val' else split} on; give some.")
    return whole


def _of_all(found: Answered, ranks: Ranks) -> Answered:
    """What every process has found, one's pictures after the other's."""
    if ranks.count == 1:
        return found
    parts = [part for part in ranks.gathered(found) if len(next(iter(part.labels.values())))]
    joined = ({name: np.concatenate([part[at][name] for part in parts]) for name in found[at]} for at in (0, 1))
    return Answered(*joined) if parts else found


def scored(
    heads: tuple[Head, ...],
    found: Answered,
    split: Split,
    loss_weights: Mapping[str, float] | None = None,
    least: float | None = None,
) -> Scores:
    """The scores of what was answered, as `evaluate` gives them."""
    each = {head.name: _scores(head, found.labels[head.name], found.probabilities[head.name], least) for head in heads}
    weights = loss_weights or {}
    total = sum(scores.loss * weights.get(name, 1.0) for name, scores in each.items())
    return Scores(split, len(next(iter(found.labels.values()))), total, each)


def calibrated(heads: tuple[Head, ...], found: Answered) -> tuple[dict[str, float], Answered]:
    """A temperature for each head, fitted to what was answered, and the answers at it."""
    temperatures = {
        head.name: best_temperature(head, found.labels[head.name], found.probabilities[head.name]) for head in heads
    }
    answers = {head.name: tempered(head, found.probabilities[head.name], temperatures[head.name]) for head in heads}
    return temperatures, Answered(found.labels, answers)


def _scores(head: Head, labels: np.ndarray, answers: np.ndarray, least: float | None) -> HeadScores:
    if not head.classes:  # a plain module's head: how many classes it has is known from its answers alone
        head = replace(head, classes=tuple(map(str, range(answers.shape[1]))))
    scores = head_scores(head, labels, answers)
    return scores if least is None else replace(scores, sure=sure_scores(head, labels, answers, least))


class _Rows:
    """Rows gathered in one array that doubles.

    An array a batch would each lie in what the batch before had freed: the next one's maps would no longer fit there,
    and memory would grow with the pictures.
    """

    def __init__(self) -> None:
        self._held: np.ndarray | None = None
        self._count = 0

    @property
    def array(self) -> np.ndarray:
        return np.empty(0) if self._held is None else self._held[: self._count]

    def append(self, rows: np.ndarray) -> None:
        first, self._count = self._count, self._count + len(rows)
        if self._held is None or self._count > len(self._held):
            held = np.empty((2 * self._count, *rows.shape[1:]), rows.dtype)
            held[:first] = self._held[:first] if self._held is not None else 0
            self._held = held
        self._held[first : self._count] = rows
