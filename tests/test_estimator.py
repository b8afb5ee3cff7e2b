import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import noonchi
from noonchi.errors import RunError, SettingsError
from noonchi.estimator import ImageClassifier

ONE_THREAD = "device.threads=1"  # two threads on nets this small wait for each other


def stripes(count: int = 40, height: int = 6, width: int = 6, channels: int | None = None) -> tuple:
    """Pictures that are brighter in their left or in their right half."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (count, height, width) if channels is None else (count, height, width, channels))
    labels = np.arange(count) % 2
    images[labels == 0, :, : width // 2] += 150
    images[labels == 1, :, width // 2 :] += 150
    return images.astype(np.uint8), np.array(["left", "right"])[labels]


def quick(**changes) -> ImageClassifier:
    return ImageClassifier(**{"epochs": 3, "batch_size": 8, "random_state": 0, "overrides": [ONE_THREAD], **changes})


@parametrize_with_checks([ImageClassifier(epochs=3, batch_size=16, overrides=(ONE_THREAD,))])
def test_scikit_learns_own_checks_pass(estimator, check) -> None:
    check(estimator)


def test_8x8_digits_are_told_apart() -> None:
    digits = load_digits()
    seen, held_out, seen_labels, labels = train_test_split(digits.images, digits.target, random_state=0)
    model = ImageClassifier(epochs=4, batch_size=16, random_state=0, overrides=[ONE_THREAD]).fit(seen, seen_labels)
    assert model.score(held_out, labels) >= 0.95


@pytest.mark.parametrize("shape", [(6, 6), (1, 50), (3, 9), (20, 18), (6, 6, 1), (6, 6, 3)])
def test_pictures_of_any_shape_train(shape: tuple[int, ...]) -> None:
    images, labels = stripes(40, *shape)
    model = quick().fit(images, labels)
    assert model.predict_proba(images).shape == (40, 2)
    assert model.picture_shape_ == (*shape, 1)[:3]


@pytest.mark.parametrize("side", [8, 17])
def test_small_pictures_are_enlarged_for_the_convolutions(side: int) -> None:
    model = quick(epochs=1).fit(*stripes(20, side, side))
    assert model.classifier_.model.network == "mnist-convnet"
    assert min(model.classifier_.pixels.size) >= 28


@pytest.mark.parametrize(
    ("features", "given", "shape"),
    [(16, None, (4, 4, 1)), (12, None, (1, 12, 1)), (12, (3, 4), (3, 4, 1)), (12, [2, 2, 3], (2, 2, 3))],
)
def test_rows_are_laid_out_as_pictures(features: int, given: object, shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).random((20, features))
    model = quick(epochs=1, picture_shape=given).fit(rows, np.arange(20) % 2)
    assert (model.picture_shape_, model.n_features_in_) == (shape, features)


def test_rows_and_their_pictures_are_answered_alike() -> None:
    images, labels = stripes()
    model = quick().fit(images, labels)
    np.testing.assert_array_equal(model.predict_proba(images), model.predict_proba(images.reshape(len(images), -1)))


def test_colours_are_seen() -> None:
    images = np.zeros((40, 8, 8, 3), np.uint8)
    labels = np.array(["red", "blue"])[np.arange(40) % 2]
    images[::2, ..., 0] = np.arange(160, 200, 2)[:, None, None]
    images[1::2, ..., 2] = np.arange(160, 200, 2)[:, None, None]
    model = quick(epochs=10).fit(images, labels)
    assert model.score(images, labels) == 1


def test_it_answers_as_the_engine_does() -> None:
    images, labels = stripes()
    model = quick(recipe="mnist-one-conv").fit(images, labels)
    answers = model.classifier_.predict(images[:5])
    expected = [list(one.heads["label"].values()) for one in answers]
    np.testing.assert_allclose(model.predict_proba(images[:5]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "given", "kept"),
    [
        (np.array([3, 90], np.uint8), None, (0, 255)),
        (np.array([0.2, 0.9]), None, (0, 1)),
        (np.array([0, 16.0]), None, (0, 16)),
        (np.array([-4, 1e6]), None, (-4, 1e6)),
        (np.array([7.0, 200]), (0, 255), (0, 255)),
        (np.array([5, 5]), None, (5, 5)),
    ],
)
def test_black_and_white_are_settled_by_what_fit_saw(values: np.ndarray, given: object, kept: tuple) -> None:
    images = np.resize(values, (20, 5, 3))  # 15 pixels of 2 values: two different pictures
    model = quick(epochs=1, pixel_range=given).fit(images, np.arange(20) // 10)
    assert model.pixel_range_ == kept


def test_a_dark_picture_is_not_brightened_when_predicted_alone() -> None:
    images, labels = stripes()
    model = quick().fit(images.astype(float), labels)
    dark = images[:1] * 0.001  # within 0..1, yet below half of a level
    np.testing.assert_array_equal(model.predict_proba(dark), model.predict_proba(np.zeros_like(dark)))


def test_values_beyond_those_of_fit_are_black_or_white() -> None:
    images, labels = stripes()
    model = quick(pixel_range=(20, 100)).fit(images, labels)
    far = np.where(images > 100, 1e9, np.where(images < 20, -1e9, images))
    np.testing.assert_array_equal(model.predict_proba(far), model.predict_proba(np.clip(images, 20, 100)))


@pytest.mark.parametrize(
    "labels", [np.array([-1, 1]), np.array([10, 9]), np.array(["10", "9"]), np.array([True, False]), np.array([0.0, 2])]
)
def test_any_kind_of_class_comes_back(labels: np.ndarray) -> None:
    images, _ = stripes()
    each = labels[np.arange(40) % 2]
    model = quick(epochs=8).fit(images, each)
    np.testing.assert_array_equal(model.predict(images), each)


def test_probabilities_sum_to_one_as_closely_as_scikit_learn_asks() -> None:
    images, labels = stripes()
    assert log_loss(labels, quick().fit(images, labels).predict_proba(images)) < 1  # warns where they do not


def test_one_seed_gives_one_classifier_and_another_seed_another() -> None:
    images, labels = stripes()
    first, again, other = (quick(random_state=seed).fit(images, labels).predict_proba(images) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_handful_of_pictures_is_enough(count: int) -> None:
    images, labels = stripes(count)
    assert set(quick().fit(images, labels).predict(images)) <= {"left", "right"}


def test_no_picture_is_put_aside_for_a_test(tmp_path: Path) -> None:
    quick(out=tmp_path / "run", epochs=1).fit(*stripes())
    splits = [line.split(",")[1] for line in (tmp_path / "run" / "splits.csv").read_text().splitlines()[1:]]
    assert (len(splits), set(splits)) == (40, {"train", "val"})


def test_a_recipe_of_two_heads_answers_y_alone() -> None:
    images, labels = stripes()
    model = quick(recipe="mnist-digit-and-odd", epochs=1, overrides=[ONE_THREAD, "model.network=mnist-mlp"])
    assert [head.classes for head in model.fit(images, labels).classifier_.heads] == [("left", "right")]


def test_history_holds_every_epoch() -> None:
    model = quick().fit(*stripes())
    assert [epoch.number for epoch in model.history_] == [1, 2, 3]
    assert "val_accuracy" in model.history_[0].metrics


def test_only_a_verbose_fit_says_anything(capfd: pytest.CaptureFixture[str]) -> None:
    quick().fit(*stripes())
    assert capfd.readouterr() == ("", "")
    quick(verbose=True).fit(*stripes())
    assert capfd.readouterr().err.count("val_loss") == 3


def test_nothing_is_left_behind_without_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    quick(epochs=1).fit(*stripes())
    assert list(tmp_path.iterdir()) == []


def test_out_keeps_a_run_that_loads(tmp_path: Path) -> None:
    images, labels = stripes()
    model = quick(out=tmp_path / "run").fit(images, labels)
    [loaded] = noonchi.load(tmp_path / "run").predict(images[:1])
    assert loaded.answer("label") == model.predict(images[:1])[0]


def test_a_used_out_is_refused(tmp_path: Path) -> None:
    model = quick(out=tmp_path / "run", epochs=1).fit(*stripes())
    with pytest.raises(RunError, match="already holds a run"):
        model.fit(*stripes())


def test_asking_to_stop_is_an_interrupt_that_leaves_nothing(tmp_path: Path) -> None:
    fit = f"noonchi.ImageClassifier(epochs=100_000, verbose=True, overrides=['{ONE_THREAD}']).fit"
    code = f"import numpy as np, noonchi; {fit}(np.eye(4), [0, 1, 0, 1])"
    # torch makes a folder for a compiler there, which is not ours to keep clean
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path.parent / "torch")}
    training = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)
    assert training.stderr is not None
    assert "val_loss" in training.stderr.readline()
    training.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt: stopped; nothing is kept" in training.communicate()[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ((20, 6, 6, 2), {}, "expected .height, width. or .height, width, 1 or 3."),
        ((20, 2, 2, 2, 3), {}, "expected .height, width. or .height, width, 1 or 3."),
        ((20, 12), {"picture_shape": (3, 5)}, "needs rows of 15 numbers; these have 12"),
        ((20, 12), {"picture_shape": (12,)}, "expected .height, width. or"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(shape: tuple[int, ...], changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quick(**changes).fit(np.zeros(shape), np.arange(20) % 2)


def test_pictures_of_another_shape_than_fits_are_refused() -> None:
    images, labels = stripes()
    with pytest.raises(ValueError, match=r"\(6, 5\); expected \(6, 6, 1\)"):
        quick(epochs=1).fit(images, labels).predict(images[:, :, 1:])


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y holds 1 class \(cat\); a classifier needs 2"):
        quick().fit(np.zeros((3, 4, 4)), ["cat"] * 3)


def test_a_wrong_setting_is_the_engines_error() -> None:
    with pytest.raises(SettingsError, match=r"fit\.peak_lr"):
        quick(lr=-1).fit(*stripes())


def test_it_works_in_cross_validation() -> None:
    images, labels = stripes(60)
    assert cross_val_score(quick(epochs=8), images, labels, cv=2).min() > 0.9


def test_it_works_at_the_end_of_a_pipeline() -> None:
    images, labels = stripes()
    negative = make_pipeline(FunctionTransformer(np.invert), quick(epochs=8))
    assert negative.fit(images, labels).score(images, labels) > 0.9


def test_a_clone_has_the_settings_and_is_not_fitted() -> None:
    model = quick(picture_shape=(6, 6)).fit(*stripes())
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "classifier_")


def test_an_estimator_that_is_not_fitted_pickles_for_other_processes() -> None:
    assert pickle.loads(pickle.dumps(quick())).get_params() == quick().get_params()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.modules['sklearn'] = None; import noonchi; noonchi.ImageClassifier", "noonchi[sklearn]"),
        ("import sys, noonchi; noonchi.ImageClassifier(); assert 'torch' not in sys.modules", ""),
    ],
    ids=["without scikit-learn it says what to install", "torch waits for fit"],
)
def test_importing(code: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said in done.stderr
    assert bool(said) == bool(done.returncode)
