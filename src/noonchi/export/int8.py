"""A classifier as an ONNX file whose network computes in 8-bit whole numbers, and what that costs in accuracy."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from noonchi import exported, files, metrics, pixels
from noonchi.batches import Batches
from noonchi.classifier import Classifier
from noonchi.errors import RunError
from noonchi.evaluate import Answered, answered
from noonchi.export import agreement, graph
from noonchi.export.agreement import Agreement
from noonchi.export.preprocessing import IMAGES
from noonchi.predictor import Predictor
from noonchi.results import Head

if TYPE_CHECKING:
    import onnx

_PICTURES = 256
"""That the ranges of values are taken from."""
_OF_PROBABILITIES = {"Cast", "Div", "Identity", "Sigmoid", "Softmax"}
_MOST_LOST = 0.005
"""Of accuracy: half a point."""


@dataclass(frozen=True)
class Lost:
    """What a head's accuracy was and is, on pictures that were not trained on."""

    head: str
    before: float
    after: float
    interval: tuple[float, float]
    """95 %, of the difference: by how much it fell."""
    pictures: int

    @property
    def lost(self) -> float:
        """Of accuracy; below 0 where it rose."""
        return self.before - self.after


def to_int8(classifier: Classifier, path: Path, seen: Batches, held_out: Batches) -> tuple[Agreement, tuple[Lost, ...]]:
    """`to_onnx`, with weights and values in 8 bits: how they are rounded is learned from pictures that were trained on.

    Accuracy is compared on `held_out`. Raises RunError, and writes nothing, where a head's falls by more than half a
    point. Weights take 7 bits, ranges a channel, so that processors without 8-bit dot products compute the same.
    Static quantisation with the ranges' ends (Jacob et al., CVPR 2018), by ONNX Runtime.
    """
    frames = seen.frames[np.sort(seen.order(0)[:_PICTURES])]
    content = graph.file_bytes(classifier, _quantised(graph.of_network(classifier), classifier, frames))
    other = exported.from_bytes(content, str(path))
    found = tuple(_lost(classifier, other, held_out))
    worst = max(found, key=lambda each: each.lost)
    if worst.lost > _MOST_LOST:
        raise RunError(
            f"head '{worst.head}' loses {100 * worst.lost:.2f} points of accuracy in 8 bits, more than "
            f"{100 * _MOST_LOST:g}, and was not written. Export without --quantize."
        )
    files.write(path, content)
    return agreement.of_any_size(classifier, other), found


def _lost(classifier: Classifier, other: Predictor, pictures: Batches) -> Iterator[Lost]:
    before = answered(classifier, pictures, "val")
    after = _answered(other, pictures)
    for head in classifier.heads:
        ones, others = (_right(head, found) for found in (before, after))
        low, high = metrics.bootstrap_interval(ones - others)
        yield Lost(head.name, float(ones.mean()), float(others.mean()), (low, high), len(ones))


def _answered(other: Predictor, pictures: Batches) -> Answered:
    """As `evaluate.answered` has it, by an export."""
    positions, count = pictures.positions, pixels.answered_at_once(pictures.pixels)
    parts = [other.of_frames(pictures.frames[positions[at : at + count]]) for at in range(0, len(positions), count)]
    labels = {head.name: pictures.labels[head.name][positions] for head in pictures.heads}
    return Answered(labels, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _right(head: Head, found: Answered) -> np.ndarray:
    return metrics.each_right(head, found.labels[head.name], found.probabilities[head.name]).astype(float)


def _quantised(network: "onnx.ModelProto", classifier: Classifier, frames: np.ndarray) -> "onnx.ModelProto":
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _without_advice():
        exact, ready, small = (Path(folder) / f"{name}.onnx" for name in ("exact", "ready", "small"))
        onnx.save(network, exact)
        quant_pre_process(exact, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            small,
            _calibration(classifier, frames),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=_after_logits(onnx.load(ready).graph),
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        return onnx.load(small)


def _after_logits(network: "onnx.GraphProto") -> list[str]:
    """Nodes that make probabilities of logits: in 8 bits these would come in steps of 0.004."""
    made_by = {name: node for node in network.node for name in node.output}
    found, names = [], [output.name for output in network.output]
    while names:
        node = made_by.get(names.pop())
        if node and node.op_type in _OF_PROBABILITIES:
            found.append(node.name)
            names += node.input
    return found


def _calibration(classifier: Classifier, frames: np.ndarray) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime tells mypy nothing
        """Normalised images, some at a time."""

        def __init__(self) -> None:
            self._parts = iter(np.array_split(frames, max(1, len(frames) // 16)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self._parts, None)
            if part is None:
                return None
            return {IMAGES: pixels.normalise(torch.tensor(part), classifier.pixels).numpy()}

    return Reader()


@contextmanager
def _without_advice() -> Iterator[None]:
    """ONNX Runtime logs what else it might be asked, on a root logger that it sets up where there is none."""
    root, silent = logging.getLogger(), logging.NullHandler()
    before = root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)
