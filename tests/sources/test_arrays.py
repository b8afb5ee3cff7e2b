import numpy as np
import pytest

from noonchi.errors import DataError
from noonchi.sources import load
from noonchi.sources.arrays import as_column, as_images

LEVELS = np.random.default_rng(0).integers(0, 256, (20, 3, 4), np.uint8)
LABELS = np.arange(20) % 2


def test_uint8_pictures_are_not_copied():
    assert as_images(LEVELS, "x").base is LEVELS


@pytest.mark.parametrize(
    "given", [LEVELS / 255, (LEVELS / 255).astype(np.float32), LEVELS.astype(float), LEVELS.astype(np.int64)]
)
def test_other_numbers_give_the_same_levels(given):
    assert (as_images(given, "x")[..., 0] == LEVELS).all()


@pytest.mark.parametrize("shape", [(20, 3, 4, 1), (5, 3, 4, 3)])
def test_channels_come_last(shape):
    assert as_images(np.zeros(shape, np.uint8), "x").shape == shape


@pytest.mark.parametrize("shape", [(20,), (20, 12), (20, 3, 4, 4), (20, 3, 28, 28), (0, 3, 4), (20, 0, 4)])
def test_another_shape_is_refused(shape):
    with pytest.raises(DataError, match="images have shape"):
        as_images(np.zeros(shape, np.uint8), "x")


@pytest.mark.parametrize("value", [-1.0, 256.0, np.nan, np.inf])
def test_values_out_of_range_are_refused(value):
    with pytest.raises(DataError, match=r"expected 0\.\.1 or 0\.\.255"):
        as_images(np.full((2, 3, 4), value), "x")


@pytest.mark.parametrize("kind", [bool, complex, object, str])
def test_another_type_is_refused(kind):
    with pytest.raises(DataError, match="images are of type"):
        as_images(np.zeros((2, 3, 4), kind), "x")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([3, 10, 3]), ("3", "10")),
        (np.array([[3], [10], [3]], np.uint8), ("3", "10")),
        (np.array([3.0, 10.0, 3.0]), ("3", "10")),
        (np.array(["cat", "dog", "cat"]), ("cat", "dog")),
        (np.array(["cat", "dog", "cat"], object), ("cat", "dog")),
        (np.array([False, True, False]), ("False", "True")),
        (np.eye(2)[[0, 1, 0]], ("0", "1")),
    ],
)
def test_labels_may_be_numbers_texts_or_one_hot(labels, classes):
    column = as_column(labels, "y")
    assert column.classes == classes
    assert column.codes.tolist() == [0, 1, 0]


def test_a_one_hot_class_without_pictures_keeps_its_number():
    assert as_column(np.eye(3)[[0, 2]], "y").classes == ("0", "1", "2")


def test_rows_with_several_ones_are_several_labels():
    index = load((LEVELS, np.array([[1, 1, 0], [0, 0, 0]] * 10)))
    assert index.heads[0].kind == "labels"
    assert index.heads[0].classes == ("0", "1", "2")
    assert index.labels["label"][:2].tolist() == [[1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.5, 1.0]),
        np.array([np.nan, 1.0]),
        np.array([None, "a"], object),
        np.array([[0, 2]]),
        np.array([["a", "b"]]),
        np.zeros((1, 1, 1)),
    ],
)
def test_other_labels_are_refused(labels):
    with pytest.raises(DataError, match="y: labels"):
        as_column(labels, "y")


def test_negative_labels_are_refused():
    with pytest.raises(DataError, match="label -1 is negative"):
        as_column(np.array([-1, 0, 1]), "y")


@pytest.mark.parametrize("labels", [LABELS[:-1], 3])
def test_each_image_needs_one_label(labels):
    with pytest.raises(DataError, match="each image needs one"):
        load((LEVELS, labels))


def test_one_class_is_too_few():
    with pytest.raises(DataError, match="needs 2"):
        load((LEVELS, np.zeros(20, int)))


def test_several_heads_come_as_a_mapping():
    index = load((LEVELS, {"digit": LABELS, "place": ["in", "out"] * 10}))
    assert [head.name for head in index.heads] == ["digit", "place"]


def test_ragged_images_are_refused():
    with pytest.raises(DataError, match="do not form one array"):
        load(([np.zeros((2, 2)), np.zeros((3, 3))], [0, 1]))
