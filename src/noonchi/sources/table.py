"""A CSV file that names pictures and their labels."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noonchi.errors import DataError
from noonchi.sources.index import SPLITS, Raw, column
from noonchi.sources.scan import scan

_PATH_COLUMNS = ("file_name", "path")
_NOT_LABELS = (*_PATH_COLUMNS, "split", "group")

Rows = list[tuple[int, list[str]]]


def read(path: Path) -> Raw:
    """The pictures of a CSV file: `file_name` or `path` relative to its folder, labels in all other columns but
    `split` and `group`.

    Raises DataError for a table that is not UTF-8, lacks a column, has a ragged row, or names files that are absent,
    lie outside its folder or come twice.
    """
    header, rows = _parse(path)
    paths = next((name for name in _PATH_COLUMNS if name in header), None)
    heads = [name for name in header if name not in _NOT_LABELS]
    if paths is None or not heads:
        lacks = "a label column" if paths else "a column 'file_name' or 'path'"
        raise DataError(f"'{path}' lacks {lacks}; it has: {', '.join(header)}.")
    ids = _ids(path, rows, header.index(paths))
    files = [path.parent / one for one in ids]
    scanned = scan(files, path.parent)
    usable = [position for position, one in enumerate(scanned) if one.hash]
    kept = [rows[position] for position in usable]
    return Raw(
        name=path.stem,
        ids=tuple(ids[position] for position in usable),
        hashes=tuple(scanned[position].hash for position in usable),
        columns={name: column(row[header.index(name)].strip() for _, row in kept) for name in heads},
        splits=_splits(path, kept, header.index("split")) if "split" in header else None,
        files=tuple(files[position] for position in usable),
        unusable=tuple((ids[position], one.reason) for position, one in enumerate(scanned) if not one.hash),
    )


def _parse(path: Path) -> tuple[list[str], Rows]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"'{path}' line {reader.line_num} is not CSV: {error}.") from None
    if len(rows) < 2:
        raise DataError(f"'{path}' holds no rows; the first line names the columns, each further line is a picture.")
    header = [name.strip() for name in rows[0][1]]
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f"'{path}' must name each column once; it has: {', '.join(header)}.")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(f"'{path}' line {line} has {len(row)} cells for {len(header)} columns.")
    return header, rows[1:]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"'{path}' is UTF-16; save it as UTF-8.")
        if b"\0" in content:
            raise DataError(
                f"'{path}' holds a NUL byte on line {content[: content.index(0)].count(10) + 1}; save it as text."
            )
        return content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"'{path}' line {line} is not UTF-8; save it as UTF-8.") from None


def _ids(path: Path, rows: Rows, at: int) -> list[str]:
    lines: dict[str, int] = {}
    for line, row in rows:
        one = os.path.normpath(row[at].strip()).replace(os.sep, "/")
        if one.startswith(("../", "/")) or one in ("..", ".") or Path(one).is_absolute():
            raise DataError(f"'{path}' line {line} names '{row[at]}'; expected a file within the table's folder.")
        if one in lines:
            raise DataError(f"'{path}' names '{one}' on lines {lines[one]} and {line}; keep one.")
        lines[one] = line
    absent = [one for one in lines if not os.path.lexists(path.parent / one)]
    if absent:
        raise DataError(f"'{path}' names {len(absent)} files that are absent: {', '.join(absent[:10])}.")
    return list(lines)


def _splits(path: Path, rows: Rows, at: int) -> npt.NDArray[np.str_]:
    for line, row in rows:
        if row[at].strip().lower() not in SPLITS:
            raise DataError(f"'{path}' line {line} has split '{row[at]}'; expected train, val or test.")
    return np.array([SPLITS[row[at].strip().lower()] for _, row in rows])
