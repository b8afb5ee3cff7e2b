import io
import itertools
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from encoding import COLOUR, GREY, NOISE, encoded, flat
from noonchi import pixels
from noonchi.errors import DataError, SettingsError
from noonchi.pixels import decoding
from noonchi.settings import PixelSettings


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_an_array_of_the_right_size_is_used_byte_for_byte(fit):
    image = NOISE[:8, :6]
    assert pixels.read(image, COLOUR.but(fit=fit)) is image
    assert (pixels.read(Image.fromarray(image), COLOUR.but(fit=fit)) == image).all()
    assert (pixels.read(encoded(image), COLOUR.but(fit=fit)) == image).all()


def test_path_bytes_image_and_array_give_the_same_pixels(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(NOISE))
    given = [tmp_path / "a.png", encoded(NOISE), Image.open(tmp_path / "a.png"), NOISE]
    assert len({pixels.read(one, COLOUR).tobytes() for one in given}) == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 10_000, 3), (10_000, 1, 3)])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_thin_and_tiny_pictures_fit(shape, fit):
    assert pixels.read(np.full(shape, 255, np.uint8), COLOUR.but(fit=fit)).max() == 255


def test_squash_averages_over_all_pixels():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(pixels.read(stripes, GREY).astype(int) - 127).max() <= 4


def test_crop_keeps_the_middle():
    wide = np.zeros((8, 20), np.uint8)
    wide[:, 7:13] = 200
    assert (pixels.read(wide, GREY.but(fit="crop")) == 200).all()


def test_pad_keeps_the_whole_on_black():
    wide = np.full((4, 6), 200, np.uint8)
    assert pixels.read(wide, GREY.but(fit="pad"))[:, 0, 0].tolist() == [0, 0, 200, 200, 200, 200, 0, 0]


UPRIGHT = decoding._UPRIGHT
SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(["squash", "crop"]))
def test_the_middle_stays_the_middle_whatever_the_sizes(height, width, to_height, to_width, fit):
    image = np.random.default_rng(height * 60 + width).integers(0, 256, (height, width), np.uint8)
    settings = PixelSettings(size=(to_height, to_width), channels=1, fit=fit)
    straight, mirrored = (pixels.read(one, settings).astype(int) for one in (image, image[::-1, ::-1]))
    assert np.abs(straight - mirrored[::-1, ::-1]).max() <= 1


@given(SIDES, SIDES, SIDES, SIDES)
def test_borders_are_as_wide_on_one_side_as_on_the_other_and_the_shape_is_kept(height, width, to_height, to_width):
    settings = PixelSettings(size=(to_height, to_width), channels=1, fit="pad")
    inside = np.argwhere(pixels.read(np.full((height, width), 255, np.uint8), settings)[..., 0])
    first, after = inside.min(axis=0), inside.max(axis=0) + 1
    assert (np.abs(first - ([to_height, to_width] - after)) <= 1).all()
    scale = min(to_height / height, to_width / width)
    assert (np.abs(after - first - np.maximum(1, [height * scale, width * scale])) <= 0.5).all()


def in_waves(height: int, width: int) -> Image.Image:
    """Waves of 6 pixels once they are brought to 48 by 48: a tenth of a pixel is ten levels."""
    y, x = np.mgrid[:height, :width] + 0.5
    light = np.sin(16 * np.pi * y / height) * np.sin(16 * np.pi * x / width)
    return Image.fromarray(np.rint(127.5 + 127.5 * light).astype(np.uint8))


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_decoded_small_is_neither_stretched_nor_shifted(orientation, fit):
    upright = in_waves(1603, 1605)  # of neither the halves, quarters nor eighths are whole pixels
    exif = Image.Exif()
    exif[0x0112] = orientation
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(UPRIGHT[inverse]) if inverse > 1 else upright
    content = encoded(stored, "JPEG", quality=95, exif=exif)
    settings = PixelSettings(size=(48, 48), channels=1, fit=fit)
    assert max(decoding.decoded(content, "L", 48).image.size) == 201
    exact = pixels.read(np.asarray(upright), settings).astype(int)
    assert np.abs(pixels.read(content, settings) - exact).mean() < 1  # 4 to 8 where it is


def mosaic(photos: list[Path], side: int) -> Image.Image:
    """A large photo with fine detail, made of small ones at their own scale."""
    whole = Image.new("RGB", (side, side))
    tiles = itertools.product(range(0, side, 224), repeat=2)
    for place, path in zip(tiles, photos, strict=False):
        whole.paste(Image.open(path).crop((0, 0, 224, 224)), place)
    return whole


