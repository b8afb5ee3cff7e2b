"""The graph is what really happens when a picture passes."""

import torch
import torch.nn.functional as F
from torch import nn

from noonchi.diagram.tracing import trace
from noonchi.networks import PictureShape

SHAPE = PictureShape(8, 8, 1)


def edges(network, shape=SHAPE):
    nodes = trace(network, shape)
    return [(nodes[source].path, node.path) for node in nodes for source in node.sources]


class Residual(nn.Module):
    """Functions between layers, in place too; one layer used twice, one never."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.twice = nn.Conv2d(2, 2, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))
        self.unused = nn.Linear(2, 2)
        self.output = nn.LazyLinear(3)

    def forward(self, images):
        maps = F.max_pool2d(F.relu(self.conv(images)), 2)
        inner = self.twice(maps)
        inner += maps
        inner = self.twice(inner) * self.scale
        return self.output(torch.flatten(inner, 1))


def test_functions_join_shrink_and_scale():
    assert edges(Residual()) == [
        ("input", "conv"),
        ("conv", "max_pool2d"),
        ("max_pool2d", "twice"),
        ("twice", "add"),
        ("max_pool2d", "add"),
        ("add", "twice"),
        ("twice", "mul"),
        ("mul", "flatten"),
        ("flatten", "output"),
    ]


def test_each_weight_is_counted_once():
    nodes = trace(Residual(), SHAPE)
    counted = {(node.path, sum(weight.numel() for weight in node.weights)) for node in nodes}
    assert counted == {
        ("input", 0),
        ("conv", 20),
        ("max_pool2d", 0),
        ("twice", 38),
        ("add", 0),
        ("twice", 0),
        ("mul", 1),
        ("flatten", 0),
        ("output", 2 * 4 * 4 * 3 + 3),
    }


def test_an_activation_as_a_function_is_noted_at_the_layer_before():
    assert trace(Residual(), SHAPE)[1].activations == ("relu",)


class Lists(nn.Module):
    """Layers that take and give lists, and arguments by name."""

    def __init__(self):
        super().__init__()
        self.split, self.join = Split(), Join()
        self.left, self.right = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

    def forward(self, images):
        top, bottom = self.split(images=images)
        return self.join([self.left(top), self.right(bottom)]).flatten(1)


class Split(nn.Module):
    def forward(self, images):
        return images.chunk(2, dim=2)


class Join(nn.Module):
    def forward(self, maps):
        return torch.cat(maps, dim=2)


def test_tensors_are_followed_through_lists():
    assert edges(Lists()) == [
        ("input", "split"),
        ("split", "left"),
        ("split", "right"),
        ("left", "join"),
        ("right", "join"),
        ("join", "flatten"),
    ]


class Answers(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.a, self.b = nn.Flatten(), nn.Linear(64, 3), nn.Linear(64, 1)

    def forward(self, images):
        features = self.features(images)
        return {"kind": self.a(features), "odd": self.b(features)}


def test_several_answers_are_nodes_under_their_heads_names():
    assert edges(Answers())[-2:] == [("a", "kind"), ("b", "odd")]


class Numpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)

    def forward(self, images):
        return self.b(torch.from_numpy(self.a(images).numpy()))


def test_where_the_way_is_lost_layers_follow_one_another():
    assert edges(Numpy()) == [("input", "a"), ("a", "b")]


def test_a_layer_with_weights_beside_plain_layers_is_one_node():
    attention = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, 8, batch_first=True, norm_first=True))
    paths = [node.path for node in trace(attention, SHAPE)]
    assert "1.self_attn.multi_head_attention_forward" in paths
    everything = {weight for node in trace(attention, SHAPE) for weight in node.weights}
    assert everything == set(attention.parameters())


def test_the_network_is_left_as_it_was():
    network = Residual()
    network.twice.eval()
    trace(network, SHAPE)
    assert (network.training, network.twice.training) == (True, False)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
