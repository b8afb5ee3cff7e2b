"""The main job of a benchmark with sides: read the command line, measure them in turn, print one table."""

import argparse
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import processes
from processes import Measured
from reporting import drawn_photos, heading, rows, spread, tell

HERE = Path(__file__).parent
TOY_SIDE = 64


@dataclass(frozen=True)
class Side:
    """One way to do the work: a script of sides/, its last arguments, and its environment, None for noonchi's own."""

    script: str
    arguments: tuple[str, ...] = ()
    environment: str | None = None


def compare(about: str, sides: Mapping[str, Side], *, pixels: int, starts: int, turns: int) -> None:
    """Measure every side on the folder of training pictures; the first is what the others are divided by."""
    given = _arguments(about, starts, turns)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    chosen = {name: side for name, side in sides.items() if any(text in name for text in ["noonchi", *given.only])}
    environments = dict.fromkeys(side.environment for side in chosen.values())
    pythons = {name: processes.python_of(name, given.peers, make=not given.toy) for name in environments}
    with tempfile.TemporaryDirectory() as toy:
        folder = (drawn_photos(Path(toy)) if given.toy else given.data) / "train"
        pictures = _read_all(folder)
        work = [str(folder), str(TOY_SIDE if given.toy else pixels)]
        commands = {
            name: [str(python), str(HERE / "sides" / side.script), *work, *side.arguments]
            for name, side in chosen.items()
            if (python := pythons[side.environment])
        }
        options = f"--starts {given.starts} --turns {given.turns}"
        print(heading({name: python for name, python in pythons.items() if python}, options))
        print(f"{pictures} pictures, seed 0; ratios are to noonchi's first row, turn by turn\n", flush=True)
        print(_table(processes.measure(commands, given.starts, given.turns), pictures))


def _arguments(about: str, starts: int, turns: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder that holds train/<class>/*")
    parser.add_argument("--peers", type=Path, default=HERE / ".peers", help="where the peers' environments are made")
    parser.add_argument("--starts", type=int, default=starts, help="processes of each side, one after the other")
    parser.add_argument("--turns", type=int, default=turns, help="epochs in each; the first is told apart")
    parser.add_argument("--only", nargs="+", default=[""], help="noonchi and the sides whose names hold one of these")
    parser.add_argument("--toy", action="store_true", help="drawn pictures; only peers whose environment is there")
    given = parser.parse_args()
    if not given.toy and not (given.data and (given.data / "train").is_dir()):
        parser.error("DATA must be a folder that holds train/<class>/*; or give --toy")
    return given


def _read_all(folder: Path) -> int:
    """How many pictures there are; reading them first, the operating system has them at hand for every side."""
    tell(f"reading the files of '{folder}'")
    return sum(1 for path in folder.glob("*/*") if path.read_bytes())


def _table(results: Mapping[str, Measured], pictures: int) -> str:
    base = next(iter(results.values()))
    header = ["side", "start, s", "first epoch, s", "ratio", "later epochs, s", "pictures/s", "ratio"]
    return rows(header, [_cells(name, one, base, pictures) for name, one in results.items()])


def _cells(name: str, measured: Measured, base: Measured, pictures: int) -> list[str]:
    first, later = (measured.seconds(first=which) for which in (True, False))
    per_second = f"{pictures / median(later.values()):,.0f}" if later else "-"
    return [
        f"{name} ({measured.failure})" if measured.failure else name,
        spread(measured.starts_s),
        spread(first.values()),
        _ratio(first, base.turns_s),
        spread(later.values()),
        per_second,
        _ratio(later, base.turns_s),
    ]


def _ratio(turns_s: Mapping[processes.Turn, float], base_s: Mapping[processes.Turn, float]) -> str:
    """Turn by turn, so that the comparison holds where the machine's speed drifts."""
    return spread(seconds / base_s[turn] for turn, seconds in turns_s.items() if turn in base_s)
