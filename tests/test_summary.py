"""A summary's numbers are those of hand arithmetic."""

import torch
from torch import nn

from noonchi.networks import PictureShape, build
from noonchi.results import Head
from noonchi.settings import ModelSettings
from noonchi.summary import summarize

MNIST = PictureShape(28, 28, 1)
LABEL = Head("label", "classes", tuple("0123456789"))


def summary_of(name, *heads):
    return summarize(build(ModelSettings(network=name), MNIST, heads or (LABEL,)), MNIST, name)


def test_the_first_convnet_has_the_courses_shapes_and_counts():
    summary = summary_of("mnist-convnet")
    shapes = {layer.name: layer.output_shape for layer in summary.layers}
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "flatten", "dense1", "output")] == [
        (26, 26, 32),
        (13, 13, 32),
        (11, 11, 64),
        (5, 5, 64),
        (3, 3, 64),
        (576,),
        (64,),
        (10,),
    ]
    assert sum(layer.parameters for layer in summary.base) == 55_744
    assert summary.parameters == summary.trainable == 93_322


def test_multiply_adds_are_those_of_hand_arithmetic():
    rows = {layer.name: layer.multiply_adds for layer in summary_of("mnist-convnet").layers}
    assert rows["conv2"] == 11 * 11 * 64 * (3 * 3 * 32)
    assert rows["dense1"] == 576 * 64
    assert rows["relu1"] == rows["pool1"] == 0


def test_memory_counts_weights_and_each_output_once():
    summary = summary_of("mnist-mlp")
    assert summary.memory_bytes.weights == 407_050 * 4
    assert summary.memory_bytes.activations == (512 + 512 + 10) * 4  # flattening copies nothing


def test_frozen_parameters_are_counted_apart():
    network = build(ModelSettings(network="lenet5"), MNIST, (LABEL,))
    network.conv1.requires_grad_(False)
    summary = summarize(network, MNIST, "lenet5")
    assert (summary.parameters, summary.trainable, summary.frozen) == (61_706, 61_706 - 156, 156)
    assert "trainable" in summary.to_text()


def test_json_holds_what_the_table_shows():
    json = summary_of("mnist-convnet").to_json()
    assert json["network"] == "mnist-convnet"
    assert json["input_shape"] == [28, 28, 1]
    assert (json["parameters"], json["trainable"], json["frozen"]) == (93_322, 93_322, 0)
    assert json["base_parameters"] == 55_744
    assert json["multiply_adds"] == sum(layer["multiply_adds"] for layer in json["layers"])
    assert json["memory_bytes"]["weights"] == 93_322 * 4
    assert json["layers"][0] == {
        "name": "conv1",
        "kind": "Conv2d",
        "output_shape": [26, 26, 32],
        "parameters": 320,
        "trainable": 320,
        "multiply_adds": 194_688,
    }


def test_the_table_fits_a_terminal_and_shows_subtotal_and_total():
    digit, odd = Head("digit", "classes", tuple("0123456789")), Head("odd", "binary", ("even", "odd"))
    lines = summary_of("mnist-digit-and-odd-deep", digit, odd).to_text(width=80).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any("base" in line and "320" in line for line in lines)
    assert any("all" in line and "279,723" in line for line in lines)


def test_names_are_not_read_as_markup():
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert "[red]my.py:Net" in summarize(network, MNIST, "[red]my.py:Net").to_text()


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.same = self.dense
        self.unused = nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(self.same(images.flatten(1))) @ torch.ones(4, 2)


def test_a_layer_used_twice_has_one_row_and_works_twice():
    rows = {layer.name: layer for layer in summarize(Twice(), PictureShape(2, 2, 1), "twice").layers}
    assert (rows["dense"].parameters, rows["dense"].multiply_adds) == (20, 2 * 16)
    assert "same" not in rows


def test_every_parameter_and_product_is_in_some_row():
    summary = summarize(Twice(), PictureShape(2, 2, 1), "twice")
    rows = {layer.name: layer for layer in summary.layers}
    assert (rows["unused"].parameters, rows["unused"].output_shape) == (9, ())
    assert rows["(itself)"].multiply_adds == 4 * 2
    assert (summary.parameters, summary.multiply_adds) == (29, 40)


def test_attention_is_counted():
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Turned(), attention)
    tokens, width = 16, 8
    projections, scores, feed_forward = 4 * width * width, 2 * tokens * width, 2 * width * 16
    rows = summarize(network, PictureShape(16, 16, 3), "attention").layers
    assert sum(row.multiply_adds for row in rows[3:]) == tokens * (projections + scores + feed_forward)


class Turned(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.transpose(1, 2)


def test_a_summary_leaves_the_network_as_it_was():
    network = build(ModelSettings(network="mnist-deep-convnet"), MNIST, (LABEL,))
    network.dropout1.eval()
    summarize(network, MNIST, "mnist-deep-convnet")
    assert [layer.training for layer in (network, network.dropout1, network.dropout2)] == [True, False, True]
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
