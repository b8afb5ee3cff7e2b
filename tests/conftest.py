"""Shared by all tests: the real pictures where they are at hand, a cache that is not the user's, faults on demand."""

import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

BESIDE_THE_CHECKOUT = Path(__file__).parent.parent.parent / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    # not a fixture: the examples in src/ and child processes must see it too
    folder = tempfile.TemporaryDirectory(prefix="noonchi-cache-")
    config.add_cleanup(folder.cleanup)
    os.environ["NOONCHI_CACHE"] = folder.name


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


_FAULT = """
import errno, os, sys
from pathlib import Path

WATCHED = {"open", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}
how, left, armed = sys.argv[1], int(sys.argv[2]), False

def watch(event, arguments):
    global left
    if armed and event in WATCHED:
        left -= 1
        if left == 0:
            os.write(1, b"fault")
            if how == "exit":
                os._exit(0)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

sys.addaudithook(watch)
"""


@pytest.fixture(scope="session")
def fault_at() -> Callable[[int, str, str, Path], bool]:
    """Runs code on a folder in a new process whose Nth file operation, after `armed = True`, meets a fault.

    `how` is `fail` (that one operation finds the disk full) or `exit` (the process is gone, as after kill -9). The code
    finds the folder as `Path(sys.argv[3])`. Gives False once the code has fewer operations than N.
    """

    def run(number: int, how: str, code: str, folder: Path) -> bool:
        command = [sys.executable, "-c", _FAULT + code, how, str(number), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        reached = done.stdout.endswith("fault")
        assert reached or done.returncode == 0, done.stderr
        return reached

    return run
