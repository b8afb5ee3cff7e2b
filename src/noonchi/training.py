"""From data to a run folder: the stages in order. The file to read first."""

import json
import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from noonchi import (
    answers,
    budgets,
    check,
    checkpoint,
    classifier,
    device,
    files,
    fitting,
    graph,
    log,
    losses,
    networks,
    parts,
    pixels,
    preparation,
    ranks,
    records,
    report,
    reporting,
    runs,
    settings,
    sources,
    tracking,
)
from noonchi.answers import Answers
from noonchi.batches import Batches
from noonchi.classifier import Classifier
from noonchi.errors import DataError, StoppedError, reason
from noonchi.evaluate import Answered, answered, calibrated, scored
from noonchi.fitting import Deadline, Plan, State
from noonchi.preparation import Material
from noonchi.ranks import PeerLostError, Ranks
from noonchi.results import Epoch, Note, Split, shell_word
from noonchi.runs import Run, Show
from noonchi.settings import HeadSettings, RunSettings
from noonchi.sources import Data, Index
from noonchi.terminal import Terminal

_SAVING = 0.1
"""Part of the time, at most, that goes into saving after epochs; the last one's is never left out."""
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal is closed, or the connection to it is lost; Windows has none."""
_SAMPLES = 25
"""Training pictures shown in TensorBoard."""


def train(
    data: Data,
    recipe: str | Path | None = None,
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    size: int | None = None,
    budget: str | float | None = None,
    trust_code: bool = False,
    show: Show | None = None,
    **flags: Any,
) -> Run:
    """Train a classifier on pictures and test it once; everything about it is kept in a new folder.

    `data` is a folder, a CSV, an .npz, a folder of IDX files, a built-in name, the folder or the address of shards,
    `hf:OWNER/NAME`, or arrays (images, labels). Without a `recipe` one is picked by the data. `overrides` are
    `"section.key=value"`; `epochs`, `batch_size`, `lr`, `size` (pixels a side), `seed`, `device`, `overrides_file`
    (`data.overrides`) and `report` (`record.report`) are short for the usual ones. A `budget` of seconds, or such as
    `"2m"`, is what all of it may take, the report included: size of network and pictures and the learning rate are
    planned for it. `out` is
    the run's folder, else the next `runs/<data>-<recipe>-<n>`. A recipe file that names a Python network needs
    `trust_code`; one named in `overrides` does not. `show` is called with each `Note`, `Reading`, `Step` and `Epoch`;
    without it they go to the terminal. Raises SettingsError, DataError and RunError, and StoppedError where a signal
    asked to stop.
    """
    if unknown := flags.keys() - settings.FLAGS.keys():
        raise TypeError(f"train() got an unexpected keyword argument '{min(unknown)}'")
    ends = None if budget is None else time.monotonic() + settings.duration_s(budget)
    changes = settings.changes(overrides, size, **flags)
    with ranks.joined() as together, _telling(show, together) as tell:
        if begun := together.of_first(ranks.remembered):
            return _resumed(Path(begun), data, tell, trust_code=True)  # torchrun has started lost processes anew
        together.of_first(lambda: _refuse_place(out))
        run, index = choose(data, recipe, changes, tell, trust_code=trust_code)
        if ends is not None:
            run, ends = together.same(budgets.planned(run, index, changes, ends, tell, free=recipe is None))
        run = together.same(resolved(run, index, data))
        folder = together.of_first(lambda: Path(out) if out is not None else runs.next_folder(index.name, run.recipe))
        return _stages(folder, run, index, tell, fresh=True, ends=ends)


def resume(folder: str | Path, data: Data | None = None, *, trust_code: bool = False, show: Show | None = None) -> Run:
    """Train on from where a run was stopped or killed: the same bits as if it had not been.

    `data` is needed only for a run on arrays. Raises RunError where there is no run, DataError where its pictures
    are not the same any more.
    """
    with ranks.joined() as together, _telling(show, together) as tell:
        return _resumed(Path(folder), data, tell, trust_code=trust_code)


def _resumed(folder: Path, data: Data | None, show: Show, *, trust_code: bool) -> Run:
    run = ranks.current().of_first(lambda: records.load_settings(folder))
    runs.refuse_code(folder, run, trust_code=trust_code)
    ranks.current().of_first(lambda: runs.refuse_unwritable(folder))
    index = runs.load_index(runs.source(folder, run, data), run, show)
    run = runs.decided(run, index)  # as it was, unless someone has edited the recipe
    return _stages(folder, run, index, show, fresh=False)


def _refuse_place(out: str | Path | None) -> None:
    if out is not None:
        runs.refuse_used(Path(out))
    runs.refuse_unwritable(out)


def _telling(show: Show | None, together: Ranks) -> AbstractContextManager[Show]:
    """Of several processes the first one speaks."""
    if not together.first:
        return nullcontext(lambda _: None)
    return nullcontext(show) if show else Terminal()


def choose(
    data: Data, recipe: str | Path | None, changes: list[str], show: Show, *, trust_code: bool = False
) -> tuple[RunSettings, Index]:
    """The settings of a new run, before they are `resolved`, and its pictures; arguments and errors are `train`'s."""
    if recipe is not None:
        _refuse_code(Path(recipe), changes, trust_code=trust_code)
    run, index = runs.choose(data, recipe, changes, show)
    if recipe is None or recipe in settings.recipe_names():
        run = runs.with_weights(run, changes, show)
    return run, index


