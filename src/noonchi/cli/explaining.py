"""`noonchi explain`."""

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noonchi.cli.printing import INVERT, JSON, TRUST, print_json
from noonchi.results import printable

if TYPE_CHECKING:
    from noonchi.explain import Explanation


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("picture", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The page's folder; PICTURE-explained if not given."
)
@click.option("--head", metavar="NAME", help="Whose answer is explained; the first head's if not given.")
@click.option("--class", "class_name", metavar="NAME", help="What the heat maps are for; the likeliest if not given.")
@click.option(
    "--layer",
    "layers",
    metavar="NAME",
    multiple=True,
    help="Show what this layer's filters look for; of a few layers if not given.",
)
@click.option(
    "--filters",
    type=click.IntRange(0, 64),
    default=4,
    show_default=True,
    help="Filters of each layer; 0 leaves them out.",
)
@INVERT
@click.option("--lang", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="The page's language.")
@TRUST
@JSON
def explain(
    run: Path, picture: Path, out: Path | None, *, lang: Any, trust_code: bool, as_json: bool, **asked: Any
) -> None:
    """Look inside RUN's classifier as it sees PICTURE.

    Writes a page, DIR/index.html, and its pictures: what speaks for the class (heat maps, and whether they can be
    trusted), what filters look for, the first layer's weights, and what each layer gives.
    """
    from noonchi import classifier
    from noonchi.explain import explain as look_inside
    from noonchi.explain import page

    folder = out or Path(f"{picture.stem}-explained")
    page.refuse_place(folder)
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        loaded = classifier.load(run, trust_code=trust_code)
        found = look_inside(loaded, picture, **asked)
    written = page.write(folder, found, picture, lang)
    if as_json:
        print_json({"run": str(run), "folder": str(folder), **found.to_json(), "files": written})
    else:
        _print(found, folder / page.INDEX)


def _print(found: "Explanation", index: Path) -> None:
    from noonchi.explain.words import verdicts

    head, name = found.head.name, found.class_name
    probability = found.prediction.heads[head][name]
    click.echo(f"{printable(found.prediction.picture)}  {printable(head)}: {printable(name)} {probability:.4f}")
    for heat_map in found.maps:
        where = f" at {heat_map.layer}" if heat_map.layer else ""
        click.echo(f"{heat_map.method}{printable(where)}: {' '.join(verdicts(heat_map))}")
    click.echo(f"page in {printable(str(index))}")
