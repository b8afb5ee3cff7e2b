"""The server's side of its worker: started, asked, watched, and started again when it dies."""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from noonchi.errors import NoonchiError, RunError
from noonchi.web.limits import Limits
from noonchi.web.messages import Message, packed, receive
from noonchi.web.refusals import busy

_MOST_DEATHS = 3
"""In a row, each before it was ready."""
_READ_BYTES = 2**20


class Worker:
    """A process with the classifiers in it."""

    def __init__(self, paths: Mapping[str, Path], limits: Limits, *, trust_code: bool) -> None:
        asked = {"paths": {name: str(path.absolute()) for name, path in paths.items()}, "trust_code": trust_code}
        self._command = (sys.executable, "-m", "noonchi.web.worker", json.dumps(asked))
        self._limits = limits
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._process: Process | None = None
        self._stopping = False
        self.models: dict[str, dict[str, Any]] = {}
        """What is told of each, by its name."""
        self.ready = False
        """Whether it can be asked."""
        self.restarts = 0

    async def start(self) -> None:
        """Returns when the worker can be asked. Raises NoonchiError where it cannot load a classifier."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=_READ_BYTES, start_new_session=sys.platform != "win32"
        )
        try:
            async with asyncio.timeout(self._limits.start_s):
                told = (await receive(self._output)).told
        except (TimeoutError, asyncio.IncompleteReadError):
            await self._end()
            raise WorkerDiedError from None
        if "failed" in told:
            await self._end()
            raise _failed(told)
        self.models = {model["name"]: model for model in told["ready"]}
        self.ready = True

    async def run(self) -> None:
        """Takes answers, and starts the worker again whenever it dies; returns once it is stopped.

        Raises NoonchiError where it cannot be started again.
        """
        while not self._stopping:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self._hand_over(await receive(self._output))
            self.ready = False
            self._abandon()
            await self._end()
            if not self._stopping:
                await self._start_again()

    def ask(
        self, told: dict[str, Any], parts: Sequence[bytes] = (), limit_s: float | None = None
    ) -> asyncio.Future[Message]:
        """The worker's answer; Refused 503 where it dies before that. Stuck longer than it may be, it is killed."""
        if not self.ready:
            raise busy("the worker is being started again; try again in a moment.")
        assert self._process
        assert self._process.stdin
        loop = asyncio.get_running_loop()
        number, future = next(self._numbers), loop.create_future()
        self._waiting[number] = future
        self._process.stdin.write(packed({"id": number, **told}, parts))
        watch = loop.call_later((limit_s or self._limits.answer_s) + self._limits.stuck_s, self.kill)
        future.add_done_callback(lambda _: watch.cancel())
        return future

    def load(self, name: str) -> "asyncio.Future[Message]":
        """Have a classifier read anew."""
        return self.ask({"do": "load", "model": name}, limit_s=self._limits.start_s)

    def kill(self) -> None:
        """At once; `run` starts it again."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """For good."""
        self._stopping, self.ready = True, False
        await self._end()

    @property
    def _output(self) -> asyncio.StreamReader:
        assert self._process
        assert self._process.stdout
        return self._process.stdout

    def _hand_over(self, message: Message) -> None:
        future = self._waiting.pop(message.told["id"])
        if not future.done():
            future.set_result(message)

    def _abandon(self) -> None:
        """Those who wait are told."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(busy("the worker died over this; try again in a moment."))

    async def _end(self) -> None:
        self.kill()
        if self._process:
            await self._process.wait()

    async def _start_again(self) -> None:
        for _ in range(_MOST_DEATHS):
            self.restarts += 1
            with suppress(WorkerDiedError):
                return await self.start()
        raise WorkerDiedError


class WorkerDiedError(RunError):
    """The worker ended before it was ready, without a word."""

    def __init__(self) -> None:
        super().__init__(
            "the worker dies as it starts; see above, and whether there is memory enough for the classifiers."
        )


def _failed(told: dict[str, Any]) -> NoonchiError:
    error = RunError(told["failed"])
    error.exit_code = told["code"]
    return error
