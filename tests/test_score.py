"""Scoring a finished run: on its own splits, and on other pictures."""

import shutil

import numpy as np
import pytest
from PIL import Image

import noonchi
from noonchi.errors import DataError, RunError
from noonchi.score import score

QUICK = (
    "record.plots=false",
    "record.tensorboard=false",
    "record.report=false",
    "device.precision=float32",
    "pixels.size=[8, 8]",
)


def ignore(event):
    """Nobody looks."""


def save(path, images, labels):
    np.savez(path, x=images, y=labels)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, bars):
    """A finished run on 60 pictures of the classes 0, 1 and 2, in `a.npz`; only read."""
    folder = tmp_path_factory.mktemp("score")
    data = save(folder / "a.npz", *bars(60, classes=3))
    return noonchi.train(data, "mnist-one-conv", out=folder / "run", epochs=2, overrides=QUICK, show=ignore)


def test_its_own_splits_score_as_the_run_recorded(trained):
    assert score(trained.folder, show=ignore).to_json() == trained.test.to_json()
    assert score(trained.folder, "val", show=ignore).to_json() == trained.val.to_json()


def test_the_splits_are_those_of_the_run_and_make_up_the_data(trained):
    assert sum(score(trained.folder, split, show=ignore).num_pictures for split in ("train", "val", "test")) == 60


def test_other_data_in_one_piece_are_scored_whole(trained, tmp_path, bars):
    images, labels = bars(60, classes=3)
    scores = score(trained.folder, "test", save(tmp_path / "b.npz", images[:20], labels[:20]), show=ignore)
    assert (scores.split, scores.num_pictures) == ("test", 20)


def test_classes_are_matched_by_name_not_by_number(trained, bars):
    images, labels = bars(60, classes=3)
    images, labels = images[labels > 0], labels[labels > 0]  # on their own, 1 and 2 would be the numbers 0 and 1
    answers = [prediction.answer("label") for prediction in trained.classifier.predict(images)]
    right = sum(answer == str(label) for answer, label in zip(answers, labels, strict=True))
    assert right > 0
    assert score(trained.folder, data=(images, labels), show=ignore).accuracy == right / len(labels)


def test_a_class_that_the_classifier_does_not_know_is_refused(trained, bars):
    images, labels = bars(60, classes=4)
    with pytest.raises(DataError, match="'3' is not a class of head 'label'"):
        score(trained.folder, data=(images, labels), show=ignore)


def test_pictures_of_another_size_are_brought_to_the_classifiers(trained, bars):
    assert score(trained.folder, data=bars(30, classes=3, side=20, channels=3), show=ignore).num_pictures == 30


def test_a_split_without_pictures_is_refused_naming_those_there_are(trained, tmp_path, bars):
    images, labels = bars(60, classes=3)
    np.savez(tmp_path / "b.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    with pytest.raises(DataError, match="no pictures in its split 'val'; it has: test, train"):
        score(trained.folder, "val", tmp_path / "b.npz", show=ignore)


def test_a_folder_of_test_pictures_alone_is_scored(trained, tmp_path, bars):
    for number, (image, label) in enumerate(zip(*bars(12, classes=3), strict=True)):
        path = tmp_path / "new" / "test" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    scores = score(trained.folder, data=tmp_path / "new", show=ignore)
    assert (scores.split, scores.num_pictures) == ("test", 12)
    with pytest.raises(DataError, match="no pictures in its split 'val'; it has: test"):
        score(trained.folder, "val", tmp_path / "new", show=ignore)


def test_changed_pictures_of_its_own_are_refused(trained, tmp_path, bars):
    images, labels = bars(60, classes=3)
    run = shutil.copytree(trained.folder, tmp_path / "run")
    recipe = (run / "recipe.toml").read_text().replace(str(trained.folder.parent), str(tmp_path))
    (run / "recipe.toml").write_text(recipe)
    save(tmp_path / "a.npz", images, labels[::-1])
    with pytest.raises(DataError, match=r"the pictures of .* have changed"):
        score(run, show=ignore)


def test_two_heads_are_scored_with_the_losses_weighed_as_in_training(tmp_path, bars):
    data = save(tmp_path / "a.npz", *bars(60))
    overrides = (*QUICK[:-1], "heads.odd.loss_weight=0.5")
    run = noonchi.train(data, "mnist-digit-and-odd", out=tmp_path / "run", epochs=1, overrides=overrides, show=ignore)
    scores = score(run.folder, show=ignore)
    assert scores.to_json() == run.test.to_json()
    assert scores.loss == pytest.approx(scores.heads["digit"].loss + 0.5 * scores.heads["odd"].loss)


def test_only_a_run_is_scored(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        score(tmp_path, show=ignore)
