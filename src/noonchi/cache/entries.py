"""Decoded pictures and features in the cache folder: built, listed, and cleared without harm to anything else there."""

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noonchi import files
from noonchi.errors import RunError
from noonchi.ranks import ALONE, Ranks

FRAMES, FEATURES, HASHES, MANIFEST = "frames.npy", "features.npy", "hashes.txt", "manifest.json"

_SAID = {
    FRAMES: {"format", "size", "channels", "fit", "data", "pictures", "bytes", "unusable"},
    FEATURES: {"data", "pictures", "views", "bytes"},
}
_OURS = (FRAMES, FEATURES, HASHES, MANIFEST, f".{HASHES}.new", f".{MANIFEST}.new")
_NAME = re.compile(r"[0-9a-f]{32}")
_BUILD = re.compile(rf"\.([0-9a-f]{{32}})\.{re.escape(platform.node())}\.([0-9]+)")


@dataclass(frozen=True)
class Kept:
    """One entry."""

    kind: str
    """`frames`: decoded pictures; `features`: what frozen layers give for them; `leftover`: what a build that was
    killed left, or an entry that is not whole."""
    name: str
    """Of the data; a leftover's folder."""
    pictures: str
    """How many, of which size and how they were brought to it; of features, how many views of each."""
    bytes: int
    used: datetime
    """When it was made or last read."""
    place: Path

    def to_json(self) -> dict[str, Any]:
        """Text and numbers."""
        return asdict(self) | {"used": self.used.isoformat(timespec="seconds"), "place": str(self.place)}


def folder(kind: str = "frames") -> Path:
    """Where entries of a kind are."""
    return files.cache_folder() / kind


def kept() -> list[Kept]:
    """Every entry, the last used first; without builds under way and without files that are not ours.

    >>> {entry.kind for entry in kept()} <= {"frames", "features", "leftover"}
    True
    """
    found = []
    for place in _places():
        with suppress(OSError):  # another process has removed it
            found.append(_described(place))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear(entries: Iterable[Kept]) -> list[Kept]:
    """Remove entries; returns those that cannot be, such as frames that Windows sees in use.

    Elsewhere a process that is using frames keeps its own until it ends. Files that are not ours stay.
    """
    return [entry for entry in entries if not _removed(entry.place)]


@contextmanager
def building(place: Path, machine: Ranks = ALONE) -> Iterator[Path]:
    """A private folder beside an entry; at the end, if a manifest lies in it, it gets the entry's name.

    Whoever is first of several processes wins, but for those of `machine`, which build it together. What builds of this
    entry left when they were killed is removed.
    """
    with ExitStack() as mine:
        yield machine.of_first(lambda: mine.enter_context(_building(place)))
    machine.wait()


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    for leftover in _places():
        build = _BUILD.fullmatch(leftover.name)
        if build and build[1] == place.name:
            _removed(leftover)
    private = place.with_name(f".{place.name}.{platform.node()}.{os.getpid()}")
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir(parents=True)
    try:
        yield private
        if (private / MANIFEST).exists():
            _give_name(private, place)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _give_name(private: Path, place: Path) -> None:
    try:
        private.rename(place)
    except OSError:  # something is there: another process's entry, or a damaged one
        if manifest_of(place) is None:
            shutil.rmtree(place, ignore_errors=True)
            private.rename(place)


def manifest_of(place: Path) -> dict[str, Any] | None:
    """What an entry says of itself; None where it is not whole."""
    try:
        manifest = files.read_json(place / MANIFEST)
        array = FEATURES if "views" in manifest else FRAMES
        is_whole = manifest.keys() >= _SAID[array] and (place / array).stat().st_size == manifest["bytes"]
    except (OSError, RunError):
        return None
    return manifest if is_whole else None


def frames_of(place: Path) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """The content hash and the frame of each picture of a whole entry."""
    try:
        hashes = (place / HASHES).read_text(encoding="ascii").split()
        frames = np.load(place / FRAMES, mmap_mode="r").view(np.ndarray)
    except (OSError, ValueError):  # removed or damaged meanwhile
        return
    yield from zip(hashes, frames, strict=False)


def mark_used(place: Path) -> None:
    """An entry's time of use is its manifest's."""
    with suppress(OSError):  # frames in a folder that cannot be written serve as well
        os.utime(place / MANIFEST)


def whole() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each entry that is whole, and what it says of itself."""
    for place in _places():
        manifest = manifest_of(place)
        if manifest:
            yield place, manifest


def _places() -> Iterator[Path]:
    """Folders of entries, and of builds whose process is gone."""
    for kind in ("frames", "features"):
        with suppress(OSError):
            for place in sorted(folder(kind).iterdir()):
                if _is_ours(place):
                    yield place


def _is_ours(place: Path) -> bool:
    if place.is_symlink() or not place.is_dir():
        return False
    build = _BUILD.fullmatch(place.name)
    if build:
        return not files.is_alive(int(build[2]))
    return bool(_NAME.fullmatch(place.name)) and any((place / name).exists() for name in _OURS)


def _described(place: Path) -> Kept:
    manifest = manifest_of(place)
    size = sum((place / name).stat().st_size for name in _OURS if (place / name).exists())
    used = datetime.fromtimestamp((place / MANIFEST if manifest else place).stat().st_mtime).astimezone()
    if manifest is None:
        return Kept("leftover", place.name, "", size, used, place)
    if "views" in manifest:
        pictures = f"{manifest['pictures']:,}, {manifest['views']} view{'s' if manifest['views'] > 1 else ''} of each"
        return Kept("features", manifest["data"], pictures, size, used, place)
    height, width = manifest["size"]
    pictures = f"{manifest['pictures']:,} of {height}x{width}x{manifest['channels']}, {manifest['fit']}"
    return Kept("frames", manifest["data"], pictures, size, used, place)


def _removed(place: Path) -> bool:
    try:
        for name in _OURS:
            (place / name).unlink(missing_ok=True)
    except OSError:
        return False
    with suppress(OSError):  # it holds something that is not ours
        place.rmdir()
    return True
