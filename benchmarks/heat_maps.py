"""Whether heat maps mark what an answer rests on: the class's probability with the hottest fifth of a picture hidden.

    python benchmarks/heat_maps.py DATA RUN

Pictures of the test split of DATA, or of its validation split where it has none, as many of each class; a map for the
likeliest class in each way that `noonchi explain` shows. What is hidden is blurred; random regions are as large and of
the same shape, at 8 other places. Drops are of the calibrated probability; intervals hold 95 % of 10,000 bootstrap
samples of the pictures.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from reporting import drawn_photos, heading, rows, tell

from noonchi import classifier, sources
from noonchi.classifier import Classifier
from noonchi.explain.maps import HeatMap, checked, likeliest, views
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings
from noonchi.sources import Index

SAMPLES = 10_000


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        index = sources.load(drawn_photos(Path(temporary)) if given.toy else given.data)
        answering = _toy() if given.toy else classifier.load(given.run)
        print(
            heading({None: Path(sys.executable)}, f"DATA RUN --pictures {given.pictures} --seed {given.seed}"),
            flush=True,
        )
        found: dict[str, list[HeatMap]] = defaultdict(list)
        for at, path in enumerate(_pictures(index, given.pictures, given.seed), 1):
            frame, head = answering.frame(path), answering.heads[0]
            [name] = likeliest(answering, frame[np.newaxis], head)
            for one in checked(answering, frame, head, name, views(answering, head)):
                found[f"{one.method}, {one.layer or 'pixels'}"].append(one)
            if at % 20 == 0:
                tell(f"{at} pictures")
    header = ["map", "pictures", "hottest fifth hidden", "random fifth hidden", "ratio", "clear", "random weights"]
    print("\n" + rows(header, ([name, *_row(maps, given.seed)] for name, maps in found.items())))


def _pictures(index: Index, count: int, seed: int) -> Iterator[Path]:
    """So many of the test or else the validation split, as many of each class."""
    assert index.files is not None
    split = next(one for one in ("test", "val", "train") if (index.splits == one).any())
    labels = index.labels[index.heads[0].name]
    generator = np.random.default_rng(seed)
    classes = np.unique(labels)
    for label in classes:
        of_class = np.flatnonzero((index.splits == split) & (labels == label))
        for at in generator.permutation(of_class)[: count // len(classes)]:
            yield index.files[at]


def _row(maps: list[HeatMap], seed: int) -> list[str]:
    checks = [one.checks for one in maps if one.checks]
    drops = np.array([(one.hidden_drop, one.random_drop) for one in checks])
    draws = np.random.default_rng(seed).integers(len(drops), size=(SAMPLES, len(drops)))
    means = drops[draws].mean(axis=1)
    hot, random = (_interval(drops[:, side].mean(), means[:, side], 3) for side in (0, 1))
    ratio = _interval(drops[:, 0].mean() / drops[:, 1].mean(), means[:, 0] / means[:, 1], 1)
    clear = sum(one.effect == "clear" for one in checks)
    return [str(len(checks)), hot, random, ratio, str(clear), f"{np.mean([one.similarity for one in checks]):.2f}"]


def _interval(value: float, samples: np.ndarray, digits: int) -> str:
    low, high = np.quantile(samples, (0.025, 0.975))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _toy() -> Classifier:
    torch.manual_seed(0)
    head = Head("label", "classes", ("cats", "dogs"))
    return classifier.create((head,), ModelSettings(network="lenet5"), PixelSettings(size=(32, 32), channels=3))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", nargs="?", help="a folder of pictures")
    parser.add_argument("run", metavar="RUN", nargs="?", help="a run that was trained on DATA")
    parser.add_argument("--pictures", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures and of the bootstrap")
    parser.add_argument("--toy", action="store_true", help="a few drawn pictures and an untrained network")
    given = parser.parse_args()
    given.pictures = given.pictures or (4 if given.toy else 200)
    if not given.toy and not given.run:
        parser.error("give DATA and RUN, or --toy")
    return given


if __name__ == "__main__":
    main()
