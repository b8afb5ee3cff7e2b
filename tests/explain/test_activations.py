"""What each layer gives is shown channel by channel, for networks of any kind."""

import numpy as np
import torch
from torch import nn

from noonchi import networks, pixels
from noonchi.explain.activations import MOST_CHANNELS, activations
from noonchi.explain.layers import MOST_LAYERS, parts
from noonchi.networks import PictureShape
from noonchi.results import Head
from noonchi.settings import ModelSettings

DIGIT = Head("digit", "classes", ("zero", "one", "two"))
ODD = Head("odd", "binary", ("even", "odd"))


def frame_of(made) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, made.shape, np.uint8)


def test_every_layer_of_the_first_convnet_is_there_with_its_shape_and_channels(fresh):
    made = fresh(DIGIT, network="mnist-convnet", side=28)
    found = {one.layer: one for one in activations(made, frame_of(made))}
    assert list(found) == [name for name, _ in made.network.named_children()]
    assert (found["conv1"].shape, found["conv1"].values.shape) == ((26, 26, 32), (32, 26, 26))
    assert (found["relu3"].shape, found["relu3"].channels) == ((3, 3, 64), tuple(range(64)))
    assert (found["dense1"].shape, found["dense1"].values.shape) == ((64,), (64,))
    assert (found["flatten"].same_as, found["flatten"].total) == ("relu3", 576)


def test_what_is_shown_is_what_the_layer_gives_also_where_the_next_works_in_place(fresh):
    made = fresh(DIGIT, network="mnist-convnet", side=28)
    made.network.relu1.inplace = True
    frame = frame_of(made)
    images = pixels.normalise(torch.tensor(frame[np.newaxis]), made.pixels)
    with torch.no_grad():
        expected = made.network.conv1(images)[0].numpy()
    conv1, relu1 = activations(made, frame)[:2]
    assert np.array_equal(conv1.values, expected)
    assert np.array_equal(relu1.values, expected.clip(0))


def test_both_branches_and_both_heads_are_shown(fresh):
    made = fresh(DIGIT, ODD, network="mnist-digit-and-odd", side=28)
    names = [one.layer for one in activations(made, frame_of(made))]
    assert {"digit.conv1", "digit.concatenate", "digit.output", "odd.output"} <= set(names)


def test_of_many_channels_those_that_answer_most_are_kept_in_their_order(fresh):
    made = fresh(DIGIT, network="photos-convnet", side=96)
    found = next(one for one in activations(made, frame_of(made)) if one.layer == "conv3")
    assert (found.total, len(found.channels)) == (128, MOST_CHANNELS)
    assert list(found.channels) == sorted(found.channels)


def test_a_deep_network_is_shown_block_by_block_and_a_small_one_to_its_leaves():
    deep, small = (
        networks.build(
            ModelSettings(network=name, weights="random"),
            PictureShape(32, 32, 3),
            (ODD,),
        )
        for name in ("resnet18", "photos-small")
    )
    assert {"layer1_0", "layer4_1", "output"} <= set(parts(deep))
    assert {"block1.conv1", "block1.shortcut.norm", "output"} <= set(parts(small))
    assert all(len(parts(each)) <= MOST_LAYERS for each in (deep, small))


def test_a_layer_that_runs_twice_is_shown_both_times(fresh):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.dense = nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Linear(64, 3)

        def forward(self, images):
            return self.dense(self.relu(self.conv(self.relu(self.conv(images)))).flatten(1))

    made = fresh(DIGIT)
    object.__setattr__(made, "network", Twice())
    assert [one.layer for one in activations(made, frame_of(made))] == ["conv", "relu", "conv", "relu", "dense"]
