"""The server: its socket, its worker, its application, from the first request to the last."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from noonchi.errors import SettingsError
from noonchi.web import app
from noonchi.web.connection import Connection
from noonchi.web.guard import Door, Guard
from noonchi.web.limits import Limits
from noonchi.web.link import Worker
from noonchi.web.meters import Meters
from noonchi.web.swapping import swap

_OTHER_FILES = 64
"""That a process has open beside its connections."""


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Each classifier under its folder's or its file's name, with a number where that is taken.

    >>> list(named([Path("runs/cats"), Path("old/cats"), Path("digits.onnx")]))
    ['cats', 'cats-2', 'digits']
    """
    found: dict[str, Path] = {}
    for path in paths:
        whole = path.resolve()
        name = whole.stem if whole.suffix.lower() == ".onnx" else whole.name
        count = 2
        distinct = name
        while distinct in found:
            distinct, count = f"{name}-{count}", count + 1
        found[distinct] = path
    return found


def url(host: str, port: int) -> str:
    """Where a browser finds the server.

    >>> url("::1", 8000)
    'http://[::1]:8000'
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address; any free port for 0. Raises SettingsError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        with contextlib.ExitStack() as stack:
            stack.callback(found.close)
            if sys.platform != "win32":  # where it would let two programs have one port
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            stack.pop_all()
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        raise SettingsError(f"cannot serve at {host} port {port}: {told}. Give another --host or --port.") from None
    return found


def serve(
    paths: Mapping[str, Path],
    place: socket.socket,
    door: Door,
    *,
    started: Callable[[], None],
    tell: Callable[[str], None],
    limits: Limits | None = None,
    trust_code: bool = False,
) -> None:
    """Serve classifiers until a signal asks to stop; what is under way then is still answered.

    `started` is called once requests are answered, `tell` with what a person should know later. Raises NoonchiError
    where a classifier cannot be loaded or the worker cannot be kept alive, KeyboardInterrupt at a second signal.
    """
    limits = limits or Limits()
    _make_room(limits.connections)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of what strangers send
    meters, worker = Meters(), Worker(paths, limits, trust_code=trust_code)
    Connection.limits = limits
    routes = app.create(worker, limits, meters)
    server = _Server(
        uvicorn.Config(
            Guard(routes, meters, app.paths(routes), door),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=round(limits.stop_s),
        )
    )
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_run(server, worker, place, started, partial(swap, worker, paths, tell)))
    if server.force_exit:
        raise KeyboardInterrupt


async def _run(
    server: "_Server",
    worker: Worker,
    place: socket.socket,
    started: Callable[[], None],
    swapping: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    try:
        await worker.start()
        beside = [asyncio.create_task(worker.run()), asyncio.create_task(swapping())]
        for task in beside:
            task.add_done_callback(server.end)
        place.listen(server.config.backlog)
        started()
        gc.freeze()  # what is there now stays: no need to go through it again and again
        await server.serve([place])
        beside[1].cancel()
    finally:
        await worker.stop()
    for task in beside:
        with suppress(asyncio.CancelledError):
            await task


def _make_room(connections: int) -> None:
    """For as many open files, of which systems often allow 1,024."""
    if sys.platform == "win32":
        return
    import resource

    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if least != resource.RLIM_INFINITY and least < wanted:
        wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class _Server(uvicorn.Server):
    """Stops at the first signal, without waiting at the second."""

    def end(self, *_: object) -> None:
        """Answers what is under way, and stops."""
        self.should_exit = True

    def signalled(self, *_: object) -> None:
        """By a person or a service manager."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {getattr(signal, name): signal.signal(getattr(signal, name), self.signalled) for name in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
