"""A finished run's classifier on pictures with known labels: its own splits, or other data."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from noonchi import batches, classifier, device, records, runs, sources
from noonchi.batches import Batches
from noonchi.classifier import Classifier
from noonchi.errors import DataError
from noonchi.evaluate import evaluate
from noonchi.results import Scores, Split
from noonchi.runs import Show
from noonchi.settings import RunSettings
from noonchi.sources import Data, Index
from noonchi.stream import Stream


def score(
    folder: str | Path,
    split: Split = "test",
    data: Data | None = None,
    *,
    abstain: float | None = None,
    trust_code: bool = False,
    show: Show,
) -> Scores:
    """Score a run's best classifier on a split of its own data, or on other `data`.

    Other data that comes in one piece is scored whole, whatever `split` says; its classes are matched by name.
    `abstain` adds how those answers do that are at least so probable. Raises RunError for a folder without a run,
    DataError where there are no such pictures or where they have changed.
    """
    pictures = labelled(folder, split, data, trust_code=trust_code, show=show)
    weights = {name: head.loss_weight for name, head in pictures.run.heads.items()}
    batches_of_split = pictures.of_split(split)
    pictures.classifier.network.to(pictures.run.device.name)
    return evaluate(pictures.classifier, batches_of_split, split, weights, least=abstain)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A run's classifier, and pictures whose labels are known."""

    classifier: Classifier
    run: RunSettings
    frames: np.ndarray | Stream
    index: Index

    def of_split(self, split: Split) -> Batches:
        """Raises DataError where the split has no pictures."""
        pictures = batches.of_split(self.frames, self.index, split, self.run)
        if not pictures.num_pictures:
            there = ", ".join(sorted(set(self.index.splits.tolist())))
            raise DataError(f"'{self.index.name}' has no pictures in its split '{split}'; it has: {there}.")
        return pictures


def labelled(
    folder: str | Path, split: Split, data: Data | None = None, *, trust_code: bool = False, show: Show
) -> Labelled:
    """The pictures that `score` scores, which raises as this does."""
    place = Path(folder)
    run = records.load_settings(place)
    loaded = classifier.load(place, trust_code=trust_code)
    run = run.but(device=device.prepare(run.device.but(name="auto")), pixels=loaded.pixels)
    if data is None:
        index = runs.load_index(runs.source(place, run), run, show)
    else:
        # without overrides: they name pictures of the run's own data
        whole = run.data.but(validation_share=0.0, test_share=0.0, overrides=None)
        index = sources.aligned(runs.load_index(data, run.but(data=whole), show), loaded.heads)
        if set(index.splits) == {"train"}:
            index = replace(index, splits=np.full(len(index.splits), split))
    frames, index = batches.frames_of(index, run, show)
    if data is None:
        runs.refuse_changed(place, index)
        runs.refuse_other_heads(place, loaded, index)
    return Labelled(loaded, run, frames, index)
