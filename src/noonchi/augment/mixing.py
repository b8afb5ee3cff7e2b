"""Pictures of a batch mixed with one another, and their labels with them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from noonchi.augment.drawn import span
from noonchi.settings import AugmentSettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Mixing:
    """How the pictures of a batch are mixed with one another."""

    order: npt.NDArray[np.int64]
    """(n,): the picture that each is mixed with."""
    share: float
    """Part of each picture, and of its label, that comes from the other; at most a half."""
    rectangle: tuple[slice, slice] | None
    """Rows and columns that come from the other picture; None blends all of both."""

    def apply(self, images_nchw: "torch.Tensor", others: "torch.Tensor") -> "torch.Tensor":
        """Pictures mixed with those that `order` names, both floats (n, channels, height, width)."""
        import torch

        if self.rectangle is None:
            return torch.lerp(images_nchw, others, self.share)
        rows, columns = self.rectangle
        mixed = images_nchw.clone()
        mixed[:, :, rows, columns] = others[:, :, rows, columns]
        return mixed


def draw_mixing(
    settings: AugmentSettings, num_pictures: int, height: int, width: int, generator: np.random.Generator
) -> Mixing | None:
    """How a batch is mixed, by mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019); None where settings ask for none.

    A picture and its partner are told apart by which is the larger part, so `share` is at most a half.

    >>> draw_mixing(AugmentSettings(mixup=0.2), 4, 8, 8, np.random.default_rng(0)).share <= 0.5
    True
    """
    wanted = [name for name in ("mixup", "cutmix") if getattr(settings, name)]
    if not wanted:
        return None
    name = wanted[int(generator.integers(len(wanted)))]
    alpha = getattr(settings, name)
    share = generator.beta(alpha, alpha)
    share = min(share, 1 - share)
    order = generator.permutation(num_pictures)
    if name == "mixup":
        return Mixing(order, float(share), None)
    rows, columns = (span(int(side * share**0.5), side, generator) for side in (height, width))
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixing(order, area / (height * width), (rows, columns))
