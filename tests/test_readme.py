"""What the front pages tell a newcomer to type, typed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).line([(14, 4), (14, 24)], fill=255, width=3)
    picture.save(tmp_path / "digit.png")
    return tmp_path


@pytest.mark.timeout(900)
def test_the_commands_run_one_after_the_other(folder: Path) -> None:
    for name, *arguments in commands("README.md"):
        assert name == "noonchi"
        done = run(folder, "-m", "noonchi", *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    assert (folder / "again" / "last" / "weights.safetensors").read_bytes() == (
        folder / "lenet" / "last" / "weights.safetensors"
    ).read_bytes(), "the README says that a recipe repeats a run bit for bit"


def test_the_python_runs(folder: Path) -> None:
    [code] = blocks("README.md", "python")
    done = run(folder, "-c", code)
    assert done.returncode == 0, done.stderr
    accuracy = float(done.stdout.split()[0])
    assert np.isfinite(accuracy)


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_korean_page_has_the_same_code(language: str) -> None:
    english, korean = (
        [line.partition("#")[0].rstrip() for block in blocks(page, language) for line in block.splitlines()]
        for page in ("README.md", "README.ko.md")
    )
    assert korean == english


def test_the_measured_figures_are_the_same_on_both_pages() -> None:
    english, korean = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "README.ko.md"))
    figures = re.findall(r"accuracy 0\.\d+", english)
    assert figures
    assert re.findall(r"accuracy 0\.\d+", korean) == figures
