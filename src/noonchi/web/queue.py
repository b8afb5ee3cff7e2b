"""Predictions: who waits, and what goes to the worker as one batch as soon as it is free."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from noonchi.web.limits import MIB, Limits
from noonchi.web.link import Worker
from noonchi.web.messages import Message
from noonchi.web.meters import Meters
from noonchi.web.refusals import Refused, busy

_BATCH_PICTURES = 256
_BATCH_BYTES = 64 * MIB
_UNDER_WAY = 1
"""Batches that the worker has. With 2 it need not wait for the server in between, a thousandth of its time, but batches
are half as large: on one core 1,800 digits a second instead of 2,500."""


class Kind(NamedTuple):
    """What may go into one batch."""

    model: str
    invert: str


class Answer(NamedTuple):
    """Of one request."""

    version: str
    read: int
    """Pictures that could be."""
    predictions: bytes
    """JSON, with commas between them."""


@dataclass(eq=False)
class _Waiting:
    names: list[str]
    pictures: list[bytes]
    top: int | None
    end: float
    answer: asyncio.Future[Answer]


class Queue:
    """Pictures that wait for the worker, no more than a number of them."""

    def __init__(self, worker: Worker, limits: Limits, meters: Meters) -> None:
        self._worker, self._limits, self._meters = worker, limits, meters
        self._waiting: dict[Kind, deque[_Waiting]] = {}
        self._under_way = 0
        self._soon = False
        self.pictures = 0

    async def predict(self, kind: Kind, names: list[str], pictures: list[bytes], top: int | None) -> Answer:
        """What is said of pictures. Raises Refused: 503 where too many wait or the worker dies, 504 for too long."""
        if self.pictures + len(pictures) > self._limits.waiting_pictures:
            raise busy(f"{self.pictures} pictures wait already; try again in a moment.")
        if not self._worker.ready:
            raise busy("the worker is being started again; try again in a moment.")
        loop, limit_s = asyncio.get_running_loop(), self._limits.answer_s
        waiting = _Waiting(names, pictures, top, time.monotonic() + limit_s, loop.create_future())
        self._waiting.setdefault(kind, deque()).append(waiting)
        self.pictures += len(pictures)
        if not self._soon and self._under_way < _UNDER_WAY:
            self._soon = True
            loop.call_soon(self._send)  # what else arrived at this moment goes with it
        try:
            async with asyncio.timeout(limit_s):
                return await waiting.answer
        except TimeoutError:
            raise Refused(504, f"no answer within {limit_s:g} s; send fewer or smaller pictures.") from None

    def abandon(self) -> None:
        """Tell all who wait that the worker is away."""
        for waiting in (one for many in self._waiting.values() for one in many):
            if not waiting.answer.done():
                waiting.answer.set_exception(busy("the worker is being started again; try again in a moment."))
        self._waiting.clear()
        self.pictures = 0

    def _send(self) -> None:
        self._soon = False
        while self._waiting and self._under_way < _UNDER_WAY:
            kind = next(iter(self._waiting))
            if jobs := self._batch(kind):
                self._ask(kind, jobs)

    def _batch(self, kind: Kind) -> list[_Waiting]:
        """The jobs of a kind that waited longest; those left over line up behind the other kinds."""
        waiting, jobs = self._waiting.pop(kind), []
        pictures = size = 0
        while waiting and pictures < _BATCH_PICTURES and size < _BATCH_BYTES:
            job = waiting.popleft()
            self.pictures -= len(job.pictures)
            if not job.answer.done():
                jobs.append(job)
                pictures += len(job.pictures)
                size += sum(map(len, job.pictures))
        if waiting:
            self._waiting[kind] = waiting
        return jobs

    def _ask(self, kind: Kind, jobs: list[_Waiting]) -> None:
        now = time.monotonic()
        told = [(job.top, job.names, job.end - now) for job in jobs]
        asked = {"do": "predict", "model": kind.model, "invert": kind.invert, "jobs": told}
        try:
            answer = self._worker.ask(asked, [picture for job in jobs for picture in job.pictures])
        except Refused as refused:
            return _refuse(jobs, refused)
        self._under_way += 1
        self._meters.batches.observe(sum(len(job.pictures) for job in jobs))
        answer.add_done_callback(lambda done: self._answered(kind, jobs, done))
        return None

    def _answered(self, kind: Kind, jobs: list[_Waiting], answer: "asyncio.Future[Message]") -> None:
        self._under_way -= 1
        if error := answer.exception():
            assert isinstance(error, Refused)
            _refuse(jobs, error)
            self.abandon()
            return
        told, parts = answer.result()
        if "error" in told:
            _refuse(jobs, Refused(told["status"], told["error"]))
        else:
            for job, read, predictions in zip(jobs, told["read"], parts, strict=True):
                self._meters.predicted(kind.model, read, len(job.pictures) - read)
                if not job.answer.done():
                    job.answer.set_result(Answer(told["version"], read, predictions))
        self._send()


def _refuse(jobs: list[_Waiting], refused: Refused) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(refused)
