"""What a run's folder records, read without torch: its settings, its history, its result, and with what it was made."""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from noonchi import files, settings
from noonchi.errors import RunError, SettingsError
from noonchi.results import Epoch, inert, shell_word
from noonchi.settings import Number, RunSettings, Settings, Whole

RECIPE, HISTORY, RESULT, VERSIONS = "recipe.toml", "history.csv", "test.json", "versions.json"


class Result(Settings, extra="ignore"):
    """How a run ended; its scores as `noonchi train --json` prints them."""

    epochs: Whole
    seconds: Number
    val: dict[str, Any] | None
    test: dict[str, Any] | None


def load_settings(folder: Path) -> RunSettings:
    """The settings of a run. Raises RunError where there is none, or where they were damaged."""
    files.refuse_file(folder)
    path = folder / RECIPE
    if not path.is_file():
        raise RunError(f"'{folder}' holds no run: {RECIPE} is not in it. Start one with: noonchi train DATA")
    try:
        return settings.load(path)
    except SettingsError as error:
        raise files.damaged(path, str(error).replace(f"recipe '{path}' ", "it ", 1)) from None


def load_result(folder: Path) -> Result:
    """How a run ended. Raises RunError for a run that is not finished."""
    path = folder / RESULT
    if not path.exists() and not path.is_symlink():
        raise RunError(f"'{folder}' is not finished; go on with: noonchi train --resume {shell_word(folder)}")
    return settings.recorded(Result, path, files.read_json(path))


def load_versions(folder: Path) -> dict[str, str]:
    """With what a run was trained, by name; empty for a run that does not record it."""
    try:
        return {name: str(version) for name, version in files.read_json(folder / VERSIONS).items()}
    except RunError:
        return {}


def write_history(folder: Path, epochs: Iterable[Epoch]) -> None:
    """`history.csv`: a row an epoch, the columns named as Keras names them."""
    rows = [epoch.to_json() for epoch in epochs]
    names = list(rows[0]) if rows else ["epoch"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(inert, names))
    writer.writerows([row[name] for name in names] for row in rows)
    files.write(folder / HISTORY, text.getvalue())


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of `history.csv`; which was best is not in it. Raises RunError where it is missing or damaged."""
    path = folder / HISTORY
    header, *rows = files.read_csv(path)
    names = [name.removeprefix("'") for name in header]
    try:
        epochs = [_epoch(dict(zip(names, map(float, row), strict=True))) for row in rows]
    except (ValueError, KeyError):
        epochs = []
    if not epochs or [epoch.number for epoch in epochs] != list(range(1, 1 + len(rows))):
        raise files.damaged(path, "its rows must be the epochs in their order, each with numbers alone")
    return epochs


def _epoch(row: dict[str, float]) -> Epoch:
    number, lr, seconds = (row.pop(name) for name in ("epoch", "lr", "seconds"))
    if not all(map(math.isfinite, (number, lr, seconds))):
        raise ValueError
    return Epoch(int(number), row, lr, seconds)
