"""One training in several processes: the same answers as in one, and nothing lost when one of them dies."""

import csv
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noonchi.selftest import identity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

# looks at the whole batch in two ways, draws in three, and has a weight that is never used;
# in its 15th step, in the second epoch, it waits for a signal where there is a file `hold`, or until that is removed
NETWORK = """
import select
import signal
import socket
from pathlib import Path

import torch
from torch import nn

SIGNALS = []


class Net(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.steps = 0
        self.layers = nn.Sequential(
            nn.Conv2d(shape.channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2),
            nn.Flatten(), nn.LazyLinear(32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, outputs),
        )
        self.unused = nn.Parameter(torch.ones(3))
        self.layers(torch.zeros(2, shape.channels, shape.height, shape.width))

    def forward(self, images):
        if self.training and not SIGNALS:
            SIGNALS.extend(socket.socketpair())
            SIGNALS[1].setblocking(False)
            signal.set_wakeup_fd(SIGNALS[1].fileno())
        self.steps += self.training
        while self.steps == 15 and Path("hold").exists() and not select.select(SIGNALS[:1], [], [], 0.01)[0]:
            pass
        return self.layers(images)
"""
RECIPE = """
recipe = "processes"
seed = 5
[model]
network = "net.py:Net"
[pixels]
size = [12, 12]
channels = 1
[data]
validation_share = 0.2
[batches]
size = 10
[augment]
rotation_degrees = 20
erasing = 0.3
mixup = 0.3
[fit]
epochs = 3
optimizer = "sgd"
momentum = 0.9
peak_lr = 0.02
checkpoint_every_s = 0.001
[device]
name = "cpu"
precision = "float32"
[record]
plots = false
tensorboard = false
report = false
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a network and a recipe. Its last batch is of fewer pictures than four processes."""
    folder = tmp_path_factory.mktemp("processes")
    numbers = np.random.default_rng(0)
    for at in range(118):
        shade = numbers.integers(0, 120, (12, 12)).astype(np.uint8)
        shade[3:9, 2 + 4 * (at % 2) : 6 + 4 * (at % 2)] += 100
        (folder / "photos" / "ab"[at % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(shade).save(folder / "photos" / "ab"[at % 2] / f"{at:03d}.png")
    (folder / "net.py").write_text(NETWORK)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def started(place: Path, processes: int, *arguments: str | Path, torchrun: tuple[str, ...] = ()) -> Any:
    """`noonchi ARGUMENTS` in so many processes, by torchrun where it is given options or there are more than two."""
    command = [sys.executable, "-m", "noonchi", *map(str, arguments)]
    if torchrun:
        command[2:3] = ["torch.distributed.run", *torchrun, "--nproc-per-node", str(processes), "-m", "noonchi"]
    elif processes > 1:
        command += ["--devices", str(processes)]
    environment = {**os.environ, "NOONCHI_CACHE": str(place / f"cache-{processes}")}
    environment.pop("OMP_NUM_THREADS", None)
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: Any, code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return out, err


def trained(place: Path, processes: int, run: str, *more: str | Path, torchrun: tuple[str, ...] = ()) -> Path:
    arguments = ("train", "photos", "--recipe", "recipe.toml", "--trust-code", "--out", run, *more)
    ended(started(place, processes, *arguments, torchrun=torchrun))
    return place / run


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@contextmanager
def holding(place: Path) -> Iterator[None]:
    """Trainings that begin there do not come beyond the middle of their second epoch unless a signal ends them."""
    (place / "hold").touch()
    yield
    (place / "hold").unlink()


def line_that_begins(stream: Iterator[str], start: str) -> str:
    return next(line for line in stream if line.startswith(start))


def of_rank(parent: int, number: int) -> int:
    """The process of a rank among those below a process."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            above = int(status.read_text().split("PPid:")[1].split()[0])
            environment = (status.parent / "environ").read_text().split("\0")
        except (OSError, IndexError):
            continue
        if above == parent and f"RANK={number}" in environment:
            return int(status.parent.name)
    raise AssertionError(f"no process of rank {number} below {parent}")


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    return trained(place, 1, "alone")


@pytest.fixture(scope="module")
def pair(place: Path) -> Path:
    return trained(place, 2, "pair")


def test_two_processes_learn_what_one_learns(alone: Path, pair: Path) -> None:
    for one, two in zip(history(alone), history(pair), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=2e-5)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=2e-4)
        assert (two["accuracy"], two["val_accuracy"]) == (one["accuracy"], one["val_accuracy"])


def test_four_processes_learn_what_one_learns_though_a_batch_has_fewer_pictures(place: Path, alone: Path) -> None:
    for one, four in zip(history(alone), history(trained(place, 4, "four")), strict=True):
        assert four["loss"] == pytest.approx(one["loss"], rel=2e-5)
        assert four["val_loss"] == pytest.approx(one["val_loss"], rel=2e-4)
        assert (four["accuracy"], four["val_accuracy"]) == (one["accuracy"], one["val_accuracy"])


def test_what_two_processes_say_of_the_test_pictures_is_what_one_says(place: Path, pair: Path) -> None:
    out, _ = ended(started(place, 1, "val", "pair", "--trust-code", "--json"))
    found, recorded = json.loads(out), json.loads((pair / "test.json").read_text())["test"]
    assert {name: found[name] for name in recorded} == recorded


def test_processes_decode_each_its_part_of_one_cache(place: Path, alone: Path, pair: Path) -> None:
    caches = [sorted((place / f"cache-{number}" / "frames").iterdir()) for number in (1, 2)]
    assert [entry.name for entry in caches[0]] == [entry.name for entry in caches[1]]
    for name in ("frames.npy", "hashes.txt", "manifest.json"):
        assert (caches[0][0] / name).read_bytes() == (caches[1][0] / name).read_bytes()


def test_processes_compute_each_its_part_of_the_features(place: Path) -> None:
    few = ("--set", "model.network=lenet5", "--set", "model.freeze=dense1", "--set", "augment.mixup=0.0")
    some = ("--set", "pixels.size=[28,28]", "--set", "frozen.views=2")
    runs = [trained(place, number, f"frozen-{number}", *few, *some) for number in (1, 2)]
    features = [list((place / f"cache-{number}" / "features").glob("*/features.npy")) for number in (1, 2)]
    assert len(features[0]) == len(features[1]) == 2  # of the training and of the validation pictures
    for one, two in zip(*map(sorted, features), strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert history(runs[1])[-1]["loss"] == pytest.approx(history(runs[0])[-1]["loss"], rel=1e-4)


def test_a_killed_process_under_max_restarts_changes_no_bit(place: Path, pair: Path) -> None:
    arguments = ("train", "photos", "--recipe", "recipe.toml", "--trust-code", "--out", "restarted")
    with holding(place):
        process = started(place, 2, *arguments, torchrun=("--standalone", "--max-restarts", "1"))
        assert process.stderr
        line_that_begins(process.stderr, "  1 ")
        os.kill(of_rank(process.pid, 1), signal.SIGKILL)
    _, err = ended(process)
    assert "the run goes on in epoch" in err
    assert identity(place / "restarted") == identity(pair)


@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_process_is_named_and_the_run_goes_on_to_the_same_bits(place: Path, pair: Path, number: int) -> None:
    run = f"killed-{number}"
    with holding(place):
        process = started(place, 2, "train", "photos", "--recipe", "recipe.toml", "--trust-code", "--out", run)
        assert process.stderr
        line_that_begins(process.stderr, "  1 ")
        os.kill(of_rank(process.pid, number), signal.SIGKILL)
        _, err = ended(process, 4)
    assert err.splitlines()[-1] == f"noonchi: process {number} of 2 was killed by SIGKILL; the others were stopped."
    ended(started(place, 2, "train", "--resume", run, "--trust-code"))
    assert identity(place / run) == identity(pair)


def test_an_interrupt_saves_what_all_processes_have(place: Path, pair: Path) -> None:
    with holding(place):
        process = started(place, 2, "train", "photos", "--recipe", "recipe.toml", "--trust-code", "--out", "stopped")
        assert process.stderr
        line_that_begins(process.stderr, "  1 ")
        process.send_signal(signal.SIGINT)
        _, err = ended(process, 130)
    assert "noonchi: stopped and saved; go on with: noonchi train --resume stopped" in err.splitlines()
    ended(started(place, 2, "train", "--resume", "stopped", "--trust-code"))
    assert identity(place / "stopped") == identity(pair)


def test_processes_whose_launcher_is_killed_save_and_stop(place: Path) -> None:
    long = ("--recipe", "recipe.toml", "--epochs", "10000", "--trust-code", "--out", "left")
    process = started(place, 2, "train", "photos", *long)
    assert process.stderr
    line_that_begins(process.stderr, "  1 ")
    ends = [os.pidfd_open(of_rank(process.pid, number)) for number in range(2)]
    process.kill()
    _, err = ended(process, -signal.SIGKILL)
    assert "noonchi: stopped and saved; go on with: noonchi train --resume left" in err.splitlines()
    for end in ends:
        assert select.select([end], [], [], 60)[0]
        os.close(end)


def test_two_machines_train_without_a_disk_in_common(place: Path, tmp_path: Path, pair: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(place / "photos", other / "photos")
    for name in ("net.py", "recipe.toml"):
        shutil.copy(place / name, other)
    meet = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "two", "--rdzv-conf", "is_host=1")
    with socket.create_server(("localhost", 0)) as free:
        first = (*meet, "--rdzv-endpoint", f"localhost:{free.getsockname()[1]}")
    second = tuple(option.replace("is_host=1", "is_host=0") for option in first)
    arguments = ("train", "photos", "--recipe", "recipe.toml", "--trust-code", "--out", "machines")
    processes = [
        started(folder, 1, *arguments, torchrun=options) for folder, options in ((place, first), (other, second))
    ]
    for process in processes:
        ended(process)
    runs = [folder / "machines" for folder in (place, other) if (folder / "machines").exists()]
    assert len(runs) == 1
    for one, two in zip(history(runs[0]), history(pair), strict=True):  # here each process has more threads
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


def test_the_recipe_gives_the_same_bits_from_shards_decoded_or_streamed(place: Path, alone: Path, pair: Path) -> None:
    ended(started(place, 1, "shard", "photos", "packed", "--recipe", "recipe.toml"))
    for processes, like, stream in ((1, alone, "false"), (2, pair, "true")):
        arguments = ("train", "packed", "--recipe", "recipe.toml", "--trust-code", "--set", f"data.stream={stream}")
        ended(started(place, processes, *arguments, "--out", f"packed-{processes}"))
        assert identity(place / f"packed-{processes}") == identity(like)


def test_an_error_of_all_processes_is_told_once(place: Path) -> None:
    out, err = ended(started(place, 2, "train", "nowhere", "--out", "none"), 3)
    assert out == ""
    assert err.splitlines() == ["noonchi: 'nowhere' is no file, folder or built-in data set. Known: digits, mnist."]


def test_many_more_processes_than_cores_are_refused(place: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    _, err = ended(started(place, 1, "train", "photos", "--devices", str(9 * cores)), 2)
    assert err.startswith(f"noonchi: --devices {9 * cores}: this machine has {cores} cores and ")
    assert err.endswith(f"expected a process for each, and at most {4 * cores}.\n")


def test_an_error_of_one_process_names_it(place: Path, tmp_path: Path) -> None:
    """Another network than the first process has."""
    code = "import os\n" + NETWORK.replace(
        "        super().__init__()\n",
        "        super().__init__()\n        assert os.environ.get('RANK') != '1', 'not here'\n",
    )
    (place / "fails.py").write_text(code)
    arguments = ("train", "photos", "--recipe", "recipe.toml", "--set", "model.network=fails.py:Net", "--out", "fails")
    _, err = ended(started(place, 2, *arguments), 2)
    assert "noonchi: process 1 of 2: " in err.splitlines()[-1]
    assert "not here" in err.splitlines()[-1]


def test_json_comes_from_the_first_process_alone(place: Path) -> None:
    arguments = (
        "train",
        "photos",
        "--recipe",
        "recipe.toml",
        "--trust-code",
        "--epochs",
        "1",
        "--out",
        "told",
        "--json",
    )
    out, _ = ended(started(place, 2, *arguments))
    assert json.loads(out)["run"] == "told"
