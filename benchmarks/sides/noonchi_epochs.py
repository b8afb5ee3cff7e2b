"""DATA RECIPE together|apart SETTING...: epochs of a recipe, in this process or in those of torchrun.

`apart`, processes share the pictures and exchange nothing, each with its part of every batch: what arithmetic alone
would take.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from statistics import median

import numpy as np
import serving
import torch

from noonchi import fitting, ranks, training
from noonchi.ranks import ALONE, Ranks
from noonchi.results import Epoch
from noonchi.training import Ready

Figures = dict[str, float]


def epochs(data: str, recipe: str, how: str, changes: list[str], together: Ranks) -> Iterator[Figures]:
    """A turn is an epoch; its seconds are those of the slowest process."""
    together.wait()  # the others, for the first one's first turn
    ready = _ready(data, recipe, how, changes, together)
    moments = fitting.steps(ready.state, ready.plan, ready.batches)
    try:
        while together.same(True):
            began = time.perf_counter()
            next(done for done in moments if isinstance(done, Epoch))
            seconds = max(together.gathered(time.perf_counter() - began))
            yield {"seconds": seconds, **_about(ready), **_exchange(ready, together)}
    finally:
        if together.first:
            together.same(False)


def _ready(data: str, recipe: str, how: str, changes: list[str], together: Ranks) -> Ready:
    """As `noonchi train` begins, with every picture to train on."""
    own = ["data.validation_share=0.0", "data.test_share=0.0", "fit.epochs=100000", "fit.patience=0"]
    run, index = training.choose(data, recipe, own + changes, _ignore)
    found = training.ready(training.resolved(run, index, data), index, _ignore)
    if how == "together" or together.count == 1:
        return found
    mine = found.batches.positions[together.number :: together.count]
    part = replace(found.batches, ranks=ALONE, size=found.batches.size // together.count, positions=mine)
    return replace(found, batches=part)


def _about(ready: Ready) -> Figures:
    return {
        "pictures": ready.batches.num_pictures * (ranks.current().count if ready.batches.ranks is ALONE else 1),
        "steps": len(ready.batches),
        "bits": 16 if ready.plan.precision == "bfloat16" else 32,
        "threads": torch.get_num_threads(),
        "gradient_bytes": 4 * sum(one.numel() for one in ready.state.classifier.network.parameters()),
    }


def _exchange(ready: Ready, together: Ranks) -> Figures:
    """What a step tells the other processes, by itself: its gradients, and the sums of its losses."""
    if together.group is None or ready.batches.ranks is ALONE:
        return {}
    gradients, sums = torch.zeros(int(_about(ready)["gradient_bytes"]) // 4), np.zeros(3)
    return {
        "exchange_s": _median_s(lambda: torch.distributed.all_reduce(gradients, group=together.group), 10),
        "sum_s": _median_s(lambda: together.summed(sums), 50),
    }


def _median_s(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _ignore(_: object) -> None:
    pass


if __name__ == "__main__":
    data, recipe, how, *changes = sys.argv[1:]
    with ranks.joined() as together, closing(epochs(data, recipe, how, changes, together)) as turns:
        if together.first:
            serving.serve(turns)
        else:
            for _ in turns:
                pass
