"""Overlays lie where the network looked, on pictures of any size, fit and orientation."""

import numpy as np
import pytest
from PIL import Image

from noonchi import explain, pixels
from noonchi.explain.drawing import placed
from noonchi.settings import PixelSettings

ORIENTATION = 0x0112


def heat(values: np.ndarray, **settings: object) -> explain.HeatMap:
    side = values.shape
    return explain.HeatMap(
        "label", "cat", 0.9, "grad-cam", "conv", values, PixelSettings(size=side, channels=3, **settings)
    )


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(60, 120), (120, 60), (20, 20), (301, 77)])
def test_what_is_bright_in_the_frame_is_hot_where_it_is_bright_in_the_picture(fit, size):
    """The picture itself, read as a frame and put back as a map, comes out where it was."""
    height, width = size
    picture = np.zeros((height, width), np.uint8)
    picture[height // 2 - height // 8 : height // 2 + height // 8, width // 2 : width // 2 + width // 6] = 255
    settings = PixelSettings(size=(40, 40), channels=1, fit=fit)
    values = pixels.read(picture, settings)[..., 0].astype(np.float32) / 255
    back = placed(values, size, settings)
    centre = [np.average(np.arange(side), weights=back.sum(axis=1 - axis)) for axis, side in enumerate(size)]
    expected = [np.average(np.arange(side), weights=picture.sum(axis=1 - axis)) for axis, side in enumerate(size)]
    assert np.abs(np.subtract(centre, expected)).max() <= max(size) / 60
    assert np.abs(back - picture / 255).mean() < 0.06


def test_what_was_cut_off_has_no_heat():
    settings = PixelSettings(size=(10, 10), channels=3, fit="crop")
    back = placed(np.ones((10, 10), np.float32), (20, 60), settings)
    assert not back[:, :20].any()
    assert (back[:, 20:40] == 1).all()
    assert not back[:, 40:].any()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_pictures_of_any_mode_are_drawn_over_in_their_own_size(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    picture = Image.fromarray(np.arange(0, 240, dtype=np.uint8).reshape(12, 20))
    (picture if mode != "I;16" else Image.fromarray(np.arange(240, dtype=np.uint16).reshape(12, 20))).convert(
        mode
    ).save(tmp_path / f"a.{suffix}")
    drawn = explain.overlay(tmp_path / f"a.{suffix}", heat(np.eye(5, dtype=np.float32)))
    assert (drawn.mode, drawn.size) == ("RGB", (20, 12))


def test_a_picture_on_its_side_is_drawn_upright(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (40, 20), (90, 90, 90)).save(tmp_path / "a.jpg", exif=exif)
    values = np.zeros((8, 8), np.float32)
    values[0, :] = 1
    drawn = explain.overlay(tmp_path / "a.jpg", heat(values))
    assert drawn.size == (20, 40)
    levels = np.asarray(drawn).astype(int)
    assert levels[:3].mean() > levels[10:].mean() + 20


def test_where_there_is_no_heat_the_picture_is_only_greyed():
    picture = np.full((6, 6, 3), (200, 100, 0), np.uint8)
    drawn = np.asarray(explain.overlay(picture, heat(np.zeros((6, 6), np.float32)))).astype(int)
    assert drawn.mean() == pytest.approx(100, abs=1)
    assert np.ptp(drawn[0, 0]) < 100
