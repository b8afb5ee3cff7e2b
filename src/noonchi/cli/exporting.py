"""`noonchi export`."""

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

import click

from noonchi.cli.printing import JSON, TRUST, print_json
from noonchi.results import printable


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "layout", type=click.Choice(["onnx"]), default="onnx", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The file to write; RUN.onnx if not given."
)
@TRUST
@JSON
def export(run: Path, layout: str, *, out: Path | None, trust_code: bool, as_json: bool) -> None:
    """Write RUN's classifier as one file for other programs.

    ONNX: takes decoded pictures of any size, and holds the resizing, the classes and the calibration. It is tried on
    pictures of all kinds first, and not written where it differs from noonchi predict by more than 0.001.
    """
    from noonchi import exported, files

    exported.refuse_missing("onnx", "onnxscript", "onnxruntime")
    path = out or Path(f"{run.resolve().name}.onnx")
    files.refuse_place("--out", path)
    from noonchi import classifier
    from noonchi.export import to_onnx

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        agreement = to_onnx(classifier.load(run, trust_code=trust_code), path)
    size_bytes = path.stat().st_size
    if as_json:
        differences = {"largest_difference": agreement.largest, "pictures": agreement.pictures}
        print_json({"run": str(run), "file": str(path), "format": layout, "bytes": size_bytes, **differences})
        return
    click.echo(f"{printable(str(path))}: {size_bytes / 1e6:.1f} MB")
    click.echo(
        f"differs from noonchi predict by at most {agreement.files:.1g} on {agreement.pictures} picture files, and by "
        f"{agreement.arrays:.1g} where the graph resizes decoded pictures itself"
    )
    click.echo(f"next: noonchi predict {printable(str(path))} PICTURE...")
