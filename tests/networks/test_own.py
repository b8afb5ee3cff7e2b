"""A user's own network is found by name, given what it asks for, and checked before training."""

import re
import sys
from pathlib import Path

import pytest
import torch

from noonchi.errors import SettingsError
from noonchi.networks import PictureShape, build, forward
from noonchi.results import Head
from noonchi.settings import ModelSettings

SHAPE = PictureShape(28, 28, 1)
LABEL = Head("label", "classes", tuple("0123456789"))
ODD = Head("odd", "binary", ("even", "odd"))
PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name, heads=(LABEL,), shape=SHAPE, pooling="max"):
    return build(ModelSettings(network=name, pooling=pooling), shape, heads)


def refusal(name, heads=(LABEL,), shape=SHAPE):
    with pytest.raises(SettingsError) as error:
        made(name, heads, shape)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("small", (LABEL,)),
        ("WithDropout", (LABEL,)),
        ("FineAndCoarse", (LABEL,)),
        ("TwoQuestions", (Head("digit", "classes", tuple("0123456789")), ODD)),
    ],
)
def test_the_examples_in_the_docs_build_and_learn(here, name, heads):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (here / "my_networks.py").write_text("\n".join(blocks), encoding="utf-8")
    network = made(f"my_networks.py:{name}", heads)
    logits = forward(network, torch.rand(3, 1, 28, 28), heads)
    assert {key: value.shape for key, value in logits.items()} == {head.name: (3, head.outputs) for head in heads}
    sum(value.sum() for value in logits.values()).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_the_docs_show_a_command_for_each_of_their_examples():
    page = PAGE.read_text(encoding="utf-8")
    made_there = re.findall(r"^(?:def|class) (\w+)", page, flags=re.MULTILINE)
    assert made_there == re.findall(r"--set model.network=my_networks.py:(\w+)", page)


def test_a_module_in_the_current_folder_is_found_by_its_dotted_name(here):
    (here / "own_package").mkdir()
    (here / "own_package" / "nets.py").write_text(
        "from torch.nn import *\nnet = Sequential(Flatten(), Linear(784, 10))"
    )
    path = list(sys.path)
    assert made("own_package.nets:net").training
    assert sys.path == path


def test_a_file_may_import_its_neighbours_from_anywhere(here):
    (here / "far").mkdir()
    (here / "far" / "neighbour_widths.py").write_text("WIDTH = 10")
    (here / "far" / "net.py").write_text(
        "from neighbour_widths import WIDTH\nfrom torch import nn\n"
        "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH))"
    )
    assert made("far/net.py:net")


def test_a_network_gets_only_what_its_signature_names(here):
    (here / "n.py").write_text(
        "from torch import nn\n"
        "def net(pooling, *, heads, width=3, **others):\n"
        "    assert not others and width == 3 and pooling == 'average'\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(len(heads[0].classes)))"
    )
    assert made("n.py:net", pooling="average")


def test_two_classifiers_from_one_network_share_no_weights(here):
    (here / "shared_net.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))")
    first, second = made("shared_net:net"), made("shared_net:net")
    first[1].weight.data.zero_()
    assert second[1].weight.any()


def test_own_weights_keep_their_start(here):
    (here / "n.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    dense = nn.Linear(784, 10)\n"
        "    nn.init.constant_(dense.bias, 7)\n"
        "    return nn.Sequential(nn.Flatten(), dense)"
    )
    assert (made("n.py:net")[1].bias == 7).all()


FILE = """
from torch import nn

def flat(width):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width))

def seven(): return flat(7)
def ten(): return flat(10)
def listed(): return [nn.Flatten()]
def asks(depth): return flat(10)
def breaks(): return nn.Linear("three", 4)
number = 3

class Squeezed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layers = flat(outputs)
    def forward(self, images):
        return self.layers(images).squeeze()

class FirstOnly(Squeezed):
    def forward(self, images):
        return self.layers(images).view(1, -1)

class Viewed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 4, 3), nn.LazyLinear(outputs)
    def forward(self, images):
        return self.dense(self.conv(images).view(len(images), -1))

class Misnamed(Squeezed):
    def forward(self, images):
        return {"labels": self.layers(images)}
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "n.py:seven",
            r"network 'n.py:seven' gives \(1, 7\) for head 'label' of 1 picture\(s\); 10 classes need \(1, 10\)",
        ),
        ("n.py:Squeezed", r"gives \(10,\) for head 'label' of 1 picture"),
        ("n.py:FirstOnly", r"gives \(1, 20\) for head 'label' of 2 picture"),
        ("n.py:Viewed", r"cannot take pictures of 28x28x1: .*reshape.* \(n.py, line 30\)"),
        ("n.py:Misnamed", r"gives 'labels' from forward; these heads need a dict \{'label': \.\.\.\}"),
        ("n.py:listed", "is of type list; a torch.nn.Module is needed"),
        ("n.py:number", "is of type int; a torch.nn.Module is needed"),
        ("n.py:asks", "asks for 'depth', which noonchi does not give; it gives shape, heads, outputs, pooling"),
        ("n.py:breaks", r"cannot be built: TypeError: .* \(n.py, line 11\)"),
        ("n.py:tne", "'tne' is not there. Did you mean 'ten'"),
        ("n.py:", "'' is not there. Known: "),
        ("absent.py:ten", "there is no file 'absent.py'"),
        ("absent_module:ten", "there is no module 'absent_module' in the current folder or installed"),
        ("n.py", "'n.py' is not a network"),
    ],
)
def test_what_is_wrong_with_an_own_network_is_said_in_one_line(here, name, message):
    (here / "n.py").write_text(FILE)
    assert re.search(message, refusal(name))


def test_a_binary_head_needs_two_dimensions(here):
    (here / "n.py").write_text(FILE)
    assert "gives () for head 'odd' of 1 picture(s); a binary head needs (1, 1)" in refusal("n.py:Squeezed", (ODD,))


def test_several_heads_need_a_dict(here):
    (here / "n.py").write_text(FILE)
    assert "gives one answer from forward; these heads need a dict {'label': ..., 'odd': ...}" in refusal(
        "n.py:ten", (LABEL, ODD)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def net(:\n", r"cannot be built: SyntaxError: .*\(n.py, line 1\)"),
        ("import absent_package\n", "cannot be built: ModuleNotFoundError: No module named 'absent_package'"),
        ("raise SystemExit(3)\n", "cannot be built: SystemExit: 3"),
    ],
)
def test_a_file_that_does_not_load_is_said_in_one_line(here, text, message):
    (here / "n.py").write_text(text)
    assert re.search(message, refusal("n.py:net"))
