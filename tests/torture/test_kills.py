"""Killed without warning while saving, and while building the cache. `make torture` kills hundreds of times."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noonchi import cache, checkpoint, fitting, sources
from noonchi.results import Head
from noonchi.settings import FitSettings, PixelSettings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

KIND = Head("kind", "classes", ("cat", "dog", "owl"))
ADAM = FitSettings(optimizer="adam", ema_decay=0.5)
SAVING = """
import sys
from itertools import count
from pathlib import Path
import torch
from noonchi import checkpoint, classifier, fitting
from noonchi.results import Head
from noonchi.settings import FitSettings, ModelSettings, PixelSettings

torch.set_num_threads(1)
head = Head("kind", "classes", ("cat", "dog", "owl"))
made = classifier.create((head,), ModelSettings(network="mnist-one-conv"), PixelSettings(size=(8, 8), channels=1))
state = fitting.begin(made, FitSettings(optimizer="adam", ema_decay=0.5))
for number in count(int(sys.argv[2])):
    for network in (state.classifier.network, state.averaged.module):
        for weight in network.parameters():
            torch.nn.init.constant_(weight, number)
    state.epoch = number
    checkpoint.save(Path(sys.argv[1]), state)
    print(number, flush=True)
"""
DECODING = """
import sys
from noonchi import cache, sources
from noonchi.settings import PixelSettings

index = sources.load(sys.argv[1])
print("begins", flush=True)
cache.decode(index, PixelSettings(size=(40, 40), channels=3))
"""


def killed_after(code: str, draw: random.Random, longest_s: float, *arguments: object) -> list[str]:
    """What a process has said when it is killed, a random moment after its first line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        first = child.stdout.readline()
        assert first, "it ended before its first line"
        try:
            child.wait(draw.random() * longest_s)
        except subprocess.TimeoutExpired:
            child.kill()
        return [first.strip(), *child.stdout.read().splitlines()]


def test_killed_while_saving_what_is_there_is_one_whole_save(tmp_path, fresh, rng, times):
    place, number, stages = tmp_path / "last", 1, Counter[str]()
    for kill in range(times(10, 200)):
        said = killed_after(SAVING, rng, 0.05, place, number)
        stages[stage(place)] += 1
        state = fitting.begin(fresh(KIND), ADAM)
        assert checkpoint.restore(place, state), f"kill {kill}"
        assert state.epoch in (int(said[-1]), int(said[-1]) + 1), f"kill {kill}"
        assert state.averaged is not None
        for network in (state.classifier.network, state.averaged.module):
            assert all(torch.all(weight == state.epoch) for weight in network.parameters()), f"kill {kill}"
        assert list(place.parent.iterdir()) == [place], f"kill {kill}"
        number = state.epoch + 1
    sys.stdout.write(f"killed while saving: {dict(stages)}\n")


def stage(place: Path) -> str:
    """What the kill left beside the folder."""
    return " ".join(sorted(path.name for path in place.parent.iterdir()))


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for number in range(120):
        path = tmp_path / "photos" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (90, 120, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def test_killed_while_building_the_cache_the_next_call_gives_whole_frames_and_leaves_nothing(
    tmp_path, photos, rng, times
):
    settings, frames = PixelSettings(size=(40, 40), channels=3), tmp_path / "cache" / "frames"
    index = sources.load(str(photos))
    expected = cache.decode(index, settings).array.copy()
    stages = Counter[int]()
    for kill in range(times(10, 100)):
        cache.clear(cache.kept())
        killed_after(DECODING, rng, 0.3, photos)
        stages[sum(path.name.startswith(".") for path in frames.iterdir())] += 1
        assert np.array_equal(cache.decode(index, settings).array, expected), f"kill {kill}"
        assert [path.name.startswith(".") for path in frames.iterdir()] == [False], f"kill {kill}"
    sys.stdout.write(f"killed while building the cache: {dict(stages)} (half-made entries it left)\n")
