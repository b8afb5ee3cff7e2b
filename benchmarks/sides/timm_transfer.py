"""check|frozen DATA SIDE WEIGHTS SEED EPOCHS: a new head on timm's EfficientNet-Lite0, with timm's data loader.

The loop of timm's train.py, which its package does not carry, with its defaults for the step (batches of 128, SGD with
Nesterov momentum 0.9 at 0.05 falling along a cosine, weight decay 2e-5, label smoothing 0.1) and the options --no-aug,
--amp in bfloat16, --channels-last and a worker a core. The base is frozen, which the script has no option for.
"""

import json
import os
import sys
from collections.abc import Iterator

import backbone_weights
import torch
import torchvision_loaded  # noqa: F401  before timm, which imports torchvision
from timm import create_model
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader

HALF = (0.5, 0.5, 0.5)


def frozen(data: str, side: int, weights: backbone_weights.Weights, epochs: int) -> float:
    model = with_weights(weights)
    model.requires_grad_(requires_grad=False)
    model.get_classifier().requires_grad_(requires_grad=True)
    training, validation = (_loader(data, split, side) for split in ("train", "validation"))
    optimizer = create_optimizer_v2(model.get_classifier(), "sgd", lr=0.05, momentum=0.9, weight_decay=2e-5)
    steps = epochs * len(training)
    schedule = CosineLRScheduler(optimizer, t_initial=steps, t_in_epochs=False)
    loss = LabelSmoothingCrossEntropy(0.1)
    model.eval()  # frozen batch norm keeps its statistics
    for step, (images, labels) in enumerate(_epochs(training, epochs), start=1):
        with _short():
            value = loss(model(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step_update(step)
    with torch.inference_mode(), _short():
        right = [model(images).argmax(1).eq(labels) for images, labels in _epochs(validation, 1)]
    return torch.cat(right).float().mean().item()


def with_weights(weights: backbone_weights.Weights) -> nn.Module:
    """timm's model in its own layout, with a new output for two classes."""
    model = create_model("tf_efficientnet_lite0", num_classes=2)
    own = [value for name, value in model.state_dict().items() if "num_batches" not in name]
    for target, value in zip(own, weights.arrays, strict=False):
        target.copy_(torch.from_numpy(value))
    assert len(own) == len(weights.arrays) + 2
    return model.to(memory_format=torch.channels_last)


def _loader(data: str, split: str, side: int) -> DataLoader:
    pictures = create_dataset("", data, split=split)
    return create_loader(
        pictures,
        (3, side, side),
        batch_size=min(128, len(pictures)),
        is_training=split == "train",
        no_aug=True,
        interpolation="bilinear",
        mean=HALF,
        std=HALF,
        crop_pct=1.0,
        crop_mode="squash",
        num_workers=len(os.sched_getaffinity(0)),
        device=torch.device("cpu"),
    )


def _epochs(loader: DataLoader, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(count):
        for images, labels in loader:
            yield images.contiguous(memory_format=torch.channels_last), labels


def _short() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def check(weights: backbone_weights.Weights) -> None:
    """Whether features of the same pictures are those that noonchi's backbone gives."""
    model = with_weights(weights).eval()
    images = torch.from_numpy(weights.images_nhwc).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        weights.compare(model.forward_head(model.forward_features(images), pre_logits=True).numpy())


def main(way: str, data: str, *numbers: str) -> None:
    side, weights, seed, epochs = int(numbers[0]), backbone_weights.read(numbers[1]), int(numbers[2]), int(numbers[3])
    torch.manual_seed(seed)
    if way == "check":
        check(weights)
    else:
        print(json.dumps({"accuracy": frozen(data, side, weights, epochs)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
