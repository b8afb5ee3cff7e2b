"""`noonchi compare`: what it prints, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from finished_runs import answered, drawn_labels, names, write

COUNT = 1000


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """`a`, and a better one `<b>` of another recipe."""
    monkeypatch.chdir(tmp_path)
    labels, at = drawn_labels(COUNT), np.arange(COUNT)
    write(tmp_path / "a", answered(names(COUNT), labels, at >= 100))
    write(tmp_path / "<b>", answered(names(COUNT), labels, at >= 20), recipe="mnist-convnet")
    return tmp_path


def test_it_prints_a_table_and_says_which_is_better(noonchi, runs):
    answer = noonchi("compare", "a", "<b>")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "on 1,000 test pictures"
    assert lines[1].split() == ["run", "accuracy", "95", "%", "loss", "epochs", "seconds", "parameters"]
    assert lines[2].split()[:3] == ["a", "0.9000", "0.8798–0.9171"]  # noqa: RUF001
    assert lines[3] == "mnist-mlp"
    assert [line for line in lines if line.startswith("<b> is better than a by 8.00 points (95 %: ")]
    assert not [line for line in lines if line != line.rstrip()]


def test_json_is_one_object_with_the_words(noonchi, runs):
    answer = noonchi("compare", "a", "<b>", "--json")
    assert (answer.code, answer.out.count("\n")) == (0, 1)
    told = json.loads(answer.out)
    assert list(told) == ["split", "num_pictures", "runs", "differences", "notes"]
    assert [run["run"] for run in told["runs"]] == ["a", "<b>"]
    [one] = told["differences"]
    assert (one["only_first_right"], one["only_other_right"], one["beyond_chance"]) == (0, 80, True)
    assert one["p"] == pytest.approx(2 * 0.5**80)
    assert one["words"].startswith("<b> is better than a")


def test_the_page_is_written_where_it_is_asked_for(noonchi, runs):
    answer = noonchi("compare", "a", "<b>", "--html", "page.html")
    assert answer.err == "page in page.html\n"
    assert "&lt;b&gt; is better than a" in (runs / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("compare", 2, "Missing argument 'RUN RUN...'"),
        ("compare a", 2, "two or more different runs"),
        ("compare a a", 2, "two or more different runs"),
        ("compare a none", 4, "'none' holds no run"),
        ("compare a <b> --split train", 2, "'train' is not one of 'val', 'test'"),
        ("compare a <b> --split val", 4, "keeps no answers for its val pictures"),
        ("compare a <b> --html page.png", 2, "the page is HTML"),
        ("compare a <b> --html none/page.html", 2, "there is no folder 'none'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(noonchi, runs, arguments, code, told):
    answer = noonchi(*arguments.split())
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert told in answer.err


def test_other_pictures_are_compared_where_common(noonchi, runs):
    write(runs / "c", answered(names(500), drawn_labels(COUNT)[:500], np.arange(500) >= 3))
    assert "with --common" in noonchi("compare", "a", "c").err
    told = noonchi("compare", "a", "c", "--common").out
    assert told.startswith("on 500 test pictures")
    assert "500 of the 1,000 test pictures of 'a' are left out" in told


def test_a_comparison_loads_no_torch(runs):
    code = "import sys; from noonchi import cli; cli._run(); print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    command = [sys.executable, "-c", code, "compare", "a", "<b>"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_a_runs_name_reaches_the_terminal_without_control_codes(noonchi, runs):
    (runs / "a").rename(runs / "a\x1b[2J")
    answer = noonchi("compare", "a\x1b[2J", "<b>")
    assert answer.code == 0
    assert "\x1b" not in answer.out
    assert "a\\x1b[2J" in answer.out
