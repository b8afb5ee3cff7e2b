"""Sides that are whole processes: `noonchi train`, or a peer's script; run in turn, each from its start to its end."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from reporting import tell

SIDES = Path(__file__).parent / "sides"
LONGEST_S = 2 * 3600


@dataclass(frozen=True)
class Run:
    """One process, start to end."""

    seconds: float
    accuracy: float
    """On the validation pictures."""
    epochs_s: tuple[float, ...] = ()
    """Where a side tells of them."""

    def left_out(self, epochs: int | None) -> int:
        """How many of the epochs asked for it did not run."""
        return epochs - len(self.epochs_s) if epochs and self.epochs_s else 0

    def all_seconds(self, epochs: int | None) -> float:
        """With the epochs that it left out, at the median of those after the first."""
        missing = self.left_out(epochs)
        return self.seconds + (missing * median(self.epochs_s[1:]) if missing else 0)


@dataclass(frozen=True)
class Work:
    """What is the same for every side."""

    data: Path
    pixels: int
    weights: Path
    """For the peers: what `sides/noonchi_backbone.py` writes."""
    pythons: Mapping[str | None, Path | None]
    settings: tuple[str, ...]
    """Further arguments of every `noonchi train`."""
    long_epochs: int
    """That sides end to end run."""


@dataclass(frozen=True)
class Noonchi:
    """`noonchi train` with these arguments."""

    arguments: tuple[str, ...]
    epochs: int | None = None
    """None leaves them to the recipe."""
    long: bool = False
    """Whether it runs only once, and only a few of its epochs."""
    again: str = ""
    """The row of the same command once more, with what it kept the first time."""
    environment: str | None = None

    def run(self, work: Work, seed: int, folder: Path) -> Run:
        """One process, which keeps what it keeps in `folder`. Raises SubprocessError."""
        run = Path(tempfile.mkdtemp(dir=folder)) / "run"
        command = [sys.executable, "-m", "noonchi", "train", str(work.data), *self.arguments, *work.settings]
        command += ["--json", "--out", str(run), "--seed", str(seed)]
        epochs = work.long_epochs if self.long else self.epochs
        seconds, printed = finished([*command, *(["--epochs", str(epochs)] if epochs else [])], folder / "cache")
        with (run / "history.csv").open(newline="") as history:
            epochs_s = tuple(float(row["seconds"]) for row in csv.DictReader(history))
        return Run(seconds, json.loads(printed)["val"]["accuracy"], epochs_s)


@dataclass(frozen=True)
class Peer:
    """A script of sides/ in an environment of its own."""

    environment: str
    way: str
    epochs: int
    long: bool = False
    again: str = ""

    def run(self, work: Work, seed: int, _: Path) -> Run:
        """One process. Raises SubprocessError."""
        epochs = work.long_epochs if self.long else self.epochs
        seconds, printed = self._script(self.way, work, seed, epochs)
        return Run(seconds, **json.loads(printed.splitlines()[-1]))

    def check(self, work: Work) -> None:
        """Raises SubprocessError where its backbone gives other features than noonchi's."""
        tell(f"{self.environment}: {self._script('check', work, 0, 0)[1].strip()}")

    def _script(self, way: str, work: Work, seed: int, epochs: int) -> tuple[float, str]:
        script = SIDES / f"{self.environment}_transfer.py"
        given = (way, work.data, work.pixels, work.weights, seed, epochs)
        return finished([str(one) for one in (work.pythons[self.environment], script, *given)])


Side = Noonchi | Peer


@dataclass
class Row:
    """What a side took, by turn."""

    epochs: int | None
    runs: dict[int, Run] = field(default_factory=dict)
    failure: str = ""

    def seconds(self) -> dict[int, float]:
        """Of each turn, with the epochs that were left out."""
        return {turn: run.all_seconds(self.epochs) for turn, run in self.runs.items()}


def measure(sides: Mapping[str, Side], work: Work, turns: int) -> tuple[dict[str, Row], bool]:
    """Every side's turns, there and back again, and whether they came to their end.

    Where a side fails or the user interrupts, the rest stands.
    """
    results = {row: Row(side.epochs) for name, side in sides.items() for row in (name, side.again) if row}
    try:
        for name, side in sides.items():
            if isinstance(side, Peer):
                with _noted(name, results[name]):
                    side.check(work)
        for turn in range(turns):
            for name, side in list(sides.items())[:: -1 if turn % 2 else 1]:
                if not (side.long and turn):
                    _take_turn(name, side, work, turn, results)
    except KeyboardInterrupt:
        return results, False
    return results, True


def _take_turn(name: str, side: Side, work: Work, turn: int, results: Mapping[str, Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for row in filter(None, (name, side.again)):
            if results[name].failure:
                return
            with _noted(row, results[row]):
                run = side.run(work, turn, Path(folder))
                results[row].runs[turn] = run
                tell(f"turn {turn + 1}: {run.seconds:7.1f} s, accuracy {run.accuracy:.4f}  {row}")


@contextmanager
def _noted(name: str, row: Row) -> Iterator[None]:
    try:
        yield
    except subprocess.SubprocessError as error:
        code = getattr(error, "returncode", None)
        row.failure = "it took too long" if code is None else f"it ended with code {code}"
        tell(f"{name} failed: {row.failure}")


def finished(command: list[str], cache: Path | None = None) -> tuple[float, str]:
    """What a command took, in seconds, and what it printed. Raises SubprocessError."""
    environment = {**os.environ, "NOONCHI_CACHE": str(cache), "TF_CPP_MIN_LOG_LEVEL": "2"}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=LONGEST_S)
    seconds = time.perf_counter() - began
    if done.returncode:
        tell(done.stderr)
    done.check_returncode()
    return seconds, done.stdout
