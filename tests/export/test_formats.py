import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import openvino
import pytest
import torch

from noonchi import export
from noonchi.cli.exporting import export as command
from noonchi.errors import SettingsError
from noonchi.results import Head

DIGIT = Head("digit", "classes", tuple("0123456789"))
ODD = Head("눈치/odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round"))


@pytest.fixture
def made(fresh):
    return replace(fresh(DIGIT, ODD, TAGS, side=20, channels=3), temperatures={"digit": 1.7, "tags": 3.0})


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), np.uint8)


def test_the_command_offers_every_format():
    [choices] = [parameter.type.choices for parameter in command.params if parameter.name == "name"]
    assert set(choices) == set(export.FORMATS)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_from_files_bytes_a_format_says_what_the_classifier_says(made, tmp_path, name):
    form = export.FORMATS[name]
    found = form.write(made, tmp_path / f"a{form.suffix}")
    assert found.pictures > 30
    assert found.largest < 1e-5


def test_a_torch_program_answers_without_noonchi_any_number_of_pictures(made, tmp_path, frames):
    export.to_torch(made, tmp_path / "a.pt2")
    np.save(tmp_path / "frames.npy", frames)
    code = """
import sys, json, numpy, torch
answers = torch.export.load(sys.argv[1]).module()(torch.from_numpy(numpy.load(sys.argv[2])))
print(json.dumps({name: values.tolist() for name, values in answers.items()}), "noonchi" in sys.modules)
"""
    call = [sys.executable, "-c", code, str(tmp_path / "a.pt2"), str(tmp_path / "frames.npy")]
    text, _, loaded = subprocess.run(call, capture_output=True, text=True, check=True).stdout.rpartition(" ")
    assert loaded == "False\n"
    for name, expected in made.probabilities(frames).items():
        assert np.array(json.loads(text)[name]) == pytest.approx(expected, abs=1e-5)


def test_a_torch_program_holds_its_classes_but_no_pickle_and_no_path(made, tmp_path):
    export.to_torch(made, tmp_path / "a.pt2")
    with zipfile.ZipFile(tmp_path / "a.pt2") as file:
        contents = {name: file.read(name) for name in file.namelist()}
    assert not any(b"\x80\x02" in content[:2] or name.endswith(".pkl") for name, content in contents.items())
    assert not any(b".py" in content for name, content in contents.items() if name.endswith(".json"))
    extra = {"noonchi.json": ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=extra)
    assert json.loads(extra["noonchi.json"])["heads"][1]["classes"] == ["even", "odd"]


def test_openvino_runs_its_two_files_and_finds_the_classes(made, tmp_path, frames):
    export.to_openvino(made, tmp_path / "a.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.xml"]
    model = openvino.Core().read_model(tmp_path / "a.xml")
    assert json.loads(model.get_rt_info("noonchi").astype(str))["heads"][0]["classes"] == list("0123456789")
    answers = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({0: frames})
    for name, expected in made.probabilities(frames).items():
        assert answers[name] == pytest.approx(expected, abs=1e-5)


def test_openvino_refuses_a_name_that_it_could_not_find_again(made, tmp_path):
    with pytest.raises(SettingsError, match=r"ends in \.xml"):
        export.to_openvino(made, tmp_path / "a.ov")


@pytest.mark.parametrize("name", list(export.FORMATS))
def test_the_command_names_the_file_after_the_run(noonchi, made, tmp_path, monkeypatch, name):
    (tmp_path / "bars").mkdir()
    made.save(tmp_path / "bars")
    monkeypatch.chdir(tmp_path)
    answer = noonchi("export", "bars", "--format", name)
    assert answer.code == 0
    assert answer.out.startswith(f"bars{export.FORMATS[name].suffix}: ")
    assert (tmp_path / f"bars{export.FORMATS[name].suffix}").exists()


def test_a_file_is_told_from_a_runs_folder(noonchi, tmp_path):
    (tmp_path / "a.html").touch()
    answer = noonchi("predict", tmp_path / "a.html", tmp_path)
    assert answer.code == 4
    assert "a.html' is a file; give a run's folder." in answer.err


def test_a_file_is_not_named_as_what_it_is_not(noonchi, made, tmp_path):
    answer = noonchi("export", tmp_path, "--format", "html", "--out", tmp_path / "a.onnx")
    assert answer.code == 2
    assert "what --format html writes is named .html" in answer.err
