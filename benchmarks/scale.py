"""B12: training in several processes and from a stream, decoding, memory; and what they predict for large machines.

    python benchmarks/scale.py DATA

Whole epochs of S9 (`photos-scratch`) in 1, 2 and 4 processes of this machine, which share its cores and each batch; and
in 2 that exchange nothing. Whole epochs of S10 (`photos-augmented`) on frames in a memmap, and streamed from shards:
of the JPEGs, of pixels, of pixels over http, whose server shares the machine. Processes take turns. Then pictures
decoded on one thread; and the memory of a stream from few and many shards, and of an index of a million pictures.

`scale_model.py` is fitted to two numbers of processes and asked for the third, asked for published runs, and for
ImageNet and a billion pictures on 8, 64 and 512 GPUs.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import processes
import scale_model
from processes import Measured, Turn
from reporting import drawn_photos, heading, rows, spread, tell
from scale_model import IMAGENET, Cluster, Data, Local
from side_by_side import named

from noonchi import device, pixels, settings, sharding, sources
from noonchi.settings import PixelSettings
from noonchi.sources import Column
from noonchi.sources.shards import table
from noonchi.sources.shards.table import Shard, Table

SIDES = Path(__file__).parent / "sides"
PARTS = ("processes", "stream", "decoding", "memory", "model")
FRAMES = "frames in a memmap"
PIXELS = "streamed, shards of pixels"
APART = "2, which exchange nothing"
"""Ways that other ways are divided by, or come of."""
Rounds = dict[str, list[float]]


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    arguments = f"DATA --turns {given.turns} --processes {' '.join(map(str, given.processes))}"
    print(heading({None: Path(sys.executable)}, arguments), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = (drawn_photos(folder / "drawn") if given.toy else given.data) / "train"
        side, local = 64 if given.toy else 150, Local()
        if "processes" in given.parts:
            local = _in_processes(given, data, side, local)
        if {"stream", "decoding", "memory"} & set(given.parts):
            _shard(data, folder, side)
        if "stream" in given.parts:
            _streaming(given, data, folder, side)
        if "decoding" in given.parts:
            local = _decoding(given, data, folder, side, local)
        if "memory" in given.parts:
            _memory(given, folder)
        if "model" in given.parts:
            print(f"\nPublished runs\n\n{_published()}\n\n{_large(local)}", flush=True)


# Several processes


def _in_processes(given: argparse.Namespace, data: Path, side: int, local: Local) -> Local:
    """Prints epochs of S9, and gives what the small sum of a step takes from process to process."""
    work = (data, "photos-scratch", "together", f"pixels.size=[{side},{side}]")
    commands = {str(count): _command(count, *work) for count in given.processes}
    if 2 in given.processes:
        commands[APART] = _command(2, *work[:2], "apart", *work[3:])
    results, _ = processes.measure(commands, 1, given.turns)
    print(f"\nS9 in several processes: {_about(results)}\n\n{_table_of_processes(results)}")
    print(f"\nOf a step of 2 processes {_exchanging_ms(results)} ms are above one of {APART}, turn by turn")
    print(f"\nThe model, fitted to two rows and asked for the third\n\n{_table_of_fits(results)}", flush=True)
    sums = [one for name, one in results.items() if name == "2"]
    taken = [figures["sum_s"] for one in sums for figures in _later(one).values()]
    return Local(latency_s=median(taken) / 2) if taken else local


def _command(count: int, *work: object) -> list[str]:
    """As many threads each as `noonchi train --devices` gives."""
    script = [str(SIDES / "noonchi_epochs.py"), *map(str, work)]
    if count == 1:
        return [sys.executable, *script]
    threads = max(1, device.prepare(settings.load(None).device).threads // count)
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return ["env", f"OMP_NUM_THREADS={threads}", sys.executable, *run, *script]


def _later(measured: Measured) -> dict[Turn, dict[str, float]]:
    return {turn: measured.figures[turn] for turn in measured.seconds(first=False)}


def _about(results: Mapping[str, Measured]) -> str:
    found = [figures for one in results.values() for figures in one.figures.values()]
    if not found:
        return "nothing measured"
    last = found[-1]
    precision = "bfloat16" if last["bits"] == 16 else "float32"
    told = f"{last['pictures']:,.0f} pictures, {last['steps']:,.0f} steps an epoch, {precision}"
    return f"{told}, gradients of {last['gradient_bytes'] / 1e6:.1f} MB"


def _table_of_processes(results: Mapping[str, Measured]) -> str:
    header = ["processes", "threads each", "first epoch, s", "later epochs, s", "pictures/s", "of one process's"]
    header += ["ms a step", "the exchange by itself, ms", "the small sum by itself, ms"]
    base = results["1"].seconds(first=False) if "1" in results else {}
    return rows(header, [_row_of_processes(name, one, base) for name, one in results.items()])


def _row_of_processes(name: str, measured: Measured, base: Mapping[Turn, float]) -> list[str]:
    later, figures = measured.seconds(first=False), _later(measured)
    some = next(iter(figures.values()), {})
    return [
        named(name, measured),
        f"{some['threads']:.0f}" if some else "-",
        spread(measured.seconds(first=True).values()),
        spread(later.values()),
        f"{some['pictures'] / median(later.values()):,.0f}" if later else "-",
        _rate_ratio(later, base),
        spread(seconds / figures[turn]["steps"] * 1000 for turn, seconds in later.items()),
        spread(one["exchange_s"] * 1000 for one in figures.values() if "exchange_s" in one),
        spread((one["sum_s"] * 1000 for one in figures.values() if "sum_s" in one), 3),
    ]


def _rate_ratio(turns: Mapping[Turn, float], base: Mapping[Turn, float]) -> str:
    """Pictures/s as a part of the base's, turn by turn."""
    return spread(base[turn] / value for turn, value in turns.items() if turn in base)


