"""SIDE: how fast this machine multiplies square matrices, in float32 and in bfloat16, with noonchi's threads."""

import sys
import time
from collections.abc import Iterator

import serving
import torch
from torch import Tensor

from noonchi import device
from noonchi.settings import DeviceSettings

TIMES = {torch.float32: 1, torch.bfloat16: 3}


def rates(side: int) -> Iterator[dict[str, float]]:
    """Multiplications and additions a second, by the bits of a number."""
    device.prepare(DeviceSettings(name="cpu"))
    matrices = {number: [torch.rand(side, side).to(number) for _ in range(3)] for number in TIMES}
    while True:
        yield {f"flops_{number.itemsize * 8}": _rate(*three, TIMES[number]) for number, three in matrices.items()}


def _rate(one: Tensor, other: Tensor, out: Tensor, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        torch.mm(one, other, out=out)
    return 2 * len(out) ** 3 * times / (time.perf_counter() - started)


if __name__ == "__main__":
    serving.serve(rates(int(sys.argv[1])))
