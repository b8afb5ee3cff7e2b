"""What is to be predicted, cut into blocks, and the folder of those that are done."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from noonchi import files
from noonchi.errors import RunError
from noonchi.predicting import table
from noonchi.predictor import Invert
from noonchi.ranks import Ranks
from noonchi.sources import Pictures

_JOB, _LOCK = "job.json", ".lock"
_CALLED = {
    "classifier": "another classifier",
    "pictures": "another number of pictures",
    "pictures_sha256": "other pictures, or changed ones",
    "invert": "another --invert",
    "abstain": "another --abstain",
}


@dataclass(frozen=True)
class Job:
    """All that decides what the file will hold."""

    classifier: str
    """Digest."""
    pictures: int
    """Rows of the file, those of unusable pictures among them."""
    pictures_sha256: str
    block: int
    """Rows a part."""
    at_once: int
    """Rows a batch."""
    invert: Invert
    abstain: float | None

    @property
    def sha256(self) -> str:
        """What tells this job's parts from others."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    @property
    def blocks(self) -> int:
        """How many parts there will be.

        >>> Job("", 2049, "", 1024, 256, "no", None).blocks
        3
        """
        return -(-self.pictures // self.block)

    def rows(self, block: int) -> range:
        """Those of a block."""
        return range(block * self.block, min((block + 1) * self.block, self.pictures))

    def batches(self, block: int) -> list[range]:
        """The rows of a block that are answered at once: as if all were answered in one go.

        >>> Job("", 2049, "", 1024, 512, "no", None).batches(1)
        [range(1024, 1536), range(1536, 2048)]
        """
        rows = self.rows(block)
        return [rows[start : start + self.at_once] for start in range(0, len(rows), self.at_once)]


def digest(given: Pictures) -> str:
    """Of which pictures these are, in their order."""
    found = hashlib.sha256()
    for row in zip(given.ids, given.marks, strict=True):
        found.update(json.dumps(row).encode())
    for row in given.unusable:
        found.update(json.dumps(row).encode())
    return found.hexdigest()


@dataclass(frozen=True)
class Parts:
    """The parts of a file that is not whole yet, in a folder beside it."""

    folder: Path

    @classmethod
    def beside(cls, path: Path) -> "Parts":
        """Of a file.

        >>> str(Parts.beside(Path("a/b.parquet")).folder)
        'a/b.parquet.parts'
        """
        return cls(path.with_name(f"{path.name}.parts"))

    @contextmanager
    def held(self, job: Job, processes: Ranks) -> Iterator[None]:
        """Takes the folder for a job and holds it against others; removes it once the file is whole.

        Raises RunError where it is in use, or holds something else.
        """
        if not processes.first:
            processes.wait()
            if not self._record.exists():
                raise RunError(f"'{self.folder}' is not seen by every process; give an --out on a disk that all share.")
            yield
            return
        self._refuse_others(job)
        self.folder.mkdir(exist_ok=True)
        lock = FileLock(self.folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(f"'{self.folder}' is in use by another noonchi; wait for its end.") from None
        try:
            if not self._record.exists():
                files.write_json(self._record, asdict(job))
            processes.wait()
            yield
        finally:
            lock.release()
        self.remove()

    def remove(self) -> None:
        """The folder and all in it."""
        shutil.rmtree(self.folder)

    def missing(self, job: Job) -> list[int]:
        """Which blocks have no part, or none that is whole and this job's, in order."""
        return [block for block in range(job.blocks) if not self._is_whole(block, job)]

    def has(self, block: int) -> bool:
        """Whether a part is there, which this job has written or found whole."""
        return self._part(block).exists()

    def write(self, block: int, content: bytes) -> None:
        """A part, whole or not at all."""
        files.write(self._part(block), content)

    def join(self, path: Path, job: Job, columns: Any) -> None:
        """All parts as one file, a row group each.

        Raises RunError for a part that has been damaged since it was written, which is removed.
        """
        with files.replaced(path) as file, table.writer(file, columns) as add:
            for part in map(self._part, range(job.blocks)):
                try:
                    add(table.read(part, columns))
                except table.DamagedError:
                    part.unlink(missing_ok=True)
                    raise RunError(f"'{part}' was damaged and is removed; the same command makes it anew.") from None

    @property
    def _record(self) -> Path:
        return self.folder / _JOB

    def _part(self, block: int) -> Path:
        return self.folder / f"{block:06d}.parquet"

    def _is_whole(self, block: int, job: Job) -> bool:
        return table.rows(self._part(block), job.sha256) == len(job.rows(block))

    def _refuse_others(self, job: Job) -> None:
        if not self.folder.exists():
            return
        if not self._record.exists():
            if self.folder.is_dir() and all(_is_of_none(one) for one in self.folder.iterdir()):
                return
            raise RunError(f"'{self.folder}' is in the way: it holds no predictions. Move it, or give another --out.")
        differs = self._differences(job)
        if differs:
            raise RunError(
                f"'{self.folder}' holds parts of another prediction: {', '.join(differs)}. "
                "Finish that one as it was begun, remove the folder, or give another --out."
            )

    def _differences(self, job: Job) -> list[str]:
        try:
            found = files.read_json(self._record)
        except RunError:
            return [f"its {_JOB} cannot be read"]
        wanted = asdict(job)
        names = [name for name in wanted if name not in found or found[name] != wanted[name]]
        return list(dict.fromkeys(_CALLED.get(name, "another noonchi") for name in names))


def _is_of_none(path: Path) -> bool:
    """Whether a file is what a job leaves that ends before it has begun."""
    return path.name == _LOCK or files.is_unfinished(path)
