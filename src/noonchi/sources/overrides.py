"""What a person decided about single pictures, in a CSV file: to leave one out, or to give it another label."""

import csv
import io
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from noonchi import files
from noonchi.errors import DataError, did_you_mean
from noonchi.results import inert
from noonchi.sources import csv_file
from noonchi.sources.index import Column, Raw, column

Action = Literal["drop", "relabel"]
_REQUIRED = ("file_name", "action")
_FIXED = (*_REQUIRED, "reason")


@dataclass(frozen=True)
class Override:
    """What to do with one picture."""

    file: str
    """The picture's id: its path within the data's folder, with `/`."""
    action: Action
    labels: Mapping[str, str] = field(default_factory=dict)
    """For `relabel`: by label column the new class; columns that are not named stay as they are. In data with one label
    column `label` names it, whatever it is called."""
    reason: str = ""
    line: int = field(default=0, compare=False)
    """Where it stands in its file."""


def write(path: Path, rows: Iterable[Override]) -> None:
    """Write overrides as CSV, one row a picture: `file_name`, `action`, a column for each label column, `reason`.

    Cells are kept from being run as formulas as in `splits.csv`.

    >>> from tempfile import TemporaryDirectory
    >>> rows = [Override("cat/1.jpg", "relabel", {"label": "dog"}, "a copy of dog/7.jpg")]
    >>> with TemporaryDirectory() as folder:
    ...     write(Path(folder) / "overrides.csv", rows)
    ...     read(Path(folder) / "overrides.csv") == rows
    True
    """
    listed = list(rows)
    names = list(dict.fromkeys(name for row in listed for name in row.labels)) or ["label"]
    if clash := set(names).intersection(_FIXED):
        raise DataError(f"'{path}' cannot have a label column '{min(clash)}' beside its own; rename it in the data.")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_REQUIRED, *map(inert, names), "reason"))
    for row in listed:
        cells = (row.file, row.action, *(row.labels.get(name, "") for name in names), row.reason)
        writer.writerow(map(inert, cells))
    files.write(path, text.getvalue())


def read(path: Path) -> list[Override]:
    """The rows of an overrides file; every column but `file_name`, `action` and `reason` is a label column.

    Raises DataError for what is no CSV, a missing column, an unknown action, a picture named twice, or a relabelling
    without a label.
    """
    header, rows = csv_file.read(path)
    names = [_plain(name) for name in header]
    if missing := [name for name in _REQUIRED if name not in names]:
        raise DataError(f"'{path}' lacks a column {missing[0]!r}; it has: {', '.join(header)}.")
    out: dict[str, Override] = {}
    for line, cells in rows:
        one = _override(path, line, dict(zip(names, map(_plain, cells), strict=True)))
        if one.file in out:
            raise DataError(f"'{path}' names '{one.file}' on lines {out[one.file].line} and {line}; keep one.")
        out[one.file] = one
    return list(out.values())


def apply(path: Path, raw: Raw, several: Collection[str] = ()) -> Raw:
    """The data as the overrides at `path` want them, with a note of how many pictures they name.

    A text of the columns in `several` is any number of classes, joined by `|`. A class that loses its last picture is
    gone. Raises DataError for a picture, a column or a class that is not in the data, and for data that are no files.
    """
    if raw.packed is not None:
        raise DataError(f"'{path}' cannot change shards; write them anew: noonchi shard --set data.overrides={path}.")
    if raw.files is None:
        raise DataError(f"'{path}' can only change pictures that are files; overrides are for folders and tables.")
    rows = [_with_column(row, raw.columns) for row in read(path)]
    _refuse_unknown(path, rows, raw, several)
    dropped = {row.file for row in rows if row.action == "drop"}
    keep = [position for position, one in enumerate(raw.ids) if one not in dropped]
    return replace(
        raw,
        ids=tuple(raw.ids[at] for at in keep),
        hashes=tuple(raw.hashes[at] for at in keep),
        columns={name: _relabelled(name, raw, rows, keep) for name in raw.columns},
        splits=None if raw.splits is None else raw.splits[keep],
        groups=None if raw.groups is None else tuple(raw.groups[at] for at in keep),
        files=tuple(raw.files[at] for at in keep),
        unusable=tuple((one, reason) for one, reason in raw.unusable if one not in dropped),
        notes=(*raw.notes, f"changed by {path.name}: {len(dropped)} dropped, {len(rows) - len(dropped)} relabelled"),
    )


def _override(path: Path, line: int, cells: Mapping[str, str]) -> Override:
    action = cells["action"].strip()
    given = {name: unicodedata.normalize("NFC", text.strip()) for name, text in cells.items() if name not in _FIXED}
    labels = {name: text for name, text in given.items() if text}
    if action == "drop":
        return Override(cells["file_name"], "drop", {}, cells.get("reason", ""), line)
    if action == "relabel":
        if not labels:
            raise DataError(f"'{path}' line {line} relabels '{cells['file_name']}' without a label; give its class.")
        return Override(cells["file_name"], "relabel", labels, cells.get("reason", ""), line)
    raise DataError(f"'{path}' line {line} has action '{action}'; expected {' or '.join(get_args(Action))}.")


def _plain(cell: str) -> str:
    """A cell as it was before `inert`; also one that a person wrote, such as `'tis.png`."""
    return cell[1:] if cell.startswith("'") and inert(cell[1:]) != cell[1:] else cell


def _with_column(row: Override, columns: Mapping[str, Column]) -> Override:
    """In data with one label column, the row that names it `label` with its own name."""
    if len(columns) > 1 or "label" in columns or "label" not in row.labels:
        return row
    return replace(row, labels={next(iter(columns)): row.labels["label"]})


def _refuse_unknown(path: Path, rows: list[Override], raw: Raw, several: Collection[str]) -> None:
    files_known = {*raw.ids, *(one for one, _ in raw.unusable)}
    classes = {
        name: {part for text in one.classes for part in _parts(text, name in several)}
        for name, one in raw.columns.items()
    }
    for row in rows:
        where = f"'{path}' line {row.line}"
        if row.file not in files_known:
            raise DataError(f"{where} names '{row.file}', which is not in the data; write its path as splits.csv does.")
        for name, text in row.labels.items():
            if name not in classes:
                raise DataError(f"{where} labels '{name}'; the data's labels are: {', '.join(classes)}.")
            for part in _parts(text, name in several):
                if part not in classes[name]:
                    raise DataError(f"{where} has class '{part}'. {did_you_mean(part, classes[name])}")


def _parts(text: str, several: bool) -> list[str]:
    return [part.strip() for part in text.split("|")] if several else [text]


def _relabelled(name: str, raw: Raw, rows: list[Override], keep: list[int]) -> Column:
    old = raw.columns[name]
    new = {row.file: row.labels[name] for row in rows if name in row.labels}
    return column(new.get(raw.ids[at], old.classes[old.codes[at]]) for at in keep)
