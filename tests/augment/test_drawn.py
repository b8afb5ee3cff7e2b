import numpy as np
import pytest

from noonchi import augment
from noonchi.settings import AugmentSettings

SHAPE = (60, 80, 3)


def drawn(seed: int = 0, n: int = 400, **settings) -> augment.Draws:
    return augment.draw(AugmentSettings(**settings), n, SHAPE, np.random.default_rng(seed))


def test_draws_are_a_function_of_the_generator():
    one, two = (drawn(7, rotation_degrees=10, brightness=0.2, erasing=0.5, randaugment_ops=2) for _ in range(2))
    assert (one.matrices == two.matrices).all()
    assert (one.tables == two.tables).all()
    assert [r is None for r in one.erased] == [r is None for r in two.erased]


def test_rotation_stays_within_its_angle_either_way():
    matrices = drawn(rotation_degrees=40).matrices
    angles = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 35 < angles.max() <= 40
    assert -40 <= angles.min() < -35


@pytest.mark.parametrize(("setting", "row", "most"), [("width_shift", 0, 0.2 * 80), ("height_shift", 1, 0.2 * 60)])
def test_a_shift_moves_along_its_own_side_by_its_part(setting, row, most):
    places = drawn(**{setting: 0.2}).matrices[:, :, 2]
    assert 0.9 * most < np.abs(places[:, row]).max() <= most
    assert (places[:, 1 - row] == 0).all()


def test_zoom_draws_each_side_by_itself():
    matrices = drawn(zoom=0.2).matrices
    assert np.abs(matrices[:, 0, 0] - 1).max() <= 0.2
    assert abs(np.corrcoef(matrices[:, 0, 0], matrices[:, 1, 1])[0, 1]) < 0.2


@pytest.mark.parametrize(("setting", "entry"), [("horizontal_flip", 0), ("vertical_flip", 1)])
def test_half_of_the_pictures_are_flipped(setting, entry):
    flipped = drawn(**{setting: True}).matrices[:, entry, entry] < 0
    assert 0.4 < flipped.mean() < 0.6


def test_levels_are_left_alone_where_no_setting_changes_them():
    assert drawn(rotation_degrees=10).tables is None


def test_each_channel_shifts_by_itself():
    tables = drawn(channel_shift=30).tables.astype(int)
    shifts = tables[:, 128, :] - 128
    assert 25 < np.abs(shifts).max() <= 30
    assert (shifts[:, 0] != shifts[:, 1]).mean() > 0.8


def test_contrast_spreads_levels_about_the_middle_grey():
    table = augment.level_tables(np.array([1.0]), np.array([0.5]), np.zeros((1, 1)))[0, :, 0]
    assert (table[0], table[255]) == (64, 191)


def test_erased_rectangles_have_the_papers_areas_and_cover_the_asked_part_of_pictures():
    covered = [one for one in drawn(erasing=0.25).erased if one is not None]
    assert 0.18 < len(covered) / 400 < 0.32
    for rows, columns, levels in covered:
        assert levels.shape == (rows.stop - rows.start, columns.stop - columns.start, 3)
        assert 0.01 < levels.shape[0] * levels.shape[1] / (60 * 80) < 0.36
        assert 0 <= rows.start < rows.stop <= 60
        assert 0 <= columns.start < columns.stop <= 80


def test_every_picture_is_erased_where_all_are_asked_for():
    assert None not in drawn(erasing=1).erased


def test_randaugment_at_strength_zero_changes_nothing():
    draws = drawn(randaugment_ops=3, randaugment_magnitude=0.0)
    assert np.allclose(draws.matrices, np.eye(3)[:2])
    assert (draws.tables == np.arange(256)[:, np.newaxis]).all()


def test_randaugment_is_composed_after_the_other_draws():
    alone, both = drawn(rotation_degrees=10), drawn(rotation_degrees=10, randaugment_ops=1)
    warped = ~np.isclose(alone.matrices, both.matrices).all(axis=(1, 2))
    assert 0.3 < warped.mean() < 0.7  # five of ten operations move pixels
