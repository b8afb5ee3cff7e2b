"""B1 and B8: a training step of S11 and of S9, pictures in memory, and how near it comes to this machine's arithmetic.

    python benchmarks/step.py

Pictures are noise, the same for all sides. A side's first turn is all that it makes and one step; each later turn is as
many steps as take a second. In turn with the sides, matrices of 4096x4096 are multiplied: a side's share of the floor
is what its pictures would take at that rate, in its own precision, over what they took. `floor.py` counts arithmetic.
"""

import argparse
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import floor
import processes
import side_by_side
from processes import Measured, Turn
from reporting import heading, rows, spread
from side_by_side import Side
from sides.described import NETWORKS

SIDES = {
    "noonchi": Side("noonchi_step.py", ("auto",)),
    "noonchi, float32": Side("noonchi_step.py", ("float32",)),
    "PyTorch eager": Side("torch_step.py", ("plain",), "torchvision"),
    "PyTorch eager, channels last, bfloat16": Side("torch_step.py", ("tuned",), "torchvision"),
    "Keras on TensorFlow, float32": Side("keras_step.py", ("float32",), "keras"),
    "Keras on TensorFlow, bfloat16": Side("keras_step.py", ("mixed_bfloat16",), "keras"),
    "Keras on JAX, float32": Side("keras_step.py", ("float32",), "keras-jax"),
    "Keras on torch, float32": Side("keras_step.py", ("float32",), "keras-torch"),
    "Keras on torch, bfloat16": Side("keras_step.py", ("mixed_bfloat16",), "keras-torch"),
}
MATRICES = "matrices"


@dataclass(frozen=True)
class Job:
    """What a table is of."""

    recipe: str
    batch: int

    @property
    def flops(self) -> int:
        """Of a picture."""
        return floor.step_flops(NETWORKS[self.recipe])


JOBS = {
    "S11, batches of 128": Job("mnist-deep-convnet", 128),
    "S11, batches of 200": Job("mnist-deep-convnet", 200),
    "S9, batches of 32": Job("photos-scratch", 32),
}


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    sides, pythons = side_by_side.at_hand(SIDES, given)
    print(heading(pythons, f"--starts {given.starts} --turns {given.turns}"))
    print("seed 0; ratios are to noonchi's first row, turn by turn", flush=True)
    for title in (title for title in JOBS if any(text in title for text in given.jobs)):
        job = JOBS[title]
        batch, turn_s, matrix_side = (4, 0.0, 64) if given.toy else (job.batch, 1.0, 4096)
        commands = side_by_side.commands({MATRICES: Side("matrix_rate.py")}, pythons, matrix_side)
        commands |= side_by_side.commands(sides, pythons, job.recipe, batch, turn_s)
        results, ended = processes.measure(commands, given.starts, given.turns)
        matrices = results.pop(MATRICES)
        print(f"\n{title}: {_arithmetic(job, matrices)}\n\n{_table(job, results, matrices)}", flush=True)
        if not ended:
            return


def _arguments() -> argparse.Namespace:
    parser = side_by_side.options(__doc__, starts=1, turns=6)
    parser.add_argument("--jobs", nargs="+", default=[""], help="tables whose titles hold one of these")
    return parser.parse_args()


def _arithmetic(job: Job, matrices: Measured) -> str:
    """What a picture costs, and what the machine gives."""
    rates = [figures for (_, turn), figures in matrices.figures.items() if turn]
    gives = {
        name: spread((one[rate] / 1e9 for one in rates), 0)
        for name, rate in (("float32", "flops_32"), ("bfloat16", "flops_16"))
    }
    told = ", ".join(f"{name} {rate}" for name, rate in gives.items())
    return f"{job.flops / 1e6:,.1f} MFLOP a picture; GFLOP/s of large matrices: {told}"


def _table(job: Job, results: Mapping[str, Measured], matrices: Measured) -> str:
    base = _a_picture_s(next(iter(results.values())))
    header = ["side", "start, s", "first step, s", "ms a picture", "pictures/s", "ratio", "share of the floor"]
    return rows(header, [_cells(name, one, base, _shares(job, one, matrices)) for name, one in results.items()])


def _cells(name: str, measured: Measured, base: Mapping[Turn, float], shares: list[float]) -> list[str]:
    later = _a_picture_s(measured)
    return [
        side_by_side.named(name, measured),
        spread(measured.starts_s),
        spread(measured.seconds(first=True).values()),
        spread((seconds * 1000 for seconds in later.values()), 3),
        f"{1 / median(later.values()):,.0f}" if later else "-",
        side_by_side.ratio(later, base),
        spread(shares),
    ]


def _shares(job: Job, measured: Measured, matrices: Measured) -> list[float]:
    """What a picture would take at the matrices' rate in the same turn, over what it took."""
    shares = []
    for turn, seconds in _a_picture_s(measured).items():
        if turn in matrices.figures:
            rate = matrices.figures[turn][f"flops_{measured.figures[turn]['bits']:.0f}"]
            shares.append(job.flops / rate / seconds)
    return shares


def _a_picture_s(measured: Measured) -> dict[Turn, float]:
    """Of the turns after the first."""
    later = measured.seconds(first=False)
    return {turn: seconds / measured.figures[turn]["pictures"] for turn, seconds in later.items()}


if __name__ == "__main__":
    main()
