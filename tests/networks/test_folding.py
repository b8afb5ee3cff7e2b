"""Folded batch norm changes no answer."""

import pytest
import torch
from torch import nn

from batch_norms import moved
from noonchi.networks import PictureShape, build, glorot
from noonchi.networks.folding import folded
from noonchi.results import Head
from noonchi.settings import ModelSettings

HEADS = (Head("label", "classes", ("a", "b", "c")),)


def norms(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50", "mobilenet", "xception", "inception-v3"])
def test_a_backbone_answers_the_same_without_its_batch_norms(name):
    torch.manual_seed(0)
    model = ModelSettings(network=name, weights="random")
    network = moved(build(model, PictureShape(96, 96, 3), HEADS))
    images = torch.rand(2, 3, 96, 96)
    made = folded(network, images[:1])
    assert norms(made) == 0 < norms(network)
    with torch.inference_mode():
        torch.testing.assert_close(made(images), network(images), rtol=1e-3, atol=1e-4)


def test_batch_norm_after_anything_else_stays():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert folded(network, torch.rand(1, 3, 8, 8)) is network


def test_batch_norm_that_follows_two_convolutions_in_turn_stays():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.norm(self.second(self.norm(self.first(images))))

    network = moved(glorot(Shared()))
    assert folded(network, torch.rand(1, 3, 8, 8)) is network


def test_a_convolution_that_is_read_from_elsewhere_too_is_left_alone():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.convolution(images)
            return maps + self.norm(maps)

    network = moved(glorot(Skip()))
    assert folded(network, torch.rand(1, 3, 8, 8)) is network


def test_the_network_itself_is_left_as_it_was():
    network = moved(glorot(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert folded(network, torch.rand(1, 3, 8, 8)) is not network
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
