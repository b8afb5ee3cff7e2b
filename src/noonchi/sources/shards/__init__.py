"""What `noonchi shard` writes: WebDataset tars with an index, in a folder or at an address."""

import re
import shutil
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from noonchi import files
from noonchi.errors import DataError
from noonchi.sources.index import Raw
from noonchi.sources.shards import pictures, remote, spool, table
from noonchi.sources.shards.pictures import Pictures, Reader
from noonchi.sources.shards.remote import Patience, Wanted
from noonchi.sources.shards.shelf import KEEP
from noonchi.sources.shards.spool import Spool
from noonchi.sources.shards.table import NAME, Table

UNFINISHED = "unfinished-shards.txt"
"""Lies beside shards until their index is written."""
_LARGEST_INDEX = 2**32
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_address(data: str) -> bool:
    """Whether a text is an address rather than a path.

    >>> is_address("http://example.org/shards"), is_address("photos"), is_address("C:/photos")
    (True, False, False)
    """
    return bool(_ADDRESS.match(data))


def is_place(path: Path) -> bool:
    """Whether shards are, or were being, written at a path, or a path is their index."""
    return path.name == NAME or (path / NAME).is_file() or (path / UNFINISHED).is_file()


def read(data: str | Path) -> Raw:
    """The pictures of shards: of a folder, its index, or an address of either.

    Raises DataError for shards that are not finished, and for an index that is missing, damaged or of a newer format.
    """
    if isinstance(data, str) and is_address(data):
        return _at_address(data)
    return _in_folder(Path(data))


def _at_address(address: str, keep: int = KEEP, patience: Patience | None = None) -> Raw:
    """At most `keep` shards lie on this machine at a time, but for those that processes of one job have in common."""
    here = remote.place(_without_name(address), patience)
    folder = spool.private_folder()
    try:
        path = folder / NAME
        remote.fetch(
            here, Wanted(NAME), path, patience=patience or remote.PATIENCE, stop=threading.Event(), most=_LARGEST_INDEX
        )
        found = table.read(path, f"{here.told}/{NAME}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _raw(found, Spool(here, found.shards, keep, patience), here.told)


def _without_name(address: str) -> str:
    """The address of the folder.

    >>> _without_name("http://example.org/shards/index.parquet?token=1")
    'http://example.org/shards?token=1'
    """
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.removesuffix(NAME).rstrip("/")))


def _in_folder(path: Path) -> Raw:
    index = path if path.name == NAME and not path.is_dir() else path / NAME
    folder = index.parent
    if (folder / UNFINISHED).exists() and not index.exists():
        raise DataError(f"'{folder}' holds unfinished shards: noonchi shard was stopped. Run it again.")
    files.refuse_endless(index)
    found = table.read(index, str(index))
    return _raw(found, pictures.in_folder(folder, found), str(folder))


def _raw(found: Table, reader: Reader, told: str) -> Raw:
    return Raw(
        name=found.name,
        ids=found.ids,
        hashes=table.hashes(found),
        columns=found.columns,
        splits=found.splits,
        settled=True,
        packed=Pictures(found, reader, told),
        shards=found.shard,
    )
