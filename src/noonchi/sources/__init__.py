"""Where pictures come from: folders, tables, arrays and data sets known by name. Imports no torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noonchi import files
from noonchi.errors import DataError, SettingsError, did_you_mean
from noonchi.settings import DataSettings, HeadSettings
from noonchi.sources import (
    arrays,
    builtin,
    folder,
    groups,
    heads,
    hugging_face,
    idx,
    npz,
    overrides,
    shards,
    splits,
    table,
)
from noonchi.sources.aligned import aligned
from noonchi.sources.index import Column, Index, Labels, Pictures, Raw
from noonchi.sources.scan import Progress
from noonchi.sources.splits import (
    as_index,
    differences,
    read_splits,
    read_unusable,
    refuse_many_unusable,
    told_unusable,
    write_splits,
    write_unusable,
)

__all__ = [
    "Data",
    "Index",
    "Pictures",
    "aligned",
    "as_index",
    "differences",
    "lasting_name",
    "load",
    "load_with_columns",
    "picture_paths",
    "pictures",
    "read_splits",
    "read_unusable",
    "refuse_many_unusable",
    "refuse_place",
    "told_unusable",
    "write_splits",
    "write_unusable",
]

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")

Data = str | Path | tuple[Any, Any]
"""A name, a path, or (images, labels)."""


def load(
    data: Data,
    settings: DataSettings | None = None,
    head_settings: Mapping[str, HeadSettings] | None = None,
    progress: Progress | None = None,
) -> Index:
    """The pictures of a data set, their labels for each head, and their splits; nothing is decoded.

    `data` is the name of a built-in data set, else a path: a folder of IDX files, a folder of class folders, a `.csv`
    or an `.npz`; what `noonchi shard` wrote, by its folder or its address; `hf:OWNER/NAME` as Hugging Face's `datasets`
    loads it, or a folder that it saved; or (images, labels) as arrays. A name goes before a folder of that name: write
    `./mnist` for the folder. `progress` is called with (done, total) as files are looked at. Raises DataError for data
    that cannot be used.

    >>> import numpy as np
    >>> images = np.arange(40 * 64, dtype=np.uint32).reshape(40, 8, 8) % 251
    >>> index = load((images, np.arange(40) % 2))
    >>> index.heads[0].classes, len(index), index.array.shape
    (('0', '1'), 40, (40, 8, 8, 1))
    """
    return load_with_columns(data, settings, head_settings, progress)[0]


def load_with_columns(
    data: Data,
    settings: DataSettings | None = None,
    head_settings: Mapping[str, HeadSettings] | None = None,
    progress: Progress | None = None,
) -> tuple[Index, Mapping[str, Column]]:
    """What `load` gives, and the label columns that its heads were made from."""
    settings = settings or DataSettings()
    asked = head_settings or {}
    raw = _read(data, settings, progress)
    if settings.overrides is not None:
        several = {head.column or name for name, head in asked.items() if head.kind == "labels"}
        raw = overrides.apply(Path(settings.overrides), raw, several)
    return _settled(raw, settings, asked), raw.columns


def _settled(raw: Raw, settings: DataSettings, asked: Mapping[str, HeadSettings]) -> Index:
    made, labels = heads.resolve(raw.columns, asked, raw.ids)
    return Index(
        name=_short(raw.name),
        ids=raw.ids,
        hashes=raw.hashes,
        splits=_splits(raw, labels, settings),
        heads=made,
        labels=labels,
        files=raw.files,
        array=raw.array,
        packed=raw.packed,
        shards=raw.shards,
        unusable=raw.unusable,
        notes=raw.notes + heads.alike(made) + heads.barred(made, asked),
    )


def _splits(raw: Raw, labels: Mapping[str, Labels], settings: DataSettings) -> npt.NDArray[np.str_]:
    if raw.settled and raw.splits is not None:
        return raw.splits
    return splits.complete(raw.splits, groups.keys(raw.hashes, raw.groups), labels.values(), settings)


def pictures(data: str, progress: Progress | None = None) -> Pictures:
    """The pictures that a path or a name stands for, labelled or not: of a folder those of `picture_paths`, without a
    look into them, else those that `load` finds; of shards in the order in which they are read best.

    Raises DataError as these do.
    """
    path = Path(data)
    if data in builtin.NAMES or not path.is_dir() or idx.is_folder(path) or _is_packed(data):
        index = load(data, DataSettings(validation_share=0.0, test_share=0.0), progress=progress)
        if index.shards is not None:
            index = index.only(index.reading_order)
        return Pictures(index.ids, index.hashes, index.pictures, index.unusable, index)
    found = picture_paths(path)
    return Pictures([folder.id_of(one, path) for one in found], [_mark(one) for one in found], found)


def _mark(path: Path) -> str:
    try:
        about = path.stat()
    except OSError:  # gone since it was found: why it cannot be read is told with the answers
        return ""
    return f"{about.st_size} {about.st_mtime_ns}"


def lasting_name(data: str | Path) -> str:
    """What finds the same data from any working folder: a name or an address as it is, else the whole path.

    >>> lasting_name("mnist"), lasting_name("http://example.org/shards")
    ('mnist', 'http://example.org/shards')
    """
    if isinstance(data, str) and hugging_face.is_name(data):
        return hugging_face.lasting_name(data)
    if isinstance(data, str) and (data in builtin.NAMES or shards.is_address(data)):
        return data
    return str(Path(data).resolve())


def refuse_place(option: str, path: Path, data: Data) -> None:
    """Raises SettingsError where a file that an option names could not be written, or would lie among the pictures.

    >>> refuse_place("--out", Path("sheet.png"), ".")
    Traceback (most recent call last):
    noonchi.errors.SettingsError: --out sheet.png: it would lie among the pictures; give a place outside of '.'.
    """
    files.refuse_place(option, path)
    if not isinstance(data, tuple) and Path(data).is_dir() and path.resolve().is_relative_to(Path(data).resolve()):
        raise SettingsError(f"{option} {path}: it would lie among the pictures; give a place outside of '{data}'.")


def picture_paths(given: str | Path) -> list[Path]:
    """The pictures that a path stands for: of a folder, all in and below it that are named as pictures; else itself.

    Raises DataError for a folder without any, and for what holds pictures that are no files of their own.
    """
    if _is_packed(given):
        raise DataError(
            f"'{given}' holds pictures that are no files of their own; "
            "have what is said of them written: --out FILE.parquet"
        )
    path = Path(given)
    return folder.pictures_below(path) if path.is_dir() else [path]


def _is_packed(data: str | Path) -> bool:
    """Whether it is shards, or a data set as Hugging Face's library keeps it."""
    if isinstance(data, str) and (shards.is_address(data) or hugging_face.is_name(data)):
        return True
    return shards.is_place(Path(data)) or hugging_face.is_saved(Path(data))


