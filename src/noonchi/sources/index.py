"""What a source gives: first `Raw`, as the data tell it; then an `Index`, with heads and splits settled."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from noonchi.results import Head, Split

Codes = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64] | npt.NDArray[np.uint8]
"""Class numbers (n,), or zeros and ones (n, classes)."""
Shards = npt.NDArray[np.int32]

SPLITS: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Each accepted name of a split, in lower case, and the split."""
SPLIT_ORDER = tuple(dict.fromkeys(SPLITS.values()))


@dataclass(frozen=True, eq=False)
class Column:
    """One label column as the data name it: `classes[codes[i]]` is the text of picture i."""

    classes: tuple[str, ...]
    codes: Codes
    labels: tuple[str, ...] | None = None
    """Where set, a class is any number of these joined by `|`: several may hold of one picture."""


@dataclass(frozen=True, eq=False)
class Raw:
    """Pictures and labels as a source read them, before heads and splits are settled."""

    name: str
    ids: Sequence[str]
    hashes: Sequence[str]
    columns: Mapping[str, Column]
    splits: npt.NDArray[np.str_] | None
    """None where the data come in one piece."""
    settled: bool = False
    """Whether `splits` were decided once and for all: no share is taken out of them any more."""
    files: tuple[Path, ...] | None = None
    array: Images | None = None
    packed: Sequence[bytes] | None = None
    shards: Shards | None = None
    groups: tuple[str, ...] | None = None
    """One a picture, empty for a picture in no group."""
    unusable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Index:
    """The pictures of a data set, in order, with their labels and splits; holds no decoded file.

    Exactly one of `files`, `array` and `packed` is set.
    """

    name: str
    """Short name of the data, part of a run folder's name."""
    ids: Sequence[str]
    """One a picture: its path within the data's folder, with `/`, or `train/17` in arrays."""
    hashes: Sequence[str]
    """32 hexadecimal digits a picture: of a file's bytes, or of an array's bytes and shape."""
    splits: npt.NDArray[np.str_]
    """(n,) of `train`, `val` or `test`."""
    heads: tuple[Head, ...]
    labels: Mapping[str, Labels]
    """By head: class numbers, int64 (n,); for a head of kind `labels` zeros and ones, uint8 (n, classes)."""
    files: tuple[Path, ...] | None
    array: Images | None
    """uint8 (n, height, width, channels)."""
    packed: Sequence[bytes] | None = None
    """A file's content a picture, read when it is asked for."""
    shards: Shards | None = None
    """(n,) The shard that each of `packed` lies in; None where they lie in none."""
    unusable: tuple[tuple[str, str], ...] = ()
    """(id, reason) of what lies in the data but is not a usable picture."""
    notes: tuple[str, ...] = ()
    """Lines on the data as a whole that a person should read before training."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pictures(self) -> Sequence[Path | Images | bytes]:
        """What `pixels.read` takes, one a picture."""
        if self.files is not None:
            return self.files
        if self.packed is not None:
            return self.packed
        assert self.array is not None
        return list(self.array)

    @property
    def encoded(self) -> Sequence[Path | bytes]:
        """The pictures as files or their content; none of an array."""
        return self.files or self.packed or ()

    @property
    def reading_order(self) -> Codes:
        """Positions as pictures are read best: those of one shard after one another."""
        at = np.arange(len(self), dtype=np.int64)
        return at if self.shards is None else np.argsort(self.shards, kind="stable").astype(np.int64)

    def prepare(self, shards: Sequence[int]) -> None:
        """Say which shards are read next, so that they are fetched meanwhile."""
        if isinstance(self.packed, Packed):
            self.packed.prepare(shards)

    def give_up(self) -> None:
        """Wake whoever waits for a shard, by a DataError: the work that needed it is over."""
        if isinstance(self.packed, Packed):
            self.packed.give_up()

    def positions(self, split: Split) -> Codes:
        """Positions of a split's pictures, ascending."""
        return np.flatnonzero(self.splits == split).astype(np.int64)

    def only(self, keep: npt.NDArray[np.bool_] | Codes) -> "Index":
        """The same data with some pictures: those at the positions given, or where the mask is true."""
        at = np.arange(len(self))[keep]
        return replace(
            self,
            ids=tuple(self.ids[i] for i in at),
            hashes=tuple(self.hashes[i] for i in at),
            splits=self.splits[at],
            labels={head: labels[at] for head, labels in self.labels.items()},
            files=None if self.files is None else tuple(self.files[i] for i in at),
            array=None if self.array is None else self.array[at],
            packed=None if self.packed is None else Some(self.packed, at),
            shards=None if self.shards is None else self.shards[at],
        )

    def sizes(self) -> dict[Split, int]:
        """Pictures of each split; one without pictures is left out."""
        counts = {split: int((self.splits == split).sum()) for split in SPLIT_ORDER}
        return {split: count for split, count in counts.items() if count}

    def counts(self, head: str) -> dict[Split, dict[str, int]]:
        """Pictures of each class of a head, by split; a split without pictures is left out."""
        classes = next(one.classes for one in self.heads if one.name == head)
        out: dict[Split, dict[str, int]] = {}
        for split in SPLIT_ORDER:
            labels = self.labels[head][self.splits == split]
            if len(labels):
                numbers = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(classes))
                out[split] = dict(zip(classes, numbers.tolist(), strict=True))
        return out


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures in order, whatever their labels are; nothing is decoded."""

    ids: Sequence[str]
    marks: Sequence[str]
    """One a picture, another once the picture is another: its content hash, or a file's size and time."""
    pictures: Sequence[Path | Images | bytes]
    """What `pixels.read` takes."""
    unusable: Sequence[tuple[str, str]] = ()
    """(id, reason) of what the data name beside these."""
    index: Index | None = None
    """Where they come from one."""

    def prepare(self, rows: range) -> None:
        """Have the shards of these pictures fetched in the background."""
        if self.index is not None and self.index.shards is not None:
            self.index.prepare(list(dict.fromkeys(self.index.shards[rows.start : rows.stop].tolist())))


