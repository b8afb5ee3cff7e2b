"""Which pictures train, which validate and which test; and `splits.csv`, where a run records it."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noonchi import files
from noonchi.errors import DataError
from noonchi.results import Head, HeadKind, inert
from noonchi.settings import DataSettings, HeadSettings
from noonchi.sources.index import Index, Labels, in_order

_SHOWN = 10
"""Unusable pictures named one by one."""


def complete(
    given: npt.NDArray[np.str_] | None,
    keys: Sequence[str],
    labels: Collection[Labels],
    settings: DataSettings,
) -> npt.NDArray[np.str_]:
    """Every picture's split, `given` ones kept.

    A picture's key (see `groups.keys`), read as a number u in 0..1, decides alone: validation lies at the low end,
    test at the high end. So pictures added later move none that were there, and pictures with one key, which are
    identical or of one group, share their fate. Data in one piece give `test_share` of all to test and
    `validation_share` of the rest to validation; data that name a test but no validation give `validation_share` of
    train; data that name a validation are left as they are, also without a test. One exception: a class left without
    a validation picture gives its pictures of lowest u, with all that share their key, of those keys that leave every
    class a picture to train on.

    Raises DataError where of pictures to train on none is left.

    >>> low, middle, high = "05" + "0" * 30, "80" + "0" * 30, "f0" + "0" * 30
    >>> complete(None, [low, middle, high, middle], [np.zeros(4, np.int64)], DataSettings()).tolist()
    ['val', 'train', 'test', 'train']
    """
    splits = np.full(len(keys), "train", dtype="<U5") if given is None else given.astype("<U5")
    had_some = "train" in splits
    share = 0.0 if settings.validate_on_test or "val" in splits else settings.validation_share
    if given is not None and not share:
        return splits
    u = np.array([int(one[:16], 16) for one in keys], dtype=np.uint64) / 2.0**64
    if given is None:
        splits[u >= 1 - settings.test_share] = "test"
        share *= 1 - settings.test_share
    if share:
        splits[(splits == "train") & (u < share)] = "val"
        for holds in _each_class(labels, np.full(len(u), True)):
            if not (holds & (splits == "val")).any():
                _give_validation(splits, u, labels, holds)
    if had_some and "train" not in splits:
        raise DataError("no picture is left to train on; give more pictures that differ, or lower data.test_share.")
    return splits


def _each_class(labels: Collection[Labels], among: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.bool_]]:
    """Of each class that some of the pictures hold: which pictures of all hold it."""
    for one in labels:
        if one.ndim == 2:
            yield from (one[:, number] == 1 for number in np.flatnonzero(one[among].any(axis=0)))
        else:
            yield from (one == number for number in np.unique(one[among]))


def _give_validation(
    splits: npt.NDArray[np.str_],
    u: npt.NDArray[np.float64],
    labels: Collection[Labels],
    holds: npt.NDArray[np.bool_],
) -> None:
    train = splits == "train"
    for lowest in np.unique(u[holds & train]):
        moved = train & (u == lowest)
        if all((one & train & ~moved).any() for one in _each_class(labels, moved)):
            splits[moved] = "val"
            return


@dataclass(frozen=True)
class Recorded:
    """The rows of a `splits.csv`: (id, split, hash, a class for each head)."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_heads(self, asked: Mapping[str, HeadSettings]) -> tuple[Head, ...]:
        """Its heads with those classes that pictures are of; a head's kind is the one asked for."""
        return tuple(self._head(name, at, asked[name].kind or "classes") for at, name in enumerate(self.heads, 3))

    def _head(self, name: str, column: int, kind: HeadKind) -> Head:
        texts = {row[column] for row in self.rows}
        parts = {part for text in texts for part in text.split("|") if part}
        return Head(name, kind, in_order(parts if kind == "labels" else texts))


