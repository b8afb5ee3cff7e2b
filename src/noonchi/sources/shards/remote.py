"""Files at an address: fetched whole and compared, however often the connection is lost on the way."""

import re
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b, file_digest
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from noonchi.errors import DataError, reason

_PIECE = 2**18
_LARGE_PIECE = 2**23
"""Of what is asked for piece by piece: each is a request of its own."""
_PROGRESS = 20
"""A part of the file that is this small or larger, brought by one connection, begins the count of tries anew."""
_MOST_CONNECTIONS = 100
"""For one file, however far each of them gets."""
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for."""

    tries: int = 5
    pause_s: float = 0.5
    """After the first failure; twice as long after each further one."""
    timeout_s: float = 30.0
    """For a connection, and for each further piece of an answer."""


PATIENCE = Patience()
"""Where nothing else is said."""


class LostError(Exception):
    """Why a file did not come this time."""


class GoneError(Exception):
    """Why there is no use in asking for a file again."""


class Answer(NamedTuple):
    """A file as it comes."""

    start: int
    """Where in the file it begins: where it was asked to, or at 0 by a server that cannot."""
    size: int | None
    """Of the whole file, where the server tells."""
    pieces: Iterator[bytes]
    """Iterating raises LostError."""


class Place(Protocol):
    """Where files are."""

    told: str
    """The address as it may be shown."""

    def answer(self, name: str, start: int, end: int | None = None) -> Any:
        """A context of an `Answer`: a file from byte `start` to before `end`. Raises LostError and GoneError."""


def place(address: str, patience: Patience | None = None) -> Place:
    """Where the files of an address are. Raises DataError for an address of a kind that cannot be read."""
    kind = urlsplit(address).scheme.lower()
    return Web(address, patience or PATIENCE) if kind in ("http", "https") else Store(address)


def shown(address: str) -> str:
    """An address without what may be secret in it: a password, a query.

    >>> shown("https://me:word@example.org/shards?token=1")
    'https://example.org/shards'
    """
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Web:
    """Files of a web server. Python's own client: fsspec's does not tell whether a range was heeded."""

    def __init__(self, address: str, patience: Patience) -> None:
        self.told = shown(address)
        parts = urlsplit(address)
        user, _, host = parts.netloc.rpartition("@")
        self._user = b64encode(unquote(user).encode()).decode()
        self._parts, self._timeout_s = parts._replace(netloc=host), patience.timeout_s
        # without the handlers of file: and ftp:, to which a server could send us
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    @contextmanager
    def answer(self, name: str, start: int, end: int | None = None) -> Iterator[Answer]:
        """As `Place` says."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "noonchi"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            request = urllib.request.Request(self._url(name), headers=headers)  # noqa: S310  # http and https alone
            if self._user:
                request.add_unredirected_header("Authorization", f"Basic {self._user}")
            found = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                why = f"{error.code} {error.reason}"
            raise (LostError if error.code in {416, *_TRY_AGAIN} else GoneError)(why) from None
        except (OSError, HTTPException) as error:
            raise LostError(self._why(error)) from None
        except ValueError as error:  # an address that is none
            raise GoneError(reason(error)) from None
        with found:
            yield self._answer(found, start)

    def _url(self, name: str) -> str:
        parts = self._parts
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment=""))

    def _answer(self, found: HTTPResponse, start: int) -> Answer:
        length = found.headers.get("Content-Length", "")
        if found.status == 206:
            told = _RANGE.fullmatch(found.headers.get("Content-Range", ""))
            if not told or int(told[1]) != start:
                raise LostError("another part came than the one asked for")
            return Answer(start, int(told[3]) if told[3].isdecimal() else None, self._pieces(found))
        return Answer(0, int(length) if length.isdecimal() else None, self._pieces(found))

    def _pieces(self, found: HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := found.read1(_PIECE):
                yield piece
        except (OSError, HTTPException, ValueError) as error:
            raise LostError(self._why(error)) from None

    def _why(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        return (cause.strerror if isinstance(cause, OSError) else None) or reason(
            cause if isinstance(cause, BaseException) else error
        )


class Store:
    """Files of anything else that fsspec knows."""

    def __init__(self, address: str) -> None:
        self.told = shown(address)
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise DataError(f"'{self.told}' needs more packages; run: pip install \"noonchi[shards]\"") from None
        try:
            self._system, self._root = url_to_fs(address)
        except Exception as error:  # ImportError, ValueError, and what each system raises where its settings are wrong
            raise DataError(f"'{self.told}' cannot be read: {reason(error)}.") from None

    @contextmanager
    def answer(self, name: str, start: int, end: int | None = None) -> Iterator[Answer]:
        """As `Place` says."""
        path = f"{self._root.rstrip('/')}/{name}"
        try:
            size = int(self._system.size(path))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise GoneError(error.strerror or "there is no such file") from None
        except Exception as error:
            raise LostError(reason(error)) from None
        yield Answer(start, size, self._pieces(path, start, size if end is None else min(end, size)))

    def _pieces(self, path: str, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, _LARGE_PIECE):
            try:
                yield self._system.cat_file(path, start=at, end=min(at + _LARGE_PIECE, end))
            except Exception as error:
                raise LostError(reason(error)) from None


class Wanted(NamedTuple):
    """A file, and what is known of it."""

    name: str
    size: int | None = None
    digest: str | None = None


def fetch(
    here: Place, wanted: Wanted, path: Path, *, patience: Patience, stop: threading.Event, most: int = 2**36
) -> None:
    """Put a file at `path`. After a lost connection it is gone on with where that ended, if the server can.

    Raises DataError where it does not come within `patience`, or is not what was wanted.
    """
    with path.open("w+b") as file:
        for attempt in _tries(here, wanted.name, patience, stop):
            try:
                _go_on(here, wanted, file, stop, most)
                return
            except LostError as error:
                attempt.failed(error, file.tell(), wanted.size)
            except GoneError as error:
                raise _cannot(here, wanted.name, str(error)) from None
            except OSError as error:  # of the file
                error.filename = str(path)
                raise


def part(here: Place, name: str, offset: int, length: int) -> bytes | None:
    """Some bytes of a file; None where they do not come at once, or only with all others."""
    try:
        with here.answer(name, offset, offset + length) as answer:
            if answer.start != offset:
                return None
            found = b""
            for piece in answer.pieces:
                found += piece
                if len(found) > length:
                    return None
            return found if len(found) == length else None
    except (LostError, GoneError):
        return None


def _go_on(here: Place, wanted: Wanted, file: IO[bytes], stop: threading.Event, most: int) -> None:
    """One connection. Where it raises LostError, what `file` holds up to where it is can be gone on with."""
    with here.answer(wanted.name, file.tell()) as answer:
        if None not in (wanted.size, answer.size) and wanted.size != answer.size:
            raise GoneError(f"it has {answer.size:,} bytes, by its index {wanted.size:,}")
        if answer.start != file.tell():
            file.seek(answer.start)
        file.truncate()
        size = wanted.size if wanted.size is not None else answer.size
        for piece in answer.pieces:
            if stop.is_set():
                raise GoneError("stopped")
            if file.tell() + len(piece) > (most if size is None else size):
                file.seek(0)
                raise LostError("it is larger than it should be")
            file.write(piece)
    if size is not None and file.tell() < size:
        raise LostError(f"the connection ended after {file.tell():,} of {size:,} bytes")
    file.flush()
    if wanted.digest is not None and _digest(file) != wanted.digest:
        file.seek(0)
        raise LostError("its bytes are not those that the index names")


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()  # type: ignore[arg-type]


class _Try:
    """How often, and how, a file did not come."""

    def __init__(self) -> None:
        self.failures, self.why, self._before = 0, "", 0

    def failed(self, error: LostError, have: int, size: int | None) -> None:
        """Count, unless a good part of the file came."""
        gained, self._before = have - self._before, have
        self.failures = 1 if size and gained > 0 and gained * _PROGRESS >= size else self.failures + 1
        self.why = str(error)


def _tries(here: Place, name: str, patience: Patience, stop: threading.Event) -> Iterator[_Try]:
    """Ever again, with pauses that grow. Raises DataError once patience has an end."""
    one = _Try()
    for _ in range(_MOST_CONNECTIONS):
        yield one
        if stop.is_set():
            raise _cannot(here, name, "stopped")
        if one.failures >= patience.tries:
            break
        stop.wait(patience.pause_s * 2 ** (one.failures - 1))
    raise _cannot(here, name, f"{one.why}, the last of {patience.tries} tries")


def _cannot(here: Place, name: str, why: str) -> DataError:
    return DataError(f"'{name}' of '{here.told}' cannot be fetched: {why}.")
