"""B9: what a command takes that does next to nothing: noonchi's help, its import, and one picture predicted.

    python benchmarks/start.py

Each is a whole process, in turn with the others. The classifiers are drawn, not trained: a small network for grey
pictures, and EfficientNet-Lite0 for photos. Compiled Python files are there for every side. `import torch` is told of
because every prediction holds it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import processes
from PIL import Image
from reporting import heading, rows, spread, tell
from side_by_side import HERE, ratio

from noonchi import classifier
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

Taken = dict[str, dict[tuple[int, int], float]]
"""Seconds by command and turn."""

CLASSIFIERS = {
    "noonchi predict, a small network": ("lenet5", PixelSettings(size=(28, 28), channels=1)),
    "noonchi predict, EfficientNet-Lite0": ("efficientnet-lite0", PixelSettings(size=(224, 224), channels=3)),
}
IMPORT_KERAS = "import keras"


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    python = processes.python_of("keras", given.peers, make=not given.toy)
    print(
        heading({None: Path(sys.executable)} | ({"keras": python} if python else {}), f"--turns {given.turns}") + "\n"
    )
    seconds: Taken = defaultdict(dict)
    with tempfile.TemporaryDirectory() as temporary:
        commands = _commands(Path(temporary)) | ({IMPORT_KERAS: [str(python), "-c", IMPORT_KERAS]} if python else {})
        try:
            for command in commands.values():  # their files come from the disk, and Python compiles them
                _seconds(command)
            for turn in range(given.turns):
                for name in list(commands)[:: -1 if turn % 2 else 1]:
                    seconds[name][0, turn] = _seconds(commands[name])
                    tell(f"turn {turn + 1}: {seconds[name][0, turn]:6.3f} s  {name}")
        except KeyboardInterrupt:
            tell("interrupted: the table holds what was measured until then")
    print(_table({name: seconds[name] for name in commands if name in seconds}))


def _commands(folder: Path) -> dict[str, list[str]]:
    noonchi = [sys.executable, "-m", "noonchi"]
    picture = folder / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (280, 280), np.uint8)).save(picture)
    commands = {
        "noonchi --help": [*noonchi, "--help"],
        "import noonchi": [sys.executable, "-c", "import noonchi"],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    for at, (name, (network, pixels)) in enumerate(CLASSIFIERS.items()):
        run = folder / str(at)
        run.mkdir()
        model = ModelSettings(network=network, weights="random" if network == "efficientnet-lite0" else None)
        classifier.create((Head("label", "classes", ("a", "b")),), model, pixels).save(run)
        commands[name] = [*noonchi, "predict", str(run), str(picture)]
    return commands


def _seconds(command: list[str]) -> float:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def _table(seconds: Mapping[str, Mapping[tuple[int, int], float]]) -> str:
    base = seconds.get(IMPORT_KERAS, {})
    return rows(
        ["command", "seconds", "ratio to `import keras`"],
        [[f"`{name}`", spread(taken.values()), ratio(taken, base)] for name, taken in seconds.items()],
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=HERE / ".peers", help="where the peers' environments are made")
    parser.add_argument("--turns", type=int, default=7, help="processes of each command, but for one to warm up")
    parser.add_argument("--toy", action="store_true", help="without Keras where its environment is not there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
