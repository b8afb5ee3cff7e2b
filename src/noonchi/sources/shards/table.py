"""`index.parquet`: which picture lies where in which shard, its split and its labels."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noonchi.errors import DataError, reason
from noonchi.sources.index import SPLIT_ORDER, Codes, Column, Shards
from noonchi.sources.shards.texts import Digests, Hashes, Ids

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NAME = "index.parquet"
FORMAT = 1
HEADER = 512
"""Bytes of a tar before each file's content."""

_LABELS = "label:"
"""Before the name of a label column: data may have one called `id`."""
_ROWS = 2**17
"""A group; what is unpacked at once."""
_SHARD = re.compile(r"[0-9a-zA-Z][\w-]{0,200}\.tar", re.ASCII)
_LARGEST = 2**36
"""Bytes of a shard."""
_LEAST = 3 * HEADER
"""Bytes that a picture takes in its shard: two headers, and at least a block of content."""


@dataclass(frozen=True)
class Shard:
    """One tar."""

    name: str
    size: int
    digest: str
    """blake2b of its bytes, 32 hexadecimal digits."""


@dataclass(frozen=True, eq=False)
class Table:
    """All that an index holds, a row a picture in the order of the data."""

    name: str
    """Of the data."""
    shards: tuple[Shard, ...]
    ids: Sequence[str]
    hashes: Digests
    """What tells pictures apart: of the file as it was found, or of an array's bytes and shape."""
    contents: Digests
    """Of the bytes in the shard; the same array as `hashes` where they are the file's."""
    splits: npt.NDArray[np.str_]
    columns: Mapping[str, Column]
    shard: Shards
    offset: Codes
    length: Codes


