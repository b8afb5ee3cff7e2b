"""Pictures decoded once: uint8 frames in memory, or in a file that is mapped into it."""

import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from noonchi import files, pixels, ranks
from noonchi.cache import entries
from noonchi.cache.entries import FRAMES, HASHES, MANIFEST, Kept, clear, kept
from noonchi.errors import SettingsError
from noonchi.ranks import Ranks
from noonchi.settings import PixelSettings
from noonchi.sources.index import Index
from noonchi.sources.scan import content_hash

__all__ = ["Frames", "Kept", "Progress", "clear", "decode", "kept"]

Progress = Callable[[int, int], None]
Tell = Callable[[str], None]
Frame = npt.NDArray[np.uint8]

_FORMAT = 2
"""Raised whenever `pixels.read` gives other numbers for the same picture."""
_CHANGED = "it was changed while its folder was read; train again"
_LARGE = 4 * 2**30
"""Bytes of frames that are told of before they are made, as they take their time and the disk's room."""
_AHEAD = 512
"""Frames decoded and not yet written, at most: threads may be faster than the disk, and memory has an end."""
_SHARDS_AHEAD = 4
"""Shards that are fetched while pictures of those before them are decoded."""

_log = logging.getLogger("noonchi")


@dataclass(frozen=True, eq=False)
class Frames:
    """Every picture of an index as a network will see it, before normalisation."""

    array: Frame
    """uint8 (n, height, width, channels), in the order of the index; zeros where not usable. May be read-only."""
    usable: npt.NDArray[np.bool_]
    """(n,)"""
    unusable: tuple[tuple[str, str], ...]
    """(id, reason) of each picture that could not be decoded."""
    built: Path | None = None
    """Where they are kept, if this call put them there."""


class _Bad(NamedTuple):
    """Why a picture is not usable, and whether the same content will be so the next time too."""

    reason: str
    lasting: bool


@dataclass(frozen=True)
class _Job:
    """What is to be decoded, and into which shape."""

    index: Index
    settings: PixelSettings
    progress: Progress | None
    tell: Tell | None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        assert self.settings.size
        assert self.settings.channels
        return (len(self.index), *self.settings.size, self.settings.channels)

    @property
    def made(self) -> dict[str, Any]:
        """How pixels are made: where this is the same, one picture has one frame."""
        _, height, width, channels = self.shape
        return {"format": _FORMAT, "size": [height, width], "channels": channels, "fit": self.settings.fit}

    def frames(self, array: Frame, bad: Mapping[int, _Bad], built: Path | None = None) -> Frames:
        usable = np.ones(len(self.index), dtype=bool)
        usable[list(bad)] = False
        unusable = tuple((self.index.ids[at], one.reason) for at, one in sorted(bad.items()))
        return Frames(array, usable, unusable, built)


def decode(index: Index, settings: PixelSettings, progress: Progress | None = None, tell: Tell | None = None) -> Frames:
    """All pictures of an index, decoded and resized to resolved `settings`.

    An array that has the right shape is used as it is. Files are decoded in parallel, once: the frames are kept in
    `cache_folder()/frames`, under a name made from the pictures' content and the settings, and mapped into memory from
    there. A picture that is in frames kept for other data, or for fewer of these, is copied from there. Where that
    folder cannot be written, all are decoded into memory, and the log says so. A picture that cannot be decoded is
    listed, never replaced. Of several processes on a machine each decodes
    its part. `progress` is called with (done, total), and `tell` with a line before more than 4 GiB are
    kept. Raises SettingsError for more than the disk has room for.

    >>> from noonchi import sources
    >>> index = sources.load((np.arange(32, dtype=np.uint8).reshape(2, 4, 4), ["cat", "dog"]))
    >>> decode(index, PixelSettings(size=(2, 2), channels=1)).array.shape
    (2, 2, 2, 1)
    """
    job = _Job(index, settings, progress, tell)
    if index.array is not None:
        matches = index.array.shape == job.shape
        return job.frames(index.array, {}) if matches else _in_memory(job)
    place, machine = entries.folder() / _fingerprint(job), ranks.of_machine()
    try:
        there = machine.same(entries.manifest_of(place) is not None)
        return (_kept(place, job) if there else None) or _build(place, job, machine)
    except OSError as error:
        needed = files.readable(job.bytes)
        _log.warning(
            "frames of %s cannot be kept in '%s' (%s); they are decoded into memory.", needed, place, error.strerror
        )
        return _in_memory(job)


def _fingerprint(job: _Job) -> str:
    return blake2b(json.dumps([job.made, list(job.index.hashes)]).encode(), digest_size=16).hexdigest()


def _kept(place: Path, job: _Job) -> Frames | None:
    """The frames that an earlier call kept; None where they are missing or not whole."""
    manifest = entries.manifest_of(place)
    if manifest is None:
        return None
    try:
        array = np.load(place / FRAMES, mmap_mode="r")
    except (OSError, ValueError):
        return None
    entries.mark_used(place)
    return job.frames(array, {at: _Bad(reason, lasting=True) for at, reason in manifest["unusable"]})


def _build(place: Path, job: _Job, machine: Ranks) -> Frames:
    with entries.building(place, machine) as private:
        begin = machine.of_first(lambda: _begin_frames(private / FRAMES, job))
        own = machine.agreed(lambda: _write_frames(private / FRAMES, job, machine.part(len(job.index)), begin))
        bad = {at: one for part in machine.gathered(own) for at, one in part.items()}
        if not all(one.lasting for one in bad.values()):
            return machine.agreed(lambda: job.frames(np.load(private / FRAMES), bad))
        machine.of_first(lambda: _conclude(private, job, bad))
    frames = _kept(place, job)
    if frames is None:
        raise OSError(None, "the frames just written cannot be read back")
    return job.frames(frames.array, bad, built=place)


