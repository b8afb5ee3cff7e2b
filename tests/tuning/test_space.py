"""What is searched is what is written, and every value of it is a setting that training takes."""

import pytest

from noonchi import settings
from noonchi.errors import SettingsError
from noonchi.settings import RunSettings
from noonchi.tuning import space
from noonchi.tuning.space import Choice, Range


@pytest.mark.parametrize("recipe", settings.recipe_names())
def test_every_recipes_usual_space_holds_the_recipe_itself(recipe):
    run = settings.load(recipe)
    searched = space.read(run, space.usual(run))
    own = space.own_values(run, searched)
    assert own is not None
    assert settings.altered(run, space.as_settings(run, own)) == _with_strength_1(run)


def _with_strength_1(run):
    if run.augment.active or run.model.freeze:
        return run
    return run.but(augment=run.augment.but())


def test_ranges_are_of_whole_numbers_where_the_setting_is_and_logarithmic_from_a_decade_on():
    run = RunSettings()
    asked = ["fit.epochs=5..20", "fit.peak_lr=1e-4..1e-2", "fit.label_smoothing=0..0.2", "model.dropout=0..0.5"]
    epochs, rate, smoothing, _ = space.read(run, asked)
    assert (epochs.whole, epochs.log) == (True, False)
    assert (rate.whole, rate.log) == (False, True)
    assert (smoothing.whole, smoothing.log) == (False, False)
    assert space.read(run, ["batches.size=8..256"]) == (Range("batches.size", 8, 256, whole=True),)
    assert space.read(run, ["augment.mixup=0..1"]) == (Range("augment.mixup", 0, 1, whole=False),)


def test_choices_are_written_as_settings_are():
    asked = ["batches.size=16, 32,64", "model.pooling=max,average", "pixels.size=[28, 28], [32, 32]"]
    read = space.read(RunSettings(), asked)
    assert [one.values for one in read if isinstance(one, Choice)] == [
        ("16", "32", "64"),
        ("max", "average"),
        ("[28, 28]", "[32, 32]"),
    ]
    drawn = {one.name: one.values[1] for one in read}
    run = settings.altered(RunSettings(), space.as_settings(RunSettings(), drawn))
    assert (run.batches.size, run.model.pooling, run.pixels.size) == (32, "average", (32, 32))


def test_strength_multiplies_what_a_recipe_varies_and_stays_within_limits():
    run = settings.load("photos-augmented")
    [*overrides] = space.as_settings(run, {space.STRENGTH: 0.5})
    half = settings.altered(run, overrides).augment
    assert half == run.augment.but(
        rotation_degrees=20.0, width_shift=0.1, height_shift=0.1, shear_degrees=5.75, zoom=0.1
    )
    much = settings.altered(run, space.as_settings(run, {space.STRENGTH: 1000})).augment
    assert much.rotation_degrees == 180
    assert not settings.altered(run, space.as_settings(run, {space.STRENGTH: 0.0})).augment.zoom


def test_strength_varies_mildly_where_a_recipe_does_not_vary():
    run = RunSettings()
    assert settings.altered(run, space.as_settings(run, {space.STRENGTH: 1.0})).augment.rotation_degrees == 10
    assert not settings.altered(run, space.as_settings(run, {space.STRENGTH: 0.0})).augment.active


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("fit.peak_lr", "is no range or choice; write it as"),
        ("fit.peak_lr=", "is no range or choice"),
        ("batches.size=16", "is no range or choice"),
        ("fit.peak_lr=1e-2..1e-4", "from a lower number to a higher one"),
        ("fit.peak_lr=0.1..nan", "from a lower number to a higher one"),
        ("fit.peak_lr=low..high", "a range is of two numbers"),
        ("fit.peak_rl=1e-4..1e-2", "Did you mean 'peak_lr'"),
        ("fti.peak_lr=1e-4..1e-2", "Did you mean 'fit'"),
        ("fit.peak_lr=1..1000", "fit.peak_lr = 1000"),
        ("fit.optimizer=adam,adma", "fit.optimizer = 'adma'"),
        ("batches.size=0.5..8", "batches.size = 0.5"),
        ("augment.strength=-1..1", "a factor is 0 or more"),
        ("seed=1,2,3", "trials must not differ in it"),
        ("data.validation_share=0.1,0.5", "trials must not differ in it"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_could_be(asked, told):
    with pytest.raises(SettingsError, match=told.replace("(", r"\(")):
        space.read(RunSettings(), [asked])


def test_a_setting_is_searched_once():
    with pytest.raises(SettingsError, match=r"'fit.peak_lr' twice"):
        space.read(RunSettings(), ["fit.peak_lr=1e-4..1e-2", "fit.peak_lr=1e-3,1e-2"])
