"""`noonchi look`."""

import shutil
from pathlib import Path
from typing import Any

import click

from noonchi.cli.printing import JSON, RECIPE, SET, print_json


@click.command()
@click.argument("data")
@RECIPE
@SET
@click.option("--size", type=int, help="Pixels a side that pictures are brought to.")
@click.option("--seed", type=int, help="Every draw is a function of it.")
@click.option(
    "--picture",
    "shown",
    metavar="NAME|NUMBER",
    help="Whose numbers are shown; the first training picture's if not given.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="The sheet; DATA-look.png if not given."
)
@JSON
def look(data: str, recipe: str | None, as_json: bool, **options: Any) -> None:
    """Look at DATA before training: numbers of a picture, labels, counts.

    Also writes a sheet of examples of each class, beside what RECIPE's augmentation makes of them. DATA is as for
    train.
    """
    from rich.console import Console

    from noonchi.look import look as look_at
    from noonchi.look.text import MOST_WIDTH, show

    seen = look_at(data, recipe, **options)
    if as_json:
        print_json(seen.to_json())
        return
    console = Console(width=min(shutil.get_terminal_size().columns, MOST_WIDTH), highlight=False)
    with console.capture() as captured:
        show(seen, console)
    click.echo(captured.get(), nl=False)
