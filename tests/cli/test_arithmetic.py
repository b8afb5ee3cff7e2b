"""`noonchi conv` as a teacher types it."""

import json

import numpy as np
import pytest
from PIL import Image

MATRIX = ("--matrix", "1 2 3; 4 5 6; 7 8 9")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    levels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(levels).save("photo.png")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("28x28x1 --filters 32 --kernel 3", "output         26x26x32"),
        ("28x28", "convolution of 28x28x1: 1 filter of 3x3x1"),
        ("150x150x3 --filters 20 --kernel 3 --padding same --stride 2", "output         75x75x20"),
        ("150x150x3 --filters 20 --no-bias", "parameters     540 + 0 = 540"),
        ("26X26X32 --pool max", "output         13x13x32"),
        ("27x27x32 --pool average --kernel 3 --stride 2 --padding 1x0", "output         14x13x32"),
        ("224x224x3 --filters 64 --kernel 7 --stride 2 --padding 3", "output         112x112x64"),
        ("32x32x3 --kernel 3x5 --dilation 2", "output         28x24x1"),
    ],
)
def test_sizes_are_told(noonchi, arguments, told):
    answer = noonchi("conv", *arguments.split())
    assert answer.code == 0
    assert told in answer.out


def test_a_matrix_is_walked(noonchi):
    answer = noonchi("conv", *MATRIX, "--weights", "1 0; 0 -1")
    assert "window 4 of 4: row 2, column 2" in answer.out
    assert answer.out.endswith("output 2x2\n  -4  -4\n  -4  -4\n")


def test_a_pooling_of_a_matrix_is_walked_without_weights(noonchi):
    assert "max 5" in noonchi("conv", *MATRIX, "--pool", "max").out


def test_a_picture_is_brought_to_12_pixels_and_walked(noonchi, here):
    answer = noonchi("conv", "photo.png", "--weights", "sobel-x")
    assert answer.out.startswith("photo.png: 30x40, taken as 9x12 grey\n")
    assert "window 1 of 70" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_a_picture_without_weights_says_how_to_walk_it(noonchi, here):
    assert "give --weights, such as sobel-x" in noonchi("conv", "photo.png").out


def test_json_is_one_object_with_all_windows(noonchi, here):
    answer = noonchi("conv", "photo.png", "--size", 8, "--weights", "mean", "--json")
    found = json.loads(answer.out)
    assert found["output_shape"] == [4, 6, 1]
    assert len(found["windows"]) == 24
    assert answer.err == ""


def test_json_of_a_size_has_no_windows(noonchi):
    found = json.loads(noonchi("conv", "150x150x3", "--filters", 20, "--json").out)
    assert found == {
        "kind": "convolution",
        "input_shape": [150, 150, 3],
        "output_shape": [148, 148, 20],
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding": [[0, 0], [0, 0]],
        "dilation": [1, 1],
        "left_out": [0, 0],
        "formula": {
            "height": "floor((150 + 0 + 0 - 3) / 1) + 1 = 148",
            "width": "floor((150 + 0 + 0 - 3) / 1) + 1 = 148",
        },
        "weights": 540,
        "biases": 20,
        "parameters": 560,
        "multiply_adds": 11_828_160,
    }


@pytest.mark.parametrize("name", ["walk.gif", "walk.PNG", "walk.webp"])
def test_the_walk_becomes_an_animated_picture(noonchi, here, name):
    answer = noonchi("conv", "photo.png", "--size", 6, "--weights", "sharpen", "--out", name)
    assert answer.err == f"walk in {name}\n"
    with Image.open(name) as image:
        assert image.n_frames == 2 * 4


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "give either a size such as 28x28x1, or a picture, or --matrix"),
        (("28x28x1", *MATRIX), 2, "give either a size"),
        (("28x28x0",), 2, "'28x28x0': height, width and channels are from 1 to 100,000"),
        (("28*28",), 3, "'28*28' is neither a size such as 28x28x1 nor a picture's file"),
        (("gone.png",), 3, "'gone.png' is neither"),
        (("bad.png",), 3, "'bad.png' cannot be used"),
        ((".",), 3, "'.' cannot be used: not a file"),
        (("5x5x1", "--kernel", "7"), 2, "a kernel of height 7 does not fit into height 5"),
        (("5x5x1", "--kernel", "0"), 2, "0 came; from 1 to 100,000 is possible"),
        (("5x5x1", "--stride", "-1"), 2, "'-1' came; write 3, or 3x5"),
        (("5x5x1", "--stride", "1.5"), 2, "'1.5' came; write 3"),
        (("5x5x1", "--padding", "full"), 2, "'full' came; write same, valid"),
        (("5x5x1", "--weights", "sobel-x"), 2, "--weights: a size has no numbers to walk over"),
        (("5x5x1", "--out", "a.gif"), 2, "--out: a size has no numbers"),
        (("5x5x1", "--size", "5"), 2, "--size is what a picture is brought to"),
        ((*MATRIX, "--out", "a.gif"), 2, "--out: without weights nothing can be walked"),
        ((*MATRIX, "--weights", ""), 2, "--weights: it holds no numbers"),
        (
            (*MATRIX, "--weights", "mean", "--padding", "9999"),
            2,
            "20001x20001 numbers, padding among them, are too many",
        ),
        ((*MATRIX, "--weights", "sobel-z"), 2, "Did you mean"),
        ((*MATRIX, "--weights", "1 1; 1 1", "--kernel", "3"), 2, "--kernel: the weights are 2x2; leave it out"),
        ((*MATRIX, "--pool", "max", "--weights", "mean"), 2, "--weights: a pooling has none"),
        ((*MATRIX, "--pool", "max", "--filters", "3"), 2, "--filters: a pooling has none"),
        ((*MATRIX, "--weights", "identity", "--out", "a.mp4"), 2, "ends in .gif, .png, .webp"),
        ((*MATRIX, "--weights", "identity", "--out", "no/a.gif"), 2, "there is no folder 'no'"),
        (("--matrix", "1 2; 3", "--pool", "max"), 2, "its rows have 2, 1 numbers"),
    ],
)
def test_nonsense_is_refused_in_one_line(noonchi, here, arguments, code, told):
    (here / "bad.png").write_bytes(b"bad")
    answer = noonchi("conv", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("noonchi: ")
    assert answer.err.count("\n") == 1
    assert told in answer.err
    assert sorted(path.name for path in here.iterdir()) == ["bad.png", "photo.png"]
