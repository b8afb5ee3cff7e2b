"""Pictures put together for a step: uint8 until the batch is made, in an order that is a function of the epoch."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from noonchi import augment, cache, files, pixels, ranks, sources, stream
from noonchi.augment import Draws
from noonchi.device import counted_seed
from noonchi.pixels import Images
from noonchi.ranks import ALONE, Ranks
from noonchi.results import Head, Note, Reading, Split
from noonchi.settings import AugmentSettings, PixelSettings, RunSettings
from noonchi.sources import Index
from noonchi.stream import Stream


class Mixed(NamedTuple):
    """Labels of the pictures that a batch's pictures were mixed with."""

    targets: Mapping[str, Tensor]
    share: float
    """What part of each picture they are; at most a half."""


class Part(NamedTuple):
    """Which pictures of a batch one of several processes has."""

    first: int
    """Of its pictures, in the batch."""
    pictures: int
    """How many; where there are none, the process has one all the same, which counts for nothing."""
    of: int
    """Pictures of the whole batch."""

    @property
    def slice(self) -> slice:
        """Which of the batch's pictures the process takes."""
        return slice(self.first, self.first + max(1, self.pictures))


class Batch(NamedTuple):
    """Images (n, channels, height, width) float32, and a target tensor a head."""

    images: Tensor
    targets: Mapping[str, Tensor]
    names: Sequence[str] = ()
    """Of the pictures, where they have any."""
    mixed: Mixed | None = None
    part: Part | None = None
    """Where the images are those of one process."""


