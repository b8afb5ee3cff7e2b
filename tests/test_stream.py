"""Streamed pictures: the batches of decoded ones, from few shards at a time, and memory that stays the same."""

import _thread
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from noonchi import batches, cache, settings, sharding, sources, stream
from noonchi.errors import DataError
from noonchi.selftest import identity
from noonchi.settings import PixelSettings
from noonchi.sources.shards import remote
from noonchi.sources.shards.remote import Patience
from noonchi.stream import WINDOW, Stream
from servers import serving

SMALL = PixelSettings(size=(8, 8), channels=3)
RUN = settings.load(None, ["batches.size=7", "augment.rotation_degrees=20", "augment.mixup=0.3"]).but(pixels=SMALL)
RUN = RUN.but(device=RUN.device.but(name="cpu"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Noise that no format can pack, 30 KB a picture."""
    folder = tmp_path_factory.mktemp("stream") / "photos"
    for number in range(400):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (100, 100, 3), np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def many(photos):
    """In more shards than are at hand at a time."""
    written = sharding.shard(photos, photos.parent / "many", settings.load(None), lambda _: None, shard_mb=1)
    assert written.shards > WINDOW
    return photos.parent / "many"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=3, pause_s=0.001, timeout_s=5))


def of_training(frames, index):
    return batches.of_split(frames, index, "train", RUN)


def streamed(data):
    index = sources.load(data)
    return of_training(Stream(index, SMALL), index)


def test_batches_are_those_of_decoded_pictures(photos):
    index = sources.load(photos)
    kept, anew = of_training(cache.decode(index, SMALL).array, index), streamed(photos)
    for one, other in zip(kept.of_epoch(2), anew.of_epoch(2), strict=True):
        assert one.names == other.names
        assert one.images.equal(other.images)
    for one, other in zip(kept.in_order(50), anew.in_order(50), strict=True):
        assert one.images.equal(other.images)


def test_an_interrupt_does_not_wait_for_shards_that_do_not_come(many, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", Patience(timeout_s=10_000))
    once = threading.Lock()

    def stalls(name, before):
        if name.endswith(".tar") and once.acquire(blocking=False):
            _thread.interrupt_main()
        return "stall" if name.endswith(".tar") else None

    with serving(many, stalls) as served:
        index = sources.load(served.address)
        frames, order = Stream(index, SMALL), np.arange(len(index))
        with pytest.raises(KeyboardInterrupt), frames.ahead(order, 2, 2):
            frames[order[:1]]
        while any(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate()):
            """The process could not end before."""


def test_every_picture_comes_once_an_epoch_from_two_windows_of_shards_at_most(many):
    training = streamed(many)
    for epoch in (1, 2):
        order = training.order(epoch)
        assert sorted(order) == sorted(training.positions)
        shards = training.frames.shards[order]
        seen = [set(shards[start : start + 7].tolist()) for start in range(0, len(shards), 7)]
        under_way = [
            {
                one
                for one in range(max(shards) + 1)
                if any(one in some for some in seen[:at]) and one in shards[at * 7 :]
            }
            for at in range(len(seen))
        ]
        assert max(map(len, under_way)) <= WINDOW
    assert training.order(1).tolist() == training.order(1).tolist() != training.order(2).tolist()


def test_an_epoch_is_gone_on_with_at_the_exact_picture(many):
    whole = [batch.names for batch in streamed(many).of_epoch(1)]
    assert [batch.names for batch in streamed(many).of_epoch(1, first_step=11)] == whole[11:]


def test_over_a_network_that_fails_each_shard_is_fetched_once_an_epoch_and_each_picture_comes_once(many):
    def fault(name, before):
        return ("drop", "503", None)[before % 3] if name.endswith(".tar") else None

    with serving(many, fault) as server:
        training = streamed(server.address)
        names = [name for batch in training.of_epoch(1) for name in batch.names]
    for number in set(training.frames.shards[training.positions].tolist()):
        path = many / f"{number:06d}.tar"
        assert sum(sent for _, sent in server.of(path.name)) == path.stat().st_size
    here = streamed(many)
    assert names == [name for batch in here.of_epoch(1) for name in batch.names]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_killed_while_it_streams_from_an_address_goes_on_to_the_same_bits(many, tmp_path):
    few = ["data.stream=true", "pixels.size=[24,24]", "fit.checkpoint_every_s=0.001", "device.threads=1"]
    quiet = ["record.report=false", "record.plots=false", "record.tensorboard=false", "device.precision=float32"]
    options = [option for change in few + quiet for option in ("--set", change)]

    def start(*arguments):
        command = [sys.executable, "-m", "noonchi", "train", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)

    with serving(many) as server:
        new = (server.address, "--recipe", "photos-small", "--epochs", "2", *options)
        with start(*new, "--out", "killed") as killed:
            assert any(line.startswith("  1 ") for line in killed.stderr)
            os.kill(killed.pid, signal.SIGKILL)
        for process in (start("--resume", "killed"), start(*new, "--out", "whole")):
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
    assert identity(tmp_path / "killed") == identity(tmp_path / "whole")


def test_answers_are_those_of_decoded_pictures_though_shards_are_read_one_after_the_other(many, fresh):
    index = sources.load(many)
    classifier = fresh(*index.heads, network="photos-small", side=32, channels=3).answering()
    run = RUN.but(pixels=classifier.pixels)
    found = []
    for frames in (cache.decode(index, classifier.pixels).array, Stream(index, classifier.pixels)):
        pictures = batches.of_split(frames, index, "train", run)
        said = np.concatenate([classifier.of_images(batch.images)["label"] for batch in pictures.in_order()])
        found.append(dict(zip(pictures.positions.tolist(), said, strict=True)))
    assert found[0].keys() == found[1].keys()
    assert all(np.allclose(said, found[1][at], atol=1e-6) for at, said in found[0].items())


MEMORY = """
import sys
from noonchi import batches, settings, sources
from noonchi.settings import PixelSettings
from noonchi.stream import Stream
index = sources.load(sys.argv[1])
run = settings.load(None).but(pixels=PixelSettings(size=(200, 200), channels=3))
training = batches.of_split(Stream(index, run.pixels), index, "train", run.but(device=run.device.but(name="cpu")))
print(sum(len(batch.images) for batch in training.of_epoch(1)))
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_the_same_however_many_pictures_are_streamed(tmp_path, one_thread, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    peaks = []
    for count in (1_500, 6_000):
        data = tmp_path / f"{count}.npz"
        images = np.random.default_rng(0).integers(0, 256, (count, 20, 20, 3), np.uint8)
        np.savez(data, x=images, y=np.arange(count) % 2)
        sharding.shard(data, tmp_path / str(count), settings.load(None), lambda _: None, shard_mb=1)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, tmp_path / str(count)], capture_output=True, text=True, check=True
        )
        pictures, peak = map(int, done.stdout.split())
        assert pictures > 0.7 * count
        peaks.append(peak / 1024)
    # 4,500 frames more are 540 MB more
    assert peaks[1] - peaks[0] < 150


def test_a_picture_that_cannot_be_read_is_told_with_what_to_do(photos, tmp_path):
    index = sources.load(photos)
    broken = tmp_path / "broken.png"
    broken.write_bytes(index.files[5].read_bytes()[:200])
    index = replace(index, files=(*index.files[:5], broken, *index.files[6:]))
    with pytest.raises(DataError, match=r"'cat/.*' cannot be used: .*data.stream=false"):
        Stream(index, SMALL)[np.array([5])]


def test_very_many_pictures_are_streamed_by_themselves(photos, monkeypatch):
    monkeypatch.setattr(stream, "LARGE", 1_000)
    shown = []
    frames, _ = batches.frames_of(sources.load(photos), RUN, shown.append)
    assert isinstance(frames, Stream)
    assert "as they would take" in shown[-1].text
    kept, _ = batches.frames_of(sources.load(photos), RUN.but(data=RUN.data.but(stream=False)), shown.append)
    assert isinstance(kept, np.ndarray)
