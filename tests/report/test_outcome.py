"""What a report says of a head, and which pictures it shows."""

import numpy as np
import pytest

from noonchi.answers import Answers
from noonchi.report.outcome import MOST_PAIRS, outcome
from noonchi.results import Head

PETS = Head("pet", "classes", ("cat", "dog", "owl"))
TAGS = Head("tags", "labels", ("sea", "sun", "sand"))


def found(head, labels, probabilities, most=12):
    names = np.array([f"{number}.png" for number in range(len(labels))])
    return outcome(
        head, Answers((head,), names, names, {head.name: np.array(labels)}, {head.name: probabilities}), most
    )


def said(*classes_and_shares):
    """A row a picture: the class answered, with that probability, and the rest shared by the others."""
    return np.array([np.where(np.arange(3) == number, p, (1 - p) / 2) for number, p in classes_and_shares])


def test_mistakes_come_surest_first_and_then_the_least_sure_of_the_rest():
    one = found(PETS, [0, 0, 1, 2], said((1, 0.6), (2, 0.9), (1, 0.4), (2, 0.8)))
    assert [(case.name, case.labelled, case.answered, case.right) for case in one.mistakes] == [
        ("1.png", "cat", "owl", False),
        ("0.png", "cat", "dog", False),
    ]
    assert [case.name for case in one.unsure] == ["2.png", "3.png"]
    assert [case.probability for case in one.mistakes] == pytest.approx([0.9, 0.6])


def test_examples_are_the_first_picture_of_each_class_or_of_some():
    answers = said(*[(0, 0.9)] * 6)
    assert [case.name for case in found(PETS, [1, 1, 0, 2, 2, 0], answers).examples] == ["2.png", "0.png", "3.png"]
    assert [case.name for case in found(PETS, [1, 1, 0, 2, 2, 0], answers, most=2).examples] == ["2.png", "3.png"]


def test_a_binary_answer_has_the_probability_of_what_is_answered():
    one = found(Head("odd", "binary", ("even", "odd")), [0, 1], np.array([[0.1], [0.3]]))
    assert [(case.answered, case.probability) for case in one.examples] == [("even", 0.9), ("even", 0.7)]


def test_of_several_labels_the_surest_wrong_one_makes_the_mistake():
    labels = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    one = found(TAGS, labels, np.array([[0.9, 0.7, 0.05], [0.1, 0.8, 0.2]]))
    [mistake] = one.mistakes
    assert (mistake.labelled, mistake.answered) == ("sea|sand", "sea|sun")
    assert (TAGS.classes[mistake.number], mistake.probability) == ("sand", pytest.approx(0.05))
    assert (one.confusion, one.confused) == (None, [])


def test_pairs_confused_most_often_come_first_and_the_diagonal_is_none():
    one = found(PETS, [0, 0, 0, 1, 2], said((1, 0.9), (1, 0.9), (0, 0.9), (2, 0.9), (2, 0.9)))
    pairs = [(pair.labelled, pair.answered, pair.pictures, pair.of) for pair in one.confused]
    assert pairs == [("cat", "dog", 2, 3), ("dog", "owl", 1, 1)]


def test_no_more_pairs_are_told_than_can_be_read():
    many = Head("many", "classes", tuple(map(str, range(50))))
    one = found(many, np.arange(50), np.eye(50)[(np.arange(50) + 1) % 50])
    assert len(one.confused) == MOST_PAIRS


def test_the_numbers_are_plain_json():
    import json

    for head, labels, answers in (
        (PETS, [0, 1], said((0, 0.9), (2, 0.5))),
        (TAGS, np.zeros((2, 3), np.uint8), np.full((2, 3), 0.1)),
    ):
        assert json.loads(json.dumps(found(head, labels, answers).to_json(), allow_nan=False))["kind"] == head.kind
