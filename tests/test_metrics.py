import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from noonchi import metrics
from noonchi.errors import DataError
from noonchi.metrics import answers, confusion, head_scores, improves, wilson_interval
from noonchi.results import Head

DIGIT = Head("digit", "classes", tuple("0123456789"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("sea", "sun", "sand"))


def random_answers(head: Head, count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and float32 probabilities that lean towards them."""
    rng = np.random.default_rng(0)
    if head.kind == "classes":
        labels = rng.integers(10, size=count)
        logits = rng.normal(size=(count, 10)) + 2 * np.eye(10)[labels]
        odds = np.exp(logits)
        return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = rng.integers(2, size=(count, head.outputs))
    logits = rng.normal(size=labels.shape) + labels
    return labels[:, 0] if head.kind == "binary" else labels, (1 / (1 + np.exp(-logits))).astype(np.float32)


# Intervals


@pytest.mark.parametrize(("right", "total"), [(0, 1), (1, 1), (0, 30), (30, 30), (1, 7), (90, 100), (9907, 10_000)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson_interval_is_scipys(right, total, level):
    expected = binomtest(right, total).proportion_ci(confidence_level=level, method="wilson")
    assert wilson_interval(right, total, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_always_holds_the_share_itself_and_stays_within_0_and_1():
    for total in range(1, 60):
        for right in range(total + 1):
            low, high = wilson_interval(right, total)
            assert 0 <= low <= right / total <= high <= 1


def test_no_answers_say_nothing():
    assert wilson_interval(0, 0) == (0, 1)


# Loss and accuracy


def test_classes_are_scored_as_sklearn_scores_them():
    labels, probabilities = random_answers(DIGIT)
    scores = head_scores(DIGIT, labels, probabilities)
    exact = probabilities.astype(np.float64)
    assert scores.loss == pytest.approx(log_loss(labels, exact / exact.sum(axis=1, keepdims=True)), rel=1e-6)
    assert scores.accuracy == accuracy_score(labels, probabilities.argmax(axis=1))


def test_a_binary_head_is_scored_as_sklearn_scores_it():
    labels, probabilities = random_answers(ODD)
    scores = head_scores(ODD, labels, probabilities)
    assert scores.loss == pytest.approx(log_loss(labels, probabilities[:, 0].astype(np.float64)), rel=1e-12)
    assert scores.accuracy == accuracy_score(labels, probabilities[:, 0] >= 0.5)


def test_labels_are_scored_as_sklearn_scores_each_answer():
    labels, probabilities = random_answers(TAGS)
    scores = head_scores(TAGS, labels, probabilities)
    assert scores.loss == pytest.approx(log_loss(labels.ravel(), probabilities.ravel().astype(np.float64)), rel=1e-12)
    assert scores.accuracy == accuracy_score(labels.ravel(), probabilities.ravel() >= 0.5)


@pytest.mark.parametrize("head", [DIGIT, ODD, TAGS])
def test_the_interval_counts_pictures_as_the_independent_answers(head):
    labels, probabilities = random_answers(head, count=40)
    scores = head_scores(head, labels, probabilities)
    assert scores.accuracy_interval == pytest.approx(wilson_interval(scores.accuracy * 40, 40), abs=1e-12)


@pytest.mark.parametrize(
    ("head", "labels", "probabilities"),
    [
        (DIGIT, [3], np.eye(10)[[4]]),
        (ODD, [1], [[0.0]]),
        (ODD, [0], [[1.0]]),
        (TAGS, [[1, 0, 1]], [[0.0, 1.0, 0.0]]),
    ],
)
def test_a_surely_wrong_answer_has_a_finite_loss(head, labels, probabilities):
    scores = head_scores(head, np.array(labels), np.array(probabilities, dtype=np.float32))
    assert scores.loss == pytest.approx(126 * math.log(2))  # float32's least normal number is 2 ** -126
    assert scores.accuracy == 0


def test_a_surely_right_answer_has_no_loss():
    assert str(head_scores(ODD, np.array([0, 1]), np.array([[0.0], [1.0]])).loss) == "0.0"


def test_means_are_taken_in_float64():
    count = 200_000
    scores = head_scores(ODD, np.ones(count, dtype=np.int64), np.full((count, 1), 0.1, dtype=np.float32))
    assert scores.loss == pytest.approx(-math.log(np.float32(0.1)), rel=1e-12)


def test_nan_in_one_answer_shows_in_the_loss():
    assert math.isnan(head_scores(ODD, np.array([0, 1]), np.array([[0.2], [math.nan]])).loss)


def test_no_pictures_are_refused_by_name():
    with pytest.raises(DataError, match="head 'odd' has no pictures"):
        head_scores(ODD, np.zeros(0, dtype=np.int64), np.zeros((0, 1)))


# Answers


def test_one_half_counts_as_yes():
    assert answers(ODD, np.array([[0.5]])).tolist() == [1]
    assert answers(TAGS, np.array([[0.5, 0.4, 0.6]])).tolist() == [[1, 0, 1]]


def test_the_first_of_equally_likely_classes_is_taken():
    assert answers(DIGIT, np.full((1, 10), 0.1)).tolist() == [0]


@pytest.mark.parametrize("head", [DIGIT, ODD])
def test_confusion_is_sklearns(head):
    labels, probabilities = random_answers(head)
    expected = confusion_matrix(labels, answers(head, probabilities), labels=range(len(head.classes)))
    assert confusion(head, labels, probabilities).tolist() == expected.tolist()


def test_confusion_has_a_row_and_a_column_for_classes_that_never_came():
    assert confusion(DIGIT, np.array([2]), np.eye(10)[[7]]).shape == (10, 10)


# Improvement


@pytest.mark.parametrize("monitor", ["loss", "val_loss", "val_digit_loss"])
def test_losses_are_better_low(monitor):
    assert improves(monitor, 0.1, best=0.2, min_delta=0)
    assert not improves(monitor, 0.3, best=0.2, min_delta=0)


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy", "val_loss_ratio"])
def test_every_other_metric_is_better_high(monitor):
    assert improves(monitor, 0.3, best=0.2, min_delta=0)
    assert not improves(monitor, 0.1, best=0.2, min_delta=0)


def test_an_equal_value_is_no_improvement():
    assert not improves("val_loss", 0.2, best=0.2, min_delta=0)


@pytest.mark.parametrize(("monitor", "sign"), [("val_loss", -1), ("val_accuracy", 1)])
def test_only_more_than_min_delta_counts(monitor, sign):
    assert improves(monitor, 0.5 + sign * 0.26, best=0.5, min_delta=0.25)
    assert not improves(monitor, 0.5 + sign * 0.25, best=0.5, min_delta=0.25)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("best", [None, 0.2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_never_improve(monitor, value, best):
    assert not improves(monitor, value, best, min_delta=0)


def test_any_finite_value_improves_on_none():
    assert improves("val_loss", 1e9, best=None, min_delta=1)


# Calibration

KINDS = Head("label", "classes", ("a", "b", "c"))


def overconfident(count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and the probabilities with their logits multiplied."""
    generator = np.random.default_rng(0)
    true = generator.dirichlet((0.5, 0.5, 0.5), size=count).clip(1e-6)
    labels = np.array([generator.choice(3, p=row / row.sum()) for row in true])
    powers = true**sharpness
    return labels, powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 4.0])