class Packed(Sequence[bytes]):
    """Contents of files that lie in shards, each read when it is asked for."""

    def prepare(self, shards: Sequence[int]) -> None:
        """Ask for shards to be fetched in the background, the first first, as far as there is room for them."""

    def give_up(self) -> None:
        """Stop what is being fetched; what is asked for later is fetched anew."""


class Some(Packed):
    """Those of a sequence that are at some positions."""

    def __init__(self, whole: Sequence[bytes], at: Codes) -> None:
        self._whole, self._at = whole, at

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> "Some": ...
    def __getitem__(self, at: int | slice) -> "bytes | Some":
        return Some(self._whole, self._at[at]) if isinstance(at, slice) else self._whole[int(self._at[at])]

    def prepare(self, shards: Sequence[int]) -> None:
        """As the whole sequence prepares them."""
        if isinstance(self._whole, Packed):
            self._whole.prepare(shards)

    def give_up(self) -> None:
        """As the whole sequence does."""
        if isinstance(self._whole, Packed):
            self._whole.give_up()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names, sorted; by value where all are whole numbers.

    >>> in_order(["10", "9", "10"])
    ('9', '10')
    >>> in_order(["b", "10", "9"])
    ('10', '9', 'b')
    """
    distinct = set(names)
    if all(name.isascii() and name.isdecimal() for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def column(texts: Iterable[str]) -> Column:
    """A column from one text a picture; texts that differ only in how they compose accents are one class.

    >>> column(["dog", "cat", "dog"]).codes.tolist()
    [1, 0, 1]
    """
    each = [unicodedata.normalize("NFC", text) for text in texts]
    classes = in_order(each)
    code = {name: number for number, name in enumerate(classes)}
    return Column(classes, np.array([code[text] for text in each], dtype=np.int64))


def of_rows(rows: npt.NDArray[np.uint8], labels: tuple[str, ...]) -> Column:
    """A column of several labels a picture, from zeros and ones (n, labels).

    >>> of_rows(np.array([[1, 1], [0, 0]], np.uint8), ("cat", "dog")).classes
    ('', 'cat|dog')
    """
    distinct, codes = np.unique(rows, axis=0, return_inverse=True)
    classes = tuple("|".join(labels[at] for at in np.flatnonzero(row)) for row in distinct)
    return Column(classes, codes.reshape(-1).astype(np.int64), labels)


def array_hashes(images_nhwc: Images) -> tuple[str, ...]:
    """The content hash of each picture of an array: of its shape and its bytes.

    >>> array_hashes(np.zeros((1, 2, 2, 1), np.uint8))[0][:8]
    'c1888d3b'
    """
    with_shape = blake2b(repr(images_nhwc.shape[1:]).encode(), digest_size=16)
    hashes = []
    for image in np.ascontiguousarray(images_nhwc).reshape(len(images_nhwc), -1):
        content = with_shape.copy()
        content.update(image.data)
        hashes.append(content.hexdigest())
    return tuple(hashes)
