"""Shards read from a folder and from addresses: every picture once and unharmed, or one line that says why not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from PIL import Image

import noonchi as package
from noonchi import cache, files, settings, sharding, sources
from noonchi.errors import DataError
from noonchi.settings import PixelSettings
from noonchi.sources import shards
from noonchi.sources.index import Column
from noonchi.sources.shards import common, remote, spool, table
from noonchi.sources.shards.pictures import Pictures
from noonchi.sources.shards.remote import Patience
from noonchi.sources.shards.shelf import Shelf
from noonchi.sources.shards.table import Shard, Table
from servers import closed_address, serving

SMALL = PixelSettings(size=(8, 8), channels=3)
QUICK = ["record.plots=false", "record.tensorboard=false", "record.report=false", "device.precision=float32"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of two classes."""
    folder = tmp_path_factory.mktemp("shards") / "photos"
    for number in range(100):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(0, 256, (130 + number, 80, 3), np.uint8)
        Image.fromarray(levels).save(path)
    return folder


@pytest.fixture(scope="module")
def packed(photos):
    """The same in five shards; only read."""
    done = sharding.shard(photos, photos.parent / "packed", settings.load(None), lambda _: None, shard_mb=1)
    assert done.shards == 5
    return photos.parent / "packed"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A cache of its own; and nobody waits long for a server that fails on purpose."""
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=3, pause_s=0.001, timeout_s=5))


@pytest.fixture
def copy(tmp_path, packed):
    """A copy of the shards, to be damaged."""
    return shutil.copytree(packed, tmp_path / "copy")


def all_of(photos):
    """The pictures' files, in the data's order."""
    return [path.read_bytes() for path in sources.load(photos).files]


def everything(address):
    """Every picture at an address, in the data's order."""
    index = sources.load(address)
    index.prepare([2])
    return list(index.packed)


def spooled():
    """What lies in the spool."""
    return sorted((files.cache_folder() / "shards").rglob("*.tar"))


# Over the network


def test_an_address_gives_what_the_folder_gives(packed, photos):
    with serving(packed) as served:
        one, other = sources.load(packed), sources.load(served.address)
        assert (one.name, list(one.ids), list(one.hashes)) == (other.name, list(other.ids), list(other.hashes))
        assert one.splits.tolist() == other.splits.tolist()
        assert list(other.packed) == all_of(photos)
        assert list(sources.load(f"{served.address}/index.parquet?token=1").ids) == list(one.ids)


def test_decoding_fetches_each_shard_once_and_whole(packed, photos):
    with serving(packed) as served:
        index = sources.load(served.address)
        frames = cache._in_memory(cache._Job(index, SMALL, None, None)).array
        assert (frames == cache.decode(sources.load(photos), SMALL).array).all()
        for shard in packed.glob("*.tar"):
            assert served.of(shard.name) == [("", shard.stat().st_size)]


def faults(rng):
    """A server that loses, refuses, stalls and cannot continue, but never more than twice in a row."""
    kinds = ("drop", "500", "503", "whole", "stall", "429", None)
    return lambda name, before: None if before % 3 == 2 else rng.choice(kinds)


def test_whatever_the_server_does_every_picture_comes_once_and_unharmed(packed, photos, rng, monkeypatch, times):
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=4, pause_s=0.001, timeout_s=0.3))
    for _ in range(times(3, 50)):
        with serving(packed, faults(rng)) as served:
            index = sources.load(served.address)
            order = np.random.default_rng(rng.randrange(2**32)).permutation(len(index))
            index.prepare([0, 1, 2, 3, 4])
            with ThreadPoolExecutor(8) as pool:
                found = dict(zip(order.tolist(), pool.map(index.packed.__getitem__, order), strict=True))
        assert [found[at] for at in range(len(index))] == all_of(photos)