@dataclass(frozen=True, eq=False)
class Batches:
    """The pictures of one split, batch by batch.

    `frames` (all, height, width, channels) uint8 may be a memmap: only a batch's pictures are read. No worker
    processes: indexing an array costs less than sending it between processes.
    """

    frames: np.ndarray | Stream
    labels: Mapping[str, np.ndarray]
    positions: np.ndarray
    """Which of `frames` belong to the split."""
    heads: tuple[Head, ...]
    pixels: PixelSettings
    size: int
    seed: int
    device: str = "cpu"
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    names: Sequence[str] | None = None
    """One for each of `frames`."""
    features: np.ndarray | None = None
    """(views, pictures of the split, ...): what the first layers give for each, taken instead of its frame."""
    ranks: Ranks = ALONE
    """The processes that share each batch, and which of them has what is given here."""

    def __len__(self) -> int:
        """Steps an epoch. The last batch may be smaller; a lone last picture joins the batch before.

        One picture may have no spread for batch norm to divide by.
        """
        lone = self.size > 1 and len(self.positions) > self.size and len(self.positions) % self.size == 1
        return math.ceil(len(self.positions) / self.size) - lone

    @cached_property
    def _rows(self) -> np.ndarray:
        """Of each of `frames` in the split, its place in `positions`."""
        rows = np.zeros(len(self.frames), np.int64)
        rows[self.positions] = np.arange(len(self.positions))
        return rows

    @property
    def num_pictures(self) -> int:
        """Pictures in the split."""
        return len(self.positions)

    def order(self, epoch: int) -> np.ndarray:
        """`positions` in the order of an epoch, drawn from (seed, epoch)."""
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "order", epoch)))
        return stream.shuffled(self.positions, self._shards, generator)

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from a step on, in an order and varied as drawn from (seed, epoch, step).

        Of several processes each has its part of every batch; what is drawn for a picture is the same in all.
        """
        shuffled = self.order(epoch)
        parts = [self._step(shuffled, step) for step in range(first_step, len(self))]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool, self._ahead(*parts):
            for step, (positions, part) in enumerate(parts, first_step):
                mine = part.slice
                if self.features is not None:
                    batch = self._computed(positions, mine, epoch, step)
                elif self.augment.active:
                    batch = self._varied(positions, mine, epoch, step, pool)
                else:
                    batch = self._batch(positions[mine])
                yield batch if self.ranks.count == 1 else batch._replace(part=part, names=self._names(positions))

    def in_order(self, at_once: int | None = None) -> Iterator[Batch]:
        """Every picture of this process once, in the order of the index; so many a batch, or as many as are answered
        at once.
        """
        with self._ahead(*((positions, None) for positions in self._parts(at_once))):
            for positions in self._parts(at_once):
                whole = slice(len(positions))
                yield self._batch(positions) if self.features is None else self._computed(positions, whole)

    def _batch(self, positions: np.ndarray) -> Batch:
        images = torch.from_numpy(self.frames[positions]).to(self.device)
        return Batch(pixels.normalise(images, self.pixels), self._targets(positions), self._names(positions))

    def views(self, count: int, at_once: int) -> Iterator[Batch]:
        """Every picture of this process in the order of the index, `count` times over, each time varied anew."""
        first = self.shared(at_once).start // at_once
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for view in range(count):
                with self._ahead(*((positions, None) for positions in self._parts(at_once))):
                    for step, positions in enumerate(self._parts(at_once), first):
                        yield self._varied(positions, slice(len(positions)), -1 - view, step, pool)

    def shared(self, at_once: int | None = None) -> slice:
        """Which of the split's pictures `in_order` gives in this process: whole batches, so that each is as it would
        be in a single process.
        """
        count = at_once or pixels.answered_at_once(self.pixels)
        some = self.ranks.part(math.ceil(len(self.positions) / count))
        return slice(some.start * count, min(some.stop * count, len(self.positions)))

    @property
    def _shards(self) -> np.ndarray | None:
        return self.frames.shards if isinstance(self.frames, Stream) else None

    def _step(self, shuffled: np.ndarray, step: int) -> tuple[np.ndarray, Part]:
        """A step's pictures, and which of them this process has."""
        end = (step + 1) * self.size if step + 1 < len(self) else len(shuffled)
        positions = shuffled[step * self.size : end]
        some = self.ranks.part(len(positions))
        return positions, Part(min(some.start, len(positions) - 1), some.stop - some.start, len(positions))

    def _ahead(self, *parts: tuple[np.ndarray, Part | None]) -> AbstractContextManager[None]:
        """What is streamed is decoded before it is asked for."""
        if self.features is not None or not isinstance(self.frames, Stream) or not parts:
            return nullcontext()
        own = [positions if part is None else positions[part.slice] for positions, part in parts]
        return self.frames.ahead(np.concatenate(own), len(own[0]), torch.get_num_threads())

    def _parts(self, at_once: int | None) -> Iterator[np.ndarray]:
        count, mine = at_once or pixels.answered_at_once(self.pixels), self.shared(at_once)
        for start in range(mine.start, mine.stop, count):
            yield self.positions[start : min(start + count, mine.stop)]

    def _computed(self, positions: np.ndarray, mine: slice, epoch: int = 0, step: int = 0) -> Batch:
        """Features, of a view that is drawn for each picture."""
        assert self.features is not None
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "view", epoch, step)))
        views = generator.integers(len(self.features), size=len(positions))[mine]
        positions = positions[mine]
        rows = self._rows[positions]
        return Batch(
            _tensor(self.features[views, rows]).to(self.device), self._targets(positions), self._names(positions)
        )

    def _varied(self, positions: np.ndarray, mine: slice, epoch: int, step: int, pool: Executor) -> Batch:
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "augment", epoch, step)))
        _, height, width, channels = self.frames.shape
        draws = augment.draw(self.augment, len(positions), (height, width, channels), generator)
        mixing = augment.draw_mixing(self.augment, len(positions), height, width, generator)
        own = np.arange(len(positions))[mine]
        images = self._drawn(positions, own, draws, pool)
        batch = Batch(images, self._targets(positions[own]), self._names(positions[own]))
        if mixing is None:
            return batch
        other = mixing.order[mine]
        whole = len(own) == len(positions)  # then the others are there already
        others = (
            images[torch.from_numpy(other).to(images.device)] if whole else self._drawn(positions, other, draws, pool)
        )
        mixed = Mixed(self._targets(positions[other]), mixing.share)
        return batch._replace(images=mixing.apply(images, others), mixed=mixed)

    def _drawn(self, positions: np.ndarray, some: np.ndarray, draws: Draws, pool: Executor) -> Tensor:
        """Some of a batch's pictures, varied as drawn and normalised."""
        images_nhwc = self.frames[positions[some]]
        if self.device == "cpu":
            return self._warped(images_nhwc, draws.only(some), pool)
        varied = augment.apply_on_device(torch.from_numpy(images_nhwc).to(self.device), draws.only(some))
        return pixels.normalise(varied, self.pixels)

    def _warped(self, images_nhwc: Images, draws: Draws, pool: Executor) -> Tensor:
        """Varied and normalised without torch, whose threads would spin for milliseconds beside those of the pool."""

        def normalise(varied: Images, some: slice) -> None:
            pixels.normalise_array(varied, self.pixels, out_nhwc[some])

        out_nhwc = np.empty(images_nhwc.shape, np.float32)
        augment.apply(images_nhwc, draws, pool, normalise)
        return torch.from_numpy(out_nhwc).permute(0, 3, 1, 2)

    def _targets(self, positions: np.ndarray) -> dict[str, Tensor]:
        return {head.name: torch.from_numpy(self.labels[head.name][positions]).to(self.device) for head in self.heads}

    def _names(self, positions: np.ndarray) -> Sequence[str]:
        return () if self.names is None else [self.names[at] for at in positions.tolist()]