@dataclass(frozen=True, eq=False)
class Ready:
    """The first part of a training, about to take its first step: what `fitting.steps` asks for."""

    state: State
    plan: Plan
    batches: Batches


def ready(run: RunSettings, index: Index, show: Show) -> Ready:
    """A training's first part as `train` begins it, from `resolved` settings; but for caches nothing is written."""
    with networks.blaming(run.model.network):
        frames, index = preparation.decoded(index, run, show)
        run, material, state = preparation.begin(frames, index, run, show)
        material = preparation.with_features(state, material, index, run, show)
        return Ready(state, preparation.plan(run, material), material.training)


def attempt(folder: Path, run: RunSettings, index: Index, show: Show) -> State:
    """Train in a folder, on from where it was stopped, and give the state at the end; nothing is scored.

    Pictures of the test split are not asked about. What `show` raises ends it; a signal always does, by StoppedError.
    """
    with networks.blaming(run.model.network):
        runs.refuse_links(folder)
        begun = (folder / records.RECIPE).exists()
        run = records.load_settings(folder) if begun else run
        frames, index = preparation.decoded(index, run, show)
        run, material, state = preparation.begin(frames, index, run, show, folder / "last" if begun else None)
        files.write(folder / records.RECIPE, settings.to_toml(run))
        return _trained(folder, run, index, material, state, show=show, stop_at_end=True)


def _refuse_code(recipe: Path, changes: list[str], *, trust_code: bool) -> None:
    """A network that the caller names is the caller's; one that a recipe file names may be anybody's."""
    if not any(change.startswith("model.network=") for change in changes):
        runs.refuse_code(recipe, settings.load(str(recipe)), trust_code=trust_code)


def resolved(run: RunSettings, index: Index, data: Data) -> RunSettings:
    """Every setting with a value, but for the precision: what `recipe.toml` records."""
    source = sources.lasting_name(data) if isinstance(data, str | Path) else None
    overrides = run.data.overrides and str(Path(run.data.overrides).resolve())
    heads = {head.name: run.heads.get(head.name, HeadSettings()).but(kind=head.kind) for head in index.heads}
    weights = run.model.weights
    if weights and Path(weights).exists():
        weights = str(Path(weights).resolve())
    return runs.decided(run, index).but(
        data=run.data.but(source=source, overrides=overrides),
        model=run.model.but(network=networks.lasting_name(run.model.network), weights=weights),
        heads=heads,
        fit=run.fit.but(epochs=_epochs(run, len(index.positions("train"))), min_steps=0),
    )


def _epochs(run: RunSettings, pictures: int) -> int:
    """As many as make `fit.min_steps`."""
    return max(run.fit.epochs, math.ceil(run.fit.min_steps / math.ceil(pictures / run.batches.size)))


def _stages(folder: Path, run: RunSettings, index: Index, show: Show, *, fresh: bool, ends: float | None = None) -> Run:
    together = ranks.current()
    with ExitStack() as held, networks.blaming(run.model.network), _lost(folder):
        tell = together.agreed(lambda: held.enter_context(_kept(folder, show)) if together.first else show)
        if fresh:
            together.of_first(lambda: runs.refuse_used(folder))  # once more: another process may have begun here since
        tracking.refuse_missing(run)
        frames, index = preparation.decoded(index, run, tell)
        held.callback(index.give_up)
        _refuse_other_pictures(index, together)
        if fresh:
            _warn(index, run, tell)
        else:
            together.of_first(lambda: runs.refuse_changed(folder, index))
        with together.lent(folder / "last") as last:
            run, material, state = preparation.begin(frames, index, run, tell, None if fresh else last)
        if ends is not None:
            run = run.but(fit=run.fit.but(seconds=round(max(0.001, ends - time.monotonic()), 3)))
        run = together.same(run)
        if not fresh:
            _tell_of_processes(folder, together, tell)
        if together.first:
            _begin_folder(folder, run, index, fresh=fresh)
        if not fresh and (state.epoch > 1 or state.step):
            goes_on = f"goes on in epoch {state.epoch}, step {state.step + 1}"
            tell(Note(f"the run {'had ended; scoring it again' if parts.ended(run, state) else goes_on}"))
        if together.first:
            _record_start(folder, run, state.classifier, material, tell)
        with tracking.tracked(folder, run, tell) if together.first else nullcontext(tell) as told:
            state = _trained(folder, run, index, material, state, show=told)
            finished = _finish(folder, run, index, material, state)
        if run.record.report and together.first:
            _report(folder, index, tell)
        return finished


