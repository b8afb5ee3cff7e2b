"""DATA SIDE FOLDER predict|plain: predictions of files by a saved classifier."""

import sys
from collections.abc import Callable
from pathlib import Path

import noonchi_classifier
import numpy as np
import predicting
import serving

import noonchi
from noonchi.classifier import Classifier

AT_ONCE = 32


def with_predict(made: Classifier) -> predicting.Predict:
    def predict(paths: list[Path]) -> np.ndarray:
        return np.array([list(each.heads["label"].values()) for each in made.predict(paths)])

    return predict


def plain(made: Classifier) -> predicting.Predict:
    """Without tricks: read one after the other, then through the layers as they are."""

    def predict(paths: list[Path]) -> np.ndarray:
        parts = (paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE))
        return np.concatenate([noonchi_classifier.plainly(made, part) for part in parts])

    return predict


def main(data: str, _: str, folder: str, way: str) -> None:
    ways: dict[str, Callable[[Classifier], predicting.Predict]] = {"predict": with_predict, "plain": plain}
    serving.serve(predicting.turns(data, folder, lambda: ways[way](noonchi.load(Path(folder) / predicting.RUN))))


if __name__ == "__main__":
    main(*sys.argv[1:])
