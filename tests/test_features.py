"""What frozen layers give is computed once, changes nothing that is learned, and is never of other pictures."""

import numpy as np
import pytest
import torch

import noonchi
from noonchi import features, files, networks
from noonchi.errors import SettingsError
from noonchi.networks import PictureShape
from noonchi.results import Epoch, Head, Note, Reading
from noonchi.settings import ModelSettings

QUICK = [
    "record.plots=false",
    "record.tensorboard=false",
    "record.report=false",
    "device.precision=float32",
    "device.threads=1",
]
FROZEN = ["model.network=photos-small", "model.freeze=block3", "pixels.size=[32, 32]", "batches.size=8"]
KIND = (Head("label", "binary", ("a", "b")),)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pictures(bars):
    images, labels = bars(40, classes=2, side=32, channels=3)
    return images, labels


def train(data, *overrides, out):
    shown = []
    run = noonchi.train(
        data, "photos-small", out=out, overrides=[*QUICK, *FROZEN, "augment={}", *overrides], show=shown.append
    )
    return run, shown


def weights(run):
    return run.classifier.network.state_dict()


def kept():
    return sorted((files.cache_folder() / "features").glob("*/features.npy"))


def test_what_is_learned_is_the_same_with_features_kept_and_without(pictures):
    # a step as long as its gradient: adam's steps are as long for one that is next to nothing, and rounding then shows
    plain = ["fit.epochs=3", "fit.optimizer=sgd", "fit.peak_lr=0.1"]
    once, shown = train(pictures, *plain, out="once")
    anew, said = train(pictures, *plain, "frozen.limit_gb=0", out="anew")
    assert any("goes through them once" in event.text for event in shown if isinstance(event, Note))
    assert any("above frozen.limit_gb = 0" in event.text for event in said if isinstance(event, Note))
    for name, value in weights(once).items():
        torch.testing.assert_close(value, weights(anew)[name], rtol=1e-4, atol=1e-5)
    losses, expected = ([e.metrics["val_loss"] for e in told if isinstance(e, Epoch)] for told in (shown, said))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.parametrize("limit", [0, 4])
def test_frozen_weights_and_statistics_stay_as_they_are_to_the_last_bit(pictures, limit):
    run, _ = train(pictures, "fit.epochs=2", f"frozen.limit_gb={limit}", out="run")
    with torch.random.fork_rng():
        fresh = noonchi.load("run/last").network
    trained = weights(run)
    first = noonchi.train(
        pictures,
        "photos-small",
        out="start",
        overrides=[*QUICK, *FROZEN, "augment={}", "fit.epochs=1", "fit.peak_lr=1e-30", "frozen.limit_gb=0"],
        show=lambda _: None,
    )
    frozen = [name for name in trained if name.split(".")[0] in {"conv", "norm", "block1", "block2"}]
    assert len(frozen) > 20
    assert all(torch.equal(trained[name], weights(first)[name]) for name in frozen)
    assert not torch.equal(trained["output.weight"], weights(first)["output.weight"])
    assert fresh.frozen == fresh.place_of("block3")


def test_features_are_read_again_where_nothing_that_decides_them_has_changed(pictures):
    train(pictures, "fit.epochs=2", out="first")
    before = {path: path.stat().st_mtime_ns for path in kept()}
    assert len(before) == 2  # of the training and of the validation pictures
    _, shown = train(pictures, "fit.epochs=3", "fit.peak_lr=1e-4", out="second")
    assert {path: path.stat().st_mtime_ns for path in kept()} == before
    assert not any(isinstance(event, Reading) for event in shown)


@pytest.mark.parametrize(
    "change", ["seed=1", "pixels.fit=crop", "pixels.mean=[0.5]", "model.freeze=block4", "device.precision=bfloat16"]
)
def test_other_features_are_computed_where_something_that_decides_them_has(pictures, change):
    train(pictures, "fit.epochs=2", out="first")
    train(pictures, "fit.epochs=2", change, out="second")
    assert len(kept()) == 4


def test_a_changed_picture_has_other_features(pictures):
    images, labels = pictures
    train((images, labels), "fit.epochs=2", out="first")
    images = images.copy()
    images[:, 0, 0] ^= 255
    train((images, labels), "fit.epochs=2", out="second")
    assert len(kept()) == 4


