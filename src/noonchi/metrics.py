"""Arithmetic on labels and probabilities, with intervals."""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np

from noonchi.errors import DataError
from noonchi.results import Bin, ClassScores, Head, HeadScores, Measured, Sure

# keeps the logarithm of a probability of 0 finite: at most 87.3 a picture
_LEAST = float(np.finfo(np.float32).tiny)
_GOLDEN = (math.sqrt(5) - 1) / 2
_RESAMPLES = 500
"""Of a bootstrap: its ends then lie between the 12th and 13th lowest and highest."""


def wilson_interval(right: float, total: int, level: float = 0.95) -> tuple[float, float]:
    """Lowest and highest share that `right` of `total` independent answers speaks for; it always holds their ratio.

    A fraction in `right` counts part of an answer. No answers say nothing: (0, 1). Wilson, Journal of the American
    Statistical Association 22 (1927).

    >>> low, high = wilson_interval(90, 100)
    >>> f"{low:.3f} to {high:.3f}"
    '0.826 to 0.945'
    """
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2) / (1 + z * z / total)
    # rounding can put an end a hair on the wrong side of a share of 0 or 1
    return min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach))


def head_scores(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> HeadScores:
    """Loss (natural logarithm, mean) and accuracy of one head, worked out in float64.

    `classes`: `labels` (n,) class numbers, `probabilities` (n, classes). `binary`: `labels` (n,) of 0 and 1,
    `probabilities` (n, 1) of the second class. `labels`: both (n, classes), `labels` of 0 and 1; loss and accuracy are
    means over all n * classes answers, while the interval counts n, as answers about one picture are not independent.
    A NaN among the probabilities makes the loss NaN. Raises DataError where there is no picture.

    >>> scores = head_scores(Head("odd", "binary", ("even", "odd")), np.array([0, 1]), np.array([[0.2], [0.4]]))
    >>> scores.accuracy, round(scores.loss, 4)
    (0.5, 0.5697)
    """
    count = len(labels)
    if count == 0:
        raise DataError(f"head '{head.name}' has no pictures to be scored on; choose a split that holds some.")
    assert probabilities.shape == (count, head.outputs)
    loss = float(_losses(head, labels, probabilities.astype(np.float64)).mean())
    accuracy = float((answers(head, probabilities) == labels).mean())
    return HeadScores(loss, accuracy, wilson_interval(accuracy * count, count))


def answers(head: Head, probabilities: np.ndarray) -> np.ndarray:
    """What the head says, in the shape of its labels: class numbers (n,), for `labels` 0 or 1 (n, classes).

    One half counts as yes; of equally likely classes the first is taken.

    >>> answers(Head("odd", "binary", ("even", "odd")), np.array([[0.5], [0.4]]))
    array([1, 0])
    """
    if head.kind == "classes":
        return np.asarray(probabilities.argmax(axis=1))
    yes = (probabilities >= 0.5).astype(np.int64)
    return yes[:, 0] if head.kind == "binary" else yes


def confusion(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Numbers of pictures (classes, classes): a row for each true class, a column for each answer.

    Not for `labels`, where a picture has no one true class.

    >>> confusion(Head("odd", "binary", ("even", "odd")), np.array([0, 1, 1]), np.array([[0.2], [0.4], [0.9]]))
    array([[1, 0],
           [1, 1]])
    """
    assert head.kind != "labels"
    side = len(head.classes)
    cells = labels * side + answers(head, probabilities)
    return np.bincount(cells, minlength=side * side).reshape(side, side)


def tempered(head: Head, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, outputs) with their logits divided by `temperature`: above 1 less sure, the same answers.

    >>> tempered(Head("odd", "binary", ("even", "odd")), np.array([[0.9]]), 2.0).round(2)
    array([[0.75]])
    """
    if temperature == 1:
        return probabilities
    if head.kind == "classes":
        logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    yes, no = np.maximum(probabilities, _LEAST), np.maximum(1 - probabilities, _LEAST)
    return np.asarray(1 / (1 + np.exp((np.log(no) - np.log(yes)) / temperature)))


def best_temperature(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature, within 1/20 and 20, under which known labels are most probable (Guo et al. 2017).

    Few pictures move it little: it is drawn to 1 as strongly as by a log-normal prior of spread 0.5.

    >>> sure = np.array([[0.99, 0.01]] * 10)
    >>> best_temperature(Head("label", "classes", ("a", "b")), np.array([0] * 7 + [1] * 3), sure) > 2
    True
    """

    def cost(logarithm: float) -> float:
        losses = _losses(head, labels, tempered(head, probabilities, math.exp(logarithm)))
        return float(losses.sum()) + 2 * logarithm**2

    low, high = -math.log(20), math.log(20)
    for _ in range(40):  # golden section
        left, right = high - (high - low) * _GOLDEN, low + (high - low) * _GOLDEN
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return math.exp((low + high) / 2)


def class_scores(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of each class, in class order, with Wilson's intervals.

    That of F1 comes from Wilson's for right / (pictures + answered - right), which F1 rises with (Lam, Gopal and Qian,
    *Confidence Intervals for the F1 Score*, 2023: Wilson indirect).

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> [one.recall.value for one in class_scores(head, np.array([0, 1, 1]), np.array([[0.2], [0.4], [0.9]]))]
    [1.0, 0.5]
    """
    counts = [_by_class(head, which).tolist() for which in _held(head, labels, answers(head, probabilities))]
    return tuple(_scores_of(name, *numbers) for name, *numbers in zip(head.classes, *counts, strict=True))


def macro_f1(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> Measured:
    """The mean F1 of those classes that occur, each counted alike, with a bootstrap interval over pictures.

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> macro_f1(head, np.array([0, 1]), np.array([[0.2], [0.9]]))
    Measured(value=1.0, interval=(1.0, 1.0))
    """
    held = _held(head, labels, answers(head, probabilities))

    def mean(weights: np.ndarray) -> float:
        pictures, answered, right = (_by_class(head, which, weights) for which in held)
        occurs = pictures + answered > 0
        return float((2 * right[occurs] / (pictures + answered)[occurs]).mean()) if occurs.any() else 0.0

    return Measured(mean(np.ones(len(labels))), _ends([mean(weights) for weights in _resampled(len(labels))]))


def mean_loss(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> Measured:
    """The loss of `head_scores` with a bootstrap interval over pictures.

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> mean_loss(head, np.array([0, 1]), np.array([[0.5], [0.5]])).interval[0].__round__(3)
    0.693
    """
    losses = each_loss(head, labels, probabilities)
    return Measured(float(losses.mean()), bootstrap_interval(losses, draws=_RESAMPLES))


def share(some: int, total: int) -> Measured:
    """A share of independent cases, with Wilson's interval.

    >>> share(0, 0).value is None
    True
    """
    return Measured(some / total if total else None, wilson_interval(some, total))


def reliability(head: Head, labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> tuple[Bin, ...]:
    """How many answers are right, by the probability of what is answered, in bins of equal width; empty ones left out.

    For `labels` each class of a picture is an answer; the intervals count them as independent (Naeini et al. 2015).

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> [one.right.value for one in reliability(head, np.array([0, 1, 0]), np.array([[0.1], [0.9], [0.7]]))]
    [0.0, 1.0]
    """
    right = (answers(head, probabilities) == labels).ravel()
    sure = probabilities.max(axis=1) if head.kind == "classes" else np.maximum(probabilities, 1 - probabilities).ravel()
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    rights, sums = (np.bincount(bin_of, values, bins) for values in (right, sure))
    return tuple(
        Bin(
            at / bins,
            (at + 1) / bins,
            int(counts[at]),
            float(sums[at] / counts[at]),
            share(int(rights[at]), int(counts[at])),
        )
        for at in np.flatnonzero(counts).tolist()
    )


def calibration_error(head: Head, labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: how far shares of right answers lie from their probabilities, as a mean over the bins
    of `reliability` (Naeini et al. 2015).

    >>> head = Head("odd", "binary", ("even", "odd"))
    >>> round(calibration_error(head, np.array([0, 1]), np.array([[0.1], [0.9]])), 3)
    0.1
    """
    found = reliability(head, labels, probabilities, bins)
    total = sum(one.answers for one in found)
    return sum(one.answers * abs((one.right.value or 0.0) - one.said) for one in found) / total


def certainty(head: Head, probabilities: np.ndarray) -> np.ndarray:
    """How probable each answer (n,) is; for `labels` the least sure of its classes, either way.

    >>> certainty(Head("odd", "binary", ("even", "odd")), np.array([[0.25], [0.5]]))
    array([0.75, 0.5 ])
    """
    if head.kind == "classes":
        return np.asarray(probabilities.max(axis=1))
    return np.asarray(np.maximum(probabilities, 1 - probabilities).min(axis=1))


def sure_enough(head: Head, probabilities: np.ndarray, least: float) -> np.ndarray:
    """Which answers (n,) are at least so probable; for `labels` those of which every class is, either way.

    >>> sure_enough(Head("odd", "binary", ("even", "odd")), np.array([[0.05], [0.6]]), 0.9)
    array([ True, False])
    """
    return np.asarray(certainty(head, probabilities) >= least)


def sure_scores(head: Head, labels: np.ndarray, probabilities: np.ndarray, least: float) -> Sure:
    """How the head does where it abstains from answers less probable than `least`.

    >>> head, labels = Head("odd", "binary", ("even", "odd")), np.array([0, 1])
    >>> sure_scores(head, labels, np.array([[0.05], [0.4]]), 0.9).coverage
    0.5
    """
    kept = sure_enough(head, probabilities, least)
    right = (answers(head, probabilities) == labels).reshape(len(labels), -1).mean(axis=1)[kept]
    count = len(right)
    accuracy = float(right.mean()) if count else 1.0
    return Sure(least, float(kept.mean()), accuracy, wilson_interval(accuracy * count, count))


def each_right(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether each picture is answered right (n,); for `labels` whether all of its labels are.

    >>> each_right(Head("odd", "binary", ("even", "odd")), np.array([0, 1]), np.array([[0.2], [0.4]]))
    array([ True, False])
    """
    return np.asarray((answers(head, probabilities) == labels).reshape(len(labels), -1).all(axis=1))


def each_loss(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Each picture's loss (n,), whose mean is that of `head_scores`.

    >>> each_loss(Head("odd", "binary", ("even", "odd")), np.array([0, 1]), np.array([[0.2], [0.4]])).round(3)
    array([0.223, 0.916])
    """
    return np.asarray(_losses(head, labels, probabilities.astype(np.float64)).reshape(len(labels), -1).mean(axis=1))


def mcnemar(only_first: int, only_other: int) -> float:
    """How probable it is, were two classifiers equally good, that they differ at least so much on the same pictures.

    Of the pictures that exactly one of them got right, so many were right by the first and so many by the other. The
    exact two-sided test: each of these is as likely to be the one's as the other's. McNemar, Psychometrika 12 (1947);
    of the tests that Dietterich, Neural Computation 10 (1998), tried for classifiers trained once, the one to use.

    >>> round(mcnemar(8, 2), 4), mcnemar(3, 3)
    (0.1094, 1.0)
    """
    total, fewer = only_first + only_other, min(only_first, only_other)
    counts = np.arange(1, fewer + 1)
    # logarithms of the binomial coefficients of 0 to `fewer`: their powers would not fit a float
    logs = np.concatenate([[0.0], np.cumsum(np.log((total - counts + 1) / counts))])
    tail = logs.max() + math.log(np.exp(logs - logs.max()).sum()) - total * math.log(2)
    return min(1.0, 2 * math.exp(tail))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, raised so that a false alarm among all of them is no likelier than from one test.

    Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def bootstrap_interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Where the mean of `values` (n,) would lie were other pictures drawn; of differences on pictures, it is paired.

    Percentiles of the means of samples drawn with replacement: Efron and Tibshirani, An Introduction to the Bootstrap
    (1993), chapter 13.

    >>> low, high = bootstrap_interval(np.array([0.0] * 50 + [1.0] * 50))
    >>> 0.38 < low < 0.42 and 0.58 < high < 0.62
    True
    """
    generator, count = np.random.default_rng(0), len(values)
    distinct, times = np.unique(values, return_counts=True)
    if len(distinct) <= 3:  # as differences of right and wrong are: only how often each is drawn matters
        means = generator.multinomial(count, times / count, draws) @ distinct / count
    else:
        at_once = max(1, 1_000_000 // count)  # or all draws would fill the memory
        parts = [min(at_once, draws - start) for start in range(0, draws, at_once)]
        means = np.concatenate([values[generator.integers(count, size=(rows, count))].mean(axis=1) for rows in parts])
    return _ends(means)


def pictures_needed(only_first: int, only_other: int, total: int, level: float = 0.05) -> int | None:
    """How many pictures McNemar's test would take to find, four times in five, a difference of the size seen.

    `total` pictures were seen, and `level` is the p-value below which a difference counts. None where there is no
    difference. Connor, Biometrics 43 (1987).

    >>> pictures_needed(60, 48, 10_000)
    58865
    """
    difference, apart = (only_first - only_other) / total, (only_first + only_other) / total
    if difference == 0:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - level / 2) * math.sqrt(apart)
    reach += normal.inv_cdf(0.8) * math.sqrt(apart - difference**2)
    return math.ceil((reach / difference) ** 2)


def improves(monitor: str, value: float, best: float | None, min_delta: float) -> bool:
    """Whether `value` beats `best` by more than `min_delta`; a metric named `...loss` is better low, any other high.

    Every finite first value improves on None; NaN and infinity never improve.

    >>> improves("val_loss", 0.2, best=0.3, min_delta=0.05), improves("val_accuracy", 0.2, best=0.3, min_delta=0.0)
    (True, False)
    """
    if best is None or not math.isfinite(value):
        return math.isfinite(value)
    gain = best - value if monitor.endswith("loss") else value - best
    return gain > min_delta


def _held(head: Head, labels: np.ndarray, answered: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(picture, class) of all that holds, of all that was answered, and of what is both."""
    if head.kind == "labels":
        return [(which.nonzero()[0], which.nonzero()[1]) for which in (labels, answered, labels * answered)]
    right = np.flatnonzero(labels == answered)
    return [(np.arange(len(labels)), labels), (np.arange(len(labels)), answered), (right, labels[right])]


def _by_class(head: Head, which: tuple[np.ndarray, np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
    pictures, classes = which
    return np.bincount(classes, None if weights is None else weights[pictures], len(head.classes))


def _scores_of(name: str, pictures: int, answered: int, right: int) -> ClassScores:
    f1 = 2 * right / (pictures + answered) if pictures + answered else None
    low, high = (2 * end / (1 + end) for end in wilson_interval(right, pictures + answered - right))
    precision, recall = share(right, answered), share(right, pictures)
    return ClassScores(name, pictures, answered, right, precision, recall, Measured(f1, (low, high)))


def _resampled(count: int) -> Iterator[np.ndarray]:
    """How often each picture is drawn, where as many are drawn as there are (Efron 1979); the same draws every time."""
    numbers = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        yield np.bincount(numbers.integers(count, size=count), minlength=count).astype(np.float64)


def _ends(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return low, high


def _losses(head: Head, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if head.kind == "classes":
        given = probabilities[np.arange(len(labels)), labels]
    else:
        holds = labels.reshape(probabilities.shape) == 1
        given = np.where(holds, probabilities, 1 - probabilities)
    return np.asarray(0.0 - np.log(np.maximum(given, _LEAST)))  # a plain minus would give a perfect loss of -0.0
