from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noonchi as package
from noonchi.errors import DataError
from noonchi.settings import DataSettings, HeadSettings
from noonchi.sources import Index, load
from noonchi.sources.overrides import Override, read, write


@pytest.fixture
def root(tmp_path):
    """Ten cats, ten dogs, and one file that is no picture."""
    for at, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            image = np.random.default_rng(10 * at + number).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(image).save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "pets" / "cat" / "bad.png").write_text("no picture")
    return tmp_path / "pets"


def loaded(data: Path, *rows: Override, heads: dict[str, HeadSettings] | None = None) -> Index:
    path = data.parent / "overrides.csv"
    write(path, rows)
    return load(data, DataSettings(overrides=str(path)), heads)


def label(index: Index, picture: str, head: str = "label") -> str:
    return index.heads[0].classes[index.labels[head][index.ids.index(picture)]]


def relabel(file: str, **labels: str) -> Override:
    return Override(file, "relabel", labels)


def test_rows_come_back_as_written(tmp_path):
    rows = [
        Override("=a().png", "drop", {}, "-blank\nand tiny"),
        Override("'tis.png", "relabel", {"label": "@home", "place": "in"}, 'two, "quoted"'),
        Override("a b.png", "relabel", {"place": "out"}),
    ]
    write(tmp_path / "o.csv", rows)
    assert read(tmp_path / "o.csv") == rows
    assert [row.line for row in read(tmp_path / "o.csv")] == [3, 4, 5]
    cells = [cell for line in (tmp_path / "o.csv").read_text().splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "-", "@"))]


def test_a_file_without_rows_changes_nothing(tmp_path, root):
    write(tmp_path / "o.csv", [])
    assert (tmp_path / "o.csv").read_text() == "file_name,action,label,reason\n"
    assert loaded(root).splits.tolist() == load(root).splits.tolist()


def test_a_file_may_be_written_by_hand(tmp_path):
    (tmp_path / "o.csv").write_text("action,file_name,label\n drop ,'tis.png,\nrelabel,b.png, dog \n")
    assert read(tmp_path / "o.csv") == [Override("'tis.png", "drop"), relabel("b.png", label="dog")]


def test_a_dropped_picture_is_listed_nowhere_but_counted(root):
    dropped = [Override(file, "drop") for file in ("dog/3.png", "cat/bad.png")]
    index = loaded(root, *dropped, relabel("cat/0.png", label="dog"))
    assert len(index) == 19
    assert "dog/3.png" not in index.ids
    assert index.unusable == ()
    assert index.notes == ("changed by overrides.csv: 2 dropped, 1 relabelled",)
    assert [path.relative_to(root).as_posix() for path in index.files] == list(index.ids)


def test_a_relabelled_picture_has_the_new_class_and_its_old_split(root):
    index = loaded(root, relabel("cat/0.png", label="dog"))
    assert label(index, "cat/0.png") == "dog"
    assert sum(one["dog"] for one in index.counts("label").values()) == 11
    assert index.splits.tolist() == load(root).splits.tolist()


def test_a_class_without_pictures_is_gone(root):
    (root / "dgo").mkdir()
    Image.new("L", (8, 8)).save(root / "dgo" / "0.png")
    assert loaded(root, relabel("dgo/0.png", label="dog")).heads[0].classes == ("cat", "dog")


TABLE = "path,animal,place\ncat/0.png,cat,in\ncat/1.png,,out\ndog/0.png,dog,in\ndog/1.png,dog,out\n"


def test_a_table_is_relabelled_by_column(root):
    (root / "two.csv").write_text(TABLE)
    index = loaded(root / "two.csv", relabel("cat/1.png", animal="cat"), relabel("dog/0.png", place="out"))
    assert index.labels["animal"].tolist() == [0, 0, 1, 1]
    assert index.labels["place"].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("column", ["label", "animal"])
def test_one_column_may_be_called_label(root, column):
    (root / "one.csv").write_text("path,animal\ncat/0.png,cat\ndog/0.png,dog\ndog/1.png,dog\n")
    index = loaded(root / "one.csv", relabel("dog/1.png", **{column: "cat"}))
    assert index.labels["animal"].tolist() == [0, 1, 0]


