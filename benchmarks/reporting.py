"""What every benchmark prints: machine, versions and command above one table. And the pictures of a toy run."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from recipes import processor

_FRAMEWORKS = ("noonchi", "torch", "torchvision", "timm", "tensorflow-cpu", "jax", "onnxruntime", "keras")
_LIBRARIES = ("numpy", "scipy", "pillow", "opencv-python-headless")
_VERSIONS = """
import importlib.metadata, platform, sys
found = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions()}
print(", ".join([f"Python {platform.python_version()}", *(f"{n} {found[n]}" for n in sys.argv[1:] if n in found)]))
"""


def tell(text: str) -> None:
    """Progress, apart from what the benchmark prints."""
    print(text, file=sys.stderr, flush=True)


def heading(pythons: Mapping[str | None, Path], arguments: str) -> str:
    """When, where, by what command, and what each environment holds; no path, which would be this machine's alone."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    machine = f"{processor()}, {cores} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}"
    versions = [f"{name or 'noonchi'}: {_versions(python)}" for name, python in pythons.items()]
    command = f"`python benchmarks/{Path(sys.argv[0]).name} {arguments}`"
    return "\n".join([f"{datetime.now(UTC).date()}, {machine}", *versions, command])


def _versions(python: Path) -> str:
    asked = subprocess.run(
        [python, "-c", _VERSIONS, *_FRAMEWORKS, *_LIBRARIES], check=False, capture_output=True, text=True
    )
    return asked.stdout.strip()


def rows(header: list[str], cells: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Iterable[float], digits: int = 2) -> str:
    """The median, with the least and the greatest where there are several; a dash for none."""
    kept = sorted(values)
    if not kept:
        return "-"
    middle = f"{median(kept):,.{digits}f}"
    return middle if len(kept) == 1 else f"{middle} ({kept[0]:,.{digits}f} to {kept[-1]:,.{digits}f})"


def drawn_photos(folder: Path, splits: tuple[str, ...] = ("train",), count: int = 20, side: int = 64) -> Path:
    """A folder with train/<class>/*.jpg of blocks in random colours, or with other splits too."""
    generator = np.random.default_rng(0)
    for split, at in product(splits, range(count)):
        place = folder / split / ("cats", "dogs")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        blocks = generator.integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(blocks).resize((side + at, side)).save(place / f"{at}.jpg")
    return folder
