"""`noonchi train` and `noonchi val`."""

import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from noonchi.cli.printing import ABSTAIN, JSON, RECIPE, SET, TRUST, overrides_option, print_json, print_scores
from noonchi.errors import SettingsError
from noonchi.results import printable, shell_word


@click.command()
@click.argument("data", required=False)
@RECIPE
@SET
@click.option("--epochs", type=int, help="Passes over the training pictures, at most.")
@click.option("--batch-size", type=int, help="Pictures a step.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--size", type=int, help="Pixels a side that pictures are brought to.")
@click.option("--seed", type=int, help="Every draw is a function of it.")
@click.option("--device", help="auto, cpu, cuda or mps.")
@click.option("--devices", type=click.IntRange(min=1), help="Processes to train in, such as one a GPU.")
@click.option("--budget", metavar="TIME", help="What all may take, such as 90s, 2m or 1h: the best for that time.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder; runs/DATA-RECIPE-N if not given.")
@overrides_option("A CSV of pictures to drop or relabel, as noonchi check writes it.")
@click.option("--no-report", "report", flag_value=False, default=None, help="Leave out RUN/report.html.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was stopped.")
@TRUST
@JSON
def train(
    data: str | None,
    recipe: str | None,
    *,
    resume: Path | None,
    devices: int | None,
    trust_code: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a classifier on DATA and test it once.

    DATA is a folder of pictures, a .csv, an .npz, a folder of IDX files, a built-in name (noonchi list datasets), or
    what noonchi shard wrote (its folder or its address), or hf:OWNER/NAME of the Hugging Face hub.
    """
    given = {"DATA": data, "--recipe": recipe, "--set": options["overrides"], "--overrides": options["overrides_file"]}
    named = {"overrides", "overrides_file", "report"}
    given |= {f"--{name.replace('_', '-')}": value for name, value in options.items() if name not in named}
    given["--no-report"] = options["report"]
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if resume is not None and given:
        raise SettingsError(f"--resume changes nothing else, but {', '.join(given)} came; leave it out.")
    if resume is None and data is None:
        raise click.UsageError("DATA is missing: a folder of pictures, or a built-in name such as digits.")
    if devices and devices > 1:
        _in_processes(devices, options["budget"])
        return
    began = time.monotonic()
    from noonchi import ranks, runs, settings, training

    if options["budget"]:
        budget_s = settings.duration_s(options["budget"])
        options["budget"] = max(0.001, budget_s - (time.monotonic() - began))  # to import torch takes seconds

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the user's network may print
        if resume is not None:
            run = training.resume(resume, trust_code=trust_code)
        else:
            run = training.train(str(data), recipe, trust_code=trust_code, **options)
    if not ranks.started().first:
        return
    if as_json:
        print_json(run.to_json())
        return
    click.echo(f"{run.epochs} epochs in {run.seconds:.1f} s")
    for scores in filter(None, (run.val, run.test)):
        print_scores(scores)
    click.echo(f"run in {printable(str(run.folder))}")
    if (page := run.folder / runs.REPORT).exists():
        click.echo(f"report in {printable(str(page))}")
    click.echo(f"next: noonchi predict {shell_word(run.folder)} PICTURE...")


def _in_processes(count: int, budget: str | None) -> None:
    """Run the command that was given in so many processes."""
    began = time.monotonic()
    from noonchi import launching, ranks, settings

    if ranks.started().count > 1:
        raise SettingsError("--devices starts processes, and torchrun has done so already; leave it out.")
    anew = ["--devices", "1"]  # of two, click takes the last one
    if budget:
        anew += ["--budget", f"{max(0.001, settings.duration_s(budget) - (time.monotonic() - began)):.3f}s"]
    launching.run(count, [*sys.argv[1:], *anew])


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", help="Other pictures to score on; the run's own if not given.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@ABSTAIN
@TRUST
@JSON
def val(run: Path, *, data: str | None, split: Any, abstain: float | None, trust_code: bool, as_json: bool) -> None:
    """Score RUN's best classifier on pictures with known labels."""
    from noonchi.score import score
    from noonchi.terminal import Terminal

    with Terminal() as show, redirect_stdout(sys.stderr) if as_json else nullcontext():
        scores = score(run, split, data, abstain=abstain, trust_code=trust_code, show=show)
    if as_json:
        print_json({"run": str(run), "split": scores.split, **scores.to_json()})
    else:
        print_scores(scores)
