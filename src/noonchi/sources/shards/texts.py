"""A text for each picture, out of arrays: a million Python texts would take ten times the memory."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Digests = npt.NDArray[np.uint8]
"""(n, 16)"""

_AT_ONCE = 4096


class Ids(Sequence[str]):
    """The texts of a column of a Parquet file, each made when it is asked for."""

    def __init__(self, texts: "pa.ChunkedArray") -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        return str(self._texts[int(at)])

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._texts.slice(start, _AT_ONCE).to_pylist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(list(self), dtype)

    def digest(self) -> bytes:
        """Of all texts and where each ends, whatever pieces they come in."""
        texts, lengths = blake2b(digest_size=16), blake2b(digest_size=16)
        for piece in self._texts.chunks:
            _, ends, letters = piece.buffers()
            places = np.frombuffer(ends, np.int32)[piece.offset : piece.offset + len(piece) + 1]
            texts.update(memoryview(letters or b"")[places[0] : places[-1]])
            lengths.update(np.diff(places).data)
        return texts.digest() + lengths.digest()


class Hashes(Sequence[str]):
    """Digests as hexadecimal digits.

    >>> hashes = Hashes(np.arange(32, dtype=np.uint8).reshape(2, 16))
    >>> hashes[1], list(hashes)[1] == hashes[1]
    ('101112131415161718191a1b1c1d1e1f', True)
    """

    def __init__(self, digests: Digests) -> None:
        self._digests = digests

    def __len__(self) -> int:
        return len(self._digests)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Hashes": ...
    def __getitem__(self, at: int | slice) -> "str | Hashes":
        return Hashes(self._digests[at]) if isinstance(at, slice) else self._digests[at].tobytes().hex()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            some = self._digests[start : start + _AT_ONCE]
            digits, width = some.tobytes().hex(), 2 * some.shape[1]
            yield from (digits[at : at + width] for at in range(0, len(digits), width))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(list(self), dtype)
