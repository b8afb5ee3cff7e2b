"""What a run's classifier answered is kept with it."""

import numpy as np
import pytest

from noonchi import answers
from noonchi.answers import Answers
from noonchi.errors import RunError
from noonchi.metrics import head_scores
from noonchi.results import Head

HEADS = (Head("종/류", "classes", ("cat", "<b>", "개")), Head("odd", "binary", ("even", "odd")))


@pytest.fixture
def kept(tmp_path):
    made = Answers(
        HEADS,
        np.array(["b.png", "a/눈치.png"]),
        np.array(["01", "02"]),
        {"종/류": np.array([2, 0]), "odd": np.array([1, 0])},
        {
            "종/류": np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]], np.float32),
            "odd": np.array([[0.9], [0.4]], np.float32),
        },
    )
    answers.write(tmp_path, "test", made)
    return tmp_path, made


def test_what_was_written_is_read(kept):
    folder, made = kept
    read = answers.read(folder)
    assert read.heads == HEADS
    assert read.ids.tolist() == made.ids.tolist()
    assert read.hashes.tolist() == made.hashes.tolist()
    for head in HEADS:
        np.testing.assert_array_equal(read.labels[head.name], made.labels[head.name])
        np.testing.assert_array_equal(read.probabilities[head.name], made.probabilities[head.name])


def test_a_split_without_answers_is_told(kept, tmp_path_factory):
    with pytest.raises(RunError, match="keeps no answers for its val pictures; it has for split 'test'"):
        answers.read(kept[0], "val")
    with pytest.raises(RunError, match="keeps no answers for its test pictures; train again"):
        answers.read(tmp_path_factory.mktemp("empty"))


@pytest.mark.parametrize("cut", [0, 10, 400], ids="{} bytes left".format)
def test_damaged_answers_are_told(kept, cut):
    file = kept[0] / "answers" / "test.npz"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(RunError, match="is damaged"):
        answers.read(kept[0])


def test_a_run_keeps_the_answers_behind_its_scores(tmp_path, bars):
    from noonchi import train

    run = train(bars(60, classes=2), "mnist-mlp", out=tmp_path / "run", epochs=1, show=lambda _: None)
    read = answers.read(run.folder)
    [head] = read.heads
    scores = head_scores(head, read.labels[head.name], read.probabilities[head.name])
    assert (len(read), scores.accuracy) == (run.test.num_pictures, run.test.accuracy)
    assert scores.loss == pytest.approx(run.test.loss, abs=1e-6)
