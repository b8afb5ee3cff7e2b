"""Filters: what they look for, and the weights of the first layer."""

import numpy as np
import pytest
import torch
from torch import nn

from noonchi import pixels
from noonchi.classifier import Classifier
from noonchi.errors import SettingsError
from noonchi.explain.filters import default_layers, first_weights, sought
from noonchi.explain.layers import up_to
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

KIND = Head("kind", "classes", ("a", "b", "c"))


def striped() -> Classifier:
    """Its two filters look for upright and for level stripes four pixels wide."""
    conv = nn.Conv2d(1, 2, 8, bias=False)
    wave = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]) / 64
    with torch.no_grad():
        conv.weight.copy_(torch.stack([wave.expand(8, 8), wave.expand(8, 8).T]).unsqueeze(1))
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(2 * 25 * 25, 3))
    return Classifier(network, (KIND,), ModelSettings(network="own"), PixelSettings(size=(32, 32), channels=1))


def test_a_filter_for_stripes_is_shown_stripes_and_excited_more_than_by_noise():
    made, noise = striped(), np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)
    [found] = sought(made, noise, ["1"], 2)
    assert (found.channels, found.total) == ((0, 1), 2)
    upright, level = found.pictures[:, 4:-4, 4:-4, 0].astype(float)
    for picture, axis in ((upright, 1), (level, 0)):
        changes = [np.abs(np.diff(picture, axis=each)).mean() for each in (axis, 1 - axis)]
        assert changes[0] > 1.2 * changes[1]
    images = pixels.normalise(torch.tensor(np.stack([noise, *found.pictures])), made.pixels)
    by_noise, by_first, by_second = up_to(made, images, "1").mean(dim=(2, 3))
    assert by_first[0] > 3 * by_noise[0]
    assert by_second[1] > 3 * by_noise[1]


def test_what_filters_look_for_is_the_same_each_time_and_leaves_torchs_draws_alone():
    made, black = striped(), np.zeros((32, 32, 1), np.uint8)
    before = torch.get_rng_state()
    first, again = (sought(made, black, ["0"], 1)[0].pictures for _ in range(2))
    assert np.array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def test_units_of_dense_layers_are_looked_into_too(fresh):
    made = fresh(KIND, network="mnist-mlp", side=12)
    assert default_layers(made.network) == ["output"]
    found = sought(made, np.zeros((12, 12, 1), np.uint8), ["dense1", "output"], 3)
    assert [(one.total, one.pictures.shape) for one in found] == [(512, (3, 12, 12, 1)), (3, (3, 12, 12, 1))]


@pytest.mark.parametrize(
    ("network", "channels", "shape", "total"),
    [("mnist-convnet", 3, (32, 3, 3, 3), 32), ("mnist-mlp", 1, (64, 28, 28, 1), 512)],
)
def test_the_first_layers_weights_are_pictures(fresh, network, channels, shape, total):
    made = fresh(KIND, network=network, side=28, channels=channels)
    found = first_weights(made)
    assert (found.values.shape, found.total) == (shape, total)
    weight = next(made.network.parameters()).detach().numpy()
    assert np.array_equal(found.values[5, 1, 2], weight.reshape(total, channels, *shape[1:3])[5, :, 1, 2])


def test_a_first_layer_that_does_not_see_the_picture_has_no_pictures():
    network = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    made = Classifier(network, (KIND,), ModelSettings(network="own"), PixelSettings(size=(8, 8), channels=1))
    assert first_weights(made) is None


def test_a_layer_that_is_not_there_is_answered_with_the_nearest(fresh):
    with pytest.raises(SettingsError, match=r"'conv' is not a layer of this network\. Did you mean 'conv1'"):
        sought(fresh(KIND), np.zeros((8, 8, 1), np.uint8), ["conv"], 1)


def test_a_layer_that_gives_no_filters_is_told_of(fresh):
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.spare = nn.Linear(64, 3), nn.Linear(64, 3)

        def forward(self, images):
            return self.dense(images.flatten(1))

    made = Classifier(Unused(), (KIND,), ModelSettings(network="own"), fresh(KIND).pixels)
    with pytest.raises(SettingsError, match="'spare' gives neither maps nor a row of numbers; name another"):
        sought(made, np.zeros((8, 8, 1), np.uint8), ["spare"], 1)