def test_a_lost_connection_is_gone_on_with_where_it_ended(packed):
    size = (packed / "000001.tar").stat().st_size
    with serving(packed, lambda name, before: "drop" if name == "000001.tar" and not before else None) as served:
        index = sources.load(served.address)
        index.prepare([1])
        assert len(index.packed[int(np.flatnonzero(index.shards == 1)[0])])
        assert served.of("000001.tar") == [("", size // 2), (f"bytes={size // 2}-", size - size // 2)]


def test_a_server_without_ranges_is_asked_for_the_whole_again(packed, photos):
    with serving(packed, lambda name, before: "drop" if name == "000001.tar" and not before else "whole") as served:
        assert list(sources.load(served.address).packed) == all_of(photos)


def test_training_over_a_bad_network_gives_the_bits_of_training_on_the_folder(
    packed, photos, tmp_path, rng, one_thread, noonchi
):
    with serving(packed, faults(rng)) as served:
        for name, data in (("far", served.address), ("near", photos)):
            changes = [*QUICK, "batches.size=16"]
            out = tmp_path / name
            package.train(data, "photos-small", out=out, epochs=1, size=20, overrides=changes, show=lambda _: None)
            cache.clear(cache.kept())
        for name in ("best/weights.safetensors", "splits.csv"):
            assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()
        assert settings.load(str(tmp_path / "far" / "recipe.toml")).data.source == served.address
        assert noonchi("train", "--resume", tmp_path / "far").code == 0
        assert noonchi("val", tmp_path / "far").code == 0


def test_a_look_at_a_few_pictures_fetches_these_alone(packed):
    with serving(packed) as served:
        index = sources.load(served.address)
        for shard in range(5):
            assert index.packed[int(np.flatnonzero(index.shards == shard)[0])]
        assert sum(sent for name, _, sent in served.asked if name.endswith(".tar")) < 5 * 60_000
        assert all(asked for name, asked, _ in served.asked if name.endswith(".tar"))
        assert not spooled()


def test_no_more_shards_than_allowed_are_kept(packed, photos):
    with serving(packed) as served:
        raw = shards._at_address(served.address, keep=2)
        most = 0
        for at in np.argsort(raw.shards, kind="stable").tolist() * 2:
            raw.packed.prepare([int(raw.shards[at]), (int(raw.shards[at]) + 1) % 5, 4, 3])
            assert raw.packed[at]
            most = max(most, len(spooled()))
        assert most == 2


def test_threads_that_all_want_other_shards_wait_for_room(packed, photos):
    with serving(packed) as served:
        raw = shards._at_address(served.address, keep=1)
        order = np.random.default_rng(0).permutation(len(raw.ids)).tolist()
        with ThreadPoolExecutor(8) as pool:
            found = dict(zip(order, pool.map(raw.packed.__getitem__, order), strict=True))
    assert [found[at] for at in range(len(found))] == all_of(photos)


def test_the_spool_is_cleared_when_a_process_ends_and_when_a_dead_one_left_it(packed, monkeypatch, tmp_path):
    code = (
        "import sys, os, signal; from noonchi import sources; i = sources.load(sys.argv[1])\n"
        "i.prepare([0]); i.packed[int(i.shards.argmin())]; print(len(list(os.scandir(sys.argv[2]))))\n"
        "if sys.argv[3] == 'killed': os.kill(os.getpid(), signal.SIGKILL)"
    )
    left = tmp_path / "cache" / "shards"
    with serving(packed) as served:
        for how, folders in (("killed", 1), ("ended", 0)):
            command = [sys.executable, "-c", code, served.address, str(left), how]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.stdout == "1\n", done.stderr
            assert len(list(left.iterdir())) == folders


def test_memory_as_any_other_store_is_read_through_fsspec(packed, photos):
    import fsspec

    system = fsspec.filesystem("memory")
    system.put(str(packed), "/far", recursive=True)
    assert list(sources.load("memory://far").packed) == all_of(photos)
    with pytest.raises(DataError, match=r"'index\.parquet' of 'memory://none' cannot be fetched: "):
        sources.load("memory://none")


def test_a_spool_that_was_given_up_fetches_anew(packed, photos):
    with serving(packed, lambda name, before: "stall" if name == "000001.tar" and not before else None) as served:
        index = sources.load(served.address)
        index.prepare([1])
        while not served.of("000001.tar"):
            assert threading.main_thread().is_alive()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(index.packed.__getitem__, int(np.flatnonzero(index.shards == 1)[0]))
            index.give_up()
            with suppress(DataError):  # it may not have asked yet
                asked.result()
        assert list(index.packed) == all_of(photos)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_at_once_what_waits_for_a_server(packed):
    code = "from noonchi import cli; cli.main()"
    with serving(packed, lambda name, before: "stall" if name == "000003.tar" else None) as served:
        command = [sys.executable, "-c", code, "check", served.address]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not served.of("000003.tar"):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        told = child.communicate(timeout=20)[1]
    assert (child.returncode, told.strip()) == (130, "noonchi: stopped.")
    assert not spooled()


# What cannot be read


def test_a_server_that_is_not_there_is_one_line(noonchi):
    answer = noonchi("check", closed_address())
    assert answer.code == 3
    assert answer.err.count("\n") == 1
    assert "cannot be fetched: Connection refused, the last of 3 tries." in answer.err


def test_a_server_that_goes_for_good_ends_training_with_one_line(packed, tmp_path, noonchi):
    with serving(packed, lambda name, before: "503" if name == "000003.tar" else None) as served:
        answer = noonchi(
            "train",
            served.address,
            *(f"--set={one}" for one in [*QUICK, "pixels.size=[20, 20]"]),
            "--out",
            tmp_path / "run",
            "--recipe",
            "photos-small",
        )
    assert answer.code == 3
    assert answer.err.splitlines()[-1] == (
        f"noonchi: '000003.tar' of '{served.address}' cannot be fetched: 503 Service Unavailable, the last of 3 tries."
    )
    assert not (tmp_path / "run").exists()


def test_a_server_that_stalls_is_given_up(packed, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=2, pause_s=0.001, timeout_s=0.2))
    with serving(packed, lambda name, before: "stall" if name == "000003.tar" and before else None) as served:
        index = sources.load(served.address)
        inside = np.flatnonzero(index.shards == 3).tolist()
        assert index.packed[inside[0]]
        with pytest.raises(DataError, match=r"cannot be fetched: no answer within 0\.2 s, the last of 2 tries"):
            [index.packed[at] for at in inside]


@pytest.mark.parametrize(
    ("name", "how", "told"),
    [
        ("index.parquet", "404", r"'index\.parquet' of '.*' cannot be fetched: 404 Not Found\."),
        ("index.parquet", "403", r"cannot be fetched: 403 Forbidden\."),
        ("index.parquet", "other", r"index\.parquet' is no index of shards; give the folder, or the address,"),
        ("000002.tar", "404", r"'000002\.tar' of 'http://127.*' cannot be fetched: 404 Not Found\."),
        (
            "000002.tar",
            "other",
            r"cannot be fetched: its bytes are not those that the index names, the last of 3 tries",
        ),
        ("000002.tar", "longer", r"cannot be fetched: it is larger than it should be, the last of 3 tries"),
    ],
)
def test_what_a_server_does_not_have_is_one_line(packed, name, how, told):
    with serving(packed, lambda asked, before: how if asked == name else None) as served:
        with pytest.raises(DataError, match=told):
            everything(served.address)
        if how in ("404", "403"):
            assert len(served.of(name)) <= 10


def test_a_shard_that_is_cut_off_on_the_server_is_one_line(copy):
    (copy / "000002.tar").write_bytes((copy / "000002.tar").read_bytes()[:-5000])
    with serving(copy) as served, pytest.raises(DataError, match=r"'000002\.tar' .* it has .* bytes, by its index "):
        everything(served.address)


def test_a_secret_in_an_address_is_not_shown():
    secret = closed_address().replace("http://", "http://me:word@") + "?token=key"
    with pytest.raises(DataError) as caught:
        sources.load(secret)
    assert not any(one in str(caught.value) for one in ("word", "token", "key"))


def test_an_address_of_an_unknown_kind_is_one_line():
    with pytest.raises(DataError, match="'nosuch://host/a' cannot be read: Protocol not known: nosuch"):
        sources.load("nosuch://host/a")


# In a folder


def test_a_picture_that_is_not_the_one_named_is_told_with_its_shard(copy):
    content = bytearray((copy / "000003.tar").read_bytes())
    content[512 + 40] ^= 1
    (copy / "000003.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"picture '.*\.png' in shard '000003\.tar' of '.*' is not the one that its"):
        list(sources.load(copy).packed)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), r"shard '.*000002\.tar' cannot be read: No such file"),
        (lambda path: path.write_bytes(b"cut"), r"shard '.*000002\.tar' has 3 bytes, by its index "),
        (lambda path: (path.unlink(), os.mkfifo(path)), r"cannot be read: not a regular file"),
    ],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_shard_that_is_not_there_or_cut_off_is_one_line(copy, damage, told):
    damage(copy / "000002.tar")
    with pytest.raises(DataError, match=told):
        list(sources.load(copy).packed)


