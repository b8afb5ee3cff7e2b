"""Shared by all tests: the real pictures where they are at hand, a cache that is not the user's, faults on demand."""

import functools
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import hypothesis
import numpy as np
import pytest

BESIDE_THE_CHECKOUT = Path(__file__).parent.parent.parent / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    # a run started in the background ignores SIGINT, and so would every child that a test interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("any machine", deadline=None)
    hypothesis.settings.load_profile("any machine")
    # not a fixture: the examples in src/ and child processes must see it too
    folder = tempfile.TemporaryDirectory(prefix="noonchi-cache-")
    config.add_cleanup(folder.cleanup)
    os.environ["NOONCHI_CACHE"] = folder.name
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # torch's threads spin while they wait for one another's core
        share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests of a longer limit come first, so that no process is left alone with them at the end."""
    limits: dict[Path, float] = {}
    for item in items:
        for mark in item.iter_markers("timeout"):
            limits[item.path] = max(mark.args[0], limits.get(item.path, 0))
    items.sort(key=lambda item: -limits.get(item.path, 0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that asks for `real_data` must not skip where there is some: the gate would be open unseen."""
    report = yield
    folder = _real_data()
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and folder and "real_data" in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]}; but the real pictures are at hand in '{folder}'"
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `mnist/` and `cats_dogs/`."""
    folder = _real_data()
    if folder is None:
        pytest.skip("needs real pictures: point NOONCHI_DATA at a folder that holds mnist/ and cats_dogs/")
    return folder


def _real_data() -> Path | None:
    named = os.environ.get("NOONCHI_DATA")
    if named:
        return Path(named)
    return BESIDE_THE_CHECKOUT if BESIDE_THE_CHECKOUT.is_dir() else None


@pytest.fixture
def rng() -> random.Random:
    """Random moments for kills; a failed test shows the seed."""
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)


_FAULTS = """
import contextlib, errno, fcntl, json, os, sys, traceback

