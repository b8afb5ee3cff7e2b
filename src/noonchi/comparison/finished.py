"""What a finished run's folder holds, read without torch."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from noonchi import answers, files, settings
from noonchi.answers import Answers
from noonchi.errors import DataError, RunError, SettingsError
from noonchi.results import Split
from noonchi.settings import RunSettings
from noonchi.sources.splits import read_splits

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What batch norm keeps beside its weights."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that has ended, and what it answered for the pictures of one split."""

    folder: Path
    settings: RunSettings
    epochs: int
    seconds: float
    parameters: int
    history: Mapping[str, list[float]]
    """The columns of `history.csv`."""
    answers: Answers
    hashes: Mapping[str, frozenset[str]]
    """By split, those of the contents of its pictures."""


def read(folder: Path, split: Split) -> Finished:
    """A run's folder. Raises RunError for one that holds no run, an unfinished one or a damaged one."""
    run = _settings(folder)
    result = folder / "test.json"
    if not result.is_file():
        raise RunError(f"the run '{folder}' has not ended. Go on with it: noonchi train --resume {folder}")
    answered = answers.read(folder, split)
    try:
        ended = json.loads(result.read_text(encoding="utf-8"))
        epochs, seconds = int(ended["epochs"]), float(ended["seconds"])
        history, parameters = _history(folder / "history.csv"), _parameters(folder)
        hashes = _hashes(folder / "splits.csv")
    except (OSError, ValueError, TypeError, KeyError, RecursionError, csv.Error, SafetensorError, DataError) as error:
        raise RunError(f"the run '{folder}' is damaged: {error}. Restore it from a copy, or train again.") from None
    return Finished(folder, run, epochs, seconds, parameters, history, answered, hashes)


def _settings(folder: Path) -> RunSettings:
    recipe = folder / "recipe.toml"
    if not recipe.is_file():
        raise RunError(f"'{folder}' holds no run: recipe.toml is not in it. Start one with: noonchi train DATA")
    try:
        return settings.load(recipe)
    except SettingsError as error:
        raise RunError(f"'{recipe}' is damaged: {error}") from None


def _history(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    columns = zip(*([float(text) for text in row] for row in rows), strict=True)
    return {name.removeprefix("'"): list(column) for name, column in zip(header, columns, strict=True)}


def _parameters(folder: Path) -> int:
    """Numbers in the file of weights, less the statistics of batch norm, which are not learned."""
    count = 0
    with safe_open(files.settled(folder / "best") / "weights.safetensors", framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # no mapping: it has keys() alone
            if not name.endswith(_STATISTICS):
                size = 1
                for side in tensors.get_slice(name).get_shape():
                    size *= side
                count += size
    return count


def _hashes(path: Path) -> dict[str, frozenset[str]]:
    rows = read_splits(path).rows
    return {split: frozenset(row[2] for row in rows if row[1] == split) for split in ("train", "val", "test")}
