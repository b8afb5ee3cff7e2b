"""A classifier as one file for other programs, which must say what the classifier says."""

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from noonchi import exported, files, networks, pixels
from noonchi.classifier import Classifier
from noonchi.errors import RunError, reason
from noonchi.export import golden
from noonchi.export.preprocessing import IMAGES, INPUT, OPSET, preprocessing
from noonchi.exported import Exported
from noonchi.results import Prediction

if TYPE_CHECKING:
    import onnx

_MOST = 1e-3
"""Of a probability: how far an exported classifier may be from the one it was made from."""


@dataclass(frozen=True)
class Agreement:
    """How far an exported classifier's probabilities are at most from the classifier's."""

    pictures: int
    files: float
    """From files' bytes on, as `noonchi predict` reads them."""
    arrays: float
    """Where the graph itself brings decoded pictures to size."""

    @property
    def largest(self) -> float:
        """Of both."""
        return max(self.files, self.arrays)


def to_onnx(classifier: Classifier, path: Path) -> Agreement:
    """Write a classifier as one ONNX file, tried on golden pictures first.

    Its input is uint8 pictures (n, height, width, channels), upright and of any one size; its outputs are the heads'
    probabilities (n, outputs) under the heads' names. Raises RunError, and writes nothing, where the network cannot be
    exported or where a probability is more than 0.001 from the classifier's; SettingsError where a package is missing.
    """
    exported.refuse_missing("onnx", "onnxscript", "onnxruntime")
    content = onnx_bytes(classifier)
    agreement = agreement_of(classifier, exported.from_bytes(content, str(path)))
    if not agreement.largest <= _MOST:
        raise RunError(
            f"the exported classifier differs by {agreement.largest:.2g} from this one, more than {_MOST:g}, and was "
            "not written. Please report this, with the recipe."
        )
    files.write(path, content)
    return agreement


def onnx_bytes(classifier: Classifier) -> bytes:
    """An ONNX file's content. Raises RunError."""
    import onnx.compose

    front, network = preprocessing(classifier.pixels), _network(classifier)
    heads = [head.name for head in classifier.heads]
    inner = "/" * (1 + max(len(head) - len(head.lstrip("/")) for head in heads))  # so that a head may be called anything
    before, behind = f"{inner}pixels/", f"{inner}network/"
    _begin_names(front.graph, before)
    _begin_names(network.graph, behind)
    joined = onnx.compose.merge_models(front, network, io_map=[(before + IMAGES, behind + IMAGES)])
    _name_ends(joined, heads)
    joined.producer_name, joined.producer_version = "noonchi", version("noonchi")
    onnx.checker.check_model(joined, full_check=True)
    body: bytes = joined.SerializeToString(deterministic=True)
    told = onnx.ModelProto()
    onnx.helper.set_model_props(told, {exported.KEY: json.dumps(_description(classifier, body))})
    return body + bytes(told.SerializeToString())  # parts of one message may follow one another


def agreement_of(classifier: Classifier, other: Exported) -> Agreement:
    """Both tried on the golden pictures, as files and decoded."""
    contents = list(golden.files(max(classifier.shape[:2])))
    arrays = [pixels.whole(content, classifier.pixels) for content in contents]
    of_files = _largest(classifier.predict(contents), other.predict(contents))
    own = [classifier.probabilities(classifier.frame(array)[np.newaxis]) for array in arrays]
    others = [other.of_frames(array[np.newaxis]) for array in arrays]
    gaps = [np.abs(one[name] - two[name]).max() for one, two in zip(own, others, strict=True) for name in one]
    return Agreement(len(contents), of_files, float(np.max(gaps)))


class _Answering(nn.Module):
    """Probabilities, at each head's temperature, in the heads' order."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self._heads = classifier.heads
        self._temperatures = dict(classifier.temperatures)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = networks.forward(self.network, images, self._heads)
        cooled = {head: logits[head.name].float() / self._temperatures.get(head.name, 1.0) for head in self._heads}
        return tuple(each.softmax(1) if head.kind == "classes" else each.sigmoid() for head, each in cooled.items())


def _network(classifier: Classifier) -> "onnx.ModelProto":
    images = classifier.shape.zeros(2).to(classifier.device)
    try:
        with networks.evaluating(classifier.network), warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                _Answering(classifier).eval(),
                (images,),
                input_names=[IMAGES],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the network may be the user's own
        cause = error.__cause__ or error
        raise RunError(f"network '{classifier.model.network}' cannot be exported: {reason(cause)}.") from error
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, model.graph):
        part.ClearField("metadata_props")  # where torch's exporter keeps paths of the user's code
        part.ClearField("doc_string")
    return model


def _begin_names(graph: "onnx.GraphProto", text: str) -> None:
    """onnx.compose.add_prefix loses the names that a graph within a graph takes from the outer one."""
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = text + named.name
    for node in graph.node:
        node.input[:] = [name and text + name for name in node.input]
        node.output[:] = [text + name for name in node.output]
        for attribute in node.attribute:
            _begin_names(attribute.g, text)


def _name_ends(model: "onnx.ModelProto", heads: list[str]) -> None:
    """The input's own name and the heads', in place of those from within. Raises RunError."""
    import onnx.helper

    [pictures] = model.graph.input
    if INPUT in heads:
        raise RunError(f"head '{INPUT}' is called as the graph's input is; name it otherwise and train again.")
    model.graph.node.insert(0, onnx.helper.make_node("Identity", [INPUT], [pictures.name]))
    pictures.name = INPUT
    for name, output in zip(heads, model.graph.output, strict=True):
        model.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name


def _description(classifier: Classifier, body: bytes) -> dict[str, object]:
    return files.sealed(
        {
            "format": exported.FORMAT,
            "noonchi": version("noonchi"),
            "heads": [asdict(head) for head in classifier.heads],
            "network": classifier.model.network,
            "pixels": json.loads(json.dumps(classifier.pixels.table())),
            "border_level": classifier.border_level,
            "temperatures": dict(classifier.temperatures),
            "graph_bytes": len(body),
            "graph_sha256": hashlib.sha256(body).hexdigest(),
        }
    )


def _largest(ones: list[Prediction], others: list[Prediction]) -> float:
    return max(
        abs(probability - other.heads[head][name])
        for one, other in zip(ones, others, strict=True)
        for head, probabilities in one.heads.items()
        for name, probability in probabilities.items()
    )