def _read(data: Data, settings: DataSettings, progress: Progress | None) -> Raw:
    if isinstance(data, tuple):
        return arrays.read("arrays", {"all": data})
    if isinstance(data, str) and data in builtin.NAMES:
        return builtin.NAMES[data].read()
    if isinstance(data, str) and shards.is_address(data):
        return shards.read(data)
    try:
        if isinstance(data, str) and hugging_face.is_name(data):
            return hugging_face.read(data, follow_links=settings.follow_links, progress=progress)
        return _read_path(Path(data), settings, progress)
    except OSError as error:
        raise DataError(f"'{error.filename or data}' cannot be read: {error.strerror}.") from None


def _read_path(path: Path, settings: DataSettings, progress: Progress | None) -> Raw:
    if path.is_dir() and idx.is_folder(path):
        return idx.read(path)
    if shards.is_place(path):
        return shards.read(path)
    if path.is_dir() and hugging_face.is_saved(path):
        return hugging_face.read(path, follow_links=settings.follow_links, progress=progress)
    if path.is_dir():
        return folder.read(path, follow_links=settings.follow_links, progress=progress)
    if not path.exists():
        raise DataError(f"'{path}' is no file, folder or built-in data set. {did_you_mean(str(path), builtin.NAMES)}")
    kind = path.suffix.lower()
    if kind == ".csv":
        return table.read(path, follow_links=settings.follow_links, progress=progress)
    if kind == ".npz":
        return npz.read(path)
    remedy = "unpack it and give the folder" if kind in _ARCHIVES else "expected a folder, a .csv, an .npz"
    raise DataError(f"'{path}' is not data; {remedy} or a built-in name.")


def _short(name: str) -> str:
    """A name that is safe within a folder's name."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "data"
