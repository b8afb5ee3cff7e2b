import time
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


def test_the_same_bytes_have_the_same_hash(tmp_path):
    draw_classes(tmp_path, "a", "b")
    (tmp_path / "a" / "copy.png").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    index = load(tmp_path)
    assert index.hashes[index.ids.index("a/copy.png")] == index.hashes[index.ids.index("b/0.png")]


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


def test_three_thousand_photos_are_looked_at_in_three_seconds(real_data):
    start = time.process_time()
    assert len(load(real_data / "cats_dogs")) == 3000
    assert time.process_time() - start < 3  # one of a fast processor
