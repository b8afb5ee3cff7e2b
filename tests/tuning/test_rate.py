"""The finder takes the steps that training would take, finds the same rate each time, and leaves nothing behind."""

import numpy as np
import pytest

from noonchi import tuning
from noonchi.errors import RunError, SettingsError
from noonchi.results import Note, Step, Work

QUICK = ["device.precision=float32", "device.threads=1", "pixels.size=[8, 8]", "batches.size=8"]


@pytest.fixture
def find(tmp_path, monkeypatch, bars):
    monkeypatch.chdir(tmp_path)
    images, labels = bars(90, classes=3)
    np.savez("a.npz", x=images, y=labels)

    def run(*overrides, recipe="mnist-one-conv", data="a.npz", show=lambda _: None, **options):
        return tuning.find_rate(data, recipe, overrides=[*QUICK, *overrides], show=show, **options)

    return run


def test_the_same_seed_finds_the_same_and_leaves_no_file(find, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert find(seed=3) == find(seed=3) != find(seed=4)
    assert sorted(tmp_path.iterdir()) == before


def test_the_first_loss_is_that_of_the_first_step_of_training(find, tmp_path):
    import noonchi

    seen = []
    noonchi.train("a.npz", "mnist-one-conv", out=tmp_path / "run", epochs=1, overrides=QUICK, show=seen.append)
    first = next(event for event in seen if isinstance(event, Step))
    assert find().losses[0] == first.loss


def test_few_pictures_are_gone_through_again_and_again(find):
    found = find("batches.size=64")
    assert len(found.losses) > 20
    assert min(found.losses) < found.losses[0]


def test_a_rate_that_is_found_trains_better_than_one_a_thousand_times_lower(find):
    import noonchi

    rate = find().suggestion.rate
    losses = [
        noonchi.train(
            "a.npz", "mnist-one-conv", out=f"run{at}", epochs=3, lr=lr, overrides=QUICK, show=lambda _: None
        ).val.loss
        for at, lr in enumerate((rate, rate / 1000))
    ]
    assert losses[0] < losses[1]


def test_the_recipes_own_rate_and_schedule_change_nothing(find):
    other = find("fit.peak_lr=0.5", "fit.schedule=one-cycle", "fit.warmup_share=0.2", "fit.epochs=2", "fit.patience=1")
    assert other.losses == find().losses


@pytest.mark.parametrize("setting", ["model.freeze=flatten", "fit.ema_decay=0.9", "fit.lr_per_layer=0.5"])
def test_frozen_layers_averages_and_rates_per_layer_are_no_hindrance(find, setting):
    assert 1e-7 < find(setting).suggestion.rate < 10


def test_several_heads_have_one_rate(find, bars):
    images, labels = bars(90, classes=3)
    both = find(
        "heads.odd.kind=binary", "heads.digit.kind=classes", data=(images, {"digit": labels, "odd": labels % 2})
    )
    assert both.losses[0] == pytest.approx(np.log(3) + np.log(2), abs=0.3)


def test_of_a_training_in_parts_the_first_is_tried_and_that_is_said(find):
    told = []
    found = find("model.freeze=flatten", "then=[{epochs = 2, peak_lr = 0.1}]", show=told.append)
    assert found.losses == find("model.freeze=flatten").losses
    assert any(isinstance(one, Note) and "2 parts: the rate is that of the first" in one.text for one in told)


def test_how_far_it_is_is_shown(find):
    told = []
    found = find(show=told.append)
    assert [one.done for one in told if isinstance(one, Work)] == list(range(1, len(found.losses) + 1))


def test_lbfgs_has_no_rate_to_find(find):
    with pytest.raises(SettingsError, match="has no learning rate to find"):
        find("model.freeze=output", "fit.optimizer=lbfgs")


def test_a_loss_that_is_no_number_from_the_start_is_an_error_that_says_so(find):
    with pytest.raises(RunError, match="no rate can be suggested: in 0 steps"):
        find("pixels.std=[1e-38]")