def _exchanging_ms(results: Mapping[str, Measured]) -> str:
    ways = [results[name] for name in ("2", APART) if name in results]
    steps = [
        {turn: seconds / one.figures[turn]["steps"] for turn, seconds in one.seconds(first=False).items()}
        for one in ways
    ]
    together, apart = steps if len(steps) == 2 else ({}, {})
    return spread((seconds - apart[turn]) * 1000 for turn, seconds in together.items() if turn in apart)


def _rates(results: Mapping[str, Measured]) -> dict[int, float]:
    """Pictures/s by number of processes."""
    found = {}
    for name, one in results.items():
        later, figures = one.seconds(first=False), _later(one)
        if name.isdecimal() and later:
            found[int(name)] = next(iter(figures.values()))["pictures"] / median(later.values())
    return found


def _table_of_fits(results: Mapping[str, Measured]) -> str:
    rates, cells = _rates(results), []
    several = [count for count in rates if count > 1]
    for known, asked in ((a, b) for pair in combinations(several, 2) for a, b in (pair, pair[::-1])):
        if 1 not in rates:
            continue
        some = next(iter(_later(results[str(known)]).values()))
        batch = round(some["pictures"] / some["steps"])
        pairs = [(1, rates[1]), (known, rates[known])]
        predicted = scale_model.on_one_machine(batch, some["gradient_bytes"], pairs, asked)
        cells.append([f"1 and {known}", f"{asked}", f"{predicted:,.0f}", f"{rates[asked]:,.0f}"])
        cells[-1].append(f"{predicted / rates[asked] - 1:+.0%}")
    return rows(["fitted to", "asked for", "predicted pictures/s", "measured", "error"], cells)


# Streams


def _shard(data: Path, folder: Path, side: int) -> None:
    tell("writing shards")
    run = settings.load("photos-augmented", ["data.validation_share=0.0", "data.test_share=0.0"])
    for name, mb, size in (("files", 64, None), ("pixels", 64, side), ("many", 1, side)):
        sharding.shard(str(data), folder / name, run, lambda _: None, shard_mb=mb, size=size)


def _streaming(given: argparse.Namespace, data: Path, folder: Path, side: int) -> None:
    with _served(folder / "pixels") as address:
        places = {
            FRAMES: (data, "false"),
            "streamed, shards of JPEGs": (folder / "files", "true"),
            PIXELS: (folder / "pixels", "true"),
            f"{PIXELS}, over local http": (address, "true"),
        }
        size = f"pixels.size=[{side},{side}]"
        commands = {
            name: _command(1, place, "photos-augmented", "together", size, f"data.stream={streamed}")
            for name, (place, streamed) in places.items()
        }
        results, _ = processes.measure(commands, 1, given.turns)
    base = results[FRAMES].seconds(first=False)
    header = ["pictures come as", "first epoch, s", "later epochs, s", "pictures/s", "of the memmap's"]
    cells = [_row_of_streams(name, one, base) for name, one in results.items()]
    print(f"\nS10 from a stream: {_about(results)}\n\n{rows(header, cells)}", flush=True)


