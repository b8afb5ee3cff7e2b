"""`noonchi shard`."""

from pathlib import Path
from typing import Any

import click

from noonchi.cli.printing import RECIPE, SET
from noonchi.results import printable, shell_word


@click.command()
@click.argument("data")
@click.argument("out", type=click.Path(path_type=Path))
@RECIPE
@SET
@click.option(
    "--shard-mb",
    type=click.IntRange(1, 16_000),
    default=64,
    show_default=True,
    help="Megabytes of a shard, about.",
)
@click.option("--size", type=click.IntRange(1, 10_000), help="Store pixels, so many a side, instead of the files.")
def shard(data: str, out: Path, recipe: str | None, *, shard_mb: int, size: int | None, **changed: Any) -> None:
    """Pack DATA into OUT as WebDataset tars with an index, for training from a disk or a server.

    DATA is as for train, and so is OUT from then on, also at an address: http://host/OUT. Splits are settled here, by
    RECIPE's and --set's settings of data; labels stay as they are, so that other heads may be asked of them later.

    Files are stored as they are. With --size pictures are fixed to that size, and decode at once.
    """
    from noonchi import files, settings, sharding
    from noonchi.terminal import Terminal

    run = settings.load(recipe, settings.changes(**changed))
    with Terminal() as show:
        done = sharding.shard(data, out, run, show, shard_mb=shard_mb, size=size)
    number = f"{done.shards:,} shard{'s' if done.shards > 1 else ''}"
    click.echo(f"{done.pictures:,} pictures in {number}, {files.readable(done.bytes)}")
    if done.unusable:
        click.echo(f"{done.unusable:,} left out: {printable(str(out / sharding.UNUSABLE))}")
    click.echo(f"next: noonchi train {shell_word(out)}")
