"""Run folders as disks, people and attackers leave them: told in one line by each command that needs what is gone."""

import csv
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damage import code_in_a_pickle, edited

RUN = Path("run")
COMMANDS = {
    "predict": "predict run a.png",
    "val": "val run",
    "explain": "explain run a.png --filters 0 --out page",
    "summary": "summary run",
    "report": "report run",
    "compare": "compare run other",
    "resume": "train --resume run",
}

# Each file of a run

NEEDED = {
    "best/classifier.json": "predict val explain summary report resume",
    "best/weights.safetensors": "predict val explain summary report compare resume",
    "last/training.json": "resume",
    "last/training.safetensors": "resume",
    "last/weights.safetensors": "resume",
    "last/classifier.json": "",
    "answers/test.npz": "report compare",
    "answers/val.npz": "",
    "recipe.toml": "val report compare resume",
    "splits.csv": "val report compare resume",
    "history.csv": "report compare",
    "test.json": "report compare",
    "versions.json": "",
    "train.log": "",
    "unusable.csv": "report",
}
"""Which commands need it; the others go on without it."""


def put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "0 bytes": put(b""),
    "text": put(b"hello\n"),
    "binary": put(random.Random(0).randbytes(300)),
    "zeros": put(bytes(300)),
    "a list": put(b"[]"),
    "null": put(b"null"),
    "lists within lists": put(b"[" * 200_000),
    "objects within objects": put(b'{"a":' * 100_000),
    "a number of 5,000 digits": put(b'{"epochs": ' + b"9" * 5000 + b"}"),
    "infinity": put(b'{"epochs": 1e400, "format": 1e400, "seconds": 1}'),
    "a folder": Path.mkdir,
}
ODD_FILES = {
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a pipe that nobody writes to": lambda path: os.mkfifo(path),  # noqa: PLW0108  # Windows has none
}
if hasattr(os, "mkfifo"):
    DAMAGES |= ODD_FILES
ABSENT = {"missing", "a folder", *ODD_FILES}
TOLD_ABSENT = {
    "best/classifier.json": "'run/best' is missing or lacks classifier.json",
    "recipe.toml": "'run' holds no run: recipe.toml is not in it",
    "answers/test.npz": "'run' keeps no answers for its test pictures; it has for split 'val'",
}


def told(file: str, damage: str, command: str) -> str:
    if (file, damage) == ("test.json", "missing"):
        return "'run' is not finished; go on with: noonchi train --resume run"
    if (file, damage, command) in {("recipe.toml", "0 bytes", name) for name in ("val", "resume")}:
        return "'run' was trained on arrays in memory and names no pictures: give them"
    return TOLD_ABSENT[file] if damage in ABSENT and file in TOLD_ABSENT else f"'run/{file}' "


def goes_on(file: str, damage: str, command: str) -> bool:
    """A recipe without a word is one with all defaults, and most runs have no unusable files."""
    nothing = {"recipe.toml": {"0 bytes"}, "unusable.csv": {"missing", "a link to itself"}}
    return damage in nothing.get(file, ()) and command in ("report", "compare")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", [name for name in NEEDED if NEEDED[name]])
def test_a_damaged_file_is_named_by_each_command_that_needs_it(noonchi, run_refused, file, damage):
    for command in NEEDED[file].split():
        Path("run", file).unlink(missing_ok=True)
        DAMAGES[damage](Path("run", file))
        if goes_on(file, damage, command):
            assert noonchi(*COMMANDS[command].split()).code == 0
        else:
            line = run_refused(COMMANDS[command], told(file, damage, command))
            assert line.endswith((".", "--resume run", "train DATA"))
        if Path("run", file).is_dir():
            Path("run", file).rmdir()


@pytest.mark.parametrize("damage", ["missing", "binary", "lists within lists", "infinity"])
@pytest.mark.parametrize("file", NEEDED)
def test_commands_that_do_not_need_a_damaged_file_go_on(noonchi, runs_here, file, damage):
    Path("run", file).unlink(missing_ok=True)
    DAMAGES[damage](Path("run", file))
    for command in COMMANDS.keys() - set(NEEDED[file].split()) - {"resume"}:
        answer = noonchi(*COMMANDS[command].split())
        assert (answer.code, "Traceback" in answer.err) == (0, False), answer.err


@pytest.mark.parametrize("file", [name for name in NEEDED if "resume" not in NEEDED[name]])
def test_a_resumed_run_writes_what_it_does_not_need_anew(noonchi, runs_here, file):
    Path("run", file).write_bytes(b"[")
    assert noonchi("train", "--resume", "run").code == 0
    assert noonchi("compare", "run", "other").code == (4 if file == "history.csv" else 0)


