"""B7: pictures a second from files in one process, and the first prediction after the start.

    python benchmarks/predict.py DATA

EfficientNet-Lite0 with the same weights and the same drawn output layer on every side, pictures of DATA/validation
brought to 224x224 pixels. A side's first turn makes all that it needs and predicts one picture; each later turn
predicts them all. Before that a peer's backbone must give the features that noonchi's gives. The last column is how
far a side's probabilities are from those that noonchi's layers give as they are.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import processes
import side_by_side
import whole_runs
from processes import Measured, Turn
from reporting import drawn_photos, heading, rows, spread, tell
from side_by_side import Side
from whole_runs import SIDES as SCRIPTS

PIXELS, TOY_PIXELS = 224, 32

SIDES = {
    "noonchi": Side("noonchi_predict.py", ("predict",)),
    "noonchi, layers as they are": Side("noonchi_predict.py", ("plain",)),
    "Keras predict": Side("keras_predict.py", (), "keras"),
    "timm inference.py": Side("timm_predict.py", (), "timm"),
    "timm inference.py, channels last": Side("timm_predict.py", ("--channels-last",), "timm"),
    "timm inference.py, channels last, bfloat16": Side("timm_predict.py", ("--channels-last", "--amp"), "timm"),
    "ONNX Runtime, Pillow": Side("onnxruntime_predict.py", (), "onnxruntime"),
}
CHECKS = {"keras": "keras_predict.py", "timm": "timm_predict.py", "onnxruntime": "onnxruntime_export.py"}
"""What a peer runs first: it compares its backbone, and makes what takes long."""


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    sides, pythons = side_by_side.at_hand(SIDES, given)
    options = f"DATA --pictures {given.pictures} --starts {given.starts} --turns {given.turns}"
    print(heading(pythons, options), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = drawn_photos(folder / "drawn", ("validation",)) if given.toy else given.data.resolve()
        pictures = _linked(data / "validation", folder / "pictures", given.pictures)
        work = [folder / "pictures", TOY_PIXELS if given.toy else PIXELS, folder]
        tell("writing the classifier and its answers")
        _script(sys.executable, "noonchi_classifier.py", *work, "random" if given.toy else "pretrained")
        results = {name: Measured() for name in sides}
        for environment, python in pythons.items():
            if environment:
                failure = _check(environment, python, work)
                results |= {
                    name: Measured(failure=failure) for name, side in sides.items() if side.environment == environment
                }
        fit = {name: side for name, side in sides.items() if not results[name].failure}
        print(f"{pictures} pictures; ratios are to noonchi's first row, turn by turn\n", flush=True)
        measured, _ = processes.measure(side_by_side.commands(fit, pythons, *work), given.starts, given.turns)
        print(_table(results | measured, pictures))


def _linked(source: Path, folder: Path, count: int) -> int:
    """So many pictures of a folder, evenly spaced, in one of their own; read once, so that no side finds them cold."""
    paths = sorted(source.glob("*/*"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    for path in chosen:
        link = folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
        path.read_bytes()
    return len(chosen)


def _check(environment: str, python: Path, work: list[object]) -> str:
    """Why a peer is not measured, if so."""
    try:
        printed = _script(python, CHECKS[environment], *work, "check")
    except subprocess.CalledProcessError as error:
        return f"it ended with code {error.returncode}"
    tell(f"{environment}: {next(line for line in printed.splitlines() if 'difference' in line)}")
    return ""


def _script(python: object, script: str, *arguments: object) -> str:
    return whole_runs.finished([str(one) for one in (python, SCRIPTS / script, *arguments)])[1]


def _table(results: Mapping[str, Measured], pictures: int) -> str:
    base = next(iter(results.values()))
    header = ["side", "first prediction, s", "ratio", "pictures/s", "ratio", "probabilities differ by"]
    return rows(header, [_cells(name, one, base, pictures) for name, one in results.items()])


def _cells(name: str, measured: Measured, base: Measured, pictures: int) -> list[str]:
    first, later = _first_s(measured), measured.seconds(first=False)
    differences = [figures["difference"] for figures in measured.figures.values()]
    return [
        side_by_side.named(name, measured),
        spread(first.values()),
        side_by_side.ratio(first, _first_s(base)),
        spread((pictures / seconds for seconds in later.values()), 0),
        side_by_side.ratio(base.seconds(first=False), later),
        f"{max(differences):.1e}" if differences else "-",
    ]


def _first_s(measured: Measured) -> dict[Turn, float]:
    """From the start of the process to the first prediction."""
    return {turn: measured.starts_s[turn[0]] + seconds for turn, seconds in measured.seconds(first=True).items()}


def _arguments() -> argparse.Namespace:
    parser = side_by_side.options(__doc__, starts=3, turns=4)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder that holds validation/<class>/*")
    parser.add_argument("--pictures", type=int, default=500, help="how many of the folder's pictures")
    given = parser.parse_args()
    if not given.toy and not (given.data and (given.data / "validation").is_dir()):
        parser.error("DATA must be a folder that holds validation/<class>/*; or give --toy")
    return given


if __name__ == "__main__":
    main()