def _weigh(folder: Path, job: _Job) -> None:
    """Before all are decoded: more than the disk's room is refused, and much is told."""
    count, height, width, _ = job.shape
    what = f"{count:,} decoded pictures of {height}x{width} take {files.readable(job.bytes)}"
    free = shutil.disk_usage(folder).free
    if job.bytes > free:
        raise SettingsError(
            f"{what}, and the disk of '{folder.parent}' has {files.readable(free)} free. "
            "Lower pixels.size, make room, or let NOONCHI_CACHE name a folder on another disk."
        )
    if job.tell and job.bytes > _LARGE:
        job.tell(f"{what}, kept in '{folder.parent}'; a lower pixels.size takes less")


def _manifest(job: _Job, size: int, bad: Mapping[int, _Bad]) -> dict[str, Any]:
    about = {"data": job.index.name, "pictures": len(job.index), "bytes": size}
    return job.made | about | {"unusable": [(at, one.reason) for at, one in sorted(bad.items())]}


def _begin_frames(path: Path, job: _Job) -> int:
    """Write an .npy file's header; where the frames begin."""
    _weigh(path.parent, job)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": job.shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _conclude(private: Path, job: _Job, bad: Mapping[int, _Bad]) -> None:
    files.write(private / HASHES, "\n".join(job.index.hashes))
    files.write_json(private / MANIFEST, _manifest(job, (private / FRAMES).stat().st_size, bad))


def _write_frames(path: Path, job: _Job, among: slice, begin: int) -> dict[int, _Bad]:
    """Write some frames of an .npy file: so a full disk is an error; in a mapped file it kills the process."""
    bad: dict[int, _Bad] = {}
    blank = np.zeros(job.shape[1:], np.uint8)
    with path.open("r+b") as file:
        for at, frame in _decoded(job, _already_decoded(job), among):
            if isinstance(frame, _Bad):
                bad[at] = frame
            if begin + at * blank.nbytes != file.tell():  # a seek, even to where the file is, would empty its buffer
                file.seek(begin + at * blank.nbytes)
            file.write((blank if isinstance(frame, _Bad) else frame).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return bad


def _already_decoded(job: _Job) -> dict[str, Frame]:
    """By content hash, frames of these pictures in what is kept for other data, or for more or fewer of them."""
    wanted, found = set(job.index.hashes), dict[str, Frame]()
    for place, manifest in entries.whole():
        if job.made.items() <= manifest.items():
            unusable = {at for at, _ in manifest["unusable"]}
            for at, (content, frame) in enumerate(entries.frames_of(place)):
                if content in wanted and at not in unusable:
                    found[content] = frame
    return found


def _in_memory(job: _Job) -> Frames:
    array = np.zeros(job.shape, np.uint8)
    bad: dict[int, _Bad] = {}
    for at, frame in _decoded(job, {}, slice(0, len(job.index))):
        if isinstance(frame, _Bad):
            bad[at] = frame
        else:
            array[at] = frame
    return job.frames(array, bad)


def _decoded(job: _Job, already: Mapping[str, Frame], among: slice) -> Iterator[tuple[int, Frame | _Bad]]:
    """Some of the pictures, in the order they are read best: each once, with its position, or why it is not usable."""

    def one(at: int) -> Frame | _Bad:
        if job.index.array is not None:
            return pixels.read(job.index.array[at], job.settings)
        content = job.index.hashes[at]
        return already[content] if content in already else _read(pictures[at], content, job.settings)

    pictures, order = job.index.encoded, job.index.reading_order[among]
    needed = _needed_shards(job.index, already)
    threads = max(1, (os.cpu_count() or 1) // ranks.on_machine())
    pool = ThreadPoolExecutor(threads)  # Pillow decodes and resizes without the interpreter's lock
    try:
        for start in range(0, len(order), _AHEAD):
            if job.index.shards is not None:
                first, last = np.searchsorted(needed, job.index.shards[order[start : start + _AHEAD][[0, -1]]])
                job.index.prepare(needed[first : last + _SHARDS_AHEAD].tolist())
            some = order[start : start + _AHEAD].tolist()
            for done, at, frame in zip(range(start, len(order)), some, pool.map(one, some), strict=False):
                yield at, frame
                if job.progress:
                    job.progress(done + 1, len(order))
    except BaseException:
        job.index.give_up()  # or the pool would wait for threads that wait for a server
        raise
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for what was queued


def _needed_shards(index: Index, already: Mapping[str, Frame]) -> npt.NDArray[np.int32]:
    """Those that hold a picture that is not decoded already, ascending."""
    if index.shards is None:
        return np.empty(0, np.int32)
    if not already:
        return np.unique(index.shards)
    return np.unique(index.shards[np.array([content not in already for content in index.hashes], dtype=bool)])


def _read(picture: Path | bytes, content: str, settings: PixelSettings) -> Frame | _Bad:
    try:
        frame = pixels.read(picture, settings)
    except pixels.PictureError as error:
        return _Bad(error.reason, lasting=not error.unread and _is_still(picture, content))
    # edited since it was hashed: its frame would be kept as that of the old content
    return frame if _is_still(picture, content) else _Bad(_CHANGED, lasting=False)


def _is_still(picture: Path | bytes, content: str) -> bool:
    if isinstance(picture, bytes):  # whoever unpacked them has compared
        return True
    try:
        with picture.open("rb") as file:
            return content_hash(file) == content
    except OSError:
        return False