@pytest.mark.parametrize("folder", ["best", "last", "answers"])
@pytest.mark.parametrize("damage", ["binary", "a folder"])
def test_a_folder_of_a_run_that_is_none_is_one_line(noonchi, run_refused, folder, damage):
    shutil.rmtree(Path("run", folder))
    DAMAGES[damage](Path("run", folder))
    needed = {"best": "predict val explain summary report", "last": "resume", "answers": "report compare"}
    for command in needed[folder].split():
        run_refused(COMMANDS[command], f"'run/{folder}" if folder != "answers" else "'run' keeps no answers")


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "'run' "),
    "an empty folder": (Path.mkdir, "'run' holds no "),
    "a file": (Path.touch, "'run' is a file; give a run's folder"),
    "a link to itself": (lambda path: path.symlink_to(path), "'run' "),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_run_is_one_line(run_refused, case):
    make, said = PLACES[case]
    shutil.rmtree("run")
    make(Path("run"))
    for command in COMMANDS.keys() - {"summary"}:  # which takes a network's name as well
        run_refused(COMMANDS[command], said)


@pytest.mark.parametrize("field", ["epochs", "seconds", "val", "test"])
def test_a_result_of_wrong_types_is_one_line(run_refused, field):
    result = json.loads(Path("run/test.json").read_text())
    for value in ("a", [], 5 if field in ("val", "test") else None, True):
        Path("run/test.json").write_text(json.dumps(result | {field: value}))
        for command in ("report", "compare"):
            run_refused(COMMANDS[command], f"'run/test.json' is damaged: {field} = ")


# What people edit


