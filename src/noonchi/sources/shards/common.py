"""Shards that one process of a job has fetched, for the others on its machine: each leaves the server once."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from noonchi.sources.shards.table import Shard


class Common:
    """A folder with one name for every shard that a process has; those that use a shard have links to it of their own.

    So the number of a file's names tells whether it is still used. Where the folder fails, each fetches for itself.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        """At most `keep` shards that nobody uses stay there, for processes that are a little behind."""
        self._folder, self._keep, self._works = folder, keep, True

    @contextmanager
    def claimed(self, shard: Shard) -> Iterator[bool]:
        """Whether it is for this process to fetch a shard; not while another does."""
        lock = FileLock(self._folder / f"{shard.digest[:3]}.lock", timeout=0)  # few, so that they may stay
        try:
            if self._works:
                self._folder.mkdir(exist_ok=True)
                lock.acquire()
        except Timeout:
            yield False
            return
        except OSError as error:
            self._failed(error)
        try:
            yield True
        finally:
            lock.release()

    def lend(self, shard: Shard, path: Path) -> bool:
        """Put a shard that another process has fetched at `path`; returns whether there is one."""
        with suppress(OSError):
            os.link(self._place(shard), path)
            if path.stat().st_size == shard.size:
                return True
            path.unlink()
        return False

    def give(self, shard: Shard, path: Path) -> None:
        """Let others use a shard that was fetched to `path` and compared."""
        try:
            self._place(shard).unlink(missing_ok=True)
            os.link(path, self._place(shard))
        except OSError as error:
            self._failed(error)

    def tidy(self) -> None:
        """Remove what nobody has used for longest."""
        self._remove(self._keep)

    def leave(self) -> None:
        """Remove what nobody uses, and the folder with the last of it."""
        if not self._remove(0):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _failed(self, error: OSError) -> None:
        """Of no use from now on, unless it was but another process that left, or was faster."""
        if not isinstance(error, FileNotFoundError | FileExistsError):
            self._works = False

    def _remove(self, keep: int) -> int:
        """All that nobody uses but for so many; returns how many files are left."""
        idle, used = [], 0
        with suppress(OSError):
            for path in self._folder.glob("*.tar"):
                with suppress(OSError):  # another process has removed it
                    found = path.stat()
                    if found.st_nlink == 1:
                        idle.append((found.st_ctime_ns, path))
                    else:
                        used += 1
        gone = sorted(idle, reverse=True)[keep:]
        for _, path in gone:
            with suppress(OSError):
                path.unlink()
        return used + len(idle) - len(gone)

    def _place(self, shard: Shard) -> Path:
        return self._folder / f"{shard.digest}.tar"
