import math

import numpy as np
import pytest
import torch

from noonchi.errors import SettingsError
from noonchi.losses import Objective, loss, objectives, probabilities, right_answers, total_loss
from noonchi.results import Head
from noonchi.settings import HeadSettings

KIND = Head("kind", "classes", ("cat", "dog", "owl"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round", "small"))
HEADS = (KIND, ODD, TAGS)
LOGITS = {
    "kind": np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 1.0], [1.0, 1.0, 1.0]]),
    "odd": np.array([[1.5], [-0.3], [0.0], [-4.0]]),
    "tags": np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0], [-1.0, 0.3, 0.7]]),
}
LABELS = {
    "kind": np.array([0, 2, 1, 1]),
    "odd": np.array([1, 0, 0, 1]),
    "tags": np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]], np.uint8),
}
WEIGHTS = {"kind": [1.0, 2.0, 0.5], "odd": [0.25, 3.0], "tags": [1.0, 0.0, 2.0]}


def keras_loss(head: Head, smoothing: float = 0.0, weights: list[float] | None = None) -> float:
    """As Keras documents it: a smoothed crossentropy a picture, times its class's weight, mean over pictures."""
    logits, labels = LOGITS[head.name], LABELS[head.name]
    factors = np.array(weights or [1.0] * len(head.classes))
    if head.kind == "classes":
        one_hot = np.eye(len(head.classes))[labels]
        soft = one_hot * (1 - smoothing) + smoothing / len(head.classes)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return float((-(soft * np.log(p)).sum(axis=1) * factors[labels]).mean())
    hard = labels.reshape(logits.shape)
    soft = hard * (1 - smoothing) + 0.5 * smoothing
    p = 1 / (1 + np.exp(-logits))
    each = -(soft * np.log(p) + (1 - soft) * np.log(1 - p))
    return float((each * (factors[hard] if head.kind == "binary" else factors)).mean())


def ours(head: Head, smoothing: float = 0.0, weights: list[float] | None = None) -> float:
    objective = Objective(head, class_weights=None if weights is None else torch.tensor(weights))
    logits = torch.tensor(LOGITS[head.name], dtype=torch.float32)
    return loss(objective, logits, torch.from_numpy(LABELS[head.name]), smoothing).item()


# Values


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_a_loss_is_what_keras_publishes(head, weighted, smoothing):
    weights = WEIGHTS[head.name] if weighted else None
    assert ours(head, smoothing, weights) == pytest.approx(keras_loss(head, smoothing, weights), rel=1e-5)


def test_two_losses_worked_out_by_hand():
    assert loss(Objective(KIND), torch.zeros(1, 3), torch.tensor([1])).item() == pytest.approx(math.log(3))
    sure = torch.tensor([[math.log(3.0)]])  # a probability of 3/4
    assert loss(Objective(ODD), sure, torch.tensor([1])).item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_a_loss_of_bfloat16_logits_is_worked_out_in_float32(head):
    logits = torch.tensor(LOGITS[head.name]).bfloat16()
    assert loss(Objective(head), logits, torch.from_numpy(LABELS[head.name])).dtype == torch.float32


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_a_sure_mistake_has_a_finite_loss(head):
    labels = torch.from_numpy(LABELS[head.name])
    assert loss(Objective(head), torch.full(LOGITS[head.name].shape, -1e4), labels).isfinite()


def test_the_total_is_the_weighted_sum_over_heads():
    logits = {name: torch.tensor(values, dtype=torch.float32) for name, values in LOGITS.items()}
    targets = {name: torch.from_numpy(values) for name, values in LABELS.items()}
    asked = tuple(Objective(head, weight) for head, weight in zip(HEADS, (1.0, 0.5, 0.0), strict=True))
    total, each = total_loss(asked, logits, targets)
    assert {name: value.item() for name, value in each.items()} == pytest.approx(
        {head.name: keras_loss(head) for head in HEADS}, rel=1e-5
    )
    assert total.item() == pytest.approx(keras_loss(KIND) + 0.5 * keras_loss(ODD), rel=1e-5)


# Class weights from settings


def made(head: Head, labels: np.ndarray, class_weights: object, loss_weight: float = 1.0) -> Objective:
    settings = {head.name: HeadSettings(class_weights=class_weights, loss_weight=loss_weight)}
    (objective,) = objectives((head,), settings, {head.name: labels})
    return objective


def test_a_head_without_settings_counts_once_and_has_no_class_weights():
    (objective,) = objectives((KIND,), {}, {"kind": LABELS["kind"]})
    assert (objective.weight, objective.class_weights) == (1.0, None)


def test_loss_weights_are_taken_from_settings():
    assert made(KIND, LABELS["kind"], None, loss_weight=0.3).weight == 0.3


def test_named_weights_lie_in_class_order_and_the_others_are_one():
    assert made(KIND, LABELS["kind"], {"owl": 4.0, "cat": 0.5}).class_weights.tolist() == [0.5, 1.0, 4.0]


@pytest.mark.parametrize("head", [KIND, Head("kind", "binary", ("cat", "dog"))], ids=lambda head: head.kind)
def test_balanced_weights_give_every_class_the_same_sum(head):
    labels = np.array([0] * 6 + [1] * 3 + [len(head.classes) - 1])
    counts = np.bincount(labels, minlength=len(head.classes))
    weights = made(head, labels, "balanced").class_weights.numpy()
    assert weights * counts == pytest.approx(np.full(len(head.classes), len(labels) / len(head.classes)))


def test_balanced_weights_stay_finite_for_a_class_without_training_pictures():
    assert made(KIND, np.array([0, 0, 2]), "balanced").class_weights.isfinite().all()


def test_balanced_labels_are_weighed_by_how_rare_each_is():
    labels = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0]], np.uint8)
    red, rounded, small = made(TAGS, labels, "balanced").class_weights.tolist()
    assert small == pytest.approx(2 * rounded) == pytest.approx(4 * red)


def test_a_weight_for_an_unknown_class_is_refused_with_the_nearest_names():
    with pytest.raises(SettingsError, match=r"heads.kind.class_weights: 'dogs' is not a class. Did you mean 'dog'"):
        made(KIND, LABELS["kind"], {"dogs": 2.0})


# Answers


def test_probabilities_of_classes_sum_to_one_and_the_others_stand_alone():
    kind = probabilities(KIND, torch.tensor(LOGITS["kind"]).float())
    assert kind.sum(dim=1).tolist() == pytest.approx([1.0] * 4)
    odd = probabilities(ODD, torch.tensor(LOGITS["odd"]).float())
    assert odd[:, 0].tolist() == pytest.approx((1 / (1 + np.exp(-LOGITS["odd"][:, 0]))).tolist())


def test_right_answers_are_counted_a_picture_and_in_shares_for_labels():
    right = {
        head.name: right_answers(head, torch.tensor(LOGITS[head.name]), torch.from_numpy(LABELS[head.name])).item()
        for head in HEADS
    }
    # odd: 1.5 → yes (right), -0.3 → no (right), 0.0 counts as yes (wrong), -4 → no (wrong)
    # tags: 2 of 3, 1 of 3 (a logit of 0 counts as yes), 3 of 3, 1 of 3
    assert right == pytest.approx({"kind": 3, "odd": 2, "tags": 2 / 3 + 1 / 3 + 1 + 1 / 3})
