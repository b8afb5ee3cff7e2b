"""B10: the most memory that training takes, on 2,000 and on 20,000 photos.

    python benchmarks/memory.py DATA

The JPEGs of DATA/train, each as often as needed with another comment in it: contents differ, so that each is read,
decoded and kept. One epoch of S10's recipe at 150x150, with a network of 1,553 weights, by `noonchi train` in a process
of its own: first with an empty cache, then with the frames that this left on disk.

Anonymous memory is what the process itself holds; it must not grow with the pictures. Resident memory counts pages of
mapped files too: of the frames' file as much as the system has room for, and it takes them back when it needs them.
The figures are RssAnon, sampled each 10 ms, and VmHWM of Linux's /proc/PID/status; 2 GB of temporary disk are needed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path

from reporting import drawn_photos, heading, rows, spread, tell

NETWORK = Path(__file__).parent / "sides" / "small_network.py"
WAYS = ("empty cache", "frames kept")

Peaks = dict[tuple[str, int], list[dict[str, float]]]
"""By way and number of pictures: of each round RssAnon and VmHWM in MiB."""


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it prints what it has
    arguments = f"DATA --pictures {' '.join(map(str, given.pictures))} --rounds {given.rounds}"
    print(heading({None: Path(sys.executable)}, arguments) + "\n", flush=True)
    peaks: Peaks = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = drawn_photos(folder / "drawn") if given.toy else given.data
        try:
            for number in given.pictures:
                tell(f"writing {number} photos")
                write_photos(data / "train", folder / str(number), number)
            for turn in range(given.rounds):
                for number in given.pictures[:: -1 if turn % 2 else 1]:
                    _measure(folder, number, 32 if given.toy else 150, peaks)
        except (KeyboardInterrupt, subprocess.CalledProcessError) as error:
            tell(f"{error or 'interrupted'}: the table holds what was measured until then")
    print(_table(peaks))


def write_photos(photos: Path, folder: Path, count: int) -> None:
    """`count` JPEGs as folder/<class>/*.jpg, those of photos/<class>/* over and over, no two alike in content."""
    for at, photo in enumerate(islice(cycle(sorted(photos.glob("*/*.jp*g"))), count)):
        comment = str(at).encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment
        content = photo.read_bytes()
        copy = folder / photo.parent.name / f"{at}.jpg"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content[:2] + segment + content[2:])


def _measure(folder: Path, number: int, side: int, peaks: Peaks) -> None:
    command = [sys.executable, "-m", "noonchi", "train", str(folder / str(number)), "--recipe", "photos-augmented"]
    command += ["--epochs", "1", "--size", str(side)]
    # shares that give validation and test, 256 pictures at once, a whole batch from the fewest pictures on
    for setting in (f"model.network={NETWORK}:small", "data.validation_share=0.2", "data.test_share=0.2"):
        command += ["--set", setting]
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        for way in WAYS:
            began = time.perf_counter()
            peak = _peak_mib([*command, "--out", str(Path(fresh) / way)], Path(fresh) / "cache")
            peaks[way, number].append(peak)
            told = ", ".join(f"{name} {value:.0f} MiB" for name, value in peak.items())
            tell(f"{number} pictures, {way}: {told}, {time.perf_counter() - began:.1f} s")


def _peak_mib(command: list[str], cache: Path) -> dict[str, float]:
    """The greatest RssAnon and VmHWM of a command's process."""
    peak = dict.fromkeys(("RssAnon", "VmHWM"), 0.0)
    environment = {**os.environ, "NOONCHI_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                now = _status_mib(process.pid)
                peak = {name: max(value, now.get(name, 0.0)) for name, value in peak.items()}
                time.sleep(0.01)
        finally:
            process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "noonchi train")
    return peak


def _status_mib(process: int) -> dict[str, float]:
    lines = [line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines()]
    return {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line[-1] == "kB"}


def _table(peaks: Peaks) -> str:
    few = min((number for _, number in peaks), default=0)
    header = ["training", "pictures", "anonymous, MiB", "ratio", "resident with mapped files, MiB", "ratio"]
    cells = []
    for way, number in sorted(peaks):
        row = [way, f"{number:,}"]
        for name in ("RssAnon", "VmHWM"):
            here, base = ([peak[name] for peak in peaks[way, size]] for size in (number, few))
            row += [spread(here, 0), spread((a / b for a, b in zip(here, base, strict=False)), 3)]
        cells.append(row)
    return rows(header, cells)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="a folder that holds train/<class>/*.jpg")
    parser.add_argument(
        "--pictures", type=int, nargs="+", help="numbers of photos; the least is what the others are divided by"
    )
    parser.add_argument("--rounds", type=int, help="times that each is measured")
    parser.add_argument("--toy", action="store_true", help="a few drawn pictures")
    given = parser.parse_args()
    given.pictures = given.pictures or ([40, 80] if given.toy else [2_000, 20_000])
    given.rounds = given.rounds or (1 if given.toy else 2)
    if not given.toy and not (given.data and (given.data / "train").is_dir()):
        parser.error("give DATA, a folder that holds train/<class>/*.jpg, or --toy")
    return given


if __name__ == "__main__":
    main()
