"""What several commands share: their common options, and how results are printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

RECIPE = click.option(
    "--recipe", metavar="NAME|FILE", help="A recipe's name or a .toml file; picked by the data if not given."
)
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any setting, as section.key=value.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, all else on stderr.")
ABSTAIN = click.option(
    "--abstain",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Call answers less probable than this, such as 0.9, unsure.",
)
INVERT = click.option(
    "--invert",
    type=click.Choice(["no", "yes", "auto"]),
    default="no",
    show_default=True,
    help="Turn black to white first; auto: where the picture's edges are then more like the training pictures'.",
)
TRUST = click.option("--trust-code", is_flag=True, help="Import the Python code of the run's own network.")


def overrides_option(told: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--overrides FILE`, given to the command as `overrides_file`."""
    return click.option(
        "--overrides",
        "overrides_file",
        type=click.Path(path_type=Path, resolve_path=True),
        metavar="FILE",
        help=told,
    )


def print_json(value: Any) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_scores(scores: Any) -> None:
    """A line a head: its accuracy and how sure that is."""
    for name, head in scores.heads.items():
        low, high = head.accuracy_interval
        what = "accuracy" if len(scores.heads) == 1 else f"{name} accuracy"
        click.echo(
            f"{scores.split} {what} {head.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, "
            f"{scores.num_pictures:,} pictures)"
        )
        if head.sure:
            low, high = head.sure.accuracy_interval
            answered = f"at least {head.sure.least:g} sure of {head.sure.coverage:.1%} of them"
            click.echo(f"{answered}: {what} {head.sure.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})")
