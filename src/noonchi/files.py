"""The one way a file or a folder of ours is written, whole or not at all whatever interrupts it; how one is read."""

import csv
import errno
import hashlib
import io
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import platformdirs

from noonchi.errors import RunError, SettingsError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Of an OSError: there is no room, on the disk, in what a user may have of it, or in one file."""
_NEW, _OLD = ".new", ".old"
_MOST_DIGITS = 30
"""Of a whole number; the largest that is written has 19."""
_REMEDY = "Restore it from a copy, or train again."


def write(path: Path, content: bytes | str) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a part.

    Temporary file in the same folder, fsync, replace, fsync of the folder (Pillai et al., OSDI 2014). Text is UTF-8.
    One process at a time may write a path: a run's folder is locked, and the cache builds in folders of its own.
    An OSError for want of room says how much is needed and how much is free.
    """
    whole = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with replaced(path, len(whole)) as file:
        file.write(whole)


@contextmanager
def replaced(path: Path, needed: int | None = None) -> Iterator[IO[bytes]]:
    """Yields a file to fill; on a clean exit it takes the place of `path`, as `write` does it, else it is removed.

    `needed`: how many bytes it will be, where that is known.
    """
    new = _beside(path, _NEW)
    try:
        new.unlink(missing_ok=True)  # of a killed write, or a link that would lead elsewhere
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _tell(error, path, needed)
        raise
    _sync_folder(path.parent)


def read(path: Path, most: int | None = None) -> bytes:
    """What a file holds. Raises OSError, also for what `refuse_endless` refuses and for more than `most` bytes."""
    refuse_endless(path)
    if most is not None and path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return path.read_bytes()


def refuse_endless(path: Path) -> None:
    """Raises OSError for a pipe or a device, which reading might never end, for a folder, and where nothing is."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def write_json(path: Path, value: Any) -> None:
    """`value` as readable JSON; NaN and infinity are our bug."""
    write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """An object that `write_json` wrote. Raises RunError for anything else."""
    try:
        found = json.loads(read(path), parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise damaged(path, "it is no whole JSON object")
    return found


def read_csv(path: Path) -> list[list[str]]:
    """The rows of a table that we wrote, the header first. Raises RunError for anything else."""
    try:
        rows = list(csv.reader(io.StringIO(read(path).decode(), newline=""), strict=True))
    except OSError as error:
        raise unreadable(path, error) from None
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not rows:
        raise damaged(path, "it is no whole CSV table")
    return rows


def unreadable(path: Path, error: OSError) -> RunError:
    """What is told of a run's file that the system does not give."""
    return RunError(f"'{path}' cannot be read: {error.strerror or error}. {_REMEDY}")


def refuse_file(path: Path) -> None:
    """Raises RunError for a file where a run's folder is expected, as one that was exported."""
    if path.is_file():
        raise RunError(
            f"'{path}' is a file; give a run's folder. Of exported files, noonchi predict and noonchi serve take .onnx."
        )


def damaged(path: Path, why: object) -> RunError:
    """What is told of a run's file that is not as it was written."""
    return RunError(f"'{path}' is damaged: {str(why).rstrip('.')}. {_REMEDY}")


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record that JSON can hold, with a checksum over its values.

    >>> sorted(sealed({"epoch": 3}))
    ['epoch', 'sha256']
    """
    return record | {"sha256": _digest(record)}


def unsealed(record: dict[str, Any]) -> dict[str, Any] | None:
    """What was sealed, as JSON gave it back; None where its checksum is missing or is not that of its values.

    >>> unsealed(sealed({"rate": 0.1})), unsealed(sealed({"rate": 0.1}) | {"rate": 0.2})
    ({'rate': 0.1}, None)
    """
    values = {name: value for name, value in record.items() if name != "sha256"}
    return values if record.get("sha256") == _digest(values) else None


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill through `write`; on a clean exit it takes the place of `path`, else it is removed.

    A folder cannot be replaced in one step everywhere. Killed between the two steps, the old one is found by
    `settled` and put back by the next `replaced_folder`.
    """
    recover(path)
    new, old = _beside(path, _NEW), _beside(path, _OLD)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException as error:
        recover(path)
        if isinstance(error, OSError) and error.filename:
            error.filename = str(error.filename).replace(str(new), str(path))
        raise
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def settled(path: Path) -> Path:
    """Where the whole content of a folder written by `replaced_folder` lies, also in the middle of a replacement."""
    old = _beside(path, _OLD)
    return old if old.exists() and not path.exists() else path


def recover(path: Path) -> None:
    """Undo what a killed `replaced_folder` left: put an old folder back, remove what is half-written."""
    new, old = _beside(path, _NEW), _beside(path, _OLD)
    if old.exists() and not path.exists():
        old.rename(path)
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)


def is_unfinished(path: Path) -> bool:
    """Whether a file is what a killed `write` left.

    >>> is_unfinished(Path("run/.recipe.toml.new")), is_unfinished(Path("run/recipe.toml"))
    (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(_NEW)


def can_be_written(folder: Path) -> bool:
    """Whether a folder takes a new file, found by trying: rights alone say too much to root, and of `/proc`."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def refuse_place(option: str, path: Path) -> None:
    """Raises SettingsError where a file that an option names could not be written.

    >>> refuse_place("--out", Path("no-such-folder/sheet.png"))
    Traceback (most recent call last):
    noonchi.errors.SettingsError: --out no-such-folder/sheet.png: there is no folder 'no-such-folder'; make it first.
    """
    if path.is_dir():
        raise SettingsError(f"{option} {path}: this is a folder; give the name of a file.")
    # replaced, not written into: root would lose the device, as /dev/full, or the link to it, as /dev/stdout
    if (path.exists() and not path.is_file()) or path.absolute().parent == Path("/dev"):
        raise SettingsError(f"{option} {path}: this is no place for a file, but a device or a pipe; name a file.")
    if not path.parent.is_dir():
        raise SettingsError(f"{option} {path}: there is no folder '{path.parent}'; make it first.")
    if not can_be_written(path.parent):
        raise SettingsError(f"{option} {path}: no file can be written in '{path.parent}'; give another place.")


def nearest_folder(path: Path) -> Path:
    """The folder at a path, or the nearest above it that is there: in it the others would be made."""
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())


def readable(size: int) -> str:
    """Bytes in a unit that suits their number.

    >>> readable(202_500_128), readable(999)
    ('202.5 MB', '999 bytes')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def is_alive(process: int) -> bool:
    """Whether a process of this machine, by its number, still runs; where that cannot be asked, no.

    >>> is_alive(os.getpid())
    True
    """
    if os.name != "posix":
        return False  # Windows refuses to remove a file that a living process holds open
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def cache_folder() -> Path:
    """Where noonchi keeps what it can make or fetch again: `$NOONCHI_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("NOONCHI_CACHE") or platformdirs.user_cache_path("noonchi"))


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _digest(record: dict[str, Any]) -> str:
    """JSON gives every float back to the last bit."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def _tell(error: OSError, path: Path, needed: int | None) -> None:
    """Put into an error what could not be written and, where there was no room, how much that takes."""
    error.filename = str(path)
    if error.errno in FULL:
        wanted = [] if needed is None else [f"{readable(needed)} needed"]
        free = [f"{readable(shutil.disk_usage(path.parent).free)} free"] if error.errno == errno.ENOSPC else []
        error.strerror = ", ".join(filter(None, (error.strerror, " and ".join(wanted + free))))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}{ending}")


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder; NTFS journals the rename
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
