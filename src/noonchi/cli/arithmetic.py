"""`noonchi conv`."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from noonchi.cli.printing import JSON, print_json
from noonchi.errors import DataError, SettingsError
from noonchi.results import printable

if TYPE_CHECKING:
    from noonchi.conv import Layer, Matrix, Walk

    Pair = tuple[int, int]
    Shape = tuple[int, int, int]

_MOST = 100_000
_SIDE = 12
"""Pixels that a picture is brought to: all its numbers fit into 80 columns."""


class _Pair(click.ParamType[tuple[int, int]]):
    """A number for rows and columns alike, or one for each, as 3 or 3x5."""

    name = "pair"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises UsageError."""
        parts = value.lower().split("x")
        if len(parts) > 2 or not all(re.fullmatch("[0-9]{1,6}", part) for part in parts):
            self.fail(f"'{value}' came; write 3, or 3x5 for rows and columns.", param, ctx)
        pair = int(parts[0]), int(parts[-1])
        if not self._least <= min(pair) <= max(pair) <= _MOST:
            self.fail(f"{value} came; from {self._least} to {_MOST:,} is possible.", param, ctx)
        return pair


class _Padding(_Pair):
    """Or a word."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises UsageError."""
        if value in ("same", "valid"):
            return value
        if not re.match("[0-9]", value):
            self.fail(f"'{value}' came; write same, valid, or how many pixels on each side, as 1 or 1x2.", param, ctx)
        return super().convert(value, param, ctx)


@click.command()
@click.argument("source", metavar="[SIZE|PICTURE]", required=False)
@click.option("--matrix", metavar="NUMBERS", help='Numbers instead, as "1 2 3; 4 5 6; 7 8 9".')
@click.option("--filters", type=click.IntRange(1, _MOST), help="Channels of the output; 1 if not given.")
@click.option("--kernel", type=_Pair(1), metavar="N|NxM", help="3 if not given, for a pooling 2.")
@click.option("--stride", type=_Pair(1), metavar="N|NxM", help="1 if not given, for a pooling the kernel's size.")
@click.option(
    "--padding",
    type=_Padding(0),
    default="valid",
    show_default=True,
    metavar="N|NxM|same|valid",
    help="Pixels added on each side.",
)
@click.option(
    "--dilation",
    type=_Pair(1),
    default="1",
    show_default=True,
    metavar="N|NxM",
    help="Pixels from one weight to the next.",
)
@click.option("--pool", type=click.Choice(["max", "average"]), help="A pooling instead of a convolution.")
@click.option("--no-bias", is_flag=True, help="Filters without a bias.")
@click.option("--weights", metavar="NAME|NUMBERS", help="The kernel that is walked: sobel-x, or as --matrix.")
@click.option(
    "--size", type=click.IntRange(1, 100), help=f"Longer side of the PICTURE that is walked; {_SIDE} if not given."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="F.gif", help="Write the walk as a GIF, PNG or WebP.")
@JSON
def conv(
    source: str | None, matrix: str | None, *, size: int | None, out: Path | None, as_json: bool, **asked: Any
) -> None:
    """Do the arithmetic of one convolution or pooling.

    SIZE is height, width and channels of the input, as 28x28x1. Over a PICTURE, brought to a few grey pixels, or over
    a --matrix, the kernel is walked window by window: --weights are numbers, or one of identity, mean, gaussian,
    sharpen, laplace, emboss, sobel-x and sobel-y.
    """
    from noonchi.conv import text

    if out:
        _refuse_out(out)
    shape, numbers, told = _input(source, matrix, size)
    layer, weights = _layer(shape, **asked)
    walked = _walked(layer, numbers, weights, out)
    if walked and out:
        _write(out, walked)
    if as_json:
        print_json({**layer.to_json(), **(walked.to_json() if walked else {})})
        return
    click.echo(told + text.arithmetic(layer))
    if walked:
        click.echo("\n" + text.steps(walked, min(shutil.get_terminal_size().columns, 120)))
    elif numbers is not None:
        click.echo("\nto walk a kernel over it, give --weights, such as sobel-x")


