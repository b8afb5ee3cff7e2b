import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi.errors import DataError
from noonchi.sources import load, picture_paths


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 4), np.uint8)).save(path)


def draw_classes(root: Path, *folders: str, count: int = 4) -> None:
    for at, folder in enumerate(folders):
        for number in range(count):
            draw(root / folder / f"{number}.png", 100 * at + number)


def test_classes_are_the_sorted_folders(tmp_path):
    draw_classes(tmp_path, "dogs", "cats")
    index = load(tmp_path)
    assert index.heads[0].classes == ("cats", "dogs")
    assert index.ids[0] == "cats/0.png"
    assert index.files[0] == tmp_path / "cats" / "0.png"
    assert index.array is None


def test_numbered_classes_are_ordered_by_value(tmp_path):
    draw_classes(tmp_path, "10", "9")
    assert load(tmp_path).heads[0].classes == ("9", "10")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_split_folders_give_the_splits(tmp_path, name):
    draw_classes(tmp_path, "train/a", "train/b", f"{name}/a", f"{name}/b", "test/a", "test/b")
    index = load(tmp_path)
    assert {split: len(index.positions(split)) for split in ("train", "val", "test")} == {
        "train": 8,
        "val": 8,
        "test": 8,
    }
    assert index.ids[index.positions("val")[0]] == f"{name}/a/0.png"


def test_a_class_missing_in_a_split_does_not_shift_the_others(tmp_path):
    draw_classes(tmp_path, "train/a", "train/b", "train/c", "val/c")
    (tmp_path / "val" / "b").mkdir()
    index = load(tmp_path)
    assert index.labels["label"][index.positions("val")].tolist() == [2] * 4
    assert index.unusable == ()


def test_the_same_bytes_have_the_same_hash(tmp_path):
    draw_classes(tmp_path, "a", "b")
    (tmp_path / "a" / "copy.png").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    index = load(tmp_path)
    assert index.hashes[index.ids.index("a/copy.png")] == index.hashes[index.ids.index("b/0.png")]


def test_files_of_the_system_are_passed_over(tmp_path):
    draw_classes(tmp_path, "a", "b")
    (tmp_path / "__MACOSX").mkdir()
    for name in (".DS_Store", "a/.DS_Store", "a/Thumbs.db", "a/._0.png", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    index = load(tmp_path)
    assert len(index) == 8
    assert index.unusable == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"hello", "not a JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not a JPEG, PNG"),
        (b"<svg onload='x()'/>", "not a JPEG, PNG"),
        (b"\0\0\0\x18ftypheic", "HEIC or AVIF"),
    ],
)
def test_what_is_no_picture_is_listed_with_its_reason(tmp_path, content, reason):
    draw_classes(tmp_path, "a", "b")
    (tmp_path / "a" / "bad.png").write_bytes(content)
    index = load(tmp_path)
    assert len(index) == 8
    assert [name for name, _ in index.unusable] == ["a/bad.png"]
    assert index.unusable[0][1].startswith(reason)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_picture_is_known_by_its_content(tmp_path, form):
    draw_classes(tmp_path, "a", "b")
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "odd.name", form)
    assert "a/odd.name" in load(tmp_path).ids


def test_pictures_outside_and_folders_within_are_listed(tmp_path):
    draw_classes(tmp_path, "a", "b", "a/deeper")
    draw(tmp_path / "stray.png", 1)
    assert load(tmp_path).unusable == (
        ("a/deeper", "a folder within a class folder"),
        ("stray.png", "outside the class folders"),
    )


def test_links_and_devices_are_neither_followed_nor_opened(tmp_path):
    root = tmp_path / "data"
    draw_classes(root, "a", "b")
    draw(tmp_path / "secret.png", 1)
    (root / "a" / "leaves.png").symlink_to(tmp_path / "secret.png")
    (root / "a" / "nowhere.png").symlink_to(root / "missing.png")
    (root / "a" / "round.png").symlink_to(root / "a" / "round.png")
    (root / "a" / "within.png").symlink_to(root / "b" / "0.png")
    (root / "outside").symlink_to(tmp_path)
    os.mkfifo(root / "a" / "fifo.jpg")
    index = load(root)
    assert "a/within.png" in index.ids
    assert dict(index.unusable) == {
        "a/leaves.png": "a link that leaves the data's folder",
        "a/nowhere.png": "a broken link",
        "a/round.png": "a broken link",
        "a/fifo.jpg": "not a regular file",
        "outside": "a link that leaves the data's folder",
    }


def test_names_of_any_kind_are_kept_and_undecodable_ones_listed(tmp_path):
    draw_classes(tmp_path, "a", "b")
    draw(tmp_path / "a" / "new\nline 😀 <img>.png", 1)
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / os.fsdecode(b"\xff.png"))
    index = load(tmp_path)
    assert "a/new\nline 😀 <img>.png" in index.ids
    assert index.unusable == (("a/\\udcff.png", "a name that is not UTF-8"),)


def test_two_class_folders_that_read_alike_are_refused(tmp_path):
    draw_classes(tmp_path, "caf\u00e9", "cafe\u0301", "b")
    with pytest.raises(DataError, match="both read 'caf\u00e9'"):
        load(tmp_path)


def test_one_class_written_in_two_ways_over_splits_is_one(tmp_path):
    draw_classes(tmp_path, "train/caf\u00e9", "train/b", "val/cafe\u0301")
    assert load(tmp_path).heads[0].classes == ("b", "caf\u00e9")


def test_classes_may_differ_by_case(tmp_path):
    draw_classes(tmp_path, "A", "a")
    assert load(tmp_path).heads[0].classes == ("A", "a")


@pytest.mark.parametrize(
    ("names", "held"),
    [
        ([], "no classes"),
        (["0.png", "1.png"], "no class with pictures"),
        (["cats/0.png"], r"1 class \('cats'\)"),
    ],
)
def test_fewer_than_two_classes_are_refused(tmp_path, names, held):
    for number, name in enumerate(names):
        draw(tmp_path / name, number)
    with pytest.raises(DataError, match=f"holds {held}; a classifier needs 2. Make one sub-folder per class."):
        load(tmp_path)


def test_splits_beside_classes_are_refused(tmp_path):
    draw_classes(tmp_path, "train/a", "train/b", "c")
    with pytest.raises(DataError, match="mixes split folders with 'c'"):
        load(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path):
    draw_classes(tmp_path, "train/a", "train/b", "val/a", "validation/a")
    with pytest.raises(DataError, match="holds both 'val' and 'validation'"):
        load(tmp_path)


def test_a_split_folder_that_leaves_is_refused(tmp_path):
    draw_classes(tmp_path, "data/train/a", "data/train/b", "elsewhere/a")
    (tmp_path / "data" / "test").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="a link that leaves"):
        load(tmp_path / "data")


def test_a_class_may_be_called_train(tmp_path):
    draw_classes(tmp_path, "train", "bus")
    assert load(tmp_path).heads[0].classes == ("bus", "train")


def test_a_folder_stands_for_the_pictures_below_it(tmp_path):
    draw_classes(tmp_path, "b/c", "a", count=1)
    (tmp_path / "notes.txt").touch()
    draw(tmp_path / ".hidden" / "0.png", 1)
    assert picture_paths(tmp_path) == [tmp_path / "a" / "0.png", tmp_path / "b" / "c" / "0.png"]
    assert picture_paths(tmp_path / "missing.png") == [tmp_path / "missing.png"]


def test_a_folder_without_pictures_to_predict_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        picture_paths(tmp_path)
