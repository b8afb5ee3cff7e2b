"""`noonchi summary --diagram`."""

import json
import xml.etree.ElementTree as ET

import pytest

OWN = """
from torch import nn

def small(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("network", ["lenet5", "mnist-digit-and-odd", "own.py:small"])
def test_a_network_is_drawn_beside_its_table(noonchi, here, network):
    answer = noonchi("summary", network, "--diagram", "눈치.svg")
    assert (answer.code, answer.err) == (0, "diagram in 눈치.svg\n")
    assert "parameters" in answer.out
    assert network in ET.parse("눈치.svg").getroot()[0].text


def test_a_run_is_drawn_and_json_stays_one_object(noonchi, here, fresh):
    (here / "run").mkdir()
    fresh().save(here / "run")
    answer = noonchi("summary", "run", "--diagram", "run.svg", "--json")
    assert json.loads(answer.out)["network"] == "run"
    assert ET.parse("run.svg").getroot()[0].text == "run"


@pytest.mark.parametrize(
    ("place", "told"), [("a.png", "a name that ends in .svg"), ("gone/a.svg", "there is no folder 'gone'")]
)
def test_a_place_that_cannot_be_is_refused(noonchi, here, place, told):
    answer = noonchi("summary", "lenet5", "--diagram", place)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1
