"""The first look at a data set: one picture as numbers, its labels, how many there are of each, a sheet of examples."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from noonchi import batches, files, networks, pixels, runs, settings, sources
from noonchi.errors import SettingsError
from noonchi.look import examples, picture, sheet
from noonchi.look.picture import Picture
from noonchi.results import Split
from noonchi.runs import Show
from noonchi.settings import AugmentSettings, RunSettings
from noonchi.sources import Data, Index
from noonchi.terminal import Terminal

__all__ = ["Look", "Picture", "look"]


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen, and where the sheet lies."""

    index: Index
    """Pictures that cannot be used belong to no split."""
    run: RunSettings
    """Pixel settings resolved."""
    picture: Picture
    sheet: Path

    @property
    def splits(self) -> dict[Split, int]:
        """Usable pictures by split; a split without any is left out."""
        return self.index.sizes()

    def to_json(self) -> dict[str, Any]:
        """What `noonchi look --json` prints."""
        index = self.index
        return {
            "data": index.name,
            "recipe": self.run.recipe,
            "pictures": sum(self.splits.values()),
            "unusable": len(index.unusable),
            "splits": self.splits,
            "heads": {
                head.name: {"kind": head.kind, "classes": list(head.classes), "counts": index.counts(head.name)}
                for head in index.heads
            },
            "picture": self.picture.to_json(),
            "sheet": str(self.sheet),
            "augmented": self.run.augment.active,
        }


def look(
    data: Data,
    recipe: str | Path | None = None,
    *,
    out: str | Path | None = None,
    shown: str | int | None = None,
    overrides: Iterable[str] = (),
    size: int | None = None,
    seed: int | None = None,
    show: Show | None = None,
) -> Look:
    """Look at pictures as training would take them; a sheet of examples is written to `out`, a PNG.

    `data`, `recipe`, `overrides`, `size`, `seed` and `show` are those of `noonchi.train`. `shown` is the id, or the
    number counted from 0, of the picture to take numbers from; the first training picture if not given. The sheet,
    `<data>-look.png` if not named, holds training pictures of each class of the first head, and what they become in
    the first epochs. Raises SettingsError and DataError.

    >>> import numpy as np, tempfile
    >>> images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     seen = look((images, np.arange(40) % 2), out=folder + "/sheet.png", shown=3, show=lambda event: None)
    >>> seen.picture.id, seen.picture.answers["label"].one_hot, seen.picture.levels.shape
    ('all/3', (0, 1), (8, 8, 1))
    """
    changes = settings.changes(overrides, size, seed=seed)
    named = None if out is None else _place(Path(out), data)  # before minutes are spent on pictures
    with nullcontext(show) if show else Terminal() as tell:
        run, index = runs.choose(data, recipe, changes, tell)
        path = named or _place(Path(f"{index.name}-look.png"), data)
        asked = None if shown is None else picture.find(str(shown), index)
        defaults = networks.pixel_defaults(run.model.network)
        resolved = pixels.resolve(run.pixels, index.array, index.encoded, defaults)
        # an accelerator would give the same pictures, but for rounding
        run = run.but(pixels=resolved, device=run.device.but(name="cpu"))
        frames, index = batches.frames_of(index, run, tell)
        runs.refuse_untrainable(index)
        training = batches.of_split(frames, index, "train", run)
        number = int(training.positions[0]) if asked is None else asked
        seen = Look(index, run, picture.of_index(number, index, frames), path)
        files.write(path, _sheet(seen, training))
    return seen


def _place(path: Path, data: Data) -> Path:
    if path.suffix.lower() != ".png":
        raise SettingsError(f"--out {path}: the sheet is a PNG; give it a name that ends in .png.")
    sources.refuse_place("--out", path, data)
    return path


def _sheet(seen: Look, training: batches.Batches) -> bytes:
    _, height, width, channels = training.frames.shape
    columns = sheet.columns(height, width)
    what = f"{height}x{width} {'grey' if channels == 1 else 'colour'} training pictures as the network sees them"
    if seen.run.augment.active:
        lines = [f"{what}, and what augmentation makes of each in epochs 1 to {columns - 1}", _varied_by(seen.run)]
        headings = ["original", *(f"epoch {number}" for number in range(1, columns))]
    else:
        lines, headings = [f"{what}; recipe {seen.run.recipe} augments nothing"], []
    index = seen.index
    names = index.ids if index.array is not None else [PurePosixPath(name).name for name in index.ids]
    groups = examples.groups(training, names, columns)
    left = len(training.heads[0].classes) - len(groups)
    lines += [f"the first {len(groups)} of {len(groups) + left:,} classes"] * (left > 0)
    return sheet.draw(f"{index.name}, recipe {seen.run.recipe}", lines, headings, groups)


def _varied_by(run: RunSettings) -> str:
    usual = AugmentSettings()
    changed = {name: value for name, value in run.augment.table().items() if value != getattr(usual, name)}
    told = [name if value is True else f"{name} {value}" for name, value in changed.items()]
    return ", ".join([*told, f"seed {run.seed}"])
