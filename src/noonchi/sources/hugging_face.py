"""Data sets as Hugging Face's `datasets` keeps them: by name, or in a folder that `save_to_disk` wrote."""

import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from noonchi import files
from noonchi.errors import DataError, reason
from noonchi.sources.index import SPLITS, Column, Raw, Some, column, in_order, of_rows
from noonchi.sources.scan import Progress, Scanned, content_hash_of, is_within, look, look_into

_PREFIX = "hf:"
_ON_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(/(?P<config>[\w.-]+))?", re.ASCII)
_INFO, _STATE, _DICT = "dataset_info.json", "state.json", "dataset_dict.json"
_WHOLE = "all"
"""Stands for the split of a data set that was saved without one."""
_OUTSIDE = "its file lies outside the data's folder; data.follow_links = true takes it"
_AT_ONCE = 64
"""Pictures looked at in one go."""

Value = str | tuple[str, ...] | None
"""One label, several, or none given."""


def is_name(data: str) -> bool:
    """Whether a text names a data set for `datasets` to load.

    >>> is_name("hf:ylecun/mnist"), is_name("hf:./photos"), is_name("hf://datasets/ylecun/mnist")
    (True, True, False)
    """
    return data.startswith(_PREFIX) and not data.startswith(_PREFIX + "//")


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote a folder. Other libraries write a `dataset_info.json` too, but no Arrow files."""
    if (folder / _DICT).is_file():
        return True
    return (folder / _INFO).is_file() and ((folder / _STATE).is_file() or any(folder.glob("data-*.arrow")))


def lasting_name(data: str) -> str:
    """What names the same data set from any working folder.

    >>> lasting_name("hf:ylecun/mnist"), lasting_name("hf:/data/./photos")
    ('hf:ylecun/mnist', 'hf:/data/photos')
    """
    folder = _folder(data)
    return _PREFIX + str(folder.resolve()) if folder else data


def read(data: str | Path, *, follow_links: bool = False, progress: Progress | None = None) -> Raw:
    """The pictures of `hf:OWNER/NAME`, `hf:OWNER/NAME/CONFIG`, `hf:./folder`, or of a folder of `save_to_disk`.

    The one column of type `Image` is the pictures, undecoded. Columns of `ClassLabel`, lists of it, and complete
    columns of text, whole numbers or truth values are labels; other ones are passed over with a note. A sole `train`
    is data in one piece. A picture that is kept as a path is read within the data's folder or the library's cache only,
    unless `follow_links`. Nothing that comes with the data is run. Raises DataError.
    """
    place = _place(data)
    found = _loaded(place, follow_links=follow_links)
    named, notes = _named(found, place.told)
    columns = _columns(found, named, place.told)
    parts, unlabelled = _labelled(found, named, columns, place.told)
    values, passed_over = _labels(parts, columns, place.told)
    pictures = _Pictures(place, parts, columns.picture, follow_links=follow_links)
    unusable = pictures.look(values, progress)
    keep = np.array([at for at in range(len(pictures)) if at not in unusable], dtype=np.int64)
    if not len(keep):
        why = f"; first: {next(iter(unusable.values()))}" if unusable else ""
        raise DataError(f"'{place.told}' holds no picture that can be used{why}.")
    splits = np.repeat([part.split for part in parts], [len(part.rows) for part in parts])
    return Raw(
        name=place.name,
        ids=tuple(pictures.ids[at] for at in keep),
        hashes=tuple(pictures.hashes[at] for at in keep),
        columns={name: _column(name, [each[at] for at in keep]) for name, each in values.items()},
        splits=None if {part.split for part in parts} <= {_WHOLE} or list(named) == ["train"] else splits[keep],
        packed=Some(pictures, keep),
        unusable=tuple((pictures.ids[at], why) for at, why in sorted(unusable.items())),
        notes=(*notes, *unlabelled, *passed_over),
    )


@dataclass(frozen=True)
class _Place:
    """Where a data set is: in a folder of this machine, or on the Hub."""

    told: str
    folder: Path | None
    address: tuple[str, ...]
    """What `load_dataset` takes."""

    @property
    def name(self) -> str:
        return self.folder.name if self.folder else "-".join(self.address).replace("/", "-")


@dataclass(frozen=True)
class _Part:
    """The pictures of one split."""

    split: str
    rows: Any
    """A `datasets.Dataset` that gives Arrow tables."""

    def batches(self, name: str) -> Iterator[list[Any]]:
        rows = self.rows.select_columns([name])
        for first in range(0, len(rows), _AT_ONCE):
            yield rows[first : first + _AT_ONCE].column(name).to_pylist()

    def values(self, name: str) -> list[Any]:
        values: list[Any] = self.rows.select_columns([name])[:].column(name).to_pylist()
        return values


@dataclass(frozen=True)
class _Columns:
    """What a data set's columns are for."""

    picture: str
    declared: Mapping[str, Callable[[Any], Value]]
    """By name, what gives a value's label."""
    plain: tuple[str, ...]
    other: Mapping[str, str]
    """By name, the type."""


