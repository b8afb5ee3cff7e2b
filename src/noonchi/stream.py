"""Pictures decoded anew whenever they are needed, in a memory that does not grow with their number."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from noonchi import pixels
from noonchi.errors import DataError
from noonchi.pixels import Images
from noonchi.settings import PixelSettings
from noonchi.sources.index import Codes, Index, Shards

LARGE = 16 * 2**30
"""Bytes of frames that are streamed, where nothing else is asked for."""
WINDOW = 8
"""Shards whose pictures are mixed with one another: half of those that may be at hand, so that as many are on their
way."""
_AHEAD = 16 * 2**20
"""Bytes of frames decoded before they are asked for, at most, where two batches are not more."""
_STRIDE = 256
"""Pictures between two looks at which shards come next."""


class Stream:
    """Frames uint8 (n, height, width, channels) of an index, to be asked for as those of an array.

    >>> from noonchi import sources
    >>> index = sources.load((np.arange(128, dtype=np.uint8).reshape(2, 8, 8), ["cat", "dog"]))
    >>> Stream(index, PixelSettings(size=(2, 2), channels=1))[np.array([1])].shape
    (1, 2, 2, 1)
    """

    def __init__(self, index: Index, settings: PixelSettings) -> None:
        """`settings` are resolved."""
        assert settings.size
        assert settings.channels
        self.shape = (len(index), *settings.size, settings.channels)
        self.shards = index.shards
        self._index, self._settings, self._pictures = index, settings, index.pictures
        self._ahead: _Ahead | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: npt.NDArray[np.int64] | int) -> Images:
        """Raises DataError for a picture that cannot be read."""
        if not isinstance(positions, np.ndarray):
            return self._read(positions)
        frames = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for frame, at in zip(frames, positions.tolist(), strict=True):
            frame[:] = self._read(at) if self._ahead is None else self._ahead.take(at)
        return frames

    @contextmanager
    def ahead(self, order: Codes, batch: int, threads: int) -> Iterator[None]:
        """Within it pictures are decoded on so many other threads, in the order given, before they are asked for.

        They are asked for `batch` at a time.
        """
        before, room = self._ahead, max(2 * batch, _AHEAD // int(np.prod(self.shape[1:])))
        pool = ThreadPoolExecutor(threads)
        self._ahead = _Ahead(self, pool, order, room)
        try:
            yield
        except (Exception, KeyboardInterrupt):
            self._index.give_up()  # or threads would go on waiting for a server
            raise
        finally:
            self._ahead = before
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, at: int) -> Images:
        try:
            return pixels.read(self._pictures[at], self._settings)
        except pixels.PictureError as error:
            raise DataError(
                f"'{self._index.ids[at]}' cannot be used: {error.reason}. Take it out (noonchi check lists all such), "
                "or let all be decoded beforehand, which passes over a few: --set data.stream=false"
            ) from None


class _Ahead:
    """Pictures of an order that are being decoded, so many at a time."""

    def __init__(self, stream: Stream, pool: ThreadPoolExecutor, order: Codes, room: int) -> None:
        self._stream, self._pool, self._order, self._room = stream, pool, order, room
        self._waiting: dict[int, Future[Images]] = {}
        self._asked = 0

    def take(self, at: int) -> Images:
        while len(self._waiting) < self._room and self._asked < len(self._order):
            if self._asked % _STRIDE == 0:
                self._prepare()
            one = int(self._order[self._asked])
            self._waiting[one] = self._pool.submit(self._stream._read, one)
            self._asked += 1
        found = self._waiting.pop(at, None)
        return self._stream._read(at) if found is None else found.result()

    def _prepare(self) -> None:
        """Have the shards of this window and of the next fetched, those first that are needed first."""
        shards = self._stream.shards
        if shards is not None:
            coming = shards[self._order[self._asked : self._asked + 2 * _STRIDE]]
            later = shards[self._order[self._asked + 2 * _STRIDE :: _STRIDE]]
            self._stream._index.prepare(list(dict.fromkeys([*coming.tolist(), *later.tolist()]))[: 2 * WINDOW])


def shuffled(positions: Codes, shards: Shards | None, generator: np.random.Generator) -> Codes:
    """Positions in an order drawn from a generator; of more than 8 shards, 8 of them mixed after the other.

    So only the shards of two windows need to be at hand.

    >>> order = shuffled(np.arange(100), np.arange(100) // 5, np.random.default_rng(0))
    >>> len({at // 5 for at in order[:40].tolist()}), sorted(order.tolist()) == list(range(100))
    (8, True)
    """
    if shards is None or len(numbers := np.unique(shards[positions])) <= WINDOW:
        return generator.permutation(np.sort(positions))
    place = np.empty(numbers[-1] + 1, np.int64)
    place[generator.permutation(numbers)] = np.arange(len(numbers))
    windows = place[shards[positions]] // WINDOW
    mixed = generator.permutation(len(positions))
    return positions[mixed[np.argsort(windows[mixed], kind="stable")]]


def in_reading_order(positions: Codes, shards: Shards | None) -> Codes:
    """Positions as they are read best: of more than 8 shards, those of one shard after the other.

    >>> in_reading_order(np.arange(4), np.array([1, 0, 1, 0])).tolist()
    [0, 1, 2, 3]
    """
    if shards is None or len(np.unique(shards[positions])) <= WINDOW:
        return positions
    return positions[np.argsort(shards[positions], kind="stable")]
