"""Predictions as columns, and those as Parquet."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from noonchi.errors import RunError
from noonchi.results import Head, Prediction

_KEY = b"noonchi"
"""Of the file's metadata, under which the heads and their classes are."""
_CLASSES = b"classes"
"""Of a column's metadata."""
_PART = b"noonchi.job"


class DamagedError(Exception):
    """A part that is not as it was written."""


def schema(heads: Sequence[Head], job: str, abstain: float | None) -> Any:
    """A pyarrow Schema. Raises RunError where two columns would have one name."""
    import pyarrow as pa

    fields = [pa.field("picture", pa.string(), nullable=False)]
    for head in heads:
        fields += _of_head(head, abstain is not None)
    fields.append(pa.field("error", pa.string()))
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise RunError(f"two columns would be named '{twice}', as a head is; predict without --out.")
    told = [{"name": head.name, "kind": head.kind, "classes": head.classes} for head in heads]
    return pa.schema(fields, {_KEY: json.dumps({"heads": told}, ensure_ascii=False), _PART: job})


def _of_head(head: Head, sure: bool) -> list[Any]:
    import pyarrow as pa

    several = head.kind == "labels"
    text, number = (pa.field("element", kind) for kind in (pa.string(), pa.float32()))  # as Parquet calls them
    classes = {_CLASSES: json.dumps(head.classes, ensure_ascii=False)}
    fields = [
        pa.field(head.name, pa.list_(text) if several else pa.string()),
        pa.field(f"{head.name}_probability", pa.list_(number) if several else pa.float32()),
        pa.field(f"{head.name}_probabilities", pa.list_(number, len(head.classes)), metadata=classes),
    ]
    return fields + ([pa.field(f"{head.name}_sure", pa.bool_())] if sure else [])


def batch(
    columns: Any, heads: Sequence[Head], names: Sequence[str], found: Sequence[Prediction | str], abstain: float | None
) -> Any:
    """A pyarrow RecordBatch of what was said of each picture, or why it cannot be read."""
    import pyarrow as pa

    values: list[list[Any]] = [list(names)]
    for head in heads:
        values += _values(head, [one if isinstance(one, Prediction) else None for one in found], abstain)
    values.append([_text(one) if isinstance(one, str) else None for one in found])
    arrays = [pa.array(each, field.type) for each, field in zip(values, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _values(head: Head, found: Sequence[Prediction | None], abstain: float | None) -> list[list[Any]]:
    answers = [None if one is None else _answer(head, one) for one in found]
    values = [
        [None if one is None else one[0] for one in answers],
        [None if one is None else one[1] for one in answers],
        [one and list(one.heads[head.name].values()) for one in found],
    ]
    return values + ([] if abstain is None else [[one and one.is_sure(head.name, abstain) for one in found]])


def _answer(head: Head, found: Prediction) -> tuple[Any, Any]:
    """The answer and its probability; lists of both for `labels`."""
    probabilities = found.heads[head.name]
    if head.kind == "labels":
        held = found.held(head.name)
        return held, [probabilities[name] for name in held]
    answer = found.answer(head.name)
    return answer, probabilities[answer]


def _text(told: str) -> str:
    return told.encode("utf-8", "backslashreplace").decode()


def content(batches: Sequence[Any]) -> bytes:
    """Batches as one row group of a Parquet file of its own."""
    import pyarrow as pa

    whole = io.BytesIO()
    with writer(whole, batches[0].schema) as add:
        add(pa.Table.from_batches(batches))
    return whole.getvalue()


@contextmanager
def writer(file: IO[bytes], columns: Any) -> Iterator[Callable[[Any], None]]:
    """Yields what adds a table to a Parquet file, as one row group."""
    from pyarrow import parquet

    with parquet.ParquetWriter(file, columns, compression="zstd", write_page_checksum=True) as out:
        yield lambda table: out.write_table(table.combine_chunks(), row_group_size=max(1, len(table)))


def rows(path: Path, job: str) -> int | None:
    """How many a part of this job has, by its footer; None for a file that is missing, cut off or of another job."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            told = file.schema_arrow.metadata or {}
            return file.metadata.num_rows if told.get(_PART) == job.encode() else None
    except (OSError, pa.ArrowException):
        return None


def read(path: Path, columns: Any) -> Any:
    """A part as a pyarrow Table of these columns. Raises DamagedError."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.read()
    except (OSError, pa.ArrowException):
        raise DamagedError from None
    if not found.schema.equals(columns, check_metadata=True):
        raise DamagedError
    return found


def errors(path: Path) -> tuple[int, str]:
    """How many pictures of a whole file have an error, and the first of them with its own."""
    from pyarrow import parquet

    count, first = 0, ""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["picture", "error"]):
            lost = batch.filter(batch["error"].is_valid())
            if len(lost) and not first:
                first = f"'{lost['picture'][0]}': {lost['error'][0]}"
            count += len(lost)
    return count, first
