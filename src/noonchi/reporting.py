"""The report of a finished run: read from its folder, with its pictures where they still are, drawn as one page."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noonchi import answers, check, classifier, diagram, explain, files, log, metrics, pixels, records, runs, sources
from noonchi.answers import Answers
from noonchi.classifier import Classifier
from noonchi.errors import DataError, RunError
from noonchi.pixels.thumbnails import encoded, reduced, thumbnails
from noonchi.report.outcome import outcome
from noonchi.report.page import Contents, render
from noonchi.report.texts import LanguageCode
from noonchi.results import Epoch, Split, Thumbnail
from noonchi.runs import Show
from noonchi.settings import RunSettings
from noonchi.sources import Index

_MOST = 12
"""Pictures shown of a kind: mistakes, unsure ones, examples."""
_MOST_OF_ALL = 36
"""Of a kind, over all heads."""


def write(place: Path, contents: Contents, language: LanguageCode = "en") -> None:
    """Put a report at `place`, one HTML file."""
    files.write(place, render(contents, language))


def gather(
    folder: Path, index: Index | None = None, *, trust_code: bool = False, show: Show = lambda _: None
) -> Contents:
    """What the report of a finished run tells.

    `index` are the run's pictures; where it is not given they are looked for where the run had them, and where they
    are not there any more the report has none. A network of one's own is drawn and looked into only with `trust_code`.
    Raises RunError for a folder without a finished run.
    """
    run = records.load_settings(folder)
    contents, kept = _read(folder, run, index)
    known = classifier.load(folder, trust_code=trust_code) if trust_code or ":" not in run.model.network else None
    if known:
        contents = replace(contents, diagram=diagram.draw(known.network, known.shape, run.model.network))
    if kept is None:
        return contents
    try:
        index = index or runs.load_index(runs.source(folder, run), run, show)
    except RunError:
        return replace(contents, without_pictures="memory_only")
    except DataError:
        return replace(contents, without_pictures="gone")
    pictures = dict(_shown(contents, kept, index))
    small = zip(pictures, thumbnails(list(pictures.values())), strict=True)
    made = {name: thumbnail for name, thumbnail in small if thumbnail}
    heat = dict(_heat(known, contents, {name: pictures[name] for name in made})) if known else {}
    return replace(contents, thumbnails=made, heat=heat, without_pictures="" if made else "gone")


def to_json(contents: Contents) -> dict[str, Any]:
    """The numbers of a report."""
    return {
        "run": str(contents.folder),
        "split": contents.split,
        "kept_epoch": contents.kept,
        "heads": {one.head.name: one.to_json() for one in contents.outcomes},
    }


def _read(folder: Path, run: RunSettings, index: Index | None) -> tuple[Contents, Answers | None]:
    """All but the pictures, and the answers that it is of."""
    result, told, history = records.load_result(folder), log.read(folder / runs.LOG), records.read_history(folder)
    split: Split | None = "test" if result.test else "val" if result.val else None
    kept = answers.read(folder, split) if split else None
    most = max(2, min(_MOST, _MOST_OF_ALL // len(kept.heads))) if kept else 0
    data = index or _recorded(folder, run, kept)
    findings = check.quick(data)
    contents = Contents(
        folder=folder,
        run=run,
        history=history,
        kept=_kept(folder, history, run),
        seconds=sum(epoch.seconds for epoch in history),
        split=split,
        outcomes=[outcome(head, kept, most) for head in kept.heads] if kept else [],
        sizes=data.sizes(),
        counts={head.name: data.counts(head.name) for head in data.heads},
        findings=[(finding.severity, finding.about) for finding in findings],
        notes=[note for note in told.notes if not note.startswith(tuple(finding.about for finding in findings))],
        begun=told.begun,
        ended=told.ended,
        versions=records.load_versions(folder),
        unusable=sources.read_unusable(folder / runs.UNUSABLE),
    )
    return contents, kept


def _recorded(folder: Path, run: RunSettings, kept: Answers | None) -> Index:
    """The run's data by its `splits.csv`."""
    recorded = sources.read_splits(folder / runs.SPLITS)
    try:
        heads = kept.heads if kept else recorded.as_heads(run.heads)
        index = sources.as_index(recorded, run.data.source or "", heads)
    except (KeyError, IndexError):
        raise files.damaged(folder / runs.SPLITS, "its heads or classes are not those of the run") from None
    if not len(index.positions("train")):
        raise files.damaged(folder / runs.SPLITS, "no picture in it is one to train on")
    return index


def _kept(folder: Path, history: list[Epoch], run: RunSettings) -> int:
    """The epoch whose weights were kept: the last that improved on those before."""
    best, number = None, 0
    for epoch in history:
        monitor = run.fit.monitor if run.fit.monitor in epoch.metrics else run.fit.monitor.removeprefix("val_")
        if monitor not in epoch.metrics:
            raise files.damaged(folder / records.HISTORY, f"it has no column '{monitor}', the recipe's fit.monitor")
        if metrics.improves(monitor, epoch.metrics[monitor], best, run.fit.min_delta):
            best, number = epoch.metrics[monitor], epoch.number
    return number


def _heat(
    known: Classifier, contents: Contents, pictures: Mapping[str, Path | np.ndarray | bytes]
) -> Iterator[tuple[tuple[str, str], Thumbnail]]:
    """What spoke for the answers that are wrong or unsure, by head and picture; none where nothing did."""
    for one in contents.outcomes:
        cases = [case for case in (*one.mistakes, *one.unsure) if case.name in pictures]
        if not cases:
            continue
        frames = np.stack([pixels.read(pictures[case.name], known.pixels) for case in cases])
        classes = [one.head.classes[case.number] for case in cases]
        for case, found in zip(cases, explain.heat_maps(known, frames, one.head.name, classes), strict=True):
            image = reduced(pictures[case.name])
            if image and not found.empty:
                yield (one.head.name, case.name), encoded(explain.overlay(np.asarray(image), found))


def _shown(contents: Contents, kept: Answers, index: Index) -> Iterator[tuple[str, Path | np.ndarray | bytes]]:
    """The pictures of the report by their names, of those that are still what they were."""
    hashes: Mapping[str, str] = {
        case.name: str(kept.hashes[case.at]) for one in contents.outcomes for case in one.cases
    }
    pictures = index.pictures
    for at, (name, content) in enumerate(zip(index.ids, index.hashes, strict=True)):
        if hashes.get(name) == content:
            yield name, pictures[at]
