import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from damage import described, with_weights
from noonchi import classifier, predictor
from noonchi.classifier import Classifier, weights_bytes
from noonchi.errors import DataError, NoonchiError, RunError, SettingsError
from noonchi.networks import PictureShape
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

KIND = Head("kind", "classes", ("cat", "dog", "owl"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round"))


def frames_of(made: Classifier, count: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *made.shape), np.uint8)


@pytest.fixture
def saved(tmp_path, fresh) -> Path:
    """A folder with a whole classifier of one head."""
    fresh(KIND).save(tmp_path)
    return tmp_path


def refused(folder: Path, match: str) -> None:
    with pytest.raises(RunError, match=match) as caught:
        classifier.load(folder)
    assert len(str(caught.value).splitlines()) == 1


# Saved and loaded


@pytest.mark.parametrize("network", ["mnist-one-conv", "mnist-deep-convnet"])
def test_a_loaded_classifier_gives_the_same_probabilities_bit_for_bit(tmp_path, fresh, network):
    made = fresh(KIND, ODD, TAGS, network=network, channels=3)
    made.save(tmp_path)
    expected, found = (each.probabilities(frames_of(made)) for each in (made, classifier.load(tmp_path)))
    assert all((found[name] == expected[name]).all() for name in ("kind", "odd", "tags"))


def test_a_loaded_classifier_knows_its_heads_network_pixels_and_border(tmp_path):
    odd_names = Head("눈치", "classes", ('<img src=x onerror="x">', "=cmd()", "a\nb"))
    pixels = PixelSettings(size=(9, 8), channels=3, fit="pad", mean=(0.1, 0.2, 0.3), std=(0.5,))
    model = ModelSettings(network="mnist-one-conv", pooling="average")
    made = classifier.create((odd_names, ODD), model, pixels, border_level=12.5)
    made.save(tmp_path)
    found = classifier.load(tmp_path)
    assert (found.heads, found.model, found.pixels) == (made.heads, made.model, made.pixels)
    assert (found.border_level, found.shape) == (12.5, PictureShape(9, 8, 3))


def test_best_is_taken_before_last(tmp_path, fresh):
    for name, seed in (("best", 1), ("last", 2)):
        (tmp_path / name).mkdir()
        fresh(KIND, seed=seed).save(tmp_path / name)
    best = fresh(KIND, seed=1)
    found, expected = (each.probabilities(frames_of(best))["kind"] for each in (classifier.load(tmp_path), best))
    assert (found == expected).all()


def test_a_classifier_is_found_in_the_middle_of_a_replacement(tmp_path, fresh):
    (tmp_path / ".best.old").mkdir()
    fresh(KIND).save(tmp_path / ".best.old")
    assert classifier.load(tmp_path).heads == (KIND,)


def test_saving_leaves_two_files_and_no_pickle(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["classifier.json", "weights.safetensors"]


def test_loading_and_predicting_leave_torchs_draws_alone(saved):
    before = torch.get_rng_state()
    classifier.load(saved).predict([np.zeros((8, 8), np.uint8)])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_numbers_are_the_same_bytes_in_any_memory_format():
    weight = torch.rand(4, 3, 5, 5)
    strided = torch.rand(4, 3, 5, 10)[..., ::2]
    strided.copy_(weight)
    variants = (weight, weight.to(memory_format=torch.channels_last), strided, torch.nn.Parameter(weight))
    assert len({weights_bytes({"a": each, "b": torch.ones(2)}) for each in variants}) == 1


def test_weights_that_share_memory_are_both_saved():
    weight = torch.rand(3)
    assert weights_bytes({"a": weight, "b": weight}) == weights_bytes({"a": weight, "b": weight.clone()})


# Own networks

OWN = """
from torch import nn
from pathlib import Path
Path("imported").touch()
def small(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape.height * shape.width, outputs))
"""


def test_an_own_network_is_imported_only_when_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, "utf-8")
    made = classifier.create((KIND,), ModelSettings(network="own.py:small"), PixelSettings(size=(4, 4), channels=1))
    Path("run").mkdir()
    made.save(Path("run"))
    Path("imported").unlink()
    refused(Path("run"), "own network 'own.py:small'.*--trust-code")
    assert not Path("imported").exists()
    found = classifier.load("run", trust_code=True)
    assert (found.probabilities(frames_of(made))["kind"] == made.probabilities(frames_of(made))["kind"]).all()


def test_an_own_network_that_is_gone_is_a_line(saved):
    described(saved, model={"network": "gone.py:net"})
    with pytest.raises(RunError, match=r"there is no file 'gone.py'"):
        classifier.load(saved, trust_code=True)


# What is not saved


def test_weights_that_are_not_finite_are_not_saved(tmp_path, fresh):
    made = fresh(KIND)
    with torch.no_grad():
        made.network.output.weight[0, 0] = float("nan")
    with pytest.raises(RunError, match="not finite"):
        made.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Predictions


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    colour = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(colour).convert(mode)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (300, 20), (33, 57)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_pictures_of_any_size_and_mode_are_answered(tmp_path, fresh, mode, size):
    picture(mode, size).save(tmp_path / "a.png")
    for channels in (1, 3):
        (prediction,) = fresh(KIND, channels=channels).predict([tmp_path / "a.png"])
        assert sum(prediction.heads["kind"].values()) == pytest.approx(1)


def test_a_path_its_text_its_bytes_and_its_array_get_one_answer(tmp_path, fresh):
    path = tmp_path / "a.png"
    picture("RGB", (20, 30)).save(path)
    given = [path, str(path), path.read_bytes(), np.asarray(Image.open(io.BytesIO(path.read_bytes())))]
    answers = fresh(KIND, channels=3).predict(given)
    assert [each.heads for each in answers] == [answers[0].heads] * 4
    assert [each.picture for each in answers] == [str(path), str(path), "picture 2", "picture 3"]


def test_an_answer_does_not_depend_on_the_pictures_beside_it(fresh):
    made = fresh(KIND)
    frames = frames_of(made, 300)
    together = made.predict(frames)
    assert len(together) == 300
    for row in (0, 255, 256, 299):
        (alone,) = made.predict([frames[row]])
        assert alone.heads["kind"] == pytest.approx(together[row].heads["kind"], rel=1e-5)


def test_frames_that_cannot_be_written_are_answered(fresh):
    made = fresh(KIND)
    frames = frames_of(made)
    expected = made.probabilities(frames)["kind"]
    frames.flags.writeable = False
    assert (made.probabilities(frames)["kind"] == expected).all()
    assert len(made.predict(frames)) == 7


def test_no_pictures_get_no_answers(fresh):
    assert fresh(KIND).predict([]) == []


def test_each_head_answers_in_its_own_way(fresh):
    made = fresh(KIND, ODD, TAGS)
    frames = frames_of(made)
    for prediction, frame in zip(made.predict(frames), frames, strict=True):
        with torch.no_grad():
            image = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
            logits = {name: value[0].double() for name, value in made.network(image).items()}
        assert list(prediction.heads["kind"].values()) == pytest.approx(logits["kind"].softmax(0).tolist(), rel=1e-4)
        odd = logits["odd"].sigmoid().item()
        assert prediction.heads["odd"] == pytest.approx({"even": 1 - odd, "odd": odd}, rel=1e-4)
        assert list(prediction.heads["tags"].values()) == pytest.approx(logits["tags"].sigmoid().tolist(), rel=1e-4)
        assert prediction.kinds == {"kind": "classes", "odd": "binary", "tags": "labels"}


def test_dropout_is_off_in_prediction_even_after_training_mode(fresh):
    made = fresh(KIND, network="mnist-deep-convnet")
    made.network.train()
    first, second = (made.probabilities(frames_of(made))["kind"] for _ in range(2))
    assert (first == second).all()


# Light and dark


def digit(ground: int, ink: int) -> np.ndarray:
    image = np.full((8, 8), ground, np.uint8)
    image[2:6, 3:5] = ink
    return image


def answered(made: Classifier, image: np.ndarray, invert: predictor.Invert) -> dict[str, float]:
    (prediction,) = made.predict([image], invert)
    return dict(prediction.heads["kind"])


def test_auto_inverts_a_digit_on_paper_for_a_classifier_of_white_digits(fresh):
    made = fresh(KIND)  # border_level 0: white on black
    plain = answered(made, digit(0, 255), "no")
    assert answered(made, digit(255, 0), "auto") == answered(made, digit(0, 255), "auto") == plain


def test_auto_inverts_a_white_digit_for_a_classifier_of_digits_on_paper(fresh):
    made = fresh(KIND)
    on_paper = Classifier(made.network, made.heads, made.model, made.pixels, border_level=250.0)
    plain = answered(on_paper, digit(255, 0), "no")
    assert answered(on_paper, digit(255, 0), "auto") == answered(on_paper, digit(0, 255), "auto") == plain


def test_yes_always_inverts_and_no_never_does(fresh):
    made = fresh(KIND)
    white, black = digit(0, 255), digit(255, 0)
    assert answered(made, white, "yes") == answered(made, black, "no") != answered(made, white, "no")


def test_a_negative_is_noticed_where_the_training_pictures_edges_are_black_or_white(fresh):
    made = fresh(KIND)  # border_level 0
    assert made.looks_inverted(digit(255, 0))
    assert not made.looks_inverted(digit(0, 255))
    assert not made.looks_inverted(b"no picture")
    of_photos = Classifier(made.network, made.heads, made.model, made.pixels, border_level=120.0)
    assert not of_photos.looks_inverted(digit(255, 0))


# Pictures that cannot be read


@pytest.fixture
def some_bad(tmp_path) -> list[Path]:
    picture("L", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    picture("L", (7, 9)).save(tmp_path / "d.png")
    return [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]


def test_predict_raises_at_a_picture_that_cannot_be_read(fresh, some_bad):
    with pytest.raises(DataError, match=r"b\.png"):
        fresh(KIND).predict(some_bad)


def test_stream_tells_of_each_unreadable_picture_and_answers_the_others(fresh, some_bad):
    errors: list[NoonchiError] = []
    made = fresh(KIND)
    answers = list(made.stream(some_bad, "no", errors.append))
    assert [answer.picture for answer in answers] == [str(some_bad[0]), str(some_bad[3])]
    assert answers == made.predict([some_bad[0], some_bad[3]])
    assert ["b.png" in str(errors[0]), "c.png" in str(errors[1])] == [True, True]


def test_unreadable_pictures_alone_get_no_answer(fresh, some_bad):
    errors: list[NoonchiError] = []
    assert list(fresh(KIND).stream(some_bad[1:3], "no", errors.append)) == []
    assert len(errors) == 2


def test_unnamed_pictures_keep_their_number_behind_an_unreadable_one(fresh):
    given = [b"no picture", np.zeros((8, 8), np.uint8)]
    (answer,) = fresh(KIND).stream(given, "no", lambda error: None)
    assert answer.picture == "picture 1"


# Made


def test_a_network_that_is_not_known_is_a_settings_error():
    with pytest.raises(SettingsError, match=r"'lenet' is not a network. Did you mean 'lenet5'"):
        classifier.create((KIND,), ModelSettings(network="lenet"), PixelSettings(size=(28, 28), channels=1))


def test_foreign_safetensors_of_the_right_shapes_are_read(saved, fresh):
    state = {name: value.contiguous() for name, value in fresh(KIND, seed=5).network.state_dict().items()}
    save_file(state, saved / "weights.safetensors", metadata={"format": "pt"})
    with_weights(saved, (saved / "weights.safetensors").read_bytes())
    assert torch.equal(classifier.load(saved).network.output.bias, state["output.bias"])
