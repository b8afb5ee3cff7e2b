"""Where arithmetic is done and how exactly: device, threads, precision, and seeds that are counted, not carried."""

import ctypes
import hashlib
import importlib.metadata
import os
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import torch

from noonchi import ranks
from noonchi.errors import SettingsError
from noonchi.settings import DeviceSettings

Thing = TypeVar("Thing")
Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Names of glibc's malloc.h: how much free memory is kept, and how many blocks may be mapped one by one."""
_CANARY_TOLERANCE = 0.02
"""bfloat16 keeps 8 bits: a sum of products agrees to about 1 %; a wrong kernel is off by far more."""


def prepare(settings: DeviceSettings) -> DeviceSettings:
    """Settings with `name` and `threads` decided, and the threads set. Raises SettingsError for a device not there.

    Processes that torchrun started share the threads of their machine.

    >>> prepare(DeviceSettings(name="cpu", threads=torch.get_num_threads())).name
    'cpu'
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = settings.name
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[name]:
        at_hand = ", ".join(key for key, here in there.items() if here)
        raise SettingsError(f"device '{name}' is not available here. Use one of: {at_hand}, auto.")
    if name == "cuda" and ranks.on_machine() > torch.cuda.device_count():
        raise SettingsError(
            f"{ranks.on_machine()} processes on a machine with {torch.cuda.device_count()} graphics processors; "
            "start one for each, or set device.name = 'cpu'."
        )
    threads = settings.threads or _cores()
    torch.set_num_threads(max(1, threads // ranks.on_machine()))
    return settings.but(name=name, threads=threads)


def _cores() -> int:
    """Those this job may use: fewer than the machine has within a container, a batch job or `OMP_NUM_THREADS`, which is
    for each process.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked) * ranks.on_machine()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions(name: str) -> dict[str, str]:
    """What decides a run's bits beside its recipe: the versions, by name, as `machine` the system and the device, and
    where there are several processes, how many.

    >>> sorted(versions("cpu"))[-2:]
    ['timm', 'torch']
    """
    found = {"noonchi": _version("noonchi"), "python": platform.python_version(), "torch": torch.__version__}
    found |= {package: _version(package) for package in ("numpy", "timm")}
    processes = ranks.current().count
    found |= {"processes": str(processes)} if processes > 1 else {}
    where = torch.cuda.get_device_name() if name == "cuda" else _processor()
    return found | {"machine": f"{where}, {platform.system()} {platform.release()}"}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    """Its name as the system tells it, and its kind where the system tells none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(named), platform.processor() or platform.machine())


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to 2 GiB, instead of giving it back to the system.

    A step frees and takes again the same tens of megabytes for each map; the system clears every page that it hands
    out, which is a third of a step on photos. Only the C library of most Linux systems can be told; elsewhere, and
    where it refuses, nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.malloc_trim(0)  # what lies free until now goes back
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def in_parallel(work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
    """`work` of each, in their order, on as many threads as torch has; two a thread are ahead.

    Torch computes on one thread within each of them, and here, until all is done: so threads never wait for one
    another, as those of one operator do. A single thing is left to torch's own threads.

    >>> list(in_parallel(lambda number: number * number, range(4)))
    [0, 1, 4, 9]
    """
    threads, waiting = torch.get_num_threads(), iter(things)
    first = list(islice(waiting, 2))
    if threads == 1 or len(first) < 2:
        yield from map(work, chain(first, waiting))
        return
    pool, ahead = ThreadPoolExecutor(threads), deque[Future[Result]]()
    torch.set_num_threads(1)  # new threads take it over
    try:
        for thing in chain(first, waiting):
            ahead.append(pool.submit(work, thing))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def choose_precision(settings: DeviceSettings, loss_in: Callable[[str], float]) -> tuple[DeviceSettings, str | None]:
    """Settings with `precision` decided, and a line to show when bfloat16 was expected but not taken.

    `loss_in` gives one training step's loss in a precision; it is asked only where the processor multiplies
    bfloat16 natively. The decision depends on the processor and on values, never on a clock, so that two runs of one
    recipe on one machine decide alike.
    """
    if settings.precision != "auto":
        return settings, None
    if not _multiplies_bfloat16(settings.name):
        return settings.but(precision="float32"), None
    exact, short = loss_in("float32"), loss_in("bfloat16")
    if abs(short - exact) <= _CANARY_TOLERANCE * max(1.0, abs(exact)):
        return settings.but(precision="bfloat16"), None
    return settings.but(precision="float32"), (
        f"bfloat16 gives a loss of {short:.4f} where float32 gives {exact:.4f}: training in float32."
    )


def likely_precision(settings: DeviceSettings) -> str:
    """What `choose_precision` mostly decides, without trying it."""
    if settings.precision != "auto":
        return settings.precision
    return "bfloat16" if _multiplies_bfloat16(settings.name) else "float32"


def _multiplies_bfloat16(name: str) -> bool:
    if name == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return name == "cpu" and bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def autocast(device: str, precision: str) -> torch.autocast:
    """A context in which products and convolutions run in `precision`."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def counted_seed(*counts: int | str) -> int:
    """A 63-bit seed that is a function of its arguments alone: (seed, "dropout", epoch, step).

    >>> counted_seed(0, "order", 1) == counted_seed(0, "order", 1) != counted_seed(0, "order", 2)
    True
    """
    digest = hashlib.blake2b(repr(counts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


@contextmanager
def seeded(device: str, *counts: int | str) -> Iterator[None]:
    """Torch's draws within are a function of `counts`; outside they go on as if nothing had been drawn."""
    # the generators themselves: torch.random.fork_rng costs ten times as much, a twentieth of a small network's step
    generators = [torch.default_generator]
    if device == "cuda":
        generators.append(torch.cuda.default_generators[torch.cuda.current_device()])
    before = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(counted_seed(*counts))
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