def rows(file: str, change: Callable[[list[list[str]]], object]) -> Callable[[], None]:
    def put_back() -> None:
        with Path("run", file).open(newline="", encoding="utf-8") as table:
            found = list(csv.reader(table))
        change(found)
        with Path("run", file).open("w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows(found)

    return put_back


def cell(row: int, column: int, text: str) -> Callable[[list[list[str]]], object]:
    return lambda found: found[row].__setitem__(column, text)


def arrays(**changes: Any) -> Callable[[], None]:
    """Other arrays in the answers; a function makes them from those that are there."""

    def put_back() -> None:
        with np.load("run/answers/test.npz") as archive:
            found = dict(archive)
        for given, change in changes.items():
            name = given if given in found else f"label/{given}"
            found[name] = change(found[name]) if callable(change) else np.array(change)
        np.savez("run/answers/test.npz", **found)

    return put_back


MISFIT = "answers/test.npz' is damaged: its arrays do not fit one another"
EPOCHS = "history.csv' is damaged: its rows must be the epochs in their order, each with numbers alone"
HEADS = "recipe.toml' is damaged: its heads are not those that the run's classifier answers"
EDITED: dict[str, tuple[Callable[[], object], str, str]] = {
    "splits with semicolons": (
        lambda: edited(RUN / "splits.csv", ",", ";", 9999),
        "val report compare",
        "splits.csv' is dam",
    ),
    "splits without labels": (rows("splits.csv", lambda found: [row.pop() for row in found]), "report", "its heads or"),
    "splits of another class": (rows("splits.csv", cell(3, 3, "fox")), "report", "its heads or classes are not those"),
    "an unknown split": (rows("splits.csv", cell(3, 1, "dev")), "val report compare", "'dev' is none of the splits"),
    "no picture to train on": (
        rows("splits.csv", lambda found: [row.__setitem__(1, "test") for row in found[1:]]),
        "report",
        "no picture in it is one to train on",
    ),
    "a ragged row": (
        rows("splits.csv", lambda found: found[3].append("x")),
        "val report compare",
        "one a head, in every",
    ),
    "a history without its epochs": (
        rows("history.csv", lambda found: [row.pop(0) for row in found]),
        "report compare",
        EPOCHS,
    ),
    "a history out of order": (rows("history.csv", lambda found: found.reverse()), "report compare", EPOCHS),
    "a history without a row": (
        rows("history.csv", lambda found: found.__delitem__(slice(1, None))),
        "report compare",
        EPOCHS,
    ),
    "a history of words": (rows("history.csv", cell(1, 1, "low")), "report compare", EPOCHS),
    "an epoch that is infinite": (rows("history.csv", cell(1, 0, "inf")), "report compare", EPOCHS),
    "an epoch of nan seconds": (rows("history.csv", cell(1, -1, "nan")), "report compare", EPOCHS),
    "an epoch of 1e400 seconds": (rows("history.csv", cell(1, -1, "1e400")), "report compare", EPOCHS),
    "another metric to monitor": (
        lambda: edited(RUN / "recipe.toml", 'monitor = "val_loss"', 'monitor = "val_acc"'),
        "report",
        "history.csv' is damaged: it has no column 'acc', the recipe's fit.monitor",
    ),
    "unusable files without a reason": (
        lambda: Path("run/unusable.csv").write_text("file\na\n"),
        "report",
        "must be file and reason",
    ),
    "another kind of head": (
        lambda: edited(RUN / "recipe.toml", 'kind = "classes"', 'kind = "labels"'),
        "val resume",
        HEADS,
    ),
    "a recipe that is no TOML": (
        lambda: Path("run/recipe.toml").write_text("[fit\n"),
        "val report compare resume",
        "is not TOML",
    ),
    "a setting out of range": (
        lambda: edited(RUN / "recipe.toml", "seed = 0", "seed = -1"),
        "val report compare resume",
        "'run/recipe.toml' is damaged: seed = -1: must be greater than or equal to 0. Restore it from a copy",
    ),
    "fewer answers": (arrays(probabilities=lambda found: found[:2]), "report compare", MISFIT),
    "wider answers": (arrays(probabilities=lambda found: np.hstack([found, found])), "report compare", MISFIT),
    "answers in a row": (arrays(probabilities=lambda found: found[:, 0]), "report compare", MISFIT),
    "answers that are nan": (arrays(probabilities=lambda found: found * np.nan), "report compare", MISFIT),
    "answers below 0": (arrays(probabilities=lambda found: -found), "report compare", MISFIT),
    "answers in words": (arrays(probabilities=lambda found: found.astype(str)), "report compare", MISFIT),
    "labels of no class": (arrays(labels=lambda found: found + 100), "report compare", MISFIT),
    "labels below 0": (arrays(labels=lambda found: found - 100), "report compare", MISFIT),
    "labels in halves": (arrays(labels=lambda found: found + 0.5), "report compare", MISFIT),
    "fewer labels": (arrays(labels=lambda found: found[:1]), "report compare", MISFIT),
    "fewer names": (arrays(ids=lambda found: found[:1]), "report compare", MISFIT),
    "fewer hashes": (arrays(hashes=lambda found: found[:1]), "report compare", MISFIT),
    "answers of no head": (arrays(heads=np.array([], str)), "report compare", MISFIT),
    "answers of one head twice": (arrays(heads=["label", "label"]), "report compare", MISFIT),
    "an unknown kind of head": (arrays(kind="x"), "report compare", MISFIT),
    "one class": (arrays(classes=["cat"]), "report compare", MISFIT),
    "classes that are numbers": (arrays(classes=[1, 2, 3]), "report compare", MISFIT),
    "pickled answers": (
        lambda: np.savez("run/answers/test.npz", heads=np.array(["label"]), ids=np.array([code_in_a_pickle()], object)),
        "report compare",
        "answers/test.npz' is damaged: it holds no whole arrays",
    ),
}


@pytest.mark.parametrize("case", EDITED)
def test_an_edited_file_is_named_by_each_command_that_needs_it(run_refused, case):
    damage, commands, said = EDITED[case]
    damage()
    for command in commands.split():
        run_refused(COMMANDS[command], said)
    assert not Path("ran").exists()


NO_MATTER: dict[str, Callable[[], object]] = {
    "versions of one thing": lambda: Path("run/versions.json").write_text('{"noonchi": "1"}'),
    "versions within versions": lambda: Path("run/versions.json").write_text('{"machine": {"a": []}}'),
    "versions with control codes": lambda: Path("run/versions.json").write_text('{"machine": "\\u001b[2J<script>"}'),
    "a device to be chosen": lambda: edited(RUN / "recipe.toml", 'name = "cpu"', 'name = "auto"'),
    "no number of channels": lambda: edited(RUN / "recipe.toml", "channels = 1\n", ""),
    "an accuracy of 5": rows("history.csv", cell(1, 2, "5")),
    "a loss that is nan": rows("history.csv", cell(1, 1, "nan")),
}


@pytest.mark.parametrize("case", NO_MATTER)
def test_an_edit_that_is_no_matter_is_none(noonchi, runs_here, case):
    NO_MATTER[case]()
    for command in ("report", "compare", "resume"):
        answer = noonchi(*COMMANDS[command].split())
        assert answer.code == 0, answer.err
    assert "<script>" not in Path("run/report.html").read_text("utf-8").partition("</script>")[2]


# What is not taken for a run, or not written over


def everything() -> list[tuple[Path, int]]:
    return [(path, path.stat().st_mtime_ns) for path in sorted(Path().rglob("*"))]


def test_a_folder_that_holds_a_run_is_not_written_to(run_refused):
    before = everything()
    run_refused("train digits --out run", "noonchi train --resume run")
    assert everything() == before


def test_a_folder_that_holds_anything_is_not_written_to(run_refused):
    before = everything()
    run_refused("train digits --out .", "is not an empty folder")
    assert everything() == before


def test_a_picture_is_no_run_to_go_on_with(run_refused):
    run_refused("train --resume a.png", "'a.png' is a file; give a run's folder")


def test_last_does_not_pass_for_best(run_refused):
    shutil.rmtree("run/best")
    run_refused("val run", "'run/best' is missing")
