"""How a side talks with the benchmark that runs it. Standard library only: it runs in every environment."""

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat


def serve(turns: Iterator[dict[str, float]]) -> None:
    """One line of JSON once everything is imported; then, for each line that comes in, a turn and its figures.

    The first turn's seconds hold all that is made for it: lists of files, pipelines, networks, compiled graphs.
    """
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)  # what libraries print is not for the benchmark
        print("{}", file=out)
        for _ in sys.stdin:
            started = time.perf_counter()
            figures = next(turns)
            print(json.dumps({"seconds": time.perf_counter() - started, **figures}), file=out)


def turns(steps: Iterator[dict[str, float]], batch: int, seconds: float) -> Iterator[dict[str, float]]:
    """A turn of one step, then turns of as many steps as take `seconds`."""
    for limit in chain([0.0], repeat(seconds)):
        end = time.perf_counter() + limit
        turn = {}
        for count, figures in enumerate(steps, start=1):
            turn = {"pictures": count * batch, **figures}
            if time.perf_counter() >= end:
                break
        yield turn
