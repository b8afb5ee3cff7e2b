"""Heat maps: of every network, hot where the answer comes from, and doubted where they mean nothing."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from noonchi import classifier, explain
from noonchi.classifier import Classifier
from noonchi.errors import DataError, RunError, SettingsError
from noonchi.explain.layers import targets
from noonchi.explain.maps import checked, views
from noonchi.networks import BACKBONES, NETWORKS
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

DIGIT = Head("digit", "classes", ("zero", "one", "two"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round"))
WITHOUT_CONVOLUTIONS = {"mnist-mlp"}
# as small as leaves whole maps, and the layers of the plain and of the finer heat map
TARGETS = {
    "densenet121": (64, "features_norm5", "features_transition3_conv"),
    "efficientnet-lite0": (64, "bn2", "blocks_5_0_bn1"),
    "inception-v3": (128, "Mixed_7c", "Mixed_6e"),
    "mobilenet": (64, "blocks_4_1_bn2", "blocks_3_5_bn2"),
    "nasnet": (96, "nasnetalarge", "nasnetalarge.cell_11"),
    "resnet50": (64, "layer4_2", "layer3_5"),
    "vgg16": (32, "block5_relu3", "block4_relu3"),
    "xception": (96, "act4", "block11"),
}


def made(network: str, *heads: Head, side: int = 64, channels: int = 3, **settings: object) -> Classifier:
    torch.manual_seed(0)
    model = ModelSettings(network=network, weights="random" if network in BACKBONES else None, **settings)
    return classifier.create(heads or (ODD,), model, PixelSettings(size=(side, side), channels=channels))


def frames_of(made: Classifier, count: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *made.shape), np.uint8)


# Every network


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_of_ours_yields_a_checked_heat_map_for_each_head(name, one_thread):
    side = 96 if name.startswith("photos") else 28
    of_name = made(name, *((DIGIT, ODD) if "odd" in name else (DIGIT,)), side=side, channels=1)
    for head in of_name.heads:
        found = explain.heat_map(of_name, frames_of(of_name)[0], head.name)
        assert found.values.shape == (side, side)
        assert 0 <= found.values.min() <= found.values.max() <= 1
        assert len(found.checks.random_drops) == 8
        on_pixels = name in WITHOUT_CONVOLUTIONS or head is ODD
        assert found.method == ("integrated-gradients" if on_pixels else "grad-cam")
        assert (found.layer is None) == on_pixels


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_yields_a_heat_map_at_maps_and_a_finer_one(name, monkeypatch, one_thread):
    if name == "nasnet":
        import timm

        # the same cells with a twentieth of the filters: all of them take 40 s to build
        monkeypatch.setattr(timm, "create_model", functools.partial(timm.create_model, num_features=192, stem_size=16))
    side, *layers = TARGETS[name]
    of_name = made(name, side=side, freeze="features")
    plain, finer = checked(of_name, frames_of(of_name)[0], ODD, "odd", views(of_name, ODD))
    assert (plain.method, finer.method) == ("grad-cam", "hires-cam")
    assert [plain.layer, finer.layer] == layers
    assert np.isfinite(plain.values).all()
    assert np.isfinite(plain.checks.untrained_values).all()
    assert plain.checks.untrained_values.any() or finer.checks.untrained_values.any()


def test_the_target_is_the_last_map_before_pooling_and_before_a_map_of_one_pixel():
    last, finer = targets(made("mnist-convnet", DIGIT, side=28, channels=1), "digit")
    assert (last.layer, finer.layer) == ("relu3", "relu2")


def test_a_head_that_depends_on_no_map_is_looked_at_by_its_pixels():
    both = made("mnist-digit-and-odd", DIGIT, ODD, side=28, channels=1)
    assert targets(both, "digit")[0].layer == "digit.relu1"
    assert targets(both, "odd") == (None, None)


# Planted signals


class Corner(nn.Module):
    """Looks at nothing but the lower right corner, and answers by how bright it is."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv, self.relu, self.flatten = nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Flatten()
        self.dense = nn.Linear(16 * 16, outputs)
        seen = torch.zeros(16, 16)
        seen[11:, 11:] = 1
        with torch.no_grad():
            nn.init.constant_(self.conv.weight, 1 / 9)
            nn.init.zeros_(self.conv.bias)
            self.dense.bias.zero_()[-1] = -24  # blurred, the corner is not bright enough
            self.dense.weight.zero_()[-1] = self.last_weights(seen).flatten()
        self.register_buffer("seen", seen)

    def last_weights(self, seen):
        return torch.full((16, 16), 2.0)

    def forward(self, images):
        return self.dense(self.flatten(self.relu(self.conv(images * self.seen))))


class LateCorner(Corner):
    """Sees brightness anywhere, and only its last layer tells the corner from the rest."""

    def last_weights(self, seen):
        return 2 * seen

    def forward(self, images):
        return self.dense(self.flatten(self.relu(self.conv(images))))


def corner(head: Head, kind: type[Corner] = Corner, **changes: object) -> Classifier:
    settings = PixelSettings(size=(16, 16), channels=1)
    return Classifier(kind(head.outputs).eval(), (head,), ModelSettings(network="corner"), settings, **changes)


def spots() -> np.ndarray:
    """Bright in the lower right corner and, larger and brighter, in the upper left."""
    frame = np.zeros((16, 16, 1), np.uint8)
    frame[11:, 11:], frame[:8, :8] = 200, 255
    return frame