@contextmanager
def _lost(folder: Path) -> Iterator[None]:
    """Of another process that has ended it is told how the run goes on."""
    try:
        with ranks.whole():
            yield
    except PeerLostError as error:
        if (folder / records.RECIPE).exists():
            raise PeerLostError(f"{error} Go on with: noonchi train --resume {shell_word(folder)}") from None
        raise


@contextmanager
def _kept(folder: Path, show: Show) -> Iterator[Show]:
    """A run's folder, held against other runs, and how to tell what also its log keeps."""
    runs.make(folder)
    with runs.held(folder, records.RECIPE), log.kept(folder / runs.LOG, show) as tell:
        yield tell


def _tell_of_processes(folder: Path, together: Ranks, show: Show) -> None:
    before = together.of_first(lambda: records.load_versions(folder).get("processes", "1"))
    if before != str(together.count):
        show(
            Note(
                f"begun in {before} processes, goes on in {together.count}: the same to within rounding, not to the bit"
            )
        )


def _begin_folder(folder: Path, run: RunSettings, index: Index, *, fresh: bool) -> None:
    if fresh:
        sources.write_splits(folder / runs.SPLITS, index)
        if index.unusable:
            sources.write_unusable(folder / runs.UNUSABLE, index)
        files.write(folder / records.RECIPE, settings.to_toml(run))  # last: from now on it can be resumed
        ranks.remember(str(folder))
    files.write_json(folder / records.VERSIONS, device.versions(run.device.name))


def _refuse_other_pictures(index: Index, together: Ranks) -> None:
    """Raises DataError where processes, perhaps on several machines, have not found the same pictures."""
    if together.count == 1:
        return
    content = json.dumps([list(index.ids), list(index.hashes), index.splits.tolist()]).encode()
    found = together.gathered(f"{len(index):,} pictures, {blake2b(content, digest_size=4).hexdigest()}")
    other = next((number for number, one in enumerate(found) if one != found[0]), None)
    if other is not None:
        raise DataError(
            f"process {other} has found other pictures ({found[other]}) than the first one ({found[0]}); "
            "give all machines the same data."
        )


def _trained(
    folder: Path,
    run: RunSettings,
    index: Index,
    material: Material,
    state: State,
    *,
    show: Show,
    stop_at_end: bool = False,
) -> State:
    """Part after part, to the state at the end."""
    started = time.monotonic() - state.clock_s

    def fit(state: State) -> None:
        taken = preparation.with_features(state, material, index, run, show)
        _fit(folder, run, state, taken, show, started=started, stop_at_end=stop_at_end)

    fit(state)
    while (further := parts.following(run, state)) is not None:
        show(Note(f"part {further + 1} of {len(run.parts)}: {parts.about(run.parts[further])}"))
        state = parts.go_on(state, _best(folder), run, further)
        fit(state)
    if state.part < len(run.then):
        show(Note(f"accuracy {parts.accuracy(state):.4g} is enough: what was to follow is passed over"))
    return state


def _best(folder: Path) -> Classifier:
    if ranks.current().count == 1:
        return classifier.load(folder, trust_code=True)
    with ranks.current().lent(folder / "best") as best:
        return classifier.load(best, trust_code=True)


def _warn(index: Index, run: RunSettings, show: Show) -> None:
    """Of what is wrong with the data, as far as that is known without a look at the pictures."""
    see = f". See: noonchi check {shell_word(run.data.source)}" if run.data.source else ""
    for finding in check.quick(index):
        show(Note(finding.about + (see if finding.groups else "")))


