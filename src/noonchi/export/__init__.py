"""A classifier as files for other programs, which must say what the classifier says."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from noonchi import exported
from noonchi.classifier import Classifier
from noonchi.export.agreement import Agreement
from noonchi.export.html import to_html
from noonchi.export.onnx_file import to_onnx
from noonchi.export.openvino_files import to_openvino
from noonchi.export.program import to_torch

__all__ = ["FORMATS", "Agreement", "Format", "to_html", "to_onnx", "to_openvino", "to_torch"]


class Format(NamedTuple):
    """How a classifier may be written."""

    suffix: str
    write: Callable[[Classifier, Path], Agreement]
    extra: str
    """Of noonchi's, that installs what it needs."""
    packages: tuple[str, ...]

    def refuse_missing(self) -> None:
        """Raises SettingsError where a package that it needs is not installed."""
        exported.refuse_missing(self.extra, *self.packages)


FORMATS = {
    "onnx": Format(".onnx", to_onnx, "export", ("onnx", "onnxscript", "onnxruntime")),
    "html": Format(".html", to_html, "export", ("onnx", "onnxscript", "onnxruntime")),
    "torch": Format(".pt2", to_torch, "export", ()),
    "openvino": Format(".xml", to_openvino, "openvino", ("onnx", "onnxscript", "openvino")),
}
