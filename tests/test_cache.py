import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi import cache, pixels, sources
from noonchi.errors import SettingsError
from noonchi.settings import PixelSettings

SETTINGS = PixelSettings(size=(6, 6), channels=3)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The folder of this test's own cache."""
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (9, 7, 3), np.uint8)


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(path)


@pytest.fixture
def photos(tmp_path) -> Path:
    for number in range(8):
        draw(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", number)
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


def test_pictures_that_come_as_bytes_give_the_frames_of_their_files(cached, photos):
    index = sources.load(photos)
    packed = replace(index, files=None, packed=[path.read_bytes() for path in index.files])
    decoded = cache.decode(packed, SETTINGS).array
    assert all((frame == pixels.read(file, SETTINGS)).all() for frame, file in zip(decoded, index.files, strict=True))
    some = packed.only(np.array([1, 0]))
    assert [some.pictures[0], some.pictures[1]] == [index.files[1].read_bytes(), index.files[0].read_bytes()]


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


def add(photos: Path, *numbers: int) -> None:
    for number in numbers:
        draw(photos / "ab"[number % 2] / f"{number}.png", number)


def test_pictures_that_were_decoded_before_are_not_decoded_again_when_some_are_added_or_removed(cached, photos):
    cache.decode(sources.load(photos), SETTINGS)
    add(photos, 8, 9)
    grown = sources.load(photos)
    for file in grown.files:
        if file.stem not in "89":
            file.unlink()  # it could not be read again
    frames = cache.decode(grown, SETTINGS)
    assert frames.usable.all()
    for file, frame in zip(grown.files, frames.array, strict=True):
        assert (frame == pixels.read(picture(int(file.stem)), SETTINGS)).all()


def test_of_other_settings_nothing_is_taken_over(cached, photos):
    cache.decode(sources.load(photos), SETTINGS)
    add(photos, 8, 9)
    index = sources.load(photos)
    padded = cache.decode(index, SETTINGS.but(fit="pad")).array
    assert all((padded[at] == pixels.read(file, SETTINGS.but(fit="pad"))).all() for at, file in enumerate(index.files))


def test_a_bad_picture_is_not_taken_over_from_frames_kept_before(cached, photos):
    spoil(photos / "a" / "2.png")
    cache.decode(sources.load(photos), SETTINGS)
    add(photos, 8)
    assert [name for name, _ in cache.decode(sources.load(photos), SETTINGS).unusable] == ["a/2.png"]


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


@pytest.mark.parametrize("edit", [lambda path: draw(path, 99), spoil])
def test_a_picture_edited_since_the_scan_is_listed_until_the_next_scan_and_never_kept_as_the_old(cached, photos, edit):
    index = sources.load(photos)
    before = index.files[0].read_bytes()
    edit(index.files[0])
    assert [name for name, _ in cache.decode(index, SETTINGS).unusable] == ["a/0.png"]
    assert cache.kept() == []
    index.files[0].write_bytes(before)
    assert (cache.decode(index, SETTINGS).array[0] == pixels.read(picture(0), SETTINGS)).all()


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
    assert sorted(one.name for one in folder.iterdir()) == ["frames.npy", "hashes.txt", "manifest.json"]


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

frames = cache.decode(sources.load(sys.argv[1]), PixelSettings(size=(6, 6), channels=3), progress)
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


def test_four_processes_that_build_at_once_give_one_result(cached, photos):
    command = [sys.executable, "-c", _DECODE + "print(frames.array.tobytes().hex())", str(photos), "-1"]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    said = {process.communicate() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    ((frames, complaint),) = said
    assert frames.strip() == cache.decode(sources.load(photos), SETTINGS).array.tobytes().hex()
    assert complaint == ""
    (folder,) = cached.iterdir()
    assert sorted(one.name for one in folder.iterdir()) == ["frames.npy", "hashes.txt", "manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_a_full_disk_falls_back_to_memory(cached, photos):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
    command = [sys.executable, "-c", limited + _DECODE, str(photos), "-1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stderr
    assert list(cached.iterdir()) == []


LARGE = PixelSettings(size=(10_000, 10_000), channels=3)


def test_more_frames_than_the_disk_has_room_for_are_refused_before_any_is_decoded(cached, photos):
    many = sources.load(photos).only(np.zeros(100_000, np.int64))
    told = r"100,000 decoded pictures of 10000x10000 take 30000\.0 GB, and the disk of '.*' has .* free\. Lower pixels"
    with pytest.raises(SettingsError, match=told):
        cache.decode(many, LARGE)
    assert list(cached.iterdir()) == []


def test_many_frames_are_told_of_before_any_is_decoded(cached, photos):
    some = sources.load(photos).only(np.zeros(16, np.int64))
    if shutil.disk_usage(photos).free < 5e9:
        pytest.skip("needs 5 GB of disk free, and takes none of it")

    def tell(text: str) -> None:
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt, match=r"16 decoded pictures of 10000x10000 take 4\.8 GB, kept in"):
        cache.decode(some, LARGE, tell=tell)
    cache.decode(some, SETTINGS, tell=tell)


def test_a_command_that_is_terminated_while_it_decodes_leaves_nothing(cached, photos, signalled):
    command = [sys.executable, signalled(signal.SIGTERM, "open", "frames.npy"), "check", str(photos)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "noonchi: stopped.")
    assert list(cached.iterdir()) == []


def test_frames_say_where_they_were_put_once(cached, photos):
    index = sources.load(photos)
    assert cache.decode(index, SETTINGS).built in cached.iterdir()
    assert cache.decode(index, SETTINGS).built is None


# What is kept


@pytest.fixture
def entry(cached, photos) -> Path:
    """The folder of frames that were made and last used an hour ago."""
    cache.decode(sources.load(photos), SETTINGS)
    (folder,) = cached.iterdir()
    an_hour_ago = time.time() - 3600
    os.utime(folder / "manifest.json", (an_hour_ago, an_hour_ago))
    return folder


def test_an_entry_tells_what_it_is_for(entry):
    (kept,) = cache.kept()
    assert (kept.kind, kept.name, kept.pictures, kept.place) == ("frames", "photos", "8 of 6x6x3, squash", entry)
    assert kept.bytes == sum(file.stat().st_size for file in entry.iterdir())


def test_use_is_noted(entry, photos):
    assert 3500 < time.time() - cache.kept()[0].used.timestamp() < 3700
    cache.decode(sources.load(photos), SETTINGS)
    assert time.time() - cache.kept()[0].used.timestamp() < 100


def test_the_last_used_comes_first(entry, photos):
    cache.decode(sources.load(photos), SETTINGS.but(fit="pad"))
    assert [kept.pictures for kept in cache.kept()] == ["8 of 6x6x3, pad", "8 of 6x6x3, squash"]


def test_nothing_is_kept_where_there_is_no_folder(cached):
    assert cache.kept() == []


def test_clearing_removes_an_entry_and_nothing_else(entry, cached):
    assert cache.clear(cache.kept()) == []
    assert list(cached.iterdir()) == []


def test_a_file_that_is_not_ours_stays_and_so_does_its_folder(entry):
    (entry / "mine.txt").write_text("x", encoding="utf-8")
    cache.clear(cache.kept())
    assert [file.name for file in entry.iterdir()] == ["mine.txt"]
    assert cache.kept() == []


@pytest.mark.parametrize("name", ["photos", "0" * 32, ".hidden", "frames.npy"])
def test_folders_of_others_are_neither_listed_nor_cleared(cached, name):
    (cached / name).mkdir(parents=True)
    (cached / name / "mine.txt").write_text("x", encoding="utf-8")
    assert cache.kept() == []


def test_a_link_to_an_entry_is_not_followed(entry, cached, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)
    assert cache.kept() == []


def test_frames_that_are_not_whole_are_leftovers(entry):
    (entry / "manifest.json").write_text("{}", encoding="utf-8")
    assert [kept.kind for kept in cache.kept()] == ["leftover"]
    assert cache.clear(cache.kept()) == []
    assert not entry.exists()


def test_a_build_under_way_is_not_cleared_and_one_that_was_killed_is(cached, photos):
    subprocess.run([sys.executable, "-c", _DECODE, str(photos), "3"], check=False)
    (killed,) = cached.iterdir()
    living = killed.with_name(f".{'0' * 32}.{os.uname().nodename}.{os.getppid()}")
    living.mkdir()
    assert [kept.kind for kept in cache.kept()] == ["leftover"]
    assert cache.clear(cache.kept()) == []
    assert list(cached.iterdir()) == [living]


_USE = (
    _DECODE
    + """
print("ready", flush=True)
input()
print(frames.array.tobytes().hex())
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows leaves what is in use")
def test_a_process_that_uses_frames_goes_on_after_they_are_cleared(entry, photos):
    frames = cache.decode(sources.load(photos), SETTINGS).array.tobytes()
    command = [sys.executable, "-c", _USE, str(photos), "-1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert cache.clear(cache.kept()) == []
        assert not entry.exists()
        assert process.communicate("\n")[0].strip() == frames.hex()


def test_what_was_cleared_is_decoded_again(entry, photos):
    cache.clear(cache.kept())
    frames = cache.decode(sources.load(photos), SETTINGS)
    assert frames.usable.all()
    assert [kept.place for kept in cache.kept()] == [entry]