def _fit(
    folder: Path, run: RunSettings, state: State, material: Material, show: Show, *, started: float, stop_at_end: bool
) -> None:
    """One part; `started` is when the first one began, had training never been stopped."""
    together = ranks.current()
    saved_at, saving_s, plan = time.monotonic(), 0.0, preparation.plan(run, material, state.part)
    if state.epoch == state.begun + 1 and not state.step:
        state.begun_s = saved_at - started
    if plan.settings.by_the_clock:
        seconds = run.fit.seconds or 0.0
        plan = replace(plan, deadline=Deadline(started + seconds, max(0.001, seconds - state.begun_s), together))
    with _stop_asked() as stop:
        for moment in fitting.steps(state, plan, material.training, material.validation):
            show(moment)
            if isinstance(moment, Epoch) and together.first:
                _record(folder, run, state, moment)
            stopping = together.any(stop.is_set())
            every_s = saving_s / _SAVING if isinstance(moment, Epoch) else run.fit.checkpoint_every_s or math.inf
            over = isinstance(moment, Epoch) and fitting.finished(state, plan.settings)
            if together.first and (over or stopping or time.monotonic() - saved_at >= every_s):
                runs.refuse_gone(folder)
                began = time.monotonic()
                state.clock_s = began - started
                checkpoint.save(folder / "last", state)
                saved_at = time.monotonic()
                saving_s = saved_at - began
            if stopping and (stop_at_end or not parts.ended(run, state)):
                raise StoppedError(f"stopped and saved; go on with: noonchi train --resume {shell_word(folder)}")


def _record_start(folder: Path, run: RunSettings, start: Classifier, material: Material, show: Show) -> None:
    """What TensorBoard shows of a run before its first epoch: pictures as the network sees them, and its graph."""
    if not run.record.tensorboard:
        return
    drawn = None
    try:
        drawn = graph.graph(start.network, start.shape)
    except Exception as error:  # a network of one's own may not bear to be watched
        show(Note(f"TensorBoard gets no graph of this network: {str(error).partition(chr(10))[0]}"))
    images = next(material.training.of_epoch(1)).images[:_SAMPLES]
    report.write_tensorboard_start(folder, pixels.levels(images, run.pixels), drawn)


def _record(folder: Path, run: RunSettings, state: State, epoch: Epoch) -> None:
    runs.refuse_gone(folder)
    if epoch.best:
        checkpoint.save_classifier(folder / "best", state.kept)
        if run.record.keep_improved:
            checkpoint.save_classifier(folder / "improved" / f"{epoch.number:02d}-{state.best:.4f}", state.kept)
    records.write_history(folder, state.history)
    if run.record.tensorboard:
        weights = state.kept.network.named_parameters() if run.record.weight_histograms else []
        report.write_tensorboard(folder, epoch, {name: w.detach().cpu().numpy() for name, w in weights})


def _finish(folder: Path, run: RunSettings, index: Index, material: Material, state: State) -> Run:
    first = ranks.current().first
    if first:
        runs.refuse_gone(folder)
    if run.record.plots and first:
        report.write_plots(folder, state.history)
    best = replace(_best(folder), temperatures={})
    runs.refuse_other_heads(folder, best, index)
    best.network.to(run.device.name)
    weights = losses.head_weights(material.objectives)
    val = test = None
    if material.validation:
        found = state.best_answers or answered(best, material.validation, "val")
        if run.fit.calibrate and not run.data.validate_on_test:
            temperatures, found = calibrated(best.heads, found)
            best = replace(best, temperatures=temperatures)
            if first:
                checkpoint.save_classifier(folder / "best", best)
        val = scored(best.heads, found, "val", weights)
        if first:
            _keep_answers(folder, "val", index, material.validation, found)
    if material.test:
        found = answered(best, material.test, "test")
        test = scored(best.heads, found, "test", weights)
        if first:
            _keep_answers(folder, "test", index, material.test, found)
    seconds = sum(epoch.seconds for epoch in state.history)
    finished = Run(folder, epochs=len(state.history), seconds=seconds, val=val, test=test)
    if first:
        runs.write_result(finished)
    return finished


def _report(folder: Path, index: Index, show: Show) -> None:
    """The run is whole without it: what goes wrong here is told, and no more."""
    try:
        reporting.write(folder / runs.REPORT, reporting.gather(folder, index, trust_code=True))
    except Exception as error:
        again = f"noonchi report {shell_word(folder)}"
        show(Note(f"the report could not be made ({reason(error)}); the run is whole. Try: {again}"))


def _keep_answers(folder: Path, split: Split, index: Index, pictures: Batches, found: Answered) -> None:
    at = pictures.positions.tolist()
    ids, hashes = (np.array([names[one] for one in at]) for names in (index.ids, index.hashes))
    answers.write(folder, split, Answers(index.heads, ids, hashes, found.labels, found.probabilities))


@contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """Set by the first SIGINT, SIGTERM or SIGHUP; a second one stops at once, but for SIGHUP.

    Of that several come where a terminal is closed: from the system, and from the shell in it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {}

    def ask(number: int, _: Any) -> None:
        stop.set()
        if number != _HANGUP:
            signal.signal(number, before[number])

    # one that is ignored stays so: that is how a shell starts what Ctrl-C must not reach
    asking = [one for one in (signal.SIGINT, signal.SIGTERM, _HANGUP) if one is not None]
    heeded = [one for one in asking if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
