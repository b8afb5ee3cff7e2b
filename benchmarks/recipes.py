"""Accuracy and seconds of recipes over seeds: the rows of docs/results.md.

    python benchmarks/recipes.py mnist --seeds 0 1 2 mnist-convnet lenet5

Each run is a process of its own, one after the other. A row gives means and standard deviations over seeds of the test
accuracy, the epochs trained and the seconds of training and validation.
"""

import argparse
import json
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
    arguments = parser.parse_args()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"seeds {' '.join(map(str, arguments.seeds))}")
    print("| recipe | test accuracy | epochs | seconds |")
    print("|---|---|---|---|")
    for recipe in arguments.recipes:
        results = [run(arguments.data, recipe, seed, arguments.epochs) for seed in arguments.seeds]
        print(row(recipe, results), flush=True)


def run(data: str, recipe: str, seed: int, epochs: int | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "noonchi", "train", data, "--recipe", recipe, "--seed", str(seed), "--json"]
        command += ["--out", str(Path(folder) / "run"), *(["--epochs", str(epochs)] if epochs else [])]
        result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return result


def row(recipe: str, results: list[dict[str, Any]]) -> str:
    accuracies = [key for key in results[0]["test"] if key.endswith("accuracy")]
    cells = [
        f"{key.removesuffix('accuracy').replace('_', ' ')}{spread([r['test'][key] for r in results], 4)}"
        for key in accuracies
    ]
    epochs = spread([r["epochs"] for r in results], 1)
    return f"| `{recipe}` | {', '.join(cells)} | {epochs} | {spread([r['seconds'] for r in results], 1)} |"


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
