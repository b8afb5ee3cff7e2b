"""`noonchi report` and `noonchi train --no-report` from the command line."""

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def run(tmp_path_factory, bars):
    """A finished run with no report; copied by the tests that write to it."""
    import noonchi

    quick = ["record.plots=false", "record.tensorboard=false", "device.precision=float32", "pixels.size=[8, 8]"]
    folder = tmp_path_factory.mktemp("report") / "run"
    return noonchi.train(
        bars(60), "mnist-one-conv", out=folder, overrides=quick, epochs=1, report=False, show=lambda _: None
    ).folder


@pytest.fixture
def own(run, tmp_path, monkeypatch):
    """A copy of it, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    return tmp_path


def test_it_writes_a_page_in_the_runs_folder_and_says_where(noonchi, own):
    answer = noonchi("report", "run")
    assert (answer.code, answer.out, answer.err) == (0, "report in run/report.html\n", "")
    assert '<html lang="en">' in (own / "run" / "report.html").read_text()


def test_it_writes_korean_and_elsewhere_where_asked(noonchi, own):
    assert noonchi("report", "run", "--lang", "ko", "--out", "a page.html").out == "report in a page.html\n"
    assert '<html lang="ko">' in (own / "a page.html").read_text(encoding="utf-8")
    assert not (own / "run" / "report.html").exists()


def test_json_is_one_object_with_the_numbers(noonchi, own):
    answer = noonchi("report", "run", "--json")
    found = json.loads(answer.out)
    assert (found["run"], found["report"], found["split"]) == ("run", "run/report.html", "test")
    assert len(found["heads"]["label"]["classes"]) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("report nowhere", 4, "'nowhere' holds no run: recipe.toml is not in it"),
        ("report run --out page.pdf", 2, "the page is HTML; give it a name that ends in .html"),
        ("report run --out no/page.html", 2, "there is no folder 'no'; make it first"),
        ("report run --lang fr", 2, "'fr' is not one of 'en', 'ko'"),
        ("train --resume run --no-report", 2, "--resume changes nothing else, but --no-report came"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(noonchi, own, arguments, code, told):
    answer = noonchi(*arguments.split())
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert told in answer.err


def test_a_run_that_is_not_finished_is_told_in_one_line(noonchi, own):
    (own / "run" / "test.json").unlink()
    answer = noonchi("report", "run")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err == "noonchi: 'run' is not finished; go on with: noonchi train --resume run\n"


def test_train_says_where_its_report_is_and_no_report_leaves_it_out(noonchi, own, bars):
    import numpy as np

    images, labels = bars(60)
    np.savez("a.npz", x=images, y=labels)
    quick = [
        "--recipe",
        "mnist-one-conv",
        "--epochs",
        "1",
        "--set",
        "record.plots=false",
        "--set",
        "pixels.size=[8, 8]",
    ]
    assert "report in one/report.html\n" in noonchi("train", "a.npz", "--out", "one", *quick).out
    assert "report" not in noonchi("train", "a.npz", "--out", "two", "--no-report", *quick).out
    assert not (own / "two" / "report.html").exists()
    assert "report = false" in (own / "two" / "recipe.toml").read_text()
