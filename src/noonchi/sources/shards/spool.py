"""Shards of an address, fetched whole into a folder of this process that holds a few of them at a time."""

import os
import platform
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from noonchi import files
from noonchi.errors import DataError
from noonchi.sources.shards import remote
from noonchi.sources.shards.remote import Patience, Place, Wanted
from noonchi.sources.shards.shelf import KEEP, Shelf
from noonchi.sources.shards.table import Shard

_PEEKS = 8
"""Pictures of a shard that come by themselves before it is fetched whole: for a look at a few of a large data set."""
_OURS = re.compile(rf"{re.escape(platform.node())}\.([0-9]+)\.[0-9a-f]{{16}}")


class Spool:
    """Reads from shards at an address. May be used by several threads."""

    def __init__(
        self, here: Place, shards: Sequence[Shard], keep: int = KEEP, patience: Patience | None = None
    ) -> None:
        self._here, self._shards = here, shards
        bring = _Bring(here, shards, private_folder(), patience or remote.PATIENCE)
        self._shelf = Shelf(bring, keep, ahead=True, drop=lambda path: path.unlink(missing_ok=True))
        self._peeked, self._lock = Counter[int](), threading.Lock()
        weakref.finalize(self, shutil.rmtree, bring.folder, ignore_errors=True)  # also when the process ends

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a shard. Raises DataError where it cannot be had."""
        if number not in self._shelf and self._may_peek(number):
            found = remote.part(self._here, self._shards[number].name, offset, length)
            if found is not None:
                return found
        return self._shelf.read(number, offset, length)

    def prepare(self, shards: Sequence[int]) -> None:
        """Fetch shards in the background, the first first, as far as there is room."""
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

    def __call__(self, number: int, stop: threading.Event) -> Path:
        shard = self.shards[number]
        path = self.folder / shard.name
        try:
            wanted = Wanted(shard.name, shard.size, shard.digest)
            remote.fetch(self.here, wanted, path, patience=self.patience, stop=stop)
        except BaseException as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise self._no_room(shard, error) from None
            raise
        return path

    def _no_room(self, shard: Shard, error: OSError) -> DataError:
        return DataError(
            f"shard '{shard.name}', {files.readable(shard.size)}, cannot be kept in '{self.folder}': {error.strerror}. "
            "Make room, or let NOONCHI_CACHE name a folder on another disk."
        )


def private_folder() -> Path:
    """A new folder of this process within the cache folder; those of processes that are gone are removed."""
    above = files.cache_folder() / "shards"
    try:
        above.mkdir(parents=True, exist_ok=True)
        _sweep(above)
        folder = above / f"{platform.node()}.{os.getpid()}.{secrets.token_hex(8)}"
        folder.mkdir()
    except OSError:  # where that may not be written, wherever else there is room
        return Path(tempfile.mkdtemp(prefix="noonchi-shards-"))
    return folder


def _sweep(above: Path) -> None:
    for entry in above.iterdir():
        found = _OURS.fullmatch(entry.name)
        if found and entry.is_dir() and not entry.is_symlink() and not files.is_alive(int(found[1])):
            shutil.rmtree(entry, ignore_errors=True)
