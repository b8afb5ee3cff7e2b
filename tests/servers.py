"""A web server for tests, which fails as real ones do when it is told to."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[[str, int], str | None]
"""By a file's name and how often it was asked for before: `drop`, `stall`, `whole`, `longer`, `other`, or a status."""


@dataclass
class Served:
    """What was asked of a server."""

    address: str
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """(file, range, bytes sent) of each request."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends what stalls."""

    def of(self, name: str) -> list[tuple[str, int]]:
        """(range, bytes) of the requests of a file."""
        return [(asked, sent) for one, asked, sent in self.asked if one == name]


@contextmanager
def serving(folder: Path, fault: Fault = lambda name, before: None) -> Iterator[Served]:
    """Serves a folder, ranges included, on a port of its own."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, asked = self.path.partition("?")[0].lstrip("/"), self.headers.get("Range", "")
            with lock:
                before = len(served.of(name))
                served.asked.append((name, asked, 0))
                at = len(served.asked) - 1
            how = fault(name, before)
            path = folder / name
            if (how or "").isdecimal() or not path.is_file():
                self.send_error(int(how) if how else 404)
                return
            sent = self._send(path.read_bytes(), asked, how)
            with lock:
                served.asked[at] = (name, asked, sent)

        def _send(self, content: bytes, asked: str, how: str | None) -> int:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
            if how == "other":
                content = bytes(len(content))
            if found and how != "whole":
                first, last = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
                part = content[first : last + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            else:
                part = content
                self.send_response(200)
            if how != "longer":
                self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            part = part[: len(part) // 2] if how in ("drop", "stall") else part
            self.wfile.write(part + (b"more" if how == "longer" else b""))
            self.wfile.flush()
            if how == "stall":
                served.released.wait()
            return len(part)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        served = Served(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            served.released.set()
            server.shutdown()
            thread.join()


def closed_address() -> str:
    """Where no server is."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"