def test_the_best_temperature_undoes_what_made_answers_too_sure(sharpness):
    labels, given = overconfident(4000, sharpness)
    assert metrics.best_temperature(KINDS, labels, given) == pytest.approx(sharpness, rel=0.1)


def test_calibration_holds_on_pictures_that_it_was_not_fitted_to():
    labels, given = overconfident(4000, 3.0)
    temperature = metrics.best_temperature(KINDS, labels[:2000], given[:2000])
    rest = metrics.tempered(KINDS, given[2000:], temperature)
    assert metrics.calibration_error(KINDS, labels[2000:], given[2000:]) > 0.1
    assert metrics.calibration_error(KINDS, labels[2000:], rest) < 0.02


def test_two_pictures_do_not_make_a_classifier_sure():
    sure = np.array([[0.9, 0.05, 0.05]] * 2)
    assert 0.5 < metrics.best_temperature(KINDS, np.array([0, 0]), sure) < 1


def test_a_temperature_changes_no_answer():
    _, given = overconfident(200, 1.0)
    for temperature in (0.1, 1.0, 10.0):
        answers = metrics.answers(KINDS, metrics.tempered(KINDS, given, temperature))
        assert (answers == metrics.answers(KINDS, given)).all()


@pytest.mark.parametrize(("least", "coverage", "accuracy"), [(0.0, 1.0, 0.75), (0.8, 0.5, 0.5), (1.0, 0.0, 1.0)])
def test_abstaining_scores_the_answers_that_are_sure_enough(least, coverage, accuracy):
    head = Head("odd", "binary", ("even", "odd"))
    sure = metrics.sure_scores(head, np.array([0, 1, 1, 1]), np.array([[0.1], [0.1], [0.6], [0.7]]), least)
    assert (sure.coverage, sure.accuracy) == (coverage, accuracy)
    assert sure.accuracy_interval[0] <= accuracy <= sure.accuracy_interval[1]


