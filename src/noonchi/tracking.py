"""A run's settings, metrics and results in MLflow, beside what its own folder holds."""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from noonchi import files, records
from noonchi.errors import RunError, SettingsError, StoppedError
from noonchi.results import Epoch, Note, shell_word
from noonchi.settings import RunSettings
from noonchi.terminal import Event

_ID = "mlflow.json"
_PARAMETERS_AT_ONCE = 100
"""MLflow takes no more."""

Show = Callable[[Event], None]


def refuse_missing(run: RunSettings) -> None:
    """Raises SettingsError where a run asks for MLflow and it is not installed."""
    if run.record.mlflow and not all(map(find_spec, ("mlflow", "sqlalchemy"))):
        raise SettingsError("record.mlflow = true needs MLflow; install it: pip install 'noonchi[mlflow]'")


@contextmanager
def tracked(folder: Path, run: RunSettings, show: Show) -> Iterator[Show]:
    """Where `record.mlflow` asks for it, what is shown of epochs also goes to MLflow, and in the end the result.

    To a database in the folder `mlruns` beside the run's, or to the server that `MLFLOW_TRACKING_URI` names; nothing
    else goes over the network. A resumed run goes on in the same MLflow run, each epoch once. Raises RunError where
    MLflow cannot be written when the run begins; later failures are noted, and training goes on.
    """
    if not run.record.mlflow:
        yield show
        return
    log, waiting = _begin(folder, run), list[Epoch]()

    def tell(event: Event) -> None:
        show(event)
        if isinstance(event, Epoch):
            waiting.append(event)
            with _noting(show):
                log.epochs(waiting)
                waiting.clear()

    try:
        yield tell
    except BaseException as error:
        with _noting(show):
            log.end("KILLED" if isinstance(error, StoppedError | KeyboardInterrupt) else "FAILED")
        raise
    with _noting(show):
        log.result(folder)
        log.end("FINISHED")


@dataclass(frozen=True)
class _Log:
    """One run in MLflow."""

    client: Any
    run_id: str

    def settings(self, folder: Path, run: RunSettings) -> None:
        from mlflow.entities import Param

        every = [Param(_key(name), text) for name, text in _flat(run.table()).items()]
        for first in range(0, len(every), _PARAMETERS_AT_ONCE):
            self.client.log_batch(self.run_id, params=every[first : first + _PARAMETERS_AT_ONCE])
        self.client.log_artifact(self.run_id, str(folder / "recipe.toml"))

    def epochs(self, epochs: Sequence[Epoch]) -> None:
        """Those that are not there yet: a run that was killed after it logged an epoch does that one again."""
        logged = {metric.step for metric in self.client.get_metric_history(self.run_id, "loss")}
        for epoch in epochs:
            if epoch.number not in logged:
                self._metrics({name: value for name, value in epoch.to_json().items() if name != "epoch"}, epoch.number)

    def result(self, folder: Path) -> None:
        """The scores on the test pictures, which come last, once."""
        self.client.log_artifact(self.run_id, str(folder / "test.json"))
        ended = records.load_result(folder)
        scores = {f"test_{name}": value for name, value in (ended.test or {}).items() if isinstance(value, float)}
        if not scores.keys() & self.client.get_run(self.run_id).data.metrics.keys():
            self._metrics(scores, ended.epochs)

    def end(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)

    def _metrics(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now_ms = round(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(_key(name), value, now_ms, step) for name, value in values.items()])


def _begin(folder: Path, run: RunSettings) -> _Log:
    """The MLflow run of a run's folder, a new one where it has none."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # or its import would report that it is used
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the tables of its database are nothing to read about
    place = folder.resolve().parent / "mlruns"
    address = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with warnings.catch_warnings(action="ignore"):  # between MLflow and SQLAlchemy
            if address:
                client = MlflowClient(address)
                log = _Log(client, _run_id(folder, client, None))
            else:
                place.mkdir(exist_ok=True)
                with FileLock(place / ".lock"):  # two runs that begin at once must not both make the tables
                    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
                    log = _Log(client, _run_id(folder, client, (place / "artifacts").as_uri()))
            log.settings(folder, run)
    except MlflowException as error:
        raise RunError(
            f"MLflow at '{address or place}' cannot be written: {_first_line(error)}. Mend it, then go on with: "
            f"noonchi train --resume {shell_word(folder)}"
        ) from None
    return log


def _run_id(folder: Path, client: Any, artifacts: str | None) -> str:
    kept = folder / _ID
    if kept.exists():
        run_id = str(files.read_json(kept).get("run_id"))
        client.update_run(run_id, status="RUNNING")
        return run_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "noonchi"
    found = client.get_experiment_by_name(name)
    experiment_id = found.experiment_id if found else client.create_experiment(name, artifacts)
    tags = {"mlflow.source.name": "noonchi", "noonchi.run": str(folder.resolve())}
    run_id = str(client.create_run(experiment_id, tags=tags, run_name=folder.resolve().name).info.run_id)
    files.write_json(kept, {"run_id": run_id})
    return run_id


@contextmanager
def _noting(show: Show) -> Iterator[None]:
    """What fails within is shown, and is no more than that."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        show(Note(f"MLflow has not taken all of this run: {_first_line(error)}"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _key(name: str) -> str:
    """A head may be called anything; MLflow takes letters, digits and few signs."""
    return re.sub(r"[^\w.\- ]", "_", name)[:250]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings by their dotted paths, as text.

    >>> _flat({"seed": 0, "fit": {"betas": [0.9, 0.999]}})
    {'seed': '0', 'fit.betas': '[0.9, 0.999]'}
    """
    flat: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat
