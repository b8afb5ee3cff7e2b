"""`noonchi predict`."""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noonchi.cli.printing import ABSTAIN, INVERT, TRUST, print_json
from noonchi.errors import NoonchiError
from noonchi.results import inert, printable

if TYPE_CHECKING:
    from noonchi.predictor import Predictor


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--format", "layout", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--json", "layout", flag_value="json", help="The same as --format json.")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes shown a picture.")
@INVERT
@ABSTAIN
@TRUST
def predict(
    run: Path,
    pictures: tuple[Path, ...],
    *,
    layout: str,
    top: int,
    invert: Any,
    abstain: float | None,
    trust_code: bool,
) -> None:
    """Say what RUN's classifier sees in each picture. A folder stands for the pictures in it.

    RUN is a run's folder, or a .onnx file that noonchi export wrote.
    """
    from noonchi import sources

    loaded = _loaded(run, trust_code=trust_code)
    paths = [path for given in pictures for path in sources.picture_paths(given)]
    if invert == "no" and loaded.looks_inverted(paths[0]):
        click.echo(
            f"note: '{printable(str(paths[0]))}' looks like a negative of the training pictures; try --invert auto",
            err=True,
        )
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


def _loaded(run: Path, *, trust_code: bool) -> "Predictor":
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
