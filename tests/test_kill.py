"""Whatever ends a process, `--resume` gives the bits of a run that was never stopped."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import noonchi
from noonchi import files
from noonchi.selftest import identity

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

RECIPE = """
recipe = "kill"
seed = 3
[model]
network = "mnist-deep-convnet"
[batches]
size = 8
[fit]
epochs = 3
peak_lr = 2e-3
checkpoint_every_s = 0.001
[device]
name = "cpu"
precision = "float32"
threads = 1
[record]
plots = false
tensorboard = false
keep_improved = true
"""
AVERAGED = RECIPE.replace("[fit]", '[fit]\nema_decay = 0.95\noptimizer = "adamw"\nschedule = "one-cycle"')
STOPS_EARLY = RECIPE.replace("[fit]", '[fit]\noptimizer = "sgd"\nmomentum = 0.9\npatience = 1\nmin_delta = 9.0')
PARTS = (
    RECIPE.replace("epochs = 3", "epochs = 2")
    .replace("[batches]", 'freeze = "flatten"\n[batches]')
    .replace("[device]", '[[then]]\nfreeze = "conv2"\nepochs = 2\n[device]')
)
VARIED = RECIPE.replace("threads = 1", "threads = 2") + "[augment]\nrotation_degrees = 20\nmixup = 0.2\n"
BFLOAT16 = AVERAGED.replace('precision = "float32"', 'precision = "bfloat16"')
# waits in its 20th step, in the first epoch, until there is a file `go`
WAITING = """
import time
from pathlib import Path
from torch import nn


class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        wide = nn.Linear(shape.height * shape.width * shape.channels, 32)
        super().__init__(nn.Flatten(), wide, nn.Dropout(0.3), nn.Linear(32, outputs))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        while self.steps == 20 and not Path("go").exists():
            with open("beats", "a") as beats:
                beats.write(".")
            time.sleep(0.01)
        return super().forward(images)
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch, bars):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(400, classes=4)
    np.savez("a.npz", x=images, y=labels)


def start(*arguments):
    command = [sys.executable, "-m", "noonchi", "train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(happened, child):
    """Wait until something has happened, or the child has ended."""
    deadline = time.monotonic() + 120
    while not happened() and child.poll() is None:
        assert time.monotonic() < deadline, "what was waited for has not happened"
        time.sleep(0.001)


def end(child):
    """The child's exit code and what it said on stderr."""
    _, told = child.communicate(timeout=60)
    return child.returncode, told


def unbroken(tmp_path, recipe):
    (tmp_path / "r.toml").write_text(recipe)
    how = {"overrides": ["fit.checkpoint_every_s=1000"], "trust_code": True, "show": lambda _: None}
    return noonchi.train("a.npz", "r.toml", out=tmp_path / "whole", **how).folder


def waiting(tmp_path, recipe):
    """A training that waits in its 20th step for a file `go`."""
    (tmp_path / "net.py").write_text(WAITING)
    (tmp_path / "r.toml").write_text(recipe.replace("mnist-deep-convnet", "net.py:Net"))
    child = start("a.npz", "--recipe", "r.toml", "--trust-code", "--out", "stopped")
    wait_for(beats, child)
    return child


def beats():
    return Path("beats").stat().st_size if Path("beats").exists() else 0


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


# Killed


@pytest.mark.parametrize(
    ("recipe", "kills"),
    [(RECIPE, 2), (AVERAGED, 2), (STOPS_EARLY, 2), (PARTS, 4), (VARIED, 2), (BFLOAT16, 2)],
    ids=["plain", "averaged", "stops early", "parts on kept features", "varied on two threads", "bfloat16"],
)
def test_killed_at_random_moments_and_resumed_gives_the_same_bits(tmp_path, rng, times, recipe, kills):
    folder, kills = tmp_path / "killed", times(kills, 17)
    whole = unbroken(tmp_path, recipe)
    begin = ("a.npz", "--recipe", "r.toml", "--out", folder)
    child, killed = start(*begin), 0
    while killed < kills:
        wait_for((folder / "recipe.toml").exists, child)
        die_at_a_random_moment(child, folder, rng)
        code, told = end(child)
        assert code in (-signal.SIGKILL, 0), told
        killed += code != 0
        if code == 0:  # done before it was killed, as a busy machine may have it: from the start
            shutil.rmtree(folder)
        child = start("--resume", folder) if folder.exists() else start(*begin)
    code, told = end(child)
    assert code == 0, told
    assert identity(folder) == identity(whole)
    assert leftovers(folder) == []


def die_at_a_random_moment(child, folder, rng):
    """After some more saves, and then a little later: within a step, a save, or the preparation of a resumed run."""
    wanted = rng.randrange(20)
    enough = saved_steps(folder) + wanted
    wait_for(lambda: saved_steps(folder) >= enough, child)
    time.sleep(rng.random() * (2 if wanted == 0 else 0.03))
    child.kill()


def saved_steps(folder):
    """How many steps the last save had done, while saves go on."""
    try:
        record = json.loads((files.settled(folder / "last") / "training.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return 0
    return (record["epoch"] - 1) * 1000 + record["step"]


# Stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops_and_the_run_goes_on_with_the_same_bits(tmp_path, number):
    recipe = AVERAGED.replace("every_s = 0.001", "every_s = 1000")
    child, folder = waiting(tmp_path, recipe), Path("stopped")
    asked = time.monotonic()
    child.send_signal(number)
    Path("go").touch()
    code, told = end(child)
    assert time.monotonic() - asked < 10
    assert code == 130
    assert told.splitlines()[-1] == "noonchi: stopped and saved; go on with: noonchi train --resume stopped"
    assert "Traceback" not in told
    assert leftovers(folder) == []
    assert not (folder / "history.csv").exists()
    resumed = noonchi.resume(folder, show=lambda _: None, trust_code=True)
    assert resumed.epochs == 3
    assert identity(folder) == identity(unbroken(tmp_path, (tmp_path / "r.toml").read_text()))


def test_a_second_signal_stops_at_once(tmp_path):
    child = waiting(tmp_path, RECIPE)
    child.send_signal(signal.SIGINT)
    before = beats()
    wait_for(lambda: beats() > before + 1, child)
    assert child.poll() is None, "the first signal waits for the end of the step"
    child.send_signal(signal.SIGINT)
    code, told = end(child)
    assert code == 130
    assert told.splitlines()[-1] == "noonchi: stopped."
    assert "Traceback" not in told
