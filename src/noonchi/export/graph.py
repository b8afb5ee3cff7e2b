"""A classifier as an ONNX graph that begins with decoded pictures and ends with the heads' probabilities."""

import hashlib
import json
import warnings
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from noonchi import exported, files, networks
from noonchi.classifier import Classifier
from noonchi.errors import RunError, reason
from noonchi.export.preprocessing import IMAGES, INPUT, OPSET, preprocessing

if TYPE_CHECKING:
    import onnx


def file_bytes(
    classifier: Classifier, network: "onnx.ModelProto | None" = None, front: "onnx.ModelProto | None" = None
) -> bytes:
    """An ONNX file's content. Raises RunError.

    `network`, from `of_network`, may since have been changed; `front` is what comes before it if not `preprocessing`.
    """
    import onnx.compose

    front, behind = front or preprocessing(classifier.pixels), network or of_network(classifier)
    heads = [head.name for head in classifier.heads]
    inner = "/" * (
        1 + max(len(head) - len(head.lstrip("/")) for head in heads)
    )  # so that a head may be called anything
    _begin_names(front.graph, f"{inner}pixels/")
    _begin_names(behind.graph, f"{inner}network/")
    joined = onnx.compose.merge_models(front, behind, io_map=[(f"{inner}pixels/{IMAGES}", f"{inner}network/{IMAGES}")])
    _name_ends(joined, heads)
    joined.producer_name, joined.producer_version = "noonchi", version("noonchi")
    onnx.checker.check_model(joined, full_check=True)
    body: bytes = joined.SerializeToString(deterministic=True)
    told = onnx.ModelProto()
    onnx.helper.set_model_props(told, {exported.KEY: json.dumps(_description(classifier, body))})
    return body + bytes(told.SerializeToString())  # parts of one message may follow one another


def of_network(classifier: Classifier) -> "onnx.ModelProto":
    """From normalised images to probabilities. Raises RunError where the network cannot be exported."""
    images = classifier.shape.zeros(2).to(classifier.device)
    try:
        with networks.evaluating(classifier.network), warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                Answering(classifier).eval(),
                (images,),
                input_names=[IMAGES],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the network may be the user's own
        raise cannot_be_exported(classifier, error) from error
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, model.graph):
        part.ClearField("metadata_props")  # where torch's exporter keeps paths of the user's code
        part.ClearField("doc_string")
    return model


class Answering(nn.Module):
    """Probabilities, at each head's temperature, in the heads' order."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self._heads = classifier.heads
        self._temperatures = dict(classifier.temperatures)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(n, outputs) a head, from normalised images."""
        logits = networks.forward(self.network, images, self._heads)
        cooled = {head: logits[head.name].float() / self._temperatures.get(head.name, 1.0) for head in self._heads}
        return tuple(each.softmax(1) if head.kind == "classes" else each.sigmoid() for head, each in cooled.items())


def cannot_be_exported(classifier: Classifier, error: Exception) -> RunError:
    """In one line, whatever torch says."""
    return RunError(f"network '{classifier.model.network}' cannot be exported: {reason(error.__cause__ or error)}.")


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