def _row_of_streams(name: str, measured: Measured, base: Mapping[Turn, float]) -> list[str]:
    later = measured.seconds(first=False)
    pictures = next((one["pictures"] for one in measured.figures.values()), 0)
    return [
        named(name, measured),
        spread(measured.seconds(first=True).values()),
        spread(later.values()),
        f"{pictures / median(later.values()):,.0f}" if later else "-",
        _rate_ratio(later, base),
    ]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# Decoding


def _decoding(given: argparse.Namespace, data: Path, folder: Path, side: int, local: Local) -> Local:
    """Prints what one thread decodes, and gives what the model takes of it."""
    paths = sorted(data.glob("*/*"))
    some = [path.read_bytes() for path in paths[:: max(1, len(paths) // given.pictures)]][: given.pictures]
    large, small = (PixelSettings(size=(one, one), channels=3) for one in (224, side))
    ways: dict[str, Callable[[], object]] = {
        "JPEG in memory to 224x224": partial(_read, some, large),
        f"JPEG in memory to {side}x{side}": partial(_read, some, small),
        f"JPEG in a shard to {side}x{side}": partial(_read_shards, folder / "files", len(some), small),
        f"{side}x{side} pixels in a shard": partial(_read_shards, folder / "pixels", len(some), small),
    }
    rates = _in_turn(ways, len(some), given.turns)
    hashed = _hash_rates(given)
    header = ["one thread", "pictures/s"]
    cells = [[name, spread(found, 0)] for name, found in rates.items()]
    mean = f"{np.mean([len(one) for one in some]) / 1e3:.1f} kB a file"
    print(f"\nDecoding: {len(some):,} pictures, {mean}\n\n{rows(header, cells)}")
    print(f"\nComparing with a hash (blake2b), one thread: {spread([one / 1e9 for one in hashed])} GB/s", flush=True)
    decoded = median(next(iter(rates.values())))
    return Local(decode_rate=decoded, hash_bytes_s=median(hashed), latency_s=local.latency_s)


def _in_turn(ways: Mapping[str, Callable[[], object]], pictures: int, turns: int) -> Rounds:
    rates: Rounds = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            ways[name]()
            if turn:  # before, all is cold
                rates[name].append(pictures / (time.perf_counter() - began))
    return rates


def _read(files: Sequence[bytes], wanted: PixelSettings) -> None:
    for one in files:
        pixels.read(one, wanted)


def _read_shards(shards: Path, count: int, wanted: PixelSettings) -> None:
    index = sources.load(str(shards))
    for at in range(min(count, len(index))):
        pixels.read(index.pictures[at], wanted)


def _hash_rates(given: argparse.Namespace) -> list[float]:
    content, found = bytes(10**5 if given.toy else 64 * 10**6), []
    for _ in range(given.turns):
        began = time.perf_counter()
        blake2b(content, digest_size=16).digest()
        found.append(len(content) / (time.perf_counter() - began))
    return found


# Memory


def _memory(given: argparse.Namespace, folder: Path) -> None:
    header = ["what", "shards", "pictures", "seconds to load", "MiB at the start", "loaded", "put in order", "read"]
    cells: list[list[str]] = []
    large: list[dict[str, float]] = []
    try:
        for name in ("pixels", "many"):
            with _served(folder / name) as address:
                runs = [_of_memory("stream", address) for _ in range(given.rounds)]
            cells.append(["streamed over http", f"{len(list((folder / name).glob('*.tar')))}", *_of_runs(runs)])
        for count in (10, 10_000):
            place = big(folder / f"index-{count}", given.index, count)
            runs = [_of_memory("index", str(place)) for _ in range(given.rounds)]
            cells.append(["an index", f"{count:,}", *_of_runs(runs)])
            large += runs
    except KeyboardInterrupt:
        tell("interrupted: the table holds what was measured until then")
    print(f"\nMemory, the most that a process took\n\n{rows(header, cells)}")
    loaded, ordered = (_bytes_a_picture(large, name) for name in ("load_mib", "order_mib"))
    print(f"\nAn index: {loaded} bytes a picture to load, {ordered} with a training split put in order", flush=True)


def _bytes_a_picture(runs: Sequence[Mapping[str, float]], name: str) -> str:
    return spread(((run[name] - run["least_mib"]) * 2**20 / run["pictures"] for run in runs), 0)


def _of_memory(what: str, data: str) -> dict[str, float]:
    command = [sys.executable, str(SIDES / "noonchi_memory.py"), what, data]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    tell(f"{what}: {found}")
    return found


def _of_runs(runs: Sequence[Mapping[str, float]]) -> list[str]:
    cells = [f"{runs[0]['pictures']:,}", spread(run["load_s"] for run in runs)]
    for name in ("least_mib", "load_mib", "order_mib", "stream_mib"):
        cells.append(spread((run[name] for run in runs if name in run), 0))
    return cells


def big(folder: Path, pictures: int, count: int) -> Path:
    """An index without its shards, with names, classes and lengths as ImageNet's."""
    numbers = np.random.default_rng(0)
    digests = np.frombuffer(numbers.bytes(16 * pictures), np.uint8).reshape(-1, 16)
    made = Table(
        name="big",
        shards=tuple(Shard(f"{number:06d}.tar", 2**33, "0" * 32) for number in range(count)),
        ids=[f"train/n{one % 1000:08d}/n{one % 1000:08d}_{one}.JPEG" for one in range(pictures)],
        hashes=digests,
        contents=digests,
        splits=np.array(["test", "train", "val"])[numbers.choice(3, pictures, p=[0.02, 0.95, 0.03])],
        columns={"label": Column(tuple(f"n{one:08d}" for one in range(1000)), np.arange(pictures) % 1000)},
        shard=(np.arange(pictures) % count).astype(np.int32),
        offset=512 + numbers.integers(0, 2**32, pictures),
        length=numbers.integers(5000, 200_000, pictures),
    )
    folder.mkdir()
    (folder / table.NAME).write_bytes(table.encoded(made))
    return folder


# The model


def _published() -> str:
    cells = [
        [
            one.name,
            f"{one.predicted:,.0f}",
            f"{one.reported:,.0f}",
            f"{one.predicted / one.reported - 1:+.0%}",
            one.note,
        ]
        for one in scale_model.published()
    ]
    return rows(["run", "predicted pictures/s", "reported", "error", "from"], cells)


def _large(local: Local) -> str:
    told = f"{local.decode_rate:,.0f} pictures/s decoded and {local.hash_bytes_s / 1e9:.2f} GB/s compared a core"
    title = f"ImageNet and a billion pictures: {told}, a small sum of {local.latency_s * 1e6:.0f} us a process\n"
    header = ["pictures", "GPUs", "stored, TB", "times fetched", "fetched, GB/s", "pictures/s", "bottleneck"]
    header += ["next limit", "an epoch, s", "an epoch, $", "90 epochs, h", "90 epochs, $"]
    cells = [
        _row_of_large(Data(pictures), scale_model.p4d(gpus, local))
        for pictures in (IMAGENET, 10**9)
        for gpus in (8, 64, 512)
    ]
    return f"{title}\n{rows(header, cells)}"


def _row_of_large(data: Data, cluster: Cluster) -> list[str]:
    found, times = scale_model.outcome(data, cluster), scale_model.times_fetched(data, cluster)
    second = sorted(found.rates.values())[1]
    epoch_s = data.pictures / found.pictures_s
    price = epoch_s / 3600 * cluster.processes * cluster.price_hour
    return [
        f"{data.pictures:,}",
        f"{cluster.processes}",
        f"{data.bytes / 1e12:.2f}",
        f"{times:.1f}",
        f"{found.pictures_s * data.picture_bytes * times / 1e9:,.1f}",
        f"{found.pictures_s:,.0f}",
        found.bottleneck,
        f"{second:,.0f}",
        f"{epoch_s:,.0f}",
        f"{price:,.2f}",
        f"{epoch_s * 90 / 3600:,.1f}" if data.pictures == IMAGENET else "-",
        f"{price * 90:,.0f}" if data.pictures == IMAGENET else "-",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder that holds train/<class>/*.jpg")
    parser.add_argument("--turns", type=int, default=7, help="epochs of each way; its first is told apart")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="numbers of them")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--pictures", type=int, default=500, help="how many are decoded a turn")
    parser.add_argument("--rounds", type=int, help="times that memory is measured")
    parser.add_argument("--index", type=int, help="pictures of the large index")
    parser.add_argument("--toy", action="store_true", help="a few drawn pictures")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.toy else 3)
    given.index = given.index or (1_000 if given.toy else 10**6)
    if not given.toy and not (given.data and (given.data / "train").is_dir()):
        parser.error("give DATA, a folder that holds train/<class>/*.jpg, or --toy")
    return given


if __name__ == "__main__":
    main()
