"""How one head did on the pictures of a split: its numbers, and which of the pictures are worth a look."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noonchi import metrics
from noonchi.answers import Answers
from noonchi.results import Bin, ClassScores, Head, Measured, Sure

MOST_MATRIX = 30
"""Classes up to which a confusion matrix is drawn; of more, the pairs most often confused are told."""
MOST_PAIRS = 20
_LEAST = (0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Probabilities below which an answer may be held back."""


@dataclass(frozen=True)
class Case:
    """A picture, what it is and what was answered."""

    at: int
    """Its position among the answers."""
    name: str
    labelled: str
    answered: str
    right: bool
    number: int
    """Of the class that `probability` is of: the one answered, for `labels` the one that makes the case."""
    probability: float


@dataclass(frozen=True)
class Confused:
    """Pictures of one class that were answered with another."""

    labelled: str
    answered: str
    pictures: int
    of: int
    """Pictures labelled so."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """How one head did."""

    head: Head
    pictures: int
    accuracy: Measured
    macro_f1: Measured
    loss: Measured
    calibration_error: float
    classes: tuple[ClassScores, ...]
    confusion: np.ndarray | None
    """(classes, classes): a row a label, a column an answer; None for `labels`."""
    bins: tuple[Bin, ...]
    abstaining: tuple[Sure, ...]
    mistakes: tuple[Case, ...]
    """The surest first."""
    unsure: tuple[Case, ...]
    """The least sure first, without those among the mistakes."""
    examples: tuple[Case, ...]
    """One of each class, or of some classes."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """All pictures that are shown."""
        return (*self.mistakes, *self.unsure, *self.examples)

    @property
    def confused(self) -> list[Confused]:
        """The pairs most often confused, at most 20, the most frequent first."""
        if self.confusion is None:
            return []
        wrong = self.confusion * (1 - np.eye(len(self.confusion), dtype=int))
        most = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
        pairs = [divmod(int(cell), len(wrong)) for cell in most if wrong.flat[cell]]
        names, totals = self.head.classes, self.confusion.sum(axis=1)
        return [Confused(names[row], names[to], int(wrong[row, to]), int(totals[row])) for row, to in pairs]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.head.kind,
            **{name: getattr(self, name).to_json() for name in ("accuracy", "macro_f1", "loss")},
            "calibration_error": self.calibration_error,
            "classes": [one.to_json() for one in self.classes],
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "reliability": [one.to_json() for one in self.bins],
            "abstaining": [one.to_json() for one in self.abstaining],
            "mistakes": [case.name for case in self.mistakes],
            "unsure": [case.name for case in self.unsure],
        }


def outcome(head: Head, answers: Answers, most: int = 12) -> Outcome:
    """How a head did, with at most so many pictures of each kind to look at.

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> ids, labels, said = np.array(["a", "b"]), {"odd": np.array([0, 1])}, {"odd": np.array([[0.9], [0.8]])}
    >>> found = outcome(head, Answers((head,), ids, ids, labels, said))
    >>> [(case.name, case.answered) for case in found.mistakes], found.accuracy.value
    ([('a', 'odd')], 0.5)
    """
    labels, probabilities = answers.labels[head.name], answers.probabilities[head.name].astype(np.float64)
    scores = metrics.head_scores(head, labels, probabilities)
    wrong = _mistakes(head, labels, probabilities)[:most]
    doubtful = np.argsort(metrics.certainty(head, probabilities), kind="stable")
    chosen = (wrong, doubtful[~np.isin(doubtful, wrong)][:most], _one_of_each(head, labels, most))
    mistakes, unsure, examples = (tuple(_case(head, answers, int(at)) for at in each) for each in chosen)
    return Outcome(
        head=head,
        pictures=len(labels),
        accuracy=Measured(scores.accuracy, scores.accuracy_interval),
        macro_f1=metrics.macro_f1(head, labels, probabilities),
        loss=metrics.mean_loss(head, labels, probabilities),
        calibration_error=metrics.calibration_error(head, labels, probabilities),
        classes=metrics.class_scores(head, labels, probabilities),
        confusion=None if head.kind == "labels" else metrics.confusion(head, labels, probabilities),
        bins=metrics.reliability(head, labels, probabilities),
        abstaining=tuple(metrics.sure_scores(head, labels, probabilities, least) for least in _LEAST),
        mistakes=mistakes,
        unsure=unsure,
        examples=examples,
    )


def _mistakes(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Positions of pictures with a wrong answer, the surest wrong one first."""
    wrong = (metrics.answers(head, probabilities) != labels).reshape(len(labels), -1)
    sure = (
        np.maximum(probabilities, 1 - probabilities) if head.kind != "classes" else probabilities.max(1, keepdims=True)
    )
    surest = np.where(wrong, sure, 0).max(axis=1)
    return np.argsort(-surest, kind="stable")[: np.count_nonzero(surest)]


def _one_of_each(head: Head, labels: np.ndarray, most: int) -> np.ndarray:
    """The first picture of each class, or of so many classes evenly spaced; each picture once."""
    holds = labels if head.kind == "labels" else np.arange(len(head.classes)) == labels[:, np.newaxis]
    there = np.flatnonzero(holds.any(axis=0))
    chosen = there[np.linspace(0, len(there) - 1, min(most, len(there))).astype(int)] if len(there) else there
    return np.array(list(dict.fromkeys(holds[:, chosen].argmax(axis=0).tolist())), dtype=int)


def _case(head: Head, answers: Answers, at: int) -> Case:
    label, row = answers.labels[head.name][at], answers.probabilities[head.name][at].astype(np.float64)
    answer = metrics.answers(head, row[np.newaxis])[0]
    number = _telling(label != answer, row) if head.kind == "labels" else int(answer)
    of_each = np.array([1 - row[0], row[0]]) if head.kind == "binary" else row
    right, name = bool(np.all(label == answer)), str(answers.ids[at])
    return Case(at, name, head.text(label), head.text(answer), right, number, float(of_each[number]))


def _telling(wrong: np.ndarray, row: np.ndarray) -> int:
    """Of several labels the one answered wrongly with most certainty, or of right answers the least sure."""
    sure = np.maximum(row, 1 - row)
    return int(np.where(wrong, sure, 0).argmax() if wrong.any() else sure.argmin())
