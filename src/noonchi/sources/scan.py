"""A first look at picture files: their content hash, or why they are no pictures. Nothing is decoded here."""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import NamedTuple

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_NETPBM = tuple(f"P{number}".encode() for number in range(1, 7))
_ALLOWED = "JPEG, PNG, WebP, GIF, BMP, TIFF or PPM"


class Scanned(NamedTuple):
    """A file's content hash, and why it cannot be used where it cannot."""

    hash: str = ""
    reason: str = ""


def scan(paths: Sequence[Path], within: Path) -> list[Scanned]:
    """Look at every file, several at once; links that leave `within` are refused."""
    root = os.path.realpath(within)
    # reading and hashing release the interpreter's lock
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(lambda path: _look(path, root), paths))


def _look(path: Path, root: str) -> Scanned:
    try:
        if path.is_symlink() and not is_within(path, root):
            return Scanned(reason="a link that leaves the data's folder")
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: to open a FIFO hangs
            return Scanned(reason="not a regular file")
        with path.open("rb") as file:
            reason = _not_a_picture(file.read(16))
            if reason:
                return Scanned(reason=reason)
            file.seek(0)
            return Scanned(file_digest(file, lambda: blake2b(digest_size=16)).hexdigest())
    except OSError as error:
        return Scanned(reason="a broken link" if path.is_symlink() else f"cannot be read: {error.strerror}")


def is_within(path: Path, root: str) -> bool:
    """Whether a path, all links followed, lies below `root`, itself a real path."""
    return os.path.realpath(path).startswith(os.path.join(root, ""))  # noqa: PTH118  # a string's work


def _not_a_picture(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return ""
    if start.startswith(_NETPBM) and start[2:3].isspace():
        return ""
    if start[4:8] == b"ftyp":
        return "HEIC or AVIF, which is not read; convert it to JPEG or PNG"
    return f"not a {_ALLOWED} picture"
