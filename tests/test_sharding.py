"""Pictures packed into shards, and trained on from there: nothing changes but where they lie."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from hashlib import blake2b

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import noonchi as package
from noonchi import cache, pixels, settings, sharding, sources
from noonchi.errors import DataError, SettingsError
from noonchi.settings import HeadSettings, PixelSettings, RunSettings
from noonchi.sources.shards import UNFINISHED, table

QUICK = ["record.plots=false", "record.tensorboard=false", "record.report=false", "device.precision=float32"]


@pytest.fixture
def photos(tmp_path):
    """Pictures of several kinds and sizes, in two classes, one with a name that needs care."""
    endings = ("png", "jpg", "webp", "gif", "bmp", "tif", "ppm")
    for number in range(42):
        path = tmp_path / "photos" / ("cat", "눈치 dog.s")[number % 2] / f"{number}.v2.{endings[number % 7]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(0, 256, (10 + number % 3, 12, 3), np.uint8)
        Image.fromarray(levels).save(path)
    return tmp_path / "photos"


def packed(data, out, *changes, **options):
    """Shards of at most one megabyte; every line that was shown."""
    shown = []
    done = sharding.shard(data, out, settings.load(None, changes), shown.append, **({"shard_mb": 1} | options))
    return done, [event.text for event in shown if isinstance(event, package.results.Note)]


def held(folder):
    """Each file of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_hold_the_same_pictures_in_the_same_order_with_the_same_splits(tmp_path, photos):
    packed(photos, tmp_path / "shards")
    one, other = sources.load(photos), sources.load(tmp_path / "shards")
    assert (one.name, list(one.ids), list(one.hashes)) == (other.name, list(other.ids), list(other.hashes))
    assert one.splits.tolist() == other.splits.tolist()
    assert one.heads == other.heads
    assert one.labels["label"].tolist() == other.labels["label"].tolist()
    assert [path.read_bytes() for path in one.files] == list(other.packed)


def test_training_on_shards_gives_the_bits_of_training_on_their_folder(tmp_path, photos, one_thread):
    packed(photos, tmp_path / "shards")
    runs = {}
    for data in (photos, tmp_path / "shards"):
        out = tmp_path / f"run-{data.name}"
        changes = [*QUICK, "pixels.size=[20, 20]", "batches.size=8"]
        package.train(data, "photos-small", out=out, epochs=2, overrides=changes, show=lambda _: None)
        with (out / "history.csv").open() as file:
            history = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
        weights = [(out / part / "weights.safetensors").read_bytes() for part in ("best", "last")]
        runs[data.name] = (history, weights, (out / "splits.csv").read_bytes())
        cache.clear(cache.kept())
    assert runs["photos"] == runs["shards"]


