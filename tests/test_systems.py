"""The systems of courses on convolutional networks, on the real MNIST: each learns, and the first is tried in full."""

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

# epochs of MNIST take minutes on two cores without bfloat16, and other tests run beside them
pytestmark = pytest.mark.timeout(1200)
AFTER_ONE_EPOCH = {  # a floor some way under what is reached, so that another processor's bits do not matter
    "mnist-mlp": {"accuracy": 0.94},
    "mnist-one-conv": {"accuracy": 0.93},
    "mnist-two-branch": {"accuracy": 0.93},
    "mnist-digit-and-odd": {"digit_accuracy": 0.93, "odd_accuracy": 0.86},
    "mnist-digit-and-odd-deep": {"digit_accuracy": 0.93, "odd_accuracy": 0.95},
    "lenet5": {"accuracy": 0.93},
    "mnist-deep-convnet": {"accuracy": 0.97},
}


def start(real_data: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "noonchi", *map(str, arguments)]
    environment = {**os.environ, "NOONCHI_DATA": str(real_data)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(real_data: Path, *arguments: str | Path) -> dict[str, Any]:
    process = start(real_data, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


@pytest.mark.parametrize("recipe", AFTER_ONE_EPOCH)
def test_a_recipe_learns_in_its_first_epoch(real_data: Path, tmp_path: Path, recipe: str) -> None:
    run = answer(real_data, "train", "mnist", "--recipe", recipe, "--epochs", "1", "--out", tmp_path / "r", "--json")
    for metric, floor in AFTER_ONE_EPOCH[recipe].items():
        assert run["test"][metric] >= floor


@pytest.fixture(scope="module")
def convnet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("convnet") / "run"
    return folder, answer(real_data, *_convnet(folder))


def _convnet(folder: Path) -> list[str | Path]:
    return ["train", "mnist", "--recipe", "mnist-convnet", "--seed", "0", "--out", folder, "--json"]


def test_the_convnet_reaches_the_courses_accuracy(convnet: tuple[Path, dict[str, Any]]) -> None:
    _, run = convnet
    assert run["epochs"] == 5
    assert run["test"]["num_pictures"] == 10_000
    assert run["test"]["accuracy"] >= 0.988


def test_a_kill_in_the_third_epoch_changes_no_bit(
    real_data: Path, tmp_path: Path, convnet: tuple[Path, dict[str, Any]]
) -> None:
    folder, history = tmp_path / "killed", tmp_path / "killed" / "history.csv"
    process = start(real_data, *_convnet(folder))
    while not (history.exists() and len(history.read_text().splitlines()) == 3 and (folder / "last").exists()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = answer(real_data, "train", "--resume", folder, "--json")
    unbroken, run = convnet
    assert {**resumed, "run": "", "seconds": 0} == {**run, "run": "", "seconds": 0}
    hashes = {_sha256(place / "last" / "weights.safetensors") for place in (folder, unbroken)}
    assert len(hashes) == 1


def test_scoring_again_gives_the_same_numbers(real_data: Path, convnet: tuple[Path, dict[str, Any]]) -> None:
    folder, run = convnet
    again = answer(real_data, "val", folder, "--json")
    assert {key: again[key] for key in run["test"]} == run["test"]


def test_a_picture_of_a_digit_is_read(real_data: Path, tmp_path: Path, convnet: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = convnet
    content = gzip.decompress((real_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    digit = np.frombuffer(content, np.uint8, count=784, offset=16)
    picture = Image.fromarray(digit.reshape(28, 28))
    picture.save(tmp_path / "as_it_is.png")
    photographed = Image.fromarray(255 - np.asarray(picture)).convert("RGB").resize((280, 280))
    photographed.save(tmp_path / "photographed.jpg")
    for name, invert in (("as_it_is.png", "no"), ("photographed.jpg", "auto")):
        read = answer(real_data, "predict", folder, tmp_path / name, "--json", "--invert", invert)
        assert read["label"]["answer"] == "7", "the first test picture of MNIST is a 7"
        assert read["label"]["probabilities"]["7"] > 0.9


def test_the_convnet_is_said_to_be_better_than_the_dense_network_and_by_how_much(
    real_data: Path, tmp_path: Path, convnet: tuple[Path, dict[str, Any]]
) -> None:
    folder, run = convnet
    mlp = ["train", "mnist", "--recipe", "mnist-mlp", "--epochs", "2", "--out", tmp_path / "mlp", "--json"]
    other = answer(real_data, *mlp)
    [found] = answer(real_data, "compare", tmp_path / "mlp", folder, "--json")["differences"]
    points = 100 * (run["test"]["accuracy"] - other["test"]["accuracy"])
    assert found["words"].startswith(f"run is better than mlp by {points:.2f} points (95 %: ")
    assert "less than once in a million times" in found["words"]


def test_the_log_of_the_run_tells_of_every_epoch(convnet: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = convnet
    assert len(re.findall(r"val_accuracy 0\.9", (folder / "train.log").read_text())) == 5


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_one_run_learned_to_see_serves_another_bit_by_bit(real_data: Path, tmp_path: Path) -> None:
    base, frozen = tmp_path / "base", tmp_path / "frozen"
    train = ["train", "mnist", "--epochs", "1", "--json"]
    answer(real_data, *train, "--recipe", "mnist-digit-and-odd", "--out", base)
    taken = ["--recipe", "mnist-transfer", "--set", f"model.weights={base}", "--out", frozen]
    assert answer(real_data, *train, *taken)["test"]["accuracy"] >= 0.9
    before, after = (load_file(run / "best" / "weights.safetensors") for run in (base, frozen))
    assert (before["digit.conv1.weight"] == after["conv1.weight"]).all()
    counts = answer(real_data, "summary", frozen, "--json")
    assert (counts["trainable"], counts["frozen"]) == (54_090, 320)