def _folder(data: str) -> Path | None:
    """The folder on this machine that a name means; None of a name on the Hub."""
    rest = data.removeprefix(_PREFIX)
    here = rest.startswith((".", "~")) or Path(rest).is_absolute()
    return Path(rest).expanduser() if here else None


def _place(data: str | Path) -> _Place:
    if isinstance(data, Path):
        return _Place(str(data), data.resolve(), (str(data.resolve()),))
    folder = _folder(data)
    if folder is not None:
        if not folder.is_dir():
            raise DataError(f"'{data}' names no folder; expected one, or a data set's name such as hf:ylecun/mnist.")
        return _Place(data, folder.resolve(), (str(folder.resolve()),))
    named = _ON_HUB.fullmatch(data.removeprefix(_PREFIX))
    if named is None:
        raise DataError(f"'{data}' names no data set; expected hf:OWNER/NAME, hf:OWNER/NAME/CONFIG or hf:./folder.")
    if Path(named["name"]).exists():  # which the library would take instead
        raise DataError(f"'{data}' is on the Hub, and a folder here has that name; write hf:./{named['name']} for it.")
    return _Place(data, None, tuple(filter(None, (named["name"], named["config"]))))


def _library() -> Any:
    # read as it is imported: or it would report that it is used, and which data set
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    try:
        import datasets
    except ImportError:
        raise DataError("a data set of Hugging Face's needs another package; run: pip install 'noonchi[hub]'") from None
    datasets.logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each try at a network that is not there
    return datasets


def _loaded(place: _Place, *, follow_links: bool) -> Mapping[str, Any]:
    """Its `Dataset`s by the names of their splits."""
    datasets = _library()
    saved = place.folder is not None and is_saved(place.folder)
    try:
        if saved and place.folder:
            _refuse_unsafe(place.folder, follow_links=follow_links)
        found = datasets.load_from_disk(*place.address) if saved else datasets.load_dataset(*place.address)
    except DataError:
        raise
    except Exception as error:  # the library, Arrow and the network raise a dozen kinds
        raise DataError(f"'{place.told}' cannot be loaded: {reason(error)}.") from None
    if isinstance(found, Mapping):
        return found
    return {str(found.split) if str(found.split) in SPLITS else _WHOLE: found}


def _refuse_unsafe(root: Path, *, follow_links: bool) -> None:
    """Raises DataError where a saved data set names what lies elsewhere, or would make Arrow read where nothing is."""
    parts = [root]
    if (root / _DICT).is_file():
        parts = [root / _plain(root / _DICT, name) for name in _listed(root / _DICT, "splits")]
    for part in parts:
        listed = _listed(part / _STATE, "_data_files")
        if not listed:
            raise DataError(f"'{part}' holds no pictures: it was saved empty.")
        for file in listed:
            named = _plain(part / _STATE, file.get("filename") if isinstance(file, dict) else None)
            if not follow_links and not is_within(part / named, str(root)):
                raise DataError(f"'{part / named}' is a link that leaves the data's folder.")
            files.refuse_endless(part / named)
            _refuse_damaged(part / named)


def _refuse_damaged(path: Path) -> None:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                batch.validate(full=True)  # of offsets that lead elsewhere it would read what is there, or crash
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of what the file holds
        raise DataError(f"'{path}' is damaged ({reason(error)}); save the data set anew.") from None


def _listed(path: Path, key: str) -> list[Any]:
    files.refuse_endless(path)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get(key), list):
        raise DataError(f"'{path}' is damaged: it holds no list '{key}'; save the data set anew.")
    listed: list[Any] = found[key]
    return listed