def test_several_labels_are_sure_where_every_one_is():
    tags = Head("tags", "labels", ("a", "b"))
    assert metrics.sure_enough(tags, np.array([[0.95, 0.02], [0.95, 0.4]]), 0.9).tolist() == [True, False]


# Of each class


@pytest.mark.parametrize("head", [DIGIT, ODD, TAGS], ids=lambda head: head.kind)
def test_precision_recall_and_f1_are_sklearns(head):
    labels, probabilities = random_answers(head)
    expected = precision_recall_fscore_support(labels, answers(head, probabilities))
    found = metrics.class_scores(head, labels, probabilities)
    assert [one.name for one in found] == list(head.classes)
    for key, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert [getattr(one, key).value for one in found] == pytest.approx(values.tolist())
    assert [one.pictures for one in found] == expected[3].tolist()
    macro = metrics.macro_f1(head, labels, probabilities)
    assert macro.value == pytest.approx(expected[2].mean())
    assert macro.interval[0] < macro.value < macro.interval[1]


def test_a_class_that_neither_holds_nor_is_answered_has_no_scores_and_an_interval_that_says_nothing():
    labels, probabilities = np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0]])
    first, second, third = metrics.class_scores(Head("label", "classes", ("a", "b", "c")), labels, probabilities)
    assert (first.precision.value, first.recall.value) == (1, 0.5)
    assert (second.precision.value, second.recall.value, second.f1.value) == (0, None, 0)
    assert (third.precision.value, third.f1.value, third.f1.interval) == (None, None, (0, 1))
    assert metrics.macro_f1(Head("label", "classes", ("a", "b", "c")), labels, probabilities).value == pytest.approx(
        1 / 3
    )


def test_the_interval_of_f1_holds_the_true_one_19_times_in_20():
    numbers, head, held = np.random.default_rng(1), Head("odd", "binary", ("even", "odd")), 0
    for _ in range(400):
        labels = (numbers.random(80) < 0.3).astype(int)
        said = np.where(numbers.random(80) < 0.85, labels, 1 - labels)
        low, high = metrics.class_scores(head, labels, said[:, np.newaxis].astype(float))[1].f1.interval
        held += low <= 2 * 0.3 * 0.85 / (0.3 + 0.3 * 0.85 + 0.7 * 0.15) <= high
    assert 0.92 <= held / 400 <= 0.99


