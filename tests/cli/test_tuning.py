"""`noonchi tune` and `noonchi tune lr` on the command line."""

import json
import shlex

import numpy as np
import pytest

QUICK = ("device.precision=float32", "device.threads=1", "pixels.size=[8, 8]", "batches.size=8")
SMALL = ("--recipe", "mnist-one-conv", *(word for setting in QUICK for word in ("--set", setting)))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, bars):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(120, classes=3)
    np.savez("a.npz", x=images, y=labels)


def test_lr_prints_a_curve_and_the_command_that_trains_with_the_rate(noonchi):
    answer = noonchi("tune", "lr", "a.npz", *SMALL, "--set", "fit.peak_lr=5", "--seed", 2)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    [rate] = [line.split()[-1] for line in lines if line.startswith("suggested learning rate")]
    command = shlex.split(lines[-1].removeprefix("next: "))
    assert command[:3] == ["noonchi", "train", "a.npz"]
    assert command[-2:] == ["--lr", rate]
    assert "fit.peak_lr=5" not in command
    assert noonchi(*command[1:], "--epochs", 1, "--no-report").code == 0


def test_lr_as_json_is_one_object_of_finite_numbers(noonchi):
    answer = noonchi("tune", "lr", "a.npz", *SMALL, "--json")
    found = json.loads(answer.out)
    assert answer.code == 0
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert found["command"].endswith(f"--lr {found['suggestion']:g}")
    assert np.isfinite(found["losses"]).all()


def test_lr_draws_where_it_is_asked_to_and_leaves_nothing_else(noonchi, tmp_path):
    answer = noonchi("tune", "lr", "a.npz", *SMALL, "--plot", "curve.svg")
    assert (answer.code, answer.err) == (0, "plot in curve.svg\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "curve.svg"]


def test_a_search_prints_its_table_the_best_and_what_to_do_next(noonchi):
    answer = noonchi("tune", "a.npz", *SMALL, "--trials", 2, "--epochs", 1, "--out", "my search")
    assert answer.code == 0
    assert "  accuracy" in answer.err
    assert max(map(len, answer.out.splitlines())) <= 110
    command = shlex.split(answer.out.splitlines()[-1].partition(": ")[2])
    assert command == ["noonchi", "train", "a.npz", "--recipe", "my search/best.toml"]
    assert noonchi(*command[1:], "--no-report").code == 0


def test_a_search_as_json_is_one_object_and_so_is_one_that_has_ended(noonchi):
    first = noonchi("tune", "a.npz", *SMALL, "--trials", 2, "--epochs", 1, "--out", "s", "--json")
    again = noonchi("tune", "--resume", "s", "--json")
    assert (first.code, again.code) == (0, 0)
    one, other = json.loads(first.out), json.loads(again.out)
    assert one["trials"] == other["trials"]
    assert one["best"]["accuracy"] == max(trial["accuracy"] for trial in one["trials"])
    assert one["command"] == "noonchi train a.npz --recipe s/best.toml"


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("tune", 2, "DATA is missing"),
        ("tune lr", 2, "noonchi tune lr --help"),
        ("tune lr none", 3, "'none' is no file, folder or built-in data set"),
        ("tune lr a.npz --plot a.jpg", 2, "ends in .png or .svg"),
        ("tune lr a.npz --recipe photos-transfer", 2, "has no learning rate to find"),
        ("tune lr a.npz --lr 3", 2, "No such option"),
        ("tune a.npz --time soon", 2, "'soon' is not a time; write it as 90s, 2m, 1.5h or 1h30m"),
        ("tune a.npz --trials 0", 2, "0 is not in the range x>=1"),
        ("tune a.npz --search fit.epochs", 2, "write it as fit.peak_lr=1e-4..1e-2"),
        ("tune --resume s --epochs 3", 2, "changes no more than --trials and --time, but --epochs came"),
        ("tune a.npz --resume s --search fit.epochs=1,2", 2, "but DATA, --search came"),
        ("tune --resume s", 4, "'s' holds no search"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(noonchi, tmp_path, command, code, told):
    answer = noonchi(*shlex.split(command))
    last = answer.err.splitlines()[-1]
    assert (answer.code, answer.out) == (code, "")
    assert told in last
    assert last.startswith("noonchi: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
