"""The graph of a network as TensorBoard reads it: every path of a picture, and nothing changed by looking."""

from collections import OrderedDict

import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import nn

from noonchi import networks
from noonchi.graph import graph
from noonchi.networks import PictureShape
from noonchi.results import Head
from noonchi.settings import ModelSettings

DIGIT, ODD = Head("digit", "classes", tuple("0123456789")), Head("odd", "binary", ("even", "odd"))
SHAPE = PictureShape(28, 28, 1)


def nodes(network, shape=SHAPE):
    found = {node.name: node for node in GraphDef.FromString(graph(network, shape)).node}
    assert all(source in found for node in found.values() for source in node.input)
    return found


def leading_to(found, name):
    """All that a node rests on."""
    seen, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += found[one].input
    return seen


def shapes(node):
    return [[side.size for side in shape.dim] for shape in node.attr["_output_shapes"].list.shape]


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_every_network_of_ours_leads_from_the_picture_to_each_answer(name, one_thread):
    heads = (DIGIT, ODD) if "odd" in name else (DIGIT,)
    shape = PictureShape(64, 64, 3) if name.startswith("photos") else SHAPE
    network = networks.build(ModelSettings(network=name), shape, heads)
    found = nodes(network, shape)
    answers = [name for name in found if name.startswith("answers/")]
    assert len(answers) == len(heads)
    assert all("images" in leading_to(found, answer) for answer in answers)
    unused = set(found) - set().union(*(leading_to(found, answer) for answer in answers))
    assert not unused, "each call leads somewhere"


def test_branches_meet_and_outputs_part(one_thread):
    found = nodes(networks.build(ModelSettings(network="mnist-digit-and-odd"), SHAPE, (DIGIT, ODD)))
    assert list(found["digit/concatenate/cat"].input) == ["digit/flatten/flatten", "digit/pixels/flatten"]
    assert "digit/conv1/conv2d" in leading_to(found, "answers/digit")
    assert "digit/conv1/conv2d" not in leading_to(found, "answers/odd")
    assert shapes(found["digit/conv1/conv2d"]) == [[1, 32, 26, 26]]
    assert found["digit/conv1/conv2d"].attr["layer"].s.startswith(b"Conv2d(1, 32, kernel_size=(3, 3)")


def test_a_backbone_is_drawn_with_its_shortcuts(one_thread):
    network = networks.build(ModelSettings(network="resnet18", weights="random"), PictureShape(64, 64, 3), (DIGIT,))
    found = nodes(network, PictureShape(64, 64, 3))
    assert len([node for node in found.values() if len(node.input) == 2]) == 8, "one sum a block"


def test_what_works_in_place_and_gives_several_is_followed():
    class Own(nn.Module):
        def forward(self, images):
            one, two = images.flatten(1).chunk(2, dim=1)
            return (one.add_(1) @ torch.ones(2, 3)) + two.sum(dim=1, keepdim=True)

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(OrderedDict([("a/b", Own()), ("out", nn.Linear(3, 2))]))

    found = nodes(Net(), PictureShape(2, 2, 1))
    assert list(found["a_b/matmul"].input) == ["a_b/add"]
    assert list(found["a_b/add"].input) == ["a_b/chunk"]
    assert set(found["a_b/add_2"].input) == {"a_b/matmul", "a_b/sum"}
    assert list(found["answers/output"].input) == ["out/linear"]


def test_looking_changes_nothing(one_thread):
    network = networks.build(ModelSettings(network="photos-small"), PictureShape(64, 64, 3), (DIGIT,)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    graph(network, PictureShape(64, 64, 3))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
