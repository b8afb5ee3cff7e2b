"""Pictures packed into WebDataset tars, with an index that training reads: what `noonchi shard` does."""

import io
import json
import math
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from PIL import Image

from noonchi import files, pixels, sources
from noonchi.errors import SettingsError
from noonchi.pixels.decoding import decoded
from noonchi.results import Note, Work
from noonchi.settings import PixelSettings, RunSettings
from noonchi.sources import Data, Index
from noonchi.sources.index import Column
from noonchi.sources.shards import UNFINISHED, table
from noonchi.sources.shards.table import HEADER, Shard, Table

Show = Callable[[Note | Work], None]

UNUSABLE = "unusable.csv"
_LOCK = ".lock"
_AHEAD = 64
"""Pictures read and not yet written, at most: files of photos may be large."""
_WHOLE = 2**16
"""Pixels a side, more than a JPEG can have: it is then decoded whole."""
_CHANGED = "it was changed while it was read"
_STARTS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"RIFF": "webp",
    b"P1": "pbm",
    b"P4": "pbm",
    b"P2": "pgm",
    b"P5": "pgm",
    b"P3": "ppm",
    b"P6": "ppm",
}
"""What begins so ends its name so: a file may be called .jpg and be a PNG."""


@dataclass(frozen=True)
class Sharded:
    """What was written."""

    folder: Path
    pictures: int
    shards: int
    bytes: int
    unusable: int


class _Content(NamedTuple):
    """A picture as it goes into a tar; or why it does not."""

    bytes: bytes
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Written:
    """Where each picture of an index lies, the tars, and why each of the others cannot be used."""

    shard: npt.NDArray[np.int32]
    """(n,); -1 where it was left out."""
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    """(n, 16) of the bytes in the tar."""
    shards: list[Shard]
    bad: dict[int, str]

    def put(self, at: int, content: bytes, offset: int) -> None:
        """Into the tar that is written after `shards`."""
        self.shard[at], self.offset[at], self.length[at] = len(self.shards), offset, len(content)
        self.digests[at] = np.frombuffer(blake2b(content, digest_size=16).digest(), np.uint8)


def shard(
    data: Data, out: Path, run: RunSettings, show: Show, *, shard_mb: int = 64, size: int | None = None
) -> Sharded:
    """Write pictures, with their splits and labels, as tars of about `shard_mb` megabytes and an index into `out`.

    Every picture is decoded once; what cannot be is left out and listed. With a `size` each is stored as its pixels,
    so many a side, brought to it as `run.pixels` says; without one its file is stored as it is, and an array's picture
    as PNG. The same data give the same bytes. What was half written is removed where this fails. Raises SettingsError
    for an `out` that holds anything but unfinished shards, DataError for data that cannot be used.
    """
    table.arrow()
    refuse_used(out)
    _refuse_within(out, data)
    index, columns = sources.load_with_columns(
        data, run.data, run.heads, lambda done, total: show(Work("reading", done, total, ""))
    )
    for note in index.notes:
        show(Note(note))
    settings = _settings(run.pixels, index, size) if size else None
    _weigh(out, index, settings)
    with _folder(out):
        written = _write_tars(out, index, columns, _contents(index, settings), limit=shard_mb * 10**6, show=show)
        left_out = tuple((index.ids[at], reason) for at, reason in sorted(written.bad.items()))
        index = replace(index, unusable=(*index.unusable, *left_out))
        for line in sources.told_unusable(index.unusable):
            show(Note(line))
        count = len(index) - len(left_out)
        sources.refuse_many_unusable(index.unusable, count, run.data)
        if index.unusable:
            sources.write_unusable(out / UNUSABLE, index)
        files.write(out / table.NAME, table.encoded(_table(index, columns, written, resized=settings is not None)))
    return Sharded(out, count, len(written.shards), sum(one.size for one in written.shards), len(index.unusable))


