"""A classifier as a program of torch.export: one .pt2 file that any torch runs without noonchi."""

import io
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from noonchi import files, networks, pixels
from noonchi.classifier import Classifier
from noonchi.export import agreement
from noonchi.export.agreement import Agreement
from noonchi.export.graph import Answering, cannot_be_exported

_DESCRIPTION = "noonchi.json"
_WHERE = ("stack_trace", "source_fn_stack", "nn_module_stack", "from_node", "torch_fn")
"""What torch keeps of the code that a node came from, with paths of this machine."""


class _FromFrames(nn.Module):
    """Probabilities by head, from uint8 frames (n, height, width, channels)."""

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.answering = Answering(classifier)
        self._names = [head.name for head in classifier.heads]
        for name, values in zip(("mean", "std"), pixels.centre_and_spread(classifier.pixels), strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1) * 255)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        images = (pictures.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return dict(zip(self._names, self.answering(images), strict=True))


def to_torch(classifier: Classifier, path: Path) -> Agreement:
    """Write a classifier as a `.pt2` file, tried on golden pictures first.

    It takes uint8 frames (n, height, width, channels) of the classifier's size and gives a dictionary of probabilities
    (n, outputs) by head. Raises RunError, and writes nothing, as `to_onnx` does.
    """
    program = _program(classifier)
    content = io.BytesIO()
    told = {"heads": [asdict(head) for head in classifier.heads], "pixels": classifier.pixels.table()}
    with warnings.catch_warnings(action="ignore"):  # torch's own, of weights that share memory
        torch.export.save(program, content, extra_files={_DESCRIPTION: json.dumps(told)})
    module = torch.export.load(io.BytesIO(content.getvalue())).module()

    def answer(frames: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {name: found.numpy() for name, found in module(torch.from_numpy(frames)).items()}

    found = agreement.of_frames(classifier, answer)
    agreement.refuse_other(found)
    files.write(path, content.getvalue())
    return found


def _program(classifier: Classifier) -> torch.export.ExportedProgram:
    shape = classifier.shape
    frames = torch.zeros((2, shape.height, shape.width, shape.channels), dtype=torch.uint8)
    try:
        with networks.evaluating(classifier.network):
            module = _FromFrames(classifier).eval()
            program = torch.export.export(module, (frames,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    except Exception as error:  # the network may be the user's own
        raise cannot_be_exported(classifier, error) from error
    for node in program.graph.nodes:
        for name in _WHERE:
            node.meta.pop(name, None)
    program.example_inputs = None  # torch would pickle them
    return program
