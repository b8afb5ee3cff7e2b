"""index|stream DATA: the most memory that a process takes on shards, as one line of JSON; no network, no training.

`index` loads it and puts a training split in order; `stream` reads every picture once, in an epoch's order.
"""

import json
import re
import sys
import time
from pathlib import Path

from noonchi import batches, device, pixels, settings, sources
from noonchi.batches import Batches
from noonchi.sources.shards import table


def main() -> None:
    what, data = sys.argv[1:]
    table.arrow()  # imported before anything is counted
    began, least = time.perf_counter(), _peak_mib()
    run = settings.load(None, ["data.stream=true", "pixels.size=[150,150]", "pixels.channels=3"])
    index = sources.load(data, run.data, run.heads)
    figures = {"pictures": len(index), "load_s": time.perf_counter() - began}
    figures |= {"least_mib": least, "load_mib": _peak_mib()}
    run = run.but(device=device.prepare(run.device), pixels=pixels.resolve(run.pixels))
    frames, index = batches.frames_of(index, run, lambda _: None)
    training = batches.of_split(frames, index, "train", run)
    training.order(1)
    figures |= {"order_s": time.perf_counter() - began, "order_mib": _peak_mib()}
    if what == "stream":
        figures |= {"read": _read(training), "stream_mib": _peak_mib()}
    print(json.dumps(figures))


def _read(training: Batches) -> int:
    return sum(len(batch.images) for batch in training.of_epoch(1))


def _peak_mib() -> float:
    """Not getrusage's, which would begin with that of the process that started this one."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
