"""A run is whole, repeats bit for bit, and says what it did."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import noonchi
from noonchi import batches, files, networks, records, settings
from noonchi.errors import DataError, RunError, SettingsError
from noonchi.results import Epoch, Note, Step

QUICK = (
    "record.plots=false",
    "record.tensorboard=false",
    "record.report=false",
    "device.precision=float32",
    "pixels.size=[8, 8]",
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(data, *overrides, recipe="mnist-one-conv", **options):
    """A quick run, and all that it showed."""
    shown = []
    run = noonchi.train(data, recipe, overrides=[*QUICK, *overrides], show=shown.append, **{"epochs": 1} | options)
    return SimpleNamespace(
        run=run, folder=run.folder, shown=shown, notes=[e.text for e in shown if isinstance(e, Note)]
    )


def last_weights(folder):
    return files.sha256(folder / "last" / "weights.safetensors")


def draw_class_folders(root, bars, number=20):
    for at, (image, label) in enumerate(zip(*bars(number, classes=2, side=16), strict=True)):
        path = root / "ab"[label] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).resize((10 + at, 12)).save(path)
    return root


# Recipes


@pytest.mark.parametrize("recipe", settings.recipe_names())
def test_every_recipe_trains_two_steps(bars, recipe):
    known = settings.load(recipe)
    channels = known.pixels.channels or (1 if known.recipe.startswith(("mnist", "small", "lenet")) else 3)
    # no smaller than the network takes, and no larger than two quick steps need
    size = [min(side, 64) for side in known.pixels.size or (28, 28)]
    data = bars(30, classes=2 if channels == 3 else 10, side=8, channels=channels)
    needs_weights = known.model.weights or known.model.network not in networks.NETWORKS
    fresh = ["model.weights=random"] if needs_weights else []  # nothing is fetched
    done = train(data, "batches.size=16", "then=[]", f"pixels.size={size}", *fresh, recipe=recipe)
    steps = [event for event in done.shown if isinstance(event, Step)]
    assert [step.step for step in steps] == ([1] if known.fit.optimizer == "lbfgs" else [1, 2])
    assert all(np.isfinite(step.loss) for step in steps)
    assert done.run.test.num_pictures > 0


def test_two_heads_are_trained_scored_and_predicted_side_by_side(bars):
    images, labels = bars(60)
    done = train((images, labels), "pixels.size=[28, 28]", recipe="mnist-digit-and-odd")
    [epoch] = [event for event in done.shown if isinstance(event, Epoch)]
    assert {"loss", "digit_accuracy", "odd_accuracy", "val_digit_loss", "val_odd_loss"} <= epoch.metrics.keys()
    assert list(done.run.test.heads) == ["digit", "odd"]
    assert {"digit_accuracy", "odd_accuracy_interval"} <= json.loads((done.folder / "test.json").read_text())[
        "test"
    ].keys()
    [prediction] = done.run.classifier.predict([images[0]])
    assert sorted(prediction.heads["odd"]) == ["even", "odd"]
    assert len(prediction.heads["digit"]) == 10


def test_a_network_learns_what_can_be_told_at_a_glance(bars):
    assert train(bars(200, classes=4), epochs=12, lr=0.01).run.test.accuracy > 0.95


# The folder


def test_the_folder_of_a_run_holds_what_it_should_and_no_more(bars):
    folder = train(bars(40), "record.plots=true", "record.tensorboard=true", "record.report=true").folder
    held = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.parent != folder / "tensorboard"}
    saved = {"classifier.json", "weights.safetensors"}
    training = {"training.json", "training.safetensors"}
    assert held == (
        {"recipe.toml", "splits.csv", "history.csv", "test.json", "train.log", "best", "last", "tensorboard", "plots"}
        | {"versions.json", "report.html"}
        | {"answers", "answers/val.npz", "answers/test.npz"}
        | {"plots/loss.png", "plots/accuracy.png"}
        | {f"best/{name}" for name in saved}
        | {f"last/{name}" for name in saved | training}
    )
    assert len(list((folder / "tensorboard").iterdir())) == 2, "before training, and of the epoch"


def events(folder):
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    found.Reload()
    return found


def test_tensorboard_reads_of_a_run_its_curves_weights_pictures_and_graph(bars):
    wanted = ("record.tensorboard=true", "record.weight_histograms=true", "augment.rotation_degrees=90")
    done = train(bars(60), *wanted, "batches.size=16", epochs=2)
    read = events(done.folder)
    steps = [epoch.number for epoch in done.shown if isinstance(epoch, Epoch)]
    assert [event.step for event in read.Scalars("loss/validation")] == steps == [1, 2]
    assert [event.step for event in read.Histograms("weights/conv1.weight")] == steps
    assert {"images", "conv1/conv2d", "answers/output"} <= {node.name for node in read.Graph().node}
    (pictures,) = read.Images("training pictures")
    assert (pictures.step, pictures.height, pictures.width) == (0, 4 * 10 - 2, 4 * 10 - 2)
    plain = train(bars(60), wanted[0], "batches.size=16")
    assert events(plain.folder).Images("training pictures")[0].encoded_image_string != pictures.encoded_image_string


def test_a_resumed_run_shows_pictures_and_graph_once(bars):
    data = bars(60)
    folder = train(data, "record.tensorboard=true", epochs=2).folder
    before = events(folder)
    noonchi.resume(folder, data, show=lambda _: None)
    after = events(folder)
    [one], [two] = (read.Images("training pictures") for read in (before, after))
    assert (one.step, one.encoded_image_string) == (two.step, two.encoded_image_string)
    assert before.Graph() == after.Graph()
    assert [event.step for event in after.Scalars("loss/training")] == [1, 2]


def test_a_network_that_cannot_be_watched_has_no_graph_and_trains(bars):
    Path("own.py").write_text("""
