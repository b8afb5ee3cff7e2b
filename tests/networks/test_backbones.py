"""Backbones are built, cut and run by name, and say in one line what is missing."""

import pytest
import torch
from safetensors.torch import save_file

from noonchi.errors import SettingsError
from noonchi.networks import PictureShape, backbones, build, forward, pixel_defaults
from noonchi.results import Head
from noonchi.settings import ModelSettings

KIND = (Head("label", "binary", ("cat", "dog")),)
# as small as each takes, and a cut in its upper half
CUTS = {
    "densenet121": (32, "features_denseblock4"),
    "efficientnet-lite0": (32, "blocks_5"),
    "inception-v3": (75, "Mixed_7a"),
    "mobilenet": (32, "blocks_4"),
    "resnet50": (32, "layer4"),
    "vgg16": (32, "block5_conv1"),
    "xception": (72, "block12"),
}


def made(name: str, side: int = 32, heads: tuple[Head, ...] = KIND, **settings: object):
    return build(ModelSettings(network=name, weights="random", **settings), PictureShape(side, side, 3), heads)


@pytest.mark.parametrize("name", sorted(CUTS))
def test_a_backbone_is_built_cut_and_answers_a_picture(name):
    side, cut = CUTS[name]
    network = made(name, side, freeze=cut)
    assert 0 < network.frozen < network.place_of("features")
    layers = list(network)
    assert not any(weight.requires_grad for layer in layers[: network.frozen] for weight in layer.parameters())
    assert all(weight.requires_grad for layer in layers[network.frozen :] for weight in layer.parameters())
    assert forward(network, torch.zeros(2, 3, side, side), KIND)["label"].shape == (2, 1)


def test_vgg16_has_the_layers_and_the_weights_that_keras_has():
    network = made("vgg16", 150)
    names = [name for name, _ in network.named_children()]
    assert names[:6] == ["block1_conv1", "block1_relu1", "block1_conv2", "block1_relu2", "block1_pool", "block2_conv1"]
    assert names[-3:] == ["block5_pool", "features", "output"]
    base = list(network)[: network.place_of("features")]
    assert sum(weight.numel() for layer in base for weight in layer.parameters()) == 14_714_688
    assert torch.nn.Sequential(*base)(torch.zeros(1, 3, 150, 150)).shape == (1, 512, 4, 4)


def test_the_courses_top_follows_flattened_maps():
    network = made("vgg16", 32, features="flatten", hidden=(256,), dropout=0.5)
    top = [name for name, _ in network.named_children()][network.place_of("features") :]
    assert top == ["features", "hidden1", "hidden1_relu", "dropout", "output"]


def test_any_name_of_timms_serves_and_normalises_as_it_was_taught():
    heads = (Head("kind", "classes", ("a", "b", "c")), Head("odd", "binary", ("no", "yes")))
    answers = forward(made("resnet18", 48, heads), torch.zeros(2, 3, 48, 48), heads)
    assert {name: tuple(value.shape) for name, value in answers.items()} == {"kind": (2, 3), "odd": (2, 1)}
    assert pixel_defaults("resnet18")["mean"] == (0.485, 0.456, 0.406)
    assert pixel_defaults("inception-v3")["size"] == (299, 299)
    assert pixel_defaults("photos-small") == {}


def test_the_weights_that_a_package_carries_tell_a_picture_apart_from_noise():
    network = build(ModelSettings(network="efficientnet-lite0"), PictureShape(64, 64, 3), KIND, pretrained=True).eval()
    base = list(network)[: network.place_of("features")]
    trained = torch.nn.Sequential(*base)(torch.zeros(1, 3, 64, 64))
    # batch norm's running variance is 1 in fresh weights
    variances = [value for name, value in network.state_dict().items() if name.endswith("running_var")]
    assert trained.isfinite().all()
    assert min(float((variance - 1).abs().max()) for variance in variances) > 0.01


def test_weights_come_from_a_file_with_timms_names(tmp_path):
    import timm

    torch.manual_seed(5)
    source = timm.create_model("resnet18", num_classes=7)
    save_file(source.state_dict(), tmp_path / "r.safetensors")
    settings = ModelSettings(network="resnet18", weights=str(tmp_path / "r.safetensors"))
    network = build(settings, PictureShape(32, 32, 3), KIND, pretrained=True)
    assert torch.equal(network.get_submodule("layer4_1.conv2").weight, source.layer4[1].conv2.weight)


@pytest.mark.parametrize(
    ("settings", "channels", "told"),
    [
        ({"network": "vgg17"}, 3, "Did you mean 'vgg16'"),
        ({"network": "vgg16", "freeze": "block6_conv1"}, 3, "'block6_conv1' is not a layer of this network"),
        ({"network": "resnet18", "weights": "gone.safetensors"}, 3, "gone.safetensors"),
        ({"network": "efficientnet-lite0"}, 1, "3 channels"),
        ({"network": "mnist-two-branch", "freeze": "flatten"}, 1, "does not go layer after layer"),
    ],
)
def test_what_cannot_be_is_one_line(settings, channels, told):
    weights = {} if "weights" in settings or channels == 1 else {"weights": "random"}
    with pytest.raises(SettingsError, match=told) as caught:
        build(ModelSettings(**settings, **weights), PictureShape(32, 32, channels), KIND, pretrained=True)
    assert len(str(caught.value).splitlines()) == 1


def test_without_a_network_the_backbones_at_hand_are_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match=r"'resnet50' cannot be fetched.*At hand offline: efficientnet-lite0"):
        build(ModelSettings(network="resnet50"), PictureShape(32, 32, 3), KIND, pretrained=True)


def test_every_name_is_one_that_timm_has():
    assert all(backbones.is_backbone(name) for name in backbones.BACKBONES.values())
