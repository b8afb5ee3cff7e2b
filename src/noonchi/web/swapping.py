"""Classifiers that change on disk take the place of those that are served."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from noonchi.web.link import Worker
from noonchi.web.refusals import Refused

_LOOK_S = 1.0

_Mark = tuple[int, int, int]


async def swap(worker: Worker, paths: Mapping[str, Path], tell: Callable[[str], None]) -> None:
    """Looks every second, without end; what stayed as it is for that long is loaded. `tell` is told what came of it."""
    loaded = {name: _mark(path) for name, path in paths.items()}
    before = dict(loaded)
    while True:
        await asyncio.sleep(_LOOK_S)
        for name, path in paths.items():
            now = _mark(path)
            if now and now == before[name] != loaded[name] and worker.ready:
                loaded[name] = now
                await _load(worker, name, tell)
            before[name] = now


async def _load(worker: Worker, name: str, tell: Callable[[str], None]) -> None:
    try:
        told = (await worker.load(name)).told
    except Refused:
        return  # a worker that starts again loads what is there
    if "error" in told:
        tell(f"'{name}' changed, and cannot be loaded; the one before is served on. {told['error']}")
    else:
        worker.models[name] = told["model"]
        tell(f"'{name}' changed: version {told['model']['version']} is served now")


def _mark(path: Path) -> _Mark | None:
    """What tells that a classifier was written anew; None where none is there, as for a moment while one is replaced.

    Which folder of a run holds it, `classifier.load` says.
    """
    description = "classifier.json"
    for place in (path / "best" / description, path / "last" / description, path / description, path):
        try:
            found = place.stat()
        except OSError:
            continue
        return (found.st_mtime_ns, found.st_size, found.st_ino) if not place.is_dir() else None
    return None
