"""The command line: arguments in, exit codes out. Torch is imported by the commands that need it, not by --help."""

import csv
import io
import json
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from noonchi.errors import NoonchiError, SettingsError

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, all else on stderr.")
_TRUST = click.option("--trust-code", is_flag=True, help="Import the Python code of the run's own network.")


def main() -> None:
    """The console script. Exit codes: 0 fine, 2 usage or settings, 3 data, 4 run or model file, 1 our bug."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what this terminal cannot show
    sys.exit(_run())


def _run() -> int:
    code, line = 0, ""
    try:
        noonchi(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "noonchi"
        code, line = error.exit_code, f"{' '.join(error.format_message().split())} See: {where} --help"
    except NoonchiError as error:
        code, line = error.exit_code, _printable(str(error))
    except (KeyboardInterrupt, click.Abort):
        code, line = 130, "stopped."
    except SystemExit as error:
        # click ends so after completing a word in the shell (0), and when the reader of a pipe has gone (1)
        code = 141 if error.code else 0
    except OSError as error:  # a full disk, a folder that may not be written or read
        code, line = (
            4,
            _printable(f"{error.strerror or error}: '{error.filename or 'output'}'. Make room or give another."),
        )
    except MemoryError as error:
        code, line = (
            2,
            f"not enough memory: {error or 'the settings ask for too much'}. Lower pixels.size or the network.",
        )
    except Exception:
        code, line = 1, f"this is a bug of noonchi's; please report it with these lines:\n{traceback.format_exc()}"
    if line:
        click.echo(f"noonchi: {line}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="noonchi")
def noonchi() -> None:
    """Train, look into and use image classifiers."""


@noonchi.command()
@click.argument("data", required=False)
@click.option("--recipe", metavar="NAME|FILE", help="A recipe's name or a .toml file; picked by the data if not given.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any setting, as section.key=value.")
@click.option("--epochs", type=int, help="Passes over the training pictures, at most.")
@click.option("--batch-size", type=int, help="Pictures a step.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--size", type=int, help="Pixels a side that pictures are brought to.")
@click.option("--seed", type=int, help="Every draw is a function of it.")
@click.option("--device", help="auto, cpu, cuda or mps.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder; runs/DATA-RECIPE-N if not given.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was stopped.")
@_TRUST
@_JSON
def train(
    data: str | None, recipe: str | None, resume: Path | None, trust_code: bool, as_json: bool, **options: Any
) -> None:
    """Train a classifier on DATA and test it once.

    DATA is a folder of pictures, a .csv, an .npz, a folder of IDX files, or a built-in name (noonchi list datasets).
    """
    given = {"DATA": data, "--recipe": recipe, "--set": options["overrides"]}
    given |= {f"--{name.replace('_', '-')}": value for name, value in options.items() if name != "overrides"}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if resume is not None and given:
        raise SettingsError(f"--resume changes nothing else, but {', '.join(given)} came; leave it out.")
    if resume is None and data is None:
        raise click.UsageError("DATA is missing: a folder of pictures, or a built-in name such as digits.")
    from noonchi import training

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        if resume is not None:
            run = training.resume(resume, trust_code=trust_code)
        else:
            run = training.train(str(data), recipe, trust_code=trust_code, **options)
    if as_json:
        _print_json(run.to_json())
        return
    click.echo(f"{run.epochs} epochs in {run.seconds:.1f} s")
    for scores in filter(None, (run.val, run.test)):
        _print_scores(scores)
    click.echo(f"run in {_printable(str(run.folder))}")
    click.echo(f"next: noonchi predict {_printable(str(run.folder))} PICTURE...")


@noonchi.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", help="Other pictures to score on; the run's own if not given.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@_TRUST
@_JSON
def val(run: Path, data: str | None, split: Any, trust_code: bool, as_json: bool) -> None:
    """Score RUN's best classifier on pictures with known labels."""
    from noonchi.score import score
    from noonchi.terminal import Terminal

    with Terminal() as show, redirect_stdout(sys.stderr) if as_json else nullcontext():
        scores = score(run, split, data, trust_code=trust_code, show=show)
    if as_json:
        _print_json({"run": str(run), "split": scores.split, **scores.to_json()})
    else:
        _print_scores(scores)


@noonchi.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--format", "layout", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--json", "layout", flag_value="json", help="The same as --format json.")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes shown a picture.")
@click.option(
    "--invert",
    type=click.Choice(["no", "yes", "auto"]),
    default="no",
    show_default=True,
    help="Turn black to white first; auto: where the picture's edges are then more like the training pictures'.",
)
@_TRUST
def predict(run: Path, pictures: tuple[Path, ...], *, layout: str, top: int, invert: Any, trust_code: bool) -> None:
    """Say what RUN's classifier sees in each picture. A folder stands for the pictures in it."""
    from noonchi import classifier, sources

    loaded = classifier.load(run, trust_code=trust_code)
    paths = [path for given in pictures for path in sources.picture_paths(given)]
    if invert == "no" and loaded.looks_inverted(paths[0]):
        click.echo(
            f"note: '{_printable(str(paths[0]))}' looks like a negative of the training pictures; try --invert auto",
            err=True,
        )
    unreadable: list[NoonchiError] = []
    predictions = loaded.stream(paths, invert, unreadable.append)
    if layout == "json":
        for prediction in predictions:
            _print_json(prediction.to_json(top))
    else:
        _print_predictions(predictions, top, as_csv=layout == "csv")
    for error in unreadable[:-1]:
        click.echo(f"noonchi: {_printable(str(error))}", err=True)
    if unreadable:
        raise unreadable[-1]