def _plain(path: Path, name: Any) -> str:
    if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\:\0]", name):
        raise DataError(f"'{path}' names {str(name)!r}; expected the name of something beside it.")
    return name


def _named(found: Mapping[str, Any], told: str) -> tuple[dict[str, str], list[str]]:
    """The name of each split that is used, by our own name of it, and a note of the others."""
    named: dict[str, str] = {}
    for name in found:
        split = SPLITS.get(name.lower()) or (name if name == _WHOLE else None)
        if split in named:
            raise DataError(f"'{told}' holds both '{named[split]}' and '{name}'; keep one.")
        if split:
            named[split] = name
    others = ", ".join(repr(name) for name in found if name not in named.values())
    if not named:
        raise DataError(f"'{told}' has the splits {others or '(none)'}; expected train, validation or test.")
    return named, [f"left out: split {others}; train, validation and test are taken"] if others else []


def _columns(found: Mapping[str, Any], named: Mapping[str, str], told: str) -> _Columns:
    datasets = _library()
    every = [found[name].features for name in named.values()]
    if any(features != every[0] for features in every):
        raise DataError(f"'{told}' has other columns, or classes, in one split than in another; give all the same.")
    features = every[0]
    held = ", ".join(f"{name} ({_kind(feature)})" for name, feature in features.items()) or "nothing"
    pictures = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(pictures) != 1:
        raise DataError(f"'{told}' has {len(pictures)} columns of pictures (type Image), expected 1; it has: {held}.")
    declared: dict[str, Callable[[Any], Value]] = {}
    plain, other = [], {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            declared[name] = _declared(name, tuple(inner.names), several=inner is not feature)
        elif isinstance(feature, datasets.Value) and re.fullmatch(r"u?int\d+|bool|(large_)?string", feature.dtype):
            plain.append(name)
        elif name not in pictures:
            other[name] = _kind(feature)
    if not declared and not plain:
        raise DataError(f"'{told}' has no column of labels (ClassLabel, text, whole numbers); it has: {held}.")
    return _Columns(pictures[0], declared, tuple(plain), other)


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) if type(feature).__name__ == "Value" else type(feature).__name__)


def _declared(name: str, classes: tuple[str, ...], *, several: bool) -> Callable[[Any], Value]:
    texts = tuple(unicodedata.normalize("NFC", text) for text in classes)
    if several and (barred := [text for text in texts if "|" in text]):
        raise DataError(f"column '{name}' has the class '{barred[0]}'; a class of several labels must not hold '|'.")

    def one(code: int | None) -> str | None:
        if code is None or code == -1:  # as the library writes what is not told
            return None
        if not 0 <= code < len(texts):
            raise DataError(f"column '{name}' holds class number {code}, and names {len(texts)} classes.")
        return texts[code]

    def many(codes: list[int | None] | None) -> tuple[str, ...] | None:
        labels = None if codes is None else [one(code) for code in codes]
        return None if labels is None or None in labels else tuple(filter(None, labels))

    return many if several else one


def _labelled(
    found: Mapping[str, Any], named: Mapping[str, str], columns: _Columns, told: str
) -> tuple[list[_Part], list[str]]:
    """The splits in which pictures have labels, and a note of those in which none has, as test pictures often."""
    parts = [_Part(split, found[name].with_format("arrow")) for split, name in named.items()]
    notes, kept = [], []
    for part in parts:
        bare = [
            name for name, label in columns.declared.items() if all(label(code) is None for code in part.values(name))
        ]
        if bare and len(part.rows):
            notes.append(f"left out: split '{named[part.split]}', in which no picture has a label in '{bare[0]}'")
        else:
            kept.append(part)
    if not kept:
        raise DataError(f"'{told}' has no picture with a label in each of {', '.join(columns.declared)}.")
    return kept, notes


def _labels(parts: list[_Part], columns: _Columns, told: str) -> tuple[dict[str, list[Value]], list[str]]:
    """By column, each picture's label; and a note of the columns that are none."""
    values = {
        name: [label(value) for part in parts for value in part.values(name)]
        for name, label in columns.declared.items()
    }
    passed_over = dict(columns.other)
    for name in columns.plain:
        each = [value for part in parts for value in part.values(name)]
        why = _no_label(each)
        if why:
            passed_over[name] = why
        else:
            values[name] = [str(value) for value in each]
    about = ", ".join(f"'{name}' ({why})" for name, why in passed_over.items())
    if not values:
        raise DataError(f"'{told}' has no column of labels: {about}.")
    return values, [f"passed over: column {about}"] if about else []


