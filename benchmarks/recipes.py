"""Accuracy and seconds of recipes over seeds: the rows of docs/results.md.

    python benchmarks/recipes.py mnist mnist-convnet lenet5 --seeds 0 1 2 --set device.threads=1

Each run is a process of its own, one after the other. A row gives means and standard deviations over seeds of the test
accuracy, the epochs trained, and the seconds an epoch of training and validation.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="for a toy run")
    parser.add_argument("--set", action="append", default=[], help="a setting for every run")
    arguments = parser.parse_args()
    more = [text for setting in arguments.set for text in ("--set", setting)]
    more += ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    print(f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"seeds {' '.join(map(str, arguments.seeds))} {' '.join(more)}")
    print("| recipe | test accuracy | epochs | seconds an epoch |")
    print("|---|---|---|---|")
    for recipe in arguments.recipes:
        results = [run(arguments.data, recipe, seed, more) for seed in arguments.seeds]
        print(row(recipe, results), flush=True)


def run(data: str, recipe: str, seed: int, more: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "noonchi", "train", data, "--recipe", recipe, "--seed", str(seed), "--json"]
        command += ["--out", str(Path(folder) / "run"), *more]
        result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return result


def row(recipe: str, results: list[dict[str, Any]]) -> str:
    accuracies = [key for key in results[0]["test"] if key.endswith("accuracy")]
    cells = [
        f"{key.removesuffix('accuracy').replace('_', ' ')}{spread([r['test'][key] for r in results], 4)}"
        for key in accuracies
    ]
    epochs = spread([r["epochs"] for r in results], 1)
    seconds = spread([r["seconds"] / r["epochs"] for r in results], 2)
    return f"| `{recipe}` | {', '.join(cells)} | {epochs} | {seconds} |"


def spread(values: list[float], digits: int) -> str:
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
