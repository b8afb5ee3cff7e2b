from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi.settings import DataSettings, HeadSettings
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
    index = load(table("path,digit,odd,split,group\n0.png,0,no,train,a\n1.png,1,yes,VALID,\n2.png,2,no,test,b\n"))
    assert [head.name for head in index.heads] == ["digit", "odd"]
    assert index.splits.tolist() == ["train", "val", "test"]


def test_bars_separate_labels_where_a_head_asks(table):
    content = "path,seen\n0.png,cat|dog\n1.png,\n2.png,dog\n"
    index = load(table(content), None, {"seen": HeadSettings(kind="labels")})
    assert index.labels["seen"].tolist() == [[1, 1], [0, 0], [0, 1]]


def test_bars_are_pointed_out_where_no_kind_was_asked_for(table):
    path = table("path,seen\n0.png,cat|dog\n1.png,cat\n2.png,dog\n")
    [note] = load(path).notes
    assert note == (
        "'cat|dog' of 'seen' is one class; where it is several labels of a picture, set heads.seen.kind = 'labels'"
    )
    for kind in ("labels", "classes"):
        assert load(path, None, {"seen": HeadSettings(kind=kind)}).notes == ()


def test_a_file_that_is_no_picture_is_listed(table):
    path = table(PLAIN)
    (path.parent / "1.png").write_bytes(b"text")
    (path.parent / "2.png").write_bytes((path.parent / "5.png").read_bytes())
    path = table(PLAIN + "3.png,dog\n")
    index = load(path)
    assert index.ids == ("0.png", "2.png", "3.png")
    assert index.labels["label"].tolist() == [0, 0, 1]
    assert index.unusable[0][0] == "1.png"


def test_pictures_of_one_group_never_straddle_splits(table, tmp_path):
    for number in range(6, 90):
        image = np.random.default_rng(number).integers(0, 256, (4, 4), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{'cat' if number % 2 else 'dog'},patient {number // 3}\n" for number in range(90)]
    index = load(table("path,label,group\n" + "".join(rows)))
    splits = index.splits.reshape(30, 3)
    assert (splits == splits[:, :1]).all()
    assert set(splits[:, 0]) == {"train", "val", "test"}


def test_groups_that_a_copy_joins_share_a_split(table):
    path = table("path,label,group\n0.png,cat,a\n1.png,dog,a\n2.png,cat,b\n3.png,dog,b\n4.png,cat,c\n5.png,dog,c\n")
    (path.parent / "3.png").write_bytes((path.parent / "0.png").read_bytes())
    splits = load(path, DataSettings(test_share=0.5)).splits
    assert len(set(splits[:4])) == 1


def test_one_hot_columns_are_one_head_where_asked(table):
    path = table("path,cat,dog\n0.png,1,0\n1.png,0,1\n2.png,0,1\n")
    index = load(path, None, {"pet": HeadSettings(columns=("cat", "dog"))})
    assert index.heads[0].classes == ("cat", "dog")
    assert index.labels["pet"].tolist() == [0, 1, 1]
    assert [head.name for head in load(path).heads] == ["cat", "dog"]
