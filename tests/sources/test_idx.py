import gzip
import struct

import numpy as np
import pytest

from noonchi.errors import DataError
from noonchi.sources import load
from noonchi.sources.idx import read_idx


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 4), np.uint8)
LABELS = (np.arange(20) % 2).astype(np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_gzipped_files_give_their_array(tmp_path, pack):
    path = tmp_path / ("a.gz" if pack is gzip.compress else "a")
    path.write_bytes(pack(idx(IMAGES)))
    assert (read_idx(path) == IMAGES).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"\x89PNG....", "not an IDX file: it begins with 89504e47"),
        (b"\0\0\x0d\x01\0\0\0\1....", "numbers of type 0x0d"),
        (idx(IMAGES)[:9], "cut off in its header"),
        (idx(IMAGES)[:-1], "is cut off before the 240 bytes"),
        (idx(IMAGES) + b"x", "goes on after the 240 bytes"),
        (struct.pack(">HBB4I", 0, 8, 4, *[2**32 - 1] * 4), "is cut off before"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_named_with_its_damage(tmp_path, content, reason, packed):
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=reason):
        read_idx(path)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(idx(IMAGES))[:-12],
        flipped(gzip.compress(idx(IMAGES)), 40),
        flipped(gzip.compress(idx(IMAGES)), -6),
    ],
)
def test_a_damaged_gzip_file_cannot_be_read(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.gz' (cannot be read|is cut off)"):
        read_idx(tmp_path / "a.gz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("second", ["t10k-{}-idx{}-ubyte", "test-{}-idx{}-ubyte", "t10k-{}.idx{}-ubyte"])
def test_a_folder_gives_train_and_test(tmp_path, second):
    for name in ("train-{}-idx{}-ubyte", second):
        (tmp_path / name.format("images", 3)).write_bytes(idx(IMAGES))
        (tmp_path / name.format("labels", 1)).write_bytes(idx(LABELS))
    index = load(tmp_path)
    assert index.array is not None
    assert index.array.shape == (40, 3, 4, 1)
    assert index.ids[20] == "test/0"
    assert len(index.positions("test")) == 20
    assert len(index.positions("val")) > 0


def test_a_folder_without_labels_says_what_it_lacks(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(DataError, match="lacks the labels of its train pictures"):
        load(tmp_path)


def test_images_and_labels_must_agree_in_number(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:-1]))
    with pytest.raises(DataError, match="20 images and 19 labels"):
        load(tmp_path)
