"""Servers in processes of their own, and what is sent to them as it goes over the wire."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image

from noonchi import classifier, device
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

HEADS = (Head("digit", "classes", tuple("0123456789")), Head("odd", "binary", ("even", "odd")))
_SCRIPT = """
import json, sys
from pathlib import Path
from noonchi.web import server
from noonchi.web.guard import door
from noonchi.web.limits import Limits

paths, limits = server.named([Path(path) for path in sys.argv[2:]]), Limits(**json.loads(sys.argv[1]))
with server.listening("127.0.0.1", 0) as place:
    started = lambda: print(place.getsockname()[1], flush=True)
    tell = lambda line: print(line, file=sys.stderr, flush=True)
    server.serve(paths, place, door("127.0.0.1", [], None), started=started, tell=tell, limits=limits)
"""


class Raw(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


class Serving:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._said = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            self._said.set()

    def says(self, words: str, within_s: float = 20) -> str:
        """The line on stderr with these words, once it is there."""
        end = time.monotonic() + within_s
        while not (found := [line for line in self.lines if words in line]):
            self._said.clear()
            assert time.monotonic() < end, f"{words!r} is not in {self.lines}"
            self._said.wait(0.1)
        return found[0]

    @property
    def worker(self) -> int:
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    def connected(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def send(self, *pieces: bytes) -> Raw:
        """What comes back for these bytes."""
        with self.connected() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return self.answer(connection)

    @staticmethod
    def answer(connection: socket.socket) -> Raw:
        """The next one of a connection."""
        with connection.makefile("rb") as file:
            status = int(file.readline().split()[1])
            headers = {}
            while (line := file.readline().strip()) != b"":
                name, _, value = line.decode().partition(": ")
                headers[name] = value
            return Raw(status, headers, file.read(int(headers.get("content-length", 0))))

    def until(self, status: int, path: str, within_s: float) -> float:
        """Seconds until a path answers so."""
        begun = time.monotonic()
        while True:
            found = httpx.get(self.url + path).status_code
            taken = time.monotonic() - begun
            if found == status:
                return taken
            assert taken < within_s, f"{path} answers {found} after {taken:.1f} s"


@pytest.fixture(scope="session")
def draw_run() -> Callable[..., Path]:
    """Saves a small classifier with drawn weights."""

    def draw(folder: Path, seed: int = 0) -> Path:
        pixels = PixelSettings(size=(28, 28), channels=1)
        with device.seeded("cpu", seed, "weights"):
            drawn = classifier.create(HEADS, ModelSettings(network="mnist-one-conv"), pixels)
        folder.mkdir(parents=True, exist_ok=True)
        drawn.save(folder)
        return folder

    return draw


@pytest.fixture(scope="session")
def run(draw_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_run(tmp_path_factory.mktemp("served") / "digits-1")


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """64 different ones, as PNG."""
    levels = np.random.default_rng(3).integers(0, 256, (64, 28, 28), np.uint8)
    levels[:, 4:20] //= np.arange(1, 65, dtype=np.uint8)[:, None, None]
    return [png(one) for one in levels]


def png(levels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """A context with a server of these runs in it, with limits of its own."""

    @contextmanager
    def serve(*runs: Path, **limits: Any) -> Iterator[Serving]:
        command = [sys.executable, "-c", _SCRIPT, json.dumps(limits), *map(str, runs)]
        pipe = subprocess.PIPE
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
            assert process.stdout
            port = process.stdout.readline()
            if not port:
                _, told = process.communicate()
                pytest.fail(told)
            try:
                yield Serving(process, int(port))
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.wait(30)

    return serve


@pytest.fixture(scope="session")
def server(serving: Callable[..., Any], run: Path) -> Iterator[Serving]:
    """One for all tests that leave it as it was."""
    with serving(run) as found:
        yield found