@noonchi.command()
@click.argument("network")
@click.option("--size", metavar="HxWxC", help="Size of the pictures, such as 28x28x1, where it is not the usual one.")
@click.option(
    "--classes", type=click.IntRange(2, 100_000), default=10, show_default=True, help="Classes to tell apart."
)
@_TRUST
@_JSON
def summary(network: str, size: str | None, classes: int, trust_code: bool, as_json: bool) -> None:
    """Layers, shapes and parameters of NETWORK.

    NETWORK is a name (noonchi list networks), a recipe, your own as file.py:name, or a run folder.
    """
    from noonchi import classifier
    from noonchi.summary import summarize, summarize_named

    if Path(network).is_dir():
        loaded = classifier.load(network, trust_code=trust_code)
        found = summarize(loaded.network, loaded.shape, network)
    else:
        found = summarize_named(network, _shape(size), classes)
    if as_json:
        _print_json(found.to_json())
    else:
        click.echo(found.to_text(min(shutil.get_terminal_size().columns, 120)), nl=False)


@noonchi.command("list")
@click.argument("what", type=click.Choice(["recipes", "networks", "datasets", "settings"]))
@_JSON
def list_(what: str, as_json: bool) -> None:
    """Name what noonchi brings along, and the settings there are."""
    rows = {"recipes": _recipes, "networks": _networks, "datasets": _datasets, "settings": _settings}[what]()
    if as_json:
        _print_json({what: [{"name": name, "about": about} for name, about in rows.items()]})
        return
    indent = " " * (max(map(len, rows)) + 2)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize  # a pipe gets a line each
    for name, about in rows.items():
        click.echo(textwrap.fill(f"{name:<{len(indent)}}{about}", columns, subsequent_indent=indent).rstrip())


def _recipes() -> dict[str, str]:
    from noonchi import settings

    return {name: settings.load(name).about for name in settings.recipe_names()}


def _networks() -> dict[str, str]:
    from noonchi.networks import NETWORKS

    return {name: (build.__doc__ or "").partition("\n")[0] for name, build in NETWORKS.items()}


def _datasets() -> dict[str, str]:
    from noonchi.sources.builtin import NAMES

    return {name: f"{built_in.about}{_not_here(built_in.at_hand())}" for name, built_in in NAMES.items()}


def _settings() -> dict[str, str]:
    from noonchi.settings import described

    return described()


def _not_here(at_hand: bool) -> str:
    return "" if at_hand else " (not at hand yet)"


def _shape(size: str | None) -> Any:
    from noonchi.networks import PictureShape

    if size is None:
        return None
    try:
        height, width, channels = (int(part) for part in size.lower().split("x"))
    except ValueError:
        raise SettingsError(f"--size {size}: write height, width and channels as 28x28x1.") from None
    if not (1 <= height <= 10_000 and 1 <= width <= 10_000 and channels in (1, 3)):
        raise SettingsError(f"--size {size}: sides must be 1 to 10000, and channels 1 (grey) or 3 (colour).")
    return PictureShape(height, width, channels)


def _printable(text: str) -> str:
    from noonchi.terminal import printable

    return printable(text)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _print_scores(scores: Any) -> None:
    for name, head in scores.heads.items():
        low, high = head.accuracy_interval
        what = "accuracy" if len(scores.heads) == 1 else f"{name} accuracy"
        click.echo(
            f"{scores.split} {what} {head.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, "
            f"{scores.num_pictures:,} pictures)"
        )


def _print_predictions(predictions: Iterable[Any], top: int, *, as_csv: bool) -> None:
    from noonchi.results import inert

    writer = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        writer.writerow(("picture", "head", "rank", "class", "probability"))
    for prediction in predictions:
        for head in prediction.heads:
            best = prediction.top(head, top)
            if as_csv:
                for rank, (name, p) in enumerate(best, 1):
                    writer.writerow((inert(prediction.picture), inert(head), rank, inert(name), f"{p:.6f}"))
            else:
                shown = "  ".join(f"{_printable(name)} {p:.4f}" for name, p in best)
                asked = f"{_printable(head)}: " if len(prediction.heads) > 1 else ""
                click.echo(f"{_printable(prediction.picture)}  {asked}{shown}")
    sys.stdout.flush()  # here, where a broken pipe is met, not when Python exits
