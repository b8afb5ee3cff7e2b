"""FOLDER SIDE files|kept: epochs of torchvision's augmented batches from a DataLoader, without a network."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import serving
import torch
import torchvision_loaded  # noqa: F401  before torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


class Kept(Dataset):
    """Pictures of a folder, decoded once and kept in memory."""

    def __init__(self, folder: ImageFolder, varied: v2.Transform) -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            self._decoded = list(pool.map(folder.__getitem__, range(len(folder))))
        self._varied = varied

    def __len__(self) -> int:
        return len(self._decoded)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        image, label = self._decoded[at]
        return self._varied(image), label


def epochs(folder: str, side: int, way: str) -> Iterator[dict[str, float]]:
    torch.manual_seed(0)
    batches = DataLoader(
        _pictures(folder, side, way),
        batch_size=32,
        shuffle=True,
        num_workers=len(os.sched_getaffinity(0)),
        persistent_workers=True,
    )
    while True:
        pictures = 0
        for images_uint8, _ in batches:
            images = images_uint8.float().div_(255)
            pictures += len(images)
        yield {"pictures": pictures, "mean": images.mean().item()}


def _pictures(folder: str, side: int, way: str) -> Dataset:
    """Pillow's pictures are resized and warped faster than tensors; uint8 tensors go between processes.

    RandomAffine has no `fill="nearest"` and zooms both sides alike: a little less work than the others do.
    """
    resize = v2.Resize((side, side))
    affine = v2.RandomAffine(
        40, translate=(0.2, 0.2), scale=(0.8, 1.2), shear=11.5, interpolation=v2.InterpolationMode.BILINEAR
    )
    varied = v2.Compose([affine, v2.RandomHorizontalFlip(), v2.PILToTensor()])
    if way == "kept":
        return Kept(ImageFolder(folder, resize), varied)
    return ImageFolder(folder, v2.Compose([resize, varied]))


if __name__ == "__main__":
    serving.serve(epochs(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
