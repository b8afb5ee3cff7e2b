"""From the data's label columns to the heads of a classifier."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from noonchi.errors import DataError
from noonchi.results import Head
from noonchi.settings import HeadSettings
from noonchi.sources.index import Column, in_order

Labels = npt.NDArray[np.int64] | npt.NDArray[np.uint8]


def resolve(
    columns: Mapping[str, Column], settings: Mapping[str, HeadSettings], ids: Sequence[str]
) -> tuple[tuple[Head, ...], dict[str, Labels]]:
    """The heads that `settings` ask for, or one a column, with each picture's labels.

    Class numbers follow the sorted names of the column's classes, or the order in which `map` first gives them.
    Raises DataError for a column that is not there, a picture without a label, a class that `map` leaves out, or
    classes that do not suit the kind.

    >>> digits = Column(("0", "1", "2"), np.array([0, 1, 2, 2]))
    >>> odd = HeadSettings(kind="binary", column="digit", map={"0": "even", "1": "odd", "2": "even"})
    >>> heads, labels = resolve({"digit": digits}, {"odd": odd}, ["a", "b", "c", "d"])
    >>> heads[0].classes, labels["odd"].tolist()
    (('even', 'odd'), [0, 1, 0, 0])
    """
    wanted = settings or {name: HeadSettings() for name in columns}
    heads, labels = [], {}
    for name, head in wanted.items():
        source = head.column or name
        if source not in columns:
            raise DataError(
                f"head '{name}' reads column '{source}', which is missing; the data have: {', '.join(columns)}."
            )
        made, labels[name] = _head(name, head, columns[source], ids)
        heads.append(made)
    return tuple(heads), labels


def _head(name: str, settings: HeadSettings, column: Column, ids: Sequence[str]) -> tuple[Head, Labels]:
    kind = settings.kind or ("labels" if column.labels else "classes")
    several = kind == "labels"
    if column.labels and not several:
        raise DataError(f"head '{name}' is of kind '{kind}', yet pictures carry several labels; set kind = 'labels'.")
    parts = [tuple(filter(None, map(str.strip, text.split("|")))) if several else (text,) for text in column.classes]
    if not several:
        _refuse_empty(name, column, ids)
    known = in_order(part for some in parts for part in some) if column.labels is None else column.labels
    renamed = _renamed(name, settings.map, known)
    classes = tuple(dict.fromkeys((settings.map or renamed).values()))
    _refuse_few(name, kind, classes)
    number = {old: classes.index(new) for old, new in renamed.items()}
    if not several:
        return Head(name, kind, classes), np.array([number[text] for (text,) in parts], np.int64)[column.codes]
    rows = np.zeros((len(parts), len(classes)), np.uint8)
    for row, some in zip(rows, parts, strict=True):
        row[[number[part] for part in some]] = 1
    return Head(name, kind, classes), rows[column.codes]


def _refuse_empty(name: str, column: Column, ids: Sequence[str]) -> None:
    if "" in column.classes:
        first = ids[int(np.flatnonzero(column.codes == column.classes.index(""))[0])]
        raise DataError(f"picture '{first}' has an empty label for head '{name}'; fill it in or remove the picture.")


def _refuse_few(name: str, kind: str, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        held = f"1 class ('{classes[0]}')" if classes else "no class"
        raise DataError(f"head '{name}' has {held}; a classifier needs 2.")
    if kind == "binary" and len(classes) > 2:
        raise DataError(
            f"head '{name}' is binary, which needs 2 classes, yet has {len(classes)}; use kind = 'classes'."
        )


def _renamed(name: str, mapping: dict[str, str] | None, known: tuple[str, ...]) -> dict[str, str]:
    if mapping is None:
        return {old: old for old in known}
    missing = [old for old in known if old not in mapping]
    if missing:
        raise DataError(f"heads.{name}.map leaves out {', '.join(map(repr, missing[:10]))}; give each class its class.")
    return {old: mapping[old] for old in known}
