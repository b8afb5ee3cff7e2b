import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from noonchi import augment
from noonchi.settings import AugmentSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "keras-augment.npz"
FILLS = ["nearest", "constant", "reflect", "wrap"]
PARAMETERS = json.loads(str(np.load(GOLDEN)["parameters"]))


@pytest.fixture(scope="module")
def keras() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN))


def draws_of(parameters: dict[str, float], side: int, fill: str) -> augment.Draws:
    def one(name: str, at_rest: float = 0.0) -> np.ndarray:
        return np.array([parameters.get(name, at_rest)], dtype=float)

    moves = augment.Moves(
        rotation_degrees=one("theta"),
        shift_x=one("tx"),
        shift_y=one("ty"),
        shear_degrees=one("shear"),
        shrink_x=one("zx", 1),
        shrink_y=one("zy", 1),
        flip_x=one("flip_horizontal").astype(bool),
        flip_y=one("flip_vertical").astype(bool),
    )
    shifts = np.full((1, 3), parameters.get("channel_shift_intensity", 0.0))
    tables = augment.level_tables(one("brightness", 1), one("contrast", 1), shifts)
    return augment.Draws(moves.matrices(side, side), tables, (), fill, 40)


def applied(images: np.ndarray, draws: augment.Draws) -> np.ndarray:
    with ThreadPoolExecutor(2) as pool:
        return augment.apply(images, draws, pool).astype(int)


def on_device(images: np.ndarray, draws: augment.Draws) -> np.ndarray:
    return augment.apply_on_device(torch.from_numpy(images), draws).numpy().astype(int)


def inside(draws: augment.Draws, side: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    x, y = np.einsum("ij,jhw->ihw", draws.matrices[0], np.stack([columns, rows, np.ones_like(rows)]))
    return (x >= 0) & (x <= side - 1) & (y >= 0) & (y <= side - 1)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("way", [applied, on_device])
def test_a_varied_picture_is_keras_s_to_less_than_one_grey_level(keras, name, fill, way):
    picture = keras["picture"]
    draws = draws_of(PARAMETERS[name], len(picture), fill)
    difference = np.abs(way(picture[np.newaxis], draws)[0] - keras[f"{fill}/{name}"])
    within = inside(draws, len(picture))
    assert within.mean() > 0.3
    assert difference[within].mean() < 1


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("fill", ["nearest", "reflect"])
def test_what_lies_beyond_the_edge_is_keras_s_too(keras, name, fill):
    picture = keras["picture"]
    draws = draws_of(PARAMETERS[name], len(picture), fill)
    assert np.abs(applied(picture[np.newaxis], draws)[0] - keras[f"{fill}/{name}"]).mean() < 1


@pytest.mark.parametrize("fill", FILLS)
def test_opencv_and_torch_agree_on_every_fill_far_beyond_the_edge(keras, fill):
    picture = keras["picture"][np.newaxis]
    draws = draws_of({"theta": 20.0, "zx": 3.5, "zy": 4.5, "tx": 30.0}, picture.shape[1], fill)
    difference = np.abs(applied(picture, draws) - on_device(picture, draws))
    assert difference.mean() < 0.5
    assert difference.max() <= 8  # of the steepest edge's 255 levels, a 32nd


def test_opencv_and_torch_agree_on_all_that_settings_can_draw():
    settings = AugmentSettings(
        rotation_degrees=40,
        width_shift=0.2,
        height_shift=0.2,
        shear_degrees=11,
        zoom=0.2,
        horizontal_flip=True,
        vertical_flip=True,
        brightness=0.3,
        contrast=0.3,
        channel_shift=20,
        erasing=0.5,
        randaugment_ops=2,
    )
    smooth = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)
    images = np.stack([smooth, smooth[::-1], smooth[:, ::-1], 255 - smooth])
    draws = augment.draw(settings, 4, (40, 30, 3), np.random.default_rng(1))
    assert np.abs(applied(images, draws) - on_device(images, draws)).mean() < 1


@pytest.mark.parametrize("channels", [1, 3])
def test_at_rest_no_pixel_changes(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 11, 7, channels), dtype=np.uint8)
    draws = augment.draw(AugmentSettings(), 3, (11, 7, channels), np.random.default_rng(0))
    assert (applied(images, draws) == images).all()
    assert (on_device(images, draws) == images).all()


def test_a_shift_moves_a_picture_by_whole_pixels_and_not_sideways_where_height_is_meant():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4] = 200
    draws = draws_of({"ty": 2.0}, 9, "constant")
    draws = augment.Draws(draws.matrices)
    assert np.argwhere(applied(image, draws)[0, ..., 0]).tolist() == [[2, 4]]


def test_pictures_are_read_only_to_the_warp():
    images = np.zeros((2, 5, 5, 3), np.uint8)
    images.flags.writeable = False
    draws = augment.draw(AugmentSettings(rotation_degrees=30, erasing=0.9), 2, (5, 5, 3), np.random.default_rng(0))
    assert applied(images, draws).shape == images.shape
