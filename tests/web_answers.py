"""How an answer over HTTP is held against a prediction."""

import struct
import zlib
from typing import Any

import pytest

from noonchi.results import Prediction


def same(found: dict[str, Any], expected: Prediction, difference: float = 1e-6) -> None:
    """Every head's answer and its probabilities."""
    for head, probabilities in expected.heads.items():
        assert found[head]["probabilities"] == pytest.approx(dict(probabilities), abs=difference)
        assert found[head]["answer"] == expected.answer(head)


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 10,000 megapixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))

    head = struct.pack("!IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100_001)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")
