"""Which of several processes of one job this is, and what they tell one another. torchrun starts them.

A process that was not started by torchrun is `ALONE`: what it is told is what it said, and nothing is sent.
"""

import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from noonchi.errors import NoonchiError, RunError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Value = TypeVar("Value")

_PATIENCE_S = 60
"""For the first process to begin."""
_EVERY_S = 1.0
"""It is looked whether the process that started this one still lives."""
_LONGEST = timedelta(days=1)
"""That one may be busy alone while the others wait; whether it lives, torchrun knows."""
LOST = "another process of this job has ended"
"""How a PeerLostError begins."""
_LOST = ("gloo", "connection", "nccl", "broken pipe", "timed out")
"""What torch says, in small letters, when another process of the job no longer answers."""


class PeerLostError(RunError):
    """Another process of the job has ended, and this one cannot go on without it."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a job, or those of it on one machine, and which of them this one is."""

    number: int = 0
    """Of this process, from 0."""
    count: int = 1
    group: "ProcessGroup | None" = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.number == 0

    def part(self, total: int) -> slice:
        """Which of so many things in a row are this process's: as many as every other's, or one more.

        >>> [Ranks(number, 3).part(10) for number in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
        """
        return slice(total * self.number // self.count, total * (self.number + 1) // self.count)

    def same(self, value: Value) -> Value:
        """The first process's value, in all of them."""
        if self.group is None:
            return value
        from torch import distributed

        told = [value if self.first else None]
        distributed.broadcast_object_list(told, group=self.group, group_src=0)
        return cast(Value, told[0])

    def gathered(self, value: Value) -> list[Value]:
        """Every process's value, in their order, in all of them."""
        if self.group is None:
            return [value]
        from torch import distributed

        told: list[Any] = [None] * self.count
        distributed.all_gather_object(told, value, group=self.group)
        return told

    def agreed(self, work: Callable[[], Value]) -> Value:
        """What `work` gives in this process; what it raises in one of them is raised in all."""
        if self.group is None:
            return work()
        value, raised = None, None
        try:
            value = work()
        except (OSError, NoonchiError) as error:
            raised = error
        first = next((one for one in self.gathered(raised) if one is not None), None)
        if first is not None:
            raise first
        return cast(Value, value)

    def of_first(self, work: Callable[[], Value]) -> Value:
        """What `work` gives in the first process, where alone it is done; what it raises there is raised in all."""
        return self.same(cast(Value, self.agreed(lambda: work() if self.first else None)))

    def any(self, here: bool) -> bool:
        """Whether something is so in any of the processes."""
        return bool(self.summed(np.array([float(here)]))[0])

    def summed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The sum of every process's array, in float64: where one alone is not 0, it is that one to the bit."""
        if self.group is None:
            return values
        import torch

        total = torch.from_numpy(np.array(values, np.float64))
        torch.distributed.all_reduce(total, group=self.group)
        return total.numpy()

    def wait(self) -> None:
        """Until all have come here."""
        self.gathered(None)

    @contextmanager
    def lent(self, folder: Path) -> Iterator[Path]:
        """A folder of the first process, with the files in it, where every process can read it.

        Machines need not share a disk: the others are given a copy, which is gone at the end.
        """
        files = self.same(_contents(folder) if self.first and self.count > 1 else None)
        if self.first:
            yield folder
            return
        with tempfile.TemporaryDirectory() as copy:
            for name, content in (files or {}).items():
                (Path(copy) / name).write_bytes(content)
            yield Path(copy) if files is not None else folder / "missing"


ALONE = Ranks()

_all, _of_machine = ALONE, ALONE
_joined = 0
"""How often."""


def current() -> Ranks:
    """All processes of the job, as `joined` has made them known to one another; `ALONE` outside of it."""
    return _all


def of_machine() -> Ranks:
    """Those of the job on this machine."""
    return _of_machine


def started() -> Ranks:
    """Which of the processes that torchrun started this one is, before they know of one another.

    >>> started().count
    1
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def on_machine() -> int:
    """How many processes of the job torchrun started on this machine, this one included.

    >>> on_machine()
    1
    """
    return int(os.environ["LOCAL_WORLD_SIZE"]) if started().count > 1 else 1


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started, made known to one another until this ends.

    Within another `joined`, the same. Raises PeerLostError where one of them has ended.
    """
    global _all, _of_machine, _joined  # noqa: PLW0603  # one job a process, as torch has it
    if _all.group is not None or started().count == 1:
        yield _all
        return
    import torch
    from torch import distributed

    graphics = torch.cuda.is_available() and distributed.is_nccl_available()
    if graphics:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    one, _joined = started(), _joined + 1
    try:
        with whole(), _not_left_alone():
            kind = "cpu:gloo,cuda:nccl" if graphics else "gloo"
            distributed.init_process_group(
                kind, timeout=_LONGEST, store=_meeting(one), rank=one.number, world_size=one.count
            )
            machines = [distributed.new_group(list(ranks)) for ranks in _machines(one)]
            here = machines[one.number // on_machine()]
            _all = replace(one, group=distributed.group.WORLD)
            _of_machine = Ranks(distributed.get_rank(here), on_machine(), here)
            yield _all
    finally:
        _all = _of_machine = ALONE
        if distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def _not_left_alone() -> Iterator[None]:
    """Ask this process to stop, as SIGTERM does, once the one that started it is gone: no Ctrl-C would reach it."""
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True, name="noonchi-parent").start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def whole() -> Iterator[None]:
    """Raises PeerLostError in place of torch's errors where another process of the job has ended."""
    try:
        yield
    except RuntimeError as error:
        if started().count > 1 and any(word in str(error).lower() for word in _LOST):
            raise PeerLostError(f"{LOST}, so this one stopped.") from None
        raise


def tell_failure(line: str, code: int) -> None:
    """Leave the line of this process's error, and its exit code, where torchrun looks for it."""
    place = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if place and started().count > 1:
        with suppress(OSError):
            told = {"message": line, "timestamp": int(time.time()), "exit_code": code}
            Path(place).write_text(json.dumps(told), encoding="utf-8")


def _contents(folder: Path) -> dict[str, bytes] | None:
    if not folder.is_dir():
        return None
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def remember(folder: str) -> None:
    """Keep the folder of the run that this job has begun for when torchrun starts its processes anew.

    torchrun's own store holds it, which outlives them.
    """
    if started().count > 1:
        _lasting().set(f"noonchi/run/{_joined}", folder)


def remembered() -> str | None:
    """What the job's processes kept by `remember` before torchrun started them anew, in as many `joined` as now."""
    if started().count == 1:
        return None
    store, key = _lasting(), f"noonchi/run/{_joined}"
    return bytes(store.get(key)).decode() if store.check([key]) else None


def _machines(one: Ranks) -> list[range]:
    """The numbers of the processes on each machine: torchrun counts them machine by machine."""
    return [range(start, start + on_machine()) for start in range(0, one.count, on_machine())]


def _lasting() -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, not in __all__

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def _meeting(one: Ranks) -> Any:
    """A store of these very processes, where they tell one another their addresses.

    torchrun's own still holds the addresses of those that were killed before (pytorch issue 135712): the one thing that
    is read from it is where the first process's store is, until somebody answers there.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, not in __all__

    host, lasting, key = os.environ["MASTER_ADDR"], _lasting(), f"noonchi/meeting/{_joined}"
    if one.first:
        store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
        lasting.set(key, str(store.port))
        return store
    ends = time.monotonic() + _PATIENCE_S
    while True:
        port = int(lasting.get(key))
        try:  # torch's own client would tell at length of every try
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise PeerLostError(f"the first process of this job does not answer at {host}:{port}.") from None
            time.sleep(0.1)
        else:
            return TCPStore(host, port, is_master=False)