import torch
from torch import nn
from torch.overrides import _get_current_function_mode


class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        super().__init__(nn.Flatten(), nn.Linear(shape.height * shape.width * shape.channels, outputs))

    def forward(self, images):
        if type(_get_current_function_mode()).__name__ == "_Watch":
            raise RuntimeError("not in here\\nnor there")
        return super().forward(images)
""")
    done = train(bars(60), "record.tensorboard=true", "model.network=own.py:Net")
    assert "TensorBoard gets no graph of this network: not in here" in done.notes
    assert events(done.folder).Tags()["graph"] is False
    assert len(events(done.folder).Images("training pictures")) == 1


def test_plots_tensorboard_and_report_can_be_left_out(bars):
    assert {"plots", "tensorboard", "report.html"}.isdisjoint(path.name for path in train(bars(40)).folder.iterdir())


def test_history_has_a_row_an_epoch_with_keras_names(bars):
    done = train(bars(40), epochs=3)
    rows = list(csv.DictReader((done.folder / "history.csv").read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    epochs = [event for event in done.shown if isinstance(event, Epoch)]
    assert [float(row["val_loss"]) for row in rows] == [epoch.metrics["val_loss"] for epoch in epochs]


def test_test_json_is_what_the_run_returns(bars):
    done = train(bars(40))
    assert json.loads((done.folder / "test.json").read_text()) == done.run.to_json()


def test_the_log_holds_epochs_and_notes(bars):
    done = train(bars(40), "data.validate_on_test=true", epochs=2)
    lines = (done.folder / "train.log").read_text().splitlines()
    assert len(lines) == len(done.notes) + 2
    assert done.notes[0] in lines[0]
    assert "val_accuracy" in lines[-1]


def test_improved_classifiers_are_kept_by_epoch_and_value(bars):
    done = train(bars(40), "record.keep_improved=true", epochs=4, lr=0.01)
    epochs = [event for event in done.shown if isinstance(event, Epoch)]
    named = {f"{epoch.number:02d}-{epoch.metrics['val_loss']:.4f}" for epoch in epochs if epoch.best}
    assert {path.name for path in (done.folder / "improved").iterdir()} == named
    assert noonchi.load(done.folder / "improved" / max(named)).shape == noonchi.load(done.folder).shape


def test_best_is_the_epoch_of_lowest_validation_loss(bars):
    done = train(bars(40), "record.keep_improved=true", "fit.calibrate=false", epochs=4, lr=0.05)
    best = min(f"{path.name[3:]}/{path.name}" for path in (done.folder / "improved").iterdir()).split("/")[1]
    kept = done.folder / "improved" / best / "weights.safetensors"
    assert files.sha256(done.folder / "best" / "weights.safetensors") == files.sha256(kept)
    assert done.run.val.loss == pytest.approx(float(best[3:]), abs=1e-4)


def test_a_failed_start_leaves_no_folder(bars):
    with pytest.raises(SettingsError, match="Did you mean 'lenet5'"):
        train(bars(40), "model.network=lenet6", out="new")
    with pytest.raises(SettingsError, match="Did you mean 'lenet5'"):
        train(bars(40), "model.network=lenet6")
    assert not [path for path in Path().rglob("*") if path.name != "runs"]


def test_a_wrong_argument_is_an_ordinary_type_error(bars):
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        noonchi.train(bars(40), epoch=3)


# Repeating


def test_the_recipe_of_a_run_repeats_it_bit_for_bit(bars):
    data = bars(60)
    overrides = ("model.network=mnist-deep-convnet", "fit.ema_decay=0.9", "fit.label_smoothing=0.1")
    first = train(data, *overrides, epochs=2, batch_size=8, seed=5, lr=0.002)
    again = noonchi.train(data, first.folder / "recipe.toml", show=lambda _: None)
    assert last_weights(again.folder) == last_weights(first.folder)
    assert again.test.to_json() == first.run.test.to_json()
    assert (again.folder / "recipe.toml").read_text() == (first.folder / "recipe.toml").read_text()


def test_a_run_is_a_function_of_its_seed(bars):
    one, same, other = (last_weights(train(bars(40), seed=seed).folder) for seed in (1, 1, 2))
    assert one == same != other


def test_showing_steps_or_drawing_random_numbers_beside_changes_nothing(bars):
    import torch

    one = train(bars(40), "model.network=mnist-deep-convnet")
    torch.manual_seed(99)
    run = noonchi.train(
        bars(40),
        "mnist-one-conv",
        overrides=[*QUICK, "model.network=mnist-deep-convnet"],
        epochs=1,
        show=lambda _: torch.rand(3),
    )
    assert last_weights(run.folder) == last_weights(one.folder)


# Splits


def test_validating_on_the_test_split_is_said_in_plain_words(bars):
    done = train(bars(40), "data.validate_on_test=true")
    assert "validating on the test split, as the recipe asks: the test figure is not an honest one" in done.notes
    assert done.run.val.to_json() == done.run.test.to_json()


def test_data_without_a_test_split_give_no_test(bars):
    done = train(bars(40), "data.test_share=0")
    assert done.run.test is None
    assert done.run.val is not None
    assert json.loads((done.folder / "test.json").read_text())["test"] is None


def test_data_without_validation_monitor_the_training_loss(bars):
    done = train(bars(40), "data.validation_share=0")
    assert done.run.val is None
    assert "no validation pictures: the best epoch is decided by the training pictures' loss" in done.notes
    assert (done.folder / "best" / "classifier.json").exists()


# Sources


def test_class_folders_with_pictures_of_any_size_train(tmp_path, bars):
    done = train(draw_class_folders(tmp_path / "photos", bars))
    assert done.run.classifier.heads[0].classes == ("a", "b")
    assert done.folder == Path("runs/photos-mnist-one-conv-1")


def test_a_table_trains(tmp_path, bars):
    draw_class_folders(tmp_path, bars)
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in tmp_path.rglob("*.png")]
    (tmp_path / "t.csv").write_text("\n".join(["path,animal", *rows]))
    done = train(tmp_path / "t.csv")
    assert [head.name for head in done.run.classifier.heads] == ["animal"]


def test_an_archive_keeps_its_splits(tmp_path, bars):
    (images, labels) = bars(40)
    np.savez(tmp_path / "a.npz", x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:])
    assert train(tmp_path / "a.npz").run.test.num_pictures == 10


def test_without_a_recipe_one_is_picked_and_named(bars):
    shown = []
    noonchi.train(bars(40, side=28), epochs=1, overrides=QUICK[:-1], show=shown.append)
    assert Note("recipe mnist-fast, for 40 grey pictures of 28x28") in shown


def test_without_a_recipe_photos_get_one_for_photos(tmp_path, bars):
    draw_class_folders(tmp_path / "photos", bars)
    shown = []
    run = noonchi.train(tmp_path / "photos", epochs=1, size=128, overrides=QUICK[:-1], show=shown.append)
    assert Note("recipe photos-transfer, for 20 grey pictures larger than 64x64") in shown
    assert run.classifier.shape == (128, 128, 3)


def test_a_lone_last_picture_trains_with_batch_norm(tmp_path, bars):
    data = bars(20, side=32)
    size = sum(1 for row in splits_of(train(data)) if row == "train") - 1
    run = train(
        data, "pixels.size=[32, 32]", f"batches.size={size}", recipe="photos-small", out=tmp_path / "r", epochs=1
    )
    assert run.run.epochs == 1


def test_batch_norm_of_one_pixel_of_one_picture_is_refused_before_anything_is_written(tmp_path, bars):
    told = r"'photos-small' has batch norm on maps of one pixel: it needs 2 pictures a step; raise batches\.size"
    with pytest.raises(SettingsError, match=told):
        train(bars(20), "batches.size=1", "pixels.size=[32, 32]", recipe="photos-small", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_single_training_picture_is_refused_where_batch_norm_needs_more(tmp_path, bars):
    images, labels = bars(8, classes=2)
    parts = {"train": slice(1), "val": slice(1, 4), "test": slice(4, 8)}
    arrays = {f"{axis}_{part}": one[at] for part, at in parts.items() for axis, one in (("x", images), ("y", labels))}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SettingsError, match="needs 2 pictures a step; give more training pictures"):
        train(tmp_path / "a.npz", "pixels.size=[32, 32]", recipe="photos-small", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_batch_norm_on_larger_maps_trains_on_single_pictures(bars):
    assert train(bars(12), "batches.size=1", "pixels.size=[40, 40]", recipe="photos-small").run.epochs == 1


def splits_of(run):
    return [line.split(",")[1] for line in (run.folder / "splits.csv").read_text().splitlines()[1:]]


def test_unusable_pictures_are_listed_and_the_others_train(tmp_path, bars):
    draw_class_folders(tmp_path / "photos", bars)
    (tmp_path / "photos" / "a" / "text.png").write_text("no picture")
    whole = tmp_path / "photos" / "a" / "0.png"
    whole.write_bytes(whole.read_bytes()[:70])
    done = train(tmp_path / "photos", "data.max_unusable=0.2")
    listed = [note for note in done.notes if note.startswith("not usable: ")]
    assert len(listed) == 2
    assert "a/text.png" in listed[0]
    assert "a/0.png" in listed[1]
    assert listed[0] in (done.folder / "train.log").read_text()


def test_more_unusable_pictures_than_allowed_are_refused(tmp_path, bars):
    draw_class_folders(tmp_path / "photos", bars)
    (tmp_path / "photos" / "a" / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"1 of 21 pictures cannot be used, first 'a/text.png'.*max_unusable"):
        train(tmp_path / "photos")


# Resuming


def test_a_finished_run_resumed_gives_the_same_result(tmp_path, bars):
    np.savez(tmp_path / "a.npz", x=bars(40)[0], y=bars(40)[1])
    done = train(tmp_path / "a.npz")
    before = last_weights(done.folder)
    again = noonchi.resume(done.folder, show=lambda _: None)
    assert again.to_json() == done.run.to_json()
    assert last_weights(done.folder) == before


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path, bars):
    data = bars(60)

    def stop_in_the_second_epoch(event):
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 3):
            raise KeyboardInterrupt

    options = {"epochs": 3, "overrides": [*QUICK, "batches.size=8", "model.network=mnist-deep-convnet"]}
    with pytest.raises(KeyboardInterrupt):
        noonchi.train(data, "mnist-one-conv", out="stopped", show=stop_in_the_second_epoch, **options)
    shown = []
    resumed = noonchi.resume("stopped", data, show=shown.append)
    whole = noonchi.train(data, "mnist-one-conv", out="whole", show=lambda _: None, **options)
    assert Note("the run goes on in epoch 2, step 1") in shown
    assert [event.number for event in shown if isinstance(event, Epoch)] == [2, 3]
    assert last_weights(resumed.folder) == last_weights(whole.folder)
    assert resumed.epochs == 3


def test_changed_data_are_refused_naming_what_changed(tmp_path, bars):
    images, labels = bars(40)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    done = train(tmp_path / "a.npz")
    before = last_weights(done.folder)
    images[3, 0, 0] ^= 1
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    with pytest.raises(DataError, match=r"have changed: 1 picture changed \(first: 'all/3'\)\. Start a new run"):
        noonchi.resume(done.folder, show=lambda _: None)
    assert last_weights(done.folder) == before


def test_a_run_on_arrays_asks_for_them_again(bars):
    folder = train(bars(40)).folder
    with pytest.raises(RunError, match=r"give them, as val --data DATA or noonchi\.resume\(folder, data\)"):
        noonchi.resume(folder, show=lambda _: None)
    assert noonchi.resume(folder, bars(40), show=lambda _: None).epochs == 1


BURSTS = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        super().__init__(nn.Flatten(), nn.Linear(shape.height * shape.width * shape.channels, outputs))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        return super().forward(images) * (float("nan") if self.steps == 3 else 1)
"""


