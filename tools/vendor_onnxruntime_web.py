"""Puts ONNX Runtime Web, from its npm package, into noonchi: `noonchi export --format html` writes it into its file.

For whoever raises its version: `python tools/vendor_onnxruntime_web.py`, with npm and its registry at hand and the
Python package onnxruntime installed, whose licence and notices are kept (the npm package carries none).
"""

import base64
import hashlib
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import onnxruntime

PACKAGE = "onnxruntime-web@1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's archive: npm's `dist.integrity`."""
KEPT = {
    "runtime.mjs": "package/dist/ort.wasm.bundle.min.mjs",
    "runtime.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
PLACE = Path(__file__).parent.parent / "src" / "noonchi" / "export" / "onnxruntime-web"


def main() -> None:
    """Fetch, check, keep."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607
        [archive] = Path(folder).iterdir()
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
            sys.exit(f"{archive.name} is not the archive that this script knows; nothing was changed.")
        PLACE.mkdir(exist_ok=True)
        with tarfile.open(archive) as package:
            for name, member in KEPT.items():
                held = package.extractfile(member)
                assert held
                _keep(f"{name}.xz", _packed(held.read()))
    licences = Path(onnxruntime.__file__).parent
    _keep("LICENSE", (licences / "LICENSE").read_bytes())
    _keep("ThirdPartyNotices.txt.xz", _packed((licences / "ThirdPartyNotices.txt").read_bytes()))


def _packed(content: bytes) -> bytes:
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


def _keep(name: str, content: bytes) -> None:
    (PLACE / name).write_bytes(content)
    sys.stdout.write(f"{name}: {len(content):,} bytes\n")


if __name__ == "__main__":
    main()
