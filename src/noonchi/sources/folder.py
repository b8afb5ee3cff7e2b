"""Class folders: `root/<class>/*` or `root/<split>/<class>/*`."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noonchi.errors import DataError
from noonchi.results import Split
from noonchi.sources.index import SPLITS, Raw, column
from noonchi.sources.scan import is_within, scan

_IGNORED = ("thumbs.db", "desktop.ini", "__macosx")


def read(root: Path) -> Raw:
    """The pictures of class folders; a class is named as its folder.

    The pictures lie directly in their class's folder; a folder within it is not read and listed as unusable, as is
    every file that is no picture. Files of the system (`.DS_Store`, `Thumbs.db`, `__MACOSX`, hidden ones) are passed
    over. Raises DataError for a folder without two classes, or in which splits and classes cannot be told apart.
    """
    roots = _split_folders(root)
    strays: list[tuple[str, str]] = []
    items = [item for split, folder in roots.items() for item in _pictures(root, folder, split, strays)]
    scanned = scan([item.path for item in items], root)
    usable = [(item, one.hash) for item, one in zip(items, scanned, strict=True) if one.hash]
    unusable = [(_shown(item.id), one.reason) for item, one in zip(items, scanned, strict=True) if not one.hash]
    _refuse_few_classes(root, sorted({item.label for item, _ in usable}), bool(items or strays))
    return Raw(
        name=root.resolve().name,
        ids=tuple(item.id for item, _ in usable),
        hashes=tuple(content for _, content in usable),
        columns={"label": column(item.label for item, _ in usable)},
        splits=None if None in roots else np.array([item.split for item, _ in usable]),
        files=tuple(item.path for item, _ in usable),
        unusable=tuple(strays + unusable),
    )


@dataclass(frozen=True)
class _Item:
    id: str
    path: Path
    split: Split | None
    label: str


def _split_folders(root: Path) -> Mapping[Split | None, Path]:
    """The folder that holds the class folders of each split; under None where the data come in one piece."""
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    train = [folder for folder in folders if SPLITS.get(folder.name.lower()) == "train"]
    if not train or not any(entry.is_dir() for folder in train for entry in _entries(folder)):
        return {None: root}
    found: dict[Split | None, Path] = {}
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split is None:
            raise DataError(f"'{root}' mixes split folders with '{folder.name}'; keep only train, val and test in it.")
        if split in found:
            raise DataError(f"'{root}' holds both '{found[split].name}' and '{folder.name}'; keep one.")
        found[split] = folder
    return found


def _pictures(root: Path, folder: Path, split: Split | None, strays: list[tuple[str, str]]) -> list[_Item]:
    """Every file of a folder's class folders; what lies elsewhere is added to `strays`."""
    real_root = str(root.resolve())
    items: list[_Item] = []
    named: dict[str, str] = {}
    for entry in _entries(folder):
        if not entry.is_dir():
            strays.append((_id(entry, root), "outside the class folders"))
        elif entry.is_symlink() and not is_within(entry, real_root):
            strays.append((_id(entry, root), "a link that leaves the data's folder"))
        else:
            label = _class_name(entry, named)
            found = _files(entry, root, strays)
            items += [_Item(path.relative_to(root).as_posix(), path, split, label) for path in found]
    return items


def _class_name(folder: Path, named: dict[str, str]) -> str:
    if folder.name != _shown(folder.name):
        raise DataError(f"the class folder '{_shown(str(folder))}' has a name that is not UTF-8; rename it.")
    # one class, though one system composes é and another writes e and an accent
    label = unicodedata.normalize("NFC", folder.name)
    if named.setdefault(label, folder.name) != folder.name:
        raise DataError(f"'{folder.parent}' holds two class folders that both read '{label}'; rename or join them.")
    return label


def _files(folder: Path, root: Path, strays: list[tuple[str, str]]) -> list[Path]:
    found = []
    for entry in _entries(folder):
        if entry.is_dir():
            strays.append((_id(entry, root), "a folder within a class folder"))
        elif entry.name != _shown(entry.name):
            strays.append((_id(entry, root), "a name that is not UTF-8"))
        else:
            found.append(entry)
    if not found:
        strays.append((_id(folder, root), "a class folder without pictures"))
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"'{folder}' cannot be listed: {error.strerror}.") from None
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in _IGNORED]


def _refuse_few_classes(root: Path, classes: list[str], anything: bool) -> None:
    if len(classes) >= 2:
        return
    held = f"1 class ('{classes[0]}')" if classes else "files but no class with pictures" if anything else "no classes"
    raise DataError(f"'{root}' holds {held}; a classifier needs 2. Make one sub-folder per class.")


def _id(path: Path, root: Path) -> str:
    return _shown(path.relative_to(root).as_posix())


def _shown(name: str) -> str:
    """A name that can be written as UTF-8: the same, or with escapes for bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode()