def test_the_loss_lies_within_its_interval_which_narrows_with_more_pictures():
    widths = []
    for count in (100, 2000):
        labels, probabilities = random_answers(DIGIT, count)
        found = metrics.mean_loss(DIGIT, labels, probabilities)
        assert found.value == head_scores(DIGIT, labels, probabilities).loss
        assert found.interval[0] < found.value < found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
    assert widths[1] < widths[0] / 3


# Reliability


@pytest.mark.parametrize("head", [DIGIT, ODD, TAGS], ids=lambda head: head.kind)
def test_the_bins_hold_every_answer_where_its_probability_says(head):
    labels, probabilities = random_answers(head)
    bins = metrics.reliability(head, labels, probabilities)
    assert sum(one.answers for one in bins) == labels.size
    assert all(one.low <= one.said <= one.high for one in bins)
    right = sum(one.answers * one.right.value for one in bins)
    assert right == pytest.approx((answers(head, probabilities) == labels).sum())


# Differences between two classifiers on the same pictures


@pytest.mark.parametrize(("first", "other"), [(0, 0), (1, 0), (8, 2), (2, 8), (5, 5), (148, 43), (3000, 2800), (40, 0)])
def test_mcnemar_is_scipys_exact_binomial_test(first, other):
    expected = binomtest(first, first + other).pvalue if first + other else 1.0
    assert metrics.mcnemar(first, other) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_is_exact_far_out_and_for_many_pictures():
    assert metrics.mcnemar(1000, 0) == pytest.approx(2.0**-999, rel=1e-9)
    assert metrics.mcnemar(500_000, 500_100) == pytest.approx(binomtest(500_000, 1_000_100).pvalue, rel=1e-6)


def test_where_two_are_equally_good_mcnemar_calls_chance_a_difference_in_one_of_twenty_cases_at_most():
    numbers = np.random.default_rng(0)
    right = numbers.random((1000, 2, 2000)) < 0.9
    only_first, only_other = (right[:, 0] & ~right[:, 1]).sum(axis=1), (right[:, 1] & ~right[:, 0]).sum(axis=1)
    found = [metrics.mcnemar(*pair) < 0.05 for pair in zip(only_first.tolist(), only_other.tolist(), strict=True)]
    assert 0.02 < np.mean(found) < 0.06


def test_holm_is_rs_p_adjust():
    # R 4: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert metrics.holm([0.2]) == [0.2]


def test_after_holm_one_of_twenty_families_has_a_false_alarm_at_most():
    families = np.random.default_rng(0).random((2000, 4))
    assert np.mean([min(metrics.holm(family.tolist())) < 0.05 for family in families]) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    "values", [np.random.default_rng(1).normal(2, 3, 4000), np.repeat([-1.0, 0.0, 1.0], [100, 3700, 200])]
)
def test_the_bootstrap_reaches_as_far_as_the_standard_error_says(values):
    low, high = metrics.bootstrap_interval(values)
    reach = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=reach / 8)


def test_the_bootstrap_holds_the_truth_in_nineteen_of_twenty_cases():
    numbers = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        low, high = metrics.bootstrap_interval(numbers.exponential(1.0, 200), draws=500)
        held += low < 1 < high
    assert 0.9 < held / 300 < 0.98


def test_the_bootstrap_of_one_value_is_that_value():
    assert metrics.bootstrap_interval(np.array([0.5, 0.5])) == (0.5, 0.5)


@pytest.mark.parametrize(("first", "other", "total"), [(60, 48, 10_000), (40, 20, 1000), (300, 200, 2000)])
def test_so_many_pictures_as_needed_tell_the_difference_four_times_in_five(first, other, total):
    needed = metrics.pictures_needed(first, other, total)
    shares = [first / total, other / total, 1 - (first + other) / total]
    drawn = np.random.default_rng(0).multinomial(needed, shares, 1000)
    assert np.mean([metrics.mcnemar(*row[:2]) < 0.05 for row in drawn.tolist()]) == pytest.approx(0.8, abs=0.05)


def test_no_difference_takes_no_number_of_pictures():
    assert metrics.pictures_needed(7, 7, 100) is None
