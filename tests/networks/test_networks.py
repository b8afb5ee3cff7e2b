"""The named networks are the course's, to the last parameter, and say in one line what they cannot take."""

import pytest
import torch
from torch import nn

from noonchi.errors import SettingsError
from noonchi.networks import NETWORKS, PictureShape, build, forward
from noonchi.networks.parts import layers
from noonchi.results import Head
from noonchi.settings import ModelSettings

MNIST, PHOTOS = PictureShape(28, 28, 1), PictureShape(150, 150, 3)
LABEL = Head("label", "classes", tuple("0123456789"))
DIGIT = Head("digit", "classes", tuple("0123456789"))
ODD = Head("odd", "binary", ("even", "odd"))
KIND = Head("label", "binary", ("cat", "dog"))


def made(name: str, shape: PictureShape = MNIST, heads: tuple[Head, ...] = (LABEL,), **settings: str) -> nn.Module:
    return build(ModelSettings(network=name, **settings), shape, heads)


def heads_for(name: str) -> tuple[Head, ...]:
    return (DIGIT, ODD) if "odd" in name else (LABEL,)


@pytest.mark.parametrize(
    ("name", "shape", "heads", "parameters"),
    [
        ("mnist-convnet", MNIST, (LABEL,), 93_322),
        ("mnist-mlp", MNIST, (LABEL,), 407_050),
        ("mnist-one-conv", MNIST, (LABEL,), 54_410),
        ("mnist-two-branch", MNIST, (LABEL,), 62_250),
        ("mnist-digit-and-odd", MNIST, (DIGIT, ODD), 63_035),
        ("mnist-digit-and-odd-deep", MNIST, (DIGIT, ODD), 279_723),
        ("lenet5", MNIST, (LABEL,), 61_706),
        ("mnist-deep-convnet", MNIST, (LABEL,), 1_199_882),
        ("photos-convnet", PHOTOS, (KIND,), 3_453_121),
        ("photos-convnet-dropout", PHOTOS, (KIND,), 3_453_121),
    ],
)
def test_parameters_are_exactly_the_courses(name, shape, heads, parameters):
    assert sum(weight.numel() for weight in made(name, shape, heads).parameters()) == parameters


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_takes_colour_pictures_that_are_not_square(name):
    shape, heads = PictureShape(49, 62, 3), heads_for(name)
    logits = forward(made(name, shape, heads), torch.zeros(3, 3, 49, 62), heads)
    assert {key: value.shape for key, value in logits.items()} == {h.name: (3, h.outputs) for h in heads}


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"mnist-digit-and-odd", "mnist-digit-and-odd-deep"}))
def test_every_other_network_answers_any_number_of_heads(name):
    heads = (DIGIT, ODD, Head("type", "labels", ("loop", "line")))  # "type" is also a method of every module
    logits = forward(made(name, PictureShape(48, 48, 1), heads), torch.zeros(2, 1, 48, 48), heads)
    assert [value.shape[1] for value in logits.values()] == [10, 1, 2]


def test_two_headed_networks_answer_heads_of_any_name_in_order():
    heads = (Head("what", "classes", ("a", "b", "c")), Head("is_big", "binary", ("no", "yes")))
    logits = made("mnist-digit-and-odd", MNIST, heads)(torch.zeros(1, 1, 28, 28))
    assert {name: value.shape[1] for name, value in logits.items()} == {"what": 3, "is_big": 1}


def test_average_pooling_takes_the_mean_of_each_window():
    networks = {pooling: made("mnist-one-conv", pooling=pooling) for pooling in ("max", "average")}
    window = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert {pooling: network.pool1(window).item() for pooling, network in networks.items()} == {"max": 6, "average": 3}


def test_weights_start_glorot_uniform_with_biases_of_zero():
    dense = made("mnist-mlp").dense1
    limit = (6 / (784 + 512)) ** 0.5
    assert 0.99 * limit < dense.weight.abs().max() <= limit
    assert not dense.bias.any()


def test_the_same_seed_gives_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(made("lenet5").state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_dropout_adds_no_weights_so_either_photo_network_loads_the_others():
    names = [list(made(name, PHOTOS, (KIND,)).state_dict()) for name in ("photos-convnet", "photos-convnet-dropout")]
    assert names[0] == names[1]


def test_a_new_network_is_in_training_mode():
    assert all(layer.training for layer in made("mnist-deep-convnet").modules())


def test_weights_lie_channels_last():
    assert made("mnist-convnet").conv2.weight.is_contiguous(memory_format=torch.channels_last)


def test_layer_names_that_recipes_and_diagrams_use_stay():
    assert [name for name, _ in made("mnist-digit-and-odd", heads=(DIGIT, ODD)).named_modules() if "." in name] == [
        *(f"digit.{layer}" for layer in ("conv1", "relu1", "pool1", "flatten", "pixels", "concatenate", "output")),
        "odd.flatten",
        "odd.output",
    ]


@pytest.mark.parametrize(
    ("name", "shape", "heads", "message"),
    [
        ("lenet6", MNIST, (LABEL,), r"'lenet6' is not a network\. Did you mean 'lenet5'"),
        ("lenet5", PictureShape(4, 9, 1), (LABEL,), "'lenet5' cannot take pictures of 4x9x1: it needs 12x12 or more"),
        ("photos-convnet", MNIST, (KIND,), "cannot take pictures of 28x28x1: it needs 46x46 or more"),
        ("photos-small", PictureShape(16, 40, 3), (KIND,), "cannot take pictures of 16x40x3: it needs 17x17 or more"),
        ("mnist-digit-and-odd", MNIST, (LABEL,), "answer 2 heads.*; 'label' came"),
        ("mnist-digit-and-odd-deep", MNIST, (DIGIT, ODD, KIND), "answer 2 heads.*; 'digit', 'odd', 'label' came"),
        ("lenet5", MNIST, (Head("a.b", "binary", ("no", "yes")), ODD), "head 'a.b' has a dot"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(name, shape, heads, message):
    with pytest.raises(SettingsError, match=message) as error:
        made(name, shape, heads)
    assert "\n" not in str(error.value)


def test_the_smallest_photos_train_in_bfloat16():
    network = made("photos-small", PictureShape(17, 17, 3)).train()
    images = torch.rand(4, 3, 17, 17, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        network(images).square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_the_size_that_an_error_names_is_the_smallest_that_fits():
    made("lenet5", PictureShape(12, 12, 1))
    with pytest.raises(SettingsError, match="12x12"):
        made("lenet5", PictureShape(11, 11, 1))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_pooling_before_the_relu_gives_the_same_bits_forward_and_back(precision):
    network = layers(conv=nn.Conv2d(3, 8, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2), last=nn.Conv2d(8, 4, 3)).to(
        precision
    )
    plain = nn.Sequential(*network)
    images = torch.rand(5, 3, 15, 13, generator=torch.Generator().manual_seed(0)).to(precision)
    images = images.contiguous(memory_format=torch.channels_last)  # as `normalise` gives them: so are the maps of both
    outcomes = []
    for one in (network.train(), plain):
        network.zero_grad()
        answer = one(images)
        answer.square().sum().backward()
        outcomes.append([answer.detach(), *[weight.grad.clone() for weight in network.parameters()]])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*outcomes, strict=True))


def test_out_of_training_every_layer_gives_the_map_of_its_place():
    network = made("mnist-convnet").eval()
    seen = []
    network.relu1.register_forward_hook(lambda _, __, maps: seen.append(tuple(maps.shape)))
    network(torch.zeros(1, 1, 28, 28))
    assert seen == [(1, 32, 26, 26)]
