"""A classifier as one HTML file that answers in the browser, offline: the network and ONNX Runtime Web are in it."""

import base64
import gzip
import json
import lzma
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

from noonchi import exported, files, page
from noonchi.classifier import Classifier
from noonchi.errors import RunError
from noonchi.export import agreement, graph, preprocessing
from noonchi.export.agreement import Agreement

_RUNTIME = package_files("noonchi.export") / "onnxruntime-web"
"""As tools/vendor_onnxruntime_web.py wrote it."""
_MOST_BYTES = 300 * 10**6
"""Of a network; in base64, browsers take no text much longer."""
_WORKER = ("pixels.js", "worker.js")


def to_html(classifier: Classifier, path: Path) -> Agreement:
    """Write a classifier as a page that holds its network, tried on golden pictures first, and all that it needs.

    The network takes uint8 frames of the classifier's size: the page itself brings pictures to it, as `pixels` does.
    Raises as `to_onnx` does, and then writes nothing.
    """
    network = graph.file_bytes(classifier, front=preprocessing.of_frames(classifier.pixels))
    if len(network) > _MOST_BYTES:
        raise RunError(
            f"the network takes {files.readable(len(network))}, more than the {files.readable(_MOST_BYTES)} that a "
            "page can hold. Use --format onnx, or train a smaller network."
        )
    answering = exported.from_bytes(network, str(path))
    found = agreement.of_frames(classifier, answering.of_frames)
    agreement.refuse_other(found)
    told = json.loads(answering.session.get_modelmeta().custom_metadata_map[exported.KEY])
    held = {
        "licence": (_RUNTIME / "LICENSE").read_text(encoding="utf-8"),
        "classifier": json.dumps({"name": path.stem, **told}).replace("<", r"\u003c"),
        "worker": "".join((package_files(page) / name).read_text(encoding="utf-8") for name in _WORKER),
        "runtime": _packed(_unpacked("runtime.mjs")),
        "runtime-wasm": _packed(_unpacked("runtime.wasm")),
        "network": _packed(network),
    }
    files.write(path, page.html(path.stem, ("local.js",), held, policy=True))
    return found


@cache
def _unpacked(name: str) -> bytes:
    return lzma.decompress((_RUNTIME / f"{name}.xz").read_bytes())


def _packed(content: bytes) -> str:
    """As a page's script unpacks it."""
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()
