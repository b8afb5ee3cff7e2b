"""DATA SIDE FOLDER pretrained|random: a classifier for noonchi and for the peers, and its answers for DATA's pictures.

Its output layer is drawn, not trained: a prediction takes as long, and answers that agree agree.
"""

import sys
from pathlib import Path

import noonchi_backbone
import numpy as np
import predicting
import torch

from noonchi import classifier, pixels
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

HALF = (0.5, 0.5, 0.5)


def write(data: str, side: int, folder: Path, weights: str) -> None:
    torch.manual_seed(0)
    model = ModelSettings(network="efficientnet-lite0", weights=weights)
    pixel_settings = PixelSettings(size=(side, side), channels=3, mean=HALF, std=HALF)
    head = Head("label", "classes", ("cats", "dogs"))
    made = classifier.create((head,), model, pixel_settings, pretrained=weights == "pretrained")
    noonchi_backbone.write(folder / predicting.WEIGHTS, side, made.network.eval())
    (folder / predicting.RUN).mkdir()
    made.save(folder / predicting.RUN)
    layer = made.network.get_submodule("output")
    paths = predicting.pictures(data)
    answers = np.stack([plainly(made, [path])[0] for path in paths])
    kernel, bias = (value.detach().numpy() for value in (layer.weight.T, layer.bias))
    predicting.Output(kernel, bias, np.array([predicting.name_of(path) for path in paths]), answers).write(folder)


def plainly(made: classifier.Classifier, paths: list[Path]) -> np.ndarray:
    """Probabilities (n, 2) by the layers as they are, on this thread."""
    frames = torch.from_numpy(np.stack([made.frame(path) for path in paths]))
    with torch.inference_mode():
        return made.answers(made.heads[0], made.logits(pixels.normalise(frames, made.pixels))["label"])


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
