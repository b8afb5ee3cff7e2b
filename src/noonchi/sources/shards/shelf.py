"""The shards at hand: a few open files at a time, those longest unused closed first."""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from noonchi.errors import DataError

KEEP = 16
"""Shards open, and fetched, at most."""


class Bring(Protocol):
    """Puts a shard where it can be opened; may be called by several threads, once at a time for one shard."""

    def __call__(self, number: int, stop: threading.Event, /) -> Path:
        """Its path. Raises DataError, also soon after `stop` is set."""


class Shelf:
    """Reads from shards that `bring` gives, at most `keep` of which are open."""

    def __init__(
        self, bring: Bring, keep: int = KEEP, *, ahead: bool = False, drop: Callable[[Path], None] | None = None
    ) -> None:
        """`ahead`: whether `prepare` brings anything; `drop` is called with what is closed."""
        self._bring, self._keep, self._ahead, self._drop = bring, keep, ahead, drop
        self._open: OrderedDict[int, _Held] = OrderedDict()
        self._changed = threading.Condition()

    def __contains__(self, number: int) -> bool:
        """Whether a shard is open or on its way."""
        with self._changed:
            return number in self._open

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a shard, fewer where it ends before. Raises DataError where it cannot be had."""
        with self._held(number) as file:
            return file.read(offset, length)

    def prepare(self, numbers: Sequence[int]) -> None:
        """Have shards brought in the background, the first first, as far as there is room beside those in use."""
        if not self._ahead:
            return
        for number in numbers[: self._keep]:
            with self._changed:
                if number in self._open:
                    self._open.move_to_end(number)
                    continue
                if not self._has_room(spare=numbers):
                    return
                held = self._open[number] = _Held()
            self._start(number, held)

    def give_up(self) -> None:
        """Stop bringing; whoever waits gets a DataError, and who asks later has it brought anew."""
        with self._changed:
            for number, held in list(self._open.items()):
                if not held.file.done():
                    held.stop.set()
                    del self._open[number]
                    held.file.set_exception(DataError("stopped while shards were fetched; start again."))
            self._changed.notify_all()

    def _start(self, number: int, held: "_Held") -> None:
        """In a thread of its own: who waits for it can be woken."""
        threading.Thread(target=self._fill, args=(number, held), daemon=True).start()

    @contextmanager
    def _held(self, number: int) -> Iterator["_File"]:
        held, mine = self._taken(number)
        try:
            if mine and self._ahead:
                self._start(number, held)
            elif mine:
                self._fill(number, held)
            yield held.file.result()
        finally:
            with self._changed:
                held.users -= 1
                self._changed.notify_all()

    def _taken(self, number: int) -> tuple["_Held", bool]:
        """A shard that is not dropped while it is held, and whether it is yet to be brought by the caller."""
        with self._changed:
            while number not in self._open and not self._has_room():
                self._changed.wait()
            mine = number not in self._open
            if mine:
                self._open[number] = _Held()
            self._open.move_to_end(number)
            self._open[number].users += 1
            return self._open[number], mine

    def _has_room(self, spare: Sequence[int] = ()) -> bool:
        """Whether one more may be opened; where there are too many, the one longest unused is closed for it."""
        if len(self._open) < self._keep:
            return True
        known = ((one, held) for one, held in self._open.items() if one not in spare)
        idle = next((one for one, held in known if not held.users and held.file.done()), None)
        if idle is None:
            return False
        self._put_away(self._open.pop(idle).file.result())
        return True

    def _put_away(self, file: "_File") -> None:
        file.close()
        if self._drop:
            self._drop(file.path)

    def _fill(self, number: int, held: "_Held") -> None:
        try:
            file = _File(self._bring(number, held.stop))
        except BaseException as error:
            with self._changed:
                if not held.stop.is_set():
                    del self._open[number]  # whoever asks next tries again
                    held.file.set_exception(error)
                self._changed.notify_all()
        else:
            with self._changed:
                if held.stop.is_set():
                    self._put_away(file)
                else:
                    held.file.set_result(file)
                self._changed.notify_all()


class _Held:
    """A shard on the shelf."""

    def __init__(self) -> None:
        self.file: Future[_File] = Future()
        self.users = 0
        self.stop = threading.Event()


class _File:
    """A file that several threads read from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, os.close, self._descriptor)
        """Also where it is forgotten."""

    def read(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, length, offset)
        with self._lock:  # Windows reads only from where the file is
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)
