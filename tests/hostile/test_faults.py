"""Faults of disks, places and processes: what was whole stays whole, and one line says what to do."""

import contextlib
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import noonchi
import writers
from noonchi import files
from noonchi.errors import RunError
from noonchi.results import Step
from noonchi.selftest import identity
from writers import NEW, OLD, WRITERS

WRITE = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"  # a pool of threads would not be there any more in a forked process
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import writers
writers.warm_up(Path({place!r}))
armed = True
writers.WRITERS[sys.argv[1]].write(Path(sys.argv[2]), int(sys.argv[3]))
"""


# Every writer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writers")
    writers.draw_material(folder)
    return folder


@pytest.fixture(scope="module")
def written(place: Path, fault_at: Callable[..., bool]) -> Callable[..., bool]:
    """Writes what a name stands for, in a process whose Nth file operation meets a fault."""
    code = WRITE.format(tests=str(Path(writers.__file__).parent), place=str(place))

    def write(name: str, folder: Path, content: int, number: int = 0, how: str = "fail") -> bool:
        return fault_at(number, how, code, name, folder, content)

    return write


@pytest.mark.parametrize("how", ["fail", "exit"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_fault_at_any_file_operation_of_any_writer_leaves_the_old_or_the_new(place, monkeypatch, written, name, how):
    monkeypatch.setenv("NOONCHI_CACHE", str(place))  # readers set it
    read, folder, before = WRITERS[name].read, place / "folder", place / "before"
    for left in (folder, before):
        shutil.rmtree(left, ignore_errors=True)
    before.mkdir()
    written(name, before, OLD)
    shutil.copytree(before, folder)
    written(name, folder, NEW)
    contents = [read(before) if any(before.iterdir()) else {}, read(folder)]
    for number in itertools.count(1):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        reached = written(name, folder, NEW, number, how)
        found = read(folder)
        assert all(value in [one.get(part) for one in contents] for part, value in found.items()), number
        assert found.keys() >= contents[OLD].keys(), number
        if how == "exit" and leftovers(folder):
            written(name, folder, NEW)
            assert read(folder) == contents[NEW], number
        assert leftovers(folder) == [], number
        if not reached:
            break
    assert found == contents[NEW]
    assert number > 4


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


# A run from beginning to end

RECIPE = """
recipe = "faults"
[model]
network = "mnist-mlp"
[fit]
epochs = 2
optimizer = "adamw"
checkpoint_every_s = 0.001
[pixels]
size = [8, 8]
[device]
name = "cpu"
precision = "float32"
threads = 1
[record]
plots = false
tensorboard = false
report = false
"""
TRAIN = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
import torch
torch.set_num_threads(1)
from noonchi import cli
from noonchi.errors import RunError

def noonchi(*words):
    sys.argv = ["noonchi", "train", *words]
    return cli._run()

os.chdir({place!r})
assert noonchi("data.npz", "--recipe", "recipe.toml", "--out", "whole") == 0
armed = True
code = noonchi(*sys.argv[1:])
assert code in (0, 2, 3, 4), code
if code:
    raise RunError("told in a line")
"""


def prepare(folder: Path, bars: Callable[..., Any]) -> None:
    images, labels = bars(120, classes=4)
    np.savez(folder / "data.npz", x=images, y=labels)
    (folder / "recipe.toml").write_text(RECIPE)


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_run_that_meets_a_fault_at_any_file_operation_goes_on_to_the_same_bits(
    tmp_path, fault_at, bars, rng, times, how
):
    """Of its 319 operations."""
    prepare(tmp_path, bars)
    code, run = TRAIN.format(place=str(tmp_path)), tmp_path / "run"
    begin = ("data.npz", "--recipe", "recipe.toml", "--out", "run")
    for number in rng.sample(range(1, 331), times(15, 330)):
        fault_at(number, how, code, *begin)
        again = ("--resume", "run") if (run / "recipe.toml").exists() else begin
        assert not fault_at(0, how, code, *again)
        assert identity(run) == identity(tmp_path / "whole"), number
        assert leftovers(run) == [], number
        shutil.rmtree(run)


# Full disks and places that cannot be written

