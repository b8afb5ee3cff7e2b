"""Pictures put together for a step: uint8 until the batch is made, in an order that is a function of the epoch."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from noonchi import augment, cache, files, pixels, sources
from noonchi.augment import Draws
from noonchi.device import counted_seed
from noonchi.pixels import Images
from noonchi.results import Head, Note, Reading, Split
from noonchi.settings import AugmentSettings, PixelSettings, RunSettings
from noonchi.sources import Index


class Mixed(NamedTuple):
    """Labels of the pictures that a batch's pictures were mixed with."""

    targets: Mapping[str, Tensor]
    share: float
    """What part of each picture they are; at most a half."""


class Batch(NamedTuple):
    """Images (n, channels, height, width) float32, and a target tensor a head."""

    images: Tensor
    targets: Mapping[str, Tensor]
    names: Sequence[str] = ()
    """Of the pictures, where they have any."""
    mixed: Mixed | None = None


@dataclass(frozen=True, eq=False)
class Batches:
    """The pictures of one split, batch by batch.

    `frames` (all, height, width, channels) uint8 may be a memmap: only a batch's pictures are read. No worker
    processes: indexing an array costs less than sending it between processes.
    """

    frames: np.ndarray
    labels: Mapping[str, np.ndarray]
    positions: np.ndarray
    """Which of `frames` belong to the split."""
    heads: tuple[Head, ...]
    pixels: PixelSettings
    size: int
    seed: int
    device: str = "cpu"
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    names: np.ndarray | None = None
    """Texts, one for each of `frames`."""
    features: np.ndarray | None = None
    """(views, pictures of the split, ...): what the first layers give for each, taken instead of its frame."""

    def __len__(self) -> int:
        """Steps an epoch. The last batch may be smaller; a lone last picture joins the batch before.

        One picture may have no spread for batch norm to divide by.
        """
        lone = self.size > 1 and len(self.positions) > self.size and len(self.positions) % self.size == 1
        return math.ceil(len(self.positions) / self.size) - lone

    @property
    def num_pictures(self) -> int:
        """Pictures in the split."""
        return len(self.positions)

    def order(self, epoch: int) -> np.ndarray:
        """`positions` in the order of an epoch, drawn from (seed, epoch)."""
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "order", epoch)))
        return generator.permutation(self.positions)

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from a step on, in an order and varied as drawn from (seed, epoch, step)."""
        shuffled = self.order(epoch)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for step in range(first_step, len(self)):
                end = (step + 1) * self.size if step + 1 < len(self) else len(shuffled)
                positions = shuffled[step * self.size : end]
                if self.features is not None:
                    yield self._computed(positions, epoch, step)
                elif self.augment.active:
                    yield self._varied(positions, epoch, step, pool)
                else:
                    yield self._batch(positions)

    def in_order(self, at_once: int | None = None) -> Iterator[Batch]:
        """Every picture once, in the order of the index; so many a batch, or as many as are answered at once."""
        for positions in self._parts(at_once):
            yield self._batch(positions) if self.features is None else self._computed(positions)

    def _batch(self, positions: np.ndarray) -> Batch:
        images = torch.from_numpy(self.frames[positions]).to(self.device)
        return Batch(pixels.normalise(images, self.pixels), self._targets(positions), self._names(positions))

    def views(self, count: int, at_once: int) -> Iterator[Batch]:
        """Every picture in the order of the index, `count` times over, each time varied anew."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for view in range(count):
                for step, positions in enumerate(self._parts(at_once)):
                    yield self._varied(positions, -1 - view, step, pool)

    def _parts(self, at_once: int | None) -> Iterator[np.ndarray]:
        count = at_once or pixels.answered_at_once(self.pixels)
        for start in range(0, len(self.positions), count):
            yield self.positions[start : start + count]

    def _computed(self, positions: np.ndarray, epoch: int = 0, step: int = 0) -> Batch:
        """Features, of a view that is drawn for each picture."""
        assert self.features is not None
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "view", epoch, step)))
        views = generator.integers(len(self.features), size=len(positions))
        rows = np.searchsorted(self.positions, positions)
        return Batch(
            _tensor(self.features[views, rows]).to(self.device), self._targets(positions), self._names(positions)
        )

    def _varied(self, positions: np.ndarray, epoch: int, step: int, pool: Executor) -> Batch:
        generator = np.random.Generator(np.random.Philox(counted_seed(self.seed, "augment", epoch, step)))
        images_nhwc = self.frames[positions]
        _, height, width, channels = images_nhwc.shape
        draws = augment.draw(self.augment, len(positions), (height, width, channels), generator)
        if self.device == "cpu":
            images = self._warped(images_nhwc, draws, pool)
        else:
            varied = augment.apply_on_device(torch.from_numpy(images_nhwc).to(self.device), draws)
            images = pixels.normalise(varied, self.pixels)
        batch = Batch(images, self._targets(positions), self._names(positions))
        mixing = augment.draw_mixing(self.augment, len(positions), height, width, generator)
        if mixing is None:
            return batch
        others = Mixed(self._targets(positions[mixing.order]), mixing.share)
        return batch._replace(images=mixing.apply(batch.images), mixed=others)

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
        return () if self.names is None else self.names[positions]


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


def of_split(frames: np.ndarray, index: Index, split: Split, run: RunSettings) -> Batches:
    """The batches of one split of an index; `run` holds resolved pixel and device settings."""
    return Batches(
        frames,
        index.labels,
        index.positions(split),
        index.heads,
        run.pixels,
        run.batches.size,
        run.seed,
        run.device.name,
        run.augment,
        np.array(index.ids, object),
    )


def frames_of(index: Index, run: RunSettings, show: Callable[[Note | Reading], None]) -> tuple[np.ndarray, Index]:
    """Every picture as uint8 (n, height, width, channels), and the index in which unusable ones belong to no split.

    What the index notes is shown, and the first unusable pictures with their reasons; all are in the index given
    back. Raises DataError where more than `data.max_unusable` are.
    """
    for note in index.notes:
        show(Note(note))
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
