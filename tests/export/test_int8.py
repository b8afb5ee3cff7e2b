import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import noonchi as package
from noonchi import exported, score
from noonchi.errors import RunError
from noonchi.export.int8 import to_int8

RECIPE = """
[pixels]
size = [24, 24]
channels = 1
[model]
network = "mnist-convnet"
[fit]
epochs = 8
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, bars):
    """A folder with a run on bars, two of whose pictures look much alike."""
    folder = tmp_path_factory.mktemp("int8")
    images, labels = bars(400, side=24, classes=4)
    np.savez(folder / "data.npz", x_train=images, y_train=labels)
    (folder / "recipe.toml").write_text(RECIPE)
    return package.train(folder / "data.npz", folder / "recipe.toml", out=folder / "run", show=lambda _: None).folder


def test_accuracy_is_measured_on_pictures_that_were_not_trained_on(noonchi, run, tmp_path):
    answer = noonchi("export", run, "--quantize", "int8", "--out", tmp_path / "a.onnx", "--json")
    assert answer.code == 0
    [found] = json.loads(answer.out)["accuracy"]
    pictures = score.labelled(run, "val", show=lambda _: None)
    held_out = pictures.of_split("val")
    right = {}
    for name, predictor in (("before", pictures.classifier), ("after", exported.load(tmp_path / "a.onnx"))):
        answers = predictor.of_frames(held_out.frames[held_out.positions])["label"].argmax(axis=1)
        right[name] = (answers == held_out.labels["label"][held_out.positions]).mean()
    assert (found["before"], found["after"]) == pytest.approx((right["before"], right["after"]))
    assert found["pictures"] == held_out.num_pictures
    assert found["interval"][0] <= found["before"] - found["after"] <= found["interval"][1]


def test_convolutions_compute_in_8_bits_and_the_pixels_as_before(noonchi, run, tmp_path):
    assert noonchi("export", run, "--quantize", "int8", "--out", tmp_path / "a.onnx").code == 0
    graph = onnx.load(tmp_path / "a.onnx").graph
    made = {node.output[0]: node.op_type for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all({made[node.input[0]], made[node.input[1]]} == {"DequantizeLinear"} for node in convolutions)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    eight = [values for values in weights.values() if values.dtype == np.int8 and values.ndim == 4]
    assert max(np.abs(values.astype(int)).max() for values in eight) <= 64


def test_probabilities_are_not_rounded_to_8_bits(noonchi, run, tmp_path):
    assert noonchi("export", run, "--quantize", "int8", "--out", tmp_path / "a.onnx").code == 0
    frames = score.labelled(run, "val", show=lambda _: None).frames
    shares = 255 * exported.load(tmp_path / "a.onnx").of_frames(frames)["label"]
    assert np.abs(shares - shares.round()).max() > 0.3


def test_what_loses_more_than_half_a_point_is_refused(run, tmp_path):
    pictures = score.labelled(run, "val", show=lambda _: None)
    with torch.no_grad():  # so large that what tells the classes apart is less than a step of 8 bits
        *_, output = [weights for weights in pictures.classifier.network.parameters() if weights.ndim == 2]
        output += 100
    right = pictures.classifier.of_frames(pictures.frames)["label"].argmax(axis=1)
    known = replace(pictures, index=replace(pictures.index, labels={"label": right}))
    with pytest.raises(
        RunError, match=r"loses \d+\.\d\d points of accuracy in 8 bits, more than 0.5, and was not written"
    ):
        to_int8(known.classifier, tmp_path / "a.onnx", known.of_split("train"), known.of_split("val"))
    assert not any(tmp_path.iterdir())


def test_it_needs_the_runs_pictures(noonchi, run, tmp_path):
    data = run.parent / "data.npz"
    data.rename(tmp_path / "elsewhere.npz")
    try:
        answer = noonchi("export", run, "--quantize", "int8", "--out", tmp_path / "a.onnx")
    finally:
        (tmp_path / "elsewhere.npz").rename(data)
    assert answer.code == 3
    assert answer.err.count("\n") == 1


def test_other_formats_have_no_8_bit_form(noonchi, run):
    answer = noonchi("export", run, "--quantize", "int8", "--format", "torch")
    assert answer.code == 2
    assert "--quantize goes with --format onnx" in answer.err