def test_varied_pictures_have_several_views_of_which_epochs_draw(pictures):
    _, shown = train(pictures, "fit.epochs=4", "augment.rotation_degrees=30", "frozen.views=3", out="run")
    assert any("3 times, varied," in event.text for event in shown if isinstance(event, Note))
    shapes = sorted(np.load(path, mmap_mode="r").shape[0] for path in kept())
    assert shapes == [1, 3]
    several = next(array for path in kept() if len(array := np.load(path)) == 3)
    assert not np.array_equal(several[0], several[1])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("augment.rotation_degrees=30", "frozen.views=2", "fit.epochs=2"), None),
        (("augment.mixup=0.2", "fit.epochs=9"), "mixup and cutmix blend pictures"),
    ],
)
def test_where_it_does_not_pay_features_are_computed_in_every_epoch(pictures, overrides, told):
    _, shown = train(pictures, *overrides, "fit.epochs=2", out="run")
    assert kept() == []
    said = [event.text for event in shown if isinstance(event, Note) and "layers are fixed" in event.text]
    assert len(said) == (told is not None)
    assert all(told in text for text in said)


def test_layers_without_weights_after_the_frozen_ones_are_fixed_too():
    model = ModelSettings(network="photos-small", freeze="mean")
    network = networks.build(model, PictureShape(32, 32, 3), KIND)
    assert [name for name, _ in network.named_children()][features.fixed_layers(network)] == "dropout"
    network.freeze(None)
    assert features.fixed_layers(network) == 0


# Parts


def test_a_further_part_begins_with_the_best_weights_and_opens_more_layers(pictures):
    then = 'then=[{freeze="block2", epochs=2, peak_lr=1e-30}]'
    run, shown = train(pictures, "fit.epochs=2", then, out="run")
    epochs = [event for event in shown if isinstance(event, Epoch)]
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert run.epochs == 4
    last, best = noonchi.load("run/last").network, run.classifier.network
    assert torch.equal(last.output.weight, best.output.weight)  # nothing moved at that rate
    assert run.val.accuracy == max(epoch.metrics["val_accuracy"] for epoch in epochs if epoch.best)


def test_a_part_that_stops_early_is_followed_by_the_next(pictures):
    stops = ["fit.epochs=9", "fit.patience=1", "fit.min_delta=9.0"]
    _, shown = train(pictures, *stops, 'then=[{freeze="block4", epochs=2}]', out="run")
    epochs = [event for event in shown if isinstance(event, Epoch)]
    assert [bool(epoch.stop) for epoch in epochs] == [False, True, True]


@pytest.mark.parametrize(("enough", "epochs"), [(1e-9, 2), (1.0, 3)])
def test_a_part_is_passed_over_where_validation_is_good_enough_without_it(pictures, enough, epochs):
    images, labels = pictures
    wrong = np.random.default_rng(3).permutation(labels)  # never all right
    then = f'then=[{{freeze="block4", epochs=1, unless_accuracy={enough}}}]'
    run, shown = train((images, wrong), "fit.epochs=2", then, out="run")
    assert run.epochs == epochs
    again = noonchi.resume("run", (images, wrong), show=shown.append)
    assert again.epochs == epochs
    assert "the run had ended; scoring it again" in [event.text for event in shown if isinstance(event, Note)]


def test_a_part_may_vary_pictures_where_the_first_does_not(pictures):
    then = 'then=[{freeze="block4", epochs=4, augment={rotation_degrees=30}}]'
    train(pictures, "fit.epochs=2", then, "frozen.views=3", out="run")
    assert sorted(np.load(path, mmap_mode="r").shape[0] for path in kept()) == [1, 1, 1, 3]


def test_a_later_part_that_cannot_be_is_refused_before_anything_is_written(pictures, tmp_path):
    with pytest.raises(SettingsError, match="'blok4' is not a layer"):
        train(pictures, 'then=[{freeze="blok4"}]', out="run")
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_earlier_layers_move_less_where_the_rate_falls_from_layer_to_layer(pictures):
    plain = ["augment={}", "model.freeze=block3", "fit.epochs=1", "frozen.limit_gb=0", "fit.optimizer=sgd"]
    moved = {}
    for share in ("1.0", "0.1"):
        started, _ = train(pictures, *plain, "fit.peak_lr=1e-30", out=f"start{share}")
        run, _ = train(pictures, *plain, "fit.peak_lr=1e-3", f"fit.lr_per_layer={share}", out=f"run{share}")
        change = weights(run)["block3.conv1.weight"] - weights(started)["block3.conv1.weight"]
        moved[share] = float(change.abs().max())
    assert 0 < moved["0.1"] < moved["1.0"] / 50


