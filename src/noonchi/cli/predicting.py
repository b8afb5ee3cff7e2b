"""`noonchi predict`."""

import csv
import sys
from collections.abc import Iterable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noonchi.cli.printing import ABSTAIN, INVERT, TRUST, print_json
from noonchi.errors import DataError, NoonchiError, SettingsError
from noonchi.results import inert, printable

if TYPE_CHECKING:
    from noonchi.classifier import Classifier
    from noonchi.exported import Exported


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=str), metavar="PATH...")
@click.option("--format", "layout", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--json", "layout", flag_value="json", help="The same as --format json.")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes shown a picture.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.parquet",
    help="Write all there instead, in a way that goes on after any stop. PATH may then be any DATA as for train.",
)
@INVERT
@ABSTAIN
@TRUST
def predict(
    run: Path,
    pictures: tuple[str, ...],
    *,
    layout: str,
    top: int,
    out: Path | None,
    invert: Any,
    abstain: float | None,
    trust_code: bool,
) -> None:
    """Say what RUN's classifier sees in each picture. A folder stands for the pictures in it.

    RUN is a run's folder, or a .onnx file that noonchi export wrote. Where torchrun starts this, its processes share
    what --out writes.
    """
    if out is not None:
        _write(run, pictures, out, layout, trust_code=trust_code, invert=invert, abstain=abstain)
        return
    from noonchi import sources

    loaded = _loaded(run, trust_code=trust_code)
    paths = [path for given in pictures for path in sources.picture_paths(given)]
    if invert == "no":
        _tell_of_negative(loaded, paths[0], str(paths[0]))
    unreadable: list[NoonchiError] = []
    predictions = loaded.stream(paths, invert, unreadable.append)
    if layout == "json":
        for prediction in predictions:
            print_json(prediction.to_json(top, abstain))
    else:
        _print_predictions(predictions, top, abstain or 0.0, as_csv=layout == "csv")
    for error in unreadable[:-1]:
        click.echo(f"noonchi: {error}", err=True)
    if unreadable:
        raise unreadable[-1]


def _write(run: Path, given: tuple[str, ...], out: Path, layout: str, *, trust_code: bool, **asked: Any) -> None:
    """All of one DATA, to a file."""
    if len(given) > 1:
        raise SettingsError(f"--out takes one PATH, and {len(given)} came; put the pictures into one folder.")
    if layout == "csv":
        raise SettingsError("--out writes Parquet; leave out --format csv.")
    from noonchi import predicting, ranks, sources
    from noonchi.results import Reading
    from noonchi.terminal import Terminal

    first = ranks.started().first
    predicting.refuse_place(out, given[0])
    with Terminal() as show, redirect_stdout(sys.stderr) if layout == "json" else nullcontext():
        loaded = _loaded(run, trust_code=trust_code)
        read = sources.pictures(given[0], (lambda done, total: show(Reading(done, total))) if first else None)
        if first and asked["invert"] == "no" and read.ids:
            _tell_of_negative(loaded, read.pictures[0], read.ids[0])
        written = predicting.write(out, loaded, loaded.sha256, read, show=show, **asked)
    if written is None:
        return
    if layout == "json":
        print_json(written.to_json())
    else:
        click.echo(f"{written.pictures:,} pictures in {printable(str(out))}, {written.seconds:.1f} s")
    if written.unreadable:
        raise DataError(
            f"{written.unreadable:,} of {written.pictures:,} pictures could not be read, first {written.first_error}; "
            f"the column error of '{out}' says why."
        )


def _tell_of_negative(loaded: "Classifier | Exported", picture: Any, name: str) -> None:
    if loaded.looks_inverted(picture):
        click.echo(
            f"note: '{printable(name)}' looks like a negative of the training pictures; try --invert auto", err=True
        )


def _loaded(run: Path, *, trust_code: bool) -> "Classifier | Exported":
    """An exported classifier without torch, whose import takes longer than all else."""
    if run.suffix.lower() == ".onnx" and not run.is_dir():
        from noonchi import exported

        return exported.load(run)
    from noonchi import classifier

    return classifier.load(run, trust_code=trust_code)


def _print_predictions(predictions: Iterable[Any], top: int, abstain: float, *, as_csv: bool) -> None:
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
                shown = "  ".join(f"{printable(name)} {p:.4f}" for name, p in best)
                asked = f"{printable(head)}: " if len(prediction.heads) > 1 else ""
                unsure = "" if prediction.is_sure(head, abstain) else "unsure: "
                click.echo(f"{printable(prediction.picture)}  {asked}{unsure}{shown}")
    sys.stdout.flush()  # here, where a broken pipe is met, not when Python exits
