"""A command in several processes of this machine, started and watched by PyTorch's torchrun."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from uuid import uuid4

from torch import cuda
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from noonchi import ranks
from noonchi.errors import NoonchiError, RunError, SettingsError, StoppedError

_PATIENCE_S = 120
"""For processes that were asked to stop to save what they have."""
_MOST_A_CORE = 4
"""Processes: each takes some hundred MB, and more than one a core are slower than one."""


class ProcessError(NoonchiError):
    """One of the processes has ended by an error of its own, or was killed."""

    def __init__(self, told: str, exit_code: int) -> None:
        super().__init__(told)
        self.exit_code = exit_code


def run(processes: int, arguments: list[str]) -> None:
    """Run `noonchi ARGUMENTS` in so many processes; the first one speaks.

    Each takes its share of the threads of this machine, or its graphics processor. When one of them ends by an error,
    the others are stopped. Raises ProcessError, which names it, or says nothing where the first one has said all, and
    SettingsError for many more processes than there are cores.
    """
    if processes > max(most := _MOST_A_CORE * _cores(), cuda.device_count()):
        raise SettingsError(
            f"--devices {processes}: this machine has {_cores()} cores and {cuda.device_count()} graphics processors; "
            f"expected a process for each, and at most {most}."
        )
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):  # it would tell at length of every end
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // processes)))
    with tempfile.TemporaryDirectory() as others:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=uuid4().hex,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(others, redirects=dict.fromkeys(range(1, processes), Std.ALL)),
            shutdown_timeout=_PATIENCE_S,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "noonchi", *arguments)
        except ChildFailedError as error:
            raise _blame(error.failures, processes) from None
        except SignalException as error:
            raise ProcessError("", StoppedError.exit_code) from error  # the first process has said so


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blame(failures: Mapping[int, ProcessFailure], processes: int) -> ProcessError:
    told = {number: one.error_file_data for number, one in failures.items() if one.error_file != "<N/A>"}
    own = {number: one for number, one in told.items() if not one["message"].startswith(ranks.LOST)}
    killed = {number: one for number, one in failures.items() if one.exitcode < 0 and one.exitcode != -signal.SIGTERM}
    if killed:  # the others may have been asked to stop before they noticed
        own = {number: one for number, one in own.items() if one["exit_code"] != StoppedError.exit_code}
    if 0 in own:
        return ProcessError("", own[0]["exit_code"])
    for number, one in own.items():
        return ProcessError(f"process {number} of {processes}: {one['message']}", one["exit_code"])
    number, failure = next(iter((killed or failures).items()))
    how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with code {failure.exitcode}"
    return ProcessError(f"process {number} of {processes} {how}; the others were stopped.", RunError.exit_code)