def test_several_labels_are_joined_by_bars(root):
    (root / "one.csv").write_text("path,seen\ncat/0.png,cat\ndog/0.png,dog|cat\ndog/1.png,dog\n")
    several = {"seen": HeadSettings(kind="labels")}
    index = loaded(root / "one.csv", relabel("cat/0.png", seen="dog|cat"), heads=several)
    assert index.labels["seen"].tolist() == [[1, 1], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("file,action\n", "lacks a column 'file_name'; it has: file, action"),
        ("file_name,label\n", "lacks a column 'action'; it has: file_name, label"),
        ("file_name,action,label\ncat/0.png,remove,\n", "line 2 has action 'remove'; expected drop or relabel"),
        ("file_name,action,label\ncat/0.png,relabel,\n", "line 2 relabels 'cat/0.png' without a label"),
        ("file_name,action,label\ncat/0.png,drop,\ncat/0.png,drop,\n", "names 'cat/0.png' on lines 2 and 3; keep one"),
        (
            "file_name,action,label\n\n0.png,drop,\n",
            "line 3 names '0.png', which is not in the data; write its path",
        ),
        ("file_name,action,label\ncat/0.png,relabel,dgo\n", "line 2 has class 'dgo'. Did you mean 'dog'?"),
        ("file_name,action,label\ncat/0.png,relabel,cat|dog\n", "line 2 has class 'cat|dog'. "),
        ("file_name,action,place\ncat/0.png,relabel,in\n", "line 2 labels 'place'; the data's labels are: label"),
        ("file_name;action\n", "separates its columns by semicolons"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_is_one_line_with_exit_code_3(noonchi, root, monkeypatch, content, told):
    monkeypatch.chdir(root.parent)
    if content is not None:
        Path("o.csv").write_text(content)
    answer = noonchi("train", "pets", "--overrides", "o.csv", "--set", "data.max_unusable=0.5")
    assert told in answer.err
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)
    assert not Path("runs").exists()


def test_arrays_have_no_files_to_override(tmp_path):
    write(tmp_path / "o.csv", [])
    with pytest.raises(DataError, match="overrides are for folders and tables"):
        load((np.zeros((4, 2, 2), np.uint8), [0, 1, 0, 1]), DataSettings(overrides=str(tmp_path / "o.csv")))


def test_a_column_of_the_datas_must_not_be_taken_for_the_files_own(tmp_path):
    with pytest.raises(DataError, match="cannot have a label column 'reason'"):
        write(tmp_path / "o.csv", [relabel("a.png", reason="x")])


def test_train_obeys_records_and_a_resume_refuses_other_overrides(noonchi, root, monkeypatch):
    monkeypatch.chdir(root.parent)
    write(Path("o.csv"), [Override("cat/bad.png", "drop"), relabel("cat/0.png", label="dog")])
    quick = [
        word
        for one in ("record.plots=false", "record.tensorboard=false", "record.report=false")
        for word in ("--set", one)
    ]
    options = ("--recipe", "mnist-one-conv", "--epochs", 1, "--out", "run", "--overrides", "o.csv", *quick)
    answer = noonchi("train", "pets", *options)
    assert answer.code == 0
    assert "changed by o.csv: 1 dropped, 1 relabelled\n" in answer.err
    assert "cat/0.png,train" in (splits := Path("run/splits.csv").read_text())
    assert next(line for line in splits.splitlines() if line.startswith("cat/0.png")).endswith(",dog")
    monkeypatch.chdir(root)
    assert package.resume("../run", show=lambda _: None).epochs == 1
    write(root.parent / "o.csv", [Override("cat/bad.png", "drop")])
    refused = noonchi("train", "--resume", "../run")
    assert refused.code == 3
    assert "1 picture changed (first: 'cat/0.png')" in refused.err


def test_overrides_do_not_go_with_other_data(noonchi, root, monkeypatch):
    monkeypatch.chdir(root.parent)
    write(Path("o.csv"), [Override("cat/bad.png", "drop")])
    settings = ["record.plots=false", "record.tensorboard=false", "record.report=false"]
    package.train("pets", "mnist-one-conv", out="run", epochs=1, overrides=settings, overrides_file="o.csv", show=print)
    (root / "cat" / "bad.png").unlink()
    assert noonchi("val", "run", "--data", "pets").code == 0
