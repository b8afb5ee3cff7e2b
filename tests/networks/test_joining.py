"""What answers in less time answers the same."""

import pytest
import torch
from torch import nn

from batch_norms import moved
from noonchi.networks import PictureShape, build
from noonchi.networks.joining import answering, joined
from noonchi.results import Head
from noonchi.settings import ModelSettings

ONE = (Head("label", "classes", ("a", "b", "c")),)
TWO = (*ONE, Head("odd", "binary", ("even", "odd")))


def count(network: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(type(layer) in kinds for layer in network.modules())


def same_answers(made: nn.Module, network: nn.Module, images: torch.Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(made(images), network(images), rtol=1e-3, atol=1e-4)


def fused_step(layer: nn.Module) -> None:
    for weight in layer.parameters():
        weight.grad = torch.rand_like(weight)
    torch.optim.SGD(layer.parameters(), lr=0.1, fused=True).step()


# 64 pixels and 65: TensorFlow's padding differs between even and odd sides
@pytest.mark.parametrize(
    ("name", "side"),
    [("efficientnet-lite0", 64), ("efficientnet-lite0", 65), ("resnet50", 64), ("efficientnet_b0", 64), ("vgg16", 32)],
)
def test_a_backbone_answers_the_same_with_its_layers_joined(name, side):
    torch.manual_seed(0)
    network = moved(build(ModelSettings(network=name, weights="random"), PictureShape(side, side, 3), ONE))
    images = torch.rand(3, 3, side, side)
    made = joined(network, images[:1])
    assert count(made, nn.Conv2d, nn.BatchNorm2d) == 0 < count(network, nn.Conv2d)
    assert count(made, nn.ReLU, nn.ReLU6, nn.SiLU) < count(network, nn.ReLU, nn.ReLU6, nn.SiLU)
    same_answers(made, network, images)


@pytest.mark.parametrize("name", ["mnist-deep-convnet", "mnist-digit-and-odd", "photos-small", "mnist-mlp"])
def test_our_networks_answer_the_same(name):
    torch.manual_seed(0)
    heads = TWO if name == "mnist-digit-and-odd" else ONE
    network = moved(build(ModelSettings(network=name), PictureShape(28, 28, 1), heads))
    images = torch.rand(3, 1, 28, 28)
    same_answers(joined(network, images[:1]), network, images)


def test_maps_that_are_read_besides_the_relu_are_left_alone():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.relu = nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.convolution(images)
            return maps + self.relu(maps)

    network = Skip().eval()
    assert joined(network, torch.rand(1, 3, 8, 8)) is network


def test_a_network_that_looks_into_its_layers_is_left_alone():
    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.convolution(images) * self.convolution.weight.mean()

    network = Looking().eval()
    assert answering(network, torch.rand(1, 3, 8, 8)) is network


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight.data.mul_(2),
        lambda layer: layer.load_state_dict({"weight": torch.ones(3, 3, 1, 1), "bias": torch.ones(3)}),
        fused_step,
    ],
    ids=["data", "load_state_dict", "fused optimizer"],
)
def test_answers_follow_every_change_of_the_weights(change):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).eval()
    images = torch.rand(1, 3, 8, 8)
    for _ in range(3):
        same_answers(answering(network, images), network, images)
        change(network[0])


def test_a_copy_is_made_once():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).eval()
    images = torch.rand(1, 3, 8, 8)
    assert answering(network, images) is answering(network, images) is not network
