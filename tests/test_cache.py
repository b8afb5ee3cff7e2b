import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi import cache, pixels, sources
from noonchi.settings import PixelSettings

SETTINGS = PixelSettings(size=(6, 6), channels=3)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The folder of this test's own cache."""
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


@pytest.fixture
def photos(tmp_path) -> Path:
    for number in range(8):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 7, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def spoil(path: Path) -> None:
    """A picture that begins as one and then breaks off."""
    path.write_bytes(path.read_bytes()[:60])


def test_an_array_of_the_right_shape_is_used_as_it_is(cached):
    index = sources.load((np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3), np.uint8), np.arange(20) % 2))
    frames = cache.decode(index, SETTINGS)
    assert frames.array is index.array
    assert frames.usable.all()
    assert not cached.exists()


def test_an_array_of_another_shape_is_resized_in_memory(cached):
    index = sources.load((np.random.default_rng(0).integers(0, 256, (20, 9, 7), np.uint8), np.arange(20) % 2))
    frames = cache.decode(index, SETTINGS)
    assert (frames.array[3] == pixels.read(index.array[3], SETTINGS)).all()
    assert not cached.exists()


def test_files_are_decoded_in_the_order_of_the_index(cached, photos):
    index = sources.load(photos)
    frames = cache.decode(index, SETTINGS)
    assert frames.array.shape == (8, 6, 6, 3)
    assert all((frames.array[at] == pixels.read(file, SETTINGS)).all() for at, file in enumerate(index.files))


def test_a_second_call_reads_no_picture(cached, photos):
    index = sources.load(photos)
    first = cache.decode(index, SETTINGS).array.tobytes()
    for file in index.files:
        file.unlink()
    again = cache.decode(index, SETTINGS)
    assert isinstance(again.array, np.memmap)
    assert again.array.tobytes() == first


@pytest.mark.parametrize("change", [{"size": [5, 6]}, {"channels": 1}, {"fit": "pad"}])
def test_other_settings_have_their_own_frames(cached, photos, change):
    index = sources.load(photos)
    cache.decode(index, SETTINGS)
    cache.decode(index, SETTINGS.but(**change))
    assert len(list(cached.iterdir())) == 2


def test_normalisation_does_not_decode_again(cached, photos):
    index = sources.load(photos)
    cache.decode(index, SETTINGS)
    cache.decode(index, SETTINGS.but(mean=[0.5]))
    assert len(list(cached.iterdir())) == 1


def test_a_picture_edited_in_place_is_noticed(cached, photos):
    cache.decode(sources.load(photos), SETTINGS)
    Image.new("RGB", (9, 7), (1, 2, 3)).save(photos / "a" / "0.png")
    assert (cache.decode(sources.load(photos), SETTINGS).array[0] == (1, 2, 3)).all()


def test_a_bad_picture_is_listed_each_time_and_never_replaced(cached, photos):
    spoil(photos / "a" / "2.png")
    index = sources.load(photos)
    for _ in range(2):
        frames = cache.decode(index, SETTINGS)
        assert frames.usable.tolist() == [True, False] + [True] * 6
        assert [name for name, _ in frames.unusable] == ["a/2.png"]
        assert str(photos) not in frames.unusable[0][1]
        assert (frames.array[1] == 0).all()


def test_a_picture_deleted_since_the_scan_is_listed_until_it_is_back(cached, photos):
    index = sources.load(photos)
    content = index.files[0].read_bytes()
    index.files[0].unlink()
    assert cache.decode(index, SETTINGS).unusable == (("a/0.png", "No such file or directory"),)
    index.files[0].write_bytes(content)
    assert cache.decode(index, SETTINGS).unusable == ()


@pytest.mark.parametrize("harm", ["manifest gone", "manifest broken", "frames gone", "frames cut"])
def test_frames_that_are_not_whole_are_built_again(cached, photos, harm):
    index = sources.load(photos)
    before = cache.decode(index, SETTINGS).array.tobytes()
    (folder,) = cached.iterdir()
    name = "manifest.json" if "manifest" in harm else "frames.npy"
    if "gone" in harm:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:50])
    assert cache.decode(index, SETTINGS).array.tobytes() == before
    assert sorted(one.name for one in folder.iterdir()) == ["frames.npy", "manifest.json"]


def test_progress_counts_every_picture_once(cached, photos):
    seen = []
    cache.decode(sources.load(photos), SETTINGS, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 8) for number in range(1, 9)]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, photos, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "file"))
    index = sources.load(photos)
    with caplog.at_level(logging.WARNING, "noonchi"):
        frames = cache.decode(index, SETTINGS)
    assert all((frames.array[at] == pixels.read(file, SETTINGS)).all() for at, file in enumerate(index.files))
    assert len(caplog.messages) == 1
    assert "decoded into memory" in caplog.messages[0]


def test_an_interrupt_leaves_nothing(cached, photos):
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.decode(sources.load(photos), SETTINGS, interrupt)
    assert list(cached.iterdir()) == []


_DECODE = """
import os, sys
from noonchi import cache, sources
from noonchi.settings import PixelSettings

def progress(done, total):
    if done == int(sys.argv[2]):
        os._exit(9)

cache.decode(sources.load(sys.argv[1]), PixelSettings(size=(6, 6), channels=3), progress)
"""


def test_a_killed_build_leaves_nothing_once_built_again(cached, photos):
    subprocess.run([sys.executable, "-c", _DECODE, str(photos), "3"], check=False)
    assert [one.name[0] for one in cached.iterdir()] == ["."]
    cache.decode(sources.load(photos), SETTINGS)
    (folder,) = cached.iterdir()
    assert not folder.name.startswith(".")


def test_the_leftovers_of_a_living_process_are_not_touched(cached, photos):
    index = sources.load(photos)
    cache.decode(index, SETTINGS)
    (folder,) = cached.iterdir()
    (folder / "manifest.json").unlink()
    private = folder.with_name(f".{folder.name}.{os.uname().nodename}.{os.getppid()}")
    private.mkdir()
    cache.decode(index, SETTINGS)
    assert private.exists()


def test_processes_that_build_at_once_agree(cached, photos):
    processes = [
        subprocess.Popen([sys.executable, "-c", _DECODE, str(photos), "-1"], stderr=subprocess.PIPE) for _ in range(3)
    ]
    assert [process.communicate()[1] for process in processes] == [b""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    (folder,) = cached.iterdir()
    assert sorted(one.name for one in folder.iterdir()) == ["frames.npy", "manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_a_full_disk_falls_back_to_memory(cached, photos):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
    command = [sys.executable, "-c", limited + _DECODE, str(photos), "-1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stderr
    assert list(cached.iterdir()) == []