@pytest.mark.parametrize(("side", "asked", "reduced"), [(1337, 150, 669), (2681, 150, 671), (2009, 224, 1005)])
def test_a_photo_decoded_small_shows_no_other_pixels(real_data, side, asked, reduced):
    photos = sorted((real_data / "cats_dogs" / "validation").rglob("*.jpg"))
    content = encoded(mosaic(photos[::7], side), "JPEG", quality=90)
    assert decoding.decoded(content, "RGB", asked).image.size == (reduced, reduced)
    read = pixels.read(content, PixelSettings(size=(asked, asked), channels=3))
    whole = Image.open(io.BytesIO(content)).resize((asked, asked), Image.Resampling.BILINEAR)
    error = np.abs(read.astype(int) - np.asarray(whole))
    assert error.mean() < 0.3
    assert np.percentile(error, 99) <= 1
    assert error.max() <= 16


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        pixels.read(tmp_path / "none.png", COLOUR)


@pytest.mark.parametrize("array", [NOISE.astype(float), NOISE[..., :2], NOISE[0, 0], np.zeros((0, 4), np.uint8)])
def test_an_array_without_a_meaning_is_refused(array):
    with pytest.raises(DataError, match="'picture' cannot be used"):
        pixels.read(array, COLOUR)


def test_no_warning_is_lost_or_left_silenced_by_threads():
    before = list(warnings.filters)
    large = b"P5 12000 9000 255\n"  # Pillow warns of it, before we refuse it

    def work() -> None:
        for _ in range(50):
            with pytest.raises(DataError, match="megapixels"):
                pixels.read(large, COLOUR)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_an_array_gives_its_size_and_channels():
    made = pixels.resolve(PixelSettings(), array=np.zeros((2, 5, 7, 3), np.uint8))
    assert (made.size, made.channels) == ((5, 7), 3)


def test_what_is_set_is_kept():
    made = pixels.resolve(PixelSettings(size=(9, 9)), array=np.zeros((2, 5, 7, 3), np.uint8))
    assert (made.size, made.channels) == ((9, 9), 3)


def drawn(folder, *images):
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(image)
    return paths


@pytest.mark.parametrize(
    ("images", "size", "channels"),
    [
        ([flat("L", 1), flat("L", 2)], (4, 4), 1),
        ([flat("L", 1), flat("RGB", 2)], (4, 4), 3),
        ([encoded(NOISE), flat("L", 2)], (150, 150), 3),
        ([encoded(np.zeros((20, 300), np.uint8))], (150, 150), 1),
        ([b"", flat("L", 2)], (4, 4), 1),
        ([], (150, 150), 3),
    ],
)
def test_files_give_their_size_where_all_agree(tmp_path, images, size, channels):
    made = pixels.resolve(PixelSettings(), files=drawn(tmp_path, *images))
    assert (made.size, made.channels) == (size, channels)


def test_the_size_of_files_is_that_of_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = drawn(tmp_path, encoded(NOISE, exif=exif))
    assert pixels.resolve(PixelSettings(), files=files).size == (48, 64)


def test_means_for_colours_do_not_suit_grey_pictures(tmp_path):
    with pytest.raises(SettingsError, match="mean has 3 numbers for 1 channel"):
        pixels.resolve(PixelSettings(mean=(0.5, 0.5, 0.5)), array=np.zeros((2, 5, 7, 1), np.uint8))


@pytest.mark.parametrize(("mean", "std"), [((0.0,), (1.0,)), ((0.5,), (0.25,)), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))])
def test_normalised_pixels_follow_the_formula(mean, std):
    made = pixels.normalise(torch.from_numpy(NOISE[None]), PixelSettings(mean=mean, std=std))
    expected = (NOISE.transpose(2, 0, 1)[None] / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    assert made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert np.abs(made.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(("mean", "std"), [((), ()), ((0.5,), ()), ((), (0.3,)), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))])
def test_without_torch_pixels_are_normalised_to_the_same_bits(mean, std):
    settings = PixelSettings(mean=mean or None, std=std or None)
    made = np.empty((1, *NOISE.shape), np.float32)
    pixels.normalise_array(NOISE[None], settings, made)
    expected = pixels.normalise(torch.from_numpy(NOISE[None]), settings)
    assert np.array_equal(made, expected.permute(0, 2, 3, 1).numpy())


def test_normalising_leaves_the_frames_as_they_were():
    frames = torch.from_numpy(NOISE[None].copy())
    pixels.normalise(frames, PixelSettings(mean=(0.5,)))
    assert (frames.numpy() == NOISE).all()


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 1, 5, 1), (2, 2, 2, 3)])
def test_a_picture_may_be_all_border(shape):
    assert pixels.border_level(np.full(shape, 9, np.uint8)) == 9


def test_the_inside_is_no_border():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[:, 1:3, 1:3] = 255
    assert pixels.border_level(image) == 0


@pytest.mark.parametrize(
    ("mode", "ground", "training", "after"),
    [
        ("auto", 255, 0.0, 0),
        ("auto", 0, 0.0, 0),
        ("auto", 255, 250.0, 255),
        ("yes", 0, 0.0, 255),
        ("no", 255, 0.0, 255),
    ],
)
def test_light_and_dark_are_exchanged_where_that_suits(mode, ground, training, after):
    assert (pixels.invert(np.full((3, 3, 1), ground, np.uint8), mode, training) == after).all()
