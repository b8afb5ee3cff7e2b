"""Any number of pictures are predicted once each, in order, to the same file whatever stops it and whoever shares."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from pyarrow import parquet

from noonchi import classifier, exported, predicting, sources
from noonchi.errors import DataError, RunError, SettingsError, StoppedError
from noonchi.export import graph
from noonchi.predicting.job import Parts
from noonchi.results import Head

KIND = Head("kind", "classes", ("cat", "=dog", "눈치"))
ODD = Head("odd", "binary", ("even", "odd"))
SEEN = Head("seen", "labels", ("tree", "car"))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@pytest.fixture
def here(tmp_path, monkeypatch, fresh):
    """A working folder with `run/`, a classifier of one head of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    fresh(KIND, ODD, SEEN).save(tmp_path / "run")
    return tmp_path


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    for number in range(300):
        folder = root / str(number % 2)
        folder.mkdir(exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 256, (9 + number % 5, 8), np.uint8)
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    (root / "0" / "002.png").write_bytes(b"text")
    return root


@pytest.fixture
def photos(here, drawn_photos):
    """A folder of 300 pictures, more than are answered at once; the second cannot be read."""
    return Path(shutil.copytree(drawn_photos, here / "photos"))


@pytest.fixture
def many(here, bars):
    """An .npz of so many pictures that there is time to be killed."""
    images, labels = bars(20_000, classes=3)
    np.savez(here / "many.npz", x=images, y=labels)
    return "many.npz"


def run(*arguments, processes=0, script=None):
    """`noonchi predict`, under torchrun where there are processes, or a script that is the same."""
    launched = (*TORCHRUN, str(processes)) if processes else ()
    command = [sys.executable, *launched, *([script] if script else ("-m", "noonchi")), "predict"]
    return subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=240)


