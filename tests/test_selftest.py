"""`noonchi selftest`: it finds what holds, and what does not."""

import json
from pathlib import Path

import pytest

from noonchi import files, selftest


def test_it_kills_resumes_and_finds_the_same_bits_and_leaves_nothing(noonchi, tmp_path):
    answer = noonchi("selftest", "--place", tmp_path, "--kills", 2, "--seed", 1, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["holds"]
    assert 1 <= len(told["kills"]) <= 2
    assert {"history", "best/weights.safetensors", "last/training.safetensors"} <= told["unbroken"].keys()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_refused_before_anything_starts(noonchi, tmp_path):
    answer = noonchi("selftest", "--place", tmp_path / "none")
    assert answer.code == 2
    assert "--place" in answer.err


@pytest.mark.parametrize("differs", [{"best/weights.safetensors": "0" * 64}, {"history": "0" * 64}])
def test_one_digest_that_differs_is_enough(differs):
    unbroken = {"best/weights.safetensors": "1" * 64, "history": "2" * 64}
    assert selftest.Found((), unbroken, dict(unbroken), ()).holds
    assert not selftest.Found((), unbroken, unbroken | differs, ()).holds
    assert not selftest.Found((), unbroken, dict(unbroken), (".best.new",)).holds


def test_a_runs_identity_is_its_weights_and_its_history_without_seconds(tmp_path):
    def run(name: str, seconds: str, loss: str = "0.5") -> Path:
        folder = tmp_path / name
        (folder / "best").mkdir(parents=True)
        files.write(folder / "best" / "weights.safetensors", b"weights")
        files.write(folder / "history.csv", f"epoch,loss,seconds\n1,{loss},{seconds}\n")
        return folder

    assert selftest.identity(run("one", "1.5")) == selftest.identity(run("other", "2.5"))
    assert selftest.identity(run("third", "1.5", "0.4")) != selftest.identity(run("fourth", "1.5"))
