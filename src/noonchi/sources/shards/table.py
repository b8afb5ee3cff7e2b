"""`index.parquet`: which picture lies where in which shard, its split and its labels."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
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
    """Of the bytes in the shard; the same array as `hashes` where they are those of the file."""
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
        **({} if (table.contents == table.hashes).all() else {"content": _binary(table.contents)}),
        "split": _dictionary(np.searchsorted(_SORTED_SPLITS, table.splits), _SORTED_SPLITS),
        **{_LABELS + name: _dictionary(one.codes, one.classes) for name, one in table.columns.items()},
        "shard": pa.array(table.shard.astype(np.int32)),
        "offset": pa.array(table.offset.astype(np.int64)),
        "length": pa.array(table.length.astype(np.int64)),
    }
    about = {
        "format": FORMAT,
        "name": table.name,
        "digest": _digest(table),
        "columns": {name: {"classes": one.classes, "labels": one.labels} for name, one in table.columns.items()},
        "shards": [(one.name, one.size, one.digest) for one in table.shards],
    }
    whole = pa.table(columns).replace_schema_metadata({"noonchi": json.dumps(about, ensure_ascii=False)})
    sink = pa.BufferOutputStream()
    repeated = ["split", *(_LABELS + name for name in table.columns)]
    pa.parquet.write_table(
        whole,
        sink,
        row_group_size=_ROWS,
        compression="zstd",
        use_dictionary=repeated,
        write_statistics=False,
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def read(path: Path, told: str) -> Table:
    """The table in a file; `told` is what an error calls it. Raises DataError for anything but a sound index."""
    pa = arrow()
    with path.open("rb") as start:
        if start.read(4) != b"PAR1":
            raise _no_index(told)
    try:
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            return _table(file, told)
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(told, reason(error)) from None


def _table(file: "pq.ParquetFile", told: str) -> Table:
    pa, count = arrow(), file.metadata.num_rows
    about = _about(file, told)
    shards = tuple(Shard(*one) for one in about["shards"])
    _refuse_shards(shards, count, told)
    hashes = _digests(file, "hash")
    table = Table(
        name=str(about["name"]),
        shards=shards,
        ids=Ids(pa.chunked_array(list(_parts(file, "id", "string")))),
        hashes=hashes,
        contents=_digests(file, "content") if "content" in file.schema_arrow.names else hashes,
        splits=_filled(file, _chosen(file, "split", SPLIT_ORDER, np.array(SPLIT_ORDER)), np.empty(count, "<U5")),
        columns={name: _label(file, name, one) for name, one in about["columns"].items()},
        shard=_numbers(file, "shard", "int32"),
        offset=_numbers(file, "offset", "int64"),
        length=_numbers(file, "length", "int64"),
    )
    _refuse_places(table, told)
    if _digest(table) != about["digest"]:
        raise _damaged(told, "it does not hold what was written into it")
    return table


def _digest(table: Table) -> str:
    """Of all that a table holds: Parquet's own checksums leave out where and what its columns are."""
    pa, total = arrow(), blake2b(digest_size=16)
    columns = [(name, one.classes, one.labels) for name, one in table.columns.items()]
    shards = [(one.name, one.size, one.digest) for one in table.shards]
    total.update(json.dumps([table.name, columns, shards]).encode())
    ids = table.ids if isinstance(table.ids, Ids) else Ids(pa.chunked_array([pa.array(table.ids, pa.string())]))
    total.update(ids.digest())
    codes = (column.codes for column in table.columns.values())
    for array in (table.hashes, table.contents, table.splits, table.shard, table.offset, table.length, *codes):
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _about(file: "pq.ParquetFile", told: str) -> Any:
    try:
        about = json.loads(file.schema_arrow.metadata[b"noonchi"])
        found = about["format"]
    except (TypeError, KeyError, ValueError):
        raise _no_index(told) from None
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
    for start in range(0, len(table.shard), _ROWS):  # a whole column of each of these would be as large as the table
        shard, offset, length = (one[start : start + _ROWS] for one in (table.shard, table.offset, table.length))
        wrong = (offset < HEADER) | (length < 1) | (length > _LARGEST) | (offset > sizes[shard] - length)
        if wrong.any():
            at = start + int(np.flatnonzero(wrong)[0])
            raise _damaged(told, f"picture '{table.ids[at]}' lies outside of its shard")


def _no_index(told: str) -> DataError:
    return DataError(f"'{told}' is no index of shards; give the folder, or the address, that noonchi shard wrote to.")


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


def _parts(file: "pq.ParquetFile", name: str, kind: str) -> Iterator["pa.Array"]:
    """A column, a group of rows at a time: what is not yet unpacked takes little memory.

    Raises ValueError where it is missing, of another type or has gaps.
    """
    if name not in file.schema_arrow.names:
        raise ValueError(f"it has no column '{name}'")
    for group in range(file.num_row_groups):
        found = file.read_row_group(group, [name], use_threads=False).column(0)
        if str(found.type) != kind or found.null_count:
            raise ValueError(f"column '{name}' is of type {found.type} with {found.null_count} gaps, expected {kind}")
        for part in found.chunks:
            part.validate(full=True)  # that texts are UTF-8 is otherwise seen when one is asked for
            yield part


def _filled(file: "pq.ParquetFile", parts: Iterable[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One array from parts, which are gone by then. Raises ValueError where they are too few or too many."""
    filled = 0
    for part in parts:
        empty[filled : filled + len(part)] = part
        filled += len(part)
    if filled != file.metadata.num_rows:
        raise ValueError("its columns differ in length")
    return empty


def _numbers(file: "pq.ParquetFile", name: str, kind: str) -> npt.NDArray[Any]:
    parts = (_values(part, kind) for part in _parts(file, name, kind))
    return _filled(file, parts, np.empty(file.metadata.num_rows, kind))


def _values(part: "pa.Array", kind: str) -> npt.NDArray[Any]:
    """As pyarrow's own `to_numpy`, which first imports pandas where that is installed: a second, and 40 MB."""
    return np.frombuffer(part.buffers()[1], kind)[part.offset : part.offset + len(part)]


def _digests(file: "pq.ParquetFile", name: str) -> Digests:
    parts = (_values(part, "V16") for part in _parts(file, name, "fixed_size_binary[16]"))
    return _filled(file, parts, np.empty(file.metadata.num_rows, "V16")).view(np.uint8).reshape(-1, 16)


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
    return _filled(file, _chosen(file, name, texts, np.arange(len(texts))), np.empty(file.metadata.num_rows, np.int64))


def _chosen(
    file: "pq.ParquetFile", name: str, texts: Sequence[str], values: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    number = {text: at for at, text in enumerate(texts)}
    for part in _parts(file, name, "dictionary<values=string, indices=int32, ordered=0>"):
        known = np.array([number[text] for text in part.dictionary.to_pylist()], np.int64)
        yield values[known[_values(part.indices, "int32")]]


def hashes(table: Table) -> Hashes:
    """What tells its pictures apart, as texts."""
    return Hashes(table.hashes)