def as_index(recorded: Recorded, name: str, heads: Sequence[Head]) -> Index:
    """What was recorded as an index without its pictures; its heads may have classes that no picture is of.

    >>> recorded = Recorded(("tags",), (("a", "train", "01", "dog|cat"), ("b", "val", "02", "")))
    >>> as_index(recorded, "pets", [Head("tags", "labels", ("cat", "dog", "owl"))]).labels["tags"].tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    columns = {head.name: [row[3 + at] for row in recorded.rows] for at, head in enumerate(heads)}
    return Index(
        name=name,
        ids=tuple([row[0] for row in recorded.rows]),
        hashes=tuple([row[2] for row in recorded.rows]),
        splits=np.array([row[1] for row in recorded.rows], dtype=np.str_),
        heads=tuple(heads),
        labels={head.name: _labels(head, columns[head.name]) for head in heads},
        files=(),
        array=None,
    )


def _labels(head: Head, texts: Sequence[str]) -> Labels:
    number = {name: at for at, name in enumerate(head.classes)}
    if head.kind != "labels":
        return np.array([number[text] for text in texts], dtype=np.int64)
    rows = np.zeros((len(texts), len(number)), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[[number[name] for name in text.split("|") if name]] = 1
    return rows


def write_splits(path: Path, index: Index) -> None:
    """Write `splits.csv`: id, split, hash and each head's class; the classes of a `labels` head joined by `|`.

    A spreadsheet would run a text that begins with `=`, `+`, `-`, `@`, a tab or a return. Such a text, and one
    that begins with `'`, gets one `'` put before it, which `read_splits` takes off again.

    >>> from tempfile import TemporaryDirectory
    >>> from noonchi import sources
    >>> index = sources.load((np.arange(32, dtype=np.uint8).reshape(2, 4, 4), ["=cat", "dog"]))
    >>> with TemporaryDirectory() as folder:
    ...     write_splits(Path(folder) / "splits.csv", index)
    ...     read_splits(Path(folder) / "splits.csv").rows[0][3], differences(index, Path(folder) / "splits.csv")
    ('=cat', None)
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    recorded = _rows(index)
    # looked up once a distinct text: ids are many, the other texts few
    safe = {one: inert(one) for one in {text for row in recorded.rows for text in (row[1], *row[3:])}}
    writer.writerow(("id", "split", "hash", *map(inert, recorded.heads)))
    writer.writerows((inert(row[0]), row[1], row[2], *[safe[name] for name in row[3:]]) for row in recorded.rows)
    files.write(path, text.getvalue())


def write_unusable(path: Path, index: Index) -> None:
    """Write `unusable.csv`: each file that lies in the data but is no usable picture, and why."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [("file", "reason"), *((inert(name), inert(reason)) for name, reason in index.unusable)]
    )
    files.write(path, text.getvalue())


def read_splits(path: Path) -> Recorded:
    """The rows of a `splits.csv`. Raises RunError where it is missing or is not one."""
    header, *rows = files.read_csv(path)
    if header[:3] != ["id", "split", "hash"] or any(len(row) != len(header) for row in rows):
        raise files.damaged(path, "its columns must be id, split, hash and one a head, in every row")
    if other := {row[1] for row in rows} - {"train", "val", "test"}:
        raise files.damaged(path, f"'{min(other)}' is none of the splits train, val and test")
    return Recorded(
        tuple(name.removeprefix("'") for name in header[3:]),
        tuple(tuple([text.removeprefix("'") for text in row]) for row in rows),
    )


def read_unusable(path: Path) -> list[tuple[str, str]]:
    """(file, reason) of each row of an `unusable.csv`; none where it is not there. Raises RunError."""
    if not path.exists():
        return []
    header, *rows = files.read_csv(path)
    if header != ["file", "reason"] or any(len(row) != 2 for row in rows):
        raise files.damaged(path, "its columns must be file and reason, in every row")
    return [(name.removeprefix("'"), reason.removeprefix("'")) for name, reason in rows]


def told_unusable(unusable: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each of the first pictures that cannot be used, and one for all others.

    >>> told_unusable([("a.png", "an empty file")])
    ['not usable: a.png: an empty file']
    """
    more = [f"not usable: {len(unusable) - _SHOWN} more"] if len(unusable) > _SHOWN else []
    return [*(f"not usable: {name}: {reason}" for name, reason in unusable[:_SHOWN]), *more]


def refuse_many_unusable(unusable: Sequence[tuple[str, str]], usable: int, settings: DataSettings) -> None:
    """Raises DataError where more than `data.max_unusable` of all pictures cannot be used."""
    total = usable + len(unusable)
    if len(unusable) > settings.max_unusable * total:
        name, reason = unusable[0]
        raise DataError(
            f"{len(unusable)} of {total} pictures cannot be used, first '{name}': {reason}. "
            "Mend or remove them, or allow more with --set data.max_unusable=0.5"
        )


def differences(index: Index, path: Path) -> str | None:
    """How today's data differ from a recorded `splits.csv`, in one line; None where they do not.

    A picture changed if its content, its split or a label did.
    """
    old, new = read_splits(path), _rows(index)
    if old == new:
        return None
    if old.heads != new.heads:
        return f"heads were {', '.join(old.heads)} and are {', '.join(new.heads)}"
    before, after = ({row[0]: row for row in one.rows} for one in (old, new))
    changes = {
        "added": [one for one in after if one not in before],
        "removed": [one for one in before if one not in after],
        "changed": [one for one, row in after.items() if before.get(one, row) != row],
    }
    return _in_words(changes) or "the same pictures in another order"


def _in_words(changes: Mapping[str, list[str]]) -> str:
    parts = [
        f"{len(ids)} picture{'s' if len(ids) > 1 else ''} {what} (first: {ids[0]!r})"
        for what, ids in changes.items()
        if ids
    ]
    return ", ".join(parts)


def _rows(index: Index) -> Recorded:
    texts = [map(head.text, index.labels[head.name].tolist()) for head in index.heads]
    rows = zip(index.ids, index.splits.tolist(), index.hashes, *texts, strict=True)
    return Recorded(tuple(head.name for head in index.heads), tuple(rows))
