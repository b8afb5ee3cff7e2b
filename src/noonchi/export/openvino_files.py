"""A classifier as OpenVINO's two files: the graph (.xml) and its weights (.bin)."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from noonchi import files
from noonchi.classifier import Classifier
from noonchi.errors import SettingsError
from noonchi.export import agreement, graph
from noonchi.export.agreement import Agreement, Answer


def to_openvino(classifier: Classifier, path: Path) -> Agreement:
    """Write a classifier as `path` (.xml) and the weights beside it (.bin), tried on golden pictures first.

    It takes uint8 frames (n, height, width, channels) of the classifier's size: OpenVINO computes in float32, in which
    the sums of resizing do not fit. Its outputs are as of `to_onnx`; raises as that does.
    """
    import openvino

    if path.suffix != ".xml":
        raise SettingsError(f"OpenVINO's graph is a file that ends in .xml, '{path}' does not; give --out {path}.xml")
    model = openvino.Core().read_model(graph.file_bytes(classifier))
    shape = classifier.shape
    model.reshape([-1, shape.height, shape.width, shape.channels])
    told = {"heads": [asdict(head) for head in classifier.heads], "pixels": classifier.pixels.table()}
    model.set_rt_info(json.dumps(told), "noonchi")
    content = _contents(openvino, model)
    found = agreement.of_frames(classifier, _answering(openvino, *content, classifier))
    agreement.refuse_other(found)
    for suffix, part in zip((".xml", ".bin"), content, strict=True):
        files.write(path.with_suffix(suffix), part)
    return found


def _contents(openvino: Any, model: Any) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _answering(openvino: Any, graph_xml: bytes, weights: bytes, classifier: Classifier) -> Answer:
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().read_model(graph_xml, weights)
    compiled = openvino.compile_model(model, "CPU", options)

    def answer(frames: np.ndarray) -> dict[str, np.ndarray]:
        found = compiled({0: frames})
        return {head.name: np.array(found[head.name]) for head in classifier.heads}

    return answer
