"""Class folders: `root/<class>/*` or `root/<split>/<class>/*`."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noonchi.errors import DataError
from noonchi.results import Split
from noonchi.sources.index import SPLITS, Raw, column
from noonchi.sources.scan import LEAVES, Progress, is_within, scan

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_IGNORED = ("thumbs.db", "desktop.ini", "__macosx")


def read(root: Path, *, follow_links: bool = False, progress: Progress | None = None) -> Raw:
    """The pictures of class folders; a class is named as its folder.

    Pictures lie directly in their class's folder. What cannot be used is listed as unusable with its reason: a file
    there that is no picture, a folder within a class's folder, a picture outside of all of them. Passed over are files
    of the system (`.DS_Store`, `Thumbs.db`, `__MACOSX`, hidden ones) and other files outside, such as a README. Links
    that leave `root` are taken with `follow_links` only; a folder that links make appear twice is read once.

    Raises DataError for a folder without two classes, or in which splits and classes cannot be told apart.
    """
    splits = _split_folders(root, follow_links=follow_links)
    folders = _class_folders(root, splits, follow_links=follow_links)
    items = [item for folder in folders for item in _items(folder)] + _strays(root, splits)
    looked_at = [item for item in items if not item.reason]
    scanned = scan([item.path for item in looked_at], root, follow_links=follow_links, progress=progress)
    usable = [(item, one.hash) for item, one in zip(looked_at, scanned, strict=True) if one.hash]
    unusable = [(item, item.reason) for item in items if item.reason]
    unusable += [(item, one.reason) for item, one in zip(looked_at, scanned, strict=True) if not one.hash]
    classes = sorted({item.label for item, _ in usable})
    _refuse_few(root, folders, unusable, classes)
    return Raw(
        name=root.resolve().name,
        ids=tuple(id_of(item.path, root) for item, _ in usable),
        hashes=tuple(content for _, content in usable),
        columns={"label": column(item.label for item, _ in usable)},
        splits=None if None in splits else np.array([item.split for item, _ in usable]),
        files=tuple(item.path for item, _ in usable),
        unusable=tuple((id_of(item.path, root), reason) for item, reason in unusable),
        notes=_left_out(sorted({folder.label for folder in folders if not folder.reason}.difference(classes))),
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


def id_of(path: Path, root: Path) -> str:
    """What a picture is called within its folder: its path from there, with `/`, as UTF-8."""
    return _shown(path.relative_to(root).as_posix())


@dataclass(frozen=True)
class _Item:
    """A class folder, or a file in one."""

    path: Path
    split: Split | None = None
    label: str = ""
    reason: str = ""
    """Why it is not even looked at."""


def _split_folders(root: Path, *, follow_links: bool) -> Mapping[Split | None, Path]:
    """The folder that holds the class folders of each split; under None where the data come in one piece."""
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    divided = [folder for folder in folders if _split(folder) and any(entry.is_dir() for entry in _entries(folder))]
    all_named = bool(folders) and all(map(_split, folders))
    if "train" not in map(_split, divided) and not (divided and all_named):
        if all_named:
            names = ", ".join(folder.name for folder in folders)
            raise DataError(f"'{root}' has no class folders in {names}; put the pictures in train/<class>/.")
        return {None: root}
    found: dict[Split | None, Path] = {}
    for folder in folders:
        split = _split(folder)
        if split is None:
            raise DataError(f"'{root}' mixes split folders with '{folder.name}'; keep only train, val and test in it.")
        if split in found:
            raise DataError(f"'{root}' holds both '{found[split].name}' and '{folder.name}'; keep one.")
        if not follow_links and _leaves(folder, root):
            raise DataError(f"'{folder}' is {LEAVES}.")
        found[split] = folder
    return found


def _split(folder: Path) -> Split | None:
    return SPLITS.get(folder.name.lower())


def _class_folders(root: Path, splits: Mapping[Split | None, Path], *, follow_links: bool) -> list[_Item]:
    found = [(split, entry) for split, holder in splits.items() for entry in _entries(holder) if entry.is_dir()]
    first = _first_ways(root, [*splits.values(), *(folder for _, folder in found)])
    named: dict[tuple[Path, str], str] = {}
    folders = []
    for split, folder in found:
        if not follow_links and _leaves(folder, root):
            folders.append(_Item(folder, reason=LEAVES))
        elif first[folder.resolve()] != folder:
            folders.append(_Item(folder, reason="a link to a folder that is read already"))
        else:
            folders.append(_Item(folder, split, _class_name(folder, named)))
    return folders


def _first_ways(root: Path, folders: list[Path]) -> dict[Path, Path]:
    """The path by which each folder is read, those above them all included; a way without links goes first."""
    real_root = root.resolve()
    ways = {above: above for above in (real_root, *real_root.parents)}
    for folder in sorted(folders, key=lambda one: one.resolve() != real_root / one.relative_to(root)):
        ways.setdefault(folder.resolve(), folder)
    return ways


def _class_name(folder: Path, named: dict[tuple[Path, str], str]) -> str:
    if folder.name != _shown(folder.name):
        raise DataError(f"the class folder '{_shown(str(folder))}' has a name that is not UTF-8; rename it.")
    # one class, though one system composes é and another writes e and an accent
    label = unicodedata.normalize("NFC", folder.name)
    if named.setdefault((folder.parent, label), folder.name) != folder.name:
        raise DataError(f"'{folder.parent}' holds two class folders that both read '{label}'; rename or join them.")
    return label


def _items(folder: _Item) -> Iterator[_Item]:
    if folder.reason:
        yield folder
    else:
        yield from (_Item(path, folder.split, folder.label, _unfit(path)) for path in _entries(folder.path))


def _unfit(path: Path) -> str:
    if path.is_dir():
        return "a folder within a class folder"
    return "" if path.name == _shown(path.name) else "a name that is not UTF-8"


def _strays(root: Path, splits: Mapping[Split | None, Path]) -> list[_Item]:
    """Pictures beside the class folders, and broken links: what one of them led to may have been a class."""
    holders = dict.fromkeys([root, *splits.values()])
    entries = [entry for holder in holders for entry in _entries(holder) if not entry.is_dir()]
    broken = [_Item(entry, reason="a broken link") for entry in entries if not entry.exists()]
    outside = [entry for entry in entries if entry.exists() and _is_named_as_picture(entry)]
    return broken + [_Item(entry, reason="outside the class folders") for entry in outside]


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


def _refuse_few(root: Path, folders: list[_Item], unusable: list[tuple[_Item, str]], classes: list[str]) -> None:
    if len(classes) >= 2:
        return
    no_class = "no class with pictures" if folders or unusable else "no classes"
    held = f"1 class ('{classes[0]}')" if classes else no_class
    left = _commonest(root, unusable) if unusable else ""
    raise DataError(f"'{root}' holds {held}; a classifier needs 2. Make one sub-folder per class.{left}")


def _commonest(root: Path, unusable: list[tuple[_Item, str]]) -> str:
    """What is wrong with most of the unusable, and one of them."""
    ((reason, count),) = Counter(reason for _, reason in unusable).most_common(1)
    first = next(id_of(item.path, root) for item, one in unusable if one == reason)
    more = f" and {count - 1:,} more" if count > 1 else ""
    return f" Left out: '{first}'{more}: {reason}."


def _left_out(classes: list[str]) -> tuple[str, ...]:
    if not classes:
        return ()
    return (f"left out, having no usable picture: class {', '.join(map(repr, classes))}",)


def _shown(name: str) -> str:
    """A name that can be written as UTF-8: the same, or with escapes for bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode()
