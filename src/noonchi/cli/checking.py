"""`noonchi check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noonchi.cli.printing import JSON, RECIPE, SET, overrides_option, print_json
from noonchi.errors import SettingsError
from noonchi.results import Reading, printable

if TYPE_CHECKING:
    from noonchi.check import Report
    from noonchi.settings import RunSettings
    from noonchi.sources import Index

_CASES, _COPIES, _CLASSES = 5, 4, 20
_STYLES = {"error": "bold red", "warning": "yellow", "note": "blue"}
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("data")
@RECIPE
@SET
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with small pictures of what was found.")
@click.option(
    "--write-overrides",
    "repaired",
    type=_FILE,
    metavar="FILE",
    help="Write a CSV of what to drop or relabel, for noonchi train --overrides.",
)
@overrides_option("Check DATA as train --overrides would take it.")
@click.option("--deep", is_flag=True, help="Also name labels that seem wrong, by what a pretrained network sees.")
@JSON
def check(
    data: str,
    recipe: str | None,
    html: Path | None,
    repaired: Path | None,
    *,
    deep: bool,
    as_json: bool,
    **changed: Any,
) -> None:
    """Look for faults in DATA: unusable files, copies, odd pictures.

    Copies in two splits make scores too good; copies with two labels teach what is wrong. Found are identical
    pictures and near ones: saved anew, resized, brightened or slightly cut. DATA itself is never changed.

    Of RECIPE and --set only the settings of data and heads count: DATA is read as train would read it with them.
    """
    _refuse_places(data, html, repaired)
    from noonchi import files, settings, sources
    from noonchi.check import examine
    from noonchi.terminal import Terminal

    run = settings.load(recipe, settings.changes(**changed))
    through = _backbone() if deep else None
    with Terminal() as show:
        index = sources.load(data, run.data, run.heads, lambda done, total: show(Reading(done, total)))
        if repaired and index.files is None:
            raise SettingsError(
                "--write-overrides: overrides are for folders and tables; change the arrays, or shard anew with them."
            )
        report = examine(index, show, through)
    if repaired:
        _write_overrides(repaired, report, index, run)
    if html:
        from noonchi.check.page import render

        files.write(html, render(report, index))
        click.echo(f"page in {printable(str(html))}", err=True)
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)


def _refuse_places(data: str, html: Path | None, repaired: Path | None) -> None:
    """Before minutes are spent on pictures."""
    from noonchi import sources

    for option, path in (("--html", html), ("--write-overrides", repaired)):
        if path:
            sources.refuse_place(option, path, data)
    if html and html.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--html {html}: the page is HTML; give it a name that ends in .html.")
    if repaired and repaired.exists():
        raise SettingsError(
            f"--write-overrides {repaired}: it exists and may hold a person's edits; give another name or remove it."
        )


def _backbone() -> str:
    from noonchi.check import suspects

    return suspects.backbone()


def _write_overrides(path: Path, report: "Report", index: "Index", run: "RunSettings") -> None:
    from noonchi.check.repairs import repairs
    from noonchi.sources import overrides

    rows = repairs(report, index, run.heads)
    overrides.write(path, rows)
    relabelled = sum(row.action == "relabel" for row in rows)
    what = f"{len(rows) - relabelled:,} pictures to drop" + (f" and {relabelled:,} to relabel" if relabelled else "")
    click.echo(f"{what} in {printable(str(path))}: read it, then train --overrides", err=True)


def _print_report(report: "Report") -> None:
    from rich.console import Console

    from noonchi.check.findings import number

    console = Console(highlight=False)
    console.print(_text(report.title))
    for head, counts in report.classes.items():
        console.print()
        console.print(_class_table(head, counts))
    console.print()
    if report.findings:
        console.print(_findings_table(report))
    console.print(_text(number(len(report.findings), "finding") if report.findings else "nothing found"))
    if report.too_small:
        console.print(
            _text(f"near copies were not looked for in {number(report.too_small, 'picture')} under 32 pixels")
        )
    console.print(_text("--html FILE shows the pictures, --json names all"), style="dim")


def _class_table(head: str, counts: Any) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(_text(head), overflow="fold")
    for split in counts:
        table.add_column(split, justify="right")
    names = list(next(iter(counts.values()), {}))
    for name in names[:_CLASSES]:
        table.add_row(_text(name), *(f"{by_class[name]:,}" for by_class in counts.values()))
    if len(names) > _CLASSES:
        table.add_row(f"and {len(names) - _CLASSES:,} more")
    return table


def _findings_table(report: "Report") -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for finding in report.findings:
        table.add_row(_text(finding.severity, _STYLES[finding.severity]), _text(finding.about, "bold"))
        for group in finding.groups[:_CASES]:
            names = (" ~ " if finding.kind.startswith("near") else " = ").join(group.pictures[:_COPIES])
            more = f" and {len(group.pictures) - _COPIES:,} more" if len(group.pictures) > _COPIES else ""
            table.add_row("", _text(f"{names}{more}" + (f" ({group.detail})" if group.detail else "")))
        if len(finding.groups) > _CASES:
            table.add_row("", _text(f"and {len(finding.groups) - _CASES:,} more", "dim"))
        table.add_row()
    return table


def _text(told: str, style: str = "") -> Any:
    """Text that is shown as it is: no markup, no control codes."""
    from rich.text import Text

    return Text(printable(told), style)
