"""Shards of an address, fetched whole into a folder of this process that holds a few of them at a time.

Processes of one job on a machine fetch them for one another.
"""

import itertools
import os
import platform
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from noonchi import files, ranks
from noonchi.errors import DataError
from noonchi.sources.shards import remote
from noonchi.sources.shards.common import Common
from noonchi.sources.shards.remote import Patience, Place, Wanted
from noonchi.sources.shards.shelf import KEEP, Shelf
from noonchi.sources.shards.table import Shard

_AT_ONCE = 4
"""Shards that a process fetches beside one another."""
_LOOK_S = 0.1
"""Between two looks at whether another process has fetched a shard."""
_PEEKS = 8
"""Pictures of a shard that come by themselves before it is fetched whole: for a look at a few of a large data set."""
_OURS = re.compile(rf"{re.escape(platform.node())}\.([0-9]+)\.[0-9a-f]{{16}}")
_made: set[str] = set()
"""Names of this process's folders."""


class Spool:
    """Reads from shards at an address. May be used by several threads."""

    def __init__(
        self, here: Place, shards: Sequence[Shard], keep: int = KEEP, patience: Patience | None = None
    ) -> None:
        self._here, self._shards = here, shards
        folder = private_folder()
        bring = _Bring(here, shards, folder, patience or remote.PATIENCE, _shared(folder, keep))
        self._shelf = Shelf(bring, keep, ahead=True, drop=bring.drop)
        self._peeked, self._lock = Counter[int](), threading.Lock()
        weakref.finalize(self, bring.leave)  # also when the process ends

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a shard. Raises DataError where it cannot be had."""
        if number not in self._shelf and self._may_peek(number):
            found = remote.part(self._here, self._shards[number].name, offset, length)
            if found is not None:
                return found
        return self._shelf.read(number, offset, length)

    def prepare(self, shards: Sequence[int]) -> None:
        """Fetch shards in the background, the first first, as far as there is room."""
        with self._lock:
            self._peeked.update(dict.fromkeys(shards, _PEEKS))  # more than a few pictures of them are wanted
        self._shelf.prepare(shards)

    def give_up(self) -> None:
        """Stop what is being fetched."""
        self._shelf.give_up()

    def _may_peek(self, number: int) -> bool:
        with self._lock:
            self._peeked[number] += 1
            return self._peeked[number] <= _PEEKS


@dataclass(frozen=True)
class _Bring:
    """Fetches shards into a folder. Knows nothing of the spool, so that this may be forgotten."""

    here: Place
    shards: Sequence[Shard]
    folder: Path
    patience: Patience
    common: Common | None
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_AT_ONCE))
    count: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, number: int, stop: threading.Event) -> Path:
        shard = self.shards[number]
        # of its own: one that was given up may still be written, and one in common must never be again
        path = self.folder / f"{next(self.count)}.{shard.name}"
        while not stop.is_set():
            if self._lent(shard, path):
                return path
            with self.slots, self.common.claimed(shard) if self.common else nullcontext(True) as mine:
                if mine and not stop.is_set():
                    if not self._lent(shard, path):
                        self._fetch(shard, path, stop)
                    return path
            stop.wait(_LOOK_S)
        raise DataError(f"'{shard.name}' of '{self.here.told}' was not fetched: stopped.")

    def drop(self, path: Path) -> None:
        """Remove a shard of this process."""
        path.unlink(missing_ok=True)
        if self.common:
            self.common.tidy()

    def leave(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.common:
            self.common.leave()

    def _lent(self, shard: Shard, path: Path) -> bool:
        return self.common is not None and self.common.lend(shard, path)

    def _fetch(self, shard: Shard, path: Path, stop: threading.Event) -> None:
        try:
            wanted = Wanted(shard.name, shard.size, shard.digest)
            remote.fetch(self.here, wanted, path, patience=self.patience, stop=stop)
        except BaseException as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise self._no_room(shard, error) from None
            raise
        if self.common:
            self.common.give(shard, path)

    def _no_room(self, shard: Shard, error: OSError) -> DataError:
        return DataError(
            f"shard '{shard.name}', {files.readable(shard.size)}, cannot be kept in '{self.folder}': {error.strerror}. "
            "Make room, or let NOONCHI_CACHE name a folder on another disk."
        )


def private_folder() -> Path:
    """A new folder of this process within the cache folder; those of processes that are gone are removed."""
    above = _above()
    try:
        above.mkdir(parents=True, exist_ok=True)
        _sweep(above)
        folder = above / folder_name(os.getpid(), secrets.token_hex(8))
        _made.add(folder.name)
        folder.mkdir()
    except OSError:  # where that may not be written, wherever else there is room
        return Path(tempfile.mkdtemp(prefix="noonchi-shards-"))
    return folder


def folder_name(process: int, token: str = "0" * 16) -> str:
    """Of a process's folder; of the one that those it has started have in common, where no token is given.

    >>> folder_name(7).partition(".7.")[2]
    '0000000000000000'
    """
    return f"{platform.node()}.{process}.{token}"


def _shared(folder: Path, keep: int) -> Common | None:
    """What this process has in common with the others of its job on this machine, if its own folder is in the cache.

    None for a process that is alone, and on Windows, where nothing that is open can be removed.
    """
    if ranks.on_machine() == 1 or os.name != "posix" or folder.parent != _above():
        return None
    return Common(_above() / folder_name(os.getppid()), keep)


def _above() -> Path:
    return files.cache_folder() / "shards"


def _sweep(above: Path) -> None:
    for entry in above.iterdir():
        found = _OURS.fullmatch(entry.name)
        if found and entry.is_dir() and not entry.is_symlink() and _is_left(entry.name, int(found[1])):
            shutil.rmtree(entry, ignore_errors=True)


def _is_left(name: str, process: int) -> bool:
    """Also by one that had this process's number, as in a container that was started again."""
    return not files.is_alive(process) or (process == os.getpid() and name not in _made)