def test_few_files_are_open_at_once_and_every_thread_reads_what_it_asked_for(tmp_path):
    for number in range(50):
        (tmp_path / f"{number}").write_bytes(bytes([number]) * 100)
    shelf = Shelf(lambda number, stop: tmp_path / str(number), keep=3)
    most = threading.Lock(), []

    def read(number):
        with most[0]:
            most[1].append(len(shelf._open))
        return shelf.read(number % 50, number % 90, 10) == bytes([number % 50]) * 10

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, np.random.default_rng(0).permutation(5000).tolist()))
    assert max(most[1]) <= 3


def table_of(packed, **changes):
    """The index of shards, changed, as a file."""
    return table.encoded(replace(table.read(packed / "index.parquet", "it"), **changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shards": lambda old: (Shard("../../etc/passwd.tar", 10**6, "0" * 32), *old[1:])}, "as a shard"),
        ({"shards": lambda old: (Shard("a/b.tar", 10**6, "0" * 32), *old[1:])}, "it names 'a/b.tar' as a shard"),
        ({"shards": lambda old: (Shard(".tar", 10**6, "0" * 32), *old[1:])}, "as a shard"),
        ({"shards": lambda old: (Shard("0.tar", 2**60, "0" * 32), *old[1:])}, "has 1152921504606846976 bytes"),
        ({"shards": lambda old: (replace(old[0], size=-1), *old[1:])}, "has -1 bytes"),
        ({"shards": lambda old: (replace(old[0], digest="x"), *old[1:])}, "it has no hash of"),
        ({"shards": lambda old: (old[0], old[0], *old[2:])}, "it names a shard twice"),
        ({"shards": lambda old: (old[0],)}, "in a shard that it does not name"),
        ({"shards": lambda old: (replace(old[0], size=5000),)}, "its shards cannot hold 100 pictures"),
        ({"shard": lambda old: old - 1}, "in a shard that it does not name"),
        ({"offset": lambda old: old - 10**6}, "lies outside of its shard"),
        ({"offset": lambda old: old + 2**62}, "lies outside of its shard"),
        ({"length": lambda old: old * 0}, "lies outside of its shard"),
        ({"length": lambda old: old + 2**62}, "lies outside of its shard"),
    ],
)
def test_an_index_that_leads_astray_is_refused(copy, changes, told):
    old = table.read(copy / "index.parquet", "it")
    changed = {name: change(getattr(old, name)) for name, change in changes.items()}
    (copy / "index.parquet").write_bytes(table_of(copy, **changed))
    with pytest.raises(DataError, match=f"index.parquet' is damaged: .*{told}"):
        sources.load(copy)


