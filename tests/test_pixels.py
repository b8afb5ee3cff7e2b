import io
import random
import struct
import threading
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from noonchi import pixels
from noonchi.errors import DataError, SettingsError
from noonchi.settings import PixelSettings

COLOUR = PixelSettings(size=(8, 6), channels=3)
GREY = PixelSettings(size=(8, 6), channels=1)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def promised_png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data do not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def flat(mode: str, level: object, form: str = "PNG", **options: object) -> bytes:
    return encoded(Image.new(mode, (4, 4), level), form, **options)


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_give_the_same_picture(orientation):
    upright = np.random.default_rng(1).integers(0, 256, (8, 6, 3), np.uint8)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "TIFF"):
        content = encoded(np.ascontiguousarray(stored), form, exif=exif)
        assert (pixels.read(content, COLOUR) == upright).all()


def test_malformed_exif_does_not_matter():
    content = encoded(NOISE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert (pixels.read(content, COLOUR) == pixels.read(encoded(NOISE, "JPEG"), COLOUR)).all()


@pytest.mark.parametrize(
    ("content", "level"),
    [
        (flat("1", 1), 255),
        (flat("L", 100), 100),
        (flat("RGB", (100, 100, 100)), 100),
        (flat("LA", (0, 0)), 255),
        (flat("LA", (0, 255)), 0),
        (flat("RGBA", (0, 0, 0, 0)), 255),
        (flat("RGBA", (0, 0, 0, 128)), 127),
        (flat("P", 0, transparency=0), 255),
        (flat("P", 0, "GIF", transparency=0), 255),
        (flat("L", 7, transparency=7), 255),
        (flat("CMYK", (0, 0, 0, 0), "JPEG"), 255),
        (flat("CMYK", (0, 0, 0, 255), "JPEG"), 0),
        (encoded(np.full((4, 4), 25_700, np.uint16)), 100),
        (encoded(np.full((4, 4), 65_535, np.uint16), "TIFF"), 255),
        (encoded(np.full((4, 4), 25_700, np.int32), "TIFF"), 100),
        (encoded(np.full((4, 4), 0.4, np.float32), "TIFF"), 102),
        (encoded(np.full((4, 4), 102.4, np.float32), "TIFF"), 102),
    ],
)
@pytest.mark.parametrize("settings", [COLOUR, GREY])
def test_every_mode_comes_to_the_level_it_shows(content, level, settings):
    read = pixels.read(content, settings)
    assert read.shape == (8, 6, settings.channels)
    assert (read == level).all()


@pytest.mark.parametrize(
    "levels",
    [
        np.full((4, 4), np.nan, np.float32),
        np.full((4, 4), -1, np.float32),
        np.full((4, 4), 300, np.float32),
        np.full((4, 4), 70_000, np.int32),
    ],
)
def test_levels_without_a_meaning_are_refused(levels):
    with pytest.raises(DataError, match="its levels go from"):
        pixels.read(encoded(levels, "TIFF"), GREY)


def test_the_first_frame_is_taken_at_once():
    frames = [Image.new("L", (4, 4), number % 256) for number in range(10_000)]
    content = encoded(frames[9], "GIF", save_all=True, append_images=frames)
    start = time.process_time()
    assert (pixels.read(content, GREY) == 9).all()
    assert time.process_time() - start < 0.5


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


def test_a_large_jpeg_comes_close_to_its_exact_resampling():
    ramp = np.add.outer(np.arange(1600), np.arange(1200)).astype(np.float64)
    image = Image.fromarray((ramp / ramp.max() * 255).astype(np.uint8))
    exact = np.asarray(image.resize((6, 8), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels.read(encoded(image, "JPEG", quality=95), GREY)[..., 0] - exact).max() <= 2


JPEG, PNG = encoded(NOISE, "JPEG"), encoded(NOISE)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        random.Random(0).randbytes(500),
        b"text named .png",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(NOISE, "ICO"),
        JPEG[:100],
        flipped(PNG, 30),
        flipped(PNG, PNG.index(b"IDAT") + 60),
        promised_png(9_000, 7_000),
        promised_png(50_000, 50_000),
        PNG[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 100_000_000)) + PNG[33:],
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 3, 1, 4, 8),
        *(encoded(NOISE, form)[:-200] for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP")),
        *(
            encoded(NOISE, form)[: len(encoded(NOISE, form)) // 2]
            for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
        ),
    ],
)
def test_a_damaged_or_foreign_picture_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png' cannot be used: .*\.$") as refused:
        pixels.read(path, COLOUR)
    assert "\n" not in str(refused.value)


def test_a_promise_of_gigabytes_takes_no_memory():
    tracemalloc.start()
    with pytest.raises(DataError, match="megapixels"):
        pixels.read(promised_png(50_000, 50_000), COLOUR)
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        pixels.read(tmp_path / "none.png", COLOUR)


@pytest.mark.parametrize("array", [NOISE.astype(float), NOISE[..., :2], NOISE[0, 0], np.zeros((0, 4), np.uint8)])
def test_an_array_without_a_meaning_is_refused(array):
    with pytest.raises(DataError, match="'picture' cannot be used"):
        pixels.read(array, COLOUR)


def test_no_warning_is_lost_or_left_silenced_by_threads():
    before = list(warnings.filters)
    large = promised_png(12_000, 9_000)  # Pillow warns of it, before we refuse it

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