def refuse_used(out: Path) -> None:
    """Raises SettingsError unless shards may be written to a folder: it is new, empty or holds unfinished ones."""
    if out.exists() and not out.is_dir():
        raise SettingsError(f"'{out}' is a file; give the name of a folder for the shards.")
    if (out / table.NAME).exists():
        raise SettingsError(f"'{out}' already holds shards; train on them, or give another folder.")
    stopped = (out / UNFINISHED).is_file()
    held = [path.name for path in _entries(out) if path.name != _LOCK and not (stopped and _is_ours(path))]
    if held:
        raise SettingsError(f"'{out}' holds other things, such as '{held[0]}'; give a folder that is new or empty.")
    there = files.nearest_folder(out)
    if not files.can_be_written(there):
        raise SettingsError(f"'{out}' cannot be written: no file can be made in '{there}'; give another place.")


def _refuse_within(out: Path, data: Data) -> None:
    if isinstance(data, tuple) or not Path(data).is_dir():
        return
    if out.resolve().is_relative_to(Path(data).resolve()):
        raise SettingsError(f"'{out}' would lie among the pictures; give a place outside of '{data}'.")


def _weigh(out: Path, index: Index, settings: PixelSettings | None) -> None:
    """Before hours are spent: more than the disk's room is refused."""
    if settings:
        needed = len(index) * math.prod((*(settings.size or ()), settings.channels or 1))
    else:
        needed = sum(path.stat().st_size for path in index.files or () if path.exists())
    there = files.nearest_folder(out)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise SettingsError(
            f"{len(index):,} pictures take {files.readable(needed)}, and the disk of '{there}' has "
            f"{files.readable(free)} free. Make room, or give a folder on another disk."
        )


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_ours(path: Path) -> bool:
    is_tar = path.suffix == ".tar" and path.stem.isdecimal() and len(path.stem) == len(_tar_name(0)) - 4
    named = path.name in (UNFINISHED, UNUSABLE, table.NAME) or files.is_unfinished(path)
    return (is_tar or named) and path.is_file() and not path.is_symlink()


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """A folder marked as unfinished while it is written; what was put there is removed again where that fails."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        refuse_used(out)  # once more: another process may have written here since
        try:
            files.write(out / UNFINISHED, "noonchi shard is writing here, or was stopped; run it again.\n")
            _clear(out, but=(UNFINISHED,))
            yield
            (out / UNFINISHED).unlink()
        except BaseException:
            with suppress(OSError):
                _clear(out)
            raise
        finally:
            with suppress(OSError):  # Windows keeps an open file; there filelock removes it
                (out / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                if made:
                    out.rmdir()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        with FileLock(out / _LOCK, timeout=0):
            yield
    except Timeout:
        raise SettingsError(f"'{out}' is being written by another noonchi; wait for its end.") from None


def _clear(out: Path, but: tuple[str, ...] = ()) -> None:
    for path in _entries(out):
        if _is_ours(path) and path.name not in but:
            path.unlink()


def _settings(asked: PixelSettings, index: Index, size: int) -> PixelSettings:
    return pixels.resolve(asked.but(size=(size, size)), index.array, index.encoded)


def _table(index: Index, columns: Mapping[str, Column], written: _Written, *, resized: bool) -> Table:
    """What the index holds; pictures that were `resized` are others, known by the hashes of their new bytes."""
    at = np.flatnonzero(written.shard >= 0)
    contents = hashes = written.digests[at]
    if index.files is None and not resized:  # an array's are not those of the PNGs
        hashes = np.frombuffer(bytes.fromhex("".join(index.hashes)), np.uint8).reshape(-1, 16)[at]
    return Table(
        name=index.name,
        shards=tuple(written.shards),
        ids=[index.ids[one] for one in at.tolist()],
        hashes=hashes,
        contents=contents,
        splits=index.splits[at],
        columns={name: replace(one, codes=one.codes[at]) for name, one in columns.items()},
        shard=written.shard[at],
        offset=written.offset[at],
        length=written.length[at],
    )


def _write_tars(
    out: Path,
    index: Index,
    columns: Mapping[str, Column],
    contents: Iterator[tuple[int, _Content]],
    *,
    limit: int,
    show: Show,
) -> _Written:
    count, tar = len(index), None
    places = np.full(count, -1, np.int32), np.zeros(count, np.int64), np.zeros(count, np.int64)
    written = _Written(*places, np.zeros((count, 16), np.uint8), [], {})
    try:
        for done, (at, content) in enumerate(contents, 1):
            if content.reason:
                written.bad[at] = content.reason
            else:
                if tar and tar.size + len(content.bytes) > limit:
                    written.shards.append(tar.finished())
                    tar = None
                tar = tar or _Tar(out / _tar_name(len(written.shards)))
                offset = tar.add(f"{at:09d}", content.bytes, _about(index, columns, at))
                written.put(at, content.bytes, offset)
            show(Work("writing", done, count, f"shard {len(written.shards) + 1}"))
        if tar:
            written.shards.append(tar.finished())
    finally:
        if tar:
            tar.close()
    return written


def _tar_name(number: int) -> str:
    return f"{number:06d}.tar"


def _about(index: Index, columns: Mapping[str, Column], at: int) -> bytes:
    labels = {name: one.classes[one.codes[at]] for name, one in columns.items()}
    about = {"id": index.ids[at], "split": str(index.splits[at]), "labels": labels}
    return json.dumps(about, ensure_ascii=False).encode()


def _contents(index: Index, settings: PixelSettings | None) -> Iterator[tuple[int, _Content]]:
    """Each picture's bytes, in an order mixed by content: what lies in one shard is of many classes."""

    def one(at: int) -> _Content:
        try:
            return _content(pictures[at], index.hashes[at], settings)
        except pixels.PictureError as error:
            return _Content(b"", error.reason)

    hashes, pictures = np.array(list(index.hashes)), index.pictures
    order = np.argsort(hashes, kind="stable").tolist()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for start in range(0, len(order), _AHEAD):
            some = order[start : start + _AHEAD]
            yield from zip(some, pool.map(one, some), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _content(picture: Path | pixels.Images | bytes, known: str, settings: PixelSettings | None) -> _Content:
    if isinstance(picture, Path):
        try:
            files.refuse_endless(picture)
            picture = picture.read_bytes()
        except OSError as error:
            return _Content(b"", f"cannot be read: {error.strerror}")
        if blake2b(picture, digest_size=16).hexdigest() != known:
            return _Content(b"", _CHANGED)
    if settings:
        return _Content(_netpbm(pixels.read(picture, settings)))
    if isinstance(picture, bytes):
        decoded(picture, "RGB", _WHOLE)
        return _Content(picture)
    return _Content(_png(picture))


def _netpbm(image: pixels.Images) -> bytes:
    height, width, channels = image.shape
    return f"P{5 if channels == 1 else 6}\n{width} {height}\n255\n".encode() + image.tobytes()


def _png(image: pixels.Images) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(content, "PNG")
    return content.getvalue()


class _Tar:
    """A tar as it is written: the same bytes whoever writes it, and when."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _Hashed(path)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        return int(self._tar.offset)

    def add(self, key: str, picture: bytes, about: bytes) -> int:
        """Where in the tar the picture's bytes begin."""
        ending = next(ending for start, ending in _STARTS.items() if picture.startswith(start))
        offset = self.size + HEADER
        with _naming(self._path):
            for name, content in ((f"{key}.{ending}", picture), (f"{key}.json", about)):
                info = tarfile.TarInfo(name)  # dated 1970, of nobody
                info.size = len(content)
                self._tar.addfile(info, io.BytesIO(content))
        return offset

    def finished(self) -> Shard:
        """Closed, and on the disk."""
        with _naming(self._path):
            self._tar.close()
            size = self._file.tell()
            self._file.sync()
        return Shard(self._path.name, size, self._file.digest.hexdigest())

    def close(self) -> None:
        with suppress(OSError):
            self._file.file.close()


class _Hashed:
    """A file that is written from start to end, and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb")
        self.digest = blake2b(digest_size=16)

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self.file.write(content)

    def tell(self) -> int:
        return self.file.tell()

    def sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts into an error of the system which file could not be written."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
