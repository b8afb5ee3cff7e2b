"""Everything that writes files, each with two contents, old and new, and with what reads them back whole."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import finished_runs
from noonchi import (
    answers,
    batches,
    checkpoint,
    classifier,
    cli,
    features,
    files,
    fitting,
    records,
    report,
    reporting,
    runs,
    settings,
    sources,
)
from noonchi import cache as frames_cache
from noonchi.classifier import Classifier
from noonchi.explain import explain, page
from noonchi.export import graph, onnx_file
from noonchi.report.page import Contents
from noonchi.results import Epoch, Head
from noonchi.runs import Run
from noonchi.settings import FitSettings, ModelSettings, PixelSettings, RunSettings
from noonchi.sources import Index, overrides
from noonchi.sources.overrides import Override
from noonchi.tuning import Found, drawing, record
from noonchi.tuning.record import Asked
from noonchi.tuning.study import Study
from noonchi.tuning.suggestion import suggest

OLD, NEW = 0, 1
LABEL = Head("label", "classes", ("cat", "dog", "owl"))
PIXELS = PixelSettings(size=(8, 8), channels=1)


class Writer(NamedTuple):
    write: Callable[[Path, int], object]
    """Puts the content of that number, OLD or NEW, into a folder."""
    read: Callable[[Path], Mapping[str, Any]]
    """What is in the folder, by parts of which each is old or new; an error where one is not whole."""


def draw_material(place: Path) -> None:
    """What lies beside the folder that is written: `data/`, pictures of two classes; `one` and `other`, runs."""
    drawn = np.random.default_rng(0)
    for number in range(6):
        path = place / "data" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.integers(0, 256, (9, 9), np.uint8)).save(path)
    labels, at = finished_runs.drawn_labels(60), np.arange(60)
    for name, wrong in (("one", 20), ("other", 5)):
        finished_runs.write(place / name, finished_runs.answered(finished_runs.names(60), labels, at >= wrong))


@cache
def index() -> Index:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), np.uint8)
    return sources.load((images, [LABEL.classes[number % 3] for number in range(12)]))


@cache
def photos(place: Path) -> Index:
    return sources.load(place / "data")


# Training


def filled(number: int, **model: Any) -> Classifier:
    """A classifier of which every weight is `number`."""
    made = classifier.create((LABEL,), ModelSettings(**{"network": "mnist-one-conv"} | model), PIXELS)
    return fill(made, number)


def fill(made: Classifier, number: int) -> Classifier:
    with torch.no_grad():
        for weight in made.network.parameters():
            weight.fill_(number)
    return made


def filling(made: Classifier) -> float:
    (number,) = {float(value) for weight in made.network.parameters() for value in weight.detach().unique()}
    return number


def best(folder: Path) -> dict[str, Any]:
    found = {"best": filling(classifier.load(folder))}
    files.recover(folder / "best")  # as the next save does: an old folder that could not be removed
    return found


def state(number: int) -> fitting.State:
    """Saved in the epoch after `number`, with its running mean of weights filled by that number too."""
    made = fitting.begin(filled(number), FitSettings(ema_decay=0.5))
    made.epoch = 1 + number
    return made


def restored(folder: Path) -> dict[str, Any]:
    made = state(7)
    assert checkpoint.restore(folder / "last", made)
    number = made.epoch - 1
    assert filling(classifier.load(folder)) == number
    assert {filling(made.kept), filling(made.classifier)} == {number}
    return {"last": number}


def frames(folder: Path) -> bytes:
    os.environ["NOONCHI_CACHE"] = str(folder / "cache")
    return frames_cache.decode(photos(folder.parent), PixelSettings(size=(6, 6), channels=3)).array.tobytes()


def given(folder: Path) -> bytes:
    """What frozen layers give."""
    os.environ["NOONCHI_CACHE"] = str(folder / "cache")
    run = RunSettings(pixels=PIXELS, device={"precision": "float32", "name": "cpu"})
    network = filled(1, network="mnist-deep-convnet", freeze="flatten").network
    pictures = batches.of_split(index().array, index(), "train", run)
    computed = features.computed(pictures, network, index(), run, lambda _: None)
    assert computed.features is not None
    return computed.features.tobytes()


def cached(kind: str, make: Callable[[Path], bytes]) -> Writer:
    """What is made once and has no old content; the next call has to give it, and to leave nothing else."""

    def write(folder: Path, number: int) -> None:
        if number == NEW:
            make(folder)

    def read(folder: Path) -> dict[str, Any]:
        found = {kind: make(folder)}
        assert [entry.kind for entry in frames_cache.kept()] == [kind]
        assert len(list((folder / "cache" / kind).iterdir())) == 1
        return found

    return Writer(write, read)


# A run's record


def epoch(number: int) -> Epoch:
    return Epoch(1, {"loss": 1.0 + number, "val_loss": 2.0 + number}, lr=1e-3, seconds=1.5)


def tensorboard_loss(folder: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {"loss": events.Scalars("loss/training")[-1].value}


@cache
def exported_bytes(number: int) -> bytes:
    return graph.file_bytes(filled(number))


def export(folder: Path, number: int) -> None:
    onnx_file.written(filled(number), folder / "a.onnx", exported_bytes(number))


def report_page(folder: Path, number: int) -> None:
    contents = Contents(
        folder=Path("runs/pets-1"),
        run=RunSettings(),
        history=[epoch(number)],
        kept=1,
        seconds=4.5,
        split=None,
        outcomes=(),
        sizes={"train": 900},
        counts={"label": {"train": {"cat": 900}}},
        findings=(),
        notes=("a note",),
        begun="2026-01-31 12:00:00",
        ended="2026-01-31 12:00:05",
        versions={"torch": "2.13.0", "machine": "some processor"},
        unusable=(),
    )
    reporting.write(folder / runs.REPORT, contents)


def an_answer(number: int) -> answers.Answers:
    names = finished_runs.names(40)
    return finished_runs.answered(names, finished_runs.drawn_labels(40), np.arange(40) >= 10 * number)


def answered(folder: Path) -> dict[str, Any]:
    return {"answers": answers.read(folder).probabilities["label"].tobytes()}


# Commands


@cache
def explanation(number: int) -> Any:
    """Of few pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(number)
        made = classifier.create((LABEL,), ModelSettings(network="mnist-one-conv"), PIXELS)
    found = explain(made, np.zeros((8, 8), np.uint8), filters=0)
    return replace(found, maps=(), activations=found.activations[:1])