def _tensor(features: np.ndarray) -> Tensor:
    """Those kept as the two bytes of bfloat16, for which numpy has no type, come as float32."""
    tensor = torch.from_numpy(features)
    return tensor.view(torch.bfloat16).float() if features.dtype == np.uint16 else tensor


@dataclass(frozen=True, eq=False)
class Passes:
    """Your own iterable of (images, labels), such as a DataLoader, as batches for one head called `label`."""

    pairs: Collection[tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return len(self.pairs)

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """One pass; its order is the iterable's own."""
        del epoch
        return islice(self.in_order(), first_step, None)

    def in_order(self) -> Iterator[Batch]:
        """One pass."""
        return (Batch(images, {"label": labels.long()}) for images, labels in self.pairs)


def of_split(frames: np.ndarray | Stream, index: Index, split: Split, run: RunSettings) -> Batches:
    """The batches of one split of an index; `run` holds resolved pixel and device settings."""
    return Batches(
        frames,
        index.labels,
        stream.in_reading_order(index.positions(split), frames.shards if isinstance(frames, Stream) else None),
        index.heads,
        run.pixels,
        run.batches.size,
        run.seed,
        run.device.name,
        run.augment,
        index.ids,
        ranks=ranks.current(),
    )


def _streamed(index: Index, run: RunSettings) -> str | None:
    """Why pictures are not decoded beforehand; None where they are."""
    size = math.prod((len(index), *(run.pixels.size or ()), run.pixels.channels or 1))
    if index.array is not None or run.data.stream is False:
        return None
    if run.data.stream:
        return "as data.stream asks"
    return f"as they would take {files.readable(size)}" if size > stream.LARGE else None


def frames_of(
    index: Index, run: RunSettings, show: Callable[[Note | Reading], None]
) -> tuple[np.ndarray | Stream, Index]:
    """Every picture as uint8 (n, height, width, channels), and the index in which unusable ones belong to no split.

    What the index notes is shown, and the first unusable pictures with their reasons; all are in the index given
    back. Where `data.stream` asks for it, or pictures are very many, none is decoded yet. Raises DataError where more
    than `data.max_unusable` are unusable.
    """
    for note in index.notes:
        show(Note(note))
    if streamed := _streamed(index, run):
        show(Note(f"pictures are decoded anew whenever they are needed, {streamed}"))
        return Stream(index, run.pixels), index
    frames = cache.decode(
        index, run.pixels, lambda done, total: show(Reading(done, total)), lambda text: show(Note(text))
    )
    if frames.built:
        size = files.readable(frames.array.nbytes)
        show(Note(f"{len(index):,} decoded pictures kept: {size} in '{frames.built}'; noonchi cache lists what is"))
    unusable = (*index.unusable, *frames.unusable)
    for line in sources.told_unusable(unusable):
        show(Note(line))
    sources.refuse_many_unusable(unusable, int(frames.usable.sum()), run.data)
    # the frames stay where they are, perhaps on disk
    splits = np.where(frames.usable, index.splits, "unusable")
    return frames.array, replace(index, splits=splits, unusable=unusable)
