"""What the server and its worker tell one another: a JSON object and byte strings after it, with their lengths."""

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

_LENGTHS = struct.Struct("!IQ")


class Message(NamedTuple):
    """One of them."""

    told: dict[str, Any]
    parts: list[bytes]


def packed(told: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """A message's bytes.

    >>> import io
    >>> read(io.BytesIO(packed({"id": 1}, [b"one", b""])))
    Message(told={'id': 1}, parts=[b'one', b''])
    """
    head = json.dumps({"told": told, "sizes": [len(part) for part in parts]}).encode()
    return b"".join((_LENGTHS.pack(len(head), sum(map(len, parts))), head, *parts))


def read(file: BinaryIO) -> Message | None:
    """The next message; None at the end."""
    lengths = file.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, rest = _LENGTHS.unpack(lengths)
    return _message(file.read(head), file.read(rest))


async def receive(reader: asyncio.StreamReader) -> Message:
    """The next message. Raises IncompleteReadError at the end."""
    head, rest = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    whole = await reader.readexactly(head + rest)
    return _message(whole[:head], whole[head:])


def _message(head: bytes, rest: bytes) -> Message:
    found = json.loads(head)
    parts, start = [], 0
    for size in found["sizes"]:
        parts.append(rest[start : start + size])
        start += size
    return Message(found["told"], parts)
