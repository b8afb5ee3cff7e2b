"""What a classifier says of any number of pictures, in one Parquet file: made in parts, so that any stop costs little.

The processes that torchrun starts share the work. Imports no torch of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from noonchi import pixels, ranks, sources
from noonchi.errors import DataError, SettingsError, StoppedError
from noonchi.exported import refuse_missing
from noonchi.pixels import PictureError
from noonchi.predicting import table
from noonchi.predicting.job import Job, Parts, digest
from noonchi.predictor import Invert, Predictor
from noonchi.ranks import Ranks
from noonchi.results import Note, Prediction, Work
from noonchi.sources import Pictures

Show = Callable[[Note | Work], None]

_BLOCK = 1024
"""Pictures a part, at most, where so many are not answered at once: what a kill may cost a process."""
_LOOKS_EVERY_S = 0.2
"""Between two looks for the parts of other processes."""


@dataclass(frozen=True)
class Predictions:
    """A finished file of predictions."""

    path: Path
    pictures: int
    unreadable: int
    first_error: str
    """Of the first picture that cannot be read; empty where all can."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What `noonchi predict --out --json` prints."""
        told = {"predictions": str(self.path), "pictures": self.pictures, "unreadable": self.unreadable}
        return told | {"seconds": round(self.seconds, 3)}


def refuse_place(path: Path, data: str | Path) -> None:
    """Raises SettingsError where predictions could not be written, before minutes are spent."""
    refuse_missing("shards", "pyarrow")
    if path.suffix.lower() != ".parquet":
        raise SettingsError(f"--out {path}: predictions are written as Parquet; give it a name that ends in .parquet.")
    sources.refuse_place("--out", path, data)
    if ranks.started().first and not Parts.beside(path).folder.exists():
        _refuse_existing(path)


def write(
    path: Path,
    predictor: Predictor,
    sha256: str,
    given: Pictures,
    *,
    invert: Invert = "no",
    abstain: float | None = None,
    show: Show,
) -> Predictions | None:
    """What `predictor`, of a digest that tells it from others, says of each picture, in order, as a Parquet file.

    What it has answered is kept beside the file until that is whole: the same call goes on from there, with any number
    of processes. Answers are those of `Predictor.predict`, as float32. None in all processes but the first. Raises
    RunError where parts of something else are in the way, and StoppedError where it is interrupted.
    """
    began = time.monotonic()
    job = _job(predictor, sha256, given, invert, abstain)
    columns = table.schema(predictor.heads, job.sha256, abstain)
    parts = Parts.beside(path)
    if not path.exists():
        _predict(path, parts, _Answering(predictor.answering(), given, job, columns), show)
    elif ranks.started().first:  # killed when it had but to clear away
        if table.rows(path, job.sha256) != job.pictures:
            _refuse_existing(path)
        parts.remove()
    if not ranks.started().first:
        return None
    return Predictions(path, job.pictures, *table.errors(path), time.monotonic() - began)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise SettingsError(f"--out {path}: it exists; give another name, or remove it to predict anew.")


def _job(predictor: Predictor, sha256: str, given: Pictures, invert: Invert, abstain: float | None) -> Job:
    at_once = pixels.answered_at_once(predictor.pixels)
    block = max(1, _BLOCK // at_once) * at_once  # whole batches: whoever answers them, they are the same ones
    total = len(given.ids) + len(given.unusable)
    return Job(sha256, total, digest(given), block, at_once, invert, abstain)


@dataclass(frozen=True, eq=False)
class _Answering:
    """A job and what is needed to do it."""

    predictor: Predictor
    given: Pictures
    job: Job
    columns: Any

    def by_block(self, blocks: Sequence[int]) -> Iterator[tuple[int, Iterator[Any]]]:
        """Each block with its batches as they are answered; the next ones are worked on meanwhile."""
        batches = (batch for number in range(len(blocks)) for batch in self._prepared(blocks[number : number + 2]))
        several = self.job.pictures > self.job.at_once
        # a batch alone would be left to torch's own threads, whose sums may differ in their last bits
        answers = self.predictor.in_parallel(self._answered, chain([range(0)] * several, batches))
        for _ in range(several):
            next(answers)
        for block in blocks:
            yield block, islice(answers, len(self.job.batches(block)))

    def _prepared(self, blocks: Sequence[int]) -> list[range]:
        """The batches of the first of these blocks, after asking for what all of them need."""
        for block in blocks:
            self.given.prepare(self.job.rows(block))
        return self.job.batches(blocks[0])

    def _answered(self, rows: range) -> Any:
        """What is said of some rows, as a batch of columns."""
        given, there = self.given, len(self.given.ids)
        pictures = [(row, given.pictures[row]) for row in rows if row < there]
        unusable = [given.unusable[row - there] for row in rows if row >= there]
        found = [_or_reason(one) for one in self.predictor.predictions(self.job.invert, pictures)]
        names = [given.ids[row] for row, _ in pictures] + [name for name, _ in unusable]
        found += [reason for _, reason in unusable]
        return table.batch(self.columns, self.predictor.heads, names, found, self.job.abstain)


def _or_reason(found: Prediction | DataError) -> Prediction | str:
    if isinstance(found, Prediction):
        return found
    return found.reason if isinstance(found, PictureError) else str(found)


def _predict(path: Path, parts: Parts, answering: _Answering, show: Show) -> None:
    job = answering.job
    with ranks.joined() as processes:
        try:
            with parts.held(job, processes):
                _fill(parts, answering, processes, show)
                if processes.first:
                    parts.join(path, job, answering.columns)
        except KeyboardInterrupt:
            done = job.blocks - len(parts.missing(job))
            raise StoppedError(
                f"stopped with {done:,} of {job.blocks:,} parts kept in '{parts.folder}'; the same command goes on."
            ) from None


def _fill(parts: Parts, answering: _Answering, processes: Ranks, show: Show) -> None:
    """Write this process's share of the parts that are missing, and wait for the others'."""
    job = answering.job
    missing = processes.same(parts.missing(job) if processes.first else [])
    mine = missing[processes.number :: processes.count]
    if processes.first and len(missing) < job.blocks:
        show(Note(f"{job.blocks - len(missing):,} of {job.blocks:,} parts are there already"))
    moved = _progress(sum(len(job.rows(block)) for block in mine), processes, show)
    for block, batches in answering.by_block(mine):
        parts.write(block, table.content([moved(batch) for batch in batches]))
    for block in missing:
        while not parts.has(block):  # torchrun ends this process too where another one has ended
            time.sleep(_LOOKS_EVERY_S)
    processes.wait()


def _progress(total: int, processes: Ranks, show: Show) -> Callable[[Any], Any]:
    """What shows each batch that is given to it, and gives it back."""
    done, whose = 0, f"by process 1 of {processes.count}" if processes.count > 1 else ""

    def moved(batch: Any) -> Any:
        nonlocal done
        done += len(batch)
        if processes.first:
            show(Work("predicting", done, total, whose))
        return batch

    return moved
