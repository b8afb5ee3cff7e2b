"""Sides that go through a folder of training pictures, epoch by epoch: measured in turn, printed as one table."""

import signal
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import processes
import side_by_side
from processes import Measured
from reporting import drawn_photos, heading, rows, spread, tell
from side_by_side import Side, named, ratio

TOY_SIDE = 64


def compare(about: str, sides: Mapping[str, Side], *, pixels: int, starts: int, turns: int) -> None:
    """Measure every side on the folder of training pictures; the first is what the others are divided by."""
    given = _arguments(side_by_side.options(about, starts=starts, turns=turns))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    there, pythons = side_by_side.at_hand(sides, given)
    with tempfile.TemporaryDirectory() as toy:
        folder = (drawn_photos(Path(toy)) if given.toy else given.data) / "train"
        pictures = _read_all(folder)
        print(heading(pythons, f"DATA --starts {given.starts} --turns {given.turns}"))
        print(f"{pictures} pictures, seed 0; ratios are to noonchi's first row, turn by turn\n", flush=True)
        commands = side_by_side.commands(there, pythons, folder, TOY_SIDE if given.toy else pixels)
        results, _ = processes.measure(commands, given.starts, given.turns)
        print(_table(results, pictures))


def _arguments(parser: ArgumentParser) -> Namespace:
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder that holds train/<class>/*")
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
        named(name, measured),
        spread(measured.starts_s),
        spread(first.values()),
        ratio(first, base.turns_s),
        spread(later.values()),
        per_second,
        ratio(later, base.turns_s),
    ]
