from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from noonchi.batches import Passes
from noonchi.errors import DataError
from noonchi.evaluate import answered, evaluate
from noonchi.metrics import head_scores
from noonchi.results import Head

KIND = Head("kind", "classes", ("cat", "dog", "owl"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round"))


@pytest.mark.parametrize("count", [1, 255, 257, 600])
def test_scores_are_those_of_all_answers_together(fresh, drawn, count):
    classifier = fresh(KIND, ODD, TAGS)
    pictures = drawn(classifier, count)
    scores = evaluate(classifier, pictures, "test")
    answers = classifier.probabilities(pictures.frames)
    for head in (KIND, ODD, TAGS):
        whole = head_scores(head, pictures.labels[head.name], answers[head.name])
        assert scores.heads[head.name].loss == pytest.approx(whole.loss, rel=1e-5)
        assert scores.heads[head.name].accuracy == whole.accuracy
        assert scores.heads[head.name].accuracy_interval == whole.accuracy_interval
    assert (scores.split, scores.num_pictures) == ("test", count)


def test_what_is_scored_is_to_the_last_bit_what_is_predicted(fresh, drawn):
    classifier = fresh(KIND, network="photos-small", side=64, channels=3)
    pictures = drawn(classifier, 250)
    with threads(2):
        scored = answered(classifier, pictures, "val").probabilities["kind"]
        predicted = [list(each.heads["kind"].values()) for each in classifier.predict(list(pictures.frames))]
    np.testing.assert_array_equal(scored, predicted)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_only_the_splits_own_pictures_count(fresh, drawn):
    classifier = fresh(KIND)
    pictures = drawn(classifier, 60)
    part = replace(pictures, positions=np.arange(10, 30))
    whole = replace(pictures, frames=pictures.frames[10:30], labels={"kind": pictures.labels["kind"][10:30]})
    assert evaluate(classifier, part, "val") == evaluate(classifier, replace(whole, positions=np.arange(20)), "val")


def test_the_total_weighs_each_heads_loss(fresh, drawn):
    classifier = fresh(KIND, ODD)
    pictures = drawn(classifier)
    plain = evaluate(classifier, pictures, "val")
    weighted = evaluate(classifier, pictures, "val", {"odd": 0.25})
    kind, odd = plain.heads["kind"].loss, plain.heads["odd"].loss
    assert plain.loss == pytest.approx(kind + odd)
    assert weighted.loss == pytest.approx(kind + 0.25 * odd)
    assert weighted.heads == plain.heads


def test_the_order_of_the_pictures_does_not_matter(fresh, drawn):
    classifier = fresh(KIND)
    pictures = drawn(classifier, 300)
    forwards = evaluate(classifier, pictures, "val")
    backwards = evaluate(classifier, replace(pictures, positions=pictures.positions[::-1].copy()), "val")
    assert backwards.accuracy == forwards.accuracy
    assert backwards.loss == pytest.approx(forwards.loss, rel=1e-6)


def test_the_size_of_training_batches_and_the_seed_do_not_matter(fresh, drawn):
    classifier = fresh(KIND)
    pictures = drawn(classifier, 300)
    assert evaluate(classifier, pictures, "val") == evaluate(classifier, replace(pictures, size=7, seed=9), "val")


def test_dropout_is_off_and_nothing_is_drawn_or_changed(fresh, drawn):
    classifier = fresh(KIND, network="mnist-deep-convnet")
    classifier.network.train()
    before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    generator = torch.get_rng_state()
    scores = {evaluate(classifier, drawn(classifier), "val").loss for _ in range(3)}
    assert len(scores) == 1
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in classifier.network.state_dict().items())


def test_a_sure_mistake_costs_what_its_logit_says(fresh):
    classifier = fresh(ODD)
    with torch.no_grad():
        classifier.network.output.weight.zero_()
        classifier.network.output.bias.fill_(30.0)
    pictures = Passes([(torch.zeros(1, 1, 8, 8), torch.tensor([0]))])
    scores = evaluate(replace(classifier, heads=(replace(ODD, name="label"),)), pictures, "test")
    assert scores.loss == pytest.approx(30.0, rel=1e-3)


def test_no_pictures_are_a_line_for_the_user(fresh, drawn):
    classifier = fresh(KIND)
    with pytest.raises(DataError, match="no pictures"):
        evaluate(classifier, replace(drawn(classifier), positions=np.arange(0)), "val")