@pytest.mark.parametrize(("head", "name"), [(ODD, "odd"), (DIGIT, "two"), (TAGS, "round")])
def test_a_map_is_hot_where_the_answer_comes_from_and_hiding_shows_it(head, name):
    found = explain.heat_map(corner(head), spots(), head.name, name)
    assert found.values[11:, 11:].max() == 1
    assert found.values[:8, :8].max() < 0.01
    assert found.checks.hidden_drop > 0.5
    assert found.checks.hidden_drop > 2 * found.checks.random_drop
    assert found.checks.effect == "clear"


def test_a_map_that_is_hot_elsewhere_is_doubted_and_the_finer_one_is_not():
    made = corner(ODD, LateCorner)
    plain, fine = checked(made, spots(), ODD, "odd", views(made, ODD))
    # Grad-CAM's gradients are means over all places
    assert plain.values[:8, :8].max() == 1
    assert plain.checks.effect in ("little", "steady")
    assert fine.method == "integrated-gradients"
    assert fine.values[:8, :8].max() < 0.01
    assert fine.checks.effect == "clear"


def test_random_weights_give_another_map_and_leave_the_classifier_alone():
    made = corner(ODD, LateCorner)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    [_, fine] = checked(made, spots(), ODD, "odd", views(made, ODD))
    assert fine.checks.similarity < 0.7
    assert not np.allclose(fine.values, fine.checks.untrained_values)
    assert all(torch.equal(value, before[name]) for name, value in made.network.state_dict().items())


def test_what_speaks_for_no_is_not_what_speaks_for_yes():
    assert explain.heat_map(corner(ODD), spots(), class_name="even").checks.effect == "empty"
    assert explain.heat_map(corner(ODD), spots()).class_name == "odd"


def test_a_class_that_is_improbable_to_begin_with_is_told_of():
    dark = np.zeros((16, 16, 1), np.uint8)
    dark[13:, 13:] = 40
    assert explain.heat_map(corner(ODD), dark, class_name="odd").checks.effect == "improbable"


def test_a_map_of_an_answer_that_never_changes_says_little():
    made = corner(ODD)
    nn.init.constant_(made.network.dense.bias, 50.0)
    assert explain.heat_map(made, spots(), class_name="odd").checks.effect == "steady"


def test_probabilities_are_those_that_predict_gives_at_the_heads_temperature():
    made = corner(ODD, temperatures={"odd": 3.0})
    [prediction] = made.predict([spots()])
    found = explain.heat_map(made, spots(), class_name="odd")
    for probability in (found.probability, found.checks.probability):
        assert probability == pytest.approx(prediction.heads["odd"]["odd"], abs=1e-5)
    [batched] = explain.heat_maps(made, spots()[np.newaxis], classes=["odd"])
    assert batched.probability == pytest.approx(found.probability)


# Many at once


@pytest.mark.parametrize(("network", "side"), [("mnist-convnet", 28), ("mnist-mlp", 28), ("photos-small", 64)])
def test_maps_of_many_frames_are_those_of_each(network, side, one_thread):
    of_name = made(network, DIGIT, side=side, channels=3)
    frames = frames_of(of_name, 5)
    classes = ["two", "zero", "one", "one", "two"]
    together = explain.heat_maps(of_name, frames, "digit", classes)
    assert [one.class_name for one in together] == classes
    assert all(one.checks is None for one in together)
    for at, one in enumerate(together):
        [alone] = explain.heat_maps(of_name, frames[at : at + 1], "digit", [classes[at]])
        np.testing.assert_allclose(one.values, alone.values, atol=1e-4)


def test_maps_of_no_class_are_for_the_likeliest():
    of_name = made("lenet5", DIGIT, side=28)
    frames = frames_of(of_name, 3)
    expected = [prediction.answer("digit") for prediction in of_name.predict(list(frames))]
    assert [one.class_name for one in explain.heat_maps(of_name, frames)] == expected


def test_looking_leaves_neither_gradients_nor_hooks_behind():
    of_name = made("lenet5", side=28)
    explain.heat_map(of_name, frames_of(of_name)[0])
    assert all(weight.grad is None for weight in of_name.network.parameters())
    assert not any(layer._forward_hooks for layer in of_name.network.modules())


# Wrong questions


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"head": "digits"}, "'digits' is not a head of this classifier. Did you mean 'digit'?"),
        ({"class_name": "tow"}, "'tow' is not a class of head 'digit'. Did you mean 'two'?"),
    ],
)
def test_names_that_are_not_there_are_answered_with_the_nearest(asked, told):
    with pytest.raises(SettingsError, match=told):
        explain.heat_map(corner(DIGIT), spots(), **asked)


def test_a_picture_that_cannot_be_read_is_told_of(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"broken\.png' cannot be used"):
        explain.heat_map(corner(ODD), tmp_path / "broken.png")


class WithoutGradients(Corner):
    @torch.no_grad()
    def forward(self, images):
        return super().forward(images)


def test_a_network_that_keeps_no_gradients_is_told_of():
    made = Classifier(WithoutGradients(1), (ODD,), ModelSettings(network="own.py:Net"), corner(ODD).pixels)
    with pytest.raises(RunError, match=r"'own.py:Net' gives answers without gradients"):
        explain.heat_map(made, spots())
