"""A classifier in one ONNX file, as `noonchi export` writes it, answered by ONNX Runtime alone. Imports no torch."""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from noonchi import files
from noonchi.errors import RunError, SettingsError, reason
from noonchi.predictor import Described, Predictor
from noonchi.results import Head
from noonchi.settings import PixelSettings, parse

FORMAT = 1
"""Of what the file says of its classifier. A newer one is refused; an older one must stay readable."""
KEY = "noonchi"
"""Of the file's metadata, under which that is."""

_QUIET = 4
_NOWHERE = str(Path(os.devnull) / "no")
"""Where ONNX Runtime looks for weights that a file says lie in other files: they are never read."""


@dataclass(frozen=True, eq=False)
class Exported(Predictor):
    """Answers as the classifier that it was exported from. Made by `load`."""

    session: Any
    """ONNX Runtime's."""
    heads: tuple[Head, ...]
    pixels: PixelSettings
    border_level: float
    sha256: str
    """Of the whole file."""

    def of_frames(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Each head's (n, outputs) float32, from uint8 pictures (n, height, width, channels) of any one size.

        Raises RunError.
        """
        names = [head.name for head in self.heads]
        try:
            answers = self.session.run(names, {self.session.get_inputs()[0].name: frames})
        except Exception as error:  # ONNX Runtime's have no kind in common
            raise RunError(f"the ONNX file cannot be run: {_reason(error)}. Export it again.") from None
        return dict(zip(names, answers, strict=True))


def load(path: str | Path) -> Exported:
    """A classifier from a file that `noonchi export` wrote.

    Raises RunError for one that is missing, damaged, changed or somebody else's, and SettingsError where ONNX Runtime
    is not installed.
    """
    try:
        return from_bytes(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise RunError(f"'{path}' cannot be read: {error.strerror}. Give a file that noonchi export wrote.") from None


def from_bytes(content: bytes, name: str) -> Exported:
    """`load`, of a file's bytes; errors call it `name`."""
    refuse_missing("export", "onnxruntime")
    session = _session(content, name)
    told = _description(session.get_modelmeta().custom_metadata_map.get(KEY, ""), name)
    intact = hashlib.sha256(content[: told.graph_bytes]).hexdigest() == told.graph_sha256
    if not intact or _answers(session) != {head.name: head.outputs for head in told.heads}:
        raise RunError(f"'{name}' is damaged, or was changed since it was exported. Export it again.")
    return Exported(session, told.heads, told.pixels, told.border_level, hashlib.sha256(content).hexdigest())


def refuse_missing(extra: str, *packages: str) -> None:
    """Raises SettingsError where a package is not installed that an extra of noonchi's installs."""
    for package in packages:
        if not find_spec(package):
            raise SettingsError(f"this needs the package {package}; install it: pip install 'noonchi[{extra}]'")


def _session(content: bytes, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's have no kind in common
        if "External data" in str(error):
            raise RunError(f"'{name}' keeps weights in other files, which are never read. Export it again.") from None
        raise RunError(f"'{name}' is damaged, or no ONNX file: {_reason(error)}. Export it again.") from None


class _Description(Described):
    """What the file says of itself beside its format."""

    graph_bytes: Annotated[int, Field(ge=0)]
    graph_sha256: str


def _description(text: str, name: str) -> _Description:
    try:
        found = json.loads(text)
        number = int(found["format"])
    except (KeyError, TypeError, ValueError):
        raise RunError(f"'{name}' was not exported by noonchi: it does not say which pictures it takes.") from None
    if number > FORMAT:
        raise RunError(f"'{name}' has format {number}; this noonchi reads up to {FORMAT}. Upgrade noonchi.")
    values = files.unsealed(found)
    if values is None:
        raise RunError(f"'{name}' is damaged or was edited: its checksum is not that of its values. Export it again.")
    try:
        return parse(_Description, values)
    except SettingsError as error:
        raise RunError(f"'{name}' does not describe a classifier: {error} Export it again.") from None


def _answers(session: Any) -> dict[str, int]:
    """How many numbers each output gives for a picture."""
    return {output.name: output.shape[-1] for output in session.get_outputs()}


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, after its own codes, in one short line."""
    return reason(ValueError(str(error).rpartition(" : ")[2]))