def arrow() -> Any:
    """The package pyarrow. Raises DataError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError('shards need more packages; run: pip install "noonchi[shards]"') from None
    return pyarrow


def encoded(table: Table) -> bytes:
    """The table as a Parquet file, the same bytes for the same table."""
    pa = arrow()
    columns = {
        "id": pa.array(table.ids, pa.string()),
        "hash": _binary(table.hashes),
        **({} if table.contents is table.hashes else {"content": _binary(table.contents)}),
        "split": _dictionary(np.searchsorted(_SORTED_SPLITS, table.splits), _SORTED_SPLITS),
        **{_LABELS + name: _dictionary(one.codes, one.classes) for name, one in table.columns.items()},
        "shard": pa.array(table.shard.astype(np.int32)),
        "offset": pa.array(table.offset.astype(np.int64)),
        "length": pa.array(table.length.astype(np.int64)),
    }
    about = {
        "format": FORMAT,
        "name": table.name,
        "columns": {name: {"classes": one.classes, "labels": one.labels} for name, one in table.columns.items()},
        "shards": [(one.name, one.size, one.digest) for one in table.shards],
    }
    whole = pa.table(columns).replace_schema_metadata({"noonchi": json.dumps(about, ensure_ascii=False)})
    sink = pa.BufferOutputStream()
    repeated = ["split", *(_LABELS + name for name in table.columns)]
    pa.parquet.write_table(
        whole, sink, row_group_size=_ROWS, compression="zstd", use_dictionary=repeated, write_statistics=False
    )
    return bytes(sink.getvalue())


def read(path: Path, told: str) -> Table:
    """The table in a file; `told` is what an error calls it. Raises DataError for anything but a sound index."""
    pa = arrow()
    try:
        with pa.parquet.ParquetFile(path, memory_map=True) as file:
            return _table(file, told)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(told, reason(error)) from None


def _table(file: "pq.ParquetFile", told: str) -> Table:
    about = _about(file, told)
    shards = tuple(Shard(*one) for one in about["shards"])
    _refuse_shards(shards, file.metadata.num_rows, told)
    hashes = _digests(file, "hash")
    table = Table(
        name=str(about["name"]),
        shards=shards,
        ids=Ids(_column(file, "id", "string")),
        hashes=hashes,
        contents=_digests(file, "content") if "content" in file.schema_arrow.names else hashes,
        splits=np.array(SPLIT_ORDER)[_codes(file, "split", SPLIT_ORDER)],
        columns={name: _label(file, name, one) for name, one in about["columns"].items()},
        shard=_numbers(file, "shard", "int32"),
        offset=_numbers(file, "offset", "int64"),
        length=_numbers(file, "length", "int64"),
    )
    _refuse_places(table, told)
    return table


def _about(file: "pq.ParquetFile", told: str) -> Any:
    try:
        about = json.loads(file.schema_arrow.metadata[b"noonchi"])
        found = about["format"]
    except (TypeError, KeyError, ValueError):
        raise DataError(f"'{told}' is no index of noonchi's; give what noonchi shard wrote.") from None
    if found != FORMAT:
        raise DataError(f"'{told}' has format {found!r}, this noonchi reads {FORMAT}; update noonchi, or shard anew.")
    return about


def _refuse_shards(shards: Sequence[Shard], pictures: int, told: str) -> None:
    for one in shards:
        if not isinstance(one.name, str) or not _SHARD.fullmatch(one.name):
            raise _damaged(told, f"it names {one.name!r} as a shard")
        if type(one.size) is not int or not 0 < one.size <= _LARGEST:
            raise _damaged(told, f"it says that '{one.name}' has {one.size!r} bytes")
        if not isinstance(one.digest, str) or not re.fullmatch("[0-9a-f]{32}", one.digest):
            raise _damaged(told, f"it has no hash of '{one.name}'")
    if len({one.name for one in shards}) < len(shards):
        raise _damaged(told, "it names a shard twice")
    if not 0 < pictures * _LEAST <= sum(one.size for one in shards):  # before memory is taken for so many
        raise _damaged(told, f"its shards cannot hold {pictures:,} pictures")


def _refuse_places(table: Table, told: str) -> None:
    sizes = np.array([one.size for one in table.shards], np.int64)
    if table.shard.min() < 0 or table.shard.max() >= len(sizes):
        raise _damaged(told, "a picture lies in a shard that it does not name")
    beyond = table.offset > sizes[table.shard] - table.length
    wrong = np.flatnonzero((table.offset < HEADER) | (table.length < 1) | (table.length > _LARGEST) | beyond)
    if len(wrong):
        raise _damaged(told, f"picture '{table.ids[int(wrong[0])]}' lies outside of its shard")


def _damaged(told: str, why: str) -> DataError:
    return DataError(f"'{told}' is damaged: {why}. Fetch it again, or write the shards anew with noonchi shard.")


_SORTED_SPLITS = sorted(SPLIT_ORDER)


def _binary(digests: Digests) -> "pa.FixedSizeBinaryArray":
    pa = arrow()
    buffers = [None, pa.py_buffer(np.ascontiguousarray(digests))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(digests.shape[1]), len(digests), buffers)


def _dictionary(codes: npt.NDArray[Any], texts: Sequence[str]) -> "pa.DictionaryArray":
    pa = arrow()
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(texts, pa.string()))


def _column(file: "pq.ParquetFile", name: str, kind: str) -> "pa.ChunkedArray":
    """A whole column. Raises ValueError where it is of another type or has gaps."""
    found = file.read([name], use_threads=False).column(0)
    if str(found.type) != kind or found.null_count:
        raise ValueError(f"column '{name}' is of type {found.type} with {found.null_count} gaps, expected {kind}")
    return found


def _numbers(file: "pq.ParquetFile", name: str, kind: str) -> npt.NDArray[Any]:
    return np.concatenate([chunk.to_numpy() for chunk in _column(file, name, kind).chunks])


def _digests(file: "pq.ParquetFile", name: str) -> Digests:
    chunks = _column(file, name, "fixed_size_binary[16]").chunks
    parts = [np.frombuffer(one.buffers()[1], np.uint8)[16 * one.offset :][: 16 * len(one)] for one in chunks]
    return np.concatenate(parts).reshape(-1, 16)


def _label(file: "pq.ParquetFile", name: str, about: Mapping[str, Any]) -> Column:
    classes = _texts(about["classes"])
    labels = None if about["labels"] is None else _texts(about["labels"])
    return Column(classes, _codes(file, _LABELS + name, classes), labels)


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found) or len({*found}) < len(found):
        raise ValueError("the classes of a column are no list of texts")
    return tuple(found)


def _codes(file: "pq.ParquetFile", name: str, texts: Sequence[str]) -> Codes:
    """Each picture's place in `texts`, whatever the file's own dictionaries are. Raises KeyError for another text."""
    number = {text: at for at, text in enumerate(texts)}
    column = _column(file, name, "dictionary<values=string, indices=int32, ordered=0>")
    return np.concatenate([*_of_chunks(column, number)])


def _of_chunks(column: "pa.ChunkedArray", number: Mapping[str, int]) -> Iterator[Codes]:
    for chunk in column.chunks:
        known = np.array([number[text] for text in chunk.dictionary.to_pylist()], np.int64)
        yield known[chunk.indices.to_numpy()]


def hashes(table: Table) -> Hashes:
    """What tells its pictures apart, as texts."""
    return Hashes(table.hashes)
