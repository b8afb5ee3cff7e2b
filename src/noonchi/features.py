"""What frozen layers give: computed once for each picture, kept on disk, and trained on instead of the pictures."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noonchi import files, pixels, ranks
from noonchi.batches import Batch, Batches
from noonchi.cache import entries
from noonchi.classifier import picture_shape
from noonchi.device import autocast, in_parallel
from noonchi.errors import SettingsError
from noonchi.networks.folding import folded
from noonchi.networks.parts import Layers, Outputs
from noonchi.ranks import ALONE
from noonchi.results import Note, Reading
from noonchi.settings import FitSettings, RunSettings
from noonchi.sources import Index

_FORMAT = 3
"""Raised whenever the same layers give other numbers for the same pictures."""
_TIMED = 8
"""Batches that tell how long all will take: more than are computed ahead on few cores."""
_WITHOUT_WEIGHTS = (nn.Flatten, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.ReLU, nn.Sequential, nn.Identity)
"""Layers that always give the same, and mostly less than they take: they are computed once too."""

Show = Callable[[Note | Reading], None]


@dataclass(frozen=True, eq=False)
class _Job:
    """Which pictures go through which layers."""

    batches: Batches
    layers: nn.Sequential
    precision: str
    views: int

    @property
    def made(self) -> list[Any]:
        """How features come about, but for the pictures and the weights."""
        varied = [self.batches.augment.table(), self.batches.seed] if self.batches.augment.active else []
        pixel_settings = self.batches.pixels.table()
        return [_FORMAT, torch.__version__, repr(self.layers), self.precision, pixel_settings, self.views, *varied]

    @property
    def at_once(self) -> int:
        """Pictures a batch; autocast makes weights short for each batch anew, which pays only for larger ones."""
        return 2 * pixels.answered_at_once(self.batches.pixels)

    @property
    def places(self) -> Iterator[int]:
        """Among the rows of all views, the first one of each of `outputs`."""
        shared, number = self.batches.shared(self.at_once), self.batches.num_pictures
        for view in range(self.views):
            yield from range(view * number + shared.start, view * number + shared.stop, self.at_once)

    def outputs(self) -> Iterator[np.ndarray]:
        """Features (n, ...) of a batch of pictures after the other, view after view; bfloat16 as its two bytes."""
        varied = self.batches.augment.active
        picture = picture_shape(self.batches.pixels).ramp().to(self.batches.device)
        layers = folded(self.layers, picture)

        def work(batch: Batch) -> np.ndarray:
            with torch.inference_mode(), autocast(batch.images.device.type, self.precision):
                features: Tensor = layers(batch.images).cpu().contiguous()
            return (features.view(torch.uint16) if features.dtype == torch.bfloat16 else features).numpy()

        batches = self.batches.views(self.views, self.at_once) if varied else self.batches.in_order(self.at_once)
        return in_parallel(work, batches) if self.batches.device == "cpu" else map(work, batches)


def fixed_layers(network: nn.Module) -> int:
    """How many of the first layers give the same for a picture from the first step to the last.

    The frozen ones, and what follows them without weights or draws.
    """
    count = network.frozen if isinstance(network, Layers) else 0
    for layer in list(network.children())[count:] if count else ():
        if not all(isinstance(inner, _WITHOUT_WEIGHTS) for inner in layer.modules()):
            break
        count += 1
    return count


def only_outputs_train(network: nn.Module) -> bool:
    """Whether nothing comes after the fixed layers but the output layer, and something is fixed.

    >>> only_outputs_train(nn.Sequential(nn.Linear(2, 2)))
    False
    """
    first = fixed_layers(network)
    return bool(first) and all(isinstance(layer, nn.Linear | Outputs) for layer in list(network.children())[first:])


def pays(network: nn.Module, training: Batches, run: RunSettings, fit: FitSettings, show: Show) -> bool:
    """Whether to keep the features of training pictures for the epochs of `fit`; either is shown with its reason.

    A matter of counts alone, never of a clock: a resumed run decides alike.

    Mixed pictures, as many views as epochs, and features larger than `frozen.limit_gb` are computed in every epoch. An
    epoch of L-BFGS counts for many; where its features are too large, SettingsError is raised.
    """
    first = fixed_layers(network)
    if not first:
        return False
    job, whole = _job(replace(training, ranks=ALONE), network, run), fit.optimizer == "lbfgs"
    about = f"{first} of {len(list(network.children()))} layers are fixed"
    if training.augment.mixup or training.augment.cutmix:
        show(Note(f"{about}, but mixup and cutmix blend pictures: computed in every epoch"))
        return False
    if job.views >= fit.epochs and not whole:
        return False
    pictures = training.num_pictures
    rows, seconds = _timed(job)
    size = job.views * pictures * rows[0].nbytes
    if size > run.frozen.limit_gb * 1e9:
        limit = f"above frozen.limit_gb = {run.frozen.limit_gb:g}"
        if whole:
            needed = f"what fixed layers give takes {files.readable(size)}, {limit}"
            raise SettingsError(f"{needed}, and fit.optimizer = 'lbfgs' needs it kept; raise the limit or take adamw.")
        show(Note(f"{about}, but what they give, {files.readable(size)}, is {limit}: computed in every epoch"))
        return False
    each = seconds / len(rows) * pictures
    times = f"{job.views} times, varied," if job.batches.augment.active else "once,"
    instead = "then the output layer is fitted" if whole else f"not in each of {fit.epochs} epochs"
    cost = f"about {_span(job.views * each)}" + ("" if whole else f" instead of {_span(fit.epochs * each)}")
    show(Note(f"{about}: a training picture goes through them {times} {instead}; {cost}"))
    return True


def _timed(job: _Job) -> tuple[np.ndarray, float]:
    """The features of a batch, and the seconds that a batch takes once memory and threads are at hand."""
    outputs = job.outputs()
    rows = next(outputs)
    started = time.perf_counter()
    count = sum(1 for _ in islice(outputs, _TIMED))
    return rows, (time.perf_counter() - started) / max(1, count)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def computed(batches: Batches, network: nn.Module, index: Index, run: RunSettings, show: Show) -> Batches:
    """The same pictures with the features that the fixed layers give for each, from where they are kept.

    Pictures that are varied have `frozen.views` views each. What is kept is named by all that decides it: content of
    the pictures, layers and their weights, pixel and augmentation settings, precision, torch's version.
    """
    machine = ranks.of_machine()
    job = _job(replace(batches, ranks=machine), network, run)
    place = entries.folder("features") / _fingerprint(job, index)
    try:
        there = machine.same(entries.manifest_of(place) is not None)
        features = _kept(place) if there else _build(place, job, index.name, show)
    except OSError as error:
        show(Note(f"features cannot be kept in '{place}' ({error.strerror}); they are computed into memory"))
        rows = np.concatenate(list(_job(replace(batches, ranks=ALONE), network, run).outputs()))
        features = rows.reshape(job.views, -1, *rows.shape[1:])
    return replace(batches, features=features)


def _kept(place: Path) -> np.ndarray:
    entries.mark_used(place)
    features: np.ndarray = np.load(place / entries.FEATURES, mmap_mode="r")
    return features


def _job(batches: Batches, network: nn.Module, run: RunSettings) -> _Job:
    layers = nn.Sequential(*list(network.children())[: fixed_layers(network)]).eval()
    return _Job(batches, layers, run.device.precision, run.frozen.views if batches.augment.active else 1)


def _fingerprint(job: _Job, index: Index) -> str:
    pictures = [index.hashes[at] for at in job.batches.positions]
    digest = blake2b(json.dumps([job.made, pictures]).encode(), digest_size=16)
    for tensor in job.layers.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _build(place: Path, job: _Job, data: str, show: Show) -> np.ndarray:
    machine = job.batches.ranks
    with entries.building(place, machine) as private:
        path = private / entries.FEATURES
        begin = machine.of_first(lambda: _begin(path, job))
        machine.agreed(lambda: _write(path, job, begin, show))
        machine.of_first(lambda: files.write_json(private / entries.MANIFEST, _about(path, job, data)))
    return _kept(place)


def _about(path: Path, job: _Job, data: str) -> dict[str, Any]:
    return {"data": data, "pictures": job.batches.num_pictures, "views": job.views, "bytes": path.stat().st_size}


def _begin(path: Path, job: _Job) -> int:
    """Write an .npy file's header, by what a few pictures give; where the features begin."""
    few = replace(job.batches, positions=job.batches.positions[:2], ranks=ALONE)
    rows = next(replace(job, batches=few).outputs())
    shape = (job.views, job.batches.num_pictures, *rows.shape[1:])
    with path.open("wb") as file:
        header = {"descr": rows.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _write(path: Path, job: _Job, begin: int, show: Show) -> None:
    """Write this process's part of an .npy file: so a full disk is an error; in a mapped file it kills the process."""
    done, shared = 0, job.batches.shared(job.at_once)
    total = job.views * (shared.stop - shared.start)
    with path.open("r+b") as file:
        for place, rows in zip(job.places, job.outputs(), strict=True):
            file.seek(begin + place * rows[0].nbytes)
            file.write(rows.tobytes())
            done += len(rows)
            show(Reading(done, total))
        file.flush()
        os.fsync(file.fileno())
