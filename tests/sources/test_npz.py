import numpy as np
import pytest

from noonchi.errors import DataError
from noonchi.sources import load

X = np.random.default_rng(0).integers(0, 256, (30, 3, 4), np.uint8)
Y = np.arange(30) % 3


def save(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def test_train_and_test_come_by_the_names_of_keras(tmp_path):
    index = load(save(tmp_path, x_train=X[:20], y_train=Y[:20], x_test=X[20:], y_test=Y[20:]))
    assert index.name == "data"
    assert len(index.positions("test")) == 10
    assert index.ids[-1] == "test/9"


def test_a_class_that_train_lacks_does_not_shift_the_others(tmp_path):
    index = load(save(tmp_path, x_train=X[:20], y_train=Y[:20] * 2 + 1, x_test=X[20:], y_test=Y[20:] * 2))
    assert index.heads[0].classes == ("0", "1", "2", "3", "4", "5")


def test_given_validation_is_used(tmp_path):
    index = load(save(tmp_path, x_train=X[:20], y_train=Y[:20], x_val=X[20:], y_val=Y[20:]))
    assert index.positions("val").tolist() == list(range(20, 30))


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("images", "labels")])
def test_one_piece_is_split_by_content(tmp_path, x, y):
    index = load(save(tmp_path, **{x: X, y: Y}))
    assert set(index.splits.tolist()) == {"train", "val", "test"}


def test_missing_labels_are_named(tmp_path):
    with pytest.raises(DataError, match="'x_test' without 'y_test'"):
        load(save(tmp_path, x_train=X, y_train=Y, x_test=X))


def test_other_names_are_listed(tmp_path):
    with pytest.raises(DataError, match="holds pictures, names; expected x_train"):
        load(save(tmp_path, pictures=X, names=Y))


def test_shapes_must_agree_between_splits(tmp_path):
    with pytest.raises(DataError, match="one shape in all splits"):
        load(save(tmp_path, x_train=X, y_train=Y, x_test=X[:, :2], y_test=Y))


def test_pickled_objects_are_never_loaded(tmp_path):
    with pytest.raises(DataError, match="plain arrays"):
        load(save(tmp_path, x=X, y=np.array([{"a": 1}] * 30, object)))


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_archive_is_refused(tmp_path, keep):
    path = save(tmp_path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cannot be read as an \.npz"):
        load(path)


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(DataError, match="holds one array"):
        load(tmp_path / "x.npz")
