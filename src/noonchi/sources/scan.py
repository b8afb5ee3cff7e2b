"""A first look at picture files: their content hash, or why they are no pictures. Nothing is decoded here."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, file_digest
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from noonchi.errors import HEIC

Progress = Callable[[int, int], None]

LEAVES = "a link that leaves the data's folder; data.follow_links = true takes it"
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_NETPBM = tuple(f"P{number}".encode() for number in range(1, 7))
_ALLOWED = "JPEG, PNG, WebP, GIF, BMP, TIFF or PPM"

_AT_ONCE = 1024
"""Files queued: a future each takes 2 KB, which for a million files would be more than all else."""


class Scanned(NamedTuple):
    """A file's content hash, and why it cannot be used where it cannot."""

    hash: str = ""
    reason: str = ""


def scan(
    paths: Sequence[Path], within: Path, *, follow_links: bool = False, progress: Progress | None = None
) -> list[Scanned]:
    """Look at every file, several at once; links that leave `within` are refused unless `follow_links`.

    `progress` is called with (done, total).
    """
    root = os.path.realpath(within)
    # one look a folder instead of one a file, which would cost more than the hashes of small pictures
    outside = {folder for folder in {path.parent for path in paths} if not is_within(folder, root)}

    def leaves(path: Path) -> bool:
        return path.parent in outside or (path.is_symlink() and not is_within(path, root))

    found = []
    # reading and hashing release the interpreter's lock
    pool = ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1)))
    try:
        for first in range(0, len(paths), _AT_ONCE):
            some = paths[first : first + _AT_ONCE]
            for one in pool.map(lambda path: look(path, not follow_links and leaves(path)), some):
                found.append(one)
                if progress:
                    progress(len(found), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for what was queued
    return found


def look(path: Path, leaves: bool = False) -> Scanned:
    """Look at one file; where it `leaves` the data's folder it is not opened."""
    try:
        mode = path.stat().st_mode
        if leaves:
            return Scanned(reason=LEAVES)
        if not stat.S_ISREG(mode):  # before opening: to open a FIFO hangs
            return Scanned(reason="not a regular file")
        with path.open("rb") as file:
            reason = _not_a_picture(file.read(16))
            if reason:
                return Scanned(reason=reason)
            file.seek(0)
            return Scanned(content_hash(file))
    except OSError as error:
        broken = error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()
        return Scanned(reason="a broken link" if broken else f"cannot be read: {error.strerror}")


def look_into(content: bytes) -> Scanned:
    """Look at what a file holds.

    >>> look_into(b"GIF87a ...").hash[:8], look_into(b"").reason
    ('d77c74d0', 'an empty file')
    """
    why = _not_a_picture(content[:16])
    return Scanned(reason=why) if why else Scanned(content_hash_of(content))


def content_hash_of(content: bytes) -> str:
    """The `content_hash` of a file that holds these bytes."""
    return blake2b(content, digest_size=16).hexdigest()


def content_hash(file: BufferedReader) -> str:
    """32 hexadecimal digits of what a file holds from here on."""
    return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def is_within(path: Path, root: str) -> bool:
    """Whether a path, all links followed, is or lies below `root`, itself a real path."""
    real = os.path.realpath(path)
    return real == root or real.startswith(os.path.join(root, ""))  # noqa: PTH118  # a string's work


def _not_a_picture(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return ""
    if start.startswith(_NETPBM) and start[2:3].isspace():
        return ""
    if start[4:8] == b"ftyp":
        return HEIC
    return f"not a {_ALLOWED} picture"
