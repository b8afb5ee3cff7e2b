"""Pictures that lie in shards, each read and compared with its hash when it is asked for."""

import threading
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, overload

import numpy as np

from noonchi import files
from noonchi.errors import DataError
from noonchi.sources.index import Packed, Some
from noonchi.sources.shards.shelf import Shelf
from noonchi.sources.shards.table import Table

_ANEW = "Write the shards anew with noonchi shard, or restore them from a copy."


class Reader(Protocol):
    """Shards that are at hand, or come when they are asked for."""

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a shard, fewer where it ends before. Raises DataError where it cannot be had."""

    def prepare(self, shards: Sequence[int], /) -> None:
        """Have shards fetched in the background."""

    def give_up(self) -> None:
        """Stop what is being fetched."""


class Pictures(Packed):
    """The pictures of an index, in its order. May be read by several threads."""

    def __init__(self, table: Table, reader: Reader, told: str) -> None:
        """`told` is where the shards are, in errors."""
        self._table, self._reader, self._told = table, reader, told

    def __len__(self) -> int:
        return len(self._table.ids)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Some: ...
    def __getitem__(self, at: int | slice) -> bytes | Some:
        """A picture's file. Raises DataError where it is not what the index says."""
        if isinstance(at, slice):
            return Some(self, np.arange(len(self), dtype=np.int64)[at])
        table = self._table
        number = int(table.shard[at])
        content = self._reader.read(number, int(table.offset[at]), int(table.length[at]))
        if blake2b(content, digest_size=16).digest() != table.contents[at].tobytes():
            raise DataError(
                f"picture '{table.ids[at]}' in shard '{table.shards[number].name}' of '{self._told}' is not the one "
                f"that its index names: the shard is damaged or was changed. {_ANEW}"
            )
        return content

    def prepare(self, shards: Sequence[int]) -> None:
        """Have shards fetched in the background; those at hand are there already."""
        self._reader.prepare(shards)

    def give_up(self) -> None:
        """Stop what is being fetched."""
        self._reader.give_up()


def in_folder(folder: Path, table: Table) -> Shelf:
    """The shards of a folder on this machine."""

    def bring(number: int, _: threading.Event) -> Path:
        shard = table.shards[number]
        path = folder / shard.name
        try:
            files.refuse_endless(path)
            found = path.stat().st_size
        except OSError as error:
            raise DataError(f"shard '{path}' cannot be read: {error.strerror}. {_ANEW}") from None
        if found != shard.size:
            raise DataError(f"shard '{path}' has {found:,} bytes, by its index {shard.size:,}. {_ANEW}")
        return path

    return Shelf(bring)
