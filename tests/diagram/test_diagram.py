"""A network's drawing, as it is found in the file."""

import re
import xml.etree.ElementTree as ET

import pytest
from torch import nn

from noonchi.diagram import draw
from noonchi.diagram.boxes import MOST, boxed
from noonchi.diagram.tracing import trace
from noonchi.networks import BACKBONES, NETWORKS, PictureShape, build
from noonchi.results import Head
from noonchi.settings import ModelSettings
from noonchi.summary import build_named

SVG = "{http://www.w3.org/2000/svg}"
LABEL = Head("label", "classes", ("cat", "dog"))


def texts(drawing):
    root = ET.fromstring(drawing)
    return [element.text for element in root.iter(f"{SVG}text")]


def boxes_of(network, shape):
    return boxed(trace(network, shape), network)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_drawn_whole(name):
    network, shape = build_named(name)
    found = texts(draw(network, shape, name))
    parameters = sum(weight.numel() for weight in network.parameters())
    assert found[:2] == [name, f"{parameters:,} parameters"]
    told = [re.fullmatch("([0-9,]+) parameters?", text) for text in found[2:]]
    assert sum(int(one[1].replace(",", "")) for one in told if one) == parameters


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_drawn_in_few_boxes(name):
    network = build(ModelSettings(network=name), PictureShape(96, 96, 3), (LABEL,))
    found = boxes_of(network, PictureShape(96, 96, 3))
    assert 8 < len(found) <= MOST
    assert sum(box.parameters for box in found) == sum(weight.numel() for weight in network.parameters())
    assert found[-1].name == "output"


def test_a_deep_backbone_is_drawn_by_its_stages():
    network = build(ModelSettings(network="resnet152"), PictureShape(64, 64, 3), (LABEL,))
    kinds = {box.name: box.kind for box in boxes_of(network, PictureShape(64, 64, 3))}
    assert kinds["layer3"] == "36 x Bottleneck"


def test_two_branches_meet():
    network, shape = build_named("mnist-two-branch")
    found = boxes_of(network, shape)
    names = {box.name: {found[source].name for source in box.sources} for box in found}
    assert names["conv1"] == names["pixels"] == {"input"}
    assert names["concatenate"] == {"flatten", "pixels"}


def test_two_heads_have_an_answer_each():
    network, shape = build_named("mnist-digit-and-odd-deep")
    found = boxes_of(network, shape)
    answers = {box.name: found[box.sources[0]].name for box in found[1:] if not box.is_layer}
    assert answers == {"digit": "digit.output", "odd": "odd.output"}


def test_frozen_layers_say_so():
    network = build(ModelSettings(network="lenet5"), PictureShape(28, 28, 1), (LABEL,))
    network.freeze("dense1")
    found = texts(draw(network, PictureShape(28, 28, 1), "lenet5"))
    assert "156 parameters, frozen" in found
    assert any("of them frozen" in text for text in found)


def test_layers_that_no_picture_passes_are_counted():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network[1].register_module("forgotten", nn.Linear(3, 3))
    found = texts(draw(network, PictureShape(2, 2, 1), "mine"))
    assert any("12 of them in layers that no picture passes" in text for text in found)


def test_names_are_inert():
    hostile = type('눈치<script>alert(1)</script>&"\x1b', (nn.Flatten,), {})
    network = nn.Sequential()
    network.add_module("<img src=x onerror=alert(1)>", hostile())
    drawing = draw(network, PictureShape(2, 2, 1), "</svg><script>alert(1)</script>")
    assert not list(ET.fromstring(drawing).iter(f"{SVG}script"))
    assert "<script" not in drawing
    assert "<img" not in drawing
    assert "\\x1b" in drawing
    assert "눈치" in drawing


def test_a_reader_hears_every_box():
    network, shape = build_named("mnist-one-conv")
    root = ET.fromstring(draw(network, shape, "mnist-one-conv"))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "mnist-one-conv"
    assert "conv1 (Conv2d 3x3, ReLU): 26x26x32, 320 parameters." in root.find(f"{SVG}desc").text


def test_nothing_is_fetched_and_dark_grounds_are_thought_of():
    drawing = draw(*build_named("lenet5"), "lenet5")
    assert re.findall(r"https?://[^\s\"]+", drawing) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in drawing
