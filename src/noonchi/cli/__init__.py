"""The command line: arguments in, exit codes out. Torch is imported by the commands that need it, not by --help."""

import gc
import io
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import click

from noonchi import ranks
from noonchi.cli.arithmetic import conv
from noonchi.cli.cached import cache_
from noonchi.cli.checking import check
from noonchi.cli.comparing import compare
from noonchi.cli.describing import list_, summary
from noonchi.cli.explaining import explain
from noonchi.cli.exporting import export
from noonchi.cli.looking import look
from noonchi.cli.predicting import predict
from noonchi.cli.reporting import report
from noonchi.cli.selftesting import selftest
from noonchi.cli.serving import serve
from noonchi.cli.sharding import shard
from noonchi.cli.training import train, val
from noonchi.cli.tuning import tune
from noonchi.errors import NoonchiError, SettingsError
from noonchi.results import printable


def main() -> None:
    """Runs the command line. Exit codes: 0 fine, 2 usage or settings, 3 data, 4 run or model file, 1 our bug."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C: what was half made is cleared away; Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home it would tell where it keeps its own files
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what this terminal cannot show
    if ranks.started().count > 1:  # torch would warn, in each, of what `forward` asks for
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    code = _run()
    gc.freeze()  # or the interpreter goes through all that is left, half a second after a training, to give it back
    sys.exit(code)


def _run() -> int:
    code, line = 0, ""
    try:
        noonchi(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "noonchi"
        code, line = error.exit_code, f"{' '.join(error.format_message().split())} See: {where} --help"
    except NoonchiError as error:
        code, line = error.exit_code, str(error)
    except (KeyboardInterrupt, click.Abort):
        code, line = 130, "stopped."
    except SystemExit as error:
        # click ends so after completing a word in the shell (0), and when the reader of a pipe has gone (1)
        code = 141 if error.code else 0
    except OSError as error:  # a full disk, a folder that may not be written or read
        place = error.filename2 or error.filename or "output"  # the latter of a file that takes another's place
        code, line = 4, printable(f"{error.strerror or error}: '{place}'. Make room there, or name another place.")
    except MemoryError as error:
        code, line = (
            2,
            f"not enough memory: {error or 'the settings ask for too much'}. Lower pixels.size or the network.",
        )
    except Exception:
        code, line = 1, f"this is a bug of noonchi's; please report it with these lines:\n{traceback.format_exc()}"
    if line:
        ranks.tell_failure(line, code)
        with suppress(OSError):  # the terminal may be closed by now, the disk of a file full
            click.echo(f"noonchi: {line}", err=True)
    return code


_SHARED = ("train", "predict")
"""Commands whose work several processes share."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="noonchi")
@click.pass_context
def noonchi(context: click.Context) -> None:
    """Train, look into and use image classifiers."""
    processes, name = ranks.started().count, str(context.invoked_subcommand)
    if processes > 1 and name not in _SHARED:
        raise SettingsError(
            f"{name} runs in one process, and torchrun started {processes}; start noonchi {name} alone."
        )


for command in (
    train,
    tune,
    val,
    predict,
    explain,
    export,
    serve,
    compare,
    report,
    look,
    check,
    shard,
    summary,
    conv,
    list_,
    cache_,
    selftest,
):
    noonchi.add_command(command)
