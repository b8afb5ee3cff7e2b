"""B6: from files to a validated classifier on a frozen backbone, and 30 epochs of a new head on varied pictures.

    python benchmarks/transfer.py DATA

EfficientNet-Lite0 with the same ImageNet weights on every side, pictures brought to its own size, 224x224 pixels,
DATA/train to learn from, DATA/validation to validate on. A side is a whole process, from its start to its end, with
nothing kept from before; the number of its turn is its seed. First each peer's backbone must give the features that
noonchi's gives.

First table, a new head on what the backbone gives: noonchi's default recipe for photos; Keras with features computed
once by hand, and 30 epochs of Adam on them; timm's loader and the loop of its train.py.

Second table, 30 epochs of a new head on pictures mirrored, turned by up to 10 degrees and zoomed by up to 0.15: AdamW
at 0.001 (0.0001 where the backbone trains too), batches of 64, validation after every epoch. Sides end to end go
through the whole network in every epoch. They run once, for the first epoch and a few more, and the rest is added at
the median of those few; with --whole they run all epochs, and have an accuracy.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import processes
import whole_runs
from reporting import drawn_photos, heading, rows, spread, tell
from whole_runs import SIDES, Noonchi, Peer, Row, Side, Work

HERE = Path(__file__).parent
PIXELS, TOY_PIXELS = 224, 32
EPOCHS = 30

NEW_HEAD = ("--recipe", str(SIDES / "new_head.toml"))
TABLES: dict[str, dict[str, Side]] = {
    "From files to a validated classifier": {
        "noonchi": Noonchi(("--recipe", "photos-transfer")),
        "Keras, features cached by hand": Peer("keras", "features", EPOCHS),
        "timm's loader and loop, backbone frozen": Peer("timm", "frozen", 3),
    },
    f"{EPOCHS} epochs of a new head on varied pictures": {
        "noonchi, 4 views kept": Noonchi(NEW_HEAD, EPOCHS, again="noonchi, 4 views kept from before"),
        "noonchi end to end, backbone frozen": Noonchi((*NEW_HEAD, "--set", "frozen.limit_gb=0"), EPOCHS, long=True),
        "noonchi end to end, nothing frozen": Noonchi(
            (*NEW_HEAD, "--set", "model.freeze=conv_stem", "--lr", "1e-4"), EPOCHS, long=True
        ),
        "Keras end to end, backbone frozen": Peer("keras", "augmented", EPOCHS, long=True),
    },
}


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    tables = {
        title: {name: side for name, side in sides.items() if any(text in name for text in given.only)}
        for title, sides in TABLES.items()
    }
    environments = dict.fromkeys([None, *(side.environment for sides in tables.values() for side in sides.values())])
    pythons = {name: processes.python_of(name, given.peers, make=not given.toy) for name in environments}
    arguments = f"DATA --turns {given.turns} " + ("--whole" if given.whole else f"--long-epochs {given.long_epochs}")
    print(heading({name: python for name, python in pythons.items() if python}, arguments), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = _work(given, pythons, Path(temporary))
        for title, sides in tables.items():
            there = {name: side for name, side in sides.items() if pythons[side.environment]}
            results, ended = whole_runs.measure(there, work, given.turns)
            print(f"\n{title}\n\n{_table(results)}", flush=True)
            if not ended:
                tell("interrupted: the tables hold what was measured until then")
                return


def _work(given: argparse.Namespace, pythons: Mapping[str | None, Path | None], folder: Path) -> Work:
    """With the files read once, so that no side finds them cold on the disk."""
    data = drawn_photos(folder / "drawn", ("train", "validation")) if given.toy else given.data.resolve()
    tell(f"reading the files of '{data}'")
    for path in data.glob("*/*/*"):
        path.read_bytes()
    pixels, weights = (TOY_PIXELS, "random") if given.toy else (PIXELS, "pretrained")
    file = folder / "weights.npz"
    if any(environment and python for environment, python in pythons.items()):
        whole_runs.finished([sys.executable, str(SIDES / "noonchi_backbone.py"), str(pixels), str(file), weights])
    settings = [f"model.weights={weights}"]
    settings += ["device.threads=1", "record.plots=false", "record.tensorboard=false"] if given.toy else []
    changes = (text for setting in settings for text in ("--set", setting))
    long_epochs = EPOCHS if given.whole else 1 + given.long_epochs
    return Work(data, pixels, file, pythons, ("--size", str(pixels), *changes), long_epochs)


def _table(results: Mapping[str, Row]) -> str:
    base = next(iter(results.values()), Row(None)).seconds()
    cells = []
    for name, row in results.items():
        seconds = row.seconds()
        ran = {len(run.epochs_s) for run in row.runs.values() if run.left_out(row.epochs)}
        notes = [row.failure] if row.failure else [f"{number} epochs run, the rest added" for number in ran]
        ratio = spread(seconds[turn] / base[turn] for turn in seconds if turn in base)
        cells.append([_with(name, notes), spread(seconds.values(), 1), ratio, _accuracies(row)])
    return rows(["side", "seconds", "ratio", "validation accuracy"], cells)


def _with(name: str, notes: list[str]) -> str:
    return f"{name} ({', '.join(notes)})" if notes else name


def _accuracies(row: Row) -> str:
    """The mean and each, of runs that left no epochs out."""
    each = [run.accuracy for _, run in sorted(row.runs.items()) if not run.left_out(row.epochs)]
    return f"{mean(each):.4f} ({', '.join(f'{one:.4f}' for one in each)})" if each else "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder with train/ and validation/")
    parser.add_argument("--peers", type=Path, default=HERE / ".peers", help="where peers' environments are made")
    parser.add_argument("--turns", type=int, default=3, help="runs of each side, but for those end to end")
    parser.add_argument("--long-epochs", type=int, default=2, help="epochs after the first of the sides end to end")
    parser.add_argument("--whole", action="store_true", help="all epochs of the sides end to end; about an hour more")
    parser.add_argument("--only", nargs="+", default=[""], help="sides whose names hold one of these")
    parser.add_argument("--toy", action="store_true", help="drawn pictures; only peers whose environment is there")
    given = parser.parse_args()
    if not given.toy and not (given.data and all((given.data / one).is_dir() for one in ("train", "validation"))):
        parser.error("DATA must be a folder that holds train/<class>/* and validation/<class>/*; or give --toy")
    return given


if __name__ == "__main__":
    main()
