import numpy as np
import pytest

from noonchi.errors import DataError
from noonchi.settings import HeadSettings
from noonchi.sources.heads import resolve
from noonchi.sources.index import Column, column

ANIMALS = {"animal": column(["cat", "dog", "cat", "owl"])}
IDS = ["a.png", "b.png", "c.png", "d.png"]


def test_without_settings_every_column_is_a_head():
    heads, labels = resolve({**ANIMALS, "place": column(["in", "out", "in", "in"])}, {}, IDS)
    assert [(head.name, head.kind) for head in heads] == [("animal", "classes"), ("place", "classes")]
    assert labels["place"].tolist() == [0, 1, 0, 0]


def test_mapped_classes_come_in_the_order_of_the_map():
    wings = HeadSettings(column="animal", map={"owl": "wings", "cat": "legs", "dog": "legs"})
    heads, labels = resolve(ANIMALS, {"wings": wings}, IDS)
    assert heads[0].classes == ("wings", "legs")
    assert labels["wings"].tolist() == [1, 1, 1, 0]


def test_a_map_may_name_classes_that_the_data_lack():
    kept = HeadSettings(column="animal", map={"yak": "x", "cat": "y", "dog": "y", "owl": "y"})
    heads, labels = resolve(ANIMALS, {"kept": kept}, IDS)
    assert heads[0].classes == ("x", "y")
    assert labels["kept"].tolist() == [1, 1, 1, 1]


def test_a_map_must_name_every_class_of_the_data():
    with pytest.raises(DataError, match=r"heads.animal.map leaves out 'cat', 'owl'"):
        resolve(ANIMALS, {"animal": HeadSettings(map={"dog": "x", "y": "y"})}, IDS)


def test_a_missing_column_lists_those_there_are():
    with pytest.raises(DataError, match="column 'pet', which is missing; the data have: animal"):
        resolve(ANIMALS, {"pet": HeadSettings()}, IDS)


@pytest.mark.parametrize("texts", [["cat", "cat"], []])
def test_one_class_is_too_few(texts):
    with pytest.raises(DataError, match="needs 2"):
        resolve({"label": column(texts)}, {}, IDS)


def test_binary_needs_exactly_two_classes():
    with pytest.raises(DataError, match="needs 2 classes, yet has 3"):
        resolve(ANIMALS, {"animal": HeadSettings(kind="binary")}, IDS)


def test_an_empty_label_names_its_picture():
    with pytest.raises(DataError, match=r"picture 'b\.png' has an empty label"):
        resolve({"label": column(["cat", "", "dog"])}, {}, IDS)


def test_plain_classes_become_one_hot_labels():
    heads, labels = resolve(ANIMALS, {"animal": HeadSettings(kind="labels")}, IDS)
    assert heads[0].kind == "labels"
    assert labels["animal"].dtype == np.uint8
    assert labels["animal"].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_several_labels_are_split_at_bars_and_none_is_allowed():
    heads, labels = resolve(
        {"seen": column(["cat|dog", "", "dog", "dog | cat"])}, {"seen": HeadSettings(kind="labels")}, IDS
    )
    assert heads[0].classes == ("cat", "dog")
    assert labels["seen"].tolist() == [[1, 1], [0, 0], [0, 1], [1, 1]]


def test_bars_stay_in_the_names_of_classes():
    heads, _ = resolve({"label": column(["a|b", "c"])}, {}, IDS)
    assert heads[0].classes == ("a|b", "c")


def test_several_labels_do_not_suit_a_head_of_classes():
    several = Column(("0|1", "1"), np.array([0, 1]), labels=("0", "1"))
    assert resolve({"label": several}, {}, IDS)[0][0].kind == "labels"
    with pytest.raises(DataError, match="set kind = 'labels'"):
        resolve({"label": several}, {"label": HeadSettings(kind="classes")}, IDS)


ONES = {"cat": column(["1", "0", "0"]), "dog": column(["0", "1", "1"]), "age": column(["3", "5", "4"])}
THREE = ["a.png", "b.png", "c.png"]


def test_columns_of_ones_are_one_head_in_their_order():
    heads, labels = resolve(ONES, {"pet": HeadSettings(columns=("dog", "cat"))}, THREE)
    assert [(head.name, head.kind, head.classes) for head in heads] == [("pet", "classes", ("dog", "cat"))]
    assert labels["pet"].tolist() == [1, 0, 0]


def test_columns_of_ones_may_be_binary_mapped_and_stand_beside_other_heads():
    pet = HeadSettings(columns=("cat", "dog"), kind="binary", map={"cat": "mews", "dog": "barks"})
    heads, labels = resolve(ONES, {"pet": pet, "age": HeadSettings()}, THREE)
    assert [(head.kind, head.classes) for head in heads] == [
        ("binary", ("mews", "barks")),
        ("classes", ("3", "4", "5")),
    ]
    assert labels["pet"].tolist() == [0, 1, 1]


def test_columns_of_ones_may_be_any_number_of_labels():
    seen = {"b": column(["1", "0", "1"]), "a": column(["1", "0", "0"]), "never": column(["0", "0", "0"])}
    heads, labels = resolve(seen, {"seen": HeadSettings(columns=("b", "a", "never"), kind="labels")}, THREE)
    assert heads[0].classes == ("b", "a", "never")
    assert labels["seen"].tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_a_class_of_columns_without_pictures_keeps_its_number():
    heads, labels = resolve(
        {**ONES, "ant": column(["0"] * 3)}, {"pet": HeadSettings(columns=("ant", "cat", "dog"))}, THREE
    )
    assert heads[0].classes == ("ant", "cat", "dog")
    assert labels["pet"].tolist() == [1, 2, 2]


def test_without_the_setting_each_such_column_is_a_head():
    assert [head.name for head in resolve(ONES, {}, THREE)[0]] == ["cat", "dog", "age"]


@pytest.mark.parametrize(
    ("dogs", "told"),
    [
        (["1", "1", "1"], "picture 'a.png' has 2 ones in the columns of head 'pet'; give each picture one, or"),
        (["0", "1", "0"], "picture 'c.png' has 0 ones in the columns of head 'pet'"),
        (["0", "yes", "1"], "picture 'b.png' has 'yes' in column 'dog'; expected 0 or 1"),
        (["0", "1", ""], "picture 'c.png' has '' in column 'dog'; expected 0 or 1"),
    ],
)
def test_columns_that_are_not_one_hot_name_the_picture(dogs, told):
    with pytest.raises(DataError) as refused:
        resolve({**ONES, "dog": column(dogs)}, {"pet": HeadSettings(columns=("cat", "dog"))}, THREE)
    assert str(refused.value).startswith(told)


def test_a_column_of_several_must_be_there():
    with pytest.raises(DataError, match="reads column 'yak', which is missing; the data have: cat, dog, age"):
        resolve(ONES, {"pet": HeadSettings(columns=("cat", "yak"))}, THREE)


def test_a_bar_in_the_name_of_a_column_of_labels_is_refused():
    bars = {"a|b": column(["1", "0", "1"]), "c": column(["0", "1", "1"])}
    with pytest.raises(DataError, match=r"must not hold '\|'"):
        resolve(bars, {"seen": HeadSettings(columns=("a|b", "c"), kind="labels")}, THREE)