OPERATIONS = {"open", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "fsync"}
WHOLE, FAULT, BUG = 0, 7, 1
prepare, act = sys.argv[1].split("armed = True\\n")
scope, fsync = {"__name__": "__main__"}, os.fsync
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the code prints is no answer
exec(prepare, scope)
program = tuple(place for place in (*sys.path, sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys") if place)

def lose_half(event, descriptor, *_):
    if event == "fsync" and not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        with contextlib.suppress(OSError):  # a folder
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)

def met(number, how, arguments):
    left = number
    def watch(event, about):
        nonlocal left
        if event in OPERATIONS and not str(about[0]).startswith(program):
            left -= 1
            if left == 0 and how == "exit":
                lose_half(event, *about)
                os._exit(FAULT)
            if left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    def synced(descriptor):
        watch("fsync", (descriptor,))
        fsync(descriptor)
    sys.argv[1:] = arguments
    sys.addaudithook(watch)
    os.fsync = synced
    try:
        exec(act, scope)
    except BaseException as error:
        known = isinstance(error, OSError) or type(error).__module__ == "noonchi.errors"
        if left > 0 or not number or not known:
            traceback.print_exc()
            os._exit(BUG)
    os._exit(FAULT if number and left <= 0 else WHOLE)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        met(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def fault_at() -> Generator[Callable[..., bool], None, None]:
    """Runs code in a process of its own whose Nth file operation meets a fault.

    `how` is `fail` (that one operation finds the disk full) or `exit` (the process is gone, and with it half of a new
    file that was to be synced, as after a pulled plug); number 0 meets none, and reading the program itself never does.
    What comes before the code's line `armed = True` is done once, in the process from which the others are forked; what
    follows has `arguments` as `sys.argv[1:]`, and may end with an error that a user can mend. Gives False once the code
    has fewer operations than N.
    """
    if not hasattr(os, "fork"):
        pytest.skip("each fault happens in a forked process, and this system has no fork")
    with ExitStack() as stack:

        @functools.cache
        def started(code: str) -> tuple["subprocess.Popen[str]", IO[str]]:
            told = stack.enter_context(tempfile.TemporaryFile("w+"))
            command, pipe = [sys.executable, "-c", _FAULTS, code], subprocess.PIPE
            return stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=told, text=True)), told

        def run(number: int, how: str, code: str, *arguments: object) -> bool:
            process, told = started(code)
            assert process.stdin
            assert process.stdout
            before = told.seek(0, os.SEEK_END)
            process.stdin.write(json.dumps([number, how, [*map(str, arguments)]]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            if answer not in ("0", "7"):
                told.seek(before)
                pytest.fail(f"{how} at operation {number} ended with {answer or 'nothing'}: {told.read()}")
            return answer == "7"

        yield run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write the golden files anew; read their diff.")
    parser.addoption("--torture", action="store_true", help="Kill and damage as often as `make torture` does.")


_SIGNALS_ITSELF = """
import os, sys
from noonchi import cli

NUMBER, EVENT, NAME, RANK = {told}

def watch(event, arguments):
    if event == EVENT and NAME in str(arguments) and os.environ.get("RANK", "0") == RANK:
        os.kill(os.getpid(), NUMBER)

sys.addaudithook(watch)
cli.main()
"""


@pytest.fixture
def signalled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the command line as a script that sends itself a signal where it opens (`open`) or renames (`os.rename`)
    a file of a name: at one point of its work, however busy the machine is, in the process of one rank.
    """

    def script(number: int, event: str, name: str, rank: int = 0) -> Path:
        path = tmp_path_factory.mktemp("signalled") / "signalled.py"
        path.write_text(_SIGNALS_ITSELF.format(told=(int(number), event, name, str(rank))), encoding="utf-8")
        return path

    return script


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often to try: the first number in everyday tests, the second under `make torture`."""
    return lambda daily, torture: torture if request.config.getoption("--torture") else daily


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Holds a text against a file in tests/golden."""

    def hold(text: str, name: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return hold


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def noonchi(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Runs a command line as the console script does, but in this process: torch is imported once for all."""
    from noonchi import cli

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["noonchi", *map(str, arguments)])
        capfd.readouterr()
        return Answer(cli._run(), *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Opens a page in a real Chromium and gives what the page is then, as HTML; options are Chromium's own."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Chromium, such as Debian's package of that name")
    own = tmp_path_factory.mktemp("chromium")

    def browse(page: Path, *options: str) -> str:
        still = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={own}")
        command = [found, *still, *(options or ["--dump-dom"]), page.resolve().as_uri()]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    return browse


@pytest.fixture(scope="session")
def bars() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Draws noisy grey pictures (n, side, side) of bars, as high in the picture as their class says."""

    def draw(number: int, classes: int = 10, side: int = 8, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
        images = np.random.default_rng(7).integers(0, 100, (number, side, side, channels), np.uint8)
        labels = np.arange(number) % classes
        for image, label in zip(images, labels, strict=True):
            image[label * side // classes] += 100
        return images, labels

    return draw


@pytest.fixture
def one_thread() -> Generator[None, None, None]:
    """Torch with one thread: steps of microseconds take a hundred times as long where two threads share one core."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fresh(one_thread: None) -> Callable[..., Any]:
    """Makes a small classifier with drawn weights."""
    from noonchi import classifier, device
    from noonchi.results import Head
    from noonchi.settings import ModelSettings, PixelSettings

    def make(*heads: Head, network: str = "mnist-one-conv", side: int = 8, channels: int = 1, seed: int = 0) -> Any:
        heads = heads or (Head("label", "classes", ("a", "b", "c")),)
        pixels = PixelSettings(size=(side, side), channels=channels)
        with device.seeded("cpu", seed, "weights"):
            return classifier.create(heads, ModelSettings(network=network), pixels)

    return make


@pytest.fixture
def drawn() -> Callable[..., Any]:
    """Makes batches of drawn pictures, each brighter the higher its class, in the size that a classifier asks for."""
    from noonchi.batches import Batches

    def make(classifier: Any, count: int = 40, size: int = 16, seed: int = 0) -> Any:
        numbers = np.random.default_rng(seed)
        labels, light = {}, np.zeros(count)
        for head in classifier.heads:
            wide = (count, len(head.classes)) if head.kind == "labels" else count
            drawn = numbers.integers(0, 2 if head.kind != "classes" else len(head.classes), wide)
            labels[head.name] = drawn.astype(np.uint8) if head.kind == "labels" else drawn
            light = light + drawn.reshape(count, -1).sum(axis=1)
        noise = numbers.integers(0, 120, (count, *classifier.shape))
        frames = (noise + (135 * light / max(1, light.max())).reshape(-1, 1, 1, 1)).astype(np.uint8)
        return Batches(frames, labels, np.arange(count), classifier.heads, classifier.pixels, size, seed)

    return make
