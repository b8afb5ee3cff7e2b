"""What a run is made from, and its folder: its name and its lock."""

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from noonchi import classifier, device, files, networks, pixels, settings, sources
from noonchi.classifier import Classifier
from noonchi.errors import DataError, RunError
from noonchi.records import RECIPE, RESULT
from noonchi.results import Note, Reading, Scores, shell_word
from noonchi.settings import PixelSettings, RunSettings, ThenSettings
from noonchi.sources import Data, Index
from noonchi.terminal import Event

SPLITS, UNUSABLE, LOG, REPORT = "splits.csv", "unusable.csv", "train.log", "report.html"
RUNS = Path("runs")
"""Where new runs go."""
_LOCK = ".lock"
_BEFORE_A_RUN = {_LOCK, LOG, SPLITS, UNUSABLE}
_HOLDER = re.compile(r"process \d+ on \S{1,255} since [\d: -]{19}")
_SMALL = 64
"""Pixels a side up to which pictures are small: three or four convolutions see most of such a picture."""
_LEAST = 8
"""Pixels a side from which `mnist-fast` has maps to look at."""

Show = Callable[[Event], None]


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    epochs: int
    seconds: float
    """Of training and validation, over all resumes; reading pictures and the final scores are not in it."""
    val: Scores | None
    test: Scores | None

    @property
    def classifier(self) -> Classifier:
        """The best one, read from the run's folder; imports your own network, which the run has used before."""
        return classifier.load(self.folder, trust_code=True)

    def to_json(self) -> dict[str, Any]:
        """What `noonchi train --json` prints and `test.json` holds."""
        return {
            "run": str(self.folder),
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "val": self.val and self.val.to_json(),
            "test": self.test and self.test.to_json(),
        }


def choose(data: Data, recipe: str | Path | None, changes: list[str], show: Show) -> tuple[RunSettings, Index]:
    """The settings of a new run and its pictures; a recipe that is not given is picked by the data, and shown.

    `changes` are `"section.key=value"`. Raises SettingsError, and DataError for data that cannot be used.
    """
    if recipe is not None:
        run = settings.load(recipe, changes)
        index = load_index(data, run, show)
        refuse_untrainable(index)
        return run, index
    run = settings.load(None, changes)  # wrong settings are found before pictures are read
    index = load_index(data, run, show)
    refuse_untrainable(index)
    name, why = _recipe_for(index, pixels.resolve(run.pixels, index.array, index.encoded))
    show(Note(f"recipe {name}, for {why}"))
    return settings.load(name, changes), index


def load_index(data: Data, run: RunSettings, show: Show) -> Index:
    """The pictures of a run, read as its settings say. Raises DataError for data that cannot be used."""
    return sources.load(data, run.data, run.heads, lambda done, total: show(Reading(done, total)))


def decided(run: RunSettings, index: Index) -> RunSettings:
    """The run with pixel settings as its pictures and its network ask for, and the device of this machine."""
    defaults = networks.pixel_defaults(run.model.network)
    return run.but(
        pixels=pixels.resolve(run.pixels, index.array, index.encoded, defaults), device=device.prepare(run.device)
    )


def refuse_untrainable(index: Index) -> None:
    """Raises DataError where no picture is there to train on."""
    if not len(index.positions("train")):
        raise DataError(
            f"'{index.name}' has pictures in {', '.join(index.sizes())} but none to train on; "
            "put some in train (of a folder: train/<class>/), or take its splits out."
        )


def refuse_used(folder: Path) -> None:
    """Raises RunError unless a new run may be written to `folder`; what a run killed before it began left is no run."""
    if (folder / RECIPE).exists():
        raise RunError(
            f"'{folder}' already holds a run. Go on with it: noonchi train --resume {shell_word(folder)}; "
            "or give another --out."
        )
    if folder.exists() and (not folder.is_dir() or not all(map(_is_of_no_run, folder.iterdir()))):
        raise RunError(f"'{folder}' exists and is not an empty folder; give another --out.")