def _input(source: str | None, matrix: str | None, size: int | None) -> "tuple[Shape, Matrix | None, str]":
    """Height, width and channels; the numbers there, if any; and a line that says where they are from."""
    from noonchi import conv

    if (source is None) == (matrix is None):
        raise click.UsageError("give either a size such as 28x28x1, or a picture, or --matrix.")
    sized = re.fullmatch("([0-9]{1,6})x([0-9]{1,6})(?:x([0-9]{1,6}))?", (source or "").lower())
    if size and (matrix or sized):
        raise SettingsError("--size is what a picture is brought to before it is walked; leave it out.")
    if matrix is not None:
        numbers = conv.numbers("--matrix", matrix)
        return (*_shape(numbers), 1), numbers, ""
    assert source is not None
    if sized:
        height, width, channels = (int(side or 1) for side in sized.groups())
        if not 1 <= min(height, width, channels) <= max(height, width, channels) <= _MOST:
            raise SettingsError(f"'{source}': height, width and channels are from 1 to {_MOST:,}.")
        return (height, width, channels), None, ""
    if not Path(source).exists():
        raise DataError(f"'{source}' is neither a size such as 28x28x1 nor a picture's file; numbers go into --matrix.")
    numbers, (height, width) = conv.read_picture(Path(source), size or _SIDE)
    brought = "x".join(map(str, numbers.shape))
    return (*_shape(numbers), 1), numbers, f"{printable(source)}: {height}x{width}, taken as {brought} grey\n\n"


def _layer(
    shape: "Shape",
    *,
    pool: Literal["max", "average"] | None,
    filters: int | None,
    kernel: "Pair | None",
    stride: "Pair | None",
    weights: str | None,
    no_bias: bool,
    **placed: Any,
) -> "tuple[Layer, Matrix | None]":
    from noonchi import conv

    for option, given in (("--filters", filters), ("--weights", weights), ("--no-bias", no_bias)):
        if pool and given not in (None, False):
            raise SettingsError(f"{option}: a pooling has none; leave it out, or leave out --pool.")
    numbers = None if weights is None else conv.weights_of(weights)
    if numbers is not None and kernel not in (None, numbers.shape):
        size = "x".join(map(str, numbers.shape))
        raise SettingsError(f"--kernel: the weights are {size}; leave it out.")
    kernel = _shape(numbers) if numbers is not None else kernel or ((2, 2) if pool else (3, 3))
    layer = conv.layer(
        shape,
        kind=pool or "convolution",
        filters=filters or 1,
        kernel=kernel,
        stride=stride or (kernel if pool else (1, 1)),
        has_bias=not no_bias,
        **placed,
    )
    return layer, numbers


def _walked(layer: "Layer", numbers: "Matrix | None", weights: "Matrix | None", out: Path | None) -> "Walk | None":
    from noonchi import conv

    if numbers is None and (out or weights is not None):
        option = "--out" if out else "--weights"
        raise SettingsError(f"{option}: a size has no numbers to walk over; give a picture, or --matrix.")
    if numbers is None or (weights is None and layer.kind == "convolution"):
        if out:
            raise SettingsError("--out: without weights nothing can be walked; give --weights, such as sobel-x.")
        return None
    return conv.walk(layer, numbers, weights)


def _refuse_out(out: Path) -> None:
    from noonchi import files
    from noonchi.conv.film import FORMATS

    if out.suffix.lower() not in FORMATS:
        raise SettingsError(f"--out {out}: give it a name that ends in {', '.join(FORMATS)}.")
    files.refuse_place("--out", out)


def _write(out: Path, walked: "Walk") -> None:
    from noonchi import files
    from noonchi.conv import film

    files.write(out, film.draw(walked, film.FORMATS[out.suffix.lower()]))
    click.echo(f"walk in {printable(str(out))}", err=True)


def _shape(numbers: "Matrix") -> "Pair":
    height, width = numbers.shape
    return height, width
