"""Pictures decoded once: uint8 frames in memory, or in a file that is mapped into it."""

import json
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noonchi import files, pixels
from noonchi.settings import PixelSettings
from noonchi.sources.index import Index

Progress = Callable[[int, int], None]

_FORMAT = 1
"""Raised whenever `pixels.read` gives other numbers for the same picture."""

_log = logging.getLogger("noonchi")


@dataclass(frozen=True, eq=False)
class Frames:
    """Every picture of an index as a network will see it, before normalisation."""

    array: npt.NDArray[np.uint8]
    """uint8 (n, height, width, channels), in the order of the index; zeros where not usable. May be read-only."""
    usable: npt.NDArray[np.bool_]
    """(n,)"""
    unusable: tuple[tuple[str, str], ...]
    """(id, reason) of each picture that could not be decoded."""


@dataclass(frozen=True)
class _Job:
    """What is to be decoded, and into which shape."""

    index: Index
    settings: PixelSettings
    progress: Progress | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        assert self.settings.size
        assert self.settings.channels
        return (len(self.index), *self.settings.size, self.settings.channels)

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.index.files or ()

    def frames(self, array: npt.NDArray[np.uint8], reasons: dict[int, str]) -> Frames:
        usable = np.ones(len(self.index), dtype=bool)
        usable[list(reasons)] = False
        return Frames(array, usable, tuple((self.index.ids[at], reason) for at, reason in sorted(reasons.items())))


def decode(index: Index, settings: PixelSettings, progress: Progress | None = None) -> Frames:
    """All pictures of an index, decoded and resized to resolved `settings`.

    An array that has the right shape is used as it is. Files are decoded in parallel, once: the frames are kept in
    `cache_folder()/frames`, under a name made from the pictures' content and the settings, and mapped into memory from
    there. Where that folder cannot be written, they are decoded into memory, and the log says so. A picture that
    cannot be decoded is listed, never replaced. `progress` is called with (done, total).

    >>> from noonchi import sources
    >>> index = sources.load((np.arange(32, dtype=np.uint8).reshape(2, 4, 4), ["cat", "dog"]))
    >>> decode(index, PixelSettings(size=(2, 2), channels=1)).array.shape
    (2, 2, 2, 1)
    """
    job = _Job(index, settings, progress)
    if index.array is not None:
        matches = index.array.shape == job.shape
        return job.frames(index.array, {}) if matches else _in_memory(job)
    folder = files.cache_folder() / "frames" / _fingerprint(job)
    try:
        return _kept(folder, job) or _build(folder, job)
    except OSError as error:
        _log.warning("frames cannot be kept in '%s' (%s); they are decoded into memory.", folder, error.strerror)
        return _in_memory(job)


def _fingerprint(job: _Job) -> str:
    what = {"format": _FORMAT, "shape": job.shape, "fit": job.settings.fit, "hashes": job.index.hashes}
    return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()


def _kept(folder: Path, job: _Job) -> Frames | None:
    """The frames that an earlier call kept; None where they are missing or not whole."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if (folder / "frames.npy").stat().st_size != manifest["bytes"]:
            return None
        array = np.load(folder / "frames.npy", mmap_mode="r")
        return job.frames(array, {int(at): reason for at, reason in manifest["unusable"]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(folder: Path, job: _Job) -> Frames:
    """Decode into a private folder beside, then give it its name; whoever is first of several processes wins."""
    _remove_leftovers(folder)
    private = folder.with_name(f".{folder.name}.{platform.node()}.{os.getpid()}")
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir(parents=True)
    try:
        reasons = _write_frames(private / "frames.npy", job)
        if any(not os.access(job.paths[at], os.R_OK) for at in reasons):
            # gone or locked, not damaged: the same content may be readable another time, so nothing is kept
            return job.frames(np.load(private / "frames.npy"), reasons)
        manifest = {"bytes": (private / "frames.npy").stat().st_size, "unusable": sorted(reasons.items())}
        files.write_json(private / "manifest.json", manifest)
        _give_name(private, folder, job)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    frames = _kept(folder, job)
    if frames is None:
        raise OSError(None, "the frames just written cannot be read back")
    return frames


def _give_name(private: Path, folder: Path, job: _Job) -> None:
    try:
        private.rename(folder)
    except OSError:  # something is there: another process's frames, or damaged ones
        if _kept(folder, job) is None:
            shutil.rmtree(folder, ignore_errors=True)
            private.rename(folder)


def _write_frames(path: Path, job: _Job) -> dict[int, str]:
    """Write an .npy file from start to end: there a full disk is an error; in a mapped file it kills the process."""
    reasons: dict[int, str] = {}
    blank = np.zeros(job.shape[1:], np.uint8)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": job.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for at, frame in enumerate(_decoded(job)):
            if isinstance(frame, str):
                reasons[at] = frame
            file.write((blank if isinstance(frame, str) else frame).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return reasons


def _in_memory(job: _Job) -> Frames:
    array = np.zeros(job.shape, np.uint8)
    reasons: dict[int, str] = {}
    for at, frame in enumerate(_decoded(job)):
        if isinstance(frame, str):
            reasons[at] = frame
        else:
            array[at] = frame
    return job.frames(array, reasons)


def _decoded(job: _Job) -> Iterator[npt.NDArray[np.uint8] | str]:
    """Each picture in order, or the reason why it is not usable."""
    pictures: Any = job.index.array if job.index.files is None else job.index.files

    def one(at: int) -> npt.NDArray[np.uint8] | str:
        try:
            return pixels.read(pictures[at], job.settings)
        except pixels.PictureError as error:
            return error.reason

    total = len(job.index)
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes and resizes without the interpreter's lock
    try:
        for at, frame in enumerate(pool.map(one, range(total))):
            yield frame
            if job.progress:
                job.progress(at + 1, total)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for what was queued


def _remove_leftovers(folder: Path) -> None:
    """Remove what builds of these frames left on this machine when they were killed."""
    for left in folder.parent.glob(f".{folder.name}.{platform.node()}.*"):
        if not _is_alive(left.name.rpartition(".")[2]):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: str) -> bool:
    if os.name != "posix":
        return False  # Windows refuses to remove a file that a living process holds open
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