def refuse_links(folder: Path) -> None:
    """Raises RunError where something in a folder is a link: what a run writes, or clears, would lie elsewhere."""
    link = next((entry for entry in folder.iterdir() if entry.is_symlink()), None)
    if link:
        raise RunError(f"'{link}' is a link; a run keeps all in its own folder. Put what it leads to in its place.")


def refuse_gone(folder: Path) -> None:
    """Raises RunError where a run that is under way has been removed."""
    if not (folder / RECIPE).exists():
        raise RunError(f"'{folder}' has lost its recipe.toml while it was trained, and so cannot go on; train again.")


def refuse_unwritable(out: str | Path | None) -> None:
    """Raises RunError where a run's folder, or without one `runs/`, could not be written: before minutes are spent."""
    there = files.nearest_folder(Path(out or RUNS))
    if not files.can_be_written(there):
        raise RunError(
            f"'{out or RUNS}' cannot be written: no file can be made in '{there}'. "
            "Let it be written, or give another --out."
        )


def next_folder(data: str, recipe: str) -> Path:
    """The first free `runs/<data>-<recipe>-<n>`, made so that no other run takes it."""
    number = 1
    safe = re.sub(r"[^\w.-]", "-", recipe).strip(".-") or "custom"
    while True:
        folder = RUNS / f"{data}-{safe}-{number}"
        try:
            make(folder, exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return folder


def make(folder: Path, *, exist_ok: bool = True) -> None:
    """Raises RunError where a folder cannot be made, FileExistsError where one must not be there and is."""
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise RunError(f"folder '{folder}' cannot be made: {error.strerror}. Give another --out.") from None


def source(folder: Path, run: RunSettings, data: Data | None = None) -> Data:
    """Where a run's pictures are. Raises RunError for a run on arrays, unless they are given as `data`."""
    known = data if data is not None else run.data.source
    if known is None:
        raise RunError(
            f"'{folder}' was trained on arrays in memory and names no pictures: give them, as val --data DATA or "
            "noonchi.resume(folder, data)."
        )
    return known


def refuse_changed(folder: Path, index: Index) -> None:
    """Raises DataError where a run's pictures are not those that `splits.csv` records."""
    if changed := sources.differences(index, folder / SPLITS):
        raise DataError(f"the pictures of '{folder}' have changed: {changed}. Start a new run on them.")


def refuse_other_heads(folder: Path, trained: Classifier, index: Index) -> None:
    """Raises RunError where a run's recipe, edited since, asks of its pictures what its classifier does not answer."""
    if trained.heads != index.heads:
        raise files.damaged(folder / RECIPE, "its heads are not those that the run's classifier answers")


def refuse_code(place: Path, run: RunSettings, *, trust_code: bool) -> None:
    """Raises RunError where a run or recipe would import Python code that its user did not say to trust."""
    if ":" in run.model.network and not trust_code:
        raise RunError(
            f"'{place}' uses its own network '{run.model.network}', which is Python code to import. "
            "If you trust it, say so: --trust-code, or trust_code=True."
        )


@contextmanager
def held(folder: Path, record: str, command: str = "train") -> Iterator[None]:
    """Holds a folder against a second process. Raises RunError where one holds it, and where links are in it.

    A folder in which nothing has begun when this ends, as `record` is not in it, is removed. An error of the system
    about a file in it, such as a full disk, becomes a RunError that says how `command` goes on.
    """
    refuse_links(folder)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = f"another noonchi{_holder(folder / _LOCK)}"
        raise RunError(f"'{folder}' is in use by {holder}; wait for its end, or give another --out.") from None
    if isinstance(lock, FileLock):  # where the system cannot lock, filelock itself writes into another kind of file
        _sign(folder / _LOCK)
    try:
        yield
    except OSError as error:
        if error.errno not in files.FULL and not _is_within(error.filename, folder):
            raise
        raise _with_remedy(error, folder, record, command) from None
    finally:
        # before the release: a process that waits for it must not hold a file that is removed then
        with suppress(OSError):  # Windows keeps an open file; there filelock removes it
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        if not (folder / record).exists():
            _remove(folder)


def _sign(lock: Path) -> None:
    now = datetime.now().astimezone()
    with suppress(OSError):  # a full disk; and Windows lets nobody write what is locked
        lock.write_text(f"process {os.getpid()} on {platform.node()} since {now:%Y-%m-%d %H:%M:%S}", encoding="utf-8")


def _holder(lock: Path) -> str:
    """Who has signed a lock; nothing where nobody has yet."""
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return f" ({text})" if _HOLDER.fullmatch(text) else ""


def _with_remedy(error: OSError, folder: Path, record: str, command: str) -> RunError:
    first = "Make room" if error.errno in files.FULL else "Mend that"
    then = f"go on with: noonchi {command} --resume {shell_word(folder)}"
    if not (folder / record).exists():
        then = "try again, or give another --out"
    return RunError(f"'{error.filename or folder}': {error.strerror}. {first}, then {then}.")


def _is_within(file: str | None, folder: Path) -> bool:
    return bool(file) and Path(str(file)).resolve().is_relative_to(folder.resolve())


def with_weights(run: RunSettings, chosen: Iterable[str], show: Show) -> RunSettings:
    """The run of a named recipe with a backbone whose weights can be had, where those of the recipe's own cannot.

    A backbone that the user has `chosen`, by `"model.network=..."` or its weights, stays. Under another backbone than
    the recipe's own, its further parts open as large a share of the layers.
    """
    if run.recipe not in settings.recipe_names():  # which the user may have set to anything
        return run
    own, other = settings.load(run.recipe).model.network, run.model.network
    named = any(change.startswith(("model.network=", "model.weights=")) for change in chosen)
    if not named and networks.is_backbone(own) and not networks.obtainable(own) and networks.at_hand():
        other = networks.at_hand()[0]
        show(Note(f"the weights of {own} cannot be fetched; {other} takes its place, whose weights are at hand"))
    run = run.but(model=run.model.but(network=other))
    if other == own or any(change.startswith("then=") for change in chosen) or not networks.is_backbone(other):
        return run
    return run.but(then=[_as_deep(part, own, other) for part in run.then])


def _as_deep(part: ThenSettings, own: str, other: str) -> ThenSettings:
    return part.but(freeze=part.freeze and networks.same_depth(part.freeze, own, other))


def _is_of_no_run(path: Path) -> bool:
    """Whether a file is what a run leaves that ends before it has begun."""
    return path.name in _BEFORE_A_RUN or files.is_unfinished(path)


def _recipe_for(index: Index, resolved: PixelSettings) -> tuple[str, str]:
    shape = classifier.picture_shape(resolved)
    pictures = f"{len(index):,} {'grey' if shape.channels == 1 else 'colour'} pictures"
    if max(shape.height, shape.width) <= _SMALL:
        name = "mnist-fast" if shape.channels == 1 and min(shape.height, shape.width) >= _LEAST else "small-pictures"
        return name, f"{pictures} of {shape.height}x{shape.width}"
    larger = f"{pictures} larger than {_SMALL}x{_SMALL}"
    if networks.at_hand():
        return "photos-transfer", larger
    return "photos-small", f"{larger}; no pretrained weights are at hand for photos-transfer"


def _remove(folder: Path) -> None:
    """What has not begun put there; the folder too, and `runs/`, if it holds nothing else."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != _LOCK and _is_of_no_run(path):  # by now another process may hold the folder
                path.unlink()
        folder.rmdir()
        if folder.parent == RUNS:
            RUNS.rmdir()


def write_result(run: Run) -> None:
    """`test.json`, which makes a run a finished one."""
    files.write_json(run.folder / RESULT, run.to_json())