def finished(*arguments, **how):
    done = run(*arguments, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def answers(table):
    """The probabilities of each picture."""
    return dict(zip(table["picture"].to_pylist(), table["kind_probabilities"].to_pylist(), strict=True))


def ask(path, data, of="run", **asked):
    """What the command does, in this process."""
    loaded = classifier.load(of)
    return predicting.write(path, loaded, loaded.sha256, sources.pictures(str(data)), show=lambda _: None, **asked)


@pytest.mark.parametrize("invert", ["no", "yes"])
def test_the_file_holds_what_predict_says_of_each_picture(here, photos, noonchi, invert):
    answer = noonchi("predict", "run", photos, "--out", "p.parquet", "--abstain", "0.5", "--invert", invert)
    assert answer.code == 3
    assert "1 of 300 pictures could not be read, first '0/002.png': not a whole JPEG" in answer.err
    rows = parquet.read_table("p.parquet").to_pylist()
    paths = sources.picture_paths(photos)
    assert [row["picture"] for row in rows] == [path.relative_to(photos).as_posix() for path in paths]
    [lost] = [row for row in rows if row["error"]]
    assert {name for name, value in lost.items() if value is not None} == {"picture", "error"}
    told = classifier.load("run").stream(paths, invert, lambda _: None)
    for row, one in zip([row for row in rows if row is not lost], told, strict=True):
        for head, values in one.heads.items():
            assert row[f"{head}_probabilities"] == np.float32(list(values.values())).tolist()
            assert row[f"{head}_sure"] == one.is_sure(head, 0.5)
        assert (row["kind"], row["odd"]) == (one.answer("kind"), one.answer("odd"))
        assert row["kind_probability"] == np.float32(max(one.heads["kind"].values()))
        assert row["seen"] == [name for name, p in one.heads["seen"].items() if p >= 0.5]
        assert row["seen_probability"] == [np.float32(one.heads["seen"][name]) for name in row["seen"]]


def test_classes_are_named_in_the_file(here, photos):
    ask(here / "p.parquet", photos)
    columns = parquet.read_schema("p.parquet")
    assert json.loads(columns.field("kind_probabilities").metadata[b"classes"]) == list(KIND.classes)
    assert json.loads(columns.metadata[b"noonchi"])["heads"][1] == {
        "name": "odd",
        "kind": "binary",
        "classes": ["even", "odd"],
    }
    assert "kind_sure" not in columns.names


def test_one_object_is_printed_with_json(here, photos, noonchi):
    (photos / "0" / "002.png").unlink()
    answer = noonchi("predict", "run", photos, "--out", "p.parquet", "--json")
    told = json.loads(answer.out)
    assert (answer.code, told.pop("seconds") > 0) == (0, True)
    assert told == {"predictions": "p.parquet", "pictures": 299, "unreadable": 0}
    assert not (here / "p.parquet.parts").exists()


def test_what_a_table_names_and_cannot_be_used_comes_last_with_its_reason(here):
    for number, name in enumerate(("a.png", "c.png", "d.png")):
        Image.new("L", (8, 8), 80 * number).save(here / name)
    (here / "b.png").write_bytes(b"")
    (here / "t.csv").write_text("path,label\na.png,x\nb.png,x\nc.png,y\nd.png,y\n")
    assert ask(here / "p.parquet", "t.csv").unreadable == 1
    rows = parquet.read_table("p.parquet").select(["picture", "error"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a.png", None),
        ("c.png", None),
        ("d.png", None),
        ("b.png", "an empty file"),
    ]


def test_shards_give_what_their_pictures_give(here, noonchi, bars):
    images, labels = bars(1_500, classes=3)
    np.savez(here / "few.npz", x=images, y=labels)
    assert noonchi("shard", "few.npz", "shards").code == 0
    assert "--out FILE.parquet" in noonchi("predict", "run", "shards").err
    assert noonchi("predict", "run", "shards", "--out", "p.parquet").code == 0
    ask(here / "of_arrays.parquet", "few.npz")
    found, expected = (parquet.read_table(name) for name in ("p.parquet", "of_arrays.parquet"))
    assert found["picture"].to_pylist() == list(sources.load("shards").only(sources.load("shards").reading_order).ids)
    of_shards, of_arrays = answers(found), answers(expected)
    assert of_shards.keys() == of_arrays.keys()
    for picture in of_shards:
        assert of_shards[picture] == pytest.approx(of_arrays[picture], abs=1e-6)  # other batches: other last bits


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_and_resumed_and_shared_by_two_processes_the_file_is_the_same(here, many, signalled):
    ask(here / "whole.parquet", many)
    killed = run("run", many, "--out", "p.parquet", script=signalled(signal.SIGKILL, "os.rename", "000002.parquet"))
    assert killed.returncode == -signal.SIGKILL
    script = signalled(signal.SIGKILL, "os.rename", "000009.parquet", rank=1)
    assert run("run", many, "--out", "p.parquet", processes=2, script=script).returncode
    assert not (here / "p.parquet").exists()
    out, err = finished("run", many, "--out", "p.parquet", "--json", processes=2)
    assert "of 20 parts are there already" in err
    assert json.loads(out)["pictures"] == 20_000
    assert (here / "p.parquet").read_bytes() == (here / "whole.parquet").read_bytes()
    assert not (here / "p.parquet.parts").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_signal_ends_it_with_a_line_that_says_how_to_go_on(here, many, signalled):
    script = signalled(signal.SIGTERM, "os.rename", "000003.parquet")
    stopped = run("run", many, "--out", "p.parquet", script=script)
    assert stopped.returncode == StoppedError.exit_code
    assert "3 of 20 parts kept in 'p.parquet.parts'; the same command goes on." in stopped.stderr
    assert stopped.stderr.count("\n") == 1


def test_a_model_file_answers_without_torch(here, photos, fresh):
    (photos / "0" / "002.png").unlink()
    (here / "run.onnx").write_bytes(graph.file_bytes(classifier.load("run")))
    code = "import sys; from noonchi import cli; sys.exit(cli._run() or 'torch' in sys.modules)"
    call = [sys.executable, "-c", code, "predict", "run.onnx", str(photos), "--out", "p.parquet"]
    subprocess.run(call, check=True, capture_output=True)
    told = exported.load("run.onnx").predict(sources.picture_paths(photos))
    found = parquet.read_table("p.parquet")["kind_probabilities"].to_pylist()
    assert found == [np.float32(list(one.heads["kind"].values())).tolist() for one in told]


# Parts


@pytest.fixture
def half(here, photos):
    """The parts of a prediction that was stopped before its only one was written."""

    def stop(_):
        raise KeyboardInterrupt

    loaded, given = classifier.load("run"), sources.pictures(str(photos))
    with pytest.raises(StoppedError, match="0 of 1 parts"):
        predicting.write(here / "p.parquet", loaded, loaded.sha256, given, show=stop)
    return here / "p.parquet.parts"


def test_parts_of_another_prediction_are_refused_and_kept(here, photos, half, fresh):
    before = sorted(half.iterdir())
    with pytest.raises(RunError, match=r"of another prediction: another --invert\. Finish that one"):
        ask(here / "p.parquet", photos, invert="yes")
    Image.new("L", (9, 9)).save(photos / "0" / "004.png")
    with pytest.raises(RunError, match="other pictures, or changed ones"):
        ask(here / "p.parquet", photos)
    (here / "other").mkdir()
    fresh(KIND, ODD, SEEN, seed=1).save(here / "other")
    with pytest.raises(RunError, match="another classifier, other pictures"):
        ask(here / "p.parquet", photos, of="other")
    assert sorted(half.iterdir()) == before


def test_a_folder_of_something_else_in_the_place_of_the_parts_is_refused(here, photos):
    (here / "p.parquet.parts").mkdir()
    (here / "p.parquet.parts" / "mine.txt").write_text("kept")
    with pytest.raises(RunError, match="is in the way"):
        ask(here / "p.parquet", photos)
    assert (here / "p.parquet.parts" / "mine.txt").read_text() == "kept"


def test_parts_in_use_are_refused(here, photos, half):
    with FileLock(half / ".lock"), pytest.raises(RunError, match="in use by another noonchi"):
        ask(here / "p.parquet", photos)


@pytest.mark.parametrize("damage", [b"", b"PAR1 text", None])
def test_a_part_that_is_not_whole_is_made_anew(here, photos, half, damage):
    ask(here / "whole.parquet", photos)
    part = half / "000000.parquet"
    content = (here / "whole.parquet").read_bytes()
    part.write_bytes(content[: len(content) // 2] if damage is None else damage)
    ask(here / "p.parquet", photos)
    assert (here / "p.parquet").read_bytes() == content


def test_a_part_whose_bytes_have_changed_is_never_joined(here, photos, half):
    ask(here / "whole.parquet", photos)
    content = bytearray((here / "whole.parquet").read_bytes())
    content[len(content) // 2] ^= 1  # within a page: the footer stays whole
    (half / "000000.parquet").write_bytes(content)
    with pytest.raises(RunError, match="was damaged and is removed; the same command makes it anew"):
        ask(here / "p.parquet", photos)
    ask(here / "p.parquet", photos)
    assert (here / "p.parquet").read_bytes() == (here / "whole.parquet").read_bytes()


FAULTY = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from pyarrow import parquet
from noonchi import predicting
from noonchi.predictor import Predictor
from noonchi.results import Head
from noonchi.settings import PixelSettings
from noonchi.sources import Pictures

class Levels(Predictor):
    heads, pixels, border_level = (Head("odd", "binary", ("a", "b")),), PixelSettings(size=(8, 8), channels=1), 0.0
    def of_frames(self, frames):
        return {"odd": frames.reshape(len(frames), -1).mean(axis=1, keepdims=True) / 255}

frames = np.random.default_rng(0).integers(0, 256, (1_100, 8, 8, 1), np.uint8)
names = [str(number) for number in range(len(frames))]
given = Pictures(names, names, list(frames))
pa.array(names)  # what it imports for that is imported once for all
armed = True
predicting.write(Path(sys.argv[1]), Levels(), "1", given, show=lambda _: None)
"""


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_fault_at_any_file_operation_costs_nothing_but_the_part_it_met(tmp_path, fault_at, how):
    whole, path = tmp_path / "whole.parquet", tmp_path / "p.parquet"
    fault_at(0, how, FAULTY, whole)
    number = 1
    while fault_at(number, how, FAULTY, path):
        if not path.exists() or Parts.beside(path).folder.exists():
            fault_at(0, how, FAULTY, path)
        assert path.read_bytes() == whole.read_bytes()
        assert sorted(one.name for one in tmp_path.iterdir()) == ["p.parquet", "whole.parquet"]
        path.unlink()
        number += 1
    assert number > 20


# Places


def test_a_finished_file_is_refused_before_anything_is_read(here, photos):
    (here / "p.parquet").write_bytes(b"mine")
    with pytest.raises(SettingsError, match="it exists; give another name, or remove it"):
        predicting.refuse_place(here / "p.parquet", photos)


def test_a_file_that_was_killed_while_its_parts_were_cleared_away_is_finished(here, photos, half):
    ask(here / "whole.parquet", photos)
    shutil.copy("whole.parquet", "p.parquet")
    predicting.refuse_place(here / "p.parquet", photos)
    assert ask(here / "p.parquet", photos).unreadable == 1
    assert not half.exists()


def test_another_file_beside_parts_is_refused(here, photos, half):
    ask(here / "p2.parquet", photos, invert="yes")
    shutil.move("p2.parquet", "p.parquet")
    with pytest.raises(SettingsError, match="it exists"):
        ask(here / "p.parquet", photos)
    assert half.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("photos", "--out", "p.csv"), "give it a name that ends in .parquet"),
        (("photos", "--out", "photos/p.parquet"), "it would lie among the pictures"),
        (("photos", "--out", "none/p.parquet"), "there is no folder 'none'"),
        (("photos", "run", "--out", "p.parquet"), "--out takes one PATH, and 2 came"),
        (("photos", "--out", "p.parquet", "--format", "csv"), "--out writes Parquet"),
        (("photos/0/000.png", "--out", "p.parquet"), "is not data"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(noonchi, here, photos, arguments, told):
    answer = noonchi("predict", "run", *arguments)
    assert answer.code in (SettingsError.exit_code, DataError.exit_code)
    assert told in answer.err
    assert answer.err.count("\n") == 1
    assert not list(here.glob("**/p.*"))


def test_without_pyarrow_one_line_says_what_to_install(here, photos):
    code = (
        "import sys, importlib.util as found; find = found.find_spec\n"
        "found.find_spec = lambda name, *rest: None if name == 'pyarrow' else find(name, *rest)\n"
        "from noonchi import cli; sys.exit(cli._run())"
    )
    call = [sys.executable, "-c", code, "predict", "run", "photos", "--out", "p.parquet"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == SettingsError.exit_code
    assert done.stderr == "noonchi: this needs the package pyarrow; install it: pip install 'noonchi[shards]'\n"


def test_two_heads_that_would_share_a_column_are_refused(here, photos, fresh):
    (here / "odd").mkdir()
    fresh(Head("a", "binary", ("x", "y")), Head("a_probability", "binary", ("x", "y"))).save(here / "odd")
    with pytest.raises(RunError, match="two columns would be named 'a_probability'"):
        ask(here / "p.parquet", photos, of="odd")
