"""A connection as uvicorn has it, that waits no longer and takes no more than the limits allow."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from noonchi.web.limits import Limits

_LINGER_S = 5.0
"""For the rest of a body that was refused: closed at once, the connection might take the refusal with it."""

_AROUND = len(": \r\n")


class Connection(HttpToolsProtocol):
    """uvicorn bounds neither a request's headers nor the time they take."""

    limits = Limits()
    """Of the one server of this process."""

    _patience: asyncio.TimerHandle | None = None
    _in_headers = False
    _header_bytes = 0
    _refusal = (400, "this is no HTTP request.")

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for headers."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too many connections; try again in a moment.")
        else:
            self._wait(self.limits.headers_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to headers that have not ended."""
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.limits.header_bytes:
                self._refuse(431, "the headers are too large.")

    def on_message_begin(self) -> None:
        """Begins to wait for headers, of a connection's first request since it was made."""
        self._in_headers, self._header_bytes = True, 0
        if self._patience is None:
            self._wait(self.limits.headers_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Ends the waiting."""
        self._in_headers = False
        self._wait(None)
        size = len(self.url) + sum(len(name) + len(value) + _AROUND for name, value in self.headers)
        if size > self.limits.header_bytes:
            self._refusal = (431, "the headers are too large.")
            raise ValueError  # becomes `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the waiting for the rest of a body that was refused."""
        self._wait(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Where the body is not whole yet, what follows of it is thrown away, but not for ever."""
        super().on_response_complete()
        if self.cycle and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._wait(_LINGER_S)

    def send_400_response(self, _: str) -> None:
        """In the words of the other refusals."""
        self._refuse(*self._refusal)

    def _wait(self, seconds: float | None) -> None:
        if self._patience:
            self._patience.cancel()
        self._patience = None if seconds is None else self.loop.call_later(seconds, self.transport.close)

    def _refuse(self, status: int, told: str) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"error": told}).encode()
        headers = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        again = "retry-after: 1\r\n" if status == 503 else ""
        self.transport.write(b"".join((STATUS_LINE[status], headers.encode(), again.encode(), b"\r\n", body)))
        self.transport.close()
