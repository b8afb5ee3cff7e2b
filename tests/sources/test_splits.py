import time
from dataclasses import replace

import numpy as np
import pytest

from noonchi import sources
from noonchi.errors import DataError, RunError
from noonchi.settings import DataSettings, HeadSettings
from noonchi.sources.splits import complete, differences, read_splits, write_splits

PLAIN = DataSettings()


def hashes(count: int) -> list[str]:
    return [f"{n:032x}" for n in np.random.default_rng(0).integers(0, 2**62, count).astype(object) * 2**66]


def at(*shares: float) -> list[str]:
    """Hashes whose number u lies at these places in 0..1."""
    return [f"{int(share * 2**128):032x}" for share in shares]


def same(count: int) -> list[np.ndarray]:
    return [np.zeros(count, np.int64)]


def test_one_piece_is_cut_into_the_shares_asked_for():
    splits = complete(None, hashes(20_000), same(20_000), DataSettings(test_share=0.2, validation_share=0.25))
    assert (splits == "test").mean() == pytest.approx(0.2, abs=0.01)
    assert (splits == "val").mean() == pytest.approx(0.2, abs=0.01)


def test_pictures_added_later_move_none_that_were_there():
    many = hashes(1000)
    assert (complete(None, many, same(1000), PLAIN)[:600] == complete(None, many[:600], same(600), PLAIN)).all()


def test_identical_pictures_never_straddle_splits():
    once = hashes(300)
    splits = complete(None, once + once, same(600), PLAIN)
    assert (splits[:300] == splits[300:]).all()


def test_a_given_test_split_is_kept_and_validation_cut_from_train():
    given = np.array(["train"] * 500 + ["test"] * 100)
    splits = complete(given, hashes(600), same(600), DataSettings(validation_share=0.2))
    assert (splits[500:] == "test").all()
    assert (splits[:500] == "val").mean() == pytest.approx(0.2, abs=0.05)


def test_given_validation_is_left_as_it_is_and_no_test_is_made():
    given = np.array(["train"] * 50 + ["val"] * 10)
    assert (complete(given, hashes(60), same(60), PLAIN) == given).all()


def test_validation_on_test_cuts_nothing_from_train():
    given = np.array(["train"] * 50 + ["test"] * 10)
    assert (complete(given, hashes(60), same(60), DataSettings(validate_on_test=True)) == given).all()


def test_a_class_without_validation_pictures_gives_its_lowest_with_all_copies():
    splits = complete(None, at(0.5, 0.3, 0.3, 0.05), [np.array([1, 1, 1, 0])], PLAIN)
    assert splits.tolist() == ["train", "val", "val", "val"]


def test_a_class_of_one_picture_keeps_it_for_training():
    splits = complete(None, at(0.5, 0.5, 0.05), [np.array([1, 1, 0])], PLAIN)
    assert splits.tolist() == ["train", "train", "val"]


def test_every_label_of_several_is_validated():
    several = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.uint8)
    assert complete(None, at(0.05, 0.5, 0.4, 0.6), [several], PLAIN).tolist() == ["val", "train", "val", "train"]


def test_a_class_gives_no_key_that_holds_the_last_of_another_to_train_on():
    keys = at(0.3, 0.3, 0.4, 0.5)
    labels = np.array([0, 1, 0, 0])
    assert complete(None, keys, [labels], PLAIN).tolist() == ["train", "train", "val", "train"]


def test_a_class_in_one_key_only_keeps_it_for_training():
    assert complete(None, at(0.3, 0.3, 0.05), [np.array([0, 0, 1])], PLAIN).tolist() == ["train", "train", "val"]


def test_no_picture_left_to_train_on_is_refused():
    for given, share in ((None, 0.95), (np.array(["train", "test"]), 0.05)):
        with pytest.raises(DataError, match="no picture is left to train on"):
            complete(given, at(share, share), same(2), PLAIN)


def test_data_without_pictures_to_train_on_are_left_as_they_are():
    given = np.array(["test", "val", "test"])
    assert (complete(given, hashes(3), same(3), PLAIN) == given).all()


def small_index(*, several: bool = False) -> sources.Index:
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 3), np.uint8)
    kind = "labels" if several else "classes"
    labels = ["=cmd()|b" if n % 2 else "'b" for n in range(30)]
    return sources.load((images, {"id": labels}), None, {"id": HeadSettings(kind=kind)})


@pytest.mark.parametrize("several", [False, True])
def test_splits_come_back_as_written(tmp_path, several):
    index = small_index(several=several)
    write_splits(tmp_path / "splits.csv", index)
    recorded = read_splits(tmp_path / "splits.csv")
    assert recorded.heads == ("id",)
    assert recorded.rows[1] == (index.ids[1], index.splits[1], index.hashes[1], "=cmd()|b")
    assert recorded.rows[0][3] == "'b"
    assert differences(index, tmp_path / "splits.csv") is None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_of_a_splits_file_is_a_formula(tmp_path, start):
    index = small_index()
    index = replace(index, ids=tuple(start + one for one in index.ids))
    write_splits(tmp_path / "splits.csv", index)
    lines = (tmp_path / "splits.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert all(
        cell.startswith(("'", *"0123456789abcdef", "train", "val", "test"))
        for line in lines
        for cell in line.split(",")
    )
    assert differences(index, tmp_path / "splits.csv") is None


def test_names_with_line_breaks_quotes_and_emoji_come_back(tmp_path):
    index = small_index()
    index = replace(index, ids=tuple(f'a\n"{n}",\r😀' for n in range(30)))
    write_splits(tmp_path / "splits.csv", index)
    assert differences(index, tmp_path / "splits.csv") is None


def test_differences_count_pictures_and_name_the_first(tmp_path):
    index = small_index()
    write_splits(tmp_path / "splits.csv", index.only(np.arange(1, 30)))
    assert differences(index, tmp_path / "splits.csv") == "1 picture added (first: 'all/0')"
    write_splits(tmp_path / "splits.csv", index)
    assert differences(index.only(np.arange(28)), tmp_path / "splits.csv") == "2 pictures removed (first: 'all/28')"
    changed = replace(index, hashes=("0" * 32, *index.hashes[1:]))
    assert differences(changed, tmp_path / "splits.csv") == "1 picture changed (first: 'all/0')"
    assert differences(index.only(np.arange(30)[::-1]), tmp_path / "splits.csv") == "the same pictures in another order"


def test_other_heads_are_a_difference(tmp_path):
    index = small_index()
    write_splits(tmp_path / "splits.csv", index)
    other = replace(index, heads=(replace(index.heads[0], name="odd"),), labels={"odd": index.labels["id"]})
    assert differences(other, tmp_path / "splits.csv") == "heads were id and are odd"


@pytest.mark.parametrize("content", ["", "a,b\n", 'id,split,hash\n"x', "id,split,hash,label\na,b\n"])
def test_a_damaged_splits_file_is_refused(tmp_path, content):
    (tmp_path / "splits.csv").write_text(content)
    with pytest.raises(RunError, match=r"splits\.csv' is damaged"):
        read_splits(tmp_path / "splits.csv")


def test_seventy_thousand_rows_are_recorded_and_compared_in_three_seconds(tmp_path):
    labels = np.arange(70_000) % 10
    index = sources.load((np.arange(70_000 * 4).astype(np.uint32).view(np.uint8).reshape(70_000, 4, 4), labels))
    start = time.process_time()
    write_splits(tmp_path / "splits.csv", index)
    assert differences(index, tmp_path / "splits.csv") is None
    assert time.process_time() - start < 3  # one of a fast processor