def test_a_run_on_shards_is_resumed_and_scored(tmp_path, photos, noonchi, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed(photos, tmp_path / "shards")
    package.train("shards", "photos-small", out="run", epochs=1, size=20, overrides=QUICK, show=lambda _: None)
    before = (tmp_path / "run" / "test.json").read_bytes()
    assert noonchi("train", "--resume", "run").code == 0
    assert (tmp_path / "run" / "test.json").read_bytes() == before
    scored = json.loads(noonchi("val", "run", "--json").out)
    assert scored["accuracy"] == json.loads(before)["test"]["accuracy"]
    other = noonchi("val", "run", "--data", tmp_path / "shards" / "index.parquet", "--json")
    assert json.loads(other.out)["accuracy"] == scored["accuracy"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_webdataset_reads_them(tmp_path, photos):
    import webdataset

    packed(photos, tmp_path / "shards")
    index = sources.load(photos)
    found = {}
    for path in sorted((tmp_path / "shards").glob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
            about = json.loads(sample["json"])
            (picture,) = (value for name, value in sample.items() if not name.startswith("_") and name != "json")
            found[about["id"]] = (sample["__key__"], picture, about["split"], about["labels"]["label"])
    assert len({key for key, *_ in found.values()}) == len(index)
    for at, (name, file) in enumerate(zip(index.ids, index.files, strict=True)):
        label = index.heads[0].classes[index.labels["label"][at]]
        assert found[name][1:] == (file.read_bytes(), index.splits[at], label)


def test_a_file_is_named_by_what_it_is(tmp_path, photos):
    (photos / "cat" / "0.v2.png").rename(photos / "cat" / "0.jpg")
    packed(photos, tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "000000.tar") as tar:
        for member in tar.getmembers():
            if not member.name.endswith(".json"):
                kind = Image.open(tar.extractfile(member)).format.lower()
                assert member.name.endswith({"jpeg": "jpg", "tiff": "tif"}.get(kind, kind))


def test_the_same_data_give_the_same_bytes(tmp_path, photos):
    packed(photos, tmp_path / "one")
    packed(shutil.copytree(photos, tmp_path / "other" / "photos"), tmp_path / "two")
    assert held(tmp_path / "one") == held(tmp_path / "two")


def test_a_shard_holds_pictures_of_every_class_and_ends_near_its_size(tmp_path, rng):
    for number in range(300):
        path = tmp_path / "photos" / str(number // 100) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (60, 60, 3), np.uint8)).save(path)
    done, _ = packed(tmp_path / "photos", tmp_path / "shards")
    index = sources.load(tmp_path / "shards")
    assert done.shards == 4
    assert all(path.stat().st_size < 1_050_000 for path in (tmp_path / "shards").glob("*.tar"))
    for number in range(4):
        assert set(index.labels["label"][index.shards == number]) == {0, 1, 2}


def test_heads_are_asked_of_the_columns_that_the_data_had(tmp_path, bars):
    images, labels = bars(60, classes=4)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    packed(tmp_path / "a.npz", tmp_path / "shards")
    asked = {"odd": HeadSettings(column="label", kind="binary", map={str(n): ("even", "odd")[n % 2] for n in range(4)})}
    one, other = (sources.load(data, None, asked) for data in (tmp_path / "a.npz", tmp_path / "shards"))
    assert one.heads == other.heads
    assert one.labels["odd"].tolist() == other.labels["odd"].tolist()


def test_several_labels_and_one_hot_columns_stay_what_they_are(tmp_path, photos):
    with (tmp_path / "t.csv").open("w", encoding="utf-8") as file:
        file.write("file_name,tags,id,a,b\n")
        for number, path in enumerate(sorted(photos.rglob("*.*"))):
            if path.is_file():
                name = path.relative_to(tmp_path)
                file.write(f"{name},{('x|y', 'y', '')[number % 3]},{number % 2},{number % 2},{1 - number % 2}\n")
    packed(tmp_path / "t.csv", tmp_path / "shards", "heads.tags.kind=labels", "heads.id.kind=classes")
    asked = {"tags": HeadSettings(kind="labels"), "id": HeadSettings(), "ab": HeadSettings(columns=("a", "b"))}
    one, other = (sources.load(data, None, asked) for data in (tmp_path / "t.csv", tmp_path / "shards"))
    assert one.heads == other.heads
    for head in asked:
        assert one.labels[head].tolist() == other.labels[head].tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_an_array_are_kept_to_the_last_bit(tmp_path, bars, channels):
    images, labels = bars(40, classes=2, channels=channels)
    packed((images, labels), tmp_path / "shards")
    one, other = sources.load((images, labels)), sources.load(tmp_path / "shards")
    assert list(one.hashes) == list(other.hashes)
    assert one.splits.tolist() == other.splits.tolist()
    asked = pixels.resolve(PixelSettings(), files=other.encoded)
    assert (cache.decode(other, asked).array == images).all()


def test_splits_are_settled_when_sharding(tmp_path, photos):
    packed(photos, tmp_path / "shards", "data.validation_share=0.0", "data.test_share=0.5")
    at_rest = sources.load(tmp_path / "shards", RunSettings().data.but(test_share=0.9, validation_share=0.9))
    whole = sources.load(photos, RunSettings().data.but(test_share=0.5, validation_share=0.0))
    assert at_rest.splits.tolist() == whole.splits.tolist()
    assert "val" not in at_rest.splits


def test_with_a_size_every_picture_is_stored_as_its_pixels(tmp_path, photos):
    packed(photos, tmp_path / "shards", "pixels.fit=pad", size=16)
    index, asked = sources.load(tmp_path / "shards"), PixelSettings(size=(16, 16), channels=3, fit="pad")
    folder = sources.load(photos)
    for content, file in zip(index.packed, folder.files, strict=True):
        assert content.startswith(b"P6\n16 16\n255\n")
        assert (pixels.read(content, asked) == pixels.read(file, asked)).all()
    assert not set(index.hashes) & set(folder.hashes), "at another size they are other pictures, also for the cache"
    assert [blake2b(one, digest_size=16).hexdigest() for one in index.packed] == list(index.hashes)


def test_what_cannot_be_decoded_is_left_out_and_listed(tmp_path, photos):
    cut = photos / "cat" / "14.v2.png"
    cut.write_bytes(cut.read_bytes()[:100])
    with pytest.raises(DataError, match=r"1 of 42 pictures cannot be used, first 'cat/14\.v2\.png'"):
        packed(photos, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
    done, told = packed(photos, tmp_path / "shards", "data.max_unusable=0.1")
    assert (done.pictures, done.unusable) == (41, 1)
    assert any(line.startswith("not usable: cat/14.v2.png: damaged") for line in told)
    assert sources.read_unusable(tmp_path / "shards" / "unusable.csv")[0][0] == "cat/14.v2.png"
    index = sources.load(tmp_path / "shards")
    assert "cat/14.v2.png" not in list(index.ids)
    assert len(list(index.packed)) == 41


@pytest.mark.parametrize("other", ["notes.txt", "000000.tar", "index.parquet"])
def test_a_folder_that_holds_other_things_is_refused_and_left_alone(tmp_path, photos, other):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / other).write_text("mine")
    with pytest.raises(SettingsError, match="holds"):
        packed(photos, tmp_path / "shards")
    assert held(tmp_path / "shards") == {other: b"mine"}


def test_shards_whose_index_is_not_written_are_unfinished_and_written_anew(tmp_path, photos, noonchi):
    packed(photos, tmp_path / "whole")
    packed(photos, tmp_path / "shards")
    (tmp_path / "shards" / table.NAME).rename(tmp_path / "shards" / f".{table.NAME}.new")
    (tmp_path / "shards" / UNFINISHED).touch()
    (tmp_path / "shards" / "000007.tar").write_bytes(b"half")
    answer = noonchi("check", tmp_path / "shards")
    assert answer.code == 3
    assert "holds unfinished shards: noonchi shard was stopped. Run it again." in answer.err
    assert noonchi("shard", photos, tmp_path / "shards", "--shard-mb", 1).code == 0
    assert held(tmp_path / "shards") == held(tmp_path / "whole")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_leaves_nothing_and_killed_what_the_next_one_replaces(tmp_path, photos, how, signalled, noonchi):
    big = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for number in range(6):
        Image.fromarray(np.roll(big, number, axis=0)).save(photos / "cat" / f"big-{number}.png")
    arguments = ["shard", photos, tmp_path / "shards", "--shard-mb", 1]
    command = [sys.executable, signalled(how, "open", "000002.tar"), *map(str, arguments)]
    stopped = subprocess.run(command, check=False, capture_output=True, text=True)
    if how == signal.SIGINT:
        assert (stopped.returncode, stopped.stderr.strip()) == (130, "noonchi: stopped.")
        assert not (tmp_path / "shards").exists()
    else:
        assert stopped.returncode == -how
        assert sorted(held(tmp_path / "shards"))[-3:] == ["000000.tar", "000001.tar", UNFINISHED]
    assert "48 pictures in" in noonchi(*arguments).out
    packed(photos, tmp_path / "whole")
    assert held(tmp_path / "shards") == held(tmp_path / "whole")


FULL = """
import resource, signal
from noonchi import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_no_room_is_one_line_and_leaves_nothing(tmp_path, photos):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(photos / "cat" / "b.png")
    command = [sys.executable, "-c", FULL, "shard", str(photos), str(tmp_path / "shards")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("\n") == 1
    assert "000000.tar'. Make room there" in done.stderr
    assert not (tmp_path / "shards").exists()


def test_pictures_are_written_once_whatever_the_number_of_processors(tmp_path, photos, monkeypatch):
    packed(photos, tmp_path / "one")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    packed(photos, tmp_path / "two")
    assert held(tmp_path / "one") == held(tmp_path / "two")


def test_a_folder_within_the_data_is_refused(photos):
    with pytest.raises(SettingsError, match="shards' would lie among the pictures; give a place outside of"):
        packed(photos, photos / "shards")
    assert not (photos / "shards").exists()


def test_two_at_once_do_not_write_into_one_folder(tmp_path, photos):
    (tmp_path / "shards").mkdir()
    with FileLock(tmp_path / "shards" / ".lock"), pytest.raises(SettingsError, match="is being written by another"):
        packed(photos, tmp_path / "shards")
    packed(photos, tmp_path / "shards")
    assert len(sources.load(tmp_path / "shards")) == 42


@pytest.mark.parametrize("size", [None, 16])
def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path, photos, monkeypatch, size):
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(SettingsError, match=r"42 pictures take .* free\. Make room, or give a folder on another disk"):
        packed(photos, tmp_path / "shards", size=size)
    assert not (tmp_path / "shards").exists()


def test_shards_may_be_sharded_again(tmp_path, bars):
    images, labels = bars(40, classes=2)
    packed((images, labels), tmp_path / "one")
    packed(tmp_path / "one", tmp_path / "two")
    assert held(tmp_path / "one") == held(tmp_path / "two")


def test_check_and_look_take_shards_as_their_folder(tmp_path, photos, noonchi, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed(photos, tmp_path / "shards")
    told = []
    for data in ("photos", "shards"):
        found = json.loads(noonchi("check", data, "--json", "--html", f"{data}.html").out)
        seen = json.loads(noonchi("look", data, "--json", "--size", 16, "--out", "sheet.png").out)
        told.append((found, seen, (tmp_path / "sheet.png").read_bytes(), (tmp_path / f"{data}.html").read_bytes()))
    assert told[0] == told[1]
