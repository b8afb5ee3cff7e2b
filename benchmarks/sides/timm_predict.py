"""DATA SIDE FOLDER [check] [--channels-last] [--amp]: the loop of timm's inference.py with its defaults, on its loader.

timm's package does not carry the script. Batches of 256, two workers, probabilities by softmax; --amp goes with
--amp-dtype bfloat16.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import backbone_weights
import numpy as np
import predicting
import serving
import timm_transfer
import torch
import torchvision_loaded  # noqa: F401  before timm, which imports torchvision
from timm.data import create_dataset, create_loader
from torch import nn

BATCH, WORKERS = 256, 2
HALF = (0.5, 0.5, 0.5)


def classifier(folder: str, *, channels_last: bool = False) -> nn.Module:
    weights, output = backbone_weights.read(str(Path(folder) / predicting.WEIGHTS)), predicting.read(folder)
    model = timm_transfer.with_weights(weights)
    layer = model.get_classifier()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(output.kernel.T))
        layer.bias.copy_(torch.from_numpy(output.bias))
    return model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format).eval()


def main(data: str, side: str, folder: str, *options: str) -> None:
    def make() -> predicting.Predict:
        model = classifier(folder, channels_last="--channels-last" in options)

        def predict(paths: list[Path]) -> np.ndarray:
            found = create_dataset("", data)
            if len(paths) == 1:
                found.reader.samples = [one for one in found.reader.samples if Path(one[0]) == paths[0]]
            loader = create_loader(
                found,
                (3, int(side), int(side)),
                batch_size=BATCH,
                use_prefetcher=True,
                num_workers=WORKERS if len(paths) > 1 else 0,
                device=torch.device("cpu"),
                interpolation="bilinear",
                mean=HALF,
                std=HALF,
                crop_pct=1.0,
                crop_mode="squash",
            )
            answers = []
            with torch.inference_mode():
                for images, _ in loader:
                    with torch.autocast("cpu", torch.bfloat16) if "--amp" in options else nullcontext():
                        output = model(images)
                    answers.append(output.softmax(-1).float().numpy())
            order = [predicting.name_of(Path(name)) for name in found.filenames(absolute=True)]
            rows = np.concatenate(answers)
            return rows[[order.index(predicting.name_of(path)) for path in paths]]

        return predict

    serving.serve(predicting.turns(data, folder, make))


if __name__ == "__main__":
    if sys.argv[4:] == ["check"]:
        timm_transfer.check(backbone_weights.read(str(Path(sys.argv[3]) / predicting.WEIGHTS)))
    else:
        main(*sys.argv[1:])
