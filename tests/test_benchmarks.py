"""Each benchmark runs on a toy size; its figures are not judged here."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "benchmarks"


def test_the_table_of_recipes_has_a_row_a_recipe() -> None:
    command = [sys.executable, FOLDER / "recipes.py", "digits", "mnist-mlp", "--seeds", "0", "1", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| `mnist-mlp` | 0.")