def test_the_courses_fine_tuning_leaves_every_weight_below_its_cut_as_it_was(pictures):
    small = ["model.weights=random", "pixels.size=[32, 32]", "frozen.views=1", "batches.size=20"]
    steps = ["fit.epochs=2", 'then=[{freeze="block5_conv1", epochs=1, peak_lr=1e-3}]']
    run = noonchi.train(pictures, "photos-finetune", out="run", overrides=[*QUICK, *small, *steps], show=lambda _: None)
    start = noonchi.train(
        pictures,
        "photos-finetune",
        out="start",
        overrides=[*QUICK, *small, "fit.epochs=2", "fit.peak_lr=1e-30", "then=[]"],
        show=lambda _: None,
    )
    opened = ("block5_conv", "hidden", "output")
    first, last = weights(start), noonchi.load("run/last").network.state_dict()
    moved = {name for name, value in last.items() if not torch.equal(value, first[name])}
    assert run.epochs == 3
    assert moved == {name for name in last if name.startswith(opened)}


# An output layer fitted whole


def test_an_output_layer_is_fitted_in_one_epoch_to_features_kept_once(pictures):
    run, shown = train(pictures, "model.freeze=output", "fit.optimizer=lbfgs", "fit.epochs=1", out="run")
    assert [len(np.load(path)) for path in kept()] == [1, 1]
    assert any("once, then the output layer is fitted" in event.text for event in shown if isinstance(event, Note))
    assert (run.epochs, run.test.accuracy) == (1, 1.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.freeze=block4", "set model.freeze = 'features'"),
        ("augment.horizontal_flip=true", "leave hidden layers, dropout and augmentation out"),
        ("frozen.limit_gb=0", "raise the limit or take adamw"),
        ("fit.ema_decay=0.9", "takes neither ema_decay nor clip_norm"),
    ],
)
def test_an_output_layer_that_cannot_be_fitted_whole_is_one_line(pictures, change, told):
    with pytest.raises(SettingsError, match=told):
        train(pictures, "model.freeze=output", "fit.optimizer=lbfgs", change, out="run")


# From a run of ours


def test_a_base_that_another_run_has_trained_is_frozen_or_trains_on(bars):
    data = bars(60, classes=10)
    odd = ['heads.odd={column="label", kind="binary", map={' + ", ".join(f'{n}="{n % 2}"' for n in range(10)) + "}}"]
    plain = {"show": lambda _: None, "epochs": 2}
    noonchi.train(data, "mnist-digit-and-odd", out="base", overrides=[*QUICK, *odd], **plain)
    base = noonchi.load("base").network.digit.conv1.weight
    taken = [*QUICK, "model.weights=base"]
    frozen = noonchi.train(data, "mnist-transfer", out="frozen", overrides=taken, **plain).classifier.network
    opened = noonchi.train(
        data, "mnist-transfer", out="opened", overrides=[*taken, "model.freeze=conv1"], **plain
    ).classifier.network
    assert torch.equal(frozen.conv1.weight, base)
    assert not torch.equal(opened.conv1.weight, base)
    assert torch.allclose(opened.conv1.weight, base, atol=0.05)
    assert sum(weight.numel() for weight in frozen.parameters() if weight.requires_grad) == 54_090
    assert sum(weight.numel() for weight in frozen.parameters() if not weight.requires_grad) == 320


@pytest.mark.parametrize(
    ("weights", "told"), [("gone", "is not a finished run's folder"), ("mlp", "none of the layers")]
)
def test_a_base_that_is_none_is_one_line(bars, weights, told):
    noonchi.train(bars(30), "mnist-mlp", out="mlp", overrides=QUICK, epochs=1, show=lambda _: None)
    with pytest.raises(SettingsError, match=told):
        noonchi.train(bars(30), "mnist-transfer", out="run", overrides=[*QUICK, f"model.weights={weights}"])
