"""How a side talks with the benchmark that runs it. Standard library only: it runs in every environment."""

import json
import os
import sys
import time
from collections.abc import Iterator


def serve(epochs: Iterator[dict[str, float]]) -> None:
    """One line of JSON once everything is imported; then, for each line that comes in, an epoch and its figures.

    The first epoch's seconds hold all that is made for it: lists of files, pipelines, networks, compiled graphs.
    """
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)  # what libraries print is not for the benchmark
        print("{}", file=out)
        for _ in sys.stdin:
            started = time.perf_counter()
            figures = next(epochs)
            print(json.dumps({"seconds": time.perf_counter() - started, **figures}), file=out)
