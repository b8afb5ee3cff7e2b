import io
import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from noonchi import classifier, export, exported, networks, pixels
from noonchi.errors import RunError
from noonchi.export import golden, graph
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

DIGIT = Head("digit", "classes", tuple("0123456789"))
ODD = Head("odd", "binary", ("even", "odd"))
TAGS = Head("tags", "labels", ("red", "round"))
HEADS = dict.fromkeys(("mnist-digit-and-odd", "mnist-digit-and-odd-deep", "mnist-two-branch"), (ODD, DIGIT))


@pytest.mark.parametrize("name", [*networks.NETWORKS, "efficientnet-lite0"])
def test_every_network_is_exported_and_says_the_same(tmp_path, name):
    photos = name not in networks.NETWORKS or name.startswith("photos")
    settings = PixelSettings(size=(64, 64) if photos else (28, 28), channels=3 if photos else 1)
    weights = None if name in networks.NETWORKS else "random"
    made = classifier.create(HEADS.get(name, (DIGIT,)), ModelSettings(network=name, weights=weights), settings)
    assert export.to_onnx(made, tmp_path / "a.onnx").largest < 1e-4


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_files_of_all_kinds_and_heads_of_all_kinds_give_the_same_probabilities(fresh, tmp_path, fit):
    made = fresh(DIGIT, ODD, TAGS, side=20, channels=3)
    made = replace(made, pixels=made.pixels.but(fit=fit), temperatures={"digit": 1.7, "odd": 0.4, "tags": 3.0})
    export.to_onnx(made, tmp_path / "a.onnx")
    other, contents = exported.load(tmp_path / "a.onnx"), list(golden.files(20))
    for one, two in zip(made.predict(contents), other.predict(contents), strict=True):
        assert one.kinds == two.kinds
        for head in one.heads:
            assert two.heads[head] == pytest.approx(one.heads[head], abs=1e-6)


def test_the_golden_pictures_are_of_all_modes_formats_and_orientations_and_one_is_decoded_reduced():
    opened = [Image.open(io.BytesIO(content)) for content in golden.files(28)]
    assert {image.format for image in opened} == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"}
    assert {image.mode for image in opened} >= {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"}
    assert {image.getexif().get(0x0112) for image in opened} >= set(range(1, 9))
    *_, large = golden.files(28)
    settings = PixelSettings(size=(28, 28), channels=3)
    assert (pixels.read(large, settings) != pixels.read(pixels.whole(large, settings), settings)).any()


def test_other_programs_find_what_they_need_in_the_file(fresh, tmp_path):
    made = replace(fresh(DIGIT, ODD, side=20, channels=3), temperatures={"digit": 1.7})
    export.to_onnx(made, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    [taken] = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("pictures", "tensor(uint8)", ["n", "height", "width", 3])
    assert [output.name for output in session.get_outputs()] == ["digit", "odd"]
    told = json.loads(session.get_modelmeta().custom_metadata_map["noonchi"])
    assert told["heads"][1] == {"name": "odd", "kind": "binary", "classes": ["even", "odd"]}
    assert told["pixels"]["size"] == [20, 20]
    assert told["temperatures"] == {"digit": 1.7}
    assert told["noonchi"]


def test_the_same_classifier_gives_the_same_file_without_a_path_of_this_machine(fresh):
    made = fresh(side=20)
    content = graph.file_bytes(made)
    assert content == graph.file_bytes(made)
    assert b".py" not in content


def test_a_head_may_be_called_as_values_of_the_graph_are(fresh):
    names = ("size", "mean", "images", "softmax", "/network/softmax", "//", "눈치 <b>", "n", "\x1b")
    made = fresh(*(Head(name, "classes", ("a", "b")) for name in names))
    other = exported.from_bytes(graph.file_bytes(made), "a.onnx")
    assert tuple(other.predict([np.zeros((8, 8), np.uint8)])[0].heads) == names


def test_a_head_called_as_the_input_is_refused(fresh):
    with pytest.raises(RunError, match="head 'pictures' is called as the graph's input is"):
        graph.file_bytes(fresh(Head("pictures", "classes", ("a", "b"))))


def test_what_disagrees_is_refused_and_nothing_is_written(fresh, tmp_path):
    class Wavering(torch.nn.Module):
        """Says otherwise while it is exported."""

        def forward(self, images):
            sure = 3.0 if torch.compiler.is_exporting() else 0.0
            return images.mean(dim=(1, 2, 3))[:, None] * torch.tensor([[1.0, 2.0, sure]])

    made = replace(fresh(), network=Wavering())
    with pytest.raises(RunError, match=r"differs by 0\.\d+ from this one, more than 0.001, and was not written"):
        export.to_onnx(made, tmp_path / "a.onnx")
    assert not any(tmp_path.iterdir())


def test_a_network_that_cannot_be_exported_is_told_in_one_line(fresh, tmp_path):
    class Unclear(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3] if images.sum().item() > 1 else images.flatten(1)[:, 1:4]

    with pytest.raises(RunError, match="cannot be exported") as caught:
        export.to_onnx(replace(fresh(), network=Unclear()), tmp_path / "a.onnx")
    assert len(str(caught.value).splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_damaged_graph_never_passes_for_whole(fresh):
    content = graph.file_bytes(fresh())
    model = onnx.load_from_string(content)
    assert [entry.key for entry in model.metadata_props] == ["noonchi"]
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        broken = bytearray(content)
        broken[place] ^= 1
        with pytest.raises(RunError):
            exported.from_bytes(bytes(broken), "a.onnx")