def _no_label(values: list[Any]) -> str:
    """Why a column of text, numbers or truth values holds no labels; empty where it may."""
    if any(value is None or value == "" for value in values):
        return "empty for some pictures"
    if any(value < 0 for value in values if isinstance(value, int)):
        return "negative numbers"
    return "another value for most pictures" if len(set(values)) > max(2, len(values) / 2) else ""


def _column(name: str, values: list[Value]) -> Column:
    if not any(isinstance(value, tuple) for value in values):
        return column(str(value) for value in values)
    labels = in_order(label for value in values for label in value or ())
    if not labels:
        raise DataError(f"column '{name}' gives no picture a label.")
    number = {label: at for at, label in enumerate(labels)}
    rows = np.zeros((len(values), len(labels)), np.uint8)
    for row, value in zip(rows, values, strict=True):
        row[[number[label] for label in value or ()]] = 1
    return of_rows(rows, labels)


class _Pictures(Sequence[bytes]):
    """The content of every picture's file, read when it is asked for and compared with its hash."""

    def __init__(self, place: _Place, parts: list[_Part], name: str, *, follow_links: bool) -> None:
        self._told, self._name, self._parts, self._follow_links = place.told, name, parts, follow_links
        self._rows = [part.rows.select_columns([name]) for part in parts]
        self._roots = _roots(place)
        self._starts = np.cumsum([0, *(len(rows) for rows in self._rows)])
        self.ids = tuple(f"{part.split}/{at}" for part in parts for at in range(len(part.rows)))
        self.hashes: list[str] = []

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Some: ...
    def __getitem__(self, at: int | slice) -> bytes | Some:
        """Raises DataError where the picture is not the one that was looked at."""
        if isinstance(at, slice):
            return Some(self, np.arange(len(self), dtype=np.int64)[at])
        part = int(np.searchsorted(self._starts, at, side="right")) - 1
        row = int(at - self._starts[part])
        content = self._content(self._rows[part][row : row + 1].column(self._name)[0].as_py())
        if content is None or content_hash_of(content) != self.hashes[at]:
            raise DataError(f"picture '{self.ids[at]}' of '{self._told}' was changed while it was read; start again.")
        return content

    def look(self, labels: Mapping[str, list[Value]], progress: Progress | None) -> dict[int, str]:
        """Hash every picture; by position, why those that cannot be used cannot."""
        unusable = {}
        for value in (value for part in self._parts for batch in part.batches(self._name) for value in batch):
            at = len(self.hashes)
            bare = [name for name, each in labels.items() if each[at] is None]
            looked = self._looked_at(value)
            why = looked.reason or (f"no label in '{bare[0]}'" if bare else "")
            self.hashes.append(looked.hash)
            if why:
                unusable[at] = why
            if progress:
                progress(at + 1, len(self))
        return unusable

    def _looked_at(self, value: Mapping[str, Any] | None) -> Scanned:
        if value is None or (value.get("bytes") is None and not value.get("path")):
            return Scanned(reason="no picture in this row")
        if value.get("bytes") is not None:
            return look_into(value["bytes"])
        path = self._file(value["path"])
        return look(path) if path else Scanned(reason=_OUTSIDE)

    def _content(self, value: Mapping[str, Any] | None) -> bytes | None:
        if value is not None and value.get("bytes") is not None:
            return bytes(value["bytes"])
        path = self._file(value["path"]) if value and value.get("path") else None
        try:
            if path:
                files.refuse_endless(path)
                return path.read_bytes()
        except OSError as error:
            raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
        return None

    def _file(self, name: str) -> Path | None:
        """The file that a picture is kept in; None where it must not be read."""
        if "\0" in name:
            return None
        path = self._roots[0] / name
        return path if self._follow_links or any(is_within(path, str(root)) for root in self._roots) else None


def _roots(place: _Place) -> list[Path]:
    """The folders in which pictures may lie that are kept as paths; paths are relative to the first."""
    if place.folder and is_saved(place.folder):
        return [place.folder]
    config = _library().config
    caches = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, config.EXTRACTED_DATASETS_PATH)
    kept = [Path(one).resolve() for one in (*caches, config.constants.HF_HUB_CACHE)]
    return [place.folder, *kept] if place.folder else kept