def test_the_pictures_of_a_batch_whose_loss_is_no_number_are_named_and_all_are_in_the_log(bars):
    Path("net.py").write_text(BURSTS)
    with pytest.raises(RunError) as raised:
        train(bars(60), "model.network=net.py:Net", out="new", batch_size=8)
    run, index = records.load_settings(Path("new")), noonchi.sources.load(bars(60))
    third = [index.ids[at] for at in batches.of_split(index.array, index, "train", run).order(1)[16:24]]
    assert str(raised.value).startswith(
        f"the loss became nan in epoch 1, after 2 steps, on '{third[0]}', '{third[1]}', '{third[2]}' and 5 more. Lower"
    )
    assert Path("new/train.log").read_text(encoding="utf-8").endswith("\n".join(["pictures of the batch:", *third, ""]))


@pytest.mark.parametrize("steps_an_epoch", [1, 30])
def test_a_loss_that_is_no_number_stops_training_and_what_was_saved_is_whole(bars, steps_an_epoch):
    overrides = ("fit.optimizer=sgd", "fit.weight_decay=1e4", "data.test_share=0.2")
    with pytest.raises(RunError, match=r"became (nan|inf) in epoch|are not finite and are not saved"):
        train(bars(40), *overrides, out="new", epochs=50, lr=100, batch_size=40 // steps_an_epoch)
    saved = [folder for folder in (Path("new/best"), Path("new/last")) if folder.exists()]
    weights = [weight for folder in saved for weight in noonchi.load(folder).network.parameters()]
    assert all(weight.isfinite().all() for weight in weights)


def test_small_colour_pictures_get_the_recipe_for_small_ones(tmp_path, bars):
    images, labels = bars(40, classes=2, side=32, channels=3)
    shown = []
    noonchi.train((images, labels), epochs=1, out=tmp_path / "run", overrides=QUICK[:-1], show=shown.append)
    assert Note("recipe small-pictures, for 40 colour pictures of 32x32") in shown


def test_a_class_without_training_pictures_is_told(tmp_path, bars):
    images, labels = bars(60, classes=3)
    last = labels == labels[-1]
    arrays = {"x_train": images[~last], "y_train": labels[~last], "x_test": images, "y_test": labels}
    np.savez(tmp_path / "a.npz", **arrays)
    assert any(note.startswith("no training picture of ") for note in train(tmp_path / "a.npz").notes)


def test_heads_whose_metrics_would_share_a_name_are_refused(tmp_path, bars):
    images, labels = bars(60, classes=2)
    with pytest.raises(SettingsError, match="two metrics would be called 'val_loss'; rename the head 'val'"):
        train((images, {"val": labels, "b": labels}))


# Calibrated


def test_probabilities_are_at_the_temperature_that_validation_pictures_ask_for(bars):
    plain = train(bars(200), "fit.calibrate=false", epochs=3).run
    run = train(bars(200), epochs=3).run
    [temperature] = run.classifier.temperatures.values()
    assert temperature != 1
    assert run.val.loss < plain.val.loss
    assert run.val.accuracy == plain.val.accuracy
    assert plain.classifier.temperatures == {}
    images, _ = bars(3)
    logits = [
        {name: np.log(p) for name, p in one.heads["label"].items()} for one in plain.classifier.predict(list(images))
    ]
    for found, known in zip(run.classifier.predict(list(images)), logits, strict=True):
        powers = {name: np.exp(value / temperature) for name, value in known.items()}
        expected = {name: power / sum(powers.values()) for name, power in powers.items()}
        assert found.heads["label"] == pytest.approx(expected, rel=1e-6)


def test_a_temperature_is_never_fitted_on_the_test_pictures(bars):
    run = train(bars(100), "data.validate_on_test=true").run
    assert run.classifier.temperatures == {}
