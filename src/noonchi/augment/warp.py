"""What was drawn, applied: with OpenCV on the processor, with torch anywhere."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from noonchi.augment.drawn import Draws
from noonchi.augment.moves import Images

if TYPE_CHECKING:
    import torch

_BORDERS = {
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}

_TASKS = 8
"""That a batch is cut into."""


def apply(
    images_nhwc: Images, draws: Draws, pool: Executor, then: Callable[[Images, slice], None] | None = None
) -> Images:
    """The pictures varied as drawn, uint8 (n, height, width, channels); bilinear, several at once in `pool`.

    There `then` gets those of each task, and which of all they are, while the processor's cache still holds them.
    Where a pixel is mixed of four, OpenCV rounds its place to a 32nd of a pixel: `apply_on_device` does not.
    """
    height, width = images_nhwc.shape[1:3]
    border = _BORDERS[draws.fill]

    def one(at: int) -> None:
        cv2.warpAffine(
            images_nhwc[at],
            draws.matrices[at],
            (width, height),
            dst=out[at],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
            borderValue=(draws.fill_level,) * 4,
        )
        if draws.tables is not None:
            cv2.LUT(out[at], draws.tables[at, np.newaxis], dst=out[at])
        if draws.erased and (covered := draws.erased[at]) is not None:
            out[at][covered[0], covered[1]] = covered[2]

    def several(some: range) -> None:
        for at in some:
            one(at)
        if then is not None:
            then(out[some.start : some.stop], slice(some.start, some.stop))

    out = np.empty_like(images_nhwc)
    # more tasks than threads, so that they end together; not one a picture, which costs more than to warp a small one
    each = max(1, len(images_nhwc) // _TASKS)
    list(pool.map(several, (range(at, min(at + each, len(out))) for at in range(0, len(out), each))))
    return out


def apply_on_device(images_nhwc: "torch.Tensor", draws: Draws) -> "torch.Tensor":
    """The same as `apply`, written out in torch for any device: a gather of four pixels with exact weights.

    >>> import torch
    >>> from noonchi.augment import draw
    >>> from noonchi.settings import AugmentSettings
    >>> mirrored = draw(AugmentSettings(horizontal_flip=True), 8, (1, 3, 1), np.random.default_rng(0))
    >>> images = torch.arange(3, dtype=torch.uint8).view(1, 1, 3, 1).repeat(8, 1, 1, 1)
    >>> sorted({tuple(row.flatten().tolist()) for row in apply_on_device(images, mirrored)})
    [(0, 1, 2), (2, 1, 0)]
    """
    import torch

    n, height, width, channels = images_nhwc.shape
    device = images_nhwc.device
    matrices = torch.from_numpy(draws.matrices).to(device, torch.float32)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    pixels_hw3 = torch.stack((columns, rows, torch.ones_like(rows)), dim=2)
    places = torch.einsum("nij,hwj->nhwi", matrices, pixels_hw3.float())
    x, y = places[..., 0], places[..., 1]
    left, top = x.floor(), y.floor()
    out = torch.zeros(n, height, width, channels, device=device)
    each = torch.arange(n, device=device).view(n, 1, 1)
    for row, row_share in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside_y, at_y = _within(row.long(), height, draws.fill)
            inside_x, at_x = _within(column.long(), width, draws.fill)
            levels = images_nhwc[each, at_y, at_x].float()
            levels = torch.where((inside_y & inside_x).unsqueeze(-1), levels, float(draws.fill_level))
            out += levels * (row_share * share).unsqueeze(-1)
    result = out.round_().to(torch.uint8)
    if draws.tables is not None:
        tables = torch.from_numpy(draws.tables).to(device)
        channel = torch.arange(channels, device=device)
        result = tables[each.unsqueeze(-1), result.long(), channel]
    for picture, covered in zip(result, draws.erased, strict=bool(draws.erased)):
        if covered is not None:
            picture[covered[0], covered[1]] = torch.from_numpy(covered[2]).to(device)
    return result


def _within(at: "torch.Tensor", side: int, fill: str) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Whether places lie within a side, and the pixel shown for those that do not."""
    inside = (at >= 0) & (at < side)
    if fill == "reflect":
        around = at % (2 * side)
        return inside | True, around.where(around < side, 2 * side - 1 - around)
    if fill == "wrap":
        return inside | True, at % side
    return inside | (fill == "nearest"), at.clamp(0, side - 1)
