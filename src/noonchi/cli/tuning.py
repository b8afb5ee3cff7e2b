"""`noonchi tune` and `noonchi tune lr`."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noonchi.cli.printing import JSON, RECIPE, SET, TRUST, print_json
from noonchi.errors import SettingsError, StoppedError
from noonchi.results import printable, shell_word

if TYPE_CHECKING:
    from noonchi.tuning import Found, Search

_SIZE = click.option("--size", type=int, help="Pixels a side that pictures are brought to.")
_SEED = click.option("--seed", type=int, help="Every draw is a function of it.")


class _Seconds(click.ParamType[float]):
    """A time as `--budget` takes it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from noonchi import settings

        try:
            return settings.duration_s(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class _WithLr(click.Command):
    """A command whose first word may be `lr`, which is then a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["lr"]:
            return lr.make_context(f"{info_name} lr", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_WithLr)
@click.argument("data", required=False)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME|FILE",
    help="A recipe to search in; several by giving it again. Picked by the data if not given.",
)
@SET
@click.option(
    "--search",
    "searched",
    multiple=True,
    metavar="KEY=VALUES",
    help="Search this instead: fit.peak_lr=1e-4..1e-2 is a range, batches.size=16,32,64 a choice.",
)
@click.option("--trials", type=click.IntRange(1), help="Trainings to try; 20 if neither they nor --time are given.")
@click.option("--time", "time_s", type=_Seconds(), metavar="TIME", help="End after 90s, 10m or 1h30m.")
@click.option("--epochs", type=int, help="Passes over the training pictures in each trial, at most.")
@_SIZE
@_SEED
@click.option("--out", type=click.Path(path_type=Path), help="The search's folder; runs/DATA-tune-N if not given.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="FOLDER", help="Go on with a search.")
@TRUST
@JSON
def tune(
    data: str | None,
    recipes: tuple[str, ...],
    *,
    resume: Path | None,
    trials: int | None,
    time_s: float | None,
    trust_code: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Search for the settings that train DATA best.

    Tries settings in whole trainings, judged by the validation pictures; the test pictures are not looked at. Leaves a
    recipe, FOLDER/best.toml. DATA is as for train.

    noonchi tune lr DATA finds just a learning rate, in a hundred steps: noonchi tune lr --help.
    """
    given = {"DATA": data, "--recipe": recipes}
    given |= {f"--{name}": value for name, value in options.items()}
    given["--set"], given["--search"] = given.pop("--overrides"), given.pop("--searched")
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if resume is not None and given:
        raise SettingsError(f"--resume changes no more than --trials and --time, but {', '.join(given)} came.")
    if resume is None and data is None:
        raise click.UsageError("DATA is missing: a folder of pictures, or a built-in name such as digits.")
    from noonchi import tuning

    limits: dict[str, Any] = {"trials": trials, "time_s": time_s, "trust_code": trust_code}
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        if resume is not None:
            found = tuning.resume(resume, **limits)
        else:
            found = tuning.search(str(data), recipes, **limits, **options)
    command = _best_command(found) if found.best else None
    if as_json:
        print_json(found.to_json() | {"command": command})
    else:
        _print_search(found, command)
    if found.stopped:
        raise StoppedError(f"stopped; go on with: noonchi tune --resume {shell_word(found.folder)}")


@click.command()
@click.argument("data")
@RECIPE
@SET
@click.option("--batch-size", type=int, help="Pictures a step.")
@_SIZE
@_SEED
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw the curve as .png or .svg."
)
@TRUST
@JSON
def lr(data: str, recipe: str | None, *, plot: Path | None, trust_code: bool, as_json: bool, **options: Any) -> None:
    """Find a learning rate to train DATA with.

    Takes up to 100 training steps while the rate rises from 1e-7 to 10, and suggests the middle of where the loss falls
    longest (Smith 2017, as fastai has it). Nothing of them is kept. DATA is as for train.
    """
    from noonchi import tuning
    from noonchi.tuning import drawing

    if plot:
        drawing.refuse_place(plot)
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        found = tuning.find_rate(data, recipe, trust_code=trust_code, **options)
    if plot:
        drawing.write_plot(plot, found)
        click.echo(f"plot in {printable(str(plot))}", err=True)
    command = _command(data, _as_given(recipe, found.suggestion.rate, options), trust_code=trust_code)
    if as_json:
        print_json(found.to_json() | {"command": command})
    else:
        _print_rate(found, command)


def _as_given(recipe: str | None, rate: float, options: dict[str, Any]) -> list[str]:
    """What to train with, but for a rate that was set."""
    words = [] if recipe is None else ["--recipe", recipe]
    for name in ("batch_size", "size", "seed"):
        words += [] if options[name] is None else [f"--{name.replace('_', '-')}", str(options[name])]
    for override in options["overrides"]:
        words += [] if override.partition("=")[0].strip() == "fit.peak_lr" else ["--set", override]
    return [*words, "--lr", f"{rate:g}"]


def _command(data: str, words: Sequence[str], *, trust_code: bool) -> str:
    return shlex.join(["noonchi", "train", data, *words, *(["--trust-code"] if trust_code else [])])


def _best_command(found: "Search") -> str:
    from noonchi import settings

    own_code = ":" in settings.load(found.recipe).model.network
    return _command(found.data, ["--recipe", str(found.recipe)], trust_code=own_code)


def _print_rate(found: "Found", command: str) -> None:
    from noonchi.tuning import drawing

    low, high = found.suggestion.fall
    click.echo(drawing.as_text(found))
    click.echo(f"suggested learning rate {found.suggestion.rate:g}")
    click.echo(f"the loss falls longest from {low:.1e} to {high:.1e}, and this is the middle;")
    ended = f"at {found.rates[-1]:.1e} it blows up" if found.blew_up else f"it did not blow up by {found.rates[-1]:.1e}"
    click.echo(f"it falls steepest at {found.suggestion.steepest:.1e}, and {ended}")
    click.echo(f"next: {printable(command)}")


def _print_search(found: "Search", command: str | None) -> None:
    counts = {kind: sum(trial.ended == kind for trial in found.trials) for kind in ("finished", "early", "failed")}
    told = [f"{counts['finished']} finished", f"{counts['early']} ended early", f"{counts['failed']} failed"]
    click.echo(f"{len(found.trials)} trials: {', '.join(told)}")
    if found.best is None:
        click.echo(f"no trial has finished yet; go on with: noonchi tune --resume {shell_word(found.folder)}")
        return
    click.echo(f"best: trial {found.best.number}, val accuracy {found.best.accuracy:.4f}")
    for name, value in found.best.settings.items():
        click.echo(f"  {name} = {printable(str(value))}")
    click.echo(
        f"picked as the best of {len(found.trials)} on {found.pictures:,} validation pictures: a little too good"
    )
    click.echo(f"train it, and test it once: {printable(str(command))}")
