from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi.errors import DataError
from noonchi.settings import HeadSettings
from noonchi.sources import load


@pytest.fixture
def table(tmp_path):
    """Writes a table beside the pictures 0.png to 5.png."""
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 256, (4, 4), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")

    def write(content: str | bytes) -> Path:
        path = tmp_path / "pets.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


PLAIN = "file_name,label\n0.png,cat\n1.png,dog\n2.png,cat\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("file_name", "path"),
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN + "\n",
        PLAIN.replace("0.png", "./0.png"),
    ],
)
def test_a_table_names_pictures_and_labels(table, content):
    index = load(table(content))
    assert index.name == "pets"
    assert index.ids == ("0.png", "1.png", "2.png")
    assert index.heads[0].classes == ("cat", "dog")
    assert index.labels["label"].tolist() == [0, 1, 0]


def test_every_other_column_is_a_head(table):
    index = load(table("path,digit,odd,split,group\n0.png,0,no,train,a\n1.png,1,yes,VALID,a\n2.png,2,no,test,b\n"))
    assert [head.name for head in index.heads] == ["digit", "odd"]
    assert index.splits.tolist() == ["train", "val", "test"]


def test_bars_separate_labels_where_a_head_asks(table):
    content = "path,seen\n0.png,cat|dog\n1.png,\n2.png,dog\n"
    index = load(table(content), None, {"seen": HeadSettings(kind="labels")})
    assert index.labels["seen"].tolist() == [[1, 1], [0, 0], [0, 1]]


def test_a_file_that_is_no_picture_is_listed(table):
    path = table(PLAIN)
    (path.parent / "1.png").write_bytes(b"text")
    (path.parent / "2.png").write_bytes((path.parent / "5.png").read_bytes())
    path = table(PLAIN + "3.png,dog\n")
    index = load(path)
    assert index.ids == ("0.png", "2.png", "3.png")
    assert index.labels["label"].tolist() == [0, 0, 1]
    assert index.unusable[0][0] == "1.png"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name,label\n0.png,cat\n", "lacks a column 'file_name' or 'path'; it has: name, label"),
        ("path,split\n0.png,train\n", "lacks a label column; it has: path, split"),
        ("path,label,label\n0.png,a,b\n", "must name each column once"),
        ("", "holds no rows"),
        ("path,label\n", "holds no rows"),
        ("path,label\n0.png,cat\n1.png\n", "line 3 has 1 cells for 2 columns"),
        ('path,label\n0.png,cat\n"1.png,dog\n', "line 3 is not CSV"),
        ("path,label\n0.png,cat\nx.png,dog\ny.png,dog\n", "names 2 files that are absent: x.png, y.png"),
        ("path,label\n0.png,cat\n1.png,\n2.png,dog\n", "picture '1.png' has an empty label"),
        ("path,label\n../secret.png,cat\n", "line 2 names '../secret.png'; expected a file within"),
        ("path,label\na/../../secret.png,cat\n", "expected a file within"),
        ("path,label\n/etc/passwd,cat\n", "expected a file within"),
        ("path,label\n,cat\n", "expected a file within"),
        ("path,label\n0.png,cat\n./0.png,dog\n", "names '0.png' on lines 2 and 3"),
        ("path,label,split\n0.png,cat,dev\n1.png,dog,train\n", "line 2 has split 'dev'"),
        ("path,label\n0.png,cat\n1.png,cat\n", "needs 2"),
        (b"path,label\n0.png,c\0t\n", "NUL byte on line 2"),
        (PLAIN.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"path,label\n0.png,caf\xe9\n", "line 2 is not UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(table, content, line):
    with pytest.raises(DataError) as refused:
        load(table(content))
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_link_out_of_the_folder_is_not_followed(table, tmp_path_factory):
    path = table(PLAIN)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    Image.new("L", (4, 4)).save(elsewhere)
    (path.parent / "0.png").unlink()
    (path.parent / "0.png").symlink_to(elsewhere)
    assert load(path).unusable == (("0.png", "a link that leaves the data's folder"),)


def test_only_the_first_ten_absent_files_are_named(table):
    with pytest.raises(DataError, match=r"names 12 files that are absent: a0.png, .*, a9.png\.$"):
        load(table("path,label\n" + "".join(f"a{n}.png,cat\n" for n in range(12))))
