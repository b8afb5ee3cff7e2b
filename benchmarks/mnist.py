"""B2 and B3: what noonchi makes of MNIST in how long, from its files to a tested classifier.

    python benchmarks/mnist.py [--seeds 10] [--best-seeds 5] [--rows fast budget best]

Each run is a process of its own, timed from its start to its end, with an empty cache; everything a run leaves is in
it, report and plots included. The course's network (S11) in Keras, trained on such a machine while this was planned,
took 744 seconds and 21 epochs to 0.9928 on the test pictures; `step.py` compares a step.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import recipes
from reporting import heading, rows, spread, tell
from whole_runs import finished


@dataclass(frozen=True)
class Row:
    """One way to train, and the test accuracy that is asked of it."""

    arguments: tuple[str, ...]
    asked: float
    best: bool = False
    """Whether it runs for minutes, with `--best-seeds`."""


ROWS = {
    "fast": Row(("--recipe", "mnist-fast"), 0.9928),
    "budget": Row(("--budget", "20s"), 0.994),
    "best": Row(("--budget", "295s"), 0.9975, best=True),
}


@dataclass(frozen=True)
class Run:
    """One process."""

    accuracy: float
    fitting_s: float
    whole_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--best-seeds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--toy", action="store_true", help="digits, one seed, one epoch: the figures mean nothing")
    given = parser.parse_args()
    print(heading({None: Path(sys.executable)}, f"--seeds {given.seeds} --best-seeds {given.best_seeds}"))
    header = ["command", "seeds", "test accuracy", "least", "asked", "reached by", "fitting, s", "whole process, s"]
    results = {name: list(_runs(name, given)) for name in given.rows}
    print(rows(header, [_cells(name, runs) for name, runs in results.items()]))


def _runs(name: str, given: argparse.Namespace) -> Iterator[Run]:
    row = ROWS[name]
    for seed in range(1 if given.toy else given.best_seeds if row.best else given.seeds):
        data, arguments = ("digits", ("--epochs", "1")) if given.toy else (given.data, row.arguments)
        run = _run(data, (*arguments, "--seed", str(seed)))
        tell(f"{name}, seed {seed}: {run.accuracy:.4f} in {run.fitting_s:.1f} and {run.whole_s:.1f} s")
        yield run


def _run(data: str, arguments: tuple[str, ...]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "noonchi", "train", data, *arguments, "--json", "--out", f"{folder}/run"]
        whole_s, printed = finished(command, Path(folder) / "cache")
        told = json.loads(printed)
        return Run(told["test"]["accuracy"], told["seconds"], whole_s)


def _cells(name: str, runs: list[Run]) -> list[str]:
    row, accuracies = ROWS[name], [run.accuracy for run in runs]
    return [
        f"`noonchi train mnist {' '.join(row.arguments)}`",
        str(len(runs)),
        recipes.spread(accuracies, 4),
        f"{min(accuracies):.4f}",
        f"{row.asked}",
        f"{sum(accuracy >= row.asked for accuracy in accuracies)} of {len(runs)}",
        spread([run.fitting_s for run in runs], 1),
        spread([run.whole_s for run in runs], 1),
    ]


if __name__ == "__main__":
    main()
