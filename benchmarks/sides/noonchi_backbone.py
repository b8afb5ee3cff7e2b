"""SIDE WEIGHTS pretrained|random: writes the backbone as noonchi has it, and what it gives for a few pictures."""

import sys
from pathlib import Path

import numpy as np
import torch
from backbone_weights import Weights

from noonchi.networks import backbones
from noonchi.networks.parts import Layers, PictureShape
from noonchi.results import Head
from noonchi.settings import ModelSettings


def write(path: Path, side: int, network: Layers) -> None:
    backbone = network[: network.place_of(backbones.FIRST_OF_TOP) + 1].eval()
    arrays = [value.numpy() for name, value in backbone.state_dict().items() if "num_batches" not in name]
    images_nhwc = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    with torch.inference_mode():
        features = backbone(torch.from_numpy(images_nhwc).permute(0, 3, 1, 2) / 127.5 - 1)
    Weights(arrays, images_nhwc, features.numpy()).write(path)


def main(side: int, path: Path, weights: str) -> None:
    settings = ModelSettings(network="efficientnet-lite0", weights=weights)
    head = Head("label", "binary", ("cats", "dogs"))
    shape = PictureShape(side, side, 3)
    write(path, side, backbones.transfer(settings, shape, (head,), pretrained=weights == "pretrained"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
