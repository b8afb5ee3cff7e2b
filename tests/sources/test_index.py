import numpy as np

from noonchi.sources.index import array_hashes, column, in_order


def test_equal_bytes_in_another_shape_hash_apart():
    flat = np.arange(8, dtype=np.uint8)
    assert array_hashes(flat.reshape(1, 2, 4, 1)) != array_hashes(flat.reshape(1, 4, 2, 1))


def test_equal_pictures_hash_alike_wherever_they_lie_in_memory():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    images[1] = images[0]
    assert len({*array_hashes(images), *array_hashes(np.asfortranarray(images))}) == 1


def test_whole_numbers_are_ordered_by_value():
    assert in_order(map(str, range(11)))[-2:] == ("9", "10")


def test_codes_name_each_text():
    made = column(["b", "a", "b"])
    assert [made.classes[code] for code in made.codes] == ["b", "a", "b"]
