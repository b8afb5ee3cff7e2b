import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from noonchi import exported, files
from noonchi.errors import RunError, SettingsError
from noonchi.export import graph
from noonchi.results import Head

KIND = Head("kind", "classes", ("cat", "=dog", "owl"))
ODD = Head("odd", "binary", ("even", "odd"))


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """Of an exported classifier of two heads."""
    from noonchi import classifier, device
    from noonchi.settings import ModelSettings, PixelSettings

    with device.seeded("cpu", 0, "weights"):
        pixels = PixelSettings(size=(8, 8), channels=1)
        return graph.file_bytes(classifier.create((KIND, ODD), ModelSettings(network="mnist-one-conv"), pixels))


@pytest.fixture
def model(content, tmp_path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return path


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (30, 40), np.uint8)).save(path)
    return path


def described(model: Path, **changes: object) -> None:
    """Other words in the file's metadata, under a checksum that fits; None takes one out."""
    found = onnx.load(model)
    told = json.loads(found.metadata_props[0].value) | changes
    told.pop("sha256")
    values = {key: value for key, value in told.items() if value is not None}
    found.metadata_props[0].value = json.dumps(files.sealed(values))
    onnx.save(found, model)


def refused(model: Path, match: str) -> None:
    with pytest.raises(RunError, match=match) as caught:
        exported.load(model)
    assert len(str(caught.value).splitlines()) == 1


def test_an_exported_classifier_predicts_without_torch(model, picture):
    code = "import sys; from noonchi import cli; cli._run(); print('torch' in sys.modules, 'onnx' in sys.modules)"
    call = [sys.executable, "-c", code, "predict", str(model), str(picture)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "kind: " in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_predict_prints_what_it_prints_of_a_run(noonchi, fresh, model, picture):
    fresh(KIND, ODD).save(model.parent)
    for options in ((), ("--json",), ("--format", "csv", "--top", "1"), ("--abstain", "0.9"), ("--invert", "yes")):
        of_run, of_file = (noonchi("predict", run, picture, *options) for run in (model.parent, model))
        assert of_file.code == of_run.code == 0
        rounded = [re.sub(r"(0\.\d{4})\d+", r"\1", answer.out) for answer in (of_run, of_file)]
        assert rounded[0] == rounded[1]


def test_a_picture_that_cannot_be_read_is_told_after_the_others(noonchi, model, picture, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"text")
    answer = noonchi("predict", model, tmp_path / "bad.png", picture)
    assert answer.code == 3
    assert answer.out.count("\n") == 2
    assert "bad.png' cannot be used" in answer.err


def test_export_prints_how_far_the_file_is_from_the_run(noonchi, fresh, tmp_path):
    fresh().save(tmp_path)
    answer = noonchi("export", tmp_path, "--format", "onnx", "--out", tmp_path / "a.onnx", "--json")
    told = json.loads(answer.out)
    assert told["largest_difference"] < 1e-5
    assert told["pictures"] > 30
    assert (tmp_path / "a.onnx").stat().st_size == told["bytes"]
    assert noonchi("export", tmp_path, "--out", tmp_path / "no" / "a.onnx").code == 2


def test_weights_in_other_files_are_never_read(model, monkeypatch):
    (model.parent / "weights.bin").write_bytes(bytes(10_000_000))
    monkeypatch.chdir(model.parent)
    for place in ("../../etc/passwd", "/etc/passwd", "weights.bin"):
        found = onnx.load(model)
        for weights in found.graph.initializer:
            if len(weights.dims) > 1:
                length = len(weights.raw_data)
                weights.ClearField("raw_data")
                weights.data_location = onnx.TensorProto.EXTERNAL
                for key, value in (("location", place), ("offset", "0"), ("length", str(length))):
                    weights.external_data.add(key=key, value=value)
        other = model.with_name("other.onnx")
        other.write_bytes(found.SerializeToString())
        refused(other, "keeps weights in other files, which are never read")


def test_a_file_that_is_cut_off_is_refused_in_one_line(noonchi, model, content, picture):
    for share in range(10):
        model.write_bytes(content[: len(content) * share // 10])
        answer = noonchi("predict", model, picture)
        assert answer.code == 4
        assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 2}, "Upgrade noonchi"),
        ({"heads": None}, "does not describe a classifier"),
        ({"heads": [{"name": "kind", "kind": "classes", "classes": ["a", "b", "c"]}]}, "was changed since"),
        ({"pixels": {"size": [8, 0]}}, "does not describe a classifier"),
        ({"border_level": "dark"}, "does not describe a classifier"),
    ],
)
def test_what_the_file_says_of_itself_is_checked(model, changes, match):
    described(model, **changes)
    refused(model, match)


def test_an_edited_description_is_refused(model):
    found = onnx.load(model)
    found.metadata_props[0].value = found.metadata_props[0].value.replace("cat", "cow")
    onnx.save(found, model)
    refused(model, "damaged or was edited")


def test_a_model_that_is_not_ours_is_refused(model):
    found = onnx.load(model)
    del found.metadata_props[:]
    onnx.save(found, model)
    refused(model, "was not exported by noonchi")


@pytest.mark.parametrize("content", [b"", b"text", bytes(1000)])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    refused(tmp_path / "a.onnx", r"damaged, or no ONNX file")


def test_a_missing_file_and_a_missing_package_are_told(tmp_path):
    refused(tmp_path / "a.onnx", "cannot be read: No such file")
    with pytest.raises(SettingsError, match=r"pip install 'noonchi\[export\]'"):
        exported.refuse_missing("export", "no_such_package")


@pytest.mark.parametrize("words", [("val",), ("explain", "p.png", "--out", "seen"), ("report",), ("export",)])
def test_a_file_where_a_runs_folder_is_expected_is_said_to_be_one(noonchi, model, words):
    command, *rest = words
    answer = noonchi(command, model, *rest)
    assert answer.code == 4
    assert answer.err == (
        f"noonchi: '{model}' is a file; give a run's folder. "
        "Of exported files, noonchi predict and noonchi serve take .onnx.\n"
    )
