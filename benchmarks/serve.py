"""B11: what `noonchi serve` answers: pictures a second, how long one waits, and how near that is to the network alone.

    python benchmarks/serve.py DATA

The server and its worker have one core, whoever asks another; where there is only one they share it. Small grey digits
go one a request, as the body itself, over connections that are kept, and 16 a request as a form. At half the first
rate, requests are sent when they are due, whether those before are answered or not; how long one waits is counted
from then. EfficientNet-Lite0 at 224 pixels answers photos of DATA/validation on all cores, 16 a request, in turn
with `Classifier.predict` of the same files in a process of its own.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import numpy as np
import uvloop
from PIL import Image
from reporting import drawn_photos, heading, rows, spread, tell

from noonchi import classifier, sources
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

DIGITS = 64
FORM = 16
_BOUNDARY = "boundary-of-a-form"
_PREDICT = """
import sys, time
from pathlib import Path
from noonchi import classifier
loaded, turns = classifier.load(sys.argv[1]), int(sys.argv[2])
contents = [Path(path).read_bytes() for path in sys.argv[3:]]
loaded.predict(contents)
for _ in sys.stdin:
    begun = time.perf_counter()
    for _ in range(turns):
        loaded.predict(contents)
    print(turns * len(contents) / (time.perf_counter() - begun), flush=True)
"""


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options = f"DATA --seconds {given.seconds:g} --turns {given.turns} --connections {given.connections}"
        print(heading({None: Path(sys.executable)}, options) + "\n", flush=True)
        cells = [*_small(folder, given), *_photos(folder, given)]
    print(rows(["what", "value"], cells))


def _small(folder: Path, given: argparse.Namespace) -> Iterator[list[str]]:
    run = _classifier(folder / "digits", given.network, PixelSettings(size=(28, 28), channels=1), 10)
    digits = _digits(folder / "pictures", toy=given.toy)
    alone = _requests(digits, 1)
    forms = _requests(digits, FORM)
    one_core, other = _cores()
    with _serving(run, one_core) as port, _on(other):
        ask = _Asking(port, given.connections)
        uvloop.run(ask.closed(alone, given.seconds / 4))
        rates = []
        for turn in range(given.turns):
            rates.append(_rate(ask, alone, given.seconds))
            tell(f"turn {turn + 1}: {rates[-1]:8.1f} pictures/s")
        yield [f"`{given.network}`, 1 picture a request: pictures/s", spread(rates, 0)]
        yield [f"the same, {FORM} a request", spread([_rate(ask, forms, given.seconds, FORM)], 0)]
        due = min(rates) / 2
        waits = uvloop.run(ask.open(alone, given.seconds, due))
        cuts = quantiles(waits, n=100)
        yield [
            f"at {due:,.0f} requests/s: median, p99 and longest ms",
            f"{cuts[49]:.1f}, {cuts[98]:.1f}, {max(waits):.1f}",
        ]


def _photos(folder: Path, given: argparse.Namespace) -> Iterator[list[str]]:
    side = 32 if given.toy else 224
    run = _classifier(folder / "photos", "efficientnet-lite0", PixelSettings(size=(side, side), channels=3), 2)
    data = drawn_photos(folder / "drawn", ("validation",)) if given.toy else given.data
    paths = sorted((data / "validation").glob("*/*"))[: 2 * FORM if given.toy else 8 * FORM]
    forms = _requests([path.read_bytes() for path in paths], FORM)
    own = subprocess.Popen(
        [sys.executable, "-c", _PREDICT, run, "1", *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    served, alone = [], []
    with own, _serving(run, os.sched_getaffinity(0)) as port:
        ask = _Asking(port, 8)
        uvloop.run(ask.closed(forms, given.seconds / 4))
        for turn in range(given.turns):
            assert own.stdin
            assert own.stdout
            own.stdin.write("again\n")
            own.stdin.flush()
            alone.append(float(own.stdout.readline()))
            served.append(_rate(ask, forms, given.seconds, FORM))
            tell(f"turn {turn + 1}: {served[-1]:8.1f} pictures/s served, {alone[-1]:8.1f} by predict")
        own.stdin.close()
    yield [f"`efficientnet-lite0` at {side}, {FORM} photos a request: pictures/s", spread(served, 1)]
    yield ["the same files by `Classifier.predict`: pictures/s", spread(alone, 1)]
    yield ["ratio", spread([one / other for one, other in zip(served, alone, strict=True)])]


def _rate(ask: "_Asking", requests: Sequence[bytes], seconds: float, pictures: int = 1) -> float:
    answered, taken = uvloop.run(ask.closed(requests, seconds))
    return answered * pictures / taken


def _classifier(folder: Path, network: str, pixels: PixelSettings, classes: int) -> Path:
    """Drawn, not trained: that takes as long to answer."""
    folder.mkdir()
    names = tuple(str(number) for number in range(classes))
    model = ModelSettings(network=network, weights="random" if network.startswith("efficientnet") else None)
    classifier.create((Head("label", "classes", names),), model, pixels).save(folder)
    return folder


def _digits(folder: Path, *, toy: bool) -> list[bytes]:
    if toy:
        images = np.random.default_rng(0).integers(0, 256, (DIGITS, 28, 28), np.uint8)
    else:
        array = sources.load("digits").array
        assert array is not None
        images = array[:: len(array) // DIGITS][:DIGITS].squeeze(-1)
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return [(folder / f"{number}.png").read_bytes() for number in range(len(images))]


def _requests(pictures: Sequence[bytes], count: int) -> list[bytes]:
    """As they go over a connection: one picture as the body, or several as a form."""
    return [_request(pictures[at : at + count]) for at in range(0, len(pictures) - count + 1, count)]


def _request(pictures: Sequence[bytes]) -> bytes:
    kind, body = "image/png", pictures[0]
    if len(pictures) > 1:
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        about = 'Content-Disposition: form-data; name="files"; filename="{}.png"\r\nContent-Type: image/png'
        parts = [f"--{_BOUNDARY}\r\n{about.format(at)}\r\n\r\n".encode() + one for at, one in enumerate(pictures)]
        body = b"\r\n".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
    head = f"POST /v1/predict?top=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """Sends a request, and tells when its answer is whole."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= size and self.answered and not self.answered.done():
            assert head.startswith(b"HTTP/1.1 200"), bytes(self.received)
            self.received.clear()
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered and not self.answered.done():
            self.answered.set_exception(exc or ConnectionError("closed"))

    async def ask(self, request: bytes) -> None:
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.answered


