"""Class folders: `root/<class>/*` or `root/<split>/<class>/*`."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noonchi.errors import DataError
from noonchi.results import Split
from noonchi.sources.index import SPLITS, Raw, column
from noonchi.sources.scan import is_within, scan

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_IGNORED = ("thumbs.db", "desktop.ini", "__macosx")
_LEAVES = "a link that leaves the data's folder"


def read(root: Path) -> Raw:
    """The pictures of class folders; a class is named as its folder.

    Pictures lie directly in their class's folder. What cannot be used is listed as unusable with its reason: a file
    there that is no picture, a folder within a class's folder, a picture outside of all of them. Passed over are files
    of the system (`.DS_Store`, `Thumbs.db`, `__MACOSX`, hidden ones) and other files outside, such as a README.

    Raises DataError for a folder without two classes, or in which splits and classes cannot be told apart.
    """
    splits = _split_folders(root)
    items = [item for split, folder in splits.items() for item in _items(root, folder, split)]
    looked_at = [item for item in items if not item.reason]
    scanned = list(zip(looked_at, scan([item.path for item in looked_at], root), strict=True))
    usable = [(item, one.hash) for item, one in scanned if one.hash]
    unusable = [(item, item.reason) for item in items if item.reason]
    unusable += [(item, one.reason) for item, one in scanned if not one.hash]
    _refuse_few(root, items, sorted({item.label for item, _ in usable}))
    return Raw(
        name=root.resolve().name,
        ids=tuple(_id(item.path, root) for item, _ in usable),
        hashes=tuple(content for _, content in usable),
        columns={"label": column(item.label for item, _ in usable)},
        splits=None if None in splits else np.array([item.split for item, _ in usable]),
        files=tuple(item.path for item, _ in usable),
        unusable=tuple((_id(item.path, root), reason) for item, reason in unusable),
    )


def pictures_below(folder: Path) -> list[Path]:
    """All files in and below a folder that are named as pictures, hidden ones left out; links are not followed.

    Raises DataError where there are none.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if _is_named_as_picture(path) and not _is_passed_over(path.relative_to(folder)) and path.is_file()
    ]
    if not found:
        raise DataError(f"'{folder}' holds no pictures; expected files named {', '.join(_SUFFIXES)}.")
    return found


@dataclass(frozen=True)
class _Item:
    path: Path
    split: Split | None
    label: str
    reason: str = ""
    """Why it is not even looked at."""


def _split_folders(root: Path) -> Mapping[Split | None, Path]:
    """The folder that holds the class folders of each split; under None where the data come in one piece."""
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    train = [folder for folder in folders if SPLITS.get(folder.name.lower()) == "train"]
    if not any(entry.is_dir() for folder in train for entry in _entries(folder)):
        return {None: root}
    found: dict[Split | None, Path] = {}
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split is None:
            raise DataError(f"'{root}' mixes split folders with '{folder.name}'; keep only train, val and test in it.")
        if split in found:
            raise DataError(f"'{root}' holds both '{found[split].name}' and '{folder.name}'; keep one.")
        if _leaves(folder, root):
            raise DataError(f"'{folder}' is {_LEAVES}; put the pictures there.")
        found[split] = folder
    return found


def _items(root: Path, folder: Path, split: Split | None) -> Iterator[_Item]:
    """What lies in the class folders of a folder, and the pictures beside them."""
    named: dict[str, str] = {}
    for entry in _entries(folder):
        if not entry.is_dir():
            if _is_named_as_picture(entry):
                yield _Item(entry, split, "", "outside the class folders")
        elif _leaves(entry, root):
            yield _Item(entry, split, "", _LEAVES)
        else:
            label = _class_name(entry, named)
            yield from (_Item(path, split, label, _unfit(path)) for path in _entries(entry))


def _class_name(folder: Path, named: dict[str, str]) -> str:
    if folder.name != _shown(folder.name):
        raise DataError(f"the class folder '{_shown(str(folder))}' has a name that is not UTF-8; rename it.")
    # one class, though one system composes é and another writes e and an accent
    label = unicodedata.normalize("NFC", folder.name)
    if named.setdefault(label, folder.name) != folder.name:
        raise DataError(f"'{folder.parent}' holds two class folders that both read '{label}'; rename or join them.")
    return label


def _unfit(path: Path) -> str:
    if path.is_dir():
        return "a folder within a class folder"
    return "" if path.name == _shown(path.name) else "a name that is not UTF-8"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not _is_passed_over(Path(entry.name)))
    except OSError as error:
        raise DataError(f"'{folder}' cannot be listed: {error.strerror}.") from None


def _is_passed_over(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in _IGNORED for part in path.parts)


def _is_named_as_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


def _leaves(folder: Path, root: Path) -> bool:
    return folder.is_symlink() and not is_within(folder, str(root.resolve()))


def _refuse_few(root: Path, items: list[_Item], classes: list[str]) -> None:
    if len(classes) >= 2:
        return
    held = f"1 class ('{classes[0]}')" if classes else "no class with pictures" if items else "no classes"
    raise DataError(f"'{root}' holds {held}; a classifier needs 2. Make one sub-folder per class.")


def _id(path: Path, root: Path) -> str:
    return _shown(path.relative_to(root).as_posix())


def _shown(name: str) -> str:
    """A name that can be written as UTF-8: the same, or with escapes for bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode()
