"""The pictures of a request's body: counted and timed as they arrive, never more of them held than is allowed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from noonchi.errors import reason
from noonchi.web.limits import MIB, Limits
from noonchi.web.refusals import Refused, busy

_FORM = b"multipart/form-data"
_UNNAMED = "picture"
_PART_HEADERS, _PART_HEADER_BYTES = 8, 4096
_FORM_BYTES = MIB
"""That a form may take beside its files."""


class Pictures(NamedTuple):
    """What was sent: names and files in their order."""

    names: list[str]
    contents: list[bytes]


class Bodies:
    """What all requests send at one time: together no more than the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def pictures(self, request: Request) -> AsyncIterator[Pictures]:
        """A request's pictures, whose bytes count until they are no longer needed. Raises Refused."""
        found = _form(request, self._limits)
        most = self._limits.file_bytes if isinstance(found, _Raw) else self._limits.request_bytes + _FORM_BYTES
        _refuse_told(request, most)
        taken = 0
        try:
            async for chunk in _chunks(request, self._limits):
                taken += len(chunk)
                self._held += len(chunk)
                if taken > most:
                    raise _too_large(most)
                if self._held > self._limits.bytes_at_once:
                    raise busy("others send pictures too, more than there is room for; try again in a moment.")
                found.write(chunk)
            yield found.pictures()
        finally:
            self._held -= taken


async def _chunks(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises Refused 408 for one that comes too slowly, 400 for one that ends early."""
    begun, size, more = time.monotonic(), 0, True
    while more:
        try:
            async with asyncio.timeout(limits.pause_s):
                message = await request.receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "the connection was closed before the body was whole.")
        more = message.get("more_body", False)
        if chunk := message.get("body"):
            size += len(chunk)
            yield chunk
        if more and time.monotonic() > begun + limits.pause_s + size / limits.least_bytes_per_s:
            raise _too_slow()


def _form(request: Request, limits: Limits) -> "_Raw | _Parts":
    """What takes the body in. Raises Refused for a type that holds no pictures."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "the body is compressed; send pictures as they are, without Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == _FORM:
        if not options.get(b"boundary"):
            raise Refused(400, "the form names no boundary; let the program that sends it set Content-Type.")
        return _Parts(options[b"boundary"], limits)
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return _Raw()
    sent = kind.decode("latin-1") or "no Content-Type"
    raise Refused(415, f"{sent} came; send multipart/form-data with parts named 'files', or one picture as image/*.")


def _refuse_told(request: Request, most: int) -> None:
    """Before any of it is read."""
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > most:
        raise _too_large(most)


class _Raw:
    """A body that is one picture."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def pictures(self) -> Pictures:
        content = b"".join(self._chunks)
        if not content:
            raise Refused(400, "no picture came; send one as the body, or several as parts named 'files'.")
        return Pictures([_UNNAMED], [content])


class _Parts:
    """A form: every part is a file named `files`."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._names: list[str] = []
        self._contents: list[bytearray] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = b""
        self._whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._name_header,
                    "on_header_value": self._fill_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._fill,
                    "on_end": self._end,
                },
                max_header_count=_PART_HEADERS,
                max_header_size=_PART_HEADER_BYTES,
            )
        except FormParserError as error:
            raise _malformed(error) from None

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(error) from None

    def pictures(self) -> Pictures:
        if not self._whole:
            raise Refused(400, "the form is cut off: its last boundary is missing.")
        if not self._names:
            raise Refused(400, "no picture came; send one or more parts named 'files'.")
        return Pictures(self._names, [bytes(content) for content in self._contents])

    def _begin(self) -> None:
        if len(self._names) == self._limits.files:
            raise Refused(413, f"more than {self._limits.files} files came in one request; send them in several.")
        self._headers = {}

    def _begin_header(self) -> None:
        self._header = b""

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _fill_header(self, data: bytes, start: int, end: int) -> None:
        self._headers[self._header] = self._headers.get(self._header, b"") + data[start:end]

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") != b"files" or b"filename" not in options:
            name = options.get(b"name", b"").decode(errors="replace")
            raise Refused(400, f"the form's part '{name}' is no file named 'files'; send nothing else.")
        self._names.append(options[b"filename"].decode(errors="replace") or _UNNAMED)
        self._contents.append(bytearray())

    def _fill(self, data: bytes, start: int, end: int) -> None:
        content = self._contents[-1]
        if len(content) + end - start > self._limits.file_bytes:
            raise Refused(
                413, f"'{self._names[-1]}' is larger than {self._limits.file_bytes // MIB} MiB; make it smaller."
            )
        content += data[start:end]

    def _end(self) -> None:
        self._whole = True


def _malformed(error: FormParserError) -> Refused:
    return Refused(400, f"the form is malformed: {reason(error)}.")


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body is larger than {most // MIB} MiB; send fewer or smaller pictures.")


def _too_slow() -> Refused:
    return Refused(408, "the body came too slowly; try again.")