def rates(number: int) -> Found:
    rates, losses = np.geomspace(1e-7, 10, 30), np.linspace(2 + number, 1, 30)
    return Found("mnist-mlp", 0, 8, tuple(rates.tolist()), tuple(losses.tolist()), False, suggest(rates, losses))


def search(number: int) -> Asked:
    return Asked("digits", {"mnist-mlp": settings.load("mnist-mlp").table()}, {"mnist-mlp": []}, 3 + number, None)


def study(folder: Path) -> Study:
    return Study(folder, search(OLD).spaces(), seed=0)


def try_rates(folder: Path, number: int) -> None:
    """One trial, and another."""
    while len(study(folder).ended()) <= number:
        under_way = study(folder).next([])
        study(folder).end(under_way.number, 0.5)


def command(*words: object) -> None:
    """A command line whose errors have to be a user's to mend, not our bug."""
    sys.argv = ["noonchi", *map(str, words)]
    code = cli._run()
    assert code in (0, 2, 3, 4), code
    if code:
        raise OSError("told in a line")


def check(folder: Path, number: int) -> None:
    share = f"data.test_share={number / 2}"
    command("check", folder.parent / "data", "--set", share, "--html", folder / "check.html")


def checked(folder: Path) -> dict[str, Any]:
    """Whether there are test pictures; a page may also tell of one that could not be read."""
    text = (folder / "check.html").read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    return {"tested": "no test pictures" not in text}


def compare(folder: Path, number: int) -> None:
    both = [folder.parent / name for name in ("one", "other")]
    command("compare", *both[:: -1 if number else 1], "--html", folder / "compare.html")


def look(folder: Path, number: int) -> None:
    command(
        "look", folder.parent / "data", "--recipe", "mnist-one-conv", "--seed", number, "--out", folder / "look.png"
    )


def conv(folder: Path, number: int) -> None:
    kernel = ("sobel-x", "sobel-y")[number]
    command("conv", "--matrix", "1 2 3; 4 5 6; 7 8 9", "--weights", kernel, "--out", folder / "walk.gif")


def summary(folder: Path, number: int) -> None:
    command("summary", ("mnist-mlp", "mnist-one-conv")[number], "--diagram", folder / "net.svg")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


WRITERS = {
    "classifier": Writer(lambda folder, number: checkpoint.save_classifier(folder / "best", filled(number)), best),
    "checkpoint": Writer(lambda folder, number: checkpoint.save(folder / "last", state(number)), restored),
    "frames": cached("frames", frames),
    "features": cached("features", given),
    "history": Writer(
        lambda folder, number: records.write_history(folder, [epoch(number)]),
        lambda folder: {"history": records.read_history(folder)},
    ),
    "plots": Writer(lambda folder, number: report.write_plots(folder, [epoch(number)]), content),
    "TensorBoard": Writer(lambda folder, number: report.write_tensorboard(folder, epoch(number)), tensorboard_loss),
    "report": Writer(report_page, content),
    "result": Writer(
        lambda folder, number: runs.write_result(Run(folder, number, 1.5, None, None)),
        lambda folder: {"epochs": records.load_result(folder).epochs},
    ),
    "recipe": Writer(
        lambda folder, number: files.write(folder / records.RECIPE, settings.to_toml(RunSettings(seed=number))),
        lambda folder: {"seed": records.load_settings(folder).seed},
    ),
    "splits": Writer(
        lambda folder, number: sources.write_splits(folder / runs.SPLITS, index().only(np.arange(6 + 6 * number))),
        lambda folder: {"splits": sources.read_splits(folder / runs.SPLITS)},
    ),
    "unusable": Writer(lambda folder, number: sources.write_unusable(folder / runs.UNUSABLE, index()), content),
    "export": Writer(export, content),
    "answers": Writer(lambda folder, number: answers.write(folder, "test", an_answer(number)), answered),
    "explain": Writer(
        lambda folder, number: page.write(folder, explanation(number), np.full((8, 8), 100 * number, np.uint8)),
        content,
    ),
    "look": Writer(look, content),
    "check": Writer(check, checked),
    "compare": Writer(compare, content),
    "conv": Writer(conv, content),
    "summary": Writer(summary, content),
    "overrides": Writer(
        lambda folder, number: overrides.write(folder / "a.csv", [Override(f"{number}.png", "drop", {}, "bad")]),
        lambda folder: {"file": overrides.read(folder / "a.csv")[0].file},
    ),
    "learning rates": Writer(lambda folder, number: drawing.write_plot(folder / "lr.png", rates(number)), content),
    "search": Writer(
        lambda folder, number: record.save(folder, search(number)), lambda folder: {"asked": record.load(folder)}
    ),
    "trials": Writer(try_rates, lambda folder: {"trials": len(study(folder).ended())}),
}


def warm_up(place: Path) -> None:
    """Every writer once, so that all is imported and drawn that they share."""
    (place / "warm").mkdir()
    for writer in WRITERS.values():
        writer.write(place / "warm", NEW)
