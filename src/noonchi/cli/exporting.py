"""`noonchi export`."""

import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noonchi.cli.printing import JSON, TRUST, print_json
from noonchi.errors import SettingsError
from noonchi.results import printable, shell_word

if TYPE_CHECKING:
    from noonchi.export import Agreement
    from noonchi.export.int8 import Lost


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format", "name", type=click.Choice(["onnx", "html", "torch", "openvino"]), default="onnx", show_default=True
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The file to write; by RUN's name if not given."
)
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Compute in 8 bits: a quarter of the size, faster on most processors. Needs RUN's pictures.",
)
@TRUST
@JSON
def export(run: Path, name: str, *, out: Path | None, quantize: str | None, trust_code: bool, as_json: bool) -> None:
    """Write RUN's classifier as a file for other programs.

    onnx: takes decoded pictures of any size, and holds the resizing, the classes and the calibration. html: one page
    that answers in a browser, offline. torch (torch.export) and openvino: take pictures of the classifier's size. Each
    is tried on pictures of all kinds first, and not written where it differs from noonchi predict by more than 0.001;
    with --quantize, where it loses more than half a point of accuracy.
    """
    from noonchi import files
    from noonchi.export import FORMATS

    if quantize and name != "onnx":
        raise SettingsError(f"--quantize goes with --format onnx; --format {name} has no 8-bit form.")
    FORMATS[name].refuse_missing()
    path = out or Path(f"{run.resolve().name}{FORMATS[name].suffix}")
    if path.suffix.lower() != FORMATS[name].suffix and not path.is_dir():
        raise SettingsError(
            f"--out {path}: what --format {name} writes is named {FORMATS[name].suffix}, as programs expect."
        )
    files.refuse_place("--out", path)
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        agreement, lost = _written(run, name, path, quantize=quantize is not None, trust_code=trust_code)
    size_bytes = path.stat().st_size
    if as_json:
        told = {"largest_difference": agreement.largest, "pictures": agreement.pictures}
        of_heads = {"accuracy": [asdict(each) for each in lost]} if lost else {}
        print_json({"run": str(run), "file": str(path), "format": name, "bytes": size_bytes, **told, **of_heads})
        return
    click.echo(f"{printable(str(path))}: {size_bytes / 1e6:.1f} MB")
    _print_agreement(agreement)
    for each in lost:
        _print_lost(each)
    if name == "onnx":
        click.echo(f"next: noonchi predict {shell_word(path)} PICTURE...")
    if name == "html":
        click.echo("next: open it in a browser")


def _written(
    run: Path, name: str, path: Path, *, quantize: bool, trust_code: bool
) -> "tuple[Agreement, tuple[Lost, ...]]":
    from noonchi.export import FORMATS

    if not quantize:
        from noonchi import classifier

        return FORMATS[name].write(classifier.load(run, trust_code=trust_code), path), ()
    from noonchi.export.int8 import to_int8
    from noonchi.score import labelled
    from noonchi.terminal import Terminal

    with Terminal() as show:
        pictures = labelled(run, "val", trust_code=trust_code, show=show)
    return to_int8(pictures.classifier, path, pictures.of_split("train"), pictures.of_split("val"))


def _print_agreement(found: "Agreement") -> None:
    arrays = f", and by {found.arrays:.1g} where the graph resizes decoded pictures itself" if found.arrays else ""
    click.echo(f"differs from noonchi predict by at most {found.files:.1g} on {found.pictures} picture files{arrays}")


def _print_lost(each: "Lost") -> None:
    low, high = (0.0 - 100 * end for end in reversed(each.interval))
    click.echo(
        f"{printable(each.head)}: accuracy {each.before:.4f}, in 8 bits {each.after:.4f}: "
        f"{0.0 - 100 * each.lost:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}, {each.pictures:,} val pictures)"
    )