SCENE = """
import contextlib, io, json, os, resource, subprocess, sys
from noonchi import cli

def noonchi(*words, **changed):
    \"\"\"The exit code and the lines on standard error of a command line.\"\"\"
    before = dict(os.environ)
    os.environ.update(changed)
    sys.argv = ["noonchi", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    os.environ.clear()
    os.environ.update(before)
    return code, err.getvalue().splitlines()

def train(*words, **changed):
    return noonchi("train", *words, **changed)

def mount(*words):
    subprocess.run(["mount", *words], check=True)

def listed(folder):
    return sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)

"""


@cache
def own_mounts() -> list[str] | None:
    """What runs a command that may mount as it likes, seen by nobody else; None where the system forbids it."""
    command = ["unshare", "--mount", *(["--map-root-user"] if sys.platform != "win32" and os.geteuid() else [])]
    try:
        subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return command


def played(folder: Path, code: str, *arguments: str, mounting: bool = True) -> Any:
    """What a scene in a folder gives; skips where it needs to mount and may not."""
    command = own_mounts() if mounting else []
    if command is None:
        pytest.skip("this system lets nobody mount a folder read-only")
    environment = os.environ | {"NOONCHI_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [*command, sys.executable, "-c", SCENE + code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FULL = """
from pathlib import Path
from noonchi.selftest import identity

kind, saved = sys.argv[1], False
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

def limit(event, about):
    global saved
    if kind == "limit" and not saved and event == "os.rename" and str(about[1]).endswith("/last"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
        saved = True

begin = "data.npz", "--recipe", "recipe.toml"
assert train(*begin, "--out", "whole")[0] == 0
os.mkdir("disk")
if kind == "tmpfs":
    mount("-t", "tmpfs", "-o", "size=1000k", "none", "disk")
sys.addaudithook(limit)
code, told = train(*begin, "--out", "disk/run")
last = listed("disk/run/last")
step = json.loads(Path("disk/run/last/training.json").read_text())["step"]
if kind == "tmpfs":
    mount("-o", "remount,size=99m", "disk")
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
assert train("--resume", "disk/run")[0] == 0
print(json.dumps({
    "code": code,
    "told": told[-1],
    "step": step,
    "same": identity(Path("whole")) == identity(Path("disk/run")),
    "hidden": [name for name in listed("disk") if "/." in name],
}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
@pytest.mark.parametrize("kind", ["tmpfs", "limit"])
def test_a_save_without_room_is_told_with_its_size_and_with_room_the_run_ends_in_the_same_bits(tmp_path, bars, kind):
    prepare(tmp_path, bars)
    kind = kind if own_mounts() else "limit"
    found = played(tmp_path, FULL, kind, mounting=kind == "tmpfs")
    sizes = {
        "tmpfs": r"No space left on device, \d+\.\d kB needed and \d+\.\d kB free",
        "limit": r"File too large, \d+\.\d kB needed",
    }[kind]
    remedy = "Make room, then go on with: noonchi train --resume disk/run."
    assert re.fullmatch(rf"noonchi: 'disk/run/last/training.safetensors': {sizes}. {remedy}", found["told"])
    assert found["code"] == 4
    assert found["step"] >= 1, "what was saved before is gone"
    assert found["same"]
    assert found["hidden"] == []


OPENED = """
opened = set()

def watch(event, about):
    if event == "open" and about[2] & (os.O_WRONLY | os.O_RDWR):
        opened.add(os.path.abspath(str(about[0])))

sys.addaudithook(watch)
everything = [word for name in ("plots", "tensorboard", "report") for word in ("--set", f"record.{name}=true")]
assert train("data.npz", "--recipe", "recipe.toml", "--out", "run", *everything)[0] == 0
own = os.path.abspath("run") + os.sep
print(json.dumps(sorted(name.removeprefix(own) for name in opened if name.startswith(own))))
"""


def test_everything_that_a_run_writes_is_whole_or_not_there_but_for_its_lock_and_its_log(tmp_path, bars):
    prepare(tmp_path, bars)
    opened = played(tmp_path, OPENED, mounting=False)
    assert {name for name in opened if not files.is_unfinished(Path(name))} == {".lock", "train.log"}
    assert len(opened) > 15


READ_ONLY = """
def read_only(folder):
    mount("--bind", folder, folder)
    mount("-o", "remount,bind,ro", folder)

found = {}
def scene(name, *words, **changed):
    found[name] = noonchi(*words, **changed)

os.makedirs("locked/cache")
os.makedirs("locked/here")
before = listed("photos")
frozen = ["--set", "model.network=mnist-deep-convnet", "--set", "model.freeze=flatten", "--set", "fit.epochs=3"]
begin = "photos", "--recipe", "recipe.toml", "--out"
read_only("photos")
read_only("locked")
scene("data", "train", *begin, "one")
scene("cache", "train", *begin, "two", *frozen, NOONCHI_CACHE="locked/cache")
scene("cache is a file", "train", *begin, "three", NOONCHI_CACHE="recipe.toml")
scene("cache cannot be made", "train", *begin, "four", NOONCHI_CACHE="/proc/none/cache")
del os.environ["NOONCHI_CACHE"]
home = os.path.abspath("locked/home")
scene("home", "train", *begin, "five", "--set", "record.plots=true", HOME=home, XDG_CACHE_HOME="")
before_out = listed(".")
fresh = {"NOONCHI_CACHE": os.path.abspath("fresh")}
scene("out", "train", *begin, "locked/here/run", **fresh)
scene("out is there", "train", *begin, "locked/here", **fresh)
scene("search", "tune", *begin, "locked/here/run", **fresh)
os.chdir("locked/here")
scene("default", "train", "../../photos", "--recipe", "../../recipe.toml", **fresh)
os.chdir("../..")
made = [name for name in listed(".") if name not in before_out]
os.rename("one", "locked_run")
read_only("locked_run")
scene("resume", "train", "--resume", "locked_run", **fresh)
scene("report", "report", "locked_run", **fresh)
scene("compare", "compare", "two", "three", "--html", "locked/here/a.html")
found["left"] = [name for name in listed("photos") if name not in before] + made
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory, bars: Callable[..., Any]) -> dict[str, Any]:
    """What command lines said in a place with folders that cannot be written."""
    place = tmp_path_factory.mktemp("read-only")
    prepare(place, bars)
    for number, (image, label) in enumerate(zip(*bars(60, classes=3), strict=True)):
        path = place / "photos" / "abc"[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    return played(place, READ_ONLY)


def test_pictures_that_cannot_be_written_beside_are_trained_on_and_nothing_is_left_there(read_only):
    assert read_only["data"][0] == 0
    assert read_only["left"] == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cache", "Read-only file system"),
        ("cache is a file", "Not a directory"),
        ("cache cannot be made", "No such file or directory"),
        ("home", "Read-only file system"),
    ],
)
def test_a_cache_that_cannot_be_written_is_told_in_a_line_and_done_without(read_only, name, reason):
    code, lines = read_only[name]
    told = [line for line in lines if "cannot be kept" in line]
    assert code == 0
    assert re.fullmatch(rf"frames of .* cannot be kept in '.*' \({reason}\); they are decoded into memory.", told[0])
    assert len(told) == (3 if name == "cache" else 1)
    assert all(re.search(rf"features .* \({reason}\); they are computed into memory", line) for line in told[1:])
    assert not [line for line in lines if "atplotlib" in line]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("out", "'locked/here/run' cannot be written: no file can be made in '.*/locked/here'. Let it be written, or"),
        ("out is there", "'locked/here' cannot be written: no file can be made in 'locked/here'"),
        ("search", "'locked/here/run' cannot be written"),
        ("default", "'runs' cannot be written: no file can be made in '.*/locked/here'. .* give another --out"),
        ("resume", "'locked_run' cannot be written: no file can be made in 'locked_run'"),
        ("report", "--out locked_run/report.html: no file can be written in 'locked_run'; give another place"),
        ("compare", "--html locked/here/a.html: no file can be written in 'locked/here'; give another place"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_in_a_line_before_a_picture_is_decoded(read_only, name, told):
    code, lines = read_only[name]
    assert code == (2 if name in ("report", "compare") else 4)
    assert len(lines) == 1
    assert re.match(f"noonchi: {told}", lines[0])


# A terminal that is closed

LONG = (
    RECIPE.replace("epochs = 2", "epochs = 8")
    .replace("[pixels]", "[batches]\nsize = 1\n[pixels]")
    .replace("0.001", "1000")
)
ON_A_TERMINAL = """
import fcntl, os, runpy, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv.pop(1) == "nohup" else signal.SIG_DFL)
runpy.run_module("noonchi", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def trained_on_a_terminal(folder: Path, how: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A training that has ended its first epoch, on a terminal of which the user's end is given."""
    ours, theirs = pytest.importorskip("pty", reason="this system has no terminals to close").openpty()
    train = ["train", "data.npz", "--recipe", "recipe.toml", "--out", "run"]
    command = [sys.executable, "-c", ON_A_TERMINAL, how, *train]
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, cwd=folder, start_new_session=True, **ends) as child:
        os.close(theirs)
        try:
            while child.poll() is None and not (folder / "run" / "history.csv").exists():
                if select.select([ours], [], [], 0.01)[0]:
                    os.read(ours, 10_000)
            assert child.poll() is None, "it ended by itself"
            yield child, ours
        finally:
            child.kill()


def whole(folder: Path) -> Path:
    return noonchi.train(folder / "data.npz", folder / "recipe.toml", out=folder / "whole", show=lambda _: None).folder


def test_a_training_whose_terminal_is_closed_saves_and_goes_on_to_the_same_bits(tmp_path, bars):
    prepare(tmp_path, bars)
    (tmp_path / "recipe.toml").write_text(LONG.replace("epochs = 8", "epochs = 50"))  # or a busy machine sees its end
    with trained_on_a_terminal(tmp_path, "plain") as (child, ours):
        child.send_signal(signal.SIGHUP)  # a shell sends one too
        os.close(ours)
        assert child.wait(10) == 130
    run = tmp_path / "run"
    assert (run / "train.log").read_text().splitlines()[-1].endswith("go on with: noonchi train --resume run")
    assert not (run / "test.json").exists()
    assert (run / "last" / "training.json").exists()
    assert leftovers(run) == []
    noonchi.resume(run, show=lambda _: None)
    assert identity(run) == identity(whole(tmp_path))


def test_a_training_that_is_not_to_end_with_its_terminal_goes_on(tmp_path, bars):
    prepare(tmp_path, bars)
    (tmp_path / "recipe.toml").write_text(LONG)
    with trained_on_a_terminal(tmp_path, "nohup") as (child, ours):
        os.close(ours)
        child.wait(60)
    assert (tmp_path / "run" / "test.json").exists()
    assert identity(tmp_path / "run") == identity(whole(tmp_path))


# What others do to a run's folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, bars: Callable[..., Any]) -> Path:
    """A folder with a run that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("begun")
    prepare(folder, bars)

    def show(moment: object) -> None:
        if isinstance(moment, Step) and moment.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noonchi.train(folder / "data.npz", folder / "recipe.toml", out=folder / "run", show=show)
    return folder


@pytest.mark.parametrize(
    "name",
    ["plots", "answers", "tensorboard", "best", "last", ".last.old", ".last.new", ".best.old", ".lock", "train.log"],
)
def test_a_link_in_a_run_is_refused_and_nothing_is_written_or_removed_where_it_leads(tmp_path, begun, name):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(begun / "run", run)
    elsewhere.mkdir()
    if name in ("best", "last", "train.log"):
        (run / name).rename(elsewhere / "moved")
    (run / name).symlink_to(elsewhere / ("moved" if name in ("best", "last", "train.log") else ""))
    before = {path: path.is_file() and path.read_bytes() for path in elsewhere.rglob("*")}
    with pytest.raises(RunError, match=rf"'{run / name}' is a link; a run keeps all in its own folder\. Put what"):
        noonchi.resume(run, show=lambda _: None)
    assert {path: path.is_file() and path.read_bytes() for path in elsewhere.rglob("*")} == before


def test_a_link_in_place_of_a_file_that_is_not_whole_yet_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / ".a.txt.new").symlink_to("target")
    files.write(tmp_path / "a.txt", "new")
    assert ((tmp_path / "a.txt").read_text(), (tmp_path / "target").read_text()) == ("new", "mine")
    assert not (tmp_path / "a.txt").is_symlink()


def test_a_run_whose_folder_is_removed_stops_and_says_so(tmp_path, bars):
    prepare(tmp_path, bars)

    def show(moment: object) -> None:
        if isinstance(moment, Step) and moment.epoch == 2 and (tmp_path / "run").exists():
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(RunError, match=r"run' has lost its recipe\.toml while it was trained, .*; train again\."):
        noonchi.train(tmp_path / "data.npz", tmp_path / "recipe.toml", out=tmp_path / "run", show=show)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_training_whose_messages_find_no_room_goes_on(tmp_path, bars):
    prepare(tmp_path, bars)
    command = [sys.executable, "-m", "noonchi", "train", "data.npz", "--recipe", "recipe.toml", "--out", "run"]
    with Path("/dev/full").open("w") as full:
        subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=full, check=True)
    assert (tmp_path / "run" / "test.json").exists()
