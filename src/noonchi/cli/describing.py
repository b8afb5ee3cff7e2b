"""`noonchi summary` and `noonchi list`."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from noonchi.cli.printing import JSON, TRUST, print_json
from noonchi.errors import SettingsError
from noonchi.results import printable


@click.command()
@click.argument("network")
@click.option("--size", metavar="HxWxC", help="Size of the pictures, such as 28x28x1, where it is not the usual one.")
@click.option(
    "--classes", type=click.IntRange(2, 100_000), default=10, show_default=True, help="Classes to tell apart."
)
@click.option("--diagram", type=click.Path(path_type=Path), metavar="F.svg", help="Draw the network as SVG.")
@TRUST
@JSON
def summary(
    network: str, *, size: str | None, classes: int, diagram: Path | None, trust_code: bool, as_json: bool
) -> None:
    """Layers, shapes and parameters of NETWORK.

    NETWORK is a name (noonchi list networks), a recipe, your own as file.py:name, or a run folder.
    """
    from noonchi import classifier
    from noonchi.summary import build_named, summarize

    if diagram:
        _refuse_diagram(diagram)
    if Path(network).is_dir():
        loaded = classifier.load(network, trust_code=trust_code)
        module, shape = loaded.network, loaded.shape
    else:
        module, shape = build_named(network, _shape(size), classes)
    found = summarize(module, shape, network)
    if diagram:
        _draw(diagram, module, shape, network)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.to_text(min(shutil.get_terminal_size().columns, 120)), nl=False)


def _refuse_diagram(path: Path) -> None:
    from noonchi import files

    if path.suffix.lower() != ".svg":
        raise SettingsError(f"--diagram {path}: the drawing is an SVG; give it a name that ends in .svg.")
    files.refuse_place("--diagram", path)


def _draw(path: Path, module: Any, shape: Any, network: str) -> None:
    from noonchi import diagram, files

    files.write(path, diagram.draw(module, shape, network))
    click.echo(f"diagram in {printable(str(path))}", err=True)


@click.command("list")
@click.argument("what", type=click.Choice(["recipes", "networks", "backbones", "datasets", "settings"]))
@JSON
def list_(what: str, as_json: bool) -> None:
    """Name what noonchi brings along, and the settings there are."""
    kinds = {"recipes": _recipes, "networks": _networks, "backbones": _backbones}
    rows = {**kinds, "datasets": _datasets, "settings": _settings}[what]()
    if as_json:
        print_json({what: [{"name": name, "about": about} for name, about in rows.items()]})
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


def _backbones() -> dict[str, str]:
    from noonchi.networks import BACKBONES, at_hand

    here = at_hand()
    return {
        name: f"timm's {own}, trained on ImageNet{'' if name in here else ' (weights not at hand yet)'}"
        for name, own in BACKBONES.items()
    }


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
