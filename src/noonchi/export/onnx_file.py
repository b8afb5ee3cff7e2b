"""A classifier as one ONNX file that takes decoded pictures of any size."""

from pathlib import Path

from noonchi import exported, files
from noonchi.classifier import Classifier
from noonchi.export import agreement, graph
from noonchi.export.agreement import Agreement


def to_onnx(classifier: Classifier, path: Path) -> Agreement:
    """Write a classifier as one ONNX file, tried on golden pictures first.

    Its input is uint8 pictures (n, height, width, channels), upright and of any one size; its outputs are the heads'
    probabilities (n, outputs) under the heads' names. Raises RunError, and writes nothing, where the network cannot be
    exported or where a probability is more than 0.001 from the classifier's; SettingsError where a package is missing.
    """
    return written(classifier, path, graph.file_bytes(classifier))


def written(classifier: Classifier, path: Path, content: bytes) -> Agreement:
    """`to_onnx`, of a file's content."""
    found = agreement.of_any_size(classifier, exported.from_bytes(content, str(path)))
    agreement.refuse_other(found)
    files.write(path, content)
    return found
