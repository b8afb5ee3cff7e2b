from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noonchi import sources
from noonchi.errors import DataError
from noonchi.settings import DataSettings, HeadSettings


def images(count: int, first: int = 0) -> np.ndarray:
    """Distinct pictures (count, 4, 4)."""
    return np.array([np.random.default_rng(n).integers(0, 256, (4, 4)) for n in range(first, first + count)], np.uint8)


def draw_folder(root: Path, names: list[str], count: int = 4) -> Path:
    for at, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images(count, 100 * at)):
            Image.fromarray(image).save(root / name / f"{number}.png")
    return root


def test_a_built_in_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    draw_folder(tmp_path / "digits", ["a", "b"])
    monkeypatch.chdir(tmp_path)
    assert len(sources.load("digits")) == 5000
    assert sources.load("./digits").heads[0].classes == ("a", "b")
    assert sources.load(Path("digits")).heads[0].classes == ("a", "b")


def test_an_unknown_name_brings_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"'mnits' is no file, folder or built-in data set\. Did you mean 'mnist'"):
        sources.load("mnits")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "data.parquet").touch()
    with pytest.raises(DataError, match=r"expected a folder, a \.csv, an \.npz"):
        sources.load(tmp_path / "data.parquet")


def test_an_index_of_arrays_is_complete():
    index = sources.load((images(40), np.arange(40) % 4))
    assert index.name == "arrays"
    assert index.array is not None
    assert index.array.shape == (40, 4, 4, 1)
    assert index.files is None
    assert index.labels["label"].dtype == np.int64
    assert len(set(index.hashes)) == 40
    assert {len(one) for one in index.hashes} == {32}


def test_heads_are_derived_from_one_column():
    heads = {
        "digit": HeadSettings(column="label"),
        "odd": HeadSettings(column="label", kind="binary", map={"0": "even", "1": "odd", "2": "even", "3": "odd"}),
    }
    index = sources.load((images(40), np.arange(40) % 4), DataSettings(), heads)
    assert [head.name for head in index.heads] == ["digit", "odd"]
    assert (index.labels["odd"] == index.labels["digit"] % 2).all()


def test_only_keeps_everything_in_step():
    index = sources.load((images(40), np.arange(40) % 4))
    some = index.only(np.arange(40) % 2 == 1)
    assert some.ids == index.ids[1::2]
    assert some.hashes == index.hashes[1::2]
    assert some.array.tolist() == index.array[1::2].tolist()
    assert set(some.labels["label"].tolist()) == {1, 3}
    assert some.heads == index.heads


def test_positions_and_counts_cover_every_picture_once():
    index = sources.load((images(60), np.arange(60) % 3))
    positions = np.concatenate([index.positions(split) for split in ("train", "val", "test")])
    assert sorted(positions.tolist()) == list(range(60))
    assert sum(sum(one.values()) for one in index.counts("label").values()) == 60


def test_a_lasting_name_does_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.lasting_name("photos") == str(tmp_path.resolve() / "photos")


@pytest.mark.parametrize(("folder", "name"), [("my photos", "my-photos"), ("猫", "data"), ("a.b_c-1", "a.b_c-1")])
def test_the_short_name_suits_a_folder(tmp_path, folder, name):
    assert sources.load(draw_folder(tmp_path / folder, ["a", "b"])).name == name
