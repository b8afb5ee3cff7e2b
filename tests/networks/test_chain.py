"""What leads from a picture to an answer is found, and divided only where the parts give the same bits."""

import pytest
import torch
from torch import nn

from noonchi.networks.chain import chain


class Residual(nn.Module):
    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.in_place = nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True), in_place

    def forward(self, maps):
        inner = self.conv(maps)
        if self.in_place:
            inner += maps
        else:
            inner = inner + maps
        return self.relu(inner)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, maps):
        return self.second(self.first(maps).square())


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.relu = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.ReLU()

    def forward(self, maps):
        return self.relu(self.conv2(self.relu(self.conv1(maps))))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Flatten()

    def forward(self, maps):
        return self.last(self.left(maps) + self.right(maps))


def paths(network: nn.Module, end: str = "") -> list[str]:
    return [path for path, _ in chain(network, torch.linspace(-1, 1, 32).reshape(1, 2, 4, 4), end)]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(inplace=True)), nn.Flatten()), ["0.0", "0.1", "1"]),
        (nn.Sequential(nn.Conv2d(2, 2, 1), nn.Identity(), nn.ReLU()), ["0", "2"]),
        (nn.Sequential(nn.Conv2d(2, 2, 1), Residual(in_place=False), nn.Flatten()), ["0", "1", "2"]),
        (nn.Sequential(nn.Conv2d(2, 2, 1), Residual(in_place=True), nn.Flatten()), ["0", "1", "2"]),
        (nn.Sequential(Functional(), nn.Flatten()), ["0", "1"]),
        (Reused(), ["conv1", "relu", "conv2", "relu"]),
        (Branches(), [""]),
        (nn.Flatten(), [""]),
    ],
    ids=["nested", "identity", "residual", "in place", "functional", "reused", "branches", "one layer"],
)
def test_a_network_is_divided_as_finely_as_one_tensor_leads_on(network, expected):
    assert paths(network) == expected


def test_a_chain_may_end_within_a_network():
    assert paths(nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU()), Branches()), "0.1") == ["0.0", "0.1"]


@pytest.mark.parametrize("in_place", [False, True])
def test_the_layers_one_after_the_other_give_the_same_bits(in_place):
    network = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), Residual(in_place=in_place), nn.Flatten()).eval()
    images = torch.rand(3, 2, 8, 8)
    answer = images
    for _, layer in chain(network, images[:1]):
        answer = layer(answer)
    assert torch.equal(answer, network(images))


def test_watching_leaves_modes_and_statistics_as_they_were():
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    paths(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