def test_an_index_that_lacks_a_column_or_has_gaps_is_refused(copy):
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pq.read_table(copy / "index.parquet")
    gaps = whole.set_column(0, "id", pa.array([None, *whole["id"].to_pylist()[1:]], pa.string()))
    texts = whole.set_column(
        whole.column_names.index("offset"), "offset", pa.array([str(one) for one in whole["offset"].to_pylist()])
    )
    for bad in (whole.drop_columns(["hash"]), gaps, texts, whole.drop_columns(["label:label"])):
        pq.write_table(bad, copy / "index.parquet")
        with pytest.raises(DataError, match=r"index\.parquet' is damaged: "):
            sources.load(copy)


def test_a_newer_format_and_what_is_no_index_are_told(copy):
    import pyarrow.parquet as pq

    whole = pq.read_table(copy / "index.parquet")
    about = json.loads(whole.schema.metadata[b"noonchi"])
    pq.write_table(
        whole.replace_schema_metadata({"noonchi": json.dumps(about | {"format": 2})}), copy / "index.parquet"
    )
    with pytest.raises(DataError, match=r"has format 2, this noonchi reads 1; update noonchi, or shard anew\."):
        sources.load(copy)
    pq.write_table(whole.replace_schema_metadata(None), copy / "index.parquet")
    with pytest.raises(DataError, match="is no index of shards"):
        sources.load(copy / "index.parquet")
    (copy / "index.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="is no index of shards"):
        sources.load(copy)


def test_a_damaged_index_is_one_line_and_never_other_data(copy, rng, times):
    whole, sound = (copy / "index.parquet").read_bytes(), sources.load(copy)
    for _ in range(times(60, 3000)):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (copy / "index.parquet").write_bytes(content[: rng.choice((len(whole), rng.randrange(len(whole))))])
        with suppress(DataError):  # which is one line
            found = sources.load(copy)
            assert list(found.ids) == list(sound.ids)
            assert found.labels["label"].tolist() == sound.labels["label"].tolist()
            assert found.splits.tolist() == sound.splits.tolist()
            assert len(list(found.packed)) == 100


def test_overrides_are_for_the_data_that_was_sharded(packed, tmp_path):
    (tmp_path / "o.csv").write_text("file_name,action\ncat/0.png,drop\n")
    with pytest.raises(DataError, match=r"cannot change shards; write them anew: noonchi shard --set data\.overrides="):
        sources.load(packed, settings.load(None).data.but(overrides=str(tmp_path / "o.csv")))


# Processes of one job


OF_JOB = """
import sys
from noonchi.sources import shards
address, keep, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
raw = shards._at_address(address, keep=keep)
order = sorted(range(len(raw.ids)), key=raw.shards.__getitem__)
for _ in range(rounds):
    for at in order:
        raw.packed.prepare(range(raw.shards[at], 5))
        raw.packed[at]
    print("read all", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def of_job(address, keep=16, rounds=1):
    """Two processes, as torchrun starts them: each reads all pictures, then waits for a line."""
    told = os.environ | {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, "-c", OF_JOB, address, str(keep), str(rounds)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    both = [subprocess.Popen(command, env=told | {"RANK": rank}, text=True, **pipes) for rank in "01"]
    try:
        yield both
    finally:
        for one in both:
            one.kill()
            one.communicate()


def read_all(*processes):
    for one in processes:
        assert one.stdout.readline() == "read all\n", one.communicate()[1]


def go_on(*processes):
    for one in processes:
        one.stdin.write("\n")
        one.stdin.flush()


def of_process(one):
    """What lies in a process's own spool."""
    return [path for path in spooled() if f".{one.pid}." in path.parent.name]


def in_common():
    """The folder of all processes that this one has started."""
    return files.cache_folder() / "shards" / spool.folder_name(os.getpid())


def times_fetched(served):
    """How often each shard was asked for as a whole."""
    return [sum(not asked for asked, _ in served.of(f"{number:06d}.tar")) for number in range(5)]


LINKS = pytest.mark.skipif(os.name != "posix", reason="Windows removes nothing that is open")


@LINKS
def test_processes_of_a_job_fetch_each_shard_once_for_all_of_them_and_leave_nothing(packed):
    with serving(packed) as served, of_job(served.address, rounds=2) as both:
        for _ in range(2):
            read_all(*both)
            go_on(*both)
        assert [one.wait() for one in both] == [0, 0]
        assert times_fetched(served) == [1] * 5
    assert list((files.cache_folder() / "shards").iterdir()) == []


@LINKS
def test_processes_of_a_job_keep_few_shards(packed):
    with serving(packed) as served, of_job(served.address, keep=2) as both:
        read_all(*both)
        assert [len(of_process(one)) for one in both] == [2, 2]
        assert 2 <= len({path.stat().st_ino for path in spooled()}) <= 4
        assert len(list(in_common().glob("*.tar"))) <= 4


@LINKS
def test_a_process_that_is_killed_while_it_fetches_keeps_no_other_waiting(packed):
    stalls = lambda name, before: "stall" if name == "000000.tar" and not before else None  # noqa: E731
    with serving(packed, stalls) as served, of_job(served.address) as both:
        while not times_fetched(served)[0]:
            assert all(one.poll() is None for one in both)
        (fetching,) = (one for one in both if any("000000" in path.name for path in of_process(one)))
        fetching.kill()
        read_all(*(one for one in both if one is not fetching))
        assert times_fetched(served)[0] == 2


@LINKS
def test_where_processes_can_have_nothing_in_common_each_fetches_for_itself(packed):
    in_common().parent.mkdir(parents=True)
    in_common().touch()
    with serving(packed) as served, of_job(served.address) as both:
        read_all(*both)
        assert times_fetched(served) == [2] * 5


@pytest.fixture
def bring(packed):
    """Fetches for a job whose processes have a folder in common."""
    with serving(packed) as served:
        named = table.read(packed / "index.parquet", "it").shards
        shared = common.Common(in_common(), keep=16)
        yield served, spool._Bring(remote.place(served.address), named, spool.private_folder(), remote.PATIENCE, shared)


@LINKS
def test_a_shard_in_common_is_not_written_to_when_it_is_asked_for_again(packed, bring):
    served, bring = bring
    paths = [bring(0, threading.Event()) for _ in range(2)]
    assert paths[0] != paths[1]
    assert paths[0].samefile(paths[1])
    assert paths[0].read_bytes() == (packed / "000000.tar").read_bytes()
    assert times_fetched(served) == [1, 0, 0, 0, 0]


@LINKS
def test_a_shard_in_common_waits_for_nothing_that_is_being_fetched(bring):
    _, bring = bring
    bring(0, threading.Event())
    while bring.slots.acquire(blocking=False):
        pass
    assert bring(0, threading.Event()).is_file()


@LINKS
def test_what_an_earlier_process_of_the_same_number_left_is_removed():
    mine = spool.private_folder()
    left = mine.with_name(mine.name[:-16] + "0" * 16)
    left.mkdir()
    spool.private_folder()
    assert mine.is_dir()
    assert not left.exists()


@LINKS
def test_a_shard_that_was_cut_off_in_common_is_fetched_anew(packed):
    in_common().mkdir(parents=True)
    for shard in table.read(packed / "index.parquet", "it").shards:
        (in_common() / f"{shard.digest}.tar").write_bytes(b"half")
    with serving(packed) as served, of_job(served.address) as both:
        read_all(*both)
        assert times_fetched(served) == [1] * 5


# A million pictures


def big(folder, pictures, count):
    """An index without its shards."""
    numbers = np.random.default_rng(0)
    digests = np.frombuffer(numbers.bytes(16 * pictures), np.uint8).reshape(-1, 16)
    made = Table(
        name="big",
        shards=tuple(Shard(f"{number:06d}.tar", 2**33, "0" * 32) for number in range(count)),
        ids=[f"train/n{one % 1000:08d}/n{one % 1000:08d}_{one}.JPEG" for one in range(pictures)],
        hashes=digests,
        contents=digests,
        splits=np.array(["test", "train", "val"])[numbers.integers(0, 3, pictures)],
        columns={"label": Column(tuple(f"n{one:08d}" for one in range(1000)), np.arange(pictures) % 1000)},
        shard=(np.arange(pictures) % count).astype(np.int32),
        offset=512 + numbers.integers(0, 2**32, pictures),
        length=numbers.integers(5000, 100_000, pictures),
    )
    folder.mkdir()
    (folder / "index.parquet").write_bytes(table.encoded(made))
    return folder


# not getrusage's figure: it would begin with that of the process of the tests, which is larger
LOAD = """
import json, pathlib, re, sys, time
from noonchi import sources
begun = time.process_time()
index = sources.load(sys.argv[1])
loaded = time.process_time()
peak = re.search("VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
import pyarrow.parquet
imported = time.process_time()
pyarrow.parquet.read_table(sys.argv[1] + "/index.parquet", use_threads=False)
bare = time.process_time() - imported
print(json.dumps([len(index), index.ids[-1], loaded - begun, (loaded - begun) / bare, int(peak) / 1024]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read as Linux tells it")
def test_a_million_pictures_load_about_as_fast_as_their_table_in_little_memory_whatever_the_shards(tmp_path):
    peaks = {}
    for count in (10, 10_000):
        folder = big(tmp_path / str(count), 1_000_000, count)
        runs = [json.loads(subprocess.check_output([sys.executable, "-c", LOAD, folder])) for _ in range(3)]
        assert runs[0][:2] == [1_000_000, "train/n00000999/n00000999_999999.JPEG"]
        assert min(seconds for *_, seconds, _, _ in runs) < 2
        assert min(ratio for *_, ratio, _ in runs) < 3
        peaks[count] = max(peak for *_, peak, _ in runs)
    assert max(peaks.values()) < 300
    assert abs(peaks[10] - peaks[10_000]) < 20


def test_texts_are_what_they_were_however_they_are_asked_for(packed):
    index = sources.load(packed)
    folder = sources.load(packed.parent / "photos")
    for one, other in ((index.ids, folder.ids), (index.hashes, folder.hashes)):
        assert list(one) == list(other) == np.array(one).tolist() == np.array(one, object).tolist()
        assert [one[at] for at in (0, 5, -1)] == [other[at] for at in (0, 5, -1)]
        assert list(one[3:9:2]) == list(other[3:9:2])
        assert other[7] in one
        assert one.index(other[7]) == 7


def test_some_pictures_of_shards_stay_in_step(packed):
    index = sources.load(packed)
    some = index.only(np.arange(len(index)) % 3 == 0)
    assert list(some.ids) == list(index.ids)[::3]
    assert [blake2b(one, digest_size=16).hexdigest() for one in some.packed] == list(some.hashes)
    assert some.shards.tolist() == index.shards[::3].tolist()
    assert isinstance(index.packed, Pictures)