class _Asking:
    """Over connections that are kept."""

    def __init__(self, port: int, connections: int) -> None:
        self._port, self._count = port, connections

    async def closed(self, requests: Sequence[bytes], seconds: float) -> tuple[int, float]:
        """Each connection asks again once it is answered: how many were, in how many seconds."""
        begun = time.perf_counter()

        async def go_on(first: int, connection: _Connection) -> int:
            count = 0
            while time.perf_counter() < begun + seconds:
                await connection.ask(requests[(first + count) % len(requests)])
                count += 1
            return count

        connections = await self._connected()
        counts = await asyncio.gather(*(go_on(at, one) for at, one in enumerate(connections)))
        return sum(counts), time.perf_counter() - begun

    async def open(self, requests: Sequence[bytes], seconds: float, due_per_s: float) -> list[float]:
        """Milliseconds from when each request was due to its answer."""
        free = asyncio.Queue[_Connection]()
        for one in await self._connected(4):
            free.put_nowait(one)
        waits: list[float] = []

        async def ask(at: int, due: float) -> None:
            connection = await free.get()
            await connection.ask(requests[at % len(requests)])
            waits.append(1000 * (time.perf_counter() - due))
            free.put_nowait(connection)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for at in range(int(seconds * due_per_s)):
                due = begun + at / due_per_s
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                tasks.create_task(ask(at, due))
        return waits

    async def _connected(self, times: int = 1) -> list[_Connection]:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(_Connection, "127.0.0.1", self._port) for _ in range(times * self._count)]
        return [protocol for _, protocol in made]


def _cores() -> tuple[set[int], set[int]]:
    """One for the server, and another for whoever asks it."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, {cores[-1]}


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _serving(run: Path, cores: set[int]) -> Iterator[int]:
    """The port of a server on these cores."""
    command = [sys.executable, "-m", "noonchi", "serve", str(run), "--port", "0", "--json"]
    with _on(cores):  # which what it starts inherits
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with server:
        try:
            assert server.stdout
            yield int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])
        finally:
            server.terminate()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", nargs="?", type=Path, help="a folder that holds validation/<class>/")
    parser.add_argument("--network", default="mnist-fast", help="of the digits")
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--turns", type=int, help="measurements")
    parser.add_argument("--connections", type=int, default=32, help="that ask for digits at one time")
    parser.add_argument("--toy", action="store_true", help="a moment with drawn pictures")
    given = parser.parse_args()
    given.seconds = given.seconds or (0.2 if given.toy else 10)
    given.turns = given.turns or (1 if given.toy else 5)
    if not given.toy and not given.data:
        parser.error("give DATA, or --toy")
    return given


if __name__ == "__main__":
    main()
