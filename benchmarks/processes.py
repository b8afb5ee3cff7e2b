"""Sides that do the same work, each a process in an environment of its own, measured in turn."""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from reporting import tell

REQUIREMENTS = Path(__file__).parent / "peers"
LONGEST_TURN_S = 300

Process = subprocess.Popen[str]
Turn = tuple[int, int]
"""Which start and which turn of it, both counted from 0."""


@dataclass
class Measured:
    """What the turns of a side took."""

    starts_s: list[float] = field(default_factory=list)
    """Until everything was imported."""
    turns_s: dict[Turn, float] = field(default_factory=dict)
    figures: dict[Turn, dict[str, float]] = field(default_factory=dict)
    """What the side told of each turn."""
    failure: str = ""

    def seconds(self, *, first: bool) -> dict[Turn, float]:
        """Of the first turns of fresh processes, or of all later ones."""
        return {turn: seconds for turn, seconds in self.turns_s.items() if (turn[1] == 0) == first}


def python_of(environment: str | None, peers: Path, *, make: bool) -> Path | None:
    """The interpreter of an environment, made anew where its versions are others than asked for; None without one."""
    if environment is None:
        return Path(sys.executable)
    python, stamp = peers / environment / "bin" / "python", peers / environment / "made-from.txt"
    requirements = REQUIREMENTS / f"{environment}.txt"
    if stamp.is_file() and stamp.read_text() == requirements.read_text():
        return python
    if make:
        tell(f"making the environment '{environment}' in '{peers}'")
        venv.create(peers / environment, with_pip=True)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(requirements),
        ]
        if subprocess.run(install, check=False, stdout=sys.stderr).returncode == 0:
            stamp.write_text(requirements.read_text())
            return python
    tell(f"sides in the environment '{environment}' are left out: it is not in '{peers}'")
    return None


def measure(commands: Mapping[str, list[str]], starts: int, turns: int) -> tuple[dict[str, Measured], bool]:
    """Every side's turns, there and back again, and whether they came to their end.

    Where a side fails or the user interrupts, the rest stands.
    """
    results = {name: Measured() for name in commands}
    try:
        for start in range(starts):
            with ExitStack() as ends:
                processes = {name: _started(command, results[name], ends) for name, command in commands.items()}
                for number in range(turns):
                    for name in list(commands)[:: -1 if number % 2 else 1]:
                        _take_turn(processes[name], name, (start, number), results[name])
    except KeyboardInterrupt:
        tell("interrupted: the table holds what was measured until then")
        return results, False
    return results, True


def _started(command: list[str], measured: Measured, ends: ExitStack) -> Process:
    began = time.perf_counter()
    process = ends.enter_context(_process(command))
    if _answer(process, measured) is not None:
        measured.starts_s.append(time.perf_counter() - began)
    return process


@contextmanager
def _process(command: list[str]) -> Iterator[Process]:
    pipe = subprocess.PIPE
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NOONCHI_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "2"}
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
            try:
                yield process
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=10)  # no more turns: it ends, and its workers with it
            finally:
                process.kill()


def _take_turn(process: Process, name: str, turn: Turn, measured: Measured) -> None:
    if measured.failure:
        return
    with suppress(BrokenPipeError):
        print("turn", file=process.stdin, flush=True)
    figures = _answer(process, measured)
    if figures is None:
        tell(f"{name} failed: {measured.failure}")
        return
    measured.turns_s[turn] = figures.pop("seconds")
    measured.figures[turn] = figures
    rest = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
    tell(f"start {turn[0] + 1}, turn {turn[1] + 1}: {measured.turns_s[turn]:7.3f} s  {name} ({rest})")


def _answer(process: Process, measured: Measured) -> dict[str, float] | None:
    """The next line that a side prints; None where it has ended or takes too long."""
    limit = Timer(LONGEST_TURN_S, process.kill)
    limit.start()
    try:
        assert process.stdout
        line = process.stdout.readline()
    finally:
        limit.cancel()
    if not line:
        measured.failure = f"it ended with code {process.wait()}"
        return None
    return dict(json.loads(line))
